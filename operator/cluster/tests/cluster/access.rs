//! Access reviews: asked once, asked again when rights change.

use std::sync::Arc;

use cluster::Account;
use cluster::access::{Access, AccessOptions, Attributes, Decision, Question};
use cluster::trigger;

use crate::support::*;

#[tokio::test]
async fn a_revocation_is_noticed() {
    let (_, client) = shared().await;
    let ns = namespace(&client, "access").await;
    service_account(&client, &ns, "reader").await;
    let account = Account::new(&ns, "reader");
    let rbac = Arc::new(trigger::rbac(&client, &quick()));
    let access = Access::start(client.clone(), rbac, AccessOptions::default());
    assert_eq!(
        access
            .may_list(&account, "apps", "deployments", Some(&ns))
            .await,
        Decision::Denied
    );

    let binding = bind(&client, "view", &ns, "reader").await;
    let question = Question {
        account: account.clone(),
        group: "apps".into(),
        plural: "deployments".into(),
        namespace: Some(ns.clone()),
    };
    let mut changes = access.changes();
    tokio::time::timeout(PATIENCE, async {
        while access.known(&question) != Some(Decision::Allowed) {
            changes.changed().await.unwrap();
        }
    })
    .await
    .unwrap();

    let revoked = std::time::Instant::now();
    delete(&client, &binding).await;
    tokio::time::timeout(PATIENCE, async {
        while access.known(&question) != Some(Decision::Denied) {
            changes.changed().await.unwrap();
        }
    })
    .await
    .unwrap();
    println!("a revocation was noticed after {:?}", revoked.elapsed());
}

#[tokio::test]
async fn rights_given_to_a_group_of_the_account_count() {
    let (_, client) = shared().await;
    let ns = namespace(&client, "groups").await;
    service_account(&client, &ns, "reader").await;
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings");
    let body = serde_json::json!({
        "metadata": {"name": "all-accounts-view"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": format!("system:serviceaccounts:{ns}")}],
    });
    post(&client, &path, body).await;
    let rbac = Arc::new(trigger::rbac(&client, &quick()));
    let access = Access::start(client.clone(), rbac, AccessOptions::default());
    let account = Account::new(&ns, "reader");
    eventually("allowed", || async {
        let attributes = Attributes {
            verb: "list",
            group: "",
            resource: "configmaps",
            namespace: Some(&ns),
            ..Attributes::default()
        };
        access.may(&account, attributes).await.unwrap()
    })
    .await;
    assert_eq!(
        access.may_list(&account, "", "configmaps", Some(&ns)).await,
        Decision::Allowed
    );
    assert_eq!(
        access.may_list(&account, "", "configmaps", None).await,
        Decision::Denied
    );
    let secret = Attributes {
        verb: "get",
        resource: "secrets",
        namespace: Some(&ns),
        name: Some("git"),
        ..Attributes::default()
    };
    assert!(!access.may(&account, secret).await.unwrap());
}
