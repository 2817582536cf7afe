//! Which watches run, and what they tell the index.
//!
//! One watch for each kind and namespace in which something is declared, shared by all policies; above
//! [`MAX_NAMESPACES`] namespaces one for the whole cluster. Kinds that are not served are told to the index as such.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::access::Question;
use cluster::discovery::{Catalog, Served};
use cluster::index::{Index, ScopeKey};
use cluster::watch::{FailureReason, Sink, WatchEvent, WatchHandle, WatchScope};
use drift::{FieldPath, GroupVersionKind, ObjectId, Schema, Unknown};
use parking_lot::Mutex;
use serde_json::Value;

use crate::asking;
use crate::autoscalers;
use crate::engine::Engine;

/// How long a kind that is served may be missing in the server's schemas before it is compared without one.
const PUBLISHED: Duration = Duration::from_secs(10);
/// How often a missing schema is asked for again until then.
const AGAIN: Duration = Duration::from_millis(500);

/// Above so many namespaces the watches of a kind become one.
const MAX_NAMESPACES: usize = 10;

/// Kind, and namespace unless the watch covers the cluster.
type WatchKey = (GroupVersionKind, Option<Arc<str>>);

#[derive(Default)]
pub struct Watches {
    inner: Mutex<Inner>,
    /// One synchronisation at a time.
    turn: tokio::sync::Mutex<()>,
    autoscalers: Mutex<Option<WatchHandle>>,
    /// Told when a kind has to wait for its schema.
    unpublished: tokio::sync::Notify,
}

#[derive(Default)]
struct Inner {
    running: HashMap<WatchKey, Running>,
    /// Scopes whose schema the index has.
    schemas: HashSet<ScopeKey>,
    /// Kinds without a schema, and since when.
    unpublished: HashMap<GroupVersionKind, Instant>,
}

struct Running {
    handle: WatchHandle,
    covered: BTreeSet<ScopeKey>,
    stopped: Arc<Mutex<bool>>,
}

impl Running {
    /// Ends what the index hears of the watch. Scopes that another one goes on to cover stay as they are until its list.
    fn end(&self, index: &Index, needed: &HashSet<&ScopeKey>) {
        *self.stopped.lock() = true;
        let ended = self.covered.iter().filter(|s| !needed.contains(s));
        ended.for_each(|s| index.unwatched(s));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Waits for an event under way: a complete list of this watch must not end one that its successor has begun.
        *self.stopped.lock() = true;
    }
}

/// Tells the index what a watch sees.
struct Feed {
    index: Arc<Index>,
    kind: GroupVersionKind,
    /// All scopes that the watch covers; one, unless it watches the whole cluster.
    covered: BTreeSet<ScopeKey>,
    /// The watch was replaced: what it still says is not heard.
    stopped: Arc<Mutex<bool>>,
}

impl Watches {
    /// Starts and stops watches so that they fit what is declared.
    pub async fn sync(&self, engine: &Arc<Engine>) -> cluster::Result<()> {
        let _turn = self.turn.lock().await;
        let catalog = engine.catalog.catalog();
        let scopes: Vec<ScopeKey> = engine
            .index
            .scopes()
            .into_iter()
            .map(|(scope, _)| scope)
            .collect();
        self.watch_autoscalers(engine, &catalog, &scopes);
        let mut watchable = sort_out(engine, &catalog, scopes);
        let waiting = self.load_schemas(engine, &watchable).await?;
        // Compared without its schema, a list with keys would be taken for one without: false drift.
        watchable.retain(|scope| !waiting.contains(&scope.kind));
        let wanted = plan(watchable);
        let mut inner = self.inner.lock();
        let needed: HashSet<&ScopeKey> = wanted.values().flatten().collect();
        inner.running.retain(|key, running| {
            let kept = wanted.get(key) == Some(&running.covered);
            if !kept {
                running.end(&engine.index, &needed);
            }
            kept
        });
        for (key, covered) in wanted {
            if !inner.running.contains_key(&key) {
                let running = start(engine, &catalog, &key, covered);
                inner.running.extend(running.map(|r| (key, r)));
            }
        }
        inner.running.shrink_to_fit();
        Ok(())
    }

    /// Autoscalers matter as soon as something is declared that one may scale.
    fn watch_autoscalers(&self, engine: &Arc<Engine>, catalog: &Catalog, scopes: &[ScopeKey]) {
        let scalable = scopes.iter().map(|s| (s, is_scalable(catalog, &s.kind)));
        engine.index.set_scalable(scalable.clone());
        let mut autoscalers = self.autoscalers.lock();
        let matters = |(scope, scalable): (&ScopeKey, bool)| {
            scalable || *scope.kind.group_kind.kind == *"HorizontalPodAutoscaler"
        };
        if autoscalers.is_none() && scalable.clone().any(matters) {
            *autoscalers = autoscalers::watch(engine);
        }
    }

    /// Lists a scope anew.
    pub fn relist(&self, scope: &ScopeKey) {
        let mut inner = self.inner.lock();
        let keys = [
            (scope.kind.clone(), scope.namespace.clone()),
            (scope.kind.clone(), None),
        ];
        for key in keys {
            inner.running.remove(&key);
        }
    }

    /// After a change of what the server serves: schemas that changed are loaded again, and their kinds listed again. True if there
    /// are such.
    pub async fn refresh(&self, engine: &Engine) -> cluster::Result<bool> {
        let changed = engine.schemas.refresh().await?;
        if changed.is_empty() {
            return Ok(false);
        }
        let mut inner = self.inner.lock();
        inner.schemas.retain(|scope| !changed.contains(&scope.kind));
        inner.running.retain(|(kind, _), _| !changed.contains(kind));
        Ok(true)
    }

    /// What is served has changed: what waits for its kind need not wait any longer.
    fn retry(&self) {
        let inner = self.inner.lock();
        for running in inner.running.values() {
            running.handle.retry_now();
        }
    }

    /// Gives schemas to scopes that have none. The answer are the kinds whose schema may still come: the server publishes
    /// that of a new kind a moment after it begins to serve it.
    async fn load_schemas(
        &self,
        engine: &Engine,
        scopes: &[ScopeKey],
    ) -> cluster::Result<HashSet<GroupVersionKind>> {
        let missing: Vec<ScopeKey> = {
            let inner = self.inner.lock();
            scopes
                .iter()
                .filter(|s| !inner.schemas.contains(s))
                .cloned()
                .collect()
        };
        if missing.is_empty() {
            return Ok(HashSet::new());
        }
        let kinds: HashSet<GroupVersionKind> = missing.iter().map(|s| s.kind.clone()).collect();
        let askable = asking::askable(engine, &kinds).await;
        asking::share(engine).await;
        let replicas_at = replicas_at(engine, &kinds).await;
        let found = engine.schemas.load(kinds).await?;
        let mut waiting = HashSet::new();
        let mut inner = self.inner.lock();
        for scope in missing {
            let schema = match found.get(&scope.kind) {
                Some(schema) => {
                    inner.unpublished.remove(&scope.kind);
                    schema.clone()
                }
                None => {
                    let since = inner.unpublished.entry(scope.kind.clone());
                    if since.or_insert_with(Instant::now).elapsed() < PUBLISHED {
                        waiting.insert(scope.kind);
                        continue;
                    }
                    tracing::warn!(kind = %scope.kind, "the API server publishes no schema of this kind; its lists are compared as a whole");
                    Schema::unknown()
                }
            };
            let replicas_at = replicas_at.get(&scope.kind).cloned();
            engine.index.set_schema(&scope, schema, replicas_at);
            let askable = askable.contains(&scope.kind);
            engine.index.set_askable(&scope, askable);
            inner.schemas.insert(scope);
        }
        if !waiting.is_empty() {
            self.unpublished.notify_one();
        }
        Ok(waiting)
    }

    /// Finds out again about which kinds the server may be asked: rights are given and taken while the operator runs.
    pub async fn learn_rights(&self, engine: &Arc<Engine>) -> cluster::Result<()> {
        let scopes: Vec<ScopeKey> = self.inner.lock().schemas.iter().cloned().collect();
        let kinds: HashSet<GroupVersionKind> = scopes.iter().map(|s| s.kind.clone()).collect();
        let askable = asking::askable(engine, &kinds).await;
        let mut changed = false;
        for scope in scopes {
            let may = askable.contains(&scope.kind);
            if engine.index.set_askable(&scope, may) {
                tracing::info!(scope = %scope.kind, may, "whether the server may be asked about a kind has changed");
                self.relist(&scope);
                changed = true;
            }
        }
        if changed {
            self.sync(engine).await?;
        }
        Ok(())
    }

    /// For metrics: kind, whether it is ready, seconds since the server was heard.
    pub fn ages(&self) -> Vec<(String, bool, f64)> {
        let inner = self.inner.lock();
        inner
            .running
            .iter()
            .map(|((kind, _), r)| {
                (
                    kind.group_kind.to_string(),
                    r.handle.is_ready(),
                    r.handle.age().as_secs_f64(),
                )
            })
            .collect()
    }

    /// For metrics: objects seen, lists, connections and failures since each watch began.
    pub fn counters(&self) -> (u64, u64, u64) {
        let inner = self.inner.lock();
        inner
            .running
            .values()
            .map(|r| r.handle.counters())
            .fold((0, 0, 0), |sum, c| {
                (sum.0 + c.events, sum.1 + c.relists, sum.2 + c.failures)
            })
    }
}

/// The scopes that can be watched; the others are told to the index.
fn sort_out(engine: &Engine, catalog: &Catalog, scopes: Vec<ScopeKey>) -> Vec<ScopeKey> {
    let watchable = |scope: &ScopeKey| {
        let trouble = match catalog.served(&scope.kind) {
            _ if scope.kind.group_kind.is_secret() && !engine.options.compare_secrets => {
                Unknown::NotCompared
            }
            Served::Yes(resource) if resource.can_watch() => return true,
            Served::Yes(_) | Served::No => Unknown::NotServed,
            Served::Unavailable => Unknown::Blind,
        };
        engine.index.failed(scope, trouble);
        false
    };
    scopes.into_iter().filter(watchable).collect()
}

/// True where a kind's objects have replicas that an autoscaler can set.
fn is_scalable(catalog: &Catalog, kind: &GroupVersionKind) -> bool {
    let resource = catalog.resource(kind);
    drift::automation::is_scalable(&kind.group_kind) || resource.is_some_and(|r| r.scale)
}

/// Where the replicas of objects are that are not at `spec.replicas`.
async fn replicas_at(
    engine: &Engine,
    kinds: &HashSet<GroupVersionKind>,
) -> HashMap<GroupVersionKind, FieldPath> {
    let catalog = engine.catalog.catalog();
    let mut found = HashMap::new();
    for (kind, at) in cluster::read::all_replicas_at(&engine.client, &catalog, kinds).await {
        match at {
            Ok(path) => found.extend(path.map(|path| (kind, path))),
            Err(error) => {
                tracing::warn!(%error, %kind, "a definition cannot be read; its replicas are taken to be at spec.replicas")
            }
        }
    }
    found
}

/// Which watch covers which scopes.
fn plan(scopes: Vec<ScopeKey>) -> BTreeMap<WatchKey, BTreeSet<ScopeKey>> {
    let mut by_kind: BTreeMap<GroupVersionKind, BTreeSet<ScopeKey>> = BTreeMap::new();
    for scope in scopes {
        by_kind.entry(scope.kind.clone()).or_default().insert(scope);
    }
    let mut wanted = BTreeMap::new();
    for (kind, scopes) in by_kind {
        if scopes.len() > MAX_NAMESPACES {
            wanted.insert((kind, None), scopes);
        } else {
            wanted.extend(
                scopes
                    .into_iter()
                    .map(|s| ((kind.clone(), s.namespace.clone()), BTreeSet::from([s]))),
            );
        }
    }
    wanted
}

fn start(
    engine: &Engine,
    catalog: &Catalog,
    key: &WatchKey,
    covered: BTreeSet<ScopeKey>,
) -> Option<Running> {
    let (kind, namespace) = key;
    let plural = catalog.resource(kind)?.plural.clone();
    let scope = WatchScope {
        kind: kind.clone(),
        plural,
        namespace: namespace.as_deref().map(str::to_owned),
    };
    tracing::debug!(%scope, "watching");
    let stopped = Arc::new(Mutex::new(false));
    let feed = Feed {
        index: Arc::clone(&engine.index),
        kind: kind.clone(),
        covered: covered.clone(),
        stopped: Arc::clone(&stopped),
    };
    let handle = cluster::watch::spawn(
        engine.watch_client.clone(),
        scope,
        engine.watch_options.clone(),
        Arc::new(feed),
    );
    Some(Running {
        handle,
        covered,
        stopped,
    })
}

impl Feed {
    /// An object's scope, if the watch covers it. One of the whole cluster also sees namespaces in which something was declared a
    /// moment ago: they have no schema yet, and compared without it a list with keys would be taken for one without.
    fn scope_of(&self, object: &Value) -> Option<&ScopeKey> {
        let namespace = object
            .get("metadata")
            .and_then(|m| m.get("namespace"))
            .and_then(Value::as_str);
        self.covered_in(namespace)
    }

    fn covered_in(&self, namespace: Option<&str>) -> Option<&ScopeKey> {
        let scope = ScopeKey::new(self.kind.clone(), namespace.map(Into::into));
        self.covered.get(&scope)
    }
}

impl Sink for Feed {
    fn on_event(&self, event: WatchEvent) {
        let stopped = self.stopped.lock();
        if *stopped {
            return;
        }
        match event {
            WatchEvent::Restarted => self.covered.iter().for_each(|s| self.index.restarted(s)),
            WatchEvent::Ready => self.covered.iter().for_each(|s| self.index.ready(s)),
            WatchEvent::Listed(object) => {
                if let Some(scope) = self.scope_of(&object) {
                    self.index.observe(scope, &object);
                }
            }
            WatchEvent::Applied(object) => {
                if let Some(scope) = self.scope_of(&object) {
                    self.index.applied(scope, &object);
                }
            }
            WatchEvent::Deleted(object) => {
                if let Some(scope) = self.scope_of(&object) {
                    self.index.gone(scope, &object);
                }
            }
            WatchEvent::Undecodable { identity, message } => {
                tracing::warn!(kind = %self.kind, ?identity, message, "an object cannot be read");
                if let Some(identity) = identity {
                    let namespace = identity.namespace.as_deref().filter(|n| !n.is_empty());
                    let id = ObjectId::new(self.kind.group_kind.clone(), namespace, &identity.name);
                    if let Some(scope) = self.covered_in(namespace) {
                        self.index.unreadable(scope, &id);
                    }
                }
            }
            WatchEvent::Failed { reason, message } => {
                tracing::warn!(kind = %self.kind, reason = reason.as_str(), message, "a watch is blind");
                let trouble = match reason {
                    FailureReason::Blind | FailureReason::Unauthorized => Unknown::Blind,
                    FailureReason::Forbidden => Unknown::Forbidden,
                    FailureReason::NotServed => Unknown::NotServed,
                };
                self.covered
                    .iter()
                    .for_each(|s| self.index.failed(s, trouble.clone()));
            }
            WatchEvent::Alive => {}
        }
    }
}

/// Keeps schemas and watches in step with what the server serves.
pub async fn follow_catalog(engine: Arc<Engine>) {
    let mut catalog = engine.catalog.subscribe();
    let mut definitions = engine.catalog.definitions();
    loop {
        let mut only_schemas = false;
        tokio::select! {
            changed = catalog.changed() => if changed.is_err() { return },
            // A definition's schema changes without changing what is served.
            changed = definitions.changed() => {
                if changed.is_err() {
                    return;
                }
                only_schemas = true;
            }
            // And so does that of a kind of the API server's own with an upgrade.
            () = tokio::time::sleep(Duration::from_secs(600)) => {}
            () = engine.watches.unpublished.notified() => tokio::time::sleep(AGAIN).await,
        }
        let refreshed = engine.watches.refresh(&engine).await;
        if let Err(error) = &refreshed {
            tracing::warn!(%error, "schemas could not be read again");
        }
        if only_schemas && refreshed.is_ok_and(|changed| !changed) {
            continue;
        }
        forget_unused_answers(&engine);
        engine.watches.retry();
        if let Err(error) = engine.watches.sync(&engine).await {
            tracing::warn!(%error, "watches could not be brought into step");
        }
    }
}

/// Answers about accounts and kinds that no policy needs any more are not asked for again.
fn forget_unused_answers(engine: &Engine) {
    let catalog = engine.catalog.catalog();
    let mut used = HashSet::new();
    for policy in engine.registry.all() {
        let view = policy.view.lock().clone();
        let Some(account) = view.account else {
            continue;
        };
        for scope in view
            .targets
            .iter()
            .flat_map(|t| engine.index.scopes_of(t.id))
        {
            if let Some(resource) = catalog.resource(&scope.kind) {
                used.insert(Question {
                    account: account.clone(),
                    group: scope.kind.group_kind.group.to_string(),
                    plural: resource.plural.clone(),
                    namespace: scope.namespace.as_deref().map(str::to_owned),
                });
            }
        }
    }
    engine.access.retain(|question| used.contains(question));
}

#[cfg(test)]
mod tests {
    use cluster::index::{Batch, Declaration, Revision, TargetId};
    use cluster::store::BlobWriter;
    use drift::{DeclaredObject, GroupKind, Provenance, Undeclared};
    use serde_json::json;

    use super::*;

    fn scope(namespace: &str) -> ScopeKey {
        let kind = GroupVersionKind::new("", "v1", "Service");
        ScopeKey::new(kind, Some(namespace.into()))
    }

    /// An index in which a Service is declared in a namespace.
    fn declared(namespace: &str) -> (Arc<Index>, Value) {
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace}, "spec": {"ports": [{"port": 80}]}});
        let id = ObjectId::new(GroupKind::new("", "Service"), Some(namespace), "web");
        let mut writer = BlobWriter::new().expect("a file");
        let provenance = Provenance {
            file: "web.yaml".into(),
            document: 1,
            line: 1,
        };
        let (blob, digest) = writer
            .push(&DeclaredObject {
                object: object.clone(),
                provenance,
                lines: vec![],
                unstable: vec![],
                encrypted: false,
            })
            .expect("written");
        let index = Arc::new(Index::new());
        let batch = Batch {
            revision: Revision {
                name: "main@1".into(),
                inputs: "sha256:1".into(),
            },
            undeclared: Undeclared::Report,
            blobs: writer.finish().expect("finished"),
            declarations: vec![Declaration {
                id,
                kind: scope(namespace).kind,
                blob,
                digest,
            }],
            complete: true,
            elsewhere: false,
            denied: HashMap::new(),
        };
        index.declare(TargetId(1), batch);
        (index, object)
    }

    #[test]
    fn a_service_declared_while_the_clusters_services_were_listed_was_compared_without_a_schema() {
        let (index, mut live) = declared("new");
        live["spec"]["ports"] = json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]);
        live["metadata"]["resourceVersion"] = "7".into();
        let feed = |covered: &[&str]| Feed {
            index: Arc::clone(&index),
            kind: scope("new").kind,
            covered: covered.iter().map(|n| scope(n)).collect(),
            stopped: Arc::default(),
        };
        let version = || index.beliefs(&scope("new"))[0].1.version;
        let events = [
            WatchEvent::Listed(live.clone()),
            WatchEvent::Applied(live.clone()),
            WatchEvent::Deleted(live.clone()),
        ];
        for event in events {
            feed(&["old"]).on_event(event);
            assert_eq!(version(), 0);
        }
        feed(&["new", "old"]).on_event(WatchEvent::Applied(live));
        assert_eq!(version(), 7);
    }
}
