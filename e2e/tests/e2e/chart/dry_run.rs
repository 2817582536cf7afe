//! The dry-run account and its guard, as installed.

// One valid object of each kind that the dry-run account may ask about.
#[path = "../../../../operator/cluster/tests/cluster/manifests.rs"]
mod manifests;

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::Account;
use cluster::guard::{self, Guard, GuardOptions, GuardState};
use cluster::watch::WatchOptions;
use http::Method;
use serde_json::{Value, json};

use super::served::{SELF_REVIEWS, Served, served};
use super::support::{DRY_RUN, Installed, NAMESPACE, PATIENCE, call, get};

const REFUSAL: &str = "may only ask for dry runs";

#[tokio::test]
async fn the_guard_is_what_the_operator_expects_and_the_dry_run_account_can_only_dry_run() {
    let installed = Installed::shared().await;
    let (admin, operator) = (installed.admin().await, installed.operator().await);
    let account = Account::new(NAMESPACE, "driftline-dry-run");
    let registration = "/apis/admissionregistration.k8s.io/v1";
    let policy = get(
        &admin,
        &format!("{registration}/validatingadmissionpolicies/driftline-dry-run-only"),
    )
    .await;
    assert_eq!(
        policy["spec"],
        guard::policy("driftline-dry-run-only", &account)["spec"]
    );
    let binding = get(
        &admin,
        &format!("{registration}/validatingadmissionpolicybindings/driftline-dry-run-only"),
    )
    .await;
    assert_eq!(binding["spec"]["policyName"], "driftline-dry-run-only");
    let role = get(
        &admin,
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/driftline-dry-run",
    )
    .await;
    assert_eq!(role["rules"], guard::role("driftline-dry-run")["rules"]);

    // Asked with the operator's own token: its rights suffice for all checks.
    let rbac = Arc::new(cluster::trigger::rbac(&operator, &WatchOptions::default()));
    let guard = Guard::start(operator.clone(), rbac, GuardOptions::new(account));
    let mut state = guard.subscribe();
    let trusted =
        tokio::time::timeout(PATIENCE, state.wait_for(|s| *s == GuardState::Trusted)).await;
    assert!(trusted.is_ok(), "{:?}", *guard.subscribe().borrow());

    let tenant = installed.plane.create_namespace("tenant").await.unwrap();
    let mut asked = BTreeSet::new();
    for served in served(&admin).await {
        let namespaces: &[&str] = if served.namespaced {
            &[&tenant, NAMESPACE]
        } else {
            &[""]
        };
        let may_ask = guard::RESOURCES.iter().any(|(group, plurals)| {
            *group == served.group && plurals.contains(&served.resource.as_str())
        });
        for namespace in namespaces {
            for (verb, method, path) in served.writes(namespace, "probe") {
                let at = (served.group.as_str(), served.resource.as_str());
                if verb == "create" && SELF_REVIEWS.contains(&at) {
                    continue;
                }
                let creation = verb == "create" && may_ask;
                let body = if creation { object(&served) } else { json!({}) };
                let (status, said) =
                    call(&operator, method.clone(), &path, Some(DRY_RUN), Some(&body)).await;
                assert_eq!(status, 403, "{method} {path}: {said}");
                // Its own namespace has a standard for Pods that refuses some before the guard can.
                if creation && *namespace != NAMESPACE {
                    assert!(
                        said["message"]
                            .as_str()
                            .is_some_and(|m| m.contains(REFUSAL)),
                        "{method} {path}: {said}"
                    );
                    let (status, said) = call(
                        &operator,
                        method,
                        &format!("{path}?dryRun=All"),
                        Some(DRY_RUN),
                        Some(&body),
                    )
                    .await;
                    assert_eq!(status, 201, "{path}: {said}");
                    asked.insert(format!("{}/{}", served.group, served.resource));
                }
            }
        }
    }
    let all: usize = guard::RESOURCES
        .iter()
        .map(|(_, plurals)| plurals.len())
        .sum();
    assert_eq!(asked.len(), all, "{asked:?}");
    for path in [
        "/api/v1/configmaps",
        "/api/v1/secrets",
        "/apis/apps/v1/deployments",
    ] {
        assert_eq!(
            call(&operator, Method::GET, path, Some(DRY_RUN), None)
                .await
                .0,
            403,
            "{path}"
        );
    }
}

fn object(served: &Served) -> Value {
    let mut object = manifests::of(&served.resource)
        .unwrap_or_else(|| panic!("no manifest for {}", served.resource));
    let group = if served.group.is_empty() {
        String::new()
    } else {
        format!("{}/", served.group)
    };
    object["apiVersion"] = json!(format!("{group}{}", served.version));
    object["kind"] = json!(served.kind);
    let name = if served.resource == "customresourcedefinitions" {
        "things.dry.example.com"
    } else {
        "probe"
    };
    object["metadata"] = json!({"name": name});
    object
}
