//! What the chart's accounts may do, found out by trying all of it on the API server.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

// One valid object of each kind that the dry-run account may ask about.
#[path = "../../../../operator/cluster/tests/cluster/manifests.rs"]
mod manifests;

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::Account;
use cluster::guard::{self, Guard, GuardOptions, GuardState};
use cluster::watch::WatchOptions;
use futures::StreamExt as _;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::{Installed, NAMESPACE, PATIENCE, answer, call, eventually, get, must, root};

const DRY_RUN: &str = "system:serviceaccount:driftline-system:driftline-dry-run";
const REFUSAL: &str = "may only ask for dry runs";
/// Reviews of one's own self, which every cluster allows everybody. Nothing is stored.
const SELF_REVIEWS: [(&str, &str); 3] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];

/// A policy as a user would write it.
pub(super) fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": name},
        "spec": {
            "source": {"git": {"url": "https://git.example.com/a.git", "ref": {"branch": "main"}}},
            "targets": [{"name": "app", "kubernetes": {"path": "."}}],
        },
    })
}

/// A record of a policy.
pub(super) fn record(name: &str, policy: &str) -> Value {
    let subject = json!({"kubernetes": {"group": "apps", "kind": "Deployment", "namespace": "default", "name": "web"}});
    json!({
        "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftRecord", "metadata": {"name": name},
        "spec": {"policy": policy, "target": "app", "subject": subject},
    })
}

/// A resource or subresource that the server serves.
#[derive(Debug, Clone)]
struct Served {
    group: String,
    version: String,
    /// As RBAC writes it, for example `pods/exec`.
    resource: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<String>,
}

impl Served {
    fn is(&self, group: &str, resource: &str) -> bool {
        self.group == group && self.resource == resource
    }

    /// Opens a connection to a node, a Pod or a Service, by GET too.
    fn connects(&self) -> bool {
        self.kind.ends_with("Options")
    }

    fn base(&self, namespace: &str) -> String {
        let group = if self.group.is_empty() {
            "/api".to_owned()
        } else {
            format!("/apis/{}", self.group)
        };
        let namespace = if self.namespaced {
            format!("/namespaces/{namespace}")
        } else {
            String::new()
        };
        format!("{group}/{}{namespace}", self.version)
    }

    /// Every request that could change something, with its verb.
    fn writes(&self, namespace: &str, name: &str) -> Vec<(&'static str, Method, String)> {
        let base = self.base(namespace);
        let (collection, one) = match self.resource.split_once('/') {
            None => (
                Some(format!("{base}/{}", self.resource)),
                format!("{base}/{}/{name}", self.resource),
            ),
            Some((parent, sub)) => (None, format!("{base}/{parent}/{name}/{sub}")),
        };
        let mut writes = vec![
            ("update", Method::PUT, one.clone()),
            ("patch", Method::PATCH, one.clone()),
            ("delete", Method::DELETE, one.clone()),
        ];
        match collection {
            Some(collection) => {
                writes.push(("create", Method::POST, collection.clone()));
                writes.push(("deletecollection", Method::DELETE, collection));
            }
            None => writes.push(("create", Method::POST, one.clone())),
        }
        if self.connects() {
            writes.push(("get", Method::GET, one));
        }
        writes
    }
}

/// Everything that the server serves, in all versions.
async fn served(client: &Client) -> Vec<Served> {
    let mut versions = vec![(String::new(), "v1".to_owned(), "/api/v1".to_owned())];
    for group in get(client, "/apis").await["groups"].as_array().unwrap() {
        let name = group["name"].as_str().unwrap();
        for version in group["versions"].as_array().unwrap() {
            let version = version["version"].as_str().unwrap();
            versions.push((
                name.to_owned(),
                version.to_owned(),
                format!("/apis/{name}/{version}"),
            ));
        }
    }
    let mut all = Vec::new();
    for (group, version, path) in versions {
        for resource in get(client, &path).await["resources"].as_array().unwrap() {
            all.push(Served {
                group: group.clone(),
                version: version.clone(),
                resource: resource["name"].as_str().unwrap().to_owned(),
                kind: resource["kind"].as_str().unwrap().to_owned(),
                namespaced: resource["namespaced"].as_bool().unwrap(),
                verbs: serde_json::from_value(resource["verbs"].clone()).unwrap(),
            });
        }
    }
    assert!(
        all.iter()
            .any(|s| s.is("driftline.dev", "driftrecords/status")),
        "the custom resources are not in discovery"
    );
    all
}

/// What the operator's account may change, and nothing else.
fn operator_may(verb: &str, served: &Served, namespace: &str) -> bool {
    let at = (served.group.as_str(), served.resource.as_str());
    match verb {
        "create" if SELF_REVIEWS.contains(&at) => true,
        "create" => {
            matches!(
                at,
                ("driftline.dev", "driftrecords")
                    | ("events.k8s.io", "events")
                    | ("authorization.k8s.io", "subjectaccessreviews")
            ) || (at == ("coordination.k8s.io", "leases") && namespace == NAMESPACE)
        }
        "update" => matches!(
            at,
            (
                "driftline.dev",
                "driftrecords" | "driftrecords/status" | "driftpolicies/status"
            )
        ),
        "patch" => {
            matches!(
                at,
                (
                    "driftline.dev",
                    "driftrecords" | "driftrecords/status" | "driftpolicies/status"
                ) | ("events.k8s.io", "events")
            )
        }
        "delete" => at == ("driftline.dev", "driftrecords"),
        _ => false,
    }
}

#[tokio::test]
async fn the_operator_is_refused_every_write_outside_its_own_resources() {
    let installed = Installed::shared().await;
    let (admin, operator) = (installed.admin().await, installed.operator().await);
    let tenant = installed.plane.create_namespace("tenant").await.unwrap();
    let mut attempts = Vec::new();
    for served in served(&admin).await {
        let namespaces: &[&str] = if served.namespaced {
            &[&tenant, NAMESPACE]
        } else {
            &[""]
        };
        for namespace in namespaces {
            for (verb, method, path) in served.writes(namespace, "probe") {
                let allowed = operator_may(verb, &served, namespace);
                attempts.push((verb, method, path, allowed));
            }
        }
    }
    // What must not be missing from the attempts.
    for (method, end) in [
        (Method::POST, format!("/{tenant}/pods/probe/exec")),
        (Method::GET, format!("/{tenant}/pods/probe/exec")),
        (
            Method::POST,
            format!("/{NAMESPACE}/serviceaccounts/probe/token"),
        ),
        (Method::GET, "/nodes/probe/proxy".into()),
        (Method::PUT, "/namespaces/probe/finalize".into()),
        (Method::DELETE, format!("/{tenant}/secrets")),
        (Method::POST, "/clusterrolebindings".into()),
        (
            Method::PUT,
            "/certificatesigningrequests/probe/approval".into(),
        ),
        (Method::PATCH, format!("/{tenant}/deployments/probe/scale")),
        (Method::PATCH, format!("/{tenant}/driftpolicies/probe")),
    ] {
        assert!(
            attempts
                .iter()
                .any(|(_, m, path, _)| *m == method && path.ends_with(&end)),
            "{method} {end} was not tried"
        );
    }
    let refused = attempts.iter().filter(|(.., allowed)| !allowed).count();
    let wrong: Vec<String> = futures::stream::iter(attempts)
        .map(|(verb, method, path, allowed)| {
            let operator = operator.clone();
            async move {
                let (status, said) =
                    call(&operator, method.clone(), &path, None, Some(&json!({}))).await;
                let by_rbac = status == 403
                    && said["message"]
                        .as_str()
                        .is_some_and(|m| m.contains(" cannot "));
                (by_rbac == allowed)
                    .then(|| format!("{verb}: {method} {path}: {status} {}", said["message"]))
            }
        })
        .buffer_unordered(8)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{refused} writes refused");

    for path in ["/metrics", "/logs/", "/debug/pprof/", "/configz"] {
        assert_eq!(
            call(&operator, Method::GET, path, None, None).await.0,
            403,
            "{path}"
        );
    }
    assert_eq!(
        call(
            &operator,
            Method::PUT,
            "/debug/flags/v",
            None,
            Some(&json!(9))
        )
        .await
        .0,
        403
    );
}

/// Of the rules that the server says to hold for a client, those that do more than read: verb, group, resource, name.
async fn writing_rules(client: &Client, namespace: &str) -> BTreeSet<[String; 4]> {
    let question = json!({"spec": {"namespace": namespace}});
    let review = must(
        client,
        Method::POST,
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        question,
    )
    .await;
    let words = |rule: &Value, key: &str| -> Vec<String> {
        serde_json::from_value(rule[key].clone()).unwrap_or_default()
    };
    let mut found = BTreeSet::new();
    for rule in review["status"]["resourceRules"].as_array().unwrap() {
        let names = words(rule, "resourceNames");
        let names = if names.is_empty() {
            vec!["any".to_owned()]
        } else {
            names
        };
        for verb in words(rule, "verbs")
            .iter()
            .filter(|v| !["get", "list", "watch"].contains(&v.as_str()))
        {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    found.extend(
                        names.iter().map(|name| {
                            [verb.clone(), group.clone(), resource.clone(), name.clone()]
                        }),
                    );
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn verbs_without_a_request_of_their_own_are_not_held_either() {
    let installed = Installed::shared().await;
    let operator = installed.operator().await;
    let text = |words: &[[&str; 4]]| -> BTreeSet<[String; 4]> {
        words.iter().map(|w| w.map(str::to_owned)).collect()
    };
    let mut everywhere = text(&[
        ["create", "driftline.dev", "driftrecords", "any"],
        ["update", "driftline.dev", "driftrecords", "any"],
        ["patch", "driftline.dev", "driftrecords", "any"],
        ["delete", "driftline.dev", "driftrecords", "any"],
        ["update", "driftline.dev", "driftrecords/status", "any"],
        ["patch", "driftline.dev", "driftrecords/status", "any"],
        ["update", "driftline.dev", "driftpolicies/status", "any"],
        ["patch", "driftline.dev", "driftpolicies/status", "any"],
        ["create", "events.k8s.io", "events", "any"],
        ["patch", "events.k8s.io", "events", "any"],
        [
            "create",
            "authorization.k8s.io",
            "subjectaccessreviews",
            "any",
        ],
    ]);
    everywhere.extend(
        SELF_REVIEWS.map(|(group, resource)| ["create", group, resource, "any"].map(str::to_owned)),
    );
    // No escalate, bind, approve, sign, and impersonate for one name only.
    assert_eq!(writing_rules(&operator, "default").await, everywhere);
    let mut at_home = everywhere;
    at_home.extend(text(&[
        ["create", "coordination.k8s.io", "leases", "any"],
        ["update", "coordination.k8s.io", "leases", "driftline"],
        ["patch", "coordination.k8s.io", "leases", "driftline"],
        ["impersonate", "", "serviceaccounts", "driftline-dry-run"],
    ]));
    assert_eq!(writing_rules(&operator, NAMESPACE).await, at_home);
}

/// Asks as somebody else who one is.
async fn who(client: &Client, headers: &[(&str, &str)]) -> (u16, Value) {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/apis/authentication.k8s.io/v1/selfsubjectreviews");
    request = request.header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(
        client,
        request.body(review.to_string().into_bytes()).unwrap(),
    )
    .await
}

#[tokio::test]
async fn the_operator_can_become_nobody_but_the_dry_run_account() {
    let installed = Installed::shared().await;
    let operator = installed.operator().await;
    let (status, me) = who(&operator, &[("Impersonate-User", DRY_RUN)]).await;
    assert_eq!(
        (status, &me["status"]["userInfo"]["username"]),
        (201, &json!(DRY_RUN))
    );
    let user = "Impersonate-User";
    for headers in [
        &[(user, "kubernetes-admin")][..],
        &[(user, "system:masters")],
        &[(user, "system:node:a")],
        &[(
            user,
            "system:serviceaccount:driftline-system:driftline-reader",
        )],
        &[(user, "system:serviceaccount:driftline-system:default")],
        &[(
            user,
            "system:serviceaccount:kube-system:generic-garbage-collector",
        )],
        &[(user, "system:serviceaccount:default:driftline-dry-run")],
        &[(user, DRY_RUN), ("Impersonate-Group", "system:masters")],
        &[
            (user, DRY_RUN),
            ("Impersonate-Group", "system:serviceaccounts"),
        ],
        &[(user, DRY_RUN), ("Impersonate-Extra-Scopes", "admin")],
        &[(user, DRY_RUN), ("Impersonate-Uid", "1")],
    ] {
        let (status, said) = who(&operator, headers).await;
        assert_eq!(status, 403, "{headers:?}: {said}");
    }
}

#[tokio::test]
async fn the_operator_can_do_what_it_is_there_for() {
    let installed = Installed::shared().await;
    let (admin, operator) = (installed.admin().await, installed.operator().await);
    let tenant = installed.plane.create_namespace("tenant").await.unwrap();
    let own = format!("/apis/driftline.dev/v1alpha1/namespaces/{tenant}");
    must(
        &admin,
        Method::POST,
        &format!("{own}/driftpolicies"),
        policy("shop"),
    )
    .await;
    let status = json!({"status": {"observedGeneration": 1}});
    must(
        &operator,
        Method::PATCH,
        &format!("{own}/driftpolicies/shop/status"),
        status,
    )
    .await;
    must(
        &operator,
        Method::POST,
        &format!("{own}/driftrecords"),
        record("one", "shop"),
    )
    .await;
    let status = json!({"status": {
        "state": "Open", "change": "Changed", "firstSeen": "2026-01-01T00:00:00Z", "apiVersion": "apps/v1",
        "display": {"subject": "apps/Deployment default/web", "fields": "1: spec.replicas", "by": "kubectl"},
    }});
    must(
        &operator,
        Method::PATCH,
        &format!("{own}/driftrecords/one/status"),
        status,
    )
    .await;
    must(
        &operator,
        Method::PATCH,
        &format!("{own}/driftrecords/one"),
        json!({"metadata": {"labels": {"a": "b"}}}),
    )
    .await;
    must(
        &operator,
        Method::DELETE,
        &format!("{own}/driftrecords/one"),
        json!({}),
    )
    .await;
    let event = json!({
        "metadata": {"name": "drift"}, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Warning", "action": "Compare", "reason": "Drifted",
        "reportingController": "driftline.dev/operator", "reportingInstance": "one",
        "regarding": {"apiVersion": "driftline.dev/v1alpha1", "kind": "DriftPolicy", "namespace": tenant, "name": "shop"},
    });
    must(
        &operator,
        Method::POST,
        &format!("/apis/events.k8s.io/v1/namespaces/{tenant}/events"),
        event,
    )
    .await;
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
    for name in ["driftline", "somebody-elses"] {
        must(
            &operator,
            Method::POST,
            &leases,
            json!({"metadata": {"name": name}, "spec": {"holderIdentity": "a"}}),
        )
        .await;
        let lease = get(&operator, &format!("{leases}/{name}")).await;
        let (status, _) = call(
            &operator,
            Method::PUT,
            &format!("{leases}/{name}"),
            None,
            Some(&lease),
        )
        .await;
        assert_eq!(status, if name == "driftline" { 200 } else { 403 });
    }
    for path in ["/openapi/v3", "/version", "/api", "/apis"] {
        get(&operator, path).await;
    }
    let review = json!({"spec": {
        "user": "system:serviceaccount:driftline-system:driftline-reader",
        "resourceAttributes": {"verb": "list", "group": "apps", "resource": "deployments", "namespace": tenant},
    }});
    let review = must(
        &operator,
        Method::POST,
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        review,
    )
    .await;
    assert_eq!(review["status"]["allowed"], json!(true));
}

#[tokio::test]
async fn operator_and_reader_read_every_built_in_kind_but_secrets_and_events() {
    let installed = Installed::shared().await;
    let listable: Vec<Served> = served(&installed.admin().await)
        .await
        .into_iter()
        .filter(|s| s.verbs.iter().any(|v| v == "list"))
        .collect();
    for account in ["driftline", "driftline-reader"] {
        let client = installed
            .plane
            .client_for_service_account(NAMESPACE, account)
            .await
            .unwrap();
        let mut unreadable = BTreeSet::new();
        for served in &listable {
            let group = if served.group.is_empty() {
                "/api".to_owned()
            } else {
                format!("/apis/{}", served.group)
            };
            let path = format!("{group}/{}/{}", served.version, served.resource);
            let (status, _) = call(&client, Method::GET, &path, None, None).await;
            let watched = call(
                &client,
                Method::GET,
                &format!("{path}?watch=true&timeoutSeconds=1&resourceVersion=x"),
                None,
                None,
            )
            .await
            .0;
            assert!(
                (status == 403) == (watched == 403),
                "{account}: {path}: list {status}, watch {watched}"
            );
            if status == 403 {
                unreadable.insert(format!("{}/{}", served.group, served.resource));
            }
        }
        let expected = [
            "/componentstatuses",
            "/events",
            "/secrets",
            "events.k8s.io/events",
        ];
        assert_eq!(unreadable, expected.map(str::to_owned).into(), "{account}");
    }
    let reader = installed
        .plane
        .client_for_service_account(NAMESPACE, "driftline-reader")
        .await
        .unwrap();
    let writes = writing_rules(&reader, NAMESPACE).await;
    assert_eq!(
        writes,
        SELF_REVIEWS
            .map(|(group, resource)| ["create", group, resource, "any"].map(str::to_owned))
            .into()
    );
}

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

#[tokio::test]
async fn the_examples_work_and_a_team_opts_in_to_one_account_and_one_secret() {
    let installed = Installed::shared().await;
    let (admin, operator) = (installed.admin().await, installed.operator().await);
    must(
        &admin,
        Method::POST,
        "/api/v1/namespaces",
        json!({"metadata": {"name": "shop"}}),
    )
    .await;
    let apply = async |name: &str| {
        let file = root().join("examples").join(name);
        installed
            .kubectl()
            .args(["apply", "-f"])
            .args([file])
            .run()
            .await
            .unwrap();
    };
    apply("policy.yaml").await;
    let secrets = "/api/v1/namespaces/shop/secrets";
    for name in ["shop-git", "another"] {
        must(
            &admin,
            Method::POST,
            secrets,
            json!({"metadata": {"name": name}, "stringData": {"username": "a", "password": "b"}}),
        )
        .await;
    }
    let account = "system:serviceaccount:shop:shop-drift";
    let secret = format!("{secrets}/shop-git");
    let read = async |user: Option<&str>, path: &str| {
        call(&operator, Method::GET, path, user, None).await.0
    };
    assert_eq!(read(Some(account), &secret).await, 403);

    apply("git-secret-opt-in.yaml").await;
    eventually("reading the Secret as the policy's account", async || {
        read(Some(account), &secret).await == 200
    })
    .await;
    assert_eq!(
        read(Some(account), &format!("{secrets}/another")).await,
        403
    );
    assert_eq!(read(Some(account), secrets).await, 403);
    assert_eq!(read(None, &secret).await, 403);
    assert_eq!(
        read(Some("system:serviceaccount:shop:default"), &secret).await,
        403
    );
    let deployments = "/apis/apps/v1/namespaces/shop/deployments";
    assert_eq!(read(Some(account), deployments).await, 200);
    assert_eq!(
        call(
            &operator,
            Method::POST,
            deployments,
            Some(account),
            Some(&json!({}))
        )
        .await
        .0,
        403
    );

    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/driftline-acts-as-shop-drift";
    must(&admin, Method::DELETE, binding, json!({})).await;
    eventually("the end of the opt-in", async || {
        read(Some(account), &secret).await == 403
    })
    .await;
}

#[tokio::test]
async fn editors_write_policies_and_viewers_read_records() {
    let installed = Installed::shared().await;
    let admin = installed.admin().await;
    let tenant = installed.plane.create_namespace("tenant").await.unwrap();
    for role in ["view", "edit"] {
        let binding = json!({
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": role}],
        });
        must(
            &admin,
            Method::POST,
            &format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{tenant}/rolebindings"),
            binding,
        )
        .await;
    }
    let may = async |user: &str, verb: &str, resource: &str| {
        let attributes = json!({"verb": verb, "group": "driftline.dev", "resource": resource, "namespace": tenant});
        let review = json!({"spec": {"user": user, "resourceAttributes": attributes}});
        let review = must(
            &admin,
            Method::POST,
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            review,
        )
        .await;
        review["status"]["allowed"] == json!(true)
    };
    // The controller manager adds the chart's roles to those of the cluster.
    eventually("editors writing policies", async || {
        may("edit", "create", "driftpolicies").await
    })
    .await;
    eventually("viewers reading records", async || {
        may("view", "list", "driftrecords").await
    })
    .await;
    eventually("editors reading records", async || {
        may("edit", "list", "driftrecords").await
    })
    .await;
    assert!(!may("view", "create", "driftpolicies").await);
    for verb in ["create", "update", "patch", "delete"] {
        assert!(!may("edit", verb, "driftrecords").await, "{verb}");
    }
}
