//! What a mutating webhook puts into objects on their creation.

use driftline_e2e::{Options, Webhook};
use serde_json::{Value, json};

use super::support::{Team, World, fields};

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'shop/web:1'}
";

/// As a service mesh does it.
fn injected() -> Value {
    let container = json!({"name": "mesh", "image": "mesh/proxy:1", "env": [{"name": "MODE", "value": "strict"}]});
    json!([
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": container},
        {"op": "add", "path": "/metadata/labels/mesh", "value": "injected"},
        {"op": "add", "path": "/metadata/annotations", "value": {"mesh.example.com/status": "{\"version\":1}"}},
    ])
}

async fn install(team: &Team<'_>, webhook: &Webhook) {
    let namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": team.namespace}});
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": team.namespace},
        "webhooks": [{
            "name": "mesh.example.com",
            "clientConfig": webhook.client_config(),
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE"]}],
            "namespaceSelector": namespace,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
        }],
    });
    team.world.apply("", &configuration.to_string()).await;
}

/// Creates the object until the webhook was asked: the API server takes a moment to know of it.
async fn deploy(team: &Team<'_>, webhook: &Webhook) {
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    while webhook.asked() == 0 {
        assert!(std::time::Instant::now() < deadline, "never asked");
        team.kubectl(["delete", "deployment", "web", "--ignore-not-found"])
            .await;
        team.apply(WEB).await;
    }
}

#[tokio::test]
async fn what_a_webhook_injects_is_no_drift_and_what_somebody_changes_of_it_is() {
    let world = World::own(Options::default(), &[]).await;
    let team = Team::new(&world, "webhook").await;
    let webhook = Webhook::start(injected()).unwrap();
    install(&team, &webhook).await;
    deploy(&team, &webhook).await;
    let asked = webhook.asked();
    team.commit(&[("deploy/app.yaml", WEB)]).await;
    team.policy(|_| {}).await;
    team.in_sync().await;
    assert!(
        webhook.asked() > asked,
        "it was asked of the expected object"
    );
    assert!(team.records().await.is_empty());

    let json = "--type=json";
    let image = r#"[{"op": "replace", "path": "/spec/template/spec/containers/1/image", "value": "mesh/proxy:dev"}]"#;
    team.kubectl(["patch", "deployment/web", json, "-p", image])
        .await;
    let added = |path: &str, live: &str| (path.into(), "Added".into(), Value::Null, live.into());
    let record = team.record("Deployment", "web", |_| true).await;
    let of_mesh = "spec.template.spec.containers[name=mesh].image";
    assert_eq!(fields(&record), [added(of_mesh, "mesh/proxy:dev")]);

    team.kubectl(["set", "image", "deployment/web", "mesh=mesh/proxy:1"])
        .await;
    team.closed("Deployment", "web").await;
    team.kubectl(["label", "deployment/web", "by=hand"]).await;
    let record = team.record("Deployment", "web", |_| true).await;
    assert_eq!(fields(&record), [added("metadata.labels.by", "hand")]);
    world.assert_nothing_missed().await;
}
