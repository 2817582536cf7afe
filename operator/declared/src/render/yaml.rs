//! YAML as the API server reads it, with the line of every node.
//!
//! `sigs.k8s.io/yaml`, which kubectl and the API server use, is YAML 1.1: `yes` and `on` are booleans, also as keys;
//! `0644` is octal, `1_0` is ten, `3.0` is the integer 3, dates are strings, `<<` merges, keys of mappings become
//! strings. Duplicate keys, which it lets pass, are refused here: nobody can mean both.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Error as YamlError, Options, Spanned};

use super::json::Strict;

/// The deepest nesting that is read. serde_json reads 128 levels, and an object is wrapped a few times on its way.
const DEPTH: usize = 100;

/// A value with the line it stands on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The line, counted from 1 within the text that was parsed; 0 where it is not known.
    pub(crate) line: u32,
    pub(crate) body: Body,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    Scalar(Value),
    List(Vec<Node>),
    /// Members with the lines of their keys.
    Map(BTreeMap<String, (u32, Node)>),
}

/// Why a text is not YAML. Says nothing of what the text holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// Counted from 1 within the text; 0 where it is not known.
    pub(crate) line: u32,
    pub(crate) what: String,
    /// True if the text may be fine but is too much.
    pub(crate) limit: bool,
}

/// One document of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Document<'a> {
    pub(crate) text: &'a str,
    /// The line of the file on which `text` begins, counted from 1.
    pub(crate) line: u32,
}

/// Cuts a file where YAML itself does: at lines that begin with `---` or `...`; neither can be part of a value.
/// Documents without anything but comments are left out.
pub(crate) fn documents(text: &str) -> impl Iterator<Item = Document<'_>> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let length = document_length(rest);
            let (document, tail) = rest.split_at(length);
            let found = Document {
                text: document,
                line,
            };
            line += u32::try_from(document.matches('\n').count()).unwrap_or(u32::MAX);
            rest = tail;
            if has_content(document) {
                return Some(found);
            }
        }
        None
    })
}

/// Bytes up to the next marker that ends the document at the start of `text`.
fn document_length(text: &str) -> usize {
    let mut at = 0;
    // Directives (`%YAML 1.1`) belong to the document whose `---` follows them.
    let mut open = false;
    for line in text.split_inclusive('\n') {
        let marker = |m: &str| {
            line.strip_prefix(m)
                .is_some_and(|r| r.is_empty() || r.starts_with(char::is_whitespace))
        };
        if marker("...") {
            return at + line.len();
        }
        if marker("---") {
            if open {
                return at;
            }
            open = true;
        } else if is_content(line) && !line.starts_with('%') {
            open = true;
        }
        at += line.len();
    }
    at
}

fn is_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

fn has_content(document: &str) -> bool {
    document.lines().any(|line| {
        let bare = line
            .strip_prefix("---")
            .or_else(|| line.strip_prefix("..."))
            .unwrap_or(line);
        is_content(bare) && !line.starts_with('%')
    })
}

/// Reads one document; `Ok(None)` if it is empty or null.
///
/// # Errors
/// With the line within the document.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, ParseError> {
    if text.trim_start().starts_with('{') {
        // What looks like JSON is read as JSON; flow style that is not is read as YAML.
        if let Ok(value) = serde_json::from_str::<Strict>(text) {
            let plain = Node::from_value(value.0);
            let lined = parse_yaml(text)
                .ok()
                .flatten()
                .filter(|node| node.same_value(&plain));
            return Ok(Some(lined.unwrap_or(plain)));
        }
    }
    parse_yaml(text)
}

fn parse_yaml(text: &str) -> Result<Option<Node>, ParseError> {
    let node: Node =
        serde_saphyr::from_str_with_options(text, options()).map_err(|e| explain(&e))?;
    Ok(Some(node).filter(|n| n.body != Body::Scalar(Value::Null)))
}

fn options() -> Options {
    let mut options = Options::default();
    options.legacy_octal_numbers = true;
    options.with_snippet = false;
    options.emit_comments = false;
    options.duplicate_keys = serde_saphyr::options::DuplicateKeyPolicy::Error;
    options.alias_limits.max_total_replayed_events = 200_000;
    options.alias_limits.max_replay_stack_depth = 32;
    let mut budget = serde_saphyr::Budget::default();
    budget.max_depth = DEPTH;
    budget.max_nodes = 2_000_000;
    budget.max_events = 5_000_000;
    budget.max_documents = 2;
    budget.max_aliases = 50_000;
    budget.max_merge_keys = 10_000;
    // The absolute limits do; a chart with one anchor used a thousand times is no attack.
    budget.enforce_alias_anchor_ratio = false;
    options.budget = Some(budget);
    options
}

/// The error in words that hold nothing of the text: it may be a Secret.
fn explain(error: &YamlError) -> ParseError {
    let line = error
        .location()
        .map_or(0, |l| u32::try_from(l.line()).unwrap_or(0));
    let mut error = error.without_snippet();
    while let YamlError::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    let (what, limit) = match error {
        YamlError::Budget { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasReplayCounterOverflow { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => (
            format!(
                "is too much to read (aliases, nodes, or nesting over {DEPTH} levels): split it"
            ),
            true,
        ),
        YamlError::DuplicateMappingKey { .. } => (
            "has the same key twice in one mapping: take one out".to_owned(),
            false,
        ),
        YamlError::UnknownAnchor { .. } => (
            "uses an alias whose anchor is not in the document".to_owned(),
            false,
        ),
        YamlError::NonFiniteFloat { .. } => (
            "holds a number that JSON cannot carry (`.nan` or `.inf`): quote it".to_owned(),
            false,
        ),
        other => match scanner_words(other) {
            Some(words) => (format!("is not valid YAML: {words}"), false),
            None => (
                "is not valid YAML here: look at indentation, quotes and colons".to_owned(),
                false,
            ),
        },
    };
    ParseError { line, what, limit }
}

/// The scanner's own words, if they quote nothing.
fn scanner_words(error: &YamlError) -> Option<String> {
    let text = match error {
        YamlError::ExternalMessage { msg, .. } => msg,
        _ => return None,
    };
    let plain = text.len() < 120
        && text
            .chars()
            .all(|c| c.is_ascii_alphabetic() || " ,.-()".contains(c));
    plain.then(|| text.clone())
}

impl Node {
    /// A value without lines.
    pub(crate) fn from_value(value: Value) -> Self {
        let body = match value {
            Value::Array(items) => Body::List(items.into_iter().map(Node::from_value).collect()),
            Value::Object(members) => Body::Map(
                members
                    .into_iter()
                    .map(|(key, value)| (key, (0, Node::from_value(value))))
                    .collect(),
            ),
            scalar => Body::Scalar(scalar),
        };
        Node { line: 0, body }
    }

    /// A member of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.body {
            Body::Map(members) => members.get(key).map(|(_, node)| node),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.body, Body::Scalar(Value::Null))
    }

    /// The text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.body {
            Body::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The value without its lines.
    pub(crate) fn without_lines(self) -> Self {
        let body = match self.body {
            Body::List(items) => Body::List(items.into_iter().map(Node::without_lines).collect()),
            Body::Map(members) => Body::Map(
                members
                    .into_iter()
                    .map(|(key, (_, node))| (key, (0, node.without_lines())))
                    .collect(),
            ),
            scalar => scalar,
        };
        Node { line: 0, body }
    }

    fn same_value(&self, other: &Node) -> bool {
        match (&self.body, &other.body) {
            (Body::Scalar(a), Body::Scalar(b)) => a == b,
            (Body::List(a), Body::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_value(b))
            }
            (Body::Map(a), Body::Map(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|((k, (_, a)), (l, (_, b)))| k == l && a.same_value(b))
            }
            _ => false,
        }
    }

    /// The value, and the line of each of its nodes in pre-order, moved down by `offset`.
    /// A member's line is that of its key.
    pub(crate) fn into_value(self, offset: u32) -> (Value, Vec<u32>) {
        let mut lines = Vec::new();
        let line = self.line;
        let value = self.collect(line, offset, &mut lines);
        (value, lines)
    }

    fn collect(self, line: u32, offset: u32, lines: &mut Vec<u32>) -> Value {
        lines.push(line + offset);
        match self.body {
            Body::Scalar(value) => value,
            Body::List(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| {
                        let line = item.line;
                        item.collect(line, offset, lines)
                    })
                    .collect(),
            ),
            Body::Map(members) => {
                // A BTreeMap of strings and serde_json's map are in the same order.
                let members = members
                    .into_iter()
                    .map(|(key, (line, node))| (key, node.collect(line, offset, lines)));
                Value::Object(members.collect::<Map<String, Value>>())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Body>::deserialize(deserializer)?;
        Ok(Node {
            line: line_of(&spanned),
            body: spanned.value,
        })
    }
}

fn line_of<T>(spanned: &Spanned<T>) -> u32 {
    u32::try_from(spanned.referenced.line()).unwrap_or(0)
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Body, E> {
        Ok(Body::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Body, E> {
        Ok(Body::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Body, E> {
        Ok(Body::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Body, E> {
        Ok(Body::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Body, E> {
        Ok(Body::Scalar(value.into()))
    }

    // Go reads integers beyond 64 bits as floats.
    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Body, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Body, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Body, E> {
        number(value)
            .map(|n| Body::Scalar(Value::Number(n)))
            .ok_or_else(|| E::custom("not a JSON number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Body, E> {
        Ok(Body::Scalar(Value::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Body, E> {
        Ok(Body::Scalar(Value::String(value)))
    }

    // `!!binary` is text to Go.
    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<Body, E> {
        std::str::from_utf8(value)
            .map_err(|_| E::custom("binary that is not text"))
            .and_then(|text| self.visit_str(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Body, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Body::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(key) = map.next_key::<Spanned<Key>>()? {
            let line = line_of(&key);
            let value = map.next_value::<Node>()?;
            // `true` and `"true"` are two keys to YAML and one to JSON.
            if members.insert(key.value.0, (line, value)).is_some() {
                return Err(A::Error::custom("the same key twice"));
            }
        }
        Ok(Body::Map(members))
    }
}

/// A float as Go writes it into JSON: whole numbers without a point.
pub(super) fn number(value: f64) -> Option<Number> {
    if value.fract() == 0.0 {
        if value.abs() < i64::MAX as f64 {
            return Some((value as i64).into());
        }
        if (0.0..u64::MAX as f64).contains(&value) {
            return Some((value as u64).into());
        }
    }
    Number::from_f64(value)
}

/// A key: what YAML 1.1 makes of it, as text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Body::deserialize(deserializer)? {
            Body::Scalar(Value::String(text)) => Ok(Key(text)),
            Body::Scalar(Value::Bool(value)) => Ok(Key(value.to_string())),
            Body::Scalar(Value::Number(value)) => Ok(Key(value.to_string())),
            _ => Err(D::Error::custom("a key that is no text")),
        }
    }
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
