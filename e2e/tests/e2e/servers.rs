//! The Git and SSH servers of the harness.

use std::path::Path;
use std::time::Duration;

use driftline_e2e::git::{Auth, Fault, GitServer, GitServerOptions};
use driftline_e2e::ssh::SshServer;
use driftline_e2e::{Invocation, Leash, Result};

async fn clone(url: &str, to: &Path, environment: &[(&str, &str)]) -> Result<String> {
    let mut git = Invocation::new("git")
        .args(["clone", "--quiet", "--depth", "1", url])
        .args([to])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("no_proxy", "127.0.0.1")
        .deadline(Duration::from_secs(20));
    for (name, value) in environment {
        git = git.env(name, value);
    }
    git.run().await
}

fn basic() -> Auth {
    Auth::Basic {
        username: "jane".to_owned(),
        password: "secret".to_owned(),
    }
}

#[tokio::test]
async fn git_over_http_asks_for_the_password_and_logs_who_came() {
    let options = GitServerOptions {
        auth: basic(),
        tls: false,
    };
    let server = GitServer::start(options).unwrap();
    let repo = server.create_repo("app").await.unwrap();
    let commit = repo
        .commit("first", [("a/b.yaml", "x: 1\n")])
        .await
        .unwrap();
    repo.tag("v1.0.0").await.unwrap();
    let work = tempfile::tempdir().unwrap();

    assert!(
        clone(&server.url("app"), &work.path().join("none"), &[])
            .await
            .is_err()
    );
    assert!(server.requests().iter().all(|r| r.status == Some(401)));
    server.forget_requests();

    let url = server.url("app").replace("://", "://jane:secret@");
    let to = work.path().join("good");
    clone(&url, &to, &[]).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(to.join("a/b.yaml")).unwrap(),
        "x: 1\n"
    );
    let head = Invocation::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(&to);
    assert_eq!(head.run().await.unwrap().trim(), commit);
    assert!(
        server
            .requests()
            .iter()
            .any(|r| r.authorization.as_deref() == Some("Basic amFuZTpzZWNyZXQ="))
    );
}

#[tokio::test]
async fn git_over_tls_is_trusted_only_with_its_authority() {
    let options = GitServerOptions {
        auth: Auth::Bearer("abc".to_owned()),
        tls: true,
    };
    let server = GitServer::start(options).unwrap();
    let repo = server.create_repo("team/app").await.unwrap();
    repo.commit("first", [("x", "1")]).await.unwrap();
    let work = tempfile::tempdir().unwrap();
    let ca = work.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem().unwrap()).unwrap();

    let url = server.url("team/app");
    let untrusted = clone(&url, &work.path().join("a"), &[]).await;
    assert!(untrusted.unwrap_err().to_string().contains("certificate"));
    let environment = [
        ("GIT_SSL_CAINFO", ca.to_str().unwrap()),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "http.extraHeader"),
        ("GIT_CONFIG_VALUE_0", "Authorization: Bearer abc"),
    ];
    clone(&url, &work.path().join("b"), &environment)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_git_server_fails_on_request() {
    let mut server = GitServer::start(GitServerOptions::default()).unwrap();
    let repo = server.create_repo("app").await.unwrap();
    let first = repo.commit("first", [("x", "1")]).await.unwrap();
    let second = repo.commit("second", [("x", "2")]).await.unwrap();
    assert_ne!(first, second);
    let work = tempfile::tempdir().unwrap();
    let url = server.url("app");
    let attempt = async |name: &str| clone(&url, &work.path().join(name), &[]).await;

    server.set_fault(Some(Fault::Status(500)));
    assert!(
        attempt("status")
            .await
            .unwrap_err()
            .to_string()
            .contains("500")
    );
    server.set_fault(Some(Fault::CutOff(100)));
    assert!(attempt("cut").await.is_err());
    server.set_fault(Some(Fault::Hang));
    let hanging = tokio::time::timeout(Duration::from_millis(500), attempt("hang")).await;
    assert!(hanging.is_err(), "a hanging server answered");

    let other = GitServer::start(GitServerOptions::default()).unwrap();
    other
        .create_repo("app")
        .await
        .unwrap()
        .commit("other", [("x", "o")])
        .await
        .unwrap();
    server.set_fault(Some(Fault::Redirect(other.base_url())));
    attempt("redirect").await.unwrap();
    assert!(!other.requests().is_empty());

    server.set_fault(Some(Fault::Drip {
        bytes: 64,
        pause: Duration::from_millis(1),
    }));
    attempt("drip").await.unwrap();
    server.set_fault(None);
    server.stop();
    assert!(attempt("stopped").await.is_err());
    server.restart().unwrap();
    repo.force_push(&first).await.unwrap();
    attempt("again").await.unwrap();
    assert_eq!(
        std::fs::read_to_string(work.path().join("again/x")).unwrap(),
        "1"
    );
}

#[tokio::test]
async fn git_over_ssh_needs_the_key_and_the_known_host() {
    let Some(ssh) = SshServer::start_or_skip().await.unwrap() else {
        return;
    };
    let server = GitServer::start(GitServerOptions::default()).unwrap();
    let repo = server.create_repo("app").await.unwrap();
    repo.commit("first", [("x", "1")]).await.unwrap();
    let work = tempfile::tempdir().unwrap();
    let known = work.path().join("known_hosts");
    let url = ssh.url(repo.path());
    let command = format!(
        "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes \
         -o UserKnownHostsFile={} -i {}",
        known.display(),
        ssh.private_key_path().display()
    );
    let environment = [("GIT_SSH_COMMAND", command.as_str())];

    std::fs::write(&known, "").unwrap();
    assert!(
        clone(&url, &work.path().join("unknown"), &environment)
            .await
            .is_err()
    );
    std::fs::write(&known, ssh.known_hosts().unwrap()).unwrap();
    let cloned = clone(&url, &work.path().join("known"), &environment).await;
    cloned.unwrap_or_else(|error| panic!("{error}\nsshd said:\n{}", ssh.log()));
}

#[tokio::test]
async fn a_leashed_program_ends_with_its_leash() {
    let work = tempfile::tempdir().unwrap();
    let log = work.path().join("log");
    let variable = ("GREETING".to_owned(), "hello".to_owned());
    let leash = Leash::start(
        "/bin/sh",
        ["-c", "echo $GREETING; sleep 600 & wait"],
        [variable],
        &log,
    )
    .await
    .unwrap();
    while !leash.output().contains("hello") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(leash.is_running());
    let pid = leash.pid();
    drop(leash);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}
