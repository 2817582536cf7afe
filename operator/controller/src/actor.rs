//! One policy: brings source, targets, access and watches into step with its spec, again and again. Every step is level-triggered,
//! so that a lost or repeated wake-up changes nothing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::index::TargetId;
use drift::{ObjectId, Unknown};
use driftline_crds::{DriftPolicy, SourceStatus};
use futures::FutureExt as _;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::watch;

use crate::blame::History;
use crate::credentials::{self, Opening};
use crate::deliver::leave;
use crate::engine::Engine;
use crate::evidence;
use crate::exceptions;
use crate::policy::{self, Policy};
use crate::records::whole_seconds;
use crate::registry::PolicyState;
use crate::sources::{SourceState, Subscription};
use crate::targets::{Target, denied};
use crate::undeclared;
use crate::verify::{self, verify};

/// The wait after a step that failed; doubled each time up to a minute.
const RETRY: Duration = Duration::from_secs(2);
/// How often Helm's storage is looked at, and how often while Helm is at work.
const POLL: Duration = Duration::from_secs(30);
const AT_WORK: Duration = Duration::from_secs(2);
/// How soon it is looked again whether the tools are known that declare objects besides policies.
const LOOK: Duration = Duration::from_secs(1);

/// How long deployers are not asked because some of a target's objects have not been seen yet, and how often that is looked at.
const SETTLES: Duration = Duration::from_secs(5);
const SETTLING: Duration = Duration::from_millis(500);

/// Declarations of a target about which the server is asked again with each full verification, those asked about longest ago first.
const ASKED_AGAIN: usize = 100;
/// How long a check that was asked for waits for lists and for the server's answers.
const ANSWERS: Duration = Duration::from_secs(10);
/// So often a verification is tried before it counts though it had to leave something out, and how soon the next one comes then.
const VERIFICATIONS: u32 = 3;
const UNFINISHED: Duration = Duration::from_secs(60);

/// A policy's actor.
struct Actor {
    engine: Arc<Engine>,
    state: Arc<PolicyState>,
    subscription: Option<Subscription>,
    /// The Secret named, what it held, and when it was read.
    opening: Option<(Option<String>, Opening, Instant)>,
    targets: Vec<Target>,
    verified: Instant,
    /// How many verifications in a row had to leave something out.
    unfinished: u32,
    handled_check: Option<String>,
    /// When the first exception in force ends.
    exception_ends: Option<jiff::Timestamp>,
    /// The source's attempts as of the last step.
    seen_attempts: u64,
}

/// Runs a policy until dropped.
pub async fn run(
    engine: Arc<Engine>,
    state: Arc<PolicyState>,
    mut spec: watch::Receiver<Arc<DriftPolicy>>,
) {
    let key = state.key.clone();
    let handled_check = spec
        .borrow()
        .status
        .as_ref()
        .and_then(|s| s.last_handled_check.clone());
    let mut actor = Actor {
        engine,
        state,
        subscription: None,
        opening: None,
        targets: Vec::new(),
        verified: Instant::now(),
        unfinished: 0,
        handled_check,
        exception_ends: None,
        seen_attempts: 0,
    };
    let mut catalog = actor.engine.catalog.subscribe();
    let mut access = actor.engine.access.changes();
    let mut failures = 0_u32;
    loop {
        let current = Arc::clone(&spec.borrow_and_update());
        catalog.mark_unchanged();
        access.mark_unchanged();
        let step = AssertUnwindSafe(actor.step(&current)).catch_unwind().await;
        let wait = step.unwrap_or_else(|_| {
            actor.engine.metrics.panics.inc();
            tracing::error!(policy = %key, "a reconciliation ended by a defect; trying again");
            Wait::Retry
        });
        failures = if wait == Wait::Retry {
            failures.saturating_add(1)
        } else {
            0
        };
        let timeout = match wait {
            Wait::For(time) => time,
            Wait::Retry => RETRY * 2_u32.pow(failures.saturating_sub(1).min(5)),
        };
        let mut source = actor.subscription.as_ref().map(Subscription::state);
        // A revision that came while the step ran is taken in at once; after a step that failed it has to wait like everything else.
        if let Some(source) = &mut source
            && source.borrow_and_update().attempts != actor.seen_attempts
            && wait != Wait::Retry
        {
            continue;
        }
        tokio::select! {
            changed = spec.changed() => if changed.is_err() { return },
            () = source_changed(&mut source) => {}
            _ = catalog.changed() => {}
            _ = access.changed() => {}
            () = actor.state.wake.notified() => {}
            () = tokio::time::sleep(timeout) => {}
        }
    }
}

async fn source_changed(source: &mut Option<watch::Receiver<SourceState>>) {
    if let Some(source) = source
        && source.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// When to step again if nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    For(Duration),
    Retry,
}

impl Actor {
    async fn step(&mut self, object: &DriftPolicy) -> Wait {
        self.state.view.lock().end = leave::end(object);
        let policy = match policy::parse(object, &self.engine.options) {
            Ok(policy) => policy,
            Err(error) => {
                self.drop_all();
                self.state.view.lock().is_unfit = true;
                return self.stall(object, error.reason(), &error.to_string());
            }
        };
        {
            let mut view = self.state.view.lock();
            view.is_unfit = false;
            view.account = Some(policy.account.clone());
            view.hold_reason.clone_from(&policy.hold_reason);
            view.confirmed.clone_from(&policy.confirmed);
            view.rules = Arc::clone(&policy.rules);
            let names = policy.targets.iter().map(|t| t.name.clone());
            view.target_names = Arc::new(names.collect());
            let before = std::mem::replace(&mut view.terms, policy.terms.clone());
            let owner = std::mem::replace(&mut view.owner, policy.owner.clone());
            if before != policy.terms || owner != policy.owner {
                let targets: Vec<_> = view.targets.iter().map(|t| t.id).collect();
                drop(view);
                targets
                    .into_iter()
                    .for_each(|t| self.engine.index.requeue(t));
            }
        }
        if let Err(wait) = self.subscribe(object, &policy).await {
            return wait;
        }
        self.fit_targets(&policy);
        self.apply_rules();
        if let Some(digest) = &policy.confirmed {
            self.engine.converging.confirm(&self.state, digest);
        }
        self.check_requested(&policy).await;
        let source = self
            .subscription
            .as_ref()
            .map(|s| s.state().borrow().clone())
            .unwrap_or_default();
        self.seen_attempts = source.attempts;
        self.publish(object, &policy, &source);
        let mut good = true;
        if source.revision.is_some() || self.has_releases() {
            for target in &mut self.targets {
                let revision = source.revision.as_deref();
                good &= target
                    .update(&self.engine, &self.state, &policy, revision)
                    .await;
            }
            good &= self.bring_into_step(&policy).await;
        }
        self.ask_deployers(&policy, &source).await;
        let answered = self.verify_when_due(&policy, &source).await;
        self.publish(object, &policy, &source);
        self.engine.previews.consider();
        self.look_again();
        if good && answered {
            Wait::For(self.next(&policy, &source))
        } else {
            Wait::Retry
        }
    }

    /// Holds the source; the Secret is read again once an interval, so that new credentials are noticed.
    async fn subscribe(&mut self, object: &DriftPolicy, policy: &Policy) -> Result<(), Wait> {
        let Some(source) = &policy.source else {
            self.subscription = None;
            self.opening = None;
            return Ok(());
        };
        let fresh = self.opening.as_ref().is_some_and(|(name, _, at)| {
            *name == source.secret && (name.is_none() || at.elapsed() < source.interval)
        });
        if !fresh {
            let opening = match &source.secret {
                None => Opening::default(),
                Some(secret) => {
                    let engine = &self.engine;
                    let operator = format!(
                        "{}/{}",
                        engine.options.namespace, engine.options.operator_account
                    );
                    match credentials::read(
                        &engine.client,
                        &self.state.key,
                        &policy.account,
                        secret,
                        &operator,
                    )
                    .await
                    {
                        Ok(opening) => opening,
                        Err(error) => return Err(self.no_secret(object, &error)),
                    }
                }
            };
            self.opening = Some((source.secret.clone(), opening, Instant::now()));
        }
        if let Some((_, opening, _)) = &self.opening {
            self.subscription = Some(self.engine.sources.subscribe(
                &self.state.key.namespace,
                source,
                opening,
                self.subscription.take(),
            ));
        }
        Ok(())
    }

    /// Without its Secret the source is not asked any more; what was declared before stays in force.
    fn no_secret(&mut self, object: &DriftPolicy, error: &credentials::SecretError) -> Wait {
        if matches!(error, credentials::SecretError::Call(_)) {
            tracing::warn!(policy = %self.state.key, %error, "a Secret could not be read; trying again");
            return Wait::Retry;
        }
        self.subscription = None;
        self.opening = None;
        self.stall(object, error.reason(), &error.to_string());
        Wait::For(Duration::from_secs(30))
    }

    fn stall(&mut self, object: &DriftPolicy, reason: &str, message: &str) -> Wait {
        tracing::warn!(policy = %self.state.key, reason, message, "a policy cannot be worked with");
        let mut view = self.state.view.lock();
        view.generation = object.metadata.generation;
        view.stalled = Some((reason.to_owned(), message.to_owned()));
        view.targets = self.targets.iter().map(|t| t.view.clone()).collect();
        drop(view);
        self.engine.registry.touch(&self.state.key);
        Wait::For(Duration::from_secs(3600))
    }

    fn drop_all(&mut self) {
        for target in std::mem::take(&mut self.targets) {
            self.forget(target.id);
        }
        self.subscription = None;
        self.opening = None;
    }

    /// Keeps targets that have not changed, drops those that are gone, adds new ones.
    fn fit_targets(&mut self, policy: &Policy) {
        let mut old = std::mem::take(&mut self.targets);
        for spec in &policy.targets {
            let kept = old
                .iter()
                .position(|t| t.spec.name == spec.name)
                .map(|place| old.swap_remove(place));
            let mut target = kept.unwrap_or_else(|| {
                Target::new(
                    self.engine.registry.add_target(&self.state, &spec.name),
                    spec.clone(),
                )
            });
            target.become_like(spec);
            self.targets.push(target);
        }
        for gone in old {
            self.forget(gone.id);
        }
    }

    fn forget(&self, target: TargetId) {
        self.engine.index.forget(target);
        undeclared::look_away(&self.engine, target);
    }

    /// What the rules say may have changed is read and judged again at once.
    fn apply_rules(&mut self) {
        let (engine, policy) = (&self.engine, &self.state);
        let (excepted, ends) = exceptions::in_force(engine, policy);
        for target in &self.targets {
            let (id, name) = (target.id, &target.spec.name);
            exceptions::bring_into_force(engine, policy, id, name, Arc::clone(&excepted));
        }
        self.exception_ends = ends;
    }

    /// Access reviews and watches.
    async fn bring_into_step(&mut self, policy: &Policy) -> bool {
        let catalog = self.engine.catalog.catalog();
        for target in &mut self.targets {
            target.view.asks.find_unserved(&catalog);
            undeclared::look(&self.engine, &catalog, target, policy.names_account);
            let scopes = self.engine.index.scopes_of(target.id);
            let denied = denied(&self.engine, policy, &catalog, scopes.clone()).await;
            for scope in scopes {
                let working = target.at_work.then_some(Unknown::RollingOut);
                let why = denied.get(&scope).cloned().or(working);
                self.engine.index.allow(target.id, &scope, why);
            }
        }
        match self.engine.watches.sync(&self.engine).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(policy = %self.state.key, %error, "watches could not be brought into step; trying again");
                false
            }
        }
    }

    /// A check that was asked for by annotation: a fetch now, and everything rendered and verified again.
    async fn check_requested(&mut self, policy: &Policy) {
        if policy.check.is_none() || policy.check == self.handled_check {
            return;
        }
        let (Some(subscription), Some(source)) = (&self.subscription, &policy.source) else {
            return self.targets.iter_mut().for_each(Target::forget_rendering);
        };
        if let Err(error) = self.engine.watches.refresh(&self.engine).await {
            tracing::warn!(policy = %self.state.key, %error, "schemas could not be read again for a check");
        }
        let mut state = subscription.state();
        // A fetch under way may have missed the commit that is asked about.
        let begun = state.borrow().begun;
        subscription.check();
        let fetched = state.wait_for(|s| s.attempts > begun);
        let _ = tokio::time::timeout(source.timeout + Duration::from_secs(5), fetched).await;
        for target in &mut self.targets {
            target.forget_rendering();
            self.engine.index.seek_again(target.id);
        }
    }

    /// Where records wait for it, deployers are asked what they had deployed: once most of a target's objects were seen, so that one
    /// question serves all.
    async fn ask_deployers(&self, policy: &Policy, source: &SourceState) {
        let known = |target: &TargetId| self.targets.iter().any(|t| t.id == *target);
        self.state.seeking.lock().retain(|target, _| known(target));
        for target in &self.targets {
            let Some(since) = self.state.seeking.lock().get(&target.id).copied() else {
                continue;
            };
            if !self.engine.index.is_settled(target.id) && since.elapsed() < SETTLES {
                continue;
            }
            self.state.seeking.lock().remove(&target.id);
            let revision = source.revision.as_deref();
            evidence::seek(&self.engine, &self.state, policy, target, revision).await;
        }
    }

    /// The full verification, once each `verifyEvery` and for a check that was asked for.
    async fn verify_when_due(&mut self, policy: &Policy, source: &SourceState) -> bool {
        let asked = policy.check.is_some() && policy.check != self.handled_check;
        let due = self.verified.elapsed() >= self.until_verified(policy);
        if !(asked || due) {
            return true;
        }
        if asked {
            self.until_over(|t| self.engine.index.is_outdated(t)).await;
        }
        let mut whole = true;
        for target in &mut self.targets {
            let begun = Instant::now();
            let failures = verify(&self.engine, target.id).await;
            let metrics = &self.engine.metrics;
            metrics.checked(begun.elapsed(), failures.is_empty());
            for (scope, error) in &failures {
                tracing::warn!(policy = %self.state.key, %scope.kind, %error, "a kind could not be verified; trying again");
            }
            target.view.unverified = verify::said(&failures);
            if failures.is_empty() && target.view.ready == Some(true) {
                target.view.checked_at = Some(jiff::Timestamp::now());
            }
            whole &= failures.is_empty();
        }
        self.unfinished = if whole {
            0
        } else {
            self.unfinished.saturating_add(1)
        };
        if (1..VERIFICATIONS).contains(&self.unfinished) {
            return false;
        }
        self.verified = Instant::now();
        if source.attempts > 0 || policy.source.is_none() {
            if asked {
                // A check is answered when the server has answered what it was asked about the objects.
                self.until_over(|t| self.engine.index.is_asking(t)).await;
            }
            self.handled_check.clone_from(&policy.check);
        }
        for target in &self.targets {
            self.engine.index.question_again(target.id, ASKED_AGAIN);
        }
        true
    }

    /// Waits until something is over for all targets, or for a while.
    async fn until_over(&self, lasts: impl Fn(TargetId) -> bool) {
        const EVERY: Duration = Duration::from_millis(50);
        let over = async {
            while self.targets.iter().any(|t| lasts(t.id)) {
                tokio::time::sleep(EVERY).await;
            }
        };
        let _ = tokio::time::timeout(ANSWERS, over).await;
    }

    /// How long after a verification the next one is due.
    fn until_verified(&self, policy: &Policy) -> Duration {
        if self.unfinished > 0 {
            policy.verify_every.min(UNFINISHED)
        } else {
            policy.verify_every
        }
    }

    fn publish(&self, object: &DriftPolicy, policy: &Policy, source: &SourceState) {
        let stale = policy.source.as_ref().is_some_and(|spec| {
            let late = |at: Instant| at.elapsed() >= spec.interval * 3;
            source.good_at.is_none_or(late)
        });
        let mut view = self.state.view.lock();
        view.generation = object.metadata.generation;
        view.stalled = None;
        view.source_error = source
            .error
            .as_ref()
            .map(|(category, message)| (format!("Fetch{}", category.as_str()), message.clone()));
        view.source_stale = source.error.is_some() && stale;
        view.history = self.history(source);
        if let Some(revision) = &source.revision {
            view.source = Some(SourceStatus {
                revision: revision.name.clone(),
                fetched_at: source.fetched_at.map(|t| Time(whole_seconds(t))),
                author: Some(drift::redact::text(&revision.author)),
                message: Some(drift::redact::text(&revision.message)),
            });
        }
        view.targets = self.targets.iter().map(|t| t.view.clone()).collect();
        view.last_handled_check.clone_from(&self.handled_check);
        drop(view);
        self.engine.registry.touch(&self.state.key);
    }

    fn history(&self, source: &SourceState) -> Option<History> {
        Some(History {
            fetch: self.subscription.as_ref()?.request(),
            repository: source.revision.as_ref()?.repository.clone(),
        })
    }

    fn has_releases(&self) -> bool {
        self.targets.iter().any(|t| t.spec.is_release())
    }

    /// Has objects of releases looked at again that waited for Helm's storage to be.
    fn look_again(&self) {
        let deferred = self.state.deferred.lock();
        let polled = |(target, _): &&(TargetId, ObjectId), since: &Instant| {
            let view = self.targets.iter().find(|t| t.id == *target);
            view.is_none_or(|t| t.view.polled.is_some_and(|at| at > *since))
        };
        let due = deferred.iter().filter(|(key, since)| polled(key, since));
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        drop(deferred);
        for (target, id) in due {
            self.engine.index.touch(target, &id);
        }
    }

    /// Until the next verification, the next look at the Secret, or the moment the source counts as stale.
    fn next(&self, policy: &Policy, source: &SourceState) -> Duration {
        let until = self.until_verified(policy);
        let verification = until.saturating_sub(self.verified.elapsed());
        let spec = policy.source.as_ref();
        let secret = spec.and_then(|s| s.secret.as_ref().map(|_| s.interval));
        let stale = spec.and_then(|s| source.error.as_ref().map(|_| s.interval));
        let at_work = self.targets.iter().any(|t| t.at_work);
        let release = self
            .has_releases()
            .then_some(if at_work { AT_WORK } else { POLL });
        let seeking = !self.state.seeking.lock().is_empty();
        let settling = seeking.then_some(SETTLING);
        let waits = self.targets.iter().any(|t| t.waits_for_tools);
        let looking = waits.then_some(LOOK);
        // The condition ends with the hold.
        let now = jiff::Timestamp::now();
        let hold = policy.terms.hold(now);
        let hold = hold.map(|until| until.duration_since(now).unsigned_abs() + SETTLING);
        let excepted = self.exception_ends.map(|end| {
            let left = end.duration_since(now);
            left.max(SignedDuration::ZERO).unsigned_abs() + SETTLING
        });
        [
            Some(verification),
            secret,
            stale,
            release,
            settling,
            looking,
            hold,
            excepted,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(verification)
        .max(Duration::from_millis(100))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.drop_all();
    }
}
