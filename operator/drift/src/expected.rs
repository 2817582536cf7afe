//! What the server makes of a declaration: the memory of one dry-run creation, reduced to where it differs from Git.

use serde_json::Value;

use crate::compare::{FieldDrift, compare};
use crate::path::FieldPath;
use crate::schema::Schema;

/// What is known about how the server stores a declared object.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation {
    /// Nothing yet: live has never been equal to it, and the server has not been asked.
    Unsettled,
    /// As declared: live was equal to it once, or the server said so.
    AsDeclared,
    /// The server makes something else of it at these paths.
    Rewritten(Box<[Rewrite]>),
    /// The server refused or could not be asked: the schema's rules alone decide.
    Refused,
}

/// A declared path at which the server stores something else than declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewrite {
    /// The path.
    pub path: FieldPath,
    /// What the server stores there; `None` where it stores nothing.
    pub value: Option<Value>,
}

impl Rewrite {
    /// True if a difference between declared and live is what the server does by itself.
    pub fn explains(&self, drift: &FieldDrift) -> bool {
        self.path == drift.path && self.value == drift.live
    }
}

impl Expectation {
    /// Reduces the server's answer to a dry-run creation (`expected`) to where it differs from what is declared.
    pub fn from_answer(declared: &Value, expected: &Value, schema: &Schema) -> Self {
        let rewrites: Box<[Rewrite]> = compare(declared, expected, schema)
            .into_iter()
            .map(|d| Rewrite {
                path: d.path,
                value: d.live,
            })
            .collect();
        if rewrites.is_empty() {
            Self::AsDeclared
        } else {
            Self::Rewritten(rewrites)
        }
    }
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
