//! What a policy's rules make of what was judged.

use drift::judge::Finding;
use drift::rules::TargetRules;
use drift::{DeclaredObject, Grading, grade};

use super::slab::DeclId;
use super::{Index, Inner, Known, Reread, TargetId};

impl Index {
    /// Sets a target's rules. Gives the objects to read again: only what differs, ignored or not, can be judged otherwise.
    pub fn set_rules(&self, target: TargetId, rules: TargetRules) -> Vec<Reread> {
        let mut inner = self.inner.lock();
        if inner.rules.get(&target) == Some(&rules) {
            return Vec::new();
        }
        inner.rules.insert(target, rules);
        let differs = |verdict: &Known| matches!(verdict, Known::Drifted(_) | Known::Pending(_));
        let members = inner
            .slab
            .ids(|d| d.target == target && (d.ignored.is_some() || differs(&d.verdict)));
        members
            .into_iter()
            .filter_map(|id| inner.judge_again(id))
            .collect()
    }
}

impl Inner {
    /// Lets a verdict be replaced by the next look at the same live object.
    pub(super) fn judge_again(&mut self, id: DeclId) -> Option<Reread> {
        let object = self.identity(id)?;
        self.stamps.close(id);
        let decl = self.slab.get_mut(id)?;
        decl.version = 0;
        let scope = self.scopes.get(decl.scope)?;
        Some(Reread {
            scope: scope.key.clone(),
            id: object,
        })
    }

    /// A finding by the rules of its target.
    pub(super) fn graded(
        &self,
        id: DeclId,
        declared: &DeclaredObject,
        finding: Finding,
    ) -> Option<Grading> {
        let object = self.identity(id)?;
        let target = self.slab.get(id)?.target;
        let none = TargetRules::default();
        let rules = self.rules.get(&target).unwrap_or(&none);
        let about = rules.about(&object, &declared.object);
        Some(grade(&object.group_kind, finding, about))
    }
}
