//! What watches say, and what it means for the declared objects.

use std::sync::Arc;

use drift::expected::Expectation;
use drift::judge::{Outcome, judge};
use drift::{Schema, Unknown, Verdict, report};
use serde_json::Value;

use super::slab::DeclId;
use super::{Index, Inner, Known, Question, ScopeKey, TargetId, key_of};

impl Index {
    /// Sets the schema of a scope; what was judged by another one is judged again by the next list.
    pub fn set_schema(&self, scope: &ScopeKey, schema: Schema) {
        let mut inner = self.inner.lock();
        let Some(id) = inner.scopes.id(scope) else {
            return;
        };
        let Some(state) = inner.scopes.get_mut(id) else {
            return;
        };
        state.schema = schema;
        for member in state.members.clone() {
            if let Some(decl) = inner.slab.get_mut(member) {
                decl.version = 0;
            }
        }
    }

    /// A list of the scope begins.
    pub fn restarted(&self, scope: &ScopeKey) {
        let mut inner = self.inner.lock();
        if let Some(state) = inner
            .scopes
            .id(scope)
            .and_then(|id| inner.scopes.get_mut(id))
        {
            state.epoch = state.epoch.wrapping_add(1);
        }
    }

    /// The list is complete: what it did not hold does not exist.
    pub fn ready(&self, scope: &ScopeKey) {
        let mut inner = self.inner.lock();
        let Some(id) = inner.scopes.id(scope) else {
            return;
        };
        let Some(state) = inner.scopes.get_mut(id) else {
            return;
        };
        state.ready = true;
        let was_in_trouble = state.trouble.take().is_some();
        let epoch = state.epoch;
        let members: Vec<DeclId> = state.members.iter().copied().collect();
        for member in members {
            if inner.slab.get(member).is_some_and(|d| d.epoch != epoch) {
                inner.judge_one(member, None, 0);
                // Whatever is seen of it from now on counts, be it the version that was known before.
                if let Some(decl) = inner.slab.get_mut(member) {
                    decl.version = 0;
                }
            }
            if was_in_trouble {
                inner.queue(member);
            }
            if let Some(target) = inner.slab.get(member).map(|d| d.target) {
                inner.dirty.insert(target);
            }
        }
        drop(inner);
        self.wake();
    }

    /// Nothing can be said about the scope until the next complete list. Open findings stay as they are, without
    /// counting.
    pub fn failed(&self, scope: &ScopeKey, trouble: Unknown) {
        let mut inner = self.inner.lock();
        let Some(id) = inner.scopes.id(scope) else {
            return;
        };
        let Some(state) = inner.scopes.get_mut(id) else {
            return;
        };
        if state.trouble.as_ref() == Some(&trouble) {
            return;
        }
        let unserved = trouble == Unknown::NotServed;
        let members: Vec<DeclId> = state.members.iter().copied().collect();
        state.trouble = Some(trouble);
        state.ready = false;
        if unserved {
            // With a kind's definition go its objects, one by one: what they were called a moment ago means nothing now.
            members.into_iter().for_each(|id| inner.queue(id));
        }
        let targets: Vec<TargetId> = inner
            .tallies
            .keys()
            .filter(|(_, s)| *s == id)
            .map(|(t, _)| *t)
            .collect();
        inner.dirty.extend(targets);
        drop(inner);
        self.wake();
    }

    /// A live object, from a list, a watch event or a read. True if it is a declared one.
    pub fn observe(&self, scope: &ScopeKey, live: &Value) -> bool {
        let mut inner = self.inner.lock();
        let hit = inner.for_each(scope, live, |inner, member, version| {
            inner.judge_one(member, Some(live), version)
        });
        drop(inner);
        if hit {
            self.wake();
        }
        hit
    }

    /// A live object was deleted.
    pub fn gone(&self, scope: &ScopeKey, last: &Value) {
        let mut inner = self.inner.lock();
        let hit = inner.for_each(scope, last, |inner, member, version| {
            inner.judge_one(member, None, version)
        });
        drop(inner);
        if hit {
            self.wake();
        }
    }

    /// A live object exists that cannot be read.
    pub fn unreadable(&self, scope: &ScopeKey, id: &drift::ObjectId) {
        let mut inner = self.inner.lock();
        let Some(scope) = inner.scopes.id(scope) else {
            return;
        };
        let key = key_of(&id.group_kind, id.namespace.as_deref(), &id.name);
        let epoch = inner.scopes.get(scope).map_or(0, |s| s.epoch);
        let members: Vec<DeclId> = inner
            .chain(key)
            .filter(|(_, d)| d.scope == scope)
            .map(|(i, _)| i)
            .collect();
        for member in members {
            if let Some(decl) = inner.slab.get_mut(member) {
                decl.epoch = epoch;
            }
            inner.set(member, Known::Unknown(Unknown::NotCompared));
        }
        drop(inner);
        self.wake();
    }

    /// Puts the questions again that were refused because nothing could be asked.
    pub fn reopen_refused(&self) {
        let mut inner = self.inner.lock();
        for id in inner
            .slab
            .ids(|d| d.expectation == Expectation::Refused && !d.asked)
        {
            if let Some(decl) = inner.slab.get_mut(id) {
                decl.asked = true;
                inner.questions.push_back(id);
            }
        }
        drop(inner);
        self.wake();
    }

    /// A read of a live object found nothing. Only for objects that no event has told about since they were declared.
    pub fn absent(&self, scope: &ScopeKey, id: &drift::ObjectId) {
        let mut inner = self.inner.lock();
        let Some(scope) = inner.scopes.id(scope) else {
            return;
        };
        let key = key_of(&id.group_kind, id.namespace.as_deref(), &id.name);
        let members: Vec<DeclId> = inner
            .chain(key)
            .filter(|(_, d)| d.scope == scope && d.version == 0)
            .map(|(i, _)| i)
            .collect();
        for member in members {
            inner.judge_one(member, None, 0);
        }
        drop(inner);
        self.wake();
    }

    /// What the server said it would make of a declaration. The live object has to be observed again afterwards.
    pub fn settle(&self, question: &Question, expectation: Expectation) {
        let mut inner = self.inner.lock();
        let Some(decl) = inner.slab.get_mut(question.decl) else {
            return;
        };
        decl.asked = false;
        if decl.digest == question.digest {
            decl.expectation = expectation;
            decl.version = 0;
        }
    }

    /// Gives a question back: it could not be asked now.
    pub fn ask_again(&self, question: &Question) {
        let mut inner = self.inner.lock();
        if inner.slab.get(question.decl).is_some_and(|d| d.asked) {
            inner.questions.push_back(question.decl);
        }
    }

    /// Whether a target's account may see a scope; if not, why nothing is said.
    pub fn allow(&self, target: TargetId, scope: &ScopeKey, denied: Option<Unknown>) {
        let mut inner = self.inner.lock();
        let Some(id) = inner.scopes.id(scope) else {
            return;
        };
        let before = match &denied {
            None => inner.denied.remove(&(target, id)),
            Some(why) => inner.denied.insert((target, id), why.clone()),
        };
        if before == denied {
            return;
        }
        let members: Vec<DeclId> = inner
            .scopes
            .get(id)
            .map(|s| s.members.iter().copied().collect())
            .unwrap_or_default();
        for member in members {
            if inner.slab.get(member).is_some_and(|d| d.target == target) {
                inner.queue(member);
            }
        }
        inner.dirty.insert(target);
        drop(inner);
        self.wake();
    }
}

impl Inner {
    /// Runs `act` for each declaration of a live object that is not older than what was judged before.
    fn for_each(
        &mut self,
        scope: &ScopeKey,
        live: &Value,
        act: impl Fn(&mut Self, DeclId, u64),
    ) -> bool {
        let Some(id) = self.scopes.id(scope) else {
            return false;
        };
        let metadata = live.get("metadata");
        let text = |key: &str| metadata.and_then(|m| m.get(key)).and_then(Value::as_str);
        let Some(name) = text("name") else {
            return false;
        };
        let version: u64 = text("resourceVersion")
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        let key = key_of(&scope.kind.group_kind, scope.namespace.as_deref(), name);
        let epoch = self.scopes.get(id).map_or(0, |s| s.epoch);
        let members: Vec<DeclId> = self
            .chain(key)
            .filter(|(_, d)| d.scope == id)
            .map(|(i, _)| i)
            .collect();
        for member in &members {
            let Some(decl) = self.slab.get_mut(*member) else {
                continue;
            };
            decl.epoch = epoch;
            // Equal: nothing new since the verdict. Older: a read that was overtaken by the watch.
            if version == 0 || version > decl.version {
                act(self, *member, version);
            }
        }
        !members.is_empty()
    }

    fn judge_one(&mut self, member: DeclId, live: Option<&Value>, version: u64) {
        let Some(decl) = self.slab.get(member) else {
            return;
        };
        let (target, scope) = (decl.target, decl.scope);
        let Some(blobs) = self.targets.get(&target).map(|t| t.blobs.clone()) else {
            return;
        };
        let Some(state) = self.scopes.get(scope) else {
            return;
        };
        if decl.verdict == Known::Unknown(Unknown::NotRendered) {
            return;
        }
        let known = match blobs.read(decl.blob) {
            Err(error) => {
                tracing::error!(%error, object = %decl.name, "cannot read a declaration back");
                Known::Unknown(Unknown::NotCompared)
            }
            Ok(declared) => {
                let kind = &state.key.kind.group_kind;
                match judge(
                    &declared.object,
                    live,
                    &state.schema,
                    &decl.expectation,
                    &declared.unstable,
                ) {
                    Outcome::AskExpected => Known::Unknown(Unknown::Unverified),
                    Outcome::Verdict(Verdict::InSync) => Known::InSync,
                    Outcome::Verdict(Verdict::Unknown(unknown)) => Known::Unknown(unknown),
                    Outcome::Verdict(Verdict::Drifted(finding)) => {
                        Known::Drifted(Arc::new(report(kind, &declared, &finding)))
                    }
                }
            }
        };
        let Some(decl) = self.slab.get_mut(member) else {
            return;
        };
        decl.version = decl.version.max(version);
        if known == Known::InSync && decl.expectation == Expectation::Unsettled {
            decl.expectation = Expectation::AsDeclared;
        }
        let ask = known == Known::Unknown(Unknown::Unverified)
            && !std::mem::replace(&mut decl.asked, true);
        if ask {
            self.questions.push_back(member);
        }
        self.set(member, known);
    }
}
