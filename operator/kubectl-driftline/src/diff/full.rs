//! `--full`: what differs within all of the object, as it runs and with the declared values put in.

use cluster::discovery::Catalog;
use drift::path::Step;
use drift::{FieldPath, GroupKind, GroupVersionKind, redact};
use driftline_crds::{Field, RecordChange};
use serde_json::{Map, Value};

use super::shown;
use crate::connect::Cluster;
use crate::failure::{Failure, Result};
use crate::model::{Finding, title};
use crate::output::words;

/// The two sides of a finding.
pub struct Sides {
    /// What runs, with the declared values put in.
    pub declared: Value,
    /// What runs.
    pub live: Value,
    /// Values that are not shown whole, each in a sentence.
    pub cut: Vec<String>,
}

/// The two sides of a finding, or why they are not to be had.
pub type Whole = std::result::Result<Sides, String>;

/// A value that was cut has lost no more of [`redact::MAX_VALUE_BYTES`] than a part of a character.
const CUT: usize = redact::MAX_VALUE_BYTES - 4;

/// Reads what runs for each finding.
///
/// # Errors
/// Where the cluster does not say what it serves.
pub async fn whole(cluster: &Cluster, findings: &[Finding]) -> Result<Vec<Whole>> {
    if findings.is_empty() {
        return Ok(Vec::new());
    }
    let catalog = Catalog::read(&cluster.client)
        .await
        .map_err(|e| Failure::of_cluster(&e))?;
    let mut all = Vec::new();
    for finding in findings {
        all.push(one(cluster, &catalog, finding).await);
    }
    Ok(all)
}

async fn one(cluster: &Cluster, catalog: &Catalog, finding: &Finding) -> Whole {
    if finding.change != RecordChange::Changed {
        return Err(String::new());
    }
    if finding.more_fields > 0 {
        return Err(format!(
            "{}: it differs in more fields than are told, so only those are shown",
            title(&finding.subject)
        ));
    }
    let subject = &finding.subject;
    let version = finding.api_version.rsplit('/').next().unwrap_or_default();
    let kind = GroupVersionKind::new(&subject.group, version, &subject.kind);
    let not = |why: String| format!("{} is not shown in full: {why}", title(subject));
    let Some(resource) = catalog.resource(&kind) else {
        return Err(not("its kind is not served any more".to_owned()));
    };
    let namespace = subject.namespace.as_deref();
    match cluster::read::object(&cluster.client, &kind, resource, namespace, &subject.name).await {
        Ok(Some(live)) => {
            let group_kind = GroupKind::new(&subject.group, &subject.kind);
            Ok(sides(&redact::object(&group_kind, &live), &finding.fields))
        }
        Ok(None) => Err(not("it is not there any more".to_owned())),
        Err(error) => Err(not(words::clean(&error.to_string()))),
    }
}

/// What runs, with each field that differs as it is declared, and as it was seen live.
fn sides(live: &Value, fields: &[Field]) -> Sides {
    let mut cut = Vec::new();
    let mut side = |n: usize| {
        let mut object = live.clone();
        for field in fields {
            let (there, value) = match n {
                0 => (words::has_declared(field), &field.declared),
                _ => (words::has_live(field), &field.live),
            };
            if let Ok(path) = field.path.parse::<FieldPath>() {
                let runs = find(live, &path.0).filter(|_| n == 1);
                let value = there.then(|| {
                    value_of(field, value.as_ref(), n, runs).unwrap_or_else(|| {
                        let side = if n == 0 { "declared" } else { "live" };
                        cut.push(format!(
                            "{} is not shown whole: more is not kept of the {side} value",
                            field.path
                        ));
                        shown(field, value.as_ref(), n)
                    })
                });
                set(&mut object, &path.0, value);
            }
        }
        object
    };
    let (declared, live) = (side(0), side(1));
    Sides {
        declared,
        live,
        cut,
    }
}

/// A side's value, if all of it is known: by the finding, or by what runs where that begins with what was kept of it.
fn value_of(field: &Field, value: Option<&Value>, n: usize, runs: Option<&Value>) -> Option<Value> {
    let Some(kept) = value.filter(|_| field.truncated) else {
        return Some(shown(field, value, n));
    };
    match kept {
        Value::String(text) if text.len() > CUT => {
            // What stands for a secret may be known by the other side alone, and is masked in what was kept only.
            let runs = runs.filter(|_| !field.sensitive)?;
            let begins = match runs {
                Value::String(all) => all.starts_with(text),
                other => other.to_string().starts_with(text),
            };
            begins.then(|| runs.clone())
        }
        kept => Some(kept.clone()),
    }
}

/// What stands at a path.
fn find<'a>(at: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    let Some((first, rest)) = steps.split_first() else {
        return Some(at);
    };
    let next = match first {
        Step::Field(name) => at.get(name),
        Step::Select(keys, nth) => {
            let is_it = |e: &&Value| keys.iter().all(|(k, v)| e.get(k) == Some(v));
            at.as_array()?.iter().filter(is_it).nth(*nth)
        }
        Step::Index(n) => at.get(n),
        Step::Member(member) => at.as_array()?.iter().find(|e| *e == member),
        Step::AnyMember => None,
    };
    find(next?, rest)
}

/// Sets what stands at a path, or takes it away.
fn set(at: &mut Value, steps: &[Step], value: Option<Value>) {
    let Some((first, rest)) = steps.split_first() else {
        *at = value.unwrap_or(Value::Null);
        return;
    };
    match first {
        Step::Field(name) => {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            let Some(map) = at.as_object_mut() else {
                return;
            };
            match (&value, rest.is_empty()) {
                (None, true) => drop(map.remove(name)),
                // Nothing is taken from what is not there.
                (None, false) if !map.contains_key(name) => {}
                _ => set(map.entry(name.clone()).or_insert(Value::Null), rest, value),
            }
        }
        Step::Select(keys, nth) => {
            let is_it = |e: &Value| keys.iter().all(|(k, v)| e.get(k) == Some(v));
            element(
                at,
                rest,
                value,
                |list| {
                    let mut found = list.iter().enumerate().filter(|(_, e)| is_it(e));
                    found.nth(*nth).map(|(n, _)| n)
                },
                || Value::Object(keys.iter().cloned().collect()),
            );
        }
        Step::Index(n) => element(
            at,
            rest,
            value,
            |list| (*n < list.len()).then_some(*n),
            || Value::Null,
        ),
        Step::Member(member) => {
            element(
                at,
                rest,
                value,
                |list| list.iter().position(|e| e == member),
                || member.clone(),
            );
        }
        Step::AnyMember => element(at, rest, value, |_| None, || Value::Null),
    }
}

/// The same for an element of a list.
fn element(
    at: &mut Value,
    rest: &[Step],
    value: Option<Value>,
    find: impl Fn(&[Value]) -> Option<usize>,
    new: impl Fn() -> Value,
) {
    if !at.is_array() {
        if value.is_none() {
            return;
        }
        *at = Value::Array(Vec::new());
    }
    let Some(list) = at.as_array_mut() else {
        return;
    };
    let index = match (find(list), &value) {
        (Some(index), None) if rest.is_empty() => {
            list.remove(index);
            return;
        }
        (Some(index), _) => index,
        (None, None) => return,
        (None, Some(_)) => {
            list.push(new());
            list.len() - 1
        }
    };
    if let Some(found) = list.get_mut(index) {
        set(found, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(path: &str, change: &str, declared: Value, live: Value) -> Field {
        let mut field = json!({"path": path, "change": change, "basis": "Declared", "by": {"evidence": "None"}});
        for (key, value) in [("declared", declared), ("live", live)] {
            if !value.is_null() {
                field[key] = value;
            }
        }
        serde_json::from_value(field).expect("a field")
    }

    #[test]
    fn the_declared_side_is_what_runs_with_the_declared_values() {
        let live = json!({"metadata": {"name": "web", "labels": {"hand": "made"}}, "spec": {"replicas": 3, "containers": [
            {"name": "web", "image": "a:2", "tty": true}, {"name": "sidecar", "image": "s"}]}});
        let fields = [
            field("spec.replicas", "Changed", json!(1), json!(3)),
            field(
                "spec.containers[name=web].image",
                "Changed",
                json!("a:1"),
                json!("a:2"),
            ),
            field(
                "spec.containers[name=web].tty",
                "Added",
                Value::Null,
                json!(true),
            ),
            field(
                "spec.containers[name=sidecar]",
                "Added",
                Value::Null,
                json!({"name": "sidecar", "image": "s"}),
            ),
            field("spec.paused", "Missing", json!(true), Value::Null),
            field("metadata.labels.hand", "Added", Value::Null, json!("made")),
        ];
        let Sides {
            declared,
            live: now,
            ..
        } = sides(&live, &fields);
        assert_eq!(now, live);
        assert_eq!(
            declared,
            json!({"metadata": {"name": "web", "labels": {}}, "spec": {"replicas": 1, "paused": true, "containers": [{"name": "web", "image": "a:1"}]}})
        );
    }

    #[test]
    fn what_is_withheld_differs_on_both_sides_and_is_not_shown() {
        let live = json!({"data": {"key": "(withheld)", "other": "(withheld)"}});
        let mut secret = field("data.key", "Changed", Value::Null, Value::Null);
        secret.sensitive = true;
        let Sides {
            declared,
            live: now,
            ..
        } = sides(&live, &[secret]);
        assert_ne!(declared, now);
        assert_eq!(declared["data"]["other"], now["data"]["other"]);
    }

    #[test]
    fn a_long_value_that_runs_is_shown_whole() {
        let long = format!("{}\nlast line", "word ".repeat(80));
        let live = json!({"data": {"text": long, "other": "short"}});
        let kept = long.get(..redact::MAX_VALUE_BYTES).expect("a beginning");
        let mut text = field("data.text", "Changed", json!("before"), json!(kept));
        text.truncated = true;
        text.excerpt = serde_json::from_value(json!({"declared": "before", "live": "word…"})).ok();
        let shown = sides(&live, &[text.clone()]);
        assert_eq!(shown.live, live);
        assert_eq!(shown.declared["data"]["text"], "before");
        assert_eq!(shown.cut, Vec::<String>::new());
        // Of what is declared no more is known than what was kept.
        (text.declared, text.live) = (text.live, text.declared);
        let shown = sides(&json!({"data": {"text": "before"}}), &[text.clone()]);
        assert_eq!(shown.live["data"]["text"], "before");
        assert_eq!(
            shown.cut,
            ["data.text is not shown whole: more is not kept of the declared value"]
        );
        // What may be secret is shown as it was kept, whatever runs.
        (text.declared, text.live) = (text.live, text.declared);
        text.sensitive = true;
        let shown = sides(&live, &[text]);
        assert_ne!(shown.live["data"]["text"], live["data"]["text"]);
        assert_eq!(shown.cut.len(), 1);
    }
}
