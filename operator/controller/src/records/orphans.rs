//! Orphans: nothing is told of an object that has been gone from Git for less than a minute. It is being removed, or moved to
//! another target that has not been fetched yet.

use std::time::Duration;

use cluster::index::{Change, State};
use drift::ObjectChange;
use jiff::Timestamp;

use crate::undeclared;

use super::{Entry, Note, PENDING_AFTER, Place, Records, WriteError};

/// True for an orphan, or an object that nobody declares, that does not count yet.
pub(super) fn waits(state: &State) -> bool {
    matches!(state, State::Pending(report) if matches!(report.change, ObjectChange::Orphaned | ObjectChange::Undeclared))
}

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
        if let Some(entry) = open.filter(|_| !told) {
            self.close(place.policy, place.name, entry, Note::Dropped)
                .await?;
        }
        if is_undeclared(&change.state) {
            let least = if told { Duration::ZERO } else { PENDING_AFTER };
            undeclared::tell(&self.engine, target, id, least);
            return Ok(());
        }
        let Some(rest) = rest else {
            self.engine.index.ripen(target, id);
            return Ok(());
        };
        let engine = self.engine.clone();
        let id = id.clone();
        tokio::spawn(async move {
            tokio::time::sleep(rest + Duration::from_millis(100)).await;
            engine.index.touch(target, &id);
        });
        Ok(())
    }
}

fn is_undeclared(state: &State) -> bool {
    matches!(state, State::Pending(report) if report.change == ObjectChange::Undeclared)
}
