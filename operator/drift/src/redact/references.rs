//! Plain values where the other of two objects refers to a Secret: they are what it holds or held, whatever they are called.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::WITHHELD;
use crate::path::{FieldPath, Step};

/// True for the value of a variable, or of anything made like one, that takes it from a Secret in either object.
pub(super) fn stands_for_secret(objects: [Option<&Value>; 2], path: &FieldPath) -> bool {
    path.0.iter().enumerate().any(|(n, step)| {
        let is_value = matches!(step, Step::Field(name) if name == "value");
        is_value
            && objects.into_iter().flatten().any(|object| {
                let mut above = path.0.iter().take(n);
                let variable = above.try_fold(object, |value, step| step.get(value));
                variable.is_some_and(refers_to_secret)
            })
    })
}

fn refers_to_secret(variable: &Value) -> bool {
    variable
        .get("valueFrom")
        .and_then(|from| from.get("secretKeyRef"))
        .is_some_and(|reference| !reference.is_null())
}

/// A value without what stands in it where `other` refers to a Secret.
pub(super) fn masked(value: &Value, other: &Value, sensitive: &mut bool) -> Value {
    match (value, other) {
        (Value::Object(members), Value::Object(others)) => {
            let stands_in = refers_to_secret(other);
            let mut clean = Map::new();
            for (name, member) in members {
                let secret = stands_in && name == "value" && !member.is_null();
                *sensitive |= secret;
                let member = match others.get(name) {
                    _ if secret => WITHHELD.into(),
                    Some(other) => masked(member, other, sensitive),
                    None => member.clone(),
                };
                clean.insert(name.clone(), member);
            }
            Value::Object(clean)
        }
        (Value::Array(items), Value::Array(others)) => {
            let mut named: HashMap<&str, &Value> = HashMap::new();
            for other in others {
                // Of several with one name, one that refers to a Secret is enough.
                let known = named.entry(name_of(other)).or_insert(other);
                if refers_to_secret(other) {
                    *known = other;
                }
            }
            let clean = items.iter().map(|item| match named.get(name_of(item)) {
                Some(other) => masked(item, other, sensitive),
                None => item.clone(),
            });
            clean.collect()
        }
        _ => value.clone(),
    }
}

fn name_of(element: &Value) -> &str {
    element
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}
