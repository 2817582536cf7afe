//! What Argo CD and Flux list as declared by them: their Applications, Kustomizations and HelmReleases are watched while some policy
//! asks about objects that nobody declares, or may put something back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cluster::discovery::Catalog;
use cluster::index::{Index, Standing};
use cluster::watch::{FailureReason, Sink, WatchEvent, WatchHandle, WatchScope};
use drift::undeclared::{Declarer, Tool};
use drift::{GroupVersionKind, Unknown};
use parking_lot::Mutex;
use serde_json::Value;

use crate::engine::Engine;
use crate::healers::Healers;

#[derive(Default)]
pub struct Watches {
    running: Mutex<BTreeMap<Tool, Running>>,
    /// What those that are watched put back by themselves.
    pub healers: Arc<Healers>,
}

struct Running {
    kind: GroupVersionKind,
    /// Ends the watch when it goes.
    handle: WatchHandle,
    feed: Arc<Feed>,
}

impl Running {
    fn end(self) {
        drop(self.handle);
        self.feed.end();
    }
}

impl Watches {
    /// Starts and stops watches so that they fit what the cluster serves.
    pub fn sync(&self, engine: &Engine, catalog: &Catalog) {
        let mut running = self.running.lock();
        for tool in Tool::LISTING {
            let served = tool.kind().and_then(|k| {
                let versions = catalog.versions(&k);
                versions
                    .into_iter()
                    .find(|v| catalog.resource(v).is_some_and(|r| r.can_watch()))
            });
            let Some(kind) = served else {
                running.remove(&tool).into_iter().for_each(Running::end);
                engine.index.set_tool(tool, Standing::Unserved);
                self.healers.set_tool(tool, Standing::Unserved);
                continue;
            };
            if running.get(&tool).is_some_and(|r| r.kind == kind) {
                continue;
            }
            let Some(resource) = catalog.resource(&kind) else {
                continue;
            };
            let scope = WatchScope {
                kind: kind.clone(),
                plural: resource.plural.clone(),
                namespace: None,
            };
            let feed = Arc::new(Feed {
                index: Arc::clone(&engine.index),
                healers: Arc::clone(&self.healers),
                tool,
                known: Mutex::default(),
            });
            let handle = cluster::watch::spawn(
                engine.watch_client.clone(),
                scope,
                engine.watch_options.clone(),
                Arc::clone(&feed) as Arc<dyn Sink>,
            );
            let started = Running { kind, handle, feed };
            running
                .insert(tool, started)
                .into_iter()
                .for_each(Running::end);
        }
    }

    pub fn stop(&self) {
        let stopped = std::mem::take(&mut *self.running.lock());
        stopped.into_values().for_each(Running::end);
        self.healers.forget();
    }
}

struct Feed {
    index: Arc<Index>,
    healers: Arc<Healers>,
    tool: Tool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    all: HashSet<Arc<Declarer>>,
    /// What a list under way has held so far.
    listing: Option<HashSet<Arc<Declarer>>>,
    /// The watch was ended: what it still says is not heard.
    ended: bool,
}

impl Feed {
    fn end(&self) {
        let mut known = self.known.lock();
        known.ended = true;
        self.forget(&mut known);
    }

    fn forget(&self, known: &mut Known) {
        for gone in known.all.drain() {
            self.gone(&gone);
        }
    }

    fn gone(&self, by: &Arc<Declarer>) {
        self.index.set_listed(by, &[]);
        self.healers.set(by, Vec::new());
    }

    fn stands(&self, standing: Standing) {
        self.index.set_tool(self.tool, standing.clone());
        self.healers.set_tool(self.tool, standing);
    }

    fn declarer(&self, object: &Value) -> Arc<Declarer> {
        let text = |key: &str| {
            let text = object.get("metadata").and_then(|m| m.get(key)?.as_str());
            text.filter(|t| !t.is_empty())
        };
        Arc::new(Declarer {
            tool: self.tool,
            namespace: text("namespace").map(Into::into),
            name: text("name").unwrap_or_default().into(),
        })
    }
}

impl Sink for Feed {
    fn on_event(&self, event: WatchEvent) {
        let mut known = self.known.lock();
        if known.ended {
            return;
        }
        match event {
            WatchEvent::Restarted => known.listing = Some(HashSet::new()),
            WatchEvent::Ready => {
                if let Some(listed) = known.listing.take() {
                    for gone in known.all.difference(&listed) {
                        self.gone(gone);
                    }
                    known.all = listed;
                }
                self.stands(Standing::Listed);
            }
            WatchEvent::Listed(object) | WatchEvent::Applied(object) => {
                let by = self.declarer(&object);
                self.index.set_listed(&by, &self.tool.lists(&object));
                self.healers.set(&by, self.tool.heals(&object));
                if let Some(listing) = &mut known.listing {
                    listing.insert(Arc::clone(&by));
                }
                known.all.insert(by);
            }
            WatchEvent::Deleted(object) => {
                let by = self.declarer(&object);
                self.gone(&by);
                known.all.remove(&by);
            }
            WatchEvent::Failed { reason, message } => {
                let standing = match reason {
                    FailureReason::Forbidden => Standing::Unread(Unknown::Forbidden),
                    FailureReason::NotServed => Standing::Unserved,
                    // What was known is believed until the next list; before the first one it is waited for.
                    FailureReason::Blind | FailureReason::Unauthorized => return,
                };
                tracing::warn!(
                    tool = self.tool.as_str(),
                    message,
                    "what it declares cannot be read"
                );
                self.forget(&mut known);
                self.stands(standing);
            }
            // What it listed before is believed.
            WatchEvent::Undecodable { identity, .. } => {
                let named = |d: &&Arc<Declarer>| {
                    identity.as_ref().is_some_and(|i| {
                        *i.name == *d.name && i.namespace.as_deref() == d.namespace.as_deref()
                    })
                };
                let before = known.all.iter().find(named).cloned();
                if let Some(listing) = &mut known.listing {
                    listing.extend(before);
                }
            }
            WatchEvent::Alive => {}
        }
    }
}
