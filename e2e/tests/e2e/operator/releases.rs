//! Helm releases as targets, without any Git.

use serde_json::{Value, json};

use super::support::{Team, World, changed, condition, fields};

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, labels: {app.kubernetes.io/managed-by: {{ .Release.Service }}}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'shop/web:{{ .Values.tag }}'}]}
";
const SETTINGS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {tag: '{{ .Values.tag }}'}
";
const HOOK: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: hook, annotations: {helm.sh/hook: pre-install, helm.sh/hook-delete-policy: hook-succeeded}}
";

/// The account may read Helm's storage, and Driftline may act as it.
pub(crate) const OPT_IN: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: releases}
rules:
- {apiGroups: [''], resources: [secrets, configmaps], verbs: [list, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: releases}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: releases}
subjects: [{kind: ServiceAccount, name: drift}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: acts-as}
rules: [{apiGroups: [''], resources: [serviceaccounts], resourceNames: [drift], verbs: [impersonate]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: acts-as}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: acts-as}
subjects: [{kind: ServiceAccount, name: driftline, namespace: driftline-system}]
";

struct Chart {
    folder: tempfile::TempDir,
    /// Helm's storage driver.
    driver: &'static str,
}

impl Chart {
    fn new(driver: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let templates = folder.path().join("templates");
        std::fs::create_dir(&templates).unwrap();
        let write = |path: std::path::PathBuf, text: &str| std::fs::write(path, text).unwrap();
        write(
            folder.path().join("Chart.yaml"),
            "apiVersion: v2\nname: web\nversion: 1.0.0\n",
        );
        write(folder.path().join("values.yaml"), "replicas: 2\ntag: '1'\n");
        write(templates.join("deployment.yaml"), DEPLOYMENT);
        write(templates.join("settings.yaml"), SETTINGS);
        write(templates.join("hook.yaml"), HOOK);
        Self { folder, driver }
    }

    /// `helm VERB web CHART` with more arguments; true if it succeeded.
    async fn helm(&self, team: &Team<'_>, verb: &str, arguments: &[&str]) -> bool {
        let helm = team.world.tools.helm(team.world.plane().kubeconfig_path());
        let chart = self.folder.path().display().to_string();
        let chart = (verb != "uninstall").then_some(chart);
        let output = helm
            .env("HELM_DRIVER", self.driver)
            .args([verb, "web", "-n", &team.namespace])
            .args(chart)
            .args(arguments)
            .output()
            .await
            .unwrap();
        output.status.success()
    }
}

async fn policy(team: &Team<'_>) {
    team.policy(|p| {
        p["spec"].as_object_mut().unwrap().remove("source");
        p["spec"]["targets"] = json!([{"name": "web", "helmRelease": {"name": "web"}}]);
    })
    .await;
}

/// Waits until all of a revision is in sync.
async fn in_sync(team: &Team<'_>, revision: &str) -> Value {
    team.status(revision, |s| {
        s["targets"][0]["revision"] == revision
            && s["summary"]["inSync"] == 2
            && condition(s, "Drifted").0 == "False"
    })
    .await
}

#[tokio::test]
async fn a_release_is_compared_with_what_helm_deployed() {
    let team = Team::new(World::shared().await, "release").await;
    let chart = Chart::new("secret");
    assert!(chart.helm(&team, "install", &[]).await);
    policy(&team).await;
    let status = team
        .status("refused", |s| {
            s["targets"][0]["reason"] == "ReleaseForbidden"
        })
        .await;
    let (ready, _, message) = condition(&status, "Ready");
    assert_eq!(ready, "False", "{status}");
    for word in ["list,get", "impersonate", "docs/rights.md"] {
        assert!(message.contains(word), "{message}");
    }
    team.apply(OPT_IN).await;
    team.check().await;
    let status = in_sync(&team, "v1").await;
    assert!(status["source"].is_null(), "{status}");
    assert_eq!(condition(&status, "Ready").0, "True");

    team.kubectl(["scale", "deployment/web", "--replicas=5"])
        .await;
    let record = team.record("Deployment", "web", |_| true).await;
    assert_eq!(fields(&record), [changed("spec.replicas", 2, 5)]);
    let file = format!("helm release {}/web", team.namespace);
    let expected = json!({"revision": "v1", "file": file});
    assert_eq!(record["status"]["declaredAt"], expected);
    team.kubectl(["scale", "deployment/web", "--replicas=2"])
        .await;
    team.closed("Deployment", "web").await;
    in_sync(&team, "v1").await;
}

#[tokio::test]
async fn an_upgrade_leaves_no_record_and_a_failed_one_leaves_what_is_deployed() {
    let team = Team::new(World::shared().await, "upgrade").await;
    team.apply(OPT_IN).await;
    let chart = Chart::new("secret");
    assert!(chart.helm(&team, "install", &[]).await);
    policy(&team).await;
    in_sync(&team, "v1").await;
    for (tag, revision) in [("2", "v2"), ("3", "v3")] {
        let tag = format!("tag={tag}");
        assert!(chart.helm(&team, "upgrade", &["--set-string", &tag]).await);
        in_sync(&team, revision).await;
        assert!(team.records().await.is_empty(), "{revision}");
    }

    // No kubelet runs here, so that a Deployment never gets ready.
    let failing = ["--set-string", "tag=4", "--wait", "--timeout=3s"];
    assert!(!chart.helm(&team, "upgrade", &failing).await);
    let record = team.record("ConfigMap", "settings", |_| true).await;
    assert_eq!(fields(&record), [changed("data.tag", "3", "4")]);
    assert_eq!(record["status"]["declaredAt"]["revision"], "v3");
    assert!(
        chart
            .helm(&team, "upgrade", &["--set-string", "tag=3"])
            .await
    );
    in_sync(&team, "v5").await;
    assert!(team.open_records().await.is_empty());
}

#[tokio::test]
async fn what_was_uninstalled_is_not_missing() {
    let team = Team::new(World::shared().await, "uninstall").await;
    team.apply(OPT_IN).await;
    let chart = Chart::new("configmap");
    assert!(chart.helm(&team, "install", &[]).await);
    policy(&team).await;
    in_sync(&team, "v1").await;
    assert!(chart.helm(&team, "uninstall", &[]).await);
    let status = team
        .status("uninstalled", |s| {
            s["targets"][0]["reason"] == "ReleaseNotFound"
        })
        .await;
    let ready = condition(&status, "Ready");
    assert_eq!(ready.0, "False");
    assert!(ready.2.contains("there is no Helm release"), "{}", ready.2);
    assert_eq!(condition(&status, "Drifted").0, "Unknown");
    assert_eq!(status["summary"]["declared"], 0);
    assert!(team.records().await.is_empty());
    // And back again.
    assert!(chart.helm(&team, "install", &[]).await);
    team.check().await;
    in_sync(&team, "v1").await;
    assert!(team.records().await.is_empty());
}

#[tokio::test]
async fn the_example_of_a_release_is_in_sync() {
    let team = Team::new(World::shared().await, "example").await;
    let chart = Chart::new("secret");
    assert!(chart.helm(&team, "install", &[]).await);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = std::fs::read_to_string(root.join("examples/helm-release.yaml")).unwrap();
    let example = example.replace("namespace: shop", &format!("namespace: {}", team.namespace));
    team.apply(&example).await;
    team.status_of("web", "in sync", |s| {
        s["targets"][0]["revision"] == "v1" && condition(s, "Drifted").0 == "False"
    })
    .await;
}
