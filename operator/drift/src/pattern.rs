//! Patterns of field paths, as matches name them: the grammar of [`crate::path`] with `*` for one step, `**` for any
//! number of steps (none included) and `[*]` for any element of a list.
//!
//! A pattern covers what it names and everything below. A selection covers every element that has its keys, whichever others the
//! path names, and all of the duplicates unless it says which (`;#n`). Patterns come from tenants: matching never takes more than
//! the product of the two lengths.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::path::{FieldPath, Parser, PathError, Step, bare, write_scalar, write_select};

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 512;

/// A set of places in objects.
#[derive(Debug, Clone, PartialEq)]
pub struct PathPattern(Vec<PatternStep>);

#[derive(Debug, Clone, PartialEq)]
enum PatternStep {
    /// `*`
    Any,
    /// `**`
    AnyDepth,
    /// `[*]`
    AnyElement,
    Field(String),
    Select(Vec<(String, Value)>, Option<usize>),
    Index(usize),
    Member(Value),
    AnyMember,
}

/// Why a text is not a pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a field path at character {at}: {what}; write it like spec.template.spec.containers[name=web].image, with * for one step, ** for any number, [*] for any element"
)]
pub struct PatternError {
    /// Where, in characters from the start.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl From<PathError> for PatternError {
    fn from(PathError { at, what }: PathError) -> Self {
        Self { at, what }
    }
}

impl PatternStep {
    fn covers(&self, step: &Step) -> bool {
        match (self, step) {
            (Self::Any | Self::AnyDepth, _) => true,
            (Self::AnyElement, step) => !matches!(step, Step::Field(_)),
            (Self::Field(a), Step::Field(b)) => a == b,
            (Self::Select(wanted, nth), Step::Select(pairs, n)) => {
                nth.is_none_or(|nth| nth == *n) && wanted.iter().all(|pair| pairs.contains(pair))
            }
            (Self::Index(a), Step::Index(b)) => a == b,
            (Self::Member(a), Step::Member(b)) => a == b,
            (Self::AnyMember, Step::AnyMember) => true,
            _ => false,
        }
    }
}

impl PathPattern {
    /// True if the path is, or lies below, a place that the pattern names.
    pub fn matches(&self, path: &FieldPath) -> bool {
        let (pattern, steps) = (&self.0, &path.0);
        let (mut p, mut n) = (0, 0);
        // Of several `**` only the last has to be tried again: what stands before it has matched as early as it can.
        let mut retry: Option<(usize, usize)> = None;
        while let Some(wanted) = pattern.get(p) {
            if *wanted == PatternStep::AnyDepth {
                p += 1;
                retry = Some((p, n));
            } else if steps.get(n).is_some_and(|step| wanted.covers(step)) {
                p += 1;
                n += 1;
            } else {
                match retry {
                    Some((after, from)) if from < steps.len() => {
                        retry = Some((after, from + 1));
                        (p, n) = (after, from + 1);
                    }
                    _ => return false,
                }
            }
        }
        true
    }

    /// How long [`Self::matches`] takes at most, in steps compared.
    pub fn cost(&self, path: &FieldPath) -> u64 {
        let product = self.0.len().saturating_mul(path.0.len().saturating_add(1));
        u64::try_from(product).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            let mut dotted = |text: &str| {
                if i > 0 {
                    f.write_str(".")?;
                }
                f.write_str(text)
            };
            match step {
                PatternStep::Any => dotted("*")?,
                PatternStep::AnyDepth => dotted("**")?,
                PatternStep::Field(name) if bare(name) => dotted(name)?,
                PatternStep::Field(name) => write!(f, "[{}]", Value::String(name.clone()))?,
                PatternStep::AnyElement => f.write_str("[*]")?,
                PatternStep::Select(pairs, nth) => write_select(f, pairs, *nth)?,
                PatternStep::Index(n) => write!(f, "[{n}]")?,
                PatternStep::Member(value) => {
                    f.write_str("[=")?;
                    write_scalar(f, value)?;
                    f.write_str("]")?;
                }
                PatternStep::AnyMember => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN {
            return Err(PatternError {
                at: MAX_PATTERN,
                what: "longer than 512 bytes",
            });
        }
        let mut parser = Parser { text, at: 0 };
        let mut steps = Vec::new();
        while parser.at < text.len() {
            if parser.eat(b'[') {
                steps.push(bracket(&mut parser)?);
                continue;
            }
            if !steps.is_empty() && !parser.eat(b'.') {
                return Err(parser.error("expected `.` or `[`").into());
            }
            steps.push(if !parser.eat(b'*') {
                PatternStep::Field(parser.bare_name()?)
            } else if parser.eat(b'*') {
                PatternStep::AnyDepth
            } else {
                PatternStep::Any
            });
        }
        if steps.is_empty() {
            return Err(parser.error("empty").into());
        }
        Ok(Self(steps))
    }
}

fn bracket(parser: &mut Parser<'_>) -> Result<PatternStep, PatternError> {
    if parser.eat(b'*') {
        parser.expect(b']', "expected `]`")?;
        return Ok(PatternStep::AnyElement);
    }
    let (step, numbered) = parser.bracket()?;
    Ok(match step {
        Step::Field(name) => PatternStep::Field(name),
        Step::Select(pairs, nth) => PatternStep::Select(pairs, numbered.then_some(nth)),
        Step::Index(n) => PatternStep::Index(n),
        Step::Member(value) => PatternStep::Member(value),
        Step::AnyMember => PatternStep::AnyMember,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::path::tests::step;

    fn matches(pattern: &str, path: &str) -> bool {
        let pattern: PathPattern = pattern.parse().expect(pattern);
        pattern.matches(&path.parse().expect(path))
    }

    #[test]
    fn a_match_covers_everything_below_what_it_names() {
        for (pattern, path) in [
            ("spec", "spec.replicas"),
            ("spec.replicas", "spec.replicas"),
            ("**.image", "spec.template.spec.containers[name=web].image"),
            ("**", "a"),
            ("spec.**.image", "spec.image"),
            (
                "spec.template.spec.containers[*]",
                "spec.template.spec.containers[name=web].image",
            ),
            ("containers[*].image", "containers[3].image"),
            ("containers.*.image", "containers[3].image"),
            ("*.a", "x.a.b"),
            ("metadata.annotations[\"*\"]", "metadata.annotations[\"*\"]"),
            (
                "metadata.annotations[\"a.b/c\"]",
                "metadata.annotations[\"a.b/c\"]",
            ),
            ("metadata.finalizers[=a/b]", "metadata.finalizers[=a/b]"),
            ("metadata.finalizers[*]", "metadata.finalizers[=a/b]"),
            (
                "ports[containerPort=80]",
                "ports[containerPort=80,protocol=TCP]",
            ),
            ("env[name=A]", "env[name=A;#1].value"),
            ("env[name=A;#1]", "env[name=A;#1].value"),
            ("ingress[].cidr_blocks", "ingress[].cidr_blocks"),
            ("**.a.**.b", "a.a.x.b.c"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_match_covers_nothing_beside_or_above() {
        for (pattern, path) in [
            ("spec.replicas", "spec"),
            ("spec.replicas", "spec.replicasX"),
            ("*.image", "spec.template.image"),
            (
                "ports[containerPort=80,protocol=TCP]",
                "ports[containerPort=80]",
            ),
            ("ports[containerPort=\"80\"]", "ports[containerPort=80]"),
            ("env[name=A;#0]", "env[name=A;#1]"),
            ("env[*]", "env.x"),
            ("**.a.b", "a.x.b"),
            ("metadata.annotations[\"*\"]", "metadata.annotations.x"),
            ("[*]", "a"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn an_error_names_the_character() {
        let error = |text: &str| text.parse::<PathPattern>().expect_err(text);
        assert_eq!(error("spec..x").at, 5);
        assert_eq!(error("ä").at, 0);
        assert_eq!(error("a[\"ä\"]x").at, 6);
        assert_eq!(error("").what, "empty");
        assert!(
            error("a.b*")
                .to_string()
                .starts_with("not a field path at character 3: expected `.` or `[`; write it like")
        );
        for text in [
            "***",
            "a.",
            ".a",
            "a[**]",
            "a[*",
            "a[*]b",
            "a[x",
            "a b",
            "*a",
            &"a.".repeat(400),
        ] {
            assert!(text.parse::<PathPattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_of_many_wildcards_kept_the_operator_busy() {
        let pattern: PathPattern = format!("{}b", "**.a.".repeat(100)).parse().expect("parses");
        let path = FieldPath(vec![Step::Field("a".into()); 10_000]);
        let started = std::time::Instant::now();
        assert!(!pattern.matches(&path));
        assert!(started.elapsed() < std::time::Duration::from_secs(30));
    }

    fn pattern_step() -> impl Strategy<Value = PatternStep> {
        prop_oneof![
            Just(PatternStep::Any),
            Just(PatternStep::AnyDepth),
            Just(PatternStep::AnyElement),
            (step(), any::<bool>()).prop_map(|(step, numbered)| match step {
                Step::Field(name) => PatternStep::Field(name),
                Step::Select(pairs, n) => PatternStep::Select(pairs, numbered.then_some(n)),
                Step::Index(n) => PatternStep::Index(n),
                Step::Member(value) => PatternStep::Member(value),
                Step::AnyMember => PatternStep::AnyMember,
            }),
        ]
    }

    /// What `matches` has to say, as it is defined.
    fn by_definition(pattern: &[PatternStep], path: &[Step]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, _) => true,
            (Some((PatternStep::AnyDepth, rest)), _) => {
                by_definition(rest, path)
                    || path
                        .split_first()
                        .is_some_and(|(_, below)| by_definition(pattern, below))
            }
            (Some((first, rest)), Some((step, below))) => {
                first.covers(step) && by_definition(rest, below)
            }
            (Some(_), None) => false,
        }
    }

    fn small_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            "[ab]".prop_map(Step::Field),
            (0..2usize).prop_map(Step::Index)
        ]
    }

    fn small_pattern() -> impl Strategy<Value = PatternStep> {
        prop_oneof![
            Just(PatternStep::Any),
            Just(PatternStep::AnyDepth),
            Just(PatternStep::AnyElement),
            "[ab]".prop_map(PatternStep::Field),
            (0..2usize).prop_map(PatternStep::Index),
        ]
    }

    proptest! {
        #[test]
        fn prints_and_parses_back(steps in prop::collection::vec(pattern_step(), 1..6)) {
            let pattern = PathPattern(steps);
            let text = pattern.to_string();
            prop_assume!(text.len() <= MAX_PATTERN);
            prop_assert_eq!(text.parse::<PathPattern>(), Ok(pattern));
        }

        #[test]
        fn matches_what_its_definition_says(
            pattern in prop::collection::vec(small_pattern(), 1..7),
            path in prop::collection::vec(small_step(), 1..8),
        ) {
            let expected = by_definition(&pattern, &path);
            prop_assert_eq!(PathPattern(pattern).matches(&FieldPath(path)), expected);
        }

        #[test]
        fn a_path_is_a_pattern_that_matches_itself(steps in prop::collection::vec(step(), 1..6)) {
            let path = FieldPath(steps);
            let text = path.to_string();
            prop_assume!(text.len() <= MAX_PATTERN);
            let pattern: PathPattern = text.parse().expect("a path is a pattern");
            prop_assert!(pattern.matches(&path));
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = text.parse::<PathPattern>();
        }
    }
}
