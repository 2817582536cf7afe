//! Git: credentials, servers that are down, histories that are rewritten.

use driftline_e2e::git::{Auth, GitServerOptions};
use driftline_e2e::ssh::SshServer;
use serde_json::json;

use super::support::{POLICY, Team, World, condition};

const ONE: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}\n";

/// The policy's account may get the Secret `git`.
const MAY_GET: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: git}
rules: [{apiGroups: [''], resources: [secrets], resourceNames: [git], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: git}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: git}
subjects: [{kind: ServiceAccount, name: drift}]
";

/// Driftline may act as that account.
const OPT_IN: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: acts-as}
rules: [{apiGroups: [''], resources: [serviceaccounts], resourceNames: [drift], verbs: [impersonate]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: acts-as}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: acts-as}
subjects: [{kind: ServiceAccount, name: driftline, namespace: driftline-system}]
";

async fn private(prefix: &str, auth: Auth) -> Team<'static> {
    let world = World::shared().await;
    let namespace = world.plane().create_namespace(prefix).await.unwrap();
    let team = Team::at(world, namespace, GitServerOptions { auth, tls: true }).await;
    team.apply(ONE).await;
    team.commit(&[("deploy/one.yaml", ONE)]).await;
    team
}

async fn secret(team: &Team<'_>, entries: &[(&str, &str)]) {
    let data = serde_json::Map::from_iter(entries.iter().map(|(k, v)| ((*k).to_owned(), json!(v))));
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"}, "stringData": data});
    team.kubectl(["delete", "secret", "git", "--ignore-not-found"])
        .await;
    team.apply(&secret.to_string()).await;
}

async fn policy(team: &Team<'_>) {
    team.policy(|p| {
        p["spec"]["source"]["git"]["secretRef"] = json!({"name": "git"});
        p["spec"]["source"]["git"]["interval"] = json!("10s");
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_used_only_as_the_policys_account_and_with_its_consent() {
    const PASSWORD: &str = "canary-password-8fe1";
    let auth = Auth::Basic {
        username: "shop".into(),
        password: PASSWORD.into(),
    };
    let team = private("basic", auth).await;
    let ca = team.server.ca_pem().unwrap().to_owned();
    secret(
        &team,
        &[
            ("username", "shop"),
            ("password", PASSWORD),
            ("caFile", &ca),
        ],
    )
    .await;
    policy(&team).await;
    let status = team
        .status("refused", |s| {
            condition(s, "Stalled").1 == "SecretForbidden"
        })
        .await;
    let message = condition(&status, "Ready").2;
    for words in [
        "kubectl -n",
        "create role",
        "--resource-name=git",
        "impersonate",
        "driftline-system/driftline",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(
        team.server.requests().is_empty(),
        "without the Secret nobody is asked"
    );

    // Consent alone is not enough: the account has to be allowed to get it.
    team.apply(OPT_IN).await;
    team.apply(MAY_GET).await;
    policy_again(&team).await;
    team.in_sync().await;
    assert!(
        team.server
            .requests()
            .iter()
            .any(|r| r.authorization.is_some())
    );

    // A wrong password is told, and the last revision stays in force.
    team.server.set_auth(Auth::Basic {
        username: "shop".into(),
        password: "other".into(),
    });
    let status = team.check().await;
    let (ready, _, message) = condition(&status, "Ready");
    assert_eq!(ready, "True", "one failed fetch: {status}");
    assert!(
        message.contains("the last revision stays in force"),
        "{message}"
    );
    assert_eq!(status["summary"]["inSync"], 1);
    let everything = format!(
        "{status}{}{}",
        team.world.log().await,
        team.world.metrics().await
    );
    assert!(!everything.contains(PASSWORD), "the password shows");
}

/// Changes the policy, so that its Secret is read at once.
async fn policy_again(team: &Team<'_>) {
    team.kubectl([
        "annotate",
        "driftpolicy",
        POLICY,
        "driftline.dev/check=again",
        "--overwrite",
    ])
    .await;
}

#[tokio::test]
async fn a_bearer_token_opens_a_repository() {
    let team = private("bearer", Auth::Bearer("canary-token-77aa".into())).await;
    let ca = team.server.ca_pem().unwrap().to_owned();
    team.apply(OPT_IN).await;
    team.apply(MAY_GET).await;
    policy(&team).await;
    let status = team
        .status("no Secret", |s| {
            condition(s, "Stalled").1 == "SecretNotFound"
        })
        .await;
    assert!(condition(&status, "Ready").2.contains("secretRef"));
    secret(&team, &[("password", "x"), ("caFile", &ca)]).await;
    policy_again(&team).await;
    team.status("a bad Secret", |s| {
        condition(s, "Stalled").1 == "SecretInvalid"
    })
    .await;
    secret(
        &team,
        &[("bearerToken", "canary-token-77aa"), ("caFile", &ca)],
    )
    .await;
    team.kubectl([
        "annotate",
        "driftpolicy",
        POLICY,
        "driftline.dev/check=third",
        "--overwrite",
    ])
    .await;
    team.in_sync().await;
    assert!(!team.world.log().await.contains("canary-token-77aa"));
}

#[tokio::test]
async fn a_key_opens_a_repository_over_ssh_and_a_wrong_host_key_does_not() {
    let Some(ssh) = SshServer::start_or_skip().await.unwrap() else {
        return;
    };
    let team = private("ssh", Auth::Open).await;
    team.apply(OPT_IN).await;
    team.apply(MAY_GET).await;
    let key = ssh.private_key().unwrap();
    let wrong = format!(
        "[127.0.0.1]:{} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlNZs9bZx7YV3KN0fqVxqm4nqPDzkEAoOvTNEOGqrWc\n",
        ssh.port()
    );
    secret(&team, &[("identity", &key), ("known_hosts", &wrong)]).await;
    let url = ssh.url(team.repo.path());
    let set = async |check: &str| {
        team.policy(|p| {
            p["metadata"]["annotations"] = json!({"driftline.dev/check": check});
            p["spec"]["source"]["git"] = json!({"url": url, "ref": {"branch": "main"}, "interval": "10s", "secretRef": {"name": "git"}});
        })
        .await;
    };
    set("one").await;
    let status = team
        .status("a refused host key", |s| condition(s, "Ready").0 == "False")
        .await;
    let message = condition(&status, "Ready").2;
    assert!(message.contains("host key"), "{message}");
    secret(
        &team,
        &[
            ("identity", &key),
            ("known_hosts", &ssh.known_hosts().unwrap()),
        ],
    )
    .await;
    // The Secret is read again once an interval.
    team.in_sync().await;
}

#[tokio::test]
async fn while_the_server_is_down_the_last_revision_stays_and_the_status_says_so() {
    let mut team = Team::new(World::shared().await, "down").await;
    team.apply(ONE).await;
    team.commit(&[("deploy/one.yaml", ONE)]).await;
    team.policy(|p| p["spec"]["source"]["git"]["interval"] = json!("10s"))
        .await;
    team.in_sync().await;
    team.server.stop();
    let status = team.check().await;
    let (ready, reason, message) = condition(&status, "Ready");
    assert_eq!(
        (ready.as_str(), reason.as_str()),
        ("True", "Compared"),
        "{message}"
    );
    assert!(
        message.starts_with("the last revision stays in force: "),
        "{message}"
    );
    // Detection goes on.
    team.kubectl(["delete", "configmap", "one"]).await;
    team.record("ConfigMap", "one", |_| true).await;
    // After three intervals it counts.
    let status = team
        .status("stale", |s| condition(s, "Ready").1 == "SourceStale")
        .await;
    assert_eq!(condition(&status, "Ready").0, "False");
    assert_eq!(condition(&status, "Drifted").0, "True");
    team.server.restart().unwrap();
    let status = team.check().await;
    assert_eq!(condition(&status, "Ready").0, "True", "{status}");
}

#[tokio::test]
async fn a_rewritten_history_is_followed_and_a_deleted_branch_is_not() {
    let team = Team::new(World::shared().await, "rewritten").await;
    team.apply(ONE).await;
    let first = team.commit(&[("deploy/one.yaml", ONE)]).await;
    team.commit(&[("deploy/one.yaml", &ONE.replace("k: v", "k: w"))])
        .await;
    team.policy(|_| {}).await;
    team.drifted(1).await;
    team.repo.force_push(&first).await.unwrap();
    let status = team.check().await;
    assert!(
        status["source"]["revision"]
            .as_str()
            .unwrap()
            .ends_with(&first),
        "{status}"
    );
    team.in_sync().await;

    team.repo.branch("release").await.unwrap();
    team.policy(|p| p["spec"]["source"]["git"]["ref"] = json!({"branch": "release"}))
        .await;
    team.in_sync().await;
    team.repo.delete_branch("release").await.unwrap();
    team.kubectl(["delete", "configmap", "one"]).await;
    let status = team.check().await;
    let message = condition(&status, "Ready").2;
    assert!(message.contains("release"), "{message}");
    assert_eq!(
        status["summary"]["declared"], 1,
        "what was declared stays in force"
    );
    team.record("ConfigMap", "one", |_| true).await;
}

#[tokio::test]
async fn tags_versions_and_commits_are_followed() {
    let team = Team::new(World::shared().await, "refs").await;
    team.apply(ONE).await;
    let old = team
        .commit(&[("deploy/one.yaml", &ONE.replace("k: v", "k: old"))])
        .await;
    team.repo.tag("v1.0.0").await.unwrap();
    team.commit(&[("deploy/one.yaml", ONE)]).await;
    team.repo.tag("v1.4.0").await.unwrap();
    team.commit(&[("deploy/one.yaml", &ONE.replace("k: v", "k: new"))])
        .await;
    team.repo.tag("v2.0.0").await.unwrap();
    let follow = async |reference: serde_json::Value| {
        team.policy(|p| p["spec"]["source"]["git"]["ref"] = reference)
            .await;
    };
    follow(json!({"semver": ">=1.0.0, <2.0.0"})).await;
    let status = team.in_sync().await;
    assert!(
        status["source"]["revision"]
            .as_str()
            .unwrap()
            .starts_with("v1.4.0@sha1:"),
        "{status}"
    );
    follow(json!({"tag": "v2.0.0"})).await;
    let followed = |what: String| {
        move |s: &serde_json::Value| {
            let revision = s["source"]["revision"].as_str().unwrap_or_default();
            s["summary"]["pending"] == 1 && revision.contains(&what)
        }
    };
    team.status("the tag", followed("v2.0.0".to_owned())).await;
    follow(json!({"commit": old})).await;
    team.status("the commit", followed(old.clone())).await;
    follow(json!({"tag": "v9"})).await;
    let status = team
        .status("no such tag", |s| condition(s, "Ready").2.contains("v9"))
        .await;
    let (drifted, _, message) = condition(&status, "Drifted");
    assert_eq!(drifted, "False", "{status}");
    assert!(
        message.contains("wait for a commit to be rolled out"),
        "{message}"
    );
}

#[tokio::test]
async fn two_policies_with_one_source_fetch_once() {
    let team = Team::new(World::shared().await, "once").await;
    team.apply(ONE).await;
    team.commit(&[("deploy/one.yaml", ONE)]).await;
    team.policy(|_| {}).await;
    team.in_sync().await;
    let alone = team.server.requests().len();
    assert!(alone > 0);
    team.policy(|p| p["metadata"]["name"] = json!("second"))
        .await;
    team.status_of("second", "in sync", |s| {
        condition(s, "Drifted").0 == "False"
    })
    .await;
    assert_eq!(
        team.server.requests().len(),
        alone,
        "the second policy takes what is there"
    );
}
