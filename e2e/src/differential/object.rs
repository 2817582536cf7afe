//! A random valid object of a kind: a template that the server is known to take, enriched with what the schema offers, less what the
//! server refuses.

use serde_json::Value;

use super::Result;
use super::beyond::ADDED_TO_METADATA;
use super::generate::Generator;
use super::openapi::{Node, Shape};
use super::path::{get, get_mut, remove};
use super::server::{Kind, Server, causes};

/// How often an object is mended before it is given up.
const MENDINGS: usize = 12;

/// A place at which something can be put.
struct Opening {
    at: Vec<String>,
    owner: String,
    name: String,
    node: Node,
}

/// Adds random optional fields, elements and keys.
pub fn enrich(object: &mut Value, kind: &Kind, generator: &mut Generator<'_>, additions: usize) {
    for _ in 0..additions {
        let mut openings = Vec::new();
        find(object, &kind.schema, &mut Vec::new(), &mut openings);
        let Some(opening) = generator.rng.choice(openings) else {
            return;
        };
        fill(object, &opening, generator);
    }
}

fn find(value: &Value, node: &Node, at: &mut Vec<String>, found: &mut Vec<Opening>) {
    let mut open = |at: &[String], owner: &str, name: &str, node: Node| {
        found.push(Opening {
            at: at.to_vec(),
            owner: owner.to_owned(),
            name: name.to_owned(),
            node,
        });
    };
    match (value, node.shape()) {
        (Value::Object(object), Shape::Struct) => {
            for (name, field) in node.fields() {
                if !is_the_writers(at, &name) {
                    continue;
                }
                if !object.contains_key(&name) {
                    open(at, node.type_name(), &name, field);
                }
            }
        }
        (Value::Object(_), Shape::Map) | (Value::Array(_), _) => {
            let name = at.last().cloned().unwrap_or_default();
            open(at, "", &name, node.clone());
        }
        _ => {}
    }
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if let Some(field) = node.field(name).filter(|_| is_the_writers(at, name)) {
                    at.push(name.clone());
                    find(value, &field, at, found);
                    at.pop();
                }
            }
        }
        Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                if let Some(inner) = node.inner() {
                    at.push(n.to_string());
                    find(value, &inner, at, found);
                    at.pop();
                }
            }
        }
        _ => {}
    }
}

/// True for what a manifest may say: not the status, nor what is the server's in metadata.
fn is_the_writers(at: &[String], name: &str) -> bool {
    match at.last().map(String::as_str) {
        None => !matches!(name, "apiVersion" | "kind" | "status"),
        Some("metadata") => ADDED_TO_METADATA.contains(&name),
        _ => true,
    }
}

fn fill(object: &mut Value, opening: &Opening, generator: &mut Generator<'_>) {
    let Some(place) = get_mut(object, &opening.at) else {
        return;
    };
    match place {
        Value::Object(fields) if opening.node.shape() == Shape::Map && opening.owner.is_empty() => {
            if let Some(inner) = opening.node.inner() {
                let key = generator.map_key(&opening.name);
                let value = generator.value(&opening.name, &inner, 1);
                fields.entry(key).or_insert(value);
            }
        }
        Value::Object(fields) => {
            let value = generator.field(&opening.owner, &opening.name, &opening.node, 1);
            if let Some(value) = value {
                fields.insert(opening.name.clone(), value);
            }
        }
        Value::Array(list) => {
            list.extend(generator.element(&opening.name, &opening.node, list, 1));
        }
        _ => {}
    }
}

/// What the server said to an object.
pub enum Creation {
    /// It takes this.
    Taken(Value),
    /// It takes nothing of it; the last refusal.
    Refused(String),
}

/// Mends an object until a dry-run creation succeeds: takes out what the refusal names.
///
/// # Errors
/// Where the server does not answer.
pub async fn accepted(
    server: &Server,
    kind: &Kind,
    namespace: &str,
    template: &Value,
    mut object: Value,
    refusals: &mut Vec<String>,
) -> Result<Creation> {
    let url = format!("{}?dryRun=All", kind.collection(namespace));
    let mut message = String::new();
    for round in 0..MENDINGS {
        let answer = server
            .call(http::Method::POST, &url, "application/json", Some(&object))
            .await?;
        if answer.status < 300 {
            return Ok(Creation::Taken(object));
        }
        message = answer.message();
        refusals.push(format!("{kind}: {message}"));
        let before = object.clone();
        for cause in causes(&answer.body) {
            take_out(&mut object, template, &cause);
        }
        if object == before {
            if round > MENDINGS / 2 || before == *template {
                break;
            }
            halve(&mut object, template);
        }
    }
    if object == *template {
        return Ok(Creation::Refused(message));
    }
    let answer = server
        .call(http::Method::POST, &url, "application/json", Some(template))
        .await?;
    Ok(match answer.status {
        ..300 => Creation::Taken(template.clone()),
        _ => Creation::Refused(answer.message()),
    })
}

/// Takes out the innermost thing at a place that is not the template's.
fn take_out(object: &mut Value, template: &Value, place: &[String]) {
    for length in (1..=place.len()).rev() {
        let place = &place[..length];
        if get(template, place).is_some() {
            return;
        }
        if remove(object, place).is_some() {
            return;
        }
    }
}

/// Drops every second thing that is not the template's, where the refusal names none.
fn halve(object: &mut Value, template: &Value) {
    let (Some(fields), Some(known)) = (object.as_object_mut(), template.as_object()) else {
        return;
    };
    let extra: Vec<String> = fields
        .keys()
        .filter(|k| !known.contains_key(*k))
        .cloned()
        .collect();
    for name in extra.iter().take(extra.len().div_ceil(2)) {
        fields.remove(name);
    }
    if !extra.is_empty() {
        return;
    }
    for (name, value) in fields {
        match (known.get(name), value) {
            (Some(known), value @ Value::Object(_)) => halve(value, known),
            (Some(Value::Array(known)), Value::Array(list)) => {
                list.truncate(known.len());
                for (value, known) in list.iter_mut().zip(known) {
                    halve(value, known);
                }
            }
            _ => {}
        }
    }
}
