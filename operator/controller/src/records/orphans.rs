//! Orphans: nothing is told of an object that has been gone from Git for less than a minute. It is being removed, or moved to
//! another target that has not been fetched yet.

use std::time::Duration;

use cluster::index::{Change, State};
use drift::ObjectChange;
use jiff::Timestamp;

use crate::undeclared;

use super::{Entry, Note, PENDING_AFTER, Place, Records, WriteError};

/// True for an orphan that does not count yet.
pub(super) fn waits(state: &State) -> bool {
    matches!(state, State::Pending(report) if matches!(report.change, ObjectChange::Orphaned | ObjectChange::Undeclared))
}

/// How soon an object is looked at again that may only not be told because a policy is not known yet.
const UNDECIDED: Duration = Duration::from_secs(5);

impl Records {
    /// Has an orphan told after a minute; at once where a record of it is open, as after a restart.
    pub(super) async fn leave(&self, change: &Change, place: Place<'_>) -> Result<(), WriteError> {
        let now = Timestamp::now();
        let (target, id) = (change.target, &change.id);
        let since = self.engine.leaving.waits(target, id, now);
        let waited = now.duration_since(since).unsigned_abs();
        let open = place.known.filter(Entry::is_open);
        let told = open.as_ref().is_some_and(Entry::is_orphan);
        let rest = PENDING_AFTER
            .checked_sub(waited)
            .filter(|r| !told && !r.is_zero());
        let undecided = is_undeclared(&change.state) && self.engine.registry.undecided().is_some();
        let rest = rest.or(undecided.then_some(UNDECIDED));
        let Some(rest) = rest else {
            self.engine.index.ripen(target, id);
            return Ok(());
        };
        if let Some(entry) = open.filter(|_| !told) {
            self.close(place.policy, place.name, entry, Note::Dropped)
                .await?;
        }
        let engine = self.engine.clone();
        let id = id.clone();
        tokio::spawn(async move {
            tokio::time::sleep(rest + Duration::from_millis(100)).await;
            undeclared::confirm(&engine, target, &id).await;
            engine.index.touch(target, &id);
        });
        Ok(())
    }
}

fn is_undeclared(state: &State) -> bool {
    matches!(state, State::Pending(report) if report.change == ObjectChange::Undeclared)
}
