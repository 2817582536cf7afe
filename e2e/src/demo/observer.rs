//! Sees changes on the API server and records of Driftline, each with the moment it was seen.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio::sync::mpsc;

use super::Failure;

/// Something that was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) deleted: bool,
    pub(super) object: Value,
}

/// Watches a namespace.
pub(super) struct Observer {
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Observer {
    /// Watches kinds, given as group, version and kind.
    pub(super) fn start(client: &Client, namespace: &str, kinds: &[(&str, &str, &str)]) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        for (group, version, kind) in kinds {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), namespace, &resource);
            let mut events = Box::pin(watcher(api, watcher::Config::default()).default_backoff());
            let (sender, kind) = (sender.clone(), (*kind).to_owned());
            tokio::spawn(async move {
                while let Some(event) = events.next().await {
                    let (object, deleted) = match event {
                        Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
                        Ok(Event::Delete(object)) => (object, true),
                        _ => continue,
                    };
                    let name = object.name_any();
                    let object = serde_json::to_value(object).unwrap_or_default();
                    if sender
                        .send(Seen {
                            at: Instant::now(),
                            kind: kind.clone(),
                            name,
                            deleted,
                            object,
                        })
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
        Self { seen }
    }

    /// The next thing for which `wanted` is true; everything before it is dropped.
    pub(super) async fn wait(
        &mut self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Result<Seen, Failure> {
        let search = async {
            while let Some(seen) = self.seen.recv().await {
                if wanted(&seen) {
                    return Some(seen);
                }
            }
            None
        };
        match tokio::time::timeout(within, search).await {
            Ok(Some(seen)) => Ok(seen),
            _ => Err(format!("waited {} s for {what}, in vain", within.as_secs()).into()),
        }
    }

    /// Drops what was seen so far.
    pub(super) fn forget(&mut self) {
        while self.seen.try_recv().is_ok() {}
    }
}
