use serde_json::json;

use super::super::tests::{TARGET, batch, id, listed, live, scope};
use super::*;
use crate::index::State;

/// A live object with its stamp and the tool that owns its only value.
fn stamped(value: &str, version: u32, user: &str, after: u32) -> Value {
    let mut object = live("a", value, version);
    object["metadata"]["annotations"] = json!({EDITED_BY: user, EDITED_AFTER: after.to_string()});
    owned(&mut object, "kubectl-edit", "2026-01-01T00:00:00Z");
    object
}

fn owned(object: &mut Value, manager: &str, time: &str) {
    object["metadata"]["managedFields"] = json!([{"manager": manager, "operation": "Update", "time": time, "fieldsV1": {"f:data": {"f:k": {}}}}]);
}

/// An index in which `a` is in sync at version 5.
fn index() -> Index {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    index.believe_stamps(Some(1));
    index
}

fn by(index: &Index) -> Vec<(String, Option<String>)> {
    let Some(State::Drifted(report) | State::Pending(report)) = index.state(TARGET, &id("a"))
    else {
        return Vec::new();
    };
    let user = |a: &Actor| a.user.as_deref().map(str::to_owned);
    let fields = report.fields.iter();
    fields.map(|f| (f.path.clone(), user(&f.by))).collect()
}

fn user(index: &Index) -> Option<String> {
    by(index).into_iter().next().and_then(|(_, user)| user)
}

#[test]
fn a_stamp_upon_the_version_seen_before_names_its_user() {
    let index = index();
    index.applied(&scope(), &stamped("2", 7, "ann", 5));
    assert_eq!(user(&index).as_deref(), Some("ann"));
    // What was proven holds for as long as the value stays.
    index.applied(&scope(), &stamped("2", 8, "ann", 5));
    assert_eq!(user(&index).as_deref(), Some("ann"));
    index.applied(&scope(), &stamped("1", 9, "ann", 8));
    index.applied(&scope(), &stamped("2", 11, "bob", 10));
    assert_eq!(user(&index), None, "a write was missed");
    assert!(index.inner.lock().stamps.of.is_empty());
}

#[test]
fn a_stamp_upon_another_version_names_nobody() {
    let index = index();
    index.applied(&scope(), &stamped("2", 7, "ann", 4));
    assert_eq!((by(&index).len(), user(&index)), (1, None));
}

#[test]
fn a_list_or_a_read_proves_nothing() {
    let index = index();
    index.observe(&scope(), &stamped("2", 7, "ann", 5));
    assert_eq!((by(&index).len(), user(&index)), (1, None));
}

#[test]
fn a_list_that_shows_what_was_seen_takes_nothing_back_and_one_with_a_gap_does() {
    let index = index();
    index.applied(&scope(), &stamped("2", 7, "ann", 5));
    listed(&index, &[stamped("2", 7, "ann", 5)]);
    index.set_schema(&scope(), drift::Schema::unknown(), None);
    index.observe(&scope(), &stamped("2", 7, "ann", 5));
    assert_eq!(user(&index).as_deref(), Some("ann"));
    listed(&index, &[stamped("2", 9, "ann", 5)]);
    assert_eq!(user(&index), None);
}

#[test]
fn stamps_are_believed_only_of_versions_under_the_policy() {
    let index = index();
    index.believe_stamps(None);
    index.applied(&scope(), &stamped("2", 7, "ann", 5));
    assert_eq!(user(&index), None);
    index.believe_stamps(Some(8));
    index.applied(&scope(), &stamped("3", 8, "ann", 7));
    assert_eq!(user(&index), None);
    index.applied(&scope(), &stamped("4", 9, "ann", 8));
    assert_eq!(user(&index).as_deref(), Some("ann"));
}

#[test]
fn what_differed_before_a_write_is_not_its_writers() {
    let index = index();
    index.applied(&scope(), &stamped("2", 7, "ann", 5));
    // Another value by somebody else: that is theirs.
    index.applied(&scope(), &stamped("3", 9, "bob", 7));
    assert_eq!(user(&index).as_deref(), Some("bob"));
    // A write that does not touch the field.
    index.applied(&scope(), &stamped("3", 10, "cid", 9));
    assert_eq!(user(&index).as_deref(), Some("bob"));
}

#[test]
fn a_field_that_an_earlier_write_owns_is_not_named_after_the_last_one() {
    let index = index();
    let mut object = stamped("2", 7, "ann", 5);
    object["metadata"]["managedFields"] = json!([
        {"manager": "helm", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {"f:k": {}}}},
        {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:data": {"f:other": {}}}},
    ]);
    index.applied(&scope(), &object);
    assert_eq!((by(&index).len(), user(&index)), (1, None));
}

#[test]
fn a_creation_is_named_where_the_object_was_missing() {
    let index = index();
    index.gone(&scope(), &live("a", "1", 6));
    index.applied(&scope(), &stamped("2", 7, "ann", 0));
    assert_eq!(user(&index).as_deref(), Some("ann"));
    index.gone(&scope(), &live("a", "1", 8));
    listed(&index, &[stamped("2", 9, "bob", 0)]);
    assert_eq!((by(&index).len(), user(&index)), (1, None));
}

#[test]
fn a_commit_is_not_blamed_on_who_wrote_last() {
    let index = index();
    index.applied(&scope(), &stamped("2", 7, "ann", 5));
    index.applied(&scope(), &stamped("1", 8, "ann", 7));
    index.declare(TARGET, batch(&[("a", "9")], true));
    index.observe(&scope(), &stamped("1", 8, "ann", 7));
    assert_eq!((by(&index).len(), user(&index)), (1, None));
}

#[test]
fn of_a_removed_object_the_last_write_is_told_and_nobody_named() {
    let index = index();
    let mut last = live("a", "1", 6);
    owned(&mut last, "helm", "2026-01-01T00:00:00Z");
    index.gone(&scope(), &last);
    let told = |index: &Index| match index.state(TARGET, &id("a")) {
        Some(State::Drifted(report)) => report.by.clone(),
        other => panic!("{other:?}"),
    };
    let by = told(&index);
    assert_eq!((by.evidence, by.user), (ActorEvidence::None, None));
    assert_eq!(by.last_write.map(|w| w.manager).as_deref(), Some("helm"));
    listed(&index, &[]);
    assert!(told(&index).last_write.is_some());
}
