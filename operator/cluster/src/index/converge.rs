//! What whoever puts an object back has to know of it, at the moment of doing so.

use drift::hidden::Hidden;
use drift::{DeclaredObject, Graded, Ignored, ObjectId, Schema, Undeclared, Unknown, Verdict};
use serde_json::Value;

use super::{Index, ScopeKey, State, TargetId};

/// An object as a target declares it, and what is the matter with it.
#[derive(Debug, Clone)]
pub struct Material {
    /// The kind and version it is declared in, and its namespace.
    pub scope: ScopeKey,
    /// Its declaration.
    pub declared: DeclaredObject,
    /// What of it is not known as it is to be, and must not be written.
    pub hidden: Hidden,
    /// Another target declares the same object otherwise.
    pub disputed: bool,
    /// What has drifted, without what rules ignore; `None` where nothing has, or nothing can be said.
    pub graded: Option<Graded>,
    /// What rules ignore of it.
    pub ignored: Option<Ignored>,
    /// It differs only because a commit is not rolled out.
    pub pending: bool,
    /// The schema of its kind.
    pub schema: Schema,
    /// What is not declared goes, where that may be written at all.
    pub removes: bool,
}

impl Index {
    /// The scope of an object that a target declares.
    pub fn scope_of(&self, target: TargetId, id: &ObjectId) -> Option<ScopeKey> {
        let inner = self.inner.lock();
        let member = inner.find(super::key_of_object(id), target)?;
        let decl = inner.slab.get(member).filter(|d| d.left.is_none())?;
        Some(inner.scopes.get(decl.scope)?.key.clone())
    }

    /// Judges a live object that was read a moment ago. What the index holds of it stays as it is. `None` where the target does not
    /// declare the object, or its account may not see it.
    pub fn material(
        &self,
        target: TargetId,
        id: &ObjectId,
        live: Option<&Value>,
    ) -> Option<Material> {
        let inner = self.inner.lock();
        let key = super::key_of_object(id);
        let member = inner.find(key, target)?;
        let decl = inner.slab.get(member).filter(|d| d.left.is_none())?;
        let otherwise = |d: &super::Decl| {
            // What somebody declares who may not see it does not count.
            d.target != target
                && d.left.is_none()
                && !d.is_undeclared()
                && d.digest != decl.digest
                && !inner.is_hidden(d.target, d.scope)
        };
        let disputed = inner.chain(key).any(|(_, d)| otherwise(d));
        if inner.denied.contains_key(&(target, decl.scope)) {
            return None;
        }
        let scope = inner.scopes.get(decl.scope)?.key.clone();
        let batch = inner.targets.get(&target)?;
        let removes = batch.undeclared == Undeclared::Remove;
        let declared = batch.blobs.read(decl.blob).ok()?;
        let schema = inner.scopes.get(decl.scope)?.schema.clone();
        let hidden = Hidden::of(&declared, &schema);
        let judgement = inner.weighed(member, &declared, live, 0)?;
        let pending = matches!(judgement.verdict, Verdict::Pending(_));
        let (graded, ignored) = match judgement.verdict {
            Verdict::Drifted(finding) | Verdict::Pending(finding) => {
                let grading = inner.graded(member, &declared, *finding)?;
                (grading.left, grading.ignored)
            }
            Verdict::InSync | Verdict::Unknown(_) => (None, None),
        };
        Some(Material {
            scope,
            declared,
            hidden,
            disputed,
            graded,
            ignored,
            pending,
            schema,
            removes,
        })
    }

    /// The objects of a target that are declared and not as declared, or not seen since their declaration changed. What exceptions allow
    /// altogether is not among them.
    pub fn undelivered(&self, target: TargetId) -> Vec<ObjectId> {
        let inner = self.inner.lock();
        let differs = |decl: &super::Decl| match inner.effective(decl) {
            State::Pending(report) | State::Drifted(report) => !report.is_excepted,
            State::Unknown(why) => why == Unknown::NotSeen,
            State::InSync | State::Ignored | State::Dropped => false,
        };
        let all = inner.slab.iter();
        let own = all.filter(|(_, d)| d.target == target && d.left.is_none() && differs(d));
        own.filter_map(|(id, _)| inner.identity(id)).collect()
    }
}
