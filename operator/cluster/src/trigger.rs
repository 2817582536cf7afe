//! "Something of these kinds changed": metadata-only watches behind one counter.

use std::sync::Arc;
use std::time::Duration;

use drift::GroupVersionKind;
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::watch::{WatchEvent, WatchHandle, WatchOptions, WatchScope};

/// A counter that grows some time after an object of the watched kinds was created, changed or deleted, once for a burst.
#[derive(Debug)]
pub struct Trigger {
    changes: watch::Receiver<u64>,
    watches: Vec<WatchHandle>,
    task: JoinHandle<()>,
}

impl Trigger {
    /// Watches kinds in the whole cluster (scopes and options as given); tells of a burst when `settle` has passed since its
    /// first change.
    pub fn spawn(
        client: &Client,
        scopes: Vec<(WatchScope, WatchOptions)>,
        settle: Duration,
    ) -> Self {
        let (raw, mut seen) = watch::channel(0u64);
        let raw = Arc::new(Mutex::new(raw));
        let sink = move |event: WatchEvent| {
            // A list that is complete may differ from what was seen before it; a failure hides changes until then.
            let changed = !matches!(
                event,
                WatchEvent::Restarted
                    | WatchEvent::Listed(_)
                    | WatchEvent::Alive
                    | WatchEvent::Failed { .. }
            );
            if changed {
                raw.lock().send_modify(|n| *n += 1);
            }
        };
        let sink: Arc<dyn crate::watch::Sink> = Arc::new(sink);
        let watches = scopes
            .into_iter()
            .map(|(scope, options)| {
                crate::watch::spawn(client.clone(), scope, options, Arc::clone(&sink))
            })
            .collect();
        let (tell, changes) = watch::channel(0u64);
        let task = tokio::spawn(async move {
            while seen.changed().await.is_ok() {
                tokio::time::sleep(settle).await;
                seen.mark_unchanged();
                tell.send_modify(|n| *n += 1);
            }
        });
        Self {
            changes,
            watches,
            task,
        }
    }

    /// The counter. It also grows when a watch has listed afresh.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// True while every watch is up: where one is not, changes may go unnoticed.
    pub fn is_complete(&self) -> bool {
        self.watches.iter().all(WatchHandle::is_ready)
    }

    /// The watches, for metrics.
    pub fn watches(&self) -> &[WatchHandle] {
        &self.watches
    }
}

impl Drop for Trigger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A kind in the whole cluster.
pub(crate) fn cluster_wide(group: &str, version: &str, kind: &str, plural: &str) -> WatchScope {
    WatchScope {
        kind: GroupVersionKind::new(group, version, kind),
        plural: plural.to_owned(),
        namespace: None,
    }
}

/// Roles and bindings of all sorts: what decides who may do what.
pub fn rbac(client: &Client, options: &WatchOptions) -> Trigger {
    let options = WatchOptions {
        metadata_only: true,
        ..options.clone()
    };
    let scopes = [
        ("Role", "roles"),
        ("RoleBinding", "rolebindings"),
        ("ClusterRole", "clusterroles"),
        ("ClusterRoleBinding", "clusterrolebindings"),
    ]
    .map(|(kind, plural)| {
        (
            cluster_wide("rbac.authorization.k8s.io", "v1", kind, plural),
            options.clone(),
        )
    });
    Trigger::spawn(client, scopes.into(), Duration::from_millis(200))
}
