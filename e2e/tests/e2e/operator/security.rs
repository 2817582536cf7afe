//! What a tenant must not learn.

use std::sync::OnceLock;

use driftline_e2e::Options;
use serde_json::{Value, json};

use super::support::{Team, World, condition};

#[tokio::test]
async fn objects_that_the_account_may_not_list_are_unknown_and_leave_no_record() {
    let world = World::shared().await;
    let other = Team::new(world, "other").await;
    other
        .kubectl([
            "create",
            "configmap",
            "theirs",
            "--from-literal=k=canary-theirs-51",
        ])
        .await;
    let team = Team::new(world, "tenant").await;
    let foreign = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: theirs, namespace: {}}}, data: {{k: guess}}}}
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: cluster-admin}}, rules: []}}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: absent, namespace: {}}}}}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: own}}, data: {{k: v}}}}
",
        other.namespace, other.namespace
    );
    team.kubectl(["create", "configmap", "own", "--from-literal=k=v"])
        .await;
    team.commit(&[("deploy/all.yaml", &foreign)]).await;
    team.policy(|_| {}).await;
    let status = team
        .status("compared", |s| {
            s["summary"]["inSync"] == 1 && s["summary"]["unknown"] == 3
        })
        .await;
    assert_eq!(status["targets"][0]["reason"], "NotAllowed");
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("service account ")
            && message.contains("may not list")
            && message.contains("grant"),
        "{message}"
    );
    assert!(team.records().await.is_empty());
    let everything = format!("{}{}", status, world.log().await);
    assert!(!everything.contains("canary-theirs-51"));
    // The other team lets them see: only now something is told.
    other
        .apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: guests}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: drift}}
subjects: [{{kind: ServiceAccount, name: drift, namespace: {}}}]
",
            team.namespace
        ))
        .await;
    team.record("ConfigMap", "theirs", |_| true).await;
    team.record("ConfigMap", "absent", |r| {
        r["status"]["change"] == "Missing"
    })
    .await;
    // And takes it back.
    other.kubectl(["delete", "rolebinding", "guests"]).await;
    team.until("no records", "DriftRecord", |all| {
        all.is_empty().then_some(())
    })
    .await;
    team.status("unknown again", |s| {
        s["summary"]["unknown"] == 3 && s["summary"]["drifted"] == 0
    })
    .await;
}

#[tokio::test]
async fn secrets_are_not_compared_by_default() {
    let team = Team::new(World::shared().await, "secrets").await;
    let yaml = "{apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {password: canary-default-1}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}\n";
    team.apply(yaml).await;
    team.commit(&[("deploy/all.yaml", yaml)]).await;
    team.policy(|_| {}).await;
    let status = team
        .status("compared", |s| {
            s["summary"]["inSync"] == 1
                && condition(s, "Ready").0 == "True"
                && s["summary"]["unknown"] == 1
        })
        .await;
    assert_eq!(
        condition(&status, "Ready").0,
        "True",
        "a setting is no failure: {status}"
    );
    assert_eq!(condition(&status, "Drifted").0, "Unknown");
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("1 Secret") && message.contains("--compare-secrets"),
        "{message}"
    );
    assert!(!format!("{status}{}", team.world.log().await).contains("canary-default-1"));
}

/// Every spelling in which a value could get out.
fn spellings(canary: &str) -> Vec<String> {
    use base64::Engine as _;
    vec![
        canary.to_owned(),
        base64::engine::general_purpose::STANDARD.encode(canary),
    ]
}

#[tokio::test]
async fn compared_secrets_show_no_value_anywhere() {
    static CANARIES: OnceLock<Vec<String>> = OnceLock::new();
    let canaries = CANARIES.get_or_init(|| {
        [
            "canary-declared-a1",
            "canary-live-b2",
            "canary-added-c3",
            "canary-text-d4",
        ]
        .iter()
        .flat_map(|c| spellings(c))
        .collect()
    });
    let world = World::own(
        Options::default(),
        &[
            "--compare-secrets",
            "--log-level=debug,hyper=info,kube=debug",
        ],
    )
    .await;
    let team = Team::new(&world, "canaries").await;
    let yaml = "{apiVersion: v1, kind: Secret, metadata: {name: db, annotations: {note: canary-text-d4}}, stringData: {password: canary-declared-a1, same: canary-declared-a1}}\n";
    // Client-side apply keeps the whole object in an annotation.
    world
        .kubectl()
        .args(["-n", &team.namespace, "apply", "-f", "-"])
        .stdin(yaml)
        .run()
        .await
        .unwrap();
    team.commit(&[("deploy/all.yaml", yaml)]).await;
    team.policy(|_| {}).await;
    team.in_sync().await;
    team.kubectl([
        "patch",
        "secret",
        "db",
        "--type=merge",
        "-p",
        r#"{"stringData":{"password":"canary-live-b2","more":"canary-added-c3"}}"#,
    ])
    .await;
    // What was changed, and what was added.
    let both = |r: &Value| {
        r["status"]["fields"]
            .as_array()
            .is_some_and(|f| f.len() == 2)
    };
    let record = team.record("Secret", "db", both).await;
    for field in record["status"]["fields"].as_array().unwrap() {
        assert_eq!(
            (&field["sensitive"], &field["declared"], &field["live"]),
            (&json!(true), &Value::Null, &Value::Null),
            "{field}"
        );
    }
    // A broken edit of the file: error texts quote nothing either.
    team.commit(&[("deploy/all.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: canary-declared-a1\n")]).await;
    let broken = team.check().await;
    team.commit(&[("deploy/all.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata: {password: canary-declared-a1}\n")]).await;
    let refused = team.check().await;
    team.kubectl(["delete", "secret", "db"]).await;
    team.record("Secret", "db", |r| r["status"]["change"] == "Missing")
        .await;
    let events = team
        .kubectl(["get", "events.events.k8s.io", "-o", "json"])
        .await;
    let policies = team
        .kubectl([
            "get",
            "driftpolicies,driftrecords",
            "-o",
            "json",
            "--show-managed-fields",
        ])
        .await;
    let everything = [
        ("record", record.to_string()),
        ("status after a broken file", broken.to_string()),
        ("status after a bad value", refused.to_string()),
        ("events", events),
        ("policies and records", policies),
        ("log", world.log().await),
        ("metrics", world.metrics().await),
    ];
    for (place, text) in everything {
        for canary in canaries {
            assert!(!text.contains(canary), "{canary} in {place}: {text}");
        }
    }
}
