//! What a change added to a live object beyond its declaration: fields and keys one by one, elements of keyed lists and members of sets
//! as a whole; and, of what was there before without being declared, what has another value now.

use serde_json::{Map, Value};

use super::openapi::{Node, Shape};
use super::path::{Change, Field, Step, canonical, keys_of};
use super::spelling::same_meaning;

/// What a Service is given. That it has no address, or addresses of two families, is somebody's choice.
fn is_allocated(name: &str, value: &Value) -> bool {
    match name {
        "clusterIP" => value != "None",
        "ipFamilyPolicy" => value == "SingleStack",
        _ => ["clusterIPs", "ipFamilies", "healthCheckNodePort"].contains(&name),
    }
}

/// What tools and the server note down for themselves.
const NOTES: [&str; 2] = [
    "deprecated.daemonset.template.generation",
    "kubectl.kubernetes.io/last-applied-configuration",
];

/// What others than the server add to an object's metadata.
pub const ADDED_TO_METADATA: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];

/// How a Job finds its Pods.
const JOB_LABELS: [&str; 4] = [
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
];

/// Additions to an object.
pub fn added(schema: &Node, declared: &Value, before: &Value, after: &Value) -> Vec<Field> {
    let mut walk = Walk::new(kind_of(declared));
    walk.value(Some(schema), declared, before, after);
    walk.found
}

/// True if an element of an atomic list has more than before.
pub fn adds(items: Option<&Node>, declared: &Value, before: &Value, after: &Value) -> bool {
    let mut walk = Walk::new(String::new());
    walk.path.push(Step::Index(0));
    walk.value(items, declared, before, after);
    !walk.found.is_empty()
}

fn kind_of(object: &Value) -> String {
    object["kind"].as_str().unwrap_or_default().to_owned()
}

struct Walk {
    kind: String,
    path: Vec<Step>,
    found: Vec<Field>,
}

impl Walk {
    fn new(kind: String) -> Self {
        Self {
            kind,
            path: Vec::new(),
            found: Vec::new(),
        }
    }

    fn value(&mut self, node: Option<&Node>, declared: &Value, before: &Value, after: &Value) {
        if before == after || after == declared {
            return;
        }
        match (declared, after) {
            (Value::Object(declared), Value::Object(after)) => {
                self.object(node, declared, before, after);
            }
            (Value::Array(declared), Value::Array(after)) => {
                let before = before.as_array().map_or(&[][..], Vec::as_slice);
                self.list(node, declared, before, after);
            }
            _ => {}
        }
    }

    fn object(
        &mut self,
        node: Option<&Node>,
        declared: &Map<String, Value>,
        before: &Value,
        after: &Map<String, Value>,
    ) {
        for (name, value) in after.iter().filter(|(_, v)| !v.is_null()) {
            self.path.push(Step::Field(name.clone()));
            if !self.is_the_servers(value) {
                let field = node.and_then(|n| n.field(name));
                let before = before.get(name).unwrap_or(&Value::Null);
                match declared.get(name).filter(|d| !d.is_null()) {
                    Some(declared) => self.value(field.as_ref(), declared, before, value),
                    None => self.undeclared(field.as_ref(), before, value),
                }
            }
            self.path.pop();
        }
    }

    /// Nothing of it is declared.
    fn undeclared(&mut self, node: Option<&Node>, before: &Value, after: &Value) {
        if before == after || same_meaning(node, before, after) {
            return;
        }
        let shape = node.map_or(Shape::Any, Node::shape);
        let whole = node.is_some_and(|n| n.text("x-kubernetes-map-type") == "atomic");
        match (after, &shape) {
            (Value::Object(members), Shape::Struct) if !members.is_empty() && !whole => {
                self.object(node, &Map::new(), before, members);
            }
            (Value::Object(members), Shape::Map | Shape::Any) if !members.is_empty() => {
                self.object(node, &Map::new(), before, members);
            }
            (Value::Object(members), _) if before.is_object() => {
                self.object(node, &Map::new(), before, members);
            }
            (Value::Array(list), Shape::Set | Shape::Keyed(_)) if !list.is_empty() => {
                let before = before.as_array().map_or(&[][..], Vec::as_slice);
                self.list(node, &[], before, list);
            }
            _ => self.report(),
        }
    }

    fn list(&mut self, node: Option<&Node>, declared: &[Value], before: &[Value], after: &[Value]) {
        match node.map(Node::shape) {
            Some(Shape::Set) => {
                for value in after {
                    let text = canonical(value);
                    let is_in = |list: &[Value]| list.iter().any(|v| canonical(v) == text);
                    if !is_in(declared) && !is_in(before) {
                        self.path.push(Step::Member(text));
                        self.report();
                        self.path.pop();
                    }
                }
            }
            Some(Shape::Keyed(names)) => self.keyed(node, &names, declared, before, after),
            _ => {}
        }
    }

    fn keyed(
        &mut self,
        node: Option<&Node>,
        names: &[String],
        declared: &[Value],
        before: &[Value],
        after: &[Value],
    ) {
        let items = node.and_then(Node::inner);
        let items = items.as_ref();
        let mut met: Vec<String> = Vec::new();
        for value in after {
            let keys = keys_of(value, names, items);
            let nth = met.iter().filter(|k| **k == keys).count();
            met.push(keys.clone());
            let of = |list: &[Value]| -> Option<Value> {
                let same = |v: &&Value| keys_of(v, names, items) == keys;
                list.iter().filter(same).nth(nth).cloned()
            };
            self.path.push(Step::Keyed(keys.clone(), nth));
            match (of(declared), of(before)) {
                (Some(declared), before) => {
                    self.value(items, &declared, &before.unwrap_or_default(), value);
                }
                (None, Some(before)) => self.undeclared(items, &before, value),
                (None, None) => self.report(),
            }
            self.path.pop();
        }
    }

    /// What the server, its controllers and tools write for themselves, and does not count.
    fn is_the_servers(&self, value: &Value) -> bool {
        let names: Vec<&str> = self
            .path
            .iter()
            .map(|step| match step {
                Step::Field(name) => name.as_str(),
                _ => "*",
            })
            .collect();
        match (self.kind.as_str(), names.as_slice()) {
            (_, ["apiVersion" | "kind" | "status"]) => true,
            (_, ["metadata", name]) => !ADDED_TO_METADATA.contains(name),
            ("Service", ["spec", name]) if is_allocated(name, value) => true,
            ("Service", ["spec", "ports", "*", "nodePort"]) => true,
            (_, [.., "annotations", name]) => NOTES.contains(name),
            // The older name of serviceAccountName.
            (_, [.., "spec", "serviceAccount"]) => true,
            ("Job", [.., "labels", name]) if JOB_LABELS.contains(name) => true,
            // Controllers write these: a claim's volume, an injected certificate.
            (_, ["spec", "volumeName"]) => true,
            (
                "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
                ["webhooks", "*", "clientConfig", "caBundle"],
            )
            | ("APIService", ["spec", "caBundle"])
            | (
                "CustomResourceDefinition",
                ["spec", "conversion", "webhook", "clientConfig", "caBundle"],
            ) => true,
            ("Service", ["spec", "externalTrafficPolicy"]) => value == "Cluster",
            _ => false,
        }
    }

    fn report(&mut self) {
        self.found.push(Field {
            path: self.path.clone(),
            change: Change::Added,
        });
    }
}
