//! The guard of the dry-run account: an admission policy that denies its every request that is no dry run, and a role that holds nothing
//! on which such a policy is not run. Checked before the first question and watched from then on.

mod policy;
mod rights;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use crate::installed::GuardState;
pub use policy::{RESOURCES, binding, policy, role};

use crate::access::{self, Attributes};
use crate::account::Account;
use crate::call;
use crate::error::{Error, Result};
use crate::installed::{self, Installed, Times, age, unreadable};
use crate::trigger::{Trigger, cluster_wide};
use crate::watch::WatchOptions;

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

    fn times(&self) -> Times {
        Times {
            interval: self.interval,
            blind_interval: self.blind_interval,
            settle: self.settle,
        }
    }
}

/// The guard, as it has to be.
struct DryRunOnly {
    client: Client,
    options: GuardOptions,
}

impl Installed for DryRunOnly {
    fn name(&self) -> String {
        format!("ValidatingAdmissionPolicy {}", self.options.policy_name)
    }

    async fn check(&self) -> std::result::Result<Duration, String> {
        check(&self.client, &self.options).await
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
            task: tokio::spawn(async move {
                let own = Arc::new(own_objects(&client, &options));
                let times = options.times();
                let installed = DryRunOnly { client, options };
                installed::keep(installed, vec![rbac, own], times, publish).await;
            }),
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

/// How old policy and binding are, if everything is in order; else what is not.
async fn check(client: &Client, options: &GuardOptions) -> std::result::Result<Duration, String> {
    let age = inspect(client, &options.account, &options.policy_name)
        .await
        .map_err(|error| unreadable(&error))??;
    canaries(client, &options.account).await?;
    Ok(age)
}

/// How old policy and binding are, if they and the account's roles are in order; else what is not. Only reads; what other authorizers
/// than RBAC may grant does not show.
///
/// # Errors
/// Where something cannot be read.
pub async fn inspect(
    client: &Client,
    account: &Account,
    policy_name: &str,
) -> Result<std::result::Result<Duration, String>> {
    let name = policy_name;
    let again = "install it again from the chart";
    let kind = "ValidatingAdmissionPolicy";
    let found = installed::find(client, "validatingadmissionpolicies", kind, name).await?;
    let Some(live_policy) = found else {
        return Ok(Err(installed::absent(kind, name)));
    };
    if let Some(why) = policy::policy_differs(&live_policy, name, account) {
        return Ok(Err(format!("{why}; {again}")));
    }
    let kind = "ValidatingAdmissionPolicyBinding";
    let plural = "validatingadmissionpolicybindings";
    let Some(live_binding) = installed::find(client, plural, kind, name).await? else {
        return Ok(Err(installed::absent(kind, name)));
    };
    if let Some(why) = policy::binding_differs(&live_binding, name) {
        return Ok(Err(format!("{why}; {again}")));
    }
    if let Some(why) = Grants::read(client).await?.0.too_wide(account) {
        return Ok(Err(why));
    }
    Ok(Ok(age(&live_policy).min(age(&live_binding))))
}

/// What roles and bindings grant, as they were read.
pub struct Grants(rights::Rights);

impl Grants {
    /// Reads all roles and bindings.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub async fn read(client: &Client) -> Result<Self> {
        read_rights(client).await.map(Self)
    }

    /// Whether roles let an account do this.
    pub fn allow(&self, account: &Account, attributes: Attributes<'_>) -> bool {
        self.0.allow(account, attributes)
    }
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
