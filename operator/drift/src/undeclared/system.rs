//! What the cluster makes by itself, without an owner that would tell.
//!
//! A row must name what it leaves out as narrowly as it can: what it names could be made by hand to hide in it. So rows prefer what
//! the control plane itself enforces (it deletes or overwrites what pretends to be its own), then exact names, and patterns last.

use serde_json::Value;

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
    /// It has this annotation.
    Annotation(&'static str, &'static str),
    /// It is a volume that a provisioner made for a claim that it is, or was, bound to.
    Provisioned,
    /// It is a Secret of this type.
    Type(&'static str),
    /// It is a Secret with the token of an account, named as the control plane named those that it made.
    LegacyToken,
    /// This manager owns that field (two steps).
    Wrote(&'static str, &'static [&'static str]),
}

/// Objects that the cluster makes by itself.
#[derive(Debug)]
pub struct SystemRow {
    /// The kind, as in rules.
    pub kind: &'static str,
    /// The names; a star at the end of one stands for any rest.
    pub names: &'static [&'static str],
    /// What else has to hold.
    pub only: Only,
    /// Who makes it.
    pub reason: &'static str,
    /// Where that is said.
    pub source: &'static str,
}

const fn row(
    kind: &'static str,
    names: &'static [&'static str],
    only: Only,
    reason: &'static str,
    source: &'static str,
) -> SystemRow {
    SystemRow {
        kind,
        names,
        only,
        reason,
        source,
    }
}

/// Names of the accounts under which the controllers of kube-controller-manager work.
const CONTROLLERS: &[&str] = &[
    "attachdetach-controller",
    "bootstrap-signer",
    "certificate-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "device-taint-eviction-controller",
    "disruption-controller",
    "endpoint-controller",
    "endpointslice-controller",
    "endpointslicemirroring-controller",
    "ephemeral-volume-controller",
    "expand-controller",
    "generic-garbage-collector",
    "horizontal-pod-autoscaler",
    "job-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher",
    "legacy-service-account-token-cleaner",
    "namespace-controller",
    "node-controller",
    "persistent-volume-binder",
    "pod-garbage-collector",
    "podcertificaterequestcleaner",
    "pv-protection-controller",
    "pvc-protection-controller",
    "replicaset-controller",
    "replication-controller",
    "resource-claim-controller",
    "resourcequota-controller",
    "root-ca-cert-publisher",
    "route-controller",
    "selinux-warning-controller",
    "service-account-controller",
    "service-cidrs-controller",
    "service-controller",
    "statefulset-controller",
    "storage-version-migrator-controller",
    "taint-eviction-controller",
    "token-cleaner",
    "ttl-after-finished-controller",
    "ttl-controller",
    "validatingadmissionpolicy-status-controller",
    "volumeattributesclass-protection-controller",
];

const ACCOUNTS: &str =
    "https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/";
const API_SERVER: &str =
    "https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster/";
const NAMESPACES: &str = "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#initial-namespaces";
const RBAC: &str =
    "https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings";
const EVENTS: &str =
    "https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/";
const LABELS: &str = "https://kubernetes.io/docs/reference/labels-annotations-taints/";
const FAIRNESS: &str = "https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#maintenance-of-the-mandatory-and-suggested-configuration-objects";
const AGGREGATOR: &str = "https://github.com/kubernetes/kube-aggregator/blob/master/pkg/controllers/autoregister/autoregister_controller.go";
const STORAGE: &str = "https://helm.sh/docs/topics/advanced/#storage-backends";
const SETS: &str =
    "https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-storage";
const VOLUMES: &str = "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#dynamic";

/// What the cluster makes by itself and no controller owns.
#[rustfmt::skip]
pub const SYSTEM_ROWS: &[SystemRow] = &[
    row("ConfigMap", &["kube-root-ca.crt"], Only::Any, "one in each namespace; the root CA publisher writes over what another puts there", ACCOUNTS),
    row("ConfigMap", &["extension-apiserver-authentication", "kube-apiserver-legacy-service-account-token-tracking"], Only::In("kube-system"), "the API server's own", "https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/"),
    row("ConfigMap", &["sh.helm.release.v1.*"], Only::Label("owner", "helm"), "Helm's storage", STORAGE),
    row("ServiceAccount", &["default"], Only::Any, "one in each namespace, by the service account controller", "https://kubernetes.io/docs/concepts/security/service-accounts/#default-service-accounts"),
    row("ServiceAccount", CONTROLLERS, Only::In("kube-system"), "of the controllers of kube-controller-manager", "https://kubernetes.io/docs/reference/access-authn-authz/rbac/#controller-roles"),
    row("Service", &["kubernetes"], Only::In("default"), "the API server's own", API_SERVER),
    row("Endpoints", &["kubernetes"], Only::In("default"), "the API server's own", API_SERVER),
    row("discovery.k8s.io/EndpointSlice", &["kubernetes"], Only::In("default"), "the API server's own", API_SERVER),
    row("Endpoints", &["*"], Only::Label("endpoints.kubernetes.io/managed-by", "endpoint-controller"), "of Services with a selector", LABELS),
    row("Endpoints", &["*"], Only::Wrote("kube-controller-manager", &["f:subsets"]), "of Services with a selector, on servers that do not label them", "https://kubernetes.io/docs/concepts/services-networking/service/#endpoints"),
    row("coordination.k8s.io/Lease", &["*"], Only::Any, "of whoever elects a leader, and of nodes", "https://kubernetes.io/docs/concepts/architecture/leases/"),
    row("Event", &["*"], Only::Any, "what happened", EVENTS),
    row("events.k8s.io/Event", &["*"], Only::Any, "what happened", EVENTS),
    row("Node", &["*"], Only::Any, "kubelets register themselves; whether a node belongs to the cluster is not Git's to say", "https://kubernetes.io/docs/concepts/architecture/nodes/#self-registration-of-nodes"),
    row("storage.k8s.io/CSINode", &["*"], Only::Any, "by kubelets", "https://kubernetes-csi.github.io/docs/csi-node-object.html"),
    row("storage.k8s.io/VolumeAttachment", &["*"], Only::Any, "by the attach/detach controller", "https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume-attachment-v1/"),
    row("Secret", &["sh.helm.release.v1.*"], Only::Type("helm.sh/release.v1"), "Helm's storage", STORAGE),
    row("Secret", &["*"], Only::LegacyToken, "tokens that the control plane made up to 1.23", "https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#auto-generated-legacy-serviceaccount-token-clean-up"),
    row("Secret", &["bootstrap-token-*"], Only::In("kube-system"), "tokens with which nodes join", "https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/"),
    row("PersistentVolumeClaim", &["*"], Only::Wrote("kube-controller-manager", &["f:spec", "f:resources"]), "made from the volumeClaimTemplates of a StatefulSet", SETS),
    row("PersistentVolume", &["*"], Only::Provisioned, "provisioned for a claim that was bound to it", VOLUMES),
    row("Namespace", &["default", "kube-system", "kube-public", "kube-node-lease"], Only::Any, "there from the start", NAMESPACES),
    row("scheduling.k8s.io/PriorityClass", &["system-cluster-critical", "system-node-critical"], Only::Any, "there from the start", "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/"),
    row("rbac.authorization.k8s.io/ClusterRole", &["system:*", "cluster-admin", "admin", "edit", "view"], Only::Label("kubernetes.io/bootstrapping", "rbac-defaults"), "the API server's defaults", RBAC),
    row("rbac.authorization.k8s.io/ClusterRoleBinding", &["system:*", "cluster-admin"], Only::Label("kubernetes.io/bootstrapping", "rbac-defaults"), "the API server's defaults", RBAC),
    row("rbac.authorization.k8s.io/Role", &["system:*", "extension-apiserver-authentication-reader"], Only::Label("kubernetes.io/bootstrapping", "rbac-defaults"), "the API server's defaults", RBAC),
    row("rbac.authorization.k8s.io/RoleBinding", &["system:*"], Only::Label("kubernetes.io/bootstrapping", "rbac-defaults"), "the API server's defaults", RBAC),
    row("flowcontrol.apiserver.k8s.io/FlowSchema", &["*"], Only::Annotation("apf.kubernetes.io/autoupdate-spec", "true"), "the API server's defaults; it deletes what only pretends to be one", FAIRNESS),
    row("flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration", &["*"], Only::Annotation("apf.kubernetes.io/autoupdate-spec", "true"), "the API server's defaults; it deletes what only pretends to be one", FAIRNESS),
    row("apiregistration.k8s.io/APIService", &["*"], Only::Label("kube-aggregator.kubernetes.io/automanaged", "onstart"), "the API server's own groups", AGGREGATOR),
    row("apiregistration.k8s.io/APIService", &["*"], Only::Label("kube-aggregator.kubernetes.io/automanaged", "true"), "groups of custom resources; the API server deletes what only pretends to be one", AGGREGATOR),
    row("networking.k8s.io/ServiceCIDR", &["kubernetes"], Only::Any, "from the API server's flags", "https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/"),
    row("networking.k8s.io/IPAddress", &["*"], Only::Label("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"), "addresses of Services", LABELS),
    row("certificates.k8s.io/ClusterTrustBundle", &["kubernetes.io:*"], Only::Any, "published by the control plane; others may not sign under its name", "https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#cluster-trust-bundles"),
    row("driftline.dev/DriftRecord", &["*"], Only::Any, "Driftline's own", "https://kubernetes.io/docs/concepts/extend-kubernetes/operator/"),
];

impl SystemRow {
    pub(super) fn speaks_of(&self, id: &ObjectId, live: &Value) -> bool {
        let named = |name: &&str| match name.strip_suffix('*') {
            Some(start) => id.name.starts_with(start),
            None => *id.name == **name,
        };
        self.names.iter().any(named)
            && id.group_kind.to_string() == self.kind
            && self.only.holds(id, live)
    }
}

impl Only {
    fn holds(self, id: &ObjectId, live: &Value) -> bool {
        let of = |map: &str, key: &str| live.get("metadata")?.get(map)?.get(key)?.as_str();
        let is_type = |kind: &str| live.get("type").and_then(Value::as_str) == Some(kind);
        match self {
            Self::Any => true,
            Self::In(namespace) => id.namespace.as_deref() == Some(namespace),
            Self::Label(key, value) => of("labels", key) == Some(value),
            Self::Annotation(key, value) => of("annotations", key) == Some(value),
            Self::Provisioned => {
                let is = |at: &str| live.pointer(at).and_then(Value::as_str).unwrap_or_default();
                of("annotations", "pv.kubernetes.io/provisioned-by").is_some()
                    && !is("/spec/claimRef/uid").is_empty()
                    && ["Bound", "Released"].contains(&is("/status/phase"))
            }
            Self::Type(kind) => is_type(kind),
            Self::LegacyToken => {
                let account = of("annotations", "kubernetes.io/service-account.name");
                let rest = account.and_then(|a| id.name.strip_prefix(a)?.strip_prefix("-token-"));
                is_type("kubernetes.io/service-account-token")
                    && rest.is_some_and(|r| r.len() == 5 && of("labels", LAST_USED).is_some())
            }
            Self::Wrote(manager, field) => owns(live, manager, field),
        }
    }
}

/// The control plane labels the tokens of old that it would clean up.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";

fn owns(live: &Value, manager: &str, field: &[&str]) -> bool {
    let entries = live
        .get("metadata")
        .and_then(|m| m.get("managedFields"))
        .and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| {
        let whole = entry.get("subresource").is_none();
        let named = entry.get("manager").and_then(Value::as_str) == Some(manager);
        let fields = entry.get("fieldsV1");
        let owned = field.iter().fold(fields, |at, step| at?.get(step));
        whole && named && owned.is_some()
    })
}
