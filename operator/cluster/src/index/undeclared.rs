//! Objects that nobody declares, in the scopes that targets ask about. Of each only what a record needs is held, and nothing at
//! all in scopes that nobody asks about.

use std::collections::HashSet;
use std::sync::Arc;

use drift::judge::Finding;
use drift::undeclared::{Doing, doing, finding};
use drift::{DeclaredObject, ObjectId, Unknown};
use serde_json::Value;

use super::asking::Expectation;
use super::left::{Left, bare};
use super::memory::Base;
use super::scope::ScopeId;
use super::slab::DeclId;
use super::{Decl, Index, Inner, Known, ScopeKey, TargetId, key_of};
use crate::store::BlobRef;

impl Index {
    /// Sets the scopes in which a target asks about what nobody declares. Gives those that have to be listed anew for that.
    pub fn look(&self, target: TargetId, scopes: &HashSet<ScopeKey>) -> Vec<ScopeKey> {
        let mut inner = self.inner.lock();
        let wanted: HashSet<ScopeId> = scopes
            .iter()
            .map(|s| inner.scopes.intern(&s.kind, s.namespace.as_ref()))
            .collect();
        let before: HashSet<ScopeId> = inner.looked_at(target).collect();
        for gone in before.difference(&wanted) {
            inner.look_away(target, *gone);
        }
        let mut unlisted = Vec::new();
        for scope in wanted.difference(&before) {
            inner.looked.entry(*scope).or_default().push(target);
            let state = inner.scopes.get(*scope).filter(|s| s.ready);
            unlisted.extend(state.map(|s| s.key.clone()));
        }
        drop(inner);
        self.wake();
        unlisted
    }
}

impl Decl {
    /// Nobody ever declared it.
    pub(super) fn is_undeclared(&self) -> bool {
        self.left.as_ref().is_some_and(|l| l.never_declared)
    }
}

impl Inner {
    /// The scopes in which a target asks about what nobody declares.
    pub(super) fn looked_at(&self, target: TargetId) -> impl Iterator<Item = ScopeId> {
        let asks = move |targets: &[TargetId]| targets.contains(&target);
        let looked = self.looked.iter();
        looked
            .filter(move |(_, t)| asks(t))
            .map(|(scope, _)| *scope)
    }

    pub(super) fn look_away(&mut self, target: TargetId, scope: ScopeId) {
        if let Some(targets) = self.looked.get_mut(&scope) {
            targets.retain(|t| *t != target);
            if targets.is_empty() {
                self.looked.remove(&scope);
            }
        }
        let found = self
            .slab
            .ids(|d| d.target == target && d.scope == scope && d.is_undeclared());
        found.into_iter().for_each(|id| self.remove(id));
    }

    /// Takes in a live object of a scope that targets ask about. What is known of it already was judged before.
    pub(super) fn notice(&mut self, scope: &ScopeKey, live: &Value) {
        let Some(place) = self.scopes.id(scope) else {
            return;
        };
        let Some(targets) = self.looked.get(&place).cloned() else {
            return;
        };
        let name = live.get("metadata").and_then(|m| m.get("name"));
        let Some(name) = name.and_then(Value::as_str) else {
            return;
        };
        let key = key_of(&scope.kind.group_kind, scope.namespace.as_deref(), name);
        // Declared, or an orphan, which is told as that.
        if self.chain(key).any(|(_, d)| !d.is_undeclared()) {
            return;
        }
        let id = ObjectId::new(
            scope.kind.group_kind.clone(),
            scope.namespace.as_deref(),
            name,
        );
        if doing(&id, live) != Doing::Somebody {
            return;
        }
        for target in targets {
            if self.find(key, target).is_some() {
                continue;
            }
            let Some(revision) = self.targets.get(&target).map(|t| Arc::clone(&t.revision)) else {
                continue;
            };
            let left = Left {
                at: None,
                revision,
                told: false,
                never_declared: true,
            };
            let found = self.find_undeclared(key, (target, place), name, left);
            let version = live.get("metadata").and_then(|m| m.get("resourceVersion"));
            let version = version.and_then(|v| v.as_str()?.parse().ok());
            self.judge_left(found, Some(live), version.unwrap_or(0));
        }
    }

    fn find_undeclared(
        &mut self,
        key: u128,
        (target, scope): (TargetId, ScopeId),
        name: &str,
        left: Left,
    ) -> DeclId {
        let (epoch, _) = self.listing(scope);
        self.enter(
            key,
            Decl {
                target,
                scope,
                next: None,
                name: name.into(),
                blob: BlobRef::default(),
                digest: 0,
                version: 0,
                epoch,
                batch: 0,
                expectation: Expectation::Unsettled,
                base: Base::Unknown,
                seen: None,
                known: None,
                verdict: Known::Unknown(Unknown::NotDeclared),
                ignored: None,
                left: Some(Box::new(left)),
                queued: false,
                asked: false,
                residue_only: false,
                literal: false,
            },
        )
    }

    /// What is the matter with an object that nobody declares; `None` once it is a controller's or the cluster's.
    pub(super) fn found_undeclared(
        &self,
        id: DeclId,
        live: &Value,
    ) -> Option<(Finding, bool, DeclaredObject)> {
        let object = self.identity(id)?;
        let somebodys = doing(&object, live) == Doing::Somebody;
        somebodys.then(|| (finding(live), false, bare(live.clone())))
    }
}
