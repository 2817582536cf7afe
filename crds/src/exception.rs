//! The `DriftException`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rules::RuleMatch;

/// Allows what a policy reports, for now: it is not put back while the exception lasts, and ends by itself. Detection goes on.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "driftline.dev",
    version = "v1alpha1",
    kind = "DriftException",
    plural = "driftexceptions",
    shortname = "dx",
    category = "driftline",
    namespaced,
    doc = "Allows what a policy of this namespace reports, for now: it is not put back while the exception lasts, and ends by itself. Detection goes on, and the record says so.",
    status = "DriftExceptionStatus",
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name: at most 63 characters"),
    printcolumn = r#"{"name":"Policy","type":"string","jsonPath":".spec.policy"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Matches","type":"integer","jsonPath":".status.matches"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".spec.expiresAt"}"#,
    printcolumn = r#"{"name":"Ticket","type":"string","jsonPath":".spec.ticket"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".spec.reason","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct DriftExceptionSpec {
    /// The policy, of this namespace, of which it is an exception.
    #[schemars(length(min = 1, max = 63))]
    pub policy: String,
    /// What is allowed, matched as rules of the policy are. Without fields it is about objects as a whole, too.
    #[serde(rename = "match")]
    pub matches: RuleMatch,
    /// Only these live values of the fields named are allowed; null stands for a field that is not there. Values that are withheld from
    /// records match none. Default: any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "values")]
    pub allowed_values: Option<Vec<Value>>,
    /// Why, for whoever asks later.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('[^ \\t\\n\\r]')").message("reason: say why this is allowed"))]
    pub reason: String,
    /// Where it is tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub ticket: Option<String>,
    /// When it ends, for example 2026-12-01T09:00:00Z: at most the operator's longest (30 days, if not set otherwise) after its creation.
    pub expires_at: Time,
}

fn values(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "Only these live values of the fields named are allowed; null stands for a field that is not there. Values that are withheld from records match none. Default: any value.",
        "type": "array",
        "minItems": 1,
        "maxItems": 64,
        "nullable": true,
        "items": {"x-kubernetes-preserve-unknown-fields": true, "nullable": true}
    })
}

/// What has become of an exception.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftExceptionStatus {
    /// Active, Expiring in its last 24 hours, Expired, or Invalid, which allows nothing.
    pub state: ExceptionState,
    /// Why it is invalid, and what mends it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How many objects it allows something of now.
    #[serde(default)]
    pub matches: u32,
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether an exception is in force.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExceptionState {
    /// In force.
    Active,
    /// In force, for less than 24 hours more.
    Expiring,
    /// Over.
    Expired,
    /// Not in force, because it makes no sense.
    Invalid,
}
