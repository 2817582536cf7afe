//! Custom resources: what autoscalers may set of them, and what the server makes of them on reading.

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

#[test]
fn replicas_of_another_name_under_an_autoscaler_were_drift() {
    let index = Index::new();
    let crew = |workers: i64, version: Option<&str>| {
        let mut object = rollout(2);
        object["spec"] = json!({ "workers": workers });
        if let Some(version) = version {
            object["metadata"]["resourceVersion"] = version.into();
        }
        object
    };
    index.declare(TARGET, commit("main@1", &kind(), &declared(crew(3, None))));
    index.set_scalable([(&scope(), true)]);
    let workers = "spec.workers".parse().expect("a path");
    index.set_schema(&scope(), drift::Schema::unknown(), Some(workers));
    list(&index, &crew(7, Some("5")));
    let unknown = Some(State::Unknown(Unknown::Autoscaled));
    assert_eq!(index.state(TARGET, &id()), unknown);
    index.set_bounds([within(2, 10)]);
    index.observe(&scope(), &crew(7, Some("6")));
    assert_eq!(index.state(TARGET, &id()), Some(State::InSync));
    index.observe(&scope(), &crew(11, Some("7")));
    assert_eq!(index.tally(TARGET).drifted, 1);
}

/// A verification took what waits for that list for what the watch had missed.
#[test]
fn what_waits_to_be_judged_by_a_new_schema_was_not_missed() {
    let index = index();
    index.set_bounds([]);
    list(&index, &live(2, 5));
    assert!(index.is_ready(&scope()) && !index.is_outdated(TARGET));
    index.set_schema(&scope(), drift::Schema::unknown(), None);
    assert!(!index.is_ready(&scope()) && index.is_outdated(TARGET));
    list(&index, &live(2, 5));
    assert!(index.is_ready(&scope()) && !index.is_outdated(TARGET));
}

#[test]
fn a_new_definition_with_one_more_default_made_drift_of_every_custom_resource() {
    let index = index();
    index.set_bounds([]);
    list(&index, &live(2, 5));
    assert_eq!(index.tally(TARGET).in_sync, 1);
    index.set_schema(&scope(), drift::Schema::unknown(), None);
    let completed = |version| {
        let mut read = live(2, version);
        read["spec"]["paused"] = false.into();
        read
    };
    list(&index, &completed(5));
    assert_eq!(index.tally(TARGET).in_sync, 1, "nobody wrote it");
    index.observe(&scope(), &completed(6));
    assert_eq!(index.tally(TARGET).in_sync, 1, "it was there");
    let mut edited = completed(7);
    edited["spec"]["more"] = true.into();
    index.observe(&scope(), &edited);
    assert_eq!(index.tally(TARGET).drifted, 1);
    index.set_schema(&scope(), drift::Schema::unknown(), None);
    list(&index, &edited);
    assert_eq!(index.tally(TARGET).drifted, 1, "that was written");
}

#[test]
fn what_was_there_while_nobody_asked_about_it_was_told_as_added_since() {
    let index = Index::new();
    let ignoring = super::Batch {
        undeclared: drift::Undeclared::Ignore,
        ..commit("main@1", &kind(), &declared(rollout(2)))
    };
    index.declare(TARGET, ignoring);
    index.set_askable(&scope(), false);
    index.set_bounds([]);
    list(&index, &live(2, 5));
    assert_eq!(index.tally(TARGET).in_sync, 1);
    index.declare(TARGET, commit("main@1", &kind(), &declared(rollout(2))));
    let mut edited = live(2, 5);
    edited["metadata"]["managedFields"] = json!([{"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:00Z",
        "fieldsV1": {"f:spec": {"f:hand": {}}}}]);
    edited["spec"]["hand"] = "x".into();
    index.observe(&scope(), &edited);
    let Some(State::Drifted(report)) = index.state(TARGET, &id()) else {
        panic!("{:?}", index.state(TARGET, &id()));
    };
    let paths: Vec<&str> = report.fields.iter().map(|f| &*f.path).collect();
    assert_eq!(paths, ["spec.hand"]);
}
