//! The compact index: what is declared, and what is known about each of it. Mutated synchronously by [`Index::declare`],
//! [`Index::observe`], [`Index::forget`] and their kin; what changes is queued for whoever writes.
//!
//! Live objects pass through and are dropped. Of each declared object the index holds its identity, the place of its
//! declaration in [`Blobs`], the last resourceVersion and the verdict: some 200 bytes. Each queue holds an object at most
//! once, so that none is longer than the index.

mod asking;
mod beyond;
mod converge;
mod evidence;
mod left;
mod memory;
mod noticed;
mod observe;
mod prune;
mod read;
mod recall;
mod rules;
mod scope;
mod slab;
mod stamps;
mod undeclared;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use drift::automation::ReplicaBounds;
use drift::deployer::Claim;
use drift::rules::TargetRules;
use drift::{GroupVersionKind, Ignored, ObjectId, Report, Residue, Undeclared, Unknown};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use asking::{Asked, Question};
pub use beyond::{LeftOut, OwnerQuestion, OwnerState, Standing};
pub use converge::Material;
pub use evidence::{Before, Proof, Unproven};
pub use left::LeftBehind;
pub use memory::Revision;
pub use prune::Orphan;
pub use read::{Belief, Change, State, Tally};
pub use recall::{Apart, Earlier, Recollection, Shared, Snapshot, object_key};
pub use scope::ScopeKey;

use crate::store::{BlobRef, Blobs, Notes};
use asking::{Expectation, Shapes};
use beyond::Beyond;
use left::{Leaving, Left};
use memory::{Base, Residues};
use scope::{ScopeId, Scopes};
use slab::{DeclId, Slab};
use stamps::Stamps;

/// A target of a policy, numbered by whoever declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub u32);

/// One object of a batch.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// What it declares.
    pub id: ObjectId,
    /// The version it is declared and compared in.
    pub kind: GroupVersionKind,
    /// Where the declaration is.
    pub blob: BlobRef,
    /// The digest of the declaration.
    pub digest: u64,
}

/// All that a target declares at a revision.
#[derive(Debug)]
pub struct Batch {
    /// The revision; goes with what differs from it.
    pub revision: Revision,
    /// Whether what is not declared is looked at.
    pub undeclared: Undeclared,
    /// The declarations' texts.
    pub blobs: Blobs,
    /// The objects, each at most once.
    pub declarations: Vec<Declaration>,
    /// False if something could not be read or rendered: what was declared before and is absent now is then unknown,
    /// not gone.
    pub complete: bool,
    /// The target declares another place than before: what is absent now was not dropped by Git.
    pub elsewhere: bool,
    /// The scopes that the target's account may not see, or of which that could not be found out, as of now.
    pub denied: HashMap<ScopeKey, Unknown>,
}

/// An object whose live state has to be read again, because its declaration changed while its watch was running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    /// The scope whose watch covers it.
    pub scope: ScopeKey,
    /// The object.
    pub id: ObjectId,
}

/// What is known of one declared object.
#[derive(Debug)]
struct Decl {
    target: TargetId,
    scope: ScopeId,
    /// The next declaration of the same object, by another target.
    next: Option<DeclId>,
    name: Box<str>,
    blob: BlobRef,
    digest: u64,
    /// The last resourceVersion judged; 0 before the first.
    version: u64,
    /// The resourceVersion at which it was in sync by this declaration, when last judged; 0 where it was not.
    synced: u64,
    /// The last list in which it was seen.
    epoch: u32,
    /// The batch that declared it.
    batch: u32,
    expectation: Expectation,
    /// What the object was declared as when it was last in sync.
    base: Base,
    /// All that the object had beyond its declaration when it was last judged.
    seen: Option<Arc<Residue>>,
    /// The part of that which is explained.
    known: Option<Arc<Residue>>,
    /// More may have been explained than that.
    partial: bool,
    /// That was learnt while the server could not be asked: by ownership alone.
    unasked: bool,
    verdict: Known,
    /// When it was last looked at, it was not there.
    absent: bool,
    /// It was deleted before it had finished.
    cut_short: bool,
    /// Why some of its values could not be compared when it was last judged.
    hidden: Option<Unknown>,
    /// What of its differences rules ignore.
    ignored: Option<Box<Ignored>>,
    /// Its last declaration, where the target's batch does not hold it.
    left: Option<Box<Left>>,
    queued: bool,
    asked: bool,
    /// What is asked about is only what is not declared.
    residue_only: bool,
    /// The places of its declaration of which the server had made something else when it was last judged; `None` if that is not known.
    rewritten: Option<Arc<Residue>>,
    /// Its deployer was asked what it had deployed.
    sought: bool,
}

impl Decl {
    /// A declaration that was just met, of which nothing is known; by the list of its scope and the batch in which it was met.
    fn new(target: TargetId, scope: ScopeId, name: &str, (epoch, batch): (u32, u32)) -> Self {
        Self {
            target,
            scope,
            next: None,
            name: name.into(),
            blob: BlobRef::default(),
            digest: 0,
            version: 0,
            synced: 0,
            epoch,
            batch,
            expectation: Expectation::Unsettled,
            base: Base::Unknown,
            seen: None,
            known: None,
            partial: false,
            unasked: false,
            verdict: Known::Unknown(Unknown::NotSeen),
            absent: false,
            cut_short: false,
            hidden: None,
            ignored: None,
            left: None,
            queued: false,
            asked: false,
            residue_only: false,
            rewritten: None,
            sought: false,
        }
    }

    /// The server stored all that is declared as it was.
    fn is_literal(&self) -> bool {
        self.rewritten
            .as_ref()
            .is_some_and(|places| places.is_empty())
    }

    /// Keeps what is explained of it; true if that is news.
    fn learn(&mut self, explained: Arc<Residue>) -> bool {
        let unasked = matches!(self.expectation, Expectation::Unasked(_));
        let same = self.known.as_ref() == Some(&explained) && !self.partial;
        // What was known from the server's own answer stays so.
        self.unasked = unasked && (self.unasked || self.known.is_none());
        self.known = Some(explained);
        self.partial = false;
        !same
    }

    /// Forgets what was explained by ownership alone: the server has answered.
    fn forget_unasked(&mut self) {
        if std::mem::take(&mut self.unasked) {
            self.known = None;
            self.partial = true;
        }
    }

    /// True if nothing of it that can be compared differs, but for what rules ignore.
    fn agrees(&self) -> bool {
        match &self.verdict {
            Known::InSync => true,
            Known::Unknown(why) => self.hidden.as_ref() == Some(why),
            Known::Pending(_) | Known::Drifted(_) => false,
        }
    }
}

/// A verdict in its compact form.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    InSync,
    Pending(Arc<Report>),
    Drifted(Arc<Report>),
    Unknown(Unknown),
}

#[derive(Debug)]
struct Target {
    revision: Arc<Revision>,
    undeclared: Undeclared,
    blobs: Blobs,
    batch: u32,
    /// All that it declares was read.
    complete: bool,
}

#[derive(Debug, Default)]
struct Inner {
    slab: Slab,
    /// The first declaration of an object, by the hash of its identity.
    heads: HashMap<u128, DeclId>,
    scopes: Scopes,
    targets: HashMap<TargetId, Target>,
    rules: HashMap<TargetId, TargetRules>,
    tallies: HashMap<(TargetId, ScopeId), Tally>,
    /// Where a target's account may not look.
    denied: HashMap<(TargetId, ScopeId), Unknown>,
    changes: VecDeque<DeclId>,
    /// Objects that were drifted and are no longer declared.
    dropped: VecDeque<(TargetId, ObjectId)>,
    questions: VecDeque<DeclId>,
    shapes: Shapes,
    /// Baselines and expected objects.
    notes: Notes,
    residues: Residues,
    /// Who claims to have deployed what targets declare, noted down at first sight.
    claims: HashMap<TargetId, BTreeSet<Claim>>,
    stamps: Stamps,
    /// What was known of targets before a restart, until their first batch.
    recalled: HashMap<TargetId, recall::Recalled>,
    /// Targets whose memory changed since it was last saved.
    unsaved: HashSet<TargetId>,
    /// What autoscalers may set replicas to; `None` before they were listed.
    bounds: Option<HashMap<u128, ReplicaBounds>>,
    /// Where targets ask about what nobody declares, and what is known for that.
    beyond: Beyond,
    /// Targets whose counts changed.
    dirty: HashSet<TargetId>,
}

/// The index. Cheap to share; every call takes a lock for microseconds.
#[derive(Debug, Default)]
pub struct Index {
    inner: Mutex<Inner>,
    changed: Notify,
    asked: Notify,
    dirtied: Notify,
    /// Told when there are objects to look at again, or owners to ask about.
    wondered: Notify,
}

/// The hash of an identity. 128 bits: two objects of one cluster never share it by accident.
fn key_of(kind: &drift::GroupKind, namespace: Option<&str>, name: &str) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for part in [&*kind.group, &*kind.kind, namespace.unwrap_or(""), name] {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.digest128()
}

/// The hash of an object's identity.
fn key_of_object(id: &ObjectId) -> u128 {
    key_of(&id.group_kind, id.namespace.as_deref(), &id.name)
}

impl Index {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces what a target declares. Objects whose declaration did not change keep their verdict; what is no longer
    /// declared is an orphan for as long as it is live (or unknown, if the batch is not complete). Gives the objects to read
    /// again.
    pub fn declare(&self, target: TargetId, batch: Batch) -> Vec<Reread> {
        let mut inner = self.inner.lock();
        let number = inner
            .targets
            .get(&target)
            .map_or(1, |t| t.batch.wrapping_add(1));
        let before = inner.targets.insert(
            target,
            Target {
                revision: Arc::new(batch.revision),
                undeclared: batch.undeclared,
                blobs: batch.blobs,
                batch: number,
                complete: batch.complete,
            },
        );
        inner.deny(target, batch.denied);
        let mut rereads = Vec::new();
        for declaration in batch.declarations {
            if let Some(reread) = inner.declare_one(target, number, declaration, before.as_ref()) {
                rereads.push(reread);
            }
        }
        let how = Leaving {
            complete: batch.complete,
            elsewhere: batch.elsewhere,
        };
        for id in inner.slab.ids(|d| d.target == target && d.batch != number) {
            rereads.extend(inner.leave(id, before.as_ref(), how));
        }
        if before.is_none() {
            inner.remind_left(target, number, batch.complete);
        }
        inner.dirty.insert(target);
        inner.unsaved.insert(target);
        inner.recalled.remove(&target);
        if inner.notes.is_wasteful() {
            inner.tidy_notes();
        }
        drop(inner);
        self.wake();
        rereads
    }

    /// Drops a target and all it declares.
    pub fn forget(&self, target: TargetId) {
        let mut inner = self.inner.lock();
        for id in inner.slab.ids(|d| d.target == target) {
            inner.remove(id);
        }
        let looked: Vec<ScopeId> = inner.beyond.looked_at(target).collect();
        looked.into_iter().for_each(|s| inner.look_away(target, s));
        inner.targets.remove(&target);
        inner.rules.remove(&target);
        inner.tallies.retain(|(t, _), _| *t != target);
        inner.denied.retain(|(t, _), _| *t != target);
        inner.dirty.remove(&target);
        inner.unsaved.remove(&target);
        inner.recalled.remove(&target);
        inner.claims.remove(&target);
        drop(inner);
        self.wake();
    }

    fn wake(&self) {
        let inner = self.inner.lock();
        if !inner.changes.is_empty() || !inner.dropped.is_empty() {
            self.changed.notify_one();
        }
        if !inner.questions.is_empty() {
            self.asked.notify_one();
        }
        if !inner.dirty.is_empty() {
            self.dirtied.notify_one();
        }
        if inner.beyond.is_wondering() {
            self.wondered.notify_one();
        }
    }
}

impl Inner {
    fn declare_one(
        &mut self,
        target: TargetId,
        batch: u32,
        declaration: Declaration,
        before: Option<&Target>,
    ) -> Option<Reread> {
        let Declaration {
            id,
            kind,
            blob,
            digest,
        } = declaration;
        let scope = self.scopes.intern(&kind, id.namespace.as_ref());
        let key = key_of_object(&id);
        let mut carried = None;
        if let Some(known) = self.find(key, target) {
            let (epoch, listed) = self.listing(scope);
            let same = self
                .slab
                .get(known)
                .is_some_and(|d| d.digest == digest && d.scope == scope);
            let looks = |t: Option<&Target>| t.map(|t| t.undeclared);
            let same_look = looks(before) == looks(self.targets.get(&target));
            if let Some(before) = before.filter(|_| !same) {
                self.keep_baseline(known, before);
            }
            let was_left = self.take_left(known);
            let decl = self.slab.get_mut(known)?;
            let lost = decl.verdict == Known::Unknown(Unknown::NotRendered);
            decl.blob = blob;
            decl.batch = batch;
            if same && !lost && !was_left && same_look {
                return None;
            }
            if decl.scope == scope {
                self.stamps.close(known);
                decl.digest = digest;
                decl.version = 0;
                decl.epoch = epoch;
                decl.synced = 0;
                if !same_look {
                    // What was not looked at is not known to have been there.
                    decl.known = None;
                }
                if !same {
                    self.expect(known, Expectation::Unsettled);
                }
                self.set(known, Known::Unknown(Unknown::NotSeen));
                self.end_orphans(key);
                return listed.then(|| Reread {
                    scope: ScopeKey::new(kind, id.namespace.clone()),
                    id,
                });
            }
            carried = self.carry(known);
            self.remove(known);
        }
        let (epoch, listed) = self.listing(scope);
        let base = match before {
            _ if carried.is_some() => Base::Unknown,
            // By the same commit it is not new: its kind was not served before, say.
            Some(before) if before.complete && !self.is_of_same_commit(target, before) => {
                Base::Absent
            }
            _ => Base::Unknown,
        };
        let mut decl = Decl {
            blob,
            digest,
            base,
            ..Decl::new(target, scope, &id.name, (epoch, batch))
        };
        if let Some(base) = carried {
            // What is added by defaults, and how what is declared is stored, are others in another version.
            (decl.base, decl.partial) = (base, true);
        }
        let place = self.enter(key, decl);
        if before.is_none()
            && let Some(revision) = self.targets.get(&target).map(|t| Arc::clone(&t.revision))
        {
            self.remind(place, key, &revision);
        }
        self.end_orphans(key);
        listed.then(|| Reread {
            scope: ScopeKey::new(kind, id.namespace.clone()),
            id,
        })
    }

    /// The baseline of an object that is declared in another version of its API from now on; `None` for what was not declared before.
    fn carry(&mut self, id: DeclId) -> Option<Base> {
        let decl = self.slab.get_mut(id).filter(|d| !d.is_undeclared())?;
        Some(std::mem::take(&mut decl.base))
    }

    /// Takes in a declaration of the object of this key.
    fn enter(&mut self, key: u128, mut decl: Decl) -> DeclId {
        decl.next = self.heads.get(&key).copied();
        let (target, scope, verdict) = (decl.target, decl.scope, decl.verdict.clone());
        let place = self.slab.insert(decl);
        self.heads.insert(key, place);
        self.scopes.join(scope, place);
        self.tally(target, scope).add(&verdict);
        place
    }

    fn is_of_same_commit(&self, target: TargetId, before: &Target) -> bool {
        self.targets
            .get(&target)
            .is_some_and(|now| now.revision.name == before.revision.name)
    }

    /// The list of a scope that began last, and whether there was one. What is declared from then on has to be read: that
    /// list may have passed it already, and its end must not call it missing.
    fn listing(&self, scope: ScopeId) -> (u32, bool) {
        let epoch = self.scopes.get(scope).map_or(0, |s| s.epoch);
        (epoch, epoch > 0)
    }

    /// Replaces the scopes that a target's account may not see; what that changes is queued.
    fn deny(&mut self, target: TargetId, denied: HashMap<ScopeKey, Unknown>) {
        let new: HashMap<ScopeId, Unknown> = denied
            .into_iter()
            .map(|(s, why)| (self.scopes.intern(&s.kind, s.namespace.as_ref()), why))
            .collect();
        let mut old: HashMap<ScopeId, Unknown> = HashMap::new();
        self.denied.retain(|(t, scope), why| {
            if *t == target {
                old.insert(*scope, why.clone());
            }
            *t != target
        });
        let changed: HashSet<ScopeId> = old
            .keys()
            .chain(new.keys())
            .filter(|scope| old.get(scope) != new.get(scope))
            .copied()
            .collect();
        let entries = new.into_iter().map(|(scope, why)| ((target, scope), why));
        self.denied.extend(entries);
        if changed.is_empty() {
            return;
        }
        let members = self
            .slab
            .ids(|d| d.target == target && changed.contains(&d.scope));
        members.into_iter().for_each(|id| self.queue(id));
        for scope in changed {
            let now = self.denied.get(&(target, scope)).cloned();
            self.recount_declared(target, scope, old.get(&scope), now.as_ref());
        }
    }

    /// A target's declaration of an object.
    fn find(&self, key: u128, target: TargetId) -> Option<DeclId> {
        self.chain(key)
            .find(|(_, d)| d.target == target)
            .map(|(id, _)| id)
    }

    /// All declarations of an object.
    fn chain(&self, key: u128) -> impl Iterator<Item = (DeclId, &Decl)> {
        let mut next = self.heads.get(&key).copied();
        std::iter::from_fn(move || {
            let id = next?;
            let decl = self.slab.get(id)?;
            next = decl.next;
            Some((id, decl))
        })
    }

    fn tally(&mut self, target: TargetId, scope: ScopeId) -> &mut Tally {
        self.tallies.entry((target, scope)).or_default()
    }

    fn identity(&self, id: DeclId) -> Option<ObjectId> {
        let decl = self.slab.get(id)?;
        let scope = self.scopes.get(decl.scope)?;
        Some(ObjectId {
            group_kind: scope.key.kind.group_kind.clone(),
            namespace: scope.key.namespace.clone(),
            name: (&*decl.name).into(),
        })
    }

    /// Sets a verdict, keeps the counts and queues the change if it is one.
    fn set(&mut self, id: DeclId, known: Known) {
        let Some(decl) = self.slab.get_mut(id) else {
            return;
        };
        if decl.verdict == known {
            return;
        }
        let old = std::mem::replace(&mut decl.verdict, known.clone());
        let (target, scope) = (decl.target, decl.scope);
        let tally = self.tally(target, scope);
        tally.remove(&old);
        tally.add(&known);
        self.dirty.insert(target);
        self.queue(id);
    }

    fn queue(&mut self, id: DeclId) {
        if let Some(decl) = self.slab.get_mut(id)
            && !std::mem::replace(&mut decl.queued, true)
        {
            self.changes.push_back(id);
        }
    }

    fn remove(&mut self, id: DeclId) {
        let Some(object) = self.identity(id) else {
            return;
        };
        let key = key_of_object(&object);
        self.expect(id, Expectation::Unsettled);
        self.set_base(id, Base::Unknown);
        self.take_left(id);
        self.stamps.forget(id);
        let Some(decl) = self.slab.remove(id) else {
            return;
        };
        self.unlink(key, id, decl.next);
        self.scopes.leave(decl.scope, id);
        self.tally(decl.target, decl.scope).remove(&decl.verdict);
        self.tallies.retain(|_, t| !t.is_empty());
        self.dirty.insert(decl.target);
        if !decl.is_undeclared() {
            self.was_declared(key, &object);
        }
        if decl.verdict != Known::InSync {
            // Pending and unknown ones may have had a record before.
            self.dropped.push_back((decl.target, object));
        }
    }

    fn unlink(&mut self, key: u128, id: DeclId, next: Option<DeclId>) {
        if self.heads.get(&key) == Some(&id) {
            match next {
                Some(next) => self.heads.insert(key, next),
                None => self.heads.remove(&key),
            };
            return;
        }
        let before = self
            .chain(key)
            .find(|(_, d)| d.next == Some(id))
            .map(|(place, _)| place);
        if let Some(decl) = before.and_then(|b| self.slab.get_mut(b)) {
            decl.next = next;
        }
    }
}

#[cfg(test)]
mod custom_tests;
#[cfg(test)]
mod hidden_tests;
#[cfg(test)]
mod job_tests;
#[cfg(test)]
mod left_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod undeclared_tests;
