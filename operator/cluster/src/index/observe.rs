//! What watches say, and what it means for the declared objects.

use std::sync::Arc;

use drift::automation::is_cut_short;
use drift::judge::{Case, Judgement, judge};
use drift::{DeclaredObject, FieldPath, Ignored, Report, Schema, Unknown, Verdict, report};
use serde_json::Value;

use super::asking::Expectation;
use super::memory::{Base, Recalled};
use super::slab::DeclId;
use super::stamps::Sight;
use super::{Index, Inner, Known, ScopeKey, TargetId, key_of, key_of_object};

impl Index {
    /// Sets the schema of a scope, and where its objects' replicas are if not at `spec.replicas`; what was judged by others is judged
    /// again by the next list.
    pub fn set_schema(&self, scope: &ScopeKey, schema: Schema, replicas_at: Option<FieldPath>) {
        let mut inner = self.inner.lock();
        let Some(id) = inner.scopes.id(scope) else {
            return;
        };
        let Some(state) = inner.scopes.get_mut(id) else {
            return;
        };
        (state.schema, state.replicas_at) = (schema, replicas_at);
        state.outdated = state.ready;
        for member in state.members.clone() {
            inner.stamps.close(member);
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
        state.outdated = false;
        let was_in_trouble = state.trouble.take().is_some();
        let epoch = state.epoch;
        inner.beyond.forget_older(id, epoch);
        inner.beyond.listed_whole(id);
        let Some(state) = inner.scopes.get(id) else {
            return;
        };
        let members: Vec<DeclId> = state.members.iter().copied().collect();
        for member in members {
            if inner.slab.get(member).is_some_and(|d| d.epoch != epoch) {
                inner.judge_one(member, Sight::Gone(None), 0);
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
        // Those that ask about what nobody declares wait for scopes in which nothing is declared.
        let looking = inner.beyond.askers(id).to_vec();
        inner.dirty.extend(looking);
        drop(inner);
        self.wake();
    }

    /// The scope's watch has ended: what is declared there from now on waits for the next one's list.
    pub fn unwatched(&self, scope: &ScopeKey) {
        let mut inner = self.inner.lock();
        let id = inner.scopes.id(scope);
        if let Some(state) = id.and_then(|id| inner.scopes.get_mut(id)) {
            state.ready = false;
        }
    }

    /// Nothing can be said about the scope until the next complete list. Open findings stay as they are, without
    /// counting.
    pub fn failed(&self, scope: &ScopeKey, trouble: Unknown) {
        let mut inner = self.inner.lock();
        let Some(id) = inner.scopes.id(scope) else {
            return;
        };
        if trouble == Unknown::NotServed {
            // With its definition has gone what was left.
            let orphans = inner.slab.ids(|d| d.scope == id && d.is_orphan());
            orphans.into_iter().for_each(|o| inner.remove(o));
            inner.beyond.forget_scope(id);
        }
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

    /// A live object, from a list or a read. True if it is a declared one.
    pub fn observe(&self, scope: &ScopeKey, live: &Value) -> bool {
        self.saw(scope, live, Sight::Look(live))
    }

    /// A live object was created or changed, as a watch tells it: write by write. True if it is a declared one.
    pub fn applied(&self, scope: &ScopeKey, live: &Value) -> bool {
        self.saw(scope, live, Sight::Event(live))
    }

    /// A live object was deleted; its last state.
    pub fn gone(&self, scope: &ScopeKey, last: &Value) {
        self.saw(scope, last, Sight::Gone(Some(last)));
    }

    fn saw(&self, scope: &ScopeKey, object: &Value, sight: Sight<'_>) -> bool {
        let mut inner = self.inner.lock();
        let hit = inner.for_each(scope, object, |inner, member, version| {
            inner.judge_one(member, sight, version)
        });
        let noticed = match sight {
            Sight::Gone(_) => inner.vanish(scope, object),
            Sight::Look(_) | Sight::Event(_) => inner.notice(scope, object),
        };
        drop(inner);
        if hit || noticed {
            self.wake();
        }
        hit
    }

    /// A live object exists that cannot be read.
    pub fn unreadable(&self, scope: &ScopeKey, id: &drift::ObjectId) {
        let mut inner = self.inner.lock();
        let Some(scope) = inner.scopes.id(scope) else {
            return;
        };
        let key = key_of_object(id);
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
            if inner.slab.get(member).is_none_or(|d| d.left.is_some()) {
                continue;
            }
            inner.stamps.forget(member);
            inner.set(member, Known::Unknown(Unknown::NotCompared));
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
        let key = key_of_object(id);
        let members: Vec<DeclId> = inner
            .chain(key)
            .filter(|(_, d)| d.scope == scope && d.version == 0)
            .map(|(i, _)| i)
            .collect();
        for member in members {
            inner.judge_one(member, Sight::Gone(None), 0);
        }
        drop(inner);
        self.wake();
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
        inner.recount_declared(target, id, before.as_ref(), denied.as_ref());
        inner.dirty.insert(target);
        drop(inner);
        self.wake();
    }
}

/// What judging an object led to.
struct Judged {
    judgement: Option<Judgement>,
    /// The verdict to hold, by the rules.
    known: Known,
    /// What rules ignore of it.
    ignored: Option<Ignored>,
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
            .filter(|(_, d)| d.scope == id && !d.is_undeclared())
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

    pub(super) fn judge_one(&mut self, member: DeclId, sight: Sight<'_>, version: u64) {
        let live = sight.live();
        let Some(decl) = self.slab.get(member) else {
            return;
        };
        if decl.verdict == Known::Unknown(Unknown::NotRendered) {
            return self.stamps.forget(member);
        }
        if decl.left.is_some() {
            self.stamps.forget(member);
            return self.judge_left(member, live, version);
        }
        if let Some(live) = live.filter(|_| decl.is_unproven()) {
            self.note_claims(member, live);
        }
        self.note_presence(member, sight);
        let step = self.step(member, sight, version);
        let Some(Judged {
            judgement,
            mut known,
            ignored,
        }) = self.judged(member, live, version)
        else {
            return;
        };
        self.attribute(member, (sight, version), step, &mut known);
        let Some(decl) = self.slab.get_mut(member) else {
            return;
        };
        decl.version = decl.version.max(version);
        decl.hidden = judgement.as_ref().and_then(|j| j.hidden.clone());
        decl.ignored = ignored.map(Box::new);
        self.set(member, known);
        if let Some(judgement) = judgement {
            self.remember(member, judgement, live.is_some(), version);
        }
    }

    /// Notes down whether an object is there, and if not, how it went.
    fn note_presence(&mut self, member: DeclId, sight: Sight<'_>) {
        let Some(decl) = self.slab.get(member) else {
            return;
        };
        let kind = self.scopes.get(decl.scope).map(|s| &s.key.kind.group_kind);
        let cut_short = match sight {
            Sight::Look(_) | Sight::Event(_) => false,
            Sight::Gone(None) => decl.cut_short,
            // Whoever rolls out a commit may have to make it anew.
            Sight::Gone(Some(_)) if matches!(decl.verdict, Known::Pending(_)) => decl.cut_short,
            Sight::Gone(Some(last)) => {
                decl.cut_short || kind.is_some_and(|kind| is_cut_short(kind, last))
            }
        };
        let target = decl.target;
        if let Some(decl) = self.slab.get_mut(member) {
            decl.absent = sight.live().is_none();
            if std::mem::replace(&mut decl.cut_short, cut_short) != cut_short {
                self.unsaved.insert(target);
            }
        }
    }

    /// The judgement on an object, by what is known of its declaration.
    pub(super) fn weighed(
        &self,
        member: DeclId,
        declared: &DeclaredObject,
        live: Option<&Value>,
        version: u64,
    ) -> Option<Judgement> {
        let decl = self.slab.get(member)?;
        let target = self.targets.get(&decl.target)?;
        let state = self.scopes.get(decl.scope)?;
        let recalled = Recalled::of(&self.notes, &decl.base);
        let answer = self.answer(decl);
        let case = Case {
            kind: &state.key.kind.group_kind,
            declared,
            schema: &state.schema,
            expected: self.expected(decl, answer.as_ref()),
            askable: state.askable,
            known: decl.known.as_deref(),
            partial: decl.partial,
            baseline: recalled.baseline(&decl.base),
            rewritten: decl.rewritten.as_deref(),
            undeclared: target.undeclared,
            replicas: self.replicas_of(decl, &state.key),
            replicas_at: state.replicas_at.as_ref(),
            // Where the server may be asked, its answer explains what is new.
            unwritten: !state.askable && version > 0 && version == decl.synced,
            cut_short: decl.cut_short,
        };
        Some(judge(&case, live))
    }

    /// The judgement on an object, and the verdict to hold of it.
    fn judged(&self, member: DeclId, live: Option<&Value>, version: u64) -> Option<Judged> {
        let decl = self.slab.get(member)?;
        let target = self.targets.get(&decl.target)?;
        let state = self.scopes.get(decl.scope)?;
        let declared = match target.blobs.read(decl.blob) {
            Ok(declared) => declared,
            Err(error) => {
                tracing::error!(%error, object = %decl.name, "cannot read a declaration back");
                return Some(Judged {
                    judgement: None,
                    known: Known::Unknown(Unknown::NotCompared),
                    ignored: None,
                });
            }
        };
        let kind = &state.key.kind.group_kind;
        let mut judgement = self.weighed(member, &declared, live, version)?;
        let mut ignored = None;
        let verdict = std::mem::replace(&mut judgement.verdict, Verdict::InSync);
        let known = match verdict {
            Verdict::InSync => Known::InSync,
            Verdict::Unknown(unknown) => Known::Unknown(unknown),
            Verdict::Pending(finding) | Verdict::Drifted(finding) => {
                let grading = self.graded(member, &declared, *finding)?;
                ignored = grading.ignored;
                let complete = !judgement.ask && judgement.rest == judgement.hidden;
                let told = |graded| {
                    let report = report(kind, &declared, &state.schema, live, graded);
                    Report {
                        complete: complete && report.more_fields == 0,
                        ..report
                    }
                };
                match &grading.left {
                    Some(left) if left.finding.is_pending() => Known::Pending(Arc::new(told(left))),
                    Some(left) => Known::Drifted(Arc::new(told(left))),
                    None => judgement.rest.clone().map_or(Known::InSync, Known::Unknown),
                }
            }
        };
        Some(Judged {
            judgement: Some(judgement),
            known,
            ignored,
        })
    }

    /// Keeps what a judgement has shown, and asks the server where it has to.
    fn remember(&mut self, member: DeclId, judgement: Judgement, exists: bool, version: u64) {
        let Judgement {
            ask,
            compared,
            residue,
            explained,
            as_declared,
            rewritten,
            ..
        } = judgement;
        let unexplained = residue != explained;
        let seen = self.residues.intern(residue);
        let explained = self.residues.intern(explained);
        let rewritten = rewritten.map(|places| self.residues.intern(places));
        let Some(decl) = self.slab.get_mut(member) else {
            return;
        };
        // What rules ignore is not as declared: no baseline, and nothing to remember. What can never be compared is no difference.
        let in_sync = decl.agrees() && decl.ignored.is_none();
        let but_ignored = decl.agrees() && decl.ignored.is_some();
        let changed = decl.seen.as_ref() != Some(&seen);
        let seen_whole = exists && compared;
        if seen_whole {
            decl.seen = Some(seen);
            decl.synced = if in_sync && !ask { version } else { 0 };
        }
        if seen_whole && !ask {
            decl.rewritten = rewritten;
        }
        decl.residue_only &= ask;
        // What at first sight nobody could tell apart from an addition is no memory of being in sync.
        let first_sight = decl.partial || (decl.known.is_none() && !decl.base.is_own_sighting());
        let target = decl.target;
        let learnt = seen_whole && !ask && (in_sync || !first_sight);
        if learnt && decl.learn(explained) {
            self.unsaved.insert(target);
        }
        if but_ignored && !ask {
            self.keep_but_ignored(member);
        }
        if in_sync && seen_whole && !ask {
            self.set_base(member, Base::Declared);
            // After a refusal nothing but ownership has spoken.
            let decl = self.slab.get(member);
            let refused = decl.is_some_and(|d| d.expectation.is_refused());
            if as_declared && !refused {
                self.expect(member, Expectation::AsDeclared);
            }
        }
        if ask {
            self.ask(member, as_declared);
        } else if unexplained && changed {
            self.ask_when_stale(member);
        }
    }
}
