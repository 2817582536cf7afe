//! Puts objects back: reads them once more, lets the core decide, writes as the policy's account, and says what came of it.
//!
//! What is noted of an object lasts as long as the operator; the rounds of a fight are in its record besides, for the next leader.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::index::{ScopeKey, TargetId};
use cluster::write::{self, Place};
use cluster::{Account, Category, Error};
use drift::converge::{History, Plan, Rounds, Terms, Why, plan};
use drift::{ObjectId, patch};
use driftline_crds::{Converged, Outcome};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use crate::engine::Engine;
use crate::records::whole_seconds;

/// Objects that are put back at the same time.
const CONCURRENCY: usize = 8;
/// How often an object that changes meanwhile is read again, before its next change is waited for.
const ATTEMPTS: u32 = 5;
/// How long it takes until what was refused is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// Objects that were put back lately, of which that is remembered.
const REMEMBERED: usize = 10_000;

/// Why neither of two targets puts an object back.
const DISPUTED: &str = "another target or policy declares this object otherwise, so neither puts it back; let one of them declare it, or both the same";
/// Why what the operator itself does not know is not put back.
const HIDDEN: &str = "its value is encrypted in Git, or renders differently each time, so nobody here knows what to write; deploy it again";
/// Why nothing is left of a write that was accepted.
const CHANGED_BACK: &str = "what was written was changed back at once; find the admission policy, webhook or controller that does so";

type Key = (TargetId, ObjectId);

/// What is known of objects that are or were put back.
#[derive(Debug, Default)]
pub struct Converging {
    inner: Mutex<Inner>,
    offered: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<Key, Known>,
    waiting: Vec<Key>,
    /// Those that are being put back; true where that is to be told once it is done.
    running: HashMap<Key, bool>,
}

#[derive(Debug, Default)]
struct Known {
    rounds: Rounds,
    /// Since when it has drifted.
    since: Option<Timestamp>,
    /// The drift that was last tried to end, by the digest of its report, and the terms then.
    tried: Option<(u64, Terms)>,
    said: Option<Converged>,
}

impl Converging {
    /// Hands in drift that may be to be put back. What was tried before is not tried again before its time, unless it is another drift.
    pub fn offer(
        &self,
        (target, id): (TargetId, &ObjectId),
        tried: (u64, Terms),
        since: Timestamp,
        before: Option<&Converged>,
    ) {
        let mut inner = self.inner.lock();
        let key = (target, id.clone());
        let known = inner.known.entry(key.clone()).or_default();
        if let (None, Some(before)) = (&known.said, before) {
            known.rounds = Rounds::noted(before.attempts, before.at.0);
        }
        known.since = Some(since);
        let stands = known
            .said
            .as_ref()
            .is_some_and(|s| s.outcome != Outcome::Reverted);
        if stands && known.tried.as_ref() == Some(&tried) {
            return;
        }
        known.tried = Some(tried);
        inner.wait(key);
        drop(inner);
        self.offered.notify_one();
    }

    /// What came of it the last time.
    pub fn said(&self, target: TargetId, id: &ObjectId) -> Option<Converged> {
        let inner = self.inner.lock();
        inner.known.get(&(target, id.clone()))?.said.clone()
    }

    fn again(&self, key: Key) {
        self.inner.lock().wait(key);
        self.offered.notify_one();
    }

    fn take(&self) -> Vec<Key> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let (busy, free): (Vec<Key>, Vec<Key>) = std::mem::take(&mut inner.waiting)
            .into_iter()
            .partition(|k| inner.running.contains_key(k));
        inner.waiting = busy;
        inner
            .running
            .extend(free.iter().cloned().map(|k| (k, false)));
        free
    }

    fn history(&self, key: &Key) -> History {
        let inner = self.inner.lock();
        let known = inner.known.get(key);
        known
            .map(|k| History {
                since: k.since,
                rounds: k.rounds,
            })
            .unwrap_or_default()
    }

    fn note(&self, key: &Key, rounds: Rounds, said: Converged) {
        let mut inner = self.inner.lock();
        let known = inner.known.entry(key.clone()).or_default();
        known.rounds = rounds;
        known.said = Some(said);
        if inner.known.len() > REMEMBERED {
            let now = Timestamp::now();
            inner.known.retain(|_, k| k.rounds.at(now) > 0);
        }
    }

    /// True while an object is being put back; it is queued in the index again once that is done.
    pub fn is_at_work(&self, target: TargetId, id: &ObjectId) -> bool {
        let mut inner = self.inner.lock();
        let told = inner.running.get_mut(&(target, id.clone()));
        told.map(|told| *told = true).is_some()
    }

    fn done(&self, engine: &Engine, key: &Key) {
        let mut inner = self.inner.lock();
        let told = inner.running.remove(key) == Some(true);
        let more = !inner.waiting.is_empty();
        drop(inner);
        if told {
            engine.index.touch(key.0, &key.1);
        }
        if more {
            self.offered.notify_one();
        }
    }
}

impl Inner {
    fn wait(&mut self, key: Key) {
        if !self.waiting.contains(&key) {
            self.waiting.push(key);
        }
    }
}

/// Puts back what is handed in, while this replica leads.
pub async fn run(engine: Arc<Engine>) {
    let turns = Arc::new(Semaphore::new(CONCURRENCY));
    let mut leading = engine.leading.clone();
    loop {
        if leading.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        engine.converging.offered.notified().await;
        for key in engine.converging.take() {
            let (engine, turns) = (Arc::clone(&engine), Arc::clone(&turns));
            tokio::spawn(async move {
                let turn = turns.acquire_owned().await;
                one(&engine, &key).await;
                drop(turn);
                engine.converging.done(&engine, &key);
            });
        }
    }
}

/// What the policy of a target allows, and as whom.
fn standing(engine: &Engine, target: TargetId) -> Option<(Terms, Account)> {
    let (policy, _) = engine.registry.target(target)?;
    let view = policy.view.lock();
    let unfit = view.stalled.is_some() || view.is_unfit;
    (!unfit).then_some(())?;
    Some((view.terms.clone(), view.account.clone()?))
}

async fn one(engine: &Arc<Engine>, key: &Key) {
    let (target, id) = key;
    let history = engine.converging.history(key);
    let mut rounds = history.rounds;
    let mut seen = None;
    let (said, again) = match attempt(engine, key, history, &mut seen).await {
        Done::Nothing => return,
        Done::Reverted(now) => {
            rounds = now;
            ((Outcome::Reverted, String::new()), None)
        }
        Done::Blocked(now, why) => {
            rounds = now;
            ((Outcome::Blocked, why), Some(AGAIN))
        }
        Done::Waits(until, why) => {
            let wait = until.duration_since(Timestamp::now()).unsigned_abs();
            let times = rounds.at(Timestamp::now());
            (waiting(why, times, until), Some(wait))
        }
    };
    let now = Timestamp::now();
    let (outcome, reason) = said;
    engine.metrics.reverts(outcome.as_str()).inc();
    if outcome == Outcome::Reverted {
        tracing::info!(object = %id, "drift was put back");
    } else if matches!(outcome, Outcome::Waiting | Outcome::Held) {
        tracing::debug!(object = %id, outcome = outcome.as_str(), reason, "drift is not put back yet");
    } else {
        tracing::warn!(object = %id, outcome = outcome.as_str(), reason, "drift was not put back");
    }
    let said = Converged {
        rung: driftline_crds::Enforcement::Revert,
        outcome,
        reason: drift::redact::cut(&drift::redact::printable(&reason), 1024).to_owned(),
        at: Time(whole_seconds(now)),
        attempts: rounds.at(now),
    };
    engine.converging.note(key, rounds, said);
    // The record of what is over says what came of it.
    if let Some((scope, live)) = seen {
        engine.index.observe(&scope, &live);
    }
    if outcome != Outcome::Reverted {
        engine.index.touch(*target, id);
    }
    if let Some(wait) = again {
        let (engine, key) = (Arc::clone(engine), key.clone());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            engine.converging.again(key);
        });
    }
}

/// What an attempt came to, and the rounds with it.
enum Done {
    Nothing,
    Reverted(Rounds),
    Blocked(Rounds, String),
    Waits(Timestamp, Why),
}

/// The outcome of waiting, and its reason in words.
fn waiting(why: Why, times: u32, until: Timestamp) -> (Outcome, String) {
    let until = whole_seconds(until);
    match why {
        Why::Held => (
            Outcome::Held,
            format!("spec.hold pauses enforcement until {until}"),
        ),
        Why::Grace => (
            Outcome::Waiting,
            format!("it is put back at {until} (spec.revert.after)"),
        ),
        Why::Contested => (
            Outcome::Contested,
            format!(
                "it was put back {times} times and changed again; the next attempt is not before {until}"
            ),
        ),
    }
}

/// One attempt; `seen` is what it left.
async fn attempt(
    engine: &Engine,
    key: &Key,
    history: History,
    seen: &mut Option<(ScopeKey, Value)>,
) -> Done {
    let (target, id) = key;
    let rounds = history.rounds;
    for _ in 0..ATTEMPTS {
        let Some((terms, account)) = standing(engine, *target) else {
            return Done::Nothing;
        };
        let catalog = engine.catalog.catalog();
        let scope = engine.index.scope_of(*target, id);
        let Some((scope, resource)) =
            scope.and_then(|s| Some((catalog.resource(&s.kind)?, s)).map(|(r, s)| (s, r)))
        else {
            return Done::Nothing;
        };
        let place = Place {
            account: &account,
            kind: &scope.kind,
            resource,
            namespace: scope.namespace.as_deref(),
            name: &id.name,
        };
        let live = match read(engine, place).await {
            Ok(live) => live,
            Err(error) => return Done::Blocked(rounds, error.to_string()),
        };
        let Some(material) = engine.index.material(*target, id, live.as_ref()) else {
            return Done::Nothing;
        };
        if material.scope != scope {
            continue;
        }
        let Some(finding) = &material.finding else {
            return Done::Nothing;
        };
        let now = Timestamp::now();
        let planned = plan(&terms, finding, history, now);
        if material.disputed && planned != Plan::Rest {
            return Done::Blocked(rounds, DISPUTED.to_owned());
        }
        if material.hidden.is_written_by(&planned) {
            return Done::Blocked(rounds, HIDDEN.to_owned());
        }
        let written = match (planned, &live) {
            (Plan::Rest, _) => return Done::Nothing,
            (Plan::Wait(until, why), _) => return Done::Waits(until, why),
            (Plan::PutBack(fields), Some(live)) => {
                match patch::put_back(&material.declared.object, live, &fields) {
                    Ok(patch) => lead(engine, write::patch(&engine.client, place, &patch)).await,
                    Err(error) => return Done::Blocked(rounds, error.to_string()),
                }
            }
            (Plan::Create, None) => {
                let declared = &material.declared.object;
                lead(engine, write::create(&engine.client, place, declared)).await
            }
            (Plan::PutBack(_), None) | (Plan::Create, Some(_)) => continue,
        };
        match written {
            None => return Done::Nothing,
            Some(Ok(now_live)) => {
                let rounds = rounds.with_one_more(now);
                let live = disown(engine, place, now_live).await;
                let left = remains(engine, key, &terms, &live);
                *seen = Some((scope, live));
                return if left {
                    Done::Blocked(rounds, CHANGED_BACK.to_owned())
                } else {
                    Done::Reverted(rounds)
                };
            }
            Some(Err(error)) if write::is_stale(&error) => {}
            Some(Err(error)) => return Done::Blocked(rounds, refusal(&error, place)),
        }
    }
    // It changes faster than it is read; its next change leads here again.
    Done::Blocked(
        rounds,
        format!("it changed {ATTEMPTS} times while it was put back"),
    )
}

/// Nothing is written by a replica that does not lead.
async fn lead<T>(engine: &Engine, write: impl Future<Output = T>) -> Option<T> {
    if *engine.leading.borrow() {
        Some(write.await)
    } else {
        None
    }
}

async fn read(engine: &Engine, place: Place<'_>) -> cluster::Result<Option<Value>> {
    engine.metrics.object_reads.inc();
    let Place {
        kind,
        resource,
        namespace,
        name,
        ..
    } = place;
    cluster::read::object(&engine.client, kind, resource, namespace, name).await
}

/// After a write our own ownership goes. Gives the object as it is then.
async fn disown(engine: &Engine, place: Place<'_>, mut live: Value) -> Value {
    for _ in 0..ATTEMPTS {
        let Some(patch) = write::disowning(&live) else {
            break;
        };
        match write::patch(&engine.client, place, &patch).await {
            Ok(now) => live = now,
            Err(error) if write::is_stale(&error) => match read(engine, place).await {
                Ok(Some(now)) => live = now,
                _ => break,
            },
            Err(error) => {
                tracing::warn!(%error, "an entry of Driftline stays in managedFields; the deployer's next apply may find a conflict");
                break;
            }
        }
    }
    live
}

/// True if there is still something to put back in what was written a moment ago.
fn remains(engine: &Engine, (target, id): &Key, terms: &Terms, live: &Value) -> bool {
    let material = engine.index.material(*target, id, Some(live));
    let finding = material.and_then(|m| m.finding);
    let now = Timestamp::now();
    finding.is_some_and(|f| plan(terms, &f, History::default(), now) != Plan::Rest)
}

/// Why a write was refused, with the remedy where it is known.
fn refusal(error: &Error, place: Place<'_>) -> String {
    let Place {
        account, resource, ..
    } = place;
    let remedy = match error.category() {
        Category::Forbidden if error.to_string().contains("impersonate") => format!(
            ". Let Driftline act as the account: a Role in namespace {} with the verb impersonate on serviceaccounts/{} (see docs/rights.md)",
            account.namespace, account.name
        ),
        Category::Forbidden => format!(
            ". Let service account {account} patch and create {}",
            resource.plural
        ),
        _ => String::new(),
    };
    format!("{error}{remedy}")
}
