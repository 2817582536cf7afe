//! What two renderings of one commit do not agree on: random values, dates.

use std::collections::HashMap;

use drift::declared::DeclaredObject;
use serde_json::Value;

/// The objects of the second rendering, by identity.
pub(crate) struct Second(HashMap<String, Value>);

impl Second {
    pub(crate) fn new(objects: Vec<DeclaredObject>) -> Self {
        Self(
            objects
                .into_iter()
                .map(|object| (identity(&object), object.object))
                .collect(),
        )
    }

    /// Notes on an object what the second rendering says differently; an object it does not have is unstable as a whole.
    pub(crate) fn compare(&self, object: &mut DeclaredObject) {
        match self.0.get(&identity(object)) {
            Some(other) => differing(
                &object.object,
                other,
                &mut String::new(),
                &mut object.unstable,
            ),
            None => object.unstable.push(String::new()),
        }
    }
}

fn identity(object: &DeclaredObject) -> String {
    let text = |key: &str| {
        object
            .object
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!(
        "{} {} {:?} {:?}",
        text("apiVersion"),
        text("kind"),
        object.namespace(),
        object.name()
    )
}

/// The smallest parts of two values that differ, as JSON pointers (RFC 6901).
fn differing(a: &Value, b: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                path.push('/');
                path.push_str(&key.replace('~', "~0").replace('/', "~1"));
                differing(
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                    path,
                    found,
                );
                path.truncate(length);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                path.push_str(&format!("/{index}"));
                differing(a, b, path, found);
                path.truncate(length);
            }
        }
        _ if a != b => found.push(path.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pointers(a: &Value, b: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differing(a, b, &mut String::new(), &mut found);
        found
    }

    #[test]
    fn the_smallest_differing_parts_are_named() {
        let a = json!({"data": {"a/b": "1", "c": "2"}, "list": [1, {"x~y": 1}], "gone": 1});
        let b = json!({"data": {"a/b": "9", "c": "2"}, "list": [1, {"x~y": 2}], "new": 1});
        assert_eq!(
            pointers(&a, &b),
            ["/data/a~1b", "/gone", "/list/1/x~0y", "/new"]
        );
        assert_eq!(pointers(&json!([1]), &json!([1, 2])), [""]);
        assert!(pointers(&a, &a).is_empty());
    }
}
