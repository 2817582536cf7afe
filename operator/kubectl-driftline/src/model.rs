//! What commands tell, before it becomes text: an audit's report, and drift in the words of records.

use drift::{GroupKind, ObjectId};
use driftline_crds::{
    Actor, Baseline, DeclaredAt, DriftRecordStatus, Field, KubernetesSubject, Origin, RecordChange,
    Severity, Summary,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The outcome of a comparison, and its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// Everything was checked, and is as declared.
    InSync,
    /// Something drifts.
    Drifted,
    /// Nothing is known to drift, and not everything could be checked.
    Unknown,
}

impl Outcome {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::InSync => 0,
            Self::Drifted => 1,
            Self::Unknown => 2,
        }
    }

    /// The word of the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "InSync",
            Self::Drifted => "Drifted",
            Self::Unknown => "Unknown",
        }
    }
}

/// What an audit found. The words and values are those of DriftRecords; values are redacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// driftline.dev/v1alpha1.
    pub api_version: String,
    /// AuditReport.
    pub kind: String,
    /// The outcome over all clusters.
    pub status: Outcome,
    /// When the audit was done.
    pub generated_at: Time,
    /// The version of kubectl-driftline.
    pub version: String,
    /// Counts over all clusters.
    pub summary: Summary,
    /// One entry for each context.
    pub clusters: Vec<ClusterReport>,
}

/// What an audit found in one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReport {
    /// The context of the kubeconfig; empty inside a cluster.
    pub context: String,
    /// The API server's address.
    pub server: String,
    /// The API server's version.
    pub server_version: String,
    /// What was compared with.
    pub targets: Vec<TargetReport>,
    /// Counts.
    pub summary: Summary,
    /// Counts by namespace, cluster-scoped objects first.
    pub namespaces: Vec<NamespaceReport>,
    /// What drifts, the gravest first; and what only waits for a commit to be rolled out.
    pub objects: Vec<Finding>,
    /// What could not be checked.
    pub not_checked: Vec<NotChecked>,
    /// The objects that are as declared; not told to machines.
    #[serde(skip)]
    pub in_sync: Vec<KubernetesSubject>,
    /// The objects that could not be checked; machines are told of them by what keeps them from it.
    #[serde(skip)]
    pub unchecked: Vec<KubernetesSubject>,
}

/// A place in a repository that was compared with a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// The repository or folder, as it was named, without credentials.
    pub source: String,
    /// The revision, for example main@sha1:4f0c…; `files` where files were compared as they are.
    pub revision: String,
    /// The commit's author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The first line of the commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The path below the repository's root.
    pub path: String,
    /// What rendered it: Plain, Kustomize, Helm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    /// Counts.
    pub summary: Summary,
}

/// Counts of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceReport {
    /// The namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Counts.
    pub summary: Summary,
    /// Drifted objects by severity.
    pub severities: Severities,
}

/// Drifted objects by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Severities {
    /// Who may do what was changed.
    pub critical: u32,
    /// What runs, or who reaches it, was changed.
    pub high: u32,
    /// How it runs was changed.
    pub medium: u32,
    /// Nothing that runs was changed.
    pub low: u32,
}

impl Severities {
    /// Counts one more.
    pub fn add(&mut self, severity: Option<Severity>) {
        let slot = match severity {
            Some(Severity::Critical) => &mut self.critical,
            Some(Severity::High) => &mut self.high,
            Some(Severity::Medium) => &mut self.medium,
            Some(Severity::Low) | None => &mut self.low,
        };
        *slot += 1;
    }

    /// Adds others.
    pub fn merge(&mut self, other: Self) {
        self.critical += other.critical;
        self.high += other.high;
        self.medium += other.medium;
        self.low += other.low;
    }
}

/// Adds counts.
pub fn merge(sum: &mut Summary, other: Summary) {
    sum.declared += other.declared;
    sum.in_sync += other.in_sync;
    sum.drifted += other.drifted;
    sum.pending += other.pending;
    sum.excepted += other.excepted;
    sum.unverified += other.unverified;
    sum.unknown += other.unknown;
}

/// Whether a finding is drift, or only waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Standing {
    /// It is not as declared.
    Drifted,
    /// Only a commit is not rolled out yet.
    Pending,
}

/// An object that is not as declared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The object.
    pub subject: KubernetesSubject,
    /// The apiVersion it was compared in.
    pub api_version: String,
    /// Whether it is drift, or only waits.
    pub standing: Standing,
    /// What is the matter with the object as a whole.
    pub change: RecordChange,
    /// Who moved: what runs, or Git.
    pub origin: Option<Origin>,
    /// How grave it is.
    pub severity: Option<Severity>,
    /// Since when it has differed, at the earliest known from managedFields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Who, where this is about the object as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// What the origin is known from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Where it is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_at: Option<DeclaredAt>,
    /// The fields that differ, at most 25, the gravest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// How many more fields differ.
    #[serde(default)]
    pub more_fields: u32,
    /// For what nobody declares: what it says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

impl Finding {
    /// From what a record says, or would say.
    pub fn new(subject: KubernetesSubject, standing: Standing, status: DriftRecordStatus) -> Self {
        let since = status.fields.iter().filter_map(|f| f.by.at.clone()).min();
        Self {
            subject,
            api_version: status.api_version,
            standing,
            change: status.change,
            origin: status.origin,
            severity: status.severity,
            since,
            by: status.by,
            baseline: status.baseline,
            declared_at: status.declared_at,
            fields: status.fields,
            more_fields: status.more_fields,
            claim: status.claim,
        }
    }
}

/// `apps/Deployment shop/web`, as messages name objects.
pub fn title(subject: &KubernetesSubject) -> String {
    let kind = GroupKind::new(&subject.group, &subject.kind);
    let id = ObjectId::new(kind, subject.namespace.as_deref(), &subject.name);
    // The API server lets names of roles and their like hold almost any character.
    drift::redact::printable(&id.to_string()).into_owned()
}

/// Something that could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotChecked {
    /// An object, a kind in a namespace, or a place in the repository.
    pub what: String,
    /// Its namespace, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Why, in CamelCase.
    pub reason: String,
    /// Why, and what to do.
    pub message: String,
    /// How many declared objects this is about; 0 where that is not known.
    pub objects: u32,
}

/// The outcome of counts.
pub fn outcome(summary: &Summary, not_checked: bool) -> Outcome {
    if summary.drifted > 0 {
        Outcome::Drifted
    } else if not_checked || summary.unknown > 0 || summary.unverified > 0 {
        Outcome::Unknown
    } else {
        Outcome::InSync
    }
}

impl AuditReport {
    /// A report of clusters, as of now.
    pub fn new(clusters: Vec<ClusterReport>, now: Timestamp) -> Self {
        let mut summary = Summary::default();
        clusters.iter().for_each(|c| merge(&mut summary, c.summary));
        let not_checked = clusters.iter().any(|c| !c.not_checked.is_empty());
        Self {
            api_version: "driftline.dev/v1alpha1".to_owned(),
            kind: "AuditReport".to_owned(),
            status: outcome(&summary, not_checked),
            generated_at: Time(edge::content::whole_seconds(now)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary,
            clusters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema that is published beside the documentation. `DRIFTLINE_GENERATE=1` writes it.
    #[test]
    fn the_report_schema_is_up_to_date() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/audit-report.schema.json"
        );
        let schema = schemars::schema_for!(AuditReport);
        let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        if std::env::var_os("DRIFTLINE_GENERATE").is_some() {
            std::fs::write(file, &text).expect("written");
        }
        let there = std::fs::read_to_string(file).unwrap_or_default();
        assert!(there == text, "{file} is stale: make generate");
    }

    #[test]
    fn what_could_not_be_checked_is_never_in_sync() {
        let counts = |drifted, unknown, unverified| Summary {
            drifted,
            unknown,
            unverified,
            ..Summary::default()
        };
        assert_eq!(outcome(&counts(0, 0, 0), false), Outcome::InSync);
        for (counts, rest) in [
            (counts(0, 1, 0), false),
            (counts(0, 0, 1), false),
            (counts(0, 0, 0), true),
        ] {
            assert_eq!(outcome(&counts, rest).code(), 2);
        }
        assert_eq!(outcome(&counts(1, 1, 1), true).code(), 1);
        let waits = Summary {
            pending: 1,
            ..Summary::default()
        };
        assert_eq!(
            outcome(&waits, false).code(),
            0,
            "a commit that waits is no drift"
        );
    }
}
