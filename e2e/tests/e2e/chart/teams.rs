//! What teams are given, and what they give.

use http::Method;
use serde_json::json;

use super::support::{Installed, NAMESPACE, call, eventually, must, root};

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

#[tokio::test]
async fn the_policies_of_readme_and_notes_are_valid() {
    let installed = Installed::shared().await;
    let between = |text: &str, begin: &str, end: &str| {
        let (_, after) = text.split_once(begin).unwrap();
        after.split_once(end).unwrap().0.to_owned()
    };
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let notes = installed
        .helm()
        .args(["get", "notes", "driftline", "--namespace", NAMESPACE])
        .run()
        .await
        .unwrap();
    for policy in [
        between(&readme, "```yaml\n", "```"),
        between(&notes, "<<EOF\n", "\nEOF"),
    ] {
        let apply = installed
            .kubectl()
            .args(["apply", "--dry-run=server", "--validate=strict", "-f", "-"])
            .stdin(policy.clone());
        apply
            .run()
            .await
            .unwrap_or_else(|error| panic!("{policy}: {error}"));
    }
}
