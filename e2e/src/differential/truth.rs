//! What a change to a live object means for its declaration: worked out from the live object before and after the change, and from
//! the published schema. It is as simple as it can be, because it has to be right: no declared value is compared with a live one, but
//! for whether it is there letter by letter.

use serde_json::{Map, Value};

use super::beyond::{added, adds};
use super::openapi::{Node, Shape};
use super::path::{Change, Field, Step, canonical, keys_of};
use super::spelling::same_meaning;

/// The fields that a change touched: declared ones, and such that it added. `before` is a live object that is what `declared` asks for.
pub fn touched(schema: &Node, declared: &Value, before: &Value, after: &Value) -> Vec<Field> {
    let mut found = walked(schema, declared, before, after, true);
    found.extend(added(schema, declared, before, after));
    found.sort();
    found
}

/// The same without additions, at their own place or as a difference of the atomic list around them.
pub fn declared_touched(
    schema: &Node,
    declared: &Value,
    before: &Value,
    after: &Value,
) -> Vec<Field> {
    walked(schema, declared, before, after, false)
}

fn walked(
    schema: &Node,
    declared: &Value,
    before: &Value,
    after: &Value,
    additions: bool,
) -> Vec<Field> {
    let mut walk = Walk {
        path: Vec::new(),
        found: Vec::new(),
        additions,
        in_one_piece: false,
    };
    for (name, value) in declared.as_object().into_iter().flatten() {
        if matches!(name.as_str(), "apiVersion" | "kind" | "status") {
            continue;
        }
        let field = schema.field(name);
        walk.path.push(Step::Field(name.clone()));
        walk.value(field.as_ref(), value, before.get(name), after.get(name));
        walk.path.pop();
    }
    walk.found
}

struct Walk {
    path: Vec<Step>,
    found: Vec<Field>,
    additions: bool,
    /// Within a value that is owned as a whole.
    in_one_piece: bool,
}

/// Neither a structure nor a list.
fn is_plain(node: &Node) -> bool {
    !matches!(
        node.shape(),
        Shape::Struct | Shape::Map | Shape::Atomic | Shape::Set | Shape::Keyed(_) | Shape::Any
    )
}

fn is_atomic(node: &Node) -> bool {
    node.text("x-kubernetes-map-type") == "atomic"
}

impl Walk {
    fn value(
        &mut self,
        node: Option<&Node>,
        declared: &Value,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        let before = before.filter(|v| !v.is_null());
        let after = after.filter(|v| !v.is_null());
        if before == after || after == Some(declared) || declared.is_null() || self.is_bookkeeping()
        {
            return;
        }
        let Some(after) = after else {
            return self.gone(node, declared);
        };
        match (declared, after) {
            (Value::Object(declared), Value::Object(after)) => {
                self.object(node, declared, before, after);
            }
            (Value::Array(declared), Value::Array(after)) => {
                let before = before
                    .and_then(Value::as_array)
                    .map_or(&[][..], Vec::as_slice);
                self.list(node, declared, before, after);
            }
            _ if before.is_some_and(|before| same_meaning(node, before, after)) => {}
            _ => self.report(Change::Changed),
        }
    }

    /// The server drops a map with its last key: each key is missing by itself, unless the map is owned as a whole.
    fn gone(&mut self, node: Option<&Node>, declared: &Value) {
        let by_key = !self.in_one_piece
            && node.is_some_and(|n| {
                n.shape() == Shape::Map
                    && !is_atomic(n)
                    && n.inner().is_some_and(|values| is_plain(&values))
            });
        let members = declared.as_object().into_iter().flatten();
        let keys: Vec<&String> = members
            .filter(|(_, v)| !v.is_null())
            .map(|(k, _)| k)
            .collect();
        if !by_key || keys.is_empty() {
            return self.report(Change::Missing);
        }
        for key in keys {
            self.path.push(Step::Field(key.clone()));
            self.report(Change::Missing);
            self.path.pop();
        }
    }

    fn object(
        &mut self,
        node: Option<&Node>,
        declared: &Map<String, Value>,
        before: Option<&Value>,
        after: &Map<String, Value>,
    ) {
        let outside = self.in_one_piece;
        self.in_one_piece |= node.is_some_and(is_atomic);
        for (name, value) in declared {
            let field = node.and_then(|n| n.field(name));
            self.path.push(Step::Field(name.clone()));
            let before = before.and_then(|b| b.get(name));
            self.value(field.as_ref(), value, before, after.get(name));
            self.path.pop();
        }
        self.in_one_piece = outside;
    }

    fn list(&mut self, node: Option<&Node>, declared: &[Value], before: &[Value], after: &[Value]) {
        let items = node.and_then(Node::inner);
        match node.map(Node::shape) {
            Some(Shape::Set) => self.set(declared, before, after),
            Some(Shape::Keyed(keys)) => {
                self.keyed(items.as_ref(), &keys, declared, before, after);
            }
            _ if self.atomic_differs(items.as_ref(), declared, before, after) => {
                self.report(Change::Changed);
            }
            _ => {}
        }
    }

    fn set(&mut self, declared: &[Value], before: &[Value], after: &[Value]) {
        for value in declared {
            let text = canonical(value);
            let is_in = |list: &[Value]| list.iter().any(|v| canonical(v) == text);
            if is_in(before) && !is_in(after) {
                self.path.push(Step::Member(text));
                self.report(Change::Missing);
                self.path.pop();
            }
        }
    }

    /// The n-th of several elements with the same keys is matched with the n-th.
    fn keyed(
        &mut self,
        items: Option<&Node>,
        names: &[String],
        declared: &[Value],
        before: &[Value],
        after: &[Value],
    ) {
        let mut met: Vec<String> = Vec::new();
        for value in declared {
            let keys = keys_of(value, names, items);
            let nth = met.iter().filter(|k| **k == keys).count();
            met.push(keys.clone());
            let of = |list: &'_ [Value]| -> Option<Value> {
                let same = |v: &&Value| keys_of(v, names, items) == keys;
                list.iter().filter(same).nth(nth).cloned()
            };
            self.path.push(Step::Keyed(keys.clone(), nth));
            self.value(items, value, of(before).as_ref(), of(after).as_ref());
            self.path.pop();
        }
    }

    /// Elements are compared by what is declared of them, because the server fills in defaults there too, and by what they have more.
    fn atomic_differs(
        &self,
        items: Option<&Node>,
        declared: &[Value],
        before: &[Value],
        after: &[Value],
    ) -> bool {
        if before.len() != after.len() || declared.len() != before.len() {
            return before != after;
        }
        let mut inside = Walk {
            path: Vec::new(),
            found: Vec::new(),
            additions: self.additions,
            in_one_piece: true,
        };
        declared.iter().enumerate().any(|(n, value)| {
            inside.value(items, value, before.get(n), after.get(n));
            !inside.found.is_empty() || self.additions && adds(items, value, &before[n], &after[n])
        })
    }

    /// What the server writes, in objects' own metadata.
    fn is_bookkeeping(&self) -> bool {
        let [Step::Field(first), Step::Field(second)] = self.path.as_slice() else {
            return false;
        };
        first == "metadata"
            && ["managedFields", "resourceVersion", "generation", "uid"].contains(&second.as_str())
    }

    fn report(&mut self, change: Change) {
        self.found.push(Field {
            path: self.path.clone(),
            change,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn fields(declared: &Value, before: &Value, after: &Value) -> Vec<String> {
        let text = json!({"type": "string"});
        let port = json!({"type": "object", "properties": {
            "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": text}});
        let labels = json!({"type": "object", "additionalProperties": {"type": "string"}});
        let list = |kind: &str, items: &Value, keys: Value| json!({"type": "array", "items": items, "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": keys});
        let root = json!({"type": "object", "properties": {
            "scalar": text,
            "size": {"$ref": "#/components/schemas/x.Quantity"},
            "set": list("set", &text, json!([])),
            "atomic": list("atomic", &port, json!([])),
            "keyed": list("map", &port, json!(["port", "protocol"])),
            "labels": labels, "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"labels": labels}},
        }});
        let components = Arc::new(Map::from_iter([("Root".to_owned(), root)]));
        let found = touched(
            &Node::component(&components, "Root"),
            declared,
            before,
            after,
        );
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_declared_and_what_was_added_count() {
        let declared = json!({"scalar": "a"});
        let before = json!({"scalar": "a", "other": 1});
        assert!(fields(&declared, &before, &json!({"scalar": "a"})).is_empty());
        let after = json!({"scalar": "b", "other": 2});
        assert_eq!(
            fields(&declared, &before, &after),
            ["Added .other", "Changed .scalar"]
        );
        assert_eq!(fields(&declared, &before, &json!({})), ["Missing .scalar"]);
    }

    #[test]
    fn a_map_that_is_gone_counts_key_by_key_unless_it_is_one_value() {
        let labels = json!({"a": "1", "b": "2"});
        let object = json!({"labels": labels, "selector": {"labels": labels}});
        assert_eq!(
            fields(&object, &object, &json!({"selector": {}})),
            [
                "Missing .labels.a",
                "Missing .labels.b",
                "Missing .selector.labels"
            ]
        );
    }

    #[test]
    fn lists_count_by_their_rules() {
        let ports = |list: Value| json!({"keyed": list, "atomic": list, "set": ["a", "b"]});
        let before = ports(json!([{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"}]));
        let declared = ports(json!([{"port": 1}, {"port": 1, "protocol": "UDP"}]));
        let mut after =
            ports(json!([{"port": 1, "protocol": "UDP"}, {"port": 1, "protocol": "TCP"}]));
        assert_eq!(fields(&declared, &before, &after), ["Changed .atomic"]);
        after["atomic"] = before["atomic"].clone();
        after["keyed"] = json!([{"port": 1, "protocol": "UDP", "name": "x"}]);
        after["set"] = json!(["c", "b"]);
        assert_eq!(
            fields(&declared, &before, &after),
            [
                r#"Missing .keyed[{"port":"1","protocol":"\"TCP\""}]"#,
                r#"Added .keyed[{"port":"1","protocol":"\"UDP\""}].name"#,
                r#"Missing .set[="a"]"#,
                r#"Added .set[="c"]"#
            ]
        );
    }

    #[test]
    fn another_spelling_is_no_change() {
        let declared = json!({"size": "1Gi"});
        let before = json!({"size": "1Gi"});
        assert!(fields(&declared, &before, &json!({"size": "1024Mi"})).is_empty());
        assert_eq!(
            fields(&declared, &before, &json!({"size": "1G"})),
            ["Changed .size"]
        );
    }
}
