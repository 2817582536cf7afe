//! Who wrote the line that declares what drifted, as a record says it. Pure.

use declared::LineOrigin;
use driftline_crds::{DeclaredAt, DriftRecordStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The line that declares what drifted: that of the first field that is declared at all, else of the object.
pub fn line(status: &DriftRecordStatus) -> Option<u32> {
    let declared = |change: &str| change != "Added";
    match status.fields.iter().find(|f| declared(&f.change)) {
        Some(field) => field.line,
        None => status.declared_at.as_ref()?.line,
    }
}

/// Says who wrote the line; `before` is what the open record said, which stays true for the same line of the same revision.
pub fn fill(
    status: &mut DriftRecordStatus,
    before: Option<&DriftRecordStatus>,
    written: Option<&LineOrigin>,
) {
    let known = before.and_then(|b| {
        let at = b.declared_at.as_ref()?;
        let now = status.declared_at.as_ref()?;
        let same = (&at.revision, &at.file, line(b)) == (&now.revision, &now.file, line(status));
        (same && at.commit.is_some()).then(|| at.clone())
    });
    let Some(at) = &mut status.declared_at else {
        return;
    };
    if let Some(written) = written {
        at.commit = Some(written.commit.clone());
        at.author = Some(drift::redact::text(&written.author));
        at.date = Timestamp::from_second(written.authored_at).ok().map(Time);
    } else if let Some(DeclaredAt {
        commit,
        author,
        date,
        ..
    }) = known
    {
        (at.commit, at.author, at.date) = (commit, author, date);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(revision: &str, fields: &Value) -> DriftRecordStatus {
        serde_json::from_value(json!({
            "state": "Open", "change": "Changed", "firstSeen": "2026-01-01T00:00:00Z", "apiVersion": "v1", "display": {"subject": "", "fields": "", "by": ""},
            "declaredAt": {"revision": revision, "file": "a.yaml", "line": 3},
            "fields": fields,
        }))
        .expect("a status")
    }

    fn field(change: &str, line: Option<u32>) -> Value {
        json!({"path": "data.a", "change": change, "basis": "Declared", "by": {"evidence": "None"}, "line": line})
    }

    fn origin() -> LineOrigin {
        LineOrigin {
            commit: "c".repeat(40),
            author: "Ann <ann@example.com>".into(),
            authored_at: 1_700_000_000,
        }
    }

    #[test]
    fn the_line_is_that_of_the_first_field_that_git_declares() {
        let of = |fields: Value| line(&status("r", &fields));
        let added = field("Added", Some(4));
        assert_eq!(of(json!([added, field("Changed", Some(7))])), Some(7));
        assert_eq!(of(json!([added])), Some(3), "nobody declared it");
        assert_eq!(of(json!([])), Some(3), "missing as a whole");
        // A value set elsewhere than in the file: the object's own line says nothing of it.
        assert_eq!(of(json!([field("Changed", None)])), None);
    }

    #[test]
    fn an_author_stays_with_the_line_and_revision_it_was_found_for() {
        let fields = |line| json!([field("Changed", Some(line))]);
        let mut before = status("main@sha1:1", &fields(7));
        fill(&mut before, None, Some(&origin()));
        let at = before.declared_at.clone().expect("there");
        assert_eq!(at.author.as_deref(), Some("Ann <ann@example.com>"));
        let author = |revision, line| {
            let mut now = status(revision, &fields(line));
            fill(&mut now, Some(&before), None);
            now.declared_at.and_then(|at| at.author)
        };
        assert_eq!(author("main@sha1:1", 7), at.author);
        assert_eq!(author("main@sha1:1", 8), None);
        assert_eq!(author("main@sha1:2", 7), None);
    }
}
