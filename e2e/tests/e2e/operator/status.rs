//! What the status says, and when it is written.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{POLICY, Team, World, condition, watch_until};

const TWO: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: two}, data: {k: v}}
";

async fn edit(team: &Team<'_>, name: &str, value: &str) {
    let patch = format!(r#"{{"data":{{"k":"{value}"}}}}"#);
    team.kubectl(["patch", "configmap", name, "--type=merge", "-p", &patch])
        .await;
}

#[tokio::test]
async fn nothing_is_written_while_nothing_changes() {
    let team = Team::new(World::shared().await, "quiet").await;
    team.declare(TWO).await;
    team.policy(|p| {
        p["spec"]["targets"][0]["kubernetes"]["undeclared"] = json!({"fields": "Ignore"});
    })
    .await;
    team.in_sync().await;
    edit(&team, "one", "x").await;
    // Who wrote the line comes a moment later.
    let complete = |r: &Value| r["status"]["declaredAt"]["commit"].is_string();
    let record = team.record("ConfigMap", "one", complete).await;
    team.status("counted", |s| {
        // What Revert would do is asked a moment later.
        s["summary"]["drifted"] == 1 && s["records"]["open"] == 1 && s["preview"].is_object()
    })
    .await;
    let policies = team.api("DriftPolicy");
    let version = policies
        .get(POLICY)
        .await
        .unwrap()
        .metadata
        .resource_version;
    let version = json!(version);
    // Edits that change nothing declared are no news either.
    team.kubectl(["annotate", "configmap", "one", "note=undeclared"])
        .await;
    team.kubectl(["label", "configmap", "two", "note=undeclared"])
        .await;
    let changed = watch_until(policies, Duration::from_secs(4), |all| {
        (all.get(POLICY)?["metadata"]["resourceVersion"] != version).then(|| all[POLICY].clone())
    })
    .await;
    assert!(
        changed.is_err(),
        "the status was written again: {changed:?}"
    );
    let name = record["metadata"]["name"].as_str().unwrap();
    let now = &team.records().await[name];
    assert_eq!(
        now["metadata"]["resourceVersion"],
        record["metadata"]["resourceVersion"]
    );
}

#[tokio::test]
async fn one_event_at_open_and_one_at_close() {
    let team = Team::new(World::shared().await, "events").await;
    team.declare(TWO).await;
    edit(&team, "one", "x").await;
    team.record("ConfigMap", "one", |_| true).await;
    // A further edit of what is drifted is the same drift.
    edit(&team, "one", "y").await;
    team.record("ConfigMap", "one", |r| {
        r["status"]["fields"][0]["live"] == "y"
    })
    .await;
    edit(&team, "one", "v").await;
    team.closed("ConfigMap", "one").await;
    let events = team
        .until_in(
            "two events",
            {
                let kind = kube::core::GroupVersionKind::gvk("events.k8s.io", "v1", "Event");
                let resource = kube::core::ApiResource::from_gvk(&kind);
                kube::Api::namespaced_with(team.client.clone(), &team.namespace, &resource)
            },
            |all| {
                let mut ours: Vec<_> = all
                    .values()
                    .filter(|e| e["regarding"]["kind"] == "DriftPolicy")
                    .cloned()
                    .collect();
                ours.sort_by_key(|e| e["eventTime"].as_str().unwrap_or_default().to_owned());
                (ours.len() >= 2).then_some(ours)
            },
        )
        .await;
    let said: Vec<_> = events
        .iter()
        .map(|e| (e["reason"].as_str().unwrap(), e["type"].as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [("DriftOpened", "Warning"), ("DriftClosed", "Normal")],
        "{events:?}"
    );
    assert_eq!(events[0]["related"]["name"], "one");
    let note = events[0]["note"].as_str().unwrap();
    assert!(
        note.contains("ConfigMap") && note.contains("kubectl-patch"),
        "{note}"
    );
}

#[tokio::test]
async fn a_record_deleted_by_hand_comes_back() {
    let team = Team::new(World::shared().await, "byhand").await;
    team.declare(TWO).await;
    edit(&team, "one", "x").await;
    let record = team.record("ConfigMap", "one", |_| true).await;
    let (name, uid) = (
        record["metadata"]["name"].as_str().unwrap(),
        &record["metadata"]["uid"],
    );
    team.kubectl(["delete", "driftrecord", name]).await;
    team.record("ConfigMap", "one", |r| r["metadata"]["uid"] != *uid)
        .await;
}

#[tokio::test]
async fn a_check_is_answered_and_its_answer_is_once() {
    let team = Team::new(World::shared().await, "check").await;
    team.declare(TWO).await;
    team.server.forget_requests();
    let status = team.check().await;
    assert!(!team.server.requests().is_empty(), "a check fetches");
    assert_eq!(condition(&status, "Ready").0, "True");
    assert!(status["targets"][0]["checkedAt"].is_string());
    assert!(
        status["source"]["revision"]
            .as_str()
            .unwrap()
            .starts_with("main@sha1:"),
        "{status}"
    );
    assert_eq!(
        status["source"]["message"].as_str().map(str::trim),
        Some("a change")
    );
}

#[tokio::test]
async fn the_owner_goes_with_every_record() {
    let team = Team::new(World::shared().await, "owner").await;
    team.apply(TWO).await;
    team.commit(&[("deploy/app.yaml", TWO)]).await;
    let owner = json!({"team": "shop", "contact": "#shop-oncall", "runbook": "https://wiki.example.com/shop"});
    team.policy(|p| p["spec"]["owner"] = owner.clone()).await;
    team.in_sync().await;
    edit(&team, "one", "x").await;
    team.kubectl(["delete", "configmap", "two"]).await;
    for name in ["one", "two"] {
        let record = team.record("ConfigMap", name, |_| true).await;
        assert_eq!(record["status"]["owner"], owner, "{record}");
    }
    let other = json!({"team": "other"});
    team.policy(|p| p["spec"]["owner"] = other.clone()).await;
    for name in ["one", "two"] {
        let handed_over = |r: &Value| r["status"]["owner"] == other;
        team.record("ConfigMap", name, handed_over).await;
    }
    // A record that was closed still says whose it was.
    edit(&team, "one", "v").await;
    let closed = team.closed("ConfigMap", "one").await;
    assert_eq!(closed["status"]["owner"], other, "{closed}");
}

#[tokio::test]
async fn a_deleted_policy_takes_records_and_metrics_along() {
    let team = Team::new(World::shared().await, "deleted-policy").await;
    team.declare(TWO).await;
    edit(&team, "one", "x").await;
    let record = team.record("ConfigMap", "one", |_| true).await;
    assert_eq!(record["metadata"]["ownerReferences"][0]["name"], POLICY);
    let label = format!("namespace=\"{}\"", team.namespace);
    assert!(team.world.metrics().await.contains(&label));
    team.kubectl(["delete", "driftpolicy", POLICY]).await;
    team.until("no records", "DriftRecord", |all| {
        all.is_empty().then_some(())
    })
    .await;
    assert!(
        !team.world.metrics().await.contains(&label),
        "metrics of a deleted policy"
    );
}
