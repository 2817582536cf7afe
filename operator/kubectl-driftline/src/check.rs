//! `check`: asks the operator to look at a policy now, waits, and tells what came of it.

use std::time::Duration;

use driftline_crds::{CHECK_ANNOTATION, DriftPolicy};
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::connect::Cluster;
use crate::failure::{Failure, Result};
use crate::model::Outcome;
use crate::options::CheckOptions;
use crate::paint::Paint;
use crate::progress::Progress;
use crate::records::{self, Scope};
use crate::status;

/// How long it is waited for what drifts to be named.
const NAMED: Duration = Duration::from_secs(3);
/// How long the operator has for a policy that was stalled before it was asked.
const STALLED: Duration = Duration::from_secs(2);
/// How often it is looked whether the operator has answered.
const EVERY: Duration = Duration::from_millis(250);

/// Asks for a check and waits for its answer.
///
/// # Errors
/// Where it cannot be asked for, or the operator does not answer in time.
pub async fn run(cluster: &Cluster, options: &CheckOptions, paint: Paint) -> Result<u8> {
    let scope = Scope::In(&cluster.namespace);
    let name = &options.policy;
    records::policies(cluster, scope, Some(name)).await?;
    let api: Api<DriftPolicy> = records::api(cluster, scope);
    let word = format!("{} {}", Timestamp::now(), std::process::id());
    let patch = json!({"metadata": {"annotations": {CHECK_ANNOTATION: word}}});
    let action = format!("ask for a check of policy {}/{name}", cluster.namespace);
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|e| Failure::of_kube(&action, &e))?;
    let progress = Progress::new(false);
    progress.say(&format!("waiting for the operator to check {name}"));
    let asked = Instant::now();
    let mut answered = None;
    let policy = loop {
        let read = api
            .get(name)
            .await
            .map_err(|e| Failure::of_kube(&action, &e))?;
        if let Some(status) = &read.status
            && status.last_handled_check.as_deref() == Some(&*word)
        {
            // The counts are exact at once; what drifts is named as soon as its record is written.
            let at = *answered.get_or_insert_with(Instant::now);
            let drifts = status.summary.as_ref().is_some_and(|s| s.drifted > 0);
            if !drifts || !status.worst.is_empty() || at.elapsed() > NAMED {
                break read;
            }
        }
        // It is not checked before somebody mends it, so nothing is to be waited for.
        if is_stalled(&read) && asked.elapsed() > STALLED {
            progress.clear();
            crate::print(&status::shown(&[read], scope, paint));
            return Ok(Outcome::Unknown.code());
        }
        if asked.elapsed() > options.timeout {
            progress.clear();
            return Err(Failure::new(
                format!(
                    "the operator did not check policy {}/{name} within {} s",
                    cluster.namespace,
                    options.timeout.as_secs()
                ),
                "is it running? kubectl get pods -A -l app.kubernetes.io/name=driftline; --timeout waits longer",
            ));
        }
        sleep(EVERY).await;
    };
    progress.clear();
    let outcome = status::outcome(&policy);
    crate::print(&status::shown(&[policy], scope, paint));
    Ok(outcome.code())
}

/// True if the operator cannot work with the policy as it is now.
fn is_stalled(policy: &DriftPolicy) -> bool {
    let seen = policy.status.as_ref().and_then(|s| s.observed_generation);
    seen.is_some()
        && seen == policy.metadata.generation
        && status::condition(policy, "Stalled").is_some_and(|(is, ..)| is == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_stalled_as_it_is_now_and_not_as_it_was() {
        let policy = |generation: i64, stalled: &str| -> DriftPolicy {
            serde_json::from_value(json!({
                "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftPolicy",
                "metadata": {"name": "shop", "generation": generation},
                "spec": {"source": {"git": {"url": "https://h/x", "ref": {"branch": "main"}}}, "targets": []},
                "status": {"observedGeneration": 2, "conditions": [{
                    "type": "Stalled", "status": stalled, "reason": "InvalidSpec", "message": "m",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }]},
            }))
            .expect("a policy")
        };
        assert!(is_stalled(&policy(2, "True")));
        assert!(!is_stalled(&policy(3, "True")), "it was changed since");
        assert!(!is_stalled(&policy(2, "False")));
    }
}
