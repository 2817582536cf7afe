//! What rules and the built-in table make of a finding: what is ignored goes, the rest gets a severity, the gravest first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::judge::{Finding, JudgedField, ObjectChange};
use crate::ladder::Rung;
use crate::path::FieldPath;
use crate::redact::is_sensitive;
use crate::report::MAX_FIELDS;
use crate::rules::{Action, ObjectRules, Rule};
use crate::severity::{Presence, Severities, Severity};
use crate::subject::GroupKind;

/// The most fields of an object that are looked up in the built-in table; what comes after counts as the table's default.
const MAX_LOOKED_UP: usize = 10_000;

/// What rules make of a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Grading {
    /// What is left of it; nothing where rules ignore all.
    pub left: Option<Graded>,
    /// What rules ignore of it, if anything.
    pub ignored: Option<Ignored>,
}

/// What rules ignore of a finding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ignored {
    /// Where, for at most [`MAX_FIELDS`] fields; none where the object as a whole is ignored.
    pub places: Vec<FieldPath>,
    /// There are more of them.
    pub more: bool,
    /// That an object as a whole is so.
    pub whole: Option<ObjectChange>,
}

/// Rules ignore nothing.
pub static NOTHING: Ignored = Ignored {
    places: Vec::new(),
    more: false,
    whole: None,
};

impl Ignored {
    /// True if a place may hold something that is ignored.
    pub fn is_within(&self, whole: &FieldPath) -> bool {
        self.more || self.places.iter().any(|p| p.0.starts_with(&whole.0))
    }
}

/// A finding after the rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Graded {
    /// What is left of it: the gravest fields first, among equals in the order of their paths. Its origin is that of what is left.
    pub finding: Finding,
    /// What holds for its fields, in the same order.
    pub grades: Vec<Grade>,
    /// The gravest of them, or the object's own where it is about the object as a whole.
    pub severity: Severity,
    /// How far the policy goes where it is about the object as a whole and a rule says so.
    pub rung: Option<Rung>,
    /// The exception for the object, where it is about the object as a whole.
    pub exception: Option<Arc<str>>,
    /// The rules that applied, in their order.
    pub applied: Vec<Applied>,
}

/// What holds for a field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Grade {
    /// How grave it is.
    pub severity: Severity,
    /// How far the policy goes, where a rule says so.
    pub rung: Option<Rung>,
    /// The exception that allows it for now.
    pub exception: Option<Arc<str>>,
}

impl Graded {
    /// True if exceptions allow all of it.
    pub fn is_excepted(&self) -> bool {
        match self.finding.change {
            ObjectChange::Changed => {
                !self.grades.is_empty() && self.grades.iter().all(|g| g.exception.is_some())
            }
            _ => self.exception.is_some(),
        }
    }

    /// The exceptions that allow some of it, each once.
    pub fn exceptions(&self) -> Vec<Arc<str>> {
        let fields = self.grades.iter().filter_map(|g| g.exception.as_ref());
        let all: BTreeSet<&Arc<str>> = fields.chain(&self.exception).collect();
        all.into_iter().cloned().collect()
    }
}

/// A rule that applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its place in the policy, from 0.
    pub index: usize,
    /// What it says.
    pub action: Action,
    /// To how many fields; 0 where it spoke of the object as a whole.
    pub fields: usize,
}

/// Applies rules to a finding; what they do not speak of is graded by the built-in table.
pub fn grade(kind: &GroupKind, finding: Finding, mut rules: ObjectRules<'_>) -> Grading {
    match presence(finding.change) {
        Some(presence) => whole(kind, finding, presence, &rules),
        None => fields(kind, finding, &mut rules),
    }
}

fn presence(change: ObjectChange) -> Option<Presence> {
    match change {
        ObjectChange::Changed => None,
        ObjectChange::Missing | ObjectChange::Terminating => Some(Presence::Gone),
        ObjectChange::Orphaned | ObjectChange::Undeclared => Some(Presence::Extra),
    }
}

fn whole(
    kind: &GroupKind,
    finding: Finding,
    presence: Presence,
    rules: &ObjectRules<'_>,
) -> Grading {
    let rule = rules.object();
    let (severity, rung) = match rule.map(|r| &r.action) {
        Some(Action::Ignore { .. }) => {
            let whole = Some(finding.change);
            return Grading {
                left: None,
                ignored: Some(Ignored {
                    whole,
                    ..Ignored::default()
                }),
            };
        }
        Some(Action::Grade { severity, rung }) => (*severity, *rung),
        None => (None, None),
    };
    let graded = Graded {
        finding,
        grades: Vec::new(),
        severity: severity.unwrap_or_else(|| Severities::of(kind).object(presence)),
        rung,
        exception: rules.exception_for_object(),
        applied: rule.map(|rule| applied(rule, 0)).into_iter().collect(),
    };
    Grading {
        left: Some(graded),
        ignored: None,
    }
}

fn fields(kind: &GroupKind, mut finding: Finding, rules: &mut ObjectRules<'_>) -> Grading {
    let mut ignored: Option<Ignored> = None;
    let table = Severities::of(kind);
    let mut spoke: BTreeMap<usize, Applied> = BTreeMap::new();
    let mut left: Vec<(Grade, JudgedField)> = Vec::new();
    for field in std::mem::take(&mut finding.fields) {
        let rule = rules.field(&field.drift.path);
        if let Some(rule) = rule {
            spoke
                .entry(rule.index)
                .or_insert_with(|| applied(rule, 0))
                .fields += 1;
        }
        let (severity, rung) = match rule.map(|r| &r.action) {
            Some(Action::Ignore { .. }) => {
                ignored.get_or_insert_default().add(field.drift.path);
                continue;
            }
            Some(Action::Grade { severity, rung }) => (*severity, *rung),
            None => (None, None),
        };
        let looked_up = || {
            if left.len() >= MAX_LOOKED_UP {
                return Severity::Medium;
            }
            let drift = &field.drift;
            table.field(&drift.path, [drift.declared.as_ref(), drift.live.as_ref()])
        };
        let exception = if rules.has_exceptions() {
            rules.exception(&field.drift, is_sensitive(kind, [None, None], &field.drift))
        } else {
            None
        };
        let grade = Grade {
            severity: severity.unwrap_or_else(looked_up),
            rung,
            exception,
        };
        left.push((grade, field));
    }
    // Stable: among equals the order of paths stays.
    left.sort_by_key(|(grade, _)| std::cmp::Reverse(grade.severity));
    let gravest = left.first().map(|(grade, _)| grade.severity);
    let grades;
    (grades, finding.fields) = left.into_iter().unzip();
    let origin = finding.fields.iter().map(|f| f.origin).max();
    finding.origin = origin.unwrap_or(finding.origin);
    Grading {
        left: gravest.map(|severity| Graded {
            finding,
            grades,
            severity,
            rung: None,
            exception: None,
            applied: spoke.into_values().collect(),
        }),
        ignored,
    }
}

impl Ignored {
    fn add(&mut self, place: FieldPath) {
        if self.places.len() < MAX_FIELDS {
            self.places.push(place);
        } else {
            self.more = true;
        }
    }
}

fn applied(rule: &Rule, fields: usize) -> Applied {
    Applied {
        index: rule.index,
        action: rule.action.clone(),
        fields,
    }
}

/// The rules that applied, for a record: `rules[0] ignores 2 fields: scaled by hand; rules[3]: High`.
pub fn said(applied: &[Applied]) -> String {
    let one = |rule: &Applied| match (&rule.action, rule.fields) {
        (Action::Ignore { reason }, 1) => {
            format!("rules[{}] ignores 1 field: {reason}", rule.index)
        }
        (Action::Ignore { reason }, n) => {
            format!("rules[{}] ignores {n} fields: {reason}", rule.index)
        }
        (Action::Grade { severity, rung }, _) => {
            let words = [severity.map(Severity::as_str), rung.map(Rung::as_str)];
            let words: Vec<&str> = words.into_iter().flatten().collect();
            format!("rules[{}]: {}", rule.index, words.join(", "))
        }
    };
    applied.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
#[path = "grade_tests.rs"]
mod tests;
