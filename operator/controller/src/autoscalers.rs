//! What HorizontalPodAutoscalers may set replicas to: watched in the whole cluster as soon as anything is declared that one may
//! scale, because an autoscaler need not be declared where its target is.

use std::collections::HashMap;
use std::sync::Arc;

use cluster::index::Reread;
use cluster::watch::{FailureReason, Sink, WatchEvent, WatchHandle, WatchScope};
use drift::automation::ReplicaBounds;
use drift::{GroupVersionKind, ObjectId};
use edge::autoscalers::{identity, scaled};
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::targets::reread;

/// The autoscalers there are, by namespace and name, with what each scales.
#[derive(Default)]
struct Known {
    all: HashMap<(String, String), (ObjectId, ReplicaBounds)>,
    /// A list is under way.
    listing: bool,
}

struct Feed {
    engine: Arc<Engine>,
    known: Mutex<Known>,
}

/// Starts watching, once; `None` where the server has none.
pub fn watch(engine: &Arc<Engine>) -> Option<WatchHandle> {
    let kind = GroupVersionKind::new("autoscaling", "v2", "HorizontalPodAutoscaler");
    let catalog = engine.catalog.catalog();
    let Some(resource) = catalog.resource(&kind).filter(|r| r.can_watch()) else {
        engine.index.set_bounds([]);
        return None;
    };
    let scope = WatchScope {
        plural: resource.plural.clone(),
        kind,
        namespace: None,
    };
    let feed = Feed {
        engine: Arc::clone(engine),
        known: Mutex::default(),
    };
    Some(cluster::watch::spawn(
        engine.watch_client.clone(),
        scope,
        engine.watch_options.clone(),
        Arc::new(feed),
    ))
}

impl Sink for Feed {
    fn on_event(&self, event: WatchEvent) {
        let mut known = self.known.lock();
        match event {
            WatchEvent::Restarted => {
                *known = Known {
                    listing: true,
                    ..Known::default()
                }
            }
            WatchEvent::Ready => known.listing = false,
            WatchEvent::Listed(object) | WatchEvent::Applied(object) => match scaled(&object) {
                Some(scaled) => drop(known.all.insert(identity(&object), scaled)),
                None => drop(known.all.remove(&identity(&object))),
            },
            WatchEvent::Deleted(object) => drop(known.all.remove(&identity(&object))),
            WatchEvent::Failed {
                reason: FailureReason::Forbidden,
                message,
            } => {
                tracing::warn!(
                    message,
                    "autoscalers cannot be read: where replicas are not as declared nothing can be said; grant list and watch on horizontalpodautoscalers"
                );
                *known = Known::default();
                let rereads = self.engine.index.lose_bounds();
                drop(known);
                return self.read_again(rereads);
            }
            // What was known is believed until the next list.
            WatchEvent::Failed { .. } | WatchEvent::Undecodable { .. } | WatchEvent::Alive => {
                return;
            }
        }
        if known.listing {
            return;
        }
        let rereads = self.engine.index.set_bounds(known.all.values().cloned());
        drop(known);
        self.read_again(rereads);
    }
}

impl Feed {
    fn read_again(&self, rereads: Vec<Reread>) {
        if !rereads.is_empty() {
            tokio::spawn(reread(Arc::clone(&self.engine), rereads));
        }
    }
}
