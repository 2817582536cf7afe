//! What a delivery or a revert leaves alone: what is allowed for now, what nobody here knows, and what is somebody else's by now.

use std::time::Duration;

use serde_json::{Value, json};

use super::delivery::{MOVES, delivers, until};
use super::limits::exception;
use super::revert::{
    SETTINGS, WEB, change_policy, edit_settings, get, opt_in, outcome, patch, team,
};
use super::support::{POLICY, Team, World};

/// Longer than a write takes.
const WHILE: Duration = Duration::from_secs(3);

/// The settings with their level as SOPS encrypts it.
fn encrypted(level: &str) -> String {
    let cipher = format!("ENC[AES256_GCM,data:{level},iv:aXY=,tag:dGFn,type:str]");
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{level: '{cipher}'}}
sops:
  mac: 'ENC[AES256_GCM,data:bWFj,iv:aXY=,tag:dGFn,type:str]'
  lastmodified: '2026-11-01T00:00:00Z'
  age: []
  version: 3.11.0
"
    )
}

/// A second policy of the team over the folder `other`.
async fn second(team: &Team<'_>, change: impl FnOnce(&mut Value)) {
    let second = team.policy_object(|p| {
        p["metadata"]["name"] = json!("second");
        p["spec"]["enforcement"] = json!("Revert");
        p["spec"]["targets"][0]["kubernetes"]["path"] = json!("other");
        change(p);
    });
    team.apply(&second.to_string()).await;
    team.status_of("second", "compared", |s| s["summary"]["declared"] == 1)
        .await;
}

/// Waits for an Event, and gives what all of them say.
async fn told(team: &Team<'_>, reason: &str) -> String {
    let query = "jsonpath={range .items[*]}{.reason}: {.note}{\"\\n\"}{end}";
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    loop {
        let all = team
            .kubectl(["get", "events.events.k8s.io", "-o", query])
            .await;
        if all.contains(&format!("{reason}: ")) {
            return all;
        }
        assert!(std::time::Instant::now() < deadline, "{all}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn a_delivery_keeps_what_an_exception_allows_and_writes_nothing_that_is_encrypted() {
    let world = World::shared().await;
    let team = Team::new(world, "keeps-allowed").await;
    opt_in(&team).await;
    team.commit(&[("deploy/web.yaml", WEB)]).await;
    delivers(&team).await;
    team.in_sync().await;
    let allowed = json!({"match": {"kinds": ["apps/Deployment"], "fields": ["spec.replicas"]}, "allowedValues": [5]});
    team.apply(&exception("scaled", allowed)).await;
    team.until("active", "DriftException", |all| {
        let state = &all.get("scaled")?["status"]["state"];
        (state == "Expiring" || state == "Active").then_some(())
    })
    .await;
    team.kubectl(["scale", "deployment/web", "--replicas=5"])
        .await;
    team.record_in("Excepted", "Deployment", "web", |_| true)
        .await;
    let newer = WEB.replace("shop/web:1", "shop/web:2");
    let secret = encrypted("eA==");
    team.commit(&[
        ("deploy/web.yaml", &newer),
        ("deploy/settings.yaml", &secret),
    ])
    .await;
    team.check().await;
    let image = |o: &Value| o["spec"]["template"]["spec"]["containers"][0]["image"] == "shop/web:2";
    let live = until(&team, "deployment", "web", image).await;
    assert_eq!(live["spec"]["replicas"], 5, "{live}");

    // It was a commit that was delivered, and no edit that went back, though there is one that stays.
    let events = told(&team, "DeliveryBlocked").await;
    assert!(events.contains("encrypted"), "{events}");
    let events = told(&team, "Delivered").await;
    assert!(!events.contains("was put back"), "{events}");

    // The other is told, and not created with ciphertext in it.
    let query = ["get", "configmap", "settings", "--ignore-not-found"];
    assert_eq!(team.kubectl(query).await, "");
    // Nor is it where it is there, and something else of it is not as declared.
    team.kubectl([
        "create",
        "configmap",
        "settings",
        "--from-literal=level=plain",
    ])
    .await;
    patch(
        &team,
        "configmap",
        "settings",
        json!({"metadata": {"labels": {"a": "b"}}}),
    )
    .await;
    tokio::time::sleep(WHILE).await;
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"], json!({"level": "plain"}));
}

#[tokio::test]
async fn a_declaration_that_is_encrypted_is_one_that_differs() {
    let team = team("disputed-hidden").await;
    opt_in(&team).await;
    team.commit(&[("other/settings.yaml", &encrypted("eA=="))])
        .await;
    team.check().await;
    second(&team, |_| {}).await;
    edit_settings(&team).await;
    let blocked = |r: &&Value| {
        let reason = r["status"]["enforcement"]["reason"].as_str();
        r["spec"]["policy"] == POLICY
            && reason.is_some_and(|r| r.contains("declares this object otherwise"))
    };
    team.until("blocked", "DriftRecord", |all| {
        all.values().find(blocked).cloned()
    })
    .await;
    tokio::time::sleep(WHILE).await;
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"], json!({"level": "debug"}));
    // Nobody declares it otherwise any more.
    team.kubectl(["delete", "driftpolicy", "second"]).await;
    patch(
        &team,
        "configmap",
        "settings",
        json!({"data": {"level": "again"}}),
    )
    .await;
    team.closed("ConfigMap", "settings").await;
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"], json!({"level": "info"}));
}

#[tokio::test]
async fn what_somebody_declares_who_may_not_see_it_disputes_nothing() {
    let team = team("disputed-blind").await;
    opt_in(&team).await;
    team.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: blind}}")
        .await;
    let other = SETTINGS.replace("info", "warn");
    team.commit(&[("other/settings.yaml", &other)]).await;
    team.check().await;
    second(&team, |p| p["spec"]["serviceAccountName"] = json!("blind")).await;
    edit_settings(&team).await;
    let record = outcome(&team, "Reverted").await;
    assert_eq!(record["spec"]["policy"], POLICY, "{record}");
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"], json!({"level": "info"}));
}

#[tokio::test]
async fn what_another_policy_took_over_is_not_pruned_and_goes_on_there() {
    let world = World::shared().await;
    let team = Team::new(world, "moves").await;
    opt_in(&team).await;
    let rights = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: deletes}, rules: [{apiGroups: [''], resources: [configmaps], verbs: [delete]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: deletes}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deletes}, subjects: [{kind: ServiceAccount, name: drift}]}
";
    team.apply(rights).await;
    let one = SETTINGS.replace("name: settings", "name: one");
    team.commit(&[
        ("deploy/one.yaml", &one),
        ("deploy/settings.yaml", SETTINGS),
    ])
    .await;
    let delivery = json!({"delivery": "Driftline", "prune": true});
    let prunes = |p: &mut Value| {
        p["spec"]["enforcement"] = json!("Revert");
        let target = p["spec"]["targets"][0]["kubernetes"].as_object_mut();
        target
            .unwrap()
            .extend(delivery.as_object().unwrap().clone());
    };
    team.policy(prunes).await;
    team.in_sync().await;
    let before = get(&team, "configmap", "settings").await;

    // It moves from the one to the other, with a new value.
    team.repo
        .git(["rm", "-q", "deploy/settings.yaml"])
        .await
        .unwrap();
    let newer = SETTINGS.replace("info", "warn");
    team.commit(&[("other/settings.yaml", &newer)]).await;
    team.check().await;
    second(&team, prunes).await;
    let moved = |o: &Value| o["data"]["level"] == "warn";
    until(&team, "configmap", "settings", moved).await;
    tokio::time::sleep(MOVES + Duration::from_secs(10)).await;
    let after = get(&team, "configmap", "settings").await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["data"]["level"], "warn");
    // It is the other's to put back.
    edit_settings(&team).await;
    until(&team, "configmap", "settings", moved).await;
    team.in_sync().await;
    // With the first policy goes nothing of it.
    change_policy(&team, json!({"deletionPolicy": "Delete"})).await;
    team.until("the finalizer", "DriftPolicy", |all| {
        let finalizers = &all.get(POLICY)?["metadata"]["finalizers"];
        (finalizers == &json!(["driftline.dev/delete"])).then_some(())
    })
    .await;
    team.kubectl(["delete", "driftpolicy", POLICY, "--timeout=40s"])
        .await;
    let query = ["get", "configmap", "one", "--ignore-not-found"];
    assert_eq!(team.kubectl(query).await, "");
    let after = get(&team, "configmap", "settings").await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
}
