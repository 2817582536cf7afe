//! Objects that nobody declares, in the scopes that targets ask about. Of each only what a record needs is held, and nothing at
//! all in scopes that nobody asks about.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use drift::undeclared::{Declarer, Doing, Owner, Tool, claim, doing};
use drift::{ObjectId, Unknown};
use serde_json::Value;

use super::beyond::{Aside, LeftOut, OwnerQuestion, OwnerState, Standing, Why, is_of};
use super::left::Left;
use super::scope::ScopeId;
use super::slab::DeclId;
use super::{Decl, Index, Inner, Known, Reread, ScopeKey, TargetId, key_of, key_of_object};

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
            let state = inner.scopes.get(*scope).filter(|s| s.ready);
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
    pub fn set_owner(&self, uid: &str, state: OwnerState) {
        let mut inner = self.inner.lock();
        if inner.beyond.answer(uid, state) {
            let askers: Vec<TargetId> = inner.askers().collect();
            inner.dirty.extend(askers);
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
            let Some(scope) = inner.scopes.get(scope).filter(|s| s.ready) else {
                continue;
            };
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
                Why::Owned(uid) => match inner.beyond.unread_owner(uid) {
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

impl Decl {
    /// Nobody ever declared it.
    pub(super) fn is_undeclared(&self) -> bool {
        self.left.as_ref().is_some_and(|l| l.never_declared)
    }
}

impl Inner {
    pub(super) fn look_away(&mut self, target: TargetId, scope: ScopeId) {
        self.beyond.look_away(scope, target);
        let found = self
            .slab
            .ids(|d| d.target == target && d.scope == scope && d.is_undeclared());
        found.into_iter().for_each(|id| self.remove(id));
    }

    fn askers(&self) -> impl Iterator<Item = TargetId> {
        let looked = self.beyond.looked();
        looked.flat_map(|s| self.beyond.askers(s).iter().copied())
    }

    /// True where what a target declares does not count, because its account may not look there: whoever could declare what he may
    /// not see could hide it from others.
    fn is_hidden(&self, target: TargetId, scope: ScopeId) -> bool {
        self.denied.get(&(target, scope)) == Some(&Unknown::NotAllowed)
    }

    /// True if a target declares an object, or did and tells it as an orphan.
    pub(super) fn is_declared(&self, key: u128) -> bool {
        self.chain(key)
            .any(|(_, d)| !d.is_undeclared() && !self.is_hidden(d.target, d.scope))
    }

    fn undeclared_of(&self, key: u128) -> Vec<DeclId> {
        let chain = self.chain(key).filter(|(_, d)| d.is_undeclared());
        chain.map(|(id, _)| id).collect()
    }

    fn wonder_of(&mut self, id: DeclId) {
        if let Some(decl) = self.slab.get(id) {
            let (scope, name) = (decl.scope, decl.name.clone());
            self.beyond.wonder(scope, &name);
        }
    }

    /// A declaration of an object is gone, or counts no more: if that was the last, nobody declares it.
    pub(super) fn was_declared(&mut self, key: u128, id: &ObjectId) {
        if self.beyond.is_idle() || self.is_declared(key) {
            return;
        }
        let of_object = |scope: &ScopeId| {
            let scope = self.scopes.get(*scope);
            scope.is_some_and(|s| is_of(&s.key, &id.group_kind, id.namespace.as_deref()))
        };
        let looked: Vec<ScopeId> = self.beyond.looked().filter(of_object).collect();
        for scope in looked {
            self.beyond.wonder(scope, &id.name);
        }
    }

    /// After a change of what a target's account may see.
    pub(super) fn recount_declared(
        &mut self,
        target: TargetId,
        scope: ScopeId,
        before: Option<&Unknown>,
        now: Option<&Unknown>,
    ) {
        let hidden = |why: Option<&Unknown>| why == Some(&Unknown::NotAllowed);
        if self.beyond.is_idle() || hidden(before) == hidden(now) {
            return;
        }
        let members = self
            .slab
            .ids(|d| d.target == target && d.scope == scope && !d.is_undeclared());
        let members: Vec<ObjectId> = members
            .into_iter()
            .filter_map(|id| self.identity(id))
            .collect();
        for id in members {
            let key = key_of_object(&id);
            if self.is_declared(key) {
                let over = self.undeclared_of(key);
                over.into_iter().for_each(|id| self.remove(id));
            } else {
                self.was_declared(key, &id);
            }
        }
    }

    /// Takes in a live object of a scope that targets ask about. True if that may have changed anything.
    pub(super) fn notice(&mut self, scope: &ScopeKey, live: &Value) -> bool {
        let place = self.scopes.id(scope);
        let Some(place) = place.filter(|p| self.beyond.is_looked(*p)) else {
            return false;
        };
        let Some((name, version)) = name_and_version(live) else {
            return false;
        };
        let (kind, namespace) = (&scope.kind.group_kind, scope.namespace.as_deref());
        let key = key_of(kind, namespace, name);
        if self.is_declared(key) {
            return self.beyond.aside.remove(&key).is_some();
        }
        let (epoch, _) = self.listing(place);
        if self.is_overtaken(key, version, epoch) {
            return false;
        }
        let id = ObjectId::new(kind.clone(), namespace, name);
        match self.left_out_because(&id, key, live) {
            Ok(why) => self.set_aside(key, place, name, (version, epoch), why),
            Err(claim) => {
                self.beyond.aside.remove(&key);
                for target in self.beyond.askers(place).to_vec() {
                    let found = self.tell_undeclared(key, (target, place), name, claim.clone());
                    if let Some(found) = found {
                        self.judge_left(found, Some(live), version);
                    }
                }
            }
        }
        true
    }

    /// True for a read that was overtaken by the watch; the object is in the list all the same.
    fn is_overtaken(&mut self, key: u128, version: u64, epoch: u32) -> bool {
        let mut newest = 0;
        if let Some(aside) = self.beyond.aside.get_mut(&key) {
            aside.epoch = epoch;
            newest = aside.version;
        }
        for id in self.undeclared_of(key) {
            if let Some(decl) = self.slab.get_mut(id) {
                decl.epoch = epoch;
                newest = newest.max(decl.version);
            }
        }
        version != 0 && version < newest
    }

    /// Why an object is not told, or else what it says of itself that is not confirmed.
    fn left_out_because(
        &mut self,
        id: &ObjectId,
        key: u128,
        live: &Value,
    ) -> Result<Why, Option<String>> {
        let owner = match doing(id, live) {
            Doing::System(_) => return Ok(Why::System),
            Doing::Controller(owner) => Some(owner),
            Doing::Somebody => None,
        };
        if let Some(by) = self.beyond.lister(key) {
            return Ok(Why::Elsewhere(Arc::clone(by)));
        }
        let claimed = self.claimed(live);
        let Some(owner) = owner else {
            return Err(claimed);
        };
        let (uid, gone) = (Arc::from(owner.uid.as_str()), dead(&owner));
        match self.beyond.owner(owner, id.namespace.as_ref()) {
            Some(OwnerState::Gone) => Err(Some(
                claimed.map_or(gone.clone(), |c| format!("{gone}; {c}")),
            )),
            _ => Ok(Why::Owned(uid)),
        }
    }

    /// What an object says of who declares it, and why that is not believed.
    fn claimed(&self, live: &Value) -> Option<String> {
        let by = claim(live)?;
        let Some(kind) = by.tool.kind() else {
            return Some(format!(
                "its annotations name {by}; what that declares counts where a policy has a helmRelease target for it"
            ));
        };
        let (group, plain) = (&kind.group, &kind.kind);
        let why = match self.beyond.tool(by.tool) {
            Some(Standing::Listed) => format!("no {plain} of this cluster lists it"),
            Some(Standing::Unread(Unknown::Forbidden)) => format!(
                "the operator may not read it: add {}s of {group} to read.customResources of the chart",
                plain.to_lowercase()
            ),
            Some(Standing::Unread(_)) => "it cannot be read at the moment".to_owned(),
            Some(Standing::Unserved) | None => format!("the cluster serves no {plain}"),
        };
        Some(format!(
            "it says that {by} declares it; not confirmed: {why}"
        ))
    }

    fn set_aside(
        &mut self,
        key: u128,
        scope: ScopeId,
        name: &str,
        (version, epoch): (u64, u32),
        why: Why,
    ) {
        let told = self.undeclared_of(key);
        told.into_iter().for_each(|id| self.remove(id));
        let aside = Aside {
            scope,
            name: name.into(),
            version,
            epoch,
            why,
        };
        let counts = matches!(aside.why, Why::Elsewhere(_));
        let before = self.beyond.aside.insert(key, aside);
        let counted = before.is_some_and(|b| matches!(b.why, Why::Elsewhere(_)));
        if counts != counted {
            let askers = self.beyond.askers(scope).to_vec();
            self.dirty.extend(askers);
        }
    }

    /// The place where an object is held for a target as one that nobody declares.
    fn tell_undeclared(
        &mut self,
        key: u128,
        (target, scope): (TargetId, ScopeId),
        name: &str,
        claim: Option<String>,
    ) -> Option<DeclId> {
        let claim = claim.map(String::into_boxed_str);
        if let Some(known) = self.find(key, target) {
            let left = self.slab.get_mut(known)?.left.as_mut();
            left.filter(|l| l.never_declared)?.claim = claim;
            return Some(known);
        }
        let revision = Arc::clone(&self.targets.get(&target)?.revision);
        let left = Left {
            at: None,
            revision,
            told: false,
            never_declared: true,
            claim,
        };
        let (epoch, _) = self.listing(scope);
        let decl = Decl {
            verdict: Known::Unknown(Unknown::NotDeclared),
            left: Some(Box::new(left)),
            ..Decl::new(target, scope, name, (epoch, 0))
        };
        Some(self.enter(key, decl))
    }

    /// A live object was deleted.
    pub(super) fn vanish(&mut self, scope: &ScopeKey, last: &Value) -> bool {
        let Some((name, version)) = name_and_version(last) else {
            return false;
        };
        self.forget_noticed(scope, name, |known| version == 0 || known <= version)
    }

    fn forget_noticed(
        &mut self,
        scope: &ScopeKey,
        name: &str,
        is_it: impl Fn(u64) -> bool,
    ) -> bool {
        let place = self.scopes.id(scope);
        let Some(place) = place.filter(|p| self.beyond.is_looked(*p)) else {
            return false;
        };
        let key = key_of(&scope.kind.group_kind, scope.namespace.as_deref(), name);
        if self
            .beyond
            .aside
            .get(&key)
            .is_some_and(|a| is_it(a.version))
        {
            self.beyond.aside.remove(&key);
            let askers = self.beyond.askers(place).to_vec();
            self.dirty.extend(askers);
        }
        let mut found = self.undeclared_of(key);
        found.retain(|id| self.slab.get(*id).is_some_and(|d| is_it(d.version)));
        found.iter().for_each(|id| self.remove(*id));
        true
    }
}

fn name_and_version(live: &Value) -> Option<(&str, u64)> {
    let metadata = live.get("metadata")?;
    let version = metadata.get("resourceVersion").and_then(Value::as_str);
    let version = version.and_then(|v| v.parse().ok()).unwrap_or(0);
    Some((metadata.get("name")?.as_str()?, version))
}

/// What is said of an object whose owner is gone.
fn dead(owner: &Owner) -> String {
    let name = format!("{} {}", owner.group_kind(), owner.name);
    let name = drift::redact::printable(&name);
    format!(
        "its owner {} is not there any more",
        drift::redact::cut(&name, 128)
    )
}
