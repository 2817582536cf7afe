//! Whom stamps prove to have written what drifted. Kept only for objects that are not in sync and carry a proof.
//!
//! A stamp names the user and the resourceVersion that was written upon. It is proof of one write: that which led from the version
//! judged before to the one that a watch event shows. In a list, or in a read, there may be more writes behind an object than the stamped one
//! (a scaling leaves the stamp before it), so these prove nothing. A field is named after that user if it has differed since exactly this
//! write, and nothing in `managedFields` says that it was written earlier.

use std::collections::HashMap;
use std::sync::Arc;

use drift::ownership::Owners;
use drift::{Actor, ActorEvidence, FieldPath, ObjectChange, Report, Unknown};
use serde_json::Value;

use super::slab::DeclId;
use super::{Decl, Index, Inner, Known};
use crate::stamp::{EDITED_AFTER, EDITED_BY, covers};

/// What is known of stamps.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// Versions after this one were written under the policy; `None` while stamps are not believed.
    since: Option<u64>,
    of: HashMap<DeclId, Stamped>,
}

/// What stamps have proven of one object.
#[derive(Debug, Default)]
struct Stamped {
    /// The version for which this holds.
    version: u64,
    /// The fields whose last writer is proven, by their digests.
    fields: Vec<(u64, Arc<str>)>,
    /// The last write, until all that it changed has been told.
    open: Option<Written>,
}

/// A proven write, and what differed before it.
#[derive(Debug)]
struct Written {
    user: Arc<str>,
    differed: Vec<u64>,
    ignored: Vec<FieldPath>,
}

/// How a state of an object came to be known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sight<'a> {
    /// A watch told of this write; none between it and what was told before is missing.
    Event(&'a Value),
    /// A list or a read: what happened before it is not known.
    Look(&'a Value),
    /// It is not there; as it was last seen, where that is known.
    Gone(Option<&'a Value>),
}

impl<'a> Sight<'a> {
    pub(super) fn live(self) -> Option<&'a Value> {
        match self {
            Self::Event(live) | Self::Look(live) => Some(live),
            Self::Gone(_) => None,
        }
    }
}

/// What a sight adds to what is known.
#[derive(Debug)]
pub(super) enum Step {
    /// The version that was judged before.
    Same,
    /// The next version, and its proven writer.
    Next(Option<Box<WrittenBy>>),
    /// Some later one, or none.
    Gap,
}

/// Opaque to the rest of the index.
#[derive(Debug)]
pub(super) struct WrittenBy(Written);

impl Index {
    /// Whether stamps are believed: those of versions after `since`, or none.
    pub fn believe_stamps(&self, since: Option<u64>) {
        self.inner.lock().stamps.since = since;
    }
}

impl Stamps {
    /// Of an object that is judged no more, or of which a write was not seen.
    pub(super) fn forget(&mut self, id: DeclId) {
        self.of.remove(&id);
    }

    /// What the object is judged by has changed: what differs from now on need not have come by its last write.
    pub(super) fn close(&mut self, id: DeclId) {
        if let Some(stamped) = self.of.get_mut(&id) {
            stamped.open = None;
            if stamped.fields.is_empty() {
                self.of.remove(&id);
            }
        }
    }
}

impl Inner {
    /// What a sight adds to what is known of an object; to be asked before it is judged by it.
    pub(super) fn step(&self, id: DeclId, sight: Sight<'_>, version: u64) -> Step {
        match sight {
            Sight::Event(live) => Step::Next(self.written(id, live, version).map(Box::new)),
            Sight::Look(_)
                if self
                    .stamps
                    .of
                    .get(&id)
                    .is_some_and(|s| s.version == version) =>
            {
                Step::Same
            }
            Sight::Look(_) | Sight::Gone(_) => Step::Gap,
        }
    }

    /// The write that an event shows, if its stamp proves it.
    fn written(&self, id: DeclId, live: &Value, version: u64) -> Option<WrittenBy> {
        let since = self.stamps.since?;
        let decl = self.slab.get(id)?;
        if version <= since || !covers(&self.scopes.get(decl.scope)?.key.kind.group_kind) {
            return None;
        }
        let notes = live.get("metadata")?.get("annotations")?;
        let note = |key: &str| notes.get(key)?.as_str().filter(|text| !text.is_empty());
        let (user, after) = (note(EDITED_BY)?, note(EDITED_AFTER)?.parse().ok()?);
        let (differed, ignored) = before(decl, after)?;
        Some(WrittenBy(Written {
            user: user.into(),
            differed,
            ignored,
        }))
    }

    /// Names in a verdict who is proven to have written, and keeps that for the next sight.
    pub(super) fn attribute(
        &mut self,
        id: DeclId,
        (sight, version): (Sight<'_>, u64),
        step: Step,
        known: &mut Known,
    ) {
        if let Sight::Gone(last) = sight {
            self.stamps.forget(id);
            return self.say_who_wrote_last(id, last, known);
        }
        let Some(live) = sight.live() else { return };
        let mut stamped = match step {
            Step::Gap => {
                self.stamps.forget(id);
                return;
            }
            Step::Same => self.stamps.of.remove(&id).unwrap_or_default(),
            Step::Next(written) => {
                let before = self.stamps.of.remove(&id).unwrap_or_default();
                let open = written.map(|w| w.0);
                if open.is_none() && before.fields.is_empty() {
                    return;
                }
                let fields = match known.differing() {
                    // What did not differ in between is not what it was.
                    Some(report) => still(before.fields, report),
                    None => Vec::new(),
                };
                Stamped {
                    version,
                    fields,
                    open,
                }
            }
        };
        match known {
            Known::Drifted(report) | Known::Pending(report)
                if report.change == ObjectChange::Changed =>
            {
                stamped.name(Arc::make_mut(report), live);
            }
            Known::Unknown(Unknown::Unverified) => {}
            _ => return,
        }
        if stamped.open.is_some() || !stamped.fields.is_empty() {
            self.stamps.of.insert(id, stamped);
        }
    }

    /// Of an object that is missing, whose last state was seen or has been told of before.
    fn say_who_wrote_last(&self, id: DeclId, last: Option<&Value>, known: &mut Known) {
        let before = self.slab.get(id).and_then(|d| match &d.verdict {
            Known::Drifted(report) | Known::Pending(report) => Some(report),
            _ => None,
        });
        let was_missing = before.filter(|r| r.change == ObjectChange::Missing);
        if let Known::Drifted(report) | Known::Pending(report) = known
            && report.change == ObjectChange::Missing
        {
            Arc::make_mut(report).by = match (was_missing, last) {
                (Some(before), _) => before.by.clone(),
                (None, Some(last)) => Actor::of_removal(last),
                (None, None) => Actor::default(),
            };
        }
    }
}

impl Known {
    fn differing(&self) -> Option<&Report> {
        match self {
            Self::Drifted(report) | Self::Pending(report) => Some(report),
            Self::InSync | Self::Unknown(_) => None,
        }
    }
}

impl Stamped {
    fn name(&mut self, report: &mut Report, live: &Value) {
        let owners = Owners::of(live);
        for field in &mut report.fields {
            let mut proven = self
                .fields
                .iter()
                .find(|(digest, _)| *digest == field.digest);
            if let (None, Some(written)) = (proven, &self.open)
                && !written.differed.contains(&field.digest)
                && !written.ignored.contains(&field.place)
                && field
                    .by
                    .manager
                    .as_ref()
                    .is_none_or(|m| owners.may_be_newest(m))
            {
                self.fields.push((field.digest, Arc::clone(&written.user)));
                proven = self.fields.last();
            }
            if let Some((_, user)) = proven {
                field.by.raise(ActorEvidence::Stamp, user);
            }
        }
        if report.complete {
            self.open = None;
        }
    }
}

/// Those that a report still has, as they were.
fn still(mut fields: Vec<(u64, Arc<str>)>, report: &Report) -> Vec<(u64, Arc<str>)> {
    fields.retain(|(digest, _)| report.fields.iter().any(|f| f.digest == *digest));
    fields
}

/// What differed of an object, and what of that rules ignored, at the version that a stamp was written upon; `None` where that is not
/// known.
fn before(decl: &Decl, after: u64) -> Option<(Vec<u64>, Vec<FieldPath>)> {
    let known = decl.verdict.differing();
    if after == 0 {
        let was_absent = known.is_some_and(|r| r.change == ObjectChange::Missing);
        return was_absent.then(Default::default);
    }
    if decl.version != after || decl.asked {
        return None;
    }
    let differed = match (&decl.verdict, known) {
        _ if decl.agrees() => Vec::new(),
        (_, Some(report)) if report.complete && report.change == ObjectChange::Changed => {
            report.fields.iter().map(|f| f.digest).collect()
        }
        _ => return None,
    };
    match &decl.ignored {
        None => Some((differed, Vec::new())),
        Some(ignored) if ignored.more || ignored.whole.is_some() => None,
        Some(ignored) => Some((differed, ignored.places.clone())),
    }
}

#[cfg(test)]
#[path = "stamps_tests.rs"]
mod tests;
