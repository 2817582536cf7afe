//! A policy's rules: which differences are ignored, and how grave others are.
//!
//! One evaluator for all who match: [`Matcher`] says whether a target, an object and a field are meant, [`Rules`] which
//! rule speaks. The first rule that matches decides alone; all of what a match names has to match; of each list, one entry.
//! Labels are those of the declaration: a label of the live object could be set by whoever changed it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::compare::FieldDrift;
use crate::exceptions::{Exceptions, ObjectExceptions};
use crate::ladder::Rung;
use crate::names::{KindPattern, NamePattern};
use crate::path::FieldPath;
use crate::pattern::PathPattern;
use crate::redact::{cut, printable};
use crate::severity::Severity;
use crate::subject::ObjectId;

/// The most rules of a policy.
pub const MAX_RULES: usize = 64;
/// The most entries of one list of a match.
pub const MAX_ENTRIES: usize = 64;
/// The longest reason, in bytes.
const MAX_REASON: usize = 2048;
/// How much work matching one object may be, in steps and characters compared: some thousandths of a second. Rules and declarations
/// come from tenants; what is left when it is spent is reported as if no rule spoke of it.
const MAX_WORK: u64 = 2_000_000;

/// What a match names, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchText {
    /// Names of targets.
    pub targets: Vec<String>,
    /// `apps/Deployment`, `ConfigMap`, `*/Deployment`.
    pub kinds: Vec<String>,
    /// Names of objects with `*` and `?`.
    pub names: Vec<String>,
    /// Labels of the declared object with their values.
    pub labels: BTreeMap<String, String>,
    /// Patterns of field paths.
    pub fields: Vec<String>,
}

/// What then holds, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleText {
    /// What the rule is about.
    pub matches: MatchText,
    /// The reason to ignore it.
    pub ignore: Option<String>,
    /// How grave it is.
    pub severity: Option<Severity>,
    /// How far the policy goes against them.
    pub rung: Option<Rung>,
}

/// Why a match or a rule makes no sense: where, what, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct RuleError {
    /// The field, such as `spec.rules[2].match.kinds[0]`.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

impl RuleError {
    /// Of a place and what is wrong there.
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

/// What is meant: targets, objects, fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matcher {
    targets: Vec<String>,
    kinds: Vec<KindPattern>,
    names: Vec<NamePattern>,
    labels: BTreeMap<String, String>,
    fields: Vec<PathPattern>,
}

/// How much work is left; none once it was not enough.
pub(crate) struct Work(Option<u64>);

impl Work {
    pub(crate) fn new() -> Self {
        Self(Some(MAX_WORK))
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.0.is_none()
    }

    /// False where it is more than is left.
    fn spend(&mut self, cost: u64) -> bool {
        self.0 = self.0.and_then(|left| left.checked_sub(cost));
        self.0.is_some()
    }

    /// What was found with it, if it was enough to find all.
    fn vouch<T: Default>(&self, found: T) -> T {
        if self.0.is_some() {
            found
        } else {
            T::default()
        }
    }
}

impl Matcher {
    /// Checks a match. `place` is where it stands, `targets` are those that there are.
    pub fn parse(text: &MatchText, place: &str, targets: &[&str]) -> Result<Self, RuleError> {
        let MatchText {
            targets: named,
            kinds,
            names,
            labels,
            fields,
        } = text;
        let lengths = [
            ("targets", named.len()),
            ("kinds", kinds.len()),
            ("names", names.len()),
            ("labels", labels.len()),
            ("fields", fields.len()),
        ];
        if lengths.iter().all(|(_, n)| *n == 0) {
            return Err(RuleError::new(
                place,
                "name at least one of targets, kinds, names, labels, fields; names: [\"*\"] is everything",
            ));
        }
        if let Some((list, n)) = lengths.iter().find(|(_, n)| *n > MAX_ENTRIES) {
            let what = format!("{n} entries; at most {MAX_ENTRIES}, split the rule");
            return Err(RuleError::new(format!("{place}.{list}"), what));
        }
        if let Some((n, unknown)) =
            (named.iter().enumerate()).find(|(_, t)| !targets.contains(&t.as_str()))
        {
            let what = format!("{} is no target of this policy", quoted(unknown));
            return Err(RuleError::new(format!("{place}.targets[{n}]"), what));
        }
        Ok(Self {
            targets: named.clone(),
            kinds: all(kinds, &format!("{place}.kinds"))?,
            names: names.iter().map(|n| NamePattern::new(n)).collect(),
            labels: labels.clone(),
            fields: all(fields, &format!("{place}.fields"))?,
        })
    }

    /// True if the object, of that target, is meant, whichever its field.
    pub(crate) fn object(
        &self,
        target: &str,
        id: &ObjectId,
        labels: Option<&Map<String, Value>>,
        work: &mut Work,
    ) -> bool {
        (self.targets.is_empty() || self.targets.iter().any(|t| t == target))
            && (self.kinds.is_empty() || self.kinds.iter().any(|k| k.matches(&id.group_kind)))
            && self.labels.iter().all(|(name, value)| {
                labels.and_then(|all| all.get(name)).and_then(Value::as_str) == Some(value)
            })
            && (self.names.is_empty()
                || self
                    .names
                    .iter()
                    .any(|n| work.spend(n.cost(&id.name)) && n.matches(&id.name)))
    }

    /// True if it is about objects as a whole, too.
    pub(crate) fn names_no_fields(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn field(&self, path: &FieldPath, work: &mut Work) -> bool {
        self.fields.is_empty()
            || self
                .fields
                .iter()
                .any(|f| work.spend(f.cost(path)) && f.matches(path))
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", cut(&printable(text), 64))
}

fn all<T: std::str::FromStr<Err: std::fmt::Display>>(
    texts: &[String],
    place: &str,
) -> Result<Vec<T>, RuleError> {
    let one = |(n, text): (usize, &String)| {
        text.parse().map_err(|error: T::Err| {
            RuleError::new(
                format!("{place}[{n}]"),
                format!("{} is {error}", quoted(text)),
            )
        })
    };
    texts.iter().enumerate().map(one).collect()
}

/// What holds for what a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// They are not drift.
    Ignore {
        /// Why.
        reason: String,
    },
    /// What they are called, and how far the policy goes against them.
    Grade {
        /// How grave they are; as without the rule where it does not say.
        severity: Option<Severity>,
        /// How far the policy goes; as elsewhere where it does not say.
        rung: Option<Rung>,
    },
}

/// A rule that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its place in the policy, from 0.
    pub index: usize,
    /// What holds.
    pub action: Action,
    matcher: Matcher,
}

/// All rules of a policy, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Checks a policy's rules; `targets` are the names of its targets.
    pub fn parse(texts: &[RuleText], targets: &[&str]) -> Result<Self, RuleError> {
        if texts.len() > MAX_RULES {
            let what = format!("{} rules; at most {MAX_RULES}", texts.len());
            return Err(RuleError::new("spec.rules", what));
        }
        let rule = |(index, text): (usize, &RuleText)| {
            let place = format!("spec.rules[{index}]");
            let action = action(text, &place)?;
            let matcher = Matcher::parse(&text.matches, &format!("{place}.match"), targets)?;
            Ok(Rule {
                index,
                action,
                matcher,
            })
        };
        texts
            .iter()
            .enumerate()
            .map(rule)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that may speak of an object of a target. `labels` are those of the declaration; none where it is not declared.
    pub fn about<'r>(
        &'r self,
        target: &str,
        id: &ObjectId,
        labels: Option<&Map<String, Value>>,
    ) -> ObjectRules<'r> {
        let mut work = Work::new();
        let meant = |rule: &&Rule| rule.matcher.object(target, id, labels, &mut work);
        let rules: Vec<&Rule> = self.0.iter().filter(meant).collect();
        ObjectRules {
            rules: work.vouch(rules),
            work,
            exceptions: ObjectExceptions::default(),
        }
    }

    /// The rule that speaks of one field.
    pub fn decide(
        &self,
        target: &str,
        id: &ObjectId,
        labels: Option<&Map<String, Value>>,
        path: &FieldPath,
    ) -> Option<&Rule> {
        self.about(target, id, labels).field(path)
    }
}

fn action(text: &RuleText, place: &str) -> Result<Action, RuleError> {
    match (&text.ignore, text.severity, text.rung) {
        (Some(reason), None, None) if reason.trim().is_empty() => Err(RuleError::new(
            format!("{place}.ignore.reason"),
            "say why this may differ",
        )),
        (Some(reason), None, None) => Ok(Action::Ignore {
            reason: cut(&printable(reason.trim()), MAX_REASON).to_owned(),
        }),
        (Some(_), ..) => Err(RuleError::new(
            place,
            "what is ignored has no severity and is not enforced; set either ignore, or severity and enforcement",
        )),
        (None, None, None) => Err(RuleError::new(
            place,
            "set ignore, or severity, enforcement or both",
        )),
        (None, severity, rung) => Ok(Action::Grade { severity, rung }),
    }
}

/// A policy's rules as one of its targets has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetRules {
    /// The target's name.
    pub target: Arc<str>,
    /// All of the policy's rules.
    pub rules: Arc<Rules>,
    /// The policy's exceptions that are in force.
    pub exceptions: Arc<Exceptions>,
}

impl TargetRules {
    /// Those that may speak of one of its objects.
    pub fn about(&self, id: &ObjectId, declared: &Value) -> ObjectRules<'_> {
        let labels = labels(declared);
        ObjectRules {
            exceptions: self.exceptions.about(&self.target, id, labels),
            ..self.rules.about(&self.target, id, labels)
        }
    }
}

/// The labels of a declaration.
pub fn labels(declared: &Value) -> Option<&Map<String, Value>> {
    declared.get("metadata")?.get("labels")?.as_object()
}

/// The rules that may speak of one object.
pub struct ObjectRules<'r> {
    rules: Vec<&'r Rule>,
    work: Work,
    exceptions: ObjectExceptions<'r>,
}

impl<'r> ObjectRules<'r> {
    /// The rule that speaks of a field.
    pub fn field(&mut self, path: &FieldPath) -> Option<&'r Rule> {
        let Self { rules, work, .. } = self;
        let found = rules.iter().find(|r| r.matcher.field(path, work));
        work.vouch(found.copied())
    }

    /// The rule that speaks of the object as a whole: one that names no fields.
    pub fn object(&self) -> Option<&'r Rule> {
        self.rules
            .iter()
            .find(|r| r.matcher.names_no_fields())
            .copied()
    }

    /// The exception for a field that differs; values that are withheld match none that names values.
    pub(crate) fn exception(&mut self, drift: &FieldDrift, withheld: bool) -> Option<Arc<str>> {
        self.exceptions.field(drift, withheld)
    }

    /// The exception for the object as a whole.
    pub(crate) fn exception_for_object(&self) -> Option<Arc<str>> {
        self.exceptions.object()
    }

    /// True where there may be exceptions for the object.
    pub(crate) fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty()
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
