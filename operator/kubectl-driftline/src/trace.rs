//! `trace`: which policy, commit and file an object comes from, and who deploys it.

use std::fmt::Write as _;

use cluster::discovery::Catalog;
use declared::HelmOptions;
use drift::deployer::{Claim, claims};
use drift::{GroupVersionKind, ObjectId, Problem, Provenance};
use driftline_crds::{
    DriftPolicy, DriftRecord, DriftRecordStatus, KubernetesTarget, RecordState, Target,
};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use crate::audit::render;
use crate::audit::source::{self, NamedBy};
use crate::connect::Cluster;
use crate::failure::{Failure, Result};
use crate::options::{SourceOptions, TraceOptions};
use crate::output::{table, words};
use crate::paint::Paint;
use crate::progress::Progress;
use crate::records::{self, Named, Scope};
use crate::status;
use crate::worker::Local;

/// Traces an object.
///
/// # Errors
/// Where it does not exist and no policy declares it.
pub async fn run(cluster: &Cluster, options: &TraceOptions, paint: Paint) -> Result<u8> {
    let named = Named::parse(&options.what).ok_or_else(|| {
        Failure::new(
            format!("{:?} does not name an object", options.what),
            "write KIND/NAME, for example deployment/web",
        )
    })?;
    let progress = Progress::new(false);
    progress.say("asking the cluster");
    let catalog = Catalog::read(&cluster.client)
        .await
        .map_err(|e| Failure::of_cluster(&e))?;
    let live = live(cluster, &catalog, &named).await?;
    let (policies, everywhere) = policies(cluster).await?;
    let scope = if everywhere {
        Scope::All
    } else {
        Scope::In(&cluster.namespace)
    };
    let all = records::list::<DriftRecord>(cluster, scope).await?;
    all.tell();
    let tracer = Tracer {
        cluster,
        catalog: &catalog,
        named: &named,
        options,
        records: &all.items,
        paint,
    };
    let mut found = Vec::new();
    let mut troubles: Vec<String> = policies
        .unreadable
        .iter()
        .map(|u| format!("{} cannot be read: {}", u.name(), u.why))
        .collect();
    let local = Local::start(&options.programs).await?;
    let mut number = 0;
    for policy in &policies.items {
        for target in &policy.spec.targets {
            number += 1;
            progress.say(&format!(
                "looking into {} target {}",
                policy.name_any(),
                target.name
            ));
            match tracer
                .target(&local, number, policy, target, live.as_ref())
                .await
            {
                Ok(Some(text)) => found.push(text),
                // What the repository does not say here, the operator's record may.
                Ok(None) => found.extend(tracer.by_record(policy, target)),
                Err(failure) => {
                    found.extend(tracer.by_record(policy, target));
                    let own = match own_reason(policy, &target.name) {
                        Some(own) if !failure.what().contains(&own) => {
                            format!(" (the policy itself says: {own})")
                        }
                        _ => String::new(),
                    };
                    troubles.push(format!(
                        "{}/{} target {} could not be looked into: {}{own}",
                        policy.namespace().unwrap_or_default(),
                        policy.name_any(),
                        target.name,
                        failure.what()
                    ));
                }
            }
        }
    }
    progress.clear();
    if live.is_none() && found.is_empty() && troubles.is_empty() {
        return Err(Failure::new(
            format!(
                "{:?} is neither in namespace {} nor declared by any policy",
                options.what, cluster.namespace
            ),
            "check the name, and the namespace with -n",
        ));
    }
    let deployers = tracer.deployers(live.as_ref()).await;
    crate::print(&tracer.text(live.as_ref(), &deployers, &found, &troubles));
    // Whether any of those that could not be looked into declares it, too, is not known.
    Ok(if troubles.is_empty() { 0 } else { 2 })
}

/// The policies that may be read; true if those of all namespaces.
async fn policies(cluster: &Cluster) -> Result<(records::Listed<DriftPolicy>, bool)> {
    match records::policies(cluster, Scope::All, None).await {
        Ok(all) => Ok((all, true)),
        Err(everywhere) => {
            let home = records::policies(cluster, Scope::In(&cluster.namespace), None).await;
            Ok((home.map_err(|_| everywhere)?, false))
        }
    }
}

/// The live object, in any version that is served.
async fn live(
    cluster: &Cluster,
    catalog: &Catalog,
    named: &Named<'_>,
) -> Result<Option<(ObjectId, Value)>> {
    let mut kinds: Vec<&GroupVersionKind> = catalog
        .resources()
        .map(|(kind, _)| kind)
        .filter(|k| named.is(&k.group_kind.group, &k.group_kind.kind, named.name()))
        .collect();
    if kinds.is_empty() {
        return Err(Failure::new(
            format!("the cluster serves no kind {:?}", named.kind()),
            "kubectl api-resources lists what there is",
        ));
    }
    kinds.sort();
    for kind in kinds {
        let Some(resource) = catalog.resource(kind) else {
            continue;
        };
        let namespace = Some(&*cluster.namespace).filter(|_| resource.namespaced);
        let read =
            cluster::read::object(&cluster.client, kind, resource, namespace, named.name()).await;
        if let Some(object) = read.map_err(|e| Failure::of_cluster(&e))? {
            let id = ObjectId::new(kind.group_kind.clone(), namespace, named.name());
            return Ok(Some((id, object)));
        }
    }
    Ok(None)
}

struct Tracer<'a> {
    cluster: &'a Cluster,
    catalog: &'a Catalog,
    named: &'a Named<'a>,
    options: &'a TraceOptions,
    records: &'a [DriftRecord],
    paint: Paint,
}

impl Tracer<'_> {
    /// What a target says of the object; `None` if it does not declare it.
    async fn target(
        &self,
        local: &Local,
        number: usize,
        policy: &DriftPolicy,
        target: &Target,
        live: Option<&(ObjectId, Value)>,
    ) -> Result<Option<String>> {
        if let Some(release) = &target.helm_release {
            let namespace = release
                .namespace
                .clone()
                .or_else(|| policy.namespace())
                .unwrap_or_default();
            let of = live.map(|(_, object)| claims(object)).unwrap_or_default();
            let is_it = of.iter().any(|c| matches!(c, Claim::Helm { namespace: n, name } if *n == namespace && *name == release.name));
            let from = format!("the manifest of Helm release {namespace}/{}", release.name);
            return Ok(is_it.then(|| self.told(policy, target, &from, None)));
        }
        let Some(kubernetes) = &target.kubernetes else {
            return Ok(None);
        };
        let Some(git) = policy.spec.source.as_ref().map(|s| &s.git) else {
            return Ok(None);
        };
        let revision = policy.status.as_ref().and_then(|s| {
            s.targets
                .iter()
                .find(|t| t.name == target.name)?
                .revision
                .clone()
        });
        let Some(commit) = revision
            .as_deref()
            .and_then(|r| r.rsplit_once("sha1:"))
            .map(|(_, c)| c)
        else {
            let why = own_reason(policy, &target.name);
            return Err(Failure::new(
                why.unwrap_or_else(|| "the operator has not rendered it yet".to_owned()),
                "try again",
            ));
        };
        let asked = SourceOptions {
            git: vec![git.url.clone()],
            reference: Some(commit.to_owned()),
            git_ca: self.options.git_ca.clone(),
            ..SourceOptions::default()
        };
        let source = source::open(local, &git.url, number, &asked, NamedBy::Policy).await?;
        let home = policy.namespace().unwrap_or_default();
        let namespace = kubernetes.namespace.as_deref().unwrap_or(&home);
        let helm = helm(target, kubernetes);
        let (rendered, _) = render::render(
            local,
            self.catalog,
            &source,
            &kubernetes.path,
            namespace,
            helm,
        )
        .await?;
        let wanted = |id: &ObjectId| {
            let (group, kind) = (&id.group_kind.group, &id.group_kind.kind);
            self.named.is(group, kind, &id.name)
                && id
                    .namespace
                    .as_deref()
                    .is_none_or(|n| n == self.cluster.namespace)
        };
        let declaration = rendered.declarations.iter().find(|d| wanted(&d.id));
        let provenance = declaration
            .and_then(|d| rendered.blobs.read(d.blob).ok())
            .map(|d| d.provenance);
        if provenance.is_none()
            && let Some(failure) = unusable(&rendered.problems, rendered.problem_count)
        {
            return Err(failure);
        }
        let from = format!(
            "{} of {} at {}",
            kubernetes.path,
            git.url,
            revision.as_deref().map(status::short).unwrap_or_default()
        );
        Ok(provenance.map(|at| self.told(policy, target, &from, Some(&at))))
    }

    /// What the operator recorded of the object for a target.
    fn record(
        &self,
        policy: &DriftPolicy,
        target: &Target,
    ) -> Option<(&DriftRecord, &DriftRecordStatus)> {
        let record = self.records.iter().find(|r| {
            let subject = &r.spec.subject.kubernetes;
            r.namespace() == policy.namespace()
                && r.spec.policy == policy.name_any()
                && r.spec.target == target.name
                && self.named.is(&subject.group, &subject.kind, &subject.name)
                && subject
                    .namespace
                    .as_deref()
                    .is_none_or(|n| n == self.cluster.namespace)
        })?;
        Some((record, record.status.as_ref()?))
    }

    /// What an open record says of a target that could not be looked into here, or does not declare the object any more.
    fn by_record(&self, policy: &DriftPolicy, target: &Target) -> Option<String> {
        let (_, status) = self
            .record(policy, target)
            .filter(|(_, status)| status.state != RecordState::Closed)?;
        let from = match &status.declared_at {
            Some(at) => format!(
                "{} at {}, by the operator's record",
                words::place(at, None),
                status::short(&at.revision)
            ),
            None => "not declared, by the operator's record".to_owned(),
        };
        Some(self.told(policy, target, &from, None))
    }

    /// Who says that it deploys the object. The label that many charts set is no such word where no Application has its name.
    async fn deployers(&self, live: Option<&(ObjectId, Value)>) -> Vec<String> {
        let Some((_, object)) = live else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for claim in claims(object) {
            match &claim {
                Claim::ArgoCD { name, .. } if is_label_alone(object) => {
                    match self.applications(name).await {
                        None => {}
                        Some(true) => all.push(format!(
                            "{} (by the label app.kubernetes.io/instance, which anybody could write)",
                            deployer(&claim)
                        )),
                        Some(false) => all.push(format!(
                            "only the label app.kubernetes.io/instance says {name:?}; no Application of Argo CD of that name can be read"
                        )),
                    }
                }
                _ => all.push(format!(
                    "{} (as the object says, which anybody could write)",
                    deployer(&claim)
                )),
            }
        }
        all
    }

    /// True if Argo CD has an Application of this name that may be read; `None` where there is no Argo CD.
    async fn applications(&self, name: &str) -> Option<bool> {
        let kind = drift::GroupKind::new("argoproj.io", "Application");
        let kind = self.catalog.versions(&kind).into_iter().next()?;
        let resource = self.catalog.resource(&kind)?;
        let gvk = kube::core::GroupVersionKind::gvk("argoproj.io", &kind.version, "Application");
        let resource = ApiResource::from_gvk_with_plural(&gvk, &resource.plural);
        let api: Api<DynamicObject> = Api::all_with(self.cluster.client.clone(), &resource);
        let named = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = api.list_metadata(&named).await;
        Some(found.is_ok_and(|found| !found.items.is_empty()))
    }

    fn told(
        &self,
        policy: &DriftPolicy,
        target: &Target,
        from: &str,
        at: Option<&Provenance>,
    ) -> String {
        let namespace = policy.namespace().unwrap_or_default();
        let mut rows = vec![
            vec![
                self.paint.bold("Policy"),
                format!(
                    "{namespace}/{} target {}, {:?}",
                    policy.name_any(),
                    target.name,
                    policy.spec.enforcement
                ),
            ],
            vec!["  from".to_owned(), words::clean(from)],
        ];
        if let Some(at) = at {
            let place = match at.line {
                0 => at.file.clone(),
                line => format!("{}:{line}", at.file),
            };
            rows.push(vec!["  declared in".to_owned(), words::clean(&place)]);
        }
        let state = match self.record(policy, target) {
            Some((_, status)) if status.state == RecordState::Closed => {
                match doubt(policy, &target.name) {
                    None => "as declared; a record of the last day is closed".to_owned(),
                    Some(doubt) => format!("{doubt}; a record of the last day is closed"),
                }
            }
            Some((record, status)) => format!(
                "{:?}: {}; kubectl driftline explain {} -n {namespace}",
                status.state,
                status.display.fields,
                record.name_any()
            ),
            None => doubt(policy, &target.name)
                .unwrap_or_else(|| "as declared: there is no record of drift".to_owned()),
        };
        rows.push(vec!["  state".to_owned(), words::clean(&state)]);
        table::columns(&rows)
    }

    fn text(
        &self,
        live: Option<&(ObjectId, Value)>,
        deployers: &[String],
        found: &[String],
        troubles: &[String],
    ) -> String {
        let mut text = String::new();
        match live {
            Some((id, object)) => {
                let _ = writeln!(text, "{}", self.paint.bold(&words::clean(&id.to_string())));
                for deployer in deployers {
                    let _ = writeln!(text, "Deployer  {}", words::clean(deployer));
                }
                for manager in managers(object) {
                    let _ = writeln!(text, "Written   {manager}");
                }
            }
            None => {
                let _ = writeln!(
                    text,
                    "{} {}",
                    self.paint.bold(&self.options.what),
                    self.paint.gone("does not exist")
                );
            }
        }
        text.push('\n');
        if found.is_empty() {
            let none = match troubles {
                [] => "No policy that you may read declares it.",
                _ => "None of the policies that could be looked into declares it.",
            };
            let _ = writeln!(text, "{none}");
        }
        text.push_str(&found.join("\n"));
        for trouble in troubles {
            let _ = writeln!(text, "{} {}", self.paint.warn("!"), words::clean(trouble));
        }
        text
    }
}

/// Where something of a source could not be used, and what was sought may be among it.
fn unusable(problems: &[Problem], count: usize) -> Option<Failure> {
    let first = problems.first()?;
    let more = match count.saturating_sub(1) {
        0 => String::new(),
        n => format!(", and {n} more problems"),
    };
    Some(Failure::new(
        format!("not all of it can be used: {first}{more}"),
        "mend the source",
    ))
}

/// Why an object without an open record is not known to be as declared: policies count what they could not check, and have a most of records.
fn doubt(policy: &DriftPolicy, target: &str) -> Option<String> {
    if !matches!(status::condition(policy, "Ready"), Some(("True", ..))) {
        return Some("not known: the policy is not ready".to_owned());
    }
    let status = policy.status.as_ref()?;
    let of = status.targets.iter().find(|t| t.name == target);
    let counted = of.and_then(|t| t.summary).or(status.summary);
    let Some(counted) = counted else {
        return Some("not known: the target was not checked yet".to_owned());
    };
    let unchecked = counted.unknown + counted.unverified;
    if unchecked > 0 {
        return Some(format!(
            "not known: {} of the target could not be checked, and there is no record of drift",
            words::count(unchecked, "object")
        ));
    }
    let omitted = status.records.map_or(0, |r| r.omitted);
    (omitted > 0).then(|| {
        format!(
            "not known: {} of the policy drift without a record",
            words::count(omitted, "object")
        )
    })
}

/// Why the operator itself cannot check a target, in the policy's words: the target's, else those of a policy that is stalled or not ready.
fn own_reason(policy: &DriftPolicy, target: &str) -> Option<String> {
    let said = |reason: &str, message: &str| match message {
        "" => reason.to_owned(),
        message => format!("{reason}: {message}"),
    };
    let condition = |kind, bad| {
        let (status, reason, message) = status::condition(policy, kind)?;
        (status == bad).then(|| said(reason, message))
    };
    if let Some(stalled) = condition("Stalled", "True") {
        return Some(stalled);
    }
    let targets = policy.status.as_ref().map(|s| &*s.targets);
    let mut targets = targets.unwrap_or_default().iter();
    match targets.find(|t| t.name == target) {
        Some(of) => (of.ready == "False").then(|| said(&of.reason, &of.message)),
        None => condition("Ready", "False"),
    }
}

/// True where of all that Argo CD tells objects by there is only the label that charts set, too.
fn is_label_alone(object: &Value) -> bool {
    let has = |map: &str, key: &str| {
        object
            .get("metadata")
            .and_then(|m| m.get(map)?.get(key)?.as_str())
            .is_some()
    };
    !has("annotations", "argocd.argoproj.io/tracking-id")
        && !has("labels", "argocd.argoproj.io/instance")
}

fn helm(target: &Target, kubernetes: &KubernetesTarget) -> HelmOptions {
    let options = kubernetes.helm.clone().unwrap_or_default();
    HelmOptions {
        release_name: options.release_name.unwrap_or_else(|| target.name.clone()),
        values_files: options.values_files,
        values: Value::Object(options.values.unwrap_or_default()),
    }
}

fn deployer(claim: &Claim) -> String {
    match claim {
        Claim::ArgoCD {
            namespace: Some(namespace),
            name,
        } => format!("Argo CD Application {namespace}/{name}"),
        Claim::ArgoCD {
            namespace: None,
            name,
        } => format!("Argo CD Application {name}"),
        Claim::Flux { namespace, name } => format!("Flux Kustomization {namespace}/{name}"),
        Claim::Helm { namespace, name } => format!("Helm release {namespace}/{name}"),
    }
}

/// Who wrote to it, the last first, as tools call themselves.
fn managers(object: &Value) -> Vec<String> {
    let entries = object
        .get("metadata")
        .and_then(|m| m.get("managedFields")?.as_array());
    let mut all: Vec<(String, String)> = entries
        .into_iter()
        .flatten()
        .filter_map(|e| {
            let text = |key: &str| e.get(key).and_then(Value::as_str).unwrap_or_default();
            let sub = text("subresource");
            let manager = words::clean(text("manager"));
            (!manager.is_empty() && sub != "status").then(|| {
                let sub = if sub.is_empty() {
                    String::new()
                } else {
                    format!("/{sub}")
                };
                let at = match text("time") {
                    "" => String::new(),
                    time => format!(" at {time}"),
                };
                (
                    text("time").to_owned(),
                    format!("{manager}{sub}, {}{at}", text("operation")),
                )
            })
        })
        .collect();
    all.sort_by(|a, b| b.0.cmp(&a.0));
    all.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(ready: &str, summary: Value, omitted: u32) -> DriftPolicy {
        let condition = json!({"type": "Ready", "status": ready, "reason": "", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let mut policy = DriftPolicy::new(
            "shop",
            serde_json::from_value(json!({"targets": [], "verifyEvery": "1h"})).expect("a policy"),
        );
        let status = json!({
            "conditions": [condition],
            "records": {"open": 0, "omitted": omitted},
            "targets": [{"name": "app", "ready": ready, "reason": "", "summary": summary}],
        });
        policy.status = serde_json::from_value(status).expect("a status");
        policy
    }

    #[test]
    fn a_policy_says_itself_why_a_target_is_not_looked_into() {
        let with = |targets: Value, conditions: Value| {
            let mut policy = policy("False", Value::Null, 0);
            let status = json!({"conditions": conditions, "targets": targets});
            policy.status = serde_json::from_value(status).expect("a status");
            own_reason(&policy, "app")
        };
        let wrong = json!([{"name": "app", "ready": "False", "reason": "PathNotFound", "message": "no deploy"}]);
        assert_eq!(
            with(wrong, json!([])).as_deref(),
            Some("PathNotFound: no deploy")
        );
        let fine = json!([{"name": "app", "ready": "True", "reason": "Checked"}]);
        assert_eq!(with(fine, json!([])), None);
        let stalled = json!([{"type": "Stalled", "status": "True", "reason": "SourceFailed", "message": "no such host", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        assert_eq!(
            with(json!([]), stalled).as_deref(),
            Some("SourceFailed: no such host")
        );
    }

    #[test]
    fn a_label_that_charts_set_is_no_word_of_argo_cd() {
        let chart = json!({"metadata": {"labels": {"app.kubernetes.io/instance": "k8s"}}});
        assert!(is_label_alone(&chart));
        let argo = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}}});
        assert!(!is_label_alone(&argo));
    }

    #[test]
    fn what_was_not_checked_is_not_as_declared() {
        let counts = |unverified, unknown| json!({"declared": 3, "inSync": 0, "drifted": 0, "unverified": unverified, "unknown": unknown});
        assert_eq!(doubt(&policy("True", counts(0, 0), 0), "app"), None);
        for (policy, word) in [
            (policy("False", counts(0, 0), 0), "not ready"),
            (policy("True", counts(1, 0), 0), "1 object of the target"),
            (policy("True", counts(1, 1), 0), "2 objects of the target"),
            (policy("True", counts(0, 0), 7), "7 objects of the policy"),
            (policy("True", Value::Null, 0), "not checked yet"),
        ] {
            let doubt = doubt(&policy, "app").unwrap_or_default();
            assert!(doubt.contains(word), "{word:?} is not in {doubt:?}");
        }
    }
}
