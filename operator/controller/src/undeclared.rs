//! Objects that nobody declares: where policies ask about them, and what has to be found out before one is told: whether its owner
//! lives, and what Argo CD and Flux list as theirs. Nothing is watched or read for that while no policy asks.

mod owners;
mod tools;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cluster::discovery::Catalog;
use cluster::index::{ScopeKey, TargetId};
use drift::{GroupKind, ObjectId};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::engine::Engine;
use crate::policy::{Look, TargetSpec};
use crate::targets::{Target, read_one, reread};

/// Objects that are looked at again in one go.
const AT_ONCE: usize = 1000;
/// Reads of objects at a time before they are told.
const READS: usize = 4;
/// The wait before owners are asked about again that could not be.
const AGAIN: Duration = Duration::from_secs(10);

/// Who asks, and the watches for that.
pub struct Beyond {
    asking: Mutex<HashSet<TargetId>>,
    tools: tools::Watches,
    reads: Semaphore,
}

impl Default for Beyond {
    fn default() -> Self {
        Self {
            asking: Mutex::default(),
            tools: tools::Watches::default(),
            reads: Semaphore::new(READS),
        }
    }
}

/// What a target asks, as its status needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks {
    kinds: Vec<GroupKind>,
    /// Those that the cluster does not serve.
    pub unserved: Vec<GroupKind>,
}

impl Asks {
    pub fn of(spec: &TargetSpec) -> Self {
        let kinds = spec.objects.iter().flat_map(|l| l.kinds.clone());
        let mut kinds: Vec<GroupKind> = kinds.collect();
        kinds.sort();
        kinds.dedup();
        Self {
            kinds,
            unserved: Vec::new(),
        }
    }

    /// True if it asks anything.
    pub fn is_any(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// True if it asks about Secrets.
    pub fn is_about_secrets(&self) -> bool {
        self.kinds.iter().any(GroupKind::is_secret)
    }

    pub fn find_unserved(&mut self, catalog: &Catalog) {
        let unserved = |k: &&GroupKind| catalog.versions(k).is_empty();
        self.unserved = self.kinds.iter().filter(unserved).cloned().collect();
    }
}

/// Brings what is looked at into step with what a target asks.
pub fn look(engine: &Arc<Engine>, catalog: &Catalog, target: &Target) {
    if !target.view.asks.is_any() {
        return look_away(engine, target.id);
    }
    engine.beyond.asking.lock().insert(target.id);
    engine.beyond.tools.sync(engine, catalog);
    let scopes = if is_ready(target, engine) {
        scopes(&target.spec.objects, catalog)
    } else {
        HashSet::new()
    };
    for unlisted in engine.index.look(target.id, &scopes) {
        engine.watches.relist(&unlisted);
    }
}

/// A target asks no more.
pub fn look_away(engine: &Engine, target: TargetId) {
    let mut asking = engine.beyond.asking.lock();
    if asking.remove(&target) {
        engine.index.look(target, &HashSet::new());
        if asking.is_empty() {
            engine.beyond.tools.stop();
            engine.index.forget_tools();
        }
    }
}

/// Not before it has declared something itself, and before it is known what Argo CD and Flux list: a list that came before would be
/// taken for what nobody declares.
fn is_ready(target: &Target, engine: &Engine) -> bool {
    target.view.revision.is_some() && engine.index.knows_tools()
}

/// True while a target asks, and it cannot be looked yet.
pub fn waits(target: &Target, engine: &Engine) -> bool {
    target.view.asks.is_any() && target.view.revision.is_some() && !engine.index.knows_tools()
}

fn scopes(looks: &[Look], catalog: &Catalog) -> HashSet<ScopeKey> {
    let of = |kind: &GroupKind, namespaces: &[String]| -> Vec<ScopeKey> {
        let Some(kind) = catalog.versions(kind).into_iter().next() else {
            return Vec::new();
        };
        if !catalog.resource(&kind).is_some_and(|r| r.namespaced) {
            return vec![ScopeKey::new(kind, None)];
        }
        let scope = |n: &String| ScopeKey::new(kind.clone(), Some(n.as_str().into()));
        namespaces.iter().map(scope).collect()
    };
    let each = |look: &Look| {
        let kinds = look.kinds.iter();
        kinds
            .flat_map(|k| of(k, &look.namespaces))
            .collect::<Vec<_>>()
    };
    looks.iter().flat_map(each).collect()
}

/// Reads an object that is about to be told as declared by nobody once more: no list and no read that was overtaken may make one up.
pub async fn confirm(engine: &Engine, target: TargetId, id: &ObjectId) {
    let Some((scope, _)) = engine.index.undeclared(target, id) else {
        return;
    };
    let Ok(_turn) = engine.beyond.reads.acquire().await else {
        return;
    };
    if let Err(error) = read_one(engine, &engine.catalog.catalog(), &scope, id).await {
        tracing::warn!(%error, "an object that nobody declares could not be read once more");
    }
}

/// Looks again at what has to be, and asks about owners.
pub async fn run(engine: Arc<Engine>) {
    loop {
        engine.index.wondered().await;
        loop {
            let again = engine.index.take_wondered(AT_ONCE);
            let questions = engine.index.take_owner_questions(AT_ONCE);
            if again.is_empty() && questions.is_empty() {
                break;
            }
            reread(Arc::clone(&engine), again).await;
            let open = owners::ask(&engine, questions).await;
            if !open.is_empty() {
                let engine = Arc::clone(&engine);
                tokio::spawn(async move {
                    tokio::time::sleep(AGAIN).await;
                    open.into_iter()
                        .for_each(|q| engine.index.ask_owner_again(q));
                });
            }
        }
    }
}
