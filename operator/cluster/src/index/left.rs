//! What the batch of a target does not hold, though an earlier one did: orphans, which Git dropped and which are still live, and
//! what cannot be told while something of the target cannot be rendered.

use std::io;
use std::sync::Arc;

use drift::judge::{Case, Finding, judge};
use drift::orphan::{is_left_on_purpose, orphaned};
use drift::undeclared::finding;
use drift::{
    DeclaredObject, Evidence, GroupVersionKind, ObjectChange, ObjectId, Origin, Provenance,
    Unknown, report,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::memory::{Base, Recalled, Revision};
use super::recall::{Earlier, is_false, kept, short};
use super::slab::DeclId;
use super::{Decl, Index, Inner, Known, Reread, Target, TargetId, key_of, key_of_object};
use crate::store::BlobRef;

/// The most orphans of a target that are remembered across restarts: their names take room in a ConfigMap.
const MAX_REMEMBERED: usize = 500;

/// The last declaration of an object that the target's batch does not hold.
#[derive(Debug)]
pub(super) struct Left {
    /// Where it is kept; `None` where it could not be rendered again after a restart.
    pub(super) at: Option<BlobRef>,
    /// The revision that declared it last.
    pub(super) revision: Arc<Revision>,
    /// It has been gone from Git for long enough to count as drift.
    pub(super) told: bool,
    /// Nobody ever declared it.
    pub(super) never_declared: bool,
    /// What an object that nobody declares says of itself, where that is not confirmed.
    pub(super) claim: Option<Box<str>>,
}

/// An orphan as it is remembered across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// The apiVersion it was declared in.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The revision that declared it last.
    pub revision: String,
    /// The digest of what else went into rendering that.
    pub inputs: String,
    /// Its baseline; `None` where none is known, or where it was not declared.
    pub baseline: Option<Earlier>,
    /// It was never in sync since Git declared it for the first time.
    #[serde(default, skip_serializing_if = "is_false")]
    pub absent: bool,
}

impl LeftBehind {
    /// The object; `None` if what was remembered names none.
    pub fn id(&self) -> Option<ObjectId> {
        let kind = GroupVersionKind::parse(&self.api_version, &self.kind)?;
        let namespace = self.namespace.as_deref();
        Some(ObjectId::new(kind.group_kind, namespace, &self.name))
    }
}

/// What is new about a target's batch, for what it does not hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    /// All that the target declares was read.
    pub(super) complete: bool,
    /// The target declares another place than before.
    pub(super) elsewhere: bool,
}

impl Index {
    /// Lets an orphan count as drift from now on.
    pub fn ripen(&self, target: TargetId, id: &ObjectId) {
        let mut inner = self.inner.lock();
        let key = key_of_object(id);
        if let Some(place) = inner.find(key, target) {
            let decl = inner.slab.get_mut(place);
            let pending = decl.and_then(|d| {
                d.left.as_mut()?.told = true;
                match &d.verdict {
                    Known::Pending(report) => Some(Arc::clone(report)),
                    _ => None,
                }
            });
            if let Some(report) = pending {
                inner.set(place, Known::Drifted(report));
            }
        }
        drop(inner);
        self.wake();
    }
}

impl Decl {
    /// Git does not declare it any more.
    pub(super) fn is_orphan(&self) -> bool {
        self.left.is_some() && self.verdict != Known::Unknown(Unknown::NotRendered)
    }
}

impl Inner {
    /// An object's declaration: that of its target's batch, or the last one.
    pub(super) fn declaration(&self, decl: &Decl, target: &Target) -> io::Result<DeclaredObject> {
        let Some(left) = &decl.left else {
            return target.blobs.read(decl.blob);
        };
        let at = left.at.ok_or(io::ErrorKind::NotFound)?;
        serde_json::from_value(self.notes.read(at)?).map_err(io::Error::other)
    }

    /// What becomes of an object that its target's new batch does not hold.
    pub(super) fn leave(
        &mut self,
        id: DeclId,
        before: Option<&Target>,
        how: Leaving,
    ) -> Option<Reread> {
        let decl = self.slab.get(id)?;
        if decl.is_undeclared() {
            // Whether something of the target cannot be read decides whether it counts.
            self.queue(id);
            return None;
        }
        let was_orphan = decl.is_orphan();
        let never_live = match &decl.verdict {
            Known::Drifted(report) | Known::Pending(report) => {
                report.change == ObjectChange::Missing
            }
            _ => false,
        };
        let goes = how.elsewhere || (how.complete && !was_orphan && never_live);
        if goes || !self.keep_declaration(id, before) || (how.complete && self.is_settled(id)) {
            self.remove(id);
            return None;
        }
        if was_orphan {
            self.queue(id);
            return None;
        }
        if !how.complete {
            self.set(id, Known::Unknown(Unknown::NotRendered));
            return None;
        }
        let decl = self.slab.get_mut(id)?;
        decl.version = 0;
        decl.ignored = None;
        let scope = decl.scope;
        self.set(id, Known::Unknown(Unknown::NotDeclared));
        let (_, listed) = self.listing(scope);
        let scope = self.scopes.get(scope)?.key.clone();
        let id = self.identity(id)?;
        listed.then_some(Reread { scope, id })
    }

    /// True if there is nothing to say about an object that the target has dropped.
    fn is_settled(&self, id: DeclId) -> bool {
        let (Some(decl), Some(object)) = (self.slab.get(id), self.identity(id)) else {
            return true;
        };
        let place = key_of_object(&object);
        let declared = self.chain(place).any(|(_, d)| d.left.is_none());
        let scope = self.scopes.get(decl.scope);
        let unserved = scope.is_none_or(|s| s.trouble == Some(Unknown::NotServed));
        let on_purpose = self
            .targets
            .get(&decl.target)
            .and_then(|t| self.declaration(decl, t).ok())
            .is_some_and(|d| is_left_on_purpose(&object.group_kind, &d.object));
        declared || unserved || on_purpose
    }

    /// Keeps the last declaration of an object; false if that cannot be done.
    fn keep_declaration(&mut self, id: DeclId, before: Option<&Target>) -> bool {
        let Some(decl) = self.slab.get(id) else {
            return false;
        };
        if decl.left.is_some() {
            return true;
        }
        let Some(before) = before else {
            return false;
        };
        let declared = before.blobs.read(decl.blob);
        let note = declared.and_then(|d| self.notes.push(&serde_json::to_value(&d)?));
        let at = match note {
            Ok(at) => at,
            Err(error) => {
                tracing::warn!(%error, "a declaration cannot be kept in a temporary file; that its object is an orphan will not be told");
                return false;
            }
        };
        let revision = Arc::clone(&before.revision);
        if let Some(decl) = self.slab.get_mut(id) {
            decl.left = Some(Box::new(Left {
                at: Some(at),
                revision,
                told: false,
                never_declared: false,
                claim: None,
            }));
        }
        true
    }

    /// Forgets the last declaration of an object that has a new one, or goes; true if there was one.
    pub(super) fn take_left(&mut self, id: DeclId) -> bool {
        let Some(decl) = self.slab.get_mut(id) else {
            return false;
        };
        let Some(left) = decl.left.take() else {
            return false;
        };
        decl.asked = false;
        if let Some(at) = left.at {
            self.notes.release(at);
        }
        true
    }

    /// An object that some target declares is nobody's orphan, and not undeclared.
    pub(super) fn end_orphans(&mut self, key: u128) {
        let declared = self.is_declared(key);
        let orphans: Vec<DeclId> = self
            .chain(key)
            .filter(|(_, d)| d.is_orphan() && (declared || !d.is_undeclared()))
            .map(|(id, _)| id)
            .collect();
        orphans.into_iter().for_each(|id| self.remove(id));
    }

    /// Judges what Git does not declare any more.
    pub(super) fn judge_left(&mut self, id: DeclId, live: Option<&Value>, version: u64) {
        let Some(live) = live else {
            if let Some(decl) = self.slab.get(id) {
                self.unsaved.insert(decl.target);
            }
            return self.remove(id);
        };
        let undeclared = self.slab.get(id).is_some_and(Decl::is_undeclared);
        let found = if undeclared {
            // Its labels are their author's words: no rule goes by them.
            Some((finding(live), false, bare(Value::Null)))
        } else {
            self.found_left(id, live)
        };
        let Some((finding, as_declared, declared)) = found else {
            return;
        };
        let Some(mut grading) = self.graded(id, &declared, finding) else {
            return;
        };
        if undeclared && let Some(left) = &mut grading.left {
            drift::undeclared::raise(left, live);
        }
        let told = self.slab.get(id).and_then(|d| {
            let scope = self.scopes.get(d.scope)?;
            let kind = &scope.key.kind.group_kind;
            let left = grading.left.as_ref()?;
            let report = report(kind, &declared, &scope.schema, Some(live), left);
            Some(report.with_claim(d.left.as_ref().and_then(|l| l.claim.as_deref())))
        });
        if as_declared {
            self.set_base(id, Base::Declared);
        }
        let Some(decl) = self.slab.get_mut(id) else {
            return;
        };
        decl.version = decl.version.max(version);
        let differs = decl.ignored.is_some() != grading.ignored.is_some();
        decl.ignored = grading.ignored.map(Box::new);
        let known = match told.map(Arc::new) {
            Some(report) if decl.left.as_ref().is_some_and(|l| l.told) => Known::Drifted(report),
            Some(report) => Known::Pending(report),
            None => Known::Unknown(Unknown::NotDeclared),
        };
        self.set(id, known);
        if differs {
            self.queue(id);
        }
    }

    /// What is the matter with an orphan, whether it is as it was last declared, and how that was.
    pub(super) fn found_left(
        &self,
        id: DeclId,
        live: &Value,
    ) -> Option<(Finding, bool, DeclaredObject)> {
        let decl = self.slab.get(id)?;
        let target = self.targets.get(&decl.target)?;
        let scope = self.scopes.get(decl.scope)?;
        let Ok(declared) = self.declaration(decl, target) else {
            let finding = drift::orphan::finding(live, Origin::Unknown, None);
            return Some((finding, false, bare(live.clone())));
        };
        let recalled = Recalled::of(&self.notes, &decl.base);
        let answer = self.answer(decl);
        let case = Case {
            kind: &scope.key.kind.group_kind,
            declared: &declared,
            schema: &scope.schema,
            expected: self.expected(decl, answer.as_ref()),
            // What the server would make of it does not matter any more; who owns what differs tells enough.
            askable: false,
            known: decl.known.as_deref(),
            partial: decl.partial,
            baseline: recalled.baseline(&decl.base),
            rewritten: decl.rewritten.as_deref(),
            undeclared: target.undeclared,
            replicas: self.replicas_of(decl, &scope.key),
            replicas_at: scope.replicas_at.as_ref(),
            unwritten: false,
            cut_short: decl.cut_short,
        };
        let verdict = judge(&case, Some(live)).verdict;
        let (finding, as_declared) = orphaned(&verdict, case.baseline.evidence(), live);
        Some((finding, as_declared, declared))
    }

    /// The orphans of a target, for a snapshot.
    pub(super) fn left_behind(&self, target: TargetId) -> Vec<LeftBehind> {
        let mut all: Vec<LeftBehind> = self
            .slab
            .iter()
            .filter(|(_, d)| d.target == target && !d.is_undeclared())
            .filter_map(|(id, decl)| {
                let left = decl.left.as_ref()?;
                let scope = &self.scopes.get(decl.scope)?.key;
                let object = self.identity(id)?;
                let baseline = match &decl.base {
                    // What the server made of it is not remembered.
                    _ if !decl.is_literal() => None,
                    Base::Declared => Some(Earlier {
                        revision: left.revision.name.to_string(),
                        inputs: left.revision.inputs.to_string(),
                        evidence: Evidence::Own,
                        except: Vec::new(),
                    }),
                    Base::Kept(kept) => Some(Earlier::of(kept)),
                    Base::Unknown | Base::Absent => None,
                };
                Some(LeftBehind {
                    api_version: scope.kind.api_version(),
                    kind: object.group_kind.kind.to_string(),
                    namespace: object.namespace.as_deref().map(str::to_owned),
                    name: object.name.to_string(),
                    revision: left.revision.name.to_string(),
                    inputs: left.revision.inputs.to_string(),
                    baseline,
                    absent: matches!(decl.base, Base::Absent),
                })
            })
            .collect();
        all.sort_by(|a, b| (&a.kind, &a.namespace, &a.name).cmp(&(&b.kind, &b.namespace, &b.name)));
        if all.len() > MAX_REMEMBERED {
            tracing::warn!(
                orphans = all.len(),
                "more orphans than are remembered across a restart"
            );
            all.truncate(MAX_REMEMBERED);
        }
        all
    }

    /// Brings back the orphans that were known before a restart, once the target has declared something.
    pub(super) fn remind_left(&mut self, target: TargetId, batch: u32, complete: bool) {
        let Some(recalled) = self.recalled.get_mut(&target) else {
            return;
        };
        for entry in std::mem::take(&mut recalled.left) {
            self.bring_back(target, batch, complete, entry);
        }
    }

    fn bring_back(&mut self, target: TargetId, batch: u32, complete: bool, entry: LeftBehind) {
        let Some(kind) = GroupVersionKind::parse(&entry.api_version, &entry.kind) else {
            return;
        };
        let namespace: Option<Arc<str>> = entry.namespace.as_deref().map(Into::into);
        let key = key_of(&kind.group_kind, namespace.as_deref(), &entry.name);
        if self.chain(key).any(|(_, d)| d.left.is_none()) {
            return;
        }
        let scope = self.scopes.intern(&kind, namespace.as_ref());
        let Some(recalled) = self.recalled.get(&target) else {
            return;
        };
        let of = |revision: &str, inputs: &str| {
            let place = (revision.to_owned(), inputs.to_owned(), short(key));
            recalled.declared.get(&place).cloned()
        };
        let last = of(&entry.revision, &entry.inputs);
        let base = entry.baseline.as_ref().and_then(|b| {
            let same = b.revision == entry.revision && b.inputs == entry.inputs;
            if same && b.except.is_empty() {
                return last.is_some().then_some(Base::Declared);
            }
            let at = self.notes.push(&of(&b.revision, &b.inputs)?).ok()?;
            Some(Base::Kept(Box::new(kept(at, b))))
        });
        let note = last.and_then(|d| serde_json::to_value(bare(d)).ok());
        let left = Left {
            at: note.and_then(|n| self.notes.push(&n).ok()),
            revision: Arc::new(Revision {
                name: entry.revision.as_str().into(),
                inputs: entry.inputs.as_str().into(),
            }),
            told: false,
            never_declared: false,
            claim: None,
        };
        let (epoch, _) = self.listing(scope);
        let unknown = if complete {
            Unknown::NotDeclared
        } else {
            Unknown::NotRendered
        };
        let rewritten = base
            .is_some()
            .then(|| self.residues.intern(drift::Residue::default()));
        let otherwise = if entry.absent {
            Base::Absent
        } else {
            Base::Unknown
        };
        self.enter(
            key,
            Decl {
                base: base.unwrap_or(otherwise),
                verdict: Known::Unknown(unknown),
                left: Some(Box::new(left)),
                rewritten,
                ..Decl::new(target, scope, &entry.name, (epoch, batch))
            },
        );
    }
}

/// A declaration of which nothing is known but the object.
pub(super) fn bare(object: Value) -> DeclaredObject {
    DeclaredObject {
        object,
        provenance: Provenance {
            file: String::new(),
            document: 0,
            line: 0,
        },
        lines: Vec::new(),
        unstable: Vec::new(),
        encrypted: false,
    }
}
