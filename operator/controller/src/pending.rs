//! Since when commits have been waiting to be rolled out, object by object.

use std::collections::HashMap;

use cluster::index::TargetId;
use drift::ObjectId;
use jiff::Timestamp;
use parking_lot::Mutex;

/// What waits for a roll-out.
#[derive(Debug, Default)]
pub struct Pending {
    since: Mutex<HashMap<(TargetId, ObjectId), Timestamp>>,
}

impl Pending {
    /// Notes that an object waits, since `at` or longer; gives since when it has.
    pub fn waits(&self, target: TargetId, id: &ObjectId, at: Timestamp) -> Timestamp {
        let mut since = self.since.lock();
        let since = since.entry((target, id.clone())).or_insert(at);
        *since = (*since).min(at);
        *since
    }

    /// Since when an object has waited, if it does.
    pub fn since(&self, target: TargetId, id: &ObjectId) -> Option<Timestamp> {
        self.since.lock().get(&(target, id.clone())).copied()
    }

    /// Notes that an object does not wait any more; true if it did.
    pub fn is_over(&self, target: TargetId, id: &ObjectId) -> bool {
        let mut since = self.since.lock();
        !since.is_empty() && since.remove(&(target, id.clone())).is_some()
    }

    /// Forgets all: what waits is noted anew by who leads.
    pub fn forget(&self) {
        self.since.lock().clear();
    }

    /// Since when a target's oldest has been waiting.
    pub fn oldest(&self, target: TargetId) -> Option<Timestamp> {
        let since = self.since.lock();
        since
            .iter()
            .filter(|((t, _), _)| *t == target)
            .map(|(_, at)| *at)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use drift::GroupKind;

    use super::*;

    #[test]
    fn the_oldest_counts_until_it_is_over() {
        let pending = Pending::default();
        let target = TargetId(1);
        let id = |name| ObjectId::new(GroupKind::new("", "ConfigMap"), Some("shop"), name);
        let at = |second| Timestamp::from_second(second).expect("in range");
        assert_eq!(pending.waits(target, &id("a"), at(1)), at(1));
        assert_eq!(pending.waits(target, &id("b"), at(2)), at(2));
        assert_eq!(pending.waits(target, &id("a"), at(3)), at(1));
        assert_eq!(pending.oldest(target), Some(at(1)));
        // What a record of before a restart says.
        assert_eq!(pending.waits(target, &id("a"), at(0)), at(0));
        pending.is_over(target, &id("a"));
        assert_eq!(pending.oldest(target), Some(at(2)));
        assert_eq!(pending.oldest(TargetId(2)), None);
    }
}
