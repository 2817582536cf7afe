//! The `DriftRecord`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::Owner;

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
    /// Open while it differs, then Closed.
    pub state: RecordState,
    /// What is the matter with the object as a whole.
    pub change: RecordChange,
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
    /// Where it is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_at: Option<DeclaredAt>,
    /// The fields that differ, at most 25.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// How many more fields differ.
    #[serde(default)]
    pub more_fields: u32,
    /// Short texts for columns.
    pub display: Display,
}

/// Whether the object still differs.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordState {
    /// It differs.
    Open,
    /// It is as declared again, or not declared any more.
    Closed,
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
}

/// Where an object is declared.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredAt {
    /// The revision.
    pub revision: String,
    /// The file, or the folder that was rendered.
    pub file: String,
    /// The line on which the object begins, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// One field that differs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Where, for example spec.template.spec.containers[name=web].image.
    pub path: String,
    /// Changed: both have a value. Missing: declared, not live.
    pub change: String,
    /// What the verdict stands on: Declared (the two values alone) or Expected (the server was asked what it makes of the declaration).
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
    /// What this is known from. ManagedFields names a tool as it calls itself, not a person; None: nobody is known.
    pub evidence: String,
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
}

/// Short texts for columns.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Display {
    /// The object.
    pub subject: String,
    /// How many fields, and the first ones.
    pub fields: String,
    /// Who.
    pub by: String,
}
