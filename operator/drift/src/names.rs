//! Patterns of kinds (`apps/Deployment`, `ConfigMap`, `*/Deployment`) and of names (`web-*`), as matches name them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::subject::GroupKind;

/// A kind of one group, or of any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KindPattern {
    /// `None` for any group.
    group: Option<Arc<str>>,
    kind: Arc<str>,
}

/// A text is no pattern of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a kind; write GROUP/KIND without a version, for example apps/Deployment, a core kind without a slash, for example ConfigMap, or */KIND for any group"
)]
pub struct KindError;

impl KindPattern {
    /// True for a kind that it names.
    pub fn matches(&self, kind: &GroupKind) -> bool {
        self.kind == kind.kind && self.group.as_ref().is_none_or(|g| *g == kind.group)
    }
}

impl FromStr for KindPattern {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let (group, kind) = match text.split_once('/') {
            None => (Some(""), text),
            Some(("*", kind)) => (None, kind),
            Some(("", _)) => return Err(KindError),
            Some((group, kind)) => (Some(group), kind),
        };
        let in_group = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        let valid = kind.bytes().all(|b| b.is_ascii_alphanumeric())
            && kind.starts_with(|c: char| c.is_ascii_alphabetic())
            && kind.len() <= 63
            && group.is_none_or(|g| g.len() <= 253 && g.bytes().all(in_group));
        valid
            .then(|| Self {
                group: group.map(Into::into),
                kind: kind.into(),
            })
            .ok_or(KindError)
    }
}

impl fmt::Display for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            None => write!(f, "*/{}", self.kind),
            Some(group) => GroupKind::new(group, &self.kind).fmt(f),
        }
    }
}

/// A name, with `*` for any number of characters and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern(Vec<char>);

impl NamePattern {
    /// Every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.chars().collect())
    }

    /// True for a name that it describes as a whole. Never takes more than the product of the two lengths.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut p, mut n) = (0, 0);
        // As in paths, only the last `*` has to be tried again.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(p), name.get(n)) {
                (None, None) => return true,
                (Some('*'), _) => {
                    p += 1;
                    retry = Some((p, n));
                }
                (Some(wanted), Some(c)) if *wanted == '?' || wanted == c => {
                    p += 1;
                    n += 1;
                }
                _ => match retry {
                    Some((after, from)) if from < name.len() => {
                        retry = Some((after, from + 1));
                        (p, n) = (after, from + 1);
                    }
                    _ => return false,
                },
            }
        }
    }

    /// How long [`Self::matches`] takes at most, in characters compared.
    pub fn cost(&self, name: &str) -> u64 {
        let tries = if self.0.contains(&'*') {
            self.0.len()
        } else {
            1
        };
        u64::try_from(tries.saturating_mul(name.len().saturating_add(1))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_kind_is_matched_with_its_group() {
        let matches = |pattern: &str, group: &str, kind: &str| {
            let pattern: KindPattern = pattern.parse().expect(pattern);
            pattern.matches(&GroupKind::new(group, kind))
        };
        assert!(matches("apps/Deployment", "apps", "Deployment"));
        assert!(matches("*/Deployment", "apps", "Deployment"));
        assert!(matches("*/ConfigMap", "", "ConfigMap"));
        assert!(matches("ConfigMap", "", "ConfigMap"));
        assert!(!matches("Deployment", "apps", "Deployment"));
        assert!(!matches("apps/Deployment", "extensions", "Deployment"));
        for bad in [
            "",
            "/Pod",
            "v1/",
            "apps/v1/Deployment",
            "*",
            "apps/*",
            "Apps/Deployment",
            "Pod s",
        ] {
            assert!(bad.parse::<KindPattern>().is_err(), "{bad:?}");
        }
        for text in ["apps/Deployment", "*/Deployment", "ConfigMap"] {
            assert_eq!(text.parse::<KindPattern>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_name_is_matched_as_a_whole() {
        let matches = |pattern: &str, name: &str| NamePattern::new(pattern).matches(name);
        for (pattern, name) in [
            ("web", "web"),
            ("web-*", "web-1"),
            ("*", ""),
            ("*-web", "a-web-web"),
            ("w?b", "web"),
            ("w?b", "wéb"),
            ("a*b*c", "aXbYbZc"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("web", "web-1"),
            ("web-?", "web-"),
            ("", "a"),
            ("a*b", "abc"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, rest) => rest.is_none(),
            (Some(('*', rest)), _) => {
                by_definition(rest, name)
                    || name
                        .split_first()
                        .is_some_and(|(_, after)| by_definition(pattern, after))
            }
            (Some((p, rest)), Some((c, after))) => {
                (*p == '?' || p == c) && by_definition(rest, after)
            }
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn names_match_what_their_definition_says(pattern in "[ab?*]{0,8}", name in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                NamePattern::new(&pattern).matches(&name),
                by_definition(&chars(&pattern), &chars(&name))
            );
        }
    }
}
