use drift::Origin;
use serde_json::json;

use super::super::tests::{TARGET, batch, id, listed, live, revision, scope, states};
use super::super::{Index, State};
use super::*;

fn helm(mut live: Value) -> Value {
    live["metadata"]["annotations"] =
        json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"});
    live
}

fn earlier(value: &str) -> Before {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": {"k": value}});
    Before::Earlier(revision("v3"), object)
}

fn proof(name: &str, before: Before) -> Proof {
    Proof {
        id: id(name),
        before,
        evidence: Evidence::Flux,
    }
}

/// The index after `a` was found to differ and `b` to be missing.
fn first_sight() -> Index {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1"), ("b", "1"), ("c", "1")], true));
    index.set_askable(&scope(), false);
    listed(&index, &[helm(live("a", "2", 5)), helm(live("c", "1", 6))]);
    index
}

fn origin(index: &Index, name: &str) -> Option<(&'static str, Origin)> {
    match index.state(TARGET, &id(name))? {
        State::Drifted(report) => Some(("drifted", report.origin)),
        State::Pending(report) => Some(("pending", report.origin)),
        _ => None,
    }
}

#[test]
fn only_what_differs_at_first_sight_is_asked_about_and_once() {
    let index = first_sight();
    let changes = index.take_changes(10);
    assert!(changes.iter().all(|c| c.unproven == (&*c.id.name != "c")));
    let unproven = index.unproven(TARGET).expect("something to ask");
    let (namespace, name) = ("shop".to_owned(), "web".to_owned());
    assert_eq!(unproven.claims, [Claim::Helm { namespace, name }]);
    assert_eq!(unproven.objects, [(id("a"), true), (id("b"), false)]);
    assert_eq!(index.prove(TARGET, &unproven.objects, vec![]), vec![]);
    assert_eq!(index.unproven(TARGET), None);
    // Whoever waited for the answer goes on.
    assert_eq!(states(&index).len(), 2);
    assert_eq!(origin(&index, "a"), Some(("drifted", Origin::Unknown)));
    index.seek_again(TARGET);
    assert_eq!(index.unproven(TARGET), Some(unproven));
    // A later edit of what was in sync has a baseline of our own.
    index.observe(&scope(), &helm(live("c", "2", 9)));
    assert_eq!(origin(&index, "c"), Some(("drifted", Origin::LiveEdited)));
}

#[test]
fn without_anybody_who_claims_it_nobody_is_asked() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "2", 5)]);
    assert!(index.take_changes(10).iter().all(|c| !c.unproven));
    assert_eq!(index.unproven(TARGET), None);
}

#[test]
fn what_the_deployer_deployed_tells_who_moved() {
    let cases = [
        (Before::AsNow, ("drifted", Origin::LiveEdited)),
        (earlier("1"), ("drifted", Origin::LiveEdited)),
        (earlier("2"), ("pending", Origin::GitAhead)),
        (earlier("0"), ("drifted", Origin::Diverged)),
    ];
    for (before, expected) in cases {
        let index = first_sight();
        let objects = index.unproven(TARGET).expect("something").objects;
        let proofs = vec![proof("a", before.clone()), proof("b", Before::Absent)];
        assert_eq!(index.prove(TARGET, &objects, proofs).len(), 2);
        listed(&index, &[helm(live("a", "2", 5)), helm(live("c", "1", 6))]);
        assert_eq!(origin(&index, "a"), Some(expected), "{before:?}");
        assert_eq!(origin(&index, "b"), Some(("pending", Origin::GitAhead)));
        let changes = index.take_changes(10);
        let of_a = changes.iter().find(|c| c.id == id("a")).expect("a change");
        let (_, evidence) = of_a.baseline.clone().expect("a baseline");
        assert_eq!(evidence, Evidence::Flux);
        // Seen in sync, it is our own.
        index.observe(&scope(), &helm(live("a", "1", 10)));
        index.observe(&scope(), &helm(live("a", "2", 11)));
        let changes = index.take_changes(10);
        let of_a = changes.iter().find(|c| c.id == id("a")).expect("a change");
        assert_eq!(of_a.baseline.clone().map(|b| b.1), Some(Evidence::Own));
    }
}

#[test]
fn a_release_may_have_been_a_hotfix_and_proves_no_commit() {
    let index = first_sight();
    let objects = index.unproven(TARGET).expect("something").objects;
    let release = Proof {
        evidence: Evidence::Helm,
        ..proof("a", earlier("2"))
    };
    index.prove(TARGET, &objects, vec![release]);
    listed(&index, &[helm(live("a", "2", 5)), helm(live("c", "1", 6))]);
    assert_eq!(origin(&index, "a"), Some(("drifted", Origin::GitAhead)));
}

#[test]
fn what_came_into_sync_meanwhile_keeps_its_own_baseline() {
    let index = first_sight();
    let objects = index.unproven(TARGET).expect("something").objects;
    index.observe(&scope(), &helm(live("a", "1", 9)));
    assert_eq!(
        index.prove(TARGET, &objects, vec![proof("a", earlier("0"))]),
        vec![]
    );
    index.observe(&scope(), &helm(live("a", "2", 10)));
    assert_eq!(origin(&index, "a"), Some(("drifted", Origin::LiveEdited)));
}
