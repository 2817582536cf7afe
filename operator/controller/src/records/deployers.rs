//! Records of what differed at first sight wait until its deployer was asked (see [`crate::evidence`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::index::{Change, State};

use super::Records;
use crate::registry::{PolicyState, TargetView};

/// How long a record waits for what its object's deployer knows.
const DEPLOYER: Duration = Duration::from_secs(60);

impl Records {
    /// What was not in sync when it was first seen may be told with an origin once its deployer was asked; but it is told.
    pub(super) fn awaits_deployer(&self, policy: &PolicyState, change: &Change) -> bool {
        if !change.unproven || !matches!(change.state, State::Drifted(_)) {
            return false;
        }
        let target = change.target;
        let is_release = |t: &TargetView| t.id == target && t.is_release;
        if policy.view.lock().targets.iter().any(is_release) {
            return false;
        }
        let mut seeking = policy.seeking.lock();
        let is_first = !seeking.contains_key(&target);
        let since = *seeking.entry(target).or_insert_with(Instant::now);
        drop(seeking);
        if since.elapsed() >= DEPLOYER {
            return false;
        }
        if is_first {
            let engine = Arc::clone(&self.engine);
            tokio::spawn(async move {
                tokio::time::sleep(DEPLOYER).await;
                let policy = engine.registry.target(target).map(|(policy, _)| policy);
                if policy.is_some_and(|p| p.seeking.lock().get(&target) == Some(&since)) {
                    engine.index.requeue(target);
                }
            });
        }
        policy.wake.notify_one();
        true
    }
}
