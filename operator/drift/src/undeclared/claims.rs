//! Who else declares objects: what an object says of that itself, which anybody can write, and what those lists say that the tools
//! keep of what they declare.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::deployer::{argocd, flux};
use crate::redact;
use crate::subject::{GroupKind, ObjectId};

/// The most bytes of a name that is shown.
const MAX_NAME: usize = 64;

/// What declares objects besides policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// Argo CD's Application.
    Application,
    /// Flux's Kustomization.
    Kustomization,
    /// Flux's HelmRelease.
    HelmRelease,
    /// A release of Helm.
    Release,
}

impl Tool {
    /// Those that keep a list of what they declare in an object of the cluster.
    pub const LISTING: [Self; 3] = [Self::Application, Self::Kustomization, Self::HelmRelease];

    /// The kind of that object; `None` for Helm's releases, which are kept in Secrets.
    pub fn kind(self) -> Option<GroupKind> {
        let (group, kind) = match self {
            Self::Application => ("argoproj.io", "Application"),
            Self::Kustomization => ("kustomize.toolkit.fluxcd.io", "Kustomization"),
            Self::HelmRelease => ("helm.toolkit.fluxcd.io", "HelmRelease"),
            Self::Release => return None,
        };
        Some(GroupKind::new(group, kind))
    }

    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "Argo CD's Application",
            Self::Kustomization => "Flux's Kustomization",
            Self::HelmRelease => "Flux's HelmRelease",
            Self::Release => "the Helm release",
        }
    }

    /// What an object of this tool lists as declared by it in this cluster.
    ///
    /// Sources: <https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml>,
    /// <https://fluxcd.io/flux/components/kustomize/kustomizations/#inventory>,
    /// <https://fluxcd.io/flux/components/helm/helmreleases/#inventory>.
    pub fn lists(self, object: &Value) -> Vec<ObjectId> {
        match self {
            Self::Application if argocd::is_here(object) => with_hooks(object),
            Self::Kustomization | Self::HelmRelease => {
                // It applies to another cluster.
                if object.pointer("/spec/kubeConfig").is_some() {
                    return Vec::new();
                }
                flux::inventory(object).collect()
            }
            Self::Application | Self::Release => Vec::new(),
        }
    }
}

/// Something that declares objects, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Declarer {
    /// What it is.
    pub tool: Tool,
    /// Its namespace, where it is known.
    pub namespace: Option<Arc<str>>,
    /// Its name.
    pub name: Arc<str>,
}

/// Fit to be shown: what objects say of themselves is their author's words.
impl fmt::Display for Declarer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| redact::cut(&redact::printable(text), MAX_NAME).to_owned();
        write!(f, "{} ", self.tool.as_str())?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{}/", shown(namespace))?;
        }
        f.write_str(&shown(&self.name))
    }
}

/// Who declares a live object by what it says itself. Anybody can write that, so it proves nothing.
pub fn claim(live: &Value) -> Option<Declarer> {
    let metadata = live.get("metadata")?;
    let of = |map: &str, key: &str| metadata.get(map)?.get(key)?.as_str();
    let by = |tool, namespace: Option<&str>, name: &str| {
        Some(Declarer {
            tool,
            namespace: namespace.map(Into::into),
            name: name.into(),
        })
    };
    // <https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>: APPLICATION:GROUP/KIND:NAMESPACE/NAME, and
    // NAMESPACE_NAME for an Application outside Argo CD's own namespace.
    if let Some(id) = of("annotations", "argocd.argoproj.io/tracking-id") {
        let application = id.split(':').next().unwrap_or(id);
        return match application.split_once('_') {
            Some((namespace, name)) => by(Tool::Application, Some(namespace), name),
            None => by(Tool::Application, None, application),
        };
    }
    for (tool, group) in [
        (Tool::Kustomization, "kustomize.toolkit.fluxcd.io"),
        (Tool::HelmRelease, "helm.toolkit.fluxcd.io"),
    ] {
        if let Some(name) = of("labels", &format!("{group}/name")) {
            return by(tool, of("labels", &format!("{group}/namespace")), name);
        }
    }
    let release = of("annotations", "meta.helm.sh/release-name")?;
    let namespace = of("annotations", "meta.helm.sh/release-namespace");
    by(Tool::Release, namespace, release)
}

/// The hooks of its last operation are declared too, though they are no resources of it.
fn with_hooks(application: &Value) -> Vec<ObjectId> {
    let results = application.pointer("/status/operationState/syncResult/resources");
    let results = results.and_then(Value::as_array).into_iter().flatten();
    let is_hook = |r: &&Value| {
        let hook = r.get("hookType").and_then(Value::as_str);
        hook.is_some_and(|h| !h.is_empty())
    };
    argocd::resources(application)
        .chain(results.filter(is_hook))
        .filter_map(argocd::object_of)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(tool: Tool, object: &Value) -> Vec<String> {
        tool.lists(object).iter().map(ToString::to_string).collect()
    }

    fn application(destination: Value) -> Value {
        let hook = json!({"group": "batch", "kind": "Job", "namespace": "shop", "name": "migrate", "hookType": "PreSync"});
        let synced = json!({"group": "", "kind": "Secret", "namespace": "shop", "name": "old", "status": "Pruned"});
        json!({"spec": {"destination": destination}, "status": {
            "resources": [
                {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "web", "status": "OutOfSync"},
                {"version": "v1", "kind": "Namespace", "name": "shop"},
                {"version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "dropped", "requiresPruning": true},
            ],
            "operationState": {"syncResult": {"resources": [hook, synced]}}}})
    }

    #[test]
    fn an_application_lists_what_it_declares_here() {
        let server = json!({"server": "https://kubernetes.default.svc", "namespace": "shop"});
        let all = [
            "apps/Deployment shop/web",
            "Namespace shop",
            "batch/Job shop/migrate",
        ];
        assert_eq!(listed(Tool::Application, &application(server)), all);
        let name = json!({"name": "in-cluster"});
        assert_eq!(listed(Tool::Application, &application(name)), all);
    }

    #[test]
    fn what_is_declared_for_another_cluster_is_not_declared_here() {
        for elsewhere in [
            json!({"server": "https://prod.example.com"}),
            json!({"name": "prod"}),
            json!({"server": "https://prod.example.com", "name": "in-cluster"}),
            json!({}),
        ] {
            assert!(listed(Tool::Application, &application(elsewhere)).is_empty());
        }
        let inventory = json!({"entries": [{"id": "shop_web_apps_Deployment", "v": "v1"}]});
        let mut there = json!({"status": {"inventory": inventory}});
        let deployment = ["apps/Deployment shop/web"];
        assert_eq!(listed(Tool::Kustomization, &there), deployment);
        assert_eq!(listed(Tool::HelmRelease, &there), deployment);
        there["spec"] = json!({"kubeConfig": {"secretRef": {"name": "prod"}}});
        assert!(listed(Tool::Kustomization, &there).is_empty());
    }

    #[test]
    fn an_entry_of_an_inventory_names_an_object() {
        let shown = |id: &str| {
            let applier = json!({"status": {"inventory": {"entries": [{"id": id}]}}});
            flux::inventory(&applier).next().map(|i| i.to_string())
        };
        assert_eq!(
            shown("shop_web__Service").as_deref(),
            Some("Service shop/web")
        );
        assert_eq!(
            shown("_system__a__b_rbac.authorization.k8s.io_ClusterRole").as_deref(),
            Some("rbac.authorization.k8s.io/ClusterRole system:a:b")
        );
        for odd in ["", "a", "a_b", "a_b_c", "___"] {
            assert_eq!(shown(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_an_object_says_of_itself_is_shown_and_cut() {
        let claimed =
            |metadata: Value| claim(&json!({"metadata": metadata})).map(|c| c.to_string());
        let argo =
            |id: &str| claimed(json!({"annotations": {"argocd.argoproj.io/tracking-id": id}}));
        assert_eq!(
            argo("web:apps/Deployment:shop/web").as_deref(),
            Some("Argo CD's Application web")
        );
        assert_eq!(
            argo("team_web:apps/Deployment:shop/web").as_deref(),
            Some("Argo CD's Application team/web")
        );
        assert!(argo(&"x".repeat(5000)).is_some_and(|c| c.len() < 200));
        let flux = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}});
        assert_eq!(
            claimed(flux).as_deref(),
            Some("Flux's Kustomization flux-system/apps")
        );
        let helm = json!({"annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"}});
        assert_eq!(claimed(helm).as_deref(), Some("the Helm release shop/web"));
        assert_eq!(
            claimed(json!({"labels": {"app.kubernetes.io/instance": "web"}})),
            None
        );
    }
}
