//! How grave a difference is where no rule says so: one table for fields, one for whole objects.
//!
//! The rows are read from above, the first that fits decides; what none fits is [`Severity::Medium`]. Where a value that
//! differs is a structure (a container added by hand), whatever it holds is looked up too, and the gravest counts.

use std::sync::LazyLock;

use serde_json::Value;

use crate::names::KindPattern;
use crate::path::{FieldPath, Step};
use crate::pattern::PathPattern;
use crate::subject::GroupKind;

/// How grave a difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Changes nothing that runs.
    Low,
    /// Changes how it runs.
    Medium,
    /// Changes what runs, or who reaches it.
    High,
    /// Changes who may do what.
    Critical,
}

impl Severity {
    /// The word used in policies and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }
}

/// What is the matter with an object as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is declared and not there, or about to go.
    Gone,
    /// It is there and not declared.
    Extra,
}

use Presence::{Extra, Gone};
use Severity::{Critical, High, Low, Medium};

/// A row about fields.
pub struct FieldRow {
    /// Which kinds; none stands for all.
    pub kinds: &'static [&'static str],
    /// Which fields, with everything below them.
    pub paths: &'static [&'static str],
    /// How grave it is.
    pub severity: Severity,
    /// Why, in a line.
    pub reason: &'static str,
}

/// A row about objects as a whole.
pub struct ObjectRow {
    /// Which kinds.
    pub kinds: &'static [&'static str],
    /// What is the matter with them.
    pub presence: &'static [Presence],
    /// How grave it is.
    pub severity: Severity,
    /// Why, in a line.
    pub reason: &'static str,
}

const ANY: &[&str] = &[];
const ROLES: &[&str] = &[
    "rbac.authorization.k8s.io/Role",
    "rbac.authorization.k8s.io/ClusterRole",
    "rbac.authorization.k8s.io/RoleBinding",
    "rbac.authorization.k8s.io/ClusterRoleBinding",
];
const ADMISSION: &[&str] = &[
    "admissionregistration.k8s.io/ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/MutatingWebhookConfiguration",
    "admissionregistration.k8s.io/ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding",
    "admissionregistration.k8s.io/MutatingAdmissionPolicy",
    "admissionregistration.k8s.io/MutatingAdmissionPolicyBinding",
    "apiregistration.k8s.io/APIService",
];
const NETWORK_POLICIES: &[&str] = &[
    "*/NetworkPolicy",
    "*/GlobalNetworkPolicy",
    "*/AdminNetworkPolicy",
    "*/BaselineAdminNetworkPolicy",
    "cilium.io/CiliumNetworkPolicy",
    "cilium.io/CiliumClusterwideNetworkPolicy",
    "security.istio.io/AuthorizationPolicy",
    "security.istio.io/PeerAuthentication",
];
const ROUTES: &[&str] = &[
    "networking.k8s.io/Ingress",
    "gateway.networking.k8s.io/Gateway",
    "gateway.networking.k8s.io/HTTPRoute",
    "gateway.networking.k8s.io/GRPCRoute",
    "gateway.networking.k8s.io/TLSRoute",
    "gateway.networking.k8s.io/TCPRoute",
    "gateway.networking.k8s.io/UDPRoute",
];
const WORKLOADS: &[&str] = &[
    "apps/Deployment",
    "apps/StatefulSet",
    "apps/DaemonSet",
    "apps/ReplicaSet",
    "batch/Job",
    "batch/CronJob",
    "Pod",
];
const DEFINITIONS: &[&str] = &["apiextensions.k8s.io/CustomResourceDefinition"];

/// What a field that differs means. Kinds come first: the data of a ConfigMap may have keys of any name.
pub const FIELDS: &[FieldRow] = &[
    FieldRow {
        kinds: &["Namespace"],
        paths: &[
            "metadata.labels[\"pod-security.kubernetes.io/enforce\"]",
            "metadata.labels[\"pod-security.kubernetes.io/enforce-version\"]",
        ],
        severity: Critical,
        reason: "decides which pods may run in the namespace",
    },
    FieldRow {
        kinds: &["ServiceAccount"],
        paths: &["metadata.annotations"],
        severity: High,
        reason: "cloud roles are given by annotations",
    },
    FieldRow {
        kinds: &["Service", "networking.k8s.io/Ingress"],
        paths: &["metadata.annotations"],
        severity: Medium,
        reason: "load balancers and ingress controllers are set up by annotations",
    },
    FieldRow {
        kinds: ANY,
        paths: &[
            "metadata.labels",
            "metadata.annotations",
            "spec.template.metadata",
            "spec.jobTemplate.metadata",
            "spec.jobTemplate.spec.template.metadata",
            "spec.volumeClaimTemplates[*].metadata",
        ],
        severity: Low,
        reason: "describes",
    },
    FieldRow {
        kinds: ANY,
        paths: &["metadata.finalizers", "metadata.ownerReferences"],
        severity: Medium,
        reason: "decides when and with what the object is deleted",
    },
    FieldRow {
        kinds: ROLES,
        paths: &["rules", "subjects", "roleRef", "aggregationRule"],
        severity: Critical,
        reason: "who may do what",
    },
    FieldRow {
        kinds: ADMISSION,
        paths: &["webhooks", "spec"],
        severity: Critical,
        reason: "decides what the API server lets in and changes, or who answers for it",
    },
    FieldRow {
        kinds: NETWORK_POLICIES,
        paths: &["spec"],
        severity: High,
        reason: "who reaches whom",
    },
    FieldRow {
        kinds: &["Secret"],
        paths: &["data", "stringData", "type", "immutable"],
        severity: High,
        reason: "credentials and keys",
    },
    FieldRow {
        kinds: &["ConfigMap"],
        paths: &["data", "binaryData", "immutable"],
        severity: Medium,
        reason: "configuration",
    },
    FieldRow {
        kinds: DEFINITIONS,
        paths: &["spec"],
        severity: High,
        reason: "decides what of custom objects is kept, and who converts them",
    },
    FieldRow {
        kinds: &["Service"],
        paths: &[
            "spec.type",
            "spec.externalIPs",
            "spec.externalName",
            "spec.loadBalancerIP",
            "spec.loadBalancerSourceRanges",
            "spec.selector",
        ],
        severity: High,
        reason: "who is reached, and from where",
    },
    FieldRow {
        kinds: ROUTES,
        paths: &["spec"],
        severity: High,
        reason: "who is reached, and from where",
    },
    FieldRow {
        kinds: ANY,
        paths: &[
            "**.securityContext.privileged",
            "**.securityContext.allowPrivilegeEscalation",
            "**.securityContext.capabilities",
            "**.securityContext.procMount",
            "**.securityContext.windowsOptions.hostProcess",
            "**.hostNetwork",
            "**.hostPID",
            "**.hostIPC",
            "**.hostPath",
        ],
        severity: Critical,
        reason: "a way out of the container",
    },
    FieldRow {
        kinds: ANY,
        paths: &[
            "**.securityContext",
            "**.hostUsers",
            "**.hostPort",
            "**.shareProcessNamespace",
            "**.runtimeClassName",
        ],
        severity: High,
        reason: "what a container is kept from",
    },
    FieldRow {
        kinds: ANY,
        paths: &[
            "**.serviceAccountName",
            "**.serviceAccount",
            "**.automountServiceAccountToken",
        ],
        severity: High,
        reason: "as whom it runs",
    },
    FieldRow {
        kinds: ANY,
        paths: &["**.image", "**.command", "**.args"],
        severity: High,
        reason: "what runs",
    },
    FieldRow {
        kinds: ANY,
        paths: &["**.env", "**.envFrom"],
        severity: Medium,
        reason: "how it runs",
    },
    FieldRow {
        kinds: ANY,
        paths: &["spec.replicas", "**.resources"],
        severity: Medium,
        reason: "how much runs",
    },
    FieldRow {
        kinds: ANY,
        paths: &[
            "**.containers[*].*",
            "**.initContainers[*].*",
            "**.ephemeralContainers[*].*",
        ],
        severity: Medium,
        reason: "probes, ports, mounts and the rest of a container",
    },
    FieldRow {
        kinds: ANY,
        paths: &[
            "**.containers[*]",
            "**.initContainers[*]",
            "**.ephemeralContainers[*]",
        ],
        severity: High,
        reason: "a whole container: what runs",
    },
];

/// What it means that an object as a whole is gone, or there without being declared.
pub const OBJECTS: &[ObjectRow] = &[
    ObjectRow {
        kinds: ADMISSION,
        presence: &[Gone, Extra],
        severity: Critical,
        reason: "decides what the API server lets in and changes, or who answers for it",
    },
    ObjectRow {
        kinds: ROLES,
        presence: &[Extra],
        severity: Critical,
        reason: "who may do what",
    },
    ObjectRow {
        kinds: DEFINITIONS,
        presence: &[Gone],
        severity: Critical,
        reason: "its custom objects go with it",
    },
    ObjectRow {
        kinds: ROLES,
        presence: &[Gone],
        severity: High,
        reason: "somebody may no longer do what they did",
    },
    ObjectRow {
        kinds: NETWORK_POLICIES,
        presence: &[Gone],
        severity: High,
        reason: "what it kept out gets in",
    },
    ObjectRow {
        kinds: WORKLOADS,
        presence: &[Gone, Extra],
        severity: High,
        reason: "what runs",
    },
    ObjectRow {
        kinds: ROUTES,
        presence: &[Gone, Extra],
        severity: High,
        reason: "who is reached, and from where",
    },
    ObjectRow {
        kinds: &[
            "Namespace",
            "Secret",
            "Service",
            "ServiceAccount",
            "PersistentVolume",
            "PersistentVolumeClaim",
        ],
        presence: &[Gone],
        severity: High,
        reason: "what runs depends on it",
    },
    ObjectRow {
        kinds: &["ConfigMap"],
        presence: &[Extra],
        severity: Low,
        reason: "nothing runs by itself",
    },
];

/// What no row speaks of.
const DEFAULT: Severity = Medium;

/// The most places within one value that are looked up.
const MAX_WITHIN: usize = 256;

type Row<'a, T> = (Vec<KindPattern>, Vec<PathPattern>, &'a T);

static FIELD_ROWS: LazyLock<Vec<Row<'static, FieldRow>>> = LazyLock::new(|| {
    let row = |row: &'static FieldRow| (parsed(row.kinds), parsed(row.paths), row);
    FIELDS.iter().map(row).collect()
});
static OBJECT_ROWS: LazyLock<Vec<Row<'static, ObjectRow>>> = LazyLock::new(|| {
    let row = |row: &'static ObjectRow| (parsed(row.kinds), Vec::new(), row);
    OBJECTS.iter().map(row).collect()
});

/// A test shows that all of them are valid.
fn parsed<T: std::str::FromStr>(texts: &[&str]) -> Vec<T> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn speaks_of(kinds: &[KindPattern], kind: &GroupKind) -> bool {
    kinds.is_empty() || kinds.iter().any(|k| k.matches(kind))
}

/// The table's rows for one kind.
pub struct Severities {
    kind: GroupKind,
    rows: Vec<&'static Row<'static, FieldRow>>,
}

impl Severities {
    /// Those for a kind.
    pub fn of(kind: &GroupKind) -> Self {
        let rows = FIELD_ROWS
            .iter()
            .filter(|(kinds, _, _)| speaks_of(kinds, kind));
        Self {
            kind: kind.clone(),
            rows: rows.collect(),
        }
    }

    /// A field's, with the values that differ there.
    pub fn field(&self, path: &FieldPath, values: [Option<&Value>; 2]) -> Severity {
        let mut gravest = self.row(path);
        let mut left = MAX_WITHIN;
        let mut place = path.clone();
        for value in values.into_iter().flatten() {
            self.within(&mut place, value, &mut left, &mut gravest);
        }
        gravest
    }

    /// An object's as a whole.
    pub fn object(&self, presence: Presence) -> Severity {
        OBJECT_ROWS
            .iter()
            .find(|(kinds, _, row)| {
                row.presence.contains(&presence) && speaks_of(kinds, &self.kind)
            })
            .map_or(DEFAULT, |(_, _, row)| row.severity)
    }

    fn row(&self, path: &FieldPath) -> Severity {
        self.rows
            .iter()
            .find(|(_, paths, _)| paths.iter().any(|p| p.matches(path)))
            .map_or(DEFAULT, |(_, _, row)| row.severity)
    }

    fn within(
        &self,
        place: &mut FieldPath,
        value: &Value,
        left: &mut usize,
        gravest: &mut Severity,
    ) {
        let children: Vec<(Step, &Value)> = match value {
            Value::Object(members) => members
                .iter()
                .take(*left)
                .map(|(name, member)| (Step::Field(name.clone()), member))
                .collect(),
            Value::Array(items) => items
                .iter()
                .take(*left)
                .enumerate()
                .map(|(n, item)| (Step::Index(n), item))
                .collect(),
            _ => return,
        };
        for (step, child) in children {
            let Some(less) = left.checked_sub(1) else {
                return;
            };
            *left = less;
            place.0.push(step);
            *gravest = self.row(place).max(*gravest);
            self.within(place, child, left, gravest);
            place.0.pop();
        }
    }
}

#[cfg(test)]
#[path = "severity_tests.rs"]
mod tests;
