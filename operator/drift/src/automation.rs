//! What the server, its controllers and well-known tools put on objects by themselves: one table, with a source for each line.

mod table;
mod when;

use serde_json::Value;

use self::table::{ADDED, CHANGED, NOTED};

use crate::path::{FieldPath, Step};
use crate::subject::GroupKind;

/// An object of which a field is looked at.
pub struct Context<'a> {
    /// Its kind.
    pub kind: &'a GroupKind,
    /// As Git declares it.
    pub declared: &'a Value,
    /// As it is.
    pub live: &'a Value,
    /// What an autoscaler may set its replicas to.
    pub replicas: Option<ReplicaBounds>,
    /// Where its replicas are, if not at `spec.replicas`: a custom resource's definition says so.
    pub replicas_at: Option<&'a FieldPath>,
}

impl Context<'_> {
    /// True for the number that an autoscaler may set.
    ///
    /// Source: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource>.
    pub fn is_replicas(&self, path: &[Step]) -> bool {
        match self.replicas_at {
            Some(at) => at.0 == path,
            None => leads_to(&["spec", "replicas"], path),
        }
    }
}

/// The bounds of a HorizontalPodAutoscaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplicaBounds {
    /// The fewest replicas.
    pub min: i64,
    /// The most.
    pub max: i64,
}

impl ReplicaBounds {
    /// What two autoscalers together may set.
    pub fn or(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// A place that somebody else than the deployer writes.
struct Line {
    /// Kinds as in rules; `*` for all.
    kinds: &'static [&'static str],
    /// The place; `*` is any step, `**` any number of steps.
    path: &'static [&'static str],
    /// What its last step may be; anything where nothing is named.
    among: &'static [&'static str],
    /// When the value there is the automation's.
    when: fn(&Context<'_>, &[Step], &Value) -> bool,
    /// The same in words; empty for always.
    #[allow(dead_code, reason = "a test writes the guide from it")]
    words: &'static str,
    /// Where this is documented.
    #[allow(dead_code, reason = "a line without a source does not belong here")]
    source: &'static str,
}

impl Line {
    const fn new(
        kinds: &'static [&'static str],
        path: &'static [&'static str],
        source: &'static str,
    ) -> Self {
        Self {
            kinds,
            path,
            among: &[],
            when: |_, _, _| true,
            words: "",
            source,
        }
    }

    const fn among(self, names: &'static [&'static str]) -> Self {
        Self {
            among: names,
            ..self
        }
    }

    const fn when(
        self,
        when: fn(&Context<'_>, &[Step], &Value) -> bool,
        words: &'static str,
    ) -> Self {
        Self {
            when,
            words,
            ..self
        }
    }

    fn explains(&self, context: &Context<'_>, path: &[Step], live: &Value) -> bool {
        is(context.kind, self.kinds)
            && leads_to(self.path, path)
            && (self.among.is_empty() || last(path).is_some_and(|name| self.among.contains(&name)))
            && (self.when)(context, path, live)
    }
}

const SCALABLE: &[&str] = &[
    "apps/Deployment",
    "apps/StatefulSet",
    "apps/ReplicaSet",
    "ReplicationController",
];

/// True if an undeclared live value is one that the server, a controller or a known tool put there.
pub fn explains_addition(context: &Context<'_>, path: &[Step], live: &Value) -> bool {
    explains([ADDED, NOTED], context, path, live)
}

/// True if a declared field may have another live value without being drift. `None` stands for a field that is not there.
pub fn explains_change(context: &Context<'_>, path: &[Step], live: Option<&Value>) -> bool {
    live.is_some_and(|live| explains([CHANGED, NOTED], context, path, live))
}

fn explains(tables: [&[Line]; 2], context: &Context<'_>, path: &[Step], live: &Value) -> bool {
    let mut lines = tables.into_iter().flatten();
    lines.any(|line| line.explains(context, path, live)) || when::within_bounds(context, path, live)
}

fn is(kind: &GroupKind, kinds: &[&str]) -> bool {
    kinds.iter().any(|k| match k.split_once('/') {
        None => *k == "*" || (kind.group.is_empty() && *kind.kind == **k),
        Some((group, name)) => *kind.group == *group && *kind.kind == *name,
    })
}

/// `*` is one step of any kind, `**` any number of steps.
fn leads_to(pattern: &[&str], path: &[Step]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) if leads_to(rest, path) => true,
        (Some((&"**", _)), Some((_, steps))) => leads_to(pattern, steps),
        (Some((&"*", rest)), Some((_, steps))) => leads_to(rest, steps),
        (Some((name, rest)), Some((Step::Field(field), steps))) => {
            field == name && leads_to(rest, steps)
        }
        _ => false,
    }
}

/// The name of a field or key, or the text of a member of a set.
fn last(path: &[Step]) -> Option<&str> {
    match path.last() {
        Some(Step::Field(name)) => Some(name),
        Some(Step::Member(value)) => value.as_str(),
        _ => None,
    }
}

fn name_of(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("name")?.as_str()
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(key)?
        .as_str()
}

fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

/// The volume that admission adds to a Pod holds a token of its account, and whatever is projected beside that; the name alone could be
/// that of a directory of the host.
fn is_token_volume(volume: &Value) -> bool {
    let sources = volume
        .get("projected")
        .and_then(|p| p.get("sources"))
        .and_then(Value::as_array);
    let only = volume
        .as_object()
        .is_some_and(|v| v.keys().all(|k| k == "name" || k == "projected"));
    let expected = |source: &Value| {
        let of = |key: &str, name: &str| {
            source
                .get(key)
                .is_none_or(|s| s.get("name").and_then(Value::as_str) == Some(name))
        };
        source.get("secret").is_none() && of("configMap", "kube-root-ca.crt")
    };
    only && sources.is_some_and(|all| {
        all.iter().any(|s| s.get("serviceAccountToken").is_some()) && all.iter().all(expected)
    })
}

fn name_begins(element: &Value, with: &str) -> bool {
    let name = element.get("name").and_then(Value::as_str);
    name.is_some_and(|n| n.starts_with(with))
}

/// Annotations of what Helm and Argo CD run once and take away.
///
/// Sources: <https://helm.sh/docs/topics/charts_hooks/>, <https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/>.
pub const HOOKS: [&str; 2] = ["helm.sh/hook", "argocd.argoproj.io/hook"];

/// True for what is not meant to stay, or to stay as it is declared.
pub fn is_hook(declared: &Value) -> bool {
    HOOKS.iter().any(|key| annotation(declared, key).is_some())
}

/// True for what goes without anybody deleting it: a Job with a time to live, once it has finished.
///
/// Source: <https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/>.
pub fn may_be_gone(kind: &GroupKind, declared: &Value) -> bool {
    is(kind, &["batch/Job"])
        && declared
            .get("spec")
            .and_then(|s| s.get("ttlSecondsAfterFinished"))
            .is_some_and(Value::is_number)
}

/// True for a Job that has come to an end.
///
/// Source: <https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup>.
pub fn is_finished(live: &Value) -> bool {
    let conditions = live.get("status").and_then(|s| s.get("conditions"));
    let says = |condition: &Value, key: &str, value: &str| {
        condition.get(key).and_then(Value::as_str) == Some(value)
    };
    conditions
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|c| {
            says(c, "status", "True") && (says(c, "type", "Complete") || says(c, "type", "Failed"))
        })
}

/// True for the last state of a Job that was deleted before it came to an end.
pub fn is_cut_short(kind: &GroupKind, last: &Value) -> bool {
    is(kind, &["batch/Job"]) && last.get("spec").is_some() && !is_finished(last)
}

/// True for the built-in kinds that an autoscaler may scale.
pub fn is_scalable(kind: &GroupKind) -> bool {
    is(kind, SCALABLE)
}

/// Groups of Kubernetes' own kinds, besides those without a dot. Other groups that end in `.k8s.io` are of custom resources (the
/// gateway API, snapshots).
///
/// Source: <https://kubernetes.io/docs/reference/kubernetes-api/>.
const OWN_GROUPS: [&str; 19] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "imagepolicy.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// True for what is noted down on an object: labels, annotations, finalizers, owners.
pub fn is_metadata(path: &[Step]) -> bool {
    matches!(path.first(), Some(Step::Field(name)) if name == "metadata")
}

/// True for places that the control plane itself goes on writing, whoever declares some of the object's fields. Its labels and annotations
/// are under domains of its own, except where it takes over those of a Service, or of a kubelet's command line.
///
/// Source: <https://kubernetes.io/docs/concepts/architecture/nodes/>, <https://kubernetes.io/docs/concepts/architecture/leases/>,
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>.
pub fn is_kept_by_control_plane(kind: &GroupKind, path: &[Step]) -> bool {
    let all = is(
        kind,
        &["Node", "Endpoints", "discovery.k8s.io/EndpointSlice"],
    );
    let some = is(
        kind,
        &["coordination.k8s.io/Lease", "storage.k8s.io/CSINode"],
    );
    all || (some && (!is_metadata(path) || last(path).is_some_and(is_reserved)))
}

/// True for a key that only components of Kubernetes may use.
fn is_reserved(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|own| domain == *own || domain.strip_suffix(own).is_some_and(|d| d.ends_with('.')))
}

/// True for kinds that are not Kubernetes' own.
pub fn is_custom(kind: &GroupKind) -> bool {
    kind.group.contains('.') && !OWN_GROUPS.contains(&&*kind.group)
}

/// Managers of the control plane itself.
///
/// Source: <https://kubernetes.io/docs/concepts/overview/components/>.
const CONTROL_PLANE: [&str; 5] = [
    "cloud-controller-manager",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
];

/// True for a manager of the control plane: what it writes is not an edit. The name is the client's own word.
pub fn is_control_plane(manager: &str) -> bool {
    CONTROL_PLANE.contains(&manager)
}

#[cfg(test)]
#[path = "automation/guide_tests.rs"]
mod guide;
#[cfg(test)]
#[path = "automation_tests.rs"]
mod tests;
