//! What is reported of edits as engineers and tools make them.

use serde_json::json;

use super::support::{Team, World, changed, condition, fields, missing, raw};

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web, team: checkout}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: shop/web:1.4.2
        env:
        - {name: LOG_LEVEL, value: info}
        - {name: EMPTY, value: ''}
        resources:
          requests: {cpu: '0.5', memory: 1024Mi}
          limits: {cpu: 1000m}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, annotations: {}}
data: {feature: 'on', level: info}
";

#[tokio::test]
async fn edits_by_kubectl_become_a_record_and_putting_back_closes_it() {
    let team = Team::new(World::shared().await, "edits").await;
    team.declare(WEB).await;
    assert!(
        team.records().await.is_empty(),
        "at rest there is no record"
    );

    team.kubectl(["set", "image", "deployment/web", "web=shop/web:hotfix"])
        .await;
    let image = "spec.template.spec.containers[name=web].image";
    let record = team.record("Deployment", "web", |_| true).await;
    assert_eq!(
        fields(&record),
        [changed(image, "shop/web:1.4.2", "shop/web:hotfix")]
    );
    let field = &record["status"]["fields"][0];
    assert_eq!(field["by"]["manager"], "kubectl-set", "{field}");
    assert_eq!(field["by"]["evidence"], "ManagedFields");
    assert_eq!(record["status"]["declaredAt"]["file"], "deploy/app.yaml");
    assert_eq!(record["status"]["declaredAt"]["document"], 1);
    assert_eq!(record["status"]["declaredAt"]["line"], 12);
    assert_eq!(field["line"], 12, "{field}");
    assert_eq!(record["spec"]["target"], "app");

    team.kubectl(["scale", "deployment/web", "--replicas=7"])
        .await;
    let record = team
        .record("Deployment", "web", |r| fields(r).len() == 2)
        .await;
    assert_eq!(fields(&record)[0], changed("spec.replicas", 3, 7));
    let status = team.drifted(1).await;
    let (drifted, reason, message) = condition(&status, "Drifted");
    assert_eq!(
        (drifted.as_str(), reason.as_str(), message.as_str()),
        ("True", "DriftFound", "1 of 2 objects are not as declared")
    );
    assert_eq!(condition(&status, "Ready").0, "True", "drift is no failure");
    assert_eq!(status["worst"][0]["record"], record["metadata"]["name"]);

    team.kubectl(["set", "image", "deployment/web", "web=shop/web:1.4.2"])
        .await;
    team.kubectl(["scale", "deployment/web", "--replicas=3"])
        .await;
    let closed = team.closed("Deployment", "web").await;
    assert!(closed["status"]["closedAt"].is_string(), "{closed}");
    assert_eq!(team.in_sync().await["records"]["open"], 0);
}

#[tokio::test]
async fn an_edit_by_a_client_with_an_odd_name_is_reported_by_that_name() {
    let team = Team::new(World::shared().await, "odd").await;
    team.declare(WEB).await;
    let path = format!(
        "/api/v1/namespaces/{}/configmaps/settings?fieldManager=%F0%9F%A6%80%20\"x\"",
        team.namespace
    );
    let path = path.replace('"', "%22");
    let mut live = raw(
        &team.client,
        "GET",
        path.split('?').next().unwrap(),
        &json!(null),
    )
    .await;
    live["data"]["level"] = json!("debug");
    live["data"].as_object_mut().unwrap().remove("feature");
    raw(&team.client, "PUT", &path, &live).await;
    let record = team.record("ConfigMap", "settings", |_| true).await;
    assert_eq!(
        fields(&record),
        [
            missing("data.feature", "on"),
            changed("data.level", "info", "debug")
        ]
    );
    let by: Vec<&str> = record["status"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|f| f["by"]["manager"].as_str())
        .collect();
    assert!(by.contains(&"🦀 \"x\""), "{by:?}");
    let removed = &record["status"]["fields"].as_array().unwrap();
    let removed = removed.iter().find(|f| f["change"] == "Missing").unwrap();
    assert_eq!(removed["by"]["evidence"], "None", "{removed}");
    let message = removed["by"]["message"].as_str().unwrap_or_default();
    let start = "removed; the last write was by 🦀 \"x\", at 2";
    assert!(message.starts_with(start), "{message}");
}

#[tokio::test]
async fn what_is_deleted_is_missing_and_created_again_it_is_in_sync() {
    let team = Team::new(World::shared().await, "deleted").await;
    team.declare(WEB).await;
    team.kubectl(["delete", "configmap", "settings"]).await;
    let record = team.record("ConfigMap", "settings", |_| true).await;
    assert_eq!(record["status"]["change"], "Missing");
    assert_eq!(record["status"]["display"]["fields"], "missing");
    let by = &record["status"]["by"];
    assert_eq!(by["evidence"], "None", "{by}");
    let message = by["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("removed; the last write was by kubectl, at 2"),
        "{message}"
    );
    assert_eq!(record["status"]["display"]["by"], "last write by kubectl");
    team.apply(WEB).await;
    team.closed("ConfigMap", "settings").await;

    // The same drift within a day opens the same record again.
    let name = record["metadata"]["name"].clone();
    team.kubectl(["delete", "configmap", "settings"]).await;
    let again = team.record("ConfigMap", "settings", |_| true).await;
    assert_eq!(again["metadata"]["name"], name);
    assert!(again["status"]["closedAt"].is_null(), "{again}");
}

#[tokio::test]
async fn an_object_held_by_a_finalizer_is_terminating() {
    let team = Team::new(World::shared().await, "held").await;
    team.declare(WEB).await;
    team.kubectl([
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":["example.com/hold"]}}"#,
    ])
    .await;
    team.kubectl(["delete", "configmap", "settings", "--wait=false"])
        .await;
    let record = team
        .record("ConfigMap", "settings", |r| {
            r["status"]["change"] == "Terminating"
        })
        .await;
    assert_eq!(record["status"]["display"]["fields"], "terminating");
    team.kubectl([
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ])
    .await;
    team.record("ConfigMap", "settings", |r| {
        r["status"]["change"] == "Missing"
    })
    .await;
}

#[tokio::test]
async fn an_object_that_is_gone_and_removed_from_git_is_compared_no_more() {
    let team = Team::new(World::shared().await, "removed").await;
    team.declare(WEB).await;
    team.kubectl(["delete", "configmap", "settings"]).await;
    team.record("ConfigMap", "settings", |_| true).await;
    let web = WEB.split("---").next().unwrap();
    team.commit(&[("deploy/app.yaml", web)]).await;
    team.check().await;
    team.closed("ConfigMap", "settings").await;
    let status = team.in_sync().await;
    assert_eq!(status["summary"]["declared"], 1);
    let events = team
        .kubectl([
            "get",
            "events",
            "-o",
            "jsonpath={range .items[*]}{.reason}: {.message}{\"\\n\"}{end}",
        ])
        .await;
    assert!(
        !events.contains("settings is as declared again"),
        "a dropped declaration was called in sync: {events}"
    );
}

#[tokio::test]
async fn zero_values_and_spellings_are_no_drift() {
    let team = Team::new(World::shared().await, "zero").await;
    let yaml = "apiVersion: apps/v1
kind: Deployment
metadata: {name: zero, annotations: {}, labels: {}}
spec:
  replicas: 1
  paused: false
  selector: {matchLabels: {app: zero}}
  template:
    metadata: {labels: {app: zero}, annotations: {}, creationTimestamp: null}
    spec:
      nodeSelector: {}
      hostNetwork: false
      initContainers: []
      containers:
      - name: zero
        image: shop/zero:1
        args: []
        env: [{name: EMPTY, value: ''}, {name: ONE, value: '1'}]
        resources: {requests: {cpu: '0.5', memory: 1024Mi}, limits: {cpu: 1000m, memory: 1.5Gi}}
        securityContext: {}
      tolerations: []
---
apiVersion: v1
kind: Service
metadata: {name: zero}
spec:
  selector: {app: zero}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: zero}
data: {}
immutable: false
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: zero}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress: []
";
    // Deployed without an owner of each field, as a client-side tool does it.
    let create = team
        .world
        .kubectl()
        .args(["-n", &team.namespace, "create", "-f", "-"])
        .stdin(yaml);
    create.run().await.unwrap();
    team.commit(&[("deploy/app.yaml", yaml)]).await;
    team.policy(|_| {}).await;
    let status = team.in_sync().await;
    assert_eq!(status["summary"]["inSync"], 4, "{status}");
    assert!(team.records().await.is_empty());
}
