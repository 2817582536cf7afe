//! What limits putting back: rules, exceptions, holds, windows and budgets.

use std::time::Duration;

use serde_json::{Value, json};

use super::revert::{SETTINGS, WEB, change_policy, get, in_seconds, opt_in, outcome, team};
use super::support::{POLICY, Team, World, condition};

/// Longer than a revert takes.
const WHILE: Duration = Duration::from_secs(3);

pub(super) fn exception(name: &str, spec: Value) -> String {
    let mut object = json!({
        "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftException", "metadata": {"name": name},
        "spec": {"policy": POLICY, "reason": "checkout incident", "ticket": "INC-42", "expiresAt": in_seconds(3600)},
    });
    let into = object["spec"].as_object_mut().unwrap();
    into.extend(spec.as_object().unwrap().clone());
    object.to_string()
}

/// The reasons of all Events of a team.
async fn reasons(team: &Team<'_>) -> String {
    let path = "jsonpath={.items[*].reason}";
    team.kubectl(["get", "events.events.k8s.io", "-o", path])
        .await
}

async fn state_of(team: &Team<'_>, name: &str, state: &str) -> Value {
    team.until(state, "DriftException", |all| {
        let one = all.get(name)?;
        (one["status"]["state"] == state).then(|| one.clone())
    })
    .await
}

async fn replicas(team: &Team<'_>) -> Value {
    get(team, "deployment", "web").await["spec"]["replicas"].clone()
}

async fn scale(team: &Team<'_>, to: u32) {
    let to = format!("--replicas={to}");
    team.kubectl(["scale", "deployment/web", &to]).await;
}

#[tokio::test]
async fn an_exception_holds_one_field_and_ends_by_itself() {
    let team = team("excepted").await;
    opt_in(&team).await;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = std::fs::read_to_string(root.join("examples/exception.yaml")).unwrap();
    let scaled = example
        .replace("namespace: shop", &format!("namespace: {}", team.namespace))
        .replace("2026-12-01T09:00:00Z", &in_seconds(35));
    team.apply(&scaled).await;
    state_of(&team, "checkout-scaled", "Expiring").await;
    scale(&team, 5).await;
    let record = team
        .record_in("Excepted", "Deployment", "web", |_| true)
        .await;
    assert_eq!(record["status"]["exception"], "checkout-scaled", "{record}");
    let status = team
        .status("excepted", |s| s["summary"]["excepted"] == 1)
        .await;
    assert_eq!(status["summary"]["drifted"], 0, "{status}");
    assert_eq!(condition(&status, "Drifted").0, "False", "{status}");
    // Another field of the same object goes back, the one excepted stays.
    let edit = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "shop/web:hotfix"}]}}}});
    team.kubectl(["patch", "deployment", "web", "-p", &edit.to_string()])
        .await;
    team.record_in("Excepted", "Deployment", "web", |r| {
        r["status"]["enforcement"]["outcome"] == "Reverted"
    })
    .await;
    let live = get(&team, "deployment", "web").await;
    assert_eq!(live["spec"]["replicas"], 5);
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["image"],
        "shop/web:1"
    );
    team.until("one match", "DriftException", |all| {
        (all.get("checkout-scaled")?["status"]["matches"] == 1).then_some(())
    })
    .await;
    // A value that is not allowed goes back at once.
    scale(&team, 9).await;
    team.closed("Deployment", "web").await;
    assert_eq!(replicas(&team).await, 2);
    scale(&team, 6).await;
    team.record_in("Excepted", "Deployment", "web", |_| true)
        .await;
    // When it ends, enforcement goes on.
    let record = team.closed("Deployment", "web").await;
    assert_eq!(
        record["status"]["exception"], "checkout-scaled has ended",
        "{record}"
    );
    assert_eq!(replicas(&team).await, 2);
    state_of(&team, "checkout-scaled", "Expired").await;
    let events = reasons(&team).await;
    assert!(
        events.contains("ExceptionExpiring") && events.contains("ExceptionExpired"),
        "{events}"
    );
}

#[tokio::test]
async fn an_exception_that_makes_no_sense_or_lasts_too_long_is_refused_or_allows_nothing() {
    let team = team("refused-exceptions").await;
    let refused = async |spec: Value, why: &str| {
        let apply = ["-n", &team.namespace, "apply", "--server-side", "-f", "-"];
        let apply = team.world.kubectl().args(apply);
        let told = apply.stdin(exception("wrong", spec)).run().await;
        let told = told.expect_err(why).to_string();
        assert!(told.contains(why), "{told}");
    };
    let all = json!({"names": ["*"]});
    refused(
        json!({"match": all, "expiresAt": in_seconds(31 * 24 * 3600)}),
        "at most 720h from its creation",
    )
    .await;
    refused(json!({"match": all, "reason": ""}), "reason").await;
    refused(json!({"match": {}}), "name at least one of").await;
    team.apply(&exception(
        "nowhere",
        json!({"match": {"targets": ["nope"]}}),
    ))
    .await;
    let known = state_of(&team, "nowhere", "Invalid").await;
    let message = known["status"]["message"].as_str().unwrap();
    assert!(message.contains("spec.match.targets[0]"), "{message}");
    team.apply(&exception(
        "orphan",
        json!({"match": all, "policy": "nope"}),
    ))
    .await;
    let known = state_of(&team, "orphan", "Invalid").await;
    let message = known["status"]["message"].as_str().unwrap();
    assert!(message.contains("no DriftPolicy \"nope\""), "{message}");
}

#[tokio::test]
async fn a_rule_takes_one_field_up_or_down_the_ladder() {
    let team = team("rungs").await;
    opt_in(&team).await;
    let observe = json!([{"match": {"fields": ["spec.replicas"]}, "enforcement": "Observe"}]);
    change_policy(&team, json!({"rules": observe})).await;
    scale(&team, 4).await;
    team.kubectl(["label", "deployment", "web", "team=other", "--overwrite"])
        .await;
    let record = team
        .record("Deployment", "web", |r| {
            r["status"]["enforcement"]["outcome"] == "Reverted"
        })
        .await;
    assert_eq!(record["status"]["fields"][0]["path"], "spec.replicas");
    assert_eq!(record["status"]["rule"], "rules[0]: Observe", "{record}");
    let live = get(&team, "deployment", "web").await;
    assert_eq!(live["spec"]["replicas"], 4);
    assert_eq!(live["metadata"]["labels"]["team"], "shop");
    let revert = json!([{"match": {"fields": ["spec.replicas"]}, "enforcement": "Revert"}]);
    change_policy(&team, json!({"rules": revert, "enforcement": "Observe"})).await;
    team.closed("Deployment", "web").await;
    assert_eq!(replicas(&team).await, 2);
    team.kubectl(["label", "deployment", "web", "team=other", "--overwrite"])
        .await;
    team.record("Deployment", "web", |_| true).await;
    tokio::time::sleep(WHILE).await;
    let live = get(&team, "deployment", "web").await;
    assert_eq!(live["metadata"]["labels"]["team"], "other");
}

#[tokio::test]
async fn what_was_added_goes_where_the_policy_removes_it() {
    let team = team("removes").await;
    opt_in(&team).await;
    let edit = json!({"metadata": {"labels": {"note": "mine"}}, "spec": {"template": {"spec": {"containers": [{"name": "spy", "image": "other/spy:1"}], "hostNetwork": true}}}});
    team.kubectl(["patch", "deployment", "web", "-p", &edit.to_string()])
        .await;
    team.drifted(1).await;
    tokio::time::sleep(WHILE).await;
    let live = get(&team, "deployment", "web").await;
    assert_eq!(live["metadata"]["labels"]["note"], "mine");
    let target = json!([{"name": "app", "kubernetes": {"path": "deploy", "undeclared": {"fields": "Remove"}}}]);
    change_policy(&team, json!({"targets": target})).await;
    let record = team.closed("Deployment", "web").await;
    assert_eq!(
        record["status"]["enforcement"]["outcome"], "Reverted",
        "{record}"
    );
    let live = get(&team, "deployment", "web").await;
    assert_eq!(live["metadata"]["labels"], json!({"team": "shop"}));
    let containers = live["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap();
    assert_eq!(containers.len(), 2, "{live}");
    assert_eq!(live["spec"]["template"]["spec"]["hostNetwork"], Value::Null);
}

#[tokio::test]
async fn breaking_the_glass_takes_the_right_to_it_and_pauses_one_object() {
    let team = team("glass").await;
    opt_in(&team).await;
    let hold = format!("driftline.dev/hold-until={}", in_seconds(15));
    // The team's own account may edit the Deployment and may not hold.
    let edit = ["create", "rolebinding", "drift-edit", "--clusterrole=edit"];
    let subject = format!("--serviceaccount={}:drift", team.namespace);
    team.kubectl(edit.into_iter().chain([&*subject])).await;
    let account = format!("--as=system:serviceaccount:{}:drift", team.namespace);
    let patch = json!({"metadata": {"annotations": {"driftline.dev/hold-until": in_seconds(15)}}});
    let refused = team
        .world
        .kubectl()
        .args([
            "-n",
            &team.namespace,
            &account,
            "patch",
            "deployment",
            "web",
        ])
        .args(["--type=merge", "-p", &patch.to_string()])
        .run()
        .await;
    let refused = refused.expect_err("no right").to_string();
    assert!(refused.contains("the verb \"hold\""), "{refused}");
    team.kubectl([
        "annotate",
        "deployment",
        "web",
        &hold,
        "driftline.dev/hold-reason=incident",
    ])
    .await;
    scale(&team, 4).await;
    let record = outcome(&team, "Held").await;
    assert_eq!(record["status"]["state"], "Held", "{record}");
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(reason.contains("driftline.dev/hold-until"), "{reason}");
    assert_eq!(replicas(&team).await, 4);
    // Other objects of the policy are not held.
    team.kubectl(["delete", "configmap", "settings"]).await;
    team.closed("ConfigMap", "settings").await;
    team.closed("Deployment", "web").await;
    assert_eq!(replicas(&team).await, 2);
    // Nobody is held off for ever.
    let ages = "driftline.dev/hold-until=2099-01-01T00:00:00Z";
    team.kubectl(["annotate", "--overwrite", "deployment", "web", ages])
        .await;
    scale(&team, 4).await;
    team.status("put back", |s| s["summary"]["drifted"] == 0)
        .await;
    team.closed("Deployment", "web").await;
    assert_eq!(replicas(&team).await, 2);
}

#[tokio::test]
async fn outside_of_its_windows_drift_waits() {
    let team = team("windows").await;
    opt_in(&team).await;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let month = now.month() % 12 + 1;
    let closed = json!([{"cron": format!("0 9 1 {month} *"), "duration": "1h", "timeZone": "Europe/Berlin"}]);
    change_policy(&team, json!({"revert": {"windows": closed}})).await;
    scale(&team, 4).await;
    let record = outcome(&team, "Waiting").await;
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(reason.contains("spec.revert.windows"), "{reason}");
    tokio::time::sleep(WHILE).await;
    assert_eq!(replicas(&team).await, 4);
    let open = json!([closed[0], {"cron": "* * * * *", "duration": "2m"}]);
    change_policy(&team, json!({"revert": {"windows": open}})).await;
    team.closed("Deployment", "web").await;
    assert_eq!(replicas(&team).await, 2);
    let wrong = json!([{"cron": "61 * * * *", "duration": "1h", "timeZone": "Mars/Olympus"}]);
    change_policy(&team, json!({"revert": {"windows": wrong}})).await;
    let status = team
        .status("stalled", |s| condition(s, "Stalled").0 == "True")
        .await;
    let message = condition(&status, "Stalled").2;
    assert!(
        message.contains("spec.revert.windows[0]") && message.contains("61 * * * *"),
        "{message}"
    );
}

/// Settings by number.
fn settings(count: usize) -> String {
    let one = |n: usize| SETTINGS.replace("name: settings", &format!("name: settings-{n}"));
    (0..count).map(one).collect::<Vec<_>>().join("\n---\n")
}

async fn many(prefix: &str, world: &'static World, count: usize, budget: Value) -> Team<'static> {
    let team = Team::new(world, prefix).await;
    let all = settings(count);
    team.apply(&all).await;
    team.apply(WEB).await;
    team.commit(&[("deploy/settings.yaml", &all), ("deploy/web.yaml", WEB)])
        .await;
    team.policy(|p| {
        p["spec"]["enforcement"] = json!("Revert");
        p["spec"]["revert"] = json!({"budget": budget});
    })
    .await;
    team.in_sync().await;
    opt_in(&team).await;
    team
}

async fn edit_all(team: &Team<'_>, count: usize) {
    for n in 0..count {
        let edit = json!({"data": {"level": "debug"}}).to_string();
        team.kubectl(["patch", "configmap", &format!("settings-{n}"), "-p", &edit])
            .await;
    }
}

async fn edited(team: &Team<'_>) -> usize {
    let all = team
        .kubectl(["get", "configmaps", "-o", "jsonpath={.items[*].data.level}"])
        .await;
    all.split_whitespace().filter(|l| *l == "debug").count()
}

async fn names_of_edited(team: &Team<'_>) -> Vec<String> {
    let query = "jsonpath={.items[?(@.data.level==\"debug\")].metadata.name}";
    let all = team.kubectl(["get", "configmaps", "-o", query]).await;
    all.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_budget_stops_and_says_how_to_go_on() {
    let world = World::shared().await;
    let team = many("budget", world, 5, json!({"objects": 2, "per": "1h"})).await;
    edit_all(&team, 5).await;
    let status = team
        .status("waiting", |s| s["budget"]["waiting"] == 3)
        .await;
    assert_eq!(status["budget"]["used"], 2, "{status}");
    assert_eq!(edited(&team).await, 3);
    let waiting = outcome(&team, "Waiting").await;
    let reason = waiting["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("spec.revert.budget allows (2 in 1h)"),
        "{reason}"
    );
    let events = team
        .kubectl([
            "get",
            "events.events.k8s.io",
            "-o",
            "jsonpath={.items[*].note}",
        ])
        .await;
    assert!(events.contains("driftline.dev/confirm="), "{events}");
    tokio::time::sleep(WHILE).await;
    assert_eq!(edited(&team).await, 3);
    // Something else than what is named confirms nothing.
    let confirm = async |digest: &str| {
        let value = format!("driftline.dev/confirm={digest}");
        team.kubectl(["annotate", "driftpolicy", POLICY, "--overwrite", &value])
            .await;
    };
    confirm("0123456789abcdef").await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(edited(&team).await, 3);
    let waited = names_of_edited(&team).await;
    confirm(status["budget"]["confirm"].as_str().unwrap()).await;
    team.status("put back", |s| s["summary"]["drifted"] == 0)
        .await;
    assert_eq!(edited(&team).await, 0);
    // Once, and it counts: not even the very same edits go through again.
    for name in &waited {
        let edit = json!({"data": {"level": "debug"}}).to_string();
        team.kubectl(["patch", "configmap", name, "-p", &edit])
            .await;
    }
    team.status("waiting again", |s| s["budget"]["waiting"] == 3)
        .await;
    team.check().await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(names_of_edited(&team).await, waited);
}

#[tokio::test]
async fn a_budget_is_not_given_anew_with_a_new_leader() {
    let world: &'static World = Box::leak(Box::new(World::own(Default::default(), &[]).await));
    let team = many("heirs", world, 4, json!({"objects": 2, "per": "1h"})).await;
    edit_all(&team, 2).await;
    team.status("spent", |s| {
        s["budget"]["used"] == 2 && s["summary"]["drifted"] == 0
    })
    .await;
    world.kill_operator().await;
    world.start_operator(&[]).await;
    edit_all(&team, 4).await;
    team.status("waiting", |s| s["budget"]["waiting"] == 4)
        .await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(edited(&team).await, 4);
    world.kill_operator().await;
}

#[tokio::test]
async fn a_leader_that_ends_in_the_middle_of_a_budget_leaves_the_rest_of_it_to_the_next() {
    let world: &'static World = Box::leak(Box::new(World::own(Default::default(), &[]).await));
    let team = many("middle", world, 6, json!({"objects": 3, "per": "1h"})).await;
    // What was in sync is saved each 20 s.
    tokio::time::sleep(Duration::from_secs(22)).await;
    edit_all(&team, 6).await;
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    while edited(&team).await == 6 {
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            world.log().await
        );
    }
    world.kill_operator().await;
    let left = edited(&team).await;
    // An exception ends while nobody is there to see it.
    scale(&team, 5).await;
    let allowed = json!({"match": {"fields": ["spec.replicas"]}, "expiresAt": in_seconds(5)});
    team.apply(&exception("forgotten", allowed)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.start_operator(&[]).await;
    let status = team
        .status("waiting", |s| s["budget"]["waiting"] == 4)
        .await;
    tokio::time::sleep(WHILE).await;
    println!("{left} were left by the first leader: {status}");
    // What was spent is noted down before it is written, so that one of it may have been spent in vain.
    let now = edited(&team).await + usize::from(replicas(&team).await == 5);
    assert!((4..=5).contains(&now), "{now}: {status}");
    let confirm = status["budget"]["confirm"].as_str().unwrap();
    let confirm = format!("driftline.dev/confirm={confirm}");
    team.kubectl(["annotate", "driftpolicy", POLICY, "--overwrite", &confirm])
        .await;
    team.in_sync().await;
    assert_eq!(replicas(&team).await, 2);
    state_of(&team, "forgotten", "Expired").await;
    world.kill_operator().await;
}

#[tokio::test]
async fn an_exception_that_was_forgotten_for_a_month_has_ended() {
    let world: &'static World = Box::leak(Box::new(World::own(Default::default(), &[]).await));
    let team = super::revert::team_in(world, "month").await;
    opt_in(&team).await;
    let allowed =
        json!({"match": {"fields": ["spec.replicas"]}, "expiresAt": in_seconds(3 * 24 * 3600)});
    team.apply(&exception("month", allowed)).await;
    state_of(&team, "month", "Active").await;
    scale(&team, 5).await;
    let record = team
        .record_in("Excepted", "Deployment", "web", |_| true)
        .await;
    let record = record["metadata"]["name"].as_str().unwrap().to_owned();
    // What was in sync is saved each 20 s.
    tokio::time::sleep(Duration::from_secs(22)).await;
    world.kill_operator().await;
    // Nobody is there at the end: the definition is as it was, the time has come.
    let over = json!({"spec": {"expiresAt": in_seconds(2)}});
    super::revert::patch(&team, "driftexception", "month", over).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(replicas(&team).await, 5);
    world.start_operator(&[]).await;
    let closed = team.closed("Deployment", "web").await;
    assert_eq!(closed["metadata"]["name"], record.as_str(), "{closed}");
    assert_eq!(closed["status"]["enforcement"]["outcome"], "Reverted");
    assert_eq!(closed["status"]["exception"], "month has ended", "{closed}");
    assert_eq!(replicas(&team).await, 2);
    state_of(&team, "month", "Expired").await;
    let events = reasons(&team).await;
    assert!(events.contains("ExceptionExpired"), "{events}");
    world.kill_operator().await;
}
