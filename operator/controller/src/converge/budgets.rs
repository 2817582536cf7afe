//! What policies have spent of their budgets. It is noted down in the policy's status before anything is written, so that whoever leads
//! next goes on where this one stopped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use drift::converge::{Budget, Spent};
use driftline_crds::{BudgetStatus, Converged, DriftPolicy, Outcome};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::PatchParams;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::words;
use crate::engine::Engine;
use crate::policy::PolicyKey;
use crate::records::{WriteError, bounded, whole_seconds};
use crate::registry::PolicyState;

/// The budgets of all policies.
#[derive(Debug, Default)]
pub struct Budgets {
    purses: Mutex<HashMap<PolicyKey, Purse>>,
}

#[derive(Debug, Default)]
struct Purse {
    /// Of which policy of that name.
    uid: String,
    /// What whoever led before has spent is in it.
    taken_over: bool,
    spent: Spent,
    /// What waits for room, by what it is, which drift of it and when its record was opened: what drifts again is to be confirmed again.
    waiting: BTreeMap<String, (u64, Option<Timestamp>)>,
    /// It was told that nothing more is put back.
    told: bool,
    /// One at a time notes down.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What came of asking for a part of a budget.
pub enum Asked {
    /// It was noted down at this time.
    Spent(Timestamp),
    /// There is nothing left until then.
    Nothing(Timestamp),
    /// It could not be noted down.
    Failed(String),
}

impl Budgets {
    fn with<T>(&self, policy: &PolicyState, act: impl FnOnce(&mut Purse) -> T) -> T {
        let mut purses = self.purses.lock();
        let purse = purses.entry(policy.key.clone()).or_default();
        if purse.uid != policy.uid {
            *purse = Purse {
                uid: policy.uid.clone(),
                ..Purse::default()
            };
        }
        act(purse)
    }

    /// When a budget has room again; `None` if it has.
    pub(super) fn full_until(
        &self,
        policy: &PolicyState,
        budget: &Budget,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.with(policy, |purse| purse.spent.full_until(budget, now))
    }

    /// Spends one, and has that noted down first. What somebody confirmed goes beyond the budget, and counts all the same.
    pub async fn spend(
        &self,
        engine: &Engine,
        policy: &PolicyState,
        budget: &Budget,
        confirmed: bool,
    ) -> Asked {
        let turn = self.with(policy, |purse| Arc::clone(&purse.turn));
        let _turn = turn.lock().await;
        let now = Timestamp::now();
        let status = self.with(policy, |purse| {
            purse.spent.forget(budget, now);
            match purse.spent.full_until(budget, now) {
                Some(until) if !confirmed => Err(until),
                _ => {
                    purse.spent.add(now);
                    Ok(purse.status(budget, now))
                }
            }
        });
        let status = match status {
            Ok(status) => status,
            Err(until) => return Asked::Nothing(until),
        };
        match note_down(engine, policy, status.as_ref()).await {
            Ok(()) => Asked::Spent(now),
            Err(why) => {
                self.take_back(policy, now);
                Asked::Failed(why.to_string())
            }
        }
    }

    /// What was noted down and then not done.
    pub fn take_back(&self, policy: &PolicyState, at: Timestamp) {
        self.with(policy, |purse| purse.spent.take_back(at));
    }

    /// An object waits for room. True if it is the first, so that this has to be told.
    pub fn waits(
        &self,
        policy: &PolicyState,
        object: String,
        which: (u64, Option<Timestamp>),
    ) -> bool {
        self.with(policy, |purse| {
            purse.waiting.insert(object, which);
            !std::mem::replace(&mut purse.told, true)
        })
    }

    /// An object waits no more.
    pub fn waits_no_more(&self, policy: &PolicyState, object: &str) {
        self.with(policy, |purse| {
            purse.waiting.remove(object);
            purse.told &= !purse.waiting.is_empty();
        });
    }

    /// The objects that wait, where `digest` names just them.
    pub fn confirmed(&self, policy: &PolicyState, digest: &str) -> Vec<String> {
        self.with(policy, |purse| {
            let named = !purse.waiting.is_empty() && purse.digest() == digest;
            let all = named.then(|| purse.waiting.keys().cloned().collect());
            all.unwrap_or_default()
        })
    }

    /// What a status says of it.
    pub fn status(
        &self,
        policy: &PolicyState,
        budget: &Budget,
        now: Timestamp,
    ) -> Option<BudgetStatus> {
        self.with(policy, |purse| purse.status(budget, now))
    }

    /// Takes over from whoever led before: what its records and the status say was put back.
    pub fn take_over<'a>(
        &self,
        policy: &PolicyState,
        budget: &Budget,
        records: impl Iterator<Item = &'a Converged>,
        status: Option<&BudgetStatus>,
    ) {
        self.with(policy, |purse| {
            if purse.taken_over {
                // Another one was faster, and something may have been spent since.
                return;
            }
            let mut spent = Spent::default();
            for said in records {
                let times = match said.outcome {
                    Outcome::Reverted | Outcome::Contested | Outcome::Blocked => said.attempts,
                    Outcome::Delivered
                    | Outcome::Pruned
                    | Outcome::Waiting
                    | Outcome::Held
                    | Outcome::Observed => 0,
                };
                (0..times).for_each(|_| spent.add(said.at.0));
            }
            let now = Timestamp::now();
            // What a status counts that no record tells of any more, or not yet, may have been a moment ago.
            let is_over =
                |s: &&BudgetStatus| s.until.as_ref().is_some_and(|u| u.0 <= now && s.used <= 1);
            let used = status.filter(|s| !is_over(s)).map_or(0, |s| s.used);
            let missing = used.saturating_sub(spent.used(budget, now));
            (0..missing).for_each(|_| spent.add(now));
            purse.spent = spent;
            purse.taken_over = true;
        });
    }

    /// Forgets everything: another one led meanwhile.
    pub fn forget(&self) {
        self.purses.lock().clear();
    }

    /// True if what was spent before is known.
    pub fn is_taken_over(&self, policy: &PolicyState) -> bool {
        self.with(policy, |purse| purse.taken_over)
    }
}

impl Purse {
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (object, (drift, opened)) in &self.waiting {
            hash.update(object.as_bytes());
            hash.update([0]);
            hash.update(drift.to_be_bytes());
            // As the next leader reads it in the record: in whole seconds.
            let opened = opened.map_or(0, Timestamp::as_second);
            hash.update(opened.to_be_bytes());
        }
        words::confirmation(hash)
    }

    fn status(&self, budget: &Budget, now: Timestamp) -> Option<BudgetStatus> {
        let used = self.spent.used(budget, now);
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        if used == 0 && waiting == 0 {
            return None;
        }
        let until = self.spent.first(budget, now);
        Some(BudgetStatus {
            used,
            until: until.map(|at| Time(whole_seconds(at))),
            waiting,
            confirm: (waiting > 0).then(|| self.digest()),
        })
    }
}

async fn note_down(
    engine: &Engine,
    policy: &PolicyState,
    status: Option<&BudgetStatus>,
) -> Result<(), WriteError> {
    let patch = crate::status::patch(Some(&policy.uid), "/status/budget", status)?;
    let PolicyKey { namespace, name } = &policy.key;
    let api: Api<DriftPolicy> = Api::namespaced(engine.client.clone(), namespace);
    bounded(api.patch_status(name, &PatchParams::default(), &patch)).await?;
    engine.metrics.writes("policy_status").inc();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_confirmed_and_drifts_again_is_to_be_confirmed_again() {
        let at = |second| Timestamp::from_second(second).ok();
        let digest = |since| {
            let waiting = BTreeMap::from([("1 ConfigMap shop/a".to_owned(), (7, since))]);
            let purse = Purse {
                waiting,
                ..Purse::default()
            };
            purse.digest()
        };
        assert_eq!(digest(at(1_700_000_000)), digest(at(1_700_000_000)));
        assert_ne!(digest(at(1_700_000_000)), digest(at(1_700_000_001)));
    }
}
