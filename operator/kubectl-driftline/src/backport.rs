//! The way back into Git: the patch that makes the file declare what runs, where that is a plain value on a known line of plain YAML.
//!
//! A line is changed as text, so that comments and style stay, and the result is believed only if, parsed again, exactly that one value
//! of the file has become what runs. Everything else is for a person.

use std::path::{Path, PathBuf};

use drift::FieldPath;
use drift::path::Step;
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
    let Some(document) = at.document.filter(|_| at.line.is_some()) else {
        return Backport::ByHand(format!(
            "it is rendered from {place}; change the values or templates there"
        ));
    };
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
    patch(&at.file, &text, document, &status.fields).unwrap_or_else(|| {
        Backport::ByHand(format!(
            "edit {place}; its values cannot be replaced line by line"
        ))
    })
}

/// A patch of a file for those of the fields that can be changed on their line; `None` if none can.
fn patch(file: &str, text: &str, document: u32, fields: &[Field]) -> Option<Backport> {
    let mut now = text.to_owned();
    let mut rest = Vec::new();
    for field in fields {
        match changed(&now, document, field) {
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

/// The file with one field as it is live; `None` where no change of its line, or more than one, makes it so.
fn changed(text: &str, document: u32, field: &Field) -> Option<String> {
    if field.change != "Changed" || field.sensitive || field.truncated {
        return None;
    }
    let (declared, live, line) = (field.declared.as_ref()?, field.live.as_ref()?, field.line?);
    if declared.is_object() || declared.is_array() || live.is_object() || live.is_array() {
        return None;
    }
    // A path that was cut or has withheld parts is none, or leads nowhere.
    let wanted = Wanted {
        document: usize::try_from(document).ok()?.checked_sub(1)?,
        path: field.path.parse().ok()?,
        declared,
        live,
    };
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    let old = text.split_inclusive('\n').nth(index)?;
    let scalar = scalar(live)?;
    let before = parse(text)?;
    let mut found: Option<String> = None;
    for (from, to) in values(old) {
        let (head, tail) = (old.get(..from)?, old.get(to..)?);
        let new = format!("{head}{scalar}{tail}");
        let lines = text.split_inclusive('\n').enumerate();
        let better: String = lines
            .map(|(i, l)| if i == index { &*new } else { l })
            .collect();
        if !wanted.is_all(&before, &better) {
            continue;
        }
        if found.as_ref().is_some_and(|other| *other != better) {
            return None;
        }
        found = Some(better);
    }
    found
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

/// The one change that is asked for.
struct Wanted<'a> {
    /// Counted from 0.
    document: usize,
    path: FieldPath,
    declared: &'a Value,
    live: &'a Value,
}

impl Wanted<'_> {
    /// True if this is all by which a file's documents and another text of it differ.
    fn is_all(&self, before: &[Value], after: &str) -> bool {
        let Some(after) = parse(after).filter(|a| a.len() == before.len()) else {
            return false;
        };
        let mut differences = Vec::new();
        for (n, (one, other)) in before.iter().zip(&after).enumerate() {
            differing(one, other, &mut vec![At::Index(n)], &mut differences);
        }
        let [only] = &*differences else {
            return false;
        };
        let same = |a: &Value, b: &Value| a == b || text_of(a) == text_of(b);
        let Some((At::Index(document), path)) = only.at.split_first() else {
            return false;
        };
        *document == self.document
            && same(only.from, self.declared)
            && only.to == self.live
            && before
                .get(*document)
                .is_some_and(|d| leads_to(d, &self.path.0, path))
    }
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// One step to a value of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At<'a> {
    Key(&'a str),
    Index(usize),
}

/// A value that is another one in another text.
struct Difference<'a> {
    at: Vec<At<'a>>,
    from: &'a Value,
    to: &'a Value,
}

fn differing<'a>(
    one: &'a Value,
    other: &'a Value,
    at: &mut Vec<At<'a>>,
    found: &mut Vec<Difference<'a>>,
) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() && a.keys().eq(b.keys()) => {
            for ((key, a), b) in a.iter().zip(b.values()) {
                at.push(At::Key(key));
                differing(a, b, at, found);
                at.pop();
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                at.push(At::Index(n));
                differing(a, b, at, found);
                at.pop();
            }
        }
        (a, b) if a == b => {}
        (from, to) => found.push(Difference {
            at: at.clone(),
            from,
            to,
        }),
    }
}

/// True if a field's path means this place of a document: of the object that it is, or of one in the list that it is.
fn leads_to(document: &Value, path: &[Step], at: &[At<'_>]) -> bool {
    let items = document
        .get("kind")
        .and_then(Value::as_str)
        .filter(|kind| kind.ends_with("List"))
        .and_then(|_| document.get("items")?.as_array());
    match (items, at) {
        (Some(items), [At::Key("items"), At::Index(n), rest @ ..]) => {
            items.get(*n).is_some_and(|item| leads_to(item, path, rest))
        }
        _ => follows(document, path, at),
    }
}

fn follows(value: &Value, path: &[Step], at: &[At<'_>]) -> bool {
    let (step, path, place, at) = match (path, at) {
        ([], []) => return true,
        ([step, path @ ..], [place, at @ ..]) => (step, path, place, at),
        _ => return false,
    };
    let next = match (step, place) {
        (Step::Field(name), At::Key(key)) if name == key => value.get(key),
        (Step::Index(n), At::Index(place)) if n == place => value.get(n),
        (Step::Select(keys, _), At::Index(place)) => element(value, keys, *place),
        _ => None,
    };
    next.is_some_and(|next| follows(next, path, at))
}

/// The element of a list, if it is the only one that can have these keys: a file may leave out those that have defaults.
fn element<'a>(list: &'a Value, keys: &[(String, Value)], place: usize) -> Option<&'a Value> {
    let can_be = |element: &Value| {
        let fits = |(name, value): &(String, Value)| match element.get(name) {
            Some(there) => there == value,
            None => true,
        };
        element.is_object() && keys.iter().all(fits)
    };
    let mut fitting = list
        .as_array()?
        .iter()
        .enumerate()
        .filter(|(_, e)| can_be(e));
    match (fitting.next(), fitting.next()) {
        (Some((n, found)), None) if n == place => Some(found),
        _ => None,
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

    fn patched_in(file: &str, document: u32, fields: &[Field]) -> Option<(String, Vec<String>)> {
        match patch("deploy/web.yaml", file, document, fields)? {
            Backport::Patch { text, rest } => Some((text, rest)),
            _ => None,
        }
    }

    fn patched(fields: &[Field]) -> Option<(String, Vec<String>)> {
        patched_in(FILE, 2, fields)
    }

    #[test]
    fn a_value_is_changed_on_its_line_and_comments_stay() {
        let (from, to) = (json!("shop/web:1.4.2"), json!("shop/web:hotfix"));
        let image = field("a.image", from, to, 2);
        let (text, rest) = patched_in(FILE, 1, &[image]).expect("a patch");
        assert!(rest.is_empty(), "{rest:?}");
        let line = "-a: {image: shop/web:1.4.2, n: 3}\n+a: {image: shop/web:hotfix, n: 3}\n";
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
        let fields = [
            field("spec.replicas", json!(3), json!(5), 5),
            field("spec.mode", json!("on"), json!("off"), 6),
        ];
        let (text, rest) = patched(&fields).expect("a patch");
        assert!(rest.is_empty(), "{rest:?}");
        for line in [
            "--- a/deploy/web.yaml\n+++ b/deploy/web.yaml\n",
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

    /// The lines that a patch of one field adds.
    fn added(file: &str, document: u32, field: Field) -> Option<Vec<String>> {
        let (text, _) = patched_in(file, document, &[field])?;
        let lines = text.lines().filter(|l| l.starts_with('+')).skip(1);
        Some(lines.map(str::to_owned).collect())
    }

    #[test]
    fn of_equal_values_on_a_line_that_of_the_field_is_changed() {
        let file = "spec:\n  ports:\n  - {name: http, port: 80, targetPort: 80}\n  - {name: web, port: 81}\n  \
                    resources: {limits: {cpu: 1}, requests: {cpu: 1}}\n";
        let select = "spec.ports[port=80,protocol=TCP].targetPort";
        assert_eq!(
            added(file, 1, field(select, json!(80), json!(8080), 3)),
            Some(vec![
                "+  - {name: http, port: 80, targetPort: 8080}".to_owned()
            ])
        );
        let requests = "spec.resources.requests.cpu";
        assert_eq!(
            added(file, 1, field(requests, json!(1), json!("250m"), 5)),
            Some(vec![
                "+  resources: {limits: {cpu: 1}, requests: {cpu: 250m}}".to_owned()
            ])
        );
        let elsewhere = [
            "spec.ports[port=81].targetPort",
            "spec.ports[1].targetPort",
            "spec.targetPort",
            "spec.ports[port=80].nodePort",
            "spec.ports[…",
        ];
        for path in elsewhere {
            assert_eq!(
                added(file, 1, field(path, json!(80), json!(8080), 3)),
                None,
                "{path}"
            );
        }
    }

    #[test]
    fn what_may_be_in_another_place_is_left_to_a_person() {
        let path = "spec.ports[port=80,protocol=TCP].targetPort";
        let twice =
            "spec:\n  ports:\n  - {port: 80, targetPort: 80}\n  - {port: 80, targetPort: 81}\n";
        assert_eq!(
            added(twice, 1, field(path, json!(80), json!(8080), 3)),
            None
        );
        let replicas = || field("spec.replicas", json!(3), json!(5), 2);
        let file = "spec:\n  replicas: 3\n---\nspec:\n  replicas: 3\n";
        assert!(added(file, 1, replicas()).is_some());
        assert_eq!(added(file, 2, replicas()), None, "another document");
        assert_eq!(added(file, 0, replicas()), None);
        let list = "kind: List\nitems: [{spec: {replicas: 3}}, {spec: {replicas: 3}}]\n";
        assert_eq!(added(list, 1, replicas()), None, "one of two objects");
        let list = "kind: List\nitems: [{spec: {replicas: 3}}, {spec: {replicas: 4}}]\n";
        assert_eq!(
            added(list, 1, replicas()),
            Some(vec![
                "+items: [{spec: {replicas: 5}}, {spec: {replicas: 4}}]".to_owned()
            ])
        );
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
