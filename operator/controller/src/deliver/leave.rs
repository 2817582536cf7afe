//! The end of a policy: with `deletionPolicy: Delete` what it delivered is deleted before the policy itself goes, for which it has a
//! finalizer. Of policies the operator may change nothing else, which an admission policy of the chart sees to.
//!
//! Nobody is kept waiting for what cannot be: where the policy's namespace goes, so do the rights of its account, and the rest stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::discovery::Served;
use cluster::index::{ScopeKey, TargetId};
use cluster::write::{self, Place};
use cluster::{Account, Category, apply};
use drift::converge::Terms;
use drift::deliver::prune::{may_go, order};
use drift::orphan::is_left_on_purpose;
use drift::{GroupVersionKind, ObjectId};
use driftline_crds::{DeletionPolicy, Delivery, DriftPolicy, FINALIZER};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Api;
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::inventory::{self, Delivered};
use super::prune::waits;
use super::text;
use crate::converge::{lead, read, words};
use crate::engine::Engine;
use crate::events::{Events, Said};
use crate::records::bounded;
use crate::registry::{End, PolicyState};
use crate::undeclared;

/// How often it is looked for policies that go.
const LOOK: Duration = Duration::from_secs(1);
/// How long it takes until what was refused is tried again.
const AGAIN: Duration = Duration::from_secs(15);

/// What was tried last of each policy that goes, by uid: when, and what was in the way.
#[derive(Debug, Default)]
pub struct Told(Mutex<HashMap<String, (Instant, String)>>);

/// How a policy ends, as its object says.
pub fn end(policy: &DriftPolicy) -> End {
    let delivered = |t: &driftline_crds::Target| {
        let kubernetes = t.kubernetes.as_ref();
        kubernetes.is_some_and(|k| k.delivery == Delivery::Driftline)
    };
    let deletes = policy.spec.deletion_policy == DeletionPolicy::Delete;
    let finalizers = policy.metadata.finalizers.iter().flatten();
    End {
        deletes: deletes && policy.spec.targets.iter().any(delivered),
        waits: finalizers.into_iter().any(|f| f == FINALIZER),
        leaving: policy.metadata.deletion_timestamp.is_some(),
    }
}

/// Sees policies off, while this replica leads.
pub async fn run(engine: Arc<Engine>, events: Events) {
    let mut leading = engine.leading.clone();
    loop {
        if leading.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        tokio::time::sleep(LOOK).await;
        let all = engine.registry.all();
        let here: HashSet<&String> = all.iter().map(|p| &p.uid).collect();
        let told = &engine.delivering.leaves.0;
        told.lock().retain(|uid, _| here.contains(uid));
        for policy in &all {
            let end = policy.view.lock().end;
            match end {
                End {
                    leaving: false,
                    deletes,
                    waits,
                } if deletes != waits => finalize(&engine, policy, deletes).await,
                End {
                    leaving: true,
                    waits: true,
                    deletes,
                } => see_off(&engine, &events, policy, deletes).await,
                _ => {}
            }
        }
    }
}

/// Sets the finalizer, or takes it away.
async fn finalize(engine: &Engine, policy: &PolicyState, set: bool) {
    let (key, uid) = (&policy.key, &policy.uid);
    let api: Api<DriftPolicy> = Api::namespaced(engine.client.clone(), &key.namespace);
    let Ok(Some(object)) = bounded(api.get_opt(&key.name)).await else {
        return;
    };
    if object.metadata.uid.as_deref() != Some(uid) {
        return;
    }
    let mut finalizers = object.metadata.finalizers.unwrap_or_default();
    finalizers.retain(|f| f != FINALIZER);
    if set {
        finalizers.push(FINALIZER.to_owned());
    }
    let patch = json!({"metadata": {
        "uid": uid,
        "resourceVersion": object.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    let patched = lead(engine, bounded(api.patch(&key.name, &params, &patch))).await;
    if let Some(Err(error)) = patched {
        tracing::warn!(policy = %key, %error, "the finalizer of a policy could not be changed; trying again");
    }
}

/// What became of an object that is to go.
enum Gone {
    /// It is gone, or stays on purpose.
    Settled,
    /// Something is in the way.
    Not(String),
}

async fn see_off(engine: &Engine, events: &Events, policy: &PolicyState, deletes: bool) {
    if !deletes {
        return finalize(engine, policy, false).await;
    }
    let told = &engine.delivering.leaves.0;
    let tried = told.lock().get(&policy.uid).map(|(at, _)| *at);
    if tried.is_some_and(|at| at.elapsed() < AGAIN) {
        return;
    }
    let own: Vec<TargetId> = {
        let view = policy.view.lock();
        view.targets.iter().map(|t| t.id).collect()
    };
    if engine.converging.is_busy(&own) {
        // What is being delivered at this moment is not noted down yet.
        return;
    }
    let Some(all) = delivered(engine, policy) else {
        // What was delivered is not known yet.
        return;
    };
    let mut left = Vec::new();
    for (target, id, what) in all {
        // Somebody may have changed their mind.
        let is_still = {
            let view = policy.view.lock();
            view.end.leaving && view.end.deletes && !view.unreadable
        };
        if !is_still {
            return;
        }
        if let Gone::Not(why) = delete(engine, policy, &target, &id, &what).await {
            left.push((id, why));
        }
    }
    let Some((first, why)) = left.first() else {
        tracing::info!(policy = %policy.key, "what a deleted policy delivered is gone, and so is the policy");
        return finalize(engine, policy, false).await;
    };
    if namespace_goes(engine, policy).await {
        tracing::warn!(policy = %policy.key, objects = left.len(), first = %first, why, "the policy's namespace goes, and with it the right to delete what it delivered elsewhere: that stays");
        return finalize(engine, policy, false).await;
    }
    let why = format!(
        "{} of the objects that this policy delivered are not deleted yet, such as {first}: {why}. To let them stay: kubectl patch driftpolicy {} -n {} --type=merge -p '{{\"spec\":{{\"deletionPolicy\":\"Orphan\"}}}}'",
        left.len(),
        policy.key.name,
        policy.key.namespace,
    );
    let before = told
        .lock()
        .insert(policy.uid.clone(), (Instant::now(), why.clone()));
    if before.is_none_or(|(_, said)| said != why) {
        tracing::warn!(policy = %policy.key, reason = why, "a policy that is deleted has to wait");
        let said = Said {
            reason: "DeletionBlocked",
            action: "Delete",
            warning: true,
            note: why,
            related: ObjectReference::default(),
        };
        events.say(engine, policy, said);
    }
}

/// What a policy's targets delivered, in the order in which it goes; `None` while that is not known.
fn delivered(engine: &Engine, policy: &PolicyState) -> Option<Vec<(String, ObjectId, Delivered)>> {
    let mut all = HashMap::new();
    let external = |name: &str| {
        let view = policy.view.lock();
        view.targets.iter().any(|t| t.name == name && !t.delivers)
    };
    for target in inventory::targets(engine, &policy.uid)? {
        if external(&target) {
            // Something else delivers it by now.
            continue;
        }
        for (id, what) in inventory::of(engine, policy, &target)? {
            all.insert(id, (target.clone(), what));
        }
    }
    let mut ids: Vec<ObjectId> = all
        .keys()
        .filter(|i| may_go(&i.group_kind))
        .cloned()
        .collect();
    order(&mut ids);
    let with = |id: ObjectId| all.remove(&id).map(|(target, what)| (target, id, what));
    Some(ids.into_iter().filter_map(with).collect())
}

async fn delete(
    engine: &Engine,
    policy: &PolicyState,
    target: &str,
    id: &ObjectId,
    what: &Delivered,
) -> Gone {
    let (terms, account, own) = {
        let view = policy.view.lock();
        let own: Vec<TargetId> = view.targets.iter().map(|t| t.id).collect();
        (view.terms.clone(), view.account.clone(), own)
    };
    let Some(account) = account else {
        return Gone::Not("the policy's account is not known".to_owned());
    };
    let settled = || {
        inventory::forget(engine, policy, target, id);
        Gone::Settled
    };
    if engine.index.is_declared_by_others(&own, id) {
        return settled();
    }
    match attempt(engine, policy, (&terms, &account), id, what).await {
        Ok(()) => settled(),
        Err(why) => Gone::Not(why),
    }
}

/// Deletes an object where it is still the one that was delivered, and its declaration does not say that it stays.
async fn attempt(
    engine: &Engine,
    policy: &PolicyState,
    (terms, account): (&Terms, &Account),
    id: &ObjectId,
    what: &Delivered,
) -> Result<(), String> {
    let catalog = engine.catalog.catalog();
    let Some(mut kind) = what.kind() else {
        return Ok(());
    };
    if catalog.served(&kind) == Served::No
        && let Some(other) = catalog.versions(&kind.group_kind).pop()
    {
        kind = other;
    }
    let resource = match catalog.served(&kind) {
        Served::Yes(resource) => resource,
        // Its kind is gone, and it with that.
        Served::No => return Ok(()),
        Served::Unavailable => {
            let kind = &kind.group_kind;
            return Err(format!("it is not known whether {kind} is served"));
        }
    };
    let place = Place {
        account,
        kind: &kind,
        resource,
        namespace: id.namespace.as_deref(),
        name: &id.name,
    };
    let live = read(engine, place).await.map_err(|e| e.to_string())?;
    let Some(live) = live else {
        return Ok(());
    };
    let is_another = text(&live, "uid") != what.uid;
    let goes = !text(&live, "deletionTimestamp").is_empty();
    if is_another || goes || is_left_on_purpose(&id.group_kind, &live) {
        return Ok(());
    }
    if let Some((_, why)) = waits(engine, terms, &live) {
        return Err(why);
    }
    let scope = ScopeKey::new(kind.clone(), id.namespace.clone());
    if let Some(other) = undeclared::undecided(engine, &scope, Some(&policy.key)).await {
        return Err(format!(
            "it is not known yet whether policy {other} declares it"
        ));
    }
    let version = text(&live, "resourceVersion");
    let deletion = apply::delete(&engine.client, place, &what.uid, &version);
    match lead(engine, deletion).await {
        Some(Ok(())) => Ok(()),
        None => Err("this replica does not lead any more".to_owned()),
        Some(Err(error)) if error.category() == Category::NotFound => Ok(()),
        Some(Err(error)) if write::is_stale(&error) => Err("it changes meanwhile".to_owned()),
        Some(Err(error)) => Err(words::refusal(&error, place, false)),
    }
}

async fn namespace_goes(engine: &Engine, policy: &PolicyState) -> bool {
    let kind = GroupVersionKind::new("", "v1", "Namespace");
    let catalog = engine.catalog.catalog();
    let Some(resource) = catalog.resource(&kind) else {
        return false;
    };
    let (client, name) = (&engine.client, &policy.key.namespace);
    let read = cluster::read::object(client, &kind, resource, None, name).await;
    let goes = |namespace: &Value| !text(namespace, "deletionTimestamp").is_empty();
    read.is_ok_and(|namespace| namespace.as_ref().is_none_or(goes))
}
