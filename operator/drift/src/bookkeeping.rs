//! What is never drift: the server's own metadata and the notes that tools leave on objects. By exact key, never by prefix.

use serde_json::{Map, Value};

use crate::path::Step;

/// Members of `metadata` that only the server writes.
///
/// Source: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>.
pub(crate) const SERVER_METADATA: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

const ARGO_RESOURCES: &str =
    "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/";
const ARGO_APPLICATIONS: &str =
    "https://argo-cd.readthedocs.io/en/stable/user-guide/annotations-and-labels/";
const AUTOSCALING_V1: &str =
    "https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/apis/autoscaling/annotations.go";
const HELM: &str = "https://github.com/helm/helm/blob/main/pkg/action/validate.go";
const VOLUMES: &str = "https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/component-helpers/storage/volume/pv_helpers.go";
const STAMPS: &str = "docs/records.md";
const HOLDS: &str = "docs/never-drift.md";

/// Annotations that kubectl, controllers, Argo CD, Helm and Driftline write for themselves, with where that is documented. Sorted.
pub(crate) const TOOL_ANNOTATIONS: [(&str, &str); 24] = [
    ("argocd.argoproj.io/installation-id", ARGO_RESOURCES),
    ("argocd.argoproj.io/refresh", ARGO_APPLICATIONS),
    ("argocd.argoproj.io/refresh-timestamp", ARGO_APPLICATIONS),
    ("autoscaling.alpha.kubernetes.io/conditions", AUTOSCALING_V1),
    (
        "autoscaling.alpha.kubernetes.io/current-metrics",
        AUTOSCALING_V1,
    ),
    (
        "control-plane.alpha.kubernetes.io/leader",
        "https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/client-go/tools/leaderelection/resourcelock/interface.go",
    ),
    (
        "deployment.kubernetes.io/revision",
        "https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/controller/deployment/util/deployment_util.go",
    ),
    (
        "deprecated.daemonset.template.generation",
        "https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/api/apps/v1/types.go",
    ),
    ("driftline.dev/edited-after", STAMPS),
    ("driftline.dev/edited-by", STAMPS),
    ("driftline.dev/hold-reason", HOLDS),
    ("driftline.dev/hold-until", HOLDS),
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        "https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-last-applied-configuration",
    ),
    (
        "kubectl.kubernetes.io/restartedAt",
        "https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/kubectl/pkg/polymorphichelpers/objectrestarter.go",
    ),
    ("meta.helm.sh/release-name", HELM),
    ("meta.helm.sh/release-namespace", HELM),
    ("pv.kubernetes.io/bind-completed", VOLUMES),
    ("pv.kubernetes.io/bound-by-controller", VOLUMES),
    ("pv.kubernetes.io/migrated-to", VOLUMES),
    ("pv.kubernetes.io/provisioned-by", VOLUMES),
    ("volume.beta.kubernetes.io/storage-provisioner", VOLUMES),
    ("volume.kubernetes.io/selected-node", VOLUMES),
    ("volume.kubernetes.io/storage-provisioner", VOLUMES),
    (
        "volume.kubernetes.io/storage-resizer",
        "https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/volume/util/types/types.go",
    ),
];

/// True if a difference at this place is never drift.
pub fn is_never_drift(path: &[Step]) -> bool {
    let field = |n: usize| match path.get(n) {
        Some(Step::Field(name)) => Some(name.as_str()),
        _ => None,
    };
    match (field(0), path.len()) {
        (Some("apiVersion" | "kind" | "status"), _) => return true,
        (Some("metadata"), 2) if field(1).is_some_and(|name| SERVER_METADATA.contains(&name)) => {
            return true;
        }
        _ => {}
    }
    let annotation = path.len() >= 3
        && field(path.len() - 2) == Some("annotations")
        && field(path.len() - 3) == Some("metadata");
    let is_tools = |key: &str| {
        TOOL_ANNOTATIONS
            .binary_search_by_key(&key, |(k, _)| *k)
            .is_ok()
    };
    annotation && field(path.len() - 1).is_some_and(is_tools)
}

/// Brings a declaration into the form the server stores: a Secret's `stringData` becomes `data`, its namespace is
/// filled in, and what only the server writes is dropped. True if its values are encrypted, so that only its keys can be compared.
pub fn normalise(object: &mut Value, namespace: Option<&str>) -> bool {
    let secret = object.get("kind").and_then(Value::as_str) == Some("Secret")
        && object.get("apiVersion").and_then(Value::as_str) == Some("v1");
    let Some(root) = object.as_object_mut() else {
        return false;
    };
    root.remove("status");
    let encrypted = is_encrypted(root);
    if encrypted {
        root.remove("sops");
    }
    if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in SERVER_METADATA {
            metadata.remove(key);
        }
        match namespace {
            Some(namespace) => metadata.insert("namespace".to_owned(), namespace.into()),
            None => metadata.remove("namespace"),
        };
    }
    if secret {
        merge_string_data(root);
    }
    encrypted
}

/// True for a document whose values SOPS encrypted: it carries the notes that decrypting needs.
///
/// Source: <https://getsops.io/docs/#sops-file-format>.
fn is_encrypted(root: &Map<String, Value>) -> bool {
    let note = |key: &str| root.get("sops").and_then(|s| s.get(key)).is_some();
    note("mac") && note("lastmodified")
}

/// True for a value that SOPS encrypted, or a list or map with one in it.
pub fn is_ciphertext(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with(CIPHERTEXT),
        Value::Array(list) => list.iter().any(is_ciphertext),
        Value::Object(map) => map.values().any(is_ciphertext),
        _ => false,
    }
}

const CIPHERTEXT: &str = "ENC[AES256_GCM,";

/// The server reads null as a text of no length.
fn or_empty(value: Value) -> Value {
    if value.is_null() {
        Value::String(String::new())
    } else {
        value
    }
}

/// The server does the same on write; `stringData` wins over `data`.
fn merge_string_data(secret: &mut Map<String, Value>) {
    use base64::Engine as _;
    let Some(Value::Object(plain)) = secret.remove("stringData") else {
        return;
    };
    let data = secret
        .entry("data")
        .or_insert_with(|| Value::Object(Map::new()));
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    let Some(data) = data.as_object_mut() else {
        return;
    };
    for (key, value) in plain {
        if is_ciphertext(&value) {
            data.insert(key, value);
        } else if let Value::String(text) = or_empty(value) {
            data.insert(
                key,
                base64::engine::general_purpose::STANDARD
                    .encode(text)
                    .into(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::path::FieldPath;

    fn never(path: &str) -> bool {
        is_never_drift(&path.parse::<FieldPath>().expect(path).0)
    }

    #[test]
    fn tool_notes_are_sorted_for_the_search() {
        assert!(TOOL_ANNOTATIONS.is_sorted_by_key(|(key, _)| *key));
    }

    #[test]
    fn a_claim_of_a_dynamic_class_was_never_in_sync() {
        for key in [
            "pv.kubernetes.io/migrated-to",
            "volume.beta.kubernetes.io/storage-provisioner",
            "volume.kubernetes.io/storage-resizer",
        ] {
            assert!(never(&format!("metadata.annotations[{key:?}]")), "{key}");
        }
        assert!(!never(
            "metadata.annotations[\"volume.beta.kubernetes.io/storage-class\"]"
        ));
    }

    #[test]
    fn keys_are_matched_exactly() {
        assert!(never(
            "metadata.annotations[\"kubectl.kubernetes.io/restartedAt\"]"
        ));
        assert!(never(
            "spec.template.metadata.annotations[\"kubectl.kubernetes.io/restartedAt\"]"
        ));
        assert!(never("status.replicas"));
        assert!(never("metadata.resourceVersion"));
        assert!(!never(
            "metadata.annotations[\"kubectl.kubernetes.io/restartedAtX\"]"
        ));
        assert!(!never("metadata.labels[\"meta.helm.sh/release-name\"]"));
        assert!(!never("spec.status"));
        assert!(!never("data.uid"));
    }

    #[test]
    fn string_data_becomes_data_and_normalising_is_idempotent() {
        let mut o = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "uid": "x"}, "data": {"a": "eA=="}, "stringData": {"a": "y", "b": "z"}});
        normalise(&mut o, Some("shop"));
        let expected = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "shop"}, "data": {"a": "eQ==", "b": "eg=="}});
        assert_eq!(o, expected);
        normalise(&mut o, Some("shop"));
        assert_eq!(o, expected);
    }
}
