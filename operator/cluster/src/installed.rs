//! Admission policies of our own, on which trust rests: read, compared with what they have to be, and watched.

use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::call;
use crate::error::{Error, Result};
use crate::trigger::Trigger;

/// The API group and version of policies and their bindings.
pub(crate) const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// Whether something that was installed is relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardState {
    /// Everything is in order.
    Trusted,
    /// It is not, or that could not be found out.
    Untrusted {
        /// What is wrong and what to do, in one sentence.
        reason: String,
    },
}

/// How often something is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    /// Everything is checked again this often, whatever happens.
    pub(crate) interval: Duration,
    /// The same while the watches that tell of changes are not all up.
    pub(crate) blind_interval: Duration,
    /// API servers take a few seconds to put a new policy into force: one that is younger is given this long.
    pub(crate) settle: Duration,
}

/// Something that is relied on while it is in order.
pub(crate) trait Installed: Send + Sync + 'static {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// How old it is, if everything is in order; else what is not.
    fn check(&self) -> impl Future<Output = std::result::Result<Duration, String>> + Send;
}

/// Checks, at once and whenever one of the triggers says so, until nobody listens.
pub(crate) async fn keep(
    installed: impl Installed,
    triggers: Vec<Arc<Trigger>>,
    times: Times,
    publish: watch::Sender<GuardState>,
) {
    let mut changes: Vec<_> = triggers.iter().map(|t| t.changes()).collect();
    let mut in_order_since = None;
    loop {
        let state = check_settled(&installed, times.settle, &mut in_order_since).await;
        if let GuardState::Untrusted { reason } = &state {
            tracing::debug!(reason, "{} is not in order", installed.name());
        }
        publish.send_if_modified(|before| {
            let changed = *before != state;
            *before = state.clone();
            changed
        });
        let wait = match state {
            GuardState::Trusted if triggers.iter().all(|t| t.is_complete()) => times.interval,
            GuardState::Trusted => times.blind_interval,
            // A policy that is settling is looked at again when it should have settled.
            GuardState::Untrusted { .. } => times.blind_interval.min(times.settle),
        };
        let changed = select_all(changes.iter_mut().map(|c| Box::pin(c.changed())));
        tokio::select! {
            _ = changed => {}
            () = tokio::time::sleep(wait.max(Duration::from_millis(100))) => {}
            () = publish.closed() => return,
        }
    }
}

/// The state, with the time that API servers need to put a policy into force.
async fn check_settled(
    installed: &impl Installed,
    settle: Duration,
    in_order_since: &mut Option<Instant>,
) -> GuardState {
    match installed.check().await {
        Ok(age) => {
            let since = *in_order_since.get_or_insert_with(Instant::now);
            // The age rests on two clocks, so it is believed only where it is far beyond what is needed.
            if age >= settle * 6 || since.elapsed() >= settle {
                return GuardState::Trusted;
            }
            let reason = format!(
                "{} was installed or changed a moment ago; wait {} s for it to be in force",
                installed.name(),
                settle.as_secs()
            );
            GuardState::Untrusted { reason }
        }
        Err(reason) => {
            *in_order_since = None;
            GuardState::Untrusted { reason }
        }
    }
}

/// A policy or binding; `None` if there is none of that name.
pub(crate) async fn find(
    client: &Client,
    plural: &str,
    kind: &str,
    name: &str,
) -> Result<Option<Value>> {
    let url = format!("/apis/{API_VERSION}/{plural}/{}", call::escape(name));
    call::if_found(call::get_json(client, &url, &format!("read {kind} {name}"), call::CALL).await)
}

/// That there is none of that name, and what to do.
pub(crate) fn absent(kind: &str, name: &str) -> String {
    format!("{kind} {name} does not exist; install it from the chart")
}

/// A policy or binding; else why there is none.
pub(crate) async fn read(
    client: &Client,
    plural: &str,
    kind: &str,
    name: &str,
) -> std::result::Result<Value, String> {
    match find(client, plural, kind, name).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(absent(kind, name)),
        Err(error) => Err(unreadable(&error)),
    }
}

pub(crate) fn unreadable(error: &Error) -> String {
    format!(
        "Driftline {error}, so what it installed cannot be checked; see that the API server answers and that Driftline's role is as in the chart"
    )
}

/// How long ago an object was created or last written.
pub(crate) fn age(object: &Value) -> Duration {
    let time = |value: Option<&Value>| value?.as_str()?.parse::<Timestamp>().ok();
    let metadata = object.get("metadata");
    let created = time(metadata.and_then(|m| m.get("creationTimestamp")));
    let managed = metadata.and_then(|m| m.get("managedFields")?.as_array());
    let written = managed
        .into_iter()
        .flatten()
        .map(|entry| time(entry.get("time")));
    let newest = written.chain([created]).flatten().max();
    newest.map_or(Duration::ZERO, |at| {
        Timestamp::now()
            .duration_since(at)
            .try_into()
            .unwrap_or(Duration::ZERO)
    })
}

/// What in a live policy or binding means something else than in the one that has to be there; `None` where nothing does.
pub(crate) fn differs(live: &Value, wanted: &Value, kind: &str, name: &str) -> Option<String> {
    if live.pointer("/metadata/deletionTimestamp").is_some() {
        return Some(format!("{kind} {name} is being deleted"));
    }
    let (live, wanted) = (meaning(live), meaning(wanted));
    let keys: std::collections::BTreeSet<&String> = live.keys().chain(wanted.keys()).collect();
    let field = keys
        .into_iter()
        .find(|key| live.get(*key) != wanted.get(*key))?;
    Some(format!(
        "{kind} {name} is not as installed: spec.{field} differs"
    ))
}

/// A spec without what means nothing: defaults that the server adds, and words for people. Everything unknown stays, and so counts as
/// a difference: a field that a later version brings may switch the policy off.
fn meaning(object: &Value) -> Map<String, Value> {
    let mut spec = object
        .get("spec")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for constraints in ["matchConstraints", "matchResources"] {
        if let Some(constraints) = spec.get_mut(constraints).and_then(Value::as_object_mut) {
            drop_default(constraints, "matchPolicy", &json!("Equivalent"));
            drop_default(constraints, "namespaceSelector", &json!({}));
            drop_default(constraints, "objectSelector", &json!({}));
            drop_default(constraints, "excludeResourceRules", &json!([]));
        }
    }
    drop_default(&mut spec, "matchResources", &json!({}));
    for empty in ["variables", "auditAnnotations"] {
        drop_default(&mut spec, empty, &json!([]));
    }
    for validation in spec
        .get_mut("validations")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(validation) = validation.as_object_mut() {
            validation.remove("message");
            validation.remove("reason");
        }
    }
    spec.retain(|_, value| !value.is_null());
    spec
}

fn drop_default(map: &mut Map<String, Value>, key: &str, default: &Value) {
    if map.get(key) == Some(default) {
        map.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_last_write() {
        let old = json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}});
        assert!(age(&old) > Duration::from_secs(3600));
        let now = Timestamp::now().to_string();
        let edited = json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z", "managedFields": [{"time": now}]}});
        assert!(age(&edited) < Duration::from_secs(60));
        assert_eq!(age(&json!({})), Duration::ZERO);
    }
}
