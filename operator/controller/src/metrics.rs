//! Metrics in Prometheus' text format. Names of objects are never labels.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::engine::Engine;

type Labels = Vec<(&'static str, String)>;
type Floats = Family<Labels, Gauge<f64, AtomicU64>>;

/// All metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    fetches: Family<Labels, Histogram>,
    renders: Family<Labels, Histogram>,
    writes: Family<Labels, Counter>,
    reverts: Family<Labels, Counter>,
    deliveries: Family<Labels, Counter>,
    blames: Family<Labels, Counter>,
    histories: Family<Labels, Counter>,
    pub dry_runs: Counter,
    pub dry_runs_refused: Counter,
    pub residues_dropped: Counter,
    pub object_reads: Counter,
    pub missed: Counter,
    pub events_dropped: Counter,
    pub panics: Counter,
    pub write_failures: Counter,
    pub budget_stops: Counter,
    reverted_after: Histogram,
    exceptions: Family<Labels, Gauge>,
    objects: Family<Labels, Gauge>,
    records: Family<Labels, Gauge>,
    pending_age: Floats,
    queues: Family<Labels, Gauge>,
    watch_age: Floats,
    watches_blind: Gauge,
    relists: Gauge,
    leading: Gauge,
}

fn result(error: Option<declared::Category>) -> Labels {
    let result = error.map_or("ok", declared::Category::as_str);
    vec![("result", result.to_ascii_lowercase())]
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 14))
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("driftline");
        let metrics = Self {
            registry: Mutex::default(),
            fetches: Family::new_with_constructor(seconds),
            renders: Family::new_with_constructor(seconds),
            writes: Family::default(),
            reverts: Family::default(),
            deliveries: Family::default(),
            blames: Family::default(),
            histories: Family::default(),
            dry_runs: Counter::default(),
            dry_runs_refused: Counter::default(),
            residues_dropped: Counter::default(),
            object_reads: Counter::default(),
            missed: Counter::default(),
            events_dropped: Counter::default(),
            panics: Counter::default(),
            write_failures: Counter::default(),
            budget_stops: Counter::default(),
            reverted_after: seconds(),
            exceptions: Family::default(),
            objects: Family::default(),
            records: Family::default(),
            pending_age: Family::default(),
            queues: Family::default(),
            watch_age: Family::default(),
            watches_blind: Gauge::default(),
            relists: Gauge::default(),
            leading: Gauge::default(),
        };
        let m = &metrics;
        registry.register(
            "fetch_duration_seconds",
            "How long fetches of repositories took, by result",
            m.fetches.clone(),
        );
        registry.register(
            "render_duration_seconds",
            "How long renderings of targets took, by result",
            m.renders.clone(),
        );
        registry.register(
            "blames",
            "Times the worker was asked who wrote some lines, by result",
            m.blames.clone(),
        );
        registry.register(
            "history_fetches",
            "Times a repository's history was fetched to find that out, by result",
            m.histories.clone(),
        );
        registry.register(
            "writes",
            "Objects of its own that the operator wrote, by resource",
            m.writes.clone(),
        );
        registry.register(
            "reverts",
            "Objects that were to be put back, by outcome",
            m.reverts.clone(),
        );
        registry.register(
            "deliveries",
            "Objects of a commit that were to be delivered, by outcome",
            m.deliveries.clone(),
        );
        registry.register(
            "revert_duration_seconds",
            "How long objects had drifted, by their records, when they were put back",
            m.reverted_after.clone(),
        );
        registry.register(
            "budget_stops",
            "Times a policy's budget was spent and drift had to wait",
            m.budget_stops.clone(),
        );
        registry.register("exceptions", "Exceptions, by state", m.exceptions.clone());
        registry.register(
            "write_failures",
            "Writes that failed and are tried again",
            m.write_failures.clone(),
        );
        registry.register(
            "dry_runs",
            "Dry-run creations asked for",
            m.dry_runs.clone(),
        );
        registry.register(
            "dry_runs_refused",
            "Dry-run creations that the API server refused; ownership decides there",
            m.dry_runs_refused.clone(),
        );
        registry.register(
            "memory_residues_dropped",
            "Times that a target was remembered without what its objects have beyond their declarations, for lack of room",
            m.residues_dropped.clone(),
        );
        registry.register(
            "object_reads",
            "Live objects read one by one",
            m.object_reads.clone(),
        );
        registry.register(
            "verification_missed",
            "Changes that only a verification found; must stay at zero",
            m.missed.clone(),
        );
        registry.register(
            "events_dropped",
            "Kubernetes Events that were not written",
            m.events_dropped.clone(),
        );
        registry.register(
            "reconcile_panics",
            "Reconciliations that ended by a defect",
            m.panics.clone(),
        );
        registry.register(
            "objects",
            "Declared objects, by policy and state",
            m.objects.clone(),
        );
        registry.register(
            "records_open",
            "Open drift records, by policy",
            m.records.clone(),
        );
        registry.register(
            "pending_age_seconds",
            "How long the oldest commit has been waiting to be rolled out, by policy; absent where none does",
            m.pending_age.clone(),
        );
        registry.register(
            "queue_depth",
            "Objects that wait, by queue; no queue holds an object twice",
            m.queues.clone(),
        );
        registry.register(
            "watch_age_seconds",
            "Seconds since the API server was last heard, the oldest watch of each kind",
            m.watch_age.clone(),
        );
        registry.register(
            "watches_not_ready",
            "Watches that know nothing at the moment",
            m.watches_blind.clone(),
        );
        registry.register(
            "watch_relists",
            "Lists begun by the watches that run",
            m.relists.clone(),
        );
        registry.register("leader", "1 on the replica that writes", m.leading.clone());
        *metrics.registry.lock() = registry;
        Arc::new(metrics)
    }

    /// Counts a fetch.
    pub fn fetched(&self, took: Duration, error: Option<declared::Category>) {
        self.fetches
            .get_or_create(&result(error))
            .observe(took.as_secs_f64());
    }

    /// Counts a rendering.
    pub fn rendered(&self, took: Duration, ok: bool) {
        let result = if ok { "ok" } else { "failed" }.to_owned();
        self.renders
            .get_or_create(&vec![("result", result)])
            .observe(took.as_secs_f64());
    }

    /// Counts a question who wrote some lines.
    pub fn blamed(&self, error: Option<declared::Category>) {
        self.blames.get_or_create(&result(error)).inc();
    }

    /// Counts a fetch of history.
    pub fn deepened(&self, error: Option<declared::Category>) {
        self.histories.get_or_create(&result(error)).inc();
    }

    /// The counter of writes of a resource.
    pub fn writes(&self, resource: &'static str) -> Counter {
        self.writes
            .get_or_create(&vec![("resource", resource.to_owned())])
            .clone()
    }

    /// The counter of objects that were to be put back.
    pub fn reverts(&self, outcome: &'static str) -> Counter {
        let labels = vec![("outcome", outcome.to_owned())];
        self.reverts.get_or_create(&labels).clone()
    }

    /// The counter of objects that were to be delivered.
    pub fn deliveries(&self, outcome: &'static str) -> Counter {
        let labels = vec![("outcome", outcome.to_owned())];
        self.deliveries.get_or_create(&labels).clone()
    }

    /// Notes how long something had drifted that was put back.
    pub fn reverted_after(&self, took: Duration) {
        self.reverted_after.observe(took.as_secs_f64());
    }

    /// Everything in text, with the gauges as of now.
    pub fn text(&self, engine: &Engine, open: &[(String, u32)]) -> String {
        self.objects.clear();
        self.records.clear();
        for policy in engine.registry.all() {
            let mut sum = cluster::index::Tally::default();
            for target in &policy.view.lock().targets {
                sum.merge(engine.index.tally(target.id));
            }
            let counts = [
                ("in_sync", sum.in_sync),
                ("drifted", sum.drifted + sum.orphaned),
                ("pending", sum.pending),
                ("excepted", sum.excepted),
                ("unverified", sum.unverified),
                ("unknown", sum.unknown),
            ];
            for (state, count) in counts {
                let labels = vec![
                    ("namespace", policy.key.namespace.clone()),
                    ("policy", policy.key.name.clone()),
                    ("state", state.to_owned()),
                ];
                self.objects.get_or_create(&labels).set(count.into());
            }
        }
        self.pending(engine);
        for (policy, count) in open {
            let (namespace, name) = policy.split_once('/').unwrap_or(("", policy));
            let labels = vec![
                ("namespace", namespace.to_owned()),
                ("policy", name.to_owned()),
            ];
            self.records.get_or_create(&labels).set((*count).into());
        }
        self.shared(engine);
        let mut text = String::new();
        if encode(&mut text, &self.registry.lock()).is_err() {
            tracing::error!("metrics could not be written");
        }
        text
    }

    fn pending(&self, engine: &Engine) {
        self.pending_age.clear();
        let now = jiff::Timestamp::now();
        for policy in engine.registry.all() {
            let view = policy.view.lock();
            let oldest = view
                .targets
                .iter()
                .filter_map(|t| engine.pending.oldest(t.id))
                .min();
            if let Some(since) = oldest {
                let labels = vec![
                    ("namespace", policy.key.namespace.clone()),
                    ("policy", policy.key.name.clone()),
                ];
                let age = now.duration_since(since).as_secs_f64().max(0.0);
                self.pending_age.get_or_create(&labels).set(age);
            }
        }
    }

    fn shared(&self, engine: &Engine) {
        let (changes, questions) = engine.index.queued();
        let blames = engine.blames.waiting();
        for (queue, depth) in [
            ("changes", changes),
            ("questions", questions),
            ("blames", blames),
        ] {
            self.queues
                .get_or_create(&vec![("queue", queue.to_owned())])
                .set(i64::try_from(depth).unwrap_or(i64::MAX));
        }
        self.watch_age.clear();
        let mut blind = 0;
        for (kind, ready, age) in engine.watches.ages() {
            blind += i64::from(!ready);
            let gauge = self.watch_age.get_or_create(&vec![("kind", kind)]).clone();
            gauge.set(gauge.get().max(age));
        }
        self.watches_blind.set(blind);
        self.relists
            .set(i64::try_from(engine.watches.counters().1).unwrap_or(i64::MAX));
        self.exceptions.clear();
        for (state, count) in engine.exceptions.counts() {
            let labels = vec![("state", state.to_owned())];
            self.exceptions.get_or_create(&labels).set(count);
        }
        self.leading.set(i64::from(*engine.leading.borrow()));
    }
}
