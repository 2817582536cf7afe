//! How much may be put back in how long.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// At most so many objects in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Objects, each as often as it is put back.
    pub objects: u32,
    /// In so long.
    pub per: SignedDuration,
}

/// What of a budget was spent, and when: a log, so that in no stretch of time of that length more is put back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent(BTreeMap<Timestamp, u32>);

impl Spent {
    /// Notes one object down.
    pub fn add(&mut self, at: Timestamp) {
        *self.0.entry(at).or_default() += 1;
    }

    /// Takes back what was noted down and not spent.
    pub fn take_back(&mut self, at: Timestamp) {
        if let Some(times) = self.0.get_mut(&at) {
            *times = times.saturating_sub(1);
        }
        self.0.retain(|_, times| *times > 0);
    }

    /// Forgets what counts no more.
    pub fn forget(&mut self, budget: &Budget, now: Timestamp) {
        self.0.retain(|at, _| counts(*at, budget, now));
    }

    /// How many objects count at a time.
    pub fn used(&self, budget: &Budget, now: Timestamp) -> u32 {
        let counting = self.0.iter().filter(|(at, _)| counts(**at, budget, now));
        counting.fold(0, |sum, (_, times)| sum.saturating_add(*times))
    }

    /// When the first that counts will count no more.
    pub fn first(&self, budget: &Budget, now: Timestamp) -> Option<Timestamp> {
        let (first, _) = self.0.iter().find(|(at, _)| counts(**at, budget, now))?;
        first.checked_add(budget.per).ok()
    }

    /// When there will be room for one more; `None` if there is.
    pub fn full_until(&self, budget: &Budget, now: Timestamp) -> Option<Timestamp> {
        let mut over = self.used(budget, now).checked_sub(budget.objects)?;
        let counting = self.0.iter().filter(|(at, _)| counts(**at, budget, now));
        for (at, times) in counting {
            let Some(rest) = over.checked_sub(*times) else {
                return at.checked_add(budget.per).ok();
            };
            over = rest;
        }
        // A budget of nothing.
        Some(Timestamp::MAX)
    }
}

/// What lies ahead of a clock that went back counts.
fn counts(at: Timestamp, budget: &Budget, now: Timestamp) -> bool {
    now.duration_since(at) < budget.per
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("in range")
    }

    #[test]
    fn what_was_taken_back_was_not_spent() {
        let budget = Budget {
            objects: 2,
            per: SignedDuration::from_secs(10),
        };
        let mut spent = Spent::default();
        spent.add(at(0));
        spent.add(at(0));
        assert_eq!(spent.full_until(&budget, at(5)), Some(at(10)));
        spent.take_back(at(0));
        assert_eq!(spent.full_until(&budget, at(5)), None);
        let nothing = Budget {
            objects: 0,
            ..budget
        };
        let never = Spent::default().full_until(&nothing, at(0));
        assert_eq!(never, Some(Timestamp::MAX));
    }

    proptest! {
        #[test]
        fn in_no_stretch_of_time_is_more_put_back(objects in 1..6u32, per in 1..30i64, wishes in prop::collection::vec(0..4i64, 1..200)) {
            let budget = Budget { objects, per: SignedDuration::from_secs(per) };
            let (mut spent, mut now, mut done) = (Spent::default(), 0, Vec::new());
            for pause in wishes {
                now += pause;
                match spent.full_until(&budget, at(now)) {
                    None => {
                        spent.add(at(now));
                        done.push(now);
                    }
                    Some(until) => {
                        prop_assert!(until > at(now));
                        prop_assert_eq!(spent.full_until(&budget, until), None);
                    }
                }
                spent.forget(&budget, at(now));
            }
            for begin in &done {
                let within = done.iter().filter(|t| *t >= begin && **t < begin + per).count();
                prop_assert!(within <= objects as usize, "{done:?}");
            }
        }
    }
}
