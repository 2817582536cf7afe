//! Who, in the words of the API. Pure.

use drift::ownership::Attribution;
use drift::redact::{cut, printable};
use drift::{ActorEvidence, ObjectChange, Report};
use driftline_crds::{Actor, Field};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The longest names of managers and users.
const MANAGER: usize = 128;
const USER: usize = 256;

/// Who changed something.
pub fn actor(by: &drift::Actor) -> Actor {
    let mut actor = Actor {
        evidence: by.evidence.as_str().to_owned(),
        user: by
            .user
            .as_deref()
            .map(|u| name(u, USER))
            .unwrap_or_default(),
        message: by.last_write.as_ref().map(removed).unwrap_or_default(),
        ..Actor::default()
    };
    if let Some(write) = &by.manager {
        actor.manager = name(&write.manager, MANAGER);
        actor.operation.clone_from(&write.operation);
        actor.subresource.clone_from(&write.subresource);
        actor.at = write.at.as_deref().and_then(|t| t.parse().ok()).map(Time);
    }
    actor
}

/// What is known better from the record before: a proof of a write is good for as long as its manager has written nothing since. It is
/// forgotten when the operator starts anew.
pub fn or_proven(now: Actor, before: Option<&Field>) -> Actor {
    let proven = before.map(|f| &f.by).filter(|b| {
        let mut plain = (*b).clone();
        plain.user.clear();
        plain.workload.clear();
        plain.evidence.clone_from(&now.evidence);
        !b.user.is_empty() && now.at.is_some() && plain == now
    });
    let is_less = now.evidence == ActorEvidence::ManagedFields.as_str();
    proven.filter(|_| is_less).cloned().unwrap_or(now)
}

/// True if two say the same; which workload a user is, is found out later.
pub fn is_same(one: &Actor, other: &Actor) -> bool {
    let plain = |by: &Actor| Actor {
        workload: String::new(),
        ..by.clone()
    };
    plain(one) == plain(other)
}

/// Removal leaves no owner.
fn removed(last: &Attribution) -> String {
    let manager = name(&last.manager, MANAGER);
    match &last.at {
        Some(at) => format!("removed; the last write was by {manager}, at {at}"),
        None => format!("removed; the last write was by {manager}"),
    }
}

fn name(text: &str, most: usize) -> String {
    cut(&printable(text), most).to_owned()
}

/// Everybody who is named, in a few words: users where that is proven, else tools.
pub fn display(report: &Report, fields: &[Field]) -> String {
    let mut names: Vec<String> = fields.iter().filter_map(|f| who(&f.by)).collect();
    let mut last: Vec<&str> = report
        .fields
        .iter()
        .map(|f| &f.by)
        .chain([&report.by])
        .filter_map(|by| Some(by.last_write.as_ref()?.manager.as_str()))
        .collect();
    last.sort_unstable();
    last.dedup();
    names.sort_unstable();
    names.dedup();
    if !last.is_empty() && report.change != ObjectChange::Orphaned {
        names.push(format!("last write by {}", last.join(", ")));
    }
    names.join(", ")
}

fn who(by: &Actor) -> Option<String> {
    [&by.user, &by.manager]
        .into_iter()
        .find(|name| !name.is_empty())
        .cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn field(by: Value) -> Field {
        serde_json::from_value(
            json!({"path": "data.a", "change": "Changed", "basis": "Declared", "by": by}),
        )
        .expect("a field")
    }

    fn write(manager: &str) -> Attribution {
        Attribution {
            manager: manager.into(),
            operation: "Update".into(),
            subresource: String::new(),
            at: Some("2026-01-01T00:00:00Z".into()),
        }
    }

    #[test]
    fn what_is_removed_has_a_last_writer_and_no_remover() {
        let by = actor(&drift::Actor {
            last_write: Some(write("helm\u{7}")),
            ..drift::Actor::default()
        });
        assert_eq!(by.evidence, "None");
        assert_eq!((by.user.as_str(), by.manager.as_str()), ("", ""));
        assert_eq!(
            by.message,
            "removed; the last write was by helm\u{fffd}, at 2026-01-01T00:00:00Z"
        );
    }

    #[test]
    fn a_proof_outlives_a_restart_only_while_nothing_was_written_since() {
        let of = |user: Option<&str>, at: &str| {
            let mut by = drift::Actor::of_owner(Some(Attribution {
                at: Some(at.into()),
                ..write("kubectl-edit")
            }));
            if let Some(user) = user {
                by.raise(ActorEvidence::Stamp, &user.into());
            }
            actor(&by)
        };
        let (then, later) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let before = field(serde_json::to_value(of(Some("ann"), then)).expect("JSON"));
        assert_eq!(or_proven(of(None, then), Some(&before)).user, "ann");
        assert_eq!(or_proven(of(None, later), Some(&before)).user, "");
        assert_eq!(or_proven(of(Some("bob"), then), Some(&before)).user, "bob");
        let removal = field(json!({"evidence": "Stamp", "user": "ann"}));
        assert_eq!(
            or_proven(actor(&drift::Actor::default()), Some(&removal)).user,
            "",
            "it may have been put back and removed by another"
        );
    }
}
