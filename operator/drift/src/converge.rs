//! What is to be done about a drifted object: decided from plain data, done elsewhere.
//!
//! Nothing is planned at Observe. At Revert only declared fields are put back whose origin the terms name, and an object that is gone is
//! created again. Somebody who changes the same object again and again is met a few times; then the fight is told instead of fought.

use jiff::{SignedDuration, Timestamp};

use crate::compare::{Change, FieldDrift};
use crate::judge::{Finding, ObjectChange};
use crate::origin::{Evidence, Origin};

/// How far a policy goes against drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rung {
    /// It reports.
    #[default]
    Observe,
    /// It puts back.
    Revert,
}

/// What a policy allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// How far it goes.
    pub rung: Rung,
    /// Drift of which origins may be put back.
    pub origins: Vec<Origin>,
    /// How long drift is left before that.
    pub after: SignedDuration,
    /// Until when nothing is put back.
    pub held_until: Option<Timestamp>,
}

impl Terms {
    /// The end of a pause that holds at a time.
    pub fn hold(&self, now: Timestamp) -> Option<Timestamp> {
        self.held_until.filter(|until| *until > now)
    }
}

/// What has happened to an object so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// Since when it has drifted, where that is known.
    pub since: Option<Timestamp>,
    /// How often it was put back lately.
    pub rounds: Rounds,
}

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
    fn full_until(self, now: Timestamp) -> Option<Timestamp> {
        let over = self.at(now).checked_sub(MOST)?;
        let gone = i32::try_from(self.times - self.at(now)).unwrap_or(i32::MAX);
        let more = i32::try_from(over).unwrap_or(i32::MAX).saturating_add(1);
        self.last?
            .checked_add(DECAY * gone.saturating_add(more))
            .ok()
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan<'a> {
    /// Nothing.
    Rest,
    /// Give these fields their declared values.
    PutBack(Vec<&'a FieldDrift>),
    /// Create the object.
    Create,
    /// Nothing before this time.
    Wait(Timestamp, Why),
}

/// Why nothing is done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Enforcement is paused.
    Held,
    /// Drift is left for a while first.
    Grace,
    /// Somebody undoes what is done.
    Contested,
}

/// What to do about a finding.
pub fn plan<'a>(terms: &Terms, finding: &'a Finding, history: History, now: Timestamp) -> Plan<'a> {
    if terms.rung != Rung::Revert {
        return Plan::Rest;
    }
    // What only the deployer knows says where drift comes from, and is no licence.
    let own = finding.evidence.is_none_or(|e| e == Evidence::Own);
    let may = |origin: Origin| {
        let origin = if own { origin } else { Origin::Unknown };
        terms.origins.contains(&origin)
    };
    let planned = match finding.change {
        ObjectChange::Missing if may(finding.origin) => Plan::Create,
        ObjectChange::Changed => {
            let declared =
                |f: &&crate::judge::JudgedField| f.drift.change != Change::Added && may(f.origin);
            let fields: Vec<&FieldDrift> = finding
                .fields
                .iter()
                .filter(declared)
                .map(|f| &f.drift)
                .collect();
            if fields.is_empty() {
                return Plan::Rest;
            }
            Plan::PutBack(fields)
        }
        _ => return Plan::Rest,
    };
    let grace = history
        .since
        .and_then(|since| since.checked_add(terms.after).ok());
    let waits = [
        (terms.hold(now), Why::Held),
        (history.rounds.full_until(now), Why::Contested),
        (grace.filter(|until| *until > now), Why::Grace),
    ];
    let first = waits
        .into_iter()
        .find_map(|(until, why)| Some((until?, why)));
    first.map_or(planned, |(until, why)| Plan::Wait(until, why))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::judge::{Basis, JudgedField};

    fn field(change: Change, origin: Origin) -> JudgedField {
        let drift = FieldDrift {
            path: "spec.replicas".parse().expect("a path"),
            change,
            declared: Some(json!(1)),
            live: Some(json!(2)),
        };
        JudgedField {
            drift,
            basis: Basis::Declared,
            origin,
            whole: 2,
        }
    }

    fn finding(change: ObjectChange, origin: Origin, fields: Vec<JudgedField>) -> Finding {
        Finding {
            change,
            fields,
            origin,
            evidence: None,
            uid: None,
            deleted_at: None,
        }
    }

    fn origin() -> impl Strategy<Value = Origin> {
        prop::sample::select(vec![
            Origin::LiveEdited,
            Origin::GitAhead,
            Origin::Diverged,
            Origin::Unknown,
        ])
    }

    fn any_finding() -> impl Strategy<Value = Finding> {
        let change = prop::sample::select(vec![Change::Changed, Change::Missing, Change::Added]);
        let object = prop::sample::select(vec![
            ObjectChange::Changed,
            ObjectChange::Missing,
            ObjectChange::Terminating,
            ObjectChange::Orphaned,
            ObjectChange::Undeclared,
        ]);
        let fields = prop::collection::vec((change, origin()).prop_map(|(c, o)| field(c, o)), 0..5);
        (object, origin(), fields).prop_map(|(c, o, f)| finding(c, o, f))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("in range")
    }

    fn revert(origins: Vec<Origin>) -> Terms {
        Terms {
            rung: Rung::Revert,
            origins,
            ..Terms::default()
        }
    }

    fn fought(rounds: Rounds) -> History {
        History {
            rounds,
            since: None,
        }
    }

    #[test]
    fn drift_is_left_for_its_grace_and_while_enforcement_is_held() {
        let edited = finding(
            ObjectChange::Changed,
            Origin::LiveEdited,
            vec![field(Change::Changed, Origin::LiveEdited)],
        );
        let terms = Terms {
            after: SignedDuration::from_secs(60),
            held_until: Some(at(100)),
            ..revert(vec![Origin::LiveEdited])
        };
        let since = |second| History {
            since: Some(at(second)),
            ..History::default()
        };
        let planned = |history, now| plan(&terms, &edited, history, at(now));
        assert_eq!(planned(since(0), 99), Plan::Wait(at(100), Why::Held));
        assert!(matches!(planned(since(0), 100), Plan::PutBack(_)));
        assert_eq!(planned(since(90), 100), Plan::Wait(at(150), Why::Grace));
        assert!(matches!(planned(since(90), 150), Plan::PutBack(_)));
    }

    #[test]
    fn a_fight_is_three_rounds_and_then_one_in_five_minutes() {
        let terms = revert(vec![Origin::LiveEdited]);
        let edited = finding(
            ObjectChange::Changed,
            Origin::LiveEdited,
            vec![field(Change::Changed, Origin::LiveEdited)],
        );
        let mut rounds = Rounds::default();
        let mut writes = Vec::new();
        for second in 0..3600 {
            match plan(&terms, &edited, fought(rounds), at(second)) {
                Plan::PutBack(_) => {
                    rounds = rounds.with_one_more(at(second));
                    writes.push(second);
                }
                Plan::Wait(until, Why::Contested) => {
                    assert!(until > at(second));
                    let then = plan(&terms, &edited, fought(rounds), until);
                    assert!(matches!(then, Plan::PutBack(_)), "{then:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(writes.get(..4), Some(&[0, 1, 2, 302][..]));
        assert!(writes.len() <= 15, "{writes:?}");
        let rested = at(3600 + 4 * 300);
        assert_eq!(rounds.at(rested), 0);
    }

    #[test]
    fn what_a_deployer_says_is_enforced_like_unknown() {
        let edited = finding(
            ObjectChange::Changed,
            Origin::LiveEdited,
            vec![field(Change::Changed, Origin::LiveEdited)],
        );
        let told = Finding {
            evidence: Some(Evidence::ArgoCD),
            ..edited
        };
        let plan_with = |origin| {
            let terms = revert(vec![origin]);
            matches!(
                plan(&terms, &told, History::default(), at(0)),
                Plan::PutBack(_)
            )
        };
        assert!(!plan_with(Origin::LiveEdited));
        assert!(plan_with(Origin::Unknown));
    }

    proptest! {
        #[test]
        fn nothing_is_written_at_observe(finding in any_finding(), origins in prop::collection::vec(origin(), 0..4), times in 0..9u32) {
            let terms = Terms { rung: Rung::Observe, ..revert(origins) };
            prop_assert_eq!(plan(&terms, &finding, fought(Rounds::noted(times, at(0))), at(1)), Plan::Rest);
        }

        #[test]
        fn only_what_is_declared_and_may_be_is_put_back(finding in any_finding(), origins in prop::collection::vec(origin(), 0..4)) {
            let terms = revert(origins.clone());
            match plan(&terms, &finding, History::default(), at(0)) {
                Plan::Create => prop_assert!(finding.change == ObjectChange::Missing && origins.contains(&finding.origin)),
                Plan::PutBack(fields) => {
                    prop_assert_eq!(finding.change, ObjectChange::Changed);
                    let may = finding.fields.iter().filter(|f| origins.contains(&f.origin) && f.drift.change != Change::Added);
                    prop_assert_eq!(fields, may.map(|f| &f.drift).collect::<Vec<_>>());
                }
                Plan::Rest => {}
                Plan::Wait(..) => prop_assert!(false, "nothing to wait for"),
            }
        }
    }
}
