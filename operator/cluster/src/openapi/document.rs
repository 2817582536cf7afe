//! One OpenAPI v3 document, reduced to the schemas of the kinds that are needed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use drift::schema::{ListTopology, Node, NodeId, SchemaBuilder, StructNode};
use drift::{GroupVersionKind, Schema};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Components stay text until they are needed: a document of a megabyte holds a few kinds that matter.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    components: Components<'a>,
}

#[derive(Deserialize, Default)]
struct Components<'a> {
    #[serde(borrow, default)]
    schemas: HashMap<Cow<'a, str>, &'a RawValue>,
}

/// The kinds that a component is the root of.
#[derive(Deserialize)]
struct Roots {
    #[serde(default, rename = "x-kubernetes-group-version-kind")]
    kinds: Vec<Root>,
}

#[derive(Deserialize)]
struct Root {
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
}

/// The keywords that matter. All others are skipped.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Keywords {
    #[serde(rename = "$ref")]
    reference: Option<String>,
    #[serde(rename = "allOf")]
    all_of: Vec<Keywords>,
    #[serde(rename = "type", deserialize_with = "lenient")]
    kind: Option<String>,
    #[serde(deserialize_with = "lenient")]
    format: Option<String>,
    items: Option<Box<Keywords>>,
    properties: BTreeMap<String, Keywords>,
    #[serde(rename = "additionalProperties")]
    additional: Option<Additional>,
    default: Option<Value>,
    nullable: bool,
    #[serde(rename = "x-kubernetes-list-type", deserialize_with = "lenient")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type", deserialize_with = "lenient")]
    map_type: Option<String>,
    #[serde(rename = "x-kubernetes-int-or-string")]
    int_or_string: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    preserve_unknown: bool,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    embedded: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Additional {
    Allowed(bool),
    Values(Box<Keywords>),
}

/// A keyword that is text, or is taken as missing: OpenAPI 3.1 has lists of types.
fn lenient<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?
        .as_str()
        .map(str::to_owned))
}

/// The schemas of `kinds`; `None` for those that the document does not hold.
pub(super) fn schemas(
    body: &[u8],
    kinds: &BTreeSet<GroupVersionKind>,
) -> Result<HashMap<GroupVersionKind, Option<Schema>>, serde_json::Error> {
    let document: Document<'_> = serde_json::from_slice(body)?;
    let components = document.components.schemas;
    let mut roots: HashMap<GroupVersionKind, &str> = HashMap::new();
    for (name, text) in &components {
        // A component that cannot be read hides only itself.
        let Ok(component) = serde_json::from_str::<Roots>(text.get()) else {
            continue;
        };
        // Shared types such as DeleteOptions are listed under every group; a kind's own component names it alone.
        if let [root] = component.kinds.as_slice() {
            roots.insert(
                GroupVersionKind::new(&root.group, &root.version, &root.kind),
                name,
            );
        }
    }
    let mut reducer = Reducer {
        components: &components,
        builder: SchemaBuilder::new(),
    };
    let found: Vec<_> = kinds
        .iter()
        .map(|kind| {
            (
                kind.clone(),
                roots.get(kind).map(|name| reducer.named(name)),
            )
        })
        .collect();
    let nodes = reducer.builder.finish();
    Ok(found
        .into_iter()
        .map(|(kind, root)| (kind, root.map(|root| Schema::new(Arc::clone(&nodes), root))))
        .collect())
}

struct Reducer<'a> {
    components: &'a HashMap<Cow<'a, str>, &'a RawValue>,
    builder: SchemaBuilder,
}

impl Reducer<'_> {
    fn component(&self, name: &str) -> Option<Keywords> {
        serde_json::from_str(self.components.get(name)?.get()).ok()
    }

    /// The node of a component.
    fn named(&mut self, name: &str) -> NodeId {
        let (id, is_new) = self.builder.named(name);
        if is_new {
            let node = well_known(name)
                .or_else(|| Some(self.component(name)?).map(|keywords| self.node(&keywords)));
            self.builder.set(id, node.unwrap_or(Node::Any));
        }
        id
    }

    /// The node of a schema inside a component.
    fn nested(&mut self, keywords: &Keywords) -> NodeId {
        match target(keywords) {
            // A reference that is atomic where its target is not gets a node of its own.
            Some(name) if keywords.map_type.is_none() && keywords.list_type.is_none() => {
                self.named(name)
            }
            Some(name) => {
                let component = self.component(name).unwrap_or_default();
                let overlaid = Keywords {
                    map_type: keywords.map_type.clone().or(component.map_type),
                    list_type: keywords.list_type.clone().or(component.list_type),
                    ..component
                };
                let node = well_known(name).unwrap_or_else(|| self.node(&overlaid));
                self.builder.push(node)
            }
            None if is_emptied(keywords) => self.builder.push(Node::Struct(StructNode {
                fields: Box::default(),
                defaults: Box::default(),
                nullable: Box::default(),
                preserve_unknown: false,
                atomic: keywords.map_type.as_deref() == Some("atomic"),
            })),
            None => {
                let node = self.node(keywords);
                self.builder.push(node)
            }
        }
    }

    fn node(&mut self, keywords: &Keywords) -> Node {
        // A component that is only another name for one.
        if let Some(name) = target(keywords) {
            return well_known(name).unwrap_or_else(|| {
                let component = self
                    .component(name)
                    .filter(|component| target(component).is_none());
                component.map_or(Node::Any, |component| self.node(&component))
            });
        }
        if keywords.int_or_string || keywords.format.as_deref() == Some("int-or-string") {
            return Node::IntOrString;
        }
        match keywords.kind.as_deref() {
            Some("array") => self.list(keywords),
            Some("object") => self.object(keywords),
            // Custom resources may leave out the type of what preserves unknown fields.
            None if !keywords.properties.is_empty() => self.object(keywords),
            Some("string") => match keywords.format.as_deref() {
                Some("byte") => Node::Bytes,
                Some("date-time") => Node::Time,
                Some("duration") => Node::Duration,
                _ => Node::Scalar,
            },
            Some("integer" | "number" | "boolean") => Node::Scalar,
            _ => Node::Any,
        }
    }

    fn object(&mut self, keywords: &Keywords) -> Node {
        let atomic = keywords.map_type.as_deref() == Some("atomic");
        if !keywords.properties.is_empty() {
            let fields: Box<[(Arc<str>, NodeId)]> = keywords
                .properties
                .iter()
                .map(|(name, field)| (Arc::from(name.as_str()), self.nested(field)))
                .collect();
            let default = |(name, _): &(Arc<str>, NodeId)| {
                let value = keywords.properties.get(&**name)?.default.clone()?;
                (!value.is_null()).then(|| (Arc::clone(name), value))
            };
            let defaults: Box<[(Arc<str>, Value)]> = fields.iter().filter_map(default).collect();
            let nullable = defaults.iter().map(|(name, _)| Arc::clone(name));
            let nullable = nullable
                .filter(|name| keywords.properties.get(&**name).is_some_and(|p| p.nullable))
                .collect();
            // What is embedded is a whole object: its kind's fields are not in the schema.
            let preserve_unknown = keywords.preserve_unknown || keywords.embedded;
            return Node::Struct(StructNode {
                fields,
                defaults,
                nullable,
                preserve_unknown,
                atomic,
            });
        }
        match &keywords.additional {
            Some(Additional::Values(values)) => Node::Map {
                values: self.nested(values),
                atomic,
            },
            Some(Additional::Allowed(true)) => Node::Map {
                values: self.builder.push(Node::Any),
                atomic,
            },
            _ => Node::Any,
        }
    }

    /// Lists are atomic unless `x-kubernetes-list-type` says otherwise. The older `x-kubernetes-patch-strategy` speaks to strategic
    /// merge patch alone: server-side apply, and so everything that merges by fields, does not know it.
    fn list(&mut self, keywords: &Keywords) -> Node {
        let Some(element) = keywords.items.as_deref() else {
            return Node::List {
                items: self.builder.push(Node::Any),
                topology: ListTopology::Atomic,
            };
        };
        let topology = match keywords.list_type.as_deref() {
            Some("set") => ListTopology::Set,
            Some("map") if !keywords.list_map_keys.is_empty() => ListTopology::Map {
                keys: self.keys(element, &keywords.list_map_keys),
            },
            _ => ListTopology::Atomic,
        };
        Node::List {
            items: self.nested(element),
            topology,
        }
    }

    /// The keys of a list's elements, with their defaults.
    fn keys(&self, element: &Keywords, names: &[String]) -> Box<[(Arc<str>, Option<Value>)]> {
        let component = target(element).and_then(|name| self.component(name));
        let fields = component
            .as_ref()
            .map_or(&element.properties, |component| &component.properties);
        let default = |name: &String| {
            fields
                .get(name)
                .and_then(|field| field.default.clone())
                .filter(|value| !value.is_null())
        };
        names
            .iter()
            .map(|name| (Arc::from(name.as_str()), default(name)))
            .collect()
    }
}

/// True for an object within a custom resource of which the definition says nothing: the server keeps nothing that is in it. A component is
/// without fields where they are not published.
///
/// Source: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning>.
fn is_emptied(keywords: &Keywords) -> bool {
    keywords.kind.as_deref() == Some("object")
        && keywords.properties.is_empty()
        && keywords.all_of.is_empty()
        && matches!(keywords.additional, None | Some(Additional::Allowed(false)))
        && !keywords.preserve_unknown
        && !keywords.embedded
        && !keywords.int_or_string
}

/// The component that a schema stands for: a `$ref`, or one wrapped in `allOf` so that it can carry a description or a default.
fn target(keywords: &Keywords) -> Option<&str> {
    let reference = match (&keywords.reference, keywords.all_of.as_slice()) {
        (Some(reference), _) => Some(reference),
        (None, [only]) if keywords.properties.is_empty() && keywords.items.is_none() => {
            only.reference.as_ref()
        }
        _ => None,
    };
    reference.map(|reference| reference.rsplit('/').next().unwrap_or(reference))
}

/// Types whose meaning is not in their schema.
fn well_known(name: &str) -> Option<Node> {
    let name = name.strip_prefix("io.k8s.apimachinery.pkg.")?;
    match name {
        "api.resource.Quantity" => Some(Node::Quantity),
        "util.intstr.IntOrString" => Some(Node::IntOrString),
        "apis.meta.v1.Time" | "apis.meta.v1.MicroTime" => Some(Node::Time),
        "apis.meta.v1.Duration" => Some(Node::Duration),
        "runtime.RawExtension" | "apis.meta.v1.FieldsV1" => Some(Node::Any),
        _ => None,
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
