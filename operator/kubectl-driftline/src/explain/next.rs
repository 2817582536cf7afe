//! What becomes of a record if nobody does anything: by the conditions of `drift::converge` and `drift::deliver`, told from what the record
//! and its policy say.

use drift::{FieldPath, PathPattern};
use driftline_crds::{
    BaselineEvidence, Delivery, DriftPolicy, DriftRecordStatus, Enforcement, Field, Origin,
    RecordChange, Undeclared, UndeclaredFields,
};

use crate::output::words;
use crate::records::Known;

/// Paths that are named where some of the fields stay.
const NAMED: usize = 3;

/// What of a record goes back at a rung.
pub struct Fate {
    /// Something of it does.
    pub goes: bool,
    /// Git's commits are applied, too.
    pub delivers: bool,
    /// What stays as it is, and why: of the object as a whole, or by field.
    pub stays: Vec<(Option<String>, String)>,
}

impl Fate {
    /// What stays and why, in a few words.
    pub fn why(&self) -> String {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for (path, why) in &self.stays {
            let path = path.as_deref();
            match reasons.iter_mut().find(|(known, _)| known == why) {
                Some((_, paths)) => paths.extend(path),
                None => reasons.push((why, path.into_iter().collect())),
            }
        }
        let several = self.goes || reasons.len() > 1;
        let one = |(why, paths): &(&str, Vec<&str>)| {
            if paths.is_empty() || !several {
                return (*why).to_owned();
            }
            let named: Vec<&str> = paths.iter().take(NAMED).copied().collect();
            let more = match paths.len().saturating_sub(NAMED) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            format!("{}{more}: {why}", named.join(", "))
        };
        let all: Vec<String> = reasons.iter().map(one).collect();
        words::clean(&all.join("; "))
    }
}

/// True where nothing that a policy tells goes back.
pub fn only_observes(policy: &DriftPolicy) -> bool {
    let reverts = |e: Enforcement| e == Enforcement::Revert;
    let raised = |r: &driftline_crds::PolicyRule| r.enforcement.is_some_and(reverts);
    !reverts(policy.spec.enforcement) && !policy.spec.rules.iter().any(raised)
}

/// What of a record would go back if its policy were at a rung.
pub fn fate(known: &Known, policy: &DriftPolicy, rung: Enforcement) -> Fate {
    let status = &known.status;
    let target = policy
        .spec
        .targets
        .iter()
        .find(|t| t.name == known.record.spec.target);
    let kubernetes = target.and_then(|t| t.kubernetes.as_ref());
    let undeclared: Option<&Undeclared> = kubernetes
        .map(|k| &k.undeclared)
        .or_else(|| Some(&target?.helm_release.as_ref()?.undeclared));
    let judge = Judge {
        status,
        policy,
        rung,
        delivers: kubernetes.is_some_and(|k| k.delivery == Delivery::Driftline),
        prunes: kubernetes.is_some_and(|k| k.prune),
        removes: undeclared.is_some_and(|u| u.fields == UndeclaredFields::Remove),
    };
    judge.fate()
}

struct Judge<'a> {
    status: &'a DriftRecordStatus,
    policy: &'a DriftPolicy,
    rung: Enforcement,
    delivers: bool,
    prunes: bool,
    removes: bool,
}

impl Judge<'_> {
    fn fate(&self) -> Fate {
        let mut fate = Fate {
            goes: false,
            delivers: self.delivers,
            stays: Vec::new(),
        };
        let mut take = |path: Option<String>, left: Option<String>| match left {
            None => fate.goes = true,
            Some(why) => fate.stays.push((path, why)),
        };
        match self.status.change {
            RecordChange::Missing => take(None, self.left(self.status.origin, None)),
            RecordChange::Terminating => take(
                None,
                Some("it is being deleted, and a finalizer holds it".to_owned()),
            ),
            RecordChange::Orphaned if self.prunes => take(None, self.lowered(None)),
            RecordChange::Orphaned | RecordChange::Undeclared => take(
                None,
                Some("what Git does not declare is only reported".to_owned()),
            ),
            RecordChange::Changed => {
                for field in &self.status.fields {
                    take(Some(field.path.clone()), self.field(field));
                }
            }
        }
        fate
    }

    /// Why a field stays as it is; `None` where it goes back.
    fn field(&self, field: &Field) -> Option<String> {
        if field.change == "Added" && !self.removes {
            return Some(
                "what Git does not declare is only reported (undeclared.fields: Remove takes away what was added)"
                    .to_owned(),
            );
        }
        self.left(field.origin.or(self.status.origin), Some(field))
    }

    fn left(&self, origin: Option<Origin>, field: Option<&Field>) -> Option<String> {
        self.lowered(field).or_else(|| self.not_asked(origin))
    }

    /// The rung is too low.
    fn lowered(&self, field: Option<&Field>) -> Option<String> {
        let (rung, rule) = match self.rule(field) {
            Some((index, rung)) => (rung, Some(index)),
            None => (self.rung, None),
        };
        if rung == Enforcement::Revert {
            return None;
        }
        Some(match rule {
            Some(index) => format!("a rule keeps it at {rung:?} (rules[{index}].enforcement)"),
            None => format!("the policy is at {rung:?}"),
        })
    }

    /// The origin is none of those that are put back. Git's commits are delivered whatever it is.
    fn not_asked(&self, origin: Option<Origin>) -> Option<String> {
        if self.delivers {
            return None;
        }
        let told = origin.unwrap_or(Origin::Unknown);
        // What only the deployer knows says where drift comes from, and is no licence.
        let of_others = self
            .status
            .baseline
            .as_ref()
            .map(|b| b.evidence)
            .filter(|e| *e != BaselineEvidence::Own);
        let counted = if of_others.is_some() {
            Origin::Unknown
        } else {
            told
        };
        let origins = self.policy.spec.revert.as_ref().map(|r| &*r.origins);
        if origins.unwrap_or(&[Origin::LiveEdited]).contains(&counted) {
            return None;
        }
        Some(match of_others {
            Some(evidence) if told != Origin::Unknown => format!(
                "its origin is {}, but known from {evidence:?} alone: for putting back that counts as Unknown, which spec.revert.origins does not name",
                told.as_str()
            ),
            _ => format!(
                "its origin is {}, which spec.revert.origins does not name",
                counted.as_str()
            ),
        })
    }

    /// The rule that decides on a field, or on the object as a whole, and the rung that it sets. The record names the rules that
    /// applied; the first of these that means the field decides alone.
    fn rule(&self, field: Option<&Field>) -> Option<(usize, Enforcement)> {
        let path: Option<FieldPath> = field.and_then(|f| f.path.parse().ok());
        let applied = applied(self.status.rule.as_deref().unwrap_or_default());
        let deciding = applied.into_iter().find_map(|index| {
            let rule = self.policy.spec.rules.get(index)?;
            let fields = &rule.matches.fields;
            let means = |pattern: &String| {
                let pattern: Option<PathPattern> = pattern.parse().ok();
                matches!((pattern, &path), (Some(pattern), Some(path)) if pattern.matches(path))
            };
            let is_it = rule.ignore.is_none() && (fields.is_empty() || fields.iter().any(means));
            is_it.then_some((index, rule))
        });
        deciding.and_then(|(index, rule)| Some((index, rule.enforcement?)))
    }
}

/// The indexes in `rules[0] ignores 2 fields: why; rules[3]: High`. A reason could say the like: what no rule of the policy means is no
/// matter.
fn applied(text: &str) -> Vec<usize> {
    let mut all: Vec<usize> = text
        .split("; ")
        .filter_map(|part| part.strip_prefix("rules[")?.split_once(']')?.0.parse().ok())
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn known(status: Value) -> Known {
        let mut whole = json!({
            "state": "Open", "change": "Changed", "apiVersion": "v1", "severity": "Low", "origin": "LiveEdited",
            "firstSeen": "2026-01-01T00:00:00Z", "display": {"subject": "", "fields": "", "by": ""},
            "baseline": {"revision": "main", "evidence": "Own"},
            "fields": [field("data.a", "Changed", "LiveEdited")],
        });
        if let (Some(whole), Value::Object(status)) = (whole.as_object_mut(), status) {
            whole.extend(status);
        }
        let record = json!({
            "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftRecord", "metadata": {"name": "r", "namespace": "shop"},
            "spec": {"policy": "shop", "target": "app", "subject": {"kubernetes": {"kind": "ConfigMap", "namespace": "shop", "name": "a"}}},
        });
        Known {
            record: serde_json::from_value(record).expect("a record"),
            status: serde_json::from_value(whole).expect("a status"),
        }
    }

    fn field(path: &str, change: &str, origin: &str) -> Value {
        json!({"path": path, "change": change, "origin": origin, "basis": "Declared", "by": {"evidence": "None"}})
    }

    fn policy(spec: Value) -> DriftPolicy {
        let mut whole = json!({
            "enforcement": "Revert", "serviceAccountName": "app",
            "targets": [{"name": "app", "kubernetes": {"path": "deploy"}}],
        });
        if let (Some(whole), Value::Object(spec)) = (whole.as_object_mut(), spec) {
            whole.extend(spec);
        }
        DriftPolicy::new("shop", serde_json::from_value(whole).expect("a policy"))
    }

    fn of(status: Value, spec: Value) -> (bool, String) {
        let policy = policy(spec);
        let fate = fate(&known(status), &policy, policy.spec.enforcement);
        (fate.goes, fate.why())
    }

    #[test]
    fn a_live_edit_goes_back() {
        assert_eq!(of(json!({}), json!({})), (true, String::new()));
        let missing = json!({"change": "Missing", "fields": []});
        assert!(of(missing, json!({})).0);
    }

    #[test]
    fn what_stays_says_why() {
        let added = json!({"fields": [field("data.a", "Added", "LiveEdited")]});
        let remove = json!({"targets": [{"name": "app", "kubernetes": {"path": "deploy", "undeclared": {"fields": "Remove"}}}]});
        assert!(of(added.clone(), remove).0);
        let evidence = json!({"baseline": {"revision": "1", "evidence": "LastApplied"}});
        let unknown = json!({"revert": {"origins": ["Unknown"], "after": "0s"}});
        assert!(of(evidence.clone(), unknown).0);
        let ahead = json!({"fields": [field("data.a", "Changed", "GitAhead")]});
        let delivered = json!({"targets": [{"name": "app", "kubernetes": {"path": "deploy", "delivery": "Driftline"}}]});
        assert!(of(ahead.clone(), delivered).0);
        let ruled = json!({"rule": "rules[1]: High, Observe"});
        let rules = json!({"rules": [
            {"match": {"names": ["x"]}, "enforcement": "Revert"},
            {"match": {"fields": ["data.a"]}, "severity": "High", "enforcement": "Observe"},
        ]});
        for (status, spec, why) in [
            (added, json!({}), "undeclared.fields"),
            (evidence, json!({}), "known from LastApplied alone"),
            (ahead, json!({}), "its origin is GitAhead"),
            (
                ruled,
                rules,
                "a rule keeps it at Observe (rules[1].enforcement)",
            ),
            (
                json!({"change": "Terminating"}),
                json!({}),
                "a finalizer holds it",
            ),
            (
                json!({"change": "Undeclared", "fields": []}),
                json!({}),
                "only reported",
            ),
            (
                json!({}),
                json!({"enforcement": "Observe"}),
                "the policy is at Observe",
            ),
        ] {
            let (goes, said) = of(status, spec);
            assert!(!goes && said.contains(why), "{why:?} is not in {said:?}");
        }
    }

    #[test]
    fn a_rule_of_another_field_lowers_nothing() {
        let status = json!({
            "rule": "rules[0]: Observe",
            "fields": [field("data.a", "Changed", "LiveEdited"), field("data.b", "Changed", "LiveEdited")],
        });
        let rules = json!({"rules": [{"match": {"fields": ["data.b"]}, "enforcement": "Observe"}]});
        let (goes, said) = of(status, rules);
        assert!(goes);
        assert_eq!(
            said,
            "data.b: a rule keeps it at Observe (rules[0].enforcement)"
        );
    }

    #[test]
    fn a_rule_may_raise() {
        let raised = json!({"enforcement": "Observe", "rules": [{"match": {"fields": ["data"]}, "enforcement": "Revert"}]});
        let status = json!({"rule": "rules[0] ignores 1 field: rules[7]; rules[0]: Revert"});
        assert!(of(status, raised).0);
    }
}
