//! What the server, its controllers and well-known tools put on objects by themselves: one table, with a source for each line.
//! Everything here is about what Git does not declare, unless a line says otherwise.

use serde_json::Value;

use crate::path::Step;
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
    /// The place; `*` is any step.
    path: &'static [&'static str],
    /// When the value there is the automation's.
    when: fn(&Context<'_>, &[Step], &Value) -> bool,
    /// Where this is documented.
    #[allow(dead_code, reason = "a line without a source does not belong here")]
    source: &'static str,
}

const SCALABLE: &[&str] = &[
    "apps/Deployment",
    "apps/StatefulSet",
    "apps/ReplicaSet",
    "ReplicationController",
];
const SERVICE: &str = "https://kubernetes.io/docs/concepts/services-networking/service/";
const JOB: &str = "https://kubernetes.io/docs/concepts/workloads/controllers/job/#specifying-your-own-pod-selector";
const VOLUMES: &str = "https://kubernetes.io/docs/concepts/storage/persistent-volumes/";
const ACCOUNT: &str = "https://kubernetes.io/docs/concepts/security/service-accounts/#bound-service-account-token-volume";
const INJECTOR: &str = "https://cert-manager.io/docs/concepts/ca-injector/";
const HELM: &str = "https://helm.sh/docs/chart_best_practices/labels/";
const FLUX: &str = "https://fluxcd.io/flux/components/kustomize/kustomizations/";
const ARGO: &str = "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/";

/// Undeclared places.
const ADDED: &[Line] = &[
    line(&["Service"], &["spec", "clusterIP"], always, SERVICE),
    line(&["Service"], &["spec", "clusterIPs"], always, SERVICE),
    line(&["Service"], &["spec", "clusterIPs", "*"], always, SERVICE),
    line(&["Service"], &["spec", "ipFamilies"], always, SERVICE),
    line(&["Service"], &["spec", "ipFamilyPolicy"], always, SERVICE),
    line(
        &["Service"],
        &["spec", "ports", "*", "nodePort"],
        always,
        SERVICE,
    ),
    line(
        &["Service"],
        &["spec", "healthCheckNodePort"],
        always,
        SERVICE,
    ),
    line(
        &["Service"],
        &["spec", "externalTrafficPolicy"],
        |_, _, v| v == "Cluster",
        SERVICE,
    ),
    line(
        &["Service"],
        &["spec", "allocateLoadBalancerNodePorts"],
        |_, _, v| v == true,
        SERVICE,
    ),
    line(
        &["Service"],
        &["metadata", "finalizers", "*"],
        |_, _, v| v == "service.kubernetes.io/load-balancer-cleanup",
        SERVICE,
    ),
    line(
        &["PersistentVolumeClaim"],
        &["spec", "volumeName"],
        always,
        VOLUMES,
    ),
    line(
        &["PersistentVolumeClaim", "PersistentVolume"],
        &["metadata", "finalizers", "*"],
        |_, _, v| {
            [
                "kubernetes.io/pvc-protection",
                "kubernetes.io/pv-protection",
            ]
            .iter()
            .any(|f| v == f)
                || v.as_str()
                    .is_some_and(|f| f.starts_with("external-attacher/"))
        },
        VOLUMES,
    ),
    line(
        &["PersistentVolume"],
        &["spec", "claimRef", "**"],
        always,
        VOLUMES,
    ),
    line(
        &["Namespace"],
        &["spec", "finalizers"],
        |_, _, v| *v == serde_json::json!(["kubernetes"]),
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/",
    ),
    line(
        &["Namespace"],
        &["metadata", "labels", "kubernetes.io/metadata.name"],
        |c, _, v| name_of(c.live) == v.as_str(),
        "https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name",
    ),
    line(
        &["ServiceAccount"],
        &["secrets", "*"],
        names_own_secret,
        ACCOUNT,
    ),
    line(
        &["ServiceAccount"],
        &["imagePullSecrets"],
        names_own_secrets,
        ACCOUNT,
    ),
    line(&["*"], &["**", "serviceAccount"], beside_its_name, ACCOUNT),
    line(
        &["Pod"],
        &["spec", "nodeName"],
        always,
        "https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/",
    ),
    line(
        &["Pod"],
        &["spec", "volumes", "*"],
        |_, _, v| name_begins(v, "kube-api-access-"),
        ACCOUNT,
    ),
    line(
        &["Pod"],
        &["spec", "*", "*", "volumeMounts", "*"],
        |_, _, v| name_begins(v, "kube-api-access-"),
        ACCOUNT,
    ),
    line(&["batch/Job"], &["spec", "selector", "**"], always, JOB),
    line(
        &["batch/Job"],
        &["metadata", "labels", "*"],
        is_job_label,
        JOB,
    ),
    line(
        &["batch/Job"],
        &["spec", "template", "metadata", "labels", "*"],
        is_job_label,
        JOB,
    ),
    line(
        &["batch/Job"],
        &["metadata", "annotations", "*"],
        |_, path, _| {
            last(path).is_some_and(|k| {
                [
                    "batch.kubernetes.io/job-tracking",
                    "batch.kubernetes.io/cronjob-scheduled-timestamp",
                ]
                .contains(&k)
            })
        },
        JOB,
    ),
    line(
        &["Endpoints"],
        &[
            "metadata",
            "annotations",
            "endpoints.kubernetes.io/last-change-trigger-time",
        ],
        always,
        "https://kubernetes.io/docs/reference/labels-annotations-taints/#endpoints-kubernetes-io-last-change-trigger-time",
    ),
    line(&["*"], &["**", "caBundle"], always, INJECTOR),
    line(&["*"], &["spec", "replicas"], within_bounds, AUTOSCALER),
    line(
        &["*"],
        &["metadata", "labels", "app.kubernetes.io/managed-by"],
        |c, _, v| v == "Helm" && annotation(c.live, "meta.helm.sh/release-name").is_some(),
        HELM,
    ),
    line(&["*"], &["metadata", "labels", "*"], is_flux_label, FLUX),
    line(
        &["*"],
        &["metadata", "annotations", "argocd.argoproj.io/tracking-id"],
        |c, _, v| v.as_str().is_some_and(|id| tracks(id, c.kind, c.live)),
        ARGO,
    ),
    line(
        &["*"],
        &["metadata", "labels", "app.kubernetes.io/instance"],
        set_by_argo,
        ARGO,
    ),
    line(
        &["*"],
        &["metadata", "finalizers", "*"],
        of_own_controller,
        "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#finalizers",
    ),
];

const AUTOSCALER: &str =
    "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/";

/// Declared places that somebody else may change.
const CHANGED: &[Line] = &[
    line(&["*"], &["spec", "replicas"], within_bounds, AUTOSCALER),
    line(
        &["*"],
        &["**", "caBundle"],
        |c, _, _| has_injector(c.declared),
        INJECTOR,
    ),
    line(
        &["rbac.authorization.k8s.io/ClusterRole"],
        &["rules"],
        |c, _, _| {
            c.declared
                .get("aggregationRule")
                .is_some_and(|r| !r.is_null())
        },
        "https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles",
    ),
    line(
        &["*"],
        &["metadata", "labels", "app.kubernetes.io/managed-by"],
        |c, _, v| v == "Helm" && annotation(c.live, "meta.helm.sh/release-name").is_some(),
        HELM,
    ),
];

const fn line(
    kinds: &'static [&'static str],
    path: &'static [&'static str],
    when: fn(&Context<'_>, &[Step], &Value) -> bool,
    source: &'static str,
) -> Line {
    Line {
        kinds,
        path,
        when,
        source,
    }
}

fn always(_: &Context<'_>, _: &[Step], _: &Value) -> bool {
    true
}

/// True if an undeclared live value is one that the server, a controller or a known tool put there.
pub fn explains_addition(context: &Context<'_>, path: &[Step], live: &Value) -> bool {
    explains(ADDED, context, path, live)
        || (is(context.kind, &["rbac.authorization.k8s.io/ClusterRole"])
            && explains(CHANGED, context, path, live))
}

/// True if a declared field may have another live value without being drift. `None` stands for a field that is not there.
pub fn explains_change(context: &Context<'_>, path: &[Step], live: Option<&Value>) -> bool {
    live.is_some_and(|live| explains(CHANGED, context, path, live))
}

fn explains(table: &[Line], context: &Context<'_>, path: &[Step], live: &Value) -> bool {
    table.iter().any(|line| {
        is(context.kind, line.kinds)
            && leads_to(line.path, path)
            && (line.when)(context, path, live)
    })
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

fn last(path: &[Step]) -> Option<&str> {
    match path.last() {
        Some(Step::Field(name)) => Some(name),
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

fn name_begins(element: &Value, with: &str) -> bool {
    let name = element.get("name").and_then(Value::as_str);
    name.is_some_and(|n| n.starts_with(with))
}

/// Token and registry Secrets that controllers make for an account begin with its name.
fn names_own_secret(context: &Context<'_>, _: &[Step], element: &Value) -> bool {
    let account = name_of(context.live).unwrap_or_default();
    ["-token-", "-dockercfg-"]
        .iter()
        .any(|kind| name_begins(element, &format!("{account}{kind}")))
}

fn names_own_secrets(context: &Context<'_>, path: &[Step], list: &Value) -> bool {
    list.as_array()
        .is_some_and(|l| l.iter().all(|e| names_own_secret(context, path, e)))
}

/// The server keeps the old name of the field beside the new one.
fn beside_its_name(context: &Context<'_>, path: &[Step], value: &Value) -> bool {
    let Some((_, parent)) = path.split_last() else {
        return false;
    };
    let parent = parent
        .iter()
        .try_fold(context.live, |value, step| step.get(value));
    parent.and_then(|p| p.get("serviceAccountName")) == Some(value)
}

/// The Job controller labels Pods, and so the template, with the Job's own name and uid.
fn is_job_label(context: &Context<'_>, path: &[Step], value: &Value) -> bool {
    let metadata = |key: &str| context.live.get("metadata").and_then(|m| m.get(key));
    match last(path) {
        Some("controller-uid" | "batch.kubernetes.io/controller-uid") => {
            metadata("uid") == Some(value)
        }
        Some("job-name" | "batch.kubernetes.io/job-name") => metadata("name") == Some(value),
        _ => false,
    }
}

fn is_flux_label(_: &Context<'_>, path: &[Step], _: &Value) -> bool {
    last(path).is_some_and(|key| {
        [
            "kustomize.toolkit.fluxcd.io/name",
            "kustomize.toolkit.fluxcd.io/namespace",
            "helm.toolkit.fluxcd.io/name",
            "helm.toolkit.fluxcd.io/namespace",
        ]
        .contains(&key)
    })
}

/// A tracking note names the object that Argo CD deployed; one that names another was copied.
fn tracks(id: &str, kind: &GroupKind, live: &Value) -> bool {
    let mut parts = id.splitn(3, ':');
    let (Some(_), Some(tracked), Some(place)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let namespace = live
        .get("metadata")
        .and_then(|m| m.get("namespace"))
        .and_then(Value::as_str);
    let name = name_of(live).unwrap_or_default();
    let same_place = match (place.split_once('/'), namespace) {
        (Some((ns, n)), Some(namespace)) => ns == namespace && n == name,
        // Argo CD writes the application's namespace for cluster-scoped objects.
        (Some((_, n)), None) => n == name,
        (None, _) => false,
    };
    tracked == format!("{}/{}", kind.group, kind.kind) && same_place
}

/// Where Argo CD tracks by label, it also declares that label in what it applies.
fn set_by_argo(context: &Context<'_>, path: &[Step], value: &Value) -> bool {
    let applied = annotation(
        context.live,
        "kubectl.kubernetes.io/last-applied-configuration",
    )
    .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let key = last(path).unwrap_or_default();
    let in_applied = applied
        .as_ref()
        .and_then(|o| o.get("metadata")?.get("labels")?.get(key))
        == Some(value);
    let managers = context
        .live
        .get("metadata")
        .and_then(|m| m.get("managedFields"))
        .and_then(Value::as_array);
    let by_argo = managers.into_iter().flatten().any(|entry| {
        entry.get("manager").and_then(Value::as_str) == Some("argocd-controller")
            && entry
                .get("fieldsV1")
                .and_then(|f| {
                    f.get("f:metadata")?
                        .get("f:labels")?
                        .get(format!("f:{key}"))
                })
                .is_some()
    });
    by_argo
        || (in_applied && annotation(context.live, "argocd.argoproj.io/installation-id").is_some())
}

/// A custom resource's own controller names its finalizers by the domain of the resource's group.
fn of_own_controller(context: &Context<'_>, _: &[Step], value: &Value) -> bool {
    let domain = |name: &str| {
        let mut labels = name.rsplit('.');
        let (last, before) = (labels.next()?, labels.next()?);
        Some(format!("{before}.{last}"))
    };
    if !is_custom(context.kind) {
        return false;
    }
    let group = &*context.kind.group;
    let host = value
        .as_str()
        .map(|f| f.split_once('/').map_or(f, |(host, _)| host));
    host.and_then(domain)
        .is_some_and(|d| Some(d) == domain(group))
}

/// Replicas under a HorizontalPodAutoscaler. It never acts on what is scaled to 0.
fn within_bounds(context: &Context<'_>, _: &[Step], live: &Value) -> bool {
    let (Some(bounds), Some(replicas)) = (context.replicas, live.as_i64()) else {
        return false;
    };
    replicas > 0 && (bounds.min..=bounds.max).contains(&replicas)
}

fn has_injector(declared: &Value) -> bool {
    [
        "cert-manager.io/inject-ca-from",
        "cert-manager.io/inject-ca-from-secret",
        "cert-manager.io/inject-apiserver-ca",
        "service.beta.openshift.io/inject-cabundle",
    ]
    .iter()
    .any(|key| annotation(declared, key).is_some())
}

/// True for what is not meant to stay: hooks of Helm and Argo CD are made and deleted by them.
///
/// Sources: <https://helm.sh/docs/topics/charts_hooks/>, <https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/>.
pub fn is_hook(declared: &Value) -> bool {
    ["helm.sh/hook", "argocd.argoproj.io/hook"]
        .iter()
        .any(|key| annotation(declared, key).is_some())
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

/// True for the number that an autoscaler may set.
pub fn is_replicas(path: &[Step]) -> bool {
    leads_to(&["spec", "replicas"], path)
}

/// True for the built-in kinds that an autoscaler may scale.
pub fn is_scalable(kind: &GroupKind) -> bool {
    is(kind, SCALABLE)
}

/// True for what is noted down on an object: labels, annotations, finalizers, owners.
pub fn is_metadata(path: &[Step]) -> bool {
    matches!(path.first(), Some(Step::Field(name)) if name == "metadata")
}

/// True for kinds that are not Kubernetes' own.
pub fn is_custom(kind: &GroupKind) -> bool {
    kind.group.contains('.') && !kind.group.ends_with(".k8s.io")
}

/// True for kinds whose objects the control plane itself goes on writing, whoever declares some of their fields.
///
/// Source: <https://kubernetes.io/docs/concepts/architecture/nodes/>, <https://kubernetes.io/docs/concepts/architecture/leases/>.
pub fn is_kept_by_control_plane(kind: &GroupKind) -> bool {
    is(
        kind,
        &[
            "Node",
            "Endpoints",
            "coordination.k8s.io/Lease",
            "discovery.k8s.io/EndpointSlice",
            "storage.k8s.io/CSINode",
        ],
    )
}

/// Managers of the control plane itself: what they write is not an edit. The name is the client's own word.
pub fn is_control_plane(manager: &str) -> bool {
    [
        "kube-controller-manager",
        "kube-scheduler",
        "kube-apiserver",
        "kubelet",
        "cloud-controller-manager",
    ]
    .contains(&manager)
}

#[cfg(test)]
#[path = "automation_tests.rs"]
mod tests;
