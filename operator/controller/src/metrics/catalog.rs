//! What each metric is. The registry is filled from this table and docs/metrics.md is written from it, so the two cannot differ.

/// How a metric behaves. What it is registered as says it to the registry; this says it to the page, and a test compares the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Debug)]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "what the page needs besides, it is written by a test"
    )
)]
pub struct Described {
    /// Without the prefix, and without the `_total` of a counter.
    pub name: &'static str,
    pub kind: Kind,
    /// The base unit, with which the name ends; empty for a plain number.
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    /// A sentence without its full stop, as the text format has it.
    pub help: &'static str,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Described {
    Described {
        name,
        kind: Kind::Counter,
        unit: "",
        labels,
        help,
    }
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Described {
    Described {
        name,
        kind: Kind::Gauge,
        unit,
        labels,
        help,
    }
}

const fn seconds(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Described {
    Described {
        name,
        kind: Kind::Histogram,
        unit: "seconds",
        labels,
        help,
    }
}

const POLICY: &[&str] = &["namespace", "policy"];
const RESULT: &[&str] = &["result"];

/// Declares the table: a constant for each metric, and all of them in order.
macro_rules! table {
    ($($name:ident = $described:expr;)*) => {
        $(pub const $name: Described = $described;)*
        /// All metrics, in the order of the page.
        #[cfg(test)]
        pub const ALL: &[Described] = &[$($name),*];
    };
}

table! {
    DRIFT_OPEN = gauge("drift_open", "", &["namespace", "policy", "target", "severity", "origin"],
        "Objects with an open record of drift that no exception allows, at most 500 a policy; absent where there are none. Told by the leader only");
    DRIFT_OLDEST = gauge("drift_oldest_age_seconds", "seconds", POLICY,
        "How long the oldest drift that no exception allows has been known; absent where there is none. Told by the leader only");
    RECORDS = gauge("records_open", "", &["namespace", "policy", "state"],
        "Records that are not closed; absent where there are none. Told by the leader only");
    OBJECTS = gauge("objects", "", &["namespace", "policy", "state"],
        "Declared objects, exactly; drifted counts those besides that are there and not declared");
    COVERAGE = gauge("coverage_ratio", "ratio", POLICY,
        "Which part of the declared objects is wholly compared, from 0 to 1; absent where nothing is declared");
    TARGET_READY = gauge("target_ready", "", &["namespace", "policy", "target"],
        "1 where a target could be rendered and every declared kind be read that is to be, 0 where not; absent before the first attempt");
    STALLED = gauge("policy_stalled", "", POLICY,
        "1 where a policy cannot be worked with until somebody mends something, else 0");
    SOURCE_STALE = gauge("source_stale", "", POLICY,
        "1 where the source of a policy has not answered for three intervals, else 0; absent for policies without a source");
    PENDING_AGE = gauge("pending_age_seconds", "seconds", POLICY,
        "How long the oldest commit has been waiting to be rolled out; absent where none does");
    DETECTION = seconds("detection_delay_seconds", &[],
        "From a change to its record, for changes since the policy was first looked at whose time managedFields name; they name whole seconds, so up to one second of it is rounding");
    DURATION = seconds("drift_duration_seconds", &["resolution"],
        "How long drift lasted, from its record's firstSeen to its end");
    EXCEPTIONS = gauge("exceptions", "", &["namespace", "policy", "state"],
        "Exceptions of policies that there are");
    EXCEPTION_REMAINING = gauge("exception_remaining_seconds", "seconds", POLICY,
        "How long the exception that ends first is still in force; absent where none is");
    HOLD_REMAINING = gauge("hold_remaining_seconds", "seconds", POLICY,
        "How long spec.hold still pauses enforcement; absent where it does not");
    REVERTS = counter("reverts", &["outcome"], "Objects that were to be put back");
    REVERTED_AFTER = seconds("revert_duration_seconds", &[],
        "How long objects had drifted, by their records, when they were put back");
    DELIVERIES = counter("deliveries", &["outcome"], "Objects of a commit that were to be delivered");
    BUDGET_STOPS = counter("budget_stops", &[], "Times a policy's budget was spent and drift had to wait");
    FETCHES = seconds("fetch_duration_seconds", RESULT, "How long fetches of repositories took");
    RENDERS = seconds("render_duration_seconds", RESULT, "How long renderings of targets took");
    CHECKS = seconds("check_duration_seconds", RESULT,
        "How long full verifications of targets took: all versions listed and compared with what the watches told");
    MISSED = counter("verification_missed", &[], "Changes that only a verification found; must stay at zero");
    BLAMES = counter("blames", RESULT, "Times the worker was asked who wrote some lines");
    HISTORIES = counter("history_fetches", RESULT, "Times a repository's history was fetched to find that out");
    WRITES = counter("writes", &["resource"], "Objects of its own that the operator wrote");
    WRITE_FAILURES = counter("write_failures", &[], "Writes that failed and are tried again");
    DRY_RUNS = counter("dry_runs", &[], "Dry-run creations asked for");
    DRY_RUNS_REFUSED = counter("dry_runs_refused", &[],
        "Dry-run creations that the API server refused; ownership decides there");
    OBJECT_READS = counter("object_reads", &[], "Live objects read one by one");
    WATCH_AGE = gauge("watch_age_seconds", "seconds", &["kind"],
        "Since when the API server was not heard, the oldest watch of each kind");
    WATCHES_NOT_READY = gauge("watches_not_ready", "", &[], "Watches that know nothing at the moment");
    WATCH_RELISTS = gauge("watch_relists", "", &[], "Lists begun by the watches that run");
    QUEUE_DEPTH = gauge("queue_depth", "", &["queue"], "Objects that wait; no queue holds an object twice");
    EVENTS_DROPPED = counter("events_dropped", &[],
        "Kubernetes Events that were not written, because their queue was full or the API server refused them");
    RESIDUES_DROPPED = counter("memory_residues_dropped", &[],
        "Times that a target was remembered without what its objects have beyond their declarations, for lack of room");
    PANICS = counter("reconcile_panics", &[], "Reconciliations that ended by a defect");
    LEADER = gauge("leader", "", &[], "1 on the replica that writes");
}

/// What the labels say, and what bounds the number of their values.
#[cfg(test)]
const LABELS: &[(&str, &str)] = &[
    (
        "namespace",
        "the policy's namespace; as many as have policies",
    ),
    ("policy", "the policy's name; as many as there are"),
    ("target", "the target's name; at most 32 a policy"),
    (
        "severity",
        "`Low`, `Medium`, `High` or `Critical`, as in the record",
    ),
    (
        "origin",
        "`LiveEdited`, `GitAhead`, `Diverged` or `Unknown`, as in the record",
    ),
    (
        "state",
        "of `driftline_objects`: `in_sync`, `drifted`, `pending`, `excepted`, `unverified`, `unknown`; of `driftline_records_open`: a \
         record's state, such as `Open`, `Pending` or `Contested`; of `driftline_exceptions`: `active`, `expiring`, `expired`, `invalid`",
    ),
    (
        "resolution",
        "`reverted`: Driftline put it back; `mended`: it is as declared again by other hands, live or in Git; `ignored`: a rule ignores \
         it; `undeclared`: Git does not declare it any more; `gone`: it was an object that nobody declared; `unknown`: it cannot be told \
         any more whether it differs",
    ),
    (
        "outcome",
        "what came of it, as in a record's `status.enforcement`; eight words",
    ),
    (
        "result",
        "`ok`, or why not: of fetches and of questions about lines one of some ten words such as `auth`, `timeout`, `notfound`; else `failed`",
    ),
    (
        "resource",
        "`record`, `policy_status`, `exception_status`, `event`, `memory`",
    ),
    (
        "kind",
        "kinds that are watched, such as `apps/Deployment`; as many as policies declare",
    ),
    ("queue", "`changes`, `questions`, `blames`"),
];

#[cfg(test)]
impl Described {
    /// The name by which it is asked for.
    pub fn full_name(&self) -> String {
        let total = if self.kind == Kind::Counter {
            "_total"
        } else {
            ""
        };
        format!("driftline_{}{total}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const HEAD: &str = "\
# Metrics

Generated from operator/controller/src/metrics/catalog.rs by `make generate`; do not edit.

Every replica serves them on port 8080 under `/metrics`, in Prometheus' text format. Names of objects are never labels, and no label takes
its values from what a repository or a cluster holds but names of policies, their namespaces and targets, and kinds. What a policy's
gauges say is the same on every replica, except where only the leader tells it: take the `max` over the pods, not the `sum`.

The label `namespace` is the policy's. A scrape has to leave it alone (`honor_labels: true`, as the chart's ServiceMonitor sets it); otherwise
Prometheus renames it to `exported_namespace`.

The chart's alerts (`prometheusRule.enabled`, [files/alerts.yaml](../charts/driftline/files/alerts.yaml)) and its Grafana dashboard
(`dashboard.enabled`) are made of these.

";

    fn page() -> String {
        let mut page = HEAD.to_owned();
        page.push_str("| name | type | unit | labels | what it says |\n|---|---|---|---|---|\n");
        for metric in ALL {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
            page.push_str(&format!(
                "| `{}` | {kind} | {} | {} | {} |\n",
                metric.full_name(),
                metric.unit,
                labels.join(", "),
                metric.help
            ));
        }
        page.push_str(
            "\nA histogram has `_bucket` with the label `le`, `_sum` and `_count`.\n\n## Labels\n\n| label | values |\n|---|---|\n",
        );
        for (label, values) in LABELS {
            page.push_str(&format!("| `{label}` | {values} |\n"));
        }
        page
    }

    #[test]
    fn the_page_of_metrics_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        if std::env::var_os("DRIFTLINE_GENERATE").is_some() {
            std::fs::write(&path, page()).expect("write");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == page(),
            "docs/metrics.md is stale; run `make generate`"
        );
    }

    #[test]
    fn names_end_with_their_unit_and_every_label_is_explained() {
        let mut used: Vec<&str> = Vec::new();
        for metric in ALL {
            assert!(metric.name.ends_with(metric.unit), "{metric:?}");
            assert!(
                metric.kind != Kind::Histogram || metric.unit == "seconds",
                "{metric:?}"
            );
            assert!(!metric.help.ends_with('.'), "{metric:?}");
            used.extend(metric.labels);
        }
        let mut explained: Vec<&str> = LABELS.iter().map(|(label, _)| *label).collect();
        explained.sort_unstable();
        used.sort_unstable();
        used.dedup();
        assert_eq!(explained, used);
    }
}
