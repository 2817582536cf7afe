//! What the API server's OpenAPI schema says about a kind, reduced to what comparing needs.
//!
//! The rules come from <https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy>:
//! lists are atomic unless the schema says `map` (with keys) or `set`; maps and structs are granular unless `atomic`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::path::{FieldPath, Step};

/// A node of a schema, by its place in the [`Schema`]'s arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The node of places about which nothing is known.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

/// What a value at some place may be and how two of them compare.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Nothing is known (no schema, or `x-kubernetes-preserve-unknown-fields`): values compare literally below,
    /// maps key by key, lists as a whole.
    Any,
    /// A string, boolean or number that compares literally (numbers by value).
    Scalar,
    /// `resource.Quantity`: `1`, `1000m` and `"1"` are equal.
    Quantity,
    /// `x-kubernetes-int-or-string`: `80` and `"80"` differ; compared literally.
    IntOrString,
    /// `format: byte`: base64; compared by decoded bytes.
    Bytes,
    /// `format: date-time`: compared as instants.
    Time,
    /// `metav1.Duration`: compared by length of time.
    Duration,
    /// A struct with known fields.
    Struct(StructNode),
    /// A map from string to one kind of value (`additionalProperties`).
    Map {
        /// What the values are.
        values: NodeId,
        /// True where the map is one value (`x-kubernetes-map-type: atomic`).
        atomic: bool,
    },
    /// A list.
    List {
        /// What the elements are.
        items: NodeId,
        /// How elements of two lists are matched.
        topology: ListTopology,
    },
}

/// A struct: fields by name, sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct StructNode {
    /// Name and node of each field, sorted by name.
    pub fields: Box<[(Arc<str>, NodeId)]>,
    /// What the server fills in where a field is left out, for the fields that have a default.
    pub defaults: Box<[(Arc<str>, serde_json::Value)]>,
    /// Those of them that it leaves null where that is what is declared.
    pub nullable: Box<[Arc<str>]>,
    /// Unknown fields are kept by the server (`x-kubernetes-preserve-unknown-fields`); else it prunes or refuses them.
    pub preserve_unknown: bool,
    /// The struct is one value (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
}

impl StructNode {
    /// The node of a field.
    pub fn field(&self, name: &str) -> Option<NodeId> {
        let at = self
            .fields
            .binary_search_by(|(n, _)| (**n).cmp(name))
            .ok()?;
        Some(self.fields[at].1)
    }
}

/// How elements of two lists are matched.
#[derive(Debug, Clone, PartialEq)]
pub enum ListTopology {
    /// The list is one value.
    Atomic,
    /// Elements are members; order does not matter.
    Set,
    /// Elements are matched by keys. A key that an element leaves out has its schema default, where there is one
    /// (`protocol: TCP` of a port).
    Map {
        /// Field names, with their defaults.
        keys: Box<[(Arc<str>, Option<serde_json::Value>)]>,
    },
}

/// The schema of one kind: an arena of nodes (shared between the kinds of a group and version) and a root.
#[derive(Debug, Clone)]
pub struct Schema {
    nodes: Arc<[Node]>,
    root: NodeId,
}

impl Schema {
    /// A schema from an arena and the root in it. A node id outside the arena reads as [`Node::Any`].
    pub fn new(nodes: Arc<[Node]>, root: NodeId) -> Self {
        Self { nodes, root }
    }

    /// The schema of a kind about which nothing is known.
    pub fn unknown() -> Self {
        Self {
            nodes: Arc::new([Node::Any]),
            root: NodeId(0),
        }
    }

    /// The root.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// A node; one outside the arena reads as [`Node::Any`].
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0 as usize).unwrap_or(&Node::Any)
    }

    /// The node of a member of a struct or map.
    pub fn member(&self, node: NodeId, name: &str) -> NodeId {
        match self.node(node) {
            Node::Struct(fields) => fields.field(name).unwrap_or(NodeId::UNKNOWN),
            Node::Map { values, .. } => *values,
            _ => NodeId::UNKNOWN,
        }
    }

    /// The node that a step leads to.
    pub fn below(&self, node: NodeId, step: &Step) -> NodeId {
        match (self.node(node), step) {
            (_, Step::Field(name)) => self.member(node, name),
            (Node::List { items, .. }, _) => *items,
            _ => NodeId::UNKNOWN,
        }
    }

    /// The node at a path.
    pub fn at(&self, path: &[Step]) -> NodeId {
        path.iter()
            .fold(self.root, |node, step| self.below(node, step))
    }

    /// True if the server would have pruned or refused what is at a path, going by this schema: it has another one by now.
    pub fn rules_out(&self, path: &[Step]) -> bool {
        let mut node = self.root;
        for step in path {
            if let (Node::Struct(fields), Step::Field(name)) = (self.node(node), step)
                && fields.field(name).is_none()
            {
                return !fields.preserve_unknown;
            }
            node = self.below(node, step);
        }
        false
    }

    /// An object with what the server fills in by the schema's defaults
    /// (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting>).
    pub fn with_defaults(&self, object: &serde_json::Value) -> serde_json::Value {
        let mut filled = object.clone();
        self.fill(&mut filled, self.root, 0);
        filled
    }

    fn fill(&self, value: &mut serde_json::Value, node: NodeId, depth: usize) {
        /// Deeper than objects are; a default can lead to another one of its own kind.
        const DEEPEST: usize = 64;
        if depth > DEEPEST {
            return;
        }
        match (self.node(node), value) {
            (Node::Struct(fields), serde_json::Value::Object(members)) => {
                for (name, default) in &fields.defaults {
                    let is_open = match members.get(&**name) {
                        None => true,
                        Some(member) => member.is_null() && !fields.nullable.contains(name),
                    };
                    if is_open {
                        members.insert(name.to_string(), default.clone());
                    }
                }
                for (name, member) in members {
                    if let Some(node) = fields.field(name) {
                        self.fill(member, node, depth + 1);
                    }
                }
            }
            (Node::Map { values, .. }, serde_json::Value::Object(members)) => {
                let node = *values;
                let members = members.values_mut();
                members.for_each(|member| self.fill(member, node, depth + 1));
            }
            (Node::List { items, .. }, serde_json::Value::Array(elements)) => {
                let node = *items;
                let elements = elements.iter_mut();
                elements.for_each(|element| self.fill(element, node, depth + 1));
            }
            _ => {}
        }
    }

    /// How many steps of a path lead to the outermost value above it that is one value: an atomic list, map or struct. `None`
    /// where everything above is granular.
    pub fn atomic_above(&self, path: &FieldPath) -> Option<usize> {
        let mut node = self.node(self.root);
        for (depth, step) in path.0.iter().enumerate() {
            let next = match (node, step) {
                (Node::Struct(fields), _) if fields.atomic => return Some(depth),
                (Node::Map { atomic: true, .. }, _) => return Some(depth),
                (
                    Node::List {
                        topology: ListTopology::Atomic,
                        ..
                    },
                    _,
                ) => return Some(depth),
                (Node::Struct(fields), Step::Field(name)) => fields.field(name)?,
                (Node::Map { values, .. }, _) => *values,
                (Node::List { items, .. }, _) => *items,
                _ => return None,
            };
            node = self.node(next);
        }
        None
    }

    /// How many nodes the arena has.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True for an arena without nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// Collects nodes into an arena, each `$ref` once, recursion included.
#[derive(Debug, Default)]
pub struct SchemaBuilder {
    nodes: Vec<Node>,
    by_name: HashMap<String, NodeId>,
}

impl SchemaBuilder {
    /// An empty arena.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node.
    pub fn push(&mut self, node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(node);
        id
    }

    /// The node of a name (a `$ref`), and whether it is new: a new one reads as [`Node::Any`] until [`Self::set`] fills it.
    pub fn named(&mut self, name: &str) -> (NodeId, bool) {
        if let Some(id) = self.by_name.get(name) {
            return (*id, false);
        }
        let id = self.push(Node::Any);
        self.by_name.insert(name.to_owned(), id);
        (id, true)
    }

    /// Fills a node that [`Self::named`] made.
    pub fn set(&mut self, id: NodeId, node: Node) {
        if let Some(slot) = self.nodes.get_mut(id.0 as usize) {
            *slot = node;
        }
    }

    /// The arena.
    pub fn finish(self) -> Arc<[Node]> {
        self.nodes.into()
    }
}
