//! How long drift went unseen, and how long it lasted.

use driftline_crds::{Actor, DriftRecordStatus, Outcome};
use jiff::Timestamp;

use crate::events::Note;
use crate::metrics::{Metrics, Resolution};
use crate::registry::PolicyState;

/// Writers' times are whole seconds: what was made later in the same second seems to have been there before.
const RESOLUTION: std::time::Duration = std::time::Duration::from_secs(1);

/// Notes how long a change had been there when it was told: where it is known when it was made, and the policy was looked at by then.
pub fn found(metrics: &Metrics, policy: &PolicyState, status: &DriftRecordStatus) {
    let Some(made) = made_at(status) else { return };
    // A clock that is ahead of this one made it now.
    let ago = Timestamp::now().duration_since(made);
    let ago = std::time::Duration::try_from(ago).unwrap_or_default();
    if ago <= policy.begun.elapsed() + RESOLUTION {
        metrics.detected_after(ago);
    }
}

/// Notes how long drift lasted that is over.
pub fn over(metrics: &Metrics, status: &DriftRecordStatus, note: Note) {
    let end = status
        .closed_at
        .as_ref()
        .map_or_else(Timestamp::now, |t| t.0);
    let lasted = end.duration_since(status.first_seen.0);
    let lasted = std::time::Duration::try_from(lasted).unwrap_or_default();
    metrics.drift_lasted(lasted, resolution(status, note));
}

/// When the last of the changes was made that the record tells of.
fn made_at(status: &DriftRecordStatus) -> Option<Timestamp> {
    let of_fields = status.fields.iter().map(|f| &f.by);
    let actors = status.by.iter().chain(of_fields);
    actors.filter_map(wrote_at).max()
}

/// Where something was removed, what is known is who wrote before.
fn wrote_at(by: &Actor) -> Option<Timestamp> {
    by.at
        .as_ref()
        .filter(|_| by.message.is_empty())
        .map(|t| t.0)
}

fn resolution(status: &DriftRecordStatus, note: Note) -> Resolution {
    let outcome = status.enforcement.as_ref().map(|e| e.outcome);
    match note {
        _ if outcome.is_some_and(Outcome::is_done) => Resolution::Reverted,
        Note::Opened | Note::Reopened | Note::Mended | Note::Encrypted => Resolution::Mended,
        Note::Ignored => Resolution::Ignored,
        Note::Dropped => Resolution::Undeclared,
        Note::NoOrphan => Resolution::Gone,
        Note::Unserved | Note::Unstable => Resolution::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(more: serde_json::Value) -> DriftRecordStatus {
        let mut status = json!({
            "state": "Closed", "change": "Changed", "firstSeen": "2026-01-01T00:00:00Z", "apiVersion": "v1",
            "display": {"subject": "", "fields": "", "by": ""}});
        if let (Some(all), Some(more)) = (status.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        serde_json::from_value(status).expect("a status")
    }

    #[test]
    fn what_was_put_back_is_told_from_what_others_mended() {
        let put_back = status(
            json!({"enforcement": {"rung": "Revert", "outcome": "Reverted", "at": "2026-01-01T00:00:00Z"}}),
        );
        assert_eq!(resolution(&put_back, Note::Mended), Resolution::Reverted);
        let blocked = status(
            json!({"enforcement": {"rung": "Revert", "outcome": "Blocked", "at": "2026-01-01T00:00:00Z"}}),
        );
        assert_eq!(resolution(&blocked, Note::Mended), Resolution::Mended);
        assert_eq!(
            resolution(&status(json!({})), Note::Dropped),
            Resolution::Undeclared
        );
    }

    #[test]
    fn a_removal_is_not_dated_by_who_wrote_before() {
        let field = |at: &str, message: &str| {
            json!({"path": "spec.replicas", "change": "Missing", "origin": "LiveEdited", "basis": "Declared",
                "since": "2026-01-01T00:00:00Z", "by": {"evidence": "ManagedFields", "at": at, "message": message}})
        };
        let fields = [
            field("2026-01-01T00:00:00Z", ""),
            field("2026-01-02T00:00:00Z", "last write by kubectl"),
        ];
        let made = made_at(&status(json!({"fields": fields})));
        assert_eq!(made, "2026-01-01T00:00:00Z".parse().ok());
    }
}
