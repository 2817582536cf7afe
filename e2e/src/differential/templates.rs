//! The files of the test: a template of each built-in kind, and hints.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::generate::Hints;
use super::server::Kind;
use super::{Failure, Result, crds};

/// What is known of kinds beyond their schema.
pub struct Templates {
    objects: BTreeMap<String, Value>,
    /// Hints for values.
    pub hints: Hints,
}

impl Templates {
    /// Reads the files.
    ///
    /// # Errors
    /// Where one is not YAML.
    pub fn read() -> Result<Self> {
        let objects: BTreeMap<String, Value> =
            parse("templates.yaml", include_str!("templates.yaml"))?;
        let hints: BTreeMap<String, Vec<Value>> = parse("hints.yaml", include_str!("hints.yaml"))?;
        Ok(Self { objects, hints })
    }

    /// The template of a kind.
    pub fn of(&self, kind: &Kind) -> Option<Value> {
        if kind.group == crds::GROUP {
            return Some(json!({}));
        }
        let (general, exact) = match kind.group.as_str() {
            "" => (kind.kind.clone(), format!("{}/{}", kind.version, kind.kind)),
            group => (
                format!("{group}/{}", kind.kind),
                format!("{group}/{}/{}", kind.version, kind.kind),
            ),
        };
        self.objects
            .get(&exact)
            .or_else(|| self.objects.get(&general))
            .cloned()
    }
}

fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|error| Failure {
        what: format!("reading {name}"),
        reason: error.to_string(),
    })
}

/// A template with its placeholders filled in, under a name of its own.
pub fn instance(
    template: &Value,
    kind: &Kind,
    namespace: &str,
    name: &str,
    address: &str,
) -> Value {
    let mut object = template.clone();
    fill(&mut object, &|text| {
        text.replace("$NAMESPACE", namespace)
            .replace("$NAME", name)
            .replace("$IP", address)
    });
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind);
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if object["metadata"].get("name").is_none() {
        object["metadata"]["name"] = json!(name);
    }
    if kind.namespaced {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

fn fill(value: &mut Value, replace: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) if text.contains('$') => *text = replace(text),
        Value::Array(list) => list.iter_mut().for_each(|v| fill(v, replace)),
        Value::Object(fields) => fields.values_mut().for_each(|v| fill(v, replace)),
        _ => {}
    }
}
