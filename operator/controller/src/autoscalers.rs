//! What HorizontalPodAutoscalers may set replicas to: watched in the whole cluster as soon as anything is declared that one may
//! scale, because an autoscaler need not be declared where its target is.

use std::collections::HashMap;
use std::sync::Arc;

use cluster::index::Reread;
use cluster::watch::{FailureReason, Sink, WatchEvent, WatchHandle, WatchScope};
use drift::automation::ReplicaBounds;
use drift::{GroupKind, GroupVersionKind, ObjectId};
use parking_lot::Mutex;
use serde_json::Value;

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

fn identity(autoscaler: &Value) -> (String, String) {
    let text = |key: &str| {
        let text = autoscaler
            .get("metadata")
            .and_then(|m| m.get(key)?.as_str());
        text.unwrap_or_default().to_owned()
    };
    (text("namespace"), text("name"))
}

/// What an autoscaler scales, and within which bounds.
///
/// Source: <https://kubernetes.io/docs/reference/kubernetes-api/autoscaling/horizontal-pod-autoscaler-v2/>.
fn scaled(autoscaler: &Value) -> Option<(ObjectId, ReplicaBounds)> {
    let spec = autoscaler.get("spec")?;
    let target = spec.get("scaleTargetRef")?;
    let api_version = target
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or("v1");
    let kind = GroupVersionKind::parse(api_version, target.get("kind")?.as_str()?)?;
    let GroupKind { group, kind } = kind.group_kind;
    let id = ObjectId::new(
        GroupKind { group, kind },
        Some(&identity(autoscaler).0),
        target.get("name")?.as_str()?,
    );
    let bounds = ReplicaBounds {
        min: spec.get("minReplicas").and_then(Value::as_i64).unwrap_or(1),
        max: spec.get("maxReplicas")?.as_i64()?,
    };
    Some((id, bounds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_autoscaler_tells_what_it_scales_and_how_far() {
        let hpa = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 6}});
        let (id, bounds) = scaled(&hpa).expect("scales");
        assert_eq!(
            id,
            ObjectId::new(GroupKind::new("apps", "Deployment"), Some("shop"), "web")
        );
        assert_eq!(bounds, ReplicaBounds { min: 1, max: 6 });
        assert_eq!(scaled(&json!({"metadata": {}, "spec": {}})), None);
    }
}
