//! The memory of a target across restarts: what goes into a snapshot, and what the index does with one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use drift::origin::{Except, Unseen};
use drift::{Evidence, FieldPath, ObjectId, Residue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::left::LeftBehind;
use super::memory::{Base, Kept, Revision};
use super::slab::DeclId;
use super::{Decl, Index, Inner, Reread, TargetId, key_of_object};

/// What is remembered of a target, without a value of any object: hashes, revisions and paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The revision by which everything is in sync that is not named in `apart`.
    pub revision: String,
    /// The digest of what else went into rendering it.
    pub inputs: String,
    /// What objects had beyond their declarations when that was explained; objects that had nothing are left out.
    pub residues: Vec<Shared>,
    /// Objects that are not in sync by that revision, and their baselines.
    pub apart: Vec<Apart>,
    /// Objects of which the server stores something else than their baselines declare, by [`object_key`].
    #[serde(default)]
    pub rewritten: Vec<u64>,
    /// Objects that were deleted before they had finished, by [`object_key`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut_short: Vec<u64>,
    /// Objects of which more may have been explained than `residues` says, by [`object_key`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partial: Vec<u64>,
    /// Of all objects: there was no room for what was explained.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all_partial: bool,
    /// What it does not declare any more and is still there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftBehind>,
}

/// A residue and the objects that have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The hashes of the residue.
    pub hashes: Vec<u64>,
    /// The objects, by [`object_key`].
    pub objects: Vec<u64>,
}

/// An object with a baseline of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apart {
    /// The object, by [`object_key`].
    pub object: u64,
    /// Its baseline; `None` where none is known, or where it was not declared.
    pub baseline: Option<Earlier>,
    /// It was not declared when the rest was last in sync: Git is ahead.
    #[serde(default, skip_serializing_if = "is_false")]
    pub absent: bool,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it by reference"
)]
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

/// An earlier revision as a baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The revision.
    pub revision: String,
    /// The digest of what else went into rendering it.
    pub inputs: String,
    /// What it is known from.
    pub evidence: Evidence,
    /// Where it is not the baseline.
    pub except: Vec<String>,
}

/// What is recalled of a target: a snapshot, and what its baselines declared, by revision, inputs and object.
#[derive(Debug, Clone, Default)]
pub struct Recollection {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The declarations of earlier revisions, as far as they could be rendered again.
    pub declared: HashMap<(String, String, u64), Value>,
}

/// A recollection in the form in which objects look themselves up.
#[derive(Debug)]
pub(super) struct Recalled {
    revision: Revision,
    known: HashMap<u64, Arc<Residue>>,
    apart: HashMap<u64, Apart>,
    rewritten: HashSet<u64>,
    cut_short: HashSet<u64>,
    partial: HashSet<u64>,
    all_partial: bool,
    pub(super) declared: HashMap<(String, String, u64), Value>,
    pub(super) left: Vec<LeftBehind>,
}

/// The number of an object in a snapshot.
pub fn object_key(id: &ObjectId) -> u64 {
    short(key_of_object(id))
}

pub(super) fn short(key: u128) -> u64 {
    u64::try_from(key >> 64).unwrap_or(0)
}

impl Index {
    /// Recalls what was known of a target. Has to come before its first batch.
    pub fn recall(&self, target: TargetId, recollection: Recollection) {
        let Recollection { snapshot, declared } = recollection;
        let mut inner = self.inner.lock();
        let mut known = HashMap::new();
        for shared in snapshot.residues {
            let residue = inner.residues.intern(Residue::new(shared.hashes));
            known.extend(
                shared
                    .objects
                    .into_iter()
                    .map(|o| (o, Arc::clone(&residue))),
            );
        }
        let recalled = Recalled {
            revision: Revision {
                name: snapshot.revision.into(),
                inputs: snapshot.inputs.into(),
            },
            known,
            rewritten: snapshot.rewritten.into_iter().collect(),
            cut_short: snapshot.cut_short.into_iter().collect(),
            partial: snapshot.partial.into_iter().collect(),
            all_partial: snapshot.all_partial,
            apart: snapshot.apart.into_iter().map(|a| (a.object, a)).collect(),
            declared,
            left: snapshot.left,
        };
        inner.recalled.insert(target, recalled);
    }

    /// Takes over what another replica remembers, where this one knows no baseline: it may have seen an object for the first time only
    /// after it was edited. Gives the objects to read again.
    pub fn adopt(&self, target: TargetId, snapshot: Snapshot) -> Vec<Reread> {
        let recollection = Recollection {
            snapshot,
            ..Recollection::default()
        };
        self.recall(target, recollection);
        let mut inner = self.inner.lock();
        let revision = inner.targets.get(&target).map(|t| Arc::clone(&t.revision));
        let mut rereads = Vec::new();
        let open = |d: &Decl| d.target == target && matches!(d.base, Base::Unknown);
        for member in inner.slab.ids(open) {
            let (Some(id), Some(revision)) = (inner.identity(member), &revision) else {
                continue;
            };
            let key = key_of_object(&id);
            inner.remind(member, key, revision);
            let learnt = |d: &Decl| !matches!(d.base, Base::Unknown);
            if inner.slab.get(member).is_some_and(learnt) {
                rereads.extend(inner.judge_again(member));
            }
        }
        inner.recalled.remove(&target);
        rereads
    }

    /// What is to be remembered of a target; `None` before its first batch, or if nothing has changed since the last call.
    pub fn snapshot(&self, target: TargetId) -> Option<Snapshot> {
        let mut inner = self.inner.lock();
        if !inner.unsaved.remove(&target) {
            return None;
        }
        let revision = Arc::clone(&inner.targets.get(&target)?.revision);
        let mut snapshot = Snapshot {
            revision: revision.name.to_string(),
            inputs: revision.inputs.to_string(),
            ..Snapshot::default()
        };
        let mut shared: HashMap<Arc<Residue>, Vec<u64>> = HashMap::new();
        snapshot.left = inner.left_behind(target);
        let declared = |d: &super::Decl| d.target == target && d.left.is_none();
        for (id, decl) in inner.slab.iter().filter(|(_, d)| declared(d)) {
            let Some(identity) = inner.identity(id) else {
                continue;
            };
            let object = object_key(&identity);
            let known = decl.known.as_ref().filter(|_| !decl.unasked);
            let known = known.map(|known| {
                if identity.group_kind.is_secret() {
                    Arc::new(known.without_secret_data())
                } else {
                    Arc::clone(known)
                }
            });
            if let Some(known) = known.filter(|k| !k.is_empty()) {
                shared.entry(known).or_default().push(object);
            }
            if decl.partial || decl.unasked {
                snapshot.partial.push(object);
            }
            if !decl.is_literal() && !matches!(decl.base, Base::Unknown) {
                snapshot.rewritten.push(object);
            }
            if decl.cut_short {
                snapshot.cut_short.push(object);
            }
            let baseline = match &decl.base {
                Base::Declared => continue,
                Base::Unknown | Base::Absent => None,
                Base::Kept(kept) => Some(Earlier::of(kept)),
            };
            let absent = matches!(decl.base, Base::Absent);
            snapshot.apart.push(Apart {
                object,
                baseline,
                absent,
            });
        }
        snapshot.residues = shared
            .into_iter()
            .map(|(residue, mut objects)| {
                objects.sort_unstable();
                Shared {
                    hashes: residue.hashes().to_vec(),
                    objects,
                }
            })
            .collect();
        snapshot.residues.sort_by(|a, b| a.hashes.cmp(&b.hashes));
        snapshot.apart.sort_by_key(|a| a.object);
        snapshot.rewritten.sort_unstable();
        snapshot.cut_short.sort_unstable();
        snapshot.partial.sort_unstable();
        Some(snapshot)
    }

    /// Says that a snapshot could not be saved.
    pub fn not_saved(&self, target: TargetId) {
        self.inner.lock().unsaved.insert(target);
    }
}

impl Inner {
    /// What is recalled of an object that is declared for the first time.
    pub(super) fn remind(&mut self, id: DeclId, key: u128, revision: &Revision) {
        let Some(decl) = self.slab.get(id) else {
            return;
        };
        let Some(recalled) = self.recalled.get(&decl.target) else {
            return;
        };
        let object = short(key);
        let known = recalled.known.get(&object).cloned();
        let same = recalled.revision == *revision;
        let base = match recalled.apart.get(&object) {
            None if same => Base::Declared,
            None => Base::Unknown,
            Some(Apart { absent: true, .. }) => Base::Absent,
            Some(Apart { baseline: None, .. }) => Base::Unknown,
            Some(Apart {
                baseline: Some(earlier),
                ..
            }) => {
                let place = (earlier.revision.clone(), earlier.inputs.clone(), object);
                let kept = recalled.declared.get(&place).and_then(|declared| {
                    let at = self.notes.push(declared).ok()?;
                    Some(kept(at, earlier))
                });
                kept.map_or(Base::Unknown, |k| Base::Kept(Box::new(k)))
            }
        };
        let in_sync_then = base.is_own_sighting();
        // What a Secret held beyond its declaration is not kept.
        let scope = self.scopes.get(decl.scope);
        let secret = scope.is_some_and(|s| s.key.kind.group_kind.is_secret());
        let forgotten = recalled.all_partial || recalled.partial.contains(&object);
        let partial = in_sync_then && (secret || forgotten);
        let literal = !matches!(base, Base::Unknown) && !recalled.rewritten.contains(&object);
        let cut_short = recalled.cut_short.contains(&object);
        self.set_base(id, base);
        let nothing = self.residues.intern(Residue::default());
        if let Some(decl) = self.slab.get_mut(id) {
            decl.rewritten = literal.then(|| Arc::clone(&nothing));
            decl.cut_short = cut_short;
            decl.known = known.or_else(|| (in_sync_then && !forgotten).then_some(nothing));
            decl.partial = partial;
        }
    }
}

impl Earlier {
    pub(super) fn of(kept: &Kept) -> Self {
        Self {
            revision: kept.revision.name.to_string(),
            inputs: kept.revision.inputs.to_string(),
            evidence: kept.evidence,
            except: kept.except.iter().map(|e| e.path.to_string()).collect(),
        }
    }
}

pub(super) fn kept(at: crate::store::BlobRef, earlier: &Earlier) -> Kept {
    let except = earlier
        .except
        .iter()
        .filter_map(|path| path.parse::<FieldPath>().ok());
    Kept {
        at,
        except: except
            .map(|path| Except {
                path,
                value: Err(Unseen),
            })
            .collect(),
        revision: Arc::new(Revision {
            name: earlier.revision.as_str().into(),
            inputs: earlier.inputs.as_str().into(),
        }),
        evidence: earlier.evidence,
    }
}
