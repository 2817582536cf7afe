//! What of a declaration cannot be compared: values that are encrypted, and what two renderings of one commit do not agree on.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use crate::bookkeeping::is_ciphertext;
use crate::compare::{Change, FieldDrift, canonical_key, compare_at, key_of, select};
use crate::converge::Plan;
use crate::declared::DeclaredObject;
use crate::judge::Unknown;
use crate::path::{FieldPath, Step};
use crate::residue::Extra;
use crate::schema::{ListTopology, Node, NodeId, Schema};

/// The hidden places of a declaration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hidden {
    places: Vec<Place>,
    /// By the texts of their paths.
    at: HashMap<String, usize>,
    /// By the texts of all paths above them.
    below: HashMap<String, Vec<usize>>,
    /// Maps and lists in which names or members are random: what else is in them is one more of these, or was added.
    open: HashSet<String>,
    /// Some of them are encrypted.
    encrypted: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Place {
    path: FieldPath,
    /// Renderings do not agree on it, and perhaps not on whether it is there.
    unstable: bool,
}

/// JSON pointers, token by token.
#[derive(Debug, Default)]
struct Pointers {
    ends: bool,
    below: BTreeMap<String, Self>,
}

impl Pointers {
    fn of(declared: &DeclaredObject) -> Option<Self> {
        let text = |key: &str| declared.object.get(key).and_then(Value::as_str);
        let is_secret = text("kind") == Some("Secret") && text("apiVersion") == Some("v1");
        let mut all = Self::default();
        for pointer in &declared.unstable {
            let mut node = &mut all;
            for (depth, token) in pointer.split('/').skip(1).enumerate() {
                let token = match token.replace("~1", "/").replace("~0", "~") {
                    // As the declaration says it by now.
                    name if depth == 0 && is_secret && name == "stringData" => "data".to_owned(),
                    name => name,
                };
                node = node.below.entry(token).or_default();
            }
            node.ends = true;
        }
        (!declared.unstable.is_empty()).then_some(all)
    }
}

impl Hidden {
    /// Those of a declaration.
    pub fn of(declared: &DeclaredObject, schema: &Schema) -> Self {
        let unstable = Pointers::of(declared);
        if unstable.is_none() && !declared.encrypted {
            return Self::default();
        }
        let mut walk = Walk {
            schema,
            encrypted: declared.encrypted,
            path: Vec::new(),
            found: Self::default(),
        };
        walk.value(&declared.object, schema.root(), unstable.as_ref());
        walk.found
    }

    /// True where there is nothing of it that could be compared: its name is random.
    pub fn is_all(&self) -> bool {
        self.at.contains_key("")
    }

    /// True if putting an object back would write something hidden to the cluster: ciphertext, or a random value that nobody chose.
    pub fn is_written_by(&self, plan: &Plan) -> bool {
        let is_in = |f: &FieldDrift| {
            let below = || self.below.contains_key(&f.path.to_string());
            f.change != Change::Added && (self.around(&f.path).is_some() || below())
        };
        match plan {
            Plan::PutBack(fields) => fields.iter().any(is_in),
            Plan::Create | Plan::Apply(_) => !self.places.is_empty(),
            Plan::Rest | Plan::Wait(..) => false,
        }
    }

    /// Where renderings do not agree.
    pub fn unstable(&self) -> impl Iterator<Item = &FieldPath> {
        self.places.iter().filter(|p| p.unstable).map(|p| &p.path)
    }

    /// Takes out what differs, and what is live and not declared, where nothing can be said of it. The answer is why there is something
    /// of which nothing can be said.
    pub fn take_out(
        &self,
        drifts: &mut Vec<FieldDrift>,
        beyond: &mut Vec<Extra<'_>>,
        declared: &Value,
        schema: &Schema,
    ) -> Option<Unknown> {
        if self.places.is_empty() {
            return None;
        }
        let before = drifts.len() + beyond.len();
        drifts.retain(|drift| !self.hides(drift, schema));
        beyond.retain(|extra| !self.hides_addition(&extra.path, declared));
        if self.encrypted {
            return Some(Unknown::Encrypted);
        }
        (drifts.len() + beyond.len() < before).then_some(Unknown::Unstable)
    }

    /// True if nothing can be said about a difference.
    pub fn hides(&self, drift: &FieldDrift, schema: &Schema) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let missing = drift.change == Change::Missing;
        if let Some((place, depth)) = self.around(&drift.path) {
            // Of what is encrypted the key is compared.
            return place.unstable || !missing || depth < drift.path.0.len();
        }
        if missing {
            // Whatever was to be in it, all of it is gone.
            return false;
        }
        let below = self.below.get(&drift.path.to_string());
        below.is_some_and(|below| {
            let below = below.iter().filter_map(|n| self.places.get(*n));
            !differs_besides(drift, below, schema)
        })
    }

    /// The place that a path is at or lies within, and how many steps lead there.
    fn around(&self, path: &FieldPath) -> Option<(&Place, usize)> {
        (0..=path.0.len()).find_map(|depth| {
            let place = self.at.get(&text(path.0.get(..depth)?))?;
            Some((self.places.get(*place)?, depth))
        })
    }

    /// True if nothing can be said about something that is live and not declared.
    fn hides_addition(&self, path: &FieldPath, declared: &Value) -> bool {
        let is_random_member = |depth: usize| {
            let above = path
                .0
                .get(..depth)
                .is_some_and(|p| self.open.contains(&text(p)));
            let is_declared = || {
                let member = path.0.get(..=depth).map(|p| FieldPath(p.to_vec()));
                member.is_some_and(|m| m.get(declared).is_some())
            };
            above && !is_declared()
        };
        self.around(path).is_some_and(|(place, _)| place.unstable)
            || (!self.open.is_empty() && (0..path.0.len()).any(is_random_member))
    }
}

fn text(steps: &[Step]) -> String {
    FieldPath(steps.to_vec()).to_string()
}

/// True if a value that is compared as a whole differs from live elsewhere than at the hidden places in it.
fn differs_besides<'p>(
    drift: &FieldDrift,
    hidden: impl Iterator<Item = &'p Place>,
    schema: &Schema,
) -> bool {
    let (Some(declared), Some(live)) = (&drift.declared, &drift.live) else {
        return false;
    };
    let steps = &drift.path.0;
    let mut masked = declared.clone();
    let mask = |place: &'p Place| {
        let rest = place.path.0.get(steps.len()..)?;
        let seen = rest.iter().try_fold(live, |value, step| step.get(value));
        match seen {
            // A list of values that somebody encrypted is a value, and no part of it is to be told by what is live.
            _ if !place.unstable => None,
            Some(seen) => {
                *slot(&mut masked, rest)? = seen.clone();
                Some(())
            }
            // Both renderings have an element there.
            None => matches!(rest.last(), Some(Step::Index(_))).then_some(()),
        }
    };
    let told = hidden.map(mask).all(|masked| masked.is_some());
    told && !compare_at(&masked, live, schema, schema.at(steps), steps.clone()).is_empty()
}

pub(crate) fn slot<'v>(value: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.get_mut(name),
        Step::Index(n) => value.get_mut(n),
        _ => {
            let wanted = step.get(value)?;
            let elements = value.as_array()?.iter();
            let place = elements
                .map(std::ptr::from_ref)
                .position(|e| std::ptr::eq(e, wanted))?;
            value.get_mut(place)
        }
    })
}

struct Walk<'s> {
    schema: &'s Schema,
    encrypted: bool,
    path: Vec<Step>,
    found: Hidden,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value, node: NodeId, unstable: Option<&Pointers>) {
        match value {
            _ if unstable.is_some_and(|u| u.ends) => self.hide(true),
            Value::Object(members) => self.object(members, node, unstable),
            Value::Array(elements) => self.list(elements, node, unstable),
            value if self.is_ciphertext(value) => self.hide(false),
            _ => {}
        }
    }

    fn object(&mut self, members: &Map<String, Value>, node: NodeId, unstable: Option<&Pointers>) {
        for (name, value) in members {
            let below = unstable.and_then(|u| u.below.get(name));
            if below.is_some() || self.encrypted {
                let child = self.schema.member(node, name);
                self.within(Step::Field(name.clone()), |walk| {
                    walk.value(value, child, below);
                });
            }
        }
        let elsewhere = |u: &Pointers| u.below.keys().any(|name| !members.contains_key(name));
        if unstable.is_some_and(elsewhere) {
            self.open();
        }
    }

    fn list(&mut self, elements: &[Value], node: NodeId, unstable: Option<&Pointers>) {
        let (items, topology) = match self.schema.node(node) {
            Node::List { items, topology } => (*items, topology),
            _ => (NodeId::UNKNOWN, &ListTopology::Atomic),
        };
        let keys = match topology {
            ListTopology::Map { keys } if elements.iter().all(Value::is_object) => Some(keys),
            _ => None,
        };
        let mut met: HashMap<String, usize> = HashMap::new();
        for (n, element) in elements.iter().enumerate() {
            let below = unstable.and_then(|u| u.below.get(&n.to_string()));
            let step = match (topology, keys) {
                (ListTopology::Set, _) => Step::Member(element.clone()),
                (_, Some(keys)) => {
                    let identity = key_of(element, keys);
                    let met = met.entry(canonical_key(&identity)).or_default();
                    *met += 1;
                    select(keys, &identity, *met - 1)
                }
                _ => Step::Index(n),
            };
            let nameless = match (topology, keys) {
                (ListTopology::Set, _) => below.is_some() || self.is_ciphertext(element),
                (_, Some(keys)) => keys.iter().any(|(key, _)| {
                    below.is_some_and(|b| b.below.contains_key(&**key))
                        || element.get(&**key).is_some_and(|v| self.is_ciphertext(v))
                }),
                _ => false,
            };
            if nameless {
                self.open();
            }
            self.within(step, |walk| {
                if nameless {
                    walk.hide(true);
                } else if below.is_some() || walk.encrypted {
                    walk.value(element, items, below);
                }
            });
        }
    }

    fn is_ciphertext(&mut self, value: &Value) -> bool {
        let found = self.encrypted && is_ciphertext(value);
        self.found.encrypted |= found;
        found
    }

    fn within(&mut self, step: Step, act: impl FnOnce(&mut Self)) {
        self.path.push(step);
        act(self);
        self.path.pop();
    }

    fn hide(&mut self, unstable: bool) {
        let place = self.found.places.len();
        self.found.at.insert(text(&self.path), place);
        for depth in 0..self.path.len() {
            let above = text(self.path.get(..depth).unwrap_or_default());
            self.found.below.entry(above).or_default().push(place);
        }
        self.found.places.push(Place {
            path: FieldPath(self.path.clone()),
            unstable,
        });
    }

    fn open(&mut self) {
        self.found.open.insert(text(&self.path));
    }
}

#[cfg(test)]
#[path = "hidden_tests.rs"]
mod tests;
