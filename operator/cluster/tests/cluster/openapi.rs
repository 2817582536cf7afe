//! What the real server's schemas say about the fields that people declare.

use cluster::openapi::Schemas;
use drift::schema::{ListTopology, Node};
use drift::{GroupVersionKind, Schema};
use serde_json::json;

use crate::support::*;

fn node<'a>(schema: &'a Schema, path: &str) -> &'a Node {
    let mut node = schema.node(schema.root());
    for step in path.split('.') {
        let next = match node {
            Node::Struct(fields) => fields.field(step),
            Node::List { items, .. } if step == "[]" => Some(*items),
            Node::Map { values, .. } if step == "{}" => Some(*values),
            _ => None,
        };
        node = schema.node(next.unwrap_or_else(|| panic!("no {step} in {path}: {node:?}")));
    }
    node
}

/// How elements of a list are matched, in a word: `atomic`, `set`, or its keys with their defaults.
fn matched_by(schema: &Schema, path: &str) -> String {
    match node(schema, path) {
        Node::List {
            topology: ListTopology::Atomic,
            ..
        } => "atomic".into(),
        Node::List {
            topology: ListTopology::Set,
            ..
        } => "set".into(),
        Node::List {
            topology: ListTopology::Map { keys },
            ..
        } => {
            let key = |(name, default): &(std::sync::Arc<str>, Option<serde_json::Value>)| {
                match default {
                    Some(default) if *default != json!("") && *default != json!(0) => {
                        format!("{name}={default}")
                    }
                    _ => name.to_string(),
                }
            };
            keys.iter().map(key).collect::<Vec<_>>().join(" ")
        }
        other => panic!("{path} is no list: {other:?}"),
    }
}

const DEPLOYMENT: &[(&str, &str)] = &[
    ("metadata.finalizers", "set"),
    ("metadata.ownerReferences", "uid"),
    ("spec.template.spec.containers", "name"),
    ("spec.template.spec.initContainers", "name"),
    ("spec.template.spec.containers.[].env", "name"),
    ("spec.template.spec.containers.[].envFrom", "atomic"),
    ("spec.template.spec.containers.[].args", "atomic"),
    ("spec.template.spec.containers.[].command", "atomic"),
    (
        "spec.template.spec.containers.[].ports",
        "containerPort protocol=\"TCP\"",
    ),
    ("spec.template.spec.containers.[].volumeMounts", "mountPath"),
    ("spec.template.spec.volumes", "name"),
    ("spec.template.spec.tolerations", "atomic"),
    ("spec.template.spec.imagePullSecrets", "name"),
    ("spec.template.spec.hostAliases", "ip"),
    (
        "spec.template.spec.topologySpreadConstraints",
        "topologyKey whenUnsatisfiable",
    ),
    ("status.conditions", "type"),
];

#[tokio::test]
async fn built_in_kinds_have_the_rules_of_server_side_apply() {
    let (_, client) = shared().await;
    let schemas = Schemas::new(client);
    let kind = |group: &str, version: &str, kind: &str| GroupVersionKind::new(group, version, kind);
    let kinds = [
        kind("apps", "v1", "Deployment"),
        kind("", "v1", "Service"),
        kind("", "v1", "Secret"),
        kind("", "v1", "ServiceAccount"),
        kind("rbac.authorization.k8s.io", "v1", "ClusterRole"),
        kind("rbac.authorization.k8s.io", "v1", "RoleBinding"),
        kind("networking.k8s.io", "v1", "Ingress"),
        kind("autoscaling", "v2", "HorizontalPodAutoscaler"),
        kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    ];
    let loaded = schemas.load(kinds.clone()).await.unwrap();
    assert_eq!(loaded.len(), kinds.len());
    let deployment = &loaded[&kinds[0]];
    for (path, expected) in DEPLOYMENT {
        assert_eq!(matched_by(deployment, path), *expected, "{path}");
    }
    let container = "spec.template.spec.containers.[]";
    assert_eq!(
        node(deployment, &format!("{container}.resources.limits.{{}}")),
        &Node::Quantity
    );
    assert_eq!(
        node(
            deployment,
            &format!("{container}.livenessProbe.httpGet.port")
        ),
        &Node::IntOrString
    );
    assert_eq!(
        node(deployment, "spec.strategy.rollingUpdate.maxSurge"),
        &Node::IntOrString
    );
    assert_eq!(node(deployment, "metadata.creationTimestamp"), &Node::Time);
    assert_eq!(node(deployment, "metadata.labels.{}"), &Node::Scalar);
    assert!(matches!(node(deployment, "spec.selector"), Node::Struct(s) if s.atomic));
    assert!(matches!(
        node(deployment, "spec.template.spec.nodeSelector"),
        Node::Map { atomic: true, .. }
    ));

    let service = &loaded[&kinds[1]];
    assert_eq!(matched_by(service, "spec.ports"), "port protocol=\"TCP\"");
    assert_eq!(
        node(service, "spec.ports.[].targetPort"),
        &Node::IntOrString
    );
    assert!(matches!(
        node(service, "spec.selector"),
        Node::Map { atomic: true, .. }
    ));
    assert_eq!(node(&loaded[&kinds[2]], "data.{}"), &Node::Bytes);
    assert_eq!(node(&loaded[&kinds[2]], "stringData.{}"), &Node::Scalar);
    assert_eq!(matched_by(&loaded[&kinds[3]], "imagePullSecrets"), "atomic");
    assert_eq!(matched_by(&loaded[&kinds[3]], "secrets"), "name");
    assert_eq!(matched_by(&loaded[&kinds[4]], "rules"), "atomic");
    assert_eq!(matched_by(&loaded[&kinds[5]], "subjects"), "atomic");
    assert_eq!(matched_by(&loaded[&kinds[6]], "spec.rules"), "atomic");
    assert_eq!(matched_by(&loaded[&kinds[7]], "spec.metrics"), "atomic");
    let props = "spec.versions.[].schema.openAPIV3Schema";
    assert_eq!(
        node(&loaded[&kinds[8]], props),
        node(&loaded[&kinds[8]], &format!("{props}.properties.{{}}"))
    );
}

#[tokio::test]
async fn schemas_are_kept_until_their_document_changes() {
    let (_, client) = shared().await;
    let group = format!("{}.example.com", unique("schema"));
    let kind = GroupVersionKind::new(&group, "v1", "Widget");
    let schemas = Schemas::new(client.clone());
    assert!(schemas.load([kind.clone()]).await.unwrap().is_empty());
    let path = crate::discovery::create_crd(&client, &group).await;
    eventually("the schema is published", || async {
        schemas
            .load([kind.clone()])
            .await
            .unwrap()
            .contains_key(&kind)
    })
    .await;
    let known = schemas
        .load([kind.clone()])
        .await
        .unwrap()
        .remove(&kind)
        .unwrap();
    assert!(matches!(node(&known, "spec"), Node::Any));
    assert!(!schemas.refresh().await.unwrap().contains(&kind));

    let spec = json!({"type": "object", "properties": {
        "size": {"x-kubernetes-int-or-string": true},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {"type": "object", "required": ["port"], "properties": {
                "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}}}},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
    }});
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let versions = json!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]);
    must(
        &client,
        http::Method::PATCH,
        &path,
        json!({"spec": {"versions": versions}}),
    )
    .await;
    eventually("the change is noticed", || async {
        schemas.refresh().await.unwrap().contains(&kind)
    })
    .await;
    let new = schemas
        .load([kind.clone()])
        .await
        .unwrap()
        .remove(&kind)
        .unwrap();
    assert_eq!(node(&new, "spec.size"), &Node::IntOrString);
    assert_eq!(matched_by(&new, "spec.tags"), "set");
    assert_eq!(matched_by(&new, "spec.ports"), "port protocol=\"TCP\"");
    assert!(matches!(
        node(&new, "metadata.finalizers"),
        Node::List {
            topology: ListTopology::Set,
            ..
        }
    ));
}

#[tokio::test]
async fn a_kind_added_to_a_known_group_is_found() {
    let (_, client) = shared().await;
    let group = format!("{}.example.com", unique("grows"));
    let first = GroupVersionKind::new(&group, "v1", "Widget");
    let second = GroupVersionKind::new(&group, "v1", "Gadget");
    let schemas = Schemas::new(client.clone());
    let both = || schemas.load([first.clone(), second.clone()]);
    crate::discovery::create_crd(&client, &group).await;
    eventually("the first", || async {
        both().await.unwrap().contains_key(&first)
    })
    .await;
    assert!(!both().await.unwrap().contains_key(&second));
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let crd = json!({
        "metadata": {"name": format!("gadgets.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"kind": "Gadget", "plural": "gadgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    post(
        &client,
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        crd,
    )
    .await;
    eventually("the second", || async {
        both().await.unwrap().contains_key(&second)
    })
    .await;
    assert!(
        schemas.refresh().await.unwrap().contains(&first),
        "its document is another one now"
    );
}
