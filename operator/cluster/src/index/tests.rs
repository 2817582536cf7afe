use drift::{DeclaredObject, GroupKind, Provenance};
use serde_json::{Value, json};

use super::*;
use crate::store::BlobWriter;

pub(super) const TARGET: TargetId = TargetId(1);

fn kind() -> GroupVersionKind {
    GroupVersionKind::new("", "v1", "ConfigMap")
}

pub(super) fn scope() -> ScopeKey {
    ScopeKey::new(kind(), Some("shop".into()))
}

pub(super) fn id(name: &str) -> ObjectId {
    ObjectId::new(GroupKind::new("", "ConfigMap"), Some("shop"), name)
}

pub(super) fn revision(name: &str) -> Revision {
    Revision {
        name: name.into(),
        inputs: "sha256:1".into(),
    }
}

pub(super) fn batch(objects: &[(&str, &str)], complete: bool) -> Batch {
    let mut writer = BlobWriter::new().expect("open");
    let declarations = objects
        .iter()
        .map(|(name, value)| {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"k": value}});
            let provenance = Provenance { file: "f.yaml".into(), document: 1, line: 1 };
            let (blob, digest) = writer.push(&DeclaredObject { object, provenance, lines: vec![], unstable: vec![], encrypted: false }).expect("push");
            Declaration { id: id(name), kind: kind(), blob, digest }
        })
        .collect();
    Batch {
        revision: revision("main@1"),
        undeclared: Undeclared::Report,
        blobs: writer.finish().expect("finish"),
        declarations,
        complete,
        elsewhere: false,
        denied: HashMap::new(),
    }
}

/// A declaration of an object of which nothing else is known.
pub(super) fn declared(object: Value) -> DeclaredObject {
    DeclaredObject {
        object,
        provenance: Provenance {
            file: "f.yaml".into(),
            document: 1,
            line: 1,
        },
        lines: vec![],
        unstable: vec![],
        encrypted: false,
    }
}

/// A commit with one object.
pub(super) fn commit(name: &str, kind: &GroupVersionKind, declared: &DeclaredObject) -> Batch {
    let mut writer = BlobWriter::new().expect("open");
    let (blob, digest) = writer.push(declared).expect("push");
    let object = declared.name().expect("a name");
    let id = ObjectId::new(kind.group_kind.clone(), declared.namespace(), object);
    Batch {
        revision: revision(name),
        declarations: vec![Declaration {
            id,
            kind: kind.clone(),
            blob,
            digest,
        }],
        blobs: writer.finish().expect("finish"),
        ..batch(&[], true)
    }
}

pub(super) fn live(name: &str, value: &str, version: u32) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "resourceVersion": version.to_string()}, "data": {"k": value}})
}

pub(super) fn listed(index: &Index, objects: &[Value]) {
    index.restarted(&scope());
    for object in objects {
        assert!(index.observe(&scope(), object));
    }
    index.ready(&scope());
}

pub(super) fn states(index: &Index) -> Vec<(String, &'static str)> {
    let name = |s: &State| match s {
        State::InSync => "in sync",
        State::Ignored => "ignored",
        State::Pending(_) => "pending",
        State::Drifted(r) => r.change.as_str(),
        State::Unknown(u) => u.reason(),
        State::Dropped => "dropped",
    };
    index
        .take_changes(100)
        .iter()
        .map(|c| (c.id.name.to_string(), name(&c.state)))
        .collect()
}

#[test]
fn an_edit_is_drift_and_its_undoing_is_not() {
    let index = Index::new();
    assert_eq!(
        index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true)),
        vec![]
    );
    assert_eq!(
        index.tally(TARGET),
        Tally {
            unknown: 2,
            ..Tally::default()
        }
    );
    listed(&index, &[live("a", "1", 5), live("b", "1", 6)]);
    assert_eq!(
        index.tally(TARGET),
        Tally {
            in_sync: 2,
            ..Tally::default()
        }
    );
    states(&index);
    index.observe(&scope(), &live("a", "2", 7));
    assert_eq!(states(&index), [("a".to_owned(), "Changed")]);
    index.observe(&scope(), &live("a", "1", 8));
    assert_eq!(states(&index), [("a".to_owned(), "in sync")]);
    index.gone(&scope(), &live("b", "1", 9));
    assert_eq!(states(&index), [("b".to_owned(), "Missing")]);
    assert_eq!(
        index.tally(TARGET),
        Tally {
            in_sync: 1,
            drifted: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn what_a_complete_list_does_not_hold_is_missing() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    listed(&index, &[live("a", "1", 5), live("b", "1", 6)]);
    states(&index);
    listed(&index, &[live("a", "1", 5)]);
    assert_eq!(states(&index), [("b".to_owned(), "Missing")]);
    listed(&index, &[live("a", "1", 5), live("b", "1", 12)]);
    assert_eq!(states(&index), [("b".to_owned(), "in sync")]);
}

#[test]
fn an_object_that_a_list_left_out_by_mistake_is_found_again_in_the_version_known_before() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    listed(&index, &[]);
    assert_eq!(index.tally(TARGET).drifted, 1);
    listed(&index, &[live("a", "1", 5)]);
    assert_eq!(index.tally(TARGET).in_sync, 1);
}

#[test]
fn older_observations_change_nothing() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    index.observe(&scope(), &live("a", "2", 9));
    states(&index);
    index.observe(&scope(), &live("a", "1", 7));
    assert_eq!(states(&index), []);
    assert_eq!(index.tally(TARGET).drifted, 1);
}

#[test]
fn first_sight_asks_and_the_answer_settles() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    listed(&index, &[live("a", "2", 5), live("b", "2", 6)]);
    assert_eq!(
        index.tally(TARGET),
        Tally {
            unverified: 2,
            ..Tally::default()
        }
    );
    let (first, second) = (
        index.next_question().expect("one"),
        index.next_question().expect("two"),
    );
    assert!(index.next_question().is_none());
    for question in [&first, &second] {
        let answer = if &*question.id.name == "a" { "2" } else { "1" };
        assert!(index.settle(question, Asked::Object(live("x", answer, 1))));
    }
    index.observe(&scope(), &live("a", "2", 5));
    index.observe(&scope(), &live("b", "2", 6));
    assert_eq!(
        index.tally(TARGET),
        Tally {
            in_sync: 1,
            drifted: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn a_new_commit_asks_to_read_what_it_changed() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    listed(&index, &[live("a", "1", 5), live("b", "1", 6)]);
    let next = Batch {
        revision: revision("main@2"),
        ..batch(&[("a", "2"), ("b", "1"), ("c", "1")], true)
    };
    let rereads = index.declare(TARGET, next);
    assert_eq!(
        rereads
            .iter()
            .map(|r| r.id.name.to_string())
            .collect::<Vec<_>>(),
        ["a", "c"]
    );
    assert_eq!(
        index.tally(TARGET),
        Tally {
            in_sync: 1,
            unknown: 2,
            ..Tally::default()
        }
    );
    index.observe(&scope(), &live("a", "2", 5));
    index.absent(&scope(), &id("c"));
    assert_eq!(
        index.tally(TARGET),
        Tally {
            in_sync: 2,
            pending: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn a_broken_source_leaves_what_is_absent_unknown() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    listed(&index, &[live("a", "1", 5), live("b", "1", 6)]);
    index.declare(TARGET, batch(&[("a", "1")], false));
    assert_eq!(
        index.tally(TARGET),
        Tally {
            in_sync: 1,
            unknown: 1,
            ..Tally::default()
        }
    );
    index.observe(&scope(), &live("b", "2", 9));
    assert_eq!(index.tally(TARGET).unknown, 1);
    let rereads = index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    assert_eq!(rereads.len(), 1);
    index.observe(&scope(), &live("b", "2", 9));
    assert_eq!(index.tally(TARGET).drifted, 1);
}

#[test]
fn what_is_neither_declared_nor_there_any_more_is_dropped() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    listed(&index, &[live("a", "2", 5), live("b", "1", 6)]);
    states(&index);
    index.declare(TARGET, batch(&[("b", "1")], true));
    assert_eq!(states(&index), [("a".to_owned(), "NotDeclared")]);
    index.absent(&scope(), &id("a"));
    assert_eq!(states(&index), [("a".to_owned(), "dropped")]);
    index.forget(TARGET);
    assert_eq!(index.scopes(), vec![]);
    assert_eq!(index.tally(TARGET), Tally::default());
}

#[test]
fn blindness_is_unknown_and_ends_with_a_list() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    index.failed(&scope(), Unknown::Blind);
    assert_eq!(
        index.tally(TARGET),
        Tally {
            unknown: 1,
            ..Tally::default()
        }
    );
    assert_eq!(index.troubles(TARGET), vec![(scope(), Unknown::Blind, 1)]);
    listed(&index, &[live("a", "1", 5)]);
    assert_eq!(
        index.tally(TARGET),
        Tally {
            in_sync: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn two_targets_judge_the_same_object_apart_and_a_denial_hides_from_one() {
    let index = Index::new();
    let other = TargetId(2);
    index.declare(TARGET, batch(&[("a", "1")], true));
    index.declare(other, batch(&[("a", "2")], true));
    listed(&index, &[live("a", "1", 5)]);
    assert_eq!(
        (index.tally(TARGET).in_sync, index.tally(other).unverified),
        (1, 1)
    );
    index.allow(TARGET, &scope(), Some(Unknown::NotAllowed));
    assert_eq!(index.tally(TARGET).unknown, 1);
    assert_eq!(
        index.state(TARGET, &id("a")),
        Some(State::Unknown(Unknown::NotAllowed))
    );
    index.allow(TARGET, &scope(), None);
    index.forget(other);
    assert_eq!(index.tally(TARGET).in_sync, 1);
    index.observe(&scope(), &live("a", "3", 6));
    assert_eq!(index.tally(TARGET).drifted, 1);
}

/// A policy that was deleted and created again found the watch still running, and was told for ever that objects are being listed.
#[test]
fn what_is_declared_while_a_watch_still_runs_waits_for_no_list() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    index.forget(TARGET);
    let other = TargetId(2);
    let rereads = index.declare(other, batch(&[("a", "1")], true));
    assert_eq!(rereads.len(), 1, "the list that would show it is over");
    index.observe(&scope(), &live("a", "1", 5));
    assert!(index.is_settled(other));
    index.unwatched(&scope());
    assert!(!index.is_settled(other));
    listed(&index, &[live("a", "1", 5)]);
    assert!(index.is_settled(other));
}

/// The state after any order of lost and repeated events is that of the last one.
mod level_triggered {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_word_counts(events in prop::collection::vec((0..3u32, 0..3u32), 1..20), keep in prop::collection::vec(any::<bool>(), 20)) {
            let index = Index::new();
            index.declare(TARGET, batch(&[("a", "0")], true));
            listed(&index, &[live("a", "0", 1)]);
            let last = events.len() - 1;
            for (n, (value, action)) in events.iter().enumerate() {
                let version = u32::try_from(n).expect("small") + 2;
                let object = live("a", &value.to_string(), version);
                if n != last && !keep[n] {
                    continue;
                }
                if *action == 0 { index.gone(&scope(), &object) } else { index.observe(&scope(), &object); }
            }
            let (value, action) = events[last];
            let expected = if action == 0 || value != 0 { 1 } else { 0 };
            prop_assert_eq!(index.tally(TARGET).drifted, expected);
            prop_assert_eq!(index.tally(TARGET).declared(), 1);
        }
    }
}

#[test]
fn what_is_declared_while_a_list_runs_is_read_and_not_called_missing() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    index.restarted(&scope());
    // The list has passed both before the second is declared and the first is declared otherwise.
    index.observe(&scope(), &live("a", "1", 5));
    let rereads = index.declare(TARGET, batch(&[("a", "2"), ("b", "1")], true));
    assert_eq!(rereads.len(), 2, "nobody else will show them again");
    index.ready(&scope());
    assert_eq!(index.tally(TARGET).unknown, 2);
    index.observe(&scope(), &live("a", "2", 6));
    index.observe(&scope(), &live("b", "1", 4));
    assert_eq!(index.tally(TARGET).in_sync, 2);
    // The next list decides again.
    listed(&index, &[live("a", "2", 6)]);
    assert_eq!(index.tally(TARGET).drifted, 1);
}

#[test]
fn a_revocation_that_comes_with_a_new_batch_is_told() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    index.observe(&scope(), &live("a", "2", 6));
    states(&index);
    let denied = Batch {
        denied: HashMap::from([(scope(), Unknown::NotAllowed)]),
        ..batch(&[("a", "1")], true)
    };
    index.declare(TARGET, denied);
    assert_eq!(states(&index), [("a".to_owned(), "NotAllowed")]);
    index.declare(TARGET, batch(&[("a", "1")], true));
    assert_eq!(states(&index), [("a".to_owned(), "Changed")]);
}

#[test]
fn kinds_that_are_not_compared_are_not_told_as_rights_that_are_missing() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    index.allow(TARGET, &scope(), Some(Unknown::NotAllowed));
    assert_eq!(index.troubles(TARGET), [(scope(), Unknown::NotAllowed, 1)]);
    index.failed(&scope(), Unknown::NotCompared);
    assert_eq!(index.troubles(TARGET), [(scope(), Unknown::NotCompared, 1)]);
    // What was recorded before goes all the same.
    assert_eq!(
        index.state(TARGET, &id("a")),
        Some(State::Unknown(Unknown::NotAllowed))
    );
}

#[test]
fn a_change_names_the_revision_it_was_judged_by_before_the_status_does() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[]);
    let revisions = |index: &Index| -> Vec<String> {
        let changes = index.take_changes(100);
        changes.iter().map(|c| c.revision.to_string()).collect()
    };
    assert_eq!(revisions(&index), ["main@1"]);
    let next = Batch {
        revision: revision("main@2"),
        ..batch(&[("a", "2")], true)
    };
    index.declare(TARGET, next);
    index.absent(&scope(), &id("a"));
    assert_eq!(revisions(&index), ["main@2"]);
}

fn with(mut object: Value, key: &str, value: &str) -> Value {
    object["data"][key] = value.into();
    object
}

#[test]
fn a_commit_passes_through_pending_and_an_edit_meanwhile_diverges() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    listed(&index, &[live("a", "1", 5), live("b", "1", 6)]);
    states(&index);
    index.declare(TARGET, batch(&[("a", "2"), ("b", "2")], true));
    index.observe(&scope(), &live("a", "1", 5));
    index.observe(&scope(), &live("b", "hand", 7));
    let question = index
        .next_question()
        .expect("both moved: the server may be rewriting");
    assert!(index.next_question().is_none());
    index.settle(&question, Asked::Object(live("x", "2", 1)));
    index.observe(&scope(), &live("b", "hand", 7));
    let changes = index.take_changes(10);
    let told = |name: &str| {
        changes
            .iter()
            .find(|c| &*c.id.name == name)
            .expect("changed")
    };
    assert!(matches!(told("a").state, State::Pending(_)));
    let State::Drifted(report) = &told("b").state else {
        panic!("drifted");
    };
    assert_eq!(report.origin, drift::Origin::Diverged);
    let baseline = told("b").baseline.as_ref().expect("known");
    assert_eq!(
        (&*baseline.0.name, baseline.1),
        ("main@1", drift::Evidence::Own)
    );
    index.observe(&scope(), &live("a", "2", 8));
    index.observe(&scope(), &live("b", "2", 9));
    assert_eq!(
        states(&index),
        [("a".to_owned(), "in sync"), ("b".to_owned(), "in sync")]
    );
    index.observe(&scope(), &live("a", "hand", 10));
    let State::Drifted(report) = &index.take_changes(1)[0].state else {
        panic!("drifted");
    };
    assert_eq!(report.origin, drift::Origin::LiveEdited);
}

#[test]
fn an_adopted_edit_is_in_sync_without_noise() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    index.observe(&scope(), &live("a", "2", 6));
    states(&index);
    index.declare(TARGET, batch(&[("a", "2")], true));
    index.observe(&scope(), &live("a", "2", 6));
    assert_eq!(states(&index), [("a".to_owned(), "in sync")]);
}

#[test]
fn a_field_edited_long_ago_does_not_make_later_commits_diverge() {
    let index = Index::new();
    let declared = |k: &str| {
        let mut writer = BlobWriter::new().expect("open");
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": {"k": k, "edited": "1"}});
        let provenance = Provenance {
            file: "f.yaml".into(),
            document: 1,
            line: 1,
        };
        let object = DeclaredObject {
            object,
            provenance,
            lines: vec![],
            unstable: vec![],
            encrypted: false,
        };
        let (blob, digest) = writer.push(&object).expect("push");
        Batch {
            declarations: vec![Declaration {
                id: id("a"),
                kind: kind(),
                blob,
                digest,
            }],
            blobs: writer.finish().expect("finish"),
            revision: revision(&format!("main@{k}")),
            ..batch(&[], true)
        }
    };
    let edited = |k: &str, version| with(live("a", k, version), "edited", "hand");
    index.declare(TARGET, declared("1"));
    listed(&index, &[with(live("a", "1", 5), "edited", "1")]);
    index.observe(&scope(), &edited("1", 6));
    for (n, k) in ["2", "3"].into_iter().enumerate() {
        let version = 10 * (u32::try_from(n).expect("small") + 1);
        let before = if k == "2" { "1" } else { "2" };
        index.declare(TARGET, declared(k));
        index.observe(&scope(), &edited(before, version - 1));
        let State::Drifted(report) = index.state(TARGET, &id("a")).expect("declared") else {
            panic!("drifted");
        };
        let origins: Vec<&str> = report.fields.iter().map(|f| f.origin.as_str()).collect();
        assert_eq!(origins, ["LiveEdited", "GitAhead"], "{k}");
        index.observe(&scope(), &edited(k, version));
    }
}

#[test]
fn an_addition_is_asked_about_once_and_then_told() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    index.observe(&scope(), &with(live("a", "1", 6), "added", "x"));
    assert_eq!(index.tally(TARGET).unverified, 1);
    let question = index.next_question().expect("one");
    assert!(index.settle(&question, Asked::Object(live("x", "1", 1))));
    index.observe(&scope(), &with(live("a", "1", 6), "added", "x"));
    assert_eq!(index.tally(TARGET).drifted, 1);
    index.observe(&scope(), &with(live("a", "1", 7), "added", "x"));
    assert!(index.next_question().is_none());
    index.observe(&scope(), &live("a", "1", 8));
    assert_eq!(index.tally(TARGET).in_sync, 1);
}

#[test]
fn one_answer_serves_all_objects_of_a_shape() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1"), ("c", "1")], true));
    index.set_shared(|_| true);
    let defaulted = |name: &str, version| with(live(name, "1", version), "default", "x");
    let odd = with(defaulted("c", 7), "added", "y");
    listed(&index, &[defaulted("a", 5), defaulted("b", 6), odd.clone()]);
    let question = index.next_question().expect("one");
    assert!(index.next_question().is_none(), "the others wait");
    assert!(!index.settle(&question, Asked::Object(defaulted("x", 1))));
    assert_eq!(
        (index.tally(TARGET).in_sync, index.tally(TARGET).unverified),
        (2, 1)
    );
    let question = index.next_question().expect("the odd one by itself");
    assert!(index.settle(&question, Asked::Object(defaulted("x", 1))));
    index.observe(&scope(), &odd);
    assert_eq!(index.tally(TARGET).in_sync, 2);
    assert_eq!(
        index.tally(TARGET).unverified,
        1,
        "nobody owns it, at first sight"
    );
    index.observe(&scope(), &with(defaulted("a", 9), "added", "y"));
    let question = index.next_question();
    assert!(
        question.is_some(),
        "what is not in the answer is asked about"
    );
}

#[test]
fn replicas_are_judged_again_when_an_autoscaler_comes_or_goes() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    let bounds = drift::automation::ReplicaBounds { min: 1, max: 3 };
    assert_eq!(index.set_bounds([(id("a"), bounds)]).len(), 1);
    assert_eq!(index.set_bounds([(id("a"), bounds)]).len(), 0);
    assert_eq!(index.set_bounds([]).len(), 1);
}

/// An index that was told what another one remembered, over the text in which that is saved.
pub(super) fn restarted(before: &Index, declared: HashMap<(String, String, u64), Value>) -> Index {
    let snapshot = before.snapshot(TARGET).expect("changed");
    assert_eq!(before.snapshot(TARGET), None, "nothing has changed since");
    let text = serde_json::to_string(&snapshot).expect("text");
    let snapshot = serde_json::from_str(&text).expect("reads back");
    let index = Index::new();
    index.recall(TARGET, Recollection { snapshot, declared });
    index
}

#[test]
fn after_a_restart_under_a_changed_default_nothing_false_appears() {
    let before = Index::new();
    before.declare(TARGET, batch(&[("a", "1")], true));
    let defaulted = |version| with(live("a", "1", version), "default", "old");
    listed(&before, &[defaulted(5)]);
    let question = before.next_question().expect("one");
    before.settle(
        &question,
        Asked::Object(with(live("x", "1", 1), "default", "old")),
    );
    assert_eq!(before.tally(TARGET).in_sync, 1);
    let index = restarted(&before, HashMap::new());
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[defaulted(5)]);
    assert_eq!(index.tally(TARGET).in_sync, 1);
    assert!(
        index.next_question().is_none(),
        "what is remembered needs no call"
    );
    index.observe(&scope(), &with(defaulted(6), "added", "x"));
    let question = index.next_question().expect("one");
    index.settle(
        &question,
        Asked::Object(with(live("x", "1", 1), "default", "new")),
    );
    index.observe(&scope(), &with(defaulted(6), "added", "x"));
    let Some(State::Drifted(report)) = index.state(TARGET, &id("a")) else {
        panic!("drifted");
    };
    let paths: Vec<&str> = report.fields.iter().map(|f| &*f.path).collect();
    assert_eq!(paths, ["data.added"]);
}

#[test]
fn an_edit_made_while_the_operator_was_down_is_an_edit() {
    let before = Index::new();
    before.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    listed(&before, &[live("a", "1", 5), live("b", "1", 6)]);
    let index = restarted(&before, HashMap::new());
    // The commit of before, then the one that came meanwhile.
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    let next = Batch {
        revision: revision("main@2"),
        ..batch(&[("a", "1"), ("b", "2")], true)
    };
    index.declare(TARGET, next);
    listed(&index, &[live("a", "hand", 7), live("b", "1", 6)]);
    let State::Drifted(report) = index.state(TARGET, &id("a")).expect("declared") else {
        panic!("drifted");
    };
    assert_eq!(report.origin, drift::Origin::LiveEdited);
    assert!(matches!(
        index.state(TARGET, &id("b")),
        Some(State::Pending(_))
    ));
}

#[test]
fn what_was_pending_before_a_restart_is_pending_after_it() {
    let before = Index::new();
    before.declare(TARGET, batch(&[("a", "1")], true));
    listed(&before, &[live("a", "1", 5)]);
    let next = || Batch {
        revision: revision("main@2"),
        ..batch(&[("a", "2")], true)
    };
    before.declare(TARGET, next());
    before.observe(&scope(), &live("a", "1", 5));
    let first = json!({"metadata": {"name": "a", "namespace": "shop"}, "data": {"k": "1"}});
    let place = (
        "main@1".to_owned(),
        "sha256:1".to_owned(),
        object_key(&id("a")),
    );
    for (declared, pending) in [
        (HashMap::from([(place, first)]), true),
        (HashMap::new(), false),
    ] {
        before.not_saved(TARGET);
        let index = restarted(&before, declared);
        index.declare(TARGET, next());
        listed(&index, &[live("a", "1", 5)]);
        let state = index.state(TARGET, &id("a"));
        assert_eq!(
            matches!(state, Some(State::Pending(_))),
            pending,
            "{state:?}"
        );
    }
}

#[test]
fn an_object_whose_kind_was_not_served_before_is_not_new_to_git() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    // Rendered again, because the cluster serves more kinds now.
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    index.absent(&scope(), &id("b"));
    assert_eq!(index.tally(TARGET).drifted, 1);
    assert_eq!(index.tally(TARGET).pending, 0);
}

#[test]
fn a_new_leader_that_saw_an_object_only_after_its_edit_takes_over_what_the_old_one_knew() {
    let old = Index::new();
    old.declare(TARGET, batch(&[("a", "1")], true));
    listed(&old, &[live("a", "1", 5)]);
    let new = Index::new();
    new.declare(TARGET, batch(&[("a", "1")], true));
    listed(&new, &[live("a", "hand", 6)]);
    let question = new.next_question().expect("first sight");
    new.settle(&question, Asked::Object(live("x", "1", 1)));
    new.observe(&scope(), &live("a", "hand", 6));
    let origin = |index: &Index| match index.state(TARGET, &id("a")) {
        Some(State::Drifted(report)) => report.origin,
        other => panic!("{other:?}"),
    };
    assert_eq!(origin(&new), drift::Origin::Unknown);
    let rereads = new.adopt(TARGET, old.snapshot(TARGET).expect("changed"));
    assert_eq!(rereads.len(), 1);
    new.observe(&scope(), &live("a", "hand", 6));
    assert_eq!(origin(&new), drift::Origin::LiveEdited);
}

/// Only its defaults were asked about; then a declared field was edited, and the answer about the defaults called that in sync.
#[test]
fn an_edit_made_while_the_server_is_asked_about_defaults_is_drift() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    let defaulted = |value, version| with(live("a", value, version), "default", "x");
    listed(&index, &[defaulted("1", 5)]);
    let question = index.next_question().expect("the default");
    index.observe(&scope(), &defaulted("hand", 6));
    assert!(index.settle(&question, Asked::Object(defaulted("1", 1))));
    index.observe(&scope(), &defaulted("hand", 6));
    assert_eq!(index.tally(TARGET).drifted, 1);
    // And undone before the answer it is in sync, as if nothing had been.
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[defaulted("1", 5)]);
    let question = index.next_question().expect("the default");
    index.observe(&scope(), &defaulted("hand", 6));
    index.observe(&scope(), &defaulted("1", 7));
    assert!(!index.settle(&question, Asked::Object(defaulted("1", 1))));
    assert_eq!(index.tally(TARGET).in_sync, 1);
}

/// A batch of one object, changed before it is declared.
pub(super) fn one(name: &str, change: impl FnOnce(&mut DeclaredObject)) -> Batch {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"k": "1"}});
    let mut declared = declared(object);
    change(&mut declared);
    commit("main@1", &kind(), &declared)
}

/// The answer about its defaults made an object in sync whose declared values had not been compared.
#[test]
fn what_cannot_be_compared_is_not_in_sync_because_its_defaults_are_explained() {
    let unstable = |d: &mut DeclaredObject| d.unstable.push("/data/k".to_owned());
    let sealed = |d: &mut DeclaredObject| {
        d.encrypted = true;
        d.object["data"]["k"] = "ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]".into();
    };
    let cases = [
        (one("a", unstable), "RenderUnstable"),
        (one("a", sealed), "ValuesEncrypted"),
    ];
    for (batch, reason) in cases {
        let index = Index::new();
        index.declare(TARGET, batch);
        let defaulted = |version| with(live("a", "random", version), "default", "x");
        let seen = defaulted(5);
        listed(&index, std::slice::from_ref(&seen));
        let question = index.next_question().expect("the default");
        index.settle(&question, Asked::Object(defaulted(1)));
        index.observe(&scope(), &seen);
        assert_eq!(index.tally(TARGET).in_sync, 0, "{reason}");
        assert_eq!(states(&index).last().map(|s| s.1), Some(reason));
    }
}

/// The memory did not tell an object that Git has just declared from one of which nothing is known: after a restart in the middle of a
/// roll-out it was drift.
#[test]
fn what_was_not_rolled_out_yet_before_a_restart_is_pending_after_it() {
    let before = Index::new();
    before.declare(TARGET, batch(&[("a", "1")], true));
    listed(&before, &[live("a", "1", 5)]);
    let next = || Batch {
        revision: revision("main@2"),
        ..batch(&[("a", "1"), ("new", "1")], true)
    };
    before.declare(TARGET, next());
    before.absent(&scope(), &id("new"));
    assert_eq!(before.tally(TARGET).pending, 1);
    let index = restarted(&before, HashMap::new());
    index.declare(TARGET, next());
    listed(&index, &[live("a", "1", 5)]);
    let tally = index.tally(TARGET);
    assert_eq!((tally.pending, tally.drifted), (1, 0));
}

/// The one that asked for all of its shape was dropped from Git, or declared otherwise, before it was asked: nobody asked for the others.
#[test]
fn those_that_wait_for_an_answer_ask_themselves_when_the_first_cannot() {
    let others: &[(&str, &str)] = &[("b", "1"), ("c", "1")];
    let all: &[(&str, &str)] = &[("a", "2"), ("b", "1"), ("c", "1")];
    for next in [others, all] {
        for asked in [false, true] {
            let index = Index::new();
            index.declare(TARGET, batch(&[("a", "1"), ("b", "1"), ("c", "1")], true));
            index.set_shared(|_| true);
            let defaulted = |name: &str, version| with(live(name, "1", version), "default", "x");
            listed(
                &index,
                &[defaulted("a", 5), defaulted("b", 6), defaulted("c", 7)],
            );
            let first = asked.then(|| index.next_question().expect("one"));
            index.declare(TARGET, batch(next, true));
            index.absent(&scope(), &id("a"));
            if let Some(first) = first {
                index.ask_again(&first);
            }
            while let Some(question) = index.next_question() {
                let object = question.declared.object.clone();
                let value = object["data"]["k"].as_str().expect("text").to_owned();
                let stored = with(live("x", &value, 1), "default", "x");
                index.settle(&question, Asked::Object(stored));
            }
            let tally = index.tally(TARGET);
            assert_eq!(
                (tally.in_sync, tally.unverified),
                (2, 0),
                "{next:?} {asked}"
            );
        }
    }
}

/// The answer about a declaration that had changed meanwhile was the last one that was asked for.
#[test]
fn an_object_declared_otherwise_while_it_is_asked_about_is_asked_about_again() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    let defaulted = |value, version| with(live("a", value, version), "default", "x");
    listed(&index, &[defaulted("1", 5)]);
    let question = index.next_question().expect("the default");
    index.declare(TARGET, batch(&[("a", "2")], true));
    index.observe(&scope(), &defaulted("2", 6));
    assert_eq!(index.tally(TARGET).unverified, 1);
    assert!(!index.settle(&question, Asked::Object(defaulted("1", 1))));
    let question = index.next_question().expect("the new declaration");
    assert!(!index.settle(&question, Asked::Object(defaulted("2", 1))));
    assert_eq!(index.tally(TARGET).in_sync, 1);
}

/// While the guard was not in order, additions were called in sync by ownership alone, and stayed so when the server could be asked.
#[test]
fn what_was_learnt_while_nothing_could_be_asked_is_forgotten_with_the_first_answer() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    let added = || {
        let mut object = with(live("a", "1", 5), "added", "x");
        object["metadata"]["managedFields"] = json!([{"manager": "deployer", "operation": "Update", "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:data": {"f:k": {}, "f:added": {}}}}]);
        object
    };
    listed(&index, &[added()]);
    let question = index.next_question().expect("one");
    index.settle(&question, Asked::Unasked);
    index.observe(&scope(), &added());
    assert_eq!(index.tally(TARGET).in_sync, 1);
    let again = restarted(&index, HashMap::new());
    again.declare(TARGET, batch(&[("a", "1")], true));
    listed(&again, &[added()]);
    assert!(
        again.next_question().is_some(),
        "nothing of it is remembered"
    );
    index.reopen_refused();
    let question = index.next_question().expect("again");
    assert!(index.settle(&question, Asked::Object(live("x", "1", 1))));
    index.observe(&scope(), &added());
    assert_eq!(index.tally(TARGET).unverified, 1);
}

/// The declaration of an object in another version of its API was one of an object that had never been.
#[test]
fn a_commit_that_declares_another_version_of_the_api_is_pending_and_keeps_the_baseline() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    states(&index);
    let newer = GroupVersionKind::new("", "v2", "ConfigMap");
    let scope = ScopeKey::new(newer.clone(), Some("shop".into()));
    let mut next = one("a", |d| {
        d.object["apiVersion"] = "v2".into();
        d.object["data"]["k"] = "2".into();
    });
    next.revision = revision("main@2");
    next.declarations[0].kind = newer;
    index.declare(TARGET, next);
    index.restarted(&scope);
    index.observe(&scope, &live("a", "1", 5));
    index.ready(&scope);
    while let Some(question) = index.next_question() {
        index.settle(&question, Asked::Object(live("x", "2", 1)));
        index.observe(&scope, &live("a", "1", 5));
    }
    let Some(State::Pending(report)) = index.state(TARGET, &id("a")) else {
        panic!("{:?}", index.state(TARGET, &id("a")));
    };
    assert_eq!(report.origin, drift::Origin::GitAhead);
    index.observe(&scope, &live("a", "2", 6));
    assert_eq!(index.tally(TARGET).in_sync, 1);
    index.observe(&scope, &live("a", "hand", 7));
    let Some(State::Drifted(report)) = index.state(TARGET, &id("a")) else {
        panic!("drifted");
    };
    assert_eq!(report.origin, drift::Origin::LiveEdited);
}

/// After a restart nothing was known of what a Secret had beyond its declaration, and all of it was new since it was in sync.
#[test]
fn what_a_secret_had_before_a_restart_is_not_new_after_it() {
    let kind = GroupVersionKind::new("", "v1", "Secret");
    let scope = ScopeKey::new(kind.clone(), Some("shop".into()));
    let secret = ObjectId::new(GroupKind::new("", "Secret"), Some("shop"), "a");
    let declared = || {
        let mut batch = one("a", |d| d.object["kind"] = "Secret".into());
        batch.declarations[0].kind = kind.clone();
        batch.declarations[0].id = secret.clone();
        batch
    };
    let stored = |version: u32, label: Option<&str>| {
        let mut object = with(live("a", "1", version), "injected", "eA==");
        object["metadata"]["labels"] = json!({"from": "admission"});
        if let Some(label) = label {
            object["metadata"]["labels"]["team"] = label.into();
        }
        object
    };
    let list = |index: &Index, object: &Value| {
        index.restarted(&scope);
        index.observe(&scope, object);
        index.ready(&scope);
    };
    let answer = |index: &Index, object: &Value, expected: Value| {
        while let Some(question) = index.next_question() {
            if index.settle(&question, Asked::Object(expected.clone())) {
                index.observe(&scope, object);
            }
        }
    };
    let before = Index::new();
    before.declare(TARGET, declared());
    list(&before, &stored(5, None));
    answer(&before, &stored(5, None), stored(1, None));
    assert_eq!(before.tally(TARGET).in_sync, 1);
    let saved = serde_json::to_string(&before.snapshot(TARGET)).expect("text");
    assert!(saved.contains("hashes"), "the label's is kept");
    before.not_saved(TARGET);
    // By now admission adds other values.
    let other = live("x", "1", 1);
    for (object, verdict) in [
        (stored(5, None), "Unverified"),
        (stored(6, Some("x")), "Changed"),
    ] {
        let index = restarted(&before, HashMap::new());
        before.not_saved(TARGET);
        index.declare(TARGET, declared());
        list(&index, &object);
        answer(&index, &object, other.clone());
        assert_eq!(states(&index).last().map(|s| s.1), Some(verdict));
        if let Some(State::Drifted(report)) = index.state(TARGET, &secret) {
            let paths: Vec<&str> = report.fields.iter().map(|f| &*f.path).collect();
            assert_eq!(paths, ["metadata.labels.team"]);
        }
    }
}

/// A spent quota, a webhook that wants unique hosts: what the server refuses for reasons of its own ends in ownership, not in silence.
#[test]
fn what_the_server_refuses_to_create_is_judged_by_ownership() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    index.set_shared(|_| true);
    let owned = |version, by: &str| {
        let mut object = with(live("a", "1", version), "added", "x");
        object["metadata"]["managedFields"] = json!([
            {"manager": "deployer", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {"f:k": {}}}},
            {"manager": by, "operation": "Update", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:data": {"f:added": {}}}},
        ]);
        object
    };
    listed(&index, &[owned(5, "kubectl-edit")]);
    assert_eq!(index.tally(TARGET).unverified, 1);
    let question = index.next_question().expect("the addition");
    assert!(index.settle(&question, Asked::Refused));
    index.observe(&scope(), &owned(5, "kubectl-edit"));
    let Some(State::Drifted(report)) = index.state(TARGET, &id("a")) else {
        panic!("drifted");
    };
    let told: Vec<_> = report.fields.iter().map(|f| (&*f.path, f.basis)).collect();
    assert_eq!(told, [("data.added", drift::Basis::Ownership)]);
    assert!(
        index.next_question().is_none(),
        "it is not asked at once again"
    );
}

/// Rights to ask about a kind that were given later were found out about by a restart, and then what ownership had explained was believed.
#[test]
fn when_the_server_may_be_asked_about_a_kind_its_objects_are_met_anew() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    index.set_askable(&scope(), false);
    let mut defaulted = with(live("a", "1", 5), "default", "x");
    defaulted["metadata"]["managedFields"] = json!([{"manager": "deployer", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {"f:k": {}}}}]);
    listed(&index, &[defaulted.clone()]);
    assert_eq!(index.tally(TARGET).in_sync, 1);
    assert!(index.next_question().is_none());
    assert!(index.set_askable(&scope(), true));
    assert!(!index.set_askable(&scope(), true));
    listed(&index, &[defaulted.clone()]);
    assert_eq!(index.tally(TARGET).unverified, 1);
    let question = index.next_question().expect("the addition");
    let expected = with(live("x", "1", 1), "default", "x");
    assert!(!index.settle(&question, Asked::Object(expected)));
    assert_eq!(index.tally(TARGET).in_sync, 1);
}
