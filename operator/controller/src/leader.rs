//! Which replica writes: the holder of a Lease. A lease is judged by when its renewals are *seen*, on this process's own
//! monotonic clock, so that no other clock matters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::watch;

/// How long a lease is good without renewal.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for so long stops writing.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often the lease is renewed or looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// How long one attempt at that may take, and how long after one that failed it is tried again: a single call that hangs must not cost
/// the lease.
const ATTEMPT: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_secs(1);

/// When this process last renewed its lease.
#[derive(Debug, Clone, Default)]
pub struct LeaseClock(Arc<Mutex<Option<Instant>>>);

impl LeaseClock {
    /// True while the lease is so new that nobody else can have it.
    pub fn is_fresh(&self) -> bool {
        self.0
            .lock()
            .is_some_and(|at| at.elapsed() < RENEW_DEADLINE)
    }

    fn set(&self, at: Instant) {
        *self.0.lock() = Some(at);
    }
}

/// Takes part in the election until dropped.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    namespace: String,
    identity: String,
    /// The last state of the lease seen, and when.
    seen: Option<(Option<String>, Instant)>,
    renewed: LeaseClock,
    /// The lease as this process wrote it last.
    held: Option<Lease>,
}

impl Elector {
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        renewed: LeaseClock,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            identity: identity.to_owned(),
            seen: None,
            renewed,
            held: None,
        }
    }

    /// Runs the election and publishes whether this replica leads. Gives the lease up when `stop` is told.
    pub async fn run(mut self, leading: watch::Sender<bool>, mut stop: watch::Receiver<bool>) {
        loop {
            let (leads, pause) = match tokio::time::timeout(ATTEMPT, self.turn()).await {
                Ok(Ok(leads)) => (leads, PERIOD),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease could not be read or renewed");
                    (self.still_good(), AGAIN)
                }
                Err(_) => {
                    tracing::warn!("the lease could not be read or renewed in time");
                    (self.still_good(), AGAIN)
                }
            };
            leading.send_if_modified(|before| {
                if *before != leads {
                    tracing::info!(identity = self.identity, leads, "leadership changed");
                }
                std::mem::replace(before, leads) != leads
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {
                    leading.send_replace(false);
                    if leads {
                        let _ = tokio::time::timeout(Duration::from_secs(2), self.release()).await;
                    }
                    return;
                }
            }
        }
    }

    fn still_good(&self) -> bool {
        self.renewed.is_fresh()
    }

    /// One look at the lease; true if it is ours now.
    async fn turn(&mut self) -> kube::Result<bool> {
        let begun = Instant::now();
        // The holder renews what it wrote last, without reading it first: that halves what an idle operator asks. The
        // version in it makes somebody else's write in between a conflict, and then whose it is now has to be read.
        if let Some(lease) = self.held.take() {
            let spec = lease.spec.clone().unwrap_or_default();
            if self.write(begun, lease, &spec).await? {
                return Ok(true);
            }
        }
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: self.metadata(None),
                spec: Some(self.spec(None)),
            };
            return self.settle(begun, self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder == self.identity {
            // A conflict here is an attempt of our own that was given up and came through after all.
            return Ok(self.write(begun, lease, &spec).await? || self.still_good());
        }
        let version = lease.metadata.resource_version.clone();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.seen = Some((version, begun));
        }
        let patience = spec
            .lease_duration_seconds
            .and_then(|s| u64::try_from(s).ok())
            .map_or(DURATION, Duration::from_secs);
        let expired = self
            .seen
            .as_ref()
            .is_some_and(|(_, at)| at.elapsed() > patience);
        if holder.is_empty() || expired {
            self.write(begun, lease, &spec).await
        } else {
            Ok(false)
        }
    }

    /// Takes or renews the lease; a conflict means that another one was faster.
    async fn write(&mut self, begun: Instant, lease: Lease, old: &LeaseSpec) -> kube::Result<bool> {
        let next = Lease {
            metadata: self.metadata(lease.metadata.resource_version),
            spec: Some(self.spec(Some(old))),
        };
        let result = self
            .api
            .replace(&self.name, &PostParams::default(), &next)
            .await;
        self.settle(begun, result)
    }

    fn settle(&mut self, begun: Instant, result: kube::Result<Lease>) -> kube::Result<bool> {
        match result {
            Ok(lease) => {
                self.renewed.set(begun);
                self.held = Some(lease);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn release(&mut self) -> kube::Result<()> {
        let lease = self.api.get(&self.name).await?;
        if lease.spec.as_ref().and_then(|s| s.holder_identity.as_ref()) == Some(&self.identity) {
            let spec = LeaseSpec {
                holder_identity: None,
                lease_duration_seconds: Some(1),
                ..self.spec(lease.spec.as_ref())
            };
            let next = Lease {
                metadata: self.metadata(lease.metadata.resource_version),
                spec: Some(spec),
            };
            self.api
                .replace(&self.name, &PostParams::default(), &next)
                .await?;
        }
        Ok(())
    }

    fn metadata(&self, resource_version: Option<String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            resource_version,
            ..ObjectMeta::default()
        }
    }

    fn spec(&self, old: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let ours = old.is_some_and(|o| o.holder_identity.as_deref() == Some(&self.identity));
        let transitions = old.and_then(|o| o.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: old
                .filter(|_| ours)
                .and_then(|o| o.acquire_time.clone())
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if ours {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        }
    }
}
