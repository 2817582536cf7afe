//! Where something differs, and how; in the words of the API, without the operator's types.

use std::fmt;

use serde_json::{Map, Value};

use super::openapi::Node;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A field, or the key of a map.
    Field(String),
    /// The element of a keyed list, by its keys as JSON; the n-th of duplicates.
    Keyed(String, usize),
    /// A place in a list.
    Index(usize),
    /// A member of a set, as JSON.
    Member(String),
}

/// How a field differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Declared, and live with another value.
    Changed,
    /// Declared, not live.
    Missing,
    /// Live, not declared.
    Added,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field {
    /// Where.
    pub path: Vec<Step>,
    /// How.
    pub change: Change,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.change)?;
        for step in &self.path {
            match step {
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Keyed(keys, 0) => write!(f, "[{keys}]")?,
                Step::Keyed(keys, nth) => write!(f, "[{keys};#{nth}]")?,
                Step::Index(n) => write!(f, "[{n}]")?,
                Step::Member(value) => write!(f, "[={value}]")?,
            }
        }
        Ok(())
    }
}

/// Whole numbers are written without a fraction, so that equal values are equal texts.
pub fn canonical(value: &Value) -> String {
    match value.as_f64() {
        Some(n) if n.fract() == 0.0 && n.abs() < 9e15 => format!("{n:.0}"),
        _ => value.to_string(),
    }
}

/// The keys of an element of a keyed list as JSON. A key that is left out has its default.
pub fn keys_of(element: &Value, names: &[String], items: Option<&Node>) -> String {
    let mut keys = Map::new();
    for name in names {
        let default = || items?.field(name)?.default().cloned();
        let own = element.get(name).filter(|v| !v.is_null()).cloned();
        if let Some(value) = own.or_else(default) {
            keys.insert(name.clone(), Value::String(canonical(&value)));
        }
    }
    Value::Object(keys).to_string()
}

/// What stands at a path; of an element whose keys have defaults those may be left out.
pub fn find<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Index(n) => value.get(n),
        Step::Keyed(keys, nth) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
            let is_it = |element: &&Value| {
                let same = |(name, key): (&String, &Value)| {
                    let own = element.get(name).filter(|v| !v.is_null());
                    own.is_none_or(|own| Some(canonical(own).as_str()) == key.as_str())
                };
                keys.iter().all(same)
            };
            value.as_array()?.iter().filter(is_it).nth(*nth)
        }
        Step::Member(_) => None,
    })
}

/// True for what some servers leave out when they store it.
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
    }
}

/// Follows steps as the server writes them, with plain indexes for lists.
pub fn get<'a>(value: &'a Value, steps: &[String]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match value {
        Value::Object(object) => object.get(step),
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// As [`get`].
pub fn get_mut<'a>(value: &'a mut Value, steps: &[String]) -> Option<&'a mut Value> {
    steps.iter().try_fold(value, |value, step| match value {
        Value::Object(object) => object.get_mut(step),
        Value::Array(list) => list.get_mut(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Takes out what steps lead to.
pub fn remove(value: &mut Value, steps: &[String]) -> Option<Value> {
    let (last, above) = steps.split_last()?;
    match get_mut(value, above)? {
        Value::Object(object) => object.remove(last),
        Value::Array(list) => {
            let at = last.parse::<usize>().ok()?;
            (at < list.len()).then(|| list.remove(at))
        }
        _ => None,
    }
}

/// Steps as a JSON pointer.
pub fn pointer(steps: &[String]) -> String {
    let escape = |step: &String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
    steps.iter().map(escape).collect()
}
