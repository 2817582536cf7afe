//! After a revert whoever deploys goes on as if nothing had been: no conflict, no field that stays behind, nobody else's fields touched.

use serde_json::{Value, json};

use super::revert::{get, opt_in};
use super::support::{Team, World};

/// A version of what is deployed; the last declares neither the variable nor `mode` any more.
fn version(number: u32) -> String {
    let (env, mode) = match number {
        3 => (String::new(), String::new()),
        _ => (
            format!(", env: [{{name: LEVEL, value: info-{number}}}]"),
            format!(", mode: m{number}"),
        ),
    };
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, labels: {{team: shop}}}}
spec:
  replicas: {number}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - {{name: web, image: 'shop/web:{number}'{env}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{level: l{number}{mode}}}
"
    )
}

enum Deployer {
    /// `kubectl apply` with these flags.
    Kubectl(&'static [&'static str]),
    /// `helm upgrade --install` with this flag.
    Helm(&'static str),
}

impl Deployer {
    /// Deploys a version, without forcing anything.
    async fn deploy(&self, team: &Team<'_>, version: &str) {
        match self {
            Self::Kubectl(flags) => {
                let base = ["-n", &team.namespace, "apply", "-f", "-"];
                let apply = team.world.kubectl().args(base).args(*flags);
                apply.stdin(version).run().await.unwrap();
            }
            Self::Helm(mode) => {
                let chart = team.repo.work_tree().join("chart");
                std::fs::create_dir_all(chart.join("templates")).unwrap();
                let about = "{apiVersion: v2, name: web, version: 1.0.0}";
                std::fs::write(chart.join("Chart.yaml"), about).unwrap();
                std::fs::write(chart.join("templates/all.yaml"), version).unwrap();
                let chart = chart.display().to_string();
                let helm = team.world.tools.helm(team.world.plane().kubeconfig_path());
                helm.args(["upgrade", "--install", "web", &chart, mode])
                    .args(["-n", &team.namespace])
                    .run()
                    .await
                    .unwrap();
            }
        }
    }
}

/// A manager's entries but for the status: operation and fields.
fn entries(object: &Value, manager: &str) -> Vec<Value> {
    let all = object["metadata"]["managedFields"].as_array().unwrap();
    all.iter()
        .filter(|e| e["manager"] == manager && e["subresource"].is_null())
        .map(|e| json!([e["operation"], e["fieldsV1"]]))
        .collect()
}

async fn edit(team: &Team<'_>) {
    let edit = json!({"spec": {"replicas": 5, "template": {"spec": {"containers": [{"name": "web", "image": "shop/web:hotfix", "env": [{"name": "LEVEL", "value": "debug"}]}]}}}});
    team.kubectl(["patch", "deployment", "web", "-p", &edit.to_string()])
        .await;
    let edit = json!({"data": {"level": "debug", "mode": "hand"}});
    team.kubectl(["patch", "configmap", "settings", "-p", &edit.to_string()])
        .await;
    for (kind, name) in [("Deployment", "web"), ("ConfigMap", "settings")] {
        let record = team.closed(kind, name).await;
        assert_eq!(record["status"]["enforcement"]["outcome"], "Reverted");
    }
}

async fn goes_on(prefix: &str, deployer: Deployer) {
    let team = Team::new(World::shared().await, prefix).await;
    opt_in(&team).await;
    deployer.deploy(&team, &version(1)).await;
    // What somebody else keeps on the same object.
    let note = ["example.com/note=theirs", "--field-manager=notes"];
    let annotate = ["annotate", "deployment", "web"].into_iter().chain(note);
    team.kubectl(annotate).await;
    team.commit(&[("deploy/all.yaml", &version(1))]).await;
    team.policy(|p| {
        p["spec"]["enforcement"] = json!("Revert");
        p["spec"]["targets"][0]["kubernetes"]["undeclared"] = json!({"fields": "Ignore"});
    })
    .await;
    team.in_sync().await;
    let before = get(&team, "deployment", "web").await;
    edit(&team).await;
    let after = get(&team, "deployment", "web").await;
    assert_eq!(entries(&after, "notes"), entries(&before, "notes"));
    for (kind, name) in [("deployment", "web"), ("configmap", "settings")] {
        let object = get(&team, kind, name).await;
        let ours = entries(&object, "driftline");
        assert!(!json!(ours).to_string().contains("f:data"), "{ours:?}");
        assert!(!json!(ours).to_string().contains("f:spec"), "{ours:?}");
    }
    for number in 2..4 {
        // A commit comes before its roll-out, which would be a live edit without it.
        team.commit(&[("deploy/all.yaml", &version(number))]).await;
        team.check().await;
        deployer.deploy(&team, &version(number)).await;
        let web = get(&team, "deployment", "web").await;
        assert_eq!(web["spec"]["replicas"], number);
        let container = &web["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], format!("shop/web:{number}"));
        assert_eq!(container["env"].is_null(), number == 3, "{container}");
        assert_eq!(web["metadata"]["annotations"]["example.com/note"], "theirs");
        let settings = get(&team, "configmap", "settings").await;
        assert_eq!(settings["data"]["level"], format!("l{number}"));
        assert_eq!(settings["data"]["mode"].is_null(), number == 3);
    }
    // And Driftline is content with that.
    team.in_sync().await;
}

#[tokio::test]
async fn kubectl_apply_goes_on() {
    let deployer = Deployer::Kubectl(&[]);
    goes_on("onclient", deployer).await;
}

#[tokio::test]
async fn kubectl_apply_server_side_goes_on() {
    let deployer = Deployer::Kubectl(&["--server-side"]);
    goes_on("onserver", deployer).await;
}

#[tokio::test]
async fn argo_cd_and_flux_go_on() {
    let argo = &["--server-side", "--field-manager=argocd-controller"];
    goes_on("onargo", Deployer::Kubectl(argo)).await;
    let flux = &["--server-side", "--field-manager=kustomize-controller"];
    goes_on("onflux", Deployer::Kubectl(flux)).await;
}

#[tokio::test]
async fn helm_goes_on() {
    goes_on("onhelm", Deployer::Helm("--server-side=true")).await;
    // As Helm 3 does.
    goes_on("onhelm3", Deployer::Helm("--server-side=false")).await;
}
