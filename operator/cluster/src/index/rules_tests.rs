//! Rules, as the index applies them.

use std::sync::Arc;

use drift::rules::{MatchText, RuleText, Rules, TargetRules};
use drift::{Origin, Unknown};
use serde_json::{Value, json};

use super::tests::{TARGET, batch, id, listed, live, scope, states};
use super::{Index, State, Tally};

fn ignoring(kinds: &[&str], fields: &[&str]) -> TargetRules {
    let list = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    let text = RuleText {
        matches: MatchText {
            kinds: list(kinds),
            fields: list(fields),
            ..MatchText::default()
        },
        ignore: Some("by hand".into()),
        severity: None,
        rung: None,
    };
    let empty = kinds.is_empty() && fields.is_empty();
    let texts = if empty { vec![] } else { vec![text] };
    TargetRules {
        target: "app".into(),
        rules: Arc::new(Rules::parse(&texts, &["app"]).expect("valid")),
        exceptions: Default::default(),
    }
}

#[test]
fn changed_rules_read_again_what_differs_and_nothing_else() {
    let index = Index::new();
    assert!(index.set_rules(TARGET, ignoring(&[], &[])).is_empty());
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1"), ("c", "1")], true));
    listed(&index, &[live("a", "1", 5), live("b", "1", 6)]);
    index.observe(&scope(), &live("b", "2", 7));
    assert_eq!(
        states(&index),
        [
            ("a".into(), "in sync"),
            ("b".into(), "Changed"),
            ("c".into(), "Missing")
        ]
    );

    let mut rereads = index.set_rules(TARGET, ignoring(&["ConfigMap"], &[]));
    rereads.sort_by_key(|r| r.id.clone());
    let names: Vec<&str> = rereads.iter().map(|r| &*r.id.name).collect();
    assert_eq!(names, ["b", "c"]);
    index.observe(&scope(), &live("b", "2", 7));
    index.absent(&scope(), &id("c"));
    assert_eq!(
        states(&index),
        [("b".into(), "ignored"), ("c".into(), "ignored")]
    );
    assert_eq!(index.tally(TARGET).in_sync, 3);

    assert!(
        index
            .set_rules(TARGET, ignoring(&["ConfigMap"], &[]))
            .is_empty()
    );
    let back = index.set_rules(TARGET, ignoring(&["Secret"], &[]));
    assert_eq!(
        back.len(),
        2,
        "what is ignored counts as in sync, and is looked at all the same"
    );
    index.observe(&scope(), &live("b", "2", 7));
    index.absent(&scope(), &id("c"));
    assert_eq!(
        states(&index),
        [("b".into(), "Changed"), ("c".into(), "Missing")]
    );
}

/// A ConfigMap `a` with one more key.
fn two(k: &str, other: &str, version: u32) -> Value {
    let mut object = live("a", k, version);
    object["data"]["other"] = json!(other);
    object
}

#[test]
fn what_is_ignored_since_ever_does_not_hide_who_edited_the_rest() {
    let index = Index::new();
    index.set_rules(TARGET, ignoring(&[], &["data.k"]));
    index.declare(TARGET, batch(&[("a", "1")], true));
    // Different at first sight, and ignored: in sync, though nobody ever saw that field as declared.
    listed(&index, &[live("a", "9", 5)]);
    let question = index.next_question().expect("one");
    index.settle(&question, super::Asked::Object(live("x", "1", 1)));
    index.observe(&scope(), &live("a", "9", 5));
    assert_eq!(index.state(TARGET, &id("a")), Some(State::Ignored));
    assert!(index.beliefs(&scope()).iter().all(|(_, b)| b.exists));

    let mut edited = live("a", "9", 6);
    edited["metadata"]["labels"] = json!({"x": "y"});
    index.observe(&scope(), &edited);
    let Some(State::Drifted(report)) = index.state(TARGET, &id("a")) else {
        panic!("drifted: {:?}", index.state(TARGET, &id("a")));
    };
    assert_eq!(
        (report.fields.len(), report.origin),
        (1, Origin::LiveEdited)
    );
    assert_eq!(
        report.rule.as_deref(),
        Some("rules[0] ignores 1 field: by hand")
    );

    index.set_rules(TARGET, ignoring(&[], &[]));
    index.observe(&scope(), &edited);
    let Some(State::Drifted(report)) = index.state(TARGET, &id("a")) else {
        panic!("drifted");
    };
    let origin = |path: &str| {
        report
            .fields
            .iter()
            .find(|f| f.path == path)
            .map(|f| f.origin)
    };
    assert_eq!(
        origin("data.k"),
        Some(Origin::Unknown),
        "never seen in sync"
    );
    assert_eq!(origin("metadata.labels.x"), Some(Origin::LiveEdited));
}

#[test]
fn what_cannot_be_told_is_not_in_sync_because_the_rest_is_ignored() {
    let index = Index::new();
    index.set_rules(TARGET, ignoring(&[], &["data.k"]));
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5)]);
    index.observe(&scope(), &two("2", "new", 6));
    assert_eq!(
        index.state(TARGET, &id("a")),
        Some(State::Unknown(Unknown::Unverified))
    );
    assert_eq!(
        index.tally(TARGET),
        Tally {
            unverified: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn a_missing_object_that_is_ignored_does_not_exist_all_the_same() {
    let index = Index::new();
    index.set_rules(TARGET, ignoring(&["ConfigMap"], &[]));
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[]);
    assert_eq!(index.state(TARGET, &id("a")), Some(State::Ignored));
    assert!(index.beliefs(&scope()).iter().all(|(_, b)| !b.exists));
}
