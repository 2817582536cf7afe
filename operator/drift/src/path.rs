//! Field paths: one grammar for records, findings and rules.
//!
//! ```text
//! path     = name *( "." name | key | select )
//! key      = '["' JSON string '"]'                    metadata.annotations["a.b/c"]
//! select   = "[" pair *( "," pair ) [ ";#" index ] "]" ports[containerPort=80,protocol=TCP], env[name=A;#1]
//!          | "[" index "]"                            place in an atomic list
//!          | "[=" value "]"                           member of a set
//!          | "[]"                                     member of a set that has no key
//! pair     = name "=" value
//! ```
//! Printing and parsing round-trip exactly.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A place in an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldPath(pub Vec<Step>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field of a struct or a key of a map.
    Field(String),
    /// The element of a keyed list with these keys; the n-th of duplicates, counted from 0.
    Select(Vec<(String, Value)>, usize),
    /// A place in an atomic list.
    Index(usize),
    /// A member of a set of scalars.
    Member(Value),
    /// A member of a set without a key.
    AnyMember,
}

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a field path at character {at}: {what}; write it like spec.template.spec.containers[name=web].image"
)]
pub struct PathError {
    /// Where, in characters from the start.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

pub(crate) fn bare(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_word_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b':')
}

/// Strings are written bare where that cannot be read as another type.
pub(crate) fn write_scalar(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::String(s)
            if !s.is_empty()
                && s.bytes().all(is_word_byte)
                && serde_json::from_str::<Value>(s).is_err() =>
        {
            f.write_str(s)
        }
        other => write!(f, "{other}"),
    }
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if bare(name) {
        f.write_str(name)
    } else {
        write!(f, "{}", Value::String(name.to_owned()))
    }
}

pub(crate) fn write_select(
    f: &mut fmt::Formatter<'_>,
    pairs: &[(String, Value)],
    nth: Option<usize>,
) -> fmt::Result {
    f.write_str("[")?;
    for (j, (name, value)) in pairs.iter().enumerate() {
        if j > 0 {
            f.write_str(",")?;
        }
        write_name(f, name)?;
        f.write_str("=")?;
        write_scalar(f, value)?;
    }
    if let Some(nth) = nth {
        write!(f, ";#{nth}")?;
    }
    f.write_str("]")
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if bare(name) => {
                    if i > 0 {
                        f.write_str(".")?;
                    }
                    f.write_str(name)?;
                }
                Step::Field(name) => write!(f, "[{}]", Value::String(name.clone()))?,
                Step::Select(pairs, nth) => write_select(f, pairs, Some(*nth).filter(|n| *n > 0))?,
                Step::Index(n) => write!(f, "[{n}]")?,
                Step::Member(value) => {
                    f.write_str("[=")?;
                    write_scalar(f, value)?;
                    f.write_str("]")?;
                }
                Step::AnyMember => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut parser = Parser { text, at: 0 };
        let mut steps = Vec::new();
        while parser.at < text.len() {
            if parser.eat(b'[') {
                steps.push(parser.bracket()?.0);
            } else {
                if !steps.is_empty() && !parser.eat(b'.') {
                    return Err(parser.error("expected `.` or `[`"));
                }
                steps.push(Step::Field(parser.bare_name()?));
            }
        }
        if steps.is_empty() {
            return Err(parser.error("empty"));
        }
        Ok(Self(steps))
    }
}

/// A place in a text; patterns are read with it too.
pub(crate) struct Parser<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

impl Parser<'_> {
    pub(crate) fn error(&self, what: &'static str) -> PathError {
        PathError {
            at: self
                .text
                .get(..self.at)
                .map_or(self.at, |t| t.chars().count()),
            what,
        }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), PathError> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.error(what))
        }
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &str {
        let start = self.at;
        while self.peek().is_some_and(&keep) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    pub(crate) fn bare_name(&mut self) -> Result<String, PathError> {
        let name = self
            .take_while(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            .to_owned();
        if name.is_empty() {
            Err(self.error("expected a name"))
        } else {
            Ok(name)
        }
    }

    fn json_string(&mut self) -> Result<String, PathError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        match stream.next() {
            Some(Ok(text)) => {
                self.at += stream.byte_offset();
                Ok(text)
            }
            _ => Err(self.error("expected a JSON string")),
        }
    }

    fn name(&mut self) -> Result<String, PathError> {
        if self.peek() == Some(b'"') {
            self.json_string()
        } else {
            self.bare_name()
        }
    }

    fn scalar(&mut self) -> Result<Value, PathError> {
        if self.peek() == Some(b'"') {
            return Ok(Value::String(self.json_string()?));
        }
        let word = self.take_while(|b| is_word_byte(b) || b == b'+').to_owned();
        if word.is_empty() {
            return Err(self.error("expected a value"));
        }
        Ok(serde_json::from_str(&word).unwrap_or(Value::String(word)))
    }

    fn number(&mut self) -> Result<usize, PathError> {
        let digits = self.take_while(|b| b.is_ascii_digit()).to_owned();
        digits.parse().map_err(|_| self.error("expected a number"))
    }

    /// What stands in brackets, up to and with the closing one; whether a place among duplicates was named is said besides.
    pub(crate) fn bracket(&mut self) -> Result<(Step, bool), PathError> {
        let mut numbered = false;
        let step = match self.peek() {
            Some(b']') => Step::AnyMember,
            Some(b'=') => {
                self.at += 1;
                Step::Member(self.scalar()?)
            }
            Some(b'"') => {
                let name = self.json_string()?;
                if self.peek() == Some(b'=') {
                    self.pairs(name, &mut numbered)?
                } else {
                    Step::Field(name)
                }
            }
            _ => {
                let start = self.at;
                let name = self.bare_name()?;
                if self.peek() == Some(b'=') {
                    self.pairs(name, &mut numbered)?
                } else {
                    self.at = start;
                    Step::Index(self.number()?)
                }
            }
        };
        self.expect(b']', "expected `]`")?;
        Ok((step, numbered))
    }

    fn pairs(&mut self, first: String, numbered: &mut bool) -> Result<Step, PathError> {
        let mut name = first;
        let mut pairs = Vec::new();
        loop {
            self.expect(b'=', "expected `=`")?;
            pairs.push((name, self.scalar()?));
            if !self.eat(b',') {
                break;
            }
            name = self.name()?;
        }
        let mut nth = 0;
        if self.eat(b';') {
            self.expect(b'#', "expected `#`")?;
            nth = self.number()?;
            *numbered = true;
        }
        Ok(Step::Select(pairs, nth))
    }
}

impl FieldPath {
    /// The value at this path, where there is one.
    pub fn get<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(root, |value, step| step.get(value))
    }

    /// The last field name on the way, for short texts.
    pub fn short(&self) -> String {
        let last = self
            .0
            .iter()
            .rposition(|s| matches!(s, Step::Field(_)))
            .unwrap_or(0);
        let tail = Self(self.0.get(last..).unwrap_or_default().to_vec());
        if last > 0 {
            format!("…{tail}")
        } else {
            tail.to_string()
        }
    }
}

impl Step {
    pub(crate) fn get<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Field(name) => value.get(name),
            Self::Index(n) => value.get(n),
            Self::Member(member) => value.as_array()?.iter().find(|v| *v == member),
            Self::Select(pairs, nth) => {
                let hit = |v: &&Value| {
                    pairs
                        .iter()
                        .all(|(k, want)| v.get(k).is_none_or(|have| have == want))
                };
                value.as_array()?.iter().filter(hit).nth(*nth)
            }
            Self::AnyMember => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_as_documented() {
        for text in [
            "spec.replicas",
            "spec.template.spec.containers[name=web].image",
            "metadata.annotations[\"a.b/c\"]",
            "ports[containerPort=80,protocol=TCP]",
            "env[name=A;#1]",
            "args[3]",
            "metadata.finalizers[=a/b]",
            "ingress[].cidr_blocks",
            "x[name=\"80\"]",
            "x[name=\"a b\"]",
        ] {
            let path: FieldPath = text.parse().expect(text);
            assert_eq!(path.to_string(), text);
        }
        assert_eq!(
            "metadata.finalizers[=\"a/b\"]".parse::<FieldPath>(),
            "metadata.finalizers[=a/b]".parse()
        );
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in [
            "", ".", "a.", "a..b", "a[", "a[x", "a[x=", "a[x=1", "a]b", "a[x=1;2]", "a[\"b]", "a b",
        ] {
            assert!(text.parse::<FieldPath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn finds_values() {
        let o = json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81}], "m": {"a.b": 1}, "f": ["x", "y"]}});
        let get = |t: &str| t.parse::<FieldPath>().expect(t).get(&o).cloned();
        assert_eq!(get("spec.ports[port=80].name"), Some(json!("a")));
        assert_eq!(get("spec.m[\"a.b\"]"), Some(json!(1)));
        assert_eq!(get("spec.f[=y]"), Some(json!("y")));
        assert_eq!(get("spec.ports[port=82]"), None);
    }

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
            Just(Value::from("80"))
        ]
    }

    pub(crate) fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            ".{0,8}".prop_map(Step::Field),
            "[a-z]{1,6}".prop_map(Step::Field),
            (prop::collection::vec((".{1,5}", scalar()), 1..3), 0..3usize)
                .prop_map(|(p, n)| Step::Select(p, n)),
            any::<u16>().prop_map(|n| Step::Index(n.into())),
            scalar().prop_map(Step::Member),
            Just(Step::AnyMember),
        ]
    }

    proptest! {
        #[test]
        fn prints_and_parses_back(steps in prop::collection::vec(step(), 1..6)) {
            let path = FieldPath(steps);
            prop_assert_eq!(path.to_string().parse::<FieldPath>(), Ok(path));
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = text.parse::<FieldPath>();
        }
    }
}
