//! What the index remembers of an object beyond its verdict: the baseline, and what it had beyond its declaration.

use std::collections::HashMap;
use std::sync::Arc;

use drift::hidden::Hidden;
use drift::origin::{Baseline, Except, Unseen, exceptions};
use drift::{DeclaredObject, Evidence, FieldPath, ObjectChange, Residue, Unknown};
use serde_json::Value;

use super::slab::DeclId;
use super::{Decl, Inner, Known, Target};
use crate::store::{BlobRef, Notes};

/// Random places of a rendering that are remembered at most.
const MAX_UNSTABLE: usize = 100;

/// A revision, and what else went into rendering it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Revision {
    /// What was followed and the commit it led to.
    pub name: Arc<str>,
    /// The digest of the other inputs of rendering.
    pub inputs: Arc<str>,
}

/// What an object was declared as when it was last in sync.
#[derive(Debug, Default)]
pub(super) enum Base {
    /// Not known.
    #[default]
    Unknown,
    /// As now.
    Declared,
    /// It was not declared.
    Absent,
    /// As by an earlier revision.
    Kept(Box<Kept>),
}

impl Base {
    /// True where Driftline itself saw the object in sync.
    pub(super) fn is_own_sighting(&self) -> bool {
        match self {
            Self::Declared => true,
            Self::Kept(kept) => kept.evidence == Evidence::Own,
            Self::Unknown | Self::Absent => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) at: BlobRef,
    pub(super) except: Box<[Except]>,
    pub(super) revision: Arc<Revision>,
    pub(super) evidence: Evidence,
}

/// Residues, each kept once: most objects of a kind have the same.
#[derive(Debug, Default)]
pub(super) struct Residues {
    all: HashMap<Residue, Arc<Residue>>,
}

impl Residues {
    pub(super) fn intern(&mut self, residue: Residue) -> Arc<Residue> {
        if let Some(known) = self.all.get(&residue) {
            return Arc::clone(known);
        }
        // Those that nobody holds any more go when there are many.
        if self.all.len() >= 256 && self.all.len().is_power_of_two() {
            self.all.retain(|_, held| Arc::strong_count(held) > 1);
        }
        let held = Arc::new(residue.clone());
        self.all.insert(residue, Arc::clone(&held));
        held
    }
}

/// An object that was read back from the notes.
pub(super) struct Recalled {
    object: Option<Value>,
}

impl Recalled {
    pub(super) fn of(notes: &Notes, base: &Base) -> Self {
        let object = match base {
            Base::Kept(kept) => notes.read(kept.at).ok(),
            _ => None,
        };
        Self { object }
    }

    /// The baseline in the form in which judging takes it.
    pub(super) fn baseline<'a>(&'a self, base: &'a Base) -> Baseline<'a> {
        match (base, &self.object) {
            (Base::Declared, _) => Baseline::Declared,
            (Base::Absent, _) => Baseline::Absent,
            (Base::Kept(kept), Some(object)) => Baseline::Earlier {
                object,
                except: &kept.except,
                evidence: kept.evidence,
            },
            (Base::Unknown | Base::Kept(_), _) => Baseline::Unknown,
        }
    }
}

impl Inner {
    /// The baseline of an object whose declaration is about to change; `before` is the batch that declared it so far.
    pub(super) fn keep_baseline(&mut self, id: DeclId, before: &Target) {
        let Some(decl) = self.slab.get(id) else {
            return;
        };
        let Ok(declared) = self.declaration(decl, before) else {
            return;
        };
        let Some(except) = self.out_of_sync(decl, &declared) else {
            return;
        };
        let evidence = match &decl.base {
            Base::Kept(kept) if !decl.agrees() || decl.ignored.is_some() => kept.evidence,
            _ => Evidence::Own,
        };
        let left = decl.left.as_ref().map(|l| &l.revision);
        let revision = Arc::clone(left.unwrap_or(&before.revision));
        self.note_base(id, &declared.object, except, (revision, evidence));
    }

    /// The baseline of an object that is in sync but for what rules ignore: its declaration, except there.
    pub(super) fn keep_but_ignored(&mut self, id: DeclId) {
        let Some(decl) = self.slab.get(id) else {
            return;
        };
        let Some(target) = self.targets.get(&decl.target) else {
            return;
        };
        let places = decl.ignored.as_ref().map_or(&[][..], |i| &i.places);
        let is_kept = match &decl.base {
            Base::Declared => true,
            Base::Kept(kept) => {
                // Behind these come those that a rendering was random at.
                let random = decl.hidden == Some(Unknown::Unstable);
                let known = if random {
                    places.len()
                } else {
                    kept.except.len()
                };
                let known = kept.except.iter().take(known).map(|e| &e.path);
                kept.revision == target.revision && known.eq(places)
            }
            Base::Unknown | Base::Absent => false,
        };
        if is_kept {
            return;
        }
        let Ok(declared) = target.blobs.read(decl.blob) else {
            return;
        };
        let Some(except) = self.out_of_sync(decl, &declared) else {
            return;
        };
        let revision = Arc::clone(&target.revision);
        self.note_base(id, &declared.object, except, (revision, Evidence::Own));
    }

    pub(super) fn note_base(
        &mut self,
        id: DeclId,
        declared: &Value,
        except: Box<[Except]>,
        (revision, evidence): (Arc<Revision>, Evidence),
    ) {
        let base = match self.notes.push(declared) {
            Ok(at) => Base::Kept(Box::new(Kept {
                at,
                except,
                revision,
                evidence,
            })),
            Err(error) => {
                tracing::warn!(%error, "a baseline cannot be kept in a temporary file; its origin will be unknown");
                Base::Unknown
            }
        };
        self.set_base(id, base);
    }

    /// Where an object was not in sync by the declaration that goes, or that could not be told; `None` where nothing of it is a
    /// baseline.
    fn out_of_sync(&self, decl: &Decl, declared: &DeclaredObject) -> Option<Box<[Except]>> {
        let mut except = self.unstable(decl, declared)?;
        let reported = match (&decl.verdict, &decl.base) {
            (_, Base::Declared) => return Some(except.into()),
            _ if decl.agrees() => &[],
            (Known::Drifted(report) | Known::Pending(report), _) => {
                if report.change != ObjectChange::Changed || report.more_fields > 0 {
                    return None;
                }
                report.fields.as_slice()
            }
            (Known::InSync | Known::Unknown(_), _) => return None,
        };
        let mut paths: Vec<_> = reported.iter().map(|f| f.place.clone()).collect();
        if let Some(ignored) = &decl.ignored {
            if ignored.more || ignored.whole.is_some() {
                return None;
            }
            paths.extend(ignored.places.iter().cloned());
        }
        if paths.is_empty() {
            return Some(except.into());
        }
        let known = match &decl.base {
            Base::Kept(kept) => {
                let object = self.notes.read(kept.at).ok()?;
                exceptions(&paths, Some((&object, &kept.except)))
            }
            _ => exceptions(&paths, None),
        };
        except.splice(0..0, known);
        Some(except.into())
    }

    /// Where a rendering was random, so that nobody knows what was in force there; `None` where too much of it was.
    pub(super) fn unstable(&self, decl: &Decl, declared: &DeclaredObject) -> Option<Vec<Except>> {
        let schema = &self.scopes.get(decl.scope)?.schema;
        let hidden = Hidden::of(declared, schema);
        let unseen = |path: &FieldPath| Except {
            path: path.clone(),
            value: Err(Unseen),
        };
        let places: Vec<Except> = hidden
            .unstable()
            .map(unseen)
            .take(MAX_UNSTABLE + 1)
            .collect();
        (places.len() <= MAX_UNSTABLE).then_some(places)
    }

    pub(super) fn set_base(&mut self, id: DeclId, base: Base) {
        let Some(decl) = self.slab.get_mut(id) else {
            return;
        };
        let target = decl.target;
        let same = matches!(
            (&decl.base, &base),
            (Base::Declared, Base::Declared) | (Base::Unknown, Base::Unknown)
        );
        if let Base::Kept(old) = std::mem::replace(&mut decl.base, base) {
            self.notes.release(old.at);
        }
        if !same {
            self.unsaved.insert(target);
        }
    }
}
