//! Who changed something, and how well that is known. Each source of evidence says what it knows by [`Actor::raise`]; the best stays.

use std::sync::Arc;

use serde_json::Value;

use crate::ownership::{Attribution, Owners};

/// How well it is known who wrote, the worst first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActorEvidence {
    /// Nobody is known.
    #[default]
    None,
    /// The object's `managedFields`: a name that a tool gave itself.
    ManagedFields,
    /// The user whom the API server authenticated, stamped on the object by an admission policy.
    Stamp,
    /// The user whom an admission webhook was told of.
    Admission,
    /// The API server's audit log.
    Audit,
}

impl ActorEvidence {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::ManagedFields => "ManagedFields",
            Self::Stamp => "Stamp",
            Self::Admission => "Admission",
            Self::Audit => "Audit",
        }
    }
}

/// Who changed something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// What this is known from.
    pub evidence: ActorEvidence,
    /// The authenticated user, where that is proven. Never from `managedFields`.
    pub user: Option<Arc<str>>,
    /// The field manager that owns what changed.
    pub manager: Option<Attribution>,
    /// What changed was removed, which leaves no owner: the last write before that is known. Who wrote it need not be who removed it.
    pub last_write: Option<Attribution>,
}

impl Actor {
    /// Of something that is there, or whose absence has an owner.
    pub fn of_owner(manager: Option<Attribution>) -> Self {
        Self {
            evidence: match manager {
                Some(_) => ActorEvidence::ManagedFields,
                None => ActorEvidence::None,
            },
            manager,
            ..Self::default()
        }
    }

    /// Of something that was removed; `last` is the object without it, or as it was last seen.
    pub fn of_removal(last: &Value) -> Self {
        Self {
            last_write: Owners::of(last).last_write(),
            ..Self::default()
        }
    }

    /// Names a user, unless something better is known.
    pub fn raise(&mut self, evidence: ActorEvidence, user: &Arc<str>) {
        if evidence > self.evidence {
            self.evidence = evidence;
            self.user = Some(Arc::clone(user));
            self.last_write = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manager(name: &str) -> Attribution {
        Attribution {
            manager: name.into(),
            operation: "Update".into(),
            subresource: String::new(),
            at: None,
        }
    }

    #[test]
    fn evidence_is_ranked_and_the_best_stays() {
        use ActorEvidence::{Admission, Audit, ManagedFields, None, Stamp};
        assert!([None, ManagedFields, Stamp, Admission, Audit].is_sorted());
        let mut actor = Actor::of_owner(Some(manager("kubectl-edit")));
        assert_eq!(
            (actor.evidence, &actor.user),
            (ManagedFields, &Option::None)
        );
        actor.raise(Admission, &"ann".into());
        actor.raise(Stamp, &"bob".into());
        assert_eq!(
            (actor.evidence, actor.user.as_deref()),
            (Admission, Some("ann"))
        );
        assert!(actor.manager.is_some(), "the tool is still known");
        actor.raise(Audit, &"cid".into());
        assert_eq!(actor.user.as_deref(), Some("cid"));
    }

    #[test]
    fn who_wrote_last_is_not_called_the_remover() {
        let entry = |manager: &str, subresource: &str, time: &str| json!({"manager": manager, "operation": "Update", "subresource": subresource, "time": time, "fieldsV1": {}});
        let object = json!({"metadata": {"managedFields": [
            entry("helm", "", "2026-01-01T00:00:00Z"),
            entry("kubectl-edit", "", "2026-01-02T00:00:00Z"),
            entry("kube-controller-manager", "status", "2026-01-03T00:00:00Z"),
        ]}});
        let mut actor = Actor::of_removal(&object);
        assert_eq!(actor.evidence, ActorEvidence::None);
        assert_eq!(actor.manager, None);
        let last = actor.last_write.clone().map(|w| w.manager);
        assert_eq!(last.as_deref(), Some("kubectl-edit"));
        assert_eq!(Actor::of_removal(&json!({})), Actor::default());
        actor.raise(ActorEvidence::Stamp, &"ann".into());
        assert_eq!(actor.last_write, None, "it is known who removed it");
    }
}
