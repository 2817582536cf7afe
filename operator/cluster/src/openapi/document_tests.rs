use super::*;
use serde_json::json;

/// The node at a path of field names; `[]` is an element of a list, `{}` a value of a map.
fn at<'a>(schema: &'a Schema, path: &[&str]) -> &'a Node {
    let mut node = schema.node(schema.root());
    for step in path {
        let next = match node {
            Node::Struct(fields) => fields.field(step),
            Node::List { items, .. } if *step == "[]" => Some(*items),
            Node::Map { values, .. } if *step == "{}" => Some(*values),
            _ => None,
        };
        node = schema.node(next.unwrap_or_else(|| panic!("no {step} of {path:?}")));
    }
    node
}

fn schema(components: Value, kind: &GroupVersionKind) -> Option<Schema> {
    let body = json!({"openapi": "3.0.0", "components": {"schemas": components}}).to_string();
    schemas(body.as_bytes(), &BTreeSet::from([kind.clone()]))
        .unwrap()
        .remove(kind)
        .unwrap()
}

/// Trimmed from the document `apis/apps/v1` of Kubernetes 1.37.
fn deployment() -> Schema {
    let components = json!({
        "io.k8s.api.apps.v1.Deployment": {
            "type": "object",
            "properties": {
                "metadata": {"allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}], "default": {}},
                "spec": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}], "default": {}, "description": "…"},
            },
            "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}],
        },
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {
            "type": "object",
            "properties": {
                "creationTimestamp": {"allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Time"}]},
                "labels": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
                "finalizers": {"type": "array", "items": {"type": "string", "default": ""}, "x-kubernetes-list-type": "set",
                               "x-kubernetes-patch-strategy": "merge"},
            },
        },
        "io.k8s.apimachinery.pkg.apis.meta.v1.Time": {"type": "string", "format": "date-time"},
        "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
        "io.k8s.api.core.v1.PodSpec": {
            "type": "object",
            "properties": {
                "containers": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}], "default": {}}},
                "oddOne": {"type": "array", "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge",
                    "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
            },
        },
        "io.k8s.api.core.v1.Container": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "default": ""},
                "limits": {"type": "object",
                    "additionalProperties": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}},
                "port": {"allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}]},
                "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
                    "items": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.ContainerPort"}], "default": {}}},
                "ref": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Selector"}]},
            },
        },
        "io.k8s.api.core.v1.Selector": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"name": {"type": "string"}}},
        "io.k8s.api.core.v1.ContainerPort": {
            "type": "object",
            "properties": {"containerPort": {"type": "integer", "default": 0}, "protocol": {"type": "string", "default": "TCP"}},
        },
    });
    schema(
        components,
        &GroupVersionKind::new("apps", "v1", "Deployment"),
    )
    .unwrap()
}

#[test]
fn list_keys_have_the_defaults_of_their_fields() {
    let deployment = deployment();
    let Node::List {
        topology: ListTopology::Map { keys },
        ..
    } = at(&deployment, &["spec", "containers", "[]", "ports"])
    else {
        panic!("not a map list");
    };
    let keys: Vec<_> = keys
        .iter()
        .map(|(name, default)| (&**name, default.clone()))
        .collect();
    assert_eq!(
        keys,
        [
            ("containerPort", Some(json!(0))),
            ("protocol", Some(json!("TCP")))
        ]
    );
}

#[test]
fn only_list_type_makes_a_list_more_than_one_value() {
    let deployment = deployment();
    let topology = |path: &[&str]| match at(&deployment, path) {
        Node::List { topology, .. } => topology.clone(),
        other => panic!("{path:?} is {other:?}"),
    };
    assert_eq!(topology(&["spec", "oddOne"]), ListTopology::Atomic);
    assert_eq!(topology(&["metadata", "finalizers"]), ListTopology::Set);
}

#[test]
fn types_with_a_meaning_of_their_own() {
    let deployment = deployment();
    assert_eq!(
        at(&deployment, &["spec", "containers", "[]", "limits", "{}"]),
        &Node::Quantity
    );
    assert_eq!(
        at(&deployment, &["spec", "containers", "[]", "port"]),
        &Node::IntOrString
    );
    assert_eq!(
        at(&deployment, &["metadata", "creationTimestamp"]),
        &Node::Time
    );
    assert_eq!(
        at(&deployment, &["metadata", "labels", "{}"]),
        &Node::Scalar
    );
    assert!(matches!(
        at(&deployment, &["spec", "containers", "[]", "ref"]),
        Node::Struct(StructNode { atomic: true, .. })
    ));
}

#[test]
fn custom_resources_carry_their_rules_inline() {
    let kind = GroupVersionKind::new("example.com", "v1", "Widget");
    let widget = schema(
        json!({"com.example.v1.Widget": {
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Widget", "version": "v1"}],
            "properties": {"spec": {"type": "object", "properties": {
                "any": {"x-kubernetes-preserve-unknown-fields": true},
                "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
                "size": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true},
                "blob": {"type": "string", "format": "byte"},
                "wait": {"type": "string", "format": "duration"},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "rows": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                         "items": {"type": "object", "properties": {"id": {"type": "string", "default": "x"}}}},
                "choice": {"type": ["string", "null"]},
                "template": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"kind": {"type": "string"}}},
            }}},
        }}),
        &kind,
    )
    .unwrap();
    assert_eq!(at(&widget, &["spec", "any"]), &Node::Any);
    assert!(matches!(
        at(&widget, &["spec", "open"]),
        Node::Struct(StructNode {
            preserve_unknown: true,
            ..
        })
    ));
    assert!(matches!(
        at(&widget, &["spec", "template"]),
        Node::Struct(StructNode {
            preserve_unknown: true,
            ..
        })
    ));
    assert_eq!(at(&widget, &["spec", "size"]), &Node::IntOrString);
    assert_eq!(at(&widget, &["spec", "blob"]), &Node::Bytes);
    assert_eq!(at(&widget, &["spec", "wait"]), &Node::Duration);
    assert_eq!(at(&widget, &["spec", "choice"]), &Node::Any);
    let Node::List {
        topology: ListTopology::Map { keys },
        ..
    } = at(&widget, &["spec", "rows"])
    else {
        panic!("not a map list")
    };
    assert_eq!(keys[0].1, Some(json!("x")));
}

#[test]
fn a_default_is_kept_beside_its_field() {
    let kind = GroupVersionKind::new("example.com", "v1", "Widget");
    let widget = schema(
        json!({"com.example.v1.Widget": {
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Widget", "version": "v1"}],
            "properties": {"spec": {"type": "object", "default": {}, "properties": {
                "retries": {"type": "integer", "default": 3},
                "none": {"type": "string", "default": null},
                "shade": {"type": "string", "nullable": true, "default": "linen"},
            }}},
        }}),
        &kind,
    )
    .unwrap();
    let filled = widget.with_defaults(&json!({"spec": {"other": 1}}));
    let spec = json!({"other": 1, "retries": 3, "shade": "linen"});
    assert_eq!(filled, json!({ "spec": spec }));
    assert_eq!(
        widget.with_defaults(&json!({})),
        json!({"spec": {"retries": 3, "shade": "linen"}})
    );
    // Null is a value where the definition allows it, and else as good as nothing.
    let filled = widget.with_defaults(&json!({"spec": {"retries": null, "shade": null}}));
    assert_eq!(filled, json!({"spec": {"retries": 3, "shade": null}}));
}

#[test]
fn a_type_that_holds_itself_ends() {
    let kind = GroupVersionKind::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let props = "#/components/schemas/io.k8s.Props";
    let crd = schema(
        json!({
            "io.k8s.Crd": {
                "type": "object",
                "x-kubernetes-group-version-kind": [{"group": "apiextensions.k8s.io", "kind": "CustomResourceDefinition", "version": "v1"}],
                "properties": {"schema": {"$ref": props}},
            },
            "io.k8s.Props": {"type": "object", "properties": {
                "not": {"$ref": props},
                "properties": {"type": "object", "additionalProperties": {"allOf": [{"$ref": props}], "default": {}}},
            }},
        }),
        &kind,
    )
    .unwrap();
    assert!(crd.len() < 10);
    assert_eq!(
        at(&crd, &["schema", "not"]),
        at(&crd, &["schema", "not", "not", "properties", "{}"])
    );
}

#[test]
fn a_broken_component_hides_only_itself() {
    let kind = GroupVersionKind::new("", "v1", "Good");
    let good = schema(
        json!({
            "bad": {"properties": 7, "x-kubernetes-group-version-kind": "nonsense"},
            "io.k8s.Good": {
                "type": "object",
                "x-kubernetes-group-version-kind": [{"group": "", "kind": "Good", "version": "v1"}],
                "properties": {"bad": {"$ref": "#/components/schemas/bad"}, "gone": {"$ref": "#/components/schemas/gone"}},
            },
        }),
        &kind,
    )
    .unwrap();
    assert_eq!(at(&good, &["bad"]), &Node::Any);
    assert_eq!(at(&good, &["gone"]), &Node::Any);
    assert!(schema(json!({}), &kind).is_none());
}

#[test]
fn what_a_definition_says_nothing_about_was_thought_to_be_kept() {
    let kind = GroupVersionKind::new("example.com", "v1", "Stub");
    let stub = schema(
        json!({"com.example.v1.Stub": {
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Stub", "version": "v1"}],
            "properties": {
                "spec": {"type": "object"},
                "rows": {"type": "array", "items": {"type": "object"}},
                "kept": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "open": {"type": "object", "additionalProperties": true},
                "template": {"type": "object", "x-kubernetes-embedded-resource": true},
            },
        }}),
        &kind,
    )
    .unwrap();
    let declared = json!({"spec": {"size": 3}, "rows": [{"a": 1}], "kept": {"a": 1}, "open": {"a": {"b": 1}}, "template": {"kind": "A"}});
    let live = json!({"spec": {}, "rows": [{}], "kept": {}, "open": {"a": {}}, "template": {}});
    let differ = |declared: &Value, live: &Value| -> Vec<String> {
        let drifts = drift::compare::compare(declared, live, &stub);
        drifts.iter().map(|d| d.path.to_string()).collect()
    };
    assert_eq!(
        differ(&declared, &live),
        ["kept.a", "open.a.b", "template.kind"]
    );
    let opaque = schema(
        json!({"com.example.v1.Stub": {
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Stub", "version": "v1"}],
        }}),
        &kind,
    )
    .unwrap();
    assert_eq!(opaque.node(opaque.root()), &Node::Any);
}
