//! What autoscalers may set, as the index hears of it.

use drift::automation::ReplicaBounds;
use drift::{GroupKind, GroupVersionKind, ObjectId, Unknown};
use serde_json::{Value, json};

use super::tests::{TARGET, commit, declared};
use super::{Index, Reread, ScopeKey, State, Tally};

fn kind() -> GroupVersionKind {
    GroupVersionKind::new("argoproj.io", "v1alpha1", "Rollout")
}

fn scope() -> ScopeKey {
    ScopeKey::new(kind(), Some("shop".into()))
}

fn id() -> ObjectId {
    let kind = GroupKind::new("argoproj.io", "Rollout");
    ObjectId::new(kind, Some("shop"), "web")
}

fn rollout(replicas: i64) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": replicas}})
}

/// One that the server has completed.
fn live(replicas: i64, version: u32) -> Value {
    let mut live = rollout(replicas);
    live["spec"]["strategy"] = "canary".into();
    live["metadata"]["resourceVersion"] = version.to_string().into();
    live["metadata"]["managedFields"] = json!([{"manager": "deployer", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    live
}

/// Two replicas are declared of a kind that can be scaled and that the server is not asked about.
fn index() -> Index {
    let index = Index::new();
    index.declare(TARGET, commit("main@1", &kind(), &declared(rollout(2))));
    index.set_scalable([(&scope(), true)]);
    index.set_askable(&scope(), false);
    index
}

fn list(index: &Index, live: &Value) {
    index.restarted(&scope());
    index.observe(&scope(), live);
    index.ready(&scope());
}

fn within(min: i64, max: i64) -> (ObjectId, ReplicaBounds) {
    (id(), ReplicaBounds { min, max })
}

fn reread() -> Vec<Reread> {
    vec![Reread {
        scope: scope(),
        id: id(),
    }]
}

#[test]
fn what_an_autoscaler_had_set_of_a_custom_kind_was_drift_at_each_start() {
    let index = index();
    list(&index, &live(6, 5));
    let unverified = Tally {
        unverified: 1,
        ..Tally::default()
    };
    assert_eq!(index.tally(TARGET), unverified);
    assert_eq!(index.oddities(TARGET), [(1, id(), Unknown::Autoscaled)]);
    assert_eq!(index.set_bounds([within(2, 10)]), reread());
    index.observe(&scope(), &live(6, 5));
    assert_eq!(index.state(TARGET, &id()), Some(State::InSync));
    index.observe(&scope(), &live(12, 6));
    assert!(matches!(
        index.state(TARGET, &id()),
        Some(State::Drifted(_))
    ));
}

#[test]
fn a_kind_that_cannot_be_scaled_does_not_wait_for_autoscalers() {
    let index = index();
    index.set_scalable([(&scope(), false)]);
    list(&index, &live(6, 5));
    assert_eq!(index.tally(TARGET).drifted, 1);
}

#[test]
fn of_two_autoscalers_of_one_object_an_arbitrary_one_counted() {
    let all = [within(1, 3), within(5, 8)];
    let mut turned = all.clone();
    turned.reverse();
    for bounds in [all, turned] {
        let index = index();
        index.set_bounds(bounds);
        for (replicas, version) in [(3, 5), (6, 6), (1, 7)] {
            index.observe(&scope(), &live(replicas, version));
            assert_eq!(index.tally(TARGET).in_sync, 1, "{replicas}");
        }
        index.observe(&scope(), &live(9, 8));
        assert_eq!(index.tally(TARGET).drifted, 1);
    }
}

#[test]
fn replicas_that_autoscalers_set_counted_as_edits_once_these_might_not_be_read() {
    let index = index();
    index.set_bounds([within(2, 10)]);
    list(&index, &live(6, 5));
    assert_eq!(index.tally(TARGET).in_sync, 1);
    assert_eq!(index.lose_bounds(), reread());
    index.observe(&scope(), &live(6, 5));
    assert_eq!(
        index.state(TARGET, &id()),
        Some(State::Unknown(Unknown::Autoscaled))
    );
    index.observe(&scope(), &live(2, 6));
    assert_eq!(index.tally(TARGET).in_sync, 1, "as declared all the same");
}

#[test]
fn what_was_known_of_an_object_was_forgotten_while_autoscalers_were_not_listed() {
    let index = index();
    index.set_bounds([within(2, 10)]);
    list(&index, &live(6, 5));
    index.lose_bounds();
    index.observe(&scope(), &live(7, 6));
    assert_eq!(index.tally(TARGET).unverified, 1);
    index.set_bounds([within(2, 10)]);
    index.observe(&scope(), &live(7, 6));
    assert_eq!(
        index.state(TARGET, &id()),
        Some(State::InSync),
        "what the server had completed is no addition"
    );
}
