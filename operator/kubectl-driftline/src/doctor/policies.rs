//! Policies: whether they can be read, whether their sources are reached, and what of the cluster they are blind for.

use driftline_crds::DriftPolicy;
use kube::ResourceExt as _;

use super::installation::Installation;
use super::report::{Finding, Level};
use crate::connect::Cluster;
use crate::records::{self, Scope};
use crate::status::condition;

const CHECK: &str = "policies";
const BLIND: &str = "watches";
/// Findings of one sort that are told one by one.
const TOLD: usize = 10;

/// Looks at all policies, or those of the namespace where not all may be listed.
pub async fn checks(cluster: &Cluster, installation: &Installation) -> Vec<Finding> {
    let (listed, scope) = match records::list::<DriftPolicy>(cluster, Scope::All).await {
        Ok(listed) => (listed, Scope::All),
        Err(everywhere) => {
            let scope = Scope::In(&cluster.namespace);
            match records::list::<DriftPolicy>(cluster, scope).await {
                Ok(listed) => (listed, scope),
                Err(_) => return unlisted(&everywhere),
            }
        }
    };
    let mut findings: Vec<Finding> = listed
        .unreadable
        .iter()
        .take(TOLD)
        .map(|u| {
            Finding::bad(
                CHECK,
                Level::Warning,
                format!("{} cannot be read: {}", u.name(), u.why),
                u.remedy(),
            )
        })
        .collect();
    let place = records::place(scope);
    if listed.items.is_empty() && findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("there is none yet{place}")));
        return findings;
    }
    let (mut ready, mut troubled) = (0, Vec::new());
    for policy in &listed.items {
        match of_policy(policy, installation) {
            Some(finding) => troubled.push(finding),
            None => ready += 1,
        }
    }
    if ready > 0 {
        findings.insert(
            0,
            Finding::ok(
                CHECK,
                format!("{ready} of {} are ready{place}", listed.items.len()),
            ),
        );
    }
    let more = troubled.len().saturating_sub(TOLD);
    findings.extend(troubled.into_iter().take(TOLD));
    if more > 0 {
        findings.push(Finding::bad(
            CHECK,
            Level::Warning,
            format!("{more} more are not ready"),
            "see all: `kubectl driftline status -A`",
        ));
    }
    findings.extend(blind(&listed.items));
    findings
}

fn unlisted(failure: &crate::failure::Failure) -> Vec<Finding> {
    vec![Finding::bad(
        CHECK,
        Level::Unknown,
        failure.what().to_owned(),
        "ask for the verb list on driftpolicies.driftline.dev, or choose a namespace where you have it with -n",
    )]
}

fn of_policy(policy: &DriftPolicy, installation: &Installation) -> Option<Finding> {
    let name = format!(
        "{}/{}",
        policy.namespace().unwrap_or_default(),
        policy.name_any()
    );
    let bad = |message: String| {
        Some(Finding::bad(
            CHECK,
            Level::Warning,
            message,
            format!(
                "see all of it: `kubectl driftline status {} -n {}`",
                policy.name_any(),
                policy.namespace().unwrap_or_default()
            ),
        ))
    };
    let Some(status) = &policy.status else {
        return Some(Finding::bad(
            CHECK,
            Level::Warning,
            format!("no operator has looked at {name} yet"),
            format!(
                "see whether one runs: `kubectl get pods -n {}`",
                installation.namespace
            ),
        ));
    };
    match condition(policy, "Ready") {
        Some(("True", ..)) => {}
        Some((_, reason, message)) => {
            return bad(format!("{name} is not ready, {reason}: {message}"));
        }
        None => return bad(format!("{name} has not been checked yet")),
    }
    if let Some((_, generation)) = status
        .observed_generation
        .zip(policy.metadata.generation)
        .filter(|(o, g)| o < g)
    {
        return bad(format!(
            "{name} was changed (generation {generation}), and the operator has not taken that up"
        ));
    }
    None
}

/// What policies cannot see or verify, over all of them.
fn blind(policies: &[DriftPolicy]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut unverified = 0;
    for policy in policies {
        let Some(status) = &policy.status else {
            continue;
        };
        unverified += status.summary.map_or(0, |s| s.unverified);
        for target in &status.targets {
            let unknown = target.summary.map_or(0, |s| s.unknown);
            if target.ready == "True" && unknown == 0 {
                continue;
            }
            let why = if target.message.is_empty() {
                &target.reason
            } else {
                &target.message
            };
            findings.push(Finding::bad(
                BLIND,
                Level::Warning,
                format!(
                    "{}/{} target {}: {unknown} objects are not seen, {}: {why}",
                    policy.namespace().unwrap_or_default(),
                    policy.name_any(),
                    target.name,
                    target.reason,
                ),
                "let the operator and the policy's account read the kinds that are named: docs/rights.md",
            ));
        }
    }
    let more = findings.len().saturating_sub(TOLD);
    findings.truncate(TOLD);
    if more > 0 {
        findings.push(Finding::bad(
            BLIND,
            Level::Warning,
            format!("{more} more targets are not seen in full"),
            "see all: `kubectl driftline status -A`",
        ));
    }
    if unverified > 0 {
        findings.push(Finding::bad(
            BLIND,
            Level::Warning,
            format!("{unverified} objects differ in what is not declared, and the API server has not been asked about them yet"),
            "look again in a few minutes; if they stay, the guard or a webhook keeps the operator from asking: `kubectl driftline status -A`",
        ));
    }
    if findings.is_empty() && policies.iter().any(|p| p.status.is_some()) {
        findings.push(Finding::ok(BLIND, "all that policies declare is seen"));
    }
    findings
}
