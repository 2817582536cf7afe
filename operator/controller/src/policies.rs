//! All policies: an actor each, started and stopped as they come and go.

use std::collections::HashMap;
use std::sync::Arc;

use driftline_crds::DriftPolicy;
use futures::StreamExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::actor;
use crate::deliver::leave;
use crate::engine::Engine;
use crate::policy::PolicyKey;
use crate::status::Statuses;

struct Running {
    uid: String,
    spec: watch::Sender<Arc<DriftPolicy>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs an actor for each policy, for as long as the operator runs.
pub async fn run(engine: Arc<Engine>, statuses: Arc<Statuses>) {
    let api: Api<DeserializeGuard<DriftPolicy>> = Api::all(engine.watch_client.clone());
    let config = watcher::Config::default().timeout(40);
    let mut events = Box::pin(watcher(api, config).default_backoff());
    let mut policies = Policies {
        engine,
        statuses,
        running: HashMap::new(),
        listed: None,
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => policies.take(event),
            Err(error) => tracing::warn!(%error, "policies cannot be watched; trying again"),
        }
    }
}

struct Policies {
    engine: Arc<Engine>,
    statuses: Arc<Statuses>,
    running: HashMap<PolicyKey, Running>,
    /// The policies of a list under way.
    listed: Option<Vec<PolicyKey>>,
}

impl Policies {
    fn take(&mut self, event: Event<DeserializeGuard<DriftPolicy>>) {
        match event {
            Event::Init => self.listed = Some(Vec::new()),
            Event::InitApply(object) | Event::Apply(object) => self.applied(object),
            Event::Delete(object) => {
                let key = PolicyKey {
                    namespace: object.namespace().unwrap_or_default(),
                    name: object.name_any(),
                };
                self.stop(&key);
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let gone: Vec<PolicyKey> = self
                    .running
                    .keys()
                    .filter(|k| !listed.contains(k))
                    .cloned()
                    .collect();
                gone.iter().for_each(|key| self.stop(key));
                self.engine.registry.set_listed();
            }
        }
    }

    fn applied(&mut self, object: DeserializeGuard<DriftPolicy>) {
        let policy = match object.0 {
            Ok(policy) => Arc::new(policy),
            Err(error) => {
                let key = PolicyKey {
                    namespace: error.metadata.namespace.clone().unwrap_or_default(),
                    name: error.metadata.name.clone().unwrap_or_default(),
                };
                tracing::error!(policy = %key, %error, "a DriftPolicy cannot be read, and nothing is written for it; apply it again with the CRDs of this version");
                if let Some(state) = self.engine.registry.get(&key) {
                    state.view.lock().unreadable = true;
                }
                if let Some(listed) = &mut self.listed {
                    listed.push(key);
                }
                return;
            }
        };
        let key = PolicyKey::of(&policy);
        if let Some(state) = self.engine.registry.get(&key) {
            state.view.lock().unreadable = false;
        }
        if let Some(listed) = &mut self.listed {
            listed.push(key.clone());
        }
        let uid = policy.uid().unwrap_or_default();
        if let Some(running) = self
            .running
            .get(&key)
            .filter(|r| r.uid == uid && !r.task.is_finished())
        {
            let changed = |old: &DriftPolicy| {
                old.metadata.generation != policy.metadata.generation
                    || old.annotations() != policy.annotations()
                    || leave::end(old) != leave::end(&policy)
            };
            // The leader knows what it wrote; another one has to know it when it takes over.
            if !*self.engine.leading.borrow() {
                self.statuses.seen(&key, policy.status.as_ref());
            }
            running.spec.send_if_modified(|old| {
                let changed = changed(old);
                if changed {
                    *old = Arc::clone(&policy);
                }
                changed
            });
            return;
        }
        self.stop(&key);
        self.statuses.seen(&key, policy.status.as_ref());
        // Before anybody hears that all are listed: what is remembered of a policy that is not known goes.
        let status = policy.status.as_ref();
        let was_compared = status.is_some_and(|s| s.targets.iter().any(|t| t.revision.is_some()));
        let state = self.engine.registry.policy(&key, &uid, was_compared);
        let (spec, receiver) = watch::channel(policy);
        let task = tokio::spawn(actor::run(Arc::clone(&self.engine), state, receiver));
        self.running.insert(key, Running { uid, spec, task });
    }

    fn stop(&mut self, key: &PolicyKey) {
        if self.running.remove(key).is_some() {
            self.engine.registry.remove(key);
            self.statuses.seen(key, None);
        }
    }
}
