//! What a record says of exceptions.

use driftline_crds::{DriftRecordStatus, RecordState};

/// Stands behind the exception that allowed it and has ended.
const ENDED: &str = " has ended";

/// Says which exception has ended, where one allowed all of it before. True if that is news.
pub fn say(status: &mut DriftRecordStatus, before: Option<&DriftRecordStatus>) -> bool {
    let Some(before) = before.filter(|_| status.exception.is_none()) else {
        return false;
    };
    let Some(names) = &before.exception else {
        return false;
    };
    if names.ends_with(ENDED) {
        status.exception = Some(names.clone());
        return false;
    }
    status.exception = Some(format!("{names}{ENDED}"));
    before.state == RecordState::Excepted
}

/// The exceptions that a record names as being in force.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    let in_force = Some(text).filter(|t| !t.ends_with(ENDED));
    in_force.into_iter().flat_map(|t| t.split(", "))
}
