//! Random custom resource definitions: structural schemas with everything that they may say about comparing, and such that say nothing.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// The group of all of them.
pub const GROUP: &str = "random.example.com";

/// Definition number `n`.
pub fn definition(rng: &mut Rng, n: usize) -> Value {
    let (kind, plural) = (format!("Random{n}"), format!("randoms{n}"));
    let first = root(rng, n);
    let mut versions = vec![version("v1", true, &first)];
    if rng.u8(..3) == 0 {
        let mut other = first;
        // Without conversion the other version prunes what it does not know.
        if let Some(fields) = other.pointer_mut("/properties/spec/properties")
            && let Some(fields) = fields.as_object_mut()
            && fields.len() > 2
            && let Some(gone) = fields.keys().next().cloned()
        {
            fields.remove(&gone);
        }
        versions.push(version("v1beta1", false, &other));
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": if rng.u8(..4) == 0 { "Cluster" } else { "Namespaced" },
            "names": {"kind": kind, "plural": plural},
            "versions": versions,
        },
    })
}

fn version(name: &str, storage: bool, schema: &Value) -> Value {
    json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema}})
}

fn root(rng: &mut Rng, n: usize) -> Value {
    match n % 8 {
        6 => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        7 => json!({"type": "object", "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"known": field(rng, 1)}}}}),
        _ => {
            json!({"type": "object", "properties": {"spec": structure(rng, 0, 8), "data": map(rng, 1)}})
        }
    }
}

const NAMES: [&str; 16] = [
    "alpha", "big", "color", "dosage", "extra", "factor", "grid", "hue", "index", "joint", "knob",
    "level", "mode", "name", "offset", "when",
];

fn structure(rng: &mut Rng, depth: u8, fields: usize) -> Value {
    let mut properties = Map::new();
    for _ in 0..rng.usize(2..=fields) {
        let name = NAMES[rng.usize(..NAMES.len())];
        let schema = match name {
            "big" => json!({"type": "integer", "format": "int64"}),
            _ => field(rng, depth + 1),
        };
        properties.insert(name.to_owned(), schema);
    }
    let mut schema = json!({"type": "object", "properties": properties});
    match rng.u8(..8) {
        0 => schema["x-kubernetes-map-type"] = json!("atomic"),
        1 => schema["x-kubernetes-preserve-unknown-fields"] = json!(true),
        2 => schema["nullable"] = json!(true),
        // The defaults below fill it in.
        3 | 4 if depth > 0 => schema["default"] = json!({}),
        _ => {}
    }
    schema
}

fn field(rng: &mut Rng, depth: u8) -> Value {
    match rng.u8(..if depth > 3 { 14 } else { 25 }) {
        0 => json!({"type": "integer", "default": 7, "minimum": 0}),
        1 => json!({"type": "number"}),
        2 => json!({"type": "boolean", "default": rng.bool()}),
        3 => json!({"x-kubernetes-int-or-string": true}),
        4 => json!({"type": "string", "format": "date-time"}),
        5 => json!({"type": "string", "format": "byte"}),
        6 => json!({"type": "string", "enum": ["low", "mid", "high"], "default": "mid"}),
        // What controller-gen makes of a resource.Quantity.
        7 => {
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"})
        }
        8 => json!({"type": "string", "nullable": true}),
        9 => json!({"type": "string", "format": "duration"}),
        10 => json!({"type": "integer", "format": "int32", "default": 3}),
        11 => json!({"type": "number", "format": "double", "default": 0.5}),
        12 => json!({"type": "string", "nullable": true, "default": "set"}),
        13 => json!({"type": "integer", "nullable": true, "default": 0}),
        14..=16 => structure(rng, depth, 5),
        17 => map(rng, depth),
        18 => atomic(rng, depth),
        19 => set(rng),
        20 | 21 => keyed(rng, depth),
        22 => {
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "nullable": rng.bool()})
        }
        23 => match rng.u8(..3) {
            0 => json!({"type": "object", "additionalProperties": true}),
            // Lists in lists have no keys.
            _ => json!({"type": "array", "items": atomic(rng, depth + 1)}),
        },
        _ => {
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true})
        }
    }
}

fn map(rng: &mut Rng, depth: u8) -> Value {
    let mut schema = json!({"type": "object", "additionalProperties": field(rng, depth + 1)});
    if rng.u8(..4) == 0 {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    schema
}

fn atomic(rng: &mut Rng, depth: u8) -> Value {
    let mut schema = json!({"type": "array", "items": field(rng, depth + 1)});
    if rng.bool() {
        schema["x-kubernetes-list-type"] = json!("atomic");
    }
    schema
}

fn set(rng: &mut Rng) -> Value {
    let items = match rng.u8(..3) {
        0 => json!({"type": "integer"}),
        _ => json!({"type": "string"}),
    };
    json!({"type": "array", "x-kubernetes-list-type": "set", "items": items})
}

fn keyed(rng: &mut Rng, depth: u8) -> Value {
    let mut items = structure(rng, depth + 1, 4);
    for keyword in ["nullable", "default", "x-kubernetes-map-type"] {
        items.as_object_mut().map(|items| items.remove(keyword));
    }
    items["properties"]["key"] = json!({"type": "string"});
    items["required"] = json!(["key"]);
    let mut keys = vec!["key"];
    if rng.bool() {
        items["properties"]["port"] = json!({"type": "integer", "default": 80});
        keys.push("port");
    }
    if rng.u8(..3) == 0 {
        items["properties"]["protocol"] =
            json!({"type": "string", "enum": ["TCP", "UDP"], "default": "TCP"});
        keys.push("protocol");
    }
    json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys, "items": items})
}
