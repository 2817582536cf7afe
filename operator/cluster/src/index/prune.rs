//! What whoever deletes an orphan has to know of it.

use drift::{Graded, ObjectChange, ObjectId};
use serde_json::Value;

use super::{Index, Inner, ScopeKey, State, TargetId};

/// An orphan, and what rules and exceptions make of it.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// The kind and version it was declared in, and its namespace.
    pub scope: ScopeKey,
    /// What is the matter with it.
    pub graded: Graded,
}

impl Index {
    /// The orphans of a target that count as drift: Git has not declared them for a minute, and no rule or exception is about them. None
    /// while something of the target cannot be read or was not seen.
    pub fn orphans(&self, target: TargetId) -> Vec<ObjectId> {
        let inner = self.inner.lock();
        let is_orphan = |decl: &super::Decl| {
            decl.is_orphan()
                && !decl.is_undeclared()
                && matches!(inner.effective(decl), State::Drifted(report) if report.change == ObjectChange::Orphaned && !report.is_excepted)
        };
        let all = inner.slab.iter();
        let own = all.filter(|(_, d)| d.target == target && is_orphan(d));
        own.filter_map(|(id, _)| inner.identity(id)).collect()
    }

    /// What a target declared once and does not declare any more, as far as it is not known to be gone; also what is not told yet.
    pub fn dropped(&self, target: TargetId) -> Vec<ObjectId> {
        let inner = self.inner.lock();
        let is_dropped = |d: &super::Decl| d.left.is_some() && !d.is_undeclared();
        let all = inner.slab.iter();
        let own = all.filter(|(_, d)| d.target == target && is_dropped(d));
        own.filter_map(|(id, _)| inner.identity(id)).collect()
    }

    /// True for an object that a target besides these declares.
    pub fn is_declared_by_others(&self, own: &[TargetId], id: &ObjectId) -> bool {
        let inner = self.inner.lock();
        let declares = |decl: &super::Decl| {
            !own.contains(&decl.target)
                && decl.left.is_none()
                && !decl.is_undeclared()
                && !inner.is_hidden(decl.target, decl.scope)
        };
        let mut all = inner.chain(super::key_of_object(id));
        all.any(|(_, decl)| declares(decl))
    }

    /// An orphan of a target, by a live object that was read a moment ago; `None` where it is none any more.
    pub fn orphan(&self, target: TargetId, id: &ObjectId, live: &Value) -> Option<Orphan> {
        let inner = self.inner.lock();
        inner.orphan(target, id, live)
    }
}

impl Inner {
    fn orphan(&self, target: TargetId, id: &ObjectId, live: &Value) -> Option<Orphan> {
        let member = self.find(super::key_of_object(id), target)?;
        let decl = self.slab.get(member)?;
        let is_orphan = decl.is_orphan() && !decl.is_undeclared();
        let complete = self.targets.get(&target).is_some_and(|t| t.complete);
        if !is_orphan || !complete || self.denied.contains_key(&(target, decl.scope)) {
            return None;
        }
        let (finding, _, declared) = self.found_left(member, live)?;
        let graded = self.graded(member, &declared, finding)?.left?;
        let scope = self.scopes.get(decl.scope)?.key.clone();
        Some(Orphan { scope, graded })
    }
}
