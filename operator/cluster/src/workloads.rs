//! Which workload runs as a service account.

use std::collections::HashMap;

use kube::Client;
use serde::Deserialize;

use crate::call;
use crate::error::Result;

/// The most objects of a kind that are looked at in a namespace; with more it is not told who runs as what.
const MOST: usize = 500;

/// The kinds that are looked at: group, version, resource, kind.
const KINDS: [(&str, &str, &str, &str); 5] = [
    ("apps", "v1", "deployments", "Deployment"),
    ("apps", "v1", "statefulsets", "StatefulSet"),
    ("apps", "v1", "daemonsets", "DaemonSet"),
    ("batch", "v1", "cronjobs", "CronJob"),
    ("batch", "v1", "jobs", "Job"),
];

/// A workload of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The group of its kind.
    pub group: &'static str,
    /// The resource, such as `deployments`.
    pub plural: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

/// What Pods run as that name no account. Whatever is not looked at may run as it, too, so that it is nobody's.
const DEFAULT: &str = "default";

/// The workloads of a namespace by the account that they run as; `None` for one that several use, or that is the namespace's default.
pub type Accounts = HashMap<String, Option<Workload>>;

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    items: Option<Vec<Item>>,
}

#[derive(Deserialize, Default)]
struct ListMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default)]
    owner_references: Vec<serde::de::IgnoredAny>,
}

/// Of a workload or of a Pod's or Job's template.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    template: Option<Box<Template>>,
    job_template: Option<Box<Template>>,
    service_account_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Template {
    spec: Spec,
}

/// The account that Pods of this template run as.
fn account(spec: Spec) -> String {
    match spec.job_template.or(spec.template) {
        Some(template) => account(template.spec),
        None if spec.service_account_name.is_empty() => DEFAULT.to_owned(),
        None => spec.service_account_name,
    }
}

/// Who runs as what in a namespace; `None` where there is too much to look through. Pods that nothing of these made are not looked at.
///
/// # Errors
/// Where the API server does not answer or refuses.
pub async fn accounts(client: &Client, namespace: &str) -> Result<Option<Accounts>> {
    let mut accounts = Accounts::new();
    for (group, version, plural, kind) in KINDS {
        let path = call::collection(group, version, plural, Some(namespace));
        let url = format!("{path}?limit={MOST}&resourceVersion=0");
        let action = format!("list the {plural} of {namespace}");
        let list: List = call::get_json(client, &url, &action, call::CALL).await?;
        if !list.metadata.next.is_empty() {
            return Ok(None);
        }
        enter(&mut accounts, (group, plural, kind), list);
    }
    Ok(Some(accounts))
}

fn enter(
    accounts: &mut Accounts,
    (group, plural, kind): (&'static str, &'static str, &'static str),
    list: List,
) {
    for item in list.items.unwrap_or_default() {
        // A Job of a CronJob is that CronJob's.
        if !item.metadata.owner_references.is_empty() && kind == "Job" {
            continue;
        }
        let workload = Workload {
            group,
            plural,
            kind,
            name: item.metadata.name,
        };
        let account = account(item.spec);
        let alone = (account != DEFAULT).then_some(workload);
        accounts
            .entry(account)
            .and_modify(|w| *w = None)
            .or_insert(alone);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_is_its_workloads_only_where_no_other_uses_it() {
        let pod = |account: &str| json!({"spec": {"serviceAccountName": account}});
        let list = |items: serde_json::Value| -> List {
            serde_json::from_value(json!({"metadata": {}, "items": items})).expect("a list")
        };
        let deployment = |name: &str, account: &str| json!({"metadata": {"name": name}, "spec": {"template": pod(account)}});
        let mut accounts = Accounts::new();
        let deployments = [
            deployment("argo", "argo"),
            deployment("a", "shared"),
            deployment("b", "shared"),
            json!({"metadata": {"name": "c"}, "spec": {"template": {"spec": {}}}}),
        ];
        enter(
            &mut accounts,
            ("apps", "deployments", "Deployment"),
            list(json!(deployments)),
        );
        let cron = json!([{"metadata": {"name": "sync"}, "spec": {"jobTemplate": {"spec": {"template": pod("sync")}}}}]);
        enter(&mut accounts, ("batch", "cronjobs", "CronJob"), list(cron));
        let jobs = json!([{"metadata": {"name": "sync-1", "ownerReferences": [{}]}, "spec": {"template": pod("sync")}}]);
        enter(&mut accounts, ("batch", "jobs", "Job"), list(jobs));
        let name = |account: &str| accounts[account].as_ref().map(|w| (w.kind, &*w.name));
        assert_eq!(name("argo"), Some(("Deployment", "argo")));
        assert_eq!(name("sync"), Some(("CronJob", "sync")));
        assert_eq!(name("shared"), None);
    }

    #[test]
    fn the_default_account_was_the_one_workload_that_was_looked_at() {
        let list =
            json!({"items": [{"metadata": {"name": "web"}, "spec": {"template": {"spec": {}}}}]});
        let mut accounts = Accounts::new();
        let kind = ("apps", "deployments", "Deployment");
        let list: List = serde_json::from_value(list).expect("a list");
        enter(&mut accounts, kind, list);
        assert_eq!(accounts.get("default"), Some(&None));
    }
}
