//! Kubernetes Events: one when drift opens, one when it closes. They regard the policy, because an Event cannot regard an
//! object of another namespace; the object is in `related`.

use std::sync::Arc;
use std::time::Duration;

use driftline_crds::{DriftRecordStatus, KubernetesSubject};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::mpsc;

use crate::engine::Engine;
use crate::registry::PolicyState;

/// Events that may wait; more are dropped and counted.
const QUEUE: usize = 1000;
const DEADLINE: Duration = Duration::from_secs(10);

/// What an event says about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Drift was found.
    Opened,
    /// It was excepted, and the exception has ended.
    Reopened,
    /// The object is as declared again.
    Mended,
    /// All of what differs is ignored by rules.
    Ignored,
    /// Git does not declare the object any more.
    Dropped,
    /// It is gone, or declared again elsewhere.
    NoOrphan,
    /// The cluster does not serve its kind any more.
    Unserved,
    /// It differs only where its declaration does not render the same twice.
    Unstable,
    /// All of it is as declared but for values that are encrypted in Git.
    Encrypted,
}

/// Where events are handed in.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Event>,
}

impl Events {
    /// Starts writing events.
    pub fn start(engine: &Arc<Engine>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(write(Arc::clone(engine), receiver));
        Self { sender }
    }

    /// Hands in an event about a record; never waits.
    pub fn tell(
        &self,
        engine: &Engine,
        policy: &PolicyState,
        subject: &KubernetesSubject,
        status: &DriftRecordStatus,
        note: Note,
    ) {
        self.send(engine, event(engine, policy, subject, status, note));
    }

    /// Hands in an event about a policy; never waits.
    pub fn say(&self, engine: &Engine, policy: &PolicyState, said: Said) {
        let kind = if said.warning { "Warning" } else { "Normal" };
        let event = Event {
            action: Some(said.action.to_owned()),
            reason: Some(said.reason.to_owned()),
            type_: Some(kind.to_owned()),
            note: Some(drift::redact::cut(&drift::redact::printable(&said.note), 1024).to_owned()),
            related: Some(said.related),
            ..framed(engine, policy, rand_suffix(&said.note))
        };
        self.send(engine, event);
    }

    fn send(&self, engine: &Engine, event: Event) {
        if self.sender.try_send(event).is_err() {
            engine.metrics.events_dropped.inc();
        }
    }
}

/// An event that is not about a record.
pub struct Said {
    /// In CamelCase.
    pub reason: &'static str,
    /// What was done, in CamelCase.
    pub action: &'static str,
    /// Somebody should look.
    pub warning: bool,
    pub note: String,
    /// What it is about besides the policy.
    pub related: ObjectReference,
}

/// What all events of a policy have.
fn framed(engine: &Engine, policy: &PolicyState, salt: u32) -> Event {
    let now = Timestamp::now();
    let name = format!("{}.{:x}.{salt:x}", policy.key.name, now.as_nanosecond());
    let instance = engine.options.identity.as_deref().unwrap_or("driftline");
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(policy.key.namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some("driftline.dev/operator".to_owned()),
        reporting_instance: Some(drift::redact::cut(instance, 128).to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some("driftline.dev/v1alpha1".to_owned()),
            kind: Some("DriftPolicy".to_owned()),
            namespace: Some(policy.key.namespace.clone()),
            name: Some(policy.key.name.clone()),
            uid: Some(policy.uid.clone()),
            ..ObjectReference::default()
        }),
        ..Event::default()
    }
}

fn event(
    engine: &Engine,
    policy: &PolicyState,
    subject: &KubernetesSubject,
    status: &DriftRecordStatus,
    note: Note,
) -> Event {
    let closed = !matches!(note, Note::Opened | Note::Reopened);
    let (reason, kind) = if closed {
        ("DriftClosed", "Normal")
    } else {
        ("DriftOpened", "Warning")
    };
    let by = match status.display.by.as_str() {
        "" => String::new(),
        // Who wrote last is not who removed it.
        last if last.starts_with("last write by ") => format!(" ({last})"),
        by => format!(" (by {by})"),
    };
    let subject_name = &status.display.subject;
    let note = match note {
        Note::Opened => {
            let severity = status.severity.map(|s| format!("{}: ", s.as_str()));
            let severity = severity.unwrap_or_default();
            format!("{severity}{subject_name}: {}{by}", status.display.fields)
        }
        Note::Reopened => {
            let ended = status.exception.as_deref().unwrap_or_default();
            format!(
                "{subject_name} is drift again: {} (exception {ended})",
                status.display.fields
            )
        }
        Note::Mended => format!("{subject_name} is as declared again"),
        Note::Ignored => format!("{subject_name} differs only in what rules of the policy ignore"),
        Note::Dropped => format!("{subject_name} is no longer declared by this policy"),
        Note::NoOrphan => {
            format!("{subject_name} is gone, or accounted for by another declaration or owner")
        }
        Note::Unstable => {
            format!("{subject_name} differs only where two renderings of one commit do not agree")
        }
        Note::Encrypted => {
            format!(
                "{subject_name} is as declared again, as far as that can be told: its values are encrypted in Git"
            )
        }
        Note::Unserved => {
            format!(
                "nothing is known of {subject_name}: the cluster does not serve its kind any more"
            )
        }
    };
    Event {
        action: Some(if closed { "Close" } else { "Open" }.to_owned()),
        reason: Some(reason.to_owned()),
        type_: Some(kind.to_owned()),
        note: Some(drift::redact::cut(&note, 1024).to_owned()),
        related: Some(ObjectReference {
            api_version: Some(status.api_version.clone()),
            kind: Some(subject.kind.clone()),
            namespace: subject.namespace.clone(),
            name: Some(subject.name.clone()),
            uid: status.uid.clone(),
            ..ObjectReference::default()
        }),
        ..framed(engine, policy, rand_suffix(&status.display.subject))
    }
}

/// Tells events of the same nanosecond apart.
fn rand_suffix(subject: &str) -> u32 {
    subject.bytes().fold(17, |hash: u32, byte| {
        hash.wrapping_mul(31).wrapping_add(byte.into())
    })
}

async fn write(engine: Arc<Engine>, mut receiver: mpsc::Receiver<Event>) {
    while let Some(event) = receiver.recv().await {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(engine.client.clone(), &namespace);
        match tokio::time::timeout(DEADLINE, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => {
                engine.metrics.writes("event").inc();
            }
            Ok(Err(error)) => {
                engine.metrics.events_dropped.inc();
                tracing::warn!(%error, "an Event could not be written");
            }
            Err(_) => {
                engine.metrics.events_dropped.inc();
            }
        }
    }
}
