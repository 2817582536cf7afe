//! Puts objects back: reads them once more, lets the core decide, writes as the policy's account, and says what came of it.
//!
//! What is noted of an object lasts as long as the operator; the rounds of a fight are in its record besides, and what was spent of a
//! budget in its policy's status, for the next leader.

mod budgets;
mod known;
mod weigh;
pub(crate) mod words;

use std::sync::Arc;
use std::time::Duration;

use cluster::index::ScopeKey;
use cluster::write::{self, Place};
use cluster::{Account, Category};
use drift::converge::{Act, History, Plan, Rounds, Terms, Why};
use drift::undeclared::Declarer;
use driftline_crds::{Converged, Outcome};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::deliver;
use crate::engine::Engine;
use crate::events::Events;
use crate::records::whole_seconds;
use crate::registry::PolicyState;
use budgets::Asked;
pub use known::Key;
pub use known::{Converging, Offer};
use known::{Standing, object};
use weigh::decide;
pub(crate) use weigh::{Scene, Weighed, held_until, may_see, read, weigh};

/// Objects that are put back at the same time.
const CONCURRENCY: usize = 8;
/// How often an object that changes meanwhile is read again, before its next change is waited for.
const ATTEMPTS: u32 = 5;
/// How long it takes until what was refused is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// The same for what failed because the API server was not well; doubled each time.
const SOON: Duration = Duration::from_secs(1);
/// How often it is looked whether an object still asks to be left alone.
const GLASS: Duration = Duration::from_secs(30);
/// What waits for longer than this is looked at in between.
const LONG: Duration = Duration::from_secs(3600);

/// Puts back what is handed in, while this replica leads.
pub async fn run(engine: Arc<Engine>, events: Events) {
    let turns = Arc::new(Semaphore::new(CONCURRENCY));
    let mut leading = engine.leading.clone();
    loop {
        if leading.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        engine.converging.offered.notified().await;
        for key in engine.converging.take() {
            let (engine, turns) = (Arc::clone(&engine), Arc::clone(&turns));
            let events = events.clone();
            tokio::spawn(async move {
                let turn = turns.acquire_owned().await;
                one(&engine, &events, &key).await;
                drop(turn);
                engine.converging.done(&engine, &key);
            });
        }
    }
}

/// A policy that may write, and as whom.
pub(crate) struct Writer {
    pub policy: Arc<PolicyState>,
    pub target: String,
    pub terms: Terms,
    pub account: Account,
    /// Its commits are rolled out by Driftline.
    pub delivers: bool,
}

impl Writer {
    /// `None` where the policy is wrong, or gone.
    pub fn of(engine: &Engine, key: &Key) -> Option<Self> {
        let (policy, target) = engine.registry.target(key.0)?;
        let view = policy.view.lock();
        let fit = view.may_write();
        let fit = fit.then(|| Some((view.terms.clone(), view.account.clone()?)));
        let delivers = view.delivers(key.0);
        drop(view);
        let (terms, account) = fit??;
        Some(Self {
            policy,
            target,
            terms,
            account,
            delivers,
        })
    }

    /// True while the policy says the same.
    fn is_still(&self, engine: &Engine, key: &Key) -> bool {
        let same = |now: Self| {
            now.policy.uid == self.policy.uid
                && now.terms == self.terms
                && now.account == self.account
                && now.delivers == self.delivers
        };
        Self::of(engine, key).is_some_and(same)
    }
}

/// What an attempt came to, and the rounds with it.
enum Done {
    Nothing,
    /// It was put back; and what there is to say besides.
    Reverted(Rounds, String),
    Delivered(Rounds),
    /// Its deployer puts it back.
    Healed(Timestamp, Arc<Declarer>),
    Blocked(Rounds, String),
    /// The API server was not well, or did not answer.
    Failed(String),
    Waits(Timestamp, Why),
    /// Not by this replica now, or not on these terms: nothing is known against it.
    Later,
}

async fn one(engine: &Arc<Engine>, events: &Events, key: &Key) {
    let (target, id) = key;
    let Some(writer) = Writer::of(engine, key) else {
        // A policy may be unfit for a while, as when its Secret is missing: what is handed in only once must not be lost by it.
        if engine.registry.target(key.0).is_some() {
            look_again(engine, key, AGAIN, Timestamp::now());
        }
        return;
    };
    let standing = engine.converging.standing(key);
    let mut rounds = standing.history.rounds;
    let mut seen = None;
    if writer.delivers {
        engine.delivering.begins(key);
    }
    let done = attempt(engine, key, &writer, &standing, &mut seen).await;
    let now = Timestamp::now();
    if writer.delivers {
        engine.delivering.ended(key, matches!(done, Done::Nothing));
    }
    match done {
        Done::Waits(until, Why::Order) => {
            let wait = until.duration_since(now).unsigned_abs();
            return look_again(engine, key, wait, now);
        }
        // What is handed in only once must not be lost by it.
        Done::Later => return look_again(engine, key, SOON, now),
        _ => {}
    }
    let failed = matches!(done, Done::Failed(_));
    let failures = engine.converging.fared(key, failed);
    let budgets = &engine.converging.budgets;
    if matches!(done, Done::Waits(_, Why::Budget)) {
        let which = (standing.drift, standing.opened);
        if budgets.waits(&writer.policy, object(key), which) {
            words::stopped(engine, events, &writer.policy, &writer.terms, now);
            engine.metrics.budget_stops.inc();
        }
        engine.registry.touch(&writer.policy.key);
    } else {
        budgets.waits_no_more(&writer.policy, &object(key));
    }
    let mut rung = driftline_crds::Enforcement::Revert;
    let ((outcome, reason), again) = match done {
        Done::Nothing => return engine.converging.was_nothing(key, standing.drift),
        Done::Later => return,
        Done::Reverted(now, note) => {
            rounds = now;
            ((Outcome::Reverted, note), None)
        }
        Done::Delivered(now) => {
            rounds = now;
            ((Outcome::Delivered, String::new()), None)
        }
        Done::Healed(until, by) => {
            rung = driftline_crds::Enforcement::Observe;
            let wait = until.duration_since(now).unsigned_abs();
            ((Outcome::Observed, words::healed(&by)), Some(wait))
        }
        Done::Blocked(now, why) => {
            rounds = now;
            ((Outcome::Blocked, why), Some(AGAIN))
        }
        Done::Failed(why) => ((Outcome::Blocked, why), Some(after_failures(failures))),
        Done::Waits(until, why) => {
            // Nobody tells that an object does not ask for it any more: that is no drift.
            let most = if why == Why::BrokenGlass { GLASS } else { LONG };
            let wait = until.duration_since(now).unsigned_abs().min(most);
            let said = words::waiting(why, rounds.at(now), until, &writer.terms, &standing.by);
            (said, Some(wait))
        }
    };
    let said = Converged {
        rung,
        outcome,
        reason: drift::redact::cut(&drift::redact::printable(&reason), 1024).to_owned(),
        at: Time(whole_seconds(now)),
        attempts: rounds.at(now),
    };
    let news = engine.converging.note(key, rounds, said.clone());
    let since = standing.history.since;
    if writer.delivers {
        engine.metrics.deliveries(outcome.as_str()).inc();
    }
    let about = words::About {
        policy: &writer.policy,
        id,
        delivers: writer.delivers,
    };
    tell(engine, events, about, &said, since, news);
    // The record of what is over says what came of it.
    if let Some((scope, live)) = seen {
        engine.index.observe(&scope, &live);
    }
    // A watch may have been faster than this, and its record says nothing of what came of it yet. What is left alone as before needs no
    // new one.
    if news || !matches!(outcome, Outcome::Waiting | Outcome::Observed) {
        engine.index.touch(*target, id);
    }
    if let Some(wait) = again {
        look_again(engine, key, wait, now);
    }
}

/// How long it takes until what failed so many times in a row is tried again.
fn after_failures(failures: u32) -> Duration {
    let doubled = SOON.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(AGAIN)
}

/// Has an object looked at again after a while, once.
fn look_again(engine: &Arc<Engine>, key: &Key, wait: Duration, now: Timestamp) {
    let Ok(at) = now.checked_add(wait) else {
        return;
    };
    if !engine.converging.wakes(key, at, now) {
        return;
    }
    let (engine, key) = (Arc::clone(engine), key.clone());
    tokio::spawn(async move {
        // Until a little after the time itself: clocks are read twice.
        tokio::time::sleep(wait + Duration::from_millis(10)).await;
        if engine.converging.is_due(&key, at) {
            engine.converging.again(key);
        }
    });
}

/// In the log once, in metrics, and as an Event where that is news.
pub(crate) fn tell(
    engine: &Engine,
    events: &Events,
    about: words::About<'_>,
    said: &Converged,
    since: Option<Timestamp>,
    news: bool,
) {
    let outcome = said.outcome;
    if !matches!(outcome, Outcome::Delivered | Outcome::Pruned) {
        engine.metrics.reverts(outcome.as_str()).inc();
    }
    let reason = &said.reason;
    match outcome {
        Outcome::Reverted => {
            if let Some(since) = since {
                let took = Timestamp::now().duration_since(since).unsigned_abs();
                engine.metrics.reverted_after(took);
            }
            tracing::info!(policy = %about.policy.key, object = %about.id, attempts = said.attempts, "drift was put back");
        }
        Outcome::Delivered => {
            tracing::info!(policy = %about.policy.key, object = %about.id, "what Git declares was delivered");
        }
        Outcome::Pruned => {
            tracing::info!(policy = %about.policy.key, object = %about.id, "what Git does not declare any more was deleted");
        }
        Outcome::Waiting | Outcome::Held | Outcome::Observed => {
            tracing::debug!(policy = %about.policy.key, object = %about.id, outcome = outcome.as_str(), reason, "drift is not put back yet");
        }
        Outcome::Blocked if news && about.delivers => {
            tracing::warn!(policy = %about.policy.key, object = %about.id, reason, "it could not be delivered");
        }
        Outcome::Blocked | Outcome::Contested if news => {
            tracing::warn!(policy = %about.policy.key, object = %about.id, outcome = outcome.as_str(), reason, "drift was not put back");
        }
        Outcome::Blocked | Outcome::Contested => {}
    }
    if news || outcome.is_done() {
        words::event(engine, events, about, said);
    }
}

/// One attempt; `seen` is what it left.
async fn attempt(
    engine: &Arc<Engine>,
    key: &Key,
    writer: &Writer,
    standing: &Standing,
    seen: &mut Option<(ScopeKey, Value)>,
) -> Done {
    let (_, id) = key;
    let rounds = standing.history.rounds;
    for _ in 0..ATTEMPTS {
        let mut history = standing.history;
        let now = Timestamp::now();
        history.spent_until = spent_until(engine, writer, standing, now);
        if let (Some(until), Some(Outcome::Waiting), false) =
            (history.spent_until, standing.last, writer.delivers)
        {
            // As long as there is no room nothing is read either.
            return Done::Waits(until, Why::Budget);
        }
        if writer.delivers && deliver::still_waits(engine, key) {
            return Done::Waits(deliver::next_look(now), Why::Order);
        }
        let scene = match weigh(engine, key, writer, history, now).await {
            Weighed::Ready(scene) => scene,
            Weighed::Moved => continue,
            Weighed::Gone | Weighed::Rest(..) => return Done::Nothing,
            Weighed::Calm(live) => {
                if let Some((scope, live)) = live.map(|l| *l) {
                    tidy(engine, key, writer, &scope, live).await;
                }
                return Done::Nothing;
            }
            Weighed::Waits(until, why) => return Done::Waits(until, why),
            Weighed::Healed(until, by) => return Done::Healed(until, by),
            Weighed::Blocked(why) if why.passes() => return Done::Failed(why.to_string()),
            Weighed::Blocked(why) => return Done::Blocked(rounds, why.to_string()),
        };
        let Some(place) = scene.place(&writer.account, id) else {
            continue;
        };
        if writer.delivers && deliver::must_wait(engine, key) {
            return Done::Waits(deliver::next_look(now), Why::Order);
        }
        let is_commit = scene.is_commit();
        let spent = if is_commit {
            None
        } else {
            match spend(engine, writer, standing).await {
                Ok(spent) => spent,
                Err(done) => return done,
            }
        };
        let take_back = || {
            if let Some(at) = spent {
                engine.converging.budgets.take_back(&writer.policy, at);
            }
        };
        // The policy may have been held, lowered or deleted since.
        if !writer.is_still(engine, key) {
            take_back();
            return Done::Later;
        }
        let wrote = write(engine, place, &scene).await;
        if !matches!(wrote, Wrote::Done(_)) {
            take_back();
        }
        match wrote {
            Wrote::NotLeading => return Done::Later,
            Wrote::Stale => {}
            Wrote::Refused(why) => return Done::Blocked(rounds, why),
            Wrote::Failed(why) => return Done::Failed(why),
            Wrote::Done(live) => {
                // A commit is nobody's fight.
                let rounds = if is_commit {
                    rounds
                } else {
                    rounds.with_one_more(now)
                };
                let live = disown(engine, place, live).await;
                if writer.delivers {
                    let kind = &scene.scope.kind;
                    deliver::note(engine, &writer.policy, &writer.target, id, kind, &live);
                }
                let left = remains(engine, key, writer, &live);
                let unconfirmed = engine.beyond.healers().unconfirmed(&live);
                let note = unconfirmed
                    .as_ref()
                    .map_or_else(String::new, words::unconfirmed);
                *seen = Some((scene.scope, live));
                return match left {
                    true => Done::Blocked(rounds, words::CHANGED_BACK.to_owned()),
                    false if is_commit => Done::Delivered(rounds),
                    false => Done::Reverted(rounds, note),
                };
            }
        }
    }
    // It changes faster than it is read; its next change leads here again.
    Done::Blocked(
        rounds,
        format!("it changed {ATTEMPTS} times while it was put back"),
    )
}

/// When the policy's budget has room again, where that is waited for.
fn spent_until(
    engine: &Engine,
    writer: &Writer,
    standing: &Standing,
    now: Timestamp,
) -> Option<Timestamp> {
    let budget = writer.terms.budget.as_ref()?;
    if standing.is_confirmed {
        return None;
    }
    let budgets = &engine.converging.budgets;
    budgets.full_until(&writer.policy, budget, now)
}

/// Takes one of the policy's budget, where it has one.
async fn spend(
    engine: &Engine,
    writer: &Writer,
    standing: &Standing,
) -> Result<Option<Timestamp>, Done> {
    let Some(budget) = &writer.terms.budget else {
        return Ok(None);
    };
    let budgets = &engine.converging.budgets;
    if !engine.may_write() || !budgets.is_taken_over(&writer.policy) {
        return Err(Done::Later);
    }
    let confirmed = standing.is_confirmed;
    match budgets
        .spend(engine, &writer.policy, budget, confirmed)
        .await
    {
        Asked::Spent(at) => Ok(Some(at)),
        Asked::Nothing(until) => Err(Done::Waits(until, Why::Budget)),
        Asked::Failed(why) => {
            let why = format!("what is spent of the budget could not be noted down first: {why}");
            Err(Done::Failed(why))
        }
    }
}

/// What a write came to.
enum Wrote {
    Done(Value),
    /// The object is not any more as it was judged.
    Stale,
    Refused(String),
    /// The API server was not well, or did not answer.
    Failed(String),
    NotLeading,
}

async fn write(engine: &Engine, place: Place<'_>, scene: &Scene) -> Wrote {
    let act = scene.act();
    let written = match &act {
        Ok(Act::Apply(fields)) => {
            let (material, live) = (&scene.material, scene.live.as_ref());
            match deliver::write(engine, place, material, fields, live).await {
                Ok(written) => written,
                Err(why) => return Wrote::Refused(why),
            }
        }
        Ok(Act::Patch(patch)) => lead(engine, write::patch(&engine.client, place, patch)).await,
        Ok(Act::Create(declared)) => {
            lead(engine, write::create(&engine.client, place, declared)).await
        }
        Ok(Act::Nothing) => return Wrote::Stale,
        Err(error) => return Wrote::Refused(error.to_string()),
    };
    match written {
        None => Wrote::NotLeading,
        Some(Ok(live)) => Wrote::Done(live),
        Some(Err(error)) if write::is_stale(&error) => Wrote::Stale,
        // It was deleted since it was read.
        Some(Err(error))
            if matches!(act, Ok(Act::Patch(_))) && error.category() == Category::NotFound =>
        {
            Wrote::Stale
        }
        Some(Err(error)) => {
            let applied = matches!(act, Ok(Act::Apply(_)));
            let why = words::refusal(&error, place, applied);
            // A webhook that fails is a 500 too; it takes somebody to mend it.
            match error.is_retryable() && error.status() != Some(500) {
                true => Wrote::Failed(why),
                false => Wrote::Refused(why),
            }
        }
    }
}

/// Nothing is written by a replica that does not lead, or has not heard so lately.
pub(crate) async fn lead<T>(engine: &Engine, write: impl Future<Output = T>) -> Option<T> {
    if engine.may_write() {
        Some(write.await)
    } else {
        None
    }
}

/// Whoever led before may have ended between a write and its second patch: what is left of our ownership goes.
async fn tidy(engine: &Engine, (_, id): &Key, writer: &Writer, scope: &ScopeKey, live: Value) {
    let catalog = engine.catalog.catalog();
    if let Some(resource) = catalog.resource(&scope.kind)
        && engine.may_write()
    {
        let place = Place {
            account: &writer.account,
            kind: &scope.kind,
            resource,
            namespace: scope.namespace.as_deref(),
            name: &id.name,
        };
        disown(engine, place, live).await;
    }
}

/// After a write our own ownership goes. Gives the object as it is then.
async fn disown(engine: &Engine, place: Place<'_>, mut live: Value) -> Value {
    for _ in 0..ATTEMPTS {
        let Some(patch) = write::disowning(&live) else {
            break;
        };
        match write::patch(&engine.client, place, &patch).await {
            Ok(now) => live = now,
            Err(error) if write::is_stale(&error) => match read(engine, place).await {
                Ok(Some(now)) => live = now,
                _ => break,
            },
            Err(error) => {
                if error.category() != Category::NotFound {
                    tracing::warn!(%error, "an entry of Driftline stays in managedFields; the deployer's next apply may find a conflict");
                }
                break;
            }
        }
    }
    live
}

/// True if there is still something to put back in what was written a moment ago.
pub(crate) fn remains(engine: &Engine, (target, id): &Key, writer: &Writer, live: &Value) -> bool {
    let Some(material) = engine.index.material(*target, id, Some(live)) else {
        return false;
    };
    let now = Timestamp::now();
    match decide(writer, &material, Some(live), History::default(), now) {
        Plan::Rest => false,
        // That comes after what is delivered.
        Plan::PutBack(_) => !writer.delivers,
        Plan::Create | Plan::Apply(_) | Plan::Wait(..) => true,
    }
}
