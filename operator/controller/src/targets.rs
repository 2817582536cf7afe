//! One target of a policy: rendered, resolved against what the cluster serves, and declared to the index.

mod release;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::access::Decision;
use cluster::discovery::{Catalog, Served};
use cluster::index::{Batch, Reread, ScopeKey, TargetId};
use declared::{HelmOptions, ReleaseRequest, RenderLimits, RenderRequest, Revision, inputs_digest};
use drift::{ObjectId, ProblemKind, Unknown};
pub use edge::intake::Rendered;
use edge::intake::{Intake, Refusal};
use jiff::Timestamp;

use crate::engine::Engine;
use crate::policy::{From, Policy, TargetSpec};
use crate::recall::{Earlier, Later, recall};
use crate::registry::{PolicyState, TargetView};
use crate::undeclared::Asks;

/// How many objects are read one by one after a commit; more in one scope, and the scope is listed anew.
const MAX_SINGLE_READS: usize = 100;

/// A target as its policy's actor holds it.
pub struct Target {
    pub id: TargetId,
    pub spec: TargetSpec,
    /// What it was last rendered from.
    done: Option<Done>,
    /// What it could last not be rendered from.
    failed: Option<Failed>,
    /// What was known of it before the operator started was brought back.
    recalled: bool,
    /// Since when that is tried in vain.
    recalling: Option<Instant>,
    /// It declares another place than when it last declared something.
    elsewhere: bool,
    /// Helm is at work on it.
    pub at_work: bool,
    /// It asks about objects that nobody declares, and what Argo CD and Flux declare is not known yet.
    pub waits_for_tools: bool,
    pub view: TargetView,
}

struct Done {
    commit: String,
    /// The digest of all inputs.
    inputs: String,
    /// The same without what the cluster serves.
    plain_inputs: String,
    /// What the cluster serves matters: a chart was rendered, or kinds were not served, so that the scope of their objects
    /// is not known.
    by_catalog: bool,
    /// What was to be said of it.
    said: Said,
}

/// Ready, reason and message of a target.
type Said = (Option<bool>, String, String);

/// What the worker is asked for.
enum Ask<'a> {
    Render(&'a RenderRequest),
    Release(&'a ReleaseRequest),
}

/// A rendering that failed. It would fail again: only what may have been bad luck is tried again, and ever less often, because
/// a rendering may take two minutes of everybody's time.
#[derive(Debug)]
struct Failed {
    commit: String,
    inputs: String,
    retry: bool,
    times: u32,
    at: Instant,
}

/// How long what was known before a start is waited for. Detection does not wait for ever for a commit of earlier.
const RECALL_PATIENCE: Duration = Duration::from_secs(120);
/// The wait before a failed rendering is tried again, doubled each time.
const RENDER_AGAIN: Duration = Duration::from_secs(2);

impl Failed {
    fn after(before: Option<&Self>, commit: &str, inputs: &str, retry: bool) -> Self {
        let again = before.filter(|b| b.is_of(commit, inputs));
        Self {
            commit: commit.to_owned(),
            inputs: inputs.to_owned(),
            retry,
            times: again.map_or(1, |b| b.times.saturating_add(1)),
            at: Instant::now(),
        }
    }

    fn is_of(&self, commit: &str, inputs: &str) -> bool {
        self.commit == commit && self.inputs == inputs
    }

    fn is_due(&self, now: Instant) -> bool {
        let wait = RENDER_AGAIN * 2_u32.pow(self.times.saturating_sub(1).min(8));
        self.retry && now.saturating_duration_since(self.at) >= wait
    }
}

impl Target {
    pub fn new(id: TargetId, spec: TargetSpec) -> Self {
        let view = TargetView {
            id,
            name: spec.name.clone(),
            ready: None,
            reason: "Progressing".to_owned(),
            message: "waiting for the source".to_owned(),
            revision: None,
            inputs: None,
            checked_at: None,
            delivers: spec.delivers,
            prunes: spec.prunes,
            unverified: None,
            is_release: spec.is_release(),
            polled: None,
            begun: Instant::now(),
            is_declared: false,
            asks: Asks::of(&spec),
        };
        Self {
            id,
            spec,
            done: None,
            failed: None,
            recalled: false,
            recalling: None,
            elsewhere: false,
            at_work: false,
            waits_for_tools: false,
            view,
        }
    }

    /// Takes in what the policy says of it now.
    pub fn become_like(&mut self, spec: &TargetSpec) {
        if self.spec == *spec {
            return;
        }
        // What the place of before declares was not dropped by Git.
        self.elsewhere |= !self.spec.is_same_place(spec);
        self.spec = spec.clone();
        self.view.asks = Asks::of(spec);
        self.view.delivers = spec.delivers;
        self.view.prunes = spec.prunes;
        self.forget_rendering();
    }

    /// Makes the next update render again even if nothing seems to have changed.
    pub fn forget_rendering(&mut self) {
        self.done = None;
        self.failed = None;
    }

    /// Brings the index up to what is declared now. Cheap where nothing has changed. True if all is well or only the author can
    /// mend it; false if trying again soon may help.
    pub async fn update(
        &mut self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        policy: &Policy,
        revision: Option<&Revision>,
    ) -> bool {
        match (self.spec.from.clone(), revision) {
            (From::Release(release), _) => {
                self.update_release(engine, state, policy, &release).await
            }
            (From::Source { path, helm }, Some(revision)) => {
                let catalog = engine.catalog.catalog();
                let request = self.request(&catalog, revision, path, helm);
                self.update_to(engine, state, policy, revision, &catalog, request)
                    .await
            }
            // Nothing was fetched yet.
            (From::Source { .. }, None) => true,
        }
    }

    async fn update_to(
        &mut self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        policy: &Policy,
        revision: &Revision,
        catalog: &Catalog,
        request: RenderRequest,
    ) -> bool {
        let inputs = inputs_digest(&request, &engine.worker_info);
        let plain_inputs = self.plain_inputs(&request, engine);
        let same = |d: &Done| {
            if d.by_catalog {
                d.inputs == inputs
            } else {
                d.plain_inputs == plain_inputs
            }
        };
        if self
            .done
            .as_ref()
            .is_some_and(|d| d.commit == revision.commit && same(d))
        {
            return true;
        }
        if let Some(failed) = &self.failed
            && failed.is_of(&revision.commit, &inputs)
            && !failed.is_due(Instant::now())
        {
            return !failed.retry;
        }
        let begun = Instant::now();
        let result = self
            .render(engine, catalog, Ask::Render(&request), &state.key.namespace)
            .await;
        engine.metrics.rendered(begun.elapsed(), result.is_ok());
        match result {
            Err((reason, message, retry)) => {
                tracing::warn!(policy = %state.key, target = self.spec.name, message, "rendering failed; what was declared before stays in force");
                self.view.ready = Some(false);
                self.view.reason = reason;
                self.view.message = message;
                let before = self.failed.take();
                self.failed = Some(Failed::after(
                    before.as_ref(),
                    &revision.commit,
                    &inputs,
                    retry,
                ));
                !retry
            }
            Ok(rendered) => {
                self.failed = None;
                let by_catalog = rendered.is_by_catalog();
                self.report(&rendered);
                let told = if by_catalog { &inputs } else { &plain_inputs };
                let by = cluster::index::Revision {
                    name: revision.name.as_str().into(),
                    inputs: told.as_str().into(),
                };
                match self.recall(engine, state, policy, &by).await {
                    Ok(Some((before, at))) => {
                        self.declare(engine, policy, catalog, before, at).await;
                    }
                    Ok(None) => {}
                    Err(later) => return self.wait_for_memory(&later),
                }
                self.declare(engine, policy, catalog, rendered, by).await;
                self.view.revision = Some(revision.name.clone());
                self.view.checked_at = Some(Timestamp::now());
                self.view.inputs = Some(told.clone());
                self.done = Some(Done {
                    commit: revision.commit.clone(),
                    inputs,
                    plain_inputs,
                    by_catalog,
                    said: self.said(),
                });
                true
            }
        }
    }

    /// Brings back what was known of the target before the operator started, once.
    async fn recall(
        &mut self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        policy: &Policy,
        by: &cluster::index::Revision,
    ) -> Result<Option<Earlier>, Later> {
        if self.recalled {
            return Ok(None);
        }
        let since = *self.recalling.get_or_insert_with(Instant::now);
        let patience = since.elapsed() < RECALL_PATIENCE;
        let before = recall(engine, state, policy, self, by, patience).await?;
        self.recalled = true;
        self.recalling = None;
        Ok(before)
    }

    /// Declared without its memory, a target would be remembered without it from then on.
    fn wait_for_memory(&mut self, Later(why): &Later) -> bool {
        tracing::warn!(
            target = self.spec.name,
            why,
            "what was known of a target cannot be brought back yet; trying again"
        );
        self.view.ready = None;
        self.view.reason = "Progressing".to_owned();
        self.view.message = format!(
            "what was known before the operator started cannot be brought back yet: {}",
            drift::redact::cut(why, 256)
        );
        false
    }

    /// Renders a revision of earlier; `None` if that fails, or if what else goes into rendering is not what it was.
    ///
    /// # Errors
    /// Where trying again may help.
    pub async fn render_again(
        &self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        revision: &Revision,
        inputs: &str,
    ) -> Result<Option<Rendered>, Later> {
        let Some((catalog, request)) = self.request_again(engine, revision) else {
            return Ok(None);
        };
        let same = self.plain_inputs(&request, engine) == inputs
            || inputs_digest(&request, &engine.worker_info) == inputs;
        if !same {
            return Ok(None);
        }
        self.whole(engine, state, &catalog, Ask::Render(&request))
            .await
    }

    /// Renders a revision of earlier from what goes into rendering now, and says what that was; `None` if it fails.
    pub async fn render_from_now(
        &self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        revision: &Revision,
    ) -> Option<(Rendered, cluster::index::Revision)> {
        let (catalog, request) = self.request_again(engine, revision)?;
        let rendered = self
            .whole(engine, state, &catalog, Ask::Render(&request))
            .await
            .ok()??;
        let inputs = if rendered.is_by_catalog() {
            inputs_digest(&request, &engine.worker_info)
        } else {
            self.plain_inputs(&request, engine)
        };
        let by = cluster::index::Revision {
            name: revision.name.as_str().into(),
            inputs: inputs.as_str().into(),
        };
        Some((rendered, by))
    }

    fn request_again(
        &self,
        engine: &Engine,
        revision: &Revision,
    ) -> Option<(Arc<Catalog>, RenderRequest)> {
        let From::Source { path, helm } = self.spec.from.clone() else {
            return None;
        };
        let catalog = engine.catalog.catalog();
        let request = self.request(&catalog, revision, path, helm);
        Some((catalog, request))
    }

    /// A rendering without any problem; `None` where there is none.
    async fn whole(
        &self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        catalog: &Catalog,
        asked: Ask<'_>,
    ) -> Result<Option<Rendered>, Later> {
        let rendered = self
            .render(engine, catalog, asked, &state.key.namespace)
            .await;
        match rendered {
            Ok(rendered) => Ok(Some(rendered).filter(|r| r.problems.is_empty())),
            Err((_, message, true)) => Err(Later(message)),
            Err(_) => Ok(None),
        }
    }

    fn said(&self) -> Said {
        let view = &self.view;
        (view.ready, view.reason.clone(), view.message.clone())
    }

    fn request(
        &self,
        catalog: &Catalog,
        revision: &Revision,
        path: String,
        helm: Option<HelmOptions>,
    ) -> RenderRequest {
        RenderRequest {
            repository: revision.repository.clone(),
            commit: revision.commit.clone(),
            path,
            namespace: self.spec.namespace.clone(),
            helm,
            kube_version: catalog.server().git_version.clone(),
            api_versions: catalog.api_versions().to_vec(),
            limits: RenderLimits::default(),
        }
    }

    fn plain_inputs(&self, request: &RenderRequest, engine: &Engine) -> String {
        let mut plain = request.clone();
        plain.helm = None;
        plain.kube_version = String::new();
        plain.api_versions = Vec::new();
        inputs_digest(&plain, &engine.worker_info)
    }

    async fn render(
        &self,
        engine: &Arc<Engine>,
        catalog: &Catalog,
        ask: Ask<'_>,
        namespace: &str,
    ) -> Result<Rendered, (String, String, bool)> {
        let disk = |error: io::Error| {
            (
                "DiskFailure".to_owned(),
                format!("declared objects cannot be kept in a temporary file: {error}"),
                true,
            )
        };
        let _turn = engine.renders.take(namespace).await;
        let mut intake = Intake::new(catalog, &self.spec.namespace).map_err(disk)?;
        let mut take = |item| intake.take(item);
        let summary = match ask {
            Ask::Render(request) => engine.worker.render(request, &mut take).await,
            Ask::Release(request) => engine.worker.release(request, &mut take).await,
        };
        let summary = summary.map_err(|e| {
            (
                match e.category() {
                    declared::Category::NotFound => "PathNotFound".to_owned(),
                    other => format!("{}Failed", other.as_str()),
                },
                e.to_string(),
                e.is_retryable(),
            )
        })?;
        intake.finish(summary.renderer).map_err(|e| match e {
            Refusal::Disk(error) => disk(error),
            Refusal::TooMuch(what) => ("LimitExceeded".to_owned(), what, false),
        })
    }

    fn report(&mut self, rendered: &Rendered) {
        match rendered.problems.first() {
            None => {
                self.view.ready = Some(true);
                self.view.reason = "Compared".to_owned();
                self.view.message = String::new();
            }
            Some(first) => {
                let more = rendered.problem_count.saturating_sub(1);
                let others = if more > 0 {
                    format!(" (and {more} more)")
                } else {
                    String::new()
                };
                self.view.ready = Some(false);
                self.view.reason = reason(first.kind).to_owned();
                self.view.message =
                    format!("{}{others}", drift::redact::cut(&first.to_string(), 512));
            }
        }
    }

    async fn declare(
        &mut self,
        engine: &Arc<Engine>,
        policy: &Policy,
        catalog: &Catalog,
        rendered: Rendered,
        revision: cluster::index::Revision,
    ) {
        let declared = rendered.declarations.iter();
        let mut scopes: HashSet<ScopeKey> = declared
            .map(|d| ScopeKey::new(d.kind.clone(), d.id.namespace.clone()))
            .collect();
        // What it declares no longer may be an orphan there.
        scopes.extend(engine.index.scopes_of(self.id));
        let denied = denied(engine, policy, catalog, scopes).await;
        let complete = rendered.problems.is_empty();
        let batch = Batch {
            revision,
            undeclared: self.spec.undeclared,
            blobs: rendered.blobs,
            declarations: rendered.declarations,
            complete,
            elsewhere: std::mem::take(&mut self.elsewhere),
            denied,
        };
        self.view.is_declared |= complete;
        let rereads = engine.index.declare(self.id, batch);
        if !rereads.is_empty() {
            tokio::spawn(reread(Arc::clone(engine), rereads));
        }
    }
}

/// The scopes that a policy's account may not see, or of which that could not be found out.
pub async fn denied(
    engine: &Engine,
    policy: &Policy,
    catalog: &Catalog,
    scopes: impl IntoIterator<Item = ScopeKey>,
) -> HashMap<ScopeKey, Unknown> {
    let mut denied = HashMap::new();
    for scope in scopes {
        let resource = match catalog.served(&scope.kind) {
            Served::Yes(resource) => resource,
            // Once it is served its watch may be faster than the review of the account's access.
            Served::No => {
                denied.insert(scope, Unknown::NotServed);
                continue;
            }
            Served::Unavailable => {
                denied.insert(scope, Unknown::Blind);
                continue;
            }
        };
        let group = &scope.kind.group_kind.group;
        match engine
            .access
            .may_list(
                &policy.account,
                group,
                &resource.plural,
                scope.namespace.as_deref(),
            )
            .await
        {
            Decision::Allowed => {}
            Decision::Denied => {
                denied.insert(scope, Unknown::NotAllowed);
            }
            Decision::Unanswered => {
                denied.insert(scope, Unknown::AccessNotKnown);
            }
        }
    }
    denied
}

fn reason(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Parse => "ParseError",
        ProblemKind::NotAnObject => "NotAnObject",
        ProblemKind::Duplicate => "DuplicateObject",
        ProblemKind::Limit => "LimitExceeded",
        ProblemKind::NotFollowed => "NotFollowed",
        ProblemKind::Render => "RenderFailed",
        ProblemKind::UnknownKind => "UnknownKind",
    }
}

/// Reads the live objects of changed declarations: one by one, or, where they are many, by a new list of their scope.
pub async fn reread(engine: Arc<Engine>, rereads: Vec<Reread>) {
    let catalog = engine.catalog.catalog();
    let mut by_scope: HashMap<ScopeKey, Vec<ObjectId>> = HashMap::new();
    for reread in rereads {
        by_scope.entry(reread.scope).or_default().push(reread.id);
    }
    let mut relist = false;
    for (scope, ids) in by_scope {
        let mut whole = ids.len() > MAX_SINGLE_READS;
        for id in ids.iter().take(if whole { 0 } else { ids.len() }) {
            whole = read_one(&engine, &catalog, &scope, id).await.is_err();
            if whole {
                break;
            }
        }
        if whole {
            engine.watches.relist(&scope);
            relist = true;
        }
    }
    if relist && let Err(error) = engine.watches.sync(&engine).await {
        tracing::warn!(%error, "watches could not be brought into step");
    }
}

/// Reads one live object and shows it to the index.
pub async fn read_one(
    engine: &Engine,
    catalog: &Catalog,
    scope: &ScopeKey,
    id: &ObjectId,
) -> cluster::Result<()> {
    let Some(resource) = catalog.resource(&scope.kind) else {
        return Ok(());
    };
    engine.metrics.object_reads.inc();
    let noticed = engine.index.noticed(scope, &id.name);
    match cluster::read::object(
        &engine.client,
        &scope.kind,
        resource,
        scope.namespace.as_deref(),
        &id.name,
    )
    .await?
    {
        Some(live) => {
            engine.index.observe(scope, &live);
        }
        None => {
            engine.index.absent(scope, id);
            if let Some(version) = noticed {
                engine.index.vanished(scope, id, version);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_rendered_was_rendered_again_at_every_fetch() {
        let refused = Failed::after(None, "c1", "i", false);
        let later = |failed: &Failed, seconds| failed.at + Duration::from_secs(seconds);
        assert!(refused.is_of("c1", "i") && !refused.is_of("c2", "i") && !refused.is_of("c1", "j"));
        assert!(!refused.is_due(later(&refused, 86_400)));
        let first = Failed::after(None, "c1", "i", true);
        assert!(!first.is_due(later(&first, 1)) && first.is_due(later(&first, 2)));
        let second = Failed::after(Some(&first), "c1", "i", true);
        assert!(!second.is_due(later(&second, 3)) && second.is_due(later(&second, 4)));
        assert_eq!(Failed::after(Some(&second), "c2", "i", true).times, 1);
    }
}
