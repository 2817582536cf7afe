//! A finding in the form in which it may leave the process: redacted, capped, with lines.

use serde_json::Value;

use crate::Change;
use crate::declared::DeclaredObject;
use crate::judge::{Basis, Finding, ObjectChange};
use crate::ownership::Attribution;
use crate::path::{FieldPath, Step};
use crate::redact::{Shown, show, show_path};
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
            short: field.drift.path.short(),
            change: field.drift.change,
            basis: field.basis,
            shown: show(kind, &field.drift),
            by: field.by.clone(),
            line: line_of(declared, &field.drift.path),
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

/// The line of a path in its declaration, or of the nearest part of it that is declared; 0 where lines are not known.
pub fn line_of(declared: &DeclaredObject, path: &FieldPath) -> u32 {
    let mut value = &declared.object;
    let mut node = 0;
    for step in &path.0 {
        let Some((child, skipped)) = descend(value, step) else {
            break;
        };
        value = child;
        node += 1 + skipped;
    }
    declared.lines.get(node).copied().unwrap_or(0)
}

/// The child that a step leads to, and how many nodes stand before it in pre-order.
fn descend<'v>(value: &'v Value, step: &Step) -> Option<(&'v Value, usize)> {
    let child = FieldPath(vec![step.clone()]).get(value)?;
    let mut before = 0;
    let mut pass = |other: &'v Value| {
        let hit = std::ptr::eq(other, child);
        before += if hit { 0 } else { nodes(other) };
        hit
    };
    let found = match value {
        Value::Object(members) => members.values().any(&mut pass),
        Value::Array(items) => items.iter().any(&mut pass),
        _ => false,
    };
    found.then_some((child, before))
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(nodes).sum(),
        Value::Array(items) => items.iter().map(nodes).sum::<usize>(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::declared::Provenance;

    #[test]
    fn a_field_knows_its_line() {
        // a: 1 / b: / - name: x / image: y / c: 2, in pre-order of sorted keys.
        let object = json!({"a": 1, "b": [{"image": "y", "name": "x"}], "c": 2});
        let provenance = Provenance {
            file: "f".into(),
            document: 1,
            line: 1,
        };
        let declared = DeclaredObject {
            object,
            provenance,
            lines: vec![1, 1, 2, 3, 4, 3, 5],
            unstable: vec![],
        };
        let line = |p: &str| line_of(&declared, &p.parse().expect(p));
        assert_eq!(
            (
                line("a"),
                line("b"),
                line("b[name=x].image"),
                line("b[name=x]"),
                line("c")
            ),
            (1, 2, 4, 3, 5)
        );
        assert_eq!(line("b[name=x].gone"), 3);
        assert_eq!(
            line_of(
                &DeclaredObject {
                    lines: vec![],
                    ..declared
                },
                &"a".parse().expect("a")
            ),
            0
        );
    }
}
