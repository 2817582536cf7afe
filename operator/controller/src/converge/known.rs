//! What is known of objects that are or were put back, and whose turn it is.

use std::collections::HashMap;

use cluster::index::TargetId;
use drift::ObjectId;
use drift::converge::{History, Rounds, Terms};
use driftline_crds::{Converged, Outcome};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::budgets::Budgets;
use super::words;
use crate::engine::Engine;
use crate::registry::PolicyState;

/// Objects that were put back lately, of which that is remembered.
const REMEMBERED: usize = 10_000;

/// An object, as a target declares it.
pub type Key = (TargetId, ObjectId);

/// Everything that is known of putting back.
#[derive(Debug, Default)]
pub struct Converging {
    inner: Mutex<Inner>,
    pub(super) offered: Notify,
    pub budgets: Budgets,
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
    opened: Option<Timestamp>,
    /// Who changed it, in a few words.
    by: String,
    /// The drift that was last tried to end, by the digest of its report, and the terms then.
    tried: Option<(u64, Terms)>,
    /// Somebody confirmed that this drift goes beyond the budget.
    confirmed: Option<u64>,
    /// When it is looked at again.
    again: Option<Timestamp>,
    /// How often in a row the API server was not well.
    failures: u32,
    said: Option<Converged>,
}

/// Drift that may be to be put back.
pub struct Offer<'a> {
    /// The digest of its report.
    pub drift: u64,
    pub terms: Terms,
    pub since: Timestamp,
    /// When its record was opened, where it has one.
    pub opened: Option<Timestamp>,
    pub by: &'a str,
    /// What its record says came of it.
    pub before: Option<&'a Converged>,
}

/// What is known of an object at an attempt.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    pub history: History,
    /// When its record was opened, where it has one.
    pub opened: Option<Timestamp>,
    pub by: String,
    pub drift: u64,
    pub is_confirmed: bool,
    /// The outcome of the last attempt.
    pub last: Option<Outcome>,
}

impl Converging {
    /// Hands in drift that may be to be put back. What was tried before is not tried again before its time, unless it is another drift.
    pub fn offer(&self, (target, id): (TargetId, &ObjectId), offer: Offer<'_>) {
        let mut inner = self.inner.lock();
        let key = (target, id.clone());
        let known = inner.known.entry(key.clone()).or_default();
        if let (None, Some(before)) = (&known.said, offer.before) {
            known.rounds = Rounds::noted(before.attempts, before.at.0);
        }
        known.since = Some(offer.since);
        known.opened = offer.opened;
        offer.by.clone_into(&mut known.by);
        let tried = (offer.drift, offer.terms);
        let stands = known.said.as_ref().is_some_and(|s| !s.outcome.is_done());
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

    /// Lets what waits for the budget go through once, where the digest names just that.
    pub fn confirm(&self, policy: &PolicyState, digest: &str) {
        let objects = self.budgets.confirmed(policy, digest);
        if objects.is_empty() {
            return;
        }
        tracing::info!(policy = %policy.key, objects = objects.len(), "what waits for the budget was confirmed and goes through once");
        let mut inner = self.inner.lock();
        let targets: Vec<TargetId> = policy.view.lock().targets.iter().map(|t| t.id).collect();
        let mut keys = Vec::new();
        for (key, known) in &mut inner.known {
            if targets.contains(&key.0) && objects.contains(&object(key)) {
                known.confirmed = known.tried.as_ref().map(|(drift, _)| *drift);
                keys.push(key.clone());
            }
        }
        keys.into_iter().for_each(|key| inner.wait(key));
        drop(inner);
        self.offered.notify_one();
    }

    /// How often an object was put back lately.
    pub fn rounds(&self, key: &Key) -> Rounds {
        let inner = self.inner.lock();
        inner.known.get(key).map(|k| k.rounds).unwrap_or_default()
    }

    /// Has everything looked at again that was left to its deployer, or until it is known what deployers heal.
    pub fn reconsider(&self) {
        let mut inner = self.inner.lock();
        let is_left = |said: &Converged| {
            said.outcome == Outcome::Observed
                || (said.outcome == Outcome::Waiting && said.reason == words::UNLISTED)
        };
        let left = inner.known.iter();
        let left = left.filter(|(_, known)| known.said.as_ref().is_some_and(is_left));
        let keys: Vec<Key> = left.map(|(key, _)| key.clone()).collect();
        keys.into_iter().for_each(|key| inner.wait(key));
        drop(inner);
        self.offered.notify_one();
    }

    /// Has an object looked at again.
    pub fn again(&self, key: Key) {
        self.inner.lock().wait(key);
        self.offered.notify_one();
    }

    /// Sets when an object is looked at again; false where that is so already, or sooner.
    pub(super) fn wakes(&self, key: &Key, at: Timestamp, now: Timestamp) -> bool {
        let mut inner = self.inner.lock();
        let known = inner.known.entry(key.clone()).or_default();
        let sooner = known.again.is_some_and(|again| again > now && again <= at);
        if !sooner {
            known.again = Some(at);
        }
        !sooner
    }

    /// True if that is still so.
    pub(super) fn is_due(&self, key: &Key, at: Timestamp) -> bool {
        let mut inner = self.inner.lock();
        let known = inner.known.get_mut(key);
        let again = known.and_then(|k| k.again.take_if(|again| *again == at));
        again.is_some()
    }

    /// Counts how often in a row the API server was not well.
    pub(super) fn fared(&self, key: &Key, failed: bool) -> u32 {
        let mut inner = self.inner.lock();
        if !failed {
            // Of what is not known nothing is counted, and nothing kept.
            if let Some(known) = inner.known.get_mut(key) {
                known.failures = 0;
            }
            return 0;
        }
        let known = inner.known.entry(key.clone()).or_default();
        known.failures = known.failures.saturating_add(1);
        known.failures
    }

    /// Those whose turn it is.
    pub(super) fn take(&self) -> Vec<Key> {
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

    pub(super) fn standing(&self, key: &Key) -> Standing {
        let inner = self.inner.lock();
        let Some(known) = inner.known.get(key) else {
            return Standing::default();
        };
        let drift = known.tried.as_ref().map_or(0, |(drift, _)| *drift);
        Standing {
            history: History {
                since: known.since,
                rounds: known.rounds,
                ..History::default()
            },
            opened: known.opened,
            by: known.by.clone(),
            drift,
            is_confirmed: known.confirmed == Some(drift),
            last: known.said.as_ref().map(|s| s.outcome),
        }
    }

    /// Notes what came of it; true where that is news.
    pub(crate) fn note(&self, key: &Key, rounds: Rounds, said: Converged) -> bool {
        let mut inner = self.inner.lock();
        let known = inner.known.entry(key.clone()).or_default();
        known.rounds = rounds;
        if said.outcome.is_done() {
            known.confirmed = None;
        }
        let same = known
            .said
            .as_ref()
            .is_some_and(|s| s.outcome == said.outcome && s.reason == said.reason);
        known.said = Some(said);
        if inner.known.len() > REMEMBERED {
            let now = Timestamp::now();
            inner.known.retain(|_, k| k.rounds.at(now) > 0);
        }
        !same
    }

    /// There was nothing to put back: when the same drift is handed in again, it is tried again.
    pub(super) fn was_nothing(&self, key: &Key, drift: u64) {
        let mut inner = self.inner.lock();
        if let Some(known) = inner.known.get_mut(key) {
            known.tried.take_if(|(tried, _)| *tried == drift);
        }
    }

    /// Drift is over, by whomever.
    pub fn is_over(&self, policy: &PolicyState, target: TargetId, id: &ObjectId) {
        let key = (target, id.clone());
        self.budgets.waits_no_more(policy, &object(&key));
        // The same drift, made again, is another one.
        if let Some(known) = self.inner.lock().known.get_mut(&key) {
            known.tried = None;
            known.confirmed = None;
        }
    }

    /// True while an object is being put back; it is queued in the index again once that is done.
    pub fn is_at_work(&self, target: TargetId, id: &ObjectId) -> bool {
        let mut inner = self.inner.lock();
        let told = inner.running.get_mut(&(target, id.clone()));
        told.map(|told| *told = true).is_some()
    }

    /// True while objects of these targets are being written.
    pub fn is_busy(&self, targets: &[TargetId]) -> bool {
        let inner = self.inner.lock();
        inner
            .running
            .keys()
            .any(|(target, _)| targets.contains(target))
    }

    pub(super) fn done(&self, engine: &Engine, key: &Key) {
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

/// A target's object, as budgets name it.
pub fn object((target, id): &Key) -> String {
    format!("{} {id}", target.0)
}
