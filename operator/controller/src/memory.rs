//! What the operator remembers across restarts: baselines and residues, kept in a few ConfigMaps of its own namespace. They hold
//! hashes, revisions, paths and the names of orphans, no values.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::index::{Snapshot, TargetId};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use parking_lot::Mutex;
use serde_json::json;

use crate::deliver::inventory;
use crate::engine::Engine;
use crate::targets::reread;

/// How many ConfigMaps there are; the chart grants them one by one.
pub const SHARDS: u64 = 8;
/// How often it is looked whether something has changed, and how long after it was saved a target is not saved again.
const LOOK: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(20);
/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes of a ConfigMap; the API server takes 1 MiB.
const SHARD_BYTES: usize = 900 << 10;

/// The memory as it was last saved or read.
#[derive(Debug, Default)]
pub struct Memory {
    shards: Mutex<HashMap<u64, BTreeMap<String, ByteString>>>,
    loaded: tokio::sync::OnceCell<()>,
    /// What the replica that led before has saved was taken over. Before that nothing is saved: it would be written over.
    taken_over: AtomicBool,
    /// When each target was last saved.
    saved: Mutex<HashMap<TargetId, Instant>>,
}

/// The key of a target: unique, and a valid key of a ConfigMap.
pub fn key(policy_uid: &str, target: &str) -> String {
    format!("{policy_uid}.{target}")
}

fn shard_of(key: &str) -> u64 {
    key.bytes().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    }) % SHARDS
}

fn name(engine: &Engine, shard: u64) -> String {
    format!("{}-memory-{shard}", engine.options.lease_name)
}

impl Memory {
    /// What is remembered of a target. Waits for the memory to be read, once.
    ///
    /// # Errors
    /// Where it cannot be read now, and that may be bad luck.
    pub async fn of(
        &self,
        engine: &Engine,
        policy_uid: &str,
        target: &str,
    ) -> Result<Option<Snapshot>, Unread> {
        self.loaded.get_or_try_init(|| self.load(engine)).await?;
        Ok(self.remembered(policy_uid, target))
    }

    fn remembered(&self, policy_uid: &str, target: &str) -> Option<Snapshot> {
        let key = key(policy_uid, target);
        let shards = self.shards.lock();
        let bytes = shards.get(&shard_of(&key))?.get(&key)?;
        match serde_json::from_slice(&bytes.0) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                tracing::warn!(%error, key, "what was remembered of a target cannot be read; its baselines are unknown");
                None
            }
        }
    }

    async fn load(&self, engine: &Engine) -> Result<(), Unread> {
        for shard in 0..SHARDS {
            match read(engine, shard).await {
                Ok(data) => drop(self.shards.lock().insert(shard, data)),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, shard, "what was remembered cannot be read; baselines are unknown until objects are in sync");
                }
            }
        }
        Ok(())
    }

    /// Takes over what the replica that led before has saved.
    ///
    /// # Errors
    /// Where that cannot be read now, and that may be bad luck.
    pub async fn take_over(&self, engine: &Arc<Engine>) -> Result<(), Unread> {
        self.load(engine).await?;
        self.loaded.get_or_init(|| async {}).await;
        for policy in engine.registry.all() {
            let view = policy.view.lock().clone();
            for target in &view.targets {
                let Some(snapshot) = self.remembered(&policy.uid, &target.name) else {
                    continue;
                };
                let rereads = engine.index.adopt(target.id, snapshot);
                if !rereads.is_empty() {
                    reread(Arc::clone(engine), rereads).await;
                }
            }
        }
        self.taken_over.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Saves what changed, for as long as the operator runs and this replica leads.
    pub async fn run(engine: Arc<Engine>) {
        let mut leading = engine.leading.clone();
        loop {
            if !*leading.borrow() {
                engine.memory.taken_over.store(false, Ordering::Relaxed);
            }
            if leading.wait_for(|leads| *leads).await.is_err() {
                return;
            }
            tokio::time::sleep(LOOK).await;
            if *leading.borrow() {
                engine.memory.save(&engine).await;
                inventory::save(&engine).await;
            }
        }
    }

    async fn save(&self, engine: &Engine) {
        if !self.taken_over.load(Ordering::Relaxed) {
            return;
        }
        let mut changed: HashMap<u64, BTreeMap<String, Option<ByteString>>> = HashMap::new();
        let mut taken = Vec::new();
        let mut known = Vec::new();
        // First: a policy that is listed meanwhile is among all of them.
        let is_listed = engine.registry.is_listed();
        // Of a policy that is wrong, or has not got that far, it is not known which targets it has.
        let mut unknown = Vec::new();
        for policy in engine.registry.all() {
            let view = policy.view.lock().clone();
            if view.targets.is_empty() {
                unknown.push(policy.uid.clone());
            }
            for target in &view.targets {
                let key = key(&policy.uid, &target.name);
                known.push(key.clone());
                known.push(inventory::key(&key));
                if target.ready.is_none() || !engine.index.is_settled(target.id) {
                    continue;
                }
                let recently = |at: &Instant| at.elapsed() < PAUSE;
                if self.saved.lock().get(&target.id).is_some_and(recently) {
                    continue;
                }
                let Some(snapshot) = engine.index.snapshot(target.id) else {
                    continue;
                };
                self.saved.lock().insert(target.id, Instant::now());
                taken.push(target.id);
                if let Ok(bytes) = serde_json::to_vec(&snapshot) {
                    let shard = changed.entry(shard_of(&key)).or_default();
                    shard.insert(key, Some(ByteString(bytes)));
                }
            }
        }
        if is_listed {
            let stays = |key: &str| {
                known.iter().any(|k| k == key) || unknown.iter().any(|uid| key.starts_with(&**uid))
            };
            self.drop_unknown(stays, &mut changed);
        }
        let pause = |_: &TargetId, at: &mut Instant| at.elapsed() < PAUSE;
        self.saved.lock().retain(pause);
        for (shard, changes) in changed {
            if let Err(error) = self.write(engine, shard, changes).await {
                tracing::warn!(%error, shard, "what is to be remembered could not be saved; trying again");
                taken
                    .iter()
                    .for_each(|target| engine.index.not_saved(*target));
            }
        }
    }

    /// What is kept under a key; `None` before it was taken over from whoever led before.
    pub fn kept(&self, key: &str) -> Option<Vec<u8>> {
        if !self.taken_over.load(Ordering::Relaxed) {
            return None;
        }
        let shards = self.shards.lock();
        let kept = shards.get(&shard_of(key)).and_then(|s| s.get(key));
        Some(kept.map(|bytes| bytes.0.clone()).unwrap_or_default())
    }

    /// All keys; `None` before it was taken over from whoever led before.
    pub fn keys(&self) -> Option<Vec<String>> {
        if !self.taken_over.load(Ordering::Relaxed) {
            return None;
        }
        let shards = self.shards.lock();
        let keys = shards.values().flat_map(BTreeMap::keys).cloned();
        Some(keys.collect())
    }

    /// Keeps something under a key.
    ///
    /// # Errors
    /// Where it cannot be saved.
    pub async fn keep(&self, engine: &Engine, key: &str, bytes: Vec<u8>) -> Result<(), String> {
        let change = BTreeMap::from([(key.to_owned(), Some(ByteString(bytes)))]);
        self.write(engine, shard_of(key), change).await
    }

    /// What belongs to policies that are gone goes too.
    fn drop_unknown(
        &self,
        stays: impl Fn(&str) -> bool,
        changed: &mut HashMap<u64, BTreeMap<String, Option<ByteString>>>,
    ) {
        for (shard, data) in self.shards.lock().iter() {
            for gone in data.keys().filter(|k| !stays(k)) {
                changed
                    .entry(*shard)
                    .or_default()
                    .insert(gone.clone(), None);
            }
        }
    }

    async fn write(
        &self,
        engine: &Engine,
        shard: u64,
        changes: BTreeMap<String, Option<ByteString>>,
    ) -> Result<(), String> {
        let mut data = self.shards.lock().get(&shard).cloned().unwrap_or_default();
        let mut patch = BTreeMap::new();
        for (key, value) in changes {
            match &value {
                Some(bytes) => data.insert(key.clone(), bytes.clone()),
                None => data.remove(&key),
            };
            patch.insert(key, value);
        }
        if size(&data) > SHARD_BYTES {
            let dropped = make_room(&mut data, &mut patch);
            engine.metrics.residues_dropped.inc_by(dropped);
            tracing::warn!(
                shard,
                dropped,
                "there is no room to remember what objects of these targets have beyond their declarations; after a restart some of that will be unverified"
            );
        }
        let bytes = size(&data);
        if bytes > SHARD_BYTES {
            return Err(format!("{bytes} bytes are more than a ConfigMap holds"));
        }
        let api: Api<ConfigMap> = Api::namespaced(engine.client.clone(), &engine.options.namespace);
        let name = name(engine, shard);
        let body = Patch::Merge(json!({"binaryData": patch}));
        let params = PatchParams::default();
        match bounded(api.patch(&name, &params, &body)).await {
            Ok(_) => {}
            Err(Some(kube::Error::Api(status))) if status.code == 404 => {
                let map = ConfigMap {
                    metadata: kube::api::ObjectMeta {
                        name: Some(name),
                        ..Default::default()
                    },
                    binary_data: Some(data.clone()),
                    ..ConfigMap::default()
                };
                let created = bounded(api.create(&PostParams::default(), &map)).await;
                created.map_err(|e| said(e.as_ref()))?;
            }
            Err(error) => return Err(said(error.as_ref())),
        }
        engine.metrics.writes("memory").inc();
        self.shards.lock().insert(shard, data);
        Ok(())
    }
}

/// The bytes of a ConfigMap that holds this. Base64 makes four bytes of three.
fn size(data: &BTreeMap<String, ByteString>) -> usize {
    data.iter()
        .map(|(k, v)| k.len() + v.0.len().div_ceil(3) * 4)
        .sum()
}

/// Leaves out what is needed least, of the largest targets first, until the rest has room: without its residues a target keeps its
/// baselines. Gives how many targets that took.
fn make_room(
    data: &mut BTreeMap<String, ByteString>,
    patch: &mut BTreeMap<String, Option<ByteString>>,
) -> u64 {
    let mut largest: Vec<(usize, String)> =
        data.iter().map(|(k, v)| (v.0.len(), k.clone())).collect();
    largest.sort_by(|a, b| b.cmp(a));
    let mut dropped = 0;
    for (_, key) in largest {
        if size(data) <= SHARD_BYTES {
            break;
        }
        let Some(bytes) = data.get_mut(&key) else {
            continue;
        };
        let Ok(mut snapshot) = serde_json::from_slice::<Snapshot>(&bytes.0) else {
            continue;
        };
        if snapshot.residues.is_empty() {
            continue;
        }
        snapshot.residues.clear();
        snapshot.partial.clear();
        snapshot.all_partial = true;
        if let Ok(text) = serde_json::to_vec(&snapshot) {
            *bytes = ByteString(text);
            patch.insert(key, Some(bytes.clone()));
            dropped += 1;
        }
    }
    dropped
}

/// Why what was remembered could not be read; without a cause where no answer came in time.
#[derive(Debug, thiserror::Error)]
#[error("{}", said(.0.as_ref()))]
pub struct Unread(Option<kube::Error>);

impl Unread {
    fn is_retryable(&self) -> bool {
        match &self.0 {
            Some(kube::Error::Api(status)) => status.code >= 500 || status.code == 429,
            // No answer, or none that came whole.
            _ => true,
        }
    }
}

async fn read(engine: &Engine, shard: u64) -> Result<BTreeMap<String, ByteString>, Unread> {
    let api: Api<ConfigMap> = Api::namespaced(engine.client.clone(), &engine.options.namespace);
    let map = bounded(api.get_opt(&name(engine, shard))).await;
    let map = map.map_err(Unread)?;
    Ok(map.and_then(|m| m.binary_data).unwrap_or_default())
}

/// `None` where no answer came in time.
async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Option<kube::Error>> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(answer) => answer.map_err(Some),
        Err(_) => Err(None),
    }
}

fn said(error: Option<&kube::Error>) -> String {
    match error {
        Some(error) => error.to_string(),
        None => format!("no answer within {} s", DEADLINE.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One target with too much to remember kept all others of its ConfigMap from being saved, for ever.
    #[test]
    fn a_target_with_too_much_to_remember_loses_its_residues_and_nobody_a_baseline() {
        let snapshot = |hashes: u64| Snapshot {
            revision: "main@1".to_owned(),
            residues: vec![cluster::index::Shared {
                hashes: (0..hashes).map(|n| u64::MAX - n).collect(),
                objects: vec![1],
            }],
            rewritten: vec![7],
            ..Snapshot::default()
        };
        let bytes = |s: &Snapshot| ByteString(serde_json::to_vec(s).expect("text"));
        let mut data = BTreeMap::from([
            ("small".to_owned(), bytes(&snapshot(10))),
            ("large".to_owned(), bytes(&snapshot(60_000))),
        ]);
        assert!(size(&data) > SHARD_BYTES);
        let mut patch = BTreeMap::new();
        assert_eq!(make_room(&mut data, &mut patch), 1);
        assert!(size(&data) <= SHARD_BYTES);
        assert_eq!(patch.keys().collect::<Vec<_>>(), ["large"]);
        let read: Snapshot = serde_json::from_slice(&data["large"].0).expect("reads back");
        assert_eq!(
            (read.revision.as_str(), read.rewritten),
            ("main@1", vec![7])
        );
        assert!(read.all_partial && read.residues.is_empty());
    }

    /// One slow answer at the start, and what was remembered was written over with nothing.
    #[test]
    fn what_may_be_bad_luck_is_read_again_and_what_is_forbidden_is_not() {
        let status = |code| {
            let status = kube::core::Status::failure("", "").with_code(code);
            Unread(Some(kube::Error::Api(status.boxed()))).is_retryable()
        };
        assert!(Unread(None).is_retryable());
        assert!(status(503) && status(429));
        assert!(!status(403) && !status(404));
    }

    #[test]
    fn a_target_has_one_place_and_a_valid_key() {
        let key = key("0b0c7a52-31f0-4d5e-a4d8-0f6a7e1f2a33", "network");
        assert!(
            key.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        );
        assert_eq!(shard_of(&key), shard_of(&key));
        assert!(shard_of(&key) < SHARDS);
    }
}
