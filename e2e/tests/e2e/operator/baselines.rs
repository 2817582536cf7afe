//! Commits, edits and restarts: who moved, live or Git.

use std::time::{Duration, Instant};

use driftline_e2e::Options;
use serde_json::Value;

use super::support::{POLICY, Team, World, changed, fields};

const TWO: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {level: info, mode: a}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: two}
data: {level: info, mode: a}
";

async fn edit(team: &Team<'_>, name: &str, key: &str, value: &str) {
    let patch = format!(r#"{{"data":{{"{key}":"{value}"}}}}"#);
    team.kubectl(["patch", "configmap", name, "--type=merge", "-p", &patch])
        .await;
}

fn origins(record: &Value) -> Vec<(String, String)> {
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
    let fields = record["status"]["fields"].as_array().unwrap();
    fields
        .iter()
        .map(|f| (text(f, "path"), text(f, "origin")))
        .collect()
}

fn pair(path: &str, origin: &str) -> (String, String) {
    (path.to_owned(), origin.to_owned())
}

#[tokio::test]
async fn a_roll_out_by_another_tool_leaves_no_record() {
    let team = Team::new(World::shared().await, "rollout").await;
    team.declare(TWO).await;
    let next = TWO.replace("level: info", "level: warn");
    team.commit(&[("deploy/app.yaml", &next)]).await;
    let status = team.check().await;
    assert_eq!(status["summary"]["pending"], 2, "{status}");
    assert_eq!(status["summary"]["drifted"], 0, "{status}");
    team.apply(&next).await;
    team.in_sync().await;
    assert_eq!(team.open_records().await, Vec::<Value>::new());
    let records = team.kubectl(["get", "driftrecords", "-o", "name"]).await;
    assert_eq!(records, "");
}

#[tokio::test]
async fn an_edit_a_commit_and_both_are_told_apart() {
    let team = Team::new(World::shared().await, "origins").await;
    team.declare(TWO).await;
    edit(&team, "one", "mode", "hand").await;
    let record = team.record("ConfigMap", "one", |_| true).await;
    assert_eq!(origins(&record), [pair("data.mode", "LiveEdited")]);
    let next = TWO.replace("level: info", "level: warn");
    let commit = team.commit(&[("deploy/app.yaml", &next)]).await;
    team.check().await;
    let record = team
        .record("ConfigMap", "one", |r| {
            r["status"]["fields"]
                .as_array()
                .is_some_and(|f| f.len() == 2)
        })
        .await;
    assert_eq!(
        origins(&record),
        [
            pair("data.level", "GitAhead"),
            pair("data.mode", "LiveEdited")
        ]
    );
    let baseline = &record["status"]["baseline"];
    assert_eq!(baseline["evidence"], "Own");
    assert!(
        !baseline["revision"].as_str().unwrap().contains(&commit),
        "{baseline}"
    );
    edit(&team, "two", "level", "hand").await;
    let record = team.record("ConfigMap", "two", |_| true).await;
    assert_eq!(origins(&record), [pair("data.level", "Diverged")]);
    assert_eq!(record["status"]["origin"], "Diverged");
    // Adopted into Git: in sync without noise.
    let adopted = next.replacen("mode: a", "mode: hand", 1);
    team.commit(&[("deploy/app.yaml", &adopted)]).await;
    team.apply(&adopted).await;
    team.check().await;
    team.in_sync().await;
}

#[tokio::test]
async fn a_stuck_roll_out_is_told_after_a_minute() {
    let team = Team::new(World::shared().await, "stuck").await;
    team.declare(TWO).await;
    let next = TWO.replacen("level: info", "level: warn", 1);
    team.commit(&[("deploy/app.yaml", &next)]).await;
    let begun = Instant::now();
    let status = team.check().await;
    assert_eq!(status["summary"]["pending"], 1, "{status}");
    team.status("since when", |s| {
        s["targets"][0]["oldestPendingSince"].is_string()
    })
    .await;
    while begun.elapsed() < Duration::from_secs(55) {
        assert_eq!(team.open_records().await, Vec::<Value>::new());
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let record = team
        .until("pending", "DriftRecord", |all| {
            let told = |r: &&Value| r["status"]["state"] == "Pending";
            all.values().find(told).cloned()
        })
        .await;
    assert!(begun.elapsed() >= Duration::from_secs(59));
    assert_eq!(fields(&record), [changed("data.level", "warn", "info")]);
    assert_eq!(record["status"]["origin"], "GitAhead");
    let metrics = team.world.metrics().await;
    let age = format!(
        "driftline_pending_age_seconds{{namespace=\"{}\",policy=\"{POLICY}\"}}",
        team.namespace
    );
    assert!(metrics.contains(&age), "{metrics}");
    let status = team
        .status("counted", |s| s["records"]["pending"] == 1)
        .await;
    assert_eq!(status["summary"]["drifted"], 0, "{status}");
    team.apply(&next).await;
    team.closed("ConfigMap", "one").await;
    team.in_sync().await;
}

#[tokio::test]
async fn what_happened_while_the_operator_was_down_is_told_apart() {
    let world = World::own(Options::default(), &[]).await;
    let team = Team::new(&world, "down").await;
    team.declare(TWO).await;
    let saved = |world: &World| {
        let metrics = world.kubectl();
        async move {
            metrics
                .args(["-n", "driftline-system", "get", "configmaps", "-o", "name"])
                .run()
                .await
                .unwrap()
        }
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !saved(&world).await.contains("-memory-") {
        assert!(
            Instant::now() < deadline,
            "nothing was saved:\n{}",
            world.log().await
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.kill_operator().await;
    edit(&team, "one", "mode", "hand").await;
    let next = TWO.replace("level: info", "level: warn");
    team.commit(&[("deploy/app.yaml", &next)]).await;
    world.start_operator(&[]).await;
    let record = team.record("ConfigMap", "one", |_| true).await;
    assert_eq!(
        origins(&record),
        [
            pair("data.level", "GitAhead"),
            pair("data.mode", "LiveEdited")
        ]
    );
    let status = team
        .status("counted", |s| s["summary"]["pending"] == 1)
        .await;
    assert_eq!(status["summary"]["drifted"], 1, "{status}");
    // Once more, with a baseline that is not that of the last revision.
    let deadline = Instant::now() + Duration::from_secs(60);
    let apart = |text: &str| text.contains("apart");
    loop {
        let all = world.kubectl().args([
            "-n",
            "driftline-system",
            "get",
            "configmaps",
            "-o",
            "jsonpath={range .items[*]}{.binaryData}{end}",
        ]);
        if apart(&decoded(&all.run().await.unwrap())) {
            break;
        }
        assert!(Instant::now() < deadline, "the baselines were not saved");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.kill_operator().await;
    world.start_operator(&[]).await;
    let status = team
        .status("as before", |s| s["summary"]["pending"] == 1)
        .await;
    assert_eq!(status["summary"]["drifted"], 1, "{status}");
    team.apply(&next).await;
    team.in_sync().await;
}

/// The values of a JSON object of base64 texts, as far as they are text.
fn decoded(binary: &str) -> String {
    use base64::Engine as _;
    let all: serde_json::Map<String, Value> = serde_json::from_str(binary).unwrap_or_default();
    all.values()
        .filter_map(|v| {
            base64::engine::general_purpose::STANDARD
                .decode(v.as_str()?)
                .ok()
        })
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .filter(|text| !text.contains("\"apart\":[]"))
        .collect()
}
