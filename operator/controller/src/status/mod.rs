//! Policies' status: written by the leader, soon after something has changed, and only then.

mod beyond;
mod content;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use beyond::Beyond;
use cluster::index::LeftOut;
use driftline_crds::{DriftPolicy, DriftPolicyStatus};
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;

use crate::engine::Engine;
use crate::policy::PolicyKey;
use crate::records::Records;
use crate::registry::{PolicyState, TargetView};
use crate::undeclared;

/// The shortest time between two writes of one policy's status.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a change waits for its record to be written, so that both are told in one.
const SETTLE: Duration = Duration::from_millis(30);
/// The wait before a write is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a write may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest status, in bytes of JSON.
const MAX_BYTES: usize = 16 << 10;

/// A patch that sets a place in the status of an object, if it still has this uid.
pub fn patch(uid: Option<&str>, place: &str, value: impl Serialize) -> kube::Result<Patch<()>> {
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": place, "value": value},
    ]);
    let patch = serde_json::from_value(operations).map_err(kube::Error::SerdeError)?;
    Ok(Patch::Json(patch))
}

/// The writer of statuses and what it wrote last.
pub struct Statuses {
    engine: Arc<Engine>,
    records: Arc<Records>,
    written: Mutex<HashMap<PolicyKey, DriftPolicyStatus>>,
}

impl Statuses {
    pub fn new(engine: Arc<Engine>, records: Arc<Records>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            records,
            written: Mutex::default(),
        })
    }

    /// Takes in the status of a policy as the API server has it.
    pub fn seen(&self, key: &PolicyKey, status: Option<&DriftPolicyStatus>) {
        let mut written = self.written.lock();
        match status {
            Some(status) => written.insert(key.clone(), status.clone()),
            None => written.remove(key),
        };
    }

    /// Writes while this replica leads.
    pub async fn run(self: Arc<Self>) {
        let mut leading = self.engine.leading.clone();
        let mut due: HashMap<PolicyKey, Instant> = HashMap::new();
        let mut last: HashMap<PolicyKey, Instant> = HashMap::new();
        loop {
            if !*leading.borrow_and_update() {
                if leading.changed().await.is_err() {
                    return;
                }
                due.extend(
                    self.engine
                        .registry
                        .all()
                        .iter()
                        .map(|p| (p.key.clone(), Instant::now())),
                );
                continue;
            }
            let next = due.values().min().copied();
            let timer = async move {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.engine.index.dirtied() => {}
                () = self.engine.registry.touched.notified() => {}
                () = timer => {}
                _ = leading.changed() => continue,
            }
            for key in self.changed() {
                let settled = Instant::now() + SETTLE;
                let at = last
                    .get(&key)
                    .map_or(settled, |at| settled.max(*at + PAUSE));
                due.entry(key).or_insert(at);
            }
            let now = Instant::now();
            let ready: Vec<PolicyKey> = due
                .iter()
                .filter(|(_, at)| **at <= now)
                .map(|(k, _)| k.clone())
                .collect();
            for key in ready {
                due.remove(&key);
                last.insert(key.clone(), Instant::now());
                if !self.write(&key).await {
                    last.insert(key.clone(), Instant::now() + AGAIN - PAUSE);
                    due.insert(key, Instant::now() + AGAIN);
                }
            }
            last.retain(|_, at| at.elapsed() < Duration::from_secs(60));
        }
    }

    fn changed(&self) -> Vec<PolicyKey> {
        let targets = self.engine.index.take_dirty().into_iter();
        let mut keys: Vec<PolicyKey> = targets
            .filter_map(|t| Some(self.engine.registry.target(t)?.0.key.clone()))
            .collect();
        keys.extend(self.engine.registry.take_touched());
        keys.sort();
        keys.dedup();
        keys
    }

    /// Writes one policy's status if it has changed; false if that has to be tried again.
    async fn write(&self, key: &PolicyKey) -> bool {
        let Some(policy) = self.engine.registry.get(key) else {
            return true;
        };
        let before = self.written.lock().get(key).cloned().unwrap_or_default();
        let Some(status) = self.status(&policy, &before) else {
            return true;
        };
        if status == before {
            return true;
        }
        let Ok(patch) = patch(Some(&policy.uid), "/status", &status) else {
            return true;
        };
        let api: Api<DriftPolicy> = Api::namespaced(self.engine.client.clone(), &key.namespace);
        let params = PatchParams::default();
        match tokio::time::timeout(DEADLINE, api.patch_status(&key.name, &params, &patch)).await {
            Ok(Ok(_)) => {
                self.engine.metrics.writes("policy_status").inc();
                self.written.lock().insert(key.clone(), status);
                true
            }
            Ok(Err(kube::Error::Api(error))) if error.code == 404 => true,
            Ok(Err(error)) => {
                self.engine.metrics.write_failures.inc();
                tracing::warn!(%error, policy = %key, "a status could not be written; trying again");
                false
            }
            Err(_) => false,
        }
    }

    /// What is to be said of a target that asks about objects that nobody declares.
    fn beyond(&self, policy: &PolicyState, target: &TargetView) -> Option<Beyond> {
        let asks = Some(&target.asks).filter(|a| a.is_any())?;
        let engine = &self.engine;
        let mut left_out: BTreeMap<String, u32> = BTreeMap::new();
        let mut unread = None;
        for (why, count) in engine.index.left_out(target.id) {
            let by = match why {
                LeftOut::Elsewhere(by) => by.to_string(),
                LeftOut::Target(other) => match engine.registry.target(other) {
                    Some((other, _)) if other.key != policy.key => format!("policy {}", other.key),
                    _ => continue,
                },
                LeftOut::OwnerUnread(kind) => {
                    unread = unread.or(Some((kind, count)));
                    continue;
                }
            };
            *left_out.entry(by).or_default() += count;
        }
        Some(Beyond {
            unserved: asks.unserved.clone(),
            secrets: asks.is_about_secrets() && !engine.options.compare_secrets,
            tools_unknown: !engine.index.knows_tools(),
            undecided: undeclared::waits_for(engine, target.id),
            unread,
            left_out,
        })
    }

    /// The status of now; `None` before the policy has been looked at.
    fn status(
        &self,
        policy: &PolicyState,
        before: &DriftPolicyStatus,
    ) -> Option<DriftPolicyStatus> {
        let view = policy.view.lock().clone();
        view.generation?;
        let targets: Vec<content::Target> = view
            .targets
            .iter()
            .map(|t| {
                let index = &self.engine.index;
                let tally = index.tally(t.id);
                content::Target {
                    view: t.clone(),
                    tally,
                    troubles: index.troubles(t.id),
                    odd: if tally.unknown + tally.unverified > 0 {
                        index.oddities(t.id)
                    } else {
                        Vec::new()
                    },
                    settled: index.is_settled(t.id),
                    beyond: self.beyond(policy, t),
                    pending_since: self
                        .engine
                        .pending
                        .oldest(t.id)
                        .filter(|_| tally.pending > 0),
                }
            })
            .collect();
        let records = self.records.standing(&policy.key, 10);
        let now = Timestamp::now();
        let budgets = &self.engine.converging.budgets;
        let budget = view.terms.budget.as_ref();
        let budget = if budgets.is_taken_over(policy) {
            budget.and_then(|b| budgets.status(policy, b, now))
        } else {
            // What the leader before noted down stays until it is taken over.
            before.budget.clone().filter(|_| budget.is_some())
        };
        let mut status = content::status(&view, &targets, records, budget, before, now);
        let previews = &self.engine.previews;
        // What was asked before the account lost the right to see it names what it may not see any more.
        let forbidden = status.targets.iter().any(|t| t.reason == "NotAllowed");
        status.preview = previews
            .status(&self.engine, policy, &view, before.preview.as_ref())
            .filter(|_| !forbidden);
        while serde_json::to_vec(&status).map_or(0, |v| v.len()) > MAX_BYTES
            && !content::shrink(&mut status)
        {}
        Some(status)
    }
}
