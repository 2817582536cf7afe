//! A finding in the form in which it may leave the process: redacted, capped, with lines.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use crate::Change;
use crate::attribution::Actor;
use crate::compare::FieldDrift;
use crate::declared::DeclaredObject;
use crate::grade::{Grade, Graded, said};
use crate::judge::{Basis, JudgedField, ObjectChange};
use crate::lines::line_of;
use crate::origin::{Evidence, Origin};
use crate::ownership::Owners;
use crate::path::FieldPath;
use crate::redact::{Shown, show, show_path, show_short};
use crate::schema::Schema;
use crate::severity::Severity;
use crate::subject::GroupKind;

/// The most fields a report lists.
pub const MAX_FIELDS: usize = 25;

/// What may be said about a drifted object.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What is the matter with the object as a whole.
    pub change: ObjectChange,
    /// How grave it is.
    pub severity: Severity,
    /// The rules that applied and what they did, where any did.
    pub rule: Option<String>,
    /// At most [`MAX_FIELDS`] fields, the gravest first.
    pub fields: Vec<ReportedField>,
    /// How many more differ.
    pub more_fields: u32,
    /// Everything of the object was compared, and all that differs is among the fields. Whoever judged it sets that.
    pub complete: bool,
    /// Who, where this is about the object as a whole.
    pub by: Actor,
    /// The gravest of all fields; for a whole object its own.
    pub origin: Origin,
    /// What the baseline is known from, where there is one.
    pub evidence: Option<Evidence>,
    /// The live object's uid.
    pub uid: Option<String>,
    /// When deletion was asked for (RFC 3339).
    pub deleted_at: Option<String>,
    /// What the object says of who declares or owns it, where that is not confirmed.
    pub claim: Option<String>,
    /// The exceptions that allow some of it, by name.
    pub exceptions: Vec<Arc<str>>,
    /// Exceptions allow all of it.
    pub is_excepted: bool,
    /// Of everything that differs, withheld values included: equal reports are about equal findings.
    pub digest: u64,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedField {
    /// Where, as it may be shown.
    pub path: String,
    /// Where. Not to be shown.
    pub place: FieldPath,
    /// The last part of it.
    pub short: String,
    /// How.
    pub change: Change,
    /// How grave it is.
    pub severity: Severity,
    /// What the verdict stands on.
    pub basis: Basis,
    /// Who moved: live, Git, or both.
    pub origin: Origin,
    /// The values, as far as they may be shown.
    pub shown: Shown,
    /// Who.
    pub by: Actor,
    /// Of where it is, how it differs and what is live there.
    pub digest: u64,
    /// The line on which it is declared; 0 where not known.
    pub line: u32,
}

/// Redacts and caps a finding; `live` is the object it is about, where it exists.
pub fn report(
    kind: &GroupKind,
    declared: &DeclaredObject,
    schema: &Schema,
    live: Option<&Value>,
    graded: &Graded,
) -> Report {
    let finding = &graded.finding;
    let owners = live.map(Owners::of);
    let by = |field: &JudgedField| {
        let (Some(live), Some(owners)) = (live, &owners) else {
            return Actor::default();
        };
        let path = &field.drift.path;
        if field.drift.live.is_some() {
            return Actor::of_owner(owners.owner(path, schema));
        }
        // Only what was there before has been removed.
        let removed = matches!(field.origin, Origin::LiveEdited | Origin::Diverged);
        match owners.owner_of_absence(path, schema) {
            None if removed => Actor::of_removal(live),
            owner => Actor::of_owner(owner),
        }
    };
    let told = told(graded, live);
    let more = told.len().saturating_sub(MAX_FIELDS);
    let fields: Vec<ReportedField> = told
        .into_iter()
        .take(MAX_FIELDS)
        .map(|(drift, field, severity)| ReportedField {
            severity,
            path: show_path(kind, &drift.path),
            short: show_short(kind, &drift.path),
            change: drift.change,
            basis: field.basis,
            origin: field.origin,
            shown: show(kind, [Some(&declared.object), live], &drift),
            by: by(field),
            digest: field_digest(&drift),
            line: line_of(&declared.object, &declared.lines, &drift.path),
            place: drift.path,
        })
        .collect();
    Report {
        change: finding.change,
        severity: graded.severity,
        rule: Some(said(&graded.applied)).filter(|r| !r.is_empty()),
        digest: digest(graded, &fields),
        fields,
        more_fields: u32::try_from(more).unwrap_or(u32::MAX),
        complete: false,
        by: match (finding.change, live) {
            (ObjectChange::Terminating, Some(live)) => Actor::of_removal(live),
            _ => Actor::default(),
        },
        origin: finding.origin,
        evidence: finding.evidence,
        uid: finding.uid.clone(),
        deleted_at: finding.deleted_at.clone(),
        claim: None,
        exceptions: graded.exceptions(),
        is_excepted: graded.is_excepted(),
    }
}

impl Report {
    /// Adds what the object says of itself.
    pub fn with_claim(mut self, claim: Option<&str>) -> Self {
        if let Some(claim) = claim {
            self.digest ^= xxhash_rust::xxh3::xxh3_64(claim.as_bytes());
            self.claim = Some(claim.to_owned());
        }
        self
    }
}

/// The differences in the order in which they are told, with the gravest of the fields that each stands for: a struct that was added
/// as a whole is one.
fn told<'a>(
    graded: &'a Graded,
    live: Option<&Value>,
) -> Vec<(FieldDrift, &'a JudgedField, Severity)> {
    let mut wholes: HashSet<String> = HashSet::new();
    let fields = graded.finding.fields.iter().zip(&graded.grades);
    let one = |(field, grade): (&'a JudgedField, &'a Grade)| {
        let whole = Some(field.outermost()).filter(|whole| *whole != field.drift.path);
        let value = whole.as_ref().and_then(|w| w.get(live?));
        let (Some(path), Some(value)) = (&whole, value) else {
            return Some((field.drift.clone(), field, grade.severity));
        };
        let drift = FieldDrift {
            path: path.clone(),
            live: Some(value.clone()),
            ..field.drift.clone()
        };
        wholes
            .insert(path.to_string())
            .then_some((drift, field, grade.severity))
    };
    fields.filter_map(one).collect()
}

fn field_digest(drift: &FieldDrift) -> u64 {
    let text = format!("{} {:?} {:?}", drift.path, drift.change, drift.live);
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

fn digest(graded: &Graded, shown: &[ReportedField]) -> u64 {
    let finding = &graded.finding;
    let mut text = format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n",
        finding.change, finding.uid, finding.deleted_at, finding.origin, finding.evidence
    );
    text.push_str(&format!("{:?} {:?}\n", graded.rung, graded.exception));
    text.push_str(&format!("{:?}\n{:?}\n", graded.grades, graded.applied));
    for field in &finding.fields {
        text.push_str(&format!(
            "{} {:?} {:?} {:?} {:?}\n",
            field.drift.path, field.basis, field.origin, field.drift.declared, field.drift.live
        ));
    }
    for field in shown {
        text.push_str(&format!("{:?}\n", field.by));
    }
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}
