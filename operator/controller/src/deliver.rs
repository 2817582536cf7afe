//! Delivering commits: whose turn it is, and the write itself.

pub mod inventory;
pub mod leave;
mod prune;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::apply;
use cluster::index::{Material, TargetId};
use cluster::write::{self, Place};
use drift::compare::FieldDrift;
use drift::converge::{History, Plan, Terms};
use drift::deliver::{self, Outstanding};
use drift::ownership::Owners;
use drift::{FieldPath, Graded, ObjectId};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::converge::{Key, lead};
use crate::engine::Engine;
use crate::registry::PolicyState;
pub use inventory::note;
pub use prune::run;

/// How often it is looked whether it is an object's turn.
const LOOK: Duration = Duration::from_millis(250);
/// How long what was found out about a target's turns is good for.
const FRESH: Duration = Duration::from_millis(200);
/// How long an object waits at most for others that are neither delivered nor known to have failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// What waits for its turn.
#[derive(Debug, Default)]
pub struct Delivering {
    inner: Mutex<Inner>,
    news: inventory::News,
    prunes: prune::Known,
    leaves: leave::Told,
}

#[derive(Debug, Default)]
struct Inner {
    /// What there was nothing to deliver of, though it is not as declared.
    resting: HashSet<Key>,
    /// Since when objects wait.
    waiting: HashMap<Key, Instant>,
    turns: HashMap<TargetId, (Instant, Arc<Outstanding>)>,
}

impl Delivering {
    /// An object is looked at.
    pub fn begins(&self, key: &Key) {
        self.inner.lock().resting.remove(key);
    }

    /// That came to an end; `rests` where there was nothing to do.
    pub fn ended(&self, key: &Key, rests: bool) {
        let mut inner = self.inner.lock();
        inner.turns.remove(&key.0);
        if rests {
            inner.resting.insert(key.clone());
        }
    }

    /// What of a target is not delivered yet.
    fn outstanding(&self, engine: &Engine, target: TargetId) -> Arc<Outstanding> {
        let mut inner = self.inner.lock();
        if let Some((at, known)) = inner.turns.get(&target)
            && at.elapsed() < FRESH
        {
            return Arc::clone(known);
        }
        let undelivered = engine.index.undelivered(target).into_iter();
        let undelivered = undelivered.filter(|id| !inner.resting.contains(&(target, id.clone())));
        let failed = |id: &ObjectId| {
            let said = engine.converging.said(target, id);
            said.is_some_and(|s| !s.outcome.is_done())
        };
        let known = Outstanding::of(undelivered.map(|id| {
            let failed = failed(&id);
            (id, failed)
        }));
        let known = Arc::new(known);
        let entry = (Instant::now(), Arc::clone(&known));
        inner.turns.insert(target, entry);
        known
    }
}

/// True for a target whose commits Driftline rolls out.
pub fn delivers(policy: &PolicyState, target: TargetId) -> bool {
    policy.view.lock().delivers(target)
}

/// True while others have to be delivered before an object.
pub fn must_wait(engine: &Engine, key: &Key) -> bool {
    let outstanding = engine.delivering.outstanding(engine, key.0);
    let mut inner = engine.delivering.inner.lock();
    let Some(first) = outstanding.holds(&key.1) else {
        inner.waiting.remove(key);
        return false;
    };
    let since = *inner
        .waiting
        .entry(key.clone())
        .or_insert_with(Instant::now);
    if since.elapsed() > PATIENCE && outstanding.needed(&key.1).is_none() {
        tracing::warn!(object = %key.1, first = %first, "what is delivered first does not come; not waiting for it any longer");
        return false;
    }
    tracing::debug!(object = %key.1, first = %first, "others are delivered first");
    true
}

/// The same for an object that was found to wait, before it is read once more.
pub fn still_waits(engine: &Engine, key: &Key) -> bool {
    let waits = engine.delivering.inner.lock().waiting.contains_key(key);
    waits && must_wait(engine, key)
}

/// When it is looked again whether it is an object's turn.
pub fn next_look(now: Timestamp) -> Timestamp {
    now.checked_add(LOOK).unwrap_or(now)
}

/// What to do about an object of a target whose commits are delivered.
pub fn plan(
    terms: &Terms,
    graded: &Graded,
    material: &Material,
    live: Option<&Value>,
    history: History,
    now: Timestamp,
) -> Plan {
    let ours = |path: &FieldPath| is_ours(material, live, path);
    deliver::plan(terms, graded, ours, history, now)
}

fn is_ours(material: &Material, live: Option<&Value>, path: &FieldPath) -> bool {
    live.is_some_and(|live| Owners::of(live).is_owned_by(path, &material.schema, apply::is_ours))
}

/// Applies an object. `None` where this replica does not lead.
///
/// # Errors
/// Where it cannot be applied without writing what is not to be written.
pub async fn write(
    engine: &Engine,
    place: Place<'_>,
    material: &Material,
    fields: &[FieldDrift],
    live: Option<&Value>,
) -> Result<Option<cluster::Result<Value>>, String> {
    let declared = &material.declared.object;
    let Some(live) = live else {
        let applied = apply::apply(&engine.client, place, declared);
        return Ok(lead(engine, applied).await);
    };
    let (ignored, graded) = (&material.ignored, &material.graded);
    let stays = graded.as_ref().map(|graded| {
        let ours = |path: &FieldPath| is_ours(material, Some(live), path);
        deliver::stays(graded, ignored.as_ref(), live, fields, ours)
    });
    let stays = stays.unwrap_or_default();
    let made = deliver::object(declared, live, &material.schema, fields, &stays);
    let (mut object, kept) = made.map_err(|e| e.to_string())?;
    let mut version = text(live, "resourceVersion");
    // Of so much that is ignored not all is known by name: what others have set stays theirs.
    if ignored.as_ref().is_none_or(|i| !i.more)
        && let Some(patch) = apply::taking_over(live)
    {
        match lead(engine, write::patch(&engine.client, place, &patch)).await {
            Some(Ok(now)) => version = text(&now, "resourceVersion"),
            other => return Ok(other),
        }
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("uid".to_owned(), json!(text(live, "uid")));
        if kept {
            // What was read of it has to be what is there still.
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
    }
    let applied = apply::apply(&engine.client, place, &object);
    Ok(lead(engine, applied).await)
}

fn text(live: &Value, key: &str) -> String {
    let value = live.get("metadata").and_then(|m| m.get(key));
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}
