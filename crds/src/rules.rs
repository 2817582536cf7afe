//! What of a `DriftPolicy` says which drift matters: rules, severities, and what is not declared.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How grave a difference is.
#[derive(
    JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
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
    /// The word used in policies, records and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }
}

/// A rule: what it is about, and what then holds.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.ignore) != (has(self.severity) || has(self.enforcement))").message("rules: set either ignore, or severity, enforcement or both"))]
pub struct PolicyRule {
    /// What the rule is about. All of what is named has to match.
    #[serde(rename = "match")]
    pub matches: RuleMatch,
    /// Such differences are not drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Ignore>,
    /// Such differences are as grave as this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// How far Driftline goes against such differences, in place of spec.enforcement: Observe or Revert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self in ['Observe', 'Revert']").message("rules.enforcement: use Observe or Revert; Warn and Prevent are not available yet"))]
    pub enforcement: Option<crate::Enforcement>,
}

/// What a rule is about. All of what is named has to match; of each list, one entry.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.targets) || has(self.kinds) || has(self.names) || has(self.labels) || has(self.fields) || has(self.addresses) || has(self.types)").message("rules.match: name at least one of targets, kinds, names, labels, fields; names: [\"*\"] is everything"))]
#[x_kube(validation = Rule::new("!has(self.addresses) && !has(self.types)").message("rules.match: addresses and types are not available yet; they will come with Terraform targets"))]
pub struct RuleMatch {
    /// Targets of this policy, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 63)))]
    pub targets: Vec<String>,
    /// Kinds with their group, for example apps/Deployment; without a slash those of the core group, for example ConfigMap;
    /// */Deployment for any group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 317)))]
    #[x_kube(validation = Rule::new(r"self.all(k, k.matches('^(([*]|[a-z0-9]([-a-z0-9.]*[a-z0-9])?)/)?[A-Za-z][A-Za-z0-9]*$'))").message("rules.match.kinds: write GROUP/KIND without a version, for example apps/Deployment, a core kind without a slash, for example ConfigMap, or */KIND for any group"))]
    pub kinds: Vec<String>,
    /// Names of objects; * stands for any number of characters, ? for one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)))]
    pub names: Vec<String>,
    /// Labels with their values, as Git declares them: a label of the live object could be set by anyone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub labels: BTreeMap<String, String>,
    /// Fields, with everything below them, written as in records: spec.template.spec.containers[name=web].image. * stands for one
    /// step, ** for any number, [*] for any element of a list. A rule that names fields is not about objects as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 512)))]
    #[x_kube(validation = Rule::new(r#"self.all(f, f.matches('^(?:(?:[A-Za-z0-9_-]+|[*][*]?)|\\[(?:[^"\\]]|"(?:[^"\\\\]|\\\\.)*")*\\])(?:[.](?:[A-Za-z0-9_-]+|[*][*]?)|\\[(?:[^"\\]]|"(?:[^"\\\\]|\\\\.)*")*\\])*$'))"#).message("rules.match.fields: write paths as records show them, for example spec.template.spec.containers[name=web].image or metadata.annotations[\"example.com/owner\"]; * is one step, ** any number, [*] any element"))]
    pub fields: Vec<String>,
    /// Not available yet: addresses of Terraform resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 512)))]
    pub addresses: Vec<String>,
    /// Not available yet: types of Terraform resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 512)))]
    pub types: Vec<String>,
}

/// Such differences are not drift.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ignore {
    /// Why, for whoever asks later.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.matches('[^ \\t\\n\\r]')").message("rules.ignore.reason: say why this may differ"))]
    pub reason: String,
}

/// What to make of what runs and is not declared.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undeclared {
    /// Fields of declared objects that Git does not declare and that neither the API server nor a controller has set: Report (the
    /// default), Ignore, or Remove, which takes them away where enforcement is Revert.
    #[serde(default)]
    pub fields: UndeclaredFields,
    /// Kinds and namespaces in which live objects are reported that nobody declares: no policy, no Application of Argo CD, no
    /// Kustomization or HelmRelease of Flux that lists them. Left out is also what the cluster makes by itself and what a live
    /// controller owns. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub objects: Vec<UndeclaredObjects>,
}

/// What to make of undeclared fields.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UndeclaredFields {
    /// They are not looked at.
    Ignore,
    /// They are drift.
    #[default]
    Report,
    /// They are drift, and go where enforcement is Revert.
    Remove,
}

/// Kinds and namespaces in which an object that nobody declares is drift.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UndeclaredObjects {
    /// Kinds with their group, for example apps/Deployment; without a slash those of the core group, for example ConfigMap.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 317)))]
    #[x_kube(validation = Rule::new(r"self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z][A-Za-z0-9]*$'))").message("undeclared.objects.kinds: write GROUP/KIND without a version, for example apps/Deployment, or a core kind without a slash, for example ConfigMap"))]
    pub kinds: Vec<String>,
    /// Namespaces. Default: that of the target. Says nothing about kinds without namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(validation = Rule::new("self.all(n, n.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))").message("undeclared.objects.namespaces: lower case letters, digits and -"))]
    pub namespaces: Vec<String>,
}
