//! `status`: policies, whether they can be believed, and what they found.

use driftline_crds::{DriftPolicy, DriftPolicyStatus, Summary};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::json;

use crate::connect::Cluster;
use crate::failure::Result;
use crate::model::{self, Outcome};
use crate::options::{PolicyFormat, StatusOptions};
use crate::output::{self, table, words};
use crate::paint::Paint;
use crate::records::{self, Scope};

/// Prints the policies of a scope.
///
/// # Errors
/// Where they cannot be listed.
pub async fn run(cluster: &Cluster, options: &StatusOptions, paint: Paint) -> Result<u8> {
    let scope = options.scope.of(cluster);
    let found = records::policies(cluster, scope, options.policy.as_deref()).await?;
    let code = found.code();
    let text = match options.output {
        PolicyFormat::Table => shown(&found.items, scope, paint),
        PolicyFormat::Json => output::json(&as_list(found.items))?,
        PolicyFormat::Yaml => output::yaml(&as_list(found.items))?,
    };
    crate::print(&text);
    Ok(code)
}

fn as_list(found: Vec<DriftPolicy>) -> serde_json::Value {
    let items: Vec<serde_json::Value> = found
        .into_iter()
        .map(|mut policy| {
            policy.metadata.managed_fields = None;
            serde_json::to_value(&policy).unwrap_or_default()
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// A condition's status, reason and message.
pub fn condition<'a>(policy: &'a DriftPolicy, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = policy
        .status
        .as_ref()
        .map(|s| &*s.conditions)
        .unwrap_or_default();
    let found = conditions.iter().find(|c| c.type_ == kind)?;
    Some((&found.status, &found.reason, &found.message))
}

/// What a policy's counts mean. What drifts under a hold is no drift to a pipeline, as for the condition `Drifted`.
pub fn outcome(policy: &DriftPolicy) -> Outcome {
    let is_true =
        |kind| condition(policy, kind).is_some_and(|(status, ..): (&str, _, _)| status == "True");
    match policy.status.as_ref().and_then(|s| s.summary) {
        Some(mut summary) => {
            if is_true("Held") {
                summary.drifted = 0;
            }
            model::outcome(&summary, !is_true("Ready"))
        }
        None => Outcome::Unknown,
    }
}

/// A table of policies, and what is the matter with them.
pub fn shown(found: &[DriftPolicy], scope: Scope<'_>, paint: Paint) -> String {
    if found.is_empty() {
        return format!(
            "There are no policies{}. See kubectl driftline status -A, or write one: docs/policy.md.\n",
            records::place(scope)
        );
    }
    let now = Timestamp::now();
    let all = scope == Scope::All;
    let mut heads: Vec<&str> = if all { vec!["NAMESPACE"] } else { Vec::new() };
    heads.extend([
        "POLICY",
        "ENFORCEMENT",
        "READY",
        "DECLARED",
        "IN SYNC",
        "DRIFTED",
        "PENDING",
        "EXCEPTED",
        "NOT CHECKED",
        "OLDEST",
        "REVISION",
    ]);
    let mut rows = vec![heads.iter().map(|h| paint.dim(h)).collect()];
    for policy in found {
        rows.push(row(policy, all, paint, now));
    }
    let mut text = table::columns(&rows);
    for policy in found {
        text.push_str(&details(policy, paint, now));
    }
    text
}

fn row(policy: &DriftPolicy, all: bool, paint: Paint, now: Timestamp) -> Vec<String> {
    let none = DriftPolicyStatus::default();
    let status = policy.status.as_ref().unwrap_or(&none);
    let ready = condition(policy, "Ready").map_or("Unknown", |(status, ..)| status);
    let counted = status.summary.unwrap_or_default();
    let Summary {
        declared,
        in_sync,
        drifted,
        pending,
        excepted,
        unverified,
        unknown,
    } = counted;
    let dash = |n: u32| {
        if n == 0 {
            paint.dim("-")
        } else {
            n.to_string()
        }
    };
    let mut row = Vec::new();
    if all {
        row.push(policy.namespace().unwrap_or_default());
    }
    let revision = status
        .source
        .as_ref()
        .map(|s| short(&s.revision))
        .unwrap_or_default();
    row.extend([
        paint.bold(&policy.name_any()),
        format!("{:?}", policy.spec.enforcement),
        if ready == "True" {
            ready.to_owned()
        } else {
            paint.warn(ready)
        },
        declared.to_string(),
        dash(in_sync),
        if drifted > 0 {
            paint.gone(&drifted.to_string())
        } else {
            dash(0)
        },
        dash(pending),
        dash(excepted),
        match unverified + unknown {
            0 => dash(0),
            n => paint.warn(&n.to_string()),
        },
        status
            .oldest_drift_since
            .as_ref()
            .map(|t| words::age(t, now))
            .unwrap_or_default(),
        revision,
    ]);
    row
}

/// `main@sha1:4f0c1a2b3c`: enough of the commit to know it by.
pub fn short(revision: &str) -> String {
    match revision.rsplit_once("sha1:") {
        Some((name, commit)) => format!("{name}sha1:{}", commit.get(..10).unwrap_or(commit)),
        None => revision.to_owned(),
    }
}

fn details(policy: &DriftPolicy, paint: Paint, now: Timestamp) -> String {
    let mut text = String::new();
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let name = policy.name_any();
    let mut told: Vec<(&str, &str)> = Vec::new();
    for (kind, good) in [
        ("Ready", "True"),
        ("Stalled", "False"),
        ("Held", "False"),
        ("Reconciling", "False"),
    ] {
        if let Some((status, reason, message)) = condition(policy, kind)
            && status != good
        {
            say(format!(
                "\n{} {name}: {kind} is {status}: {}",
                paint.warn("!"),
                words::clean(reason)
            ));
            let again = told.contains(&(reason, message));
            told.push((reason, message));
            if !message.is_empty() && !again {
                say(format!("  {}", words::clean(message)));
            }
        }
    }
    let Some(status) = &policy.status else {
        say(format!(
            "\n{} {name}: no operator has looked at it yet; is one running? kubectl get pods -A -l app.kubernetes.io/name=driftline",
            paint.warn("!")
        ));
        return text;
    };
    // With one, the condition says all.
    let failing: Vec<_> = status
        .targets
        .iter()
        .filter(|t| t.ready == "False")
        .collect();
    if failing.len() > 1 {
        for target in failing {
            let why = match &*target.message {
                "" => target.reason.clone(),
                message => format!("{}: {message}", target.reason),
            };
            say(format!("  target {}: {}", target.name, words::clean(&why)));
        }
    }
    if !status.worst.is_empty() {
        say(format!("\n{}", paint.bold(&format!("{name}: the worst"))));
        let rows: Vec<Vec<String>> = status
            .worst
            .iter()
            .map(|w| {
                let severity = w.severity.map(|s| paint.severity(s, s.as_str()));
                vec![
                    format!("  {}", severity.unwrap_or_default()),
                    words::clean(&w.subject),
                    words::clean(&w.fields),
                    w.since
                        .as_ref()
                        .map(|t| words::ago(t, now))
                        .unwrap_or_default(),
                ]
            })
            .collect();
        text.push_str(&table::columns(&rows));
    }
    text
}
