//! The `DriftPolicy`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{PolicyRule, Severity, Undeclared};

/// Says what to compare: a Git repository, and the parts of it that declare what runs in this cluster.
/// The operator compares continuously and writes one DriftRecord for each object that differs.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "driftline.dev",
    version = "v1alpha1",
    kind = "DriftPolicy",
    plural = "driftpolicies",
    shortname = "dp",
    category = "driftline",
    namespaced,
    doc = "Says what to compare with what runs in this cluster: a Git repository and the parts of it that declare Kubernetes objects. The operator compares continuously and writes one DriftRecord for each object that differs.",
    status = "DriftPolicyStatus",
    validation = Rule::new("!has(self.spec.rules) || self.spec.rules.all(r, !has(r.match.targets) || r.match.targets.all(n, self.spec.targets.exists(t, t.name == n)))").message("rules.match.targets: name only targets of spec.targets").field_path(".spec.rules"),
    validation = Rule::new("has(self.spec.source) || self.spec.targets.all(t, has(t.helmRelease))").message("spec.source: name the repository; it may be left out only where every target is a helmRelease"),
    validation = Rule::new("has(self.spec.serviceAccountName) || ((!has(self.spec.enforcement) || self.spec.enforcement != 'Revert') && (!has(self.spec.rules) || self.spec.rules.all(r, !has(r.enforcement) || r.enforcement != 'Revert')))").message("enforcement: Revert writes as the policy's own account; name it in spec.serviceAccountName"),
    validation = Rule::new("(has(self.spec.enforcement) && self.spec.enforcement == 'Revert') || (has(self.spec.rules) && self.spec.rules.exists(r, has(r.enforcement) && r.enforcement == 'Revert')) || self.spec.targets.all(t, (!has(t.kubernetes) || !has(t.kubernetes.undeclared) || !has(t.kubernetes.undeclared.fields) || t.kubernetes.undeclared.fields != 'Remove') && (!has(t.helmRelease) || !has(t.helmRelease.undeclared) || !has(t.helmRelease.undeclared.fields) || t.helmRelease.undeclared.fields != 'Remove'))").message("undeclared.fields: Remove takes effect only where enforcement is Revert; use Report, or raise the policy or a rule to Revert"),
    validation = Rule::new("(has(self.spec.enforcement) && self.spec.enforcement == 'Revert') || self.spec.targets.all(t, !has(t.kubernetes) || !has(t.kubernetes.delivery) || t.kubernetes.delivery != 'Driftline')").message("targets.kubernetes.delivery: Driftline writes what Git declares, which takes enforcement: Revert; set it, or let something else deliver with External"),
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name: at most 63 characters, because labels of records carry it"),
    printcolumn = r#"{"name":"Enforcement","type":"string","jsonPath":".spec.enforcement"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Drifted","type":"integer","jsonPath":".status.summary.drifted"}"#,
    printcolumn = r#"{"name":"Oldest","type":"date","jsonPath":".status.oldestDriftSince"}"#,
    printcolumn = r#"{"name":"Revision","type":"string","jsonPath":".status.source.revision"}"#,
    printcolumn = r#"{"name":"Pending","type":"integer","jsonPath":".status.summary.pending","priority":1}"#,
    printcolumn = r#"{"name":"Unverified","type":"integer","jsonPath":".status.summary.unverified","priority":1}"#,
    printcolumn = r#"{"name":"Unknown","type":"integer","jsonPath":".status.summary.unknown","priority":1}"#,
    printcolumn = r#"{"name":"Last Check","type":"string","jsonPath":".status.lastHandledCheck","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct DriftPolicySpec {
    /// How far Driftline goes against drift. Observe reports and never writes. Revert puts back what somebody edited live, as the service
    /// account of the policy. Warn and Prevent are not available yet.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self in ['Observe', 'Revert']").message("enforcement: use Observe or Revert; Warn and Prevent are not available yet"))]
    pub enforcement: Enforcement,
    /// What may be put back, and when; only where enforcement is Revert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<RevertTerms>,
    /// Pauses enforcement until a time, and never detection. Ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// A service account of this namespace that decides what this policy may see: only kinds that it may list are
    /// reported, only Secrets that it may get are used. May be left out in the operator's own namespace only, where the reader account of the
    /// installation stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.size() >= 1 && self.size() <= 253").message("serviceAccountName: name a service account of the policy's namespace"))]
    pub service_account_name: Option<String>,
    /// Who is responsible; goes with every record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Where the declarations are. May be left out where every target is a Helm release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How often everything is verified besides the watches, which report changes at once. At least 1m.
    #[serde(default = "default_verify_every")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(s|m|h))+$') && duration(self) >= duration('1m')").message("verifyEvery: a duration of at least 1m, for example 1h"))]
    #[schemars(length(max = 32))]
    pub verify_every: String,
    /// The parts of the source to compare.
    #[x_kube(validation = Rule::new("self.all(t, self.exists_one(u, u.name == t.name))").message("targets: give each target a name of its own"))]
    #[schemars(length(min = 1, max = 32))]
    pub targets: Vec<Target>,
    /// What is ignored and how grave the rest is. For each field that differs the first rule that matches decides alone; where none
    /// does, the built-in severities hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub rules: Vec<PolicyRule>,
    /// What becomes of what targets with delivery: Driftline have delivered, once this policy is deleted. Orphan: it stays. Delete: it is deleted
    /// as the policy's account, which takes the verb delete, and the policy is there until then.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What becomes of what was delivered, once its policy is deleted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Orphan,
    /// It is deleted. Never Namespaces, volumes, their claims or definitions of kinds.
    Delete,
}

fn default_verify_every() -> String {
    "1h".to_owned()
}

/// How far Driftline goes against drift.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// Report only.
    #[default]
    Observe,
    /// Report, and warn whoever makes a change.
    Warn,
    /// Put live edits back.
    Revert,
    /// Refuse changes.
    Prevent,
}

/// What may be put back, and when.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevertTerms {
    /// Drift of which origins is put back: LiveEdited (what runs was edited), Diverged (edited live, and changed in Git), Unknown (from
    /// before Driftline knew it). By default LiveEdited alone.
    #[serde(default = "default_origins")]
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(validation = Rule::new("self.all(o, o != 'GitAhead')").message("revert.origins: GitAhead is a commit that waits to be rolled out, which is not put back; name LiveEdited, Diverged or Unknown"))]
    pub origins: Vec<crate::Origin>,
    /// How long drift is left before it is put back, counted from when its record was opened. At most 24h.
    #[serde(default = "default_after")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(s|m|h))+$') && duration(self) <= duration('24h')").message("revert.after: a duration of at most 24h, for example 5m"))]
    #[schemars(length(max = 32))]
    pub after: String,
    /// At most so many objects are put back in so long; beyond that Driftline stops and says so. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// When something is put back; outside of all of them it waits. Default: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
}

/// How much is put back in how long.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Objects, each as often as it is put back.
    #[schemars(range(min = 1, max = 10000))]
    pub objects: u32,
    /// In so long, from 1m to 24h, for example 10m.
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('24h')").message("revert.budget.per: a duration from 1m to 24h, for example 10m"))]
    #[schemars(length(max = 32))]
    pub per: String,
}

/// A stretch of time that comes again and again.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it begins, as a cron expression of five fields, for example 0 9 * * MON-FRI.
    #[schemars(length(min = 9, max = 128))]
    pub cron: String,
    /// How long it is open each time, from 1m to 168h, for example 8h.
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('168h')").message("revert.windows.duration: a duration from 1m to 168h, for example 8h"))]
    #[schemars(length(max = 32))]
    pub duration: String,
    /// On the clocks of which time zone, by its name in the IANA database, for example Europe/Berlin. Default: UTC.
    #[serde(default = "default_zone")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

fn default_zone() -> String {
    "UTC".to_owned()
}

fn default_origins() -> Vec<crate::Origin> {
    vec![crate::Origin::LiveEdited]
}

fn default_after() -> String {
    "0s".to_owned()
}

/// A pause of enforcement.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Until when, for example 2026-12-01T09:00:00Z.
    #[x_kube(validation = Rule::new("self < timestamp('9000-01-01T00:00:00Z')").message("hold.until: a time before the year 9000"))]
    pub until: Time,
    /// Why.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
}

/// Who is responsible for what a policy watches.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub team: Option<String>,
    /// How to reach it: a channel, an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub contact: Option<String>,
    /// Where its runbook is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub runbook: Option<String>,
}

/// Where declarations come from.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A Git repository.
    pub git: GitSource,
}

/// A Git repository and what to read of it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.secretRef) || !self.url.startsWith('http://')").message("source.git: credentials never go over plain http; use an https:// or ssh:// url, or remove secretRef"))]
pub struct GitSource {
    /// The repository: https://, ssh:// (or user@host:path), or http:// without credentials. file:// only where the operator
    /// was started with --allow-file-urls, for tests and demonstrations.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^(https?|ssh|file)://[^/]*[^\\\\s]+$') || self.matches('^[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^\\\\s]+$')").message("source.git.url: use https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH"))]
    #[x_kube(validation = Rule::new("!self.matches('^https?://[^/]*@')").message("source.git.url: credentials do not belong into the url; put them into a Secret and name it in secretRef"))]
    pub url: String,
    /// What to follow; exactly one of branch, tag, semver, commit.
    #[serde(rename = "ref")]
    pub reference: GitReference,
    /// How often the repository is asked for new commits. At least 10s.
    #[serde(default = "default_interval")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(s|m|h))+$') && duration(self) >= duration('10s')").message("source.git.interval: a duration of at least 10s, for example 1m"))]
    #[schemars(length(max = 32))]
    pub interval: String,
    /// How long one fetch may take. From 1s to 10m.
    #[serde(default = "default_timeout")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('10m')").message("source.git.timeout: a duration from 1s to 10m, for example 1m"))]
    #[schemars(length(max = 32))]
    pub timeout: String,
    /// A Secret of this namespace with what the repository asks for: username and password, bearerToken, or identity and
    /// known_hosts; besides, caFile for a server with a certificate authority of its own. Used only if the policy's service account may get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
}

fn default_interval() -> String {
    "1m".to_owned()
}

fn default_timeout() -> String {
    "1m".to_owned()
}

/// A Secret of the policy's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SecretReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What of a repository to follow.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.branch), has(self.tag), has(self.semver), has(self.commit)].filter(x, x).size() == 1").message("source.git.ref: set exactly one of branch, tag, semver, commit"))]
pub struct GitReference {
    /// A branch, for example main.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("!self.startsWith('-')").message("source.git.ref.branch: a branch name does not begin with -"))]
    pub branch: Option<String>,
    /// A tag, for example v1.4.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("!self.startsWith('-')").message("source.git.ref.tag: a tag name does not begin with -"))]
    pub tag: Option<String>,
    /// A range of versions, for example ">=1.4.0, <2.0.0"; the highest tag within it is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub semver: Option<String>,
    /// One commit, by its full hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{40}([0-9a-f]{24})?$')").message("source.git.ref.commit: the full hash in lower case, 40 or 64 hexadecimal digits"))]
    pub commit: Option<String>,
}

/// A part of the source to compare, or a Helm release.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.kubernetes) != has(self.helmRelease)").message("targets: set exactly one of kubernetes, helmRelease"))]
pub struct Target {
    /// The target's name, unique in the policy.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("targets.name: lower case letters, digits and -, beginning and ending with a letter or digit"))]
    pub name: String,
    /// Kubernetes manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesTarget>,
    /// A release that Helm deployed into this cluster; what is declared is the manifest that Helm itself keeps of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm_release: Option<HelmReleaseTarget>,
}

/// A release that Helm deployed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HelmReleaseTarget {
    /// The release's name.
    #[schemars(length(min = 1, max = 53))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("targets.helmRelease.name: lower case letters, digits, - and ., as helm list shows it"))]
    pub name: String,
    /// The namespace that it was deployed into. Default: the policy's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("targets.helmRelease.namespace: lower case letters, digits and -"))]
    pub namespace: Option<String>,
    /// What to make of what runs and is not declared.
    #[serde(default)]
    pub undeclared: Undeclared,
}

/// Kubernetes manifests of a folder or file.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.prune) || !self.prune || (has(self.delivery) && self.delivery == 'Driftline')").message("targets.kubernetes.prune: only what Driftline delivers is pruned; set delivery: Driftline, or leave prune out"))]
pub struct KubernetesTarget {
    /// A folder or file, relative to the repository's root: with a kustomization.yaml it is built by kustomize, with a
    /// Chart.yaml rendered by Helm, else every *.yaml, *.yml and *.json file below it is read. "." is the root.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.split('/').exists(p, p == '..')").message("targets.kubernetes.path: a path inside the repository, relative to its root, without .."))]
    pub path: String,
    /// The namespace of namespaced objects that name none. Default: the policy's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("targets.kubernetes.namespace: lower case letters, digits and -"))]
    pub namespace: Option<String>,
    /// How a chart is rendered; only for a folder with a Chart.yaml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm: Option<HelmOptions>,
    /// Who rolls out commits. External: something else does, and Driftline only puts back live edits. Driftline: it applies what Git
    /// declares, as the service account of the policy; needs enforcement Revert.
    #[serde(default)]
    pub delivery: Delivery,
    /// What was delivered and Git does not declare any more is deleted, a minute later; only where delivery is Driftline. Never Namespaces,
    /// volumes, their claims or definitions of kinds, never when nothing is declared any more, and more than half of what was delivered
    /// only after somebody confirmed it.
    #[serde(default)]
    pub prune: bool,
    /// What to make of what runs and is not declared.
    #[serde(default)]
    pub undeclared: Undeclared,
}

/// Who rolls out commits.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Something else.
    #[default]
    External,
    /// Driftline.
    Driftline,
}

/// How a Helm chart is rendered.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HelmOptions {
    /// The release's name. Default: the target's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 53))]
    pub release_name: Option<String>,
    /// Values files, relative to the chart, inside the repository; later ones win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub values_files: Vec<String>,
    /// Values; they win over the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_object")]
    pub values: Option<serde_json::Map<String, serde_json::Value>>,
}

fn free_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "Values; they win over the files.",
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true
    })
}

/// What the operator found.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftPolicyStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready (checks succeed; says nothing about drift) and Drifted; Reconciling and Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition_list")]
    pub conditions: Vec<Condition>,
    /// The revision compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// Counts over all targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Since when the oldest open drift has been known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_drift_since: Option<Time>,
    /// Ten drifted objects, the gravest first, among equals the oldest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worst: Vec<WorstEntry>,
    /// How many records there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<RecordCounts>,
    /// Each target's own state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetStatus>,
    /// What of spec.revert.budget is used; absent where there is none, or nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetStatus>,
    /// What Revert would do now, while the policy is at Observe and has a service account of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewStatus>,
    /// The value of the check annotation that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_check: Option<String>,
}

/// What a higher rung would do now, found out by dry runs as the policy's service account. Nothing is written for it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewStatus {
    /// Which rung.
    pub rung: Enforcement,
    /// Objects that would be put back.
    pub objects: u32,
    /// Fields of these that would be; a missing object counts as an object without fields.
    pub fields: u32,
    /// Objects that drift and would not be put back, by reason, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<PreviewBlocked>,
    /// Objects that drift and were not asked about: more than 100 of a policy are not.
    #[serde(default)]
    pub omitted: u32,
    /// When it was last asked; absent where nothing drifts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// Objects that would not be put back for one reason.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewBlocked {
    /// The reason, for example NotAllowed, Invalid, HealedByArgoCD.
    pub reason: String,
    /// How many objects.
    pub count: u32,
    /// What was said of one of them, and what mends it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What of a budget is used.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// Objects that were put back and count.
    pub used: u32,
    /// When the first of them counts no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Objects that wait for room.
    #[serde(default)]
    pub waiting: u32,
    /// Names just these: the value for the annotation driftline.dev/confirm that lets them go through once, beyond the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
}

fn condition_list(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let items = generator.subschema_for::<Condition>();
    schemars::json_schema!({
        "description": "Ready (checks succeed; says nothing about drift) and Drifted; Reconciling and Stalled while they are true.",
        "type": "array",
        "items": items,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"]
    })
}

/// The revision compared with.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// What was followed and the commit it led to, for example main@sha1:4f0c….
    pub revision: String,
    /// When it was first fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Time>,
    /// The commit's author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The first line of the commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Counts of declared objects: `declared` is the sum of the others.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// All declared objects.
    pub declared: u32,
    /// Live is what is declared.
    pub in_sync: u32,
    /// Live is not what is declared; objects that are there and not declared count besides.
    pub drifted: u32,
    /// Live is not what is declared, only because a commit is not rolled out yet.
    #[serde(default)]
    pub pending: u32,
    /// Live is not what is declared, and exceptions allow all of it for now.
    #[serde(default)]
    pub excepted: u32,
    /// Different at first sight, and the server has not yet been asked whether it makes the difference itself.
    pub unverified: u32,
    /// Could not be compared.
    pub unknown: u32,
}

/// One drifted object among the worst.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorstEntry {
    /// The target.
    pub target: String,
    /// The object, for example apps/Deployment shop/web.
    pub subject: String,
    /// The fields, in short.
    pub fields: String,
    /// How grave it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Since when it has been known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The record's name.
    pub record: String,
}

/// How many records there are.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordCounts {
    /// Open records.
    pub open: u32,
    /// Records of commits that are not rolled out.
    #[serde(default)]
    pub pending: u32,
    /// Drifted objects without a record, because a policy has at most 500.
    pub omitted: u32,
}

/// One target's state.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The target.
    pub name: String,
    /// True if all of it is checked, else False; Unknown before the first check.
    pub ready: String,
    /// Why, in CamelCase.
    pub reason: String,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The revision it was rendered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The digest of what else went into rendering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// When it was last rendered or verified as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Time>,
    /// Since when the oldest commit that is not rolled out has been waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_pending_since: Option<Time>,
    /// Its counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}
