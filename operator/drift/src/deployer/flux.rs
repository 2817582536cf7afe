//! Kustomizations of Flux (fluxcd/kustomize-controller, api/v1/kustomization_types.go and inventory_types.go).

use serde_json::Value;

use super::{Deployed, Place, is_blank, is_commit, is_same_path, object, text};
use crate::subject::ObjectId;

/// What changes objects after they were built from the path.
const OVERRIDES: [&str; 10] = [
    "kubeConfig",
    "patches",
    "patchesStrategicMerge",
    "patchesJson6902",
    "images",
    "components",
    "namePrefix",
    "nameSuffix",
    "commonMetadata",
    "postBuild",
];

/// The namespace and name of the GitRepository that a Kustomization applies; `None` for other sources.
pub fn source(kustomization: &Value) -> Option<(&str, &str)> {
    let reference = kustomization.get("spec")?.get("sourceRef")?;
    if text(reference, &["kind"]) != "GitRepository" {
        return None;
    }
    let namespace = match text(reference, &["namespace"]) {
        "" => text(kustomization, &["metadata", "namespace"]),
        namespace => namespace,
    };
    Some((namespace, text(reference, &["name"])))
}

/// The URL of a GitRepository.
pub fn url(repository: &Value) -> &str {
    text(repository, &["spec", "url"])
}

/// What a Kustomization applied last; `None` where that is not certain, or where it renders something else than the target does. Its
/// repository is not looked at.
pub fn deployed(kustomization: &Value, place: Place<'_>) -> Option<Deployed> {
    let spec = kustomization.get("spec")?;
    let namespace = text(spec, &["targetNamespace"]);
    if OVERRIDES.iter().any(|key| !is_blank(spec.get(key)))
        || !is_same_path(text(spec, &["path"]), place.path)
        || !(namespace.is_empty() || namespace == place.namespace)
    {
        return None;
    }
    let status = kustomization.get("status")?;
    // The spec has changed since it was applied last: that may have been another path, or with patches.
    let observed = status.get("observedGeneration");
    if observed.is_some() && observed != kustomization.pointer("/metadata/generation") {
        return None;
    }
    let applied = commit(text(status, &["lastAppliedRevision"]))?;
    // An attempt that failed, its health checks included, may have changed anything.
    let attempted = match text(status, &["lastAttemptedRevision"]) {
        "" => applied,
        attempted => commit(attempted)?,
    };
    if attempted != applied && attempted != place.commit {
        return None;
    }
    status.get("inventory")?.get("entries")?;
    Some(Deployed {
        commit: applied.to_owned(),
        objects: inventory(kustomization).collect(),
    })
}

/// What a Kustomization, or a HelmRelease, lists as applied by it.
pub(crate) fn inventory(applier: &Value) -> impl Iterator<Item = ObjectId> {
    let entries = applier.pointer("/status/inventory/entries");
    let entries = entries.and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|e| listed(text(e, &["id"])))
}

/// The commit of `main@sha1:…`, `sha1:…`, or the `main/…` of before.
fn commit(revision: &str) -> Option<&str> {
    let (_, commit) = revision.rsplit_once([':', '/'])?;
    is_commit(commit).then_some(commit)
}

/// An entry of the inventory: `namespace_name_group_kind`, with `__` for the colons of RBAC names
/// (sigs.k8s.io/cli-utils/pkg/object/objmetadata.go).
fn listed(id: &str) -> Option<ObjectId> {
    let (namespace, rest) = id.split_once('_')?;
    let (rest, kind) = rest.rsplit_once('_')?;
    let (name, group) = rest.rsplit_once('_')?;
    object(group, kind, namespace, &name.replace("__", ":"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(now: char, change: impl FnOnce(&mut Value)) -> Option<Deployed> {
        let sha = |digit: char| digit.to_string().repeat(40);
        let mut kustomization = json!({
            "metadata": {"name": "shop", "namespace": "flux-system"},
            "spec": {"path": "./deploy", "prune": true, "interval": "10m", "sourceRef": {"kind": "GitRepository", "name": "shop"}},
            "status": {
                "lastAppliedRevision": format!("main@sha1:{}", sha('a')),
                "lastAttemptedRevision": format!("main@sha1:{}", sha('a')),
                "inventory": {"entries": [
                    {"id": "shop_web_apps_Deployment", "v": "v1"},
                    {"id": "shop_settings__ConfigMap", "v": "v1"},
                    {"id": "_system__shop_rbac.authorization.k8s.io_ClusterRole", "v": "v1"},
                    {"id": "odd", "v": "v1"},
                ]},
            },
        });
        change(&mut kustomization);
        let place = Place {
            url: "",
            path: "deploy",
            namespace: "shop",
            release: "app",
            values_files: &[],
            values: &json!({}),
            commit: &sha(now),
        };
        deployed(&kustomization, place)
    }

    #[test]
    fn what_was_applied_by_another_spec_is_no_evidence() {
        let generations = |spec: u64, applied: u64| {
            move |k: &mut Value| {
                k["metadata"]["generation"] = json!(spec);
                k["status"]["observedGeneration"] = json!(applied);
            }
        };
        assert!(of('b', generations(2, 2)).is_some());
        assert_eq!(of('b', generations(3, 2)), None);
    }

    #[test]
    fn the_inventory_is_read_as_flux_writes_it() {
        let deployed = of('b', |_| {}).expect("believed");
        assert_eq!(deployed.commit, "a".repeat(40));
        let mut all: Vec<String> = deployed.objects.iter().map(ToString::to_string).collect();
        all.sort();
        let role = "rbac.authorization.k8s.io/ClusterRole system:shop";
        assert_eq!(
            all,
            ["ConfigMap shop/settings", "apps/Deployment shop/web", role]
        );
    }

    #[test]
    fn what_is_not_certain_or_not_the_same_is_no_evidence() {
        let attempted = |a: &mut Value| {
            a["status"]["lastAttemptedRevision"] = json!(format!("main@sha1:{}", "b".repeat(40)))
        };
        assert_eq!(of('c', attempted), None);
        assert!(of('b', attempted).is_some());
        assert!(
            of('b', |k| k["status"]["lastAppliedRevision"] =
                json!(format!("main/{}", "a".repeat(40))))
            .is_some()
        );
        assert_eq!(
            of('b', |k| k["status"]["lastAppliedRevision"] =
                json!("main@sha1:abc")),
            None
        );
        assert_eq!(of('b', |k| k["spec"]["path"] = json!("./other")), None);
        assert_eq!(
            of('b', |k| k["spec"]["targetNamespace"] = json!("other")),
            None
        );
        assert!(of('b', |k| k["spec"]["targetNamespace"] = json!("shop")).is_some());
        for key in OVERRIDES {
            assert_eq!(
                of('b', |k| k["spec"][key] = json!({"any": ["thing"]})),
                None,
                "{key}"
            );
        }
    }

    #[test]
    fn only_git_repositories_have_commits() {
        let reference = |reference: Value| json!({"metadata": {"namespace": "flux-system"}, "spec": {"sourceRef": reference}});
        let here = reference(json!({"kind": "GitRepository", "name": "shop"}));
        assert_eq!(source(&here), Some(("flux-system", "shop")));
        let other =
            reference(json!({"kind": "GitRepository", "name": "shop", "namespace": "team"}));
        assert_eq!(source(&other), Some(("team", "shop")));
        assert_eq!(
            source(&reference(json!({"kind": "OCIRepository", "name": "shop"}))),
            None
        );
    }
}
