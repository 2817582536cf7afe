//! What the server itself makes of declarations is no drift.

use driftline_e2e::Options;

use super::support::{Team, World};

/// Rewrites a declared value of every ConfigMap of a namespace that is labelled for it, and adds a label.
const REWRITES: &str = r#"apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: e2e-rewrites}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  matchConditions:
  # No look at the name: what is asked for has a generated one, which is not there yet.
  - {name: has-level, expression: "has(object.data) && has(object.data.level)"}
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: '[JSONPatch{op: "replace", path: "/data/level", value: "rewritten"}]'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: e2e-rewrites}
spec:
  policyName: e2e-rewrites
  matchResources: {namespaceSelector: {matchLabels: {e2e-rewrites: "yes"}}}
"#;

const LEVEL: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: level}, data: {level: info, other: v}}\n";
const ZERO: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: zero, annotations: {}}
spec:
  replicas: 1
  selector: {matchLabels: {app: zero}}
  template:
    metadata: {labels: {app: zero}}
    spec:
      hostNetwork: false
      containers: [{name: zero, image: 'shop/zero:1', env: [{name: EMPTY, value: ''}]}]
";

#[tokio::test]
async fn a_value_rewritten_at_admission_is_in_sync_and_an_edit_of_it_is_not() {
    let team = Team::new(World::shared().await, "rewritten").await;
    team.kubectl(["label", "namespace", &team.namespace, "e2e-rewrites=yes"])
        .await;
    team.apply(REWRITES).await;
    // The policy takes effect a moment after it was made.
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    loop {
        let create = team.world.kubectl().args([
            "-n",
            &team.namespace,
            "create",
            "--dry-run=server",
            "-o",
            "jsonpath={.data.level}",
            "-f",
            "-",
        ]);
        if create.stdin(LEVEL).run().await.unwrap() == "rewritten" {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the admission policy has no effect"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let create = team
        .world
        .kubectl()
        .args(["-n", &team.namespace, "create", "-f", "-"]);
    create.stdin(LEVEL).run().await.unwrap();
    team.commit(&[("deploy/level.yaml", LEVEL)]).await;
    team.policy(|_| {}).await;
    team.in_sync().await;
    assert!(team.records().await.is_empty());
    team.kubectl([
        "patch",
        "configmap",
        "level",
        "--type=merge",
        "-p",
        r#"{"data":{"level":"debug"}}"#,
    ])
    .await;
    let record = team.record("ConfigMap", "level", |_| true).await;
    assert_eq!(
        record["status"]["fields"][0]["basis"], "Expected",
        "{record}"
    );
    team.kubectl(["delete", "mutatingadmissionpolicybinding", "e2e-rewrites"])
        .await;
}

/// Next to nothing is declared, and the server adds what it means.
const BARE: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: bare}, spec: {podSelector: {}}}";

#[tokio::test]
async fn without_the_guard_nothing_is_asked_and_zero_values_are_no_drift() {
    let world = World::own(Options::default(), &[]).await;
    world
        .kubectl()
        .args(["delete", "validatingadmissionpolicybinding", "--all"])
        .run()
        .await
        .unwrap();
    world.kill_operator().await;
    world.start_operator(&[]).await;
    let team = Team::new(&world, "unguarded").await;
    team.apply(ZERO).await;
    team.apply(LEVEL).await;
    team.apply(BARE).await;
    team.commit(&[
        ("deploy/zero.yaml", ZERO),
        ("deploy/level.yaml", &LEVEL.replace("info", "warn")),
        ("deploy/bare.yaml", BARE),
    ])
    .await;
    team.policy(|_| {}).await;
    let status = team.drifted(1).await;
    assert_eq!(status["summary"]["inSync"], 2, "{status}");
    let record = team.record("ConfigMap", "level", |_| true).await;
    assert_ne!(
        record["status"]["fields"][0]["basis"], "Expected",
        "{record}"
    );
    let operator = world.operator.read().await;
    assert_eq!(
        operator
            .as_ref()
            .unwrap()
            .metric("driftline_dry_runs_total")
            .await,
        Some(0.0)
    );
}
