//! Putting live edits back.

use serde_json::{Value, json};

use super::support::{POLICY, Team, World, condition};

pub(super) const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {team: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'shop/web:1', env: [{name: LEVEL, value: info}]}
      - {name: proxy, image: 'shop/proxy:1'}
";
pub(super) const SETTINGS: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {level: info}}";

/// Edits an object by a merge patch.
pub(super) async fn patch(team: &Team<'_>, kind: &str, name: &str, patch: Value) {
    let patch = patch.to_string();
    team.kubectl(["patch", kind, name, "--type=merge", "-p", &patch])
        .await;
}

/// Edits the ConfigMap of [`SETTINGS`].
pub(super) async fn edit_settings(team: &Team<'_>) {
    patch(
        team,
        "configmap",
        "settings",
        json!({"data": {"level": "debug"}}),
    )
    .await;
}

/// The account may write, and Driftline may act as it, as the example has it.
pub(crate) async fn opt_in(team: &Team<'_>) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = std::fs::read_to_string(root.join("examples/revert-opt-in.yaml")).unwrap();
    let example = example
        .replace("namespace: shop", &format!("namespace: {}", team.namespace))
        .replace("name: shop-drift\n", "name: drift\n")
        .replace("[shop-drift]", "[drift]");
    team.apply(&example).await;
}

pub(super) async fn team(prefix: &str) -> Team<'static> {
    team_in(World::shared().await, prefix).await
}

/// A team whose policy is at Revert, with everything as declared.
pub(super) async fn team_in<'a>(world: &'a World, prefix: &str) -> Team<'a> {
    let team = Team::new(world, prefix).await;
    team.apply(WEB).await;
    team.apply(SETTINGS).await;
    team.commit(&[("deploy/web.yaml", WEB), ("deploy/settings.yaml", SETTINGS)])
        .await;
    team.policy(|p| p["spec"]["enforcement"] = json!("Revert"))
        .await;
    team.in_sync().await;
    team
}

pub(crate) async fn get(team: &Team<'_>, kind: &str, name: &str) -> Value {
    let text = team
        .kubectl(["get", kind, name, "-o", "json", "--show-managed-fields"])
        .await;
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn managers(object: &Value) -> Vec<&str> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    entries
        .iter()
        .filter_map(|e| e["manager"].as_str())
        .collect()
}

#[tokio::test]
async fn live_edits_go_back_and_nothing_else_changes() {
    let team = team("reverts").await;
    opt_in(&team).await;
    let edit = json!({"metadata": {"labels": {"note": "mine"}}, "spec": {"replicas": 5, "template": {"spec": {"containers": [{"name": "web", "image": "shop/web:hotfix", "env": [{"name": "LEVEL", "value": "debug"}]}]}}}});
    team.kubectl(["patch", "deployment", "web", "-p", &edit.to_string()])
        .await;
    let record = team
        .record("Deployment", "web", |r| {
            r["status"]["enforcement"]["outcome"] == "Reverted"
        })
        .await;
    assert_eq!(record["status"]["enforcement"]["attempts"], 1, "{record}");
    let live = get(&team, "deployment", "web").await;
    assert_eq!(live["spec"]["replicas"], 2);
    let web = &live["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(web["image"], "shop/web:1");
    assert_eq!(web["env"][0]["value"], "info");
    // What Git does not declare is reported and stays.
    assert_eq!(live["metadata"]["labels"]["note"], "mine");
    assert!(!managers(&live).contains(&"driftline"), "{live}");
    // The deployer finds no conflict.
    let apply = ["-n", &team.namespace, "apply", "--server-side", "-f", "-"];
    let apply = team.world.kubectl().args(apply).stdin(WEB);
    apply.run().await.unwrap();

    team.kubectl(["delete", "configmap", "settings"]).await;
    let record = team.closed("ConfigMap", "settings").await;
    assert_eq!(record["status"]["enforcement"]["outcome"], "Reverted");
    assert_eq!(record["status"]["change"], "Missing");
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"]["level"], "info");
}

#[tokio::test]
async fn without_consent_nothing_is_written_and_the_record_says_what_is_missing() {
    let team = team("unasked").await;
    team.kubectl(["scale", "deployment/web", "--replicas=4"])
        .await;
    let blocked = |r: &&Value| r["status"]["state"] == "Blocked";
    let record = team
        .until("blocked", "DriftRecord", |all| {
            all.values().find(blocked).cloned()
        })
        .await;
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("impersonate") && reason.contains("docs/rights.md"),
        "{reason}"
    );
    let live = get(&team, "deployment", "web").await;
    assert_eq!(live["spec"]["replicas"], 4);
}

#[tokio::test]
async fn a_fight_is_told_and_not_fought() {
    let team = team("fights").await;
    opt_in(&team).await;
    let mut writes = 0;
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    let record = loop {
        let live = get(&team, "configmap", "settings").await;
        if live["data"]["level"] == "info" {
            writes += 1;
            let edit = json!({"data": {"level": format!("debug-{writes}")}});
            team.kubectl(["patch", "configmap", "settings", "-p", &edit.to_string()])
                .await;
        }
        let records = team.records().await;
        let contested = records
            .into_values()
            .find(|r| r["status"]["state"] == "Contested");
        if let Some(record) = contested {
            break record;
        }
        assert!(std::time::Instant::now() < deadline, "{writes} edits");
    };
    assert_eq!(writes, 4, "three rounds, and the edit that stays: {record}");
    assert_eq!(record["status"]["enforcement"]["attempts"], 3, "{record}");
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("changed again by kubectl-patch;"),
        "{record}"
    );
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"]["level"], "debug-4");
    // Whoever puts it right ends the fight.
    team.apply(SETTINGS).await;
    team.in_sync().await;
}

#[tokio::test]
async fn at_observe_and_for_commits_nothing_is_written() {
    let team = team("observes").await;
    opt_in(&team).await;
    // A commit that nobody rolls out is no live edit.
    let newer = SETTINGS.replace("info", "warn");
    team.commit(&[("deploy/settings.yaml", &newer)]).await;
    team.check().await;
    team.status("pending", |s| s["summary"]["pending"] == 1)
        .await;
    change_policy(&team, json!({"enforcement": "Observe"})).await;
    team.check().await;
    team.kubectl(["scale", "deployment/web", "--replicas=4"])
        .await;
    team.drifted(1).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let web = get(&team, "deployment", "web").await;
    assert_eq!(web["spec"]["replicas"], 4);
    assert_eq!(
        get(&team, "configmap", "settings").await["data"]["level"],
        "info"
    );

    // Raised, what is open goes back; the commit still waits for whoever delivers it.
    change_policy(&team, json!({"enforcement": "Revert"})).await;
    team.status("put back", |s| s["summary"]["drifted"] == 0)
        .await;
    let web = get(&team, "deployment", "web").await;
    assert_eq!(web["spec"]["replicas"], 2);
    assert_eq!(
        get(&team, "configmap", "settings").await["data"]["level"],
        "info"
    );
}

#[tokio::test]
async fn what_two_policies_declare_otherwise_is_put_back_by_neither() {
    let team = team("disputed").await;
    opt_in(&team).await;
    let other = SETTINGS.replace("info", "warn");
    team.commit(&[("other/settings.yaml", &other)]).await;
    team.check().await;
    let second = team.policy_object(|p| {
        p["metadata"]["name"] = json!("second");
        p["spec"]["enforcement"] = json!("Revert");
        p["spec"]["targets"][0]["kubernetes"]["path"] = json!("other");
    });
    team.apply(&second.to_string()).await;
    team.status_of("second", "compared", |s| s["summary"]["declared"] == 1)
        .await;
    let edit = json!({"data": {"level": "debug"}});
    team.kubectl(["patch", "configmap", "settings", "-p", &edit.to_string()])
        .await;
    let blocked = |r: &&Value| {
        let reason = r["status"]["enforcement"]["reason"].as_str();
        r["spec"]["policy"] == POLICY
            && r["status"]["state"] == "Blocked"
            && reason.is_some_and(|r| r.contains("declares this object otherwise"))
    };
    team.until("blocked", "DriftRecord", |all| {
        all.values().find(blocked).cloned()
    })
    .await;
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"]["level"], "debug");
}

pub(super) fn in_seconds(seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(now + seconds)
        .unwrap()
        .to_string()
}

pub(super) async fn change_policy(team: &Team<'_>, spec: Value) {
    let patch = json!({"spec": spec}).to_string();
    let arguments = ["patch", "driftpolicy", POLICY, "--type=merge", "-p", &patch];
    team.kubectl(arguments).await;
}

/// Waits for a record with this outcome, whatever its state.
pub(super) async fn outcome(team: &Team<'_>, wanted: &str) -> Value {
    let hit = |r: &&Value| r["status"]["enforcement"]["outcome"] == wanted;
    team.until(wanted, "DriftRecord", |all| all.values().find(hit).cloned())
        .await
}

#[tokio::test]
async fn a_hold_pauses_enforcement_and_ends_by_itself() {
    let team = team("held").await;
    opt_in(&team).await;
    let hold = json!({"hold": {"until": in_seconds(10), "reason": "incident"}});
    change_policy(&team, hold).await;
    team.status("held", |s| condition(s, "Held").2.ends_with("incident"))
        .await;
    team.kubectl(["scale", "deployment/web", "--replicas=4"])
        .await;
    let record = outcome(&team, "Held").await;
    assert_eq!(record["status"]["state"], "Held", "{record}");
    assert_eq!(get(&team, "deployment", "web").await["spec"]["replicas"], 4);
    team.closed("Deployment", "web").await;
    assert_eq!(get(&team, "deployment", "web").await["spec"]["replicas"], 2);
    team.status("not held", |s| condition(s, "Held").0.is_empty())
        .await;
}

#[tokio::test]
async fn drift_is_left_for_its_grace_first() {
    let team = team("grace").await;
    opt_in(&team).await;
    change_policy(&team, json!({"revert": {"after": "5s"}})).await;
    team.check().await;
    let edited = std::time::Instant::now();
    team.kubectl(["scale", "deployment/web", "--replicas=4"])
        .await;
    let record = outcome(&team, "Waiting").await;
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(reason.contains("spec.revert.after"), "{reason}");
    assert_eq!(record["status"]["state"], "Open");
    team.closed("Deployment", "web").await;
    // Times in records have whole seconds.
    assert!(edited.elapsed().as_secs() >= 4, "{:?}", edited.elapsed());
    assert_eq!(get(&team, "deployment", "web").await["spec"]["replicas"], 2);
}

#[tokio::test]
async fn what_was_there_before_goes_back_only_where_the_policy_says_so() {
    let team = Team::new(World::shared().await, "before").await;
    opt_in(&team).await;
    let created = [
        "create",
        "configmap",
        "settings",
        "--from-literal=level=debug",
    ];
    team.kubectl(created).await;
    team.commit(&[("deploy/settings.yaml", SETTINGS)]).await;
    team.policy(|p| p["spec"]["enforcement"] = json!("Revert"))
        .await;
    let record = team.record("ConfigMap", "settings", |_| true).await;
    assert_eq!(record["status"]["origin"], "Unknown", "{record}");
    team.check().await;
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"]["level"], "debug");
    change_policy(&team, json!({"revert": {"origins": ["Unknown"]}})).await;
    team.closed("ConfigMap", "settings").await;
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"]["level"], "info");
}
