//! An API server that is not well, objects that are swapped in the middle of a write, and a policy that cannot be read.

use std::time::{Duration, Instant};

use driftline_e2e::{Options, Proxy, Trouble};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::revert::{
    SETTINGS, change_policy, edit_settings, get, in_seconds, opt_in, outcome, team_in,
};
use super::support::{PATIENCE, Team, World, condition};

/// Longer than a revert takes.
const WHILE: Duration = Duration::from_secs(3);
const CONFIG_MAPS: &str = "/configmaps/settings";

fn trouble(method: Method, path: &str, delay: Duration, status: Option<StatusCode>) -> Trouble {
    Trouble {
        method,
        path: path.to_owned(),
        delay,
        status,
    }
}

async fn is_troubled(proxy: &Proxy, before: usize) {
    let deadline = Instant::now() + PATIENCE;
    while proxy.troubled() == before {
        assert!(Instant::now() < deadline, "nothing was asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn level(team: &Team<'_>) -> Value {
    get(team, "configmap", "settings").await["data"]["level"].clone()
}

/// Two control planes would take twice as long to start.
#[tokio::test]
async fn what_is_unwell_delays_a_write_and_changes_none() {
    let world = World::own(Options::default(), &[]).await;
    let proxy = Proxy::start(world.plane().kubeconfig_path()).await.unwrap();
    world.restart_operator_at(proxy.url()).await;
    let team = team_in(&world, "unwell").await;
    opt_in(&team).await;
    a_server_that_fails_for_a_moment(&team, &proxy).await;
    a_lease_that_is_renewed_late(&team, &proxy).await;
    an_object_that_is_swapped_before_it_is_written(&team, &proxy).await;
    a_policy_that_cannot_be_read(&team).await;
}

/// What failed is tried again soon, not only a minute later.
async fn a_server_that_fails_for_a_moment(team: &Team<'_>, proxy: &Proxy) {
    let fails = trouble(
        Method::PATCH,
        CONFIG_MAPS,
        Duration::ZERO,
        Some(StatusCode::BAD_GATEWAY),
    );
    proxy.trouble(Some(fails));
    edit_settings(team).await;
    let record = outcome(team, "Blocked").await;
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(reason.contains("502"), "{reason}");
    proxy.trouble(None);
    let began = Instant::now();
    team.closed("ConfigMap", "settings").await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(level(team).await, "info");
}

/// One renewal that hangs costs no leadership.
async fn a_lease_that_is_renewed_late(team: &Team<'_>, proxy: &Proxy) {
    let before = proxy.troubled();
    let hangs = trouble(Method::PUT, "/leases/", Duration::from_secs(30), None);
    proxy.trouble(Some(hangs));
    is_troubled(proxy, before).await;
    proxy.trouble(None);
    tokio::time::sleep(Duration::from_secs(12)).await;
    let log = team.world.log().await;
    assert!(!log.contains("leads=false"), "{log}");
    assert!(
        log.contains("could not be read or renewed in time"),
        "{log}"
    );
}

/// What was judged is another object by the time the patch arrives, and asks to be left alone.
async fn an_object_that_is_swapped_before_it_is_written(team: &Team<'_>, proxy: &Proxy) {
    let before = proxy.troubled();
    let late = trouble(Method::PATCH, CONFIG_MAPS, Duration::from_secs(4), None);
    proxy.trouble(Some(late));
    edit_settings(team).await;
    is_troubled(proxy, before).await;
    team.kubectl(["delete", "configmap", "settings"]).await;
    let other = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"level": "debug"},
        "metadata": {"name": "settings", "annotations": {"driftline.dev/hold-until": in_seconds(3600)}},
    });
    team.apply(&other.to_string()).await;
    proxy.trouble(None);
    let record = outcome(team, "Held").await;
    assert_eq!(record["spec"]["subject"]["kubernetes"]["name"], "settings");
    tokio::time::sleep(WHILE).await;
    let live = get(team, "configmap", "settings").await;
    assert_eq!(live["data"]["level"], "debug", "{live}");
    team.kubectl([
        "annotate",
        "configmap",
        "settings",
        "driftline.dev/hold-until-",
    ])
    .await;
    team.in_sync().await;
    assert_eq!(level(team).await, "info");
}

/// What it said before counts no more, and what it says now is not known.
async fn a_policy_that_cannot_be_read(team: &Team<'_>) {
    let name = "driftpolicies.driftline.dev";
    let query = ["get", "crd", name, "-o", "json"];
    let definition = team.world.kubectl().args(query).run().await.unwrap();
    let definition: Value = serde_json::from_str(&definition).unwrap();
    let schema = |schema: Value| async move {
        let patch = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}]);
        let patch = patch.to_string();
        let patch = ["patch", "crd", name, "--type=json", "-p", &patch];
        team.world.kubectl().args(patch).run().await.unwrap();
    };
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    schema(anything).await;
    // It takes a moment until the new schema counts.
    let deadline = Instant::now() + PATIENCE;
    let unread = json!({"spec": {"enforcement": "Tomorrow"}}).to_string();
    let patch = ["-n", &team.namespace, "patch", "driftpolicy", "shop"];
    let patch = || {
        team.world
            .kubectl()
            .args(patch)
            .args(["--type=merge", "-p", &unread])
    };
    while let Err(error) = patch().run().await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    while !team
        .world
        .log()
        .await
        .contains("a DriftPolicy cannot be read")
    {
        assert!(Instant::now() < deadline, "{}", team.world.log().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    edit_settings(team).await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(level(team).await, "debug");
    schema(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()).await;
    // A pause that lies far ahead is one, too.
    let hold = json!({"until": "8999-12-31T00:00:00Z", "reason": "for good"});
    change_policy(team, json!({"enforcement": "Revert", "hold": hold})).await;
    team.status("held", |s| condition(s, "Held").2.ends_with("for good"))
        .await;
    outcome(team, "Held").await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(level(team).await, "debug");
    let further = json!({"spec": {"hold": {"until": "9999-12-31T23:59:59Z"}}}).to_string();
    let further = [
        "patch",
        "driftpolicy",
        "shop",
        "--type=merge",
        "-p",
        &further,
    ];
    let refused = team
        .world
        .kubectl()
        .args(["-n", &team.namespace])
        .args(further);
    let refused = refused.run().await.expect_err("refused").to_string();
    assert!(refused.contains("before the year 9000"), "{refused}");
    change_policy(team, json!({"hold": null})).await;
    team.in_sync().await;
    assert_eq!(level(team).await, "info");
    team.apply(SETTINGS).await;
}
