//! The `DriftRecord`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::Owner;
use crate::rules::Severity;

/// One object that is not as Git declares it, while it is so. Written by the operator alone; closed records stay a day.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "driftline.dev",
    version = "v1alpha1",
    kind = "DriftRecord",
    plural = "driftrecords",
    shortname = "dr",
    category = "driftline",
    namespaced,
    doc = "One object that is not as Git declares it, while it is so. Written by the operator alone; closed records stay a day.",
    status = "DriftRecordStatus",
    printcolumn = r#"{"name":"Subject","type":"string","jsonPath":".status.display.subject"}"#,
    printcolumn = r#"{"name":"Fields","type":"string","jsonPath":".status.display.fields"}"#,
    printcolumn = r#"{"name":"Severity","type":"string","jsonPath":".status.severity"}"#,
    printcolumn = r#"{"name":"Origin","type":"string","jsonPath":".status.display.origin"}"#,
    printcolumn = r#"{"name":"By","type":"string","jsonPath":".status.display.by"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Since","type":"date","jsonPath":".status.firstSeen"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct DriftRecordSpec {
    /// The policy, of the same namespace.
    pub policy: String,
    /// The target of the policy.
    pub target: String,
    /// What drifted.
    pub subject: Subject,
}

/// What drifted.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// An object of this cluster.
    pub kubernetes: KubernetesSubject,
}

/// An object of this cluster.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesSubject {
    /// Its API group; empty for the core group.
    #[serde(default)]
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// What differs, since when, by whom.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftRecordStatus {
    /// Open while it differs (Excepted where exceptions allow it for now; Held, Blocked or Contested where it was to be put back and was not),
    /// Pending while only a commit is not rolled
    /// out yet, then Closed.
    pub state: RecordState,
    /// What is the matter with the object as a whole.
    pub change: RecordChange,
    /// The gravest of its fields, or the object's own where it is about the object as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Who moved: the gravest of its fields, or the object's own where it is about the object as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Which rules of the policy applied and what they did, by their index in spec.rules; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The exceptions that allow all or some of it for now, by name; or the one that allowed it and has ended. Absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// For what nobody declares: what it says of itself, and why that is not believed, such as an annotation of Argo CD that no
    /// Application confirms, or an owner that is gone. Anybody who can edit the object can write that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Who is responsible, from the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// When this drift was first seen.
    pub first_seen: Time,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
    /// The live object's uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The apiVersion it was compared in.
    pub api_version: String,
    /// What is known of who did it, where the drift is about the object as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// What the object was compared with to tell a live edit from a commit that is not rolled out; absent where there is nothing.
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
    /// What came of putting it back, where the policy asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Converged>,
    /// Short texts for columns.
    pub display: Display,
}

/// What came of putting an object back.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Converged {
    /// How far the policy goes.
    pub rung: crate::Enforcement,
    /// Reverted: it is as declared again. Delivered: what Git declares was applied. Pruned: what Git does not
    /// declare any more was deleted. Waiting: it is put back later, as revert.after, windows or the budget
    /// say. Held: enforcement is paused. Blocked: it could not be put back. Contested: somebody changes it back each
    /// time. Observed: its deployer puts it back, so Driftline does not.
    pub outcome: Outcome,
    /// Why, and what mends it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it was last tried.
    pub at: Time,
    /// How many times it was put back lately; one is forgotten every five minutes.
    #[serde(default)]
    pub attempts: u32,
}

/// What came of putting an object back.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is as declared again.
    Reverted,
    /// What Git declares was applied.
    Delivered,
    /// What Git does not declare any more was deleted.
    Pruned,
    /// It is put back later.
    Waiting,
    /// Enforcement is paused.
    Held,
    /// It could not be put back.
    Blocked,
    /// Somebody changes it back each time.
    Contested,
    /// Argo CD or Flux puts it back.
    Observed,
}

impl Outcome {
    /// True where something was written, and nothing is left to do.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Reverted | Self::Delivered | Self::Pruned)
    }

    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reverted => "Reverted",
            Self::Delivered => "Delivered",
            Self::Pruned => "Pruned",
            Self::Waiting => "Waiting",
            Self::Held => "Held",
            Self::Blocked => "Blocked",
            Self::Contested => "Contested",
            Self::Observed => "Observed",
        }
    }
}

/// Whether the object still differs.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordState {
    /// It differs.
    Open,
    /// It differs only because a commit is not rolled out yet, for more than a minute.
    Pending,
    /// It differs, and exceptions allow all of it for now.
    Excepted,
    /// It differs, and enforcement is paused.
    Held,
    /// It differs, and could not be put back.
    Blocked,
    /// It differs, and somebody undoes it each time it is put back.
    Contested,
    /// It is as declared again, or not declared any more.
    Closed,
}

impl RecordState {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Pending => "Pending",
            Self::Excepted => "Excepted",
            Self::Held => "Held",
            Self::Blocked => "Blocked",
            Self::Contested => "Contested",
            Self::Closed => "Closed",
        }
    }
}

/// What is the matter with the object as a whole.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordChange {
    /// Fields differ.
    Changed,
    /// It is declared and not there.
    Missing,
    /// It was deleted and is held by a finalizer.
    Terminating,
    /// It was declared by this policy, is not any more, and is still there.
    Orphaned,
    /// It is there, nobody declares it, and the policy asks about such objects.
    Undeclared,
}

/// Who moved: what runs, or Git.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Somebody changed what runs.
    LiveEdited,
    /// Git was changed, and that is not rolled out yet.
    GitAhead,
    /// Both were changed.
    Diverged,
    /// It is not known what was in force when the two last agreed.
    Unknown,
}

impl Origin {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LiveEdited => "LiveEdited",
            Self::GitAhead => "GitAhead",
            Self::Diverged => "Diverged",
            Self::Unknown => "Unknown",
        }
    }
}

/// The last state in which what runs was what Git declared.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// The commit, or what the evidence calls its revision.
    pub revision: String,
    /// The digest of what else went into rendering, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// What it is known from.
    pub evidence: BaselineEvidence,
}

/// What a baseline is known from.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BaselineEvidence {
    /// Driftline saw the object in sync at that revision.
    Own,
    /// Argo CD's synced revision.
    ArgoCD,
    /// Flux's last applied revision.
    Flux,
    /// The deployed Helm release.
    Helm,
    /// The object's last-applied-configuration annotation.
    LastApplied,
}

/// Where an object is declared.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredAt {
    /// The revision.
    pub revision: String,
    /// The file, or the folder that was rendered.
    pub file: String,
    /// The document in that file, counted from 1, where it is certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<u32>,
    /// The line that declares what drifted: that of the first of the declared fields that has one, or the line on which the object begins
    /// where no declared field drifted. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The commit that last changed that line, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// That commit's author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// That commit's date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Time>,
}

/// One field that differs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Where, for example spec.template.spec.containers[name=web].image.
    pub path: String,
    /// Changed: both have a value. Missing: declared, not live. Added: live, not declared.
    pub change: String,
    /// How grave it is, by the policy's rules or the built-in table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Who moved: what runs, or Git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What the verdict stands on: Declared (the two values alone), Expected (the server was asked what it makes of the declaration)
    /// or Ownership (who owns the field, where the server could not be asked).
    pub basis: String,
    /// The declared value, as JSON; absent where withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    pub declared: Option<Value>,
    /// The live value, as JSON; absent where withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    pub live: Option<Value>,
    /// A value was cut at 256 bytes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
    /// What differs, where values were cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Excerpt>,
    /// Values are withheld because they are or may be secret.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sensitive: bool,
    /// Since when it has differed, at the earliest known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Who changed it.
    pub by: Actor,
    /// The line on which it is declared, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// What of two long values differs, with … where the rest is left out.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Excerpt {
    /// Of the declared value, as JSON.
    #[schemars(schema_with = "any_value")]
    pub declared: Value,
    /// Of the live value, as JSON.
    #[schemars(schema_with = "any_value")]
    pub live: Value,
}

fn is_false(b: &bool) -> bool {
    !b
}

fn any_value(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "A value, as JSON; absent where withheld.",
        "x-kubernetes-preserve-unknown-fields": true
    })
}

/// Who changed a field.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// What this is known from. Stamp: the user whom the API server authenticated for exactly this write. ManagedFields: a tool as it calls
    /// itself, not a person. None: nobody is known.
    pub evidence: String,
    /// The authenticated user, only where that is proven.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The workload that runs as that user, where it is a service account that exactly one uses.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workload: String,
    /// The field manager.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manager: String,
    /// Apply or Update.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// The subresource written to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// When the manager last wrote to the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// What else is known where something was removed, which leaves no owner: who wrote last before, not who removed it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Short texts for columns.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Display {
    /// The object.
    pub subject: String,
    /// How many fields, and the first ones.
    pub fields: String,
    /// Who moved: what runs, or Git.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// Who.
    pub by: String,
}
