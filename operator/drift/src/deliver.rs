//! Delivering what Git declares: what of an object is written, and in which order objects are.
//!
//! The whole declared object is applied, because a field that an apply leaves out goes where the one before it had it. What is not to be
//! written, be it excepted, ignored, observed or an autoscaler's, is therefore applied with the value that it has.

mod order;
pub mod prune;

use jiff::Timestamp;
use serde_json::Value;

use crate::compare::{Change, FieldDrift, compare};
use crate::converge::{History, Plan, Terms, unless_it_waits};
use crate::grade::{Grade, Graded, Ignored};
use crate::hidden::slot;
use crate::judge::{JudgedField, ObjectChange};
use crate::ladder::Rung;
use crate::origin::{Evidence, Origin};
use crate::patch::position;
use crate::path::{FieldPath, Step};
use crate::schema::Schema;

pub use order::{Outstanding, Stage, stage};

/// What to do about an object of a target whose commits are delivered; `ours` says of a field that nobody declares whether it goes by an
/// apply.
pub fn plan(
    terms: &Terms,
    graded: &Graded,
    ours: impl Fn(&FieldPath) -> bool,
    mut history: History,
    now: Timestamp,
) -> Plan {
    let Some(fields) = wanted(terms, graded, ours) else {
        return Plan::Rest;
    };
    if !puts_back(graded, &fields) {
        // Grace and budget are for what somebody edited; a commit is nobody's drift.
        (history.since, history.spent_until) = (None, None);
    }
    unless_it_waits(Plan::Apply(fields), terms, history, now)
}

/// True where somebody edited what these fields hold, or deleted the object, so that delivering it puts that back. What was edited and
/// stays, because an exception or a rule says so, does not count.
pub fn puts_back(graded: &Graded, fields: &[FieldDrift]) -> bool {
    let finding = &graded.finding;
    let own = finding.evidence.is_none_or(|e| e == Evidence::Own);
    let edited = |f: &JudgedField| {
        f.origin == Origin::LiveEdited
            && f.drift.change != Change::Added
            && fields.iter().any(|w| w.path == f.drift.path)
    };
    let is_edited = match finding.change {
        ObjectChange::Changed => finding.fields.iter().any(edited),
        _ => finding.origin == Origin::LiveEdited,
    };
    own && is_edited
}

/// The fields to write; none of an object that is created, and `None` where there is nothing to deliver.
fn wanted(
    terms: &Terms,
    graded: &Graded,
    ours: impl Fn(&FieldPath) -> bool,
) -> Option<Vec<FieldDrift>> {
    let finding = &graded.finding;
    let may = |rung: Option<Rung>, excepted: bool| {
        !excepted && rung.unwrap_or(terms.rung) == Rung::Revert
    };
    match finding.change {
        ObjectChange::Missing => may(graded.rung, graded.exception.is_some()).then(Vec::new),
        ObjectChange::Changed => {
            let all = finding.fields.iter().zip(&graded.grades);
            let wanted = |(field, grade): &(&JudgedField, &Grade)| {
                let goes = field.drift.change != Change::Added || ours(&field.drift.path);
                goes && may(grade.rung, grade.exception.is_some())
            };
            let fields: Vec<_> = all
                .filter(wanted)
                .map(|(field, _)| field.drift.clone())
                .collect();
            (!fields.is_empty()).then_some(fields)
        }
        _ => None,
    }
}

/// Why an object cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is to stay as it is and has no place in what is applied; declare it, or let no rule or exception speak of it"
)]
pub struct NoPlace(String);

/// The object to apply, and whether it holds anything that was read from the live one.
///
/// # Errors
/// Where something that is to stay cannot be kept.
pub fn object(
    declared: &Value,
    live: &Value,
    schema: &Schema,
    fields: &[FieldDrift],
    stays: &[FieldDrift],
) -> Result<(Value, bool), NoPlace> {
    let mut object = declared.clone();
    let mut kept = false;
    let is_written = |path: &FieldPath| fields.iter().any(|f| touches(&f.path, path));
    for drift in compare(declared, live, schema) {
        if is_written(&drift.path) {
            continue;
        }
        keep(&mut object, &drift.path, drift.live.as_ref())
            .ok_or_else(|| NoPlace(drift.path.to_string()))?;
        kept = true;
    }
    for drift in stays {
        keep(&mut object, &drift.path, drift.live.as_ref())
            .ok_or_else(|| NoPlace(drift.path.to_string()))?;
        kept = true;
    }
    Ok((object, kept))
}

/// What of the undeclared stays although the managers that are taken over own it: what exceptions allow, rules ignore or only report.
pub fn stays(
    graded: &Graded,
    ignored: Option<&Ignored>,
    live: &Value,
    fields: &[FieldDrift],
    ours: impl Fn(&FieldPath) -> bool,
) -> Vec<FieldDrift> {
    let told = graded.finding.fields.iter().map(|f| &f.drift.path);
    let ignored = ignored.into_iter().flat_map(|i| &i.places);
    let all = told.chain(ignored).filter(|path| ours(path));
    let unwritten = all.filter(|path| !fields.iter().any(|f| f.path == **path));
    let live = |path: &FieldPath| Some((path.clone(), path.get(live)?.clone()));
    let drift = |(path, live)| FieldDrift {
        path,
        change: Change::Added,
        declared: None,
        live: Some(live),
    };
    unwritten.filter_map(live).map(drift).collect()
}

fn touches(one: &FieldPath, other: &FieldPath) -> bool {
    let (one, other) = (&one.0, &other.0);
    let shared = one.len().min(other.len());
    one.get(..shared) == other.get(..shared)
}

/// Gives a place the value that is live, or takes it out.
fn keep(object: &mut Value, path: &FieldPath, live: Option<&Value>) -> Option<()> {
    let (last, above) = path.0.split_last()?;
    let parent = slot(object, above)?;
    let at = position(last, parent);
    match (parent, live, at, last) {
        (Value::Object(map), Some(live), _, Step::Field(name)) => {
            map.insert(name.clone(), live.clone());
        }
        (Value::Object(map), None, _, Step::Field(name)) => {
            map.remove(name);
        }
        (Value::Array(list), Some(live), Some(at), _) => {
            *list.get_mut(at.parse::<usize>().ok()?)? = live.clone();
        }
        (Value::Array(list), Some(live), None, _) => list.push(live.clone()),
        (Value::Array(list), None, Some(at), _) => {
            list.remove(at.parse().ok().filter(|n| *n < list.len())?);
        }
        (Value::Array(_), None, None, _) => {}
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
