//! Other manifests for the same object: values spelled in other ways, nothing said as `null`, as zero and as empty, defaults stated.

use fastrand::Rng;
use serde_json::{Value, json};

use super::openapi::{Node, Shape};
use super::spelling::respell;

/// Writes some values in other ways that mean the same.
pub fn spell(value: &mut Value, node: &Node, rng: &mut Rng) {
    let shape = node.shape();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if let Some(field) = node.field(name) {
                    spell(value, &field, rng);
                }
            }
        }
        Value::Array(list) => {
            if let Some(inner) = node.inner() {
                list.iter_mut().for_each(|v| spell(v, &inner, rng));
            }
        }
        leaf => {
            let often = if shape == Shape::Integer { 20 } else { 3 };
            if rng.u8(..often) == 0
                && let Some(other) = respell(&shape, leaf, rng)
            {
                *leaf = other;
            }
        }
    }
}

/// Not said nothing of: what is not declared at all; plain texts of a Secret, of which `null` is stored as an empty text; and the taints
/// of a Node, because admission adds one on creation alone.
const LEFT_ALONE: [&str; 3] = ["status", "stringData", "taints"];

/// Says of some fields that they are not there: with `null`, or with what stands for nothing in a schema.
pub fn say_nothing(object: &mut Value, node: &Node, rng: &mut Rng) {
    for (name, value) in object.as_object_mut().into_iter().flatten() {
        let field = node
            .field(name)
            .filter(|_| !LEFT_ALONE.contains(&name.as_str()));
        if let Some(field) = field {
            nothing_in(value, &field, rng, name != "metadata");
        }
    }
}

fn nothing_in(value: &mut Value, node: &Node, rng: &mut Rng, zeroes: bool) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if let Some(field) = node
                    .field(name)
                    .filter(|_| !LEFT_ALONE.contains(&name.as_str()))
                {
                    nothing_in(value, &field, rng, zeroes);
                }
            }
            if rng.u8(..10) > 0 {
                return;
            }
            match node.shape() {
                Shape::Struct => {
                    let absent = node.fields().into_iter();
                    let absent = absent.filter(|(n, _)| {
                        !fields.contains_key(n) && !LEFT_ALONE.contains(&n.as_str())
                    });
                    let absent: Vec<_> = absent.collect();
                    if let Some((name, field)) = rng.choice(absent) {
                        let zero = zeroes && rng.bool();
                        fields.insert(name, if zero { zero_of(&field) } else { Value::Null });
                    }
                }
                Shape::Map => {
                    fields.insert("nothing".to_owned(), Value::Null);
                }
                _ => {}
            }
        }
        Value::Array(list) => {
            if let Some(inner) = node.inner() {
                list.iter_mut()
                    .for_each(|v| nothing_in(v, &inner, rng, zeroes));
            }
        }
        _ => {}
    }
}

fn zero_of(node: &Node) -> Value {
    match node.shape() {
        Shape::Integer | Shape::Number | Shape::IntOrString => json!(0),
        Shape::Quantity => json!("0"),
        Shape::Boolean => json!(false),
        Shape::Text | Shape::Bytes => json!(""),
        Shape::Struct | Shape::Map => json!({}),
        Shape::Atomic | Shape::Set | Shape::Keyed(_) => json!([]),
        _ => Value::Null,
    }
}

/// States some of what the server would fill in.
pub fn state_defaults(object: &mut Value, stored: &Value, rng: &mut Rng) {
    for (name, value) in object.as_object_mut().into_iter().flatten() {
        if name != "metadata"
            && name != "status"
            && let Some(stored) = stored.get(name)
        {
            state(value, stored, rng);
        }
    }
}

fn state(value: &mut Value, stored: &Value, rng: &mut Rng) {
    match (value, stored) {
        (Value::Object(value), Value::Object(stored)) => {
            for (name, filled) in stored {
                match value.get_mut(name) {
                    Some(value) => state(value, filled, rng),
                    None if rng.u8(..3) == 0 => {
                        value.insert(name.clone(), filled.clone());
                    }
                    None => {}
                }
            }
        }
        (Value::Array(value), Value::Array(stored)) if value.len() == stored.len() => {
            for (value, stored) in value.iter_mut().zip(stored) {
                state(value, stored, rng);
            }
        }
        _ => {}
    }
}
