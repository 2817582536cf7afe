//! Metrics as the table describes them.

use std::fmt::Debug;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::catalog::Described;

type Labels = Vec<(&'static str, String)>;

/// A gauge of something that is no whole number.
pub type Float = Gauge<f64, AtomicU64>;

/// A metric with labels: those that the table names, in its order.
#[derive(Debug)]
pub struct Labelled<M> {
    family: Family<Labels, M>,
    labels: &'static [&'static str],
}

impl<M: Clone> Labelled<M> {
    /// The one with these values of its labels.
    pub fn with<const N: usize>(&self, values: [&str; N]) -> M {
        debug_assert_eq!(N, self.labels.len());
        let pairs = self.labels.iter().zip(values);
        let labels = pairs.map(|(label, value)| (*label, value.to_owned()));
        self.family.get_or_create_owned(&labels.collect())
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.family.clear();
    }
}

/// Fills a registry by the table.
pub struct Book {
    pub registry: Registry,
}

impl Book {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            registry: Registry::with_prefix("driftline"),
        }
    }

    /// A metric without labels.
    pub fn plain<M>(&mut self, about: &'static Described, metric: M) -> M
    where
        M: EncodeMetric + Clone + Debug + Send + Sync + 'static,
    {
        self.registry
            .register(about.name, about.help, metric.clone());
        metric
    }

    /// A metric with labels.
    pub fn labelled<M>(&mut self, about: &'static Described, make: fn() -> M) -> Labelled<M>
    where
        M: EncodeMetric + TypedMetric + Clone + Debug + Send + Sync + 'static,
    {
        let family = Family::new_with_constructor(make);
        self.registry
            .register(about.name, about.help, family.clone());
        Labelled {
            family,
            labels: about.labels,
        }
    }
}

/// From 10 ms to 82 s: what calls and jobs take.
pub fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 14))
}

/// From 1 s to 12 days: what people take.
pub fn long() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 11))
}
