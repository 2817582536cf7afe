//! What a report says, in the words of the API: as records tell it, and the command line. Pure.

use cluster::index::Change;
use drift::{Evidence, ObjectChange, ObjectId, Report, ReportedField};
use driftline_crds::{
    Baseline, BaselineEvidence, Display, DriftRecordStatus, Excerpt, Field, KubernetesSubject,
    Origin, Owner, RecordChange, RecordState, Severity,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{by, written};

/// An object, as the API names it.
pub fn subject(id: &ObjectId) -> KubernetesSubject {
    KubernetesSubject {
        group: id.group_kind.group.to_string(),
        kind: id.group_kind.kind.to_string(),
        namespace: id.namespace.as_deref().map(str::to_owned),
        name: id.name.to_string(),
    }
}

/// A record's status; `before` is that of the open record, if there is one: what has not changed keeps its times.
pub fn status(
    owner: Option<Owner>,
    change: &Change,
    report: &Report,
    before: Option<&DriftRecordStatus>,
    (state, since): (RecordState, Timestamp),
) -> DriftRecordStatus {
    let now = whole_seconds(since);
    let fields: Vec<Field> = report
        .fields
        .iter()
        .map(|f| field(f, before, now))
        .collect();
    DriftRecordStatus {
        state,
        change: match report.change {
            ObjectChange::Changed => RecordChange::Changed,
            ObjectChange::Missing => RecordChange::Missing,
            ObjectChange::Terminating => RecordChange::Terminating,
            ObjectChange::Orphaned => RecordChange::Orphaned,
            ObjectChange::Undeclared => RecordChange::Undeclared,
        },
        owner,
        first_seen: before.map_or(Time(now), |b| b.first_seen.clone()),
        closed_at: None,
        uid: report.uid.clone(),
        api_version: change.api_version.clone(),
        declared_at: change
            .provenance
            .as_ref()
            .map(|p| written::place(p, &change.revision, &fields)),
        severity: Some(severity(report.severity)),
        origin: Some(origin(report.origin)),
        rule: report
            .rule
            .as_ref()
            .map(|rule| drift::redact::cut(rule, 1024).to_owned()),
        exception: (!report.exceptions.is_empty()).then(|| {
            let names = report.exceptions.join(", ");
            drift::redact::cut(&names, 1024).to_owned()
        }),
        by: Some(by::actor(&report.by)).filter(|by| !by.message.is_empty()),
        claim: report
            .claim
            .as_ref()
            .map(|claim| drift::redact::cut(&drift::redact::printable(claim), 512).to_owned()),
        baseline: baseline(change, report),
        enforcement: None,
        display: display(&change.id, report, &fields),
        fields,
        more_fields: report.more_fields,
    }
}

/// The API's word for it.
pub fn origin(origin: drift::Origin) -> Origin {
    match origin {
        drift::Origin::LiveEdited => Origin::LiveEdited,
        drift::Origin::GitAhead => Origin::GitAhead,
        drift::Origin::Diverged => Origin::Diverged,
        drift::Origin::Unknown => Origin::Unknown,
    }
}

/// What the object is measured by besides its declaration.
fn baseline(change: &Change, report: &Report) -> Option<Baseline> {
    if report.evidence == Some(Evidence::LastApplied) {
        return Some(Baseline {
            revision: String::new(),
            inputs: None,
            evidence: BaselineEvidence::LastApplied,
        });
    }
    let (revision, evidence) = change.baseline.as_ref()?;
    Some(Baseline {
        revision: revision.name.to_string(),
        inputs: Some(revision.inputs.to_string()).filter(|i| !i.is_empty()),
        evidence: match evidence {
            Evidence::Own => BaselineEvidence::Own,
            Evidence::ArgoCD => BaselineEvidence::ArgoCD,
            Evidence::Flux => BaselineEvidence::Flux,
            Evidence::Helm => BaselineEvidence::Helm,
            Evidence::LastApplied => BaselineEvidence::LastApplied,
        },
    })
}

fn field(field: &ReportedField, before: Option<&DriftRecordStatus>, now: Timestamp) -> Field {
    let (declared, live) = (field.shown.declared.clone(), field.shown.live.clone());
    let excerpt = field.shown.excerpt.clone();
    let change = field.change.as_str().to_owned();
    let same = before.and_then(|b| {
        b.fields
            .iter()
            .find(|f| f.path == field.path && f.change == change && f.live == live)
    });
    let by = by::or_proven(by::actor(&field.by), same);
    let known = same.filter(|f| by::is_same(&f.by, &by));
    // The manager's time is an upper bound for this field, and the best there is; clocks may disagree.
    let since = known
        .and_then(|f| f.since.clone())
        .unwrap_or_else(|| match &by.at {
            Some(at) if at.0 < now => at.clone(),
            _ => Time(now),
        });
    Field {
        path: field.path.clone(),
        change,
        severity: Some(severity(field.severity)),
        origin: Some(origin(field.origin)),
        basis: field.basis.as_str().to_owned(),
        declared,
        live,
        truncated: field.shown.truncated,
        excerpt: excerpt.map(|[declared, live]| Excerpt { declared, live }),
        sensitive: field.shown.sensitive,
        since: Some(since),
        by,
        line: Some(field.line).filter(|l| *l > 0),
    }
}

/// The API's word for it.
pub fn severity(severity: drift::Severity) -> Severity {
    match severity {
        drift::Severity::Low => Severity::Low,
        drift::Severity::Medium => Severity::Medium,
        drift::Severity::High => Severity::High,
        drift::Severity::Critical => Severity::Critical,
    }
}

fn display(id: &ObjectId, report: &Report, fields: &[Field]) -> Display {
    let by = by::display(report, fields);
    let total = report.fields.len() + usize::try_from(report.more_fields).unwrap_or(0);
    let fields = match report.change {
        ObjectChange::Missing => "missing".to_owned(),
        ObjectChange::Terminating => "terminating".to_owned(),
        ObjectChange::Orphaned => "no longer declared".to_owned(),
        ObjectChange::Undeclared if report.claim.is_some() => {
            "not declared (what it says of itself is not confirmed)".to_owned()
        }
        ObjectChange::Undeclared => "not declared".to_owned(),
        ObjectChange::Changed => {
            let first: Vec<&str> = report
                .fields
                .iter()
                .take(2)
                .map(|f| f.short.as_str())
                .collect();
            let rest = if total > first.len() { ", …" } else { "" };
            format!("{total}: {}{rest}", first.join(", "))
        }
    };
    let cut =
        |text: String, most| drift::redact::cut(&drift::redact::printable(&text), most).to_owned();
    Display {
        subject: cut(id.to_string(), 512),
        fields: cut(fields, 256),
        origin: report.origin.as_str().to_owned(),
        by: cut(by, 128),
    }
}

/// Times in Kubernetes objects have whole seconds; finer ones would differ after being read back.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
