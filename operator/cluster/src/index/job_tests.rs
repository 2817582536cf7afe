//! What is not meant to stay: hooks, and Jobs with a time to live.

use drift::{GroupKind, GroupVersionKind, ObjectChange, ObjectId};
use serde_json::{Value, json};

use super::tests::{TARGET, commit, declared, restarted};
use super::{Index, ScopeKey, State};

fn kind() -> GroupVersionKind {
    GroupVersionKind::new("batch", "v1", "Job")
}

fn scope() -> ScopeKey {
    ScopeKey::new(kind(), Some("shop".into()))
}

fn id() -> ObjectId {
    ObjectId::new(GroupKind::new("batch", "Job"), Some("shop"), "import")
}

fn job(image: &str) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "import", "namespace": "shop"}, "spec": {"ttlSecondsAfterFinished": 60, "image": image}})
}

fn live(version: u32, condition: &str) -> Value {
    let mut live = job("a");
    live["metadata"]["resourceVersion"] = version.to_string().into();
    live["status"] = json!({"conditions": [{"type": condition, "status": "True"}]});
    live
}

fn list(index: &Index, all: &[Value]) {
    index.restarted(&scope());
    for live in all {
        index.observe(&scope(), live);
    }
    index.ready(&scope());
}

/// The Job as it is running.
fn running() -> Index {
    let index = Index::new();
    index.declare(TARGET, commit("main@1", &kind(), &declared(job("a"))));
    list(&index, &[live(5, "Suspended")]);
    assert_eq!(index.state(TARGET, &id()), Some(State::InSync));
    index
}

fn is_missing(index: &Index) -> bool {
    match index.state(TARGET, &id()) {
        Some(State::Drifted(report)) => report.change == ObjectChange::Missing,
        Some(State::InSync) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_running_job_that_was_deleted_was_in_sync_because_it_has_a_time_to_live() {
    let index = running();
    index.gone(&scope(), &live(6, "Suspended"));
    assert!(is_missing(&index));
    list(&index, &[]);
    assert!(is_missing(&index), "a list knows no better");
    let index = restarted(&index, Default::default());
    index.declare(TARGET, commit("main@1", &kind(), &declared(job("a"))));
    list(&index, &[]);
    assert!(is_missing(&index), "nor does a restart");
    list(&index, &[live(9, "Complete")]);
    assert_eq!(index.state(TARGET, &id()), Some(State::InSync));
    index.gone(&scope(), &live(10, "Complete"));
    assert!(!is_missing(&index));
}

#[test]
fn a_job_that_went_unseen_is_believed_to_have_finished() {
    let index = running();
    list(&index, &[]);
    assert!(!is_missing(&index));
    let index = running();
    // As a verification tells it, which has not seen it either.
    let bare = json!({"metadata": {"name": "import", "namespace": "shop", "resourceVersion": "9"}});
    index.gone(&scope(), &bare);
    assert!(!is_missing(&index));
}

#[test]
fn a_job_that_is_made_anew_for_a_commit_is_not_missing() {
    let index = running();
    index.declare(TARGET, commit("main@2", &kind(), &declared(job("b"))));
    index.observe(&scope(), &live(5, "Suspended"));
    assert!(matches!(
        index.state(TARGET, &id()),
        Some(State::Pending(_))
    ));
    index.gone(&scope(), &live(6, "Suspended"));
    assert!(!is_missing(&index));
}

#[test]
fn a_verification_missed_each_hook_that_had_gone() {
    let index = Index::new();
    let mut hook = job("a");
    hook["metadata"]["annotations"] = json!({"helm.sh/hook": "pre-install"});
    index.declare(TARGET, commit("main@1", &kind(), &declared(hook)));
    list(&index, &[]);
    assert_eq!(index.state(TARGET, &id()), Some(State::InSync));
    assert!(index.beliefs(&scope()).iter().all(|(_, b)| !b.exists));
}
