//! Where a difference comes from: an edit of what runs, a commit that is not rolled out, or both.

use serde_json::Value;

use crate::bookkeeping::is_ciphertext;
use crate::compare::{FieldDrift, compare_at};
use crate::path::FieldPath;
use crate::schema::Schema;

/// The relation of baseline, declared and live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A commit is not rolled out yet: pending, not drift.
    GitAhead,
    /// No baseline is known.
    Unknown,
    /// Somebody changed what runs.
    LiveEdited,
    /// Edited live and changed in Git: a person decides.
    Diverged,
}

impl Origin {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitAhead => "GitAhead",
            Self::Unknown => "Unknown",
            Self::LiveEdited => "LiveEdited",
            Self::Diverged => "Diverged",
        }
    }
}

/// What a baseline is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Evidence {
    /// Driftline saw the object in sync.
    Own,
    /// The revision that Argo CD synced.
    ArgoCD,
    /// The revision that Flux applied.
    Flux,
    /// The release that Helm deployed.
    Helm,
    /// The annotation that `kubectl apply` leaves.
    LastApplied,
}

impl Evidence {
    /// True where what was deployed was a commit of the policy's own repository. `kubectl apply` and `helm upgrade --set` deploy anything.
    pub fn is_of_a_commit(self) -> bool {
        match self {
            Self::Own | Self::ArgoCD | Self::Flux => true,
            Self::Helm | Self::LastApplied => false,
        }
    }

    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "Own",
            Self::ArgoCD => "ArgoCD",
            Self::Flux => "Flux",
            Self::Helm => "Helm",
            Self::LastApplied => "LastApplied",
        }
    }
}

/// A place at which the baseline is not that of the rest of the object: it was not in sync when the rest last was.
#[derive(Debug, Clone, PartialEq)]
pub struct Except {
    /// Where.
    pub path: FieldPath,
    /// What the baseline has there (`None` for nothing); `Err` where it is not known.
    pub value: Result<Option<Value>, Unseen>,
}

/// Never seen in sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen;

/// What an object was declared as when it was last in sync.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Baseline<'a> {
    /// Not known.
    Unknown,
    /// As it is declared now.
    Declared,
    /// It was not declared.
    Absent,
    /// As it was declared by an earlier revision.
    Earlier {
        /// The declaration.
        object: &'a Value,
        /// Where it is not the baseline.
        except: &'a [Except],
        /// What it is known from.
        evidence: Evidence,
    },
}

impl Baseline<'_> {
    /// Where a field's difference comes from.
    pub fn origin(&self, drift: &FieldDrift, schema: &Schema) -> Origin {
        let (object, except) = match self {
            Self::Unknown => return Origin::Unknown,
            Self::Declared => return Origin::LiveEdited,
            Self::Absent => return Origin::Diverged,
            Self::Earlier { object, except, .. } => (*object, *except),
        };
        let Ok(before) = lookup(object, except, &drift.path) else {
            return Origin::Unknown;
        };
        let node = schema.at(&drift.path.0);
        // Both ways for two declarations; what the server fills in makes live larger.
        let covers = |a: Option<&Value>, b: Option<&Value>| match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => compare_at(a, b, schema, node, drift.path.0.clone()).is_empty(),
            _ => false,
        };
        let declared = drift.declared.as_ref();
        if covers(before, declared) && covers(declared, before) {
            Origin::LiveEdited
        } else if before.is_some_and(is_ciphertext) {
            // What it stands for is not known.
            Origin::Unknown
        } else if covers(before, drift.live.as_ref()) {
            Origin::GitAhead
        } else {
            Origin::Diverged
        }
    }

    /// As [`Self::origin`], for a declaration in a version of its API. What another version keeps elsewhere is not in a baseline of
    /// that one: that live has it proves no edit, that Git has another version does prove a commit.
    pub fn origin_of(&self, drift: &FieldDrift, schema: &Schema, version: Option<&str>) -> Origin {
        let origin = self.origin(drift, schema);
        let Self::Earlier { object, except, .. } = self else {
            return origin;
        };
        let before = object.get("apiVersion").and_then(Value::as_str);
        let crossed = before.is_some() && version.is_some() && before != version;
        if crossed && origin == Origin::Diverged && lookup(object, except, &drift.path) == Ok(None)
        {
            return Origin::GitAhead;
        }
        origin
    }

    /// Where it comes from that a declared object does not exist.
    pub fn origin_of_absence(&self) -> Origin {
        match self {
            Self::Unknown => Origin::Unknown,
            Self::Absent => Origin::GitAhead,
            Self::Declared | Self::Earlier { .. } => Origin::LiveEdited,
        }
    }

    /// True where Driftline itself saw the object in sync.
    pub fn is_own_sighting(&self) -> bool {
        match self {
            Self::Declared => true,
            Self::Earlier { evidence, .. } => *evidence == Evidence::Own,
            Self::Unknown | Self::Absent => false,
        }
    }

    /// What it is known from.
    pub fn evidence(&self) -> Option<Evidence> {
        match self {
            Self::Unknown => None,
            Self::Declared | Self::Absent => Some(Evidence::Own),
            Self::Earlier { evidence, .. } => Some(*evidence),
        }
    }
}

/// What the baseline has at a path.
fn lookup<'a>(
    object: &'a Value,
    except: &'a [Except],
    path: &FieldPath,
) -> Result<Option<&'a Value>, Unseen> {
    for other in except {
        if other.path == *path {
            return other.value.as_ref().map(Option::as_ref).map_err(|e| *e);
        }
        if path.0.starts_with(&other.path.0) || other.path.0.starts_with(&path.0) {
            return Err(Unseen);
        }
    }
    Ok(path.get(object).filter(|v| !v.is_null()))
}

/// The exceptions of an object of which some fields were not in sync when its declaration changed: those keep the baseline that
/// they had, all others have the declaration that was in force.
pub fn exceptions(paths: &[FieldPath], before: Option<(&Value, &[Except])>) -> Vec<Except> {
    let value = |path: &FieldPath| match before {
        Some((object, except)) => lookup(object, except, path).map(|v| v.cloned()),
        None => Err(Unseen),
    };
    paths
        .iter()
        .map(|path| Except {
            path: path.clone(),
            value: value(path),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::compare::{Change, compare};

    fn origin(before: &Value, declared: &Value, live: &Value) -> Origin {
        let schema = Schema::unknown();
        let drifts = compare(declared, live, &schema);
        let baseline = Baseline::Earlier {
            object: before,
            except: &[],
            evidence: Evidence::Own,
        };
        baseline.origin(drifts.first().expect("differs"), &schema)
    }

    #[test]
    fn the_table_of_three_values() {
        let v = |n: i64| json!({"spec": {"replicas": n}});
        assert_eq!(origin(&v(1), &v(1), &v(2)), Origin::LiveEdited);
        assert_eq!(origin(&v(2), &v(1), &v(2)), Origin::GitAhead);
        assert_eq!(origin(&v(3), &v(1), &v(2)), Origin::Diverged);
        assert_eq!(origin(&json!({}), &v(1), &json!({})), Origin::GitAhead);
        assert_eq!(origin(&v(1), &v(1), &json!({})), Origin::LiveEdited);
        assert_eq!(origin(&json!({}), &v(1), &v(2)), Origin::Diverged);
    }

    /// A commit that moved a declaration to another version of its API, and changed it, was called an edit as well.
    #[test]
    fn what_another_version_keeps_elsewhere_proves_no_edit() {
        let old = json!({"apiVersion": "autoscaling/v1", "spec": {"max": 5, "cpu": 80}});
        let declared =
            json!({"apiVersion": "autoscaling/v2", "spec": {"max": 9, "metrics": {"cpu": 70}}});
        let schema = Schema::unknown();
        let origins = |live: &Value| -> Vec<Origin> {
            let baseline = Baseline::Earlier {
                object: &old,
                except: &[],
                evidence: Evidence::Own,
            };
            let version = Some("autoscaling/v2");
            let drifts = compare(&declared["spec"], &live["spec"], &schema);
            let under_spec = drifts.into_iter().map(|mut d| {
                d.path
                    .0
                    .insert(0, crate::path::Step::Field("spec".to_owned()));
                d
            });
            under_spec
                .map(|d| baseline.origin_of(&d, &schema, version))
                .collect()
        };
        let converted = json!({"spec": {"max": 5, "metrics": {"cpu": 80}}});
        assert_eq!(origins(&converted), [Origin::GitAhead, Origin::GitAhead]);
        let edited = json!({"spec": {"max": 7, "metrics": {"cpu": 80}}});
        assert_eq!(origins(&edited), [Origin::Diverged, Origin::GitAhead]);
    }

    #[test]
    fn what_a_commit_removed_and_nobody_rolled_out_is_not_added_by_hand() {
        let added = |live: Value| FieldDrift {
            path: "data.a".parse().expect("a path"),
            change: Change::Added,
            declared: None,
            live: Some(live),
        };
        let before = json!({"data": {"a": "1"}});
        let baseline = Baseline::Earlier {
            object: &before,
            except: &[],
            evidence: Evidence::Own,
        };
        let schema = Schema::unknown();
        assert_eq!(
            baseline.origin(&added(json!("1")), &schema),
            Origin::GitAhead
        );
        assert_eq!(
            baseline.origin(&added(json!("2")), &schema),
            Origin::Diverged
        );
        let never = Baseline::Earlier {
            object: &json!({}),
            except: &[],
            evidence: Evidence::Own,
        };
        assert_eq!(
            never.origin(&added(json!("2")), &schema),
            Origin::LiveEdited
        );
    }

    #[test]
    fn a_field_that_was_not_in_sync_keeps_the_baseline_it_had() {
        let path = |t: &str| t.parse::<FieldPath>().expect(t);
        let first = json!({"data": {"a": "1", "b": "1"}});
        let except = exceptions(&[path("data.a")], Some((&first, &[])));
        let second = json!({"data": {"a": "1", "b": "2"}});
        let baseline = Baseline::Earlier {
            object: &second,
            except: &except,
            evidence: Evidence::Own,
        };
        let schema = Schema::unknown();
        let declared = json!({"data": {"a": "1", "b": "3"}});
        let live = json!({"data": {"a": "hand", "b": "2"}});
        let origins: Vec<Origin> = compare(&declared, &live, &schema)
            .iter()
            .map(|d| baseline.origin(d, &schema))
            .collect();
        assert_eq!(origins, [Origin::LiveEdited, Origin::GitAhead]);
        let unseen = exceptions(&[path("data.a")], None);
        let baseline = Baseline::Earlier {
            object: &second,
            except: &unseen,
            evidence: Evidence::Own,
        };
        let drifts = compare(&declared, &live, &schema);
        assert_eq!(baseline.origin(&drifts[0], &schema), Origin::Unknown);
    }
}
