//! What the operator's roles grant it, and what whoever asks may do.

use cluster::Account;
use cluster::access::Attributes;
use cluster::guard::Grants;
use driftline_crds::GROUP;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::installation::Installation;
use super::reading::{self, Seen};
use super::report::{Finding, Level};

const OPERATOR: &str = "rights";
const CALLER: &str = "your rights";

/// What the operator cannot do without.
fn needed<'a>(
    namespace: &'a str,
    lease: &'a str,
    shard: &'a str,
    dry_run: Option<&'a str>,
) -> Vec<Attributes<'a>> {
    let of = |verb, group, resource| Attributes {
        verb,
        group,
        resource,
        ..Attributes::default()
    };
    let home = |verb, group, resource, name| Attributes {
        namespace: Some(namespace),
        name,
        ..of(verb, group, resource)
    };
    let status = |resource| Attributes {
        subresource: "status",
        ..of("patch", GROUP, resource)
    };
    let mut all = Vec::new();
    for resource in ["driftpolicies", "driftrecords", "driftexceptions"] {
        all.extend(["get", "list", "watch"].map(|verb| of(verb, GROUP, resource)));
        all.push(status(resource));
    }
    all.push(of("patch", GROUP, "driftpolicies"));
    all.extend(["create", "patch", "delete"].map(|verb| of(verb, GROUP, "driftrecords")));
    all.extend(["create", "patch"].map(|verb| of(verb, "events.k8s.io", "events")));
    all.push(of("create", "authorization.k8s.io", "subjectaccessreviews"));
    for (group, resource) in [
        ("apps", "deployments"),
        ("", "configmaps"),
        ("", "namespaces"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
        ),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
    ] {
        all.extend(["get", "list", "watch"].map(|verb| of(verb, group, resource)));
    }
    all.push(home("create", "coordination.k8s.io", "leases", None));
    all.extend(
        ["get", "update"].map(|verb| home(verb, "coordination.k8s.io", "leases", Some(lease))),
    );
    all.push(home("create", "", "configmaps", None));
    all.push(home("patch", "", "configmaps", Some(shard)));
    if let Some(account) = dry_run {
        all.push(home("impersonate", "", "serviceaccounts", Some(account)));
    }
    all
}

/// `list deployments.apps`, as kubectl names it.
fn words(of: &Attributes<'_>) -> String {
    let mut text = format!("{} {}", of.verb, of.resource);
    if !of.group.is_empty() {
        text = format!("{text}.{}", of.group);
    }
    if !of.subresource.is_empty() {
        text = format!("{text}/{}", of.subresource);
    }
    match of.namespace {
        Some(namespace) => format!("{text} in {namespace}"),
        None => text,
    }
}

/// What roles grant the operator: all that it needs, and nothing that it must not have.
pub async fn of_operator(client: &Client, installation: &Installation) -> Vec<Finding> {
    let account = installation.account("--operator-account", "driftline");
    let grants = match Grants::read(client).await {
        Ok(grants) => grants,
        Err(error) => {
            let what = format!("what roles grant {account}");
            return vec![reading::hidden(OPERATOR, &what, &error.to_string())];
        }
    };
    let name = installation.name();
    let lease = installation.flag("--lease-name").unwrap_or("driftline");
    let dry_run = installation.account("--dry-run-account", "driftline-dry-run");
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(client.clone(), &dry_run.namespace);
    let asks = matches!(reading::one(&accounts, &dry_run.name).await, Seen::There(_));
    let shard = format!("{name}-memory-0");
    let needed = needed(
        &installation.namespace,
        lease,
        &shard,
        asks.then_some(dry_run.name.as_str()),
    );
    let lacks: Vec<String> = needed
        .iter()
        .filter(|of| !grants.allow(&account, **of))
        .map(words)
        .collect();
    let mut findings = Vec::new();
    findings.push(if lacks.is_empty() {
        Finding::ok(
            OPERATOR,
            format!(
                "roles grant {account} the {} rights that it needs",
                needed.len()
            ),
        )
    } else {
        let more = lacks.len().saturating_sub(4);
        let shown = lacks.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        Finding::bad(
            OPERATOR,
            Level::Failure,
            format!("{account} lacks rights: {shown}{more}"),
            format!(
                "install the chart's roles again: {}",
                installation.upgrade()
            ),
        )
    });
    findings.extend(too_much(&grants, &account, installation));
    findings
}

/// What an operator that only observes never holds; see docs/rights.md.
fn too_much(grants: &Grants, account: &Account, installation: &Installation) -> Option<Finding> {
    let of = |verb, group, resource| Attributes {
        verb,
        group,
        resource,
        ..Attributes::default()
    };
    let compares = installation.has("--compare-secrets");
    let mut held: Vec<String> = [
        of("create", "apps", "deployments"),
        of("patch", "apps", "deployments"),
        of("delete", "apps", "deployments"),
        of("update", "", "configmaps"),
        of("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
        of("create", "", "pods"),
        of("impersonate", "", "users"),
        of("impersonate", "", "serviceaccounts"),
    ]
    .iter()
    .filter(|of| grants.allow(account, **of))
    .map(words)
    .collect();
    let secrets = of("list", "", "secrets");
    if !compares && grants.allow(account, secrets) {
        held.push(words(&secrets));
    }
    if held.is_empty() {
        return None;
    }
    Some(Finding::bad(
        OPERATOR,
        Level::Warning,
        format!(
            "{account} holds in the whole cluster what the chart does not give it: {}",
            held.join(", ")
        ),
        format!(
            "find the binding and remove it: `kubectl get clusterrolebindings -o wide | grep {}`",
            account.name
        ),
    ))
}

/// What whoever asks may do, by asking the API server; everybody may ask that.
pub async fn of_caller(client: &Client, namespace: &str) -> Vec<Finding> {
    let wanted = [
        ("list", "driftpolicies", "status, check, trace"),
        ("list", "driftrecords", "get, explain, diff KIND/NAME"),
        ("watch", "driftrecords", "watch"),
    ];
    let mut without = Vec::new();
    for (verb, resource, commands) in wanted {
        match may(client, verb, resource, namespace).await {
            Seen::There(true) => {}
            Seen::There(false) => without.push((verb, resource, commands)),
            Seen::Absent => {}
            Seen::Hidden(why) => return vec![reading::hidden(CALLER, "what you may do", &why)],
        }
    }
    let asks = matches!(
        may(client, "patch", "driftpolicies", namespace).await,
        Seen::There(true)
    );
    let check = if asks {
        ""
    } else {
        "; you may not ask for checks (patch driftpolicies)"
    };
    if without.is_empty() {
        return vec![Finding::ok(
            CALLER,
            format!("you may read policies and records in namespace {namespace}{check}"),
        )];
    }
    let rights: Vec<String> = without
        .iter()
        .map(|(verb, resource, commands)| format!("{verb} {resource} (for {commands})"))
        .collect();
    vec![Finding::bad(
        CALLER,
        Level::Warning,
        format!("in namespace {namespace} you may not {}", rights.join(", ")),
        format!(
            "whoever may view the namespace may: `kubectl create rolebinding driftline-view -n {namespace} --clusterrole view --user NAME`"
        ),
    )]
}

async fn may(client: &Client, verb: &str, resource: &str, namespace: &str) -> Seen<bool> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: Some(GROUP.to_owned()),
                resource: Some(resource.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    match reading::ask(api.create(&PostParams::default(), &review)).await {
        Seen::There(answer) => Seen::There(answer.status.is_some_and(|s| s.allowed)),
        Seen::Absent => Seen::Absent,
        Seen::Hidden(why) => Seen::Hidden(why),
    }
}
