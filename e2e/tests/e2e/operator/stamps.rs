//! Who did it, by the stamp of the chart's admission policy.

use std::time::{Duration, Instant};

use driftline_e2e::{Options, operator};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::support::{PATIENCE, Team, World, raw};

const FLAG: &str = "--stamp-policy=driftline-stamp";

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: shop/web:1.4.2
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web, team: checkout}}
data: {feature: 'on', level: info}
";

/// A world whose operator believes stamps. Tests leave policy and operator as they are.
async fn stamped() -> &'static World {
    static STAMPED: OnceCell<World> = OnceCell::const_new();
    STAMPED
        .get_or_init(|| async {
            let world = World::own(Options::default(), &[FLAG]).await;
            logged(&world, "stamps are believed").await;
            world
        })
        .await
}

async fn logged(world: &World, words: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !world.log().await.contains(words) {
        assert!(Instant::now() < deadline, "{words:?} is not in the log");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Team<'_> {
    /// kubectl as somebody else, who may do everything.
    async fn kubectl_as(&self, user: &str, arguments: &[&str]) -> String {
        let who = [format!("--as={user}"), "--as-group=system:masters".into()];
        let all = who.into_iter().chain(arguments.iter().map(|a| (*a).into()));
        self.kubectl(all).await
    }

    async fn patch_as(&self, user: &str, object: &str, patch: Value) {
        let patch = patch.to_string();
        self.kubectl_as(user, &["patch", object, "--type=merge", "-p", &patch])
            .await;
    }

    async fn live(&self, object: &str) -> Value {
        let text = self.kubectl(["get", object, "-o", "json"]).await;
        serde_json::from_str(&text).unwrap()
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn version(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion")
}

fn stamp(object: &Value) -> (&str, &str) {
    let notes = "/metadata/annotations/driftline.dev~1edited";
    (
        text(object, &format!("{notes}-by")),
        text(object, &format!("{notes}-after")),
    )
}

/// Who a record says changed a field.
fn by<'a>(record: &'a Value, path: &str) -> &'a Value {
    let fields = record["status"]["fields"].as_array();
    let field = fields.and_then(|all| all.iter().find(|f| f["path"] == path));
    field.map_or(&Value::Null, |f| &f["by"])
}

fn has(path: &'static str) -> impl Fn(&Value) -> bool {
    move |record| !by(record, path).is_null()
}

#[tokio::test]
async fn an_edit_is_named_after_the_user_whom_the_server_authenticated() {
    let team = Team::new(stamped().await, "stamp").await;
    team.declare(WEB).await;
    team.kubectl_as(
        "ann@example.com",
        &["set", "image", "deployment/web", "web=shop/web:hotfix"],
    )
    .await;
    let record = team.record("Deployment", "web", |_| true).await;
    let image = "spec.template.spec.containers[name=web].image";
    let who = by(&record, image);
    assert_eq!(who["user"], "ann@example.com", "{record}");
    assert_eq!(who["evidence"], "Stamp");
    assert_eq!(who["manager"], "kubectl-set", "the tool is still told");
    assert_eq!(record["status"]["display"]["by"], "ann@example.com");
    let events = ["get", "events", "-o", "jsonpath={.items[*].message}"];
    let deadline = Instant::now() + PATIENCE;
    while !team.kubectl(events).await.contains("(by ann@example.com)") {
        assert!(Instant::now() < deadline, "no Event names the user");
    }

    // A scaling leaves the stamp before it, and no owner.
    team.kubectl_as("bob", &["scale", "deployment/web", "--replicas=7"])
        .await;
    let record = team.record("Deployment", "web", has("spec.replicas")).await;
    assert_eq!(
        stamp(&team.live("deployment/web").await).0,
        "ann@example.com"
    );
    assert!(by(&record, "spec.replicas")["user"].is_null(), "{record}");
    assert_eq!(by(&record, image)["user"], "ann@example.com");
}

#[tokio::test]
async fn a_forged_stamp_names_the_forger() {
    let team = Team::new(stamped().await, "forged").await;
    team.declare(WEB).await;
    let forged = |object: &Value| json!({"driftline.dev/edited-by": "ann", "driftline.dev/edited-after": version(object)});
    let before = team.live("configmap/settings").await;
    let edit = json!({"metadata": {"annotations": forged(&before)}, "data": {"level": "debug"}});
    team.patch_as("mallory", "configmap/settings", edit).await;
    let record = team.record("ConfigMap", "settings", |_| true).await;
    assert_eq!(by(&record, "data.level")["user"], "mallory", "{record}");

    // Nothing but a stamp: nothing is written.
    let before = team.live("configmap/settings").await;
    let alone = json!({"metadata": {"annotations": forged(&before)}});
    team.patch_as("mallory", "configmap/settings", alone).await;
    assert_eq!(
        version(&team.live("configmap/settings").await),
        version(&before)
    );

    // By the status, which carries annotations too.
    let before = team.live("deployment/web").await;
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments/web/status",
        team.namespace
    );
    let edit = json!({"metadata": {"annotations": forged(&before)}});
    let after = raw(&team.client, "PATCH", &path, &edit).await;
    assert_ne!(stamp(&after).0, "ann", "{after}");

    // With so much around it that looking through it would be too much; or what cannot be merged.
    let many: serde_json::Map<String, Value> =
        (0..9000).map(|n| (format!("n{n}"), json!("x"))).collect();
    let mut notes = many.clone();
    notes.extend(
        forged(&team.live("configmap/settings").await)
            .as_object()
            .unwrap()
            .clone(),
    );
    let path = format!("/api/v1/namespaces/{}/configmaps/settings", team.namespace);
    let edit = json!({"metadata": {"annotations": notes}, "data": {"level": "trace"}});
    let after = raw(&team.client, "PATCH", &path, &edit).await;
    assert_ne!(stamp(&after).0, "ann");
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments/web",
        team.namespace
    );
    let mut twice = team.live("deployment/web").await;
    twice["metadata"]["annotations"] = forged(&twice);
    twice["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    twice["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("resourceVersion");
    let after = raw(&team.client, "PUT", &path, &twice).await;
    assert_ne!(stamp(&after).0, "ann", "{after}");
}

#[tokio::test]
async fn two_quick_edits_are_each_their_own() {
    let team = Team::new(stamped().await, "quick").await;
    team.declare(WEB).await;
    let edit = |key: &str| json!({"data": {key: "edited"}});
    tokio::join!(
        team.patch_as("ann", "configmap/settings", edit("level")),
        team.patch_as("bob", "configmap/settings", edit("feature")),
    );
    let record = team
        .record("ConfigMap", "settings", |r| {
            r["status"]["fields"]
                .as_array()
                .is_some_and(|f| f.len() == 2)
        })
        .await;
    assert_eq!(by(&record, "data.level")["user"], "ann", "{record}");
    assert_eq!(by(&record, "data.feature")["user"], "bob", "{record}");
    assert_eq!(record["status"]["display"]["by"], "ann, bob");
    // Somebody who does not touch them changes nothing of that.
    team.patch_as("cid", "configmap/settings", json!({"data": {"more": "x"}}))
        .await;
    let record = team.record("ConfigMap", "settings", has("data.more")).await;
    assert_eq!(by(&record, "data.level")["user"], "ann", "{record}");
    assert_eq!(by(&record, "data.more")["user"], "cid", "{record}");
}

#[tokio::test]
async fn what_is_removed_and_made_anew_has_its_user() {
    let team = Team::new(stamped().await, "anew").await;
    team.declare(WEB).await;
    let remove = json!({"metadata": {"labels": {"team": null}}});
    team.patch_as("ann", "configmap/settings", remove).await;
    let record = team.record("ConfigMap", "settings", |_| true).await;
    let who = by(&record, "metadata.labels.team");
    assert_eq!(
        who,
        &json!({"evidence": "Stamp", "user": "ann"}),
        "{record}"
    );

    team.kubectl_as("ann", &["delete", "configmap", "settings"])
        .await;
    let record = team
        .record("ConfigMap", "settings", |r| {
            r["status"]["change"] == "Missing"
        })
        .await;
    assert!(record["status"]["by"]["user"].is_null(), "{record}");
    team.kubectl_as(
        "bob",
        &[
            "create",
            "configmap",
            "settings",
            "--from-literal=level=debug",
        ],
    )
    .await;
    let record = team
        .record("ConfigMap", "settings", has("data.level"))
        .await;
    assert_eq!(by(&record, "data.level")["user"], "bob", "{record}");
    assert_eq!(stamp(&team.live("configmap/settings").await), ("bob", "0"));
}

#[tokio::test]
async fn a_service_account_is_told_with_the_workload_that_runs_as_it() {
    let team = Team::new(stamped().await, "workload").await;
    let deployer = "apiVersion: apps/v1
kind: Deployment
metadata: {name: sync}
spec:
  selector: {matchLabels: {app: sync}}
  template:
    metadata: {labels: {app: sync}}
    spec: {serviceAccountName: syncer, containers: [{name: sync, image: shop/sync}]}
";
    team.apply(deployer).await;
    team.declare(WEB).await;
    let user = format!("system:serviceaccount:{}:syncer", team.namespace);
    team.patch_as(
        &user,
        "configmap/settings",
        json!({"data": {"level": "debug"}}),
    )
    .await;
    let record = team.record("ConfigMap", "settings", |_| true).await;
    let who = by(&record, "data.level");
    assert_eq!(who["user"], user.as_str());
    assert_eq!(
        who["workload"],
        format!("Deployment {}/sync", team.namespace)
    );
}

#[tokio::test]
async fn a_write_that_changes_nothing_stays_one() {
    let team = Team::new(stamped().await, "noop").await;
    let more = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: own}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, annotations: {a: b}}
spec: {selector: {app: web}, ports: [{port: 80}]}
";
    let all = format!("{WEB}---\n{more}");
    team.apply(&all).await;
    let objects = ["configmap/settings", "role/own", "service/web"];
    for object in objects {
        let before = team.live(object).await;
        assert_eq!(stamp(&before).1, "0", "{before}");
        let path = match object {
            "role/own" => "/apis/rbac.authorization.k8s.io/v1",
            _ => "/api/v1",
        };
        let (kind, name) = object.split_once('/').unwrap();
        let path = format!("{path}/namespaces/{}/{kind}s/{name}", team.namespace);
        let mut same = before.clone();
        raw(&team.client, "PUT", &path, &same).await;
        assert_eq!(
            version(&team.live(object).await),
            version(&before),
            "{object}"
        );
        // A client that knows nothing of stamps has its way, once.
        same["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("resourceVersion");
        let notes = same["metadata"]["annotations"].as_object_mut().unwrap();
        notes.retain(|key, _| !key.starts_with("driftline.dev/"));
        let without = raw(&team.client, "PUT", &path, &same).await;
        assert_eq!(stamp(&without), ("", ""), "{object}");
        raw(&team.client, "PUT", &path, &same).await;
        assert_eq!(
            version(&team.live(object).await),
            version(&without),
            "{object}"
        );
    }
    let before = [team.live(objects[0]).await, team.live(objects[1]).await];
    team.apply(&all).await;
    assert_eq!(version(&team.live(objects[0]).await), version(&before[0]));
    assert_eq!(version(&team.live(objects[1]).await), version(&before[1]));

    // The controller of Deployments copies annotations to ReplicaSets, and nobody answers to that.
    team.kubectl(["label", "deployment/web", "a=b"]).await;
    let deployment = team.live("deployment/web").await;
    assert_eq!(stamp(&deployment).0, "kubernetes-admin", "{deployment}");
    let sets = async || {
        let sets = team.live("replicasets").await;
        sets["items"].as_array().cloned().unwrap_or_default()
    };
    let deadline = Instant::now() + PATIENCE;
    while sets()
        .await
        .first()
        .is_none_or(|s| stamp(s) != stamp(&deployment))
    {
        assert!(Instant::now() < deadline, "not copied");
    }
    let settled = sets().await;
    // Long enough for many rounds of two that do not agree.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(version(&sets().await[0]), version(&settled[0]));
}

#[tokio::test]
async fn nobody_is_named_where_writes_were_missed_or_the_policy_is_not_as_it_has_to_be() {
    let world = World::own(Options::default(), &[FLAG]).await;
    logged(&world, "stamps are believed").await;
    one_answer_serves_all_of_a_shape(&world).await;
    let team = Team::new(&world, "untrusted").await;
    team.declare(WEB).await;
    let level = |value: &str| json!({"data": {"level": value}});
    team.patch_as("ann", "configmap/settings", level("debug"))
        .await;
    let record = team.record("ConfigMap", "settings", |_| true).await;
    assert_eq!(by(&record, "data.level")["user"], "ann");

    // Two edits while nobody looks: in a list they cannot be told apart. What was proven before stays.
    world.kill_operator().await;
    let deployment = json!({"metadata": {"labels": {"x": "y"}}});
    team.patch_as("bob", "deployment/web", deployment).await;
    team.kubectl_as("cid", &["scale", "deployment/web", "--replicas=5"])
        .await;
    world.start_operator(&[FLAG]).await;
    let record = team.record("Deployment", "web", has("spec.replicas")).await;
    assert!(by(&record, "spec.replicas")["user"].is_null(), "{record}");
    assert!(!record.to_string().contains("\"user\""), "{record}");
    let record = team.record("ConfigMap", "settings", |_| true).await;
    assert_eq!(by(&record, "data.level")["user"], "ann", "{record}");

    logged(&world, "stamps are believed").await;
    let binding = "mutatingadmissionpolicybinding/driftline-stamp";
    let weaker =
        r#"{"spec":{"matchResources":{"namespaceSelector":{"matchLabels":{"stamp":"x"}}}}}"#;
    team.kubectl(["patch", binding, "--type=merge", "-p", weaker])
        .await;
    logged(&world, "nobody is named by stamps").await;
    let live = team.live("configmap/settings").await;
    let mut forged = level("trace");
    forged["metadata"]["annotations"] =
        json!({"driftline.dev/edited-by": "ann", "driftline.dev/edited-after": version(&live)});
    team.patch_as("mallory", "configmap/settings", forged).await;
    let record = team
        .record("ConfigMap", "settings", |r| {
            r["status"]["fields"][0]["live"] == "trace"
        })
        .await;
    let who = by(&record, "data.level");
    assert_eq!(who["evidence"], "ManagedFields", "{record}");
    assert!(who["user"].is_null(), "{record}");
    let reason = world.log().await;
    assert!(
        reason.contains("MutatingAdmissionPolicyBinding driftline-stamp is not as installed"),
        "{reason}"
    );
    let settings = ["attribution.stamp.enabled=false"];
    operator::install(&world.tools, world.plane().kubeconfig_path(), &settings)
        .await
        .unwrap();
    let left = team
        .kubectl(["get", "mutatingadmissionpolicies", "-o", "name"])
        .await;
    assert_eq!(left, "");
}

/// Our own policy sees these creations, but changes nothing that is compared.
async fn one_answer_serves_all_of_a_shape(world: &World) {
    let team = Team::new(world, "shapes").await;
    let web = WEB.split("---").next().unwrap();
    let all: Vec<String> = (0..8)
        .map(|n| web.replace("name: web}\nspec", &format!("name: web-{n}}}\nspec")))
        .collect();
    team.declare(&all.join("---\n")).await;
    let operator = world.operator.read().await;
    let asked = operator.as_ref().unwrap();
    let asked = asked.metric("driftline_dry_runs_total").await.unwrap();
    assert!(
        (1.0..=4.0).contains(&asked),
        "{asked} dry runs for one shape"
    );
}
