//! What the server makes of a declaration: the memory of one dry-run creation, reduced to where it differs from Git.

use std::collections::HashMap;

use serde_json::Value;

use crate::compare::{FieldDrift, compare};
use crate::residue::equal_at;
use crate::schema::Schema;

/// What is known about how the server stores a declared object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expected<'a> {
    /// Nothing yet: live has never been equal to it, and the server has not been asked.
    Unsettled,
    /// What is declared is stored as declared: live was equal to it once.
    AsDeclared,
    /// The server's answer to a dry-run creation.
    Answer(&'a Value),
    /// The server refused or cannot be asked: the schema's rules and ownership alone decide.
    Refused,
}

/// Takes out what the server does by itself: it stores something else than declared at the same place, and that is what is live. Gives all
/// that it does so, where anything differs.
pub(crate) fn without_rewrites(
    drifts: &mut Vec<FieldDrift>,
    declared: &Value,
    expected: &Value,
    schema: &Schema,
) -> Vec<FieldDrift> {
    if drifts.is_empty() {
        return Vec::new();
    }
    let all = compare(declared, expected, schema);
    let rewrites: HashMap<String, &Option<Value>> =
        all.iter().map(|d| (d.path.to_string(), &d.live)).collect();
    drifts.retain(|d| match (rewrites.get(&d.path.to_string()), &d.live) {
        (Some(Some(stored)), Some(live)) => {
            let steps = &d.path.0;
            !equal_at(stored, live, schema, schema.at(steps), steps)
        }
        (Some(stored), live) => *stored != live,
        (None, _) => true,
    });
    all
}

/// The object to ask the server about: the declaration under a generated name, without what only one object can have
/// (allocated addresses and ports, identity) and without what the server refuses on creation.
pub fn question(declared: &Value) -> Value {
    let mut object = declared.clone();
    if let Some(root) = object.as_object_mut() {
        root.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in [
            "name",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
            "selfLink",
        ] {
            metadata.remove(key);
        }
        metadata.insert(
            "generateName".to_owned(),
            Value::String("driftline-expected-".to_owned()),
        );
    }
    if object.get("kind").and_then(Value::as_str) == Some("Service")
        && object.get("apiVersion").and_then(Value::as_str) == Some("v1")
    {
        strip_allocated(&mut object);
    }
    object
}

/// A Service's addresses and node ports are taken by the live object itself: asking for them again would be refused.
fn strip_allocated(service: &mut Value) {
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let headless = spec.get("clusterIP").and_then(Value::as_str) == Some("None");
    if !headless {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    spec.remove("healthCheckNodePort");
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(port) = port.as_object_mut() {
            port.remove("nodePort");
        }
    }
}

/// True for values that the server often leaves out when storing: `""`, `0`, `false`, `{}`, `[]`, `null`.
pub fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.values().all(is_zero),
    }
}
