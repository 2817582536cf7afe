//! The dry-run account: what it is refused by the API server itself, and how tampering with its guard is noticed.

use std::sync::Arc;

use cluster::Account;
use cluster::discovery::{Catalog, Resource};
use cluster::dry_run::{Answer, DryRunOptions, ExpectedAsker};
use cluster::guard::{self, Guard, GuardOptions, GuardState};
use drift::GroupVersionKind;
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use crate::manifests;
use crate::support::*;

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const REFUSAL: &str = "may only ask for dry runs";

/// An installed guard with its account and role, in a namespace of their own.
struct Installed {
    client: Client,
    account: Account,
    name: String,
    role_binding: String,
    guard: Guard,
}

impl Installed {
    async fn new(client: &Client) -> Self {
        let ns = namespace(client, "guard").await;
        let name = unique("dry-run-only");
        let account = Account::new(&ns, "dry-run");
        service_account(client, &ns, "dry-run").await;
        post(client, POLICIES, guard::policy(&name, &account)).await;
        post(client, BINDINGS, guard::binding(&name)).await;
        post(client, ROLES, guard::role(&name)).await;
        let role_binding = bind(client, &name, &ns, "dry-run").await;
        let options = GuardOptions {
            policy_name: name.clone(),
            watch: quick(),
            ..GuardOptions::new(account.clone())
        };
        let guard = Guard::start(
            client.clone(),
            Arc::new(cluster::trigger::rbac(client, &quick())),
            options,
        );
        Self {
            client: client.clone(),
            account,
            name,
            role_binding,
            guard,
        }
    }

    async fn until_trusted(&self) {
        let mut state = self.guard.subscribe();
        let trusted =
            tokio::time::timeout(PATIENCE, state.wait_for(|s| *s == GuardState::Trusted)).await;
        assert!(trusted.is_ok(), "{:?}", *self.guard.subscribe().borrow());
    }

    /// Waits for a reason that holds a word.
    async fn until_untrusted(&self, word: &str) {
        let mut state = self.guard.subscribe();
        let named =
            |s: &GuardState| matches!(s, GuardState::Untrusted { reason } if reason.contains(word));
        let untrusted = tokio::time::timeout(PATIENCE, state.wait_for(named)).await;
        assert!(
            untrusted.is_ok(),
            "no {word:?} in {:?}",
            *self.guard.subscribe().borrow()
        );
    }

    fn asker(&self) -> Arc<ExpectedAsker> {
        ExpectedAsker::new(
            self.client.clone(),
            self.account.clone(),
            self.guard.subscribe(),
            DryRunOptions::default(),
        )
    }

    async fn clean_up(self) {
        for path in [
            format!("{POLICIES}/{}", self.name),
            format!("{BINDINGS}/{}", self.name),
            format!("{ROLES}/{}", self.name),
        ] {
            call(&self.client, Method::DELETE, &path, None).await;
        }
        call(&self.client, Method::DELETE, &self.role_binding, None).await;
    }
}

fn find<'a>(
    catalog: &'a Catalog,
    group: &str,
    plural: &str,
) -> (&'a GroupVersionKind, &'a Resource) {
    let mut found: Vec<_> = catalog
        .resources()
        .filter(|(kind, resource)| &*kind.group_kind.group == group && resource.plural == plural)
        .collect();
    found.sort_by_key(|(kind, _)| (kind.version.len(), kind.version.clone()));
    *found
        .first()
        .unwrap_or_else(|| panic!("{group}/{plural} is not served"))
}

fn object(kind: &GroupVersionKind, resource: &Resource, name: &str, namespace: &str) -> Value {
    let mut object = manifests::of(&resource.plural)
        .unwrap_or_else(|| panic!("no manifest for {}", resource.plural));
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(&*kind.group_kind.kind);
    object["metadata"] = json!({"name": name});
    if resource.namespaced {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if resource.plural == "customresourcedefinitions" {
        object["metadata"]["name"] = json!("things.dry.example.com");
    }
    object
}

fn url(kind: &GroupVersionKind, resource: &Resource, namespace: &str) -> String {
    let group = &kind.group_kind.group;
    let base = if group.is_empty() {
        "/api".to_owned()
    } else {
        format!("/apis/{group}")
    };
    let namespace = if resource.namespaced {
        format!("/namespaces/{namespace}")
    } else {
        String::new()
    };
    format!("{base}/{}{namespace}/{}", kind.version, resource.plural)
}

#[tokio::test]
async fn every_kind_of_the_role_can_be_asked_for_and_none_written() {
    let (plane, client) = shared().await;
    let installed = Installed::new(&client).await;
    installed.until_trusted().await;
    let target = namespace(&client, "target").await;
    let catalog = Catalog::read(&client).await.unwrap();
    let asker = installed.asker();
    let account = plane
        .client_for_service_account(&installed.account.namespace, "dry-run")
        .await
        .unwrap();
    for (group, plurals) in guard::RESOURCES {
        for plural in plurals {
            let (kind, resource) = find(&catalog, group, plural);
            let object = object(kind, resource, "forged", &target);
            let answer = asker
                .ask(kind, resource, Some(&target), &object)
                .await
                .unwrap();
            // A CRD can have no other name than its own, so its creation under a generated one is refused.
            if *plural == "customresourcedefinitions" {
                assert!(
                    matches!(&answer, Answer::Refused { status: 422, .. }),
                    "{plural}: {answer:?}"
                );
            } else {
                assert!(
                    matches!(&answer, Answer::Object(o) if o["kind"] == object["kind"]),
                    "{plural}: {answer:?}"
                );
            }
            let path = url(kind, resource, &target);
            let (status, said) = call(&account, Method::POST, &path, Some(&object)).await;
            assert!(
                status == 403
                    && said["message"]
                        .as_str()
                        .unwrap_or_default()
                        .contains(REFUSAL),
                "POST {path}: {status} {said}"
            );
            let one = format!("{path}/{}", name_of(&object));
            for (method, path) in [
                (Method::PUT, &one),
                (Method::PATCH, &one),
                (Method::DELETE, &one),
                (Method::DELETE, &path),
            ] {
                let (status, said) = call(&account, method.clone(), path, Some(&json!({}))).await;
                assert_eq!(status, 403, "{method} {path}: {said}");
            }
            assert_eq!(
                call(&client, Method::GET, &one, None).await.0,
                404,
                "{one} was written"
            );
        }
    }
    installed.clean_up().await;
}

#[tokio::test]
async fn the_policy_alone_keeps_a_wide_role_to_dry_runs() {
    let (plane, client) = shared().await;
    let installed = Installed::new(&client).await;
    installed.until_trusted().await;
    let target = namespace(&client, "wide").await;
    let role = unique("wide");
    let rules = json!([
        {"apiGroups": ["", "apps"], "verbs": ["*"], "resources": ["configmaps", "pods", "pods/eviction", "pods/binding", "pods/status",
            "pods/exec", "services/proxy", "bindings", "deployments", "deployments/scale", "deployments/status", "serviceaccounts", "serviceaccounts/token"]},
    ]);
    post(
        &client,
        ROLES,
        json!({"metadata": {"name": role}, "rules": rules}),
    )
    .await;
    let binding = bind(&client, &role, &installed.account.namespace, "dry-run").await;
    installed.until_untrusted("verb").await;

    config_map(&client, &target, "kept", "x").await;
    let core = format!("/api/v1/namespaces/{target}");
    let apps = format!("/apis/apps/v1/namespaces/{target}");
    let catalog = Catalog::read(&client).await.unwrap();
    for (group, plural, path) in [("", "pods", &core), ("apps", "deployments", &apps)] {
        let (kind, resource) = find(&catalog, group, plural);
        post(
            &client,
            &format!("{path}/{plural}"),
            object(kind, resource, "kept", &target),
        )
        .await;
    }
    service_account(&client, &target, "kept").await;
    let account = plane
        .client_for_service_account(&installed.account.namespace, "dry-run")
        .await
        .unwrap();
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "kept", "namespace": target}, "spec": {"replicas": 3}});
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "kept", "namespace": target}});
    let to_node = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "kept"}, "target": {"kind": "Node", "name": "n"}});
    let token =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}});
    let kept = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"key": "y"}});
    let edit = json!({"metadata": {"labels": {"edited": "true"}}});
    let status = json!({"status": {"observedGeneration": 1}});
    let writes: Vec<(Method, String, Value)> = vec![
        (Method::POST, format!("{core}/configmaps"), map),
        (Method::PUT, format!("{core}/configmaps/kept"), kept),
        (
            Method::PATCH,
            format!("{core}/configmaps/kept"),
            edit.clone(),
        ),
        (Method::DELETE, format!("{core}/configmaps/kept"), json!({})),
        (Method::DELETE, format!("{core}/configmaps"), json!({})),
        (
            Method::PUT,
            format!("{apps}/deployments/kept/scale"),
            scale.clone(),
        ),
        (
            Method::PATCH,
            format!("{apps}/deployments/kept/scale"),
            json!({"spec": {"replicas": 3}}),
        ),
        (
            Method::PATCH,
            format!("{apps}/deployments/kept/status"),
            status,
        ),
        (
            Method::DELETE,
            format!("{apps}/deployments/kept"),
            json!({}),
        ),
        (Method::POST, format!("{core}/pods/kept/eviction"), eviction),
        (
            Method::POST,
            format!("{core}/pods/kept/binding"),
            to_node.clone(),
        ),
        (Method::POST, format!("{core}/bindings"), to_node),
        (Method::PATCH, format!("{core}/pods/kept/status"), edit),
        (Method::DELETE, format!("{core}/pods"), json!({})),
        (
            Method::POST,
            format!("{core}/serviceaccounts/kept/token"),
            token,
        ),
        (
            Method::GET,
            format!("{core}/pods/kept/exec?command=true"),
            json!({}),
        ),
        (
            Method::GET,
            format!("{core}/services/kept/proxy/"),
            json!({}),
        ),
        (
            Method::POST,
            format!("{core}/services/kept/proxy/v1/cert.pem"),
            json!({}),
        ),
    ];
    for (method, path, body) in &writes {
        eventually(&format!("refusal of {method} {path}"), || async {
            let (status, said) = call(&account, method.clone(), path, Some(body)).await;
            assert!(status >= 400, "{method} {path} went through: {said}");
            // Before its rights have reached the API server's authorizer, RBAC refuses it with other words.
            status == 403
                && said["message"]
                    .as_str()
                    .unwrap_or_default()
                    .contains(REFUSAL)
        })
        .await;
    }
    let dry = format!("{core}/configmaps/kept?dryRun=All");
    assert_eq!(
        call(
            &account,
            Method::PATCH,
            &dry,
            Some(&json!({"data": {"key": "z"}}))
        )
        .await
        .0,
        200
    );
    // The other way round: without the policy's binding the same account writes.
    delete(&client, &format!("{BINDINGS}/{}", installed.name)).await;
    eventually("a write without the guard", || async {
        let map = json!({"metadata": {"generateName": "written-"}});
        call(
            &account,
            Method::POST,
            &format!("{core}/configmaps"),
            Some(&map),
        )
        .await
        .0 == 201
    })
    .await;
    delete(&client, &binding).await;
    delete(&client, &format!("{ROLES}/{role}")).await;
    installed.clean_up().await;
}

#[tokio::test]
async fn nothing_is_asked_while_the_guard_has_been_tampered_with() {
    let (_, client) = shared().await;
    let installed = Installed::new(&client).await;
    let asker = installed.asker();
    let catalog = Catalog::read(&client).await.unwrap();
    let (kind, resource) = find(&catalog, "", "configmaps");
    let declared = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    let ask = || asker.ask(kind, resource, Some("default"), &declared);
    let early = ask().await.unwrap_err();
    assert_eq!(early.category(), cluster::Category::Untrusted, "{early}");
    installed.until_trusted().await;
    assert!(matches!(ask().await.unwrap(), Answer::Object(_)));

    let binding = format!("{BINDINGS}/{}", installed.name);
    let policy = format!("{POLICIES}/{}", installed.name);
    let role = format!("{ROLES}/{}", installed.name);
    let rules = |groups: Value, resources: Value| json!({"rules": [{"apiGroups": groups, "resources": resources, "verbs": ["create"]}]});
    let tampering = [
        (
            &binding,
            json!({"spec": {"validationActions": ["Audit"]}}),
            "validationActions",
        ),
        (
            &binding,
            json!({"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}}),
            "matchResources",
        ),
        (
            &policy,
            json!({"spec": {"failurePolicy": "Ignore"}}),
            "failurePolicy",
        ),
        (
            &policy,
            json!({"spec": {"matchConstraints": {"objectSelector": {"matchLabels": {"a": "b"}}}}}),
            "matchConstraints",
        ),
        (&role, rules(json!(["*"]), json!(["*"])), "\"*\""),
        (
            &role,
            rules(json!([""]), json!(["pods/eviction"])),
            "subresource",
        ),
        (
            &role,
            rules(
                json!(["rbac.authorization.k8s.io"]),
                json!(["clusterroles"]),
            ),
            "rbac.authorization.k8s.io",
        ),
    ];
    for (path, patch, word) in tampering {
        let before = call(&client, Method::GET, path, None).await.1;
        must(&client, Method::PATCH, path, patch).await;
        installed.until_untrusted(word).await;
        assert_eq!(
            ask().await.unwrap_err().category(),
            cluster::Category::Untrusted
        );
        let mut restored = before;
        let now = call(&client, Method::GET, path, None).await.1;
        restored["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
        must(&client, Method::PUT, path, restored).await;
    }
    installed.until_trusted().await;
    delete(&client, &policy).await;
    installed.until_untrusted("does not exist").await;
    installed.clean_up().await;
}

#[tokio::test]
async fn what_a_group_gives_is_fine_where_the_policy_keeps_it_to_dry_runs() {
    let (_, client) = shared().await;
    let installed = Installed::new(&client).await;
    let target = namespace(&client, "group").await;
    let group = format!("system:serviceaccounts:{}", installed.account.namespace);
    let grant = |name: &str, rule: Value| {
        let meta = json!({"name": name, "namespace": target});
        let role = json!({"metadata": meta, "rules": [rule]});
        let reference =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
        let subject =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group});
        (
            role,
            json!({"metadata": meta, "roleRef": reference, "subjects": [subject]}),
        )
    };
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{target}");
    let install = async |(role, binding): (Value, Value)| {
        post(&client, &format!("{rbac}/roles"), role).await;
        post(&client, &format!("{rbac}/rolebindings"), binding).await;
    };
    let proxy =
        json!({"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["create", "get"]});
    install(grant("proxy", proxy)).await;
    installed.until_trusted().await;
    let all = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    install(grant("all", all)).await;
    installed.until_untrusted("the Role all").await;
    delete(&client, &format!("{rbac}/rolebindings/all")).await;
    installed.until_trusted().await;
    installed.clean_up().await;
}

#[tokio::test]
async fn the_account_is_impersonated_with_its_groups_and_refusals_have_words() {
    let (_, client) = shared().await;
    let installed = Installed::new(&client).await;
    installed.until_trusted().await;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = http::Request::builder()
        .method(Method::POST)
        .uri("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .header("Impersonate-User", installed.account.user())
        .body(review.to_string().into_bytes())
        .unwrap();
    let me: Value = client.request(request).await.unwrap();
    let groups: Vec<&str> = me["status"]["userInfo"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for group in installed.account.groups() {
        assert!(
            groups.contains(&group.as_str()),
            "{group} is not in {groups:?}"
        );
    }

    let catalog = Catalog::read(&client).await.unwrap();
    let asker = installed.asker();
    let (kind, resource) = find(&catalog, "", "services");
    let invalid = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": [{"port": 70000}]}});
    let answer = asker
        .ask(kind, resource, Some("default"), &invalid)
        .await
        .unwrap();
    assert!(
        matches!(&answer, Answer::Refused { status: 422, reason, .. } if reason == "Invalid"),
        "{answer:?}"
    );
    let answer = asker
        .ask(kind, resource, Some("no-such-namespace"), &invalid)
        .await
        .unwrap();
    assert!(
        matches!(
            &answer,
            Answer::Refused {
                status: 404 | 422,
                ..
            }
        ),
        "{answer:?}"
    );
    installed.clean_up().await;
}
