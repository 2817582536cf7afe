//! Watches of one kind in one scope, as raw JSON and with signs of life.
//!
//! Not kube-rs' `watcher`, for three reasons: bookmarks and reconnects have to count as signs of life (a watch that hears
//! nothing is blind, and its objects are unknown); one object that cannot be decoded must not stop the others; and objects
//! pass through as JSON values without a typed copy.
//!
//! # What a sink may rely on
//!
//! - Between [`WatchEvent::Restarted`] and [`WatchEvent::Ready`] every object that exists is listed. At `Ready`, what was known
//!   before and not listed (nor applied) since `Restarted` is gone.
//! - After [`WatchEvent::Failed`] nothing is known until the next `Ready`: there is always a new list.
//! - A connection that ends and is taken up again at once is not a failure; events go on where they stopped.

mod decode;
mod end;
mod lines;
mod run;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use drift::GroupVersionKind;
use kube::Client;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatchScope {
    /// Kind and version in which objects are asked for.
    pub kind: GroupVersionKind,
    /// The resource name, for example `deployments`.
    pub plural: String,
    /// One namespace; `None` for the whole cluster.
    pub namespace: Option<String>,
}

impl std::fmt::Display for WatchScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} in namespace {namespace}", self.kind),
            None => write!(f, "{} in the whole cluster", self.kind),
        }
    }
}

/// Whether the API server has streaming lists (KEP-3157); shared by the watches of one server, so that a refusal is met once.
#[derive(Debug, Clone)]
pub struct StreamingLists(Arc<AtomicBool>);

impl Default for StreamingLists {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl StreamingLists {
    /// True until the server has refused one.
    pub fn offered(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Remembers that the server refuses them, or (after a server was upgraded) that they may be tried again.
    pub fn set(&self, offered: bool) {
        self.0.store(offered, Ordering::Relaxed);
    }
}

/// How a watch is done. The defaults are meant for production; tests shorten the times.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// Ask for metadata only (`PartialObjectMetadata`).
    pub metadata_only: bool,
    /// A field selector, for example `metadata.name=driftline`.
    pub field_selector: Option<String>,
    /// The server ends each connection after this time, give or take a tenth: the upper bound of not noticing a half-open one.
    pub connection_lifetime: Duration,
    /// How long after that the connection counts as dead.
    pub grace: Duration,
    /// How long connecting and the first headers may take.
    pub connect_deadline: Duration,
    /// Objects per page where lists are paged.
    pub page_size: u32,
    /// An event with more bytes is skipped and reported as undecodable.
    pub event_limit: usize,
    /// The first wait after a failure; doubled with each one, with jitter.
    pub backoff_min: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// The wait after a refusal that only a person mends (401, 403), and the longest one while the kind is not served (404).
    pub refused_retry: Duration,
    /// Whether the server has streaming lists.
    pub streaming_lists: StreamingLists,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            metadata_only: false,
            field_selector: None,
            connection_lifetime: Duration::from_secs(40),
            grace: Duration::from_secs(5),
            connect_deadline: crate::call::HEADERS,
            page_size: 500,
            event_limit: 32 << 20,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            refused_retry: Duration::from_secs(30),
            streaming_lists: StreamingLists::default(),
        }
    }
}

/// Why a watch knows nothing at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// No connection, no answer, a broken answer or a server in trouble.
    Blind,
    /// The operator is not known to the server (401).
    Unauthorized,
    /// The operator may not list or watch this kind here (403).
    Forbidden,
    /// The server does not serve the kind (404), or does not let it be watched (405).
    NotServed,
}

impl FailureReason {
    /// The word used as a label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotServed => "not_served",
        }
    }
}

/// An object of which no more than the name could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The namespace, for namespaced kinds.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// What a watch tells its sink.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// A list begins.
    Restarted,
    /// An object of the list.
    Listed(Value),
    /// The list is complete: what was not listed since [`WatchEvent::Restarted`] is gone.
    Ready,
    /// An object was created or changed.
    Applied(Value),
    /// An object was deleted; its last state.
    Deleted(Value),
    /// An object exists (in a list or an event) that cannot be decoded, or is larger than the limit. It is not gone. The
    /// identity is missing where not even that could be read.
    Undecodable {
        /// Which object.
        identity: Option<Identity>,
        /// Why, in words.
        message: String,
    },
    /// The watch knows nothing until the next [`WatchEvent::Ready`].
    Failed {
        /// The reason, for metrics and conditions.
        reason: FailureReason,
        /// The reason in words.
        message: String,
    },
    /// A sign of life: the server answered, or sent a bookmark.
    Alive,
}

/// Receives what a watch sees, in order, from one task. Must not block for long: the watch waits for it.
pub trait Sink: Send + Sync {
    /// Called with each event.
    fn on_event(&self, event: WatchEvent);
}

impl<F: Fn(WatchEvent) + Send + Sync> Sink for F {
    fn on_event(&self, event: WatchEvent) {
        self(event);
    }
}

/// Counters of one watch; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchCounters {
    /// Objects listed, applied and deleted.
    pub events: u64,
    /// Lists begun, the first one included.
    pub relists: u64,
    /// Connections made, lists included.
    pub connections: u64,
    /// Failures told to the sink.
    pub failures: u64,
    /// Objects that could not be decoded.
    pub undecodable: u64,
}

/// What the task and the handle share.
#[derive(Debug)]
struct Shared {
    started: Instant,
    /// Milliseconds after `started`.
    heard: AtomicU64,
    ready: AtomicBool,
    events: AtomicU64,
    relists: AtomicU64,
    connections: AtomicU64,
    failures: AtomicU64,
    undecodable: AtomicU64,
    retry: Notify,
}

impl Shared {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            heard: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            events: AtomicU64::new(0),
            relists: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            undecodable: AtomicU64::new(0),
            retry: Notify::new(),
        }
    }

    fn hear(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(millis, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A running watch; dropping it stops the watch.
#[derive(Debug)]
pub struct WatchHandle {
    scope: WatchScope,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl WatchHandle {
    /// What is watched.
    pub fn scope(&self) -> &WatchScope {
        &self.scope
    }

    /// When the server was last heard (headers, events, bookmarks); the start of the watch before that.
    pub fn last_heard(&self) -> Instant {
        self.shared.started + Duration::from_millis(self.shared.heard.load(Ordering::Relaxed))
    }

    /// How long ago the server was last heard.
    pub fn age(&self) -> Duration {
        self.last_heard().elapsed()
    }

    /// True from a complete list until the next failure.
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Relaxed)
    }

    /// False where the task has ended, which only a panic of the sink brings about.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// The counters.
    pub fn counters(&self) -> WatchCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WatchCounters {
            events: read(&self.shared.events),
            relists: read(&self.shared.relists),
            connections: read(&self.shared.connections),
            failures: read(&self.shared.failures),
            undecodable: read(&self.shared.undecodable),
        }
    }

    /// Ends a wait after a failure, for example because rights or CRDs changed. Does nothing where there is none.
    pub fn retry_now(&self) {
        self.shared.retry.notify_waiters();
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a watch.
pub fn spawn(
    client: Client,
    scope: WatchScope,
    options: WatchOptions,
    sink: Arc<dyn Sink>,
) -> WatchHandle {
    let shared = Arc::new(Shared::new());
    let watch = run::Watch::new(client, scope.clone(), options, sink, Arc::clone(&shared));
    WatchHandle {
        scope,
        shared,
        task: tokio::spawn(watch.run()),
    }
}
