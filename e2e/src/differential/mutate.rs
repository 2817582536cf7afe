//! Random changes of live objects, at and around what is declared, and the ways in which people and programs make them.

use http::Method;
use serde_json::{Map, Value, json};

use super::deploy::{APPLY, one};
use super::generate::Generator;
use super::object::enrich;
use super::openapi::{Node, Shape};
use super::path::{get, get_mut, keys_of, pointer, remove};
use super::server::{Answer, Kind, Server};
use super::spelling::respell;
use super::{Result, crds};

/// A declared place in a live object.
struct Site {
    at: Vec<String>,
    owner: String,
    node: Option<Node>,
}

/// A changed live object.
pub struct Mutation {
    /// What was done where.
    pub what: String,
    /// The place.
    pub at: Vec<String>,
    /// The object as it is to be.
    pub object: Value,
}

/// A random change; `None` where chance found none.
pub fn mutation(
    kind: &Kind,
    declared: &Value,
    live: &Value,
    generator: &mut Generator<'_>,
) -> Option<Mutation> {
    // Of custom resources ownership has to tell what was added; that takes more of them.
    let seldom = if kind.group == crds::GROUP { 3 } else { 6 };
    if generator.rng.u8(..seldom) == 0 {
        return addition(kind, live, generator);
    }
    let mut sites = Vec::new();
    // What is not declared is changed too, now and then.
    let declared = if generator.rng.u8(..6) == 0 {
        live
    } else {
        declared
    };
    find(
        declared,
        live,
        Some(&kind.schema),
        &mut Vec::new(),
        "",
        &mut sites,
    );
    let site = generator.rng.choice(sites)?;
    let mut object = live.clone();
    let what = change(&mut object, &site, generator)?;
    (object != *live).then(|| Mutation {
        what: format!("{what} {}", site.at.join(".")),
        at: site.at,
        object,
    })
}

/// Something that is nowhere declared, anywhere.
fn addition(kind: &Kind, live: &Value, generator: &mut Generator<'_>) -> Option<Mutation> {
    let mut object = live.clone();
    enrich(&mut object, kind, generator, 1);
    (object != *live).then(|| Mutation {
        what: "something added".to_owned(),
        at: Vec::new(),
        object,
    })
}

fn find(
    declared: &Value,
    live: &Value,
    node: Option<&Node>,
    at: &mut Vec<String>,
    owner: &str,
    found: &mut Vec<Site>,
) {
    let names: Vec<&str> = at.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["apiVersion" | "kind" | "status", ..]
        | ["metadata", "name" | "namespace" | "managedFields"] => return,
        [] | ["metadata"] => {}
        _ => found.push(Site {
            at: at.clone(),
            owner: owner.to_owned(),
            node: node.cloned(),
        }),
    }
    match (declared, live) {
        (Value::Object(declared), Value::Object(live)) => {
            for (name, value) in declared.iter().filter(|(_, v)| !v.is_null()) {
                let Some(live) = live.get(name) else {
                    continue;
                };
                let field = node.and_then(|n| n.field(name));
                let owner = node.map(|n| n.type_name().to_owned()).unwrap_or_default();
                at.push(name.clone());
                find(value, live, field.as_ref(), at, &owner, found);
                at.pop();
            }
        }
        (Value::Array(declared), Value::Array(live)) => {
            let items = node.and_then(Node::inner);
            for (n, value) in declared.iter().enumerate() {
                let place = match node.map(Node::shape) {
                    Some(Shape::Keyed(names)) => {
                        let keys = keys_of(value, &names, items.as_ref());
                        live.iter()
                            .position(|l| keys_of(l, &names, items.as_ref()) == keys)
                    }
                    Some(Shape::Set) => None,
                    _ => (n < live.len()).then_some(n),
                };
                if let Some(place) = place {
                    at.push(place.to_string());
                    find(value, &live[place], items.as_ref(), at, "", found);
                    at.pop();
                }
            }
        }
        _ => {}
    }
}

fn change(object: &mut Value, site: &Site, generator: &mut Generator<'_>) -> Option<&'static str> {
    let roll = generator.rng.u8(..10);
    let name = site.at.last().cloned().unwrap_or_default();
    let shape = site.node.as_ref().map_or(Shape::Any, Node::shape);
    if roll == 0 {
        remove(object, &site.at)?;
        return Some("removed");
    }
    let place = get_mut(object, &site.at)?;
    if roll == 1
        && let Some(other) = respell(&shape, place, &mut generator.rng)
    {
        *place = other;
        return Some("spelled differently");
    }
    match (place, &site.node) {
        (Value::Array(list), node) => change_list(list, node.as_ref(), &name, generator),
        (Value::Object(fields), _) if roll < 3 && !fields.is_empty() => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let gone = generator.rng.choice(names)?;
            fields.remove(&gone);
            Some("member removed")
        }
        (place, Some(node)) => {
            *place = generator.field(&site.owner, &name, node, 1)?;
            Some("set")
        }
        (place, None) => {
            *place = json!(generator.word());
            Some("set")
        }
    }
}

fn change_list(
    list: &mut Vec<Value>,
    node: Option<&Node>,
    name: &str,
    generator: &mut Generator<'_>,
) -> Option<&'static str> {
    match generator.rng.u8(..6) {
        0 if list.len() > 1 => {
            list.rotate_left(1);
            Some("moved in")
        }
        1 if list.len() > 1 => {
            list.reverse();
            Some("turned round")
        }
        2 | 3 if !list.is_empty() => {
            let at = generator.rng.usize(..list.len());
            list.remove(at);
            Some("entry removed from")
        }
        4 if !list.is_empty() => {
            let at = generator.rng.usize(..list.len());
            let inner = node.and_then(Node::inner)?;
            list[at] = generator.value(name, &inner, 1);
            Some("entry replaced in")
        }
        _ => {
            let element = generator.element(name, node?, list, 1)?;
            let at = generator.rng.usize(..=list.len());
            list.insert(at, element);
            Some("entry added to")
        }
    }
}

/// Who writes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// `kubectl edit`, browsers: the whole object.
    Put,
    /// JSON patch of the one place.
    JsonPatch,
    /// Merge patch.
    MergePatch,
    /// Server-side apply of the one place, by force.
    Apply,
}

impl Writer {
    /// The name under which somebody writes in this way.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "kubectl-edit",
            Self::JsonPatch => "kubectl-patch",
            Self::MergePatch => "kubectl-annotate",
            Self::Apply => "somebody-else",
        }
    }
}

/// Writes a mutation under a manager's name. What cannot be said in one way is said in another.
///
/// # Errors
/// Where the server does not answer.
pub async fn write(
    server: &Server,
    kind: &Kind,
    namespace: &str,
    (writer, manager): (Writer, &str),
    live: &Value,
    mutation: &Mutation,
) -> Result<Answer> {
    let url = one(kind, namespace, live);
    let wanted = get(&mutation.object, &mutation.at);
    match (writer, wanted) {
        (Writer::JsonPatch, wanted) if !mutation.at.is_empty() => {
            let path = pointer(&mutation.at);
            let patch = match wanted.filter(|_| get(live, &mutation.at).is_some()) {
                Some(value) => json!([{"op": "replace", "path": path, "value": value}]),
                None => json!([{"op": "remove", "path": path}]),
            };
            let url = format!("{url}?fieldManager={manager}");
            server
                .call(
                    Method::PATCH,
                    &url,
                    "application/json-patch+json",
                    Some(&patch),
                )
                .await
        }
        (Writer::MergePatch, _) => {
            let patch = merge_patch(live, &mutation.object);
            let url = format!("{url}?fieldManager={manager}");
            server
                .call(
                    Method::PATCH,
                    &url,
                    "application/merge-patch+json",
                    Some(&patch),
                )
                .await
        }
        (Writer::Apply, Some(_)) if !mutation.at.is_empty() => {
            let mut patch = fragment(&mutation.object, Some(&kind.schema), &mutation.at);
            patch["apiVersion"] = json!(kind.api_version());
            patch["kind"] = json!(kind.kind);
            if !patch["metadata"].is_object() {
                patch["metadata"] = json!({});
            }
            patch["metadata"]["name"] = live["metadata"]["name"].clone();
            let url = format!("{url}?fieldManager={manager}&force=true");
            server.call(Method::PATCH, &url, APPLY, Some(&patch)).await
        }
        _ => {
            let mut object = mutation.object.clone();
            object["apiVersion"] = json!(kind.api_version());
            let url = format!("{url}?fieldManager={manager}");
            server
                .call(Method::PUT, &url, "application/json", Some(&object))
                .await
        }
    }
}

/// RFC 7386.
fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for (name, value) in to {
        match from.get(name) {
            Some(old) if old == value => {}
            Some(old) => {
                patch.insert(name.clone(), merge_patch(old, value));
            }
            None => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// The one place of an object with what leads to it, as an applier of nothing else would send it.
fn fragment(object: &Value, node: Option<&Node>, at: &[String]) -> Value {
    let Some((step, rest)) = at.split_first() else {
        return object.clone();
    };
    match object {
        Value::Object(fields) => {
            let field = node.and_then(|n| n.field(step));
            let inner = fields.get(step).unwrap_or(&Value::Null);
            json!({step: fragment(inner, field.as_ref(), rest)})
        }
        Value::Array(list) => match node.map(Node::shape) {
            Some(Shape::Keyed(names)) => {
                let element = step.parse::<usize>().ok().and_then(|n| list.get(n));
                let element = element.unwrap_or(&Value::Null);
                let inner = node.and_then(Node::inner);
                let mut part = fragment(element, inner.as_ref(), rest);
                if let Some(part) = part.as_object_mut() {
                    for name in &names {
                        part.extend(element.get(name).map(|value| (name.clone(), value.clone())));
                    }
                }
                json!([part])
            }
            _ => object.clone(),
        },
        _ => object.clone(),
    }
}
