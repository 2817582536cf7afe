//! Objects that nobody declares, and what is left out of them.

use std::time::{Duration, Instant};

use driftline_e2e::Options;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::support::{PATIENCE, POLICY, Team, World, condition, watch_until};

/// How long an object is there before it is told that nobody declares it.
const TOLD_AFTER: Duration = Duration::from_secs(60);

const STAYS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: stays}
data: {level: info}
";

const APPLICATIONS: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: applications.argoproj.io, annotations: {api-approved.kubernetes.io: none}}
spec:
  group: argoproj.io
  scope: Namespaced
  names: {plural: applications, kind: Application}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

const READ_APPLICATIONS: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: e2e-read-applications}
rules: [{apiGroups: [argoproj.io], resources: [applications], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: e2e-read-applications}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-read-applications}
subjects: [{kind: ServiceAccount, name: driftline, namespace: driftline-system}]
";

fn config_map(name: &str, metadata: Value) -> String {
    let mut object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}});
    object["metadata"]["name"] = name.into();
    object.to_string()
}

fn owned_by(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    let owner = json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true});
    json!({"ownerReferences": [owner]})
}

impl Team<'_> {
    /// A policy that asks about kinds, in its own namespace.
    async fn asks(&self, objects: Value) {
        self.policy(|p| {
            p["spec"]["targets"][0]["kubernetes"]["undeclared"] = json!({"objects": objects});
        })
        .await;
    }

    async fn uid(&self, kind: &str, name: &str) -> String {
        self.kubectl(["get", kind, name, "-o", "jsonpath={.metadata.uid}"])
            .await
    }

    /// The names of what is told now, sorted.
    async fn told(&self) -> Vec<String> {
        let open = self.open_records().await;
        let name = |r: &Value| {
            r["spec"]["subject"]["kubernetes"]["name"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let mut names: Vec<String> = open.iter().map(name).collect();
        names.sort();
        names
    }

    async fn message(&self, part: &str) -> Value {
        self.status(part, |s| {
            s["targets"][0]["message"]
                .as_str()
                .is_some_and(|m| m.contains(part))
        })
        .await
    }
}

async fn after(begun: Instant, time: Duration) {
    tokio::time::sleep_until((begun + time).into()).await;
}

#[tokio::test]
async fn what_nobody_declares_is_told_where_the_policy_asks() {
    let team = Team::new(World::shared().await, "undeclared").await;
    team.apply(STAYS).await;
    team.apply(&config_map("hand", json!({}))).await;
    team.commit(&[("deploy/app.yaml", STAYS)]).await;
    team.asks(json!([{"kinds": ["ConfigMap", "ServiceAccount", "networking.k8s.io/NetworkPolicy", "Pod"]}])).await;
    let begun = Instant::now();
    team.in_sync().await;
    // Declared a moment later, and so never told.
    team.apply(&config_map("late", json!({}))).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let late = format!("{STAYS}---\n{}", config_map("late", json!({})));
    team.commit(&[("deploy/app.yaml", &late)]).await;
    team.check().await;
    let privileged = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}, "spec": {"containers": [
        {"name": "a", "image": "a", "securityContext": {"privileged": true}}]}});
    team.apply(&privileged.to_string()).await;
    while begun.elapsed() < TOLD_AFTER - Duration::from_secs(5) {
        assert_eq!(team.open_records().await, Vec::<Value>::new());
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let record = team.record("ConfigMap", "hand", |_| true).await;
    assert!(begun.elapsed() >= TOLD_AFTER - Duration::from_secs(1));
    assert_eq!(record["status"]["change"], "Undeclared");
    assert_eq!(record["status"]["origin"], "LiveEdited");
    assert_eq!(record["status"]["severity"], "Low");
    assert_eq!(record["status"]["display"]["fields"], "not declared");
    let pod = team.record("Pod", "root", |_| true).await;
    assert_eq!(pod["status"]["severity"], "Critical");
    // The account of the team itself, which Git does not declare either.
    team.record("ServiceAccount", "drift", |_| true).await;
    let status = team.drifted(3).await;
    assert_eq!(status["summary"]["declared"], 2, "{status}");
    assert_eq!(team.told().await, ["drift", "hand", "root"]);
    // A rule ignores one, and one is deleted.
    team.policy(|p| {
        p["spec"]["targets"][0]["kubernetes"]["undeclared"] =
            json!({"objects": [{"kinds": ["ConfigMap", "ServiceAccount", "Pod"]}]});
        p["spec"]["rules"] = json!([{"match": {"kinds": ["ServiceAccount"]}, "ignore": {"reason": "the test's own"}}]);
    })
    .await;
    team.closed("ServiceAccount", "drift").await;
    team.kubectl(["delete", "configmap", "hand"]).await;
    team.closed("ConfigMap", "hand").await;
    // Nobody asks any more.
    team.policy(|_| {}).await;
    team.closed("Pod", "root").await;
    team.in_sync().await;
}

#[tokio::test]
async fn what_others_declare_or_own_is_left_out_only_where_that_is_true() {
    let world = World::own(Options::default(), &[]).await;
    let team = Team::new(&world, "others").await;
    world.apply("", APPLICATIONS).await;
    let established = [
        "wait",
        "--for=condition=Established",
        "crd/applications.argoproj.io",
    ];
    team.kubectl(established).await;
    let (namespace, repo) = (&team.namespace, team.server.url("shop"));
    let application = |resources: Value| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "shop"},
            "spec": {"destination": {"server": "https://kubernetes.default.svc", "namespace": namespace}},
            "status": {"resources": resources}})
        .to_string()
    };
    let listed =
        json!([{"version": "v1", "kind": "ConfigMap", "namespace": namespace, "name": "listed"}]);
    team.apply(&application(listed)).await;
    team.apply(STAYS).await;
    team.apply(&config_map("hand", json!({}))).await;
    team.apply(&config_map("other", json!({}))).await;
    let tracked = |name: &str| {
        let id = format!("shop:/ConfigMap:{namespace}/{name}");
        config_map(
            name,
            json!({"annotations": {"argocd.argoproj.io/tracking-id": id}}),
        )
    };
    team.apply(&tracked("listed")).await;
    team.apply(&tracked("forged")).await;
    let alive = owned_by(
        "v1",
        "ConfigMap",
        "stays",
        &team.uid("configmap", "stays").await,
    );
    team.apply(&config_map("owned", alive)).await;
    // The cluster's garbage collector removes what it can tell to have lost its owner; of this kind it cannot.
    let ghost = owned_by(
        "e2e.example.com/v1",
        "Ghost",
        "gone",
        "0a0a0a0a-0000-4000-8000-000000000000",
    );
    team.apply(&config_map("dead", ghost)).await;
    let unread = owned_by(
        "argoproj.io/v1alpha1",
        "Application",
        "shop",
        &team.uid("application", "shop").await,
    );
    team.apply(&config_map("unread", unread)).await;
    let other = config_map("other", json!({}));
    team.commit(&[("deploy/app.yaml", STAYS), ("other/other.yaml", &other)])
        .await;
    let second = json!({"apiVersion": "driftline.dev/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": "other"}, "spec": {
        "serviceAccountName": "drift", "source": {"git": {"url": repo, "ref": {"branch": "main"}}},
        "targets": [{"name": "other", "kubernetes": {"path": "other"}}]}});
    team.apply(&second.to_string()).await;
    team.asks(json!([{"kinds": ["ConfigMap"]}])).await;
    let begun = Instant::now();
    // The operator may not read Applications yet.
    let status = team.message("may not read argoproj.io/Application").await;
    assert_eq!(
        status["targets"][0]["reason"], "OwnerUnreadable",
        "{status}"
    );
    after(begun, TOLD_AFTER).await;
    let claim = |r: &Value| r["status"]["claim"].as_str().unwrap_or_default().to_owned();
    let of_ghost = team.record("ConfigMap", "dead", |_| true).await;
    let gone = "its owner e2e.example.com/Ghost gone is not there any more";
    assert_eq!(claim(&of_ghost), gone);
    let told = team.record("ConfigMap", "listed", |_| true).await;
    assert!(
        claim(&told).contains("the operator may not read it"),
        "{told}"
    );
    team.record("ConfigMap", "hand", |_| true).await;
    team.record("ConfigMap", "forged", |_| true).await;
    assert_eq!(team.told().await, ["dead", "forged", "hand", "listed"]);
    // Now it may, and the Application itself says what it declares.
    world.apply("", READ_APPLICATIONS).await;
    team.closed("ConfigMap", "listed").await;
    let confirmed = |r: &Value| claim(r).contains("no Application of this cluster lists it");
    team.record("ConfigMap", "forged", confirmed).await;
    team.check().await;
    let status = team
        .status("owners can be read", |s| condition(s, "Ready").0 == "True")
        .await;
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("1 by Argo CD's Application {namespace}/shop")),
        "{message}"
    );
    assert!(
        message.contains(&format!("1 by policy {namespace}/other")),
        "{message}"
    );
    assert_eq!(team.told().await, ["dead", "forged", "hand"]);
    // What declared them goes.
    let begun = Instant::now();
    team.kubectl(["delete", "driftpolicy", "other"]).await;
    team.apply(&application(json!([]))).await;
    after(begun, TOLD_AFTER - Duration::from_secs(5)).await;
    assert_eq!(team.told().await, ["dead", "forged", "hand"]);
    team.record("ConfigMap", "other", |_| true).await;
    team.record("ConfigMap", "listed", |_| true).await;
    team.check().await;
    assert_eq!(
        team.told().await,
        ["dead", "forged", "hand", "listed", "other"]
    );
    world.assert_nothing_missed().await;
}

#[tokio::test]
async fn who_names_the_uid_of_an_owner_takes_it_from_nobody() {
    // Where policies come and go all the time, it is waited for what each declares.
    let world = World::own(Options::default(), &[]).await;
    let team = Team::new(&world, "uids").await;
    team.apply(STAYS).await;
    let uid = team.uid("configmap", "stays").await;
    // The garbage collector cannot tell that nothing is there of this kind.
    let ghost = owned_by("ghosts.example.com/v1", "Ghost", "gone", &uid);
    team.apply(&config_map("a-forged", ghost)).await;
    let alive = owned_by("v1", "ConfigMap", "stays", &uid);
    team.apply(&config_map("owned", alive)).await;
    team.commit(&[("deploy/app.yaml", STAYS)]).await;
    team.asks(json!([{"kinds": ["ConfigMap"]}])).await;
    let begun = Instant::now();
    team.in_sync().await;
    after(begun, TOLD_AFTER).await;
    // It is looked at once more before it is told, which may have to be tried again on a busy machine.
    let forged = |r: &&Value| r["spec"]["subject"]["kubernetes"]["name"] == "a-forged";
    let told = watch_until(team.api("DriftRecord"), PATIENCE * 3, |all| {
        let open = |r: &&Value| r["status"]["state"] == "Open";
        all.values().filter(forged).any(|r| open(&r)).then_some(())
    });
    told.await.expect("told");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(team.told().await, ["a-forged"]);
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_said_with_what_to_do() {
    let world = World::shared().await;
    let team = Team::new(world, "unlooked").await;
    team.apply(STAYS).await;
    team.commit(&[("deploy/app.yaml", STAYS)]).await;
    let reason = |s: &Value| {
        s["targets"][0]["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    team.asks(json!([{"kinds": ["apps/Deploymant"]}])).await;
    let status = team.message("the cluster serves no apps/Deploymant").await;
    assert_eq!(reason(&status), "KindNotServed");
    assert_eq!(condition(&status, "Drifted").0, "Unknown");
    team.asks(json!([{"kinds": ["Secret"]}])).await;
    let status = team.message("without --compare-secrets").await;
    assert_eq!(reason(&status), "NotCompared");
    assert_eq!(condition(&status, "Drifted").0, "Unknown");
    // The team's account may look at its own namespace only.
    team.asks(json!([{"kinds": ["ConfigMap"], "namespaces": ["kube-system"]}]))
        .await;
    let status = team.message("may not list this kind there").await;
    assert_eq!(reason(&status), "NotAllowed");
    team.asks(json!([{"kinds": ["rbac.authorization.k8s.io/ClusterRole"]}]))
        .await;
    let status = team.message("rbac.authorization.k8s.io/ClusterRole").await;
    assert_eq!(reason(&status), "NotAllowed");
    team.asks(json!([{"kinds": ["ConfigMap"]}])).await;
    team.in_sync().await;
}

#[tokio::test]
async fn after_a_restart_nothing_is_told_before_it_is_known_what_others_declare() {
    let world = World::own(Options::default(), &[]).await;
    let team = Team::new(&world, "asks").await;
    let second = Team::new(&world, "declares").await;
    team.apply(STAYS).await;
    team.apply(&config_map("theirs", json!({}))).await;
    team.commit(&[("deploy/app.yaml", STAYS)]).await;
    second
        .commit(&[(
            "deploy/app.yaml",
            &config_map("theirs", json!({"namespace": team.namespace})),
        )])
        .await;
    let reads = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "theirs"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "drift"},
        "subjects": [{"kind": "ServiceAccount", "name": "drift", "namespace": second.namespace}]});
    team.apply(&reads.to_string()).await;
    second.policy(|_| {}).await;
    second.in_sync().await;
    team.asks(json!([{"kinds": ["ConfigMap"]}])).await;
    team.in_sync().await;
    team.message(&format!("1 by policy {}/{POLICY}", second.namespace))
        .await;
    // The other team's Git server is down when the operator starts again.
    world.kill_operator().await;
    let (namespace, client) = (second.namespace.clone(), second.client.clone());
    drop(second);
    world.start_operator(&[]).await;
    let begun = Instant::now();
    // A team that may not look here keeps nobody waiting.
    let stranger = Team::new(&world, "stranger").await;
    stranger
        .policy(|p| p["spec"]["source"]["git"]["url"] = "https://127.0.0.1:1/none.git".into())
        .await;
    after(begun, TOLD_AFTER + Duration::from_secs(20)).await;
    assert_eq!(team.told().await, Vec::<String>::new());
    tokio::time::timeout(Duration::from_secs(120), async {
        team.status("waits", |s| s["targets"][0]["reason"] == "PolicyUndecided")
            .await
    })
    .await
    .unwrap();
    team.message(&format!(
        "not known what policy {namespace}/{POLICY} declares"
    ))
    .await;
    assert_eq!(team.told().await, Vec::<String>::new());
    let kind = kube::core::GroupVersionKind::gvk("driftline.dev", "v1alpha1", "DriftPolicy");
    let resource = kube::core::ApiResource::from_gvk_with_plural(&kind, "driftpolicies");
    let policies: kube::Api<kube::api::DynamicObject> =
        kube::Api::namespaced_with(client, &namespace, &resource);
    let policy = policies.get(POLICY).await.unwrap();
    policies
        .delete(&policy.name_any(), &Default::default())
        .await
        .unwrap();
    let record = team.record("ConfigMap", "theirs", |_| true).await;
    // What is told stays told after one more restart, and what went meanwhile is closed.
    world.kill_operator().await;
    world.start_operator(&[]).await;
    let begun = Instant::now();
    team.drifted(1).await;
    assert!(begun.elapsed() < TOLD_AFTER / 2);
    let again = team.record("ConfigMap", "theirs", |_| true).await;
    assert_eq!(again["status"]["firstSeen"], record["status"]["firstSeen"]);
    world.kill_operator().await;
    team.kubectl(["delete", "configmap", "theirs"]).await;
    world.start_operator(&[]).await;
    team.closed("ConfigMap", "theirs").await;
}
