//! Rolling out commits.

use serde_json::{Value, json};

use super::revert::{SETTINGS, WEB, get, managers, opt_in};
use super::support::{Team, World};

const MANAGER: &str = "driftline-delivery";

/// A team whose policy delivers; what it declares is committed first.
async fn team(prefix: &str, files: &[(&str, &str)]) -> Team<'static> {
    let team = Team::new(World::shared().await, prefix).await;
    opt_in(&team).await;
    team.commit(files).await;
    delivers(&team).await;
    team
}

async fn delivers(team: &Team<'_>) {
    team.policy(|p| {
        p["spec"]["enforcement"] = json!("Revert");
        p["spec"]["targets"][0]["kubernetes"]["delivery"] = json!("Driftline");
    })
    .await;
}

/// Waits until an object is there and as wanted.
async fn until(team: &Team<'_>, kind: &str, name: &str, done: impl Fn(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    loop {
        let query = [
            "-n",
            &team.namespace,
            "get",
            kind,
            name,
            "-o",
            "json",
            "--show-managed-fields",
            "--ignore-not-found",
        ];
        let text = team.world.kubectl().args(query).run().await.unwrap();
        let live: Value = serde_json::from_str(&text).unwrap_or_default();
        if !live.is_null() && done(&live) {
            return live;
        }
        if std::time::Instant::now() > deadline {
            let log = team.world.log().await;
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            panic!("{kind} {name}: {live:#}\n{}", tail.join("\n"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

#[tokio::test]
async fn a_commit_is_delivered_once_and_live_edits_go_back() {
    let team = team(
        "delivers",
        &[("deploy/web.yaml", WEB), ("deploy/settings.yaml", SETTINGS)],
    )
    .await;
    team.in_sync().await;
    let web = get(&team, "deployment", "web").await;
    assert_eq!(web["spec"]["replicas"], 2);
    assert!(managers(&web).contains(&MANAGER), "{web}");

    let newer = SETTINGS.replace("info", "warn, more: x");
    team.commit(&[("deploy/settings.yaml", &newer)]).await;
    team.check().await;
    team.in_sync().await;
    let settings = get(&team, "configmap", "settings").await;
    assert_eq!(settings["data"], json!({"level": "warn", "more": "x"}));

    // What Git drops goes, and nothing else is written meanwhile.
    let fewer = SETTINGS.replace("info", "warn");
    team.commit(&[("deploy/settings.yaml", &fewer)]).await;
    team.check().await;
    let dropped = |o: &Value| o["data"] == json!({"level": "warn"});
    until(&team, "configmap", "settings", dropped).await;
    team.in_sync().await;
    let again = get(&team, "deployment", "web").await;
    assert_eq!(version(&again), version(&web));

    let scale = ["scale", "deployment/web", "--replicas=4"];
    team.kubectl(scale).await;
    let record = super::revert::outcome(&team, "Reverted").await;
    assert_eq!(record["status"]["enforcement"]["attempts"], 1, "{record}");
    let web = get(&team, "deployment", "web").await;
    assert_eq!(web["spec"]["replicas"], 2);
    team.in_sync().await;

    // At rest nothing is written.
    let settings = get(&team, "configmap", "settings").await;
    team.check().await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for (kind, before) in [("deployment", &web), ("configmap", &settings)] {
        let name = before["metadata"]["name"].as_str().unwrap();
        let now = get(&team, kind, name).await;
        assert_eq!(version(&now), version(before), "{now}");
    }
    let metrics = team.world.metrics().await;
    assert!(
        metrics.contains("driftline_deliveries_total{outcome=\"Delivered\"}"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_kubectl_applied_before_is_taken_over_and_a_field_that_git_dropped_goes() {
    let team = Team::new(World::shared().await, "takes-over").await;
    opt_in(&team).await;
    let applied = SETTINGS.replace("info", "info, old: gone");
    let apply = ["-n", &team.namespace, "apply", "-f", "-"];
    let apply = team.world.kubectl().args(apply).stdin(applied.clone());
    apply.run().await.unwrap();
    team.commit(&[("deploy/settings.yaml", &applied)]).await;
    delivers(&team).await;
    team.in_sync().await;
    let before = get(&team, "configmap", "settings").await;
    assert!(
        !managers(&before).contains(&MANAGER),
        "nothing to write: {before}"
    );
    let edit = json!({"metadata": {"labels": {"note": "mine"}}}).to_string();
    team.kubectl(["patch", "configmap", "settings", "-p", &edit])
        .await;

    team.commit(&[("deploy/settings.yaml", SETTINGS)]).await;
    team.check().await;
    let dropped = |o: &Value| o["data"]["old"].is_null();
    let live = until(&team, "configmap", "settings", dropped).await;
    assert_eq!(live["data"], json!({"level": "info"}));
    assert_eq!(live["metadata"]["labels"]["note"], "mine", "{live}");
    assert_eq!(live["metadata"]["annotations"], Value::Null, "{live}");
}

#[tokio::test]
async fn what_an_exception_or_a_rule_is_about_is_not_written_over() {
    let team = team("keeps", &[("deploy/web.yaml", WEB)]).await;
    team.in_sync().await;
    let rules = json!({"rules": [{"match": {"fields": ["spec.replicas"]}, "ignore": {"reason": "scaled by hand"}}]});
    super::revert::change_policy(&team, rules).await;
    team.check().await;
    team.kubectl(["scale", "deployment/web", "--replicas=5"])
        .await;
    let newer = WEB.replace("shop/web:1", "shop/web:2");
    team.commit(&[("deploy/web.yaml", &newer)]).await;
    team.check().await;
    let image = |o: &Value| o["spec"]["template"]["spec"]["containers"][0]["image"] == "shop/web:2";
    let live = until(&team, "deployment", "web", image).await;
    assert_eq!(live["spec"]["replicas"], 5, "{live}");
}

#[tokio::test]
async fn without_the_right_it_is_blocked_and_the_verb_is_named() {
    let team = Team::new(World::shared().await, "delivers-not").await;
    opt_in(&team).await;
    let secretless = "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web}, spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}}";
    team.commit(&[
        ("deploy/pdb.yaml", secretless),
        ("deploy/settings.yaml", SETTINGS),
    ])
    .await;
    delivers(&team).await;
    let record = team
        .record_in("Blocked", "PodDisruptionBudget", "web", |_| true)
        .await;
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("patch and create poddisruptionbudgets"),
        "{reason}"
    );
    // What failed keeps nothing else back.
    until(&team, "configmap", "settings", |_| true).await;
}

#[tokio::test]
async fn a_policy_that_only_observes_delivers_nothing() {
    let team = Team::new(World::shared().await, "delivers-never").await;
    let policy = team.policy_object(|p| {
        p["spec"]["targets"][0]["kubernetes"]["delivery"] = json!("Driftline");
    });
    let apply = ["-n", &team.namespace, "apply", "--server-side", "-f", "-"];
    let apply = team.world.kubectl().args(apply).stdin(policy.to_string());
    let told = apply.run().await.expect_err("refused").to_string();
    assert!(told.contains("takes enforcement: Revert"), "{told}");
    let policy = team.policy_object(|p| {
        p["spec"]["targets"][0]["kubernetes"]["prune"] = json!(true);
    });
    let apply = ["-n", &team.namespace, "apply", "--server-side", "-f", "-"];
    let apply = team.world.kubectl().args(apply).stdin(policy.to_string());
    let told = apply.run().await.expect_err("refused").to_string();
    assert!(told.contains("set delivery: Driftline"), "{told}");
}

#[tokio::test]
async fn one_commit_brings_a_namespace_a_kind_and_an_object_of_it_in_order() {
    let team = Team::new(World::shared().await, "orders").await;
    opt_in(&team).await;
    let own = &team.namespace;
    let group = format!("{own}.example.com");
    let rights = format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {own}}}
rules: [{{apiGroups: ['', apiextensions.k8s.io, {group}], resources: [namespaces, configmaps, customresourcedefinitions, widgets], verbs: [get, list, watch, patch, create]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {own}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {own}}}
subjects:
- {{kind: ServiceAccount, name: drift, namespace: {own}}}
- {{kind: ServiceAccount, name: driftline, namespace: driftline-system}}
"
    );
    team.apply(&rights).await;
    // Named so that an order by name would be wrong.
    let widget = format!(
        "{{apiVersion: {group}/v1, kind: Widget, metadata: {{name: a, namespace: {own}-new}}, spec: {{size: 1}}}}"
    );
    let settings = SETTINGS.replace("name: settings", &format!("name: a, namespace: {own}-new"));
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: widgets, singular: widget, kind: Widget}}
  versions:
  - {{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}}}
"
    );
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {own}-new}}}}");
    team.commit(&[
        ("deploy/a.yaml", &widget),
        ("deploy/b.yaml", &settings),
        ("deploy/c.yaml", &definition),
        ("deploy/d.yaml", &namespace),
    ])
    .await;
    delivers(&team).await;
    let status = team
        .status("all delivered", |s| {
            s["summary"]["declared"] == 4 && s["summary"]["inSync"] == 4
        })
        .await;
    let widgets = format!("widgets.{group}");
    let query = [
        "-n",
        &format!("{own}-new"),
        "get",
        &widgets,
        "a",
        "-o",
        "jsonpath={.spec.size}",
    ];
    let size = team.world.kubectl().args(query).run().await.unwrap();
    assert_eq!(size, "1", "{status}");
    let events = [
        "get",
        "events.events.k8s.io",
        "-o",
        "jsonpath={.items[*].reason}",
    ];
    let events = team.kubectl(events).await;
    assert!(
        events.contains("Delivered") && !events.contains("Blocked"),
        "{events}"
    );
}

#[tokio::test]
async fn an_operator_that_is_killed_in_the_middle_delivers_the_rest_once() {
    let world = World::own(driftline_e2e::Options::default(), &[]).await;
    let team = Team::new(&world, "crashes").await;
    opt_in(&team).await;
    let names: Vec<String> = (0..60).map(|n| format!("c{n}")).collect();
    let texts: Vec<(String, String)> = names
        .iter()
        .map(|n| (format!("deploy/{n}.yaml"), config_map(n)))
        .collect();
    let files: Vec<(&str, &str)> = texts
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    team.commit(&files).await;
    delivers(&team).await;
    until(&team, "configmap", "c5", |_| true).await;
    world.kill_operator().await;
    let query = ["get", "configmaps", "-o", "json"];
    let before: Value = serde_json::from_str(&team.kubectl(query).await).unwrap();
    world.start_operator(&[]).await;
    team.status("all delivered", |s| s["summary"]["inSync"] == 60)
        .await;
    let after: Value = serde_json::from_str(&team.kubectl(query).await).unwrap();
    for one in before["items"].as_array().unwrap() {
        let same = |o: &&Value| o["metadata"]["uid"] == one["metadata"]["uid"];
        let now = after["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(same)
            .unwrap();
        assert_eq!(version(now), version(one), "written once: {now}");
    }
}

#[tokio::test]
async fn a_hold_stops_a_delivery_until_it_ends() {
    let team = team("holds-delivery", &[("deploy/settings.yaml", SETTINGS)]).await;
    team.in_sync().await;
    let end = super::revert::in_seconds(15);
    let hold = json!({"hold": {"until": end, "reason": "freeze"}});
    super::revert::change_policy(&team, hold).await;
    let newer = SETTINGS.replace("info", "warn");
    team.commit(&[("deploy/settings.yaml", &newer)]).await;
    team.check().await;
    let newer = |o: &Value| o["data"]["level"] == "warn";
    let live = until(&team, "configmap", "settings", newer).await;
    let entry = live["metadata"]["managedFields"][0]["time"].as_str();
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    assert!(
        time(entry.unwrap()) >= time(&end),
        "held until {end}: {live}"
    );
}

/// So long an object is left that Git has dropped: it may move elsewhere.
const MOVES: std::time::Duration = std::time::Duration::from_secs(60);

fn config_map(name: &str) -> String {
    SETTINGS.replace("name: settings", &format!("name: {name}"))
}

#[tokio::test]
async fn what_was_delivered_goes_with_its_declaration_and_too_much_only_when_confirmed() {
    let team = Team::new(World::shared().await, "prunes").await;
    opt_in(&team).await;
    let rights = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deletes}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deletes}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deletes}
subjects: [{kind: ServiceAccount, name: drift}]
";
    team.apply(&rights.replace(
        "name: drift}",
        &format!("name: drift, namespace: {}}}", team.namespace),
    ))
    .await;
    let all = ["a", "b", "c", "d", "e", "f", "g"];
    // Not delivered by anybody here, so it stays.
    team.apply(&config_map("g")).await;
    let texts: Vec<(String, String)> = all
        .iter()
        .map(|n| (format!("deploy/{n}.yaml"), config_map(n)))
        .collect();
    let files: Vec<(&str, &str)> = texts
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    team.commit(&files).await;
    team.policy(|p| {
        p["spec"]["enforcement"] = json!("Revert");
        p["spec"]["targets"][0]["kubernetes"]["delivery"] = json!("Driftline");
        p["spec"]["targets"][0]["kubernetes"]["prune"] = json!(true);
    })
    .await;
    team.in_sync().await;

    team.repo
        .remove("fewer", &["deploy/a.yaml", "deploy/g.yaml"])
        .await
        .unwrap();
    team.check().await;
    tokio::time::sleep(MOVES).await;
    gone(&team, "a").await;
    get(&team, "configmap", "g").await;

    team.repo
        .remove(
            "hardly any",
            &[
                "deploy/b.yaml",
                "deploy/c.yaml",
                "deploy/d.yaml",
                "deploy/e.yaml",
            ],
        )
        .await
        .unwrap();
    team.check().await;
    tokio::time::sleep(MOVES).await;
    let record = team.record_in("Blocked", "ConfigMap", "b", |_| true).await;
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    let digest = reason
        .rsplit_once("driftline.dev/confirm=")
        .expect(reason)
        .1
        .to_owned();
    get(&team, "configmap", "b").await;
    let confirm = format!("driftline.dev/confirm={digest}");
    team.kubectl(["annotate", "driftpolicy", super::support::POLICY, &confirm])
        .await;
    for name in ["b", "c", "d", "e"] {
        gone(&team, name).await;
    }

    // A source that renders nothing takes nothing away.
    team.repo
        .remove("nothing", &["deploy/f.yaml"])
        .await
        .unwrap();
    team.check().await;
    tokio::time::sleep(MOVES + std::time::Duration::from_secs(10)).await;
    get(&team, "configmap", "f").await;
}

async fn gone(team: &Team<'_>, name: &str) {
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    loop {
        let query = ["get", "configmap", name, "--ignore-not-found"];
        if team.kubectl(query).await.trim().is_empty() {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{name} is still there\n{}",
            team.world.log().await
        );
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}
