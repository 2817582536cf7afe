//! The policy that stamps, and whether a live one still means the same.

use drift::GroupKind;
use serde_json::{Value, json};

use crate::installed::{API_VERSION, differs};

/// Resource and kind of the policy and of its binding.
pub(super) const PARTS: [(&str, &str); 2] = [
    ("mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
    (
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding",
    ),
];

/// Resources and kinds of a group, and which resources of it have subresources by which annotations can be written.
pub type Kinds = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

/// What is stamped: the built-in kinds that people keep in Git. Not what controllers write all the time, and not ReplicaSets: the
/// controller of Deployments copies annotations there, and would never agree with the policy on what they have to be.
pub const KINDS: [Kinds; 10] = [
    (
        "",
        &[
            ("configmaps", "ConfigMap"),
            ("limitranges", "LimitRange"),
            ("namespaces", "Namespace"),
            ("persistentvolumeclaims", "PersistentVolumeClaim"),
            ("resourcequotas", "ResourceQuota"),
            ("serviceaccounts", "ServiceAccount"),
            ("services", "Service"),
        ],
        &[
            "namespaces/finalize",
            "namespaces/status",
            "persistentvolumeclaims/status",
            "resourcequotas/status",
            "services/status",
        ],
    ),
    (
        "apiextensions.k8s.io",
        &[("customresourcedefinitions", "CustomResourceDefinition")],
        &["customresourcedefinitions/status"],
    ),
    (
        "apps",
        &[
            ("daemonsets", "DaemonSet"),
            ("deployments", "Deployment"),
            ("statefulsets", "StatefulSet"),
        ],
        &[
            "daemonsets/status",
            "deployments/status",
            "statefulsets/status",
        ],
    ),
    (
        "autoscaling",
        &[("horizontalpodautoscalers", "HorizontalPodAutoscaler")],
        &["horizontalpodautoscalers/status"],
    ),
    (
        "batch",
        &[("cronjobs", "CronJob"), ("jobs", "Job")],
        &["cronjobs/status", "jobs/status"],
    ),
    (
        "networking.k8s.io",
        &[
            ("ingressclasses", "IngressClass"),
            ("ingresses", "Ingress"),
            ("networkpolicies", "NetworkPolicy"),
        ],
        &["ingresses/status"],
    ),
    (
        "policy",
        &[("poddisruptionbudgets", "PodDisruptionBudget")],
        &["poddisruptionbudgets/status"],
    ),
    (
        "rbac.authorization.k8s.io",
        &[
            ("clusterrolebindings", "ClusterRoleBinding"),
            ("clusterroles", "ClusterRole"),
            ("rolebindings", "RoleBinding"),
            ("roles", "Role"),
        ],
        &[],
    ),
    (
        "scheduling.k8s.io",
        &[("priorityclasses", "PriorityClass")],
        &[],
    ),
    ("storage.k8s.io", &[("storageclasses", "StorageClass")], &[]),
];

/// True for a kind that is stamped: on any other the annotations prove nothing.
pub fn covers(kind: &GroupKind) -> bool {
    KINDS.iter().any(|(group, kinds, _)| {
        **group == *kind.group && kinds.iter().any(|(_, name)| **name == *kind.kind)
    })
}

/// The object says something else of its stamp than before. An object without one claims nothing. Costs always the same, so that no
/// forger can have it fail by size.
const CLAIMS: &str = "['driftline.dev/edited-by', 'driftline.dev/edited-after'].exists(k, \
    has(object.metadata.annotations) && k in object.metadata.annotations \
    && !(has(oldObject.metadata.annotations) && k in oldObject.metadata.annotations \
    && oldObject.metadata.annotations[k] == object.metadata.annotations[k]))";

/// The object differs in anything that people write, but the stamp.
const DIFFERS: &str = "object.exists(k, !(k in ['apiVersion', 'kind', 'metadata', 'status']) \
    && !(k in oldObject && oldObject[k] == object[k])) \
    || oldObject.exists(k, k != 'status' && !(k in object)) \
    || ['labels', 'finalizers', 'ownerReferences'].exists(k, \
    (k in object.metadata) != (k in oldObject.metadata) \
    || k in object.metadata && object.metadata[k] != oldObject.metadata[k]) \
    || has(object.metadata.annotations) && object.metadata.annotations.exists(k, \
    !k.startsWith('driftline.dev/edited-') \
    && !(has(oldObject.metadata.annotations) && k in oldObject.metadata.annotations \
    && oldObject.metadata.annotations[k] == object.metadata.annotations[k])) \
    || has(oldObject.metadata.annotations) && oldObject.metadata.annotations.exists(k, \
    !k.startsWith('driftline.dev/edited-') \
    && !(has(object.metadata.annotations) && k in object.metadata.annotations))";

/// A write that changes nothing but a stamp that is there: the old one is put back, so that nothing is written. Objects with very many
/// annotations are not looked through.
const KEEPS: &str = "request.operation == 'UPDATE' && has(oldObject.metadata.annotations) \
    && 'driftline.dev/edited-by' in oldObject.metadata.annotations \
    && 'driftline.dev/edited-after' in oldObject.metadata.annotations \
    && size(oldObject.metadata.annotations) < 200 \
    && has(object.metadata.annotations) && size(object.metadata.annotations) < 200";

/// The MutatingAdmissionPolicy, as it has to be installed.
pub fn policy(name: &str) -> Value {
    let rules: Vec<Value> = KINDS
        .iter()
        .map(|(group, kinds, subresources)| {
            let plurals = kinds.iter().map(|(plural, _)| *plural);
            let resources: Vec<&str> = plurals.chain(subresources.iter().copied()).collect();
            json!({
                "apiGroups": [group],
                "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE"],
                "resources": resources,
                "scope": "*",
            })
        })
        .collect();
    let writes = format!(
        "request.operation == 'CREATE' || {CLAIMS} \
         || (!has(request.subResource) || request.subResource == '') && ({DIFFERS})"
    );
    let stamp = "Object{metadata: Object.metadata{annotations: {\
         'driftline.dev/edited-by': variables.keeps ? oldObject.metadata.annotations['driftline.dev/edited-by'] : request.userInfo.username, \
         'driftline.dev/edited-after': variables.keeps ? oldObject.metadata.annotations['driftline.dev/edited-after'] \
         : request.operation == 'CREATE' ? '0' : oldObject.metadata.resourceVersion}}}";
    json!({
        "apiVersion": API_VERSION,
        "kind": PARTS[0].1,
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Ignore",
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": {},
                "objectSelector": {},
                "resourceRules": rules,
            },
            "matchConditions": [{ "name": "writes-something", "expression": writes }],
            "variables": [{ "name": "keeps", "expression": format!("{KEEPS} && !({DIFFERS})") }],
            "mutations": [{
                "patchType": "ApplyConfiguration",
                "applyConfiguration": { "expression": stamp },
            }],
            "reinvocationPolicy": "IfNeeded",
        },
    })
}

/// The MutatingAdmissionPolicyBinding, as it has to be installed. It has the policy's name.
pub fn binding(name: &str) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": PARTS[1].1,
        "metadata": { "name": name },
        "spec": { "policyName": name },
    })
}

/// What in a live policy means something else than the one that has to be there; `None` where nothing does.
pub(crate) fn policy_differs(live: &Value, name: &str) -> Option<String> {
    differs(live, &policy(name), PARTS[0].1, name)
}

/// The same for the binding.
pub(super) fn binding_differs(live: &Value, name: &str) -> Option<String> {
    differs(live, &binding(name), PARTS[1].1, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_stamps_less_or_otherwise_is_noticed() {
        assert_eq!(policy_differs(&policy("s"), "s"), None);
        assert_eq!(binding_differs(&binding("s"), "s"), None);
        for (path, value) in [
            ("/spec/matchConditions/0/expression", json!("false")),
            ("/spec/variables/0/expression", json!("true")),
            (
                "/spec/mutations/0/applyConfiguration/expression",
                json!("Object{}"),
            ),
            ("/spec/reinvocationPolicy", json!("Never")),
            (
                "/spec/matchConstraints/objectSelector",
                json!({"matchLabels": {"a": "b"}}),
            ),
            (
                "/spec/matchConstraints/resourceRules/2/resources/1",
                json!("pods"),
            ),
        ] {
            let mut live = policy("s");
            *live.pointer_mut(path).expect(path) = value;
            assert!(policy_differs(&live, "s").is_some(), "{path}");
        }
        let mut live = binding("s");
        live["spec"]["matchResources"] =
            json!({"namespaceSelector": {"matchLabels": {"team": "a"}}});
        assert!(binding_differs(&live, "s").is_some());
        live = binding("s");
        live["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(binding_differs(&live, "s").is_some());
    }

    #[test]
    fn only_what_the_policy_sees_is_covered() {
        assert!(covers(&GroupKind::new("apps", "Deployment")));
        assert!(!covers(&GroupKind::new("apps", "ReplicaSet")));
        assert!(!covers(&GroupKind::new("", "Pod")));
        assert!(!covers(&GroupKind::new("example.com", "Deployment")));
    }
}
