//! What the index takes for granted of declarations of one shape, asked of the real server: it fills them up alike.

use cluster::openapi::Schemas;
use drift::expected::question;
use drift::residue::{Extra, extras};
use drift::shape::shape;
use drift::{GroupVersionKind, Residue, Schema};
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use crate::support::*;

/// A Pod template that says something at every place that shapes leave out; other values for another `word`.
fn template(word: &str) -> Value {
    let container = |name: &str| {
        json!({
            "name": name,
            "image": format!("registry.example.com/{word}/{name}:{word}"),
            "command": [word, "run"],
            "args": ["serve", format!("--name={word}")],
            "env": [
                {"name": "PLAIN", "value": word},
                {"name": "EMPTY", "value": ""},
                {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": word, "key": word}}},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": word, "key": word}}},
            ],
            "envFrom": [{"configMapRef": {"name": word}}, {"secretRef": {"name": word}}],
            "ports": [{"containerPort": 80}],
            "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}],
            "readinessProbe": {"httpGet": {"port": 80}},
        })
    };
    json!({
        "metadata": {"labels": {"app": word, "note": word}},
        "spec": {
            "containers": [container("web")],
            "initContainers": [container("init")],
            "volumes": [
                {"name": "config", "configMap": {"name": word}},
                {"name": "keys", "secret": {"secretName": word}},
                {"name": "data", "persistentVolumeClaim": {"claimName": word}},
            ],
        },
    })
}

fn without_probe(mut template: Value) -> Value {
    if let Some(init) = template["spec"]["initContainers"][0].as_object_mut() {
        init.remove("readinessProbe");
    }
    template["spec"]["restartPolicy"] = "Never".into();
    template
}

fn workload(kind: &GroupVersionKind, namespace: &str, word: &str) -> Value {
    let mut pods = without_probe(template(word));
    let selector = json!({"matchLabels": {"app": word}});
    let is_job = &*kind.group_kind.group == "batch";
    if !is_job && let Some(spec) = pods["spec"].as_object_mut() {
        spec.remove("restartPolicy");
    }
    let spec = match &*kind.group_kind.kind {
        "CronJob" => json!({"schedule": "0 * * * *", "jobTemplate": {
            "metadata": {"labels": {"app": word}}, "spec": {"template": pods}}}),
        "StatefulSet" => json!({"selector": selector, "serviceName": "web", "template": pods}),
        _ => json!({"selector": selector, "template": pods}),
    };
    json!({
        "apiVersion": kind.api_version(),
        "kind": &*kind.group_kind.kind,
        "metadata": {"name": word, "namespace": namespace, "labels": {"app": word}, "annotations": {"note": word}},
        "spec": spec,
    })
}

async fn added(client: &Client, url: &str, declared: &Value, schema: &Schema) -> Residue {
    let url = format!("{url}?dryRun=All");
    let expected = must(client, Method::POST, &url, question(declared)).await;
    let extras = extras(declared, &expected, schema);
    let told = [
        "uid",
        "creationTimestamp",
        "managedFields",
        "generation",
        "name",
        "generateName",
    ];
    let own = |e: &&Extra<'_>| {
        let path = e.path.to_string();
        !path.starts_with("status")
            && !told
                .iter()
                .any(|t| path.starts_with(&format!("metadata.{t}")))
    };
    Residue::new(extras.iter().filter(own).map(Extra::hash).collect())
}

#[tokio::test]
async fn declarations_of_one_shape_are_filled_up_alike() {
    let (_, client) = shared().await;
    let namespace = namespace(&client, "shapes").await;
    let schemas = Schemas::new(client.clone());
    let kinds = [
        ("apps", "Deployment", "deployments"),
        ("apps", "StatefulSet", "statefulsets"),
        ("apps", "DaemonSet", "daemonsets"),
        ("apps", "ReplicaSet", "replicasets"),
        ("batch", "CronJob", "cronjobs"),
    ];
    for (group, kind, plural) in kinds {
        let kind = GroupVersionKind::new(group, "v1", kind);
        let schema = schemas.load([kind.clone()]).await.unwrap()[&kind].clone();
        let url = format!("/apis/{group}/v1/namespaces/{namespace}/{plural}");
        let first = workload(&kind, &namespace, "a");
        let one = added(&client, &url, &first, &schema).await;
        assert_ne!(one, Residue::default(), "{kind}: nothing is filled in");
        for word in ["b", "true", "0", "latest-1"] {
            let other = workload(&kind, &namespace, word);
            assert_eq!(shape(&kind, &first), shape(&kind, &other), "{kind} {word}");
            let two = added(&client, &url, &other, &schema).await;
            assert_eq!(one, two, "{kind} {word}");
        }
    }
}
