//! Sources against one cluster: declared to the index, live objects listed into it, and its verdicts taken out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cluster::discovery::{Catalog, Resource, Served};
use cluster::index::{Batch, Change, Index, Revision, ScopeKey, State, TargetId};
use cluster::list::{self, Listed};
use cluster::openapi::Schemas;
use drift::{GroupVersionKind, ObjectId, Problem, Schema, Undeclared, Unknown};
use driftline_crds::{RecordState, Summary};
use edge::content;
use edge::intake::Rendered;
use futures::StreamExt as _;
use jiff::Timestamp;

use super::deployers::Asked;
use super::source::Source;
use super::{blame, release, render};
use crate::connect::Cluster;
use crate::failure::{Failure, Result};
use crate::model::{
    ClusterReport, Finding, NamespaceReport, NotChecked, Standing, TargetReport, merge,
};
use crate::options::AuditOptions;
use crate::progress::Progress;
use crate::worker::Local;

/// Lists at the same time.
const LISTS: usize = 6;
/// Namespaces above which a kind is listed in the whole cluster at once.
const MAX_NAMESPACES: usize = 10;

/// Sources and a cluster.
pub struct Comparison<'a> {
    pub cluster: &'a Cluster,
    pub local: &'a Local,
    pub sources: &'a [Source],
    pub options: &'a AuditOptions,
    pub progress: Progress,
}

/// A place of a source, as it was declared to the index.
struct Target<'a> {
    id: TargetId,
    /// `None` for a Helm release.
    source: Option<&'a Source>,
    path: &'a str,
    report: TargetReport,
    objects: Vec<ObjectId>,
}

/// Everything on the way to a report.
#[derive(Default)]
struct Tellings {
    summary: Summary,
    by_namespace: BTreeMap<Option<String>, NamespaceReport>,
    not_checked: Vec<NotChecked>,
    in_sync: Vec<ObjectId>,
    unchecked: Vec<ObjectId>,
}

impl Comparison<'_> {
    /// Compares.
    ///
    /// # Errors
    /// Where the cluster does not answer at all, or nothing could be rendered.
    pub async fn report(&self) -> Result<ClusterReport> {
        self.progress
            .say(&format!("asking {} what it serves", self.cluster.server));
        let client = &self.cluster.client;
        let catalog = Catalog::read(client)
            .await
            .map_err(|e| Failure::of_cluster(&e))?;
        let index = Index::new();
        let mut tellings = Tellings::default();
        let mut targets = self.declare(&catalog, &index, &mut tellings).await?;
        self.look(&catalog, &index).await?;
        self.progress.say("asking who deployed what differs");
        for target in &targets {
            let Some(source) = target.source.filter(|s| s.history.is_some()) else {
                continue;
            };
            let asked = Asked {
                cluster: self.cluster,
                local: self.local,
                catalog: &catalog,
                source,
                path: target.path,
                helm: render::helm(target.path, &self.options.source),
            };
            asked.seek(&index, target.id).await;
        }
        let mut findings = Vec::new();
        for target in &mut targets {
            findings.extend(tellings.take(&index, target));
        }
        if !self.options.no_blame && !findings.is_empty() {
            self.progress.say("looking for who wrote the lines");
            for target in &targets {
                let mut of: Vec<&mut Finding> = findings
                    .iter_mut()
                    .filter(|(id, _)| *id == target.id)
                    .map(|(_, f)| f)
                    .collect();
                if let Some(source) = target.source {
                    blame::fill(self.local, source, &mut of).await;
                }
            }
        }
        let mut objects: Vec<Finding> = findings.into_iter().map(|(_, f)| f).collect();
        objects.sort_by(|a, b| {
            let rank = |f: &Finding| {
                (
                    f.standing == Standing::Pending,
                    std::cmp::Reverse(f.severity),
                )
            };
            let key = |f: &Finding| {
                let s = &f.subject;
                (
                    s.namespace.clone(),
                    s.kind.clone(),
                    s.name.clone(),
                    s.group.clone(),
                )
            };
            rank(a).cmp(&rank(b)).then_with(|| key(a).cmp(&key(b)))
        });
        tellings.not_checked.sort();
        Ok(ClusterReport {
            context: self.cluster.context.clone(),
            server: self.cluster.server.clone(),
            server_version: catalog.server().git_version.clone(),
            targets: targets.into_iter().map(|t| t.report).collect(),
            summary: tellings.summary,
            namespaces: tellings.by_namespace.into_values().collect(),
            objects,
            not_checked: tellings.not_checked,
            in_sync: tellings.in_sync.iter().map(content::subject).collect(),
            unchecked: tellings.unchecked.iter().map(content::subject).collect(),
        })
    }

    async fn declare(
        &self,
        catalog: &Catalog,
        index: &Index,
        tellings: &mut Tellings,
    ) -> Result<Vec<Target<'_>>> {
        let mut targets = Vec::new();
        let mut first_failure = None;
        let places = self
            .sources
            .iter()
            .flat_map(|s| s.paths.iter().map(move |p| (s, p)));
        for source in self.sources {
            tellings.left_out(source);
        }
        for (number, (source, path)) in places.enumerate() {
            let shown = if path.is_empty() { "." } else { path };
            self.progress
                .say(&format!("rendering {shown} of {}", source.shown));
            let namespace = &self.cluster.namespace;
            let helm = render::helm(path, &self.options.source);
            let rendered = render::render(self.local, catalog, source, path, namespace, helm).await;
            let (rendered, inputs) = match rendered {
                Ok(rendered) => rendered,
                Err(failure) => {
                    tellings.not_checked.push(NotChecked {
                        what: format!("path {shown} of {}", source.shown),
                        namespace: None,
                        reason: "RenderFailed".to_owned(),
                        message: failure.what().to_owned(),
                        objects: 0,
                    });
                    first_failure.get_or_insert(failure);
                    continue;
                }
            };
            tellings.problems(&rendered.problems, rendered.problem_count);
            let id = TargetId(u32::try_from(number).unwrap_or(u32::MAX));
            let objects = rendered.declarations.iter().map(|d| d.id.clone()).collect();
            let renderer = rendered.renderer;
            let by = Revision {
                name: source.name.as_str().into(),
                inputs: inputs.as_str().into(),
            };
            index.declare(id, self.batch(rendered, by));
            let is_commit = source.history.is_some();
            let text = |t: &str| Some(drift::redact::text(t)).filter(|_| is_commit);
            targets.push(Target {
                id,
                source: Some(source),
                path,
                objects,
                report: TargetReport {
                    source: source.shown.clone(),
                    revision: source.name.clone(),
                    author: text(&source.revision.author),
                    message: text(&source.revision.message),
                    path: shown.to_owned(),
                    renderer: Some(render::word(renderer).to_owned()),
                    summary: Summary::default(),
                },
            });
        }
        for name in &self.options.helm_release {
            let number = targets.len() + self.sources.iter().map(|s| s.paths.len()).sum::<usize>();
            let id = TargetId(u32::try_from(number).unwrap_or(u32::MAX));
            match self
                .declare_release(catalog, index, tellings, (id, name))
                .await
            {
                Ok(target) => targets.push(target),
                Err(failure) => {
                    tellings.not_checked.push(NotChecked {
                        what: format!("Helm release {name}"),
                        namespace: None,
                        reason: "ReleaseUnreadable".to_owned(),
                        message: failure.what().to_owned(),
                        objects: 0,
                    });
                    first_failure.get_or_insert(failure);
                }
            }
        }
        match first_failure {
            Some(failure) if targets.is_empty() => Err(failure),
            _ => Ok(targets),
        }
    }

    async fn declare_release(
        &self,
        catalog: &Catalog,
        index: &Index,
        tellings: &mut Tellings,
        (id, named): (TargetId, &str),
    ) -> Result<Target<'_>> {
        self.progress.say(&format!("reading Helm release {named}"));
        let home = &self.cluster.namespace;
        let (namespace, name) = named.split_once('/').unwrap_or((home, named));
        let (rendered, by) =
            release::read(self.cluster, self.local, catalog, namespace, name).await?;
        tellings.problems(&rendered.problems, rendered.problem_count);
        let objects = rendered.declarations.iter().map(|d| d.id.clone()).collect();
        let target = Target {
            id,
            source: None,
            path: "",
            objects,
            report: TargetReport {
                source: "Helm".to_owned(),
                revision: by.name.to_string(),
                author: None,
                message: None,
                path: format!("release {namespace}/{name}"),
                renderer: Some(render::word(rendered.renderer).to_owned()),
                summary: Summary::default(),
            },
        };
        index.declare(id, self.batch(rendered, by));
        Ok(target)
    }

    fn batch(&self, rendered: Rendered, revision: Revision) -> Batch {
        Batch {
            revision,
            undeclared: if self.options.ignore_undeclared {
                Undeclared::Ignore
            } else {
                Undeclared::Report
            },
            blobs: rendered.blobs,
            complete: rendered.problems.is_empty(),
            declarations: rendered.declarations,
            elsewhere: false,
            denied: HashMap::new(),
        }
    }

    /// Shows the index what runs.
    async fn look(&self, catalog: &Catalog, index: &Index) -> Result<()> {
        let scopes: Vec<ScopeKey> = index.scopes().into_iter().map(|(s, _)| s).collect();
        let listable = self.sort_out(catalog, index, scopes);
        let kinds: HashSet<GroupVersionKind> = listable.iter().map(|s| s.kind.clone()).collect();
        self.progress.say("reading schemas");
        let schemas = Schemas::new(self.cluster.client.clone());
        let client = &self.cluster.client;
        let replicas_at = cluster::read::all_replicas_at(client, catalog, &kinds).await;
        // Where a definition may not be read, they are taken to be where most have them.
        let replicas_at: HashMap<_, _> = replicas_at
            .into_iter()
            .filter_map(|(kind, at)| Some((kind, at.ok()??)))
            .collect();
        let found = schemas
            .load(kinds)
            .await
            .map_err(|e| Failure::of_cluster(&e))?;
        for scope in &listable {
            let schema = found
                .get(&scope.kind)
                .cloned()
                .unwrap_or_else(Schema::unknown);
            let replicas_at = replicas_at.get(&scope.kind).cloned();
            index.set_schema(scope, schema, replicas_at);
            // An audit only reads: it does not ask what the server would make of a declaration.
            index.set_askable(scope, false);
        }
        let scalable = |s: &ScopeKey| {
            drift::automation::is_scalable(&s.kind.group_kind)
                || catalog.resource(&s.kind).is_some_and(|r| r.scale)
        };
        let scaled: Vec<&ScopeKey> = listable.iter().filter(|s| scalable(s)).collect();
        index.set_scalable(scaled.iter().map(|s| (*s, true)));
        if !scaled.is_empty() {
            let namespaces = scaled
                .iter()
                .filter_map(|s| s.namespace.as_deref())
                .collect();
            self.autoscalers(catalog, index, namespaces).await;
        }
        let plan = plan(listable);
        let count = plan.len();
        let lists =
            plan.into_iter()
                .enumerate()
                .map(|(n, ((kind, namespace), scopes))| async move {
                    self.progress.say(&format!(
                        "listing {} ({} of {count})",
                        kind.group_kind,
                        n + 1
                    ));
                    self.list(catalog, index, &kind, namespace.as_deref(), &scopes)
                        .await;
                });
        futures::stream::iter(lists)
            .buffer_unordered(LISTS)
            .collect::<Vec<()>>()
            .await;
        Ok(())
    }

    /// The scopes that can be listed; the others are told to the index.
    fn sort_out(&self, catalog: &Catalog, index: &Index, scopes: Vec<ScopeKey>) -> Vec<ScopeKey> {
        let can = |scope: &ScopeKey| {
            let trouble = match catalog.served(&scope.kind) {
                _ if scope.kind.group_kind.is_secret() && self.options.skip_secrets => {
                    Unknown::NotCompared
                }
                Served::Yes(resource) if resource.list => return true,
                Served::Yes(_) | Served::No => Unknown::NotServed,
                Served::Unavailable => Unknown::Blind,
            };
            index.failed(scope, trouble);
            false
        };
        scopes.into_iter().filter(can).collect()
    }

    async fn list(
        &self,
        catalog: &Catalog,
        index: &Index,
        kind: &GroupVersionKind,
        namespace: Option<&str>,
        scopes: &BTreeSet<ScopeKey>,
    ) {
        let Some(resource) = catalog.resource(kind) else {
            return;
        };
        let result = self
            .list_one(index, kind, resource, namespace, scopes)
            .await;
        let Err(error) = result else {
            return;
        };
        let forbidden = error.category() == cluster::Category::Forbidden;
        if forbidden && namespace.is_none() && resource.namespaced {
            // Whoever may not list in the whole cluster may do so in some namespaces.
            for scope in scopes {
                let one = BTreeSet::from([scope.clone()]);
                let namespace = scope.namespace.as_deref();
                if let Err(error) = self.list_one(index, kind, resource, namespace, &one).await {
                    index.failed(scope, trouble(&error));
                }
            }
            return;
        }
        scopes.iter().for_each(|s| index.failed(s, trouble(&error)));
    }

    async fn list_one(
        &self,
        index: &Index,
        kind: &GroupVersionKind,
        resource: &Resource,
        namespace: Option<&str>,
        scopes: &BTreeSet<ScopeKey>,
    ) -> cluster::Result<()> {
        let scope_in = |namespace: Option<&str>| {
            scopes.get(&ScopeKey::new(kind.clone(), namespace.map(Into::into)))
        };
        let tell = |listed: Listed| match listed {
            Listed::Begins => scopes.iter().for_each(|s| index.restarted(s)),
            Listed::Object(object) => {
                let namespace = object
                    .get("metadata")
                    .and_then(|m| m.get("namespace")?.as_str());
                if let Some(scope) = scope_in(namespace) {
                    index.observe(scope, &object);
                }
            }
            Listed::Unreadable(namespace, name) => {
                let id = ObjectId::new(kind.group_kind.clone(), namespace.as_deref(), &name);
                if let Some(scope) = scope_in(namespace.as_deref()) {
                    index.unreadable(scope, &id);
                }
            }
        };
        list::objects(&self.cluster.client, kind, resource, namespace, tell).await?;
        scopes.iter().for_each(|s| index.ready(s));
        Ok(())
    }

    /// What autoscalers may set replicas to, as far as they may be read.
    async fn autoscalers(&self, catalog: &Catalog, index: &Index, namespaces: BTreeSet<&str>) {
        let kind = GroupVersionKind::new("autoscaling", "v2", "HorizontalPodAutoscaler");
        let Some(resource) = catalog.resource(&kind) else {
            index.set_bounds([]);
            return;
        };
        let client = &self.cluster.client;
        let mut bounds = Vec::new();
        for namespace in namespaces {
            let before = bounds.len();
            let tell = |listed: Listed| match listed {
                Listed::Begins => bounds.truncate(before),
                Listed::Object(object) => bounds.extend(edge::autoscalers::scaled(&object)),
                Listed::Unreadable(..) => {}
            };
            if list::objects(client, &kind, resource, Some(namespace), tell)
                .await
                .is_err()
            {
                // Replicas that differ are then unknown, with this as the reason.
                return;
            }
        }
        index.set_bounds(bounds);
    }
}

/// What an answer of the API server means for what was asked about.
pub fn trouble(error: &cluster::Error) -> Unknown {
    match error.category() {
        cluster::Category::Forbidden => Unknown::Forbidden,
        cluster::Category::NotFound => Unknown::NotServed,
        _ => Unknown::Blind,
    }
}

/// A list, and the scopes that it covers.
type Plan = BTreeMap<(GroupVersionKind, Option<String>), BTreeSet<ScopeKey>>;

fn plan(scopes: Vec<ScopeKey>) -> Plan {
    let mut by_kind: BTreeMap<GroupVersionKind, BTreeSet<ScopeKey>> = BTreeMap::new();
    for scope in scopes {
        by_kind.entry(scope.kind.clone()).or_default().insert(scope);
    }
    let mut plan = Plan::new();
    for (kind, scopes) in by_kind {
        if scopes.len() > MAX_NAMESPACES {
            plan.insert((kind, None), scopes);
            continue;
        }
        for scope in scopes {
            let namespace = scope.namespace.as_deref().map(str::to_owned);
            plan.insert((kind.clone(), namespace), BTreeSet::from([scope]));
        }
    }
    plan
}

impl Tellings {
    /// Files may declare anything as long as nobody looks into them.
    fn left_out(&mut self, source: &Source) {
        let told = source.left_out.iter().map(|file| NotChecked {
            what: format!("{} of {}", file.name, source.shown),
            namespace: None,
            reason: "FileLeftOut".to_owned(),
            message: file.why.clone(),
            objects: 0,
        });
        self.not_checked.extend(told);
    }

    fn problems(&mut self, problems: &[Problem], count: usize) {
        for problem in problems {
            self.not_checked.push(NotChecked {
                what: problem.at.to_string(),
                namespace: None,
                reason: format!("{:?}", problem.kind),
                message: drift::redact::printable(&problem.message).into_owned(),
                objects: 0,
            });
        }
        let more = count.saturating_sub(problems.len());
        if more > 0 {
            self.not_checked.push(NotChecked {
                what: format!("{more} more places of the source"),
                namespace: None,
                reason: "LimitExceeded".to_owned(),
                message: "too many problems to tell: mend those that are told first".to_owned(),
                objects: 0,
            });
        }
    }

    /// Takes a target's verdicts out of the index.
    fn take(&mut self, index: &Index, target: &mut Target<'_>) -> Vec<(TargetId, Finding)> {
        let mut hidden: HashMap<ScopeKey, (Unknown, u32)> = HashMap::new();
        for (scope, why, count) in index.troubles(target.id) {
            hidden.insert(scope, (why, count));
        }
        for (scope, (why, count)) in &hidden {
            let (reason, message) = (why.reason().to_owned(), remedy(why).to_owned());
            let namespace = scope.namespace.as_deref().map(str::to_owned);
            self.not_checked.push(NotChecked {
                what: match why {
                    Unknown::NotServed => {
                        let kind = &scope.kind;
                        format!("{} of {}", kind.group_kind.kind, kind.api_version())
                    }
                    _ => scope.kind.group_kind.to_string(),
                },
                namespace,
                reason,
                message,
                objects: *count,
            });
        }
        for id in &target.objects {
            let state = index.state(target.id, id);
            let mut one = Summary {
                declared: 1,
                ..Summary::default()
            };
            match &state {
                Some(State::InSync | State::Ignored) => {
                    one.in_sync = 1;
                    self.in_sync.push(id.clone());
                }
                Some(State::Drifted(_)) => one.drifted = 1,
                Some(State::Pending(_)) => one.pending = 1,
                Some(State::Unknown(why)) => {
                    match why {
                        Unknown::Unverified | Unknown::Autoscaled => one.unverified = 1,
                        _ => one.unknown = 1,
                    }
                    let scope = index.scope_of(target.id, id);
                    if !scope.is_some_and(|s| hidden.contains_key(&s)) {
                        self.not_checked.push(NotChecked {
                            what: id.to_string(),
                            namespace: id.namespace.as_deref().map(str::to_owned),
                            reason: why.reason().to_owned(),
                            message: remedy(why).to_owned(),
                            objects: 1,
                        });
                    }
                }
                Some(State::Dropped) | None => one.unknown = 1,
            }
            if one.unknown + one.unverified > 0 {
                self.unchecked.push(id.clone());
            }
            let namespace = id.namespace.as_deref().map(str::to_owned);
            let row = self.by_namespace.entry(namespace.clone()).or_default();
            row.namespace = namespace;
            if let Some(State::Drifted(report)) = &state {
                row.severities.add(Some(content::severity(report.severity)));
            }
            merge(&mut row.summary, one);
            merge(&mut target.report.summary, one);
            merge(&mut self.summary, one);
        }
        index.requeue(target.id);
        let changes = index.take_changes(usize::MAX);
        changes
            .iter()
            .filter(|c| c.target == target.id)
            .filter_map(|c| Some((target.id, finding(c)?)))
            .collect()
    }
}

fn finding(change: &Change) -> Option<Finding> {
    let (report, state, standing) = match &change.state {
        State::Drifted(report) => (report, RecordState::Open, Standing::Drifted),
        State::Pending(report) => (report, RecordState::Pending, Standing::Pending),
        _ => return None,
    };
    let status = content::status(None, change, report, None, (state, Timestamp::now()));
    Some(Finding::new(content::subject(&change.id), standing, status))
}

/// Why something is not known, and what to do.
fn remedy(why: &Unknown) -> &'static str {
    match why {
        Unknown::Forbidden | Unknown::NotAllowed | Unknown::AccessNotKnown => {
            "you may not list this kind there: ask for the verb list, or use an account that has it"
        }
        Unknown::NotServed => {
            "the cluster does not serve this kind in this version: is its CRD missing, or the apiVersion too old?"
        }
        Unknown::Blind => "the API server did not answer for this kind: try again",
        Unknown::NotSeen => "it was not listed: try again",
        Unknown::Unverified => {
            "it has fields that Git does not declare, and whether the cluster set them by itself cannot be told by reading alone: the operator can ask the API server"
        }
        Unknown::Autoscaled => {
            "its replicas are not as declared, and autoscalers may not be read: ask for list on horizontalpodautoscalers"
        }
        Unknown::Unstable => {
            "two renderings of one commit do not agree on what differs: give random values and dates a fixed value"
        }
        Unknown::Encrypted => {
            "its values are encrypted in Git, so of those only the names are compared"
        }
        Unknown::NotCompared => "live Secrets are left out (--skip-secrets), or it cannot be read",
        Unknown::NotRendered => "the source has an error: mend what is told of it",
        Unknown::RollingOut => "its deployer is at work on it: try again when that is done",
        Unknown::NotDeclared => "Git does not declare it any more",
    }
}
