//! What Revert would do is known before it is taken, and what it says is what happens.

use serde_json::{Value, json};

use super::revert;
use super::revert::{SETTINGS, WEB, change_policy, get, opt_in};
use super::support::{Team, World};

const FROZEN: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: frozen}, data: {level: info}}";
const TOKEN: &str = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot}, automountServiceAccountToken: false}";

async fn drifted(prefix: &str) -> Team<'static> {
    let team = Team::new(World::shared().await, prefix).await;
    let files = [
        ("deploy/web.yaml", WEB),
        ("deploy/settings.yaml", SETTINGS),
        ("deploy/frozen.yaml", FROZEN),
        ("deploy/robot.yaml", TOKEN),
    ];
    for (_, text) in files {
        team.apply(text).await;
    }
    team.commit(&files).await;
    team.policy(|_| {}).await;
    team.in_sync().await;
    for (kind, name, patch) in [
        (
            "deployment",
            "web",
            json!({"spec": {"replicas": 5, "paused": true, "minReadySeconds": 3}, "metadata": {"labels": {"team": "other"}}}),
        ),
        ("configmap", "settings", json!({"data": {"level": "debug"}})),
        (
            "configmap",
            "frozen",
            json!({"data": {"level": "debug"}, "immutable": true}),
        ),
        (
            "serviceaccount",
            "robot",
            json!({"automountServiceAccountToken": true}),
        ),
    ] {
        revert::patch(&team, kind, name, patch).await;
    }
    team
}

fn blocked(preview: &Value) -> Vec<(&str, u64)> {
    let all = preview["blocked"].as_array().map_or(&[][..], Vec::as_slice);
    let mut all: Vec<(&str, u64)> = all
        .iter()
        .map(|b| (b["reason"].as_str().unwrap(), b["count"].as_u64().unwrap()))
        .collect();
    all.sort_unstable();
    all
}

async fn preview(team: &Team<'_>, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    let status = team.status(what, |s| done(&s["preview"])).await;
    status["preview"].clone()
}

async fn versions(team: &Team<'_>) -> Vec<String> {
    let mut versions = Vec::new();
    for (kind, name) in [
        ("deployment", "web"),
        ("configmap", "settings"),
        ("configmap", "frozen"),
        ("serviceaccount", "robot"),
    ] {
        let object = get(team, kind, name).await;
        versions.push(object["metadata"]["generation"].to_string());
        let at = object["metadata"]["resourceVersion"].to_string();
        // The Deployment's controller writes its status.
        versions.push(if kind == "deployment" {
            String::new()
        } else {
            at
        });
    }
    versions
}

#[tokio::test]
async fn a_preview_says_what_revert_then_does_and_writes_nothing() {
    let team = drifted("previews").await;
    team.drifted(4).await;
    let before = versions(&team).await;
    // Without consent it says so, for all of it.
    let closed = |p: &Value| blocked(p) == [("NotOptedIn", 4)];
    let shut = preview(&team, "not opted in", closed).await;
    let message = shut["blocked"][0]["message"].as_str().unwrap();
    assert!(message.contains("docs/rights.md"), "{message}");
    opt_in(&team).await;
    team.check().await;
    let expected = [("Invalid", 1), ("NotAllowed", 1)];
    let shown = preview(&team, "a preview", |p| blocked(p) == expected).await;
    assert_eq!(shown["rung"], "Revert");
    assert_eq!(
        (&shown["objects"], &shown["fields"]),
        (&json!(2), &json!(3)),
        "{shown}"
    );
    assert_eq!(shown["omitted"], 0);
    let messages = shown["blocked"].to_string();
    assert!(messages.contains("field is immutable"), "{messages}");
    let right = "Let service account ";
    assert!(
        messages.contains(right) && messages.contains("patch serviceaccounts"),
        "{messages}"
    );
    assert_eq!(versions(&team).await, before, "a preview writes nothing");

    // What is new is asked about, and what was asked before still counts.
    team.kubectl(["delete", "configmap", "settings"]).await;
    preview(&team, "two fields", |p| {
        p["objects"] == 2 && p["fields"] == 2
    })
    .await;

    change_policy(&team, json!({"enforcement": "Revert"})).await;
    let reverted = team
        .status("raised", |s| s["summary"]["drifted"] == 3)
        .await;
    assert_eq!(reverted["preview"], Value::Null);
    let blocked_record = |kind: &'static str, name: &'static str| {
        let team = &team;
        async move { team.record_in("Blocked", kind, name, |_| true).await }
    };
    let frozen = blocked_record("ConfigMap", "frozen").await;
    let robot = blocked_record("ServiceAccount", "robot").await;
    let reason = |r: &Value| r["status"]["enforcement"]["reason"].to_string();
    assert!(reason(&frozen).contains("field is immutable"), "{frozen}");
    assert!(reason(&robot).contains("patch serviceaccounts"), "{robot}");
    let web = get(&team, "deployment", "web").await;
    assert_eq!(web["spec"]["replicas"], 2);
    assert_eq!(web["metadata"]["labels"]["team"], "shop");
    assert_eq!(
        web["spec"]["minReadySeconds"], 3,
        "not declared, so it stays"
    );
    assert_eq!(
        get(&team, "configmap", "settings").await["data"]["level"],
        "info"
    );
    let live = get(&team, "configmap", "frozen").await;
    assert_eq!(live["data"]["level"], "debug");
}

#[tokio::test]
async fn an_immutable_field_is_blocked_and_the_object_stays() {
    let team = super::revert::team("immutable").await;
    opt_in(&team).await;
    // Somebody has made it anew with another selector.
    let other = WEB
        .replace("matchLabels: {app: web}", "matchLabels: {app: web2}")
        .replace(
            "metadata: {labels: {app: web}}",
            "metadata: {labels: {app: web2}}",
        );
    let hold =
        json!({"hold": {"until": super::revert::in_seconds(600), "reason": "it is made anew"}});
    change_policy(&team, hold).await;
    team.kubectl(["delete", "deployment", "web"]).await;
    team.apply(&other).await;
    let uid = get(&team, "deployment", "web").await["metadata"]["uid"].clone();
    change_policy(&team, json!({"hold": null})).await;
    let record = team
        .record_in("Blocked", "Deployment", "web", |_| true)
        .await;
    let reason = record["status"]["enforcement"]["reason"].to_string();
    assert!(
        reason.contains("spec.selector") && reason.contains("field is immutable"),
        "{reason}"
    );
    let live = get(&team, "deployment", "web").await;
    assert_eq!(live["metadata"]["uid"], uid, "never by delete and create");
    assert_eq!(live["spec"]["selector"]["matchLabels"]["app"], "web2");
}
