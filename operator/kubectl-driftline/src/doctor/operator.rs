//! Whether an operator runs: its Pods, and the lease of the one that writes.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};

use super::clock::{Clock, TOLERANCE};
use super::installation::Installation;
use super::reading::{self, Seen};
use super::report::{Finding, Level};

/// How long a renewal is waited for where the lease's own time says nothing: longer than holders let pass between two.
const WAIT: Duration = Duration::from_secs(8);
/// Where the lease says no duration.
const DURATION: i64 = 15;

/// Looks at both.
pub async fn checks(client: &Client, installation: &Installation, clock: &Clock) -> Vec<Finding> {
    let mut findings: Vec<Finding> = pods(installation).into_iter().collect();
    findings.push(lease(client, installation, clock).await);
    findings
}

fn pods(installation: &Installation) -> Option<Finding> {
    const CHECK: &str = "pods";
    let deployment = installation.deployment.as_ref()?;
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let ready = status.available_replicas.unwrap_or(0);
    let (name, namespace) = (installation.name(), &installation.namespace);
    let look = format!(
        "`kubectl get pods -n {namespace} -l app.kubernetes.io/name` and `kubectl logs -n {namespace} deployment/{name} --all-containers --tail 50`"
    );
    let bad = |level, message: String| {
        let why = status.conditions.iter().flatten();
        let why = why
            .filter(|c| {
                c.status.as_deref() == Some("False") || c.type_.as_deref() == Some("ReplicaFailure")
            })
            .find_map(|c| c.message.clone());
        let why = why.map(|w| format!(": {w}")).unwrap_or_default();
        Finding::bad(
            CHECK,
            level,
            format!("{message}{why}"),
            format!("see why: {look}"),
        )
    };
    Some(if wanted == 0 {
        Finding::bad(
            CHECK,
            Level::Failure,
            format!("Deployment {namespace}/{name} is scaled to 0: nothing is compared"),
            format!("scale it: `kubectl scale deployment {name} -n {namespace} --replicas 2`"),
        )
    } else if ready == 0 {
        bad(
            Level::Failure,
            format!("none of {wanted} replicas of {namespace}/{name} is available"),
        )
    } else if ready < wanted {
        bad(
            Level::Warning,
            format!("{ready} of {wanted} replicas of {namespace}/{name} are available"),
        )
    } else {
        Finding::ok(CHECK, format!("{ready} of {wanted} replicas are available"))
    })
}

async fn lease(client: &Client, installation: &Installation, clock: &Clock) -> Finding {
    const CHECK: &str = "leader";
    let namespace = &installation.namespace;
    let name = installation.flag("--lease-name").unwrap_or("driftline");
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let deployment = installation.name();
    let log = format!(
        "read its log: `kubectl logs -n {namespace} deployment/{deployment} -c operator --tail 50`"
    );
    let seen = match reading::one(&api, name).await {
        Seen::There(lease) => lease,
        Seen::Absent => {
            return Finding::bad(
                CHECK,
                Level::Failure,
                format!("there is no lease {namespace}/{name}: no operator has run here yet"),
                log,
            );
        }
        Seen::Hidden(why) => {
            return reading::hidden(CHECK, &format!("lease {namespace}/{name}"), &why);
        }
    };
    let spec = seen.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    if holder.is_empty() {
        return Finding::bad(
            CHECK,
            Level::Failure,
            format!("nobody holds the lease {namespace}/{name}: the operator was ended"),
            log,
        );
    }
    let now = clock.now();
    let age = spec.renew_time.map(|at| now.duration_since(at.0));
    let duration =
        SignedDuration::from_secs(spec.lease_duration_seconds.map_or(DURATION, i64::from));
    if let Some(age) = age.filter(|age| *age >= -TOLERANCE && *age <= duration) {
        return Finding::ok(
            CHECK,
            format!(
                "{holder} writes; it renewed its lease {} s ago",
                age.as_secs().max(0)
            ),
        );
    }
    // By its time it does not; by what is seen it may.
    tokio::time::sleep(WAIT).await;
    let renewed = match reading::one(&api, name).await {
        Seen::There(again) => again.metadata.resource_version != seen.metadata.resource_version,
        _ => false,
    };
    let age = age.unwrap_or(SignedDuration::ZERO);
    if renewed {
        let which = if age.is_negative() {
            "ahead of"
        } else {
            "behind"
        };
        return Finding::bad(
            CHECK,
            Level::Warning,
            format!(
                "{holder} writes, and its clock is about {} s {which} the API server's: holds and exceptions end by its clock",
                age.abs().as_secs()
            ),
            "have the nodes' clocks kept by NTP; look on the operator's node with `timedatectl status`",
        );
    }
    Finding::bad(
        CHECK,
        Level::Failure,
        format!(
            "{holder} holds the lease {namespace}/{name} and has not renewed it for {} s: no operator is running, or it cannot reach the API server",
            age.as_secs()
        ),
        format!("see whether its Pods run: `kubectl get pods -n {namespace}`, and {log}"),
    )
}
