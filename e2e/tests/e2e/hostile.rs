//! What hostile repositories and tenants have tried with success before.

use serde_json::{Value, json};

use crate::operator::support::{POLICY, Team, World};

#[tokio::test]
async fn names_that_led_requests_elsewhere_are_problems_of_their_file() {
    let team = Team::new(World::shared().await, "names").await;
    let object = |name: &str, namespace: &str| {
        format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {{\"name\": {name:?}, \"namespace\": {namespace:?}}}}}"
        )
    };
    let own = team.namespace.clone();
    let away = format!("a/../{own}");
    let all = [
        object("../../secrets/x", &own),
        object("a%2fb", &own),
        object("..", &own),
        object("web", &away),
        object(&"z".repeat(2_000_000), &own),
        object("good", &own),
    ];
    team.kubectl(["create", "configmap", "good"]).await;
    team.commit(&[("deploy/all.yaml", &all.join("\n---\n"))])
        .await;
    team.policy(|_| {}).await;
    let status = team
        .status("compared", |s| s["summary"]["inSync"] == 1)
        .await;
    assert_eq!(status["summary"]["declared"], 1);
    assert_eq!(status["targets"][0]["reason"], "NotAnObject");
    let message = status["targets"][0]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("deploy/all.yaml") && message.contains("(and 4 more)"),
        "{message}"
    );
    assert!(team.records().await.is_empty());
    assert!(!team.world.log().await.contains(&away));
}

#[tokio::test]
async fn a_key_of_400_kilobytes_made_a_record_that_etcd_refused() {
    let team = Team::new(World::shared().await, "keys").await;
    team.kubectl(["create", "configmap", "wide", "--from-literal=a=b"])
        .await;
    let mut data: serde_json::Map<String, Value> = (0..5)
        .map(|n| (format!("{}{n}", "k".repeat(400_000)), "v".into()))
        .collect();
    data.insert("a".to_owned(), "b".into());
    let declared = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wide"}, "data": data});
    team.commit(&[("deploy/wide.json", &declared.to_string())])
        .await;
    team.policy(|_| {}).await;
    let record = team.record("ConfigMap", "wide", |_| true).await;
    assert!(record.to_string().len() < 32 << 10);
    assert_eq!(record["status"]["fields"].as_array().map(Vec::len), Some(5));
}

#[tokio::test]
async fn a_kind_that_appeared_was_told_of_before_the_account_was_reviewed() {
    let world = World::shared().await;
    let team = Team::new(world, "later").await;
    let group = format!("{}.example.com", team.namespace);
    world.apply(&team.namespace, &readable(&group)).await;
    team.kubectl(["create", "serviceaccount", "blind"]).await;
    let thing = |name: &str, namespace: &str| {
        format!(
            "apiVersion: {group}/v1\nkind: Gadget\nmetadata: {{name: {name}{namespace}}}\nspec: {{a: declared}}\n---\n"
        )
    };
    let named = format!(", namespace: {}", team.namespace);
    let declared = thing("one", &named) + &thing("two", "");
    team.commit(&[("deploy/all.yaml", &declared)]).await;
    team.policy(|p| p["spec"]["serviceAccountName"] = "blind".into())
        .await;
    let reason = |s: &Value, reason: &str| s["targets"][0]["reason"] == reason;
    team.status("not served", |s| reason(s, "KindNotServed"))
        .await;
    world.apply(&team.namespace, &definition(&group)).await;
    team.status("not allowed", |s| {
        reason(s, "NotAllowed") && s["summary"]["unknown"] == 2
    })
    .await;
    // Whatever was queued before this check was written before it was answered.
    team.check().await;
    assert!(team.records().await.is_empty());
    let events = team
        .kubectl(["get", "events.events.k8s.io", "-o", "json"])
        .await;
    assert!(!events.contains("DriftOpened"), "{events}");
}

#[tokio::test]
async fn a_closed_record_outlived_the_right_to_see_it() {
    let team = Team::new(World::shared().await, "closed").await;
    let declared = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n";
    team.declare(declared).await;
    team.kubectl([
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        r#"{"data":{"a":"seen"}}"#,
    ])
    .await;
    team.record("ConfigMap", "settings", |_| true).await;
    let other = declared.replace("settings", "other");
    team.commit(&[("deploy/app.yaml", &other)]).await;
    team.check().await;
    team.closed("ConfigMap", "settings").await;
    team.kubectl(["delete", "rolebinding", "drift"]).await;
    team.until("no record", "DriftRecord", |all| {
        all.is_empty().then_some(())
    })
    .await;
    let status = team
        .status_of(POLICY, "not allowed", |s| {
            s["targets"][0]["reason"] == "NotAllowed"
        })
        .await;
    assert!(!status.to_string().contains("settings"), "{status:#}");
}

/// Lets the operator read the group before it is there.
fn readable(group: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {group}}}
rules: [{{apiGroups: [{group}], resources: [gadgets], verbs: [get, list, watch]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {group}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {group}}}
subjects: [{{kind: ServiceAccount, name: driftline, namespace: driftline-system}}]
"
    )
}

fn definition(group: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: gadgets.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: gadgets, singular: gadget, kind: Gadget}}
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]
"
    )
}
