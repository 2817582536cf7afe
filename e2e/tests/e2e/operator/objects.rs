//! Objects that are there and that Git does not declare.

use std::time::{Duration, Instant};

use driftline_e2e::Options;
use serde_json::{Value, json};

use super::support::{Team, World};

/// How long an object is gone from Git before that is told.
const TOLD_AFTER: Duration = Duration::from_secs(60);

const FIVE: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: stays}
data: {level: info}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: left}
data: {level: info}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: edited}
data: {level: info}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: moved}
data: {level: info}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}
data: {level: info}
";

/// One document of [`FIVE`].
fn document(name: &str) -> &'static str {
    let mut documents = FIVE.split("---\n");
    let named = format!("name: {name}");
    documents.find(|d| d.contains(&named)).unwrap()
}

/// Waits for the minute to pass in which nothing may be told.
async fn nothing_is_told(team: &Team<'_>, begun: Instant) {
    while begun.elapsed() < TOLD_AFTER - Duration::from_secs(5) {
        assert_eq!(team.open_records().await, Vec::<Value>::new());
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn what_git_dropped_and_nobody_removed_is_an_orphan() {
    let team = Team::new(World::shared().await, "orphans").await;
    team.apply(FIVE).await;
    team.commit(&[("deploy/app.yaml", FIVE), ("more/none.yaml", "")])
        .await;
    let targets = json!([
        {"name": "app", "kubernetes": {"path": "deploy"}},
        {"name": "more", "kubernetes": {"path": "more"}},
    ]);
    team.policy(|p| p["spec"]["targets"] = targets).await;
    team.in_sync().await;
    // While one file does not parse, nothing is called an orphan.
    let begun = Instant::now();
    team.commit(&[
        ("deploy/app.yaml", document("stays")),
        ("deploy/bad.yaml", "a: [\n"),
    ])
    .await;
    let status = team.check().await;
    assert_eq!(status["summary"]["unknown"], 4, "{status}");
    assert_eq!(status["summary"]["drifted"], 0, "{status}");
    assert!(begun.elapsed() < TOLD_AFTER);
    let patch = r#"{"data": {"level": "hand"}}"#;
    team.kubectl(["patch", "configmap", "edited", "-p", patch])
        .await;
    team.repo
        .commit("mended", [("deploy/bad.yaml", "")])
        .await
        .unwrap();
    team.commit(&[("more/moved.yaml", document("moved"))]).await;
    let begun = Instant::now();
    let status = team.check().await;
    assert_eq!(status["summary"]["declared"], 2, "{status}");
    assert_eq!(status["summary"]["drifted"], 0, "{status}");
    nothing_is_told(&team, begun).await;
    let left = team.record("ConfigMap", "left", |_| true).await;
    assert!(begun.elapsed() >= TOLD_AFTER - Duration::from_secs(1));
    assert_eq!(left["status"]["change"], "Orphaned");
    assert_eq!(left["status"]["origin"], "GitAhead");
    assert_eq!(left["status"]["declaredAt"]["file"], "deploy/app.yaml");
    assert_eq!(left["spec"]["target"], "app");
    let edited = team.record("ConfigMap", "edited", |_| true).await;
    assert_eq!(edited["status"]["origin"], "Diverged");
    let status = team.drifted(2).await;
    assert_eq!(status["summary"]["declared"], 2, "{status}");
    assert_eq!(status["summary"]["inSync"], 2, "{status}");
    assert_eq!(team.open_records().await.len(), 2);
    // One is removed, as Git says; the other is declared again.
    team.kubectl(["delete", "configmap", "left"]).await;
    team.closed("ConfigMap", "left").await;
    let again = format!("{}---\n{}", document("stays"), document("edited"));
    team.commit(&[("deploy/app.yaml", &again)]).await;
    team.check().await;
    let changed = |r: &Value| r["status"]["change"] == "Changed";
    team.record("ConfigMap", "edited", changed).await;
    team.apply(document("edited")).await;
    team.in_sync().await;
}

#[tokio::test]
async fn an_orphan_is_known_after_a_restart_too() {
    let world = World::own(Options::default(), &[]).await;
    let team = Team::new(&world, "orphans").await;
    team.declare(FIVE).await;
    let rest = FIVE.replacen(document("left"), "", 1);
    team.commit(&[("deploy/app.yaml", &rest)]).await;
    let begun = Instant::now();
    team.check().await;
    nothing_is_told(&team, begun).await;
    team.record("ConfigMap", "left", |_| true).await;
    world.kill_operator().await;
    world.start_operator(&[]).await;
    let status = team.drifted(1).await;
    assert_eq!(status["summary"]["inSync"], 4, "{status}");
    let open = team.open_records().await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["status"]["origin"], "GitAhead");
    team.kubectl(["delete", "configmap", "left"]).await;
    team.closed("ConfigMap", "left").await;
    team.in_sync().await;
}
