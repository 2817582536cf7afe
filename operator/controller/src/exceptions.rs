//! DriftExceptions: watched, checked, in force until they end, and told how they stand.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::index::TargetId;
use drift::exceptions::{Exception, Exceptions, MAX_EXCEPTIONS};
use drift::rules::TargetRules;
use driftline_crds::{DriftException, DriftExceptionStatus, ExceptionState};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::PatchParams;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::events::{Events, Said};
use crate::policy::{PolicyKey, match_text};
use crate::records::{Records, WriteError, bounded};
use crate::registry::PolicyState;
use crate::targets::reread;

/// How long before its end an exception is called expiring.
const EXPIRING: SignedDuration = SignedDuration::from_hours(24);
/// How often it is looked how exceptions stand.
const LOOK: Duration = Duration::from_secs(5);

/// Namespace and name.
type Key = (String, String);

/// All exceptions there are.
#[derive(Default)]
pub struct Known {
    all: Mutex<HashMap<Key, Arc<DriftException>>>,
    /// All there are have been listed: before that nothing is put back.
    listed: AtomicBool,
    changed: Notify,
}

/// What an exception comes to at a time.
enum Standing {
    Expired,
    Invalid(String),
    InForce(Exception),
}

impl Known {
    /// True once all exceptions there are have been listed.
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    /// The exceptions of a policy that are in force, and when the first of them ends.
    pub fn in_force(
        &self,
        policy: &PolicyKey,
        targets: &[&str],
        longest: SignedDuration,
        now: Timestamp,
    ) -> (Exceptions, Option<Timestamp>) {
        let all = self.of(policy);
        let mut ends = None;
        let mut exceptions = Vec::new();
        for exception in all {
            if let Standing::InForce(parsed) = standing(&exception, targets, longest, now) {
                let end = exception.spec.expires_at.0;
                ends = Some(ends.map_or(end, |e: Timestamp| e.min(end)));
                exceptions.push(parsed);
            }
        }
        if exceptions.len() > MAX_EXCEPTIONS {
            tracing::warn!(%policy, "more than {MAX_EXCEPTIONS} exceptions are in force at once; the last by name are left out");
        }
        (Exceptions::new(exceptions), ends)
    }

    /// Which policy each is about, its state as it was told, and when it ends.
    pub fn standings(&self) -> Vec<(PolicyKey, &'static str, Timestamp)> {
        let all = self.all.lock();
        let told = all.values().filter_map(|exception| {
            let word = match exception.status.as_ref()?.state {
                ExceptionState::Active => "active",
                ExceptionState::Expiring => "expiring",
                ExceptionState::Expired => "expired",
                ExceptionState::Invalid => "invalid",
            };
            Some((policy_of(exception), word, exception.spec.expires_at.0))
        });
        told.collect()
    }

    fn of(&self, policy: &PolicyKey) -> Vec<Arc<DriftException>> {
        let all = self.all.lock();
        let own = all.values().filter(|e| {
            e.spec.policy == policy.name && e.namespace().as_deref() == Some(&policy.namespace)
        });
        own.cloned().collect()
    }
}

fn standing(
    exception: &DriftException,
    targets: &[&str],
    longest: SignedDuration,
    now: Timestamp,
) -> Standing {
    let spec = &exception.spec;
    let end = spec.expires_at.0;
    if end <= now {
        return Standing::Expired;
    }
    let created = exception.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let latest = created.and_then(|c| c.checked_add(longest).ok());
    if latest.is_none_or(|latest| end > latest) {
        let hours = longest.as_hours();
        return Standing::Invalid(format!(
            "spec.expiresAt: at most {hours} h after its creation; create another one when it has ended"
        ));
    }
    if spec.reason.trim().is_empty() {
        return Standing::Invalid("spec.reason: say why this is allowed".to_owned());
    }
    if !(spec.matches.addresses.is_empty() && spec.matches.types.is_empty()) {
        return Standing::Invalid(
            "spec.match: addresses and types are not available yet; remove them".to_owned(),
        );
    }
    let text = match_text(&spec.matches);
    let allowed = spec.allowed_values.as_deref();
    match Exception::parse(&exception.name_any(), &text, allowed, targets) {
        Ok(parsed) => Standing::InForce(parsed),
        Err(error) => Standing::Invalid(error.to_string()),
    }
}

/// Watches exceptions for as long as the operator runs, and wakes the policies that they are about.
pub async fn run(engine: Arc<Engine>) {
    let api: Api<DeserializeGuard<DriftException>> = Api::all(engine.watch_client.clone());
    let config = watcher::Config::default().timeout(40);
    let mut events = Box::pin(watcher(api, config).default_backoff());
    let mut listed: Option<HashMap<Key, Arc<DriftException>>> = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed = Some(HashMap::new()),
            Ok(Event::InitApply(object)) => {
                if let (Some(listed), Some(object)) = (&mut listed, readable(object)) {
                    listed.insert(key(&object), object);
                }
            }
            Ok(Event::InitDone) => {
                let before = {
                    let mut all = engine.exceptions.all.lock();
                    std::mem::replace(&mut *all, listed.take().unwrap_or_default())
                };
                engine.exceptions.listed.store(true, Ordering::Release);
                let now: Vec<_> = engine.exceptions.all.lock().values().cloned().collect();
                let both = before.into_values().chain(now);
                both.for_each(|e| wake(&engine, &e));
            }
            Ok(Event::Apply(object)) => {
                let Some(object) = readable(object) else {
                    continue;
                };
                let before = {
                    let mut all = engine.exceptions.all.lock();
                    all.insert(key(&object), Arc::clone(&object))
                };
                if before.is_none_or(|b| b.metadata.generation != object.metadata.generation) {
                    wake(&engine, &object);
                }
            }
            Ok(Event::Delete(object)) => {
                let key = (object.namespace().unwrap_or_default(), object.name_any());
                let before = engine.exceptions.all.lock().remove(&key);
                if let Some(before) = before {
                    wake(&engine, &before);
                }
            }
            Err(error) => tracing::warn!(%error, "exceptions cannot be watched; trying again"),
        }
        engine.exceptions.changed.notify_one();
    }
}

fn readable(object: DeserializeGuard<DriftException>) -> Option<Arc<DriftException>> {
    match object.0 {
        Ok(exception) => Some(Arc::new(exception)),
        Err(error) => {
            tracing::error!(%error, "a DriftException cannot be read, and allows nothing; apply it again with the CRDs of this version");
            None
        }
    }
}

fn key(exception: &DriftException) -> Key {
    (
        exception.namespace().unwrap_or_default(),
        exception.name_any(),
    )
}

fn policy_of(exception: &DriftException) -> PolicyKey {
    PolicyKey {
        namespace: exception.namespace().unwrap_or_default(),
        name: exception.spec.policy.clone(),
    }
}

fn wake(engine: &Engine, exception: &DriftException) {
    if let Some(policy) = engine.registry.get(&policy_of(exception)) {
        policy.wake.notify_one();
    }
}

/// The exceptions of a policy that are in force now, and when the first of them ends.
pub fn in_force(engine: &Engine, policy: &PolicyState) -> (Arc<Exceptions>, Option<Timestamp>) {
    let names = Arc::clone(&policy.view.lock().target_names);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let longest = engine.options.longest_exception;
    let known = &engine.exceptions;
    let (exceptions, ends) = known.in_force(&policy.key, &names, longest, Timestamp::now());
    (Arc::new(exceptions), ends)
}

/// Has a target judged by the policy's rules and by exceptions.
pub fn bring_into_force(
    engine: &Arc<Engine>,
    policy: &PolicyState,
    target: TargetId,
    name: &str,
    exceptions: Arc<Exceptions>,
) {
    let rules = TargetRules {
        target: name.into(),
        rules: Arc::clone(&policy.view.lock().rules),
        exceptions,
    };
    let rereads = engine.index.set_rules(target, rules);
    if !rereads.is_empty() {
        tokio::spawn(reread(Arc::clone(engine), rereads));
    }
}

/// Says how exceptions stand, while this replica leads.
pub async fn tell(engine: Arc<Engine>, records: Arc<Records>, events: Events) {
    let mut leading = engine.leading.clone();
    loop {
        if leading.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        let all: BTreeMap<Key, Arc<DriftException>> = {
            let all = engine.exceptions.all.lock();
            all.iter()
                .map(|(k, e)| (k.clone(), Arc::clone(e)))
                .collect()
        };
        for (key, exception) in &all {
            if let Err(error) = tell_one(&engine, &records, &events, exception).await {
                tracing::warn!(%error, namespace = key.0, name = key.1, "how an exception stands could not be written; trying again");
            }
        }
        if all.is_empty() {
            engine.exceptions.changed.notified().await;
        } else {
            let changed = engine.exceptions.changed.notified();
            let _ = tokio::time::timeout(LOOK, changed).await;
        }
    }
}

async fn tell_one(
    engine: &Engine,
    records: &Records,
    events: &Events,
    exception: &DriftException,
) -> Result<(), WriteError> {
    let policy_key = policy_of(exception);
    let policy = engine.registry.get(&policy_key);
    if policy.is_none() && !engine.registry.is_listed() {
        return Ok(());
    }
    let now = Timestamp::now();
    let status = status(engine, records, exception, policy.as_deref(), now);
    if exception.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let (namespace, name) = key(exception);
    let api: Api<DriftException> = Api::namespaced(engine.client.clone(), &namespace);
    let patch = crate::status::patch(exception.metadata.uid.as_deref(), "/status", &status)?;
    let params = PatchParams::default();
    match bounded(api.patch_status(&name, &params, &patch)).await {
        Ok(written) => {
            engine.metrics.writes("exception_status").inc();
            let mut all = engine.exceptions.all.lock();
            if let Some(known) = all.get_mut(&(namespace, name)) {
                *known = Arc::new(written);
            }
        }
        Err(error) if error.is(404) => return Ok(()),
        Err(error) => return Err(error),
    }
    let before = exception.status.as_ref().map(|s| s.state);
    if let (Some(policy), true) = (policy, before != Some(status.state)) {
        say(engine, events, &policy, exception, &status);
    }
    Ok(())
}

fn status(
    engine: &Engine,
    records: &Records,
    exception: &DriftException,
    policy: Option<&PolicyState>,
    now: Timestamp,
) -> DriftExceptionStatus {
    let targets = policy.map(|p| Arc::clone(&p.view.lock().target_names));
    let targets = targets.unwrap_or_default();
    let names: Vec<&str> = targets.iter().map(String::as_str).collect();
    let longest = engine.options.longest_exception;
    let (state, message) = match standing(exception, &names, longest, now) {
        Standing::Expired => (ExceptionState::Expired, String::new()),
        _ if policy.is_none() => {
            let message = format!(
                "spec.policy: there is no DriftPolicy {:?} in this namespace",
                drift::redact::cut(&exception.spec.policy, 64)
            );
            (ExceptionState::Invalid, message)
        }
        // Its targets are not known yet.
        Standing::Invalid(_) if names.is_empty() && !exception.spec.matches.targets.is_empty() => {
            (ExceptionState::Active, String::new())
        }
        Standing::Invalid(message) => (ExceptionState::Invalid, message),
        Standing::InForce(_) => {
            let left = exception.spec.expires_at.0.duration_since(now);
            let state = if left <= EXPIRING {
                ExceptionState::Expiring
            } else {
                ExceptionState::Active
            };
            (state, String::new())
        }
    };
    let in_force = matches!(state, ExceptionState::Active | ExceptionState::Expiring);
    let matches = if in_force {
        records.excepted_by(&policy_of(exception), &exception.name_any())
    } else {
        0
    };
    DriftExceptionStatus {
        state,
        message: drift::redact::cut(&drift::redact::printable(&message), 1024).to_owned(),
        matches,
        observed_generation: exception.metadata.generation,
    }
}

fn say(
    engine: &Engine,
    events: &Events,
    policy: &PolicyState,
    exception: &DriftException,
    status: &DriftExceptionStatus,
) {
    let name = exception.name_any();
    let end = crate::records::whole_seconds(exception.spec.expires_at.0);
    let (reason, note) = match status.state {
        ExceptionState::Active => return,
        ExceptionState::Expiring => (
            "ExceptionExpiring",
            format!(
                "exception {name} ends at {end}; what it allows is drift again then ({} objects now)",
                status.matches
            ),
        ),
        ExceptionState::Expired => (
            "ExceptionExpired",
            format!("exception {name} has ended; what it allowed is drift again"),
        ),
        ExceptionState::Invalid => (
            "ExceptionInvalid",
            format!("exception {name} allows nothing: {}", status.message),
        ),
    };
    let related = ObjectReference {
        api_version: Some("driftline.dev/v1alpha1".to_owned()),
        kind: Some("DriftException".to_owned()),
        namespace: exception.namespace(),
        name: Some(name),
        uid: exception.uid(),
        ..ObjectReference::default()
    };
    let said = Said {
        reason,
        action: "Except",
        warning: true,
        note,
        related,
    };
    events.say(engine, policy, said);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn exception(change: impl FnOnce(&mut Value)) -> DriftException {
        let mut object = json!({
            "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftException",
            "metadata": {"name": "scaled", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"policy": "shop", "match": {"names": ["web"]}, "reason": "incident", "expiresAt": "2026-01-02T00:00:00Z"},
        });
        change(&mut object);
        serde_json::from_value(object).expect("an exception")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn stands(exception: &DriftException, now: &str) -> String {
        let longest = SignedDuration::from_hours(24 * 30);
        match standing(exception, &["app"], longest, at(now)) {
            Standing::Expired => "expired".to_owned(),
            Standing::Invalid(why) => why,
            Standing::InForce(_) => "in force".to_owned(),
        }
    }

    #[test]
    fn an_exception_ends_at_its_time() {
        let one = exception(|_| {});
        assert_eq!(stands(&one, "2026-01-01T23:59:59Z"), "in force");
        assert_eq!(stands(&one, "2026-01-02T00:00:00Z"), "expired");
    }

    #[test]
    fn one_that_would_last_for_ever_allows_nothing() {
        let endless = exception(|e| e["spec"]["expiresAt"] = json!("2026-02-01T00:00:00Z"));
        let said = stands(&endless, "2026-01-01T00:00:00Z");
        assert!(said.starts_with("spec.expiresAt: at most 720 h"), "{said}");
        let unborn = exception(|e| e["metadata"]["creationTimestamp"] = Value::Null);
        assert!(stands(&unborn, "2026-01-01T00:00:00Z").starts_with("spec.expiresAt"));
    }

    #[test]
    fn what_makes_no_sense_allows_nothing() {
        let elsewhere = exception(|e| e["spec"]["match"]["targets"] = json!(["other"]));
        let said = stands(&elsewhere, "2026-01-01T00:00:00Z");
        assert!(said.starts_with("spec.match.targets[0]: "), "{said}");
        let silent = exception(|e| e["spec"]["reason"] = json!(" "));
        assert!(stands(&silent, "2026-01-01T00:00:00Z").starts_with("spec.reason"));
    }
}
