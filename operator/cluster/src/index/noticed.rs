//! Objects that nobody declares, in the scopes that targets ask about. Of each only what a record needs is held, and nothing at
//! all in scopes that nobody asks about.

use std::sync::Arc;

use drift::undeclared::{Doing, Owner, claim, doing};
use drift::{ObjectId, Unknown};
use serde_json::Value;

use super::beyond::{Aside, OwnerQuestion, OwnerState, Standing, Why, is_of};
use super::left::Left;
use super::scope::ScopeId;
use super::slab::DeclId;
use super::{Decl, Inner, Known, ScopeKey, TargetId, key_of, key_of_object};

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

    pub(super) fn askers(&self) -> impl Iterator<Item = TargetId> {
        let looked = self.beyond.looked();
        looked.flat_map(|s| self.beyond.askers(s).iter().copied())
    }

    /// True where what a target declares does not count, because its account may not look there: whoever could declare what he may
    /// not see could hide it from others.
    pub(super) fn is_hidden(&self, target: TargetId, scope: ScopeId) -> bool {
        self.denied.get(&(target, scope)) == Some(&Unknown::NotAllowed)
    }

    /// True if a target declares an object, or did and tells it as an orphan.
    pub(super) fn is_declared(&self, key: u128) -> bool {
        self.chain(key)
            .any(|(_, d)| !d.is_undeclared() && !self.is_hidden(d.target, d.scope))
    }

    pub(super) fn undeclared_of(&self, key: u128) -> Vec<DeclId> {
        let chain = self.chain(key).filter(|(_, d)| d.is_undeclared());
        chain.map(|(id, _)| id).collect()
    }

    pub(super) fn wonder_of(&mut self, id: DeclId) {
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
        let question = Arc::new(OwnerQuestion {
            owner,
            namespace: id.namespace.clone(),
        });
        if self
            .beyond
            .owner(&question)
            .is_some_and(OwnerState::is_absent)
        {
            let gone = dead(&question.owner);
            let all = claimed.map_or(gone.clone(), |c| format!("{gone}; {c}"));
            return Err(Some(all));
        }
        Ok(Why::Owned(question))
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

    pub(super) fn forget_noticed(
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
