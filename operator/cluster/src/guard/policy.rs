//! The admission policy that keeps the dry-run account to dry runs, and whether a live one still means the same.

use serde_json::{Value, json};

use crate::account::Account;
use crate::installed::{API_VERSION, differs};

/// The ValidatingAdmissionPolicy, as it has to be installed.
pub fn policy(name: &str, account: &Account) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": {},
                "objectSelector": {},
                "resourceRules": [{
                    "apiGroups": ["*"],
                    "apiVersions": ["*"],
                    "operations": ["*"],
                    "resources": ["*/*"],
                    "scope": "*",
                }],
            },
            "matchConditions": [{
                "name": "dry-run-account",
                "expression": format!("request.userInfo.username == '{}'", account.user()),
            }],
            "validations": [{
                "expression": "has(request.dryRun) && request.dryRun == true",
                "message": "this service account may only ask for dry runs",
                "reason": "Forbidden",
            }],
        },
    })
}

/// The ValidatingAdmissionPolicyBinding, as it has to be installed. It has the policy's name.
pub fn binding(name: &str) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": { "policyName": name, "validationActions": ["Deny"] },
    })
}

/// The built-in kinds that the account may create by dry run: what people keep in Git, outside the groups on which admission policies
/// are not always run. Secrets are not among them; an installation that compares live Secrets adds them.
pub const RESOURCES: [(&str, &[&str]); 13] = [
    (
        "",
        &[
            "configmaps",
            "endpoints",
            "limitranges",
            "namespaces",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "podtemplates",
            "replicationcontrollers",
            "resourcequotas",
            "serviceaccounts",
            "services",
        ],
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    (
        "apps",
        &["daemonsets", "deployments", "replicasets", "statefulsets"],
    ),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("discovery.k8s.io", &["endpointslices"]),
    (
        "flowcontrol.apiserver.k8s.io",
        &["flowschemas", "prioritylevelconfigurations"],
    ),
    (
        "networking.k8s.io",
        &["ingressclasses", "ingresses", "networkpolicies"],
    ),
    ("node.k8s.io", &["runtimeclasses"]),
    ("policy", &["poddisruptionbudgets"]),
    (
        "resource.k8s.io",
        &["deviceclasses", "resourceclaims", "resourceclaimtemplates"],
    ),
    ("scheduling.k8s.io", &["priorityclasses"]),
    (
        "storage.k8s.io",
        &["csidrivers", "storageclasses", "volumeattributesclasses"],
    ),
];

/// The account's ClusterRole for [`RESOURCES`], as it has to be installed.
pub fn role(name: &str) -> Value {
    let rules: Vec<Value> =
        RESOURCES.iter().map(|(group, plurals)| json!({ "apiGroups": [group], "resources": plurals, "verbs": ["create"] })).collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": name },
        "rules": rules,
    })
}

/// What in a live policy means something else than the one that has to be there; `None` where nothing does.
pub(super) fn policy_differs(live: &Value, name: &str, account: &Account) -> Option<String> {
    differs(
        live,
        &policy(name, account),
        "ValidatingAdmissionPolicy",
        name,
    )
}

/// The same for the binding.
pub(super) fn binding_differs(live: &Value, name: &str) -> Option<String> {
    differs(
        live,
        &binding(name),
        "ValidatingAdmissionPolicyBinding",
        name,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "driftline-dry-run-only";

    fn account() -> Account {
        Account::new("driftline-system", "driftline-dry-run")
    }

    #[test]
    fn what_has_to_be_installed_is_in_order() {
        assert_eq!(
            policy_differs(&policy(NAME, &account()), NAME, &account()),
            None
        );
        let mut live = binding(NAME);
        live["spec"]["matchResources"] =
            json!({"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}});
        assert_eq!(binding_differs(&live, NAME), None);
    }

    #[test]
    fn words_for_people_do_not_matter() {
        let mut live = policy(NAME, &account());
        live["spec"]["validations"][0]["message"] = json!("nein");
        assert_eq!(policy_differs(&live, NAME, &account()), None);
    }

    #[test]
    fn every_other_change_is_noticed() {
        let changes: &[(&str, Value)] = &[
            ("/spec/failurePolicy", json!("Ignore")),
            (
                "/spec/matchConstraints/resourceRules/0/operations",
                json!(["CREATE"]),
            ),
            (
                "/spec/matchConstraints/resourceRules/0/resources",
                json!(["*"]),
            ),
            (
                "/spec/matchConstraints/resourceRules/0/scope",
                json!("Namespaced"),
            ),
            (
                "/spec/matchConstraints/resourceRules/0/apiGroups",
                json!(["", "apps"]),
            ),
            (
                "/spec/matchConstraints/namespaceSelector",
                json!({"matchLabels": {"a": "b"}}),
            ),
            (
                "/spec/matchConstraints/objectSelector",
                json!({"matchLabels": {"a": "b"}}),
            ),
            ("/spec/matchConditions/0/expression", json!("false")),
            ("/spec/validations/0/expression", json!("true")),
            ("/spec/validations", json!([])),
        ];
        for (path, value) in changes {
            let mut live = policy(NAME, &account());
            *live.pointer_mut(path).unwrap() = value.clone();
            assert!(policy_differs(&live, NAME, &account()).is_some(), "{path}");
        }
        for (key, value) in [
            (
                "paramKind",
                json!({"apiVersion": "v1", "kind": "ConfigMap"}),
            ),
            ("variables", json!([{"name": "x", "expression": "true"}])),
            ("somethingNew", json!(true)),
        ] {
            let mut live = policy(NAME, &account());
            live["spec"][key] = value;
            assert!(policy_differs(&live, NAME, &account()).is_some(), "{key}");
        }
        let mut live = policy(NAME, &account());
        live["spec"]["matchConstraints"]["excludeResourceRules"] = json!([{"resources": ["pods"]}]);
        assert!(policy_differs(&live, NAME, &account()).is_some());
        let mut live = policy(NAME, &account());
        live["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(policy_differs(&live, NAME, &account()).is_some());
    }

    #[test]
    fn a_binding_that_binds_less_is_noticed() {
        for (key, value) in [
            ("validationActions", json!(["Audit"])),
            ("validationActions", json!(["Warn", "Audit"])),
            ("policyName", json!("other")),
            (
                "paramRef",
                json!({"name": "x", "parameterNotFoundAction": "Allow"}),
            ),
            (
                "matchResources",
                json!({"namespaceSelector": {"matchLabels": {"a": "b"}}}),
            ),
        ] {
            let mut live = binding(NAME);
            live["spec"][key] = value.clone();
            assert!(binding_differs(&live, NAME).is_some(), "{key} {value}");
        }
    }
}
