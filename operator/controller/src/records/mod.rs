//! DriftRecords: written by the leader from what the index says has changed.

mod content;
mod deployers;
mod excepted;
mod orphans;
mod store;
mod times;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::access::Decision;
use cluster::index::{Change, State};
use cluster::watch::{WatchEvent, WatchHandle, WatchOptions, WatchScope};
use declared::LineAt;
use drift::{GroupKind, GroupVersionKind, ObjectId, Unknown};
use driftline_crds::{
    DriftPolicy, DriftRecord, DriftRecordStatus, Outcome, RecordState, SEVERITY_LABEL, Severity,
};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::converge::Offer;
use crate::engine::Engine;
use crate::events::{Events, Note};
use crate::memory::Unread;
use crate::policy::PolicyKey;
use crate::registry::{PolicyState, TargetView};
use edge::content::subject;
pub use edge::content::whole_seconds;
use edge::written;
use store::Store;
pub use store::{Entry, Standing};

/// Open records that a policy has at most; more drifted objects are counted, without records.
pub const MAX_OPEN: usize = 500;
/// Writes at the same time.
const CONCURRENCY: usize = 8;
/// How long one write may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Closed records that a policy has at most; beyond, those closed longest ago go.
const MAX_CLOSED: usize = 500;
/// How long a write that failed waits before the object is looked at again; doubled each time.
const RETRY: Duration = Duration::from_secs(2);
/// The longest such wait, in doublings, where the API server may not have been well, and where it refused.
const DOUBLINGS: (u32, u32) = (2, 7);
/// How long a closed record stays.
const KEEP_CLOSED: Duration = Duration::from_secs(24 * 3600);

/// The writer of records and what it knows of those there are.
pub struct Records {
    engine: Arc<Engine>,
    events: Events,
    store: Store,
    /// How often the last writes of an object failed in a row.
    failures: parking_lot::Mutex<HashMap<String, u32>>,
}

/// How long a commit may take to be rolled out before that is told.
const PENDING_AFTER: Duration = Duration::from_secs(60);

/// How long the server is given to say whether it is itself what keeps an object from being as declared.
const DOUBT: Duration = Duration::from_secs(3);

/// Where a record is or will be.
struct Place<'a> {
    policy: &'a PolicyState,
    target: &'a str,
    name: &'a str,
    known: Option<Entry>,
}

/// A write that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("what the replica that led before remembers cannot be read: {0}")]
    Memory(#[from] Unread),
}

impl WriteError {
    pub fn is(&self, code: u16) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.code == code)
    }

    /// The API server understood and will say the same again soon: no room in a quota, a namespace that is being deleted.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if matches!(status.code, 400..=408 | 410..=428 | 500))
    }

    /// The wait after so many failures in a row.
    fn wait(&self, times: u32) -> Duration {
        let most = if self.is_refusal() {
            DOUBLINGS.1
        } else {
            DOUBLINGS.0
        };
        RETRY * 2_u32.pow(times.saturating_sub(1).min(most))
    }
}

/// A write of what is the operator's own, which does not take for ever.
pub async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
    tokio::time::timeout(DEADLINE, call)
        .await
        .map_err(|_| WriteError::Deadline)?
        .map_err(WriteError::from)
}

impl Records {
    pub fn new(engine: Arc<Engine>, events: Events) -> Arc<Self> {
        Arc::new(Self {
            engine,
            events,
            store: Store::default(),
            failures: parking_lot::Mutex::default(),
        })
    }

    /// Writes records while this replica leads.
    pub async fn run(self: Arc<Self>) {
        let mut leading = self.engine.leading.clone();
        loop {
            if leading.wait_for(|leads| *leads).await.is_err() {
                return;
            }
            let watch = match self.load().await {
                Ok(()) => self.watch(),
                Err(error) => {
                    tracing::warn!(%error, "records could not be listed; trying again");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            tokio::select! {
                () = self.drain() => {}
                () = self.tidy() => {}
                _ = leading.wait_for(|leads| !*leads) => {}
            }
            drop(watch);
        }
    }

    /// Reads all records there are; then looks at every drifted object again.
    async fn load(&self) -> Result<(), WriteError> {
        self.engine.memory.take_over(&self.engine).await?;
        let api: Api<DriftRecord> = Api::all(self.engine.client.clone());
        let records = bounded(api.list(&kube::api::ListParams::default())).await?;
        self.store.replace(records.items);
        self.engine.converging.budgets.forget();
        // What waited when this replica led before may have been over since.
        self.engine.pending.forget();
        self.engine.leaving.forget();
        for policy in self.engine.registry.all() {
            self.requeue(&policy);
        }
        // What was mended while a write was under way that never ended.
        for (_, _, entry) in self.store.all() {
            if entry.is_open()
                && let Some(target) = self.target_id(&entry)
                && self.engine.index.state(target, &entry.id).is_some()
            {
                self.engine.index.touch(target, &entry.id);
            }
        }
        Ok(())
    }

    /// Goes on with what was spent of a budget where the leader before stopped.
    async fn take_over_budget(&self, policy: &PolicyState) -> Result<(), WriteError> {
        let Some(budget) = policy.view.lock().terms.budget else {
            return Ok(());
        };
        let budgets = &self.engine.converging.budgets;
        if budgets.is_taken_over(policy) {
            return Ok(());
        }
        let PolicyKey { namespace, name } = &policy.key;
        let api: Api<DriftPolicy> = Api::namespaced(self.engine.client.clone(), namespace);
        let status = bounded(api.get(name)).await?.status;
        let all = self.store.all();
        let own = all.iter().filter(|(_, _, e)| e.policy == policy.key);
        let said = own.filter_map(|(_, _, e)| e.status.as_ref()?.enforcement.as_ref());
        let status = status.and_then(|s| s.budget);
        budgets.take_over(policy, &budget, said, status.as_ref());
        Ok(())
    }

    /// Looks at everything of a policy again that is not in sync.
    fn requeue(&self, policy: &PolicyState) {
        let targets: Vec<_> = policy.view.lock().targets.iter().map(|t| t.id).collect();
        targets
            .into_iter()
            .for_each(|target| self.engine.index.requeue(target));
    }

    /// Notices records that somebody else deletes.
    fn watch(self: &Arc<Self>) -> WatchHandle {
        let kind = GroupVersionKind::new(driftline_crds::GROUP, "v1alpha1", "DriftRecord");
        let scope = WatchScope {
            kind,
            plural: "driftrecords".to_owned(),
            namespace: None,
        };
        let options = WatchOptions {
            metadata_only: true,
            ..self.engine.watch_options.clone()
        };
        let records = Arc::clone(self);
        let sink = move |event: WatchEvent| {
            let WatchEvent::Deleted(object) = event else {
                return;
            };
            let text = |key: &str| {
                object
                    .get("metadata")
                    .and_then(|m| m.get(key))
                    .and_then(serde_json::Value::as_str)
                    .unwrap_or_default()
            };
            if let Some(entry) = records.store.take(text("namespace"), text("name"))
                && entry.is_open()
                && let Some(target) = records.target_id(&entry)
            {
                records.engine.index.touch(target, &entry.id);
            }
        };
        cluster::watch::spawn(
            self.engine.watch_client.clone(),
            scope,
            options,
            Arc::new(sink),
        )
    }

    fn target_id(&self, entry: &Entry) -> Option<cluster::index::TargetId> {
        let policy = self.engine.registry.get(&entry.policy)?;
        let view = policy.view.lock();
        view.targets
            .iter()
            .find(|t| t.name == entry.target)
            .map(|t| t.id)
    }

    /// Writes changes as they come, never two of one object at a time.
    async fn drain(&self) {
        let mut running = FuturesUnordered::new();
        let mut busy: HashSet<String> = HashSet::new();
        let mut waiting: HashMap<String, Change> = HashMap::new();
        loop {
            let free = CONCURRENCY.saturating_sub(running.len());
            for change in self.engine.index.take_changes(free) {
                let key = format!("{} {}", change.target.0, change.id);
                if busy.insert(key.clone()) {
                    running.push(self.one(key, change));
                } else {
                    waiting.insert(key, change);
                }
            }
            tokio::select! {
                Some(done) = running.next(), if !running.is_empty() => {
                    let done: String = done;
                    match waiting.remove(&done) {
                        Some(next) => running.push(self.one(done, next)),
                        None => { busy.remove(&done); }
                    }
                }
                () = self.engine.index.changed(), if running.len() < CONCURRENCY => {}
            }
        }
    }

    async fn one(&self, key: String, change: Change) -> String {
        let result = match self.engine.registry.target(change.target) {
            Some((policy, target)) => self.apply(&policy, &target, &change).await,
            None => Ok(()),
        };
        match result {
            Ok(()) => {
                self.failures.lock().remove(&key);
            }
            Err(error) => self.try_later(&key, change, &error),
        }
        key
    }

    /// Waits aside: a namespace that takes no records must not keep other policies' from being written.
    fn try_later(&self, key: &str, change: Change, error: &WriteError) {
        self.engine.metrics.write_failures.inc();
        let times = {
            let mut failures = self.failures.lock();
            let times = failures.entry(key.to_owned()).or_default();
            *times = times.saturating_add(1);
            *times
        };
        let wait = error.wait(times);
        if times == 1 {
            tracing::warn!(%error, object = %change.id, "a record could not be written; trying again");
        } else {
            tracing::debug!(%error, object = %change.id, times, ?wait, "a record could still not be written");
        }
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            engine.index.touch(change.target, &change.id);
        });
    }

    async fn apply(
        &self,
        policy: &PolicyState,
        target: &str,
        change: &Change,
    ) -> Result<(), WriteError> {
        self.engine.previews.saw(policy, change);
        let name = content::name(policy, target, &change.id);
        let known = self.store.get(&policy.key.namespace, &name);
        let place = |known| Place {
            policy,
            target,
            name: &name,
            known,
        };
        if !matches!(change.state, State::Pending(_))
            && self.engine.pending.is_over(change.target, &change.id)
        {
            self.engine.registry.touch(&policy.key);
        }
        if !orphans::waits(&change.state) {
            self.engine.leaving.is_over(change.target, &change.id);
        }
        if self.must_wait(policy, change, known.as_ref()) || self.awaits_deployer(policy, change) {
            return Ok(());
        }
        if let State::Pending(report) = &change.state
            && !orphans::waits(&change.state)
            && crate::deliver::delivers(policy, change.target)
        {
            let before = known.as_ref().and_then(|e| e.status.as_ref());
            self.put_back(policy, change, report, RecordState::Open, before, None)
                .await?;
        }
        match (&change.state, known) {
            (State::Drifted(report), known) => {
                let now = Timestamp::now();
                let state = if report.is_excepted {
                    RecordState::Excepted
                } else {
                    RecordState::Open
                };
                self.open(change, report, state, now, place(known)).await
            }
            (state, known) if orphans::waits(state) => self.leave(change, place(known)).await,
            (State::Pending(report), known) => self.pend(change, report, place(known)).await,
            (State::Unknown(Unknown::NotAllowed), Some(_)) => self.delete(policy, &name).await,
            // What is over by our own doing is told with what came of it.
            (_, Some(_)) if self.engine.converging.is_at_work(change.target, &change.id) => Ok(()),
            (state, Some(entry)) if entry.is_open() => match over(state, &entry) {
                Some(note) => self.close(policy, &name, entry, note).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Helm changes objects before it says that a new revision is deployed. So its storage is looked at once more, after the change
    /// was seen, before a record of a release's object is opened.
    fn must_wait(&self, policy: &PolicyState, change: &Change, known: Option<&Entry>) -> bool {
        let key = (change.target, change.id.clone());
        let is_open = known.is_some_and(Entry::is_open);
        if !matches!(change.state, State::Drifted(_)) || is_open {
            policy.deferred.lock().remove(&key);
            return false;
        }
        let view = policy.view.lock();
        let target = view.targets.iter().find(|t| t.id == change.target);
        let Some(polled) = target.filter(|t| t.is_release).map(|t| t.polled) else {
            return false;
        };
        drop(view);
        let mut deferred = policy.deferred.lock();
        let since = *deferred.entry(key.clone()).or_insert_with(Instant::now);
        if polled.is_some_and(|at| at > since) {
            deferred.remove(&key);
            return false;
        }
        policy.wake.notify_one();
        true
    }

    /// A commit that is not rolled out: nothing to tell for a minute, then a record of its own kind.
    async fn pend(
        &self,
        change: &Change,
        report: &drift::Report,
        mut place: Place<'_>,
    ) -> Result<(), WriteError> {
        let now = Timestamp::now();
        // A record of before a restart, or of another leader, knows better since when.
        let known = place.known.as_ref().and_then(Entry::pending_since);
        let since = known.unwrap_or(now);
        let is_new = self
            .engine
            .pending
            .since(change.target, &change.id)
            .is_none();
        let since = self.engine.pending.waits(change.target, &change.id, since);
        if is_new {
            // The status may have been written before it was known since when.
            self.engine.registry.touch(&place.policy.key);
        }
        if let Some(entry) = place.known.take_if(|e| e.is_open() && !e.is_pending()) {
            self.close(place.policy, place.name, entry, Note::Mended)
                .await?;
            let namespace = &place.policy.key.namespace;
            place.known = self.store.get(namespace, place.name);
        }
        let waited = now.duration_since(since).unsigned_abs();
        let rest = PENDING_AFTER.checked_sub(waited).or_else(|| {
            let doubted = self.engine.index.doubt(change.target, &change.id);
            doubted.then_some(DOUBT)
        });
        match rest {
            Some(rest) if !place.known.as_ref().is_some_and(Entry::is_pending) => {
                let engine = Arc::clone(&self.engine);
                let (target, id) = (change.target, change.id.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(rest + Duration::from_millis(100)).await;
                    engine.index.touch(target, &id);
                });
                Ok(())
            }
            _ => {
                self.open(change, report, RecordState::Pending, since, place)
                    .await
            }
        }
    }

    async fn open(
        &self,
        change: &Change,
        report: &drift::Report,
        state: RecordState,
        since: Timestamp,
        place: Place<'_>,
    ) -> Result<(), WriteError> {
        let Place {
            policy,
            target,
            name,
            known,
        } = place;
        let status_before = known.as_ref().and_then(|e| e.status.as_ref());
        let was_open = known.as_ref().is_some_and(Entry::is_open)
            && status_before.is_none_or(|s| is_pending(s.state) == is_pending(state));
        let mut room = None;
        if !known.as_ref().is_some_and(Entry::is_open) {
            room = self.store.room(&policy.key, MAX_OPEN);
            if room.is_none() {
                return self
                    .put_back(policy, change, report, state, status_before, None)
                    .await;
            }
        }
        let before = known.as_ref().and_then(|e| e.status.as_ref());
        let mut status = content::status(
            policy,
            change,
            report,
            before.filter(|_| was_open),
            (state, since),
        );
        let open_before = before.filter(|_| was_open);
        self.say_who_wrote(policy, change, &mut status, open_before);
        let workloads = &self.engine.workloads;
        workloads
            .fill(&self.engine, policy, &mut status, open_before)
            .await;
        let ended = excepted::say(&mut status, open_before);
        self.say_what_came_of_it(policy, change, &mut status, open_before);
        if was_open && before == Some(&status) {
            return self
                .put_back(policy, change, report, state, before, Some(&status))
                .await;
        }
        let record = content::record(policy, target, name, &change.id, status.severity);
        let api: Api<DriftRecord> =
            Api::namespaced(self.engine.client.clone(), &policy.key.namespace);
        if known.is_none() {
            match bounded(api.create(&PostParams::default(), &record)).await {
                Ok(_) => {
                    self.engine.metrics.writes("record").inc();
                }
                Err(error) if error.is(409) => {}
                Err(error) => return Err(error),
            }
        }
        let labelled = before.and_then(|b| b.severity);
        let write = async {
            if known.is_some() && labelled != status.severity {
                self.write_label(&api, name, status.severity).await?;
            }
            self.write_status(&api, name, &status).await
        };
        match write.await {
            Ok(()) => {}
            Err(error) if error.is(404) => {
                self.store.take(&policy.key.namespace, name);
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        let note = match (was_open, state) {
            (_, RecordState::Pending) => None,
            (false, _) => Some(Note::Opened),
            (true, _) => ended.then_some(Note::Reopened),
        };
        if note == Some(Note::Opened) {
            times::found(&self.engine.metrics, policy, &status);
        }
        if let Some(note) = note {
            let subject = &record.spec.subject.kubernetes;
            self.events
                .tell(&self.engine, policy, subject, &status, note);
        }
        self.put_back(policy, change, report, state, before, Some(&status))
            .await?;
        self.store.put(
            name,
            Entry {
                policy: policy.key.clone(),
                target: target.to_owned(),
                id: change.id.clone(),
                status: Some(status),
            },
        );
        drop(room);
        self.engine.registry.touch(&policy.key);
        Ok(())
    }

    /// Hands drift on that may be to be put back, once it is told; `told` is what its record says now.
    async fn put_back(
        &self,
        policy: &PolicyState,
        change: &Change,
        report: &drift::Report,
        state: RecordState,
        before: Option<&DriftRecordStatus>,
        told: Option<&DriftRecordStatus>,
    ) -> Result<(), WriteError> {
        let terms = policy.view.lock().terms.clone();
        if terms.writes() && state == RecordState::Open {
            self.take_over_budget(policy).await?;
            let open = before.filter(|b| b.state != RecordState::Closed);
            let since = open.map_or_else(Timestamp::now, |b| b.first_seen.0);
            let offer = Offer {
                drift: report.digest,
                terms,
                since,
                opened: told.map(|t| t.first_seen.0),
                by: told.map_or("", |t| &t.display.by),
                before: before.and_then(|b| b.enforcement.as_ref()),
            };
            let object = (change.target, &change.id);
            self.engine.converging.offer(object, offer);
        }
        Ok(())
    }

    /// What came of putting it back, and the state with it.
    fn say_what_came_of_it(
        &self,
        policy: &PolicyState,
        change: &Change,
        status: &mut DriftRecordStatus,
        before: Option<&DriftRecordStatus>,
    ) {
        let is_delivered = crate::deliver::delivers(policy, change.target);
        if !policy.view.lock().terms.writes() || (is_pending(status.state) && !is_delivered) {
            return;
        }
        let said = self.engine.converging.said(change.target, &change.id);
        status.enforcement = said.or_else(|| before?.enforcement.clone());
        if status.state != RecordState::Open {
            return;
        }
        status.state = match status.enforcement.as_ref().map(|e| e.outcome) {
            Some(Outcome::Blocked) => RecordState::Blocked,
            Some(Outcome::Contested) => RecordState::Contested,
            Some(Outcome::Held) => RecordState::Held,
            Some(
                Outcome::Reverted
                | Outcome::Delivered
                | Outcome::Pruned
                | Outcome::Waiting
                | Outcome::Observed,
            )
            | None => status.state,
        };
    }

    /// Who wrote the line that declares what drifted. Where that is not known yet, it is asked, and the record amended later.
    fn say_who_wrote(
        &self,
        policy: &PolicyState,
        change: &Change,
        status: &mut DriftRecordStatus,
        before: Option<&DriftRecordStatus>,
    ) {
        written::fill(status, before, None);
        let (Some(at), Some(provenance)) = (&status.declared_at, &change.provenance) else {
            return;
        };
        let (known, Some(line)) = (at.commit.is_some(), at.line) else {
            return;
        };
        let history = policy.view.lock().history.clone();
        if let (false, Some(history)) = (known, history) {
            let at = LineAt {
                file: provenance.file.clone(),
                line,
            };
            let object = (change.target, &change.id);
            let found = self
                .engine
                .blames
                .written(&history, &change.revision, at, object);
            written::fill(status, before, found.as_ref());
        }
    }

    async fn close(
        &self,
        policy: &PolicyState,
        name: &str,
        entry: Entry,
        note: Note,
    ) -> Result<(), WriteError> {
        let Some(mut status) = entry.status.clone() else {
            return self.delete(policy, name).await;
        };
        status.state = RecordState::Closed;
        if let Some(target) = self.target_id(&entry) {
            let converging = &self.engine.converging;
            converging.is_over(policy, target, &entry.id);
            let said = converging.said(target, &entry.id);
            if said.is_none() && policy.view.lock().terms.writes() {
                // Whoever led before may have put it back and not said so.
                converging.again((target, entry.id.clone()));
            }
            status.enforcement = said.or(status.enforcement);
        }
        status.closed_at = Some(Time(whole_seconds(Timestamp::now())));
        let api: Api<DriftRecord> =
            Api::namespaced(self.engine.client.clone(), &policy.key.namespace);
        match self.write_status(&api, name, &status).await {
            Ok(()) => {}
            Err(error) if error.is(404) => {
                self.store.take(&policy.key.namespace, name);
                self.promote(policy);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if !entry.is_pending() {
            times::over(&self.engine.metrics, &status, note);
            self.events
                .tell(&self.engine, policy, &subject(&entry.id), &status, note);
        }
        self.store.put(
            name,
            Entry {
                status: Some(status),
                ..entry
            },
        );
        self.promote(policy);
        self.engine.registry.touch(&policy.key);
        Ok(())
    }

    /// There may be room for one that was left out, of whichever target.
    fn promote(&self, policy: &PolicyState) {
        if self.store.take_full(&policy.key) {
            self.requeue(policy);
        }
    }

    async fn delete(&self, policy: &PolicyState, name: &str) -> Result<(), WriteError> {
        let api: Api<DriftRecord> =
            Api::namespaced(self.engine.client.clone(), &policy.key.namespace);
        match bounded(api.delete(name, &DeleteParams::default())).await {
            Ok(_) => {
                self.engine.metrics.writes("record").inc();
            }
            Err(error) if error.is(404) => {}
            // It stays known, so that the next attempt finds it.
            Err(error) => return Err(error),
        }
        self.store.take(&policy.key.namespace, name);
        self.engine.registry.touch(&policy.key);
        Ok(())
    }

    async fn write_label(
        &self,
        api: &Api<DriftRecord>,
        name: &str,
        severity: Option<Severity>,
    ) -> Result<(), WriteError> {
        let patch = json!({"metadata": {"labels": {SEVERITY_LABEL: severity}}});
        bounded(api.patch(name, &PatchParams::default(), &Patch::Merge(patch))).await?;
        self.engine.metrics.writes("record").inc();
        Ok(())
    }

    async fn write_status(
        &self,
        api: &Api<DriftRecord>,
        name: &str,
        status: &DriftRecordStatus,
    ) -> Result<(), WriteError> {
        // `add` replaces a member that is there: the status as a whole, with nothing left of the one before.
        let patch: json_patch::Patch =
            serde_json::from_value(json!([{"op": "add", "path": "/status", "value": status}]))
                .map_err(kube::Error::SerdeError)?;
        bounded(api.patch_status(name, &PatchParams::default(), &Patch::Json::<()>(patch))).await?;
        self.engine.metrics.writes("record").inc();
        Ok(())
    }

    /// Once a minute: closes records of what is no longer declared, removes those that were closed a day ago.
    /// Removes those that tell of what their policy's account may no longer see, at once.
    async fn tidy(&self) {
        let mut access = self.engine.access.changes();
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            access.mark_unchanged();
            for (namespace, name, entry) in self.store.all() {
                let Some(policy) = self.engine.registry.get(&entry.policy) else {
                    continue;
                };
                if let Err(error) = self.tidy_one(&policy, &name, entry).await {
                    tracing::warn!(%error, namespace, name, "a record could not be tidied up; trying again");
                }
            }
            self.thin_out().await;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(55)) => {}
                _ = access.changed() => {}
            }
        }
    }

    /// Removes the closed records beyond the most that a policy has: commits that rename everything would fill etcd.
    async fn thin_out(&self) {
        for policy in self.engine.registry.all() {
            for name in self.store.oldest_closed(&policy.key, MAX_CLOSED) {
                if let Err(error) = self.delete(&policy, &name).await {
                    tracing::warn!(%error, policy = %policy.key, "a closed record could not be removed; trying again");
                    return;
                }
            }
        }
    }

    /// True for a closed record of something that the policy's account may not see any more.
    async fn is_hidden(&self, policy: &PolicyState, entry: &Entry) -> bool {
        let account = policy.view.lock().account.clone();
        let (Some(account), Some(status)) = (account, &entry.status) else {
            return false;
        };
        let GroupKind { group, kind } = &entry.id.group_kind;
        let Some(kind) = GroupVersionKind::parse(&status.api_version, kind) else {
            return false;
        };
        let catalog = self.engine.catalog.catalog();
        let Some(resource) = catalog.resource(&kind) else {
            return false;
        };
        let decision = self
            .engine
            .access
            .may_list(
                &account,
                group,
                &resource.plural,
                entry.id.namespace.as_deref(),
            )
            .await;
        decision == Decision::Denied
    }

    async fn tidy_one(
        &self,
        policy: &PolicyState,
        name: &str,
        entry: Entry,
    ) -> Result<(), WriteError> {
        let closed = entry.status.as_ref().and_then(|s| s.closed_at.as_ref());
        let old = closed
            .is_some_and(|at| Timestamp::now().duration_since(at.0).unsigned_abs() > KEEP_CLOSED);
        // What is still declared is removed when it is judged again.
        if old || (!entry.is_open() && self.is_hidden(policy, &entry).await) {
            return self.delete(policy, name).await;
        }
        let view = policy.view.lock().clone();
        let target = view.targets.iter().find(|t| t.name == entry.target);
        let settled =
            target.is_some_and(|t| t.ready.is_some() && self.engine.index.is_settled(t.id));
        let open = |t: &TargetView| {
            let asks = entry.is_undeclared() && t.asks.is_served();
            asks && self.engine.index.is_open_question(t.id, &entry.id)
        };
        let gone = match target {
            Some(target) if open(target) => false,
            Some(target) => settled && self.engine.index.state(target.id, &entry.id).is_none(),
            // The policy has been read, and has no such target any more.
            None => view.generation.is_some() && view.stalled.is_none() && !view.targets.is_empty(),
        };
        if entry.is_open() && gone {
            self.close(policy, name, entry, Note::Dropped).await
        } else {
            Ok(())
        }
    }

    /// Shows every record that is not closed.
    pub fn each_open(&self, see: impl FnMut(&Entry)) {
        self.store.each_open(see);
    }

    /// How many objects an exception of a policy allows something of.
    pub fn excepted_by(&self, policy: &PolicyKey, exception: &str) -> u32 {
        let hit = |entry: &Entry| {
            let status = entry.status.as_ref();
            let names = status.and_then(|s| s.exception.as_deref());
            entry.policy == *policy
                && entry.is_open()
                && names.is_some_and(|n| excepted::names(n).any(|n| n == exception))
        };
        u32::try_from(self.store.count(hit)).unwrap_or(u32::MAX)
    }

    /// What a policy has open, with at most so many of the worst.
    pub fn standing(&self, key: &PolicyKey, most: usize) -> Standing {
        self.store.standing(key, most)
    }
}

fn is_pending(state: RecordState) -> bool {
    state == RecordState::Pending
}

/// A record's name and policy, from the record itself.
fn identity(record: &DriftRecord) -> (PolicyKey, ObjectId) {
    let subject = &record.spec.subject.kubernetes;
    let kind = drift::GroupKind::new(&subject.group, &subject.kind);
    let key = PolicyKey {
        namespace: record.namespace().unwrap_or_default(),
        name: record.spec.policy.clone(),
    };
    (
        key,
        ObjectId::new(kind, subject.namespace.as_deref(), &subject.name),
    )
}

/// Why an open record is over; `None` if it is not, or if that is not known.
fn over(state: &State, entry: &Entry) -> Option<Note> {
    match state {
        State::InSync => Some(Note::Mended),
        State::Ignored => Some(Note::Ignored),
        State::Dropped if entry.is_orphan() => Some(Note::NoOrphan),
        State::Dropped => Some(Note::Dropped),
        State::Unknown(Unknown::NotServed) if entry.is_missing() => Some(Note::Unserved),
        // All else of it was compared and is equal.
        State::Unknown(Unknown::Unstable) => Some(Note::Unstable),
        State::Unknown(Unknown::Encrypted) => Some(Note::Encrypted),
        State::Drifted(_) | State::Pending(_) | State::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mended_object_of_a_chart_with_random_values_kept_its_record() {
        let entry = Entry {
            policy: PolicyKey {
                namespace: "shop".into(),
                name: "shop".into(),
            },
            target: "app".into(),
            id: ObjectId::new(GroupKind::new("", "ConfigMap"), Some("shop"), "web"),
            status: None,
        };
        let over = |why| over(&State::Unknown(why), &entry);
        assert_eq!(over(Unknown::Unstable), Some(Note::Unstable));
        assert_eq!(over(Unknown::Encrypted), Some(Note::Encrypted));
        for why in [Unknown::Blind, Unknown::Forbidden, Unknown::NotServed] {
            assert_eq!(over(why), None);
        }
    }

    #[test]
    fn a_refused_record_was_written_again_every_two_seconds() {
        let status = |code: u16| {
            let answer = json!({"metadata": {}, "status": "Failure", "code": code});
            let status = serde_json::from_value(answer).expect("a status");
            WriteError::Api(kube::Error::Api(status))
        };
        let refused = status(403);
        assert_eq!(refused.wait(1), RETRY);
        assert!(refused.wait(8) >= Duration::from_secs(240));
        assert_eq!(refused.wait(1000), refused.wait(8));
        for unwell in [status(429), status(503), status(409), WriteError::Deadline] {
            assert!(unwell.wait(1000) <= Duration::from_secs(10), "{unwell}");
        }
    }
}
