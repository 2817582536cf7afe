//! Compares a declared object with a live one: every declared field, by the rules of its schema. What the live object
//! has beyond the declaration is not looked at here.

use std::collections::{HashMap, HashSet};

use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use serde_json::{Map, Value};

use crate::bookkeeping::is_never_drift;
use crate::expected::is_zero;
use crate::path::{FieldPath, Step};
use crate::quantity;
use crate::schema::{ListTopology, Node, NodeId, Schema};

/// How a field differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Declared and live have different values.
    Changed,
    /// Declared, not live.
    Missing,
    /// Live, not declared.
    Added,
}

impl Change {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "Changed",
            Self::Missing => "Missing",
            Self::Added => "Added",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldDrift {
    /// Where.
    pub path: FieldPath,
    /// How.
    pub change: Change,
    /// The declared value.
    pub declared: Option<Value>,
    /// The live value; `None` where there is none.
    pub live: Option<Value>,
}

/// Every declared field of `declared` that `live` does not have or has with another value, in the order of the declaration's
/// sorted fields. `null` is absent, on both sides.
pub fn compare(declared: &Value, live: &Value, schema: &Schema) -> Vec<FieldDrift> {
    compare_at(declared, live, schema, schema.root(), Vec::new())
}

/// The same for values at a place within an object.
pub(crate) fn compare_at(
    declared: &Value,
    live: &Value,
    schema: &Schema,
    node: NodeId,
    path: Vec<Step>,
) -> Vec<FieldDrift> {
    let mut walk = Walk::new(schema, path);
    walk.value(declared, live, node);
    walk.found
}

/// True where the difference is only in what servers leave out when they store: `""`, `0`, `false`, `{}`, `[]`, at any depth, but not the
/// values of maps.
pub fn is_left_out(drift: &FieldDrift, schema: &Schema) -> bool {
    match (&drift.declared, &drift.live) {
        (Some(declared), None) => is_zero(declared) && !is_member_of_map(drift, schema),
        (Some(declared), Some(live)) => {
            let mut walk = Walk::new(schema, drift.path.0.clone());
            walk.zeroes_may_be_absent = true;
            walk.value(declared, live, schema.at(&drift.path.0));
            walk.found.is_empty()
        }
        _ => false,
    }
}

/// True for a value under a key of somebody's choice: a label, say.
fn is_member_of_map(drift: &FieldDrift, schema: &Schema) -> bool {
    let above = drift.path.0.split_last().map(|(_, above)| above);
    above.is_some_and(|above| matches!(schema.node(schema.at(above)), Node::Map { .. }))
}

struct Walk<'a> {
    schema: &'a Schema,
    path: Vec<Step>,
    found: Vec<FieldDrift>,
    zeroes_may_be_absent: bool,
}

impl<'a> Walk<'a> {
    fn new(schema: &'a Schema, path: Vec<Step>) -> Self {
        Self {
            schema,
            path,
            found: Vec::new(),
            zeroes_may_be_absent: false,
        }
    }
}

impl Walk<'_> {
    fn value(&mut self, declared: &Value, live: &Value, node: NodeId) {
        match (declared, live) {
            (Value::Null, _) => {}
            (Value::Object(d), Value::Object(l)) => self.object(d, l, node),
            (Value::Array(d), Value::Array(l)) => self.list(d, l, node),
            _ if scalar_equal(self.schema.node(node), declared, live) => {}
            _ => self.changed(declared, live),
        }
    }

    fn object(&mut self, declared: &Map<String, Value>, live: &Map<String, Value>, node: NodeId) {
        for (name, value) in declared {
            if value.is_null() {
                continue;
            }
            self.path.push(Step::Field(name.clone()));
            if !is_never_drift(&self.path) {
                match live.get(name) {
                    None | Some(Value::Null)
                        if self.zeroes_may_be_absent
                            && is_zero(value)
                            && !matches!(self.schema.node(node), Node::Map { .. }) => {}
                    None | Some(Value::Null) if self.is_pruned(node, name) => {}
                    None | Some(Value::Null) => {
                        self.gone(value, self.schema.member(node, name));
                    }
                    Some(other) => self.value(value, other, self.schema.member(node, name)),
                }
            }
            self.path.pop();
        }
    }

    /// A place that is not there. Of a map of plain values each key is told by itself, as when others are left: the server drops a map with
    /// its last key, and rules speak of keys.
    fn gone(&mut self, declared: &Value, node: NodeId) {
        let members = declared.as_object().filter(|m| self.is_plain_map(m, node));
        let Some(members) = members else {
            return self.missing(declared);
        };
        for (key, value) in members.iter().filter(|(_, v)| !v.is_null()) {
            self.path.push(Step::Field(key.clone()));
            let left_out = self.zeroes_may_be_absent && is_zero(value);
            if !left_out && !is_never_drift(&self.path) {
                self.missing(value);
            }
            self.path.pop();
        }
    }

    /// True for a map that is owned key by key, with something in it. Without a schema only labels and annotations are known to be one.
    fn is_plain_map(&self, members: &Map<String, Value>, node: NodeId) -> bool {
        let is_map = match self.schema.node(node) {
            Node::Map {
                values,
                atomic: false,
            } => !matches!(
                self.schema.node(*values),
                Node::Any | Node::Struct(_) | Node::Map { .. } | Node::List { .. }
            ),
            Node::Any => matches!(
                self.path.as_slice(),
                [.., Step::Field(metadata), Step::Field(map)]
                    if metadata == "metadata" && (map == "labels" || map == "annotations")
            ),
            _ => false,
        };
        is_map
            && members.values().any(|v| !v.is_null())
            && self
                .schema
                .atomic_above(&FieldPath(self.path.clone()))
                .is_none()
    }

    /// Fields that the schema does not know are not stored.
    ///
    /// Source: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning>.
    fn is_pruned(&self, node: NodeId, name: &str) -> bool {
        match self.schema.node(node) {
            Node::Struct(fields) => !fields.preserve_unknown && fields.field(name).is_none(),
            _ => false,
        }
    }

    fn list(&mut self, declared: &[Value], live: &[Value], node: NodeId) {
        let Node::List { items, topology } = self.schema.node(node) else {
            if !lists_equal(declared, live) {
                self.changed(&Value::from(declared), &Value::from(live));
            }
            return;
        };
        match topology {
            ListTopology::Set => self.set(declared, live, *items),
            ListTopology::Map { keys } if declared.iter().chain(live).all(Value::is_object) => {
                self.keyed(declared, live, *items, keys);
            }
            _ => self.atomic(declared, live, *items),
        }
    }

    /// One value: any difference inside is reported for the whole list. Elements are compared by what is declared of
    /// them, because the server fills in defaults inside atomic lists too.
    fn atomic(&mut self, declared: &[Value], live: &[Value], items: NodeId) {
        let known = self.found.len();
        if declared.len() == live.len() {
            for (n, (d, l)) in declared.iter().zip(live).enumerate() {
                self.path.push(Step::Index(n));
                // In a list nothing is not absent: the server stores the zero value of its elements.
                match d.is_null() && !is_zero(l) {
                    true => self.changed(d, l),
                    false => self.value(d, l, items),
                }
                self.path.pop();
            }
            if self.found.len() == known {
                return;
            }
        }
        self.found.truncate(known);
        self.changed(&Value::from(declared), &Value::from(live));
    }

    fn set(&mut self, declared: &[Value], live: &[Value], items: NodeId) {
        let known: HashSet<String> = live.iter().map(canonical).collect();
        // Equal texts are equal; other texts may be, of a type that is written in several ways.
        let exact = !matches!(
            self.schema.node(items),
            Node::Quantity | Node::Bytes | Node::Time | Node::Duration
        );
        for value in declared.iter().filter(|v| !v.is_null()) {
            let whole = exact && !value.is_object() && !value.is_array();
            let there = known.contains(&canonical(value))
                || (!whole && live.iter().any(|l| self.same(value, l, items)));
            if !there {
                self.path.push(Step::Member(value.clone()));
                self.missing(value);
                self.path.pop();
            }
        }
    }

    fn same(&self, declared: &Value, live: &Value, node: NodeId) -> bool {
        let mut walk = Walk::new(self.schema, self.path.clone());
        walk.zeroes_may_be_absent = self.zeroes_may_be_absent;
        walk.value(declared, live, node);
        walk.found.is_empty()
    }

    fn keyed(
        &mut self,
        declared: &[Value],
        live: &[Value],
        items: NodeId,
        keys: &[(std::sync::Arc<str>, Option<Value>)],
    ) {
        let mut others: HashMap<String, Vec<&Value>> = HashMap::new();
        for other in live {
            let key = canonical_key(&key_of(other, keys));
            others.entry(key).or_default().push(other);
        }
        let mut met: HashMap<String, usize> = HashMap::new();
        for value in declared {
            let identity = key_of(value, keys);
            let key = canonical_key(&identity);
            let other = others.get(&key).map_or(&[][..], Vec::as_slice);
            let met = met.entry(key).or_default();
            let nth = *met;
            *met += 1;
            let other = other.get(nth).copied();
            self.path.push(select(keys, &identity, nth));
            match other {
                Some(other) => self.value(value, other, items),
                None => self.missing(value),
            }
            self.path.pop();
        }
    }

    fn changed(&mut self, declared: &Value, live: &Value) {
        self.push(Change::Changed, declared, Some(live.clone()));
    }

    fn missing(&mut self, declared: &Value) {
        self.push(Change::Missing, declared, None);
    }

    fn push(&mut self, change: Change, declared: &Value, live: Option<Value>) {
        self.found.push(FieldDrift {
            path: FieldPath(self.path.clone()),
            change,
            declared: Some(declared.clone()),
            live,
        });
    }
}

/// The keys of a list element; a key that is left out has its default.
pub(crate) fn key_of(
    element: &Value,
    keys: &[(std::sync::Arc<str>, Option<Value>)],
) -> Vec<Option<Value>> {
    keys.iter()
        .map(|(name, default)| {
            element
                .get(&**name)
                .filter(|v| !v.is_null())
                .or(default.as_ref())
                .cloned()
        })
        .collect()
}

/// The step to the `nth` element with an identity.
pub(crate) fn select(
    keys: &[(std::sync::Arc<str>, Option<Value>)],
    identity: &[Option<Value>],
    nth: usize,
) -> Step {
    let pairs = keys
        .iter()
        .zip(identity)
        .filter_map(|((k, _), v)| Some((k.to_string(), v.clone()?)));
    Step::Select(pairs.collect(), nth)
}

/// Texts of equal keys are equal: lists are as long as an object may be large, and not to be searched for each element.
pub(crate) fn canonical_key(key: &[Option<Value>]) -> String {
    key.iter()
        .map(|part| part.as_ref().map_or_else(String::new, canonical) + "\n")
        .collect()
}

/// One text for all scalars that are [`literally_equal`].
pub(crate) fn canonical(value: &Value) -> String {
    /// Whole numbers up to here are told apart by a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() <= EXACT => format!("{float:.0}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn scalar_equal(node: &Node, a: &Value, b: &Value) -> bool {
    match node {
        Node::Quantity => quantity::equal(a, b),
        Node::Bytes => both(a, b, decode_base64),
        Node::Time => both(a, b, |t| t.parse::<jiff::Timestamp>().ok()),
        Node::Duration => both(a, b, quantity::parse_duration),
        _ => literally_equal(a, b),
    }
}

/// Equal as texts, or as what `read` makes of both.
fn both<T: PartialEq>(a: &Value, b: &Value, read: impl Fn(&str) -> Option<T>) -> bool {
    let (Some(a), Some(b)) = (a.as_str(), b.as_str()) else {
        return a == b;
    };
    a == b || read(a).zip(read(b)).is_some_and(|(a, b)| a == b)
}

/// As Go reads it: line breaks are allowed, and bits that are left over in the last byte need not be zero.
///
/// Source: <https://pkg.go.dev/encoding/base64#Encoding.Strict>.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const AS_GO_READS: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let clean: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    AS_GO_READS.decode(clean).ok()
}

/// Equal, with numbers compared by value (`3` and `3.0`) and `null` members absent.
pub fn literally_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers_equal(a, b),
        (Value::Array(a), Value::Array(b)) => lists_equal(a, b),
        (Value::Object(a), Value::Object(b)) => {
            let covers = |a: &Map<String, Value>, b: &Map<String, Value>| {
                a.iter()
                    .filter(|(_, v)| !v.is_null())
                    .all(|(k, v)| b.get(k).is_some_and(|w| literally_equal(v, w)))
            };
            covers(a, b) && covers(b, a)
        }
        _ => a == b,
    }
}

fn lists_equal(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| literally_equal(a, b))
}

fn numbers_equal(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    match (a.as_i64(), b.as_i64(), a.as_u64(), b.as_u64()) {
        (Some(a), Some(b), ..) => a == b,
        (.., Some(a), Some(b)) => a == b,
        _ => {
            a == b
                || a.as_f64()
                    .zip(b.as_f64())
                    .is_some_and(|(a, b)| a.total_cmp(&b).is_eq())
        }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
pub(crate) mod tests;
