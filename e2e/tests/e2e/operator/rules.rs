//! Rules: what is ignored, how grave the rest is, and what is said of rules that make no sense.

use serde_json::{Value, json};

use super::support::{POLICY, Team, World, changed, condition, fields};

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web-1, labels: {app: web, team: checkout}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'shop/web:1.4.2', env: [{name: LOG_LEVEL, value: info}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {level: info}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, labels: {a: b}}
rules: [{apiGroups: [''], resources: [pods], verbs: [list]}]
";

fn rule(fields: &[&str], reason: &str) -> Value {
    json!({"match": {"fields": fields}, "ignore": {"reason": reason}})
}

async fn with_rules(team: &Team<'_>, rules: Value) {
    team.policy(|p| p["spec"]["rules"] = rules).await;
}

fn severities(record: &Value) -> Vec<(&str, &str)> {
    let all = record["status"]["fields"].as_array().unwrap().iter();
    all.map(|f| {
        (
            f["path"].as_str().unwrap(),
            f["severity"].as_str().unwrap_or_default(),
        )
    })
    .collect()
}

#[tokio::test]
async fn what_a_rule_ignores_is_no_drift_and_the_rest_says_which_rule_applied() {
    let team = Team::new(World::shared().await, "ignored").await;
    team.declare(WEB).await;
    let replicas = rule(&["spec.replicas"], "scaled by hand");
    with_rules(&team, json!([replicas])).await;
    team.in_sync().await;
    team.kubectl(["scale", "deployment/web-1", "--replicas=7"])
        .await;
    team.kubectl([
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        r#"{"data":{"level":"debug"}}"#,
    ])
    .await;
    team.record("ConfigMap", "settings", |_| true).await;
    team.check().await;
    assert_eq!(team.drifted(1).await["summary"]["inSync"], 2);
    assert_eq!(team.open_records().await.len(), 1);

    team.kubectl(["set", "image", "deployment/web-1", "web=shop/web:hotfix"])
        .await;
    let record = team.record("Deployment", "web-1", |_| true).await;
    let image = "spec.template.spec.containers[name=web].image";
    assert_eq!(
        fields(&record),
        [changed(image, "shop/web:1.4.2", "shop/web:hotfix")]
    );
    assert_eq!(
        record["status"]["rule"],
        "rules[0] ignores 1 field: scaled by hand"
    );
}

#[tokio::test]
async fn a_changed_rule_holds_at_once() {
    let team = Team::new(World::shared().await, "rejudged").await;
    team.declare(WEB).await;
    team.kubectl(["scale", "deployment/web-1", "--replicas=7"])
        .await;
    team.kubectl(["delete", "configmap", "settings"]).await;
    team.drifted(2).await;

    with_rules(&team, json!([rule(&["spec.replicas"], "by hand")])).await;
    let record = team.closed("Deployment", "web-1").await;
    assert!(record["status"]["closedAt"].is_string());
    team.drifted(1).await;

    // Back again, though nothing was written to the object since.
    with_rules(
        &team,
        json!([{"match": {"kinds": ["ConfigMap"]}, "ignore": {"reason": "x"}}]),
    )
    .await;
    team.record("Deployment", "web-1", |_| true).await;
    team.closed("ConfigMap", "settings").await;

    let graver = json!([{"match": {"names": ["*"]}, "severity": "Critical"}]);
    with_rules(&team, graver).await;
    let critical = |r: &Value| r["status"]["severity"] == "Critical";
    let record = team.record("Deployment", "web-1", critical).await;
    assert_eq!(record["status"]["rule"], "rules[0]: Critical");
    team.record("ConfigMap", "settings", critical).await;
}

#[tokio::test]
async fn the_first_rule_decides_alone_and_labels_are_those_that_git_declares() {
    let team = Team::new(World::shared().await, "first").await;
    team.declare(WEB).await;
    let rules = json!([
        {"match": {"labels": {"team": "ops"}}, "ignore": {"reason": "a label that somebody set"}},
        {"match": {"kinds": ["*/Deployment"], "labels": {"team": "checkout"}, "fields": ["spec.replicas"]}, "severity": "Low"},
        {"match": {"fields": ["spec"]}, "ignore": {"reason": "never reached for replicas"}},
    ]);
    with_rules(&team, rules).await;
    team.kubectl(["scale", "deployment/web-1", "--replicas=7"])
        .await;
    team.kubectl(["label", "deployment/web-1", "team=ops", "--overwrite"])
        .await;
    team.kubectl(["set", "image", "deployment/web-1", "web=shop/web:hotfix"])
        .await;
    let both =
        |r: &Value| fields(r).len() == 2 && r["status"]["rule"].to_string().contains("rules[2]");
    let record = team.record("Deployment", "web-1", both).await;
    assert_eq!(
        severities(&record),
        [("metadata.labels.team", "Low"), ("spec.replicas", "Low")]
    );
}

#[tokio::test]
async fn the_gravest_come_first_with_a_label_to_find_them_by() {
    let team = Team::new(World::shared().await, "severity").await;
    team.declare(WEB).await;
    team.kubectl([
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        r#"{"data":{"level":"debug"}}"#,
    ])
    .await;
    team.record("ConfigMap", "settings", |r| {
        r["status"]["severity"] == "Medium"
    })
    .await;
    team.kubectl(["label", "role", "reader", "a=c", "--overwrite"])
        .await;
    let low = team.record("Role", "reader", |_| true).await;
    assert_eq!(low["metadata"]["labels"]["driftline.dev/severity"], "Low");
    team.kubectl([
        "patch",
        "role",
        "reader",
        "--type=json",
        "-p",
        r#"[{"op":"replace","path":"/rules/0/verbs","value":["*"]}]"#,
    ])
    .await;
    let grave = team
        .record("Role", "reader", |r| r["status"]["severity"] == "Critical")
        .await;
    assert_eq!(severities(&grave)[1], ("metadata.labels.a", "Low"));
    let name = grave["metadata"]["name"].as_str().unwrap();
    let found = team
        .kubectl([
            "get",
            "driftrecords",
            "-l",
            "driftline.dev/severity=Critical",
            "--no-headers",
        ])
        .await;
    assert!(
        found.starts_with(name) && found.lines().count() == 1,
        "{found}"
    );
    assert!(found.contains("Critical"), "{found}");
    let status = team
        .status("the gravest first", |s| {
            s["worst"][0]["severity"] == "Critical"
        })
        .await;
    assert_eq!(status["worst"][1]["severity"], "Medium", "{status}");
    assert!(status["oldestDriftSince"].as_str() <= status["worst"][0]["since"].as_str());
}

#[tokio::test]
async fn a_rule_that_admission_cannot_see_through_is_named_by_its_place() {
    let team = Team::new(World::shared().await, "invalid").await;
    team.declare(WEB).await;
    let ok = json!({"match": {"names": ["*"]}, "severity": "Low"});
    with_rules(
        &team,
        json!([ok, rule(&["spec.replicas", "metadata.labels[a=]"], "x")]),
    )
    .await;
    let status = team
        .status("stalled", |s| condition(s, "Stalled").0 == "True")
        .await;
    let (_, reason, message) = condition(&status, "Stalled");
    assert_eq!(reason, "InvalidRule");
    assert!(
        message.starts_with("spec.rules[1].match.fields[1]: \"metadata.labels[a=]\" is not a field path at character 18: expected a value; write it like"),
        "{message}"
    );
    with_rules(&team, json!([])).await;
    team.in_sync().await;
}

#[tokio::test]
async fn the_example_does_what_it_says() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/rules.yaml"
    ))
    .unwrap();
    let example: Value = serde_saphyr::from_str(&text).unwrap();
    let team = Team::new(World::shared().await, "example").await;
    team.declare(WEB).await;
    with_rules(&team, example["spec"]["rules"].clone()).await;
    team.kubectl(["scale", "deployment/web-1", "--replicas=7"])
        .await;
    team.kubectl(["set", "env", "deployment/web-1", "LOG_LEVEL=debug"])
        .await;
    let record = team
        .record("Deployment", "web-1", |r| fields(r).len() == 2)
        .await;
    let level = "spec.template.spec.containers[name=web].env[name=LOG_LEVEL].value";
    assert_eq!(
        severities(&record),
        [("spec.replicas", "Critical"), (level, "Low")]
    );
    assert_eq!(
        record["status"]["rule"],
        "rules[0]: Critical; rules[3]: Low"
    );
    let metadata = json!({"name": POLICY, "namespace": team.namespace});
    let mut whole = example.clone();
    whole["metadata"] = metadata;
    team.apply(&whole.to_string()).await;
}
