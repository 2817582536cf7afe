//! Objects that nobody declares: which of them are nobody's doing either, because the cluster makes them by itself.
//!
//! A row that leaves something out must name it as narrowly as it can: what it names could be made by hand to hide in it.

use serde_json::Value;

use crate::judge::{Finding, ObjectChange};
use crate::origin::Origin;
use crate::subject::ObjectId;

/// What else has to hold of an object that a row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Nothing.
    Any,
    /// It lies in this namespace.
    In(&'static str),
    /// It has this label.
    Label(&'static str, &'static str),
    /// It is a Secret of this type.
    Type(&'static str),
}

/// Objects that the cluster makes by itself.
#[derive(Debug)]
pub struct SystemRow {
    /// The kind, as in rules.
    pub kind: &'static str,
    /// The name; a star at its end stands for any rest.
    pub name: &'static str,
    /// What else has to hold.
    pub only: Only,
    /// Who makes it.
    pub reason: &'static str,
    /// Where that is said.
    pub source: &'static str,
}

const fn row(
    kind: &'static str,
    name: &'static str,
    only: Only,
    reason: &'static str,
    source: &'static str,
) -> SystemRow {
    SystemRow {
        kind,
        name,
        only,
        reason,
        source,
    }
}

/// What the cluster makes by itself and no controller owns.
#[rustfmt::skip]
pub const SYSTEM_ROWS: &[SystemRow] = &[
    row("ConfigMap", "kube-root-ca.crt", Only::Any, "one in each namespace, by the root CA publisher", "https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/"),
    row("ServiceAccount", "default", Only::Any, "one in each namespace, by the service account controller", "https://kubernetes.io/docs/concepts/security/service-accounts/#default-service-accounts"),
    row("Service", "kubernetes", Only::In("default"), "the API server's own", "https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster/"),
    row("Endpoints", "kubernetes", Only::In("default"), "the API server's own", "https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster/"),
    row("discovery.k8s.io/EndpointSlice", "kubernetes", Only::In("default"), "the API server's own", "https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster/"),
    row("Endpoints", "*", Only::Label("endpoints.kubernetes.io/managed-by", "endpoint-controller"), "of Services with a selector", "https://kubernetes.io/docs/reference/labels-annotations-taints/"),
    row("coordination.k8s.io/Lease", "*", Only::Any, "of whoever elects a leader, and of nodes", "https://kubernetes.io/docs/concepts/architecture/leases/"),
    row("Event", "*", Only::Any, "what happened", "https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/"),
    row("events.k8s.io/Event", "*", Only::Any, "what happened", "https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/"),
    row("Secret", "sh.helm.release.v1.*", Only::Type("helm.sh/release.v1"), "Helm's storage", "https://helm.sh/docs/topics/advanced/#storage-backends"),
    row("Secret", "*", Only::Type("kubernetes.io/service-account-token"), "tokens of service accounts, filled in by the control plane", "https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets"),
    row("Secret", "bootstrap-token-*", Only::In("kube-system"), "tokens with which nodes join", "https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/"),
    row("Namespace", "default", Only::Any, "there from the start", "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#initial-namespaces"),
    row("Namespace", "kube-system", Only::Any, "there from the start", "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#initial-namespaces"),
    row("Namespace", "kube-public", Only::Any, "there from the start", "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#initial-namespaces"),
    row("Namespace", "kube-node-lease", Only::Any, "there from the start", "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#initial-namespaces"),
    row("scheduling.k8s.io/PriorityClass", "system-cluster-critical", Only::Any, "there from the start", "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/"),
    row("scheduling.k8s.io/PriorityClass", "system-node-critical", Only::Any, "there from the start", "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/"),
];

impl SystemRow {
    fn speaks_of(&self, id: &ObjectId, live: &Value) -> bool {
        let named = match self.name.strip_suffix('*') {
            Some(start) => id.name.starts_with(start),
            None => *id.name == *self.name,
        };
        let holds = match self.only {
            Only::Any => true,
            Only::In(namespace) => id.namespace.as_deref() == Some(namespace),
            Only::Label(key, value) => {
                let labels = live.get("metadata").and_then(|m| m.get("labels"));
                labels.and_then(|l| l.get(key)?.as_str()) == Some(value)
            }
            Only::Type(kind) => live.get("type").and_then(Value::as_str) == Some(kind),
        };
        named && holds && id.group_kind.to_string() == self.kind
    }
}

/// The controller that a live object says it belongs to, as far as it names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its apiVersion.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name, in the object's namespace or in none.
    pub name: String,
    /// Its uid: another object of that name is not it.
    pub uid: String,
}

/// Whose doing an object is that nobody declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// The cluster makes it by itself.
    System(&'static str),
    /// A controller's, if that is there: anybody can write such a reference.
    Controller(Owner),
    /// Somebody's.
    Somebody,
}

/// Whose doing a live object is.
pub fn doing(id: &ObjectId, live: &Value) -> Doing {
    if let Some(row) = SYSTEM_ROWS.iter().find(|r| r.speaks_of(id, live)) {
        return Doing::System(row.reason);
    }
    let references = live
        .get("metadata")
        .and_then(|m| m.get("ownerReferences"))
        .and_then(Value::as_array);
    let controller = references
        .into_iter()
        .flatten()
        .find(|r| r.get("controller") == Some(&Value::Bool(true)))
        .and_then(|r| {
            let text = |key: &str| Some(r.get(key)?.as_str()?.to_owned());
            Some(Owner {
                api_version: text("apiVersion")?,
                kind: text("kind")?,
                name: text("name")?,
                uid: text("uid")?,
            })
        });
    controller.map_or(Doing::Somebody, Doing::Controller)
}

/// The finding of an object that nobody declares.
pub fn finding(live: &Value) -> Finding {
    let text = |key: &str| Some(live.get("metadata")?.get(key)?.as_str()?.to_owned());
    Finding {
        change: ObjectChange::Undeclared,
        fields: Vec::new(),
        origin: Origin::LiveEdited,
        evidence: None,
        uid: text("uid"),
        deleted_at: text("deletionTimestamp"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::subject::GroupKind;

    fn of(kind: &str, namespace: &str, name: &str, live: &Value) -> Doing {
        let (group, kind) = kind.split_once('/').unwrap_or(("", kind));
        let id = ObjectId::new(GroupKind::new(group, kind), Some(namespace), name);
        doing(&id, live)
    }

    #[test]
    fn what_the_cluster_makes_by_itself_is_nobodys_doing() {
        let none = json!({});
        let system =
            |kind, namespace, name| matches!(of(kind, namespace, name, &none), Doing::System(_));
        assert!(system("ConfigMap", "shop", "kube-root-ca.crt"));
        assert!(system("ServiceAccount", "shop", "default"));
        assert!(system("Service", "default", "kubernetes"));
        assert!(system("coordination.k8s.io/Lease", "shop", "any"));
        assert!(!system("Service", "shop", "kubernetes"));
        assert!(!system("ConfigMap", "shop", "kube-root-ca.crt.2"));
        assert!(!system("ServiceAccount", "shop", "builder"));
    }

    #[test]
    fn a_secret_does_not_hide_behind_the_name_of_a_release() {
        let of = |kind: &str| {
            of(
                "Secret",
                "shop",
                "sh.helm.release.v1.web.v1",
                &json!({"type": kind}),
            )
        };
        assert!(matches!(of("helm.sh/release.v1"), Doing::System(_)));
        assert_eq!(of("Opaque"), Doing::Somebody);
    }

    #[test]
    fn only_a_controller_is_an_owner_that_explains_an_object() {
        let with = |controller: Value| {
            let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "1", "controller": controller});
            of(
                "apps/ReplicaSet",
                "shop",
                "web-1",
                &json!({"metadata": {"ownerReferences": [owner]}}),
            )
        };
        assert!(matches!(with(json!(true)), Doing::Controller(o) if o.name == "web"));
        assert_eq!(with(json!(false)), Doing::Somebody);
        assert_eq!(with(json!("true")), Doing::Somebody);
    }

    #[test]
    fn each_row_says_where_that_is_said() {
        for row in SYSTEM_ROWS {
            assert!(row.source.starts_with("https://") && !row.reason.is_empty());
        }
    }
}
