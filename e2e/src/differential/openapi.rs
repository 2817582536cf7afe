//! The server's OpenAPI documents as they are published: an own and simple reading of them, apart from that of the operator, so that
//! one does not repeat the mistakes of the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

/// A document's schemas by name.
pub type Components = Arc<Map<String, Value>>;

/// A place in a schema: the keywords that stand there, and the component that they refer to.
#[derive(Clone)]
pub struct Node {
    components: Components,
    own: Value,
    component: Option<String>,
}

/// What may stand at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// `resource.Quantity`.
    Quantity,
    /// A whole number or a text.
    IntOrString,
    /// Base64.
    Bytes,
    /// An instant, to the second.
    Time,
    /// An instant, to the microsecond.
    MicroTime,
    /// A Go duration.
    Duration,
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// Named fields.
    Struct,
    /// Keys that the writer chooses.
    Map,
    /// A list that is one value.
    Atomic,
    /// A list without order or repetition.
    Set,
    /// A list whose elements are told apart by these fields.
    Keyed(Vec<String>),
    /// Anything.
    Any,
}

impl Node {
    /// A component of a document.
    pub fn component(components: &Components, name: &str) -> Self {
        Self {
            components: Arc::clone(components),
            own: Value::Null,
            component: Some(name.to_owned()),
        }
    }

    fn at(&self, keywords: &Value) -> Self {
        let wrapped = keywords.get("allOf").and_then(|all| all.get(0));
        let reference = [Some(keywords), wrapped]
            .into_iter()
            .flatten()
            .find_map(|k| k.get("$ref")?.as_str())
            .and_then(|r| r.rsplit('/').next());
        Self {
            components: Arc::clone(&self.components),
            own: keywords.clone(),
            component: reference.map(str::to_owned),
        }
    }

    /// The last part of the component's name, such as `PodSpec`; empty for what is written in place.
    pub fn type_name(&self) -> &str {
        self.component
            .as_deref()
            .and_then(|name| name.rsplit('.').next())
            .unwrap_or_default()
    }

    /// A keyword of the place, else of the component.
    pub fn keyword(&self, name: &str) -> Option<&Value> {
        let component = || self.components.get(self.component.as_ref()?)?.get(name);
        self.own.get(name).or_else(component)
    }

    /// A keyword that is text.
    pub fn text(&self, name: &str) -> &str {
        self.keyword(name).and_then(Value::as_str).unwrap_or("")
    }

    /// A keyword that is a list of texts.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let list = self.keyword(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    }

    /// A keyword that is `true`.
    pub fn is(&self, name: &str) -> bool {
        self.keyword(name) == Some(&Value::Bool(true))
    }

    /// The default that means something; the server also publishes the zero values of Go's types as such.
    pub fn default(&self) -> Option<&Value> {
        self.keyword("default").filter(|d| !d.is_null())
    }

    /// What may stand here.
    pub fn shape(&self) -> Shape {
        match self.type_name() {
            "Quantity" => return Shape::Quantity,
            "IntOrString" => return Shape::IntOrString,
            "Time" => return Shape::Time,
            "MicroTime" => return Shape::MicroTime,
            "Duration" => return Shape::Duration,
            "RawExtension"
            | "JSON"
            | "JSONSchemaPropsOrBool"
            | "JSONSchemaPropsOrArray"
            | "JSONSchemaPropsOrStringArray" => return Shape::Any,
            _ => {}
        }
        if self.is("x-kubernetes-int-or-string") {
            return Shape::IntOrString;
        }
        match (self.text("type"), self.text("format")) {
            ("string", "byte") => Shape::Bytes,
            ("string", "date-time") => Shape::Time,
            ("string", "duration") => Shape::Duration,
            ("string", _) => Shape::Text,
            ("integer", _) => Shape::Integer,
            ("number", _) => Shape::Number,
            ("boolean", _) => Shape::Boolean,
            ("array", _) => self.list(),
            ("object" | "", _) if self.keyword("properties").is_some() => Shape::Struct,
            ("object", _)
                if self
                    .keyword("additionalProperties")
                    .is_some_and(Value::is_object) =>
            {
                Shape::Map
            }
            _ => Shape::Any,
        }
    }

    fn list(&self) -> Shape {
        match self.text("x-kubernetes-list-type") {
            "set" => Shape::Set,
            "map" => Shape::Keyed(self.texts("x-kubernetes-list-map-keys")),
            _ => Shape::Atomic,
        }
    }

    /// The elements of a list, or the values of a map.
    pub fn inner(&self) -> Option<Self> {
        let keywords = self
            .keyword("items")
            .or_else(|| self.keyword("additionalProperties"))?;
        keywords.is_object().then(|| self.at(keywords))
    }

    /// A field of a struct, or the value of a key.
    pub fn field(&self, name: &str) -> Option<Self> {
        match self.shape() {
            Shape::Struct => Some(self.at(self.keyword("properties")?.get(name)?)),
            Shape::Map => self.inner(),
            _ => None,
        }
    }

    /// The fields of a struct, by name.
    pub fn fields(&self) -> BTreeMap<String, Self> {
        let properties = self.keyword("properties").and_then(Value::as_object);
        properties
            .into_iter()
            .flatten()
            .map(|(name, keywords)| (name.clone(), self.at(keywords)))
            .collect()
    }
}

/// The component that is the root of a kind. Types that every group shares name several kinds.
pub fn root_of(components: &Components, group: &str, version: &str, kind: &str) -> Option<String> {
    let is_it = |component: &Value| {
        let roots = component
            .get("x-kubernetes-group-version-kind")?
            .as_array()?;
        let [root] = roots.as_slice() else {
            return None;
        };
        let is = |key: &str, value: &str| root.get(key).and_then(Value::as_str) == Some(value);
        Some(is("group", group) && is("version", version) && is("kind", kind))
    };
    let found = components.iter().find(|(_, c)| is_it(c) == Some(true));
    found.map(|(name, _)| name.clone())
}
