//! Scopes: a kind in one version, in one namespace or cluster-wide. What a watch covers, and what may be blind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use drift::{FieldPath, GroupVersionKind, Schema, Unknown};

use super::slab::DeclId;

/// A kind in a version, in a namespace (`None` for cluster-scoped kinds).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeKey {
    /// The kind and version.
    pub kind: GroupVersionKind,
    /// The namespace.
    pub namespace: Option<Arc<str>>,
}

impl ScopeKey {
    /// A scope by its parts.
    pub fn new(kind: GroupVersionKind, namespace: Option<Arc<str>>) -> Self {
        Self { kind, namespace }
    }
}

/// A scope's number. Numbers are not reused: scopes are few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ScopeId(u32);

#[derive(Debug)]
pub(super) struct Scope {
    pub(super) key: ScopeKey,
    pub(super) schema: Schema,
    /// The number of the list that began last.
    pub(super) epoch: u32,
    /// A list is complete, and the watch has gone on from it.
    pub(super) ready: bool,
    /// Its objects were judged by another schema than its own: until the next complete list.
    pub(super) outdated: bool,
    /// Why nothing can be said about any object of the scope.
    pub(super) trouble: Option<Unknown>,
    /// The server may be asked what it would make of a declaration.
    pub(super) askable: bool,
    /// Nothing that runs on creation can tell two objects of one shape apart.
    pub(super) shared: bool,
    /// Objects can be scaled, and so by an autoscaler.
    pub(super) scalable: bool,
    /// Where their replicas are, if not at `spec.replicas`.
    pub(super) replicas_at: Option<FieldPath>,
    pub(super) members: HashSet<DeclId>,
}

#[derive(Debug, Default)]
pub(super) struct Scopes {
    all: Vec<Scope>,
    by_key: HashMap<ScopeKey, ScopeId>,
}

impl Scopes {
    pub(super) fn intern(
        &mut self,
        kind: &GroupVersionKind,
        namespace: Option<&Arc<str>>,
    ) -> ScopeId {
        let key = ScopeKey::new(kind.clone(), namespace.cloned());
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        let id = ScopeId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let members = HashSet::new();
        self.all.push(Scope {
            key: key.clone(),
            schema: Schema::unknown(),
            epoch: 0,
            ready: false,
            outdated: false,
            trouble: None,
            askable: true,
            shared: false,
            scalable: false,
            replicas_at: None,
            members,
        });
        self.by_key.insert(key, id);
        id
    }

    pub(super) fn id(&self, key: &ScopeKey) -> Option<ScopeId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, id: ScopeId) -> Option<&Scope> {
        self.all.get(id.0 as usize)
    }

    pub(super) fn get_mut(&mut self, id: ScopeId) -> Option<&mut Scope> {
        self.all.get_mut(id.0 as usize)
    }

    pub(super) fn join(&mut self, id: ScopeId, decl: DeclId) {
        if let Some(scope) = self.get_mut(id) {
            scope.members.insert(decl);
        }
    }

    pub(super) fn leave(&mut self, id: ScopeId, decl: DeclId) {
        if let Some(scope) = self.get_mut(id) {
            scope.members.remove(&decl);
            if scope.members.is_empty() {
                scope.members.shrink_to_fit();
                // Its watch may still run, and go on for whoever declares something here next: `ready` stays until it ends.
                scope.trouble = None;
            }
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Scope> {
        self.all.iter_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.all.iter()
    }
}
