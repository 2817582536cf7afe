//! One target of a policy: rendered, resolved against what the cluster serves, and declared to the index.

mod release;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::access::Decision;
use cluster::discovery::{Catalog, Served};
use cluster::index::{Batch, Declaration, Reread, ScopeKey, TargetId};
use cluster::store::{BlobWriter, Blobs};
use declared::{
    HelmOptions, ReleaseRequest, RenderItem, RenderLimits, RenderRequest, Renderer, Revision,
    inputs_digest,
};
use drift::subject::{not_a_name, not_a_namespace};
use drift::{
    DeclaredObject, GroupVersionKind, ObjectId, Problem, ProblemKind, Provenance, Unknown,
    bookkeeping, lines,
};
use jiff::Timestamp;

use crate::engine::Engine;
use crate::policy::{From, Policy, TargetSpec};
use crate::recall::{Earlier, Later, recall};
use crate::registry::{PolicyState, TargetView};
use crate::undeclared::Asks;

/// How many objects are read one by one after a commit; more in one scope, and the scope is listed anew.
const MAX_SINGLE_READS: usize = 100;
/// The most objects of a target. Each takes memory for as long as the policy is there, and all policies share it.
const MAX_OBJECTS: usize = 100_000;
/// The most pairs of kind and namespace of a target; each takes an access review, and a watch or a part of one.
const MAX_SCOPES: usize = 5_000;
/// Problems that are kept; more are counted.
const MAX_PROBLEMS: usize = 200;

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

/// What rendering led to.
pub struct Rendered {
    pub blobs: Blobs,
    pub declarations: Vec<Declaration>,
    problems: Vec<Problem>,
    problem_count: usize,
    renderer: Renderer,
    unserved: bool,
}

impl Rendered {
    /// What the cluster serves matters to it.
    fn is_by_catalog(&self) -> bool {
        self.renderer == Renderer::Helm || self.unserved
    }
}

/// Takes in what a renderer streams.
struct Intake<'a> {
    catalog: &'a Catalog,
    namespace: &'a str,
    writer: BlobWriter,
    declarations: Vec<Declaration>,
    seen: HashSet<ObjectId>,
    scopes: HashSet<ScopeKey>,
    problems: Vec<Problem>,
    problem_count: usize,
    unserved: bool,
    failed: Option<io::Error>,
    /// Which limit was passed.
    too_much: Option<String>,
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
        let mut intake = Intake {
            catalog,
            namespace: &self.spec.namespace,
            writer: BlobWriter::new().map_err(disk)?,
            declarations: Vec::new(),
            seen: HashSet::new(),
            scopes: HashSet::new(),
            problems: Vec::new(),
            problem_count: 0,
            unserved: false,
            failed: None,
            too_much: None,
        };
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
        if let Some(error) = intake.failed.take() {
            return Err(disk(error));
        }
        if let Some(what) = intake.too_much.take() {
            return Err(("LimitExceeded".to_owned(), what, false));
        }
        Ok(Rendered {
            blobs: intake.writer.finish().map_err(disk)?,
            declarations: intake.declarations,
            problems: intake.problems,
            problem_count: intake.problem_count,
            renderer: summary.renderer,
            unserved: intake.unserved,
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

impl Intake<'_> {
    fn take(&mut self, item: RenderItem) {
        match item {
            RenderItem::Problem(problem) => self.note(problem),
            RenderItem::Object(object) => self.object(object),
        }
    }

    fn object(&mut self, mut declared: DeclaredObject) {
        if self.too_much.is_some() {
            return;
        }
        let (Some(kind), Some(name)) = (declared.kind(), declared.name().map(str::to_owned)) else {
            return self.problem(
                ProblemKind::NotAnObject,
                declared.provenance,
                "an object needs apiVersion, kind and metadata.name".to_owned(),
            );
        };
        let namespaced = match self.catalog.served(&kind) {
            Served::Yes(resource) => Some(resource.namespaced),
            Served::No | Served::Unavailable => {
                self.unserved = true;
                None
            }
        };
        let namespace = match namespaced {
            Some(false) => None,
            Some(true) => Some(declared.namespace().unwrap_or(self.namespace).to_owned()),
            None => declared.namespace().map(str::to_owned),
        };
        if let Some(why) = misnamed(&name, namespace.as_deref()) {
            return self.problem(ProblemKind::NotAnObject, declared.provenance, why);
        }
        let id = ObjectId::new(kind.group_kind.clone(), namespace.as_deref(), &name);
        if !self.seen.insert(id.clone()) {
            let message = format!("{id} is declared twice; remove one of them");
            return self.problem(ProblemKind::Duplicate, declared.provenance, message);
        }
        self.scopes
            .insert(ScopeKey::new(kind.clone(), id.namespace.clone()));
        if self.is_too_much() {
            return;
        }
        let before = declared.object.clone();
        declared.encrypted = bookkeeping::normalise(&mut declared.object, namespace.as_deref());
        declared.lines = lines::realign(&before, &declared.lines, &declared.object);
        self.keep(id, kind, &declared);
    }

    fn keep(&mut self, id: ObjectId, kind: GroupVersionKind, declared: &DeclaredObject) {
        match self.writer.push(declared) {
            Ok((blob, digest)) => self.declarations.push(Declaration {
                id,
                kind,
                blob,
                digest,
            }),
            Err(error) => self.failed = Some(error),
        }
    }

    fn is_too_much(&mut self) -> bool {
        let passed = |limit: usize, of: &str| {
            Some(format!(
                "more than {limit} {of}: split the target into several with paths of their own"
            ))
        };
        if self.seen.len() > MAX_OBJECTS {
            self.too_much = passed(MAX_OBJECTS, "objects");
        } else if self.scopes.len() > MAX_SCOPES {
            self.too_much = passed(MAX_SCOPES, "pairs of kind and namespace");
        }
        self.too_much.is_some()
    }

    fn note(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    fn problem(&mut self, kind: ProblemKind, at: Provenance, message: String) {
        self.note(Problem {
            kind,
            at,
            message,
            object: None,
        });
    }
}

/// Why an object cannot be asked for by its name and namespace.
fn misnamed(name: &str, namespace: Option<&str>) -> Option<String> {
    let name = not_a_name(name).map(|why| format!("metadata.name {why}"));
    name.or_else(|| {
        let why = namespace.and_then(not_a_namespace)?;
        Some(format!("metadata.namespace {why}"))
    })
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

    #[test]
    fn a_name_that_leads_elsewhere_is_refused_before_it_is_asked_for() {
        assert_eq!(misnamed("web", Some("shop")), None);
        let name = misnamed("../secrets/x", Some("shop")).unwrap_or_default();
        assert!(name.starts_with("metadata.name"), "{name}");
        let namespace = misnamed("web", Some("a/../kube-system")).unwrap_or_default();
        assert!(namespace.starts_with("metadata.namespace"), "{namespace}");
    }
}
