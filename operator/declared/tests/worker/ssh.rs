//! Fetching over ssh: keys from memory, host keys that are vouched for.

use declared::{Category, Credentials, Reference};
use driftline_e2e::git::GitRepo;
use driftline_e2e::ssh::SshServer;

use crate::support::{TestWorker, config_map, fetch_of, render_of};

fn key(identity: &str, known_hosts: &str) -> Option<Credentials> {
    Some(Credentials::Ssh {
        identity: identity.into(),
        known_hosts: known_hosts.into(),
        passphrase: None,
    })
}

#[tokio::test]
async fn a_key_opens_the_door_of_a_known_host_only() {
    let Some(server) = SshServer::start_or_skip().await.unwrap() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(folder.path(), "shop").await.unwrap();
    let commit = repo
        .commit("first", [("a.yaml", config_map("one"))])
        .await
        .unwrap();
    let worker = TestWorker::start().await;
    let (identity, known_hosts) = (server.private_key().unwrap(), server.known_hosts().unwrap());
    let mut request = fetch_of(&server.url(repo.path()), Reference::Branch("main".into()));

    request.credentials = key(&identity, &known_hosts);
    let revision = worker.worker.fetch(&request).await.unwrap();
    assert_eq!(revision.commit, commit);
    assert_eq!(
        worker
            .render(&render_of(&revision, ""))
            .await
            .unwrap()
            .names(),
        ["one"]
    );
    let two = repo
        .commit("second", [("a.yaml", config_map("two"))])
        .await
        .unwrap();
    assert_eq!(worker.worker.fetch(&request).await.unwrap().commit, two);

    let other = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let wrong = format!("[127.0.0.1]:{} ssh-ed25519 {other}\n", server.port());
    let unknown = known_hosts.replace(&server.port().to_string(), "1");
    let revoked = format!("{known_hosts}@revoked * {}\n", server.host_key().unwrap());
    for (hosts, word) in [
        (wrong.as_str(), "not the one"),
        (&unknown, "does not name this host"),
        ("", "does not name"),
        (&revoked, "revoked"),
    ] {
        request.credentials = key(&identity, hosts);
        let error = worker.worker.fetch(&request).await.unwrap_err();
        assert_eq!(error.category(), Category::Auth, "{error}");
        assert!(
            error.to_string().contains(word) && error.to_string().contains("SHA256:"),
            "{error}"
        );
    }
    for identity in [
        "canary",
        "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n-----END OPENSSH PRIVATE KEY-----\n",
    ] {
        request.credentials = key(identity, &known_hosts);
        let error = worker.worker.fetch(&request).await.unwrap_err();
        assert_eq!(error.category(), Category::Auth, "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    request.credentials = None;
    assert_eq!(
        worker.worker.fetch(&request).await.unwrap_err().category(),
        Category::Auth
    );
}
