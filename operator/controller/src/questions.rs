//! Asks the server what it makes of declarations that differ at first sight.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::Error;
use cluster::dry_run::{Answer, ExpectedAsker};
use cluster::guard::GuardState;
use cluster::index::{Asked, Question};
use drift::GroupVersionKind;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::asking;
use crate::engine::Engine;
use crate::targets::read_one;

/// Questions under way at the same time.
const CONCURRENCY: usize = 8;
/// How long after the start the guard may take to be checked and to settle; after that, what cannot be asked is judged without.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it is believed that no admission webhook or policy has come.
const CHECKED: Duration = Duration::from_secs(30);
/// How long it is believed that the account that asks has the rights it had; they are looked at sooner when its guard changes.
const RIGHTS: Duration = Duration::from_secs(600);

/// Kinds of which a refusal was told.
#[derive(Debug, Default)]
struct Told(Mutex<HashSet<GroupVersionKind>>);

impl Told {
    /// Says why the server refuses, once for each kind: a quota that is spent refuses thousands.
    fn refused(&self, question: &Question, status: u16, reason: &str) {
        if self.0.lock().insert(question.scope.kind.clone()) {
            let reason = drift::redact::cut(reason, 512);
            tracing::info!(kind = %question.scope.kind, object = %question.id, status, reason, "the server refuses a dry-run creation; where it does, ownership decides. Further refusals of this kind are only counted");
        } else {
            tracing::debug!(object = %question.id, status, reason, "the server refuses a dry-run creation");
        }
    }
}

/// Answers the index's questions for as long as the operator runs.
pub async fn answer(
    engine: Arc<Engine>,
    asker: Arc<ExpectedAsker>,
    mut guard: watch::Receiver<GuardState>,
) {
    let turns = Arc::new(Semaphore::new(CONCURRENCY));
    let started = Instant::now();
    let mut trusted = false;
    let mut told = None;
    let refusals = Arc::new(Told::default());
    let mut checked = None;
    let mut rights = Instant::now();
    loop {
        tokio::select! {
            () = engine.index.asked() => {}
            changed = guard.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RIGHTS.saturating_sub(rights.elapsed())) => {}
        }
        if let Some(wait) = PATIENCE.checked_sub(started.elapsed()) {
            let _ = tokio::time::timeout(wait, guard.wait_for(|s| *s == GuardState::Trusted)).await;
        }
        let now_trusted = announce(&guard.borrow_and_update(), trusted, &mut told);
        if now_trusted && !trusted {
            engine.index.reopen_refused();
        }
        let turned = now_trusted && !trusted && rights.elapsed() > CHECKED;
        trusted = now_trusted;
        if turned || rights.elapsed() >= RIGHTS {
            rights = Instant::now();
            if let Err(error) = engine.watches.learn_rights(&engine).await {
                tracing::warn!(%error, "watches could not be brought into step");
            }
        }
        if checked.is_none_or(|at: Instant| at.elapsed() > CHECKED) {
            asking::share(&engine).await;
            checked = Some(Instant::now());
        }
        while let Some(next) = engine.index.next_question() {
            let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
                return;
            };
            let (engine, asker) = (Arc::clone(&engine), Arc::clone(&asker));
            let refusals = Arc::clone(&refusals);
            tokio::spawn(async move {
                ask(&engine, &asker, &refusals, next).await;
                drop(turn);
            });
        }
    }
}

/// Says once what holds now; `told` is the last reason not to ask that was logged.
fn announce(state: &GuardState, before: bool, told: &mut Option<String>) -> bool {
    match state {
        GuardState::Trusted => {
            if !before {
                tracing::info!(
                    "dry-run creations may be asked for: the guard of the dry-run account is in order"
                );
            }
            *told = None;
            true
        }
        GuardState::Untrusted { reason } => {
            if told.as_ref() != Some(reason) {
                tracing::warn!(
                    reason,
                    "dry-run creations are not asked for; first sights are judged by schema alone"
                );
                *told = Some(reason.clone());
            }
            false
        }
    }
}

async fn ask(engine: &Arc<Engine>, asker: &ExpectedAsker, refusals: &Told, next: Question) {
    let catalog = engine.catalog.catalog();
    let scope = &next.scope;
    let asked = match catalog.resource(&scope.kind) {
        Some(resource) if resource.create => {
            let answer = asker
                .ask(
                    &scope.kind,
                    resource,
                    scope.namespace.as_deref(),
                    &next.declared.object,
                )
                .await;
            if !matches!(answer, Err(Error::Untrusted { .. })) {
                engine.metrics.dry_runs.inc();
            }
            match answer {
                Ok(Answer::Object(expected)) => Asked::Object(expected),
                Ok(Answer::Refused { status, reason, .. }) => {
                    engine.metrics.dry_runs_refused.inc();
                    refusals.refused(&next, status, &reason);
                    Asked::Refused
                }
                Err(Error::Untrusted { .. }) => Asked::Unasked,
                Err(error) => {
                    tracing::debug!(object = %next.id, %error, "a question got no answer and is asked again");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    engine.index.ask_again(&next);
                    return;
                }
            }
        }
        _ => Asked::Refused,
    };
    if !engine.index.settle(&next, asked) {
        return;
    }
    if let Err(error) = read_one(engine, &catalog, scope, &next.id).await {
        tracing::debug!(object = %next.id, %error, "a live object could not be read; its scope is listed anew");
        engine.watches.relist(scope);
        if let Err(error) = engine.watches.sync(engine).await {
            tracing::warn!(%error, "watches could not be brought into step");
        }
    }
}
