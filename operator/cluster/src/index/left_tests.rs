//! What Git drops, as the index sees it.

use std::collections::HashMap;

use drift::{ObjectChange, Origin, Unknown};
use serde_json::json;

use super::tests::{TARGET, batch, id, listed, live, restarted, revision, scope, states};
use super::{Batch, Index, State, Tally, TargetId, object_key};

const OTHER: TargetId = TargetId(2);

/// A target that declared `a` and `b`, both in sync.
fn two() -> Index {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    listed(&index, &[live("a", "1", 5), live("b", "1", 6)]);
    states(&index);
    index
}

/// The origin of an orphan, and whether it counts.
fn orphan(index: &Index, name: &str) -> Option<(Origin, bool)> {
    match index.state(TARGET, &id(name))? {
        State::Pending(r) if r.change == ObjectChange::Orphaned => Some((r.origin, false)),
        State::Drifted(r) if r.change == ObjectChange::Orphaned => Some((r.origin, true)),
        _ => None,
    }
}

#[test]
fn what_git_dropped_and_is_still_there_is_an_orphan_until_it_is_deleted() {
    let index = two();
    let rereads = index.declare(TARGET, batch(&[("b", "1")], true));
    assert_eq!(rereads.len(), 1);
    index.observe(&scope(), &live("a", "1", 5));
    assert_eq!(orphan(&index, "a"), Some((Origin::GitAhead, false)));
    assert_eq!(index.tally(TARGET).orphaned, 0);
    index.ripen(TARGET, &id("a"));
    assert_eq!(orphan(&index, "a"), Some((Origin::GitAhead, true)));
    let tally = index.tally(TARGET);
    assert_eq!((tally.declared(), tally.orphaned), (1, 1));
    states(&index);
    index.gone(&scope(), &live("a", "1", 9));
    assert_eq!(states(&index), [("a".to_owned(), "dropped")]);
    let left = Tally {
        in_sync: 1,
        ..Tally::default()
    };
    assert_eq!(index.tally(TARGET), left);
}

#[test]
fn an_orphan_is_watched_where_nothing_else_is_declared() {
    let index = two();
    index.declare(TARGET, batch(&[], true));
    assert_eq!(index.scopes().len(), 1);
    assert_eq!(index.scopes_of(TARGET).len(), 1);
    listed(&index, &[live("a", "1", 5)]);
    assert_eq!(orphan(&index, "a"), Some((Origin::GitAhead, false)));
    assert_eq!(index.state(TARGET, &id("b")), None);
    listed(&index, &[]);
    assert!(index.scopes().is_empty());
    assert!(index.tally(TARGET).is_empty());
}

#[test]
fn an_orphan_that_was_edited_before_or_since_is_diverged() {
    let index = two();
    index.observe(&scope(), &live("a", "hand", 7));
    index.declare(TARGET, batch(&[], true));
    index.observe(&scope(), &live("a", "hand", 7));
    index.observe(&scope(), &live("b", "1", 6));
    assert_eq!(orphan(&index, "a"), Some((Origin::Diverged, false)));
    assert_eq!(orphan(&index, "b"), Some((Origin::GitAhead, false)));
    index.observe(&scope(), &live("b", "hand", 8));
    assert_eq!(orphan(&index, "b"), Some((Origin::Diverged, false)));
}

#[test]
fn what_was_missing_when_git_dropped_it_simply_goes() {
    let index = two();
    index.gone(&scope(), &live("a", "1", 9));
    assert!(index.declare(TARGET, batch(&[("b", "1")], true)).is_empty());
    assert_eq!(index.state(TARGET, &id("a")), None);
    index.declare(TARGET, batch(&[], true));
    index.absent(&scope(), &id("b"));
    assert_eq!(index.state(TARGET, &id("b")), None);
}

#[test]
fn what_moves_to_another_target_is_no_orphan() {
    let index = two();
    index.declare(OTHER, batch(&[("a", "1")], true));
    index.declare(TARGET, batch(&[], true));
    index.observe(&scope(), &live("a", "1", 5));
    index.observe(&scope(), &live("b", "1", 6));
    assert_eq!(index.state(TARGET, &id("a")), None);
    assert!(orphan(&index, "b").is_some());
    index.declare(OTHER, batch(&[("a", "1"), ("b", "1")], true));
    assert_eq!(index.state(TARGET, &id("b")), None);
}

#[test]
fn what_cannot_be_rendered_is_unknown_and_never_an_orphan() {
    let index = two();
    index.declare(TARGET, batch(&[("b", "1")], true));
    index.observe(&scope(), &live("a", "1", 5));
    index.ripen(TARGET, &id("a"));
    index.declare(TARGET, batch(&[], false));
    for name in ["a", "b"] {
        let state = index.state(TARGET, &id(name));
        assert_eq!(state, Some(State::Unknown(Unknown::NotRendered)), "{name}");
    }
    let tally = index.tally(TARGET);
    assert_eq!((tally.unknown, tally.orphaned), (1, 0));
    index.observe(&scope(), &live("b", "hand", 9));
    assert_eq!(index.tally(TARGET).unknown, 1);
    assert_eq!(index.declare(TARGET, batch(&[], true)).len(), 1);
    index.observe(&scope(), &live("b", "hand", 9));
    assert_eq!(orphan(&index, "a"), Some((Origin::GitAhead, true)));
    assert_eq!(orphan(&index, "b"), Some((Origin::Diverged, false)));
}

#[test]
fn an_object_that_could_not_be_rendered_keeps_its_baseline() {
    let index = two();
    index.declare(TARGET, batch(&[("b", "1")], false));
    let rereads = index.declare(TARGET, batch(&[("a", "2"), ("b", "1")], true));
    assert_eq!(rereads.len(), 1);
    index.observe(&scope(), &live("a", "1", 5));
    let state = index.state(TARGET, &id("a"));
    assert!(matches!(state, Some(State::Pending(_))), "{state:?}");
}

#[test]
fn what_git_declares_again_is_no_orphan_any_more() {
    let index = two();
    index.declare(TARGET, batch(&[], true));
    index.observe(&scope(), &live("a", "1", 5));
    index.observe(&scope(), &live("b", "hand", 7));
    let rereads = index.declare(TARGET, batch(&[("a", "1"), ("b", "1")], true));
    assert_eq!(rereads.len(), 2);
    index.observe(&scope(), &live("a", "1", 5));
    index.observe(&scope(), &live("b", "hand", 7));
    assert_eq!(index.state(TARGET, &id("a")), Some(State::InSync));
    let Some(State::Drifted(report)) = index.state(TARGET, &id("b")) else {
        panic!("drifted");
    };
    assert_eq!(report.origin, Origin::LiveEdited);
    let tally = index.tally(TARGET);
    assert_eq!((tally.in_sync, tally.drifted, tally.left), (1, 1, 0));
}

#[test]
fn a_target_that_is_removed_or_points_elsewhere_leaves_no_orphans() {
    let index = two();
    let elsewhere = Batch {
        elsewhere: true,
        ..batch(&[("b", "1")], true)
    };
    assert!(index.declare(TARGET, elsewhere).is_empty());
    assert_eq!(index.state(TARGET, &id("a")), None);
    index.forget(TARGET);
    assert!(index.scopes().is_empty());
}

#[test]
fn an_orphan_goes_with_the_definition_of_its_kind() {
    let index = two();
    index.declare(TARGET, batch(&[], true));
    index.observe(&scope(), &live("a", "1", 5));
    index.failed(&scope(), Unknown::NotServed);
    assert!(index.scopes().is_empty());
    assert!(index.troubles(TARGET).is_empty());
}

#[test]
fn an_orphan_is_remembered_across_a_restart() {
    let before = two();
    let second = || Batch {
        revision: revision("main@2"),
        ..batch(&[("b", "1")], true)
    };
    before.declare(TARGET, second());
    before.observe(&scope(), &live("a", "1", 5));
    let first = json!({"metadata": {"name": "a", "namespace": "shop"}, "data": {"k": "1"}});
    let place = (
        "main@1".to_owned(),
        "sha256:1".to_owned(),
        object_key(&id("a")),
    );
    for (declared, live_value, origin) in [
        (
            HashMap::from([(place.clone(), first.clone())]),
            "1",
            Origin::GitAhead,
        ),
        (HashMap::from([(place, first)]), "hand", Origin::Diverged),
        (HashMap::new(), "1", Origin::Unknown),
    ] {
        before.not_saved(TARGET);
        let index = restarted(&before, declared);
        index.declare(TARGET, second());
        listed(&index, &[live("a", live_value, 5), live("b", "1", 6)]);
        assert_eq!(orphan(&index, "a"), Some((origin, false)));
        assert_eq!(index.tally(TARGET).declared(), 1);
        index.declare(TARGET, second());
        assert_eq!(orphan(&index, "a"), Some((origin, false)));
    }
}
