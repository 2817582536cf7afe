//! On top of the real Argo CD and the real Flux: a policy reports beside them, puts back what they leave alone, and leaves to them what
//! they heal. They take long to build, so these tests run by `make coexist` alone.
#![allow(clippy::print_stdout)]

mod argocd;
mod flux;

use std::time::{Duration, Instant};

use driftline_e2e::{Options, operator};
use kube::Api;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::operator::revert::{get, managers, opt_in};
use crate::operator::support::{PATIENCE, POLICY, Team, World};

/// How long those that nobody touches are watched.
const MINUTES: Duration = Duration::from_secs(150);

/// A version of what is deployed; the third declares neither the variable nor `mode` any more.
fn version(number: u32, namespace: &str) -> String {
    let (env, mode) = match number {
        3 => (String::new(), String::new()),
        _ => (
            format!("\n        env: [{{name: LEVEL, value: info-{number}}}]"),
            format!(", mode: m{number}"),
        ),
    };
    let replicas = number + 1;
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, labels: {{team: shop}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      serviceAccountName: web
      containers:
      - name: web
        image: 'shop/web:{number}'
        ports: [{{containerPort: 8080}}]
        resources: {{requests: {{cpu: 1000m, memory: 1024Mi}}}}{env}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{level: l{number}{mode}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: web}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: web}}
rules: [{{apiGroups: [''], resources: [configmaps], verbs: [get]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: web}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}}
subjects: [{{kind: ServiceAccount, name: web, namespace: {namespace}}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web}}
spec: {{minAvailable: 1, selector: {{matchLabels: {{app: web}}}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: web}}
spec: {{podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Ingress], ingress: [{{ports: [{{port: 8080}}]}}]}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly}}
spec:
  schedule: '0 3 1 1 *'
  jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: job, image: 'shop/job:1'}}]}}}}}}}}
"
    )
}

/// A control plane of its own; the operator may read what deployers say, as the chart is told.
async fn world(kinds: &[(&str, &str)]) -> World {
    let world = World::own(Options::default(), &[]).await;
    let setting = |(n, (group, plural)): (usize, &(&str, &str))| {
        let at = format!("read.customResources[{n}]");
        format!("{at}.apiGroups[0]={group},{at}.resources[0]={plural}")
    };
    let settings: Vec<String> = kinds.iter().enumerate().map(setting).collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let kubeconfig = world.plane().kubeconfig_path();
    operator::install(&world.tools, kubeconfig, &settings)
        .await
        .unwrap();
    world
}

async fn team<'a>(world: &'a World, prefix: &str) -> Team<'a> {
    let team = Team::new(world, prefix).await;
    opt_in(&team).await;
    team
}

async fn commit(team: &Team<'_>, number: u32) -> String {
    let files = version(number, &team.namespace);
    team.commit(&[("deploy/all.yaml", &files)]).await
}

/// A policy at `Revert` over what is deployed, and all of it in sync.
async fn policy(team: &Team<'_>) {
    team.policy(|p| p["spec"]["enforcement"] = json!("Revert"))
        .await;
    team.in_sync().await;
}

async fn edit(team: &Team<'_>, kind: &str, name: &str, edit: Value) {
    let edit = edit.to_string();
    team.kubectl(["patch", kind, name, "-p", &edit]).await;
}

async fn set_debug(team: &Team<'_>) {
    let debug = json!({"data": {"level": "debug"}});
    edit(team, "configmap", "settings", debug).await;
}

async fn edit_both(team: &Team<'_>) {
    let web = json!({"spec": {"replicas": 5, "template": {"spec": {"containers": [{"name": "web", "image": "shop/web:hotfix", "env": [{"name": "LEVEL", "value": "debug"}]}]}}}});
    edit(team, "deployment", "web", web).await;
    let settings = json!({"data": {"level": "debug", "mode": "hand"}});
    edit(team, "configmap", "settings", settings).await;
}

/// What was edited goes back, and nothing of Driftline stays on it.
async fn goes_back(team: &Team<'_>, objects: &[(&str, &str)]) {
    for (kind, name) in objects {
        let record = team.closed(kind, name).await;
        let outcome = &record["status"]["enforcement"]["outcome"];
        assert_eq!(*outcome, "Reverted", "{record}");
    }
    team.in_sync().await;
    not_touched(team).await;
}

const BOTH: [(&str, &str); 2] = [("Deployment", "web"), ("ConfigMap", "settings")];

/// Nothing of Driftline is on the objects.
async fn not_touched(team: &Team<'_>) {
    for (kind, name) in BOTH {
        let live = get(team, kind, name).await;
        assert!(!managers(&live).contains(&"driftline"), "{live}");
    }
}

/// The objects are as a version declares them.
async fn is_live(team: &Team<'_>, number: u32) {
    let web = get(team, "deployment", "web").await;
    assert_eq!(web["spec"]["replicas"], number + 1);
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], format!("shop/web:{number}"));
    assert_eq!(container["env"].is_null(), number == 3, "{container}");
    let settings = get(team, "configmap", "settings").await;
    assert_eq!(settings["data"]["level"], format!("l{number}"));
    assert_eq!(
        settings["data"]["mode"].is_null(),
        number == 3,
        "{settings}"
    );
}

/// What a deployer heals is reported and not written to.
async fn is_observed(team: &Team<'_>, reason: &str) {
    let observed = |r: &&Value| {
        let enforcement = &r["status"]["enforcement"];
        r["spec"]["subject"]["kubernetes"]["name"] == "settings"
            && enforcement["outcome"] == "Observed"
    };
    let record = team
        .until("observed", "DriftRecord", |all| {
            all.values().find(observed).cloned()
        })
        .await;
    let said = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(said.starts_with(reason), "{said}");
}

/// The settings are as declared again, by somebody else than Driftline.
async fn is_healed(team: &Team<'_>, level: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let query = ["get", "configmap", "settings", "--ignore-not-found"];
        let now = team.kubectl(query.into_iter().chain(["-o=jsonpath={.data.level}"]));
        if now.await == level {
            break;
        }
        assert!(Instant::now() < deadline, "it is not healed");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let record = team.closed("ConfigMap", "settings").await;
    let outcome = &record["status"]["enforcement"]["outcome"];
    assert_eq!(*outcome, "Observed", "{record}");
    not_touched(team).await;
}

/// Nothing was ever told of a team's objects.
async fn was_never_told(team: &Team<'_>) {
    let status = team.in_sync().await;
    let records = team.records().await;
    assert!(records.is_empty(), "{records:#?}");
    assert_eq!(status["summary"]["declared"], 9, "{status}");
    assert_eq!(status["summary"]["inSync"], 9, "{status}");
}

/// Driftline's Events about a policy.
async fn events(team: &Team<'_>) -> String {
    let query = ["get", "events.events.k8s.io", "-o"];
    let format =
        format!("jsonpath={{range .items[?(@.regarding.name==\"{POLICY}\")]}}{{.reason}} {{end}}");
    team.kubectl(query.into_iter().chain([&*format])).await
}

fn api(
    team: &Team<'_>,
    namespace: &str,
    (group, version, kind, plural): (&str, &str, &str, &str),
) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(team.client.clone(), namespace, &resource)
}
