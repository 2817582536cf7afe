//! Records and policies as the operator wrote them.

use std::collections::HashSet;

use driftline_crds::{
    DriftPolicy, DriftRecord, DriftRecordStatus, KubernetesSubject, RecordState, Target,
};
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::connect::Cluster;
use crate::failure::{Failure, Result};
use crate::model::title;

/// Objects asked for in one page.
const PAGE: u32 = 500;

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Everywhere.
    All,
    /// In one namespace.
    In(&'a str),
}

/// A client for a kind in a scope.
pub fn api<K>(cluster: &Cluster, scope: Scope<'_>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        Scope::All => Api::all(cluster.client.clone()),
        Scope::In(namespace) => Api::namespaced(cluster.client.clone(), namespace),
    }
}

/// Objects of a kind, and those that this program cannot read.
pub struct Listed<K> {
    /// Those that can be read.
    pub items: Vec<K>,
    /// The others.
    pub unreadable: Vec<Unreadable>,
}

/// An object that does not decode: of another version of Driftline, or written past its schema.
pub struct Unreadable {
    kind: String,
    plural: String,
    namespace: String,
    name: String,
    /// What is the matter with it.
    pub why: String,
}

impl Unreadable {
    /// `DriftPolicy shop/web`.
    pub fn name(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }

    /// What to do.
    pub fn remedy(&self) -> String {
        format!(
            "use the kubectl-driftline of the operator's version, or mend it: `kubectl edit {}.{} {} -n {}`",
            self.plural,
            driftline_crds::GROUP,
            self.name,
            self.namespace
        )
    }
}

impl<K> Listed<K> {
    /// Names those that cannot be read on standard error: they hide nothing of the rest.
    pub fn tell(&self) {
        use std::io::Write as _;
        for one in &self.unreadable {
            let text = format!(
                "warning: {} cannot be read: {}; {}",
                one.name(),
                one.why,
                one.remedy()
            );
            let _ = writeln!(std::io::stderr(), "{}", drift::redact::printable(&text));
        }
    }

    /// The exit code of a command that only shows them: 2 where not all could be read.
    pub fn code(&self) -> u8 {
        if self.unreadable.is_empty() { 0 } else { 2 }
    }
}

#[derive(serde::Deserialize)]
struct Page {
    #[serde(default)]
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta,
    #[serde(default)]
    items: Vec<Value>,
}

/// All objects of a kind, each read by itself.
///
/// # Errors
/// Where they cannot be listed; where the kind is not there, says how to install the operator.
pub async fn list<K>(cluster: &Cluster, scope: Scope<'_>) -> Result<Listed<K>>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let mut listed = Listed {
        items: Vec::new(),
        unreadable: Vec::new(),
    };
    let namespace = match scope {
        Scope::All => None,
        Scope::In(namespace) => Some(namespace),
    };
    let requests = kube::core::Request::new(K::url_path(&(), namespace));
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let request = requests.list(&parameters).map_err(|e| {
            Failure::new(
                format!("{} cannot be asked for: {e}", K::plural(&())),
                "check -n",
            )
        })?;
        let page: Page = cluster
            .client
            .request(request)
            .await
            .map_err(|e| refused::<K>(&e))?;
        for item in page.items {
            take(item, &mut listed);
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => parameters = parameters.continue_token(&next),
            None => return Ok(listed),
        }
    }
}

fn take<K>(item: Value, listed: &mut Listed<K>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let of = |key: &str| {
        let text = item.pointer(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let (namespace, name) = (of("/metadata/namespace"), of("/metadata/name"));
    match serde_json::from_value(item) {
        Ok(item) => listed.items.push(item),
        Err(error) => listed.unreadable.push(Unreadable {
            kind: K::kind(&()).into_owned(),
            plural: K::plural(&()).into_owned(),
            namespace,
            name,
            why: error.to_string(),
        }),
    }
}

fn refused<K: Resource<DynamicType = ()>>(error: &kube::Error) -> Failure {
    let plural = K::plural(&());
    match error {
        kube::Error::Api(status) if status.code == 404 => Failure::new(
            format!(
                "Driftline is not installed in this cluster: it does not serve {plural}.driftline.dev"
            ),
            "install the chart charts/driftline, or compare without it: kubectl driftline audit --git URL",
        ),
        kube::Error::SerdeError(e) => Failure::new(
            format!("the {plural} of this cluster are of another version of Driftline: {e}"),
            "use the kubectl-driftline of the operator's version",
        ),
        other => Failure::of_kube(&format!("list {plural}"), other),
    }
}

/// The policies of a scope, or one of them. Names those that cannot be read.
///
/// # Errors
/// Where they cannot be listed, or there is none of that name.
pub async fn policies(
    cluster: &Cluster,
    scope: Scope<'_>,
    name: Option<&str>,
) -> Result<Listed<DriftPolicy>> {
    let mut listed = list::<DriftPolicy>(cluster, scope).await?;
    let Some(name) = name else {
        listed.items.sort_by_key(|p| (p.namespace(), p.name_any()));
        listed.tell();
        return Ok(listed);
    };
    listed.items.retain(|p| p.name_any() == name);
    listed.unreadable.retain(|u| u.name == name);
    match (listed.items.is_empty(), listed.unreadable.first()) {
        (true, Some(broken)) => Err(Failure::new(
            format!("{} cannot be read: {}", broken.name(), broken.why),
            broken.remedy(),
        )),
        (true, None) => Err(Failure::new(
            format!("there is no DriftPolicy {name:?}{}", place(scope)),
            "list what there is: kubectl driftline status -A",
        )),
        (false, _) => {
            listed.tell();
            Ok(listed)
        }
    }
}

/// `in namespace shop`, or nothing.
pub fn place(scope: Scope<'_>) -> String {
    match scope {
        Scope::All => String::new(),
        Scope::In(namespace) => format!(" in namespace {namespace}"),
    }
}

/// A record with its status; one that was never written has none and says nothing.
pub struct Known {
    /// The record.
    pub record: DriftRecord,
    /// Its status.
    pub status: DriftRecordStatus,
}

impl Known {
    fn of(mut record: DriftRecord) -> Option<Self> {
        let status = record.status.take()?;
        Some(Self { record, status })
    }

    /// What it is about.
    pub fn subject(&self) -> &KubernetesSubject {
        &self.record.spec.subject.kubernetes
    }

    /// It is not closed.
    pub fn is_open(&self) -> bool {
        self.status.state != RecordState::Closed
    }
}

/// The records of a scope, the gravest first, among equals the oldest. Names those that cannot be read.
///
/// # Errors
/// Where they cannot be listed.
pub async fn records(cluster: &Cluster, scope: Scope<'_>) -> Result<Listed<Known>> {
    let all = list::<DriftRecord>(cluster, scope).await?;
    Ok(known(all))
}

/// The same of all that is about a scope: records of its namespace, and those that policies elsewhere keep about objects in it, as far as
/// the caller may list these.
///
/// # Errors
/// Where they cannot be listed.
pub async fn about(cluster: &Cluster, scope: Scope<'_>) -> Result<Listed<Known>> {
    let Scope::In(namespace) = scope else {
        return records(cluster, scope).await;
    };
    let Ok(mut all) = list::<DriftRecord>(cluster, Scope::All).await else {
        return records(cluster, scope).await;
    };
    all.items.retain(|r| {
        r.namespace().as_deref() == Some(namespace)
            || r.spec.subject.kubernetes.namespace.as_deref() == Some(namespace)
    });
    all.unreadable.retain(|u| u.namespace == namespace);
    Ok(known(all))
}

fn known(all: Listed<DriftRecord>) -> Listed<Known> {
    all.tell();
    let mut known: Vec<Known> = all.items.into_iter().filter_map(Known::of).collect();
    known.sort_by(|a, b| {
        let key = |k: &Known| (!k.is_open(), std::cmp::Reverse(k.status.severity));
        key(a)
            .cmp(&key(b))
            .then_with(|| a.status.first_seen.cmp(&b.status.first_seen))
            .then_with(|| a.record.name_any().cmp(&b.record.name_any()))
    });
    Listed {
        items: known,
        unreadable: all.unreadable,
    }
}

/// An object as a user names it: `deployment/web`, `deployments.apps/web`.
pub struct Named<'a> {
    kind: String,
    group: Option<&'a str>,
    name: &'a str,
}

impl<'a> Named<'a> {
    /// `None` if the text does not name an object.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let (kind, group) = match kind.split_once('.') {
            Some((kind, group)) => (kind, Some(group)),
            None => (kind, None),
        };
        let known = [
            ("deploy", "deployment"),
            ("sts", "statefulset"),
            ("ds", "daemonset"),
            ("cm", "configmap"),
            ("svc", "service"),
            ("sa", "serviceaccount"),
            ("ing", "ingress"),
            ("ns", "namespace"),
            ("netpol", "networkpolicy"),
            ("hpa", "horizontalpodautoscaler"),
            ("cj", "cronjob"),
            ("pvc", "persistentvolumeclaim"),
            ("pdb", "poddisruptionbudget"),
            ("crd", "customresourcedefinition"),
        ];
        let lower = kind.to_ascii_lowercase();
        let kind = known
            .iter()
            .find(|(short, _)| *short == lower)
            .map_or(lower, |(_, long)| (*long).to_owned());
        (!kind.is_empty() && !name.is_empty()).then_some(Self { kind, group, name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// What stands for its kind, in lower case.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// True if it names this object.
    pub fn is(&self, group: &str, kind: &str, name: &str) -> bool {
        let kind = kind.to_ascii_lowercase();
        let plural = |k: &str| match k.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None if k.ends_with('s') => format!("{k}es"),
            None => format!("{k}s"),
        };
        name == self.name
            && self.group.is_none_or(|g| g == group)
            && (self.kind == kind || self.kind == plural(&kind))
    }
}

/// What was found of a record that a user names.
pub enum Sought {
    /// The record.
    Found(Box<Known>),
    /// There is none, and what it would be about may be what could not be checked.
    Doubtful(Failure),
}

/// The record that a user names, by its own name or by its object's.
///
/// # Errors
/// Where there is none, or more than one.
pub async fn find(cluster: &Cluster, text: &str) -> Result<Known> {
    match seek(cluster, text).await? {
        Sought::Found(known) => Ok(*known),
        Sought::Doubtful(failure) => Err(failure),
    }
}

/// The same; where there is none, says whether that means anything.
///
/// # Errors
/// Where there is none and all was checked, or more than one.
pub async fn seek(cluster: &Cluster, text: &str) -> Result<Sought> {
    let (mut found, scope) = match records(cluster, Scope::All).await {
        Ok(all) => (all.items, Scope::All),
        // Whoever may not list everywhere may do so at home.
        Err(everywhere) => {
            let scope = Scope::In(&cluster.namespace);
            let there = records(cluster, scope).await;
            (there.map_err(|_| everywhere)?.items, scope)
        }
    };
    let named = Named::parse(text);
    // Policies that keep records about this namespace declare objects in it.
    let near: HashSet<(Option<String>, String)> = found
        .iter()
        .filter(|k| k.subject().namespace.as_deref() == Some(&*cluster.namespace))
        .map(|k| (k.record.namespace(), k.record.spec.policy.clone()))
        .collect();
    match &named {
        Some(named) => {
            found.retain(|k| {
                let s = k.subject();
                named.is(&s.group, &s.kind, &s.name)
            });
            let home = |k: &Known| {
                k.subject()
                    .namespace
                    .as_deref()
                    .is_none_or(|n| n == cluster.namespace)
            };
            if found.iter().any(home) {
                found.retain(home);
            }
        }
        None => {
            found.retain(|k| k.record.name_any() == text);
            if found.len() > 1 {
                found.retain(|k| k.record.namespace().as_deref() == Some(&cluster.namespace));
            }
        }
    }
    if found.iter().any(Known::is_open) {
        found.retain(Known::is_open);
    }
    let several: Vec<String> = found
        .iter()
        .take(5)
        .map(|k| format!("{} ({})", k.record.name_any(), title(k.subject())))
        .collect();
    match (found.len(), found.pop()) {
        (1, Some(one)) => Ok(Sought::Found(Box::new(one))),
        (0, _) | (_, None) => {
            let none = format!("there is no record of {text:?}{}", place(scope));
            let next = format!(
                "kubectl driftline trace {text} says which, kubectl driftline get -A lists all records"
            );
            if named.is_none() {
                let next = "kubectl driftline get -A lists all records";
                return Err(Failure::new(none, next));
            }
            let doubts = doubts(cluster, scope, &near).await;
            if doubts.is_empty() {
                let what = format!("{none}: it is as declared, or no policy declares it");
                return Err(Failure::new(what, next));
            }
            let what = format!(
                "{none}: it is as declared, or no policy declares it, or it could not be checked: {}",
                some(&doubts)
            );
            Ok(Sought::Doubtful(Failure::new(what, next)))
        }
        _ => Err(Failure::new(
            format!("{text:?} names several records"),
            format!("choose one with -n, or by its name: {}", several.join(", ")),
        )),
    }
}

/// The first of them, and how many more there are.
fn some(doubts: &[String]) -> String {
    let first: Vec<&str> = doubts.iter().take(3).map(String::as_str).collect();
    match doubts.len().saturating_sub(3) {
        0 => first.join("; "),
        n => format!("{}; and {n} more targets", first.join("; ")),
    }
}

/// What of the policies about the caller's namespace could not be checked.
async fn doubts(
    cluster: &Cluster,
    scope: Scope<'_>,
    near: &HashSet<(Option<String>, String)>,
) -> Vec<String> {
    let policies = match list::<DriftPolicy>(cluster, scope).await {
        Ok(policies) => policies,
        Err(failure) => return vec![format!("policies could not be read: {}", failure.what())],
    };
    let home = &cluster.namespace;
    let unreadable = policies.unreadable.iter().filter(|u| u.namespace == *home);
    let mut all: Vec<String> = unreadable
        .map(|u| format!("{} cannot be read: {}", u.name(), u.why))
        .collect();
    for policy in &policies.items {
        let is_near = near.contains(&(policy.namespace(), policy.name_any()));
        for target in &policy.spec.targets {
            if is_near || declares_in(policy, target, home) {
                all.extend(unchecked(policy, &target.name));
            }
        }
    }
    all
}

/// Objects of a target that name no namespace, or may be in any, are in this one.
fn declares_in(policy: &DriftPolicy, target: &Target, namespace: &str) -> bool {
    let own = policy.namespace();
    let of = match (&target.kubernetes, &target.helm_release) {
        (Some(kubernetes), _) => kubernetes.namespace.as_deref(),
        (None, Some(release)) => release.namespace.as_deref(),
        (None, None) => None,
    };
    own.as_deref() == Some(namespace) || of == Some(namespace)
}

/// Why what a target declares may drift without a record: `policy P, target T: REASON`.
pub fn unchecked(policy: &DriftPolicy, target: &str) -> Option<String> {
    let status = policy.status.as_ref();
    let of = status.and_then(|s| s.targets.iter().find(|t| t.name == target));
    let stalled = crate::status::condition(policy, "Stalled");
    let why = match (stalled, of) {
        // What the targets said before is not looked at any more.
        (Some(("True", reason, message)), _) => format!("{reason}: {message}"),
        (_, None) => "no check of it is done yet".to_owned(),
        (_, Some(of)) if of.ready != "True" => match &*of.message {
            "" => of.reason.clone(),
            message => format!("{}: {message}", of.reason),
        },
        (_, Some(of)) => {
            let counted = of.summary.or_else(|| status?.summary).unwrap_or_default();
            match counted.unknown + counted.unverified {
                0 => return None,
                n => format!("{n} of its objects could not be checked"),
            }
        }
    };
    let namespace = policy.namespace().unwrap_or_default();
    let name = policy.name_any();
    Some(format!("policy {namespace}/{name}, target {target}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_target_could_check_is_told() {
        let policy = |targets: Value| {
            let mut policy = DriftPolicy::new(
                "shop",
                serde_json::from_value(serde_json::json!({"targets": [], "verifyEvery": "1h"}))
                    .expect("a policy"),
            );
            policy.metadata.namespace = Some("shop".to_owned());
            let status = serde_json::json!({"conditions": [], "targets": targets});
            policy.status = serde_json::from_value(status).expect("a status");
            policy
        };
        let counts = |unknown| serde_json::json!({"declared": 3, "inSync": 0, "drifted": 0, "unverified": 0, "unknown": unknown});
        let ready = serde_json::json!([{"name": "app", "ready": "True", "reason": "Checked", "summary": counts(0)}]);
        assert_eq!(unchecked(&policy(ready), "app"), None);
        for (targets, why) in [
            (serde_json::json!([]), "no check of it is done yet"),
            (
                serde_json::json!([{"name": "app", "ready": "False", "reason": "PathNotFound", "message": "no deploy"}]),
                "PathNotFound: no deploy",
            ),
            (
                serde_json::json!([{"name": "app", "ready": "True", "reason": "Checked", "summary": counts(2)}]),
                "2 of its objects could not be checked",
            ),
        ] {
            let said = unchecked(&policy(targets), "app").unwrap_or_default();
            assert_eq!(said, format!("policy shop/shop, target app: {why}"));
        }
    }

    #[test]
    fn objects_are_named_as_for_kubectl() {
        for text in [
            "deployment/web",
            "Deployment/web",
            "deployments/web",
            "deploy/web",
            "deployments.apps/web",
        ] {
            let named = Named::parse(text).expect("a name");
            assert!(named.is("apps", "Deployment", "web"), "{text}");
            assert!(!named.is("apps", "Deployment", "api"));
            assert!(!named.is("apps", "DaemonSet", "web"));
        }
        let policy = Named::parse("networkpolicies/x").expect("a name");
        assert!(policy.is("networking.k8s.io", "NetworkPolicy", "x"));
        assert!(Named::parse("web").is_none());
        assert!(!Named::parse("ingress.extensions/x").expect("a name").is(
            "networking.k8s.io",
            "Ingress",
            "x"
        ));
    }
}
