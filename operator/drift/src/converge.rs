//! What is to be done about a drifted object: decided from plain data, done elsewhere.
//!
//! Nothing is planned at Observe. At Revert only declared fields are put back whose origin the terms name, what was added goes where the
//! terms say so, and an object that is gone is created again. What an exception is about is left alone. Somebody who changes the same object
//! again and again is met a few times; then the fight is told instead of fought.

mod act;
mod budget;
mod rounds;
mod windows;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::compare::{Change, FieldDrift};
use crate::grade::{Grade, Graded, Ignored};
use crate::judge::{JudgedField, ObjectChange};
use crate::origin::{Evidence, Origin};

pub use crate::ladder::Rung;
pub use act::{Act, act};
pub use budget::{Budget, Spent};
pub use rounds::Rounds;
pub use windows::{Window, WindowError, Windows};

/// What a policy allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// How far it goes where no rule says otherwise.
    pub rung: Rung,
    /// Some rule goes further.
    pub raised: bool,
    /// Drift of which origins may be put back.
    pub origins: Vec<Origin>,
    /// How long drift is left before that.
    pub after: SignedDuration,
    /// Until when nothing is put back.
    pub held_until: Option<Timestamp>,
    /// When something may be put back.
    pub windows: Windows,
    /// How much.
    pub budget: Option<Budget>,
}

impl Terms {
    /// The end of a pause that holds at a time.
    pub fn hold(&self, now: Timestamp) -> Option<Timestamp> {
        self.held_until.filter(|until| *until > now)
    }

    /// True if anything may be written at all.
    pub fn writes(&self) -> bool {
        self.raised || self.rung == Rung::Revert
    }
}

/// What holds for an object besides what the policy says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// Since when it has drifted, where that is known.
    pub since: Option<Timestamp>,
    /// How often it was put back lately.
    pub rounds: Rounds,
    /// Until when the object itself asks to be left alone.
    pub held_until: Option<Timestamp>,
    /// When the policy's budget has room again; `None` where it has, or somebody confirmed that this goes beyond it.
    pub spent_until: Option<Timestamp>,
    /// Whether its deployer puts it back.
    pub healed: Healed,
}

/// Whether its deployer puts an object back by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Healed {
    /// Nobody else does.
    #[default]
    No,
    /// A deployer that lists it does.
    Yes,
    /// What deployers list is not known yet.
    NotKnown,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Nothing.
    Rest,
    /// Give these fields their declared values, and remove those that were added.
    PutBack(Vec<FieldDrift>),
    /// Create the object.
    Create,
    /// Apply the whole declared object, of which these fields are to change; none where it is to be created.
    Apply(Vec<FieldDrift>),
    /// Nothing before this time.
    Wait(Timestamp, Why),
}

/// Why nothing is done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The policy pauses enforcement.
    Held,
    /// The object asks to be left alone.
    BrokenGlass,
    /// No window is open.
    Window,
    /// Somebody undoes what is done.
    Contested,
    /// Drift is left for a while first.
    Grace,
    /// As much was put back lately as may be.
    Budget,
    /// Others are delivered first.
    Order,
    /// Its deployer puts it back.
    Healed,
    /// It is not known yet what deployers put back.
    Unlisted,
}

/// When it is looked again whether an object's deployer still puts it back, and what deployers list.
const HEALED: SignedDuration = SignedDuration::from_secs(60);
const UNLISTED: SignedDuration = SignedDuration::from_secs(15);

/// What to do about what was found; where what was added goes, `removes` says what of it rules ignore.
pub fn plan(
    terms: &Terms,
    graded: &Graded,
    removes: Option<&Ignored>,
    history: History,
    now: Timestamp,
) -> Plan {
    let planned = wanted(terms, graded, removes);
    unless_it_waits(planned, terms, history, now)
}

/// What is to be done, or why that waits.
pub(crate) fn unless_it_waits(
    planned: Plan,
    terms: &Terms,
    history: History,
    now: Timestamp,
) -> Plan {
    if planned == Plan::Rest {
        return planned;
    }
    let later = |until: Option<Timestamp>| until.filter(|until| *until > now);
    let grace = history
        .since
        .and_then(|since| since.checked_add(terms.after).ok());
    let after = |is: bool, wait| now.checked_add(wait).ok().filter(|_| is);
    let waits = [
        (after(history.healed == Healed::Yes, HEALED), Why::Healed),
        (
            after(history.healed == Healed::NotKnown, UNLISTED),
            Why::Unlisted,
        ),
        (terms.hold(now), Why::Held),
        (later(history.held_until), Why::BrokenGlass),
        (terms.windows.closed_until(now), Why::Window),
        (history.rounds.full_until(now), Why::Contested),
        (later(grace), Why::Grace),
        (later(history.spent_until), Why::Budget),
    ];
    let first = waits
        .into_iter()
        .find_map(|(until, why)| Some((until?, why)));
    first.map_or(planned, |(until, why)| Plan::Wait(until, why))
}

/// What is to be done once nothing stands in the way.
fn wanted(terms: &Terms, graded: &Graded, removes: Option<&Ignored>) -> Plan {
    let finding = &graded.finding;
    // What only the deployer knows says where drift comes from, and is no licence.
    let own = finding.evidence.is_none_or(|e| e == Evidence::Own);
    let may = |origin: Origin, rung: Option<Rung>, excepted: bool| {
        let origin = if own { origin } else { Origin::Unknown };
        !excepted && rung.unwrap_or(terms.rung) == Rung::Revert && terms.origins.contains(&origin)
    };
    match finding.change {
        ObjectChange::Missing if may(finding.origin, graded.rung, graded.exception.is_some()) => {
            Plan::Create
        }
        ObjectChange::Changed => {
            let all = finding.fields.iter().zip(&graded.grades);
            let allowed = |(field, grade): &(&JudgedField, &Grade)| {
                may(field.origin, grade.rung, grade.exception.is_some())
            };
            let (added, declared): (Vec<_>, Vec<_>) =
                all.partition(|(field, _)| field.drift.change == Change::Added);
            let declared = declared.into_iter().filter(allowed);
            let mut fields: Vec<FieldDrift> =
                declared.map(|(field, _)| field.drift.clone()).collect();
            if let Some(ignored) = removes {
                fields.extend(removals(&added, ignored, allowed));
            }
            if fields.is_empty() {
                Plan::Rest
            } else {
                Plan::PutBack(fields)
            }
        }
        _ => Plan::Rest,
    }
}

/// Why nothing is to be done about what drifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It is not declared, or was added to what is.
    Undeclared,
    /// It is being deleted.
    Terminating,
    /// An exception allows it.
    Excepted,
    /// A rule says that it is only reported.
    Rule,
    /// Its origin may not be put back.
    Origin(Origin),
}

/// Why nothing is to be done about what was found, where [`plan`] rests.
pub fn left(terms: &Terms, graded: &Graded, removes: bool) -> Left {
    let finding = &graded.finding;
    let why = |origin: Origin, rung: Option<Rung>, excepted: bool| {
        if excepted {
            Left::Excepted
        } else if rung.unwrap_or(terms.rung) != Rung::Revert {
            Left::Rule
        } else {
            Left::Origin(origin)
        }
    };
    match finding.change {
        ObjectChange::Missing => why(finding.origin, graded.rung, graded.exception.is_some()),
        ObjectChange::Terminating => Left::Terminating,
        ObjectChange::Orphaned | ObjectChange::Undeclared => Left::Undeclared,
        ObjectChange::Changed => {
            let all = finding.fields.iter().zip(&graded.grades);
            let mut could = all.filter(|(f, _)| removes || f.drift.change != Change::Added);
            could.next().map_or(Left::Undeclared, |(field, grade)| {
                why(field.origin, grade.rung, grade.exception.is_some())
            })
        }
    }
}

/// What was added as a whole goes as a whole, and only where all of it may.
fn removals<'a>(
    added: &[(&'a JudgedField, &'a Grade)],
    ignored: &Ignored,
    allowed: impl Fn(&(&'a JudgedField, &'a Grade)) -> bool,
) -> Vec<FieldDrift> {
    let mut wholes: BTreeMap<String, Option<FieldDrift>> = BTreeMap::new();
    for one in added {
        let (field, _) = one;
        let path = field.outermost();
        let key = path.to_string();
        let drift = FieldDrift {
            path,
            ..field.drift.clone()
        };
        let whole = wholes.entry(key).or_insert(Some(drift));
        if !allowed(one) || ignored.is_within(&field.outermost()) {
            *whole = None;
        }
    }
    wholes.into_values().flatten().collect()
}

#[cfg(test)]
#[path = "converge_tests.rs"]
mod tests;
#[cfg(test)]
mod world_tests;
