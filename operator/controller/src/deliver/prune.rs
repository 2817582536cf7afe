//! Deleting what was delivered once and Git does not declare any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::apply;
use cluster::write::{self, Place};
use drift::converge::{Rounds, Rung, Terms};
use drift::deliver::prune::{Loss, loss, may_go, order};
use drift::{Graded, ObjectId};
use driftline_crds::{Converged, Enforcement, Outcome};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::inventory::{self, Inventory};
use super::text;
use crate::converge::{held_until, lead, may_see, read, tell, words};
use crate::engine::Engine;
use crate::events::Events;
use crate::records::whole_seconds;
use crate::registry::{PolicyState, TargetView};
use crate::undeclared;

/// How often it is looked for what may go.
const LOOK: Duration = Duration::from_secs(2);
/// How long it takes until what was refused is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// When objects were last tried in vain.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<crate::converge::Key, Instant>>);

/// Prunes, while this replica leads.
pub async fn run(engine: Arc<Engine>, events: Events) {
    let mut leading = engine.leading.clone();
    loop {
        if leading.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        tokio::time::sleep(LOOK).await;
        for policy in engine.registry.all() {
            let targets: Vec<TargetView> = {
                let view = policy.view.lock();
                let all = view.targets.iter();
                all.filter(|t| t.delivers && t.prunes).cloned().collect()
            };
            for target in &targets {
                one(&engine, &events, &policy, target).await;
            }
        }
    }
}

async fn one(engine: &Engine, events: &Events, policy: &PolicyState, target: &TargetView) {
    let orphans = engine.index.orphans(target.id);
    if orphans.is_empty() || !is_current(engine, policy, target) {
        return;
    }
    let Some(inventory) = inventory::of(engine, policy, &target.name) else {
        return;
    };
    let may = |id: &ObjectId| inventory.contains_key(id) && may_go(&id.group_kind);
    let mut going: Vec<ObjectId> = orphans.into_iter().filter(may).collect();
    order(&mut going);
    // What goes with them a moment later counts, too: a commit must not take away piece by piece what it may not at once.
    let dropped = engine.index.dropped(target.id);
    let mut dropped: Vec<ObjectId> = dropped.into_iter().filter(may).collect();
    order(&mut dropped);
    let tally = engine.index.tally(target.id);
    let declared = usize::try_from(tally.declared()).unwrap_or(usize::MAX);
    let digest = digest(&dropped, &inventory);
    let confirmed = policy.view.lock().confirmed.as_deref() == Some(digest.as_str());
    let blocked = match loss(dropped.len(), inventory.len(), declared) {
        Loss::Everything => Some("nothing is declared any more, so the source may have vanished; delete it by hand if it is to go".to_owned()),
        Loss::TooMuch if !confirmed => Some(format!(
            "{} of {} delivered objects would go at once; to let just these go: kubectl annotate driftpolicy {} -n {} --overwrite {}={digest}",
            dropped.len(),
            inventory.len(),
            policy.key.name,
            policy.key.namespace,
            driftline_crds::CONFIRM_ANNOTATION,
        )),
        Loss::Fine | Loss::TooMuch => None,
    };
    for id in going {
        match &blocked {
            Some(why) => say(engine, events, policy, (target, &id), Outcome::Blocked, why),
            None => delete(engine, events, policy, target, &id, &inventory).await,
        }
    }
}

/// True if what the target declares is what its source says now.
fn is_current(engine: &Engine, policy: &PolicyState, target: &TargetView) -> bool {
    let view = policy.view.lock();
    let heard = view.source_error.is_none() && !view.source_stale;
    let source = view.source.as_ref().map(|s| s.revision.clone());
    let current = source.is_some() && source == target.revision;
    view.may_write()
        && heard
        && current
        && target.ready == Some(true)
        && engine.index.is_settled(target.id)
}

/// Names just these objects, for somebody who confirms that they go.
fn digest(going: &[ObjectId], inventory: &Inventory) -> String {
    let mut hash = Sha256::new();
    for delivered in going.iter().filter_map(|id| inventory.get(id)) {
        hash.update(delivered.uid.as_bytes());
        hash.update([0]);
    }
    words::confirmation(hash)
}

async fn delete(
    engine: &Engine,
    events: &Events,
    policy: &PolicyState,
    target: &TargetView,
    id: &ObjectId,
    inventory: &Inventory,
) {
    let key = (target.id, id.clone());
    let tried = engine.delivering.prunes.0.lock().get(&key).copied();
    if tried.is_some_and(|at| at.elapsed() < AGAIN) {
        return;
    }
    match attempt(engine, policy, target, id, inventory).await {
        Ok(true) => {
            inventory::forget(engine, policy, &target.name, id);
            engine.delivering.prunes.0.lock().remove(&key);
            say(engine, events, policy, (target, id), Outcome::Pruned, "");
        }
        Ok(false) => {}
        Err((outcome, why)) => {
            engine
                .delivering
                .prunes
                .0
                .lock()
                .insert(key, Instant::now());
            say(engine, events, policy, (target, id), outcome, &why);
        }
    }
}

type Refusal = (Outcome, String);

/// True where it was deleted; false where there is nothing to do, or not now.
async fn attempt(
    engine: &Engine,
    policy: &PolicyState,
    target: &TargetView,
    id: &ObjectId,
    inventory: &Inventory,
) -> Result<bool, Refusal> {
    let (terms, account) = {
        let view = policy.view.lock();
        (view.terms.clone(), view.account.clone())
    };
    let Some(account) = account.filter(|_| engine.exceptions.is_listed()) else {
        return Ok(false);
    };
    let catalog = engine.catalog.catalog();
    let blocked = |error: String| (Outcome::Blocked, error);
    let Some(delivered) = inventory.get(id) else {
        return Ok(false);
    };
    let Some(kind) = delivered.kind() else {
        return Ok(false);
    };
    let Some(resource) = catalog.resource(&kind) else {
        return Ok(false);
    };
    let place = Place {
        account: &account,
        kind: &kind,
        resource,
        namespace: id.namespace.as_deref(),
        name: &id.name,
    };
    let live = read(engine, place)
        .await
        .map_err(|e| blocked(e.to_string()))?;
    let Some(live) = live else {
        inventory::forget(engine, policy, &target.name, id);
        return Ok(false);
    };
    if text(&live, "uid") != delivered.uid {
        // Somebody else has created it anew.
        inventory::forget(engine, policy, &target.name, id);
        return Ok(false);
    }
    let Some(orphan) = engine.index.orphan(target.id, id, &live) else {
        return Ok(false);
    };
    if !text(&live, "deletionTimestamp").is_empty() || !may_be_written(&terms, &orphan.graded) {
        return Ok(false);
    }
    if let Some(why) = waits(engine, &terms, &live) {
        return Err(why);
    }
    // Another policy may have taken it over.
    if undeclared::undecided(engine, &orphan.scope, Some(&policy.key))
        .await
        .is_some()
    {
        return Ok(false);
    }
    match may_see(engine, place).await {
        Ok(true) => {}
        Ok(false) => return Err(blocked(words::unseen(place))),
        Err(error) => return Err(blocked(error.to_string())),
    }
    let version = text(&live, "resourceVersion");
    let deletion = apply::delete(&engine.client, place, &delivered.uid, &version);
    match lead(engine, deletion).await {
        Some(Ok(())) => Ok(true),
        // It has changed meanwhile, and is looked at again.
        Some(Err(error)) if write::is_stale(&error) => Ok(false),
        None => Ok(false),
        Some(Err(error)) => Err(blocked(words::refusal(&error, place, false))),
    }
}

fn may_be_written(terms: &Terms, graded: &Graded) -> bool {
    graded.exception.is_none() && graded.rung.unwrap_or(terms.rung) == Rung::Revert
}

/// Why a deletion has to wait.
pub(super) fn waits(engine: &Engine, terms: &Terms, live: &Value) -> Option<Refusal> {
    let now = Timestamp::now();
    if let Some(until) = terms.hold(now).or_else(|| held_until(engine, live, now)) {
        let why = format!(
            "it is deleted after the hold, which ends {}",
            whole_seconds(until)
        );
        return Some((Outcome::Held, why));
    }
    let until = terms.windows.closed_until(now)?;
    let why = format!(
        "no window of spec.revert.windows is open; the next opens {}",
        whole_seconds(until)
    );
    Some((Outcome::Waiting, why))
}

fn say(
    engine: &Engine,
    events: &Events,
    policy: &PolicyState,
    (target, id): (&TargetView, &ObjectId),
    outcome: Outcome,
    reason: &str,
) {
    let said = Converged {
        rung: Enforcement::Revert,
        outcome,
        reason: drift::redact::cut(&drift::redact::printable(reason), 1024).to_owned(),
        at: Time(whole_seconds(Timestamp::now())),
        attempts: 0,
    };
    let before = engine.converging.said(target.id, id);
    if before.is_some_and(|b| b.outcome == said.outcome && b.reason == said.reason) {
        return;
    }
    let key = (target.id, id.clone());
    let news = engine
        .converging
        .note(&key, Rounds::default(), said.clone());
    engine.metrics.deliveries(outcome.as_str()).inc();
    let about = words::About {
        policy,
        id,
        delivers: true,
    };
    tell(engine, events, about, &said, None, news);
    engine.index.touch(target.id, id);
}
