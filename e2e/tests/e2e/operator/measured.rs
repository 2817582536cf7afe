//! What metrics tell of one policy's drift, from the change to its end.

use std::time::{Duration, Instant};

use serde_json::json;

use super::revert::{change_policy, in_seconds};
use super::support::{PATIENCE, POLICY, Team, World};

const ONE: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {level: info}}\n";

/// The value of the one metric whose line begins so, once it is as wanted.
async fn told(team: &Team<'_>, metric: &str, wanted: impl Fn(Option<f64>) -> bool) -> Option<f64> {
    let begun = Instant::now();
    loop {
        let metrics = team.world.metrics().await;
        let line = metrics.lines().find_map(|l| l.strip_prefix(metric));
        let value = line.and_then(|rest| rest.rsplit(' ').next()?.parse().ok());
        if wanted(value) {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "{metric}: {value:?}\n{metrics}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn set_level(team: &Team<'_>, level: &str) {
    let patch = json!({"data": {"level": level}}).to_string();
    team.kubectl(["patch", "configmap", "one", "--type=merge", "-p", &patch])
        .await;
}

#[tokio::test]
async fn drift_is_measured_from_the_change_to_its_end() {
    let team = Team::new(World::shared().await, "measured").await;
    team.declare(ONE).await;
    let own = |name: &str, more: &str| {
        let namespace = &team.namespace;
        format!("driftline_{name}{{namespace=\"{namespace}\",policy=\"{POLICY}\"{more}}}")
    };
    let one = |value: Option<f64>| value == Some(1.0);
    let none = |value: Option<f64>| value.is_none();
    told(&team, &own("coverage_ratio", ""), one).await;
    told(&team, &own("target_ready", ",target=\"app\""), one).await;
    told(&team, &own("source_stale", ""), |v| v == Some(0.0)).await;
    told(&team, &own("policy_stalled", ""), |v| v == Some(0.0)).await;
    let drift = format!("driftline_drift_open{{namespace=\"{}\"", team.namespace);
    told(&team, &drift, none).await;
    let count = async |name: &str| told(&team, name, |_| true).await.unwrap_or(0.0);
    let found = "driftline_detection_delay_seconds_count";
    let mended = "driftline_drift_duration_seconds_count{resolution=\"mended\"}";
    let (found_before, mended_before) = (count(found).await, count(mended).await);

    set_level(&team, "debug").await;
    let record = team.record("ConfigMap", "one", |_| true).await;
    let severity = record["status"]["severity"].as_str().unwrap();
    let labels = format!(",target=\"app\",severity=\"{severity}\",origin=\"LiveEdited\"");
    told(&team, &own("drift_open", &labels), one).await;
    told(&team, &own("records_open", ",state=\"Open\""), one).await;
    let age = told(&team, &own("drift_oldest_age_seconds", ""), |v| v.is_some()).await;
    assert!(age < Some(PATIENCE.as_secs_f64()));
    told(&team, found, |v| v >= Some(found_before + 1.0)).await;

    let exception = json!({
        "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftException", "metadata": {"name": "allowed"},
        "spec": {"policy": POLICY, "reason": "a try", "expiresAt": in_seconds(3600), "match": {"names": ["one"]}},
    });
    team.apply(&exception.to_string()).await;
    told(&team, &own("records_open", ",state=\"Excepted\""), one).await;
    told(&team, &drift, none).await;
    told(&team, &own("exceptions", ",state=\"expiring\""), one).await;
    let hour = |v: Option<f64>| v.is_some_and(|v| v > 3000.0 && v <= 3600.0);
    told(&team, &own("exception_remaining_seconds", ""), hour).await;
    told(&team, &own("hold_remaining_seconds", ""), none).await;
    let hold = json!({"hold": {"until": in_seconds(3600), "reason": "a try"}});
    change_policy(&team, hold).await;
    told(&team, &own("hold_remaining_seconds", ""), hour).await;

    set_level(&team, "info").await;
    team.closed("ConfigMap", "one").await;
    told(&team, mended, |v| v >= Some(mended_before + 1.0)).await;
    told(&team, &own("records_open", ",state=\"Excepted\""), none).await;
}
