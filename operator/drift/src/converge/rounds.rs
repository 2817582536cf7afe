//! How often an object was put back lately.

use jiff::{SignedDuration, Timestamp};

/// How often an object was written to lately: one time is forgotten in [`DECAY`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rounds {
    times: u32,
    last: Option<Timestamp>,
}

/// So many times an object is put back before it counts as fought over.
const MOST: u32 = 3;
/// How long it takes for one time to be forgotten.
const DECAY: SignedDuration = SignedDuration::from_mins(5);

impl Rounds {
    /// As it was noted down: so many times, the last at a time.
    pub fn noted(times: u32, last: Timestamp) -> Self {
        Self {
            times,
            last: Some(last),
        }
    }

    /// How many times count at a time.
    pub fn at(self, now: Timestamp) -> u32 {
        let Some(last) = self.last else {
            return 0;
        };
        // A clock that went back forgets nothing.
        let passed = now.duration_since(last).as_secs().max(0) / DECAY.as_secs();
        self.times
            .saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    /// With one more time.
    #[must_use]
    pub fn with_one_more(self, now: Timestamp) -> Self {
        Self::noted(self.at(now).saturating_add(1), now)
    }

    /// When there will be room for one more; `None` if there is.
    pub(super) fn full_until(self, now: Timestamp) -> Option<Timestamp> {
        let over = self.at(now).checked_sub(MOST)?;
        let gone = i32::try_from(self.times - self.at(now)).unwrap_or(i32::MAX);
        let more = i32::try_from(over).unwrap_or(i32::MAX).saturating_add(1);
        self.last?
            .checked_add(DECAY * gone.saturating_add(more))
            .ok()
    }
}
