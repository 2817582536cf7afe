//! Who owns a field, by `metadata.managedFields`. That names a tool, chosen by the client: evidence, never authorisation.
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>.

use serde_json::Value;

use crate::path::{FieldPath, Step};

/// Who changed a field, as far as `managedFields` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// The field manager's name.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The subresource the write went to; empty for the object itself.
    pub subresource: String,
    /// When the manager last wrote (RFC 3339, 1 s resolution): an upper bound for one field.
    pub at: Option<String>,
}

/// The managers of one object.
pub struct Owners<'a> {
    entries: &'a [Value],
}

impl<'a> Owners<'a> {
    /// Those of a live object.
    pub fn of(live: &'a Value) -> Self {
        let entries = live
            .get("metadata")
            .and_then(|m| m.get("managedFields"))
            .and_then(Value::as_array);
        Self {
            entries: entries.map_or(&[], Vec::as_slice),
        }
    }

    /// The manager that owns a field; the one that wrote last where there are several. `None` for fields that were
    /// removed: a removal leaves no owner.
    pub fn owner(&self, path: &FieldPath) -> Option<Attribution> {
        let steps = path.0.as_slice();
        self.entries
            .iter()
            .filter(|e| {
                e.get("fieldsV1")
                    .is_some_and(|f| owns(f, steps) || owns_string_data(f, steps))
            })
            .max_by_key(|e| text(e, "time"))
            .map(|e| Attribution {
                manager: text(e, "manager"),
                operation: text(e, "operation"),
                subresource: text(e, "subresource"),
                at: Some(text(e, "time")).filter(|t| !t.is_empty()),
            })
    }
}

fn text(entry: &Value, key: &str) -> String {
    entry
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A server-side apply of a Secret's `stringData` owns that, never `data`.
fn owns_string_data(fields: &Value, steps: &[Step]) -> bool {
    match steps {
        [Step::Field(data), rest @ ..] if data == "data" => {
            fields.get("f:stringData").is_some_and(|f| owns(f, rest))
        }
        _ => false,
    }
}

/// True if a `fieldsV1` tree owns the place: it holds the whole way, or ends earlier in a value owned as a whole.
fn owns(fields: &Value, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return true;
    };
    let Some(members) = fields.as_object() else {
        return false;
    };
    if members.is_empty() {
        return true;
    }
    let child = match step {
        Step::Field(name) => members.get(&format!("f:{name}")),
        Step::Index(n) => members.get(&format!("i:{n}")),
        Step::Member(value) => members.get(&format!("v:{value}")),
        Step::Select(pairs, _) => members.iter().find_map(|(key, child)| {
            let wanted: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            let same = |(name, value): &(String, Value)| wanted.get(name) == Some(value);
            (wanted.as_object()?.len() == pairs.len() && pairs.iter().all(same)).then_some(child)
        }),
        Step::AnyMember => None,
    };
    child.is_some_and(|child| owns(child, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner(live: &Value, path: &str) -> Option<String> {
        Owners::of(live)
            .owner(&path.parse().expect(path))
            .map(|a| a.manager)
    }

    #[test]
    fn the_latest_owner_is_named() {
        let live = json!({"metadata": {"managedFields": [
            {"manager": "helm", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1":
                {"f:spec": {"f:replicas": {}, "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:args": {}}}}}},
            {"manager": "kubectl-set", "operation": "Update", "time": "2026-01-02T00:00:00Z", "fieldsV1":
                {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}}},
        ]}});
        assert_eq!(
            owner(&live, "spec.containers[name=web].image").as_deref(),
            Some("kubectl-set")
        );
        assert_eq!(owner(&live, "spec.replicas").as_deref(), Some("helm"));
        assert_eq!(
            owner(&live, "spec.containers[name=web].args[1]").as_deref(),
            Some("helm")
        );
        assert_eq!(owner(&live, "spec.containers[name=other].image"), None);
        assert_eq!(owner(&live, "spec.containers[name=web].command"), None);
    }

    #[test]
    fn a_secret_applied_by_string_data_has_an_owner() {
        let live = json!({"metadata": {"managedFields": [{"manager": "ci", "time": "", "fieldsV1": {"f:stringData": {"f:a": {}}}}]}});
        assert_eq!(owner(&live, "data.a").as_deref(), Some("ci"));
    }

    #[test]
    fn emptied_or_broken_managed_fields_name_nobody() {
        for fields in [
            json!([]),
            json!([{}]),
            json!("x"),
            json!([{"manager": "m", "fieldsV1": {"f:spec": 3}}]),
        ] {
            let live = json!({"metadata": {"managedFields": fields}});
            assert_eq!(owner(&live, "spec.replicas"), None);
        }
    }
}
