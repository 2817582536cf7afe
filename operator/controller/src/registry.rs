//! The policies and targets there are, and what is known of each beyond the index.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::Account;
use cluster::index::TargetId;
use drift::ObjectId;
use driftline_crds::{Owner, SourceStatus};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::blame::History;
use crate::policy::PolicyKey;
use crate::undeclared::Asks;

/// A policy as status and records need it.
#[derive(Debug)]
pub struct PolicyState {
    pub key: PolicyKey,
    pub uid: String,
    pub view: Mutex<View>,
    /// Makes the policy's actor look again.
    pub wake: Notify,
    /// Drifted objects of releases that wait until Helm's storage was looked at once more, and since when.
    pub deferred: Mutex<HashMap<(TargetId, ObjectId), Instant>>,
    /// Targets with records that wait until deployers were asked what they had deployed, and since when.
    pub seeking: Mutex<HashMap<TargetId, Instant>>,
    /// Since when it has been known.
    pub begun: Instant,
    /// It had compared something before this operator started.
    pub was_compared: bool,
}

/// How long it is waited for what a policy declares before objects are told that nobody declares; longer for one that has declared
/// something before.
const UNHEARD: Duration = Duration::from_secs(60);
const SILENT: Duration = Duration::from_secs(3600);

impl PolicyState {
    /// True while what it declares is not known yet and may still come.
    fn is_undecided(&self) -> bool {
        let limit = if self.was_compared { SILENT } else { UNHEARD };
        let view = self.view.lock();
        if view.is_unfit {
            return false;
        }
        if view.stalled.is_some() || view.targets.is_empty() {
            return self.begun.elapsed() < limit;
        }
        let waits = |t: &TargetView| !t.is_declared && t.begun.elapsed() < limit;
        view.targets.iter().any(waits)
    }
}

/// What a policy's reconciling has led to so far.
#[derive(Debug, Default, Clone)]
pub struct View {
    pub generation: Option<i64>,
    pub owner: Option<Owner>,
    /// The account that decides what the policy may see, and as whom it writes.
    pub account: Option<Account>,
    /// What may be put back.
    pub terms: drift::converge::Terms,
    /// What may differ and how grave the rest is.
    pub rules: Arc<drift::rules::Rules>,
    /// The names of its targets.
    pub target_names: Arc<Vec<String>>,
    /// Why nothing is put back for now, where that is so.
    pub hold_reason: Option<String>,
    pub source: Option<SourceStatus>,
    /// Where to look for who wrote a line.
    pub history: Option<History>,
    /// The policy is wrong, or cannot be worked with until somebody mends something: reason and message.
    pub stalled: Option<(String, String)>,
    /// Its object as it is now cannot be read: nothing is written by what it said before.
    pub unreadable: bool,
    /// The policy itself is wrong: it declares nothing.
    pub is_unfit: bool,
    /// The source did not answer the last time: reason and message.
    pub source_error: Option<(String, String)>,
    /// Three intervals have passed without an answer of the source.
    pub source_stale: bool,
    pub targets: Vec<TargetView>,
    pub last_handled_check: Option<String>,
    /// What becomes of the policy and what it delivered.
    pub end: End,
    /// The digest of writes that somebody confirmed.
    pub confirmed: Option<String>,
}

impl View {
    /// True where anything may be written by what the policy says.
    pub fn may_write(&self) -> bool {
        self.stalled.is_none() && !self.is_unfit && !self.end.leaving && !self.unreadable
    }

    /// True for a target whose commits Driftline rolls out.
    pub fn delivers(&self, target: TargetId) -> bool {
        let mut all = self.targets.iter();
        all.any(|t| t.id == target && t.delivers)
    }
}

/// How a policy ends, as its object says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// What it delivered is deleted with it.
    pub deletes: bool,
    /// It waits for that.
    pub waits: bool,
    /// It is being deleted.
    pub leaving: bool,
}

/// A target as status and records need it.
#[derive(Debug, Clone)]
pub struct TargetView {
    pub id: TargetId,
    pub name: String,
    /// `None` before the first rendering.
    pub ready: Option<bool>,
    pub reason: String,
    pub message: String,
    pub revision: Option<String>,
    pub inputs: Option<String>,
    pub checked_at: Option<Timestamp>,
    /// Its commits are rolled out by Driftline.
    pub delivers: bool,
    /// What it delivered goes when Git drops it.
    pub prunes: bool,
    /// What the last verification could not look at.
    pub unverified: Option<String>,
    /// Whether it is a Helm release.
    pub is_release: bool,
    /// When Helm's storage was last looked at while Helm was not at work: no change before that is part of a roll-out.
    pub polled: Option<Instant>,
    /// Since when it has been there.
    pub begun: Instant,
    /// All that it declares was read, at some revision.
    pub is_declared: bool,
    /// What it asks about objects that nobody declares.
    pub asks: Asks,
}

/// All policies and targets.
#[derive(Debug, Default)]
pub struct Registry {
    inner: Mutex<Inner>,
    /// Told when a view has changed.
    pub touched: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    policies: HashMap<PolicyKey, Arc<PolicyState>>,
    targets: HashMap<TargetId, (Arc<PolicyState>, String)>,
    next_target: u32,
    dirty: Vec<PolicyKey>,
    listed: bool,
}

impl Registry {
    /// Adds a policy, or gives the one that is there with the same uid.
    pub fn policy(&self, key: &PolicyKey, uid: &str, was_compared: bool) -> Arc<PolicyState> {
        let mut inner = self.inner.lock();
        if let Some(state) = inner.policies.get(key).filter(|p| p.uid == uid) {
            return Arc::clone(state);
        }
        let state = Arc::new(PolicyState {
            key: key.clone(),
            uid: uid.to_owned(),
            view: Mutex::default(),
            wake: Notify::new(),
            deferred: Mutex::default(),
            seeking: Mutex::default(),
            begun: Instant::now(),
            was_compared,
        });
        inner.policies.insert(key.clone(), Arc::clone(&state));
        state
    }

    /// A policy by its name.
    pub fn get(&self, key: &PolicyKey) -> Option<Arc<PolicyState>> {
        self.inner.lock().policies.get(key).cloned()
    }

    /// Removes a policy.
    pub fn remove(&self, key: &PolicyKey) {
        let mut inner = self.inner.lock();
        inner.policies.remove(key);
        inner.targets.retain(|_, (policy, _)| policy.key != *key);
    }

    /// Numbers a target of a policy.
    pub fn add_target(&self, policy: &Arc<PolicyState>, name: &str) -> TargetId {
        let mut inner = self.inner.lock();
        inner.next_target += 1;
        let id = TargetId(inner.next_target);
        inner
            .targets
            .insert(id, (Arc::clone(policy), name.to_owned()));
        id
    }

    /// The policy and name of a target; also of one that was removed, so that its records can be closed.
    pub fn target(&self, id: TargetId) -> Option<(Arc<PolicyState>, String)> {
        self.inner.lock().targets.get(&id).cloned()
    }

    /// All policies.
    pub fn all(&self) -> Vec<Arc<PolicyState>> {
        self.inner.lock().policies.values().cloned().collect()
    }

    /// Says that all policies there are have been listed.
    pub fn set_listed(&self) {
        self.inner.lock().listed = true;
    }

    /// True once all policies there are have been listed.
    pub fn is_listed(&self) -> bool {
        self.inner.lock().listed
    }

    /// The policies of which it is not known yet what they declare.
    pub fn undecided(&self) -> Vec<Arc<PolicyState>> {
        let mut all = self.all();
        all.retain(|p| p.is_undecided());
        all
    }

    /// Says that a policy's status may have changed.
    pub fn touch(&self, key: &PolicyKey) {
        let mut inner = self.inner.lock();
        if !inner.dirty.contains(key) {
            inner.dirty.push(key.clone());
        }
        drop(inner);
        self.touched.notify_one();
    }

    /// The policies touched since the last call.
    pub fn take_touched(&self) -> Vec<PolicyKey> {
        std::mem::take(&mut self.inner.lock().dirty)
    }
}
