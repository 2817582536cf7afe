//! The admission policies of the chart: the guard of the dry-run account, and what keeps exceptions, holds and finalizers in bounds.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use super::installation::Installation;
use super::reading::{self, Seen};
use super::report::{Finding, Level};

/// Looks at all of them.
pub async fn checks(client: &Client, installation: &Installation) -> Vec<Finding> {
    let mut findings = vec![guard(client, installation).await];
    if installation.deployment.is_some() {
        findings.extend(others(client, installation).await);
    }
    findings
}

async fn guard(client: &Client, installation: &Installation) -> Finding {
    const CHECK: &str = "guard";
    let account = installation.account("--dry-run-account", "driftline-dry-run");
    let name = installation
        .flag("--guard-policy")
        .unwrap_or("driftline-dry-run-only");
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &account.namespace);
    // Whoever may not read accounts is told of the guard all the same.
    if matches!(reading::one(&accounts, &account.name).await, Seen::Absent) {
        return Finding::ok(
            CHECK,
            format!(
                "there is no account {account} for dry runs (expected.enabled is false): what is live and not declared is judged by who owns it"
            ),
        );
    }
    match cluster::guard::inspect(client, &account, name).await {
        Ok(Ok(_)) => Finding::ok(
            CHECK,
            format!(
                "{name} keeps {account} to dry runs, and its roles hold no more than the guard covers"
            ),
        ),
        Ok(Err(why)) => Finding::bad(
            CHECK,
            Level::Failure,
            format!(
                "{why}; until then the operator asks for no expected objects, and undeclared differences stay unverified"
            ),
            installation.upgrade(),
        ),
        Err(error) => {
            let mut text = error.to_string();
            if let Some(cause) = std::error::Error::source(&error) {
                text = format!("{text}: {cause}");
            }
            reading::hidden(
                CHECK,
                &format!("ValidatingAdmissionPolicy {name} with what belongs to it"),
                &text,
            )
        }
    }
}

/// A policy of the chart, and what is the matter without it.
struct Expected {
    name: String,
    /// What it is for.
    keeps: &'static str,
    level: Level,
    /// What follows where it is not there.
    without: &'static str,
}

async fn others(client: &Client, installation: &Installation) -> Vec<Finding> {
    let name = installation.name();
    let mut expected = vec![
        Expected {
            name: format!("{name}-finalizer"),
            keeps: "the operator from changing policies",
            level: Level::Failure,
            without: "the operator could change policies, beyond their finalizer",
        },
        Expected {
            name: format!("{name}-exceptions"),
            keeps: "exceptions short",
            level: Level::Warning,
            without: "exceptions of any length are accepted, and those that are too long are heeded by nobody (exceptions.admission)",
        },
    ];
    if installation.has("--heed-holds") {
        expected.push(Expected {
            name: format!("{name}-holds"),
            keeps: "holds to those who may",
            level: Level::Failure,
            without: "whoever may edit an object can keep it from being put back",
        });
    }
    let mut findings = Vec::new();
    for one in &expected {
        findings.push(other(client, installation, one).await);
    }
    findings
}

async fn other(client: &Client, installation: &Installation, expected: &Expected) -> Finding {
    const CHECK: &str = "admission";
    let Expected {
        name,
        keeps,
        level,
        without,
    } = expected;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let bad = |what: String| {
        Finding::bad(
            CHECK,
            *level,
            format!("{what}: {without}"),
            installation.upgrade(),
        )
    };
    let policy = match reading::one(&policies, name).await {
        Seen::There(policy) => policy,
        Seen::Absent => return bad(format!("ValidatingAdmissionPolicy {name} is missing")),
        Seen::Hidden(why) => {
            return reading::hidden(CHECK, &format!("ValidatingAdmissionPolicy {name}"), &why);
        }
    };
    let binding = match reading::one(&bindings, name).await {
        Seen::There(binding) => binding,
        Seen::Absent => {
            return bad(format!(
                "ValidatingAdmissionPolicyBinding {name} is missing"
            ));
        }
        Seen::Hidden(why) => {
            return reading::hidden(
                CHECK,
                &format!("ValidatingAdmissionPolicyBinding {name}"),
                &why,
            );
        }
    };
    let spec = binding.spec;
    let denies = spec.validation_actions.iter().any(|a| a == "Deny");
    if spec.policy_name != *name || !denies {
        return bad(format!(
            "ValidatingAdmissionPolicyBinding {name} does not deny by the policy of its name"
        ));
    }
    if policy
        .spec
        .as_ref()
        .is_none_or(|s| s.validations.iter().flatten().next().is_none())
    {
        return bad(format!(
            "ValidatingAdmissionPolicy {name} validates nothing"
        ));
    }
    let typed = policy.status.and_then(|s| s.type_checking);
    let warnings = typed
        .and_then(|t| t.expression_warnings)
        .unwrap_or_default();
    match warnings.first() {
        Some(warning) => bad(format!(
            "ValidatingAdmissionPolicy {name}, {}: {}",
            warning.field_ref, warning.warning
        )),
        None => Finding::ok(CHECK, format!("{name} keeps {keeps}")),
    }
}
