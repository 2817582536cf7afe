//! The gauges, as of now.

use cluster::index::Tally;
use drift::Unknown;
use driftline_crds::RecordState;
use jiff::Timestamp;
use prometheus_client::encoding::text::encode;

use super::{Gauges, Metrics};
use crate::engine::Engine;
use crate::records::Records;
use crate::registry::PolicyState;

impl Metrics {
    /// Everything in text.
    pub fn text(&self, engine: &Engine, records: &Records) -> String {
        // One at a time: gauges are emptied and filled.
        let registry = self.registry.lock();
        let now = Timestamp::now();
        self.gauges.clear();
        for policy in engine.registry.all() {
            self.gauges.policy(engine, &policy, now);
        }
        self.gauges.exceptions(engine, now);
        if *engine.leading.borrow() {
            self.gauges.records(engine, records, now);
        }
        self.gauges.shared(engine);
        text(&registry)
    }

    /// As they stand.
    #[cfg(test)]
    pub(super) fn encoded(&self) -> String {
        text(&self.registry.lock())
    }
}

fn text(registry: &prometheus_client::registry::Registry) -> String {
    let mut text = String::new();
    if encode(&mut text, registry).is_err() {
        tracing::error!("metrics could not be written");
    }
    text
}

/// Seconds from one time to another; none if that is over.
fn from_to(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

impl Gauges {
    fn clear(&self) {
        self.drift.clear();
        self.oldest.clear();
        self.records.clear();
        self.objects.clear();
        self.coverage.clear();
        self.target_ready.clear();
        self.stalled.clear();
        self.source_stale.clear();
        self.pending_age.clear();
        self.exceptions.clear();
        self.exception_remaining.clear();
        self.hold_remaining.clear();
        self.watch_age.clear();
    }

    fn policy(&self, engine: &Engine, policy: &PolicyState, now: Timestamp) {
        let (namespace, name) = (&*policy.key.namespace, &*policy.key.name);
        let view = policy.view.lock().clone();
        let mut sum = Tally::default();
        for target in &view.targets {
            sum.merge(engine.index.tally(target.id));
            if let Some(rendered) = target.ready {
                let troubles = engine.index.troubles(target.id);
                // Leaving live Secrets alone is a setting, not a failure.
                let is_read = troubles
                    .iter()
                    .all(|(_, why, _)| *why == Unknown::NotCompared);
                let gauge = self.target_ready.with([namespace, name, &target.name]);
                gauge.set((rendered && is_read).into());
            }
        }
        for (state, count) in [
            ("in_sync", sum.in_sync),
            ("drifted", sum.drifted + sum.orphaned),
            ("pending", sum.pending),
            ("excepted", sum.excepted),
            ("unverified", sum.unverified),
            ("unknown", sum.unknown),
        ] {
            let gauge = self.objects.with([namespace, name, state]);
            gauge.set(count.into());
        }
        let gauge = self.stalled.with([namespace, name]);
        gauge.set(view.stalled.is_some().into());
        let declared = sum.declared();
        if declared > 0 {
            let compared = declared - sum.unverified - sum.unknown;
            let ratio = f64::from(compared) / f64::from(declared);
            self.coverage.with([namespace, name]).set(ratio);
        }
        if view.source.is_some() || view.source_error.is_some() {
            let gauge = self.source_stale.with([namespace, name]);
            gauge.set(view.source_stale.into());
        }
        if let Some(until) = view.terms.hold(now) {
            let gauge = self.hold_remaining.with([namespace, name]);
            gauge.set(from_to(now, until));
        }
        // Only who leads knows when it is over.
        let leads = *engine.leading.borrow();
        let waits = |t: &crate::registry::TargetView| {
            Some(t.id)
                .filter(|_| leads)
                .and_then(|id| engine.pending.oldest(id))
        };
        if let Some(since) = view.targets.iter().filter_map(waits).min() {
            let gauge = self.pending_age.with([namespace, name]);
            gauge.set(from_to(since, now));
        }
    }

    fn exceptions(&self, engine: &Engine, now: Timestamp) {
        for (policy, state, ends) in engine.exceptions.standings() {
            // Of policies that there are: anybody may name others.
            if engine.registry.get(&policy).is_none() {
                continue;
            }
            let (namespace, name) = (&*policy.namespace, &*policy.name);
            self.exceptions.with([namespace, name, state]).inc();
            if matches!(state, "active" | "expiring") {
                let left = from_to(now, ends);
                let gauge = self.exception_remaining.with([namespace, name]);
                // A gauge begins at 0, which none that is in force has.
                let before = gauge.get();
                let first = before == 0.0;
                gauge.set(if first { left } else { left.min(before) });
            }
        }
    }

    /// What the leader's records say; those of another replica are as old as its time as a leader.
    fn records(&self, engine: &Engine, records: &Records, now: Timestamp) {
        records.each_open(|entry| {
            let Some(status) = &entry.status else { return };
            if engine.registry.get(&entry.policy).is_none() {
                return;
            }
            let (namespace, name) = (&*entry.policy.namespace, &*entry.policy.name);
            let state = status.state.as_str();
            self.records.with([namespace, name, state]).inc();
            if matches!(status.state, RecordState::Pending | RecordState::Excepted) {
                return;
            }
            let severity = status.severity.map_or("", |s| s.as_str());
            let origin = status.origin.map_or("", |o| o.as_str());
            let labels = [namespace, name, &entry.target, severity, origin];
            self.drift.with(labels).inc();
            let age = from_to(status.first_seen.0, now);
            let oldest = self.oldest.with([namespace, name]);
            oldest.set(oldest.get().max(age));
        });
    }

    fn shared(&self, engine: &Engine) {
        let (changes, questions) = engine.index.queued();
        let blames = engine.blames.waiting();
        for (queue, depth) in [
            ("changes", changes),
            ("questions", questions),
            ("blames", blames),
        ] {
            let gauge = self.queues.with([queue]);
            gauge.set(i64::try_from(depth).unwrap_or(i64::MAX));
        }
        let mut blind = 0;
        for (kind, ready, age) in engine.watches.ages() {
            blind += i64::from(!ready);
            let gauge = self.watch_age.with([&kind]);
            gauge.set(gauge.get().max(age));
        }
        self.watches_blind.set(blind);
        let relists = engine.watches.counters().1;
        self.relists.set(i64::try_from(relists).unwrap_or(i64::MAX));
        self.leading.set(i64::from(*engine.leading.borrow()));
    }
}
