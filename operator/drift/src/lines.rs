//! Line numbers of a declaration's nodes, in pre-order (see [`crate::DeclaredObject::lines`]).

use std::collections::HashMap;

use serde_json::Value;

use crate::path::{FieldPath, Step};

/// The line of a path in an object, or of the nearest part of it that is there; 0 where lines are not known.
pub fn line_of(object: &Value, lines: &[u32], path: &FieldPath) -> u32 {
    let mut value = object;
    let mut node = 0;
    for step in &path.0 {
        let Some((child, skipped)) = descend(value, step) else {
            break;
        };
        value = child;
        node += 1 + skipped;
    }
    lines.get(node).copied().unwrap_or(0)
}

/// The lines of `after`, which was made from `before` by adding, removing and renaming members: a node that was there keeps
/// its line, a new one has that of the node it is in. A Secret's `data` looks for its lines in `stringData` too.
pub fn realign(before: &Value, lines: &[u32], after: &Value) -> Vec<u32> {
    let mut aligned = Vec::new();
    if !lines.is_empty() {
        walk(
            after,
            Some((before, 0)),
            None,
            lines,
            lines[0],
            &mut aligned,
        );
    }
    aligned
}

type Place<'v> = (&'v Value, usize);

fn walk<'v>(
    after: &'v Value,
    was: Option<Place<'v>>,
    also: Option<Place<'v>>,
    lines: &[u32],
    inherited: u32,
    aligned: &mut Vec<u32>,
) {
    let line = was
        .or(also)
        .and_then(|(_, node)| lines.get(node))
        .copied()
        .unwrap_or(inherited);
    aligned.push(line);
    let (was, also) = (Children::of(was), Children::of(also));
    match after {
        Value::Object(members) => {
            let find = |name: &str| {
                was.fields
                    .get(name)
                    .or_else(|| also.fields.get(name))
                    .copied()
            };
            for (name, member) in members {
                let plain = (name == "data").then(|| find("stringData")).flatten();
                walk(member, find(name), plain, lines, line, aligned);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                let place = was.items.get(n).or_else(|| also.items.get(n)).copied();
                walk(item, place, None, lines, line, aligned);
            }
        }
        _ => {}
    }
}

/// The children of a place with their own places, found in one pass: an object may have a million members.
#[derive(Default)]
struct Children<'v> {
    fields: HashMap<&'v str, Place<'v>>,
    items: Vec<Place<'v>>,
}

impl<'v> Children<'v> {
    fn of(place: Option<Place<'v>>) -> Self {
        let mut children = Self::default();
        let Some((value, node)) = place else {
            return children;
        };
        let mut next = node + 1;
        let mut take = |child: &'v Value| {
            let place = (child, next);
            next += nodes(child);
            place
        };
        match value {
            Value::Object(members) => {
                children.fields = members.iter().map(|(k, v)| (k.as_str(), take(v))).collect();
            }
            Value::Array(items) => children.items = items.iter().map(take).collect(),
            _ => {}
        }
        children
    }
}

/// The child that a step leads to, and how many nodes stand before it in pre-order.
fn descend<'v>(value: &'v Value, step: &Step) -> Option<(&'v Value, usize)> {
    let child = step.get(value)?;
    let mut before = 0;
    let mut pass = |other: &'v Value| {
        let hit = std::ptr::eq(other, child);
        before += if hit { 0 } else { nodes(other) };
        hit
    };
    let found = match value {
        Value::Object(members) => members.values().any(&mut pass),
        Value::Array(items) => items.iter().any(&mut pass),
        _ => false,
    };
    found.then_some((child, before))
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(nodes).sum(),
        Value::Array(items) => items.iter().map(nodes).sum::<usize>(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_million_keys_kept_the_operator_busy_for_hours() {
        let members: serde_json::Map<String, Value> = (0..1_000_000)
            .map(|n| (format!("k{n:07}"), "v".into()))
            .collect();
        let before = json!({"data": members});
        let lines: Vec<u32> = (1..=1_000_002).collect();
        assert_eq!(realign(&before, &lines, &before), lines);
    }

    #[test]
    fn a_field_knows_its_line() {
        // a: 1 / b: / - name: x / image: y / c: 2, in pre-order of sorted keys.
        let object = json!({"a": 1, "b": [{"image": "y", "name": "x"}], "c": 2});
        let lines = [1, 1, 2, 3, 4, 3, 5];
        let line = |p: &str| line_of(&object, &lines, &p.parse().expect(p));
        assert_eq!(
            (
                line("a"),
                line("b"),
                line("b[name=x].image"),
                line("b[name=x]"),
                line("c")
            ),
            (1, 2, 4, 3, 5)
        );
        assert_eq!(line("b[name=x].gone"), 3);
        assert_eq!(line_of(&object, &[], &"a".parse().expect("a")), 0);
    }

    #[test]
    fn lines_survive_normalising() {
        let before = json!({"apiVersion": "v1", "data": {"a": "eA=="}, "kind": "Secret", "metadata": {"name": "s"}, "status": {"x": 1}, "stringData": {"b": "y"}});
        let lines = [1, 1, 3, 4, 2, 5, 6, 7, 8, 9, 10];
        let mut after = before.clone();
        crate::bookkeeping::normalise(&mut after, Some("shop"));
        let aligned = realign(&before, &lines, &after);
        let line = |p: &str| line_of(&after, &aligned, &p.parse().expect(p));
        assert_eq!(
            (
                line("data.a"),
                line("data.b"),
                line("metadata.name"),
                line("metadata.namespace")
            ),
            (4, 10, 6, 5)
        );
        assert_eq!(realign(&before, &lines, &before), lines);
    }
}
