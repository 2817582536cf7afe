//! Words that all outputs share.

use driftline_crds::{Actor, DeclaredAt, Field, Origin, RecordChange, Severity};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::model::{Finding, NotChecked, Outcome};

/// A text of somebody else's, on one line and without what a terminal would obey: whoever writes to a repository or the cluster writes it.
pub fn clean(text: &str) -> String {
    drift::redact::printable(text).into_owned()
}

/// A value in one line, as JSON. Values are redacted and capped where they come from; control characters are JSON's escapes.
pub fn value(value: &Value) -> String {
    clean(&value.to_string())
}

/// The declared side of a field; of what was cut, what differs.
pub fn declared(field: &Field) -> String {
    side(
        field,
        field.excerpt.as_ref().map(|e| &e.declared),
        field.declared.as_ref(),
    )
}

/// The live side of a field; of what was cut, what differs.
pub fn live(field: &Field) -> String {
    side(
        field,
        field.excerpt.as_ref().map(|e| &e.live),
        field.live.as_ref(),
    )
}

fn side(field: &Field, excerpt: Option<&Value>, whole: Option<&Value>) -> String {
    match (excerpt, whole) {
        (Some(differs), _) => value(differs),
        (None, Some(v)) if field.truncated => format!("{} (cut)", value(v)),
        (None, Some(v)) => value(v),
        (None, None) if field.sensitive => "(withheld)".to_owned(),
        (None, None) => "(none)".to_owned(),
    }
}

/// Whether the field has this side at all: nothing is declared of what was added, nothing is live of what is missing.
pub fn has_declared(field: &Field) -> bool {
    field.change != "Added"
}

/// See [`has_declared`].
pub fn has_live(field: &Field) -> bool {
    field.change != "Missing"
}

/// Who, in a few words.
pub fn actor(by: &Actor) -> String {
    let mut words = Vec::new();
    if !by.user.is_empty() {
        words.push(format!("{} (authenticated)", by.user));
    }
    if !by.workload.is_empty() {
        words.push(by.workload.clone());
    }
    if !by.manager.is_empty() {
        let sub = if by.subresource.is_empty() {
            String::new()
        } else {
            format!("/{}", by.subresource)
        };
        words.push(format!("{}{sub}", by.manager));
    }
    if !by.message.is_empty() {
        words.push(by.message.clone());
    }
    clean(&words.join(", "))
}

/// Who and when.
pub fn actor_and_time(by: &Actor, now: Timestamp) -> String {
    let who = actor(by);
    match &by.at {
        Some(at) if !who.is_empty() => format!("{who}, {} ({})", at.0, ago(at, now)),
        _ if who.is_empty() => "nobody is named".to_owned(),
        _ => who,
    }
}

/// How long ago, as kubectl says it.
pub fn ago(at: &Time, now: Timestamp) -> String {
    format!("{} ago", age(at, now))
}

/// An age as kubectl says it.
pub fn age(at: &Time, now: Timestamp) -> String {
    let seconds = (now.as_second() - at.0.as_second()).max(0);
    match seconds {
        s if s < 120 => format!("{s}s"),
        s if s < 2 * 3600 => format!("{}m", s / 60),
        s if s < 2 * 86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// `deploy/web.yaml:31`.
pub fn place(at: &DeclaredAt, line: Option<u32>) -> String {
    match line.or(at.line) {
        Some(line) => format!("{}:{line}", clean(&at.file)),
        None => clean(&at.file),
    }
}

/// Who wrote the line, where known.
pub fn written(at: &DeclaredAt) -> Option<String> {
    let commit = at.commit.as_deref()?;
    let short = commit.get(..10).unwrap_or(commit);
    let author = at.author.as_deref().unwrap_or("somebody");
    let date = at.date.as_ref().map(|d| d.0.to_string());
    let day = date
        .as_deref()
        .and_then(|d| d.get(..10))
        .map(|d| format!(", {d}"));
    let text = format!("{author}{}, {short}", day.unwrap_or_default());
    Some(clean(&text))
}

/// What is the matter with the object as a whole.
pub fn change(finding: &Finding) -> String {
    match finding.change {
        RecordChange::Changed => {
            let count = finding.fields.len() as u64 + u64::from(finding.more_fields);
            match count {
                1 => "1 field differs".to_owned(),
                n => format!("{n} fields differ"),
            }
        }
        RecordChange::Missing => "declared, and not there".to_owned(),
        RecordChange::Terminating => "deleted, and held by a finalizer".to_owned(),
        RecordChange::Orphaned => "no longer declared, and still there".to_owned(),
        RecordChange::Undeclared => "not declared".to_owned(),
    }
}

/// Who moved, in words. Of the object as a whole that is the gravest field's; the others say their own.
pub fn origin(finding: &Finding) -> String {
    let whole = moved(finding.origin);
    if is_mixed(finding.origin, &finding.fields) {
        format!("{whole}, except where it says otherwise")
    } else {
        whole.to_owned()
    }
}

/// Who moved a field, where that is not what is said of the object as a whole.
pub fn own_origin(finding: &Finding, field: &Field) -> Option<&'static str> {
    differs(finding.origin, field).then(|| moved(field.origin))
}

/// True where not all fields have the origin of the object as a whole.
pub fn is_mixed(whole: Option<Origin>, fields: &[Field]) -> bool {
    fields.iter().any(|f| differs(whole, f))
}

fn differs(whole: Option<Origin>, field: &Field) -> bool {
    let known = whole.unwrap_or(Origin::Unknown);
    field.origin.is_some_and(|own| own != known)
}

fn moved(origin: Option<Origin>) -> &'static str {
    match origin {
        Some(Origin::LiveEdited) => "edited live",
        Some(Origin::GitAhead) => "Git is ahead: not rolled out",
        Some(Origin::Diverged) => "edited live and changed in Git",
        Some(Origin::Unknown) | None => "origin unknown",
    }
}

/// A severity's word.
pub fn severity(severity: Option<Severity>) -> &'static str {
    severity.map_or("Low", Severity::as_str)
}

/// What could not be checked, with its namespace and count.
pub fn subject(not: &NotChecked) -> String {
    let place = match &not.namespace {
        Some(namespace) if !not.what.contains(&format!("{namespace}/")) => {
            format!(" in namespace {namespace}")
        }
        _ => String::new(),
    };
    let count = match not.objects {
        0 | 1 => String::new(),
        n => format!(", {n} objects"),
    };
    clean(&format!("{}{place}{count}", not.what))
}

/// The last sentence.
pub fn verdict(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::InSync => "Everything is as declared.",
        Outcome::Drifted => "There is drift.",
        Outcome::Unknown => "No drift is known, and not everything could be checked.",
    }
}

/// `1 object`, `2 objects`.
pub fn count(n: u32, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_says_its_own_origin() {
        let field = |origin: &str| json!({"path": "a", "change": "Changed", "origin": origin, "basis": "Declared", "by": {"evidence": "None"}});
        let finding = |fields| {
            let finding = json!({
                "subject": {"kind": "ConfigMap", "name": "a"}, "apiVersion": "v1", "standing": "Drifted", "change": "Changed",
                "origin": "LiveEdited", "severity": "Low", "fields": fields,
            });
            serde_json::from_value::<Finding>(finding).expect("a finding")
        };
        let same = finding(json!([field("LiveEdited")]));
        assert_eq!(origin(&same), "edited live");
        let mixed = finding(json!([field("LiveEdited"), field("GitAhead")]));
        assert_eq!(
            origin(&mixed),
            "edited live, except where it says otherwise"
        );
        let own: Vec<_> = mixed.fields.iter().map(|f| own_origin(&mixed, f)).collect();
        assert_eq!(own, [None, Some("Git is ahead: not rolled out")]);
    }

    #[test]
    fn what_others_wrote_is_no_command_to_a_terminal() {
        let red = "a\u{1b}[31m\nb";
        let not: NotChecked = serde_json::from_value(
            json!({"what": red, "namespace": red, "reason": "", "message": "", "objects": 2}),
        )
        .expect("something");
        let by: Actor = serde_json::from_value(
            json!({"evidence": "ManagedFields", "manager": red, "user": red, "message": red}),
        )
        .expect("an actor");
        let at: DeclaredAt = serde_json::from_value(
            json!({"revision": red, "file": red, "commit": red, "author": red}),
        )
        .expect("a place");
        let texts = [
            subject(&not),
            actor(&by),
            place(&at, Some(3)),
            place(&at, None),
            written(&at).unwrap_or_default(),
        ];
        for text in texts {
            assert!(
                text.contains('a') && !text.contains(char::is_control),
                "{text:?}"
            );
        }
    }
}
