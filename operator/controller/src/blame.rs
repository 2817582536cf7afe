//! Who wrote the lines that drifted. Asked of the worker aside, so that no record waits for it; a record is amended once the
//! answer is there.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::index::TargetId;
use declared::{
    Blame, BlameLimits, BlameRequest, Category, DeepenRequest, FetchRequest, LineAt, LineOrigin,
    RepositoryKey,
};
use drift::ObjectId;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::engine::Engine;

/// Lines that wait at most; more are asked about when their object is looked at again.
const WAITING: usize = 10_000;
/// Answers that are kept at most.
const KNOWN: usize = 20_000;
/// How many commits back is looked.
const DEPTH: u32 = 500;
/// How long one fetch of history may take, whatever the source allows.
const FETCH: Duration = Duration::from_secs(60);
/// How long to wait for more lines of the same commit.
const GATHER: Duration = Duration::from_millis(200);
/// Repositories looked into at the same time, so that a slow server holds up nobody else.
const AT_ONCE: usize = 2;
/// The wait before a line is asked about again that could not be answered, and how often it is.
const AGAIN: (Duration, u32) = (Duration::from_secs(30), 3);
/// The wait after a fetch of history that failed, and after one that was too large.
const AFTER_FAILURE: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(3600));

/// Where a policy's declarations come from.
#[derive(Debug, Clone)]
pub struct History {
    pub fetch: Arc<FetchRequest>,
    pub repository: RepositoryKey,
}

/// A line of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    repository: RepositoryKey,
    commit: String,
    at: LineAt,
}

/// A line that waits for its answer, and the objects whose records do.
#[derive(Debug)]
struct Asked {
    key: Key,
    fetch: Arc<FetchRequest>,
    objects: Vec<(TargetId, ObjectId)>,
    times: u32,
}

/// All lines asked about.
#[derive(Debug, Default)]
pub struct Blames {
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<Key, Option<LineOrigin>>,
    /// The order in which answers came, so that the oldest go first.
    order: VecDeque<Key>,
    waiting: VecDeque<Asked>,
    /// Repositories that are being looked into.
    busy: HashSet<RepositoryKey>,
    /// Until when no history is fetched.
    not_before: HashMap<RepositoryKey, Instant>,
}

/// The commit that a revision's name ends with.
pub fn commit_of(revision: &str) -> Option<&str> {
    let (_, commit) = revision.rsplit_once("sha1:")?;
    (commit.len() == 40).then_some(commit)
}

impl Blames {
    /// Who wrote a line, if that is known by now; else it is asked, and the object looked at again once it is.
    pub fn written(
        &self,
        history: &History,
        revision: &str,
        at: LineAt,
        object: (TargetId, &ObjectId),
    ) -> Option<LineOrigin> {
        let key = Key {
            repository: history.repository.clone(),
            commit: commit_of(revision)?.to_owned(),
            at,
        };
        let mut inner = self.inner.lock();
        if let Some(known) = inner.known.get(&key) {
            return known.clone();
        }
        inner.ask(key, &history.fetch, (object.0, object.1.clone()));
        drop(inner);
        self.wake.notify_one();
        None
    }

    /// Lines that wait.
    pub fn waiting(&self) -> usize {
        self.inner.lock().waiting.len()
    }
}

impl Inner {
    fn ask(&mut self, key: Key, fetch: &Arc<FetchRequest>, object: (TargetId, ObjectId)) {
        if let Some(asked) = self.waiting.iter_mut().find(|a| a.key == key) {
            if !asked.objects.contains(&object) {
                asked.objects.push(object);
            }
        } else if self.waiting.len() < WAITING {
            self.waiting.push_back(Asked {
                key,
                fetch: Arc::clone(fetch),
                objects: vec![object],
                times: 0,
            });
        }
    }

    /// The next lines of one commit, of a repository that nobody looks into; the repository is then taken.
    fn next(&mut self) -> Vec<Asked> {
        let first = self
            .waiting
            .iter()
            .find(|a| !self.busy.contains(&a.key.repository));
        let Some((repository, commit)) =
            first.map(|a| (a.key.repository.clone(), a.key.commit.clone()))
        else {
            return Vec::new();
        };
        let mut batch = Vec::new();
        let mut rest = VecDeque::with_capacity(self.waiting.len());
        for asked in self.waiting.drain(..) {
            let same = asked.key.repository == repository && asked.key.commit == commit;
            if same && batch.len() < BlameRequest::MOST {
                batch.push(asked);
            } else {
                rest.push_back(asked);
            }
        }
        // Other repositories get their turn before this one's rest.
        let (mine, mut others): (VecDeque<_>, VecDeque<_>) = rest
            .into_iter()
            .partition(|a| a.key.repository == repository);
        others.extend(mine);
        self.waiting = others;
        self.busy.insert(repository);
        batch
    }

    fn learn(&mut self, key: Key, origin: Option<LineOrigin>) {
        if self.known.insert(key.clone(), origin).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > KNOWN {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

/// Answers for as long as the operator runs.
pub async fn run(engine: Arc<Engine>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        engine.blames.wake.notified().await;
        tokio::time::sleep(GATHER).await;
        loop {
            let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
                return;
            };
            let batch = engine.blames.inner.lock().next();
            if batch.is_empty() {
                break;
            }
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                answer(&engine, batch).await;
                drop(turn);
                engine.blames.wake.notify_one();
            });
        }
    }
}

async fn answer(engine: &Arc<Engine>, batch: Vec<Asked>) {
    let Some(first) = batch.first() else { return };
    let repository = first.key.repository.clone();
    let result = look(engine, &batch).await;
    engine
        .metrics
        .blamed(result.as_ref().err().map(declared::Error::category));
    match result {
        Ok(blame) => {
            for (asked, origin) in batch.into_iter().zip(blame.lines) {
                let told = origin.is_some();
                engine.blames.inner.lock().learn(asked.key, origin);
                if told {
                    for (target, id) in asked.objects {
                        engine.index.touch(target, &id);
                    }
                }
            }
        }
        Err(error) => {
            tracing::debug!(%error, lines = batch.len(), "who wrote some lines could not be found out");
            try_later(engine, batch, error.is_retryable());
        }
    }
    engine.blames.inner.lock().busy.remove(&repository);
}

fn try_later(engine: &Arc<Engine>, batch: Vec<Asked>, retry: bool) {
    let (again, given_up): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .partition(|a| retry && a.times + 1 < AGAIN.1);
    let mut inner = engine.blames.inner.lock();
    for asked in given_up {
        inner.learn(asked.key, None);
    }
    drop(inner);
    if again.is_empty() {
        return;
    }
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        tokio::time::sleep(AGAIN.0).await;
        let mut inner = engine.blames.inner.lock();
        for mut asked in again {
            asked.times += 1;
            if inner.waiting.len() < WAITING {
                inner.waiting.push_back(asked);
            }
        }
        drop(inner);
        engine.blames.wake.notify_one();
    });
}

/// Asks about the lines, and, if some are older than the history that is there, once more with a deeper one.
async fn look(engine: &Engine, batch: &[Asked]) -> Result<Blame, declared::Error> {
    let Some(first) = batch.first() else {
        return Ok(Blame::default());
    };
    let request = BlameRequest {
        repository: first.key.repository.clone(),
        commit: first.key.commit.clone(),
        lines: batch.iter().map(|a| a.key.at.clone()).collect(),
        limits: BlameLimits::default(),
    };
    let blame = engine.worker.blame(&request).await?;
    if !blame.shallow || !deepen(engine, first).await {
        return Ok(blame);
    }
    engine.worker.blame(&request).await
}

/// Fetches history; true if there is more of it now.
async fn deepen(engine: &Engine, asked: &Asked) -> bool {
    let repository = &asked.key.repository;
    let now = Instant::now();
    let closed = |inner: &Inner| inner.not_before.get(repository).is_some_and(|at| *at > now);
    if closed(&engine.blames.inner.lock()) {
        return false;
    }
    let mut fetch = FetchRequest::clone(&asked.fetch);
    fetch.timeout = fetch.timeout.min(FETCH);
    let request = DeepenRequest {
        fetch,
        commit: asked.key.commit.clone(),
        depth: DEPTH,
    };
    let result = engine.worker.deepen(&request).await;
    engine
        .metrics
        .deepened(result.as_ref().err().map(declared::Error::category));
    let Err(error) = result else { return true };
    tracing::info!(%error, "no history could be fetched; records do not say who wrote the lines");
    let wait = match error.category() {
        Category::Limit | Category::Timeout => AFTER_FAILURE.1,
        // Of this commit only.
        Category::NotFound => return false,
        _ => AFTER_FAILURE.0,
    };
    let mut inner = engine.blames.inner.lock();
    inner.not_before.retain(|_, at| *at > now);
    inner.not_before.insert(repository.clone(), now + wait);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_name_their_commit() {
        let commit = "0123456789012345678901234567890123456789";
        for name in [
            format!("main@sha1:{commit}"),
            format!("sha1:{commit}"),
            format!("odd@sha1:x@sha1:{commit}"),
        ] {
            assert_eq!(commit_of(&name), Some(commit));
        }
        assert_eq!(commit_of("v3"), None);
    }

    #[test]
    fn only_so_many_answers_are_kept() {
        let key = |line| Key {
            repository: serde_json::from_value("a".into()).expect("a key"),
            commit: "c".into(),
            at: LineAt {
                file: "f".into(),
                line,
            },
        };
        let mut inner = Inner::default();
        for line in 0..=u32::try_from(KNOWN).expect("small") {
            inner.learn(key(line), None);
        }
        assert_eq!((inner.known.len(), inner.order.len()), (KNOWN, KNOWN));
        assert!(!inner.known.contains_key(&key(0)));
    }
}
