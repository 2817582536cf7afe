//! What Argo CD and Flux put back by themselves.
//!
//! A deployer is believed where it lists the object itself and says that it heals what it lists. What lies on the object changes nothing
//! of that, except where the deployer itself obeys it and leaves the object alone.

use serde_json::Value;

use super::{Claim, argocd, claims, flux, is_blank, text};
use crate::subject::ObjectId;
use crate::undeclared::{Declarer, Tool};

impl Tool {
    /// What an object of this tool lists and puts back by itself, in this cluster. What it is told to ignore of these is its own affair.
    ///
    /// Sources: <https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/>,
    /// <https://fluxcd.io/flux/components/kustomize/kustomizations/#suspend>,
    /// <https://fluxcd.io/flux/components/helm/helmreleases/#drift-detection>.
    pub fn heals(self, object: &Value) -> Vec<ObjectId> {
        // What is about to go heals nothing any more.
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return Vec::new();
        }
        let suspended = || !is_blank(object.pointer("/spec/suspend"));
        match self {
            Self::Application if heals_itself(object) && argocd::is_here(object) => {
                let own = argocd::resources(object).filter(|r| is_blank(r.get("hook")));
                own.filter_map(argocd::object_of).collect()
            }
            Self::Kustomization if !suspended() => self.lists(object),
            Self::HelmRelease if !suspended() && corrects(object) => self.lists(object),
            _ => Vec::new(),
        }
    }

    /// True where this tool leaves a live object as it is, because the object asks for that.
    ///
    /// Sources: <https://fluxcd.io/flux/components/kustomize/kustomizations/#controlling-the-apply-behavior-of-resources>,
    /// <https://fluxcd.io/flux/components/helm/helmreleases/#drift-detection>.
    pub fn leaves_alone(self, live: &Value) -> bool {
        let asks = |key: &str, value: &str| {
            ["annotations", "labels"].iter().any(|map| {
                let found = live
                    .pointer("/metadata")
                    .and_then(|m| m.get(*map)?.get(key));
                let found = found.and_then(Value::as_str);
                found.is_some_and(|f| f.eq_ignore_ascii_case(value))
            })
        };
        match self {
            Self::Kustomization => {
                asks("kustomize.toolkit.fluxcd.io/reconcile", "disabled")
                    || asks("kustomize.toolkit.fluxcd.io/ssa", "Ignore")
                    || asks("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent")
            }
            Self::HelmRelease => asks("helm.toolkit.fluxcd.io/driftDetection", "disabled"),
            Self::Application | Self::Release => false,
        }
    }

    /// Why an object that this tool heals is only observed, in one word.
    pub fn healed(self) -> &'static str {
        match self {
            Self::Application => "HealedByArgoCD",
            Self::Kustomization | Self::HelmRelease => "HealedByFlux",
            Self::Release => "HealedByHelm",
        }
    }

    /// What would have to change for this tool to heal no more.
    pub fn healing(self) -> &'static str {
        match self {
            Self::Application => "spec.syncPolicy.automated.selfHeal is on",
            Self::Kustomization => "spec.suspend is off",
            Self::HelmRelease => "spec.driftDetection.mode is enabled",
            Self::Release => "it never does",
        }
    }
}

impl Declarer {
    /// True where a live object says that it belongs to this one. By itself that proves nothing.
    pub fn is_named_by(&self, live: &Value) -> bool {
        let here = |namespace: &str, name: &str| {
            self.namespace.as_deref() == Some(namespace) && *self.name == *name
        };
        let label = |key: &str| {
            let labels = live.pointer("/metadata/labels");
            let label = labels.and_then(|l| l.get(format!("helm.toolkit.fluxcd.io/{key}")));
            label.and_then(Value::as_str).unwrap_or_default()
        };
        match self.tool {
            Tool::HelmRelease => here(label("namespace"), label("name")),
            Tool::Application => claims(live).iter().any(|claim| match claim {
                Claim::ArgoCD { namespace, name } => {
                    let same = |n: &String| self.namespace.as_deref() == Some(n.as_str());
                    namespace.as_ref().is_none_or(same) && *self.name == **name
                }
                _ => false,
            }),
            Tool::Kustomization => claims(live)
                .iter()
                .any(|c| matches!(c, Claim::Flux { namespace, name } if here(namespace, name))),
            Tool::Release => false,
        }
    }
}

/// True for an Application that syncs by itself, live edits included.
fn heals_itself(application: &Value) -> bool {
    let automated = application.pointer("/spec/syncPolicy/automated");
    let on = |key: &str| automated.and_then(|a| a.get(key)).and_then(Value::as_bool);
    let skipped = text(
        application,
        &[
            "metadata",
            "annotations",
            "argocd.argoproj.io/skip-reconcile",
        ],
    );
    on("selfHeal") == Some(true) && on("enabled") != Some(false) && skipped != "true"
}

/// True for a HelmRelease that corrects drift. (`warn` only tells.)
fn corrects(release: &Value) -> bool {
    text(release, &["spec", "driftDetection", "mode"]) == "enabled"
        && flux::inventory(release).next().is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn healed(tool: Tool, object: &Value) -> Vec<String> {
        tool.heals(object).iter().map(ToString::to_string).collect()
    }

    fn application() -> Value {
        json!({
            "metadata": {"name": "shop", "namespace": "argocd"},
            "spec": {"destination": {"name": "in-cluster"}, "syncPolicy": {"automated": {"selfHeal": true}}},
            "status": {"resources": [
                {"version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "web"},
                {"version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "old", "requiresPruning": true},
                {"group": "batch", "kind": "Job", "namespace": "shop", "name": "migrate", "hook": true},
            ]},
        })
    }

    #[test]
    fn an_application_heals_what_it_lists_while_it_syncs_by_itself() {
        let with = |pointer: &str, value: Value| {
            let mut changed = application();
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            changed.pointer_mut(parent).expect("is there")[key] = value;
            healed(Tool::Application, &changed)
        };
        assert_eq!(
            healed(Tool::Application, &application()),
            ["ConfigMap shop/web"]
        );
        let automated = "/spec/syncPolicy/automated";
        for (pointer, value) in [
            (automated.to_owned(), Value::Null),
            (automated.to_owned(), json!({})),
            (format!("{automated}/selfHeal"), json!(false)),
            (format!("{automated}/enabled"), json!(false)),
            ("/spec/destination/name".to_owned(), json!("prod")),
            (
                "/metadata/deletionTimestamp".to_owned(),
                json!("2026-01-01T00:00:00Z"),
            ),
            (
                "/metadata/annotations".to_owned(),
                json!({"argocd.argoproj.io/skip-reconcile": "true"}),
            ),
        ] {
            assert!(with(&pointer, value).is_empty(), "{pointer}");
        }
        assert_eq!(with(&format!("{automated}/enabled"), json!(true)).len(), 1);
    }

    #[test]
    fn flux_heals_what_is_not_suspended() {
        let inventory = json!({"entries": [{"id": "shop_web_apps_Deployment", "v": "v1"}]});
        let mut applier = json!({"spec": {}, "status": {"inventory": inventory}});
        assert_eq!(
            healed(Tool::Kustomization, &applier),
            ["apps/Deployment shop/web"]
        );
        assert!(healed(Tool::HelmRelease, &applier).is_empty());
        applier["spec"]["driftDetection"] = json!({"mode": "warn"});
        assert!(healed(Tool::HelmRelease, &applier).is_empty());
        applier["spec"]["driftDetection"] = json!({"mode": "enabled"});
        assert_eq!(
            healed(Tool::HelmRelease, &applier),
            ["apps/Deployment shop/web"]
        );
        applier["spec"]["suspend"] = json!(true);
        assert!(healed(Tool::HelmRelease, &applier).is_empty());
        assert!(healed(Tool::Kustomization, &applier).is_empty());
        assert!(healed(Tool::Kustomization, &json!({})).is_empty());
    }

    #[test]
    fn what_flux_is_asked_to_leave_alone_is_not_healed() {
        let live = |map: &str, key: &str, value: &str| json!({"metadata": {map: {key: value}}});
        let flux = |map, key, value| Tool::Kustomization.leaves_alone(&live(map, key, value));
        assert!(flux(
            "annotations",
            "kustomize.toolkit.fluxcd.io/reconcile",
            "disabled"
        ));
        assert!(flux("labels", "kustomize.toolkit.fluxcd.io/ssa", "ignore"));
        assert!(!flux(
            "annotations",
            "kustomize.toolkit.fluxcd.io/ssa",
            "Merge"
        ));
        let off = live(
            "annotations",
            "helm.toolkit.fluxcd.io/driftDetection",
            "disabled",
        );
        assert!(Tool::HelmRelease.leaves_alone(&off) && !Tool::Application.leaves_alone(&off));
    }

    #[test]
    fn an_object_names_its_deployer_by_kind_namespace_and_name() {
        let of = |tool, namespace: &str, name: &str| Declarer {
            tool,
            namespace: Some(namespace.into()),
            name: name.into(),
        };
        let tracked = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:shop/web"}}});
        assert!(of(Tool::Application, "argocd", "shop").is_named_by(&tracked));
        assert!(!of(Tool::Application, "argocd", "other").is_named_by(&tracked));
        assert!(!of(Tool::Kustomization, "argocd", "shop").is_named_by(&tracked));
        let placed = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "team_shop:/ConfigMap:shop/web"}}});
        assert!(!of(Tool::Application, "argocd", "shop").is_named_by(&placed));
        let flux = json!({"metadata": {"labels": {
            "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            "helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "shop",
        }}});
        assert!(of(Tool::Kustomization, "flux-system", "apps").is_named_by(&flux));
        assert!(of(Tool::HelmRelease, "shop", "web").is_named_by(&flux));
        assert!(!of(Tool::HelmRelease, "shop", "apps").is_named_by(&flux));
        assert!(!of(Tool::HelmRelease, "shop", "web").is_named_by(&json!({})));
    }
}
