//! What was delivered: which objects, by uid, of each target. It is kept in the operator's memory, so that the next leader knows.
//!
//! An object that was delivered a moment before a crash may not be in it; then it is not pruned, and told as an orphan.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use drift::{GroupVersionKind, ObjectId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::Engine;
use crate::memory;
use crate::registry::PolicyState;

/// An object that was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    #[serde(rename = "v")]
    pub api_version: String,
    #[serde(rename = "k")]
    pub kind: String,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(rename = "n")]
    pub name: String,
    #[serde(rename = "u")]
    pub uid: String,
}

impl Delivered {
    /// Its kind, in the version that it was delivered in.
    pub fn kind(&self) -> Option<GroupVersionKind> {
        GroupVersionKind::parse(&self.api_version, &self.kind)
    }

    fn id(&self) -> Option<ObjectId> {
        let kind = self.kind()?;
        let namespace = self.namespace.as_deref();
        Some(ObjectId::new(kind.group_kind, namespace, &self.name))
    }
}

/// What a target has delivered, by object.
pub type Inventory = BTreeMap<ObjectId, Delivered>;

/// What is not saved yet, by key: an object that was delivered, or that is gone.
#[derive(Debug, Default)]
pub struct News(Mutex<HashMap<String, Changes>>);

type Changes = BTreeMap<ObjectId, Option<Delivered>>;

const ENDING: &str = ".delivered";

/// The key of a target's inventory, from that of its memory.
pub fn key(of_target: &str) -> String {
    format!("{of_target}{ENDING}")
}

fn key_of(policy: &PolicyState, target: &str) -> String {
    key(&memory::key(&policy.uid, target))
}

/// The targets of a policy of which something is known to have been delivered; `None` while that is not known.
pub fn targets(engine: &Engine, policy_uid: &str) -> Option<BTreeSet<String>> {
    let prefix = memory::key(policy_uid, "");
    let target = |key: &str| {
        let target = key.strip_prefix(&prefix)?.strip_suffix(ENDING)?;
        Some(target.to_owned())
    };
    let kept = engine.memory.keys()?;
    let news = engine.delivering.news.0.lock();
    let all = kept.iter().chain(news.keys());
    Some(all.filter_map(|key| target(key)).collect())
}

/// Notes that an object was delivered.
pub fn note(
    engine: &Engine,
    policy: &PolicyState,
    target: &str,
    id: &ObjectId,
    kind: &GroupVersionKind,
    live: &Value,
) {
    let uid = live.get("metadata").and_then(|m| m.get("uid"));
    let Some(uid) = uid.and_then(Value::as_str) else {
        return;
    };
    let delivered = Delivered {
        api_version: kind.api_version(),
        kind: id.group_kind.kind.to_string(),
        namespace: id.namespace.as_deref().map(str::to_owned),
        name: id.name.to_string(),
        uid: uid.to_owned(),
    };
    change(engine, policy, target, id, Some(delivered));
}

/// Notes that an object is gone, or is another one.
pub fn forget(engine: &Engine, policy: &PolicyState, target: &str, id: &ObjectId) {
    change(engine, policy, target, id, None);
}

fn change(
    engine: &Engine,
    policy: &PolicyState,
    target: &str,
    id: &ObjectId,
    what: Option<Delivered>,
) {
    let mut news = engine.delivering.news.0.lock();
    let changes = news.entry(key_of(policy, target)).or_default();
    changes.insert(id.clone(), what);
}

/// What a target has delivered; `None` while that is not known.
pub fn of(engine: &Engine, policy: &PolicyState, target: &str) -> Option<Inventory> {
    let key = key_of(policy, target);
    let mut all = read(&engine.memory.kept(&key)?);
    if let Some(changes) = engine.delivering.news.0.lock().get(&key) {
        amend(&mut all, changes);
    }
    Some(all)
}

/// Saves what is new.
pub async fn save(engine: &Engine) {
    let keys: Vec<String> = engine.delivering.news.0.lock().keys().cloned().collect();
    for key in keys {
        let Some(before) = engine.memory.kept(&key) else {
            return;
        };
        let Some(changes) = engine.delivering.news.0.lock().get(&key).cloned() else {
            continue;
        };
        let mut all = read(&before);
        amend(&mut all, &changes);
        let text = serde_json::to_vec(&all.values().collect::<Vec<_>>()).unwrap_or_default();
        if text != before
            && let Err(error) = engine.memory.keep(engine, &key, text).await
        {
            tracing::warn!(%error, key, "what was delivered could not be noted down; trying again");
            continue;
        }
        let mut news = engine.delivering.news.0.lock();
        if let Some(now) = news.get_mut(&key) {
            now.retain(|id, what| changes.get(id) != Some(what));
            if now.is_empty() {
                news.remove(&key);
            }
        }
    }
}

fn read(bytes: &[u8]) -> Inventory {
    let all: Vec<Delivered> = serde_json::from_slice(bytes).unwrap_or_default();
    let with_id = |d: Delivered| Some((d.id()?, d));
    all.into_iter().filter_map(with_id).collect()
}

fn amend(all: &mut Inventory, changes: &Changes) {
    for (id, what) in changes {
        match what {
            Some(delivered) => all.insert(id.clone(), delivered.clone()),
            None => all.remove(id),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_reads_back() {
        let text = br#"[{"v":"apps/v1","k":"Deployment","s":"shop","n":"web","u":"1"},{"v":"v1","k":"Namespace","n":"shop","u":"2"}]"#;
        let all = read(text);
        let again = serde_json::to_vec(&all.values().collect::<Vec<_>>()).expect("text");
        assert_eq!(read(&again), all);
        assert_eq!(all.len(), 2);
        assert!(read(b"nonsense").is_empty());
    }
}
