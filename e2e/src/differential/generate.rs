//! Random values that fit a published schema, and what the schema does not say: hints by the names of types and fields.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::openapi::{Node, Shape};
use super::path::{canonical, keys_of};
use super::spelling;

/// Values for fields whose schema does not say enough: `Type.field` or `field`.
pub type Hints = BTreeMap<String, Vec<Value>>;

/// Makes values.
pub struct Generator<'a> {
    /// What the schema does not say.
    pub hints: &'a Hints,
    /// Chance.
    pub rng: Rng,
    /// Elements of keyed lists may have the keys of others: all ways to write allow it but server-side apply.
    pub duplicates: bool,
}

/// How deep optional fields go.
const DEPTH: u8 = 6;

impl<'a> Generator<'a> {
    /// A word that is a valid name and label value.
    pub fn word(&mut self) -> String {
        const WORDS: [&str; 12] = [
            "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet",
            "jade", "kelp", "lotus",
        ];
        format!("{}-{}", WORDS[self.rng.usize(..12)], self.rng.u16(..1000))
    }

    /// A text as people write them.
    fn prose(&mut self) -> String {
        const TEXTS: [&str; 8] = [
            "plain",
            "two words",
            "Grüße, 世界 🙂",
            "1.0",
            "yes",
            "line one\nline two\n",
            "0x1F",
            "a=b,c:\"d\" \\ ",
        ];
        format!("{}{}", TEXTS[self.rng.usize(..8)], self.rng.u8(..10))
    }

    fn hints_for(&self, owner: &str, name: &str) -> Option<&'a [Value]> {
        let exact = self.hints.get(&format!("{owner}.{name}"));
        exact.or_else(|| self.hints.get(name)).map(Vec::as_slice)
    }

    fn hint(&mut self, owner: &str, name: &str) -> Option<Value> {
        let candidates = self.hints_for(owner, name)?;
        self.rng.choice(candidates).cloned()
    }

    /// A value for a field of a type; `None` where the hints say that there is to be none.
    pub fn field(&mut self, owner: &str, name: &str, node: &Node, depth: u8) -> Option<Value> {
        if self.hints_for(owner, name).is_some_and(<[Value]>::is_empty) {
            return None;
        }
        let enumerated = node.keyword("enum").is_some();
        let whole = matches!(node.shape(), Shape::Struct | Shape::Keyed(_) | Shape::Map);
        if !enumerated
            && let Some(value) = self.hint(owner, name)
            && (!whole || value.is_object() || value.is_array())
        {
            return Some(value);
        }
        Some(self.value(name, node, depth))
    }

    /// A value.
    pub fn value(&mut self, name: &str, node: &Node, depth: u8) -> Value {
        if let Some(Value::Array(values)) = node.keyword("enum")
            && let Some(value) = self.rng.choice(values)
            && value != ""
        {
            return value.clone();
        }
        if let Some(value) = self.hint("type", node.type_name()) {
            return value;
        }
        match node.shape() {
            Shape::Quantity => spelling::quantity(&mut self.rng),
            Shape::IntOrString => match self.rng.u8(..3) {
                0 => json!(format!("{}%", self.rng.u8(1..100))),
                _ => json!(self.rng.u16(1..9000)),
            },
            Shape::Bytes => json!(BYTES[self.rng.usize(..BYTES.len())]),
            Shape::Time => json!(format!(
                "20{:02}-0{}-1{}T10:20:30Z",
                self.rng.u8(10..40),
                self.rng.u8(1..9),
                self.rng.u8(..9)
            )),
            Shape::MicroTime => json!(format!(
                "2031-02-03T04:05:06.{:06}Z",
                self.rng.u32(1..999_999)
            )),
            Shape::Duration => json!(format!("{}m", self.rng.u8(1..100))),
            Shape::Text => self.text(name, node),
            Shape::Integer => self.integer(name, node),
            Shape::Number => json!([0.5, 1.0, 2.25, 1e21, -3.0, 0.1][self.rng.usize(..6)]),
            Shape::Boolean => json!(self.rng.bool()),
            Shape::Struct => self.structure(node, depth),
            Shape::Map => self.map(name, node, depth),
            Shape::Atomic | Shape::Set | Shape::Keyed(_) => self.list(name, node, depth),
            Shape::Any => self.anything(node, 3),
        }
    }

    fn text(&mut self, name: &str, node: &Node) -> Value {
        match node.text("pattern") {
            "" => {}
            // The only ones of generated definitions.
            "^[a-z]+$" => return json!(["red", "green", "blue", "teal"][self.rng.usize(..4)]),
            _ => {
                return spelling::quantity(&mut self.rng)
                    .to_string()
                    .trim_matches('"')
                    .into();
            }
        }
        let lower = name.to_ascii_lowercase();
        let ends = |suffix: &str| lower.ends_with(suffix);
        if name == "finalizers" {
            // Of a domain that no kind's controller has.
            json!(format!("hold.example.org/{}", self.word()))
        } else if ends("path") {
            json!(format!("/{}", self.word()))
        } else if ends("name") || ends("namespace") || ends("class") || ends("key") {
            json!(self.word())
        } else if ends("host") || ends("hostname") || ends("domain") || ends("driver") {
            json!(format!("{}.example.com", self.word()))
        } else if ends("message") || ends("note") || ends("description") || name.is_empty() {
            json!(self.prose())
        } else {
            json!(self.word())
        }
    }

    fn integer(&mut self, name: &str, node: &Node) -> Value {
        let bound = |keyword: &str| node.keyword(keyword).and_then(Value::as_f64);
        #[allow(clippy::cast_possible_truncation)]
        let (low, high) = (
            bound("minimum").map_or(1, |n| n as i64),
            bound("maximum").map_or(100, |n| n as i64),
        );
        if name == "big" {
            return json!([i64::MAX, i64::MIN, 9_007_199_254_740_993_i64, 0][self.rng.usize(..4)]);
        }
        if name.to_ascii_lowercase().ends_with("port") {
            return json!(self.rng.u16(1024..30000));
        }
        json!(self.rng.i64(low..=high.max(low)))
    }

    /// A struct: what is required, and some of the rest.
    fn structure(&mut self, node: &Node, depth: u8) -> Value {
        let required = node.texts("required");
        let mut object = Map::new();
        let fields = node.fields();
        let chance = if depth > DEPTH {
            0
        } else {
            30 / (u32::from(depth) + 1)
        };
        for (name, field) in &fields {
            if (required.contains(name) || self.rng.u32(..100) < chance)
                && let Some(value) = self.field(node.type_name(), name, field, depth + 1)
            {
                object.insert(name.clone(), value);
            }
        }
        // Most structs without a required field are unions: one of them, to be allowed.
        if object.is_empty() && depth < DEPTH {
            let names: Vec<&String> = fields.keys().collect();
            if let Some(name) = self.rng.choice(names)
                && let Some(value) = self.field(node.type_name(), name, &fields[name], depth + 1)
            {
                object.insert(name.clone(), value);
            }
        }
        if node.is("x-kubernetes-embedded-resource") {
            object.insert("apiVersion".to_owned(), json!("v1"));
            object.insert("kind".to_owned(), json!("ConfigMap"));
            object.insert("metadata".to_owned(), json!({"name": self.word()}));
        }
        if node.is("x-kubernetes-preserve-unknown-fields") && self.rng.bool() {
            object.insert("free".to_owned(), self.anything(node, 2));
        }
        Value::Object(object)
    }

    fn map(&mut self, name: &str, node: &Node, depth: u8) -> Value {
        let mut object = Map::new();
        let Some(inner) = node.inner() else {
            return Value::Object(object);
        };
        for _ in 0..self.rng.usize(1..4) {
            let key = self.map_key(name);
            object.insert(key, self.value(name, &inner, depth + 1));
        }
        Value::Object(object)
    }

    /// A key of a map.
    pub fn map_key(&mut self, map: &str) -> String {
        match map {
            "labels" | "annotations" if self.rng.bool() => format!("example.com/{}", self.word()),
            "limits" | "requests" | "hard" | "capacity" | "overhead" | "allocatable" => {
                ["cpu", "memory", "ephemeral-storage"][self.rng.usize(..3)].to_owned()
            }
            _ => self.word(),
        }
    }

    fn list(&mut self, name: &str, node: &Node, depth: u8) -> Value {
        let mut list: Vec<Value> = Vec::new();
        for _ in 0..self.rng.usize(1..4) {
            if let Some(element) = self.element(name, node, &list, depth) {
                list.push(element);
            }
        }
        Value::Array(list)
    }

    /// Another element for a list.
    pub fn element(&mut self, name: &str, node: &Node, list: &[Value], depth: u8) -> Option<Value> {
        let inner = node.inner()?;
        let element = self.value(name, &inner, depth + 1);
        let shape = node.shape();
        let taken = list.iter().any(|other| match &shape {
            Shape::Keyed(names) => {
                keys_of(other, names, Some(&inner)) == keys_of(&element, names, Some(&inner))
            }
            Shape::Set => canonical(other) == canonical(&element),
            _ => false,
        });
        let allowed = !taken || (self.duplicates && matches!(shape, Shape::Keyed(_)));
        allowed.then_some(element)
    }

    /// Any JSON; an object, where the schema wants one.
    pub fn anything(&mut self, node: &Node, depth: u8) -> Value {
        if node.is("additionalProperties") {
            // Of objects as values the server keeps that they are there, and nothing in them.
            return (0..self.rng.usize(1..4))
                .map(|_| (self.word(), self.json(0)))
                .collect();
        }
        let object = node.text("type") == "object" || node.type_name() == "RawExtension";
        match self.rng.u8(..8) {
            _ if object || depth == 3 => {
                let mut object = Map::new();
                for _ in 0..self.rng.usize(1..4) {
                    object.insert(self.word(), self.json(depth - 1));
                }
                Value::Object(object)
            }
            _ => self.json(depth),
        }
    }

    fn json(&mut self, depth: u8) -> Value {
        match self.rng.u8(..if depth == 0 { 6 } else { 9 }) {
            0 => json!(self.rng.i32(-5..5000)),
            1 => json!(f64::from(self.rng.i16(..)) / 8.0),
            2 => json!(self.rng.bool()),
            3 => json!(self.prose()),
            4 => json!([i64::MAX, 9_007_199_254_740_993_i64][self.rng.usize(..2)]),
            5 => {
                [json!({}), json!([]), json!(""), json!(0), json!(1.0)][self.rng.usize(..5)].clone()
            }
            6 => (0..self.rng.usize(..4))
                .map(|_| self.json(depth - 1))
                .collect(),
            _ => {
                let mut object = Map::new();
                for _ in 0..self.rng.usize(..3) {
                    object.insert(self.word(), self.json(depth - 1));
                }
                Value::Object(object)
            }
        }
    }
}

/// Base64, with and without padding.
const BYTES: [&str; 5] = [
    "aGVsbG8=",
    "aGVsbG8gd29ybGQ=",
    "AAEC",
    "/+8=",
    "Z3LDvMOfZSBhdXMgZGVyIEZlcm5l",
];
