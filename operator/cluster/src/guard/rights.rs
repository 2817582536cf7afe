//! What the dry-run account holds, and whether the admission policy can keep all of it to dry runs.
//!
//! The API server runs no such policy on policies and their bindings, nor on access and token reviews, and aggregated API servers do as
//! they please. So the account must hold nothing there, and nothing whose extent it cannot know today (wildcards).

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use crate::access::Attributes;
use crate::account::Account;

/// Groups in which the account must hold nothing that changes anything.
const FORBIDDEN_GROUPS: [&str; 6] = [
    "admissionregistration.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "rbac.authorization.k8s.io",
];

/// Reviews of one's own self: everybody may create them, and nothing is stored.
const SELF_REVIEWS: [(&str, &str); 3] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];

const READING: [&str; 3] = ["get", "list", "watch"];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ObjectName {
    pub(super) name: String,
    pub(super) namespace: String,
}

/// A Role or ClusterRole. Of an aggregated ClusterRole the rules are those that the controller filled in.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Role {
    #[serde(default)]
    pub(super) metadata: ObjectName,
    /// `null` in an empty aggregated role.
    #[serde(default)]
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
}

impl Rule {
    /// As the API server's RBAC authorizer decides.
    fn allows(&self, of: Attributes<'_>) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|w| w == "*" || w == wanted);
        let resource = match of.subresource {
            "" => of.resource.to_owned(),
            sub => format!("{}/{sub}", of.resource),
        };
        let named = has(&self.resources, &resource)
            || (!of.subresource.is_empty()
                && self.resources.contains(&format!("*/{}", of.subresource)));
        has(&self.verbs, of.verb)
            && has(&self.api_groups, of.group)
            && named
            && (self.resource_names.is_empty()
                || of
                    .name
                    .is_some_and(|n| self.resource_names.iter().any(|w| w == n)))
    }

    fn only_reads(&self) -> bool {
        self.verbs.iter().all(|v| READING.contains(&v.as_str()))
    }
}

/// A RoleBinding or ClusterRoleBinding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Binding {
    #[serde(default)]
    pub(super) metadata: ObjectName,
    role_ref: RoleRef,
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
}

#[derive(Debug, Clone, Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Subject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

/// How a binding reaches the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It names the account.
    Named,
    /// It names one of the account's groups, as the defaults of every cluster do.
    Group,
}

impl Binding {
    fn reach(&self, account: &Account) -> Option<Reach> {
        let groups = account.groups();
        let mut reach = None;
        for subject in self.subjects.iter().flatten() {
            // A ServiceAccount subject without a namespace means the binding's own.
            let namespace = if subject.namespace.is_empty() {
                &self.metadata.namespace
            } else {
                &subject.namespace
            };
            match subject.kind.as_str() {
                "User" if subject.name == account.user() || subject.name == "*" => {
                    return Some(Reach::Named);
                }
                "ServiceAccount"
                    if subject.name == account.name && *namespace == account.namespace =>
                {
                    return Some(Reach::Named);
                }
                "Group" if subject.name == "*" || groups.contains(&subject.name) => {
                    reach = Some(Reach::Group)
                }
                _ => {}
            }
        }
        reach
    }
}

/// Everything that decides what accounts may do, as listed.
#[derive(Debug, Default)]
pub(super) struct Rights {
    pub(super) cluster_roles: Vec<Role>,
    pub(super) roles: Vec<Role>,
    pub(super) cluster_role_bindings: Vec<Binding>,
    pub(super) role_bindings: Vec<Binding>,
    /// API groups that another server answers for.
    pub(super) aggregated: BTreeSet<String>,
}

impl Rights {
    /// Whether the rules of roles let an account do this, in a namespace or the whole cluster.
    pub(super) fn allow(&self, account: &Account, of: Attributes<'_>) -> bool {
        self.reaching(account)
            .filter(|(binding, ..)| {
                let place = &binding.metadata.namespace;
                place.is_empty() || of.namespace == Some(place)
            })
            .any(|(_, _, rules)| rules.iter().any(|rule| rule.allows(of)))
    }

    /// The first grant that the admission policy cannot be trusted to keep to dry runs, in words with the remedy.
    pub(super) fn too_wide(&self, account: &Account) -> Option<String> {
        self.reaching(account).find_map(|(binding, reach, rules)| {
            let why = rules
                .iter()
                .find_map(|rule| self.rule_too_wide(rule, reach))?;
            Some(self.sentence(binding, account, reach, &why))
        })
    }

    /// The bindings that reach an account, with the rules that they bind.
    fn reaching<'a>(
        &'a self,
        account: &'a Account,
    ) -> impl Iterator<Item = (&'a Binding, Reach, &'a [Rule])> {
        let cluster_roles: HashMap<&str, &Role> = self
            .cluster_roles
            .iter()
            .map(|r| (r.metadata.name.as_str(), r))
            .collect();
        let roles: HashMap<(&str, &str), &Role> = self
            .roles
            .iter()
            .map(|r| ((r.metadata.namespace.as_str(), r.metadata.name.as_str()), r))
            .collect();
        let bindings = self.cluster_role_bindings.iter().chain(&self.role_bindings);
        bindings.filter_map(move |binding| {
            let reach = binding.reach(account)?;
            let reference = &binding.role_ref;
            let role = match reference.kind.as_str() {
                "ClusterRole" => cluster_roles.get(reference.name.as_str()),
                _ => roles.get(&(binding.metadata.namespace.as_str(), reference.name.as_str())),
            };
            let rules = role.and_then(|role| role.rules.as_deref());
            Some((binding, reach, rules.unwrap_or_default()))
        })
    }

    fn sentence(&self, binding: &Binding, account: &Account, reach: Reach, why: &str) -> String {
        let (kind, place) = if binding.metadata.namespace.is_empty() {
            ("ClusterRoleBinding", String::new())
        } else {
            ("RoleBinding", format!("{}/", binding.metadata.namespace))
        };
        let through = if reach == Reach::Group {
            " through one of its groups"
        } else {
            ""
        };
        let (role_kind, role) = (&binding.role_ref.kind, &binding.role_ref.name);
        format!(
            "{kind} {place}{} gives service account {account}{through} the {role_kind} {role}, which {why}; remove the binding, or name in \
             the role one by one the built-in resources that may be created by dry run",
            binding.metadata.name
        )
    }

    fn rule_too_wide(&self, rule: &Rule, reach: Reach) -> Option<String> {
        if !rule.non_resource_urls.is_empty() && rule.resources.is_empty() {
            let harmless = rule
                .verbs
                .iter()
                .all(|verb| matches!(verb.as_str(), "get" | "head" | "options"));
            return (!harmless).then(|| "allows writing to URLs that are no resources".to_owned());
        }
        if rule.verbs.is_empty() || (reach == Reach::Group && rule.only_reads()) {
            return None;
        }
        if let Some(verb) = rule.verbs.iter().find(|verb| *verb != "create")
            && reach == Reach::Named
        {
            return Some(format!(
                "holds the verb {verb:?}, and only \"create\" is needed to ask for dry runs"
            ));
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                if let Some(why) = self.not_kept(group, resource, reach) {
                    return Some(why);
                }
            }
        }
        None
    }

    /// Why writes of a resource are not all kept to dry runs. Subresources are: but the account has no need of them, so what names it
    /// must not give them. What its groups hold everybody holds, the operator among them.
    fn not_kept(&self, group: &str, resource: &str, reach: Reach) -> Option<String> {
        if SELF_REVIEWS.contains(&(group, resource)) {
            return None;
        }
        if group.contains('*') || resource.contains('*') {
            return Some("holds \"*\", which covers what no admission policy is run on".to_owned());
        }
        if resource.contains('/') && reach == Reach::Named {
            return Some(format!("holds the subresource {resource}"));
        }
        if FORBIDDEN_GROUPS.contains(&group) {
            return Some(format!(
                "holds {resource} of {group}, on which admission policies are not always run"
            ));
        }
        if self.aggregated.contains(group) {
            return Some(format!(
                "holds {resource} of {group}, which is served by another API server"
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn account() -> Account {
        Account::new("driftline-system", "driftline-dry-run")
    }

    fn rights(rules: Value, subject: Value) -> Rights {
        Rights {
            cluster_roles: vec![serde_json::from_value(json!({"metadata": {"name": "dry-run"}, "rules": rules})).unwrap()],
            cluster_role_bindings: vec![
                serde_json::from_value(json!({
                    "metadata": {"name": "dry-run"},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "dry-run"},
                    "subjects": [subject],
                }))
                .unwrap(),
            ],
            aggregated: BTreeSet::from(["metrics.k8s.io".to_owned()]),
            ..Rights::default()
        }
    }

    fn named() -> Value {
        json!({"kind": "ServiceAccount", "namespace": "driftline-system", "name": "driftline-dry-run"})
    }

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
        json!([{"apiGroups": groups, "resources": resources, "verbs": verbs}])
    }

    #[test]
    fn what_a_rule_allows_is_what_the_api_server_would_allow() {
        let of = |verb, resource, subresource, name| Attributes {
            verb,
            group: "apps",
            resource,
            subresource,
            namespace: Some("shop"),
            name,
        };
        let rules = json!([
            {"apiGroups": ["apps"], "resources": ["deployments", "*/scale"], "verbs": ["get"]},
            {"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": ["one"], "verbs": ["*"]},
        ]);
        let subject = json!({"kind": "ServiceAccount", "name": "driftline-dry-run", "namespace": "driftline-system"});
        let rights = rights(rules, subject);
        for (wanted, of) in [
            (true, of("get", "deployments", "", None)),
            (false, of("list", "deployments", "", None)),
            (false, of("get", "deployments", "status", None)),
            (true, of("get", "statefulsets", "scale", None)),
            (true, of("delete", "statefulsets", "", Some("one"))),
            (false, of("delete", "statefulsets", "", Some("two"))),
            (false, of("list", "statefulsets", "", None)),
        ] {
            assert_eq!(rights.allow(&account(), of), wanted, "{of:?}");
        }
        let other = Account::new("driftline-system", "other");
        assert!(!rights.allow(&other, of("get", "deployments", "", None)));
    }

    #[test]
    fn creating_named_resources_is_fine() {
        let rights = rights(
            rule(&["", "apps"], &["configmaps", "deployments"], &["create"]),
            named(),
        );
        assert_eq!(rights.too_wide(&account()), None);
    }

    #[test]
    fn everything_wider_is_named_with_the_remedy() {
        for (rules, word) in [
            (rule(&["*"], &["deployments"], &["create"]), "\"*\""),
            (rule(&["apps"], &["*"], &["create"]), "\"*\""),
            (rule(&["apps"], &["*/scale"], &["create"]), "\"*\""),
            (rule(&["apps"], &["deployments"], &["*"]), "verb"),
            (
                rule(&["apps"], &["deployments"], &["create", "patch"]),
                "patch",
            ),
            (rule(&[""], &["configmaps"], &["get"]), "get"),
            (rule(&[""], &["pods/eviction"], &["create"]), "subresource"),
            (
                rule(&[""], &["serviceaccounts/token"], &["create"]),
                "subresource",
            ),
            (
                rule(&["rbac.authorization.k8s.io"], &["roles"], &["create"]),
                "rbac",
            ),
            (
                rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
                "tokenreviews",
            ),
            (
                rule(&["metrics.k8s.io"], &["pods"], &["create"]),
                "another API server",
            ),
        ] {
            let why = rights(rules.clone(), named())
                .too_wide(&account())
                .unwrap_or_default();
            assert!(
                why.contains(word) && why.contains("remove the binding"),
                "{rules}: {why:?}"
            );
        }
    }

    #[test]
    fn what_every_cluster_gives_everybody_is_fine() {
        let everybody = json!({"kind": "Group", "name": "system:authenticated"});
        let reviews = rule(
            &["authorization.k8s.io"],
            &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            &["create"],
        );
        assert_eq!(
            rights(reviews, everybody.clone()).too_wide(&account()),
            None
        );
        let urls = json!([{"nonResourceURLs": ["/healthz", "/version"], "verbs": ["get"]}]);
        assert_eq!(rights(urls, everybody.clone()).too_wide(&account()), None);
        assert_eq!(
            rights(rule(&["*"], &["*"], &["get", "list"]), everybody).too_wide(&account()),
            None
        );
    }

    #[test]
    fn a_proxy_to_a_controller_that_everybody_may_use_switched_dry_runs_off() {
        let too_wide = |rules| {
            rights(
                rules,
                json!({"kind": "Group", "name": "system:authenticated"}),
            )
            .too_wide(&account())
        };
        for held in [
            rule(&[""], &["services/proxy"], &["create", "get"]),
            rule(&["apps"], &["deployments"], &["delete", "patch"]),
        ] {
            assert_eq!(too_wide(held), None);
        }
        for not in [
            rule(&["apps"], &["*"], &["delete"]),
            rule(&["*"], &["services/proxy"], &["create"]),
            rule(&["metrics.k8s.io"], &["pods"], &["delete"]),
            rule(
                &["admissionregistration.k8s.io"],
                &["validatingadmissionpolicies"],
                &["patch"],
            ),
        ] {
            let shown = not.to_string();
            let why = too_wide(not);
            assert!(
                why.is_some_and(|w| w.contains("through one of its groups")),
                "{shown}"
            );
        }
    }

    #[test]
    fn every_way_to_reach_the_account_counts() {
        let wide = || rule(&["*"], &["*"], &["*"]);
        for subject in [
            named(),
            json!({"kind": "User", "name": "system:serviceaccount:driftline-system:driftline-dry-run"}),
            json!({"kind": "Group", "name": "system:serviceaccounts"}),
            json!({"kind": "Group", "name": "system:serviceaccounts:driftline-system"}),
        ] {
            assert!(
                rights(wide(), subject.clone())
                    .too_wide(&account())
                    .is_some(),
                "{subject}"
            );
        }
        for subject in [
            json!({"kind": "ServiceAccount", "namespace": "other", "name": "driftline-dry-run"}),
            json!({"kind": "Group", "name": "system:masters"}),
            json!({"kind": "User", "name": "driftline-dry-run"}),
        ] {
            assert_eq!(
                rights(wide(), subject.clone()).too_wide(&account()),
                None,
                "{subject}"
            );
        }
    }
}
