//! Repositories, each fetched once for all policies that name it with the same credentials.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use declared::{Category, FetchLimits, FetchRequest, Reference, Revision, Worker};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::credentials::Opening;
use crate::metrics::Metrics;
use crate::policy::SourceSpec;
use crate::turns::Turns;

/// Fetches at the same time, as many as the worker has room for; half of them for sources of one namespace.
const FETCHES: usize = 4;

/// What is known of a source.
#[derive(Debug, Clone, Default)]
pub struct SourceState {
    /// The last good revision, in force until there is a better one.
    pub revision: Option<Arc<Revision>>,
    /// When that revision was first fetched.
    pub fetched_at: Option<Timestamp>,
    /// When the source last answered.
    pub good_at: Option<Instant>,
    /// Why the last fetch failed, if it did: category and message.
    pub error: Option<(Category, String)>,
    /// How many fetches have begun.
    pub begun: u64,
    /// How many fetches have ended, good or not.
    pub attempts: u64,
}

/// What makes two sources the same; the credentials by their content, so that nobody gets at what another one's opened.
#[derive(Clone, PartialEq, Eq)]
struct SourceKey {
    url: String,
    reference: Reference,
    timeout: Duration,
    opening: Opening,
}

impl Hash for SourceKey {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.url, &self.reference, self.timeout).hash(hasher);
    }
}

/// All sources in use.
pub struct Sources {
    worker: Worker,
    metrics: Arc<Metrics>,
    turns: Arc<Turns>,
    allow_file: bool,
    running: Mutex<HashMap<SourceKey, Weak<Source>>>,
}

/// A source that is fetched as long as somebody holds it.
pub struct Source {
    state: watch::Receiver<SourceState>,
    request: Arc<FetchRequest>,
    intervals: Arc<Mutex<HashMap<u64, Duration>>>,
    now: Arc<Notify>,
    task: JoinHandle<()>,
}

/// A policy's hold on a source.
pub struct Subscription {
    source: Arc<Source>,
    key: SourceKey,
    number: u64,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.source.intervals.lock().remove(&self.number);
    }
}

impl Subscription {
    /// The state, and word of each change.
    pub fn state(&self) -> watch::Receiver<SourceState> {
        self.source.state.clone()
    }

    /// How it is fetched.
    pub fn request(&self) -> Arc<FetchRequest> {
        Arc::clone(&self.source.request)
    }

    /// Asks for a fetch now.
    pub fn check(&self) {
        self.source.now.notify_one();
    }
}

impl Sources {
    pub fn new(worker: Worker, metrics: Arc<Metrics>, allow_file: bool) -> Self {
        Self {
            worker,
            metrics,
            turns: Arc::new(Turns::new(FETCHES, FETCHES / 2)),
            allow_file,
            running: Mutex::default(),
        }
    }

    /// Holds a source for a policy of `namespace`; `held` is kept if it is the same one.
    pub fn subscribe(
        &self,
        namespace: &str,
        spec: &SourceSpec,
        opening: &Opening,
        held: Option<Subscription>,
    ) -> Subscription {
        let key = SourceKey {
            url: spec.url.clone(),
            reference: spec.reference.clone(),
            timeout: spec.timeout,
            opening: opening.clone(),
        };
        if let Some(held) = held
            && held.key == key
        {
            held.source
                .intervals
                .lock()
                .insert(held.number, spec.interval);
            return held;
        }
        let mut running = self.running.lock();
        running.retain(|_, source| source.strong_count() > 0);
        let source = running
            .get(&key)
            .and_then(Weak::upgrade)
            .unwrap_or_else(|| {
                let source = Arc::new(self.start(namespace, spec, opening));
                running.insert(key.clone(), Arc::downgrade(&source));
                source
            });
        let mut intervals = source.intervals.lock();
        let number = intervals.keys().max().map_or(0, |n| n + 1);
        intervals.insert(number, spec.interval);
        drop(intervals);
        Subscription {
            source,
            key,
            number,
        }
    }

    fn start(&self, namespace: &str, spec: &SourceSpec, opening: &Opening) -> Source {
        let request = FetchRequest {
            url: spec.url.clone(),
            reference: spec.reference.clone(),
            credentials: opening.credentials.clone(),
            ca: opening.ca.clone(),
            timeout: spec.timeout,
            limits: FetchLimits::default(),
            allow_file: self.allow_file,
        };
        let request = Arc::new(request);
        let (publish, state) = watch::channel(SourceState::default());
        let intervals = Arc::new(Mutex::new(HashMap::new()));
        let now = Arc::new(Notify::new());
        let task = tokio::spawn(poll(
            self.worker.clone(),
            Arc::clone(&self.metrics),
            (Arc::clone(&self.turns), namespace.to_owned()),
            Arc::clone(&request),
            publish,
            Arc::clone(&intervals),
            Arc::clone(&now),
        ));
        Source {
            state,
            request,
            intervals,
            now,
            task,
        }
    }
}

async fn poll(
    worker: Worker,
    metrics: Arc<Metrics>,
    (turns, namespace): (Arc<Turns>, String),
    request: Arc<FetchRequest>,
    publish: watch::Sender<SourceState>,
    intervals: Arc<Mutex<HashMap<u64, Duration>>>,
    now: Arc<Notify>,
) {
    let mut failures = 0_u32;
    loop {
        let turn = turns.take(&namespace).await;
        let begun = Instant::now();
        // Nobody is woken: nothing is known yet.
        publish.send_if_modified(|state| {
            state.begun += 1;
            false
        });
        let result = worker.fetch(&request).await;
        drop(turn);
        metrics.fetched(
            begun.elapsed(),
            result.as_ref().err().map(declared::Error::category),
        );
        failures = if result.is_ok() {
            0
        } else {
            failures.saturating_add(1)
        };
        publish.send_modify(|state| match result {
            Ok(revision) => {
                if state.revision.as_deref() != Some(&revision) {
                    tracing::info!(
                        url = shown(&request.url),
                        revision = revision.name,
                        "fetched a new revision"
                    );
                    state.revision = Some(Arc::new(revision));
                    state.fetched_at = Some(Timestamp::now());
                }
                state.good_at = Some(Instant::now());
                state.error = None;
                state.attempts += 1;
            }
            Err(error) => {
                // At 1, 2, 4, 8…: hundreds of sources may be down for days.
                if failures.is_power_of_two() {
                    let in_force = state.revision.as_ref().map_or("none yet", |r| &r.name);
                    tracing::warn!(%error, failures, in_force, "fetching failed");
                } else {
                    tracing::debug!(%error, failures, "fetching still fails");
                }
                state.error = Some((error.category(), error.to_string()));
                state.attempts += 1;
            }
        });
        let interval = intervals
            .lock()
            .values()
            .min()
            .copied()
            .unwrap_or(Duration::from_secs(60));
        // The first tries after a failure come sooner than the interval, later ones at it.
        let wait = if failures == 0 {
            interval
        } else {
            interval.min(Duration::from_secs(2 << failures.min(8)))
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = now.notified() => {}
        }
    }
}

/// A URL without what stands before the host.
pub fn shown(url: &str) -> String {
    match url
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?.1)))
    {
        Some((scheme, rest)) => format!("{scheme}://{rest}"),
        None => url.to_owned(),
    }
}
