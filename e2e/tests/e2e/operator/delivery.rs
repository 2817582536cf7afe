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

pub(super) async fn delivers(team: &Team<'_>) {
    team.policy(|p| {
        p["spec"]["enforcement"] = json!("Revert");
        p["spec"]["targets"][0]["kubernetes"]["delivery"] = json!("Driftline");
    })
    .await;
}

/// Waits until an object is there and as wanted.
pub(super) async fn until(
    team: &Team<'_>,
    kind: &str,
    name: &str,
    done: impl Fn(&Value) -> bool,
) -> Value {
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
    commit_config_maps(&team, &names).await;
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
pub(super) const MOVES: std::time::Duration = std::time::Duration::from_secs(60);

fn config_map(name: &str) -> String {
    SETTINGS.replace("name: settings", &format!("name: {name}"))
}

/// Declares a ConfigMap of each name, in a file of its own.
async fn commit_config_maps(team: &Team<'_>, names: &[impl AsRef<str>]) {
    let file = |name: &str| (format!("deploy/{name}.yaml"), config_map(name));
    let all: Vec<(String, String)> = names.iter().map(|n| file(n.as_ref())).collect();
    let files: Vec<(&str, &str)> = all.iter().map(|(p, t)| (&**p, &**t)).collect();
    team.commit(&files).await;
}

/// Grants what the example grants for pruning; gives its policy.
async fn may_delete(team: &Team<'_>) -> Value {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = std::fs::read_to_string(root.join("examples/delivery.yaml")).unwrap();
    let example = example
        .replace("namespace: shop", &format!("namespace: {}", team.namespace))
        .replace("name: shop-drift\n", "name: drift\n");
    let (rights, policy) = example.rsplit_once("---\n").expect("a policy");
    team.apply(rights).await;
    serde_saphyr::from_str(policy).expect("YAML")
}

/// A policy as the example's, but for where its repository is.
async fn prunes(team: &Team<'_>, policy: &Value) {
    team.policy(|p| {
        p["spec"]["enforcement"] = policy["spec"]["enforcement"].clone();
        p["spec"]["deletionPolicy"] = policy["spec"]["deletionPolicy"].clone();
        let (ours, example) = (
            &mut p["spec"]["targets"][0]["kubernetes"],
            &policy["spec"]["targets"][0]["kubernetes"],
        );
        ours["delivery"] = example["delivery"].clone();
        ours["prune"] = example["prune"].clone();
    })
    .await;
}

#[tokio::test]
async fn what_was_delivered_goes_with_its_declaration_and_too_much_only_when_confirmed() {
    let team = Team::new(World::shared().await, "prunes").await;
    opt_in(&team).await;
    let policy = may_delete(&team).await;
    let all = ["a", "b", "c", "d", "e", "f", "g"];
    // Not delivered by anybody here, so it stays.
    team.apply(&config_map("g")).await;
    commit_config_maps(&team, &all).await;
    prunes(&team, &policy).await;
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

#[tokio::test]
async fn a_source_that_breaks_or_vanishes_prunes_nothing_nor_goes_what_others_created() {
    let team = Team::new(World::shared().await, "prunes-not").await;
    opt_in(&team).await;
    let policy = may_delete(&team).await;
    commit_config_maps(&team, &["a", "b", "c", "d"]).await;
    prunes(&team, &policy).await;
    team.in_sync().await;
    let past = MOVES + std::time::Duration::from_secs(10);

    // What else a commit drops that cannot be rendered stays.
    team.repo.git(["rm", "-q", "deploy/a.yaml"]).await.unwrap();
    team.commit(&[("deploy/broken.yaml", "a: [")]).await;
    let status = team.check().await;
    let (ready, ..) = super::support::condition(&status, "Ready");
    assert_eq!(ready, "False", "{status}");
    tokio::time::sleep(past).await;
    get(&team, "configmap", "a").await;

    // Somebody creates it anew meanwhile, so that it is not what was delivered.
    team.kubectl(["delete", "configmap", "a"]).await;
    team.apply(&config_map("a")).await;
    team.repo
        .remove("mended", &["deploy/broken.yaml", "deploy/b.yaml"])
        .await
        .unwrap();
    team.check().await;
    tokio::time::sleep(MOVES).await;
    gone(&team, "b").await;
    get(&team, "configmap", "a").await;

    // The branch vanishes a moment after it dropped something.
    team.repo.branch("release").await.unwrap();
    let release = json!({"source": {"git": {"ref": {"branch": "release"}}}});
    super::revert::change_policy(&team, release).await;
    team.check().await;
    team.repo.remove("fewer", &["deploy/c.yaml"]).await.unwrap();
    team.check().await;
    team.repo.delete_branch("release").await.unwrap();
    team.check().await;
    tokio::time::sleep(past).await;
    get(&team, "configmap", "c").await;
    team.repo.branch("release").await.unwrap();
    team.check().await;
    gone(&team, "c").await;
    get(&team, "configmap", "a").await;
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

/// The policy, as long as it is there.
async fn policy_now(team: &Team<'_>) -> Value {
    let query = ["get", "driftpolicy", "-o", "json"];
    let all: Value = serde_json::from_str(&team.kubectl(query).await).unwrap();
    all["items"].get(0).cloned().unwrap_or_default()
}

async fn until_policy(team: &Team<'_>, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    loop {
        let policy = policy_now(team).await;
        if done(&policy) {
            return policy;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{what}: {policy:#}\n{}",
            team.world.log().await
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

fn waits(policy: &Value) -> bool {
    let finalizers = policy["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|f| f.contains(&json!("driftline.dev/delete")))
}

async fn delete_policy(team: &Team<'_>) {
    team.kubectl(["delete", "driftpolicy", "--all", "--wait=false"])
        .await;
}

async fn names_of_config_maps(team: &Team<'_>) -> Vec<String> {
    let query = [
        "get",
        "configmaps",
        "-o",
        "jsonpath={.items[*].metadata.name}",
    ];
    let names = team.kubectl(query).await;
    let own = names.split(' ').filter(|n| *n != "kube-root-ca.crt");
    own.filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_deleted_policy_takes_along_what_it_delivered_where_asked() {
    let kept = config_map("kept").replace(
        "name: kept",
        "name: kept, annotations: {helm.sh/resource-policy: keep}",
    );
    let (gone, there) = (config_map("gone"), config_map("there"));
    let team = Team::new(World::shared().await, "leaves").await;
    opt_in(&team).await;
    // What was as declared before is not written, and so not taken along.
    team.apply(&there).await;
    team.commit(&[
        ("deploy/gone.yaml", &gone),
        ("deploy/kept.yaml", &kept),
        ("deploy/there.yaml", &there),
    ])
    .await;
    delivers(&team).await;
    team.in_sync().await;
    let policy = policy_now(&team).await;
    assert!(!waits(&policy), "not asked for: {policy}");
    super::revert::change_policy(&team, json!({"deletionPolicy": "Delete"})).await;
    until_policy(&team, "the finalizer", waits).await;
    // As soon as it is not asked for any more it goes.
    super::revert::change_policy(&team, json!({"deletionPolicy": "Orphan"})).await;
    until_policy(&team, "no finalizer", |p| !waits(p)).await;
    super::revert::change_policy(&team, json!({"deletionPolicy": "Delete"})).await;
    until_policy(&team, "the finalizer again", waits).await;

    delete_policy(&team).await;
    let blocked = || async {
        let query = ["get", "events.events.k8s.io", "-o", "json"];
        let all: Value = serde_json::from_str(&team.kubectl(query).await).unwrap();
        let all = all["items"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|e| e["reason"] == "DeletionBlocked")
    };
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    let note = loop {
        if let Some(event) = blocked().await {
            break event["note"].as_str().unwrap().to_owned();
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            team.world.log().await
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert!(note.contains("delete configmaps"), "{note}");
    assert!(note.contains("\"deletionPolicy\":\"Orphan\""), "{note}");
    assert!(waits(&policy_now(&team).await));
    // What goes is not written to any more.
    team.kubectl(["delete", "configmap", "there"]).await;

    may_delete(&team).await;
    until_policy(&team, "the policy's end", Value::is_null).await;
    assert_eq!(names_of_config_maps(&team).await, ["kept"]);
}

#[tokio::test]
async fn a_deleted_policy_leaves_what_it_delivered_and_keeps_no_namespace_from_going() {
    let stays = team("stays", &[("deploy/one.yaml", &config_map("one"))]).await;
    stays.in_sync().await;
    delete_policy(&stays).await;
    until_policy(&stays, "the policy's end", Value::is_null).await;
    assert_eq!(names_of_config_maps(&stays).await, ["one"]);

    let goes = team("ends", &[("deploy/one.yaml", &config_map("one"))]).await;
    goes.in_sync().await;
    super::revert::change_policy(&goes, json!({"deletionPolicy": "Delete"})).await;
    until_policy(&goes, "the finalizer", waits).await;
    let delete = ["delete", "namespace", &goes.namespace, "--timeout=90s"];
    let gone = goes.world.kubectl().args(delete);
    let gone = gone.deadline(std::time::Duration::from_secs(100));
    gone.run().await.expect("the namespace goes");
}

#[tokio::test]
async fn of_a_policy_the_operator_may_change_its_own_finalizer_alone() {
    let team = Team::new(World::shared().await, "guarded").await;
    team.commit(&[("deploy/one.yaml", &config_map("one"))])
        .await;
    team.policy(|_| {}).await;
    let name = policy_now(&team).await["metadata"]["name"].clone();
    let name = name.as_str().unwrap();
    let operator = "--as=system:serviceaccount:driftline-system:driftline";
    for (change, allowed) in [
        (json!({"spec": {"enforcement": "Revert"}}), false),
        (json!({"metadata": {"labels": {"a": "b"}}}), false),
        (
            json!({"metadata": {"annotations": {"driftline.dev/confirm": "x"}}}),
            false,
        ),
        (
            json!({"metadata": {"finalizers": ["a.example.com/b"]}}),
            false,
        ),
        (
            json!({"metadata": {"finalizers": ["driftline.dev/delete"]}}),
            true,
        ),
        (
            json!({"metadata": {"finalizers": ["driftline.dev/delete"]}, "spec": {"owner": {"team": "x"}}}),
            false,
        ),
        (json!({"metadata": {"finalizers": null}}), true),
    ] {
        let patch = format!("-p={change}");
        let patch = [
            "-n",
            &team.namespace,
            "patch",
            "driftpolicy",
            name,
            "--type=merge",
            operator,
            &patch,
        ];
        let said = team.world.kubectl().args(patch).run().await;
        assert_eq!(said.is_ok(), allowed, "{change}: {said:?}");
        if let Err(error) = said {
            let error = error.to_string();
            assert!(
                error.contains("only its own finalizer"),
                "{change}: {error}"
            );
        }
    }
}
