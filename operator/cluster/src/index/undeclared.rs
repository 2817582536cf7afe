//! What the index is told and asked about objects that nobody declares.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use drift::ObjectId;
use drift::undeclared::{Declarer, Tool};

use super::beyond::{LeftOut, OwnerQuestion, OwnerState, Standing, Why, is_of};
use super::scope::ScopeId;
use super::{Decl, Index, Reread, ScopeKey, TargetId, key_of, key_of_object};

impl Index {
    /// Sets the scopes in which a target asks about what nobody declares. Gives those that have to be listed anew for that.
    pub fn look(&self, target: TargetId, scopes: &HashSet<ScopeKey>) -> Vec<ScopeKey> {
        let mut inner = self.inner.lock();
        let wanted: HashSet<ScopeId> = scopes
            .iter()
            .map(|s| inner.scopes.intern(&s.kind, s.namespace.as_ref()))
            .collect();
        let before: HashSet<ScopeId> = inner.beyond.looked_at(target).collect();
        for gone in before.difference(&wanted) {
            inner.look_away(target, *gone);
        }
        let mut unlisted = Vec::new();
        for scope in wanted.difference(&before) {
            inner.beyond.look(*scope, target);
            // A list that is under way may have passed what nobody declares already.
            let (_, begun) = inner.listing(*scope);
            let state = inner.scopes.get(*scope).filter(|_| begun);
            unlisted.extend(state.map(|s| s.key.clone()));
        }
        if wanted != before {
            inner.dirty.insert(target);
        }
        drop(inner);
        self.wake();
        unlisted
    }

    /// Sets whether the lists are known that a tool keeps of what it declares.
    pub fn set_tool(&self, tool: Tool, standing: Standing) {
        let mut inner = self.inner.lock();
        if inner.beyond.set_tool(tool, standing) {
            // What is said of claims is about to change.
            for id in inner.slab.ids(Decl::is_undeclared) {
                inner.wonder_of(id);
            }
        }
        drop(inner);
        self.wake();
    }

    /// True once it is known of each tool whether its lists are.
    pub fn knows_tools(&self) -> bool {
        let inner = self.inner.lock();
        let mut tools = Tool::LISTING.into_iter();
        tools.all(|t| inner.beyond.tool(t).is_some())
    }

    /// Takes in what somebody lists as declared; nothing, once it is gone.
    pub fn set_listed(&self, by: &Arc<Declarer>, objects: &[ObjectId]) {
        let mut inner = self.inner.lock();
        let keys = objects.iter().map(key_of_object).collect();
        for new in inner.beyond.list(by, keys) {
            for id in inner.undeclared_of(new) {
                inner.wonder_of(id);
            }
        }
        drop(inner);
        self.wake();
    }

    /// Takes in whether an owner lives.
    pub fn set_owner(&self, question: &OwnerQuestion, state: OwnerState) {
        let mut inner = self.inner.lock();
        if let Some(before) = inner.beyond.answer(question, state) {
            let askers: Vec<TargetId> = inner.askers().collect();
            inner.dirty.extend(askers);
            if before == Some(OwnerState::Unserved) {
                // Objects that are told may have an owner after all.
                for id in inner.slab.ids(Decl::is_undeclared) {
                    inner.wonder_of(id);
                }
            }
        }
        drop(inner);
        self.wake();
    }

    /// Forgets what tools list: nobody asks about what nobody declares.
    pub fn forget_tools(&self) {
        self.inner.lock().beyond.forget_tools();
    }

    /// Asks again about owners that were found to live.
    pub fn review_owners(&self) {
        self.inner.lock().beyond.review_owners();
        self.wake();
    }

    /// Asks again about owners whose kind was not served: it may be by now.
    pub fn review_unserved_owners(&self) {
        self.inner.lock().beyond.review_unserved();
        self.wake();
    }

    /// Waits until there are objects to look at again or owners to ask about.
    pub async fn wondered(&self) {
        self.wondered.notified().await;
    }

    /// At most so many owners to ask about.
    pub fn take_owner_questions(&self, most: usize) -> Vec<Arc<OwnerQuestion>> {
        let mut inner = self.inner.lock();
        std::iter::from_fn(|| inner.beyond.next_question())
            .take(most)
            .collect()
    }

    /// Has an owner asked about again that could not be.
    pub fn ask_owner_again(&self, question: Arc<OwnerQuestion>) {
        self.inner.lock().beyond.ask_again(question);
        self.wake();
    }

    /// At most so many objects to look at again.
    pub fn take_wondered(&self, most: usize) -> Vec<Reread> {
        let mut inner = self.inner.lock();
        let mut found = Vec::new();
        while found.len() < most
            && let Some((scope, name)) = inner.beyond.next_again()
        {
            let Some(state) = inner.scopes.get(scope) else {
                continue;
            };
            if !state.ready {
                inner.beyond.wonder_after_list(scope, name);
                continue;
            }
            let scope = state;
            let id = ObjectId {
                group_kind: scope.key.kind.group_kind.clone(),
                namespace: scope.key.namespace.clone(),
                name: (&*name).into(),
            };
            let scope = scope.key.clone();
            found.push(Reread { scope, id });
        }
        found
    }

    /// The place of an object that a target tells as declared by nobody, and the version of it that was judged.
    pub fn undeclared(&self, target: TargetId, id: &ObjectId) -> Option<(ScopeKey, u64)> {
        let inner = self.inner.lock();
        let decl = inner.slab.get(inner.find(key_of_object(id), target)?)?;
        let scope = inner.scopes.get(decl.scope)?;
        decl.is_undeclared()
            .then(|| (scope.key.clone(), decl.version))
    }

    /// The last version seen of an object that no target declares, where one asks about that.
    pub fn noticed(&self, scope: &ScopeKey, name: &str) -> Option<u64> {
        let inner = self.inner.lock();
        if inner.beyond.is_idle() {
            return None;
        }
        let key = key_of(&scope.kind.group_kind, scope.namespace.as_deref(), name);
        let told = inner.undeclared_of(key).first().copied();
        let told = told.and_then(|id| Some(inner.slab.get(id)?.version));
        told.or_else(|| Some(inner.beyond.aside.get(&key)?.version))
    }

    /// A read found nothing of an object that was last seen in this version.
    pub fn vanished(&self, scope: &ScopeKey, id: &ObjectId, version: u64) {
        let mut inner = self.inner.lock();
        let found = inner.forget_noticed(scope, &id.name, |v| v == version);
        drop(inner);
        if found {
            self.wake();
        }
    }

    /// True if a target asks about what nobody declares in a scope.
    pub fn is_looked(&self, scope: &ScopeKey) -> bool {
        let inner = self.inner.lock();
        let id = inner.scopes.id(scope);
        id.is_some_and(|id| inner.beyond.is_looked(id))
    }

    /// True while it cannot be told whether nobody declares an object: a target has not begun to look, or an owner is asked about.
    pub fn is_open_question(&self, target: TargetId, id: &ObjectId) -> bool {
        let inner = self.inner.lock();
        let beyond = &inner.beyond;
        let aside = beyond.aside.get(&key_of_object(id));
        beyond.looked_at(target).next().is_none()
            || Tool::LISTING.into_iter().any(|t| beyond.tool(t).is_none())
            || aside.is_some_and(|a| matches!(&a.why, Why::Owned(owner) if beyond.is_asked(owner)))
    }

    /// True if anything at all is known of an object.
    pub fn knows(&self, scope: &ScopeKey, name: &str) -> bool {
        let inner = self.inner.lock();
        let key = key_of(&scope.kind.group_kind, scope.namespace.as_deref(), name);
        inner.heads.contains_key(&key) || inner.beyond.aside.contains_key(&key)
    }

    /// What is left out of that about which a target asks, and why, as far as that is to be told: how many objects.
    pub fn left_out(&self, target: TargetId) -> BTreeMap<LeftOut, u32> {
        let inner = self.inner.lock();
        let looked: HashSet<ScopeId> = inner.beyond.looked_at(target).collect();
        let mut found = BTreeMap::new();
        if looked.is_empty() {
            return found;
        }
        let aside = inner.beyond.aside.values();
        for aside in aside.filter(|a| looked.contains(&a.scope)) {
            let why = match &aside.why {
                Why::Elsewhere(by) => LeftOut::Elsewhere(Arc::clone(by)),
                Why::Owned(owner) => match inner.beyond.unread_owner(owner) {
                    Some(kind) => LeftOut::OwnerUnread(kind),
                    None => continue,
                },
                Why::System => continue,
            };
            *found.entry(why).or_default() += 1;
        }
        let keys = looked.iter().filter_map(|s| inner.scopes.get(*s));
        let keys: Vec<&ScopeKey> = keys.map(|s| &s.key).collect();
        let same = |key: &ScopeKey| {
            let namespace = key.namespace.as_deref();
            keys.iter()
                .any(|k| is_of(k, &key.kind.group_kind, namespace))
        };
        for ((other, scope), tally) in &inner.tallies {
            let shared = || inner.scopes.get(*scope).is_some_and(|s| same(&s.key));
            if *other != target
                && tally.declared() > 0
                && !inner.is_hidden(*other, *scope)
                && shared()
            {
                *found.entry(LeftOut::Target(*other)).or_default() += tally.declared();
            }
        }
        found
    }
}
