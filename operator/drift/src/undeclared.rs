//! Objects that nobody declares: which of them are nobody's doing either, because the cluster makes them by itself or a controller
//! owns them, and which say of themselves that somebody else declares them.

mod claims;
mod system;

use serde_json::Value;

use crate::grade::{Applied, Graded};
use crate::judge::{Finding, ObjectChange};
use crate::origin::Origin;
use crate::rules::Action;
use crate::severity::Severity;
use crate::subject::{GroupKind, ObjectId};

pub use claims::{Declarer, Tool, claim};
pub use system::{Only, SYSTEM_ROWS, SystemRow};

/// The controller that a live object says it belongs to, as far as it names one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

impl Owner {
    /// Its kind.
    pub fn group_kind(&self) -> GroupKind {
        let group = self.api_version.split_once('/').map_or("", |(g, _)| g);
        GroupKind::new(group, &self.kind)
    }
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

/// The reference to the controller that an object says owns it, as it stands there.
pub fn controller(live: &Value) -> Option<&Value> {
    let references = live.get("metadata")?.get("ownerReferences")?.as_array()?;
    let is_controller = |r: &&Value| r.get("controller") == Some(&Value::Bool(true));
    references.iter().find(is_controller)
}

/// Whose doing a live object is.
pub fn doing(id: &ObjectId, live: &Value) -> Doing {
    if let Some(row) = SYSTEM_ROWS.iter().find(|r| r.speaks_of(id, live)) {
        return Doing::System(row.reason);
    }
    let controller = controller(live).and_then(|reference| {
        let text = |key: &str| Some(reference.get(key)?.as_str()?.to_owned());
        Some(Owner {
            api_version: text("apiVersion")?,
            kind: text("kind")?,
            name: text("name")?,
            uid: text("uid")?,
        })
    });
    controller.map_or(Doing::Somebody, Doing::Controller)
}

/// Raises how grave an object that nobody declares is, by what it may do: a Pod that may do anything on its node is graver than
/// others. What a rule has graded stays.
pub fn raise(graded: &mut Graded, live: &Value) {
    let is_graded = |rule: &Applied| {
        let Action::Grade { severity, .. } = &rule.action else {
            return false;
        };
        severity.is_some()
    };
    if !graded.applied.iter().any(is_graded) && templates(live).any(is_privileged) {
        graded.severity = graded.severity.max(Severity::Critical);
    }
}

/// The specs of the Pods that an object is or makes.
fn templates(live: &Value) -> impl Iterator<Item = &Value> {
    const PLACES: &[&str] = &[
        "/spec",
        "/spec/template/spec",
        "/spec/jobTemplate/spec/template/spec",
        "/template/spec",
    ];
    PLACES.iter().filter_map(|place| live.pointer(place))
}

/// Source: <https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline>.
fn is_privileged(pod: &Value) -> bool {
    let is_true = |value: Option<&Value>| value == Some(&Value::Bool(true));
    let list = |key: &str| pod.get(key).and_then(Value::as_array).into_iter().flatten();
    let containers = ["containers", "initContainers", "ephemeralContainers"];
    ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .any(|key| is_true(pod.get(key)))
        || list("volumes").any(|v| v.get("hostPath").is_some())
        || containers
            .iter()
            .flat_map(|key| list(key))
            .any(|c| is_true(c.pointer("/securityContext/privileged")))
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
    fn what_pretends_to_be_the_clusters_is_somebodys() {
        let label =
            json!({"metadata": {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}});
        let role = "rbac.authorization.k8s.io/ClusterRole";
        assert!(matches!(
            of(role, "", "system:node", &label),
            Doing::System(_)
        ));
        assert_eq!(of(role, "", "system:node", &json!({})), Doing::Somebody);
        assert_eq!(of(role, "", "backdoor", &label), Doing::Somebody);
        let token = |name: &str, labels: Value| {
            let live = json!({"type": "kubernetes.io/service-account-token", "metadata": {
                "labels": labels, "annotations": {"kubernetes.io/service-account.name": "web"}}});
            of("Secret", "shop", name, &live)
        };
        let used = json!({"kubernetes.io/legacy-token-last-used": "2022-10-24"});
        assert!(matches!(
            token("web-token-abcde", used.clone()),
            Doing::System(_)
        ));
        assert_eq!(token("web-token-abcde", json!({})), Doing::Somebody);
        assert_eq!(token("mine", used), Doing::Somebody);
    }

    /// An annotation was enough to hide a directory of the host.
    #[test]
    fn a_volume_is_provisioned_only_where_a_claim_is_bound_to_it() {
        let annotations = json!({"pv.kubernetes.io/provisioned-by": "anything"});
        let by_hand = json!({"metadata": {"annotations": annotations}, "spec": {"hostPath": {"path": "/"}}, "status": {"phase": "Available"}});
        assert_eq!(of("PersistentVolume", "", "v", &by_hand), Doing::Somebody);
        let bound = json!({"metadata": {"annotations": annotations}, "spec": {"claimRef": {"uid": "1"}}, "status": {"phase": "Bound"}});
        assert!(matches!(
            of("PersistentVolume", "", "v", &bound),
            Doing::System(_)
        ));
    }

    #[test]
    fn a_claim_of_a_stateful_set_is_told_from_one_that_was_only_bound() {
        let by = |fields: Value| {
            let live = json!({"metadata": {"managedFields": [
                {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": fields}]}});
            of("PersistentVolumeClaim", "shop", "data-web-0", &live)
        };
        assert!(matches!(
            by(json!({"f:spec": {"f:resources": {}}})),
            Doing::System(_)
        ));
        let bound = json!({"f:metadata": {"f:annotations": {}}, "f:spec": {"f:volumeName": {}}});
        assert_eq!(by(bound), Doing::Somebody);
    }

    #[test]
    fn a_pod_that_may_do_anything_on_its_node_is_graver() {
        let privileged = json!({"spec": {"template": {"spec": {"containers": [{"securityContext": {"privileged": true}}]}}}});
        let host = json!({"spec": {"volumes": [{"hostPath": {"path": "/"}}], "containers": []}});
        let plain = json!({"spec": {"hostNetwork": false, "containers": [{"name": "a"}]}});
        let severity = |live: &Value, applied: Vec<crate::grade::Applied>| {
            let mut graded = Graded {
                finding: finding(live),
                grades: Vec::new(),
                severity: Severity::High,
                rung: None,
                exception: None,
                applied,
            };
            raise(&mut graded, live);
            graded.severity
        };
        assert_eq!(severity(&privileged, vec![]), Severity::Critical);
        assert_eq!(severity(&host, vec![]), Severity::Critical);
        assert_eq!(severity(&plain, vec![]), Severity::High);
        let action = crate::rules::Action::Grade {
            severity: Some(Severity::High),
            rung: None,
        };
        let rule = crate::grade::Applied {
            index: 0,
            action,
            fields: 0,
        };
        assert_eq!(severity(&host, vec![rule]), Severity::High);
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
