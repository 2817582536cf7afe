//! The stamp: an admission policy that notes down on objects who wrote them, and after which resourceVersion. It is believed only while
//! policy and binding are as they have to be; what was written before is not.

mod policy;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use policy::{KINDS, binding, covers, policy};

use crate::call;
use crate::error::Result;
use crate::installed::{self, GuardState, Installed, Times, age};
use crate::trigger::{Trigger, cluster_wide};
use crate::watch::WatchOptions;

pub(crate) use policy::policy_differs;

/// The annotation that names the user.
pub const EDITED_BY: &str = "driftline.dev/edited-by";
/// The annotation that names the resourceVersion that was written upon; `0` for a creation.
pub const EDITED_AFTER: &str = "driftline.dev/edited-after";

/// Watches over the policy. Dropping it stops that.
#[derive(Debug)]
pub struct StampKeeper {
    state: watch::Receiver<GuardState>,
    task: JoinHandle<()>,
}

impl StampKeeper {
    /// Starts checking the policy and binding of this name, at once and whenever one of them changes. Until the first check is done the
    /// state is untrusted.
    pub fn start(client: Client, name: String, options: WatchOptions) -> Self {
        let reason = "the stamp has not been checked yet; wait a moment".to_owned();
        let (publish, state) = watch::channel(GuardState::Untrusted { reason });
        let times = Times {
            interval: Duration::from_secs(300),
            blind_interval: Duration::from_secs(30),
            settle: Duration::from_secs(10),
        };
        let task = tokio::spawn(async move {
            let own = Arc::new(own_objects(&client, &name, options));
            let installed = Stamp { client, name };
            installed::keep(installed, vec![own], times, publish).await;
        });
        Self { state, task }
    }

    /// The state, and word of each change.
    pub fn subscribe(&self) -> watch::Receiver<GuardState> {
        self.state.clone()
    }
}

impl Drop for StampKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The policy and its binding, as they have to be.
struct Stamp {
    client: Client,
    name: String,
}

impl Installed for Stamp {
    fn name(&self) -> String {
        format!("MutatingAdmissionPolicy {}", self.name)
    }

    async fn check(&self) -> std::result::Result<Duration, String> {
        let [(policies, policy), (bindings, binding)] = policy::PARTS;
        let read = |plural, kind| installed::read(&self.client, plural, kind, &self.name);
        let live_policy = read(policies, policy).await?;
        let live_binding = read(bindings, binding).await?;
        let differs = policy_differs(&live_policy, &self.name)
            .or_else(|| policy::binding_differs(&live_binding, &self.name));
        match differs {
            Some(why) => Err(format!("{why}; install it again from the chart")),
            None => Ok(age(&live_policy).min(age(&live_binding))),
        }
    }
}

/// Tells of changes of the policy and its binding.
fn own_objects(client: &Client, name: &str, options: WatchOptions) -> Trigger {
    let named = WatchOptions {
        metadata_only: true,
        field_selector: Some(format!("metadata.name={name}")),
        ..options
    };
    let scope = |(plural, kind)| {
        let scope = cluster_wide("admissionregistration.k8s.io", "v1", kind, plural);
        (scope, named.clone())
    };
    let scopes = policy::PARTS.map(scope).into();
    Trigger::spawn(client, scopes, Duration::from_millis(20))
}

/// The newest resourceVersion there is now: whatever is written from now on has a greater one.
///
/// # Errors
/// Where the API server does not answer or refuses.
pub async fn newest_version(client: &Client) -> Result<u64> {
    #[derive(Deserialize)]
    struct List {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        resource_version: String,
    }
    let [(policies, _), _] = policy::PARTS;
    let url = format!("/apis/{}/{policies}?limit=1", installed::API_VERSION);
    let action = "ask for the newest resourceVersion";
    let list: List = call::get_json(client, &url, action, call::CALL).await?;
    // One that cannot be read believes nothing.
    Ok(list.metadata.resource_version.parse().unwrap_or(u64::MAX))
}
