//! Which kinds admission may change on creation: where nothing does, what the server makes of a declaration depends on its
//! defaulting alone.

use drift::GroupVersionKind;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::call;
use crate::discovery::{Catalog, Resource, Served};
use crate::error::{Error, Result};
use crate::stamp;

/// What mutating webhooks and policies look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mutators {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    webhooks: Vec<Webhook>,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Webhook {
    rules: Vec<Rule>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    match_constraints: Constraints,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Constraints {
    resource_rules: Vec<Rule>,
}

const GROUP: &str = "admissionregistration.k8s.io";

impl Mutators {
    /// All there are now, except the stamp named `own` while it is as it has to be: it writes only what is never compared.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn read(client: &Client, catalog: &Catalog, own: Option<&str>) -> Result<Self> {
        let mut rules = Vec::new();
        for (kind, versions) in [
            ("MutatingWebhookConfiguration", &["v1"][..]),
            ("MutatingAdmissionPolicy", &["v1", "v1beta1", "v1alpha1"]),
        ] {
            let served = versions.iter().find_map(|version| {
                let kind = GroupVersionKind::new(GROUP, version, kind);
                match catalog.served(&kind) {
                    Served::Yes(resource) => Some((*version, resource.plural.clone())),
                    _ => None,
                }
            });
            let Some((version, plural)) = served else {
                continue;
            };
            let url = call::collection(GROUP, version, &plural, None);
            let action = format!("list the {plural}");
            let list: List = call::get_json(client, &url, &action, call::CALL).await?;
            for item in list.items.unwrap_or_default() {
                if own.is_some_and(|own| is_own_stamp(&item, own)) {
                    continue;
                }
                let item = serde_json::from_value(item);
                let item: Item = item.map_err(|source| Error::Undecodable {
                    action: action.clone(),
                    source,
                })?;
                rules.extend(item.webhooks.into_iter().flat_map(|w| w.rules));
                rules.extend(item.spec.match_constraints.resource_rules);
            }
        }
        Ok(Self { rules })
    }

    /// True if one of them may see objects of a kind, by group and resource alone.
    pub fn see(&self, kind: &GroupVersionKind, resource: &Resource) -> bool {
        let is = |named: &[String], name: &str| named.iter().any(|n| n == "*" || n == name);
        let plural = |named: &[String]| {
            named
                .iter()
                .any(|n| n == "*" || n == "*/*" || *n == *resource.plural)
        };
        self.rules
            .iter()
            .any(|r| is(&r.api_groups, &kind.group_kind.group) && plural(&r.resources))
    }
}

fn is_own_stamp(item: &Value, own: &str) -> bool {
    item.pointer("/metadata/name").and_then(Value::as_str) == Some(own)
        && stamp::policy_differs(item, own).is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_sees_by_group_and_resource() {
        let rule = |groups: &[&str], resources: &[&str]| -> Rule {
            serde_json::from_value(json!({"apiGroups": groups, "resources": resources}))
                .expect("a rule")
        };
        let sees = |rule: Rule| {
            let kind = GroupVersionKind::new("apps", "v1", "Deployment");
            let resource = Resource {
                plural: "deployments".into(),
                namespaced: true,
                list: true,
                watch: true,
                create: true,
                scale: false,
            };
            Mutators { rules: vec![rule] }.see(&kind, &resource)
        };
        assert!(sees(rule(&["apps"], &["deployments"])));
        assert!(sees(rule(&["*"], &["*"])));
        assert!(sees(rule(&["*"], &["*/*"])));
        assert!(!sees(rule(&[""], &["pods"])));
        assert!(!sees(rule(&["apps"], &["deployments/scale"])));
    }

    #[test]
    fn our_own_stamp_hinders_nobody_while_it_is_unchanged() {
        let mut policy = stamp::policy("driftline-stamp");
        assert!(is_own_stamp(&policy, "driftline-stamp"));
        assert!(!is_own_stamp(&policy, "other"));
        policy["spec"]["mutations"][0]["applyConfiguration"]["expression"] =
            json!("Object{spec: Object.spec{replicas: 1}}");
        assert!(!is_own_stamp(&policy, "driftline-stamp"));
    }
}
