//! A finding in the form in which it may leave the process: redacted, capped, with lines.

use crate::Change;
use crate::declared::DeclaredObject;
use crate::judge::{Basis, Finding, ObjectChange};
use crate::lines::line_of;
use crate::ownership::Attribution;
use crate::redact::{Shown, show, show_path, show_short};
use crate::subject::GroupKind;

/// The most fields a report lists.
pub const MAX_FIELDS: usize = 25;

/// What may be said about a drifted object.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What is the matter with the object as a whole.
    pub change: ObjectChange,
    /// At most [`MAX_FIELDS`] fields.
    pub fields: Vec<ReportedField>,
    /// How many more differ.
    pub more_fields: u32,
    /// The live object's uid.
    pub uid: Option<String>,
    /// When deletion was asked for (RFC 3339).
    pub deleted_at: Option<String>,
    /// Of everything that differs, withheld values included: equal reports are about equal findings.
    pub digest: u64,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedField {
    /// Where.
    pub path: String,
    /// The last part of it.
    pub short: String,
    /// How.
    pub change: Change,
    /// What the verdict stands on.
    pub basis: Basis,
    /// The values, as far as they may be shown.
    pub shown: Shown,
    /// Who.
    pub by: Option<Attribution>,
    /// The line on which it is declared; 0 where not known.
    pub line: u32,
}

/// Redacts and caps a finding.
pub fn report(kind: &GroupKind, declared: &DeclaredObject, finding: &Finding) -> Report {
    let fields = finding
        .fields
        .iter()
        .take(MAX_FIELDS)
        .map(|field| ReportedField {
            path: show_path(kind, &field.drift.path),
            short: show_short(kind, &field.drift.path),
            change: field.drift.change,
            basis: field.basis,
            shown: show(kind, &field.drift),
            by: field.by.clone(),
            line: line_of(&declared.object, &declared.lines, &field.drift.path),
        });
    let more = finding.fields.len().saturating_sub(MAX_FIELDS);
    Report {
        change: finding.change,
        fields: fields.collect(),
        more_fields: u32::try_from(more).unwrap_or(u32::MAX),
        uid: finding.uid.clone(),
        deleted_at: finding.deleted_at.clone(),
        digest: digest(finding),
    }
}

fn digest(finding: &Finding) -> u64 {
    let mut text = format!(
        "{:?}\n{:?}\n{:?}\n",
        finding.change, finding.uid, finding.deleted_at
    );
    for field in &finding.fields {
        text.push_str(&format!(
            "{} {:?} {:?} {:?} {:?}\n",
            field.drift.path, field.basis, field.drift.declared, field.drift.live, field.by
        ));
    }
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}
