//! Before a policy is raised: what Revert would do now, found out by asking the API server with dry runs as the policy's account, behind the
//! same guards as real writes. What only delays a write (grace, windows, budget) does not count.
//!
//! A policy is asked about again when what drifts, its spec, or a check that was asked for is new, and at most every [`PAUSE`]; while something is
//! blocked, also every [`AGAIN`], because what blocks is mended elsewhere.

mod tally;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::index::{Change, State, TargetId};
use cluster::write;
use cluster::{Account, Category, Error};
use drift::converge::{Act, History, Left, Plan, Rung, Terms, Why, Windows};
use driftline_crds::PreviewStatus;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::converge::{Key, Scene, Weighed, Writer, remains, weigh, words};
use crate::engine::Engine;
use crate::policy::PolicyKey;
use crate::registry::{PolicyState, View};
use tally::{Answer, nothing, tally};

/// Objects of a policy that are asked about; what is left out is said.
const MOST: usize = 100;
/// Questions at a time.
const AT_ONCE: usize = 4;
/// How long it is waited for more drift before it is asked.
const SETTLE: Duration = Duration::from_secs(1);
/// The shortest time between two previews of a policy.
const PAUSE: Duration = Duration::from_secs(10);
/// How long it takes until what is blocked is asked about again.
const AGAIN: Duration = Duration::from_secs(300);
/// How often an object that changes meanwhile is weighed again.
const ATTEMPTS: u32 = 3;

/// The previews of all policies.
#[derive(Debug, Default)]
pub struct Previews {
    books: Mutex<HashMap<PolicyKey, Book>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Book {
    /// Of which policy of that name.
    uid: String,
    /// What drifts, and the digest of its report.
    drifted: BTreeMap<Key, u64>,
    /// Since when there has been something new.
    fresh: Option<Instant>,
    /// What was asked about the last time, and when.
    asked: Option<(Basis, Instant)>,
    answers: BTreeMap<Key, (u64, Answer)>,
    status: Option<PreviewStatus>,
}

/// What an answer stands on besides the objects.
#[derive(Debug, Clone, PartialEq)]
struct Basis {
    generation: Option<i64>,
    account: Account,
    terms: Terms,
    check: Option<String>,
}

impl Basis {
    /// `None` for a policy that is not at Observe, or has no account of its own to write as.
    fn of(engine: &Engine, view: &View) -> Option<Self> {
        let account = view.account.clone()?;
        let options = &engine.options;
        let reader = Account::new(&options.namespace, &options.reader_account);
        if view.terms.rung != Rung::Observe || view.stalled.is_some() || account == reader {
            return None;
        }
        let terms = Terms {
            rung: Rung::Revert,
            after: SignedDuration::ZERO,
            windows: Windows::default(),
            budget: None,
            ..view.terms.clone()
        };
        Some(Self {
            generation: view.generation,
            account,
            terms,
            check: view.last_handled_check.clone(),
        })
    }
}

impl Previews {
    fn with<T>(&self, policy: &PolicyState, act: impl FnOnce(&mut Book) -> T) -> T {
        let mut books = self.books.lock();
        let book = books.entry(policy.key.clone()).or_default();
        if book.uid != policy.uid {
            *book = Book {
                uid: policy.uid.clone(),
                ..Book::default()
            };
        }
        act(book)
    }

    /// Takes in what became of an object.
    pub fn saw(&self, policy: &PolicyState, change: &Change) {
        let key = (change.target, change.id.clone());
        // Where a policy is lowered again all that drifts is looked at anew.
        let wanted = policy.view.lock().terms.rung == Rung::Observe;
        let news = self.with(policy, |book| match &change.state {
            State::Drifted(report) if wanted => {
                book.drifted.insert(key, report.digest) != Some(report.digest)
            }
            _ => book.drifted.remove(&key).is_some(),
        });
        if news {
            self.changed.notify_one();
        }
    }

    /// The spec, or something else of a policy, may have changed.
    pub fn consider(&self) {
        self.changed.notify_one();
    }

    /// What a policy's status says; `before` is what it said.
    pub fn status(
        &self,
        engine: &Engine,
        policy: &PolicyState,
        view: &View,
        before: Option<&PreviewStatus>,
    ) -> Option<PreviewStatus> {
        Basis::of(engine, view)?;
        self.with(policy, |book| match &book.status {
            Some(status) => Some(status.clone()),
            // A new leader goes on with what the one before said until it has asked itself.
            None => before.cloned(),
        })
    }

    /// The policies whose turn it is, and when to look again.
    fn due(
        &self,
        engine: &Engine,
        now: Instant,
    ) -> (Vec<(Arc<PolicyState>, Basis)>, Option<Instant>) {
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        let policies = engine.registry.all();
        self.books
            .lock()
            .retain(|key, book| policies.iter().any(|p| p.key == *key && p.uid == book.uid));
        for policy in policies {
            let view = policy.view.lock().clone();
            let Some(basis) = Basis::of(engine, &view) else {
                self.with(&policy, Book::put_away);
                continue;
            };
            let targets: Vec<TargetId> = view.targets.iter().map(|t| t.id).collect();
            let at = self.with(&policy, |book| {
                book.drifted
                    .retain(|(target, _), _| targets.contains(target));
                book.due(&basis, now)
            });
            match at {
                Some(at) if at <= now => due.push((policy, basis)),
                Some(at) => next = Some(next.map_or(at, |n| n.min(at))),
                None => {}
            }
        }
        (due, next)
    }
}

impl Book {
    /// The policy is not at Observe: what was asked is of no use later.
    fn put_away(&mut self) {
        self.fresh = None;
        self.asked = None;
        self.answers = BTreeMap::new();
        self.status = None;
    }

    fn is_new(&self, basis: &Basis) -> bool {
        let told = self.answers.len() == self.drifted.len().min(MOST);
        let same = |(key, digest): (&Key, &u64)| {
            self.answers
                .get(key)
                .is_some_and(|(known, _)| known == digest)
        };
        self.asked
            .as_ref()
            .is_none_or(|(before, _)| before != basis)
            || !told
            || !self.drifted.iter().take(MOST).all(same)
    }

    /// When it is to be asked.
    fn due(&mut self, basis: &Basis, now: Instant) -> Option<Instant> {
        let last = self.asked.as_ref().map(|(_, at)| *at);
        if self.is_new(basis) {
            let fresh = *self.fresh.get_or_insert(now);
            let paused = last.map_or(fresh, |at| at + PAUSE);
            return Some(paused.max(fresh + SETTLE));
        }
        let blocked = self.status.as_ref().is_some_and(|s| !s.blocked.is_empty());
        last.filter(|_| blocked).map(|at| at + AGAIN)
    }

    /// What is asked about now, and answers that still hold.
    fn open(&mut self, basis: &Basis) -> (Vec<(Key, u64)>, usize) {
        self.fresh = None;
        let same = self
            .asked
            .as_ref()
            .is_some_and(|(before, _)| before == basis);
        let kept = |key: &Key, (digest, answer): &(u64, Answer)| {
            same && self.drifted.get(key) == Some(digest) && matches!(answer, Answer::Done(_))
        };
        self.answers.retain(|key, known| kept(key, known));
        let all = self.drifted.iter().take(MOST);
        let open = all.filter(|(key, _)| !self.answers.contains_key(key));
        let open: Vec<(Key, u64)> = open.map(|(key, digest)| (key.clone(), *digest)).collect();
        let first: Vec<&Key> = self.drifted.keys().take(MOST).collect();
        self.answers.retain(|key, _| first.contains(&key));
        (open, self.drifted.len().saturating_sub(MOST))
    }

    fn close(&mut self, basis: Basis, answers: Vec<(Key, u64, Option<Answer>)>, omitted: usize) {
        for (key, digest, answer) in answers {
            match answer {
                Some(answer) => {
                    self.answers.insert(key, (digest, answer));
                }
                None => {
                    self.drifted.remove(&key);
                }
            }
        }
        self.asked = Some((basis, Instant::now()));
        let all: Vec<Answer> = self
            .answers
            .values()
            .map(|(_, answer)| answer.clone())
            .collect();
        self.status = Some(if all.is_empty() && omitted == 0 {
            nothing()
        } else {
            tally(&all, omitted, Timestamp::now())
        });
    }
}

/// Asks while this replica leads.
pub async fn run(engine: Arc<Engine>) {
    let mut leading = engine.leading.clone();
    loop {
        let previews = &engine.previews;
        if !*leading.borrow_and_update() {
            // What drifts is told to whoever leads: another one, for a while.
            previews.books.lock().clear();
            if leading.changed().await.is_err() {
                return;
            }
            continue;
        }
        let (due, next) = previews.due(&engine, Instant::now());
        for (policy, basis) in due {
            ask(&engine, &policy, basis).await;
        }
        let timer = async move {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = previews.changed.notified() => tokio::time::sleep(SETTLE / 4).await,
            () = timer => {}
            _ = leading.changed() => {}
        }
    }
}

async fn ask(engine: &Arc<Engine>, policy: &Arc<PolicyState>, basis: Basis) {
    let (open, omitted) = engine.previews.with(policy, |book| book.open(&basis));
    // Where the operator may not act as the account, one refusal says it for all.
    let shut = AtomicBool::new(false);
    let (shut, by) = (&shut, &basis);
    let one = |(key, digest): (Key, u64)| async move {
        let answer = about(engine, policy, by, &key, shut).await;
        (key, digest, answer)
    };
    let asked = futures::stream::iter(open).map(one);
    let answers: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    engine
        .previews
        .with(policy, |book| book.close(basis, answers, omitted));
    engine.registry.touch(&policy.key);
}

/// What would come of one object; `None` where it does not drift any more.
async fn about(
    engine: &Arc<Engine>,
    policy: &Arc<PolicyState>,
    basis: &Basis,
    key: &Key,
    shut: &AtomicBool,
) -> Option<Answer> {
    let (_, target) = engine.registry.target(key.0)?;
    let writer = Writer {
        policy: Arc::clone(policy),
        target,
        terms: basis.terms.clone(),
        account: basis.account.clone(),
        // Delivering takes Revert, where nothing is previewed.
        delivers: false,
    };
    for _ in 0..ATTEMPTS {
        let history = History {
            rounds: engine.converging.rounds(key),
            ..History::default()
        };
        let scene = match weigh(engine, key, &writer, history, Timestamp::now()).await {
            Weighed::Gone | Weighed::Calm(_) => return None,
            Weighed::Moved => continue,
            Weighed::Rest(left) => return Some(rests(left)),
            Weighed::Waits(_, why) => return Some(waits(why)),
            Weighed::Healed(_, by) => {
                return Some(Answer::blocked(by.tool.healed(), &words::healed(&by)));
            }
            Weighed::Blocked(why) => return Some(Answer::blocked(why.reason(), &why.to_string())),
            Weighed::Ready(scene) => scene,
        };
        if shut.load(Ordering::Relaxed) {
            return Some(Answer::blocked(NOT_OPTED_IN, ""));
        }
        match try_write(engine, &writer, key, &scene).await {
            Tried::Stale => {}
            Tried::Answer(answer) => {
                if matches!(&answer, Answer::Blocked(reason, _) if reason == NOT_OPTED_IN) {
                    shut.store(true, Ordering::Relaxed);
                }
                return Some(answer);
            }
        }
    }
    Some(Answer::blocked(
        "Changing",
        "it changes faster than it is asked about",
    ))
}

/// What the operator was not allowed to find out.
const NOT_OPTED_IN: &str = "NotOptedIn";

enum Tried {
    /// It is not any more as it was judged.
    Stale,
    Answer(Answer),
}

async fn try_write(engine: &Arc<Engine>, writer: &Writer, key: &Key, scene: &Scene) -> Tried {
    let Some(place) = scene.place(&writer.account, &key.1) else {
        return Tried::Stale;
    };
    let answered = match scene.act() {
        Ok(Act::Patch(patch)) => write::try_patch(&engine.client, place, &patch).await,
        Ok(Act::Create(declared)) => write::try_create(&engine.client, place, declared).await,
        Ok(Act::Apply(_) | Act::Nothing) => return Tried::Stale,
        Err(error) => return Tried::Answer(Answer::blocked("Moved", &error.to_string())),
    };
    match answered {
        Err(error) if write::is_stale(&error) => Tried::Stale,
        Err(error) => {
            let message = words::refusal(&error, place, false);
            Tried::Answer(Answer::blocked(&refused(&error), &message))
        }
        Ok(live) if remains(engine, key, writer, &live) => {
            Tried::Answer(Answer::blocked("ChangedBack", words::CHANGED_BACK))
        }
        Ok(_) => Tried::Answer(Answer::Done(fields(&scene.planned))),
    }
}

fn fields(planned: &Plan) -> u32 {
    match planned {
        Plan::PutBack(fields) | Plan::Apply(fields) => {
            u32::try_from(fields.len()).unwrap_or(u32::MAX)
        }
        Plan::Rest | Plan::Create | Plan::Wait(..) => 0,
    }
}

/// Why a dry run was refused, in one word: the API server's own where it has one.
fn refused(error: &Error) -> String {
    if words::is_not_opted_in(error) {
        return NOT_OPTED_IN.to_owned();
    }
    match error {
        Error::Status {
            status: 400,
            message,
            ..
        } if message.contains("dry run") => "NoDryRun".to_owned(),
        Error::Status { .. } if words::missing_verb(error).is_some() => "NotAllowed".to_owned(),
        Error::Status { reason, .. } if !reason.is_empty() => reason.clone(),
        _ => match error.category() {
            Category::Timeout => "Timeout",
            Category::Unreachable => "Unreachable",
            _ => "Refused",
        }
        .to_owned(),
    }
}

fn rests(left: Left) -> Answer {
    match left {
        Left::Undeclared => Answer::blocked(
            "NotDeclared",
            "what Git does not declare is only reported (undeclared.fields: Remove takes away what was added)",
        ),
        Left::Terminating => Answer::blocked(
            "Terminating",
            "it is being deleted, and a finalizer holds it",
        ),
        Left::Excepted => Answer::blocked("Excepted", "an exception allows it for now"),
        Left::Rule => Answer::blocked(
            "OnlyReported",
            "a rule keeps it at Observe (rules[].enforcement)",
        ),
        Left::Origin(origin) => Answer::blocked(
            "OriginNotNamed",
            &format!(
                "its origin is {}, which spec.revert.origins does not name",
                origin.as_str()
            ),
        ),
    }
}

fn waits(why: Why) -> Answer {
    match why {
        Why::Held => Answer::blocked("Held", "spec.hold pauses enforcement"),
        Why::BrokenGlass => Answer::blocked("Held", "the object asks to be left alone"),
        Why::Contested => Answer::blocked("Contested", "somebody undoes what is done"),
        Why::Unlisted => Answer::blocked("HealersUnknown", words::UNLISTED),
        Why::Healed => Answer::blocked("Healed", "its deployer puts it back"),
        Why::Window | Why::Grace | Why::Budget | Why::Order => Answer::blocked("Waiting", ""),
    }
}
