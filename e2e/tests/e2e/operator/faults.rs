//! Things that break: the API server, the operator, its rights.

use std::time::Instant;

use driftline_e2e::{Operator, Options};
use serde_json::json;

use super::support::{PATIENCE, POLICY, Team, World, changed, condition, fields};

const TWO: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: two}, data: {k: v}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {a: b}, ports: [{port: 80}]}}
";

async fn edit(team: &Team<'_>, name: &str, value: &str) {
    let patch = format!(r#"{{"data":{{"k":"{value}"}}}}"#);
    team.kubectl(["patch", "configmap", name, "--type=merge", "-p", &patch])
        .await;
}

/// All that the operator wrote of its own.
fn writes(metrics: &str) -> Vec<String> {
    metrics
        .lines()
        .filter(|l| l.starts_with("driftline_writes_total"))
        .map(str::to_owned)
        .collect()
}

/// A record is amended once, when it is known who wrote the line.
fn is_whole(record: &serde_json::Value) -> bool {
    record["status"]["declaredAt"]["commit"].is_string()
}

/// Waits until a metric has a value.
async fn metric(operator: &Operator, name: &str, value: f64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = operator.metric(name).await;
        if now == Some(value) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{name} is {now:?}, not {value}:\n{}",
            operator.log()
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_killed_api_server_and_a_killed_operator_cause_no_writes_and_lose_no_drift() {
    let world = World::own(Options::default(), &[]).await;
    let team = Team::new(&world, "killed").await;
    team.declare(TWO).await;
    edit(&team, "one", "x").await;
    let record = team.record("ConfigMap", "one", is_whole).await;
    let before = team
        .status("counted", |s| {
            s["records"]["open"] == 1 && s["summary"]["drifted"] == 1
        })
        .await;
    let written = writes(&world.metrics().await);
    {
        let operator = world.operator.read().await;
        let operator = operator.as_ref().unwrap();
        world.plane().kill_api_server().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while operator.metric("driftline_watches_not_ready").await == Some(0.0) {
            assert!(Instant::now() < deadline, "the watches did not notice");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        world.plane().start_api_server().await.unwrap();
        metric(operator, "driftline_watches_not_ready", 0.0).await;
    }
    let now = team
        .status("as before", |s| {
            s["summary"] == before["summary"] && condition(s, "Ready").0 == "True"
        })
        .await;
    assert_eq!(now["records"], before["records"]);
    let name = record["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        team.records().await[name]["metadata"]["resourceVersion"],
        record["metadata"]["resourceVersion"]
    );
    let after: Vec<String> = writes(&world.metrics().await);
    let of = |all: &[String], resource: &str| all.iter().find(|l| l.contains(resource)).cloned();
    for resource in ["\"record\"", "\"event\""] {
        assert_eq!(
            of(&after, resource),
            of(&written, resource),
            "written without drift"
        );
    }
    println!("writes around a restart of the API server: {written:?}, {after:?}");

    // Drift while the operator is down.
    world.kill_operator().await;
    edit(&team, "two", "y").await;
    team.kubectl([
        "patch",
        "service",
        "web",
        "--type=merge",
        "-p",
        r#"{"spec":{"selector":{"a":"c"}}}"#,
    ])
    .await;
    let started = Instant::now();
    world.start_operator(&[]).await;
    let two = team.record("ConfigMap", "two", |_| true).await;
    println!(
        "drift made while down was recorded {:?} after the start of the program",
        started.elapsed()
    );
    assert_eq!(fields(&two), [changed("data.k", "v", "y")]);
    team.record("Service", "web", |_| true).await;
    let status = team
        .status("three drifted", |s| s["records"]["open"] == 3)
        .await;
    assert_eq!(status["oldestDriftSince"], record["status"]["firstSeen"]);
    let again = &team.records().await[name];
    assert_eq!(
        again["metadata"]["resourceVersion"], record["metadata"]["resourceVersion"],
        "the same record, untouched"
    );

    // What was mended while it was down is closed.
    world.kill_operator().await;
    edit(&team, "one", "v").await;
    world.start_operator(&[]).await;
    team.closed("ConfigMap", "one").await;
    team.status("two are left", |s| s["records"]["open"] == 2)
        .await;

    // A kind that it may no longer read is unknown by name; the others go on.
    world.kill_operator().await;
    let role = world
        .kubectl()
        .args(["get", "clusterrole", "driftline-read", "-o", "json"])
        .run()
        .await
        .unwrap();
    let mut role: serde_json::Value = serde_json::from_str(&role).unwrap();
    for rule in role["rules"].as_array_mut().unwrap() {
        rule["resources"]
            .as_array_mut()
            .unwrap()
            .retain(|r| r != "configmaps");
    }
    let replace = world
        .kubectl()
        .args(["replace", "-f", "-"])
        .stdin(role.to_string());
    replace.run().await.unwrap();
    world.start_operator(&[]).await;
    let status = team
        .status("forbidden", |s| s["targets"][0]["reason"] == "Forbidden")
        .await;
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("ConfigMap in namespace") && message.contains("chart's read rights"),
        "{message}"
    );
    assert_eq!(
        (&status["summary"]["unknown"], &status["summary"]["drifted"]),
        (&json!(2), &json!(1)),
        "{status}"
    );
    team.kubectl([
        "patch",
        "service",
        "web",
        "--type=merge",
        "-p",
        r#"{"spec":{"selector":{"a":"b"}}}"#,
    ])
    .await;
    team.closed("Service", "web").await;
    team.check().await;
    world.assert_nothing_missed().await;
}

#[tokio::test]
async fn only_the_leader_writes_and_another_takes_over_without_streaming_lists() {
    let options = Options {
        apiserver_flags: vec!["--feature-gates=WatchList=false".to_owned()],
        ..Options::default()
    };
    let world = World::own(options, &[]).await;
    let team = Team::new(&world, "replicas").await;
    team.declare(TWO).await;
    let second = world.another_operator(&[]).await;
    metric(&second, "driftline_leader", 0.0).await;
    edit(&team, "one", "x").await;
    let one = team.record("ConfigMap", "one", is_whole).await;
    // The other one knows as much and writes nothing.
    let drifted = format!(
        "driftline_objects{{namespace=\"{}\",policy=\"{POLICY}\",state=\"drifted\"}}",
        team.namespace
    );
    metric(&second, &drifted, 1.0).await;
    assert!(
        writes(&second.get("/metrics").await.unwrap().1).is_empty(),
        "a replica that does not lead wrote"
    );

    world.kill_operator().await;
    let killed = Instant::now();
    edit(&team, "two", "y").await;
    team.record("ConfigMap", "two", |_| true).await;
    println!(
        "another replica wrote {:?} after the leader was killed",
        killed.elapsed()
    );
    let name = one["metadata"]["name"].as_str().unwrap();
    assert_eq!(team.records().await[name]["status"], one["status"]);
    assert_eq!(
        team.records().await[name]["metadata"]["resourceVersion"],
        one["metadata"]["resourceVersion"]
    );
    edit(&team, "one", "v").await;
    team.closed("ConfigMap", "one").await;

    // Told to stop, it gives the lease up, and the next one leads at once.
    let pid = rustix::process::Pid::from_raw(i32::try_from(second.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while second.is_running() {
        assert!(
            Instant::now() < deadline,
            "it did not stop: {}",
            second.log()
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let holder = [
        "-n",
        "driftline-system",
        "get",
        "lease",
        "driftline",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    ];
    assert_eq!(world.kubectl().args(holder).run().await.unwrap(), "");
    let third = world.another_operator(&[]).await;
    metric(&third, "driftline_leader", 1.0).await;
}
