//! Which kinds, in which scopes.

use serde_json::json;

use super::support::{Team, World, changed, condition, fields};

/// A custom resource definition of its own for a test, with the right to read it for the operator.
fn definition(plural: &str, kind: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.e2e.example.com}}
spec:
  group: e2e.example.com
  scope: Namespaced
  names: {{plural: {plural}, kind: {kind}}}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {{type: integer, default: 1}}
              engine: {{type: string, default: fast}}
              users: {{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [name], items: {{type: object, required: [name], properties: {{name: {{type: string}}, role: {{type: string, default: reader}}}}}}}}
"
    )
}

fn reading(plural: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: e2e-read-{plural}}}
rules: [{{apiGroups: [e2e.example.com], resources: [{plural}], verbs: [get, list, watch]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: e2e-read-{plural}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-read-{plural}}}
subjects: [{{kind: ServiceAccount, name: driftline, namespace: driftline-system}}]
"
    )
}

#[tokio::test]
async fn a_kind_that_appears_later_is_unknown_by_name_and_then_picked_up() {
    let team = Team::new(World::shared().await, "later").await;
    team.apply(&reading("caches")).await;
    let cache = "apiVersion: e2e.example.com/v1\nkind: Cache\nmetadata: {name: sessions}\nspec: {size: 3, users: [{name: b}, {name: a, role: writer}]}\n";
    team.commit(&[
        ("deploy/cache.yaml", cache),
        (
            "deploy/one.yaml",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}",
        ),
    ])
    .await;
    team.kubectl(["create", "configmap", "one", "--from-literal=k=v"])
        .await;
    team.policy(|_| {}).await;
    let status = team
        .status("the kind is missing", |s| {
            s["summary"]["unknown"] == 1 && s["summary"]["inSync"] == 1
        })
        .await;
    let (drifted, ..) = condition(&status, "Drifted");
    assert_eq!(drifted, "Unknown");
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("e2e.example.com/Cache") && message.contains("CRD"),
        "{message}"
    );

    team.apply(&definition("caches", "Cache")).await;
    team.kubectl([
        "wait",
        "--for=condition=Established",
        "crd/caches.e2e.example.com",
    ])
    .await;
    let applied = std::time::Instant::now();
    team.record("Cache", "sessions", |r| r["status"]["change"] == "Missing")
        .await;
    println!(
        "a new kind was compared {:?} after its CRD was established",
        applied.elapsed()
    );
    team.apply(cache).await;
    team.closed("Cache", "sessions").await;
    // Defaults of the schema and the order of a map list are no drift.
    assert_eq!(team.in_sync().await["summary"]["inSync"], 2);
    team.kubectl([
        "patch",
        "cache",
        "sessions",
        "--type=merge",
        "-p",
        r#"{"spec":{"size":5}}"#,
    ])
    .await;
    let record = team.record("Cache", "sessions", |_| true).await;
    assert_eq!(fields(&record), [changed("spec.size", 3, 5)]);

    // Its CRD goes: nothing is known any more, and nothing is called missing.
    team.kubectl(["delete", "crd", "caches.e2e.example.com"])
        .await;
    let status = team
        .status("the kind is gone", |s| {
            s["summary"]["unknown"] == 1 && s["summary"]["drifted"] == 0
        })
        .await;
    assert_eq!(condition(&status, "Drifted").0, "Unknown");
    team.until("nothing called missing", "DriftRecord", |all| {
        all.values()
            .all(|r| r["status"]["state"] == "Closed" || r["status"]["change"] != "Missing")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_definition_and_its_resource_in_one_repository() {
    let world = World::shared().await;
    let team = Team::new(world, "both").await;
    team.apply(&reading("queues")).await;
    let queue =
        "apiVersion: e2e.example.com/v1\nkind: Queue\nmetadata: {name: jobs}\nspec: {size: 3}\n";
    let both = format!("{}---\n{queue}", definition("queues", "Queue"));
    team.commit(&[("deploy/all.yaml", &both)]).await;
    team.policy(|_| {}).await;
    // The definition is cluster-scoped, and this account may not see such.
    let status = team
        .status("looked at", |s| s["summary"]["unknown"] == 2)
        .await;
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("CustomResourceDefinition") || message.contains("Queue"),
        "{message}"
    );
    team.apply(&definition("queues", "Queue")).await;
    team.kubectl([
        "wait",
        "--for=condition=Established",
        "crd/queues.e2e.example.com",
    ])
    .await;
    team.apply(queue).await;
    let status = team
        .status("the resource is compared", |s| s["summary"]["inSync"] == 1)
        .await;
    assert_eq!(status["summary"]["unknown"], 1);
    assert_eq!(status["targets"][0]["reason"], "NotAllowed", "{status}");
    team.kubectl(["delete", "queue", "jobs"]).await;
    team.record("Queue", "jobs", |_| true).await;
    team.kubectl(["delete", "crd", "queues.e2e.example.com"])
        .await;
}

#[tokio::test]
async fn cluster_scoped_objects_and_many_namespaces_in_a_policy_of_the_operators_namespace() {
    let world = World::shared().await;
    let team = Team::at(world, "driftline-system".to_owned(), Default::default()).await;
    let mut namespaces = Vec::new();
    for _ in 0..12 {
        namespaces.push(world.plane().create_namespace("wide").await.unwrap());
    }
    let config = |ns: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: wide, namespace: {ns}}}, data: {{k: v}}}}\n"
        )
    };
    let class = "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: e2e-wide}, value: 7, description: seven}\n";
    let ten: String = namespaces[..10].iter().map(|n| config(n)).collect();
    let all: String = namespaces.iter().map(|n| config(n)).collect();
    world.apply("", &format!("{class}{all}")).await;
    team.commit(&[("deploy/all.yaml", &format!("{class}{ten}"))])
        .await;
    let wide = |p: &mut serde_json::Value| {
        p["metadata"]["name"] = json!("wide");
        p["spec"]
            .as_object_mut()
            .unwrap()
            .remove("serviceAccountName");
    };
    team.policy(wide).await;
    let in_sync = |n: u64| move |s: &serde_json::Value| s["summary"]["inSync"] == n;
    team.status_of("wide", "eleven in sync", in_sync(11)).await;
    let edit = async |ns: &str, value: &str| {
        let patch = format!(r#"{{"data":{{"k":"{value}"}}}}"#);
        world
            .kubectl()
            .args([
                "-n",
                ns,
                "patch",
                "configmap",
                "wide",
                "--type=merge",
                "-p",
                &patch,
            ])
            .run()
            .await
            .unwrap();
    };
    // Two more namespaces, and the watches of the kind become one; what is drifted stays so, and nothing is missed.
    edit(&namespaces[3], "x").await;
    team.record("ConfigMap", "wide", |_| true).await;
    team.commit(&[("deploy/all.yaml", &format!("{class}{all}"))])
        .await;
    let status = team.check_of("wide").await;
    assert_eq!(status["summary"]["declared"], 13);
    team.status_of("wide", "twelve in sync", in_sync(12)).await;
    for ns in [&namespaces[0], &namespaces[11]] {
        edit(ns, "x").await;
    }
    world
        .kubectl()
        .args(["label", "priorityclass", "e2e-wide", "undeclared=yes"])
        .run()
        .await
        .unwrap();
    world
        .kubectl()
        .args(["delete", "priorityclass", "e2e-wide"])
        .run()
        .await
        .unwrap();
    let status = team
        .status_of("wide", "four drifted", |s| s["summary"]["drifted"] == 4)
        .await;
    assert_eq!(status["summary"]["inSync"], 9);
    let record = team.record("PriorityClass", "e2e-wide", |_| true).await;
    assert!(record["spec"]["subject"]["kubernetes"]["namespace"].is_null());
    for ns in [&namespaces[0], &namespaces[3], &namespaces[11]] {
        edit(ns, "v").await;
    }
    world.apply("", class).await;
    team.status_of("wide", "all in sync", in_sync(13)).await;
    team.kubectl(["delete", "driftpolicy", "wide"]).await;
}
