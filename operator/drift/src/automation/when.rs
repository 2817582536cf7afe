//! When what stands at a place of the table is the automation's.

use serde_json::Value;

use super::{Context, annotation, is_custom, last, name_begins, name_of};
use crate::expected::is_zero;
use crate::path::Step;

/// Where OpenShift notes down the registry Secret that it made for an account.
pub(super) const PULL_SECRET_NOTE: &str = "openshift.io/internal-registry-pull-secret-ref";

/// Token and registry Secrets that controllers make for an account begin with its name.
pub(super) fn is_own_secret(context: &Context<'_>, _: &[Step], element: &Value) -> bool {
    let account = name_of(context.live).unwrap_or_default();
    ["-token-", "-dockercfg-"]
        .iter()
        .any(|kind| name_begins(element, &format!("{account}{kind}")))
}

/// OpenShift notes down on an account which registry Secret it made for it; earlier versions only named it after the account.
fn is_own_pull_secret(context: &Context<'_>, element: &Value) -> bool {
    let account = name_of(context.live).unwrap_or_default();
    let noted = annotation(context.live, PULL_SECRET_NOTE);
    let name = element.get("name").and_then(Value::as_str);
    name_begins(element, &format!("{account}-dockercfg-")) || (noted.is_some() && name == noted)
}

pub(super) fn names_own_secrets(context: &Context<'_>, _: &[Step], list: &Value) -> bool {
    list.as_array()
        .is_some_and(|l| l.iter().all(|e| is_own_pull_secret(context, e)))
}

/// The list is atomic: what was appended to it makes it another value.
pub(super) fn is_declared_and_own_secrets(context: &Context<'_>, _: &[Step], list: &Value) -> bool {
    let declared = context.declared.get("imagePullSecrets");
    let (Some(declared), Some(live)) = (declared.and_then(Value::as_array), list.as_array()) else {
        return false;
    };
    let others = live
        .iter()
        .filter(|e| declared.contains(e) || !is_own_pull_secret(context, e));
    others.eq(declared.iter())
}

pub(super) fn is_empty(_: &Context<'_>, _: &[Step], value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Empty is as good as not declared where a value is allocated.
pub(super) fn is_declared_empty(context: &Context<'_>, path: &[Step], _: &Value) -> bool {
    let declared = path
        .iter()
        .try_fold(context.declared, |value, step| step.get(value));
    declared.is_some_and(is_zero)
}

/// Admission labels a Pod with the place of its node when it is bound to it.
pub(super) fn is_bound(context: &Context<'_>, _: &[Step], _: &Value) -> bool {
    let node = context.live.get("spec").and_then(|s| s.get("nodeName"));
    node.and_then(Value::as_str).is_some_and(|n| !n.is_empty())
}

/// True for a Secret that the token controller fills.
pub(super) fn holds_token(context: &Context<'_>, _: &[Step], _: &Value) -> bool {
    context.live.get("type").and_then(Value::as_str) == Some("kubernetes.io/service-account-token")
}

/// Token, certificate and namespace, of which the last is known.
pub(super) fn is_of_token(context: &Context<'_>, path: &[Step], value: &Value) -> bool {
    use base64::Engine as _;
    let namespace = || {
        let name = context.live.get("metadata")?.get("namespace")?.as_str()?;
        Some(base64::engine::general_purpose::STANDARD.encode(name))
    };
    holds_token(context, path, value)
        && (last(path) != Some("namespace") || value.as_str() == namespace().as_deref())
}

/// The server keeps the old name of the field beside the new one.
pub(super) fn beside_its_name(context: &Context<'_>, path: &[Step], value: &Value) -> bool {
    let Some((_, parent)) = path.split_last() else {
        return false;
    };
    let parent = parent
        .iter()
        .try_fold(context.live, |value, step| step.get(value));
    parent.and_then(|p| p.get("serviceAccountName")) == Some(value)
}

/// The Job controller labels Pods, and so the template, with the Job's own name and uid.
pub(super) fn is_job_label(context: &Context<'_>, path: &[Step], value: &Value) -> bool {
    let metadata = |key: &str| context.live.get("metadata").and_then(|m| m.get(key));
    match last(path) {
        Some("controller-uid" | "batch.kubernetes.io/controller-uid") => {
            metadata("uid") == Some(value)
        }
        Some("job-name" | "batch.kubernetes.io/job-name") => metadata("name") == Some(value),
        _ => false,
    }
}

/// A tracking note names the object that Argo CD deployed; one that names another was copied.
pub(super) fn tracks(context: &Context<'_>, _: &[Step], id: &Value) -> bool {
    let (kind, live) = (context.kind, context.live);
    let mut parts = id.as_str().unwrap_or_default().splitn(3, ':');
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
pub(super) fn set_by_argo(context: &Context<'_>, path: &[Step], value: &Value) -> bool {
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

/// People set these themselves: with them an Application takes what it deployed along when it is deleted.
///
/// Source: <https://argo-cd.readthedocs.io/en/stable/user-guide/app_deletion/>.
const SET_BY_PEOPLE: [&str; 3] = [
    "resources-finalizer.argocd.argoproj.io",
    "resources-finalizer.argocd.argoproj.io/background",
    "resources-finalizer.argocd.argoproj.io/foreground",
];

/// A custom resource's own controller names its finalizers by the domain of the resource's group.
pub(super) fn of_own_controller(context: &Context<'_>, _: &[Step], value: &Value) -> bool {
    let domain = |name: &str| {
        let mut labels = name.rsplit('.');
        let (last, before) = (labels.next()?, labels.next()?);
        Some(format!("{before}.{last}"))
    };
    if !is_custom(context.kind) || SET_BY_PEOPLE.iter().any(|f| value == f) {
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
pub(super) fn within_bounds(context: &Context<'_>, path: &[Step], live: &Value) -> bool {
    let (Some(bounds), Some(replicas)) = (context.replicas, live.as_i64()) else {
        return false;
    };
    context.is_replicas(path) && replicas > 0 && (bounds.min..=bounds.max).contains(&replicas)
}

pub(super) fn has_injector(declared: &Value) -> bool {
    [
        "cert-manager.io/inject-ca-from",
        "cert-manager.io/inject-ca-from-secret",
        "cert-manager.io/inject-apiserver-ca",
        "service.beta.openshift.io/inject-cabundle",
    ]
    .iter()
    .any(|key| annotation(declared, key).is_some())
}
