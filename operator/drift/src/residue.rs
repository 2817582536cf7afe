//! What a live object has beyond its declaration: defaults of the server, what admission put there, what controllers allocated,
//! and what somebody added by hand.
//!
//! Found at the granularity at which server-side apply owns fields: members of structs and maps one by one, elements of keyed
//! lists and members of sets as a whole. Within atomic lists an addition is a difference of the whole list.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::bookkeeping::is_never_drift;
use crate::compare::{
    Change, FieldDrift, canonical, canonical_key, compare_at, key_of, literally_equal, select,
};
use crate::first_sight::is_secret_data;
use crate::path::{FieldPath, Step};
use crate::schema::{ListTopology, Node, NodeId, Schema};

/// One thing that is live and not declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra<'a> {
    /// Where.
    pub path: FieldPath,
    /// The live value.
    pub value: &'a Value,
    /// Within an atomic list: how many steps of the path lead to the list.
    pub atomic: Option<usize>,
}

/// The memory of a residue: a hash of each of its parts, sorted. The same values at the same places have the same hashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Residue(Box<[u64]>);

impl Residue {
    /// Of hashes in any order.
    pub fn new(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        Self(hashes.into())
    }

    /// True for objects that have nothing beyond their declaration.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if it holds a part.
    pub fn holds(&self, hash: u64) -> bool {
        self.0.binary_search(&hash).is_ok()
    }

    /// What of it lies outside the values that a Secret holds: a digest of one of those could be guessed back.
    pub fn without_secret_data(&self) -> Self {
        let open = self.0.iter().filter(|h| **h & SECRET_DATA == 0);
        Self(open.copied().collect())
    }

    /// The hashes, sorted.
    pub fn hashes(&self) -> &[u64] {
        &self.0
    }
}

/// The bit of a hash that says that the place is one at which a Secret holds its values.
const SECRET_DATA: u64 = 1;

impl Extra<'_> {
    /// The hash of place and value.
    pub fn hash(&self) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        hasher.update(self.path.to_string().as_bytes());
        hasher.update(&[0]);
        hasher.update(canonical(self.value).as_bytes());
        let hash = hasher.digest() & !SECRET_DATA;
        if is_secret_data(&self.path) {
            hash | SECRET_DATA
        } else {
            hash
        }
    }
}

/// The hash of a place, whatever is there.
pub(crate) fn place_hash(path: &FieldPath) -> u64 {
    xxhash_rust::xxh3::xxh3_64(path.to_string().as_bytes())
}

/// Everything that `live` has and `declared` has not, except bookkeeping.
pub fn extras<'a>(declared: &Value, live: &'a Value, schema: &Schema) -> Vec<Extra<'a>> {
    extras_at(declared, live, schema, schema.root(), Vec::new())
}

fn extras_at<'a>(
    declared: &Value,
    live: &'a Value,
    schema: &Schema,
    node: NodeId,
    path: Vec<Step>,
) -> Vec<Extra<'a>> {
    let mut walk = Walk {
        schema,
        path,
        atomic: None,
        found: Vec::new(),
    };
    walk.value(declared, live, node);
    walk.found
}

struct Walk<'s, 'a> {
    schema: &'s Schema,
    path: Vec<Step>,
    atomic: Option<usize>,
    found: Vec<Extra<'a>>,
}

impl<'a> Walk<'_, 'a> {
    fn value(&mut self, declared: &Value, live: &'a Value, node: NodeId) {
        match (declared, live) {
            (Value::Object(d), Value::Object(l)) => self.object(d, l, node),
            (Value::Array(d), Value::Array(l)) => self.list(d, l, node),
            _ => {}
        }
    }

    fn within(&mut self, step: Step, act: impl FnOnce(&mut Self)) {
        self.path.push(step);
        act(self);
        self.path.pop();
    }

    fn object(
        &mut self,
        declared: &Map<String, Value>,
        live: &'a Map<String, Value>,
        node: NodeId,
    ) {
        for (name, value) in live.iter().filter(|(_, v)| !v.is_null()) {
            let child = self.schema.member(node, name);
            self.within(Step::Field(name.clone()), |walk| {
                if is_never_drift(&walk.path) {
                    return;
                }
                match declared.get(name).filter(|d| !d.is_null()) {
                    Some(declared) => walk.value(declared, value, child),
                    None => walk.whole(value, child),
                }
            });
        }
    }

    fn list(&mut self, declared: &[Value], live: &'a [Value], node: NodeId) {
        let Node::List { items, topology } = self.schema.node(node) else {
            return;
        };
        match topology {
            ListTopology::Set => {
                for value in live {
                    self.within(Step::Member(value.clone()), |walk| {
                        if !walk.is_member(value, declared, *items) {
                            walk.add(value);
                        }
                    });
                }
            }
            ListTopology::Map { keys } if declared.iter().chain(live).all(Value::is_object) => {
                self.keyed(declared, live, *items, keys);
            }
            _ if declared.len() == live.len() => {
                let before = self.atomic;
                self.atomic = before.or(Some(self.path.len()));
                for (n, (d, l)) in declared.iter().zip(live).enumerate() {
                    self.within(Step::Index(n), |walk| walk.value(d, l, *items));
                }
                self.atomic = before;
            }
            _ => {}
        }
    }

    fn keyed(
        &mut self,
        declared: &[Value],
        live: &'a [Value],
        items: NodeId,
        keys: &[(std::sync::Arc<str>, Option<Value>)],
    ) {
        let mut known: HashMap<String, Vec<&Value>> = HashMap::new();
        for value in declared {
            let key = canonical_key(&key_of(value, keys));
            known.entry(key).or_default().push(value);
        }
        let mut met: HashMap<String, usize> = HashMap::new();
        for value in live {
            let identity = key_of(value, keys);
            let key = canonical_key(&identity);
            let other = known.get(&key).map_or(&[][..], Vec::as_slice);
            let met = met.entry(key).or_default();
            let nth = *met;
            *met += 1;
            let other = other.get(nth).copied();
            self.within(select(keys, &identity, nth), |walk| match other {
                Some(declared) => walk.value(declared, value, items),
                None => walk.add(value),
            });
        }
    }

    /// Nothing of it is declared: part by part.
    fn whole(&mut self, live: &'a Value, node: NodeId) {
        if self.atomic.is_some() {
            return self.add(live);
        }
        match (live, self.schema.node(node)) {
            (Value::Object(members), Node::Struct(fields))
                if !members.is_empty() && !fields.atomic =>
            {
                self.object(&Map::new(), members, node);
            }
            (Value::Object(members), Node::Map { .. } | Node::Any) if !members.is_empty() => {
                self.object(&Map::new(), members, node);
            }
            (
                Value::Array(elements),
                Node::List {
                    topology: ListTopology::Set | ListTopology::Map { .. },
                    ..
                },
            ) if !elements.is_empty() => self.list(&[], elements, node),
            _ => self.add(live),
        }
    }

    fn is_member(&self, value: &Value, of: &[Value], items: NodeId) -> bool {
        of.iter().any(|other| {
            literally_equal(other, value) || equal_at(other, value, self.schema, items, &self.path)
        })
    }

    fn add(&mut self, value: &'a Value) {
        self.found.push(Extra {
            path: FieldPath(self.path.clone()),
            value,
            atomic: self.atomic,
        });
    }
}

/// Equal by the rules of the schema, with nothing beyond on either side.
pub(crate) fn equal_at(a: &Value, b: &Value, schema: &Schema, node: NodeId, path: &[Step]) -> bool {
    compare_at(a, b, schema, node, path.to_vec()).is_empty()
        && extras_at(a, b, schema, node, path.to_vec()).is_empty()
}

/// What of the additions the server's own version of the declaration does not explain. An addition that the server makes too, but
/// with another value, is narrowed down to what differs.
pub fn unexplained(
    extras: &[Extra<'_>],
    declared: &Value,
    expected: &Value,
    live: &Value,
    schema: &Schema,
) -> Vec<FieldDrift> {
    let known: HashMap<String, Extra<'_>> = self::extras(declared, expected, schema)
        .into_iter()
        .map(|e| (e.path.to_string(), e))
        .collect();
    let mut lists: HashSet<String> = HashSet::new();
    let mut found = Vec::new();
    for extra in extras {
        if let Some(depth) = extra.atomic {
            found.extend(atomic(
                extra, depth, declared, expected, live, schema, &mut lists,
            ));
            continue;
        }
        match known.get(&extra.path.to_string()) {
            None => found.push(added(extra.path.clone(), extra.value)),
            Some(other) => found.extend(narrowed(extra, other.value, schema)),
        }
    }
    found
}

fn added(path: FieldPath, value: &Value) -> FieldDrift {
    FieldDrift {
        path,
        change: Change::Added,
        declared: None,
        live: Some(value.clone()),
    }
}

/// What of an addition differs from what the server adds there.
fn narrowed(extra: &Extra<'_>, expected: &Value, schema: &Schema) -> Vec<FieldDrift> {
    let steps = &extra.path.0;
    let node = schema.at(steps);
    let changed = compare_at(expected, extra.value, schema, node, steps.clone());
    let more = extras_at(expected, extra.value, schema, node, steps.clone());
    let mut found: Vec<FieldDrift> = changed
        .into_iter()
        .filter_map(|d| Some(added(d.path, d.live.as_ref()?)))
        .collect();
    let mut lists: HashSet<String> = found.iter().map(|d| d.path.to_string()).collect();
    for part in more {
        let Some(list) = part.atomic.and_then(|depth| part.path.0.get(..depth)) else {
            found.push(added(part.path, part.value));
            continue;
        };
        let within = list.get(steps.len()..).unwrap_or_default();
        let value = FieldPath(within.to_vec()).get(extra.value);
        let path = FieldPath(list.to_vec());
        if let Some(value) = value.filter(|_| lists.insert(path.to_string())) {
            found.push(added(path, value));
        }
    }
    found
}

/// The atomic list around an addition, once for each list, unless the server makes it so.
fn atomic(
    extra: &Extra<'_>,
    depth: usize,
    declared: &Value,
    expected: &Value,
    live: &Value,
    schema: &Schema,
    seen: &mut HashSet<String>,
) -> Option<FieldDrift> {
    let path = FieldPath(extra.path.0.get(..depth)?.to_vec());
    if !seen.insert(path.to_string()) {
        return None;
    }
    let (have, want) = (path.get(live)?, path.get(expected));
    let node = schema.at(&path.0);
    if want.is_some_and(|want| equal_at(want, have, schema, node, &path.0)) {
        return None;
    }
    Some(as_whole_list(path, declared, have))
}

/// An addition within an atomic list, as a difference of the list.
pub fn as_whole_list(path: FieldPath, declared: &Value, live: &Value) -> FieldDrift {
    FieldDrift {
        change: Change::Changed,
        declared: path.get(declared).cloned(),
        live: Some(live.clone()),
        path,
    }
}

#[cfg(test)]
#[path = "residue_tests.rs"]
mod tests;
