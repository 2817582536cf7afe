//! What the server makes of a declaration: the memory of one dry-run creation, reduced to where it differs from Git.

use std::collections::HashMap;

use serde_json::Value;

use crate::compare::{FieldDrift, compare};
use crate::residue::equal_at;
use crate::schema::Schema;
use crate::subject::GroupVersionKind;

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

/// Takes out what the server does by itself: it stores something else than declared at the same place, and that is what is live.
pub(crate) fn without_rewrites(
    drifts: &mut Vec<FieldDrift>,
    declared: &Value,
    expected: &Value,
    schema: &Schema,
) {
    if drifts.is_empty() {
        return;
    }
    let rewrites: HashMap<String, Option<Value>> = compare(declared, expected, schema)
        .into_iter()
        .map(|d| (d.path.to_string(), d.live))
        .collect();
    drifts.retain(|d| match (rewrites.get(&d.path.to_string()), &d.live) {
        (Some(Some(stored)), Some(live)) => {
            let steps = &d.path.0;
            !equal_at(stored, live, schema, schema.at(steps), steps)
        }
        (Some(stored), live) => stored != live,
        (None, _) => true,
    });
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

/// A digest of all of a declaration that what the server does on creation may depend on. Declarations of one shape get the same
/// defaults, as long as no admission webhook or policy sees them.
///
/// The name is left out for every kind: no defaulting reads it. For workloads, whose defaulting is known, the values of labels and
/// of their own annotations are left out as well, and of an image all but the kind of its tag, which is what `imagePullPolicy`
/// goes by. Source: <https://kubernetes.io/docs/concepts/containers/images/#imagepullpolicy-defaulting>.
pub fn shape(kind: &GroupVersionKind, declared: &Value) -> u64 {
    let mut object = declared.clone();
    let templates: &[&str] = match (&*kind.group_kind.group, &*kind.group_kind.kind) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => &["/spec/template"],
        ("batch", "CronJob") => &["/spec/jobTemplate", "/spec/jobTemplate/spec/template"],
        _ => &[],
    };
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("name");
        if !templates.is_empty() {
            forget_values(metadata.get_mut("annotations"));
            forget_values(metadata.get_mut("labels"));
        }
    }
    if !templates.is_empty() {
        forget_values(object.pointer_mut("/spec/selector/matchLabels"));
    }
    for template in templates {
        forget_values(object.pointer_mut(&format!("{template}/metadata/labels")));
        for list in ["containers", "initContainers"] {
            let containers = object.pointer_mut(&format!("{template}/spec/{list}"));
            let containers = containers.and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                if let Some(Value::String(image)) = container.get_mut("image") {
                    *image = tag_kind(image).to_owned();
                }
            }
        }
    }
    xxhash_rust::xxh3::xxh3_64(format!("{kind} {object}").as_bytes())
}

fn forget_values(map: Option<&mut Value>) {
    let members = map.and_then(Value::as_object_mut);
    for value in members.into_iter().flat_map(|m| m.values_mut()) {
        if value.is_string() {
            *value = Value::String(String::new());
        }
    }
}

/// What `imagePullPolicy` defaults by.
fn tag_kind(image: &str) -> &'static str {
    if image.contains('@') {
        return "digest";
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        None | Some((_, "latest")) => "latest",
        Some(_) => "tag",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_defaulting_does_not_read_is_left_out_of_a_shape() {
        let kind = GroupVersionKind::new("apps", "v1", "Deployment");
        let web = |name: &str, image: &str, port: i64| {
            json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
                    {"name": "web", "image": image, "ports": [{"containerPort": port}]}]}}}})
        };
        let of = |name, image, port| shape(&kind, &web(name, image, port));
        let first = of("a", "shop/web:1", 80);
        assert_eq!(first, of("b", "other/thing:2", 80));
        assert_ne!(first, of("a", "shop/web", 80), "pulled always");
        assert_ne!(first, of("a", "shop/web:latest", 80), "pulled always");
        assert_ne!(first, of("a", "shop/web@sha256:0", 80));
        assert_eq!(
            of("a", "host:5000/web", 80),
            of("a", "web:latest", 80),
            "a port is no tag"
        );
        assert_ne!(first, of("a", "shop/web:1", 81));
        let service = GroupVersionKind::new("", "v1", "Service");
        assert_ne!(
            shape(&service, &web("a", "x", 1)),
            shape(&service, &web("b", "x", 1))
        );
    }
}
