//! Objects that nobody declares: where policies ask about them, and what has to be found out before one is told: whether its owner
//! lives, and what Argo CD and Flux list as theirs. Nothing is watched or read for that while no policy asks, or may put something
//! back that these heal.

mod owners;
mod tools;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::access::Decision;
use cluster::discovery::Catalog;
use cluster::index::{ScopeKey, TargetId};
use drift::{GroupKind, ObjectId};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::engine::Engine;
use crate::healers::Healers;
use crate::policy::{Look, PolicyKey, TargetSpec};
use crate::targets::{Target, read_one, reread};

/// Objects that are looked at again in one go.
const AT_ONCE: usize = 1000;
/// Reads of objects at a time before they are told.
const READS: usize = 4;
/// How often it is looked whether it is known now what all policies declare.
const UNDECIDED: Duration = Duration::from_secs(5);
/// How long that may take before the target that waits says so.
const UNHEARD: Duration = Duration::from_secs(60);
/// The wait before owners are asked about again that could not be.
const AGAIN: Duration = Duration::from_secs(10);

/// Who asks, and the watches for that.
pub struct Beyond {
    asking: Mutex<HashSet<TargetId>>,
    tools: tools::Watches,
    reads: Semaphore,
    /// Objects that are about to be told.
    waiting: Mutex<HashSet<(TargetId, ObjectId)>>,
    /// Targets that wait for what a policy declares: and when that was last so.
    blocked: Mutex<HashMap<TargetId, (PolicyKey, Instant)>>,
}

impl Default for Beyond {
    fn default() -> Self {
        Self {
            asking: Mutex::default(),
            tools: tools::Watches::default(),
            reads: Semaphore::new(READS),
            waiting: Mutex::default(),
            blocked: Mutex::default(),
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

    /// True if it asks about a kind that the cluster serves.
    pub fn is_served(&self) -> bool {
        self.unserved.len() < self.kinds.len()
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

impl Beyond {
    /// What deployers put back by themselves.
    pub fn healers(&self) -> &Arc<Healers> {
        &self.tools.healers
    }
}

/// Brings what is looked at into step with what a target asks; `writes` where it may be to be put back, or that is previewed.
pub fn look(engine: &Arc<Engine>, catalog: &Catalog, target: &mut Target, writes: bool) {
    target.waits_for_tools = false;
    let asks = target.view.asks.is_any();
    if !asks && !writes {
        return look_away(engine, target.id);
    }
    engine.beyond.asking.lock().insert(target.id);
    engine.beyond.tools.sync(engine, catalog);
    if !asks {
        engine.index.look(target.id, &HashSet::new());
        return;
    }
    engine.index.review_unserved_owners();
    // Not before it has declared something itself, and before it is known what Argo CD and Flux list: a list that came before would
    // be taken for what nobody declares.
    let known = engine.index.knows_tools();
    target.waits_for_tools = !known;
    let scopes = if known && target.view.revision.is_some() {
        scopes(&target.spec.objects, catalog)
    } else {
        HashSet::new()
    };
    for unlisted in engine.index.look(target.id, &scopes) {
        engine.watches.relist(&unlisted);
    }
}

/// A target asks no more, and nothing of it is put back.
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

/// Has an object told as declared by nobody once it has been so for long enough: not before it is known what all policies declare that may declare it, and
/// not without a last look at it.
pub fn tell(engine: &Arc<Engine>, target: TargetId, id: &ObjectId, least: Duration) {
    let waiting = (target, id.clone());
    if !engine.beyond.waiting.lock().insert(waiting.clone()) {
        return;
    }
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        // It may go and come again meanwhile.
        while let Some(rest) = rest(&engine, target, &waiting.1, least) {
            tokio::time::sleep(rest).await;
        }
        while !is_confirmed(&engine, target, &waiting.1).await {
            tokio::time::sleep(UNDECIDED).await;
        }
        engine.beyond.waiting.lock().remove(&waiting);
        engine.index.ripen(target, &waiting.1);
    });
}

/// What is left of the time for which an object has to be there.
fn rest(engine: &Engine, target: TargetId, id: &ObjectId, least: Duration) -> Option<Duration> {
    let since = engine.leaving.since(target, id)?;
    let waited = Timestamp::now().duration_since(since).unsigned_abs();
    least.checked_sub(waited).filter(|rest| !rest.is_zero())
}

/// False while it is not known that nobody declares an object. What is not there any more, or is declared, needs no confirmation.
async fn is_confirmed(engine: &Engine, target: TargetId, id: &ObjectId) -> bool {
    let Some((scope, _)) = engine.index.undeclared(target, id) else {
        return true;
    };
    if let Some(policy) = undecided(engine, &scope, None).await {
        let mut blocked = engine.beyond.blocked.lock();
        blocked.insert(target, (policy, Instant::now()));
        drop(blocked);
        if let Some((policy, _)) = engine.registry.target(target) {
            engine.registry.touch(&policy.key);
        }
        return false;
    }
    engine.beyond.blocked.lock().remove(&target);
    let Ok(_turn) = engine.beyond.reads.acquire().await else {
        return false;
    };
    let read = read_one(engine, &engine.catalog.catalog(), &scope, id).await;
    if let Err(error) = &read {
        tracing::warn!(%error, "an object that nobody declares could not be read once more; trying again");
    }
    read.is_ok()
}

/// A policy besides one of which it is not known what it declares, and whose account may look at a scope: what it declared elsewhere
/// would not count.
pub async fn undecided(
    engine: &Engine,
    scope: &ScopeKey,
    besides: Option<&PolicyKey>,
) -> Option<PolicyKey> {
    if !engine.registry.is_listed() {
        return Some(PolicyKey::default());
    }
    let catalog = engine.catalog.catalog();
    let resource = catalog.resource(&scope.kind)?;
    for policy in engine.registry.undecided() {
        if besides == Some(&policy.key) {
            continue;
        }
        let account = policy.view.lock().account.clone();
        let Some(account) = account else {
            return Some(policy.key.clone());
        };
        let group = &scope.kind.group_kind.group;
        let namespace = scope.namespace.as_deref();
        let access = &engine.access;
        let decision = access.may_list(&account, group, &resource.plural, namespace);
        if decision.await != Decision::Denied {
            return Some(policy.key.clone());
        }
    }
    None
}

/// The policy for which objects of a target have been waiting for long.
pub fn waits_for(engine: &Engine, target: TargetId) -> Option<PolicyKey> {
    let blocked = engine.beyond.blocked.lock();
    let (policy, at) = blocked.get(&target)?;
    let known = engine.registry.get(policy)?;
    let holds = known.begun.elapsed() > UNHEARD && at.elapsed() < UNDECIDED * 3;
    holds.then(|| policy.clone())
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
