//! What operator and reader may do, found out by trying all of it on the API server.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::served::{SELF_REVIEWS, Served, served};
use super::support::{DRY_RUN, Installed, NAMESPACE, answer, call, get, must, policy, record};

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
            ) || (matches!(at, ("coordination.k8s.io", "leases") | ("", "configmaps"))
                && namespace == NAMESPACE)
        }
        "update" => matches!(
            at,
            (
                "driftline.dev",
                "driftrecords"
                    | "driftrecords/status"
                    | "driftexceptions/status"
                    | "driftpolicies/status"
            )
        ),
        "patch" => {
            matches!(
                at,
                (
                    "driftline.dev",
                    "driftrecords"
                        | "driftrecords/status"
                        | "driftexceptions/status"
                        | "driftpolicies/status"
                        // An admission policy leaves it their finalizer alone.
                        | "driftpolicies"
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
        ["update", "driftline.dev", "driftexceptions/status", "any"],
        ["patch", "driftline.dev", "driftexceptions/status", "any"],
        ["update", "driftline.dev", "driftpolicies/status", "any"],
        ["patch", "driftline.dev", "driftpolicies/status", "any"],
        // An admission policy leaves it their finalizer alone.
        ["patch", "driftline.dev", "driftpolicies", "any"],
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
        ["create", "", "configmaps", "any"],
        ["patch", "", "configmaps", "driftline-memory-0"],
        ["patch", "", "configmaps", "driftline-memory-1"],
        ["patch", "", "configmaps", "driftline-memory-2"],
        ["patch", "", "configmaps", "driftline-memory-3"],
        ["patch", "", "configmaps", "driftline-memory-4"],
        ["patch", "", "configmaps", "driftline-memory-5"],
        ["patch", "", "configmaps", "driftline-memory-6"],
        ["patch", "", "configmaps", "driftline-memory-7"],
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
