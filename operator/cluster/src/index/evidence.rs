//! What the deployer knows: baselines of objects that were not in sync when they were first seen. Who claims to have deployed them is
//! noted down as they pass by; what these say is asked elsewhere, and only where something differs.

use std::collections::HashSet;

use drift::deployer::{Claim, claims};
use drift::{Evidence, ObjectChange, ObjectId, Unknown};
use serde_json::Value;

use super::memory::{Base, Revision};
use super::slab::DeclId;
use super::{Decl, Index, Inner, Known, Reread, TargetId, key_of_object};

/// Claims that are noted down of a target at most.
const MAX_CLAIMS: usize = 20;

/// Objects of a target that are not in sync and of which no baseline is known, and who may know one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unproven {
    /// Who claims to have deployed objects of the target, those to ask first first.
    pub claims: Vec<Claim>,
    /// The objects, and whether they exist.
    pub objects: Vec<(ObjectId, bool)>,
}

/// What a deployer deployed an object as.
#[derive(Debug, Clone, PartialEq)]
pub enum Before {
    /// As it is declared now.
    AsNow,
    /// As by another revision.
    Earlier(Revision, Value),
    /// Not at all.
    Absent,
}

/// What is known of an object from its deployer.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// The object.
    pub id: ObjectId,
    /// What it was.
    pub before: Before,
    /// From whom that is known.
    pub evidence: Evidence,
}

impl Index {
    /// What of a target deployers have to be asked about; `None` where there is nothing, or nobody to ask.
    pub fn unproven(&self, target: TargetId) -> Option<Unproven> {
        let inner = self.inner.lock();
        let claims = inner.claims.get(&target)?;
        let mut objects = Vec::new();
        for id in inner.slab.ids(|d| d.target == target && d.is_unproven()) {
            let exists = match inner.slab.get(id).map(|d| &d.verdict) {
                Some(Known::Drifted(report)) => report.change != ObjectChange::Missing,
                Some(Known::Unknown(Unknown::Unverified)) => true,
                _ => continue,
            };
            objects.extend(inner.identity(id).map(|id| (id, exists)));
        }
        (!objects.is_empty()).then(|| Unproven {
            claims: claims.iter().cloned().collect(),
            objects,
        })
    }

    /// Ends the asking about objects: their deployers proved this much, and are not asked again. Gives the objects to read again.
    pub fn prove(
        &self,
        target: TargetId,
        objects: &[(ObjectId, bool)],
        proofs: Vec<Proof>,
    ) -> Vec<Reread> {
        let mut inner = self.inner.lock();
        let mut proven = HashSet::new();
        for proof in proofs {
            let place = inner.find(key_of_object(&proof.id), target);
            // It may have come into sync, or gone from Git, since.
            let open = |id: &DeclId| inner.slab.get(*id).is_some_and(Decl::is_unproven);
            if let Some(id) = place.filter(open)
                && inner.prove_one(id, proof)
            {
                proven.insert(id);
            }
        }
        let mut rereads = Vec::new();
        for (object, _) in objects {
            let Some(id) = inner.find(key_of_object(object), target) else {
                continue;
            };
            if let Some(decl) = inner.slab.get_mut(id) {
                decl.sought = true;
            }
            let told = inner
                .slab
                .get(id)
                .is_some_and(|d| matches!(d.verdict, Known::Drifted(_)));
            if !told {
                // It is judged anyway when the server has answered.
                continue;
            }
            if proven.contains(&id) {
                rereads.extend(inner.judge_again(id));
            } else {
                // Whoever waited looks at it again.
                inner.queue(id);
            }
        }
        drop(inner);
        self.wake();
        rereads
    }

    /// Lets deployers be asked once more about what is still not known.
    pub fn seek_again(&self, target: TargetId) {
        let mut inner = self.inner.lock();
        let open = |d: &Decl| d.target == target && d.sought && matches!(d.base, Base::Unknown);
        for id in inner.slab.ids(open) {
            if let Some(decl) = inner.slab.get_mut(id) {
                decl.sought = false;
            }
            inner.queue(id);
        }
        drop(inner);
        self.wake();
    }
}

impl Decl {
    /// No baseline is known, and nobody was asked for one.
    pub(super) fn is_unproven(&self) -> bool {
        matches!(self.base, Base::Unknown) && !self.sought && self.left.is_none()
    }
}

impl Inner {
    /// Notes down who claims to have deployed a live object of which no baseline is known.
    pub(super) fn note_claims(&mut self, id: DeclId, live: &Value) {
        let Some(target) = self.slab.get(id).map(|d| d.target) else {
            return;
        };
        let mut new = false;
        for claim in claims(live) {
            let known = self.claims.entry(target).or_default();
            if known.len() < MAX_CLAIMS {
                new |= known.insert(claim);
            }
        }
        if !new {
            return;
        }
        // What was told before there was anybody to ask.
        let waits = |d: &Decl| {
            let differs = matches!(d.verdict, Known::Drifted(_));
            d.target == target && differs && d.is_unproven()
        };
        for other in self.slab.ids(waits) {
            self.queue(other);
        }
    }

    fn prove_one(&mut self, id: DeclId, proof: Proof) -> bool {
        let Some(decl) = self.slab.get(id) else {
            return false;
        };
        let Some(target) = self.targets.get(&decl.target) else {
            return false;
        };
        let mut except = Vec::new();
        let (revision, object) = match proof.before {
            Before::Absent => {
                self.set_base(id, Base::Absent);
                return true;
            }
            Before::Earlier(revision, object) => (revision.into(), object),
            Before::AsNow => match target.blobs.read(decl.blob) {
                Ok(declared) => {
                    except = self.unstable(decl, &declared).unwrap_or_default();
                    (std::sync::Arc::clone(&target.revision), declared.object)
                }
                Err(_) => return false,
            },
        };
        self.note_base(id, &object, except.into(), (revision, proof.evidence));
        true
    }
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
