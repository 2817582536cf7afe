//! What a record says. Pure.

use cluster::index::Change;
use drift::{ObjectId, Report};
use driftline_crds::{
    DriftRecord, DriftRecordSpec, DriftRecordStatus, POLICY_LABEL, RecordState, SEVERITY_LABEL,
    Severity, Subject, TARGET_LABEL,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sha2::{Digest as _, Sha256};

use crate::registry::PolicyState;

/// The longest name of an object that a record's name begins with.
const PREFIX: usize = 180;

/// A record's name: readable, and unique by 64 bits of a hash over policy, target and object.
pub fn name(policy: &PolicyState, target: &str, id: &ObjectId) -> String {
    let mut hash = Sha256::new();
    for part in [
        &policy.uid,
        target,
        &id.group_kind.group,
        &id.group_kind.kind,
        id.namespace.as_deref().unwrap_or(""),
        &id.name,
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let readable = format!(
        "{}-{target}-{}-{}",
        policy.key.name, id.group_kind.kind, id.name
    );
    let clean: String = readable
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(PREFIX)
        .collect();
    format!("{}-{digest}", clean.trim_matches('-'))
}

/// A record without status.
pub fn record(
    policy: &PolicyState,
    target: &str,
    name: &str,
    id: &ObjectId,
    severity: Option<Severity>,
) -> DriftRecord {
    let subject = Subject {
        kubernetes: edge::content::subject(id),
    };
    let spec = DriftRecordSpec {
        policy: policy.key.name.clone(),
        target: target.to_owned(),
        subject,
    };
    let mut record = DriftRecord::new(name, spec);
    let mut labels = vec![
        (POLICY_LABEL, policy.key.name.as_str()),
        (TARGET_LABEL, target),
    ];
    labels.extend(severity.map(|s| (SEVERITY_LABEL, s.as_str())));
    record.metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(policy.key.namespace.clone()),
        labels: Some(
            labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        ),
        owner_references: Some(vec![OwnerReference {
            api_version: "driftline.dev/v1alpha1".to_owned(),
            kind: "DriftPolicy".to_owned(),
            name: policy.key.name.clone(),
            uid: policy.uid.clone(),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    };
    record
}

/// A record's status; `before` is that of the open record, if there is one: what has not changed keeps its times.
pub fn status(
    policy: &PolicyState,
    change: &Change,
    report: &Report,
    before: Option<&DriftRecordStatus>,
    when: (RecordState, Timestamp),
) -> DriftRecordStatus {
    let owner = policy.view.lock().owner.clone();
    edge::content::status(owner, change, report, before, when)
}
