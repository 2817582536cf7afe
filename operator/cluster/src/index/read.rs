//! Reading the index: counts, changes to write down, questions for the server.

use std::collections::HashMap;
use std::sync::Arc;

use drift::{Evidence, ObjectChange, ObjectId, Report, Unknown};

use super::memory::{Base, Revision};
use super::scope::ScopeId;
use super::slab::DeclId;
use super::{Decl, Index, Inner, Known, ScopeKey, TargetId};

/// Counts of declared objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// As declared.
    pub in_sync: u32,
    /// Not as declared.
    pub drifted: u32,
    /// A commit is not rolled out.
    pub pending: u32,
    /// Not as declared, and allowed for now by exceptions.
    pub excepted: u32,
    /// Whether the server or an autoscaler makes the difference is not known.
    pub unverified: u32,
    /// Nothing can be said.
    pub unknown: u32,
    /// Not declared, or not any more, still there, and for long enough to be told: drifted besides.
    pub orphaned: u32,
    /// Not declared any more, and not told.
    pub left: u32,
}

/// True for what is there and not declared.
fn is_beyond(report: &Report) -> bool {
    matches!(
        report.change,
        ObjectChange::Orphaned | ObjectChange::Undeclared
    )
}

impl Tally {
    /// The sum.
    pub fn declared(&self) -> u32 {
        self.in_sync + self.drifted + self.pending + self.excepted + self.unverified + self.unknown
    }

    /// True if there is nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn slot(&mut self, known: &Known) -> &mut u32 {
        match known {
            Known::InSync => &mut self.in_sync,
            Known::Drifted(report) if is_beyond(report) && report.is_excepted => &mut self.left,
            Known::Drifted(report) if is_beyond(report) => &mut self.orphaned,
            Known::Drifted(report) if report.is_excepted => &mut self.excepted,
            Known::Pending(report) if is_beyond(report) => &mut self.left,
            Known::Unknown(Unknown::NotDeclared) => &mut self.left,
            Known::Drifted(_) => &mut self.drifted,
            Known::Pending(_) => &mut self.pending,
            Known::Unknown(Unknown::Unverified | Unknown::Autoscaled) => &mut self.unverified,
            Known::Unknown(_) => &mut self.unknown,
        }
    }

    pub(super) fn add(&mut self, known: &Known) {
        *self.slot(known) += 1;
    }

    pub(super) fn remove(&mut self, known: &Known) {
        let slot = self.slot(known);
        *slot = slot.saturating_sub(1);
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: Self) {
        self.in_sync += other.in_sync;
        self.drifted += other.drifted;
        self.pending += other.pending;
        self.excepted += other.excepted;
        self.unverified += other.unverified;
        self.unknown += other.unknown;
        self.orphaned += other.orphaned;
        self.left += other.left;
    }
}

/// What is known of an object, as it counts now.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// As declared.
    InSync,
    /// It differs only in what rules ignore; counts as in sync.
    Ignored,
    /// A commit is not rolled out yet.
    Pending(Arc<Report>),
    /// Not as declared.
    Drifted(Arc<Report>),
    /// Nothing can be said.
    Unknown(Unknown),
    /// No longer declared by the target.
    Dropped,
}

/// An object whose state changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The target that declares it.
    pub target: TargetId,
    /// The object.
    pub id: ObjectId,
    /// The apiVersion it is compared in; empty for [`State::Dropped`].
    pub api_version: String,
    /// Where it is declared; `None` for [`State::Dropped`].
    pub provenance: Option<drift::Provenance>,
    /// The name of the revision that declares it so; empty for [`State::Dropped`].
    pub revision: Arc<str>,
    /// What it was declared by when it was last in sync, and how that is known; `None` where it is not, and for what is in sync.
    pub baseline: Option<(Revision, Evidence)>,
    /// Its deployer may know what was in force before, and was not asked yet.
    pub unproven: bool,
    /// Its state.
    pub state: State,
}

/// What the index believes of one live object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belief {
    /// The resourceVersion last judged; 0 before the first.
    pub version: u64,
    /// It is there, as far as a verdict says so.
    pub exists: bool,
}

impl Index {
    /// Waits until there are changes.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until there are questions.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Waits until counts have changed.
    pub async fn dirtied(&self) {
        self.dirtied.notified().await;
    }

    /// The targets whose counts have changed since the last call.
    pub fn take_dirty(&self) -> Vec<TargetId> {
        std::mem::take(&mut self.inner.lock().dirty)
            .into_iter()
            .collect()
    }

    /// At most so many changed objects, with their states as of now, oldest change first.
    pub fn take_changes(&self, most: usize) -> Vec<Change> {
        let mut inner = self.inner.lock();
        let mut changes = Vec::new();
        while changes.len() < most {
            if let Some((target, id)) = inner.dropped.pop_front() {
                changes.push(Change {
                    target,
                    id,
                    api_version: String::new(),
                    provenance: None,
                    revision: Arc::default(),
                    baseline: None,
                    unproven: false,
                    state: State::Dropped,
                });
                continue;
            }
            let Some(next) = inner.changes.pop_front() else {
                break;
            };
            if let Some(decl) = inner.slab.get_mut(next) {
                decl.queued = false;
                changes.extend(inner.change(next));
            }
        }
        changes
    }

    /// Queues every drifted object of a target again, for a writer that starts anew.
    pub fn requeue(&self, target: TargetId) {
        let mut inner = self.inner.lock();
        for id in inner
            .slab
            .ids(|d| d.target == target && d.verdict != Known::InSync)
        {
            inner.queue(id);
        }
        drop(inner);
        self.wake();
    }

    /// Queues one object again, for a writer that could not write.
    pub fn touch(&self, target: TargetId, id: &ObjectId) {
        let mut inner = self.inner.lock();
        let key = super::key_of_object(id);
        match inner.find(key, target) {
            Some(decl) => inner.queue(decl),
            None => inner.dropped.push_back((target, id.clone())),
        }
        drop(inner);
        self.wake();
    }

    /// The state of one object as a target declares it; `None` if it does not.
    pub fn state(&self, target: TargetId, id: &ObjectId) -> Option<State> {
        let inner = self.inner.lock();
        let key = super::key_of_object(id);
        let decl = inner.slab.get(inner.find(key, target)?)?;
        Some(inner.effective(decl))
    }

    /// How many changes and questions wait.
    pub fn queued(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (
            inner.changes.len() + inner.dropped.len(),
            inner.questions.len(),
        )
    }

    /// A target's counts, by what counts now: a blind scope's objects are unknown.
    pub fn tally(&self, target: TargetId) -> Tally {
        let inner = self.inner.lock();
        let mut sum = Tally::default();
        for ((_, scope), tally) in inner.tallies.iter().filter(|((t, _), _)| *t == target) {
            let hidden = inner.denied.contains_key(&(target, *scope))
                || inner.scopes.get(*scope).is_none_or(|s| s.trouble.is_some());
            if hidden {
                sum.unknown += tally.declared();
            } else {
                sum.merge(*tally);
            }
        }
        if inner.targets.get(&target).is_some_and(|t| !t.complete) {
            // What cannot be rendered may declare them.
            sum.left += std::mem::take(&mut sum.orphaned);
        }
        sum
    }

    /// Why objects of a target are unknown: scope, reason and how many, for scopes as a whole. What nobody compares is told as
    /// that, whether or not the target's account may see it: rights would not change it.
    pub fn troubles(&self, target: TargetId) -> Vec<(ScopeKey, Unknown, u32)> {
        let inner = self.inner.lock();
        let mut found: Vec<_> = inner
            .tallies
            .iter()
            .filter(|((t, _), tally)| *t == target && tally.declared() > 0)
            .map(|((_, id), tally)| (*id, *tally))
            .chain(
                inner
                    .beyond
                    .looked_at(target)
                    .map(|id| (id, Tally::default())),
            )
            .filter_map(|(id, tally)| {
                let scope = inner.scopes.get(id)?;
                let left_out = scope.trouble.clone().filter(|t| *t == Unknown::NotCompared);
                let reason = left_out
                    .or_else(|| inner.denied.get(&(target, id)).cloned())
                    .or_else(|| scope.trouble.clone())?;
                Some((scope.key.clone(), reason, tally.declared()))
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0).then(b.2.cmp(&a.2)));
        found.dedup_by(|a, b| a.0 == b.0);
        found
    }

    /// Objects of a target of which something cannot be said for a reason of their own: for each reason how many, and the first by
    /// name.
    pub fn oddities(&self, target: TargetId) -> Vec<(u32, ObjectId, Unknown)> {
        let inner = self.inner.lock();
        let mut found: HashMap<Unknown, (u32, ObjectId)> = HashMap::new();
        for (id, decl) in inner.slab.iter().filter(|(_, d)| d.target == target) {
            let Known::Unknown(why) = &decl.verdict else {
                continue;
            };
            let is_its_own = matches!(
                why,
                Unknown::Unstable | Unknown::Encrypted | Unknown::NotCompared | Unknown::Autoscaled
            );
            let told = is_its_own && inner.effective(decl) == State::Unknown(why.clone());
            let Some(object) = told.then(|| inner.identity(id)).flatten() else {
                continue;
            };
            let (count, first) = found
                .entry(why.clone())
                .or_insert_with(|| (0, object.clone()));
            *count = count.saturating_add(1);
            if object < *first {
                *first = object;
            }
        }
        let mut all: Vec<_> = found
            .into_iter()
            .map(|(why, (n, id))| (n, id, why))
            .collect();
        all.sort_by(|a, b| a.1.cmp(&b.1));
        all
    }

    /// The scopes in which something is declared or asked about, with their number of objects.
    pub fn scopes(&self) -> Vec<(ScopeKey, usize)> {
        let inner = self.inner.lock();
        let members = inner.scopes.iter().filter(|s| !s.members.is_empty());
        let empty = inner.beyond.looked().filter_map(|s| inner.scopes.get(s));
        members
            .chain(empty.filter(|s| s.members.is_empty()))
            .map(|s| (s.key.clone(), s.members.len()))
            .collect()
    }

    /// The scopes in which a target declares something or asks about what nobody declares.
    pub fn scopes_of(&self, target: TargetId) -> Vec<ScopeKey> {
        let inner = self.inner.lock();
        inner
            .all_of(target)
            .filter_map(|s| Some(inner.scopes.get(s)?.key.clone()))
            .collect()
    }

    /// True once each scope of a target has been listed or is known to be unreadable, and no object waits to be read.
    pub fn is_settled(&self, target: TargetId) -> bool {
        let inner = self.inner.lock();
        inner.all_of(target).all(|s| {
            inner
                .scopes
                .get(s)
                .is_some_and(|s| s.ready || s.trouble.is_some())
        })
    }

    /// True while the server is being asked about an object of a target.
    pub fn is_asking(&self, target: TargetId) -> bool {
        let inner = self.inner.lock();
        let mut decls = inner.slab.iter();
        decls.any(|(_, d)| d.target == target && d.asked)
    }

    /// True while objects of a target wait to be judged by a new schema.
    pub fn is_outdated(&self, target: TargetId) -> bool {
        let inner = self.inner.lock();
        let mut scopes = inner.all_of(target).filter_map(|s| inner.scopes.get(s));
        scopes.any(|s| s.outdated && s.trouble.is_none())
    }

    /// True if a scope has been listed by the schema that it has, and is being watched.
    pub fn is_ready(&self, scope: &ScopeKey) -> bool {
        let inner = self.inner.lock();
        let scope = inner.scopes.id(scope).and_then(|id| inner.scopes.get(id));
        scope.is_some_and(|s| s.ready && !s.outdated && s.trouble.is_none())
    }

    /// What the index believes of a scope's objects, by name.
    pub fn beliefs(&self, scope: &ScopeKey) -> Vec<(String, Belief)> {
        let inner = self.inner.lock();
        let Some(place) = inner.scopes.id(scope) else {
            return Vec::new();
        };
        let Some(scope) = inner.scopes.get(place) else {
            return Vec::new();
        };
        let members = scope.members.iter().filter_map(|m| inner.slab.get(*m));
        let aside = inner.beyond.beliefs(place);
        let belief = |d: &Decl| Belief {
            version: d.version,
            exists: match &d.verdict {
                _ if d.agrees() => !d.absent,
                Known::Drifted(report) | Known::Pending(report) => {
                    report.change != ObjectChange::Missing
                }
                // Nobody declares it, and rules ignore that.
                Known::InSync | Known::Unknown(_) => d.is_undeclared(),
            },
        };
        let members = members.map(|d| (d.name.to_string(), belief(d)));
        members.chain(aside).collect()
    }
}

impl Inner {
    /// The scopes that matter to a target.
    fn all_of(&self, target: TargetId) -> impl Iterator<Item = ScopeId> {
        let declared = self.tallies.keys().filter(move |(t, _)| *t == target);
        let empty = move |s: &ScopeId| !self.tallies.contains_key(&(target, *s));
        declared
            .map(|(_, s)| *s)
            .chain(self.beyond.looked_at(target).filter(empty))
    }

    pub(super) fn effective(&self, decl: &Decl) -> State {
        if let Some(why) = self.denied.get(&(decl.target, decl.scope)) {
            return State::Unknown(why.clone());
        }
        if let Some(trouble) = self.scopes.get(decl.scope).and_then(|s| s.trouble.clone()) {
            return State::Unknown(trouble);
        }
        let complete = self.targets.get(&decl.target).is_none_or(|t| t.complete);
        if decl.left.is_some() && !complete {
            return State::Unknown(Unknown::NotRendered);
        }
        match &decl.verdict {
            Known::Unknown(Unknown::NotDeclared) if decl.ignored.is_some() => State::Ignored,
            Known::InSync if decl.ignored.is_some() => State::Ignored,
            Known::InSync => State::InSync,
            Known::Drifted(report) => State::Drifted(Arc::clone(report)),
            Known::Pending(report) => State::Pending(Arc::clone(report)),
            Known::Unknown(unknown) => State::Unknown(unknown.clone()),
        }
    }

    fn change(&self, id: DeclId) -> Option<Change> {
        let decl = self.slab.get(id)?;
        let state = self.effective(decl);
        let differs = matches!(state, State::Drifted(_) | State::Pending(_));
        let target = self.targets.get(&decl.target);
        let provenance = target
            .filter(|_| differs)
            .and_then(|t| self.declaration(decl, t).ok())
            .map(|d| d.provenance)
            .filter(|p| !p.file.is_empty());
        let revision = match &decl.left {
            Some(left) => Some(&left.revision),
            None => target.map(|t| &t.revision),
        };
        let baseline = match &decl.base {
            _ if !differs => None,
            Base::Unknown | Base::Absent => None,
            Base::Declared => revision.map(|r| (Revision::clone(r), Evidence::Own)),
            Base::Kept(kept) => Some((Revision::clone(&kept.revision), kept.evidence)),
        };
        let api_version = self.scopes.get(decl.scope)?.key.kind.api_version();
        Some(Change {
            target: decl.target,
            id: self.identity(id)?,
            api_version,
            provenance,
            revision: revision.map(|r| Arc::clone(&r.name)).unwrap_or_default(),
            baseline,
            unproven: decl.is_unproven() && self.claims.contains_key(&decl.target),
            state,
        })
    }
}
