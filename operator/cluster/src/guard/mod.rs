//! The guard of the dry-run account: an admission policy that denies its every request that is no dry run, and a role that holds nothing
//! on which such a policy is not run. Checked before the first question and watched from then on.

mod policy;
mod rights;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use policy::{RESOURCES, binding, policy, role};

use crate::access::{self, Attributes};
use crate::account::Account;
use crate::call;
use crate::error::{Error, Result};
use crate::trigger::{Trigger, cluster_wide};
use crate::watch::WatchOptions;

/// Whether dry-run creations may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardState {
    /// Everything is in order.
    Trusted,
    /// It is not, or that could not be found out.
    Untrusted {
        /// What is wrong and what to do, in one sentence.
        reason: String,
    },
}

/// What is guarded, and how often it is looked at.
#[derive(Debug, Clone)]
pub struct GuardOptions {
    /// The dry-run account.
    pub account: Account,
    /// The name of the policy and of its binding.
    pub policy_name: String,
    /// Everything is checked again this often, whatever happens.
    pub interval: Duration,
    /// The same while the watches that tell of changes are not all up.
    pub blind_interval: Duration,
    /// API servers take a few seconds to put a new policy into force: one that is younger is given this long.
    pub settle: Duration,
    /// How the watches that tell of changes are done.
    pub watch: WatchOptions,
}

impl GuardOptions {
    /// The defaults for an account.
    pub fn new(account: Account) -> Self {
        Self {
            account,
            policy_name: "driftline-dry-run-only".to_owned(),
            interval: Duration::from_secs(300),
            blind_interval: Duration::from_secs(30),
            settle: Duration::from_secs(10),
            watch: WatchOptions::default(),
        }
    }
}

/// Watches over the guard. Dropping it stops that; the last state then stays as it is, so keep it while questions are asked.
#[derive(Debug)]
pub struct Guard {
    state: watch::Receiver<GuardState>,
    task: JoinHandle<()>,
}

impl Guard {
    /// Starts checking, at once and whenever `rbac` ([`crate::trigger::rbac`]) or the policy changes. Until the first check is done
    /// the state is untrusted.
    pub fn start(client: Client, rbac: Arc<Trigger>, options: GuardOptions) -> Self {
        let reason =
            "the guard of the dry-run account has not been checked yet; wait a moment".to_owned();
        let (publish, state) = watch::channel(GuardState::Untrusted { reason });
        Self {
            state,
            task: tokio::spawn(keep(client, rbac, options, publish)),
        }
    }

    /// The state, and word of each change.
    pub fn subscribe(&self) -> watch::Receiver<GuardState> {
        self.state.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(
    client: Client,
    rights: Arc<Trigger>,
    options: GuardOptions,
    publish: watch::Sender<GuardState>,
) {
    let own = own_objects(&client, &options);
    let (mut rights_changed, mut own_changed) = (rights.changes(), own.changes());
    let mut in_order_since = None;
    loop {
        let state = check_settled(&client, &options, &mut in_order_since).await;
        if let GuardState::Untrusted { reason } = &state {
            tracing::debug!(reason, "the guard of the dry-run account is not in order");
        }
        publish.send_if_modified(|before| {
            let changed = *before != state;
            *before = state.clone();
            changed
        });
        let wait = match state {
            GuardState::Trusted if rights.is_complete() && own.is_complete() => options.interval,
            GuardState::Trusted => options.blind_interval,
            // A policy that is settling is looked at again when it should have settled.
            GuardState::Untrusted { .. } => options.blind_interval.min(options.settle),
        };
        tokio::select! {
            _ = rights_changed.changed() => {}
            _ = own_changed.changed() => {}
            () = tokio::time::sleep(wait.max(Duration::from_millis(100))) => {}
            () = publish.closed() => return,
        }
    }
}

/// Tells of changes of the policy, its binding and the aggregated groups.
fn own_objects(client: &Client, options: &GuardOptions) -> Trigger {
    let metadata = WatchOptions {
        metadata_only: true,
        ..options.watch.clone()
    };
    let named = WatchOptions {
        field_selector: Some(format!("metadata.name={}", options.policy_name)),
        ..metadata.clone()
    };
    let group = "admissionregistration.k8s.io";
    let scopes = vec![
        (
            cluster_wide(
                group,
                "v1",
                "ValidatingAdmissionPolicy",
                "validatingadmissionpolicies",
            ),
            named.clone(),
        ),
        (
            cluster_wide(
                group,
                "v1",
                "ValidatingAdmissionPolicyBinding",
                "validatingadmissionpolicybindings",
            ),
            named,
        ),
        (
            cluster_wide("apiregistration.k8s.io", "v1", "APIService", "apiservices"),
            metadata,
        ),
    ];
    Trigger::spawn(client, scopes, Duration::from_millis(20))
}

/// The state, with the time that API servers need to put a policy into force.
async fn check_settled(
    client: &Client,
    options: &GuardOptions,
    in_order_since: &mut Option<Instant>,
) -> GuardState {
    match check(client, options).await {
        Ok(age) => {
            let since = *in_order_since.get_or_insert_with(Instant::now);
            // The age rests on two clocks, so it is believed only where it is far beyond what is needed.
            if age >= options.settle * 6 || since.elapsed() >= options.settle {
                return GuardState::Trusted;
            }
            let reason = format!(
                "ValidatingAdmissionPolicy {} was installed or changed a moment ago; wait {} s for it to be in force",
                options.policy_name,
                options.settle.as_secs()
            );
            GuardState::Untrusted { reason }
        }
        Err(reason) => {
            *in_order_since = None;
            GuardState::Untrusted { reason }
        }
    }
}

/// How old policy and binding are, if everything is in order; else what is not.
async fn check(client: &Client, options: &GuardOptions) -> std::result::Result<Duration, String> {
    let name = &options.policy_name;
    let again = "install it again from the chart";
    let live_policy = own_object(
        client,
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        name,
    )
    .await?;
    if let Some(why) = policy::policy_differs(&live_policy, name, &options.account) {
        return Err(format!("{why}; {again}"));
    }
    let live_binding = own_object(
        client,
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        name,
    )
    .await?;
    if let Some(why) = policy::binding_differs(&live_binding, name) {
        return Err(format!("{why}; {again}"));
    }
    let rights = read_rights(client)
        .await
        .map_err(|error| unreadable(&error))?;
    if let Some(why) = rights.too_wide(&options.account) {
        return Err(why);
    }
    canaries(client, &options.account).await?;
    Ok(age(&live_policy).min(age(&live_binding)))
}

async fn own_object(
    client: &Client,
    plural: &str,
    kind: &str,
    name: &str,
) -> std::result::Result<Value, String> {
    let url = format!(
        "/apis/{}/{plural}/{}",
        policy::API_VERSION,
        call::escape(name)
    );
    let answer: Result<Value> =
        call::get_json(client, &url, &format!("read {kind} {name}"), call::CALL).await;
    answer.map_err(|error| match error.status() {
        Some(404) => format!("{kind} {name} does not exist; install it from the chart"),
        _ => unreadable(&error),
    })
}

fn unreadable(error: &Error) -> String {
    format!(
        "the guard of the dry-run account cannot be checked, because Driftline {error}; see that the API server answers and that Driftline's role is as in the chart"
    )
}

/// How long ago an object was created or last written.
fn age(object: &Value) -> Duration {
    let time = |value: Option<&Value>| value?.as_str()?.parse::<Timestamp>().ok();
    let metadata = object.get("metadata");
    let created = time(metadata.and_then(|m| m.get("creationTimestamp")));
    let managed = metadata.and_then(|m| m.get("managedFields")?.as_array());
    let written = managed
        .into_iter()
        .flatten()
        .map(|entry| time(entry.get("time")));
    let newest = written.chain([created]).flatten().max();
    newest.map_or(Duration::ZERO, |at| {
        Timestamp::now()
            .duration_since(at)
            .try_into()
            .unwrap_or(Duration::ZERO)
    })
}

/// Rights that other authorizers than RBAC may give do not show in roles. Asking for a few that would be fatal finds the crude cases.
async fn canaries(client: &Client, account: &Account) -> std::result::Result<(), String> {
    let of = |verb, group, resource, subresource| Attributes {
        verb,
        group,
        resource,
        subresource,
        ..Attributes::default()
    };
    let fatal = [
        of(
            "create",
            "admissionregistration.k8s.io",
            "validatingadmissionpolicybindings",
            "",
        ),
        of(
            "delete",
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
            "",
        ),
        of(
            "create",
            "rbac.authorization.k8s.io",
            "clusterrolebindings",
            "",
        ),
        of("create", "apiregistration.k8s.io", "apiservices", ""),
        of("create", "", "serviceaccounts", "token"),
        of("delete", "", "pods", ""),
    ];
    for attributes in fatal {
        match access::review(client, account, attributes).await {
            Ok(false) => {}
            Ok(true) => {
                let Attributes {
                    verb,
                    group,
                    resource,
                    ..
                } = attributes;
                return Err(format!(
                    "service account {account} may {verb} {resource} of group {group:?} by another way than roles; take that right from it"
                ));
            }
            Err(error) => return Err(unreadable(&error)),
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct ApiService {
    spec: ApiServiceSpec,
}

#[derive(Deserialize)]
struct ApiServiceSpec {
    #[serde(default)]
    group: String,
    /// Missing where the API server itself answers.
    service: Option<Value>,
}

async fn read_rights(client: &Client) -> Result<rights::Rights> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let services: Vec<ApiService> =
        list(client, "/apis/apiregistration.k8s.io/v1/apiservices").await?;
    let aggregated: BTreeSet<String> = services
        .into_iter()
        .filter(|s| s.spec.service.is_some())
        .map(|s| s.spec.group)
        .collect();
    Ok(rights::Rights {
        cluster_roles: list(client, &format!("{rbac}/clusterroles")).await?,
        roles: list(client, &format!("{rbac}/roles")).await?,
        cluster_role_bindings: list(client, &format!("{rbac}/clusterrolebindings")).await?,
        role_bindings: list(client, &format!("{rbac}/rolebindings")).await?,
        aggregated,
    })
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize, Default)]
struct ListMetadata {
    #[serde(default, rename = "continue")]
    token: String,
}

/// All objects of a kind, by pages.
async fn list<T: DeserializeOwned>(client: &Client, path: &str) -> Result<Vec<T>> {
    let action = format!("list {path}");
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let url = format!("{path}?limit=500&continue={}", call::escape(&token));
        let page: List = call::get_json(client, &url, &action, call::LONG).await?;
        for item in page.items.unwrap_or_default() {
            let item = serde_json::from_str(item.get());
            all.push(item.map_err(|source| Error::Undecodable {
                action: action.clone(),
                source,
            })?);
        }
        token = page.metadata.token;
        if token.is_empty() {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_age_is_that_of_the_last_write() {
        let old = json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}});
        assert!(age(&old) > Duration::from_secs(3600));
        let now = Timestamp::now().to_string();
        let edited = json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z", "managedFields": [{"time": now}]}});
        assert!(age(&edited) < Duration::from_secs(60));
        assert_eq!(age(&json!({})), Duration::ZERO);
    }
}
