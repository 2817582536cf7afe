//! Policies: whether they can be read, whether their sources are reached, and what of the cluster they are blind for.

use driftline_crds::{DriftPolicy, TargetStatus};
use kube::ResourceExt as _;

use super::installation::Installation;
use super::report::{Finding, Level};
use crate::connect::Cluster;
use crate::output::words;
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
    findings.extend(omitted(CHECK, more, "are not ready"));
    findings.extend(blind(&listed.items));
    findings
}

/// Says that there are more than are listed, if there are.
fn omitted(check: &'static str, more: usize, what: &str) -> Option<Finding> {
    (more > 0).then(|| {
        Finding::bad(
            check,
            Level::Warning,
            format!("{more} more {what}"),
            "see all: `kubectl driftline status -A`",
        )
    })
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
    let (mut unverified, mut all_seen) = (0, true);
    for policy in policies {
        let Some(status) = &policy.status else {
            continue;
        };
        unverified += status.summary.map_or(0, |s| s.unverified);
        for target in &status.targets {
            let unknown = target.summary.map_or(0, |s| s.unknown);
            all_seen &= target.ready == "True" && unknown == 0;
            if unknown > 0 && !is_told(policy, target) {
                findings.push(unseen(policy, target, unknown));
            }
        }
    }
    let more = findings.len().saturating_sub(TOLD);
    findings.truncate(TOLD);
    findings.extend(omitted(BLIND, more, "targets are not seen in full"));
    if unverified > 0 {
        findings.push(Finding::bad(
            BLIND,
            Level::Warning,
            format!("{unverified} objects differ in what is not declared, and the API server has not been asked about them yet"),
            "look again in a few minutes; if they stay, the guard or a webhook keeps the operator from asking: `kubectl driftline status -A`",
        ));
    }
    if findings.is_empty() && all_seen && policies.iter().any(|p| p.status.is_some()) {
        findings.push(Finding::ok(BLIND, "all that policies declare is seen"));
    }
    findings
}

/// True if what the policy's own finding says is about this target.
fn is_told(policy: &DriftPolicy, target: &TargetStatus) -> bool {
    let begin = format!("target {}: {}", target.name, target.message);
    condition(policy, "Ready")
        .is_some_and(|(ready, _, message)| ready != "True" && message.starts_with(&begin))
}

fn unseen(policy: &DriftPolicy, target: &TargetStatus, unknown: u32) -> Finding {
    let (name, namespace) = (policy.name_any(), policy.namespace().unwrap_or_default());
    let objects = words::count(unknown, "object");
    let (verb, reason) = (
        if unknown == 1 { "is" } else { "are" },
        // A target that is ready says so in its reason.
        match &*target.ready {
            "True" => String::new(),
            _ => format!(", {}", target.reason),
        },
    );
    let why = match &*target.message {
        "" => String::new(),
        message => format!(": {message}"),
    };
    Finding::bad(
        BLIND,
        Level::Warning,
        format!(
            "{namespace}/{name} target {}: {objects} {verb} not compared{reason}{why}",
            target.name
        ),
        remedy(target, &name, &namespace),
    )
}

/// What helps, by what keeps a target from being seen.
fn remedy(target: &TargetStatus, name: &str, namespace: &str) -> String {
    let edit = format!("`kubectl edit driftpolicy {name} -n {namespace}`");
    let see = format!("`kubectl driftline status {name} -n {namespace}`");
    match &*target.reason {
        "Forbidden" | "NotAllowed" | "AutoscalersNotRead" => {
            "let the operator and the policy's account read the kinds that are named: docs/rights.md"
                .to_owned()
        }
        "KindNotServed" | "UnknownKind" => {
            format!("install what defines the kinds that are named, or take these objects out of Git; then {see}")
        }
        "PathNotFound" | "ReleaseNotFound" => {
            format!("correct the target, or what it names: {edit}")
        }
        "ParseError" | "NotAnObject" | "DuplicateObject" | "NotFollowed" | "RenderFailed" => {
            "mend in Git what the message names".to_owned()
        }
        "LimitExceeded" | "LimitFailed" => format!("split the target into several: {edit}"),
        "Progressing" | "Listing" | "NotSeenYet" | "WatchBlind" | "AccessNotKnown" | "RollingOut" => {
            format!("look again in a minute: {see}")
        }
        _ if target.message.contains("--compare-secrets") => {
            "let the operator compare Secrets (secrets.compareLive of the chart), if you want that: docs/rights.md"
                .to_owned()
        }
        _ => format!("see all of it: {see}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A policy of one target.
    fn policy(ready: [&str; 2], target: [&str; 3], unknown: u32) -> DriftPolicy {
        let summary = |unknown: u32| json!({"declared": 3, "inSync": 0, "drifted": 0, "unverified": 0, "unknown": unknown});
        let policy: Value = json!({
            "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {"source": {"git": {"url": "https://h/x", "ref": {"branch": "main"}}}, "targets": []},
            "status": {
                "conditions": [{
                    "type": "Ready", "status": ready[0], "reason": "R", "message": ready[1], "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "summary": summary(unknown),
                "targets": [{"name": "app", "ready": target[0], "reason": target[1], "message": target[2], "summary": summary(unknown)}],
            },
        });
        serde_json::from_value(policy).expect("a policy")
    }

    #[test]
    fn what_is_not_seen_is_told_once_and_with_what_helps() {
        let told = |policy: DriftPolicy| -> Vec<(Level, String, Option<String>)> {
            let findings = blind(&[policy]).into_iter();
            findings.map(|f| (f.level, f.message, f.remedy)).collect()
        };
        let gone = ["False", "PathNotFound", "no such path"];
        assert_eq!(
            told(policy(["False", "target app: no such path"], gone, 3)),
            []
        );
        assert_eq!(told(policy(["False", "target web: x"], gone, 0)), []);
        let other = told(policy(
            ["False", "target web: x (another target fails too)"],
            gone,
            1,
        ));
        assert_eq!(
            other,
            [(
                Level::Warning,
                "shop/shop target app: 1 object is not compared, PathNotFound: no such path"
                    .to_owned(),
                Some(
                    "correct the target, or what it names: `kubectl edit driftpolicy shop -n shop`"
                        .to_owned()
                ),
            )]
        );
        let secrets =
            "2 Secrets are not compared: the operator was started without --compare-secrets";
        let left = told(policy(["True", ""], ["True", "Compared", secrets], 2));
        assert!(
            left.iter().any(
                |(_, m, r)| m.contains("2 objects are not compared: 2 Secrets")
                    && r.as_deref()
                        .is_some_and(|r| r.contains("secrets.compareLive"))
            ),
            "{left:?}"
        );
        let seen = told(policy(["True", ""], ["True", "Compared", ""], 0));
        assert!(
            seen.iter().all(|(level, ..)| *level == Level::Ok) && seen.len() == 1,
            "{seen:?}"
        );
    }
}
