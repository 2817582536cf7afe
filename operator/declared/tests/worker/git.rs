//! Fetching over https, and what goes wrong there.

use std::time::Duration;

use declared::{Category, Credentials, FetchRequest, Reference};
use driftline_e2e::git::{Auth, Fault, GitRepo, GitServer, GitServerOptions};

use crate::support::{Repo, TestWorker, What, config_map, fetch_of, render_of};
use crate::tls::TlsFront;

const PASSWORD: &str = "canary-password";

async fn server(auth: Auth) -> (GitServer, GitRepo) {
    let server = GitServer::start(GitServerOptions { auth, tls: false }).unwrap();
    let repo = server.create_repo("shop").await.unwrap();
    repo.commit("first", [("a.yaml", config_map("one"))])
        .await
        .unwrap();
    (server, repo)
}

fn main_of(server: &GitServer) -> FetchRequest {
    let mut request = fetch_of(&server.url("shop"), Reference::Branch("main".into()));
    request.allow_file = false;
    request
}

fn main_over(front: &TlsFront) -> FetchRequest {
    let mut request = fetch_of(
        &format!("{}/shop.git", front.url()),
        Reference::Branch("main".into()),
    );
    request.ca = Some(front.ca_pem.clone());
    request.allow_file = false;
    request
}

fn basic(password: &str) -> Option<Credentials> {
    Some(Credentials::Basic {
        username: "ann".into(),
        password: password.into(),
    })
}

#[tokio::test]
async fn an_unchanged_branch_costs_one_listing_and_no_pack() {
    let (server, repo) = server(Auth::default()).await;
    let worker = TestWorker::start().await;
    let first = worker.worker.fetch(&main_of(&server)).await.unwrap();
    server.forget_requests();
    assert_eq!(worker.worker.fetch(&main_of(&server)).await.unwrap(), first);
    let asked: Vec<String> = server
        .requests()
        .iter()
        .map(|r| format!("{} {}", r.method, r.path))
        .collect();
    assert_eq!(asked, ["GET /shop.git/info/refs"], "one listing");

    // Shallow copies grow by one commit at a time, and old ones stay to be rendered.
    let second = repo
        .commit("second", [("a.yaml", config_map("two"))])
        .await
        .unwrap();
    let fetched = worker.worker.fetch(&main_of(&server)).await.unwrap();
    assert_eq!(
        (fetched.commit.as_str(), &fetched.repository),
        (second.as_str(), &first.repository)
    );
    assert_eq!(
        worker
            .render(&render_of(&fetched, ""))
            .await
            .unwrap()
            .names(),
        ["two"]
    );
    assert_eq!(
        worker.render(&render_of(&first, "")).await.unwrap().names(),
        ["one"]
    );
}

#[tokio::test]
async fn branches_tags_ranges_and_commits_are_found() {
    let (server, repo) = server(Auth::default()).await;
    let worker = TestWorker::start().await;
    let one = repo.head().await.unwrap();
    repo.tag("v1.0.0").await.unwrap();
    let two = repo
        .commit("second", [("b.yaml", config_map("b"))])
        .await
        .unwrap();
    repo.tag("v1.1.0").await.unwrap();
    repo.branch("feature/x").await.unwrap();
    let three = repo
        .commit("third", [("c.yaml", config_map("c"))])
        .await
        .unwrap();
    for (reference, commit, name) in [
        (
            Reference::Branch("main".into()),
            &two,
            format!("main@sha1:{two}"),
        ),
        (
            Reference::Branch("feature/x".into()),
            &three,
            format!("feature/x@sha1:{three}"),
        ),
        (
            Reference::Tag("v1.0.0".into()),
            &one,
            format!("v1.0.0@sha1:{one}"),
        ),
        (
            Reference::Semver(">=1.0, <2".into()),
            &two,
            format!("v1.1.0@sha1:{two}"),
        ),
        (Reference::Commit(one.clone()), &one, format!("sha1:{one}")),
    ] {
        let mut request = main_of(&server);
        request.reference = reference;
        let revision = worker.worker.fetch(&request).await.unwrap();
        assert_eq!((&revision.commit, revision.name), (commit, name));
    }
    for (reference, word) in [
        (
            Reference::Branch("gone".into()),
            "there are feature/x, main",
        ),
        (Reference::Tag("gone".into()), "there are v1.0.0, v1.1.0"),
        (Reference::Semver("9".into()), "no tag"),
        (Reference::Commit("a".repeat(40)), "force-pushed"),
    ] {
        let mut request = main_of(&server);
        request.reference = reference;
        let error = worker.worker.fetch(&request).await.unwrap_err();
        assert_eq!(error.category(), Category::NotFound, "{error}");
        assert!(
            error.to_string().contains(word) && error.to_string().contains("/shop"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_commit_below_a_shallow_copy_is_fetched() {
    let (server, repo) = server(Auth::default()).await;
    let old = repo.head().await.unwrap();
    repo.commit("second", [("a.yaml", config_map("two"))])
        .await
        .unwrap();
    let worker = TestWorker::start().await;
    worker.worker.fetch(&main_of(&server)).await.unwrap();
    // A server that hands out tips only.
    repo.git([
        "-C",
        &repo.path().display().to_string(),
        "config",
        "uploadpack.allowAnySHA1InWant",
        "false",
    ])
    .await
    .unwrap();
    let mut request = main_of(&server);
    request.reference = Reference::Commit(old.clone());
    let revision = worker.worker.fetch(&request).await.unwrap();
    assert_eq!(
        worker
            .render(&render_of(&revision, ""))
            .await
            .unwrap()
            .names(),
        ["one"]
    );
}

#[tokio::test]
async fn a_force_push_and_a_deleted_branch_are_seen() {
    let (server, repo) = server(Auth::default()).await;
    let worker = TestWorker::start().await;
    let one = repo.head().await.unwrap();
    repo.commit("second", [("a.yaml", config_map("two"))])
        .await
        .unwrap();
    worker.worker.fetch(&main_of(&server)).await.unwrap();
    repo.force_push(&one).await.unwrap();
    assert_eq!(
        worker.worker.fetch(&main_of(&server)).await.unwrap().commit,
        one
    );
    repo.branch("other").await.unwrap();
    repo.git([
        "-C",
        &repo.path().display().to_string(),
        "update-ref",
        "-d",
        "refs/heads/main",
    ])
    .await
    .unwrap();
    assert_eq!(
        worker
            .worker
            .fetch(&main_of(&server))
            .await
            .unwrap_err()
            .category(),
        Category::NotFound
    );
}

#[tokio::test]
async fn credentials_open_the_door_over_tls_only() {
    let (server, _repo) = server(Auth::Basic {
        username: "ann".into(),
        password: PASSWORD.into(),
    })
    .await;
    let front = TlsFront::start(&server.base_url()).await;
    let worker = TestWorker::start().await;
    let mut request = main_over(&front);
    assert_eq!(
        worker.worker.fetch(&request).await.unwrap_err().category(),
        Category::Auth,
        "none"
    );
    request.credentials = basic("wrong-canary");
    let error = worker.worker.fetch(&request).await.unwrap_err();
    assert_eq!(error.category(), Category::Auth, "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
    request.credentials = basic(PASSWORD);
    let private = worker.worker.fetch(&request).await.unwrap();
    request.credentials = None;
    assert!(
        worker.worker.fetch(&request).await.is_err(),
        "what one set of credentials fetched is not another's"
    );

    request.credentials = basic(PASSWORD);
    request.ca = None;
    let error = worker.worker.fetch(&request).await.unwrap_err();
    assert_eq!(
        error.category(),
        Category::Auth,
        "an unknown authority: {error}"
    );
    request.url = request.url.replace("https://", "http://");
    assert_eq!(
        worker.worker.fetch(&request).await.unwrap_err().category(),
        Category::Refused,
        "plain http"
    );

    assert_eq!(
        worker
            .render(&render_of(&private, ""))
            .await
            .unwrap()
            .names(),
        ["one"]
    );
    let kept = std::process::Command::new("grep")
        .args(["-rlia", "canary"])
        .arg(worker.folder.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&kept.stdout),
        "",
        "credentials on disk"
    );
}

#[tokio::test]
async fn a_bearer_token_travels_in_its_header() {
    let (server, _repo) = server(Auth::Bearer("canary-token".into())).await;
    let front = TlsFront::start(&server.base_url()).await;
    let worker = TestWorker::start().await;
    let mut request = main_over(&front);
    request.credentials = Some(Credentials::Bearer {
        token: "canary-token".into(),
    });
    worker.worker.fetch(&request).await.unwrap();
    request.credentials = Some(Credentials::Bearer {
        token: "canary-other".into(),
    });
    let error = worker.worker.fetch(&request).await.unwrap_err();
    assert_eq!(error.category(), Category::Auth, "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn a_redirect_gets_no_credentials() {
    let (elsewhere, _repo) = server(Auth::Basic {
        username: "ann".into(),
        password: PASSWORD.into(),
    })
    .await;
    let (server, _other) = server(Auth::Basic {
        username: "ann".into(),
        password: PASSWORD.into(),
    })
    .await;
    let (front, away) = (
        TlsFront::start(&server.base_url()).await,
        TlsFront::start(&elsewhere.base_url()).await,
    );
    server.set_fault(Some(Fault::Redirect(away.url())));
    let worker = TestWorker::start().await;
    for credentials in [
        basic(PASSWORD),
        Some(Credentials::Bearer {
            token: PASSWORD.into(),
        }),
    ] {
        let mut request = main_over(&front);
        request.ca = Some(format!("{}{}", front.ca_pem, away.ca_pem));
        request.credentials = credentials;
        let error = worker.worker.fetch(&request).await.unwrap_err();
        assert_eq!(error.category(), Category::Refused, "{error}");
    }
    assert!(
        elsewhere
            .requests()
            .iter()
            .all(|r| r.authorization.is_none()),
        "{:?}",
        elsewhere.requests()
    );
}

#[tokio::test]
async fn a_redirect_to_another_host_is_refused_with_credentials() {
    let auth = Auth::Basic {
        username: "ann".into(),
        password: PASSWORD.into(),
    };
    let (server, _repo) = server(auth).await;
    let front = TlsFront::start(&server.base_url()).await;
    server.set_fault(Some(Fault::Redirect("https://elsewhere.invalid/".into())));
    let worker = TestWorker::start().await;
    let mut request = main_over(&front);
    request.credentials = basic(PASSWORD);
    let error = worker.worker.fetch(&request).await.unwrap_err();
    assert_eq!(error.category(), Category::Refused, "{error}");
}

#[tokio::test]
async fn a_redirect_without_credentials_is_followed_once() {
    let (elsewhere, _repo) = server(Auth::default()).await;
    let (server, _other) = server(Auth::default()).await;
    server.set_fault(Some(Fault::Redirect(elsewhere.base_url())));
    let worker = TestWorker::start().await;
    worker.worker.fetch(&main_of(&server)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_drips_breaks_off_or_is_gone_ends_in_time() {
    let (mut server, repo) = server(Auth::default()).await;
    let worker = TestWorker::start().await;
    let good = worker.worker.fetch(&main_of(&server)).await.unwrap();
    repo.commit("second", [("a.yaml", config_map("two"))])
        .await
        .unwrap();
    let drip = Fault::Drip {
        bytes: 1,
        pause: Duration::from_millis(200),
    };
    for (fault, category) in [
        (Fault::Hang, Category::Timeout),
        (drip, Category::Timeout),
        (Fault::CutOff(200), Category::Unreachable),
        (Fault::Status(404), Category::NotFound),
        (Fault::Status(503), Category::Unreachable),
    ] {
        server.set_fault(Some(fault));
        let mut request = main_of(&server);
        request.timeout = Duration::from_secs(2);
        let error = worker.worker.fetch(&request).await.unwrap_err();
        assert_eq!(error.category(), category, "{error}");
    }
    server.set_fault(None);
    server.stop();
    let error = worker.worker.fetch(&main_of(&server)).await.unwrap_err();
    assert_eq!(
        (error.category(), error.is_retryable()),
        (Category::Unreachable, true),
        "{error}"
    );
    assert_eq!(
        worker.render(&render_of(&good, "")).await.unwrap().names(),
        ["one"],
        "the last good revision stays"
    );
    server.restart().unwrap();
    worker.worker.fetch(&main_of(&server)).await.unwrap();
}

#[tokio::test]
async fn a_repository_beyond_the_limit_is_cut_off() {
    let (server, repo) = server(Auth::default()).await;
    let mut noise = vec![0u8; 4 << 20];
    let mut state = 1u64;
    for byte in &mut noise {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    repo.commit("large", [("noise.bin", noise)]).await.unwrap();
    let worker = TestWorker::start().await;
    let mut request = main_of(&server);
    request.limits.repository_bytes = 1 << 20;
    let error = worker.worker.fetch(&request).await.unwrap_err();
    assert_eq!(error.category(), Category::Limit, "{error}");
    request.limits.repository_bytes = 64 << 20;
    worker.worker.fetch(&request).await.unwrap();
}

#[tokio::test]
async fn a_damaged_cache_is_fetched_anew() {
    let (server, _repo) = server(Auth::default()).await;
    let worker = TestWorker::start().await;
    let revision = worker.worker.fetch(&main_of(&server)).await.unwrap();
    for damage in ["truncate -s 40", "sh -c 'printf garbage > \"$0\"'"] {
        let command = format!(
            "find {} -name '*.pack' -exec chmod u+w {{}} + -exec {damage} {{}} \\;",
            worker.cache().display()
        );
        assert!(
            std::process::Command::new("sh")
                .arg("-c")
                .arg(command)
                .status()
                .unwrap()
                .success()
        );
        let _ = worker.render(&render_of(&revision, "")).await.unwrap_err();
        worker.worker.fetch(&main_of(&server)).await.unwrap();
        assert_eq!(
            worker
                .render(&render_of(&revision, ""))
                .await
                .unwrap()
                .names(),
            ["one"]
        );
    }
}

#[tokio::test]
async fn file_urls_need_to_be_allowed() {
    let repo = Repo::new();
    repo.commit([("a.yaml", What::File("{}"))]);
    let worker = TestWorker::start().await;
    let mut request = fetch_of(&repo.url(), Reference::Branch("main".into()));
    request.allow_file = false;
    assert_eq!(
        worker.worker.fetch(&request).await.unwrap_err().category(),
        Category::Refused
    );
}
