//! What a case expects, against the records that there are.

use serde_json::{Value, json};

use super::super::support::fields;

/// A case's `expect.json`, with the case's namespace in place of `$NS`.
pub(super) struct Expectation(Value);

impl Expectation {
    pub(super) fn parse(text: &str, namespace: &str) -> Result<Self, String> {
        let parsed = serde_json::from_str(&text.replace("$NS", namespace));
        parsed.map(Self).map_err(|e| format!("expect.json: {e}"))
    }

    fn objects(&self) -> &[Value] {
        self.0["objects"].as_array().map_or(&[], Vec::as_slice)
    }

    /// True if nothing may be reported.
    pub(super) fn is_trap(&self) -> bool {
        self.objects().iter().all(|o| o["drift"] == false)
    }

    fn count(&self, is: impl Fn(&Value) -> bool) -> u64 {
        self.objects().iter().map(|o| u64::from(is(o))).sum()
    }

    /// How many objects cannot be compared, because their values are encrypted.
    pub(super) fn unknown(&self) -> u64 {
        self.count(|o| o["unknown"] == true)
    }

    /// How many objects it cannot be told of whether something was added.
    pub(super) fn unverified(&self) -> u64 {
        self.count(|o| o["unverified"] == true)
    }

    /// What has to be reported by somebody who did not see how it came to be.
    pub(super) fn at_first_sight(&self) -> Self {
        let open = |v: &Value| v["firstSight"] == "unverified";
        let unseen = |v: &Value| v["firstSight"] == "unseen";
        let mut expected = self.0.clone();
        for object in expected["objects"].as_array_mut().into_iter().flatten() {
            let mut left_open = open(object);
            let mut gone = unseen(object);
            if let Some(fields) = object["fields"].as_array_mut() {
                let before = fields.len();
                fields.retain(|f| !unseen(f));
                gone |= fields.is_empty() && before > 0;
                fields.retain(|f| !open(f));
                left_open |= fields.is_empty() && before > 0 && !gone;
            }
            if left_open || gone {
                object["drift"] = json!(false);
            }
            if left_open {
                object["unverified"] = json!(true);
            }
        }
        Self(expected)
    }

    /// The oldest minor version of Kubernetes on which the case can happen.
    pub(super) fn needs_minor(&self) -> Option<u32> {
        self.0["needs"].as_str()?.strip_prefix("1.")?.parse().ok()
    }

    /// Everything that is wrong about these open records.
    pub(super) fn judge(&self, open: &[Value]) -> Vec<String> {
        let objects = self.objects();
        let mut wrong: Vec<String> = objects
            .iter()
            .filter_map(|object| judge(object, open).err())
            .collect();
        let unexpected: Vec<Value> = open
            .iter()
            .filter(|record| !objects.iter().any(|o| is_of(o, record)))
            .cloned()
            .collect();
        if !unexpected.is_empty() {
            wrong.push(format!("also reported: {}", shown(&unexpected)));
        }
        wrong
    }
}

pub(super) fn shown(records: &[Value]) -> String {
    let all = records.iter().map(|r| {
        format!(
            "{} {} {:?}",
            r["status"]["display"]["subject"],
            r["status"]["change"],
            fields(r)
        )
    });
    all.collect::<Vec<_>>().join(", ")
}

fn is_of(object: &Value, record: &Value) -> bool {
    let subject = &record["spec"]["subject"]["kubernetes"];
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    subject["kind"] == object["kind"]
        && subject["name"] == object["name"]
        && subject["namespace"] == object["namespace"]
        && subject["group"].as_str().unwrap_or_default() == group
}

fn judge(object: &Value, open: &[Value]) -> Result<(), String> {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let name = format!("{} {}", text("kind"), text("name"));
    let record = open.iter().find(|record| is_of(object, record));
    let record = match (record, object["drift"] == true) {
        (None, false) => return Ok(()),
        (None, true) => return Err(format!("{name}: not reported")),
        (Some(record), false) => {
            let shown = shown(std::slice::from_ref(record));
            return Err(format!("{name}: reported: {shown}"));
        }
        (Some(record), true) => record,
    };
    let level = match object["objectLevel"].as_str() {
        Some("MissingObject") => "Missing",
        Some(other) => other,
        None => "Changed",
    };
    if record["status"]["change"] != level {
        let change = &record["status"]["change"];
        return Err(format!("{name}: {change} instead of {level}"));
    }
    let mut found = record["status"]["fields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let secret = object["kind"] == "Secret";
    let mut wrong = Vec::new();
    for wanted in object["fields"].as_array().map_or(&[][..], Vec::as_slice) {
        match found.iter().position(|f| is_reported(wanted, f, secret)) {
            Some(place) => drop(found.swap_remove(place)),
            None if is_reported_in_parts(wanted, &found) => {
                found.retain(|f| !is_below(wanted, f));
            }
            None => wrong.push(format!("no field {wanted}")),
        }
    }
    let found: Vec<String> = found.iter().map(brief).collect();
    if !found.is_empty() {
        wrong.push(format!("also reported: {}", found.join(", ")));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{name}: {}", wrong.join("; ")))
    }
}

fn brief(field: &Value) -> String {
    let of = |key: &str| field[key].to_string();
    format!(
        "{} {} {} -> {} ({}, {})",
        of("path"),
        of("change"),
        of("declared"),
        of("live"),
        of("basis"),
        field["by"]["manager"]
    )
}

/// Whether a record's field says what is wanted, at the wanted path or at one of its alternatives.
fn is_reported(wanted: &Value, field: &Value, secret: bool) -> bool {
    let none = Vec::new();
    let alternatives = wanted["alt"].as_array().unwrap_or(&none).iter();
    let forms = alternatives.map(|alternative| {
        let mut form = wanted.clone();
        for (key, value) in alternative.as_object().into_iter().flatten() {
            form[key] = value.clone();
        }
        form
    });
    std::iter::once(wanted.clone())
        .chain(forms)
        .any(|form| says(&form, field, secret))
}

/// A map that was added may be told part by part, together with what the server added to it.
fn is_reported_in_parts(wanted: &Value, found: &[Value]) -> bool {
    let path = wanted["path"].as_str().unwrap_or_default();
    wanted["kind"] == "Added" && wanted["live"].is_object() && covers(path, &wanted["live"], found)
}

fn covers(path: &str, value: &Value, found: &[Value]) -> bool {
    let is_it = |f: &Value| f["path"] == path && f["change"] == "Added";
    if found
        .iter()
        .any(|f| is_it(f) && contains(&f["live"], value))
    {
        return true;
    }
    let Some(members) = value.as_object().filter(|m| !m.is_empty()) else {
        return false;
    };
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    members.iter().all(|(key, member)| {
        let step = match key.chars().all(is_bare) {
            true => format!(".{key}"),
            false => format!("[{}]", json!(key)),
        };
        covers(&format!("{path}{step}"), member, found)
    })
}

fn is_below(wanted: &Value, field: &Value) -> bool {
    let path = wanted["path"].as_str().unwrap_or_default();
    let rest = field["path"].as_str().and_then(|p| p.strip_prefix(path));
    field["change"] == "Added" && rest.is_some_and(|r| r.starts_with(['.', '[']))
}

fn says(wanted: &Value, field: &Value, secret: bool) -> bool {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    if !path_fits(&text(&wanted["path"]), &text(&field["path"]))
        || wanted["kind"] != field["change"]
    {
        return false;
    }
    if secret || wanted["sensitive"] == true {
        return field["declared"].is_null() && field["live"].is_null();
    }
    value_fits(wanted, field, "declared") && value_fits(wanted, field, "live")
}

/// `*` stands for what a case cannot know, such as a uid.
fn path_fits(wanted: &str, path: &str) -> bool {
    match wanted.split_once('*') {
        None => wanted == path,
        Some((before, after)) => {
            path.len() >= before.len() + after.len()
                && path.starts_with(before)
                && path.ends_with(after)
        }
    }
}

fn value_fits(wanted: &Value, field: &Value, side: &str) -> bool {
    let (value, reported) = (&wanted[side], &field[side]);
    if value == reported {
        return true;
    }
    let added = wanted["kind"] == "Added";
    if field["truncated"] == true
        && let Some(cut) = reported.as_str()
    {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        // Of what was added the text begins with defaults, perhaps.
        return text.starts_with(cut) || (added && side == "live" && shares_a_member(value, cut));
    }
    // The server completes what was added, and elements of lists that are compared as a whole; it is not said to which degree a
    // record shows that.
    match side {
        "live" if added => contains(reported, value),
        "live" => wanted["atomic"] == true && contains(value, reported),
        _ => wanted["atomic"] == true && contains(reported, value),
    }
}

/// Whether one has at least the members of the other, in lists element by element.
fn contains(outer: &Value, inner: &Value) -> bool {
    match (outer, inner) {
        (Value::Object(outer), Value::Object(inner)) => inner
            .iter()
            .all(|(key, value)| outer.get(key).is_some_and(|o| contains(o, value))),
        (Value::Array(outer), Value::Array(inner)) => {
            outer.len() == inner.len() && outer.iter().zip(inner).all(|(o, i)| contains(o, i))
        }
        _ => outer == inner,
    }
}

fn shares_a_member(value: &Value, cut: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| shares_a_member(item, cut)),
        Value::Object(members) => members.iter().any(|(key, value)| {
            let text = json!({key: value}).to_string();
            cut.contains(text.trim_matches(['{', '}'])) || shares_a_member(value, cut)
        }),
        _ => false,
    }
}
