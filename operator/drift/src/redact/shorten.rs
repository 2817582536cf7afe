//! Long values: how they begin, and what of two of them differs, so that somebody who reads both sees what changed.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{MAX_VALUE_BYTES, cut};

/// Stands where something was left out.
const LEFT_OUT: &str = "…";

/// What is no longer stays whole: names, which say what it is about.
const NAMES: usize = 40;

/// So much before the first difference of two texts is shown at most.
const BEFORE: usize = 64;

/// True if one of them is longer than what is shown.
pub fn is_long(value: &Value) -> bool {
    length(value) > MAX_VALUE_BYTES
}

fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(_) | Value::Object(_) => value.to_string().len(),
        _ => 0,
    }
}

/// A value as it is; of a long one the beginning.
pub fn cut_long(value: Value) -> Value {
    if is_long(&value) {
        cut(&text(&value), MAX_VALUE_BYTES).into()
    } else {
        value
    }
}

/// Both without what is the same on both sides, each at most [`MAX_VALUE_BYTES`] long; they differ if the values do.
pub fn both(declared: &Value, live: &Value) -> [Value; 2] {
    let [a, b] = differing(declared, live);
    if a != b && !is_long(&a) && !is_long(&b) {
        return [a, b];
    }
    let (a, b) = (text(&a), text(&b));
    if a == b {
        return windows(&text(declared), &text(live));
    }
    windows(&a, &b)
}

/// The text itself, or the JSON of what is none.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

fn differing(a: &Value, b: &Value) -> [Value; 2] {
    if length(a).max(length(b)) <= NAMES {
        return [a.clone(), b.clone()];
    }
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => items(a, b).map(Value::Array),
        (Value::Object(a), Value::Object(b)) => members(a, b).map(Value::Object),
        (Value::String(a), Value::String(b)) if a.len().max(b.len()) > MAX_VALUE_BYTES => {
            windows(a, b)
        }
        _ => [a.clone(), b.clone()],
    }
}

/// Without the items that both begin and end with.
fn items(a: &[Value], b: &[Value]) -> [Vec<Value>; 2] {
    let same = |(x, y): &(&Value, &Value)| x == y;
    let before = a.iter().zip(b).take_while(same).count();
    let (a, b) = (&a[before..], &b[before..]);
    let after = a.iter().rev().zip(b.iter().rev()).take_while(same).count();
    let (a, b) = (&a[..a.len() - after], &b[..b.len() - after]);
    let around = |between: Vec<Value>| {
        let left_out = |count: usize| {
            (count > 0).then(|| Value::String(format!("{LEFT_OUT} {count} the same")))
        };
        let all = left_out(before).into_iter().chain(between);
        all.chain(left_out(after)).collect()
    };
    if a.len() != b.len() {
        return [a.to_vec(), b.to_vec()].map(around);
    }
    let pairs = a.iter().zip(b).map(|(x, y)| differing(x, y));
    let (a, b) = pairs.map(|[x, y]| (x, y)).unzip();
    [a, b].map(around)
}

/// Without the long members that both have.
fn members(a: &Map<String, Value>, b: &Map<String, Value>) -> [Map<String, Value>; 2] {
    let mut shown = [Map::new(), Map::new()];
    for (name, own) in a {
        let [declared, live] = match b.get(name) {
            Some(same) if own == same => {
                let same = if length(same) > NAMES {
                    LEFT_OUT.into()
                } else {
                    same.clone()
                };
                [same.clone(), same]
            }
            Some(other) => differing(own, other),
            None => {
                shown[0].insert(name.clone(), own.clone());
                continue;
            }
        };
        shown[0].insert(name.clone(), declared);
        shown[1].insert(name.clone(), live);
    }
    for (name, other) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
        shown[1].insert(name.clone(), other.clone());
    }
    shown
}

/// Both from shortly before their first difference on, from the beginning of its line where that is near.
fn windows(a: &str, b: &str) -> [Value; 2] {
    let same = a.char_indices().zip(b.chars());
    let first = same
        .take_while(|((_, x), y)| x == y)
        .last()
        .map_or(0, |((at, c), _)| at + c.len_utf8());
    let mut begin = first.saturating_sub(BEFORE);
    while !a.is_char_boundary(begin) {
        begin += 1;
    }
    // What comes before is the same in both, so this is a boundary in both.
    if let Some(line) = a[begin..first].rfind('\n') {
        begin += line + 1;
    }
    let ends = |x: &str, y: &str| {
        let (x, y) = (x[first..].chars().rev(), y[first..].chars().rev());
        let same = x.zip(y).take_while(|(x, y)| x == y);
        same.map(|(c, _)| c.len_utf8()).sum::<usize>()
    };
    let after = ends(a, b);
    let mark = LEFT_OUT.len();
    [a, b].map(|whole| {
        let before = if begin > 0 { LEFT_OUT } else { "" };
        // To the end of the line in which the difference ends.
        let line = whole[whole.len() - after..].find('\n');
        let end = line.map_or(whole.len(), |l| whole.len() - after + l);
        let shown = cut(&whole[begin..end], MAX_VALUE_BYTES - 2 * mark);
        let rest = if begin + shown.len() < whole.len() {
            LEFT_OUT
        } else {
            ""
        };
        format!("{before}{shown}{rest}").into()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rule(resources: &[&str], verbs: &[&str]) -> Value {
        json!({"apiGroups": [""], "resources": resources, "verbs": verbs})
    }

    #[test]
    fn of_long_lists_what_differs_is_shown() {
        let common = rule(&["pods", "services", "endpoints", "configmaps"], &["get"]);
        let secrets = rule(&["secrets"], &["*"]);
        let before = json!([common, common, common, common]);
        let after = json!([common, common, common, common, secrets]);
        let [declared, live] = both(&before, &after);
        assert_eq!(declared, json!(["… 4 the same"]));
        assert_eq!(live, json!(["… 4 the same", secrets]));
    }

    #[test]
    fn of_a_long_item_what_differs_is_shown() {
        let resources = [
            "configmaps",
            "secrets",
            "nodes",
            "pods",
            "services",
            "endpoints",
            "namespaces",
        ];
        let before = json!([
            rule(&resources, &["list", "watch"]),
            rule(&resources, &["get"]),
            rule(&["leases"], &["get"])
        ]);
        let after = json!([
            rule(&resources, &["list", "watch", "impersonate"]),
            rule(&resources, &["get"]),
            rule(&["leases"], &["get"])
        ]);
        let [declared, live] = both(&before, &after);
        let shown = |verbs: &[&str]| json!([{"apiGroups": [""], "resources": "…", "verbs": verbs}, "… 2 the same"]);
        assert_eq!(declared, shown(&["list", "watch"]));
        assert_eq!(live, shown(&["list", "watch", "impersonate"]));
    }

    #[test]
    fn of_a_long_text_the_line_that_differs_is_shown() {
        let lines: Vec<String> = (0..200).map(|n| format!("key{n} = {n}")).collect();
        let before = lines.join("\n");
        let after = before.replace("key120 = 120\n", "key120 = 7\n");
        assert_eq!(
            both(&json!(before), &json!(after)),
            [json!("…key120 = 120…"), json!("…key120 = 7…")]
        );
        let longer = format!("{before}\nmore = 1");
        assert_eq!(
            both(&json!(before), &json!(longer)),
            [json!("…key199 = 199"), json!("…key199 = 199\nmore = 1")]
        );
    }

    #[test]
    fn what_lies_deep_takes_no_longer() {
        let deep = |end: &str| {
            let inner = json!(end.repeat(300));
            (0..100).fold(inner, |inner, n| json!([{"a": n, "b": inner}]))
        };
        let [declared, live] = both(&deep("x"), &deep("y"));
        assert!(declared != live && !is_long(&declared) && !is_long(&live));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "[aé…\n]{0,300}".prop_map(Value::from),
            "[ab]{0,3}".prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(3, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_differs_is_shown_differently(a in any_value(), b in any_value()) {
            let [declared, live] = both(&a, &b);
            prop_assert!(!is_long(&declared) && !is_long(&live));
            prop_assert_eq!(a == b, declared == live);
        }

        #[test]
        fn a_small_change_of_something_long_is_shown(text in "[a-z\n]{300,900}", at in 0..300_usize) {
            let mut other = text.clone();
            other.insert(at, 'é');
            let [declared, live] = both(&json!(text), &json!(other));
            prop_assert!(live.as_str().unwrap_or_default().contains('é'));
            prop_assert!(declared != live && !is_long(&live));
        }
    }
}
