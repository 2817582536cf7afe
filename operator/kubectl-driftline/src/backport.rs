//! The way back into Git: the patch that makes the file declare what runs, where that is a plain value on a known line of plain YAML.
//!
//! A line is changed as text, so that comments and style stay, and the result is believed only if, parsed again, exactly that one value
//! of the file has become what runs. Everything else is for a person.

use std::path::{Path, PathBuf};

use driftline_crds::{DriftRecordStatus, Field};
use serde_json::Value;
use similar::TextDiff;

use crate::output::words;

/// How what runs gets into Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backport {
    /// By a patch for `git apply`; and what it leaves out.
    Patch {
        /// The unified diff.
        text: String,
        /// Paths of fields that it leaves out.
        rest: Vec<String>,
    },
    /// By hand: where to look.
    ByHand(String),
    /// There is nothing to bring back.
    None,
}

/// For a record; the file is looked for in a checkout, by default the working directory's.
pub fn of(status: &DriftRecordStatus, checkout: Option<&Path>) -> Backport {
    let Some(at) = status
        .declared_at
        .as_ref()
        .filter(|_| !status.fields.is_empty())
    else {
        return Backport::None;
    };
    let place = words::place(at, None);
    if at.document.is_none() || at.line.is_none() {
        return Backport::ByHand(format!(
            "it is rendered from {place}; change the values or templates there"
        ));
    }
    let start = checkout.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let root = git2::Repository::discover(&start)
        .ok()
        .and_then(|r| r.workdir().map(Path::to_owned));
    let safe = Path::new(&at.file)
        .components()
        .all(|c| matches!(c, std::path::Component::Normal(_)));
    let text = root
        .filter(|_| safe)
        .and_then(|root| std::fs::read_to_string(root.join(&at.file)).ok());
    let Some(text) = text else {
        return Backport::ByHand(format!(
            "edit {place}; for a patch run this in a checkout of the repository, or name one with --repo DIR"
        ));
    };
    patch(&at.file, &text, &status.fields).unwrap_or_else(|| {
        Backport::ByHand(format!(
            "edit {place}; its values cannot be replaced line by line"
        ))
    })
}

/// A patch of a file for those of the fields that can be changed on their line; `None` if none can.
fn patch(file: &str, text: &str, fields: &[Field]) -> Option<Backport> {
    let mut now = text.to_owned();
    let mut rest = Vec::new();
    for field in fields {
        match changed(&now, field) {
            Some(better) => now = better,
            None => rest.push(field.path.clone()),
        }
    }
    if now == text {
        return None;
    }
    let diff = TextDiff::from_lines(text, &now);
    let (before, after) = (format!("a/{file}"), format!("b/{file}"));
    let text = diff
        .unified_diff()
        .context_radius(3)
        .header(&before, &after)
        .to_string();
    Some(Backport::Patch { text, rest })
}

/// The file with one field as it is live.
fn changed(text: &str, field: &Field) -> Option<String> {
    if field.change != "Changed" || field.sensitive || field.truncated {
        return None;
    }
    let (declared, live, line) = (field.declared.as_ref()?, field.live.as_ref()?, field.line?);
    if declared.is_object() || declared.is_array() || live.is_object() || live.is_array() {
        return None;
    }
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    let old = text.split_inclusive('\n').nth(index)?;
    let scalar = scalar(live)?;
    for (from, to) in values(old) {
        let (head, tail) = (old.get(..from)?, old.get(to..)?);
        let new = format!("{head}{scalar}{tail}");
        let lines = text.split_inclusive('\n').enumerate();
        let better: String = lines
            .map(|(i, l)| if i == index { &*new } else { l })
            .collect();
        if is_exactly(text, &better, declared, live) {
            return Some(better);
        }
    }
    None
}

/// Where values may stand on a line: after `: `, up to a comment, a comma, a closing brace or the end.
fn values(line: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices(':') {
        let after = line.get(at + 1..).unwrap_or_default();
        if !after.starts_with([' ', '\t']) {
            continue;
        }
        let from = at + 1 + (after.len() - after.trim_start_matches([' ', '\t']).len());
        let value = line.get(from..).unwrap_or_default();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let length = match quote {
            Some(quote) => value
                .get(1..)
                .and_then(|v| v.find(quote))
                .map(|end| end + 2),
            None => None,
        };
        let whole = value.trim_end_matches(['\n', '\r']);
        let plain = whole
            .find(" #")
            .map_or(whole, |end| whole.get(..end).unwrap_or(whole));
        let mut ends: Vec<usize> = length.into_iter().collect();
        ends.push(plain.trim_end().len());
        ends.extend(
            plain
                .find([',', '}'])
                .map(|end| plain.get(..end).unwrap_or(plain).trim_end().len()),
        );
        found.extend(
            ends.into_iter()
                .filter(|l| *l > 0)
                .map(|l| (from, from + l)),
        );
    }
    found
}

/// A value as YAML writes it, on one line.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let plain = |c: char| {
                c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@')
            };
            let bare = !text.is_empty()
                && text.chars().all(plain)
                && !text.ends_with(':')
                && !text.starts_with(['-', ':', '@'])
                && parse(text)? == [Value::String(text.clone())];
            if bare {
                Some(text.clone())
            } else {
                // JSON's strings are YAML's double-quoted ones.
                serde_json::to_string(text).ok()
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// All documents of a text, as the API server would read them.
fn parse(text: &str) -> Option<Vec<Value>> {
    let mut documents = Vec::new();
    let mut document = String::new();
    for line in text.split_inclusive('\n').chain(["---\n"]) {
        if !line.starts_with("---") {
            document.push_str(line);
            continue;
        }
        if document
            .lines()
            .any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'))
        {
            let mut options = serde_saphyr::Options::default();
            options.legacy_octal_numbers = true;
            documents.push(serde_saphyr::from_str_with_options(&document, options).ok()?);
        }
        document = line.trim_start_matches('-').trim_start().to_owned();
    }
    Some(documents)
}

/// True if the two texts differ in exactly one value, which was `declared` and is `live`.
fn is_exactly(before: &str, after: &str, declared: &Value, live: &Value) -> bool {
    let (Some(before), Some(after)) = (parse(before), parse(after)) else {
        return false;
    };
    let mut differences = Vec::new();
    differing(
        &Value::Array(before),
        &Value::Array(after),
        &mut differences,
    );
    let same = |a: &Value, b: &Value| a == b || text_of(a) == text_of(b);
    matches!(&*differences, [(from, to)] if same(from, declared) && to == live)
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn differing(one: &Value, other: &Value, found: &mut Vec<(Value, Value)>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() && a.keys().eq(b.keys()) => {
            a.values()
                .zip(b.values())
                .for_each(|(a, b)| differing(a, b, found));
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| differing(a, b, found));
        }
        (a, b) if a == b => {}
        (a, b) => found.push((a.clone(), b.clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(path: &str, declared: Value, live: Value, line: u32) -> Field {
        serde_json::from_value(json!({"path": path, "change": "Changed", "basis": "Declared", "by": {"evidence": "None"},
            "declared": declared, "live": live, "line": line}))
        .expect("a field")
    }

    const FILE: &str = "# The shop\na: {image: shop/web:1.4.2, n: 3}\n---\nspec:\n  replicas: 3 # three\n  mode: \"on\"\n  text: |\n    one\n";

    fn patched(fields: &[Field]) -> Option<(String, Vec<String>)> {
        match patch("deploy/web.yaml", FILE, fields)? {
            Backport::Patch { text, rest } => Some((text, rest)),
            _ => None,
        }
    }

    #[test]
    fn a_value_is_changed_on_its_line_and_comments_stay() {
        let fields = [
            field(
                "a.image",
                json!("shop/web:1.4.2"),
                json!("shop/web:hotfix"),
                2,
            ),
            field("spec.replicas", json!(3), json!(5), 5),
            field("spec.mode", json!("on"), json!("off"), 6),
        ];
        let (text, rest) = patched(&fields).expect("a patch");
        assert!(rest.is_empty(), "{rest:?}");
        for line in [
            "--- a/deploy/web.yaml\n+++ b/deploy/web.yaml\n",
            "-a: {image: shop/web:1.4.2, n: 3}\n+a: {image: shop/web:hotfix, n: 3}\n",
            "-  replicas: 3 # three\n",
            "+  replicas: 5 # three\n",
            "+  mode: \"off\"\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in:\n{text}");
        }
    }

    #[test]
    fn what_cannot_be_done_safely_is_left_to_a_person() {
        let block = field("spec.text", json!("one\n"), json!("two\n"), 7);
        assert_eq!(patched(std::slice::from_ref(&block)), None);
        let elsewhere = field("spec.replicas", json!(4), json!(5), 5);
        assert_eq!(
            patched(&[elsewhere]),
            None,
            "the checkout declares something else"
        );
        let good = field("spec.replicas", json!(3), json!(5), 5);
        let (_, rest) = patched(&[good, block]).expect("a patch");
        assert_eq!(rest, ["spec.text"]);
        let hidden = Field {
            sensitive: true,
            ..field("spec.replicas", json!(3), json!(5), 5)
        };
        assert_eq!(patched(&[hidden]), None);
    }

    #[test]
    fn a_text_that_yaml_would_read_as_something_else_is_quoted() {
        assert_eq!(scalar(&json!("off")).as_deref(), Some("\"off\""));
        assert_eq!(scalar(&json!("3")).as_deref(), Some("\"3\""));
        assert_eq!(scalar(&json!("a: b # c")).as_deref(), Some("\"a: b # c\""));
        assert_eq!(
            scalar(&json!("shop/web:1.4.2")).as_deref(),
            Some("shop/web:1.4.2")
        );
    }
}
