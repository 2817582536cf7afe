//! Where what drifted is declared, and who wrote that line, in the words of the API. Pure.

use declared::LineOrigin;
use drift::declared::Provenance;
use driftline_crds::{DeclaredAt, DriftRecordStatus, Field};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Where an object, or the first of its fields, is declared; nobody is named yet.
pub fn place(object: &Provenance, revision: &str, fields: &[Field]) -> DeclaredAt {
    let begins = Some(object.line).filter(|l| *l > 0);
    DeclaredAt {
        revision: revision.to_owned(),
        file: drift::redact::cut(&drift::redact::printable(&object.file), 1024).to_owned(),
        // Documents of rendered output are counted too, but not in this file: those have no line.
        document: begins.map(|_| object.document),
        line: line(begins, fields),
        ..DeclaredAt::default()
    }
}

/// The line that declares what drifted: that of the first declared field that has one. Where no declared field drifted, that of the
/// object; where none has a line they are set elsewhere than in the file, and the object's line says nothing of them.
fn line(begins: Option<u32>, fields: &[Field]) -> Option<u32> {
    let mut declared = fields.iter().filter(|f| f.change != "Added").peekable();
    match declared.peek() {
        Some(_) => declared.find_map(|f| f.line),
        None => begins,
    }
}

/// Says who wrote the line; `before` is what the open record said, which stays true for the same line of the same revision.
pub fn fill(
    status: &mut DriftRecordStatus,
    before: Option<&DriftRecordStatus>,
    written: Option<&LineOrigin>,
) {
    let Some(at) = &mut status.declared_at else {
        return;
    };
    if let Some(written) = written {
        at.commit = Some(written.commit.clone());
        at.author = Some(drift::redact::text(&written.author));
        at.date = Timestamp::from_second(written.authored_at).ok().map(Time);
        return;
    }
    let before = before.and_then(|b| b.declared_at.as_ref());
    let same = |b: &&DeclaredAt| {
        (&b.revision, &b.file, b.line) == (&at.revision, &at.file, at.line) && b.commit.is_some()
    };
    if let Some(known) = before.filter(same) {
        at.commit.clone_from(&known.commit);
        at.author.clone_from(&known.author);
        at.date.clone_from(&known.date);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields(all: Value) -> Vec<Field> {
        serde_json::from_value(all).expect("fields")
    }

    fn field(change: &str, line: Option<u32>) -> Value {
        json!({"path": "data.a", "change": change, "basis": "Declared", "by": {"evidence": "None"}, "line": line})
    }

    /// Where a record says that something is declared which begins on line 3 of the second document.
    fn placed(revision: &str, all: Value) -> DeclaredAt {
        let object = Provenance {
            file: "a.yaml".into(),
            document: 2,
            line: 3,
        };
        place(&object, revision, &fields(all))
    }

    fn status(revision: &str, all: Value) -> DriftRecordStatus {
        let mut status: DriftRecordStatus = serde_json::from_value(json!({
            "state": "Open", "change": "Changed", "firstSeen": "2026-01-01T00:00:00Z", "apiVersion": "v1", "display": {"subject": "", "fields": "", "by": ""},
            "fields": all,
        }))
        .expect("a status");
        status.declared_at = Some(placed(revision, all));
        status
    }

    fn origin() -> LineOrigin {
        LineOrigin {
            commit: "c".repeat(40),
            author: "Ann <ann@example.com>".into(),
            authored_at: 1_700_000_000,
        }
    }

    #[test]
    fn the_line_was_the_objects_and_the_author_that_of_another_line() {
        let of = |all: Value| placed("r", all).line;
        let added = field("Added", Some(4));
        assert_eq!(of(json!([added, field("Changed", Some(7))])), Some(7));
        assert_eq!(of(json!([added])), Some(3), "nobody declared it");
        assert_eq!(of(json!([])), Some(3), "missing as a whole");
        // A value set elsewhere than in the file: the object's own line says nothing of it.
        assert_eq!(of(json!([field("Changed", None)])), None);
    }

    #[test]
    fn nobody_was_named_where_the_gravest_field_has_no_line_and_another_has() {
        let two = json!([field("Changed", None), field("Missing", Some(9))]);
        assert_eq!(placed("r", two).line, Some(9));
    }

    #[test]
    fn a_document_is_told_of_files_and_not_of_what_was_rendered() {
        let lined = placed("r", json!([field("Changed", None)]));
        assert_eq!(lined.document, Some(2));
        let rendered = Provenance {
            file: "chart/templates/a.yaml".into(),
            document: 2,
            line: 0,
        };
        assert_eq!(place(&rendered, "r", &[]).document, None);
    }

    #[test]
    fn an_author_stays_with_the_line_and_revision_it_was_found_for() {
        let all = |line| json!([field("Changed", Some(line))]);
        let mut before = status("main@sha1:1", all(7));
        fill(&mut before, None, Some(&origin()));
        let at = before.declared_at.clone().expect("there");
        assert_eq!(at.author.as_deref(), Some("Ann <ann@example.com>"));
        let author = |revision, line| {
            let mut now = status(revision, all(line));
            fill(&mut now, Some(&before), None);
            now.declared_at.and_then(|at| at.author)
        };
        assert_eq!(author("main@sha1:1", 7), at.author);
        assert_eq!(author("main@sha1:1", 8), None);
        assert_eq!(author("main@sha1:2", 7), None);
    }
}
