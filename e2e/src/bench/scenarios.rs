//! What is measured in a world, in an order in which nothing disturbs what comes after.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::audit::DRY_RUN;
use super::machine::Neighbours;
use super::process::{Peaks, cpu, memory, reset_peak};
use super::report::{Report, Row};
use super::sightings::{PolicySeen, Sightings};
use super::subject::Subject;
use super::workload::Release;
use super::world::World;
use super::{Plan, Result, Scenario, WorldSpec, edits, revert, say};

/// The longest that a complete report may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest that a storm is followed.
const STORM: Duration = Duration::from_secs(400);

/// Measures all scenarios of a world.
pub async fn measure(plan: &Plan, spec: &WorldSpec, report: &mut Report) -> Result<()> {
    let world = World::build(plan, spec).await?;
    report.kubernetes.clone_from(&world.kubernetes);
    let mut rows = Rows {
        title: format!("{} {}", spec.objects, spec.kind.title()),
        neighbours: Neighbours::begin(),
        report,
    };
    let wants = |scenario| spec.scenarios.contains(&scenario);
    let subject = start(plan, &world, &mut rows).await?;
    let run = async {
        if wants(Scenario::Rest) || wants(Scenario::Idle) {
            rest(plan, spec, &subject, &mut rows).await?;
        }
        if wants(Scenario::Idle) {
            idle(plan, &world, &subject, &mut rows).await?;
        }
        if wants(Scenario::Verify) {
            verify(&world, &subject, &mut rows).await?;
        }
        if wants(Scenario::Edits) {
            edits(plan, &world, &subject, &mut rows).await?;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    if let Err(error) = run.await {
        return Err(subject.explain(&error).into());
    }
    let subject = if wants(Scenario::Down) {
        down(plan, &world, subject, &mut rows).await?
    } else {
        subject
    };
    let run = async {
        if wants(Scenario::Commit) {
            commit(plan, &world, &subject, &mut rows).await?;
        }
        if wants(Scenario::Rollout) {
            rollout(plan, &world, &subject, &mut rows).await?;
        }
        if wants(Scenario::Revert) {
            put_back(plan, &world, &subject, &mut rows).await?;
        }
        if wants(Scenario::Storm) {
            storm(&world, &subject, &mut rows).await?;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    if let Err(error) = run.await {
        return Err(subject.explain(&error).into());
    }
    subject.stop().await
}

/// Takes rows of one world.
struct Rows<'a> {
    title: String,
    neighbours: Neighbours,
    report: &'a mut Report,
}

impl Rows<'_> {
    /// A scenario begins: others' CPU is counted from here.
    fn scenario(&mut self, what: &str) {
        say(what);
        self.neighbours = Neighbours::begin();
    }

    fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.with(what, value, unit, None);
    }

    fn target(&mut self, what: impl Into<String>, value: f64, unit: &'static str, most: f64) {
        self.with(what, value, unit, Some(most));
    }

    fn with(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Option<f64>,
    ) {
        let rounded = (value * 1000.0).round() / 1000.0;
        self.report.rows.push(Row {
            world: self.title.clone(),
            what: what.into(),
            value: rounded,
            unit,
            target,
            neighbours: (self.neighbours.cores() * 100.0).round() / 100.0,
        });
    }

    fn dry_runs(&mut self, when: &str, counts: &BTreeMap<String, u64>) {
        let asked: u64 = counts
            .iter()
            .filter(|(name, _)| name.ends_with(DRY_RUN))
            .map(|(_, count)| count)
            .sum();
        self.add(format!("dry runs {when}"), scaled(asked, 1.0), "");
    }

    fn per(&mut self, what: &str, counts: &BTreeMap<String, u64>, factor: f64) {
        let total: u64 = counts.values().sum();
        self.add(format!("requests {what}, all"), scaled(total, factor), "");
        let mut sorted: Vec<_> = counts.iter().collect();
        sorted.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
        for (name, count) in sorted {
            self.add(
                format!("requests {what}: {name}"),
                scaled(*count, factor),
                "",
            );
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn scaled(count: u64, factor: f64) -> f64 {
    (count as f64 * factor * 1000.0).round() / 1000.0
}

/// Megabytes of a million bytes, as targets and peers count them.
#[allow(clippy::cast_precision_loss)]
fn mb(bytes: u64) -> f64 {
    (bytes as f64 / 100_000.0).round() / 10.0
}

#[allow(clippy::cast_precision_loss)]
fn count(objects: usize) -> f64 {
    objects as f64
}

/// The targets that depend on the number of objects; those between two sizes have none.
fn memory_targets(spec: &WorldSpec) -> (Option<f64>, Option<f64>) {
    match spec.objects {
        10_000 => (Some(40.0), Some(120.0)),
        50_000 => (Some(80.0), Some(250.0)),
        _ => (None, None),
    }
}

fn complete(spec: &WorldSpec, policy: &PolicySeen) -> bool {
    policy.ready
        && policy.open_questions == 0
        && policy.pending == 0
        && usize::try_from(policy.declared).is_ok_and(|n| n == spec.objects)
}

async fn launch(plan: &Plan, world: &World) -> Result<Subject> {
    Subject::start(
        &world.tools,
        &world.account,
        &world.operator_log(),
        &plan.log_level,
    )
    .await
}

async fn start(plan: &Plan, world: &World, rows: &mut Rows<'_>) -> Result<Subject> {
    let mark = world.audit.mark();
    let mut sightings = Sightings::start(&world.client, None).await?;
    rows.scenario("starting the operator, until its first complete report");
    let subject = launch(plan, world).await?;
    let peaks = Peaks::follow(subject.pid());
    let rendered = subject.rendered(0.0, PATIENCE).await?;
    let done = sightings
        .policy(PATIENCE, |p| complete(&world.spec, p))
        .await;
    let (at, _) = done.map_err(|e| subject.explain(&e))?;
    let work = subject.work().await.unwrap_or_default();
    let used = cpu(subject.pid());
    let (worker, job) = peaks.end();
    let memory = memory(subject.pid()).unwrap_or_default();
    let from_start = |at: Instant| (at - subject.started).as_secs_f64();
    rows.add("start to first complete report", from_start(at), "s");
    rows.add("  of it fetching", work.fetch_seconds, "s");
    rows.add("  of it rendering", work.render_seconds, "s");
    let after = at.saturating_duration_since(rendered).as_secs_f64();
    let target = (world.spec.objects >= 50_000).then_some(5.0);
    rows.with("  after rendering", after, "s", target);
    // Unlike the times, these hardly depend on what else the machine does.
    rows.add("  CPU of the operator until then", used.own, "s");
    rows.add("  CPU of the worker and its jobs", used.below, "s");
    let (_, peak) = memory_targets(&world.spec);
    rows.with("operator, peak at start", mb(memory.peak), "MB", peak);
    rows.add("worker, peak at start", mb(worker), "MB");
    rows.add("worker's largest job, peak at start", mb(job), "MB");
    rows.dry_runs("at start", &world.audit.since(mark)?);
    Ok(subject)
}

async fn rest(plan: &Plan, spec: &WorldSpec, subject: &Subject, rows: &mut Rows<'_>) -> Result<()> {
    rows.scenario(&format!("settling for {} s", plan.settle.as_secs()));
    tokio::time::sleep(plan.settle).await;
    let resident = memory(subject.pid()).unwrap_or_default().resident;
    let (at_rest, _) = memory_targets(spec);
    rows.with("operator, at rest", mb(resident), "MB", at_rest);
    let worker: u64 = super::process::children(subject.pid())
        .into_iter()
        .filter_map(memory)
        .map(|m| m.resident)
        .sum();
    rows.add("worker, at rest", mb(worker), "MB");
    Ok(())
}

async fn idle(plan: &Plan, world: &World, subject: &Subject, rows: &mut Rows<'_>) -> Result<()> {
    rows.scenario(&format!(
        "watching the idle operator for {} s",
        plan.idle.as_secs()
    ));
    let (mark, before, began) = (world.audit.mark(), cpu(subject.pid()), Instant::now());
    tokio::time::sleep(plan.idle).await;
    let per_hour = 3600.0 / began.elapsed().as_secs_f64();
    let after = cpu(subject.pid());
    rows.target(
        "idle CPU per hour, operator",
        (after.own - before.own) * per_hour,
        "s",
        15.0,
    );
    rows.add(
        "idle CPU per hour, worker and its jobs",
        (after.below - before.below) * per_hour,
        "s",
    );
    let counts = world.audit.since(mark)?;
    rows.per("per idle hour", &counts, per_hour);
    Ok(())
}

/// What one full verification costs; by default there is one an hour.
async fn verify(world: &World, subject: &Subject, rows: &mut Rows<'_>) -> Result<()> {
    rows.scenario("a full verification");
    let (mark, before) = (world.audit.mark(), cpu(subject.pid()));
    world.verify_every("1m").await?;
    let (begun, lists) = (Instant::now(), |counts: &BTreeMap<String, u64>| {
        let lists = counts.iter().filter(|(name, _)| name.starts_with("list "));
        lists.map(|(_, count)| count).sum::<u64>()
    });
    while lists(&world.audit.since(mark)?) == 0 {
        if begun.elapsed() > Duration::from_secs(90) {
            return Err("nothing was verified within 90 s".into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // So that there is one only; what it asks comes within seconds.
    world.verify_every("1h").await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let counts = world.audit.since(mark)?;
    rows.dry_runs("of a full verification", &counts);
    rows.add(
        "lists of a full verification",
        scaled(lists(&counts), 1.0),
        "",
    );
    let used = cpu(subject.pid()).own - before.own;
    rows.add("CPU of the operator meanwhile", used, "s");
    let missed = subject.metric("driftline_verification_missed_total").await;
    let missed = missed.unwrap_or(f64::NAN);
    rows.target("changes that only it found", missed, "", 0.0);
    Ok(())
}

async fn edits(plan: &Plan, world: &World, subject: &Subject, rows: &mut Rows<'_>) -> Result<()> {
    rows.scenario(&format!("{} live edits, each undone", plan.edits));
    let reads = subject.metric("driftline_object_reads_total").await;
    let mark = world.audit.mark();
    let times = edits::measure(world, plan.edits).await?;
    let counts = world.audit.since(mark)?;
    let after = subject.metric("driftline_object_reads_total").await;
    let parts = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];
    for (name, part) in parts {
        rows.add(
            format!("edit to its own watch event, {name}"),
            times.event.at(part),
            "ms",
        );
    }
    for (name, part) in parts {
        let target = match name {
            "p50" => Some(25.0),
            "p99" => Some(150.0),
            _ => None,
        };
        rows.with(
            format!("edit to record, {name}"),
            times.record.at(part),
            "ms",
            target,
        );
    }
    for (name, part) in parts {
        rows.add(
            format!("edit to policy status, {name}"),
            times.status.at(part),
            "ms",
        );
    }
    for (name, part) in parts {
        rows.add(
            format!("undoing to closed record, {name}"),
            times.closed.at(part),
            "ms",
        );
    }
    let moved = after.unwrap_or(f64::NAN) - reads.unwrap_or(f64::NAN);
    rows.target("object reads, over all edits", moved, "", 0.0);
    rows.per(
        "per drift and its end",
        &counts,
        1.0 / count(plan.edits.max(1)),
    );
    Ok(())
}

async fn down(
    plan: &Plan,
    world: &World,
    subject: Subject,
    rows: &mut Rows<'_>,
) -> Result<Subject> {
    rows.scenario("an edit while the operator is down");
    subject.stop().await?;
    let number = world.spec.objects / 2;
    world.edit(number, false).await?;
    let mut sightings = Sightings::start(&world.client, None).await?;
    let subject = launch(plan, world).await?;
    let until = Instant::now() + PATIENCE;
    let at = loop {
        let next = sightings.next(until).await;
        let next = next.map_err(|e| subject.explain(&e))?;
        if let super::sightings::Seen::Record { open: true, .. } = next.seen {
            break next.at;
        }
    };
    rows.add(
        "start to the record of a drift made while down",
        (at - subject.started).as_secs_f64(),
        "s",
    );
    world.edit(number, true).await?;
    let done = sightings
        .policy(PATIENCE, |p| p.drifted == 0 && complete(&world.spec, p))
        .await;
    done.map_err(|e| subject.explain(&e))?;
    Ok(subject)
}

/// Follows a commit: until the operator has rendered it and the status pleases.
async fn follow_commit(
    plan: &Plan,
    world: &World,
    subject: &Subject,
    release: Release,
    pleases: impl FnMut(&PolicySeen) -> bool,
    most: Duration,
) -> Result<(f64, f64)> {
    let mut sightings = Sightings::start(&world.client, None).await?;
    let before = subject.work().await.unwrap_or_default();
    world.release(release).await?;
    let waited = Instant::now();
    let rendered = subject
        .rendered(before.renders, plan.interval * 2 + PATIENCE)
        .await?;
    say(&format!(
        "rendered {:.0} s after the push",
        waited.elapsed().as_secs_f64()
    ));
    let (at, _) = sightings.policy(most, pleases).await?;
    let after = subject.work().await.unwrap_or_default();
    Ok((
        after.render_seconds - before.render_seconds,
        at.saturating_duration_since(rendered).as_secs_f64(),
    ))
}

async fn commit(plan: &Plan, world: &World, subject: &Subject, rows: &mut Rows<'_>) -> Result<()> {
    rows.scenario("a commit that says the same of every object in other words");
    reset_peak(subject.pid())?;
    let peaks = Peaks::follow(subject.pid());
    let head = world.repo.head().await?;
    let spec = &world.spec;
    let new = |p: &PolicySeen| !p.revision.contains(&head) && p.drifted == 0 && complete(spec, p);
    let (render, rest) =
        follow_commit(plan, world, subject, Release::Respelled, new, PATIENCE).await?;
    let (worker, job) = peaks.end();
    let peak = memory(subject.pid()).unwrap_or_default().peak;
    rows.add("big commit, rendering", render, "s");
    rows.add("big commit, after rendering", rest, "s");
    rows.with(
        "operator, peak at a big commit",
        mb(peak),
        "MB",
        memory_targets(spec).1,
    );
    rows.add("worker, peak at a big commit", mb(worker), "MB");
    rows.add("worker's largest job, peak at a big commit", mb(job), "MB");
    Ok(())
}

/// The commit is seen first, and then rolled out as by a pipeline: nothing of that is drift.
async fn rollout(plan: &Plan, world: &World, subject: &Subject, rows: &mut Rows<'_>) -> Result<()> {
    rows.scenario("a commit that changes every declaration, and its roll-out");
    reset_peak(subject.pid())?;
    let (mark, spec) = (world.audit.mark(), &world.spec);
    let all = |p: &PolicySeen| usize::try_from(p.pending).is_ok_and(|n| n == spec.objects);
    let (_, rest) = follow_commit(plan, world, subject, Release::Next, all, PATIENCE).await?;
    rows.add("a commit is pending everywhere, after rendering", rest, "s");
    let mut sightings = Sightings::start(&world.client, None).await?;
    world.roll_out().await?;
    let rolled_out = Instant::now();
    let done = |p: &PolicySeen| p.drifted == 0 && complete(spec, p);
    let (at, _) = sightings.policy(PATIENCE, done).await?;
    let after = at.saturating_duration_since(rolled_out).as_secs_f64();
    rows.add("end of its roll-out to in sync", after, "s");
    let counts = world.audit.since(mark)?;
    rows.dry_runs("for a commit and its roll-out", &counts);
    rows.per("for a commit and its roll-out", &counts, 1.0);
    let peak = memory(subject.pid()).unwrap_or_default().peak;
    let target = memory_targets(spec).1;
    rows.with("operator, peak at a roll-out", mb(peak), "MB", target);
    Ok(())
}

/// Live edits that go back: one by one, and many at once.
async fn put_back(
    plan: &Plan,
    world: &World,
    subject: &Subject,
    rows: &mut Rows<'_>,
) -> Result<()> {
    rows.scenario(&format!("{} live edits, each put back", plan.edits));
    let mut sightings = Sightings::start(&world.client, None).await?;
    world.put_back(true).await?;
    let spec = &world.spec;
    let done = |p: &PolicySeen| p.drifted == 0 && complete(spec, p);
    sightings.policy(PATIENCE, done).await?;
    // Rights are looked at again meanwhile, and statuses written; the next edit should find everything at rest.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mark = world.audit.mark();
    let times = revert::measure(world, plan.edits).await?;
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let target = (name == "p99").then_some(300.0);
        rows.with(
            format!("edit to put back, {name}"),
            times.back.at(part),
            "ms",
            target,
        );
    }
    rows.add(
        "  of it to the edit's own watch event, p99",
        times.event.at(0.99),
        "ms",
    );
    let counts = world.audit.since(mark)?;
    rows.per("per edit put back", &counts, 1.0 / count(plan.edits.max(1)));
    let many = spec.objects.min(1000);
    rows.scenario(&format!("{many} objects are edited at once, and put back"));
    reset_peak(subject.pid())?;
    let (mark, used) = (world.audit.mark(), cpu(subject.pid()).own);
    let (after, whole) = revert::burst(world, many).await?;
    rows.add(
        format!("{many} edits at once: first edit to all back"),
        whole.as_secs_f64(),
        "s",
    );
    rows.add(
        format!("{many} edits at once: last edit to all back"),
        after.as_secs_f64(),
        "s",
    );
    // Until the records say so too.
    sightings.forget();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let counts = world.audit.since(mark)?;
    rows.per(
        "per object of many edited at once",
        &counts,
        1.0 / count(many),
    );
    rows.add(
        "CPU of the operator meanwhile",
        cpu(subject.pid()).own - used,
        "s",
    );
    let peak = memory(subject.pid()).unwrap_or_default().peak;
    let target = memory_targets(spec).1;
    rows.with("operator, peak meanwhile", mb(peak), "MB", target);
    let blocked = subject.metric("driftline_reverts_total").await;
    rows.add(
        "attempts to put back, of all outcomes",
        blocked.unwrap_or(f64::NAN),
        "",
    );
    world.put_back(false).await
}

async fn storm(world: &World, subject: &Subject, rows: &mut Rows<'_>) -> Result<()> {
    rows.scenario("every object is edited");
    reset_peak(subject.pid())?;
    let (mark, spec) = (world.audit.mark(), &world.spec);
    let all = |p: &PolicySeen| {
        p.open_questions == 0
            && usize::try_from(p.drifted).is_ok_and(|n| n == spec.objects)
            && p.records == p.drifted.min(500)
    };
    let mut sightings = Sightings::start(&world.client, None).await?;
    world.edit_some(spec.objects).await?;
    let edited = Instant::now();
    let (at, _) = sightings.policy(STORM, all).await?;
    let after = at.saturating_duration_since(edited).as_secs_f64();
    rows.add("everything drifts: last edit to all known", after, "s");
    rows.dry_runs("while everything drifts", &world.audit.since(mark)?);
    let memory = memory(subject.pid()).unwrap_or_default();
    rows.with(
        "operator, peak while everything drifts",
        mb(memory.peak),
        "MB",
        memory_targets(spec).1,
    );
    rows.add(
        "operator, with everything drifted",
        mb(memory.resident),
        "MB",
    );
    Ok(())
}
