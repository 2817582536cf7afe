//! From a declaration and what is live to a verdict.

use std::collections::HashMap;

use serde_json::Value;

use crate::compare::{FieldDrift, compare};
use crate::expected::{Expectation, Rewrite, is_zero};
use crate::ownership::{Attribution, Owners};
use crate::report::MAX_FIELDS;
use crate::schema::Schema;

/// What a verdict on a field stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The declared value and the live value alone.
    Declared,
    /// The server's own answer to a dry-run creation of the declared object.
    Expected,
}

impl Basis {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "Declared",
            Self::Expected => "Expected",
        }
    }
}

/// What is the matter with the object as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectChange {
    /// It is there, some of its fields are not as declared.
    Changed,
    /// It is declared and not there.
    Missing,
    /// It was deleted and is held by a finalizer.
    Terminating,
}

impl ObjectChange {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "Changed",
            Self::Missing => "Missing",
            Self::Terminating => "Terminating",
        }
    }
}

/// A field that differs, what the verdict stands on and who the API server says did it.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedField {
    /// Path, kind of change and values.
    pub drift: FieldDrift,
    /// What the verdict stands on.
    pub basis: Basis,
    /// The manager that owns the field, if any does; looked for only for as many fields as are reported.
    pub by: Option<Attribution>,
}

/// The most pairs of differences and unstable paths that are looked at; with more, too much of a rendering is random.
const MAX_PAIRS: usize = 1_000_000;

/// A drifted object.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is the matter with the object as a whole.
    pub change: ObjectChange,
    /// The fields, in the order of their paths; empty unless `change` is [`ObjectChange::Changed`].
    pub fields: Vec<JudgedField>,
    /// The live object's uid, where it exists.
    pub uid: Option<String>,
    /// When its deletion was asked for, for [`ObjectChange::Terminating`] (RFC 3339).
    pub deleted_at: Option<String>,
}

/// Why nothing can be said about an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// Its watch has not listed it yet.
    NotSeen,
    /// Its watch has heard nothing for too long.
    Blind,
    /// The operator may not read its kind.
    Forbidden,
    /// The policy's account may not read its kind there.
    NotAllowed,
    /// The API server did not say whether the policy's account may read its kind there.
    AccessNotKnown,
    /// Its kind is not served by the cluster.
    NotServed,
    /// It differs at first sight and the server's own version of it is being asked for.
    Unverified,
    /// Its declaration renders differently each time at the only fields that differ.
    Unstable,
    /// The source has an error, and what was declared before cannot be told from what was removed.
    NotRendered,
    /// Chart or operator settings keep it from being compared (live Secrets).
    NotCompared,
}

impl Unknown {
    /// The reason in CamelCase, as conditions use it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSeen => "NotSeenYet",
            Self::Blind => "WatchBlind",
            Self::Forbidden => "Forbidden",
            Self::NotAllowed => "NotAllowed",
            Self::AccessNotKnown => "AccessNotKnown",
            Self::NotServed => "KindNotServed",
            Self::Unverified => "Unverified",
            Self::Unstable => "RenderUnstable",
            Self::NotRendered => "NotRendered",
            Self::NotCompared => "NotCompared",
        }
    }
}

/// What is known about one declared object.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Live is what Git declares.
    InSync,
    /// It is not.
    Drifted(Box<Finding>),
    /// Nothing can be said.
    Unknown(Unknown),
}

/// What judging one observation led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A verdict that stands.
    Verdict(Verdict),
    /// It differs, and whether the server itself makes the difference is not known: ask for the expected object.
    AskExpected,
}

/// Judges one declared object against its live one.
///
/// `unstable` are the declared paths (JSON pointers) that do not render the same twice; they are left out of the comparison.
/// `live` is `None` where the object does not exist.
pub fn judge(
    declared: &Value,
    live: Option<&Value>,
    schema: &Schema,
    expectation: &Expectation,
    unstable: &[String],
) -> Outcome {
    let Some(live) = live else {
        return drifted(ObjectChange::Missing, Vec::new(), None, None);
    };
    let text = |key: &str| Some(live.get("metadata")?.get(key)?.as_str()?.to_owned());
    if let Some(at) = text("deletionTimestamp") {
        return drifted(ObjectChange::Terminating, Vec::new(), text("uid"), Some(at));
    }
    let mut drifts = compare(declared, live, schema);
    if !unstable.is_empty() {
        let before = drifts.len();
        if before.saturating_mul(unstable.len()) > MAX_PAIRS {
            return Outcome::Verdict(Verdict::Unknown(Unknown::Unstable));
        }
        drifts.retain(|d| {
            !unstable
                .iter()
                .any(|pointer| d.path.touches_pointer(pointer, declared))
        });
        if drifts.is_empty() && before > 0 {
            return Outcome::Verdict(Verdict::Unknown(Unknown::Unstable));
        }
    }
    if drifts.is_empty() {
        return Outcome::Verdict(Verdict::InSync);
    }
    let basis = match expectation {
        Expectation::Unsettled => return Outcome::AskExpected,
        Expectation::AsDeclared => Basis::Declared,
        Expectation::Rewritten(rewrites) => {
            let rewrites: HashMap<String, &Rewrite> =
                rewrites.iter().map(|r| (r.path.to_string(), r)).collect();
            let explained = |d: &FieldDrift| {
                rewrites
                    .get(&d.path.to_string())
                    .is_some_and(|r| r.explains(d))
            };
            drifts.retain(|d| !explained(d));
            Basis::Expected
        }
        Expectation::Refused => {
            drifts.retain(|d| !(d.live.is_none() && d.declared.as_ref().is_some_and(is_zero)));
            Basis::Declared
        }
    };
    if drifts.is_empty() {
        return Outcome::Verdict(Verdict::InSync);
    }
    let owners = Owners::of(live);
    let fields = drifts
        .into_iter()
        .enumerate()
        .map(|(n, drift)| {
            let by = match drift.live {
                _ if n >= MAX_FIELDS => None,
                Some(_) => owners.owner(&drift.path, schema),
                None => owners.owner_of_absence(&drift.path, schema),
            };
            JudgedField { drift, basis, by }
        })
        .collect();
    drifted(ObjectChange::Changed, fields, text("uid"), None)
}

fn drifted(
    change: ObjectChange,
    fields: Vec<JudgedField>,
    uid: Option<String>,
    deleted_at: Option<String>,
) -> Outcome {
    Outcome::Verdict(Verdict::Drifted(Box::new(Finding {
        change,
        fields,
        uid,
        deleted_at,
    })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    #[test]
    fn an_object_with_a_hundred_thousand_drifted_fields_froze_the_operator() {
        let data = |value: &str| -> serde_json::Map<String, Value> {
            (0..100_000)
                .map(|n| (format!("key{n}"), value.into()))
                .collect()
        };
        let owned: serde_json::Map<String, Value> = (0..100_000)
            .map(|n| (format!("f:key{n}"), json!({})))
            .collect();
        let declared = json!({"data": data("a")});
        let live = json!({"data": data("b"), "metadata": {"managedFields": [
            {"manager": "m", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": owned}}]}});
        let schema = Schema::unknown();
        let rewritten = Expectation::from_answer(&declared, &live, &schema);
        let explained = judge(&declared, Some(&live), &schema, &rewritten, &[]);
        assert_eq!(explained, Outcome::Verdict(Verdict::InSync));
        let unstable: Vec<String> = (0..100_000).map(|n| format!("/data/key{n}")).collect();
        let random = judge(
            &declared,
            Some(&live),
            &schema,
            &Expectation::AsDeclared,
            &unstable,
        );
        assert_eq!(
            random,
            Outcome::Verdict(Verdict::Unknown(Unknown::Unstable))
        );
        let Outcome::Verdict(Verdict::Drifted(finding)) = judge(
            &declared,
            Some(&live),
            &schema,
            &Expectation::AsDeclared,
            &[],
        ) else {
            panic!("drifted");
        };
        assert_eq!(finding.fields.len(), 100_000);
        assert!(finding.fields[MAX_FIELDS - 1].by.is_some());
    }
}
