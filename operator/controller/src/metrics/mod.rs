//! Metrics in Prometheus' text format. Names of objects are never labels.

mod catalog;
mod labelled;
mod now;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use catalog as about;
use labelled::{Book, Float, Labelled, long, seconds};

/// All metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    fetches: Labelled<Histogram>,
    renders: Labelled<Histogram>,
    checks: Labelled<Histogram>,
    writes: Labelled<Counter>,
    reverts: Labelled<Counter>,
    deliveries: Labelled<Counter>,
    blames: Labelled<Counter>,
    histories: Labelled<Counter>,
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
    detection: Histogram,
    durations: Labelled<Histogram>,
    gauges: Gauges,
}

/// What is read when somebody asks.
struct Gauges {
    drift: Labelled<Gauge>,
    oldest: Labelled<Float>,
    records: Labelled<Gauge>,
    objects: Labelled<Gauge>,
    coverage: Labelled<Float>,
    target_ready: Labelled<Gauge>,
    stalled: Labelled<Gauge>,
    source_stale: Labelled<Gauge>,
    pending_age: Labelled<Float>,
    exceptions: Labelled<Gauge>,
    exception_remaining: Labelled<Float>,
    hold_remaining: Labelled<Float>,
    queues: Labelled<Gauge>,
    watch_age: Labelled<Float>,
    watches_blind: Gauge,
    relists: Gauge,
    leading: Gauge,
}

/// How drift ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Reverted,
    Mended,
    Ignored,
    Undeclared,
    Gone,
    Unknown,
}

impl Resolution {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reverted => "reverted",
            Self::Mended => "mended",
            Self::Ignored => "ignored",
            Self::Undeclared => "undeclared",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }
}

fn result(error: Option<declared::Category>) -> String {
    let result = error.map_or("ok", declared::Category::as_str);
    result.to_ascii_lowercase()
}

fn ok(ok: bool) -> &'static str {
    if ok { "ok" } else { "failed" }
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let mut book = Book::new();
        let b = &mut book;
        let gauges = Gauges {
            drift: b.labelled(&about::DRIFT_OPEN, Gauge::default),
            oldest: b.labelled(&about::DRIFT_OLDEST, Float::default),
            records: b.labelled(&about::RECORDS, Gauge::default),
            objects: b.labelled(&about::OBJECTS, Gauge::default),
            coverage: b.labelled(&about::COVERAGE, Float::default),
            target_ready: b.labelled(&about::TARGET_READY, Gauge::default),
            stalled: b.labelled(&about::STALLED, Gauge::default),
            source_stale: b.labelled(&about::SOURCE_STALE, Gauge::default),
            pending_age: b.labelled(&about::PENDING_AGE, Float::default),
            exceptions: b.labelled(&about::EXCEPTIONS, Gauge::default),
            exception_remaining: b.labelled(&about::EXCEPTION_REMAINING, Float::default),
            hold_remaining: b.labelled(&about::HOLD_REMAINING, Float::default),
            queues: b.labelled(&about::QUEUE_DEPTH, Gauge::default),
            watch_age: b.labelled(&about::WATCH_AGE, Float::default),
            watches_blind: b.plain(&about::WATCHES_NOT_READY, Gauge::default()),
            relists: b.plain(&about::WATCH_RELISTS, Gauge::default()),
            leading: b.plain(&about::LEADER, Gauge::default()),
        };
        let metrics = Self {
            registry: Mutex::default(),
            gauges,
            fetches: b.labelled(&about::FETCHES, seconds),
            renders: b.labelled(&about::RENDERS, seconds),
            checks: b.labelled(&about::CHECKS, seconds),
            writes: b.labelled(&about::WRITES, Counter::default),
            reverts: b.labelled(&about::REVERTS, Counter::default),
            deliveries: b.labelled(&about::DELIVERIES, Counter::default),
            blames: b.labelled(&about::BLAMES, Counter::default),
            histories: b.labelled(&about::HISTORIES, Counter::default),
            dry_runs: b.plain(&about::DRY_RUNS, Counter::default()),
            dry_runs_refused: b.plain(&about::DRY_RUNS_REFUSED, Counter::default()),
            residues_dropped: b.plain(&about::RESIDUES_DROPPED, Counter::default()),
            object_reads: b.plain(&about::OBJECT_READS, Counter::default()),
            missed: b.plain(&about::MISSED, Counter::default()),
            events_dropped: b.plain(&about::EVENTS_DROPPED, Counter::default()),
            panics: b.plain(&about::PANICS, Counter::default()),
            write_failures: b.plain(&about::WRITE_FAILURES, Counter::default()),
            budget_stops: b.plain(&about::BUDGET_STOPS, Counter::default()),
            reverted_after: b.plain(&about::REVERTED_AFTER, seconds()),
            detection: b.plain(&about::DETECTION, seconds()),
            durations: b.labelled(&about::DURATION, long),
        };
        *metrics.registry.lock() = book.registry;
        Arc::new(metrics)
    }

    /// Counts a fetch.
    pub fn fetched(&self, took: Duration, error: Option<declared::Category>) {
        self.fetches
            .with([&result(error)])
            .observe(took.as_secs_f64());
    }

    /// Counts a rendering.
    pub fn rendered(&self, took: Duration, is_ok: bool) {
        self.renders.with([ok(is_ok)]).observe(took.as_secs_f64());
    }

    /// Counts a full verification of a target.
    pub fn checked(&self, took: Duration, is_ok: bool) {
        self.checks.with([ok(is_ok)]).observe(took.as_secs_f64());
    }

    /// Counts a question who wrote some lines.
    pub fn blamed(&self, error: Option<declared::Category>) {
        self.blames.with([&result(error)]).inc();
    }

    /// Counts a fetch of history.
    pub fn deepened(&self, error: Option<declared::Category>) {
        self.histories.with([&result(error)]).inc();
    }

    /// The counter of writes of a resource.
    pub fn writes(&self, resource: &'static str) -> Counter {
        self.writes.with([resource])
    }

    /// The counter of objects that were to be put back.
    pub fn reverts(&self, outcome: &'static str) -> Counter {
        self.reverts.with([outcome])
    }

    /// The counter of objects that were to be delivered.
    pub fn deliveries(&self, outcome: &'static str) -> Counter {
        self.deliveries.with([outcome])
    }

    /// Notes how long something had drifted that was put back.
    pub fn reverted_after(&self, took: Duration) {
        self.reverted_after.observe(took.as_secs_f64());
    }

    /// Notes how long a change had been there when it was told.
    pub fn detected_after(&self, took: Duration) {
        self.detection.observe(took.as_secs_f64());
    }

    /// Notes how long drift lasted that is over.
    pub fn drift_lasted(&self, lasted: Duration, resolution: Resolution) {
        self.durations
            .with([resolution.as_str()])
            .observe(lasted.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Every family once, so that all of them are served.
    fn touched() -> String {
        let m = Metrics::new();
        let second = Duration::from_secs(1);
        m.fetched(second, None);
        m.rendered(second, false);
        m.checked(second, true);
        m.blamed(None);
        m.deepened(Some(declared::Category::Timeout));
        m.writes("record").inc();
        m.reverts("Reverted").inc();
        m.deliveries("Delivered").inc();
        m.drift_lasted(second, Resolution::Reverted);
        let g = &m.gauges;
        g.drift.with(["shop", "web", "app", "High", "LiveEdited"]);
        g.oldest.with(["shop", "web"]);
        g.records.with(["shop", "web", "Open"]);
        g.objects.with(["shop", "web", "drifted"]);
        g.coverage.with(["shop", "web"]);
        g.target_ready.with(["shop", "web", "app"]);
        g.stalled.with(["shop", "web"]);
        g.source_stale.with(["shop", "web"]);
        g.pending_age.with(["shop", "web"]);
        g.exceptions.with(["shop", "web", "active"]);
        g.exception_remaining.with(["shop", "web"]);
        g.hold_remaining.with(["shop", "web"]);
        g.queues.with(["changes"]);
        g.watch_age.with(["apps/Deployment"]);
        m.encoded()
    }

    #[test]
    fn what_is_served_is_what_the_table_says() {
        let text = touched();
        let mut served: BTreeMap<String, String> = BTreeMap::new();
        let mut help: BTreeMap<String, String> = BTreeMap::new();
        for line in text.lines() {
            let parts: Vec<&str> = line.splitn(4, ' ').collect();
            match parts[..] {
                ["#", "TYPE", name, kind] => {
                    served.insert(name.to_owned(), kind.to_owned());
                }
                ["#", "HELP", name, said] => {
                    help.insert(name.to_owned(), said.to_owned());
                }
                _ => {}
            }
        }
        let told: BTreeMap<String, String> = catalog::ALL
            .iter()
            .map(|m| {
                let kind = format!("{:?}", m.kind).to_lowercase();
                (format!("driftline_{}", m.name), kind)
            })
            .collect();
        assert_eq!(served, told);
        for metric in catalog::ALL {
            let name = format!("driftline_{}", metric.name);
            assert_eq!(help[&name], format!("{}.", metric.help));
            let first = |l: &&str| l.starts_with(&name) && !l.starts_with('#');
            let sample = text.lines().find(first).expect("a sample");
            let labels: Vec<&str> = sample
                .split_once('{')
                .map(|(_, rest)| rest.split('}').next().unwrap_or_default())
                .into_iter()
                .flat_map(|all| all.split(','))
                .filter_map(|pair| pair.split('=').next())
                .filter(|label| !label.is_empty() && *label != "le")
                .collect();
            assert_eq!(labels, metric.labels, "{sample}");
        }
    }
}
