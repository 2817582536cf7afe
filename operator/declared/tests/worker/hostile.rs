//! A renderer that misbehaves, and clients and processes that end at the wrong moment.

use std::path::Path;
use std::time::{Duration, Instant};

use declared::{Category, LocalWorker, Reference, Worker};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::support::{PROGRAM, Repo, TestWorker, config_map, fetch_of, render_of};

async fn prober() -> TestWorker {
    TestWorker::with_tools(Some(Path::new(PROGRAM)), None).await
}

fn asked(wish: &serde_json::Value) -> Repo {
    Repo::with(&[
        ("k/kustomization.yaml", "resources: []\n"),
        ("k/probe.json", &wish.to_string()),
    ])
}

#[tokio::test]
async fn a_renderer_reaches_no_network_no_token_and_no_other_cache() {
    let worker = prober().await;
    let info = worker.worker.ping().await.unwrap();
    assert_eq!(info.kustomize.as_deref(), Some("\"probe 1\""));
    if info.landlock_abi == 0 || !info.seccomp {
        // What a kernel lacks cannot be tested on it; the worker has said so.
        assert!(!info.missing().is_empty());
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let token = outside.path().join("token");
    std::fs::write(&token, "canary").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let repo = asked(&json!({
        "address": listener.local_addr().unwrap().to_string(),
        "socket": worker.socket(),
        "token": token,
        "folder": outside.path(),
        "cache": worker.cache(),
    }));
    let rendered = worker.rendered(&repo.url(), "k").await.unwrap();
    let tries = &rendered.objects[0].object["data"];
    for attempt in [
        "tcp",
        "udp",
        "unix",
        "read token",
        "list token",
        "read other cache",
        "read passwords",
        "write outside",
        "write system",
        "shell",
        "git",
    ] {
        assert_eq!(tries[attempt], "PermissionDenied", "{attempt}: {tries:#}");
    }
    assert_ne!(tries["read environment of parent"], "done", "{tries:#}");
    assert_eq!(tries["own folder"], "done", "{tries:#}");
    let environment = tries["environment"].as_str().unwrap();
    let allowed = [
        "HOME=",
        "TMPDIR=",
        "XDG_",
        "HELM_PLUGINS=",
        "PATH=",
        "GOMEMLIMIT=",
    ];
    assert!(
        environment
            .lines()
            .all(|line| allowed.iter().any(|a| line.starts_with(a))),
        "{environment}"
    );
}

#[tokio::test]
async fn a_renderer_that_hangs_floods_or_eats_is_ended_and_the_worker_goes_on() {
    let worker = prober().await;
    for (wish, category) in [
        ("hang", Category::Timeout),
        ("flood", Category::Limit),
        ("eat", Category::Render),
    ] {
        let repo = asked(&json!({ "do": wish }));
        let revision = worker.fetch(&repo.url()).await.unwrap();
        let mut request = render_of(&revision, "k");
        request.limits.timeout = Duration::from_secs(if wish == "hang" { 1 } else { 60 });
        request.limits.output_bytes = 1 << 20;
        request.limits.memory_bytes = 64 << 20;
        let error = worker.render(&request).await.unwrap_err();
        // The probe's own words when it runs out of memory are not Go's.
        let right =
            error.category() == category || (wish == "eat" && error.category() == Category::Limit);
        assert!(right, "{wish}: {error}");
        assert_eq!(jobs(&worker).await, 0, "{wish} leaves nothing behind");
    }
    assert_eq!(
        worker
            .rendered(&Repo::with(&[("a.yaml", &config_map("a"))]).url(), "")
            .await
            .unwrap()
            .names(),
        ["a"]
    );
}

/// Processes and folders of jobs that are left, once they had time to go.
async fn jobs(worker: &TestWorker) -> usize {
    let deadline = Instant::now() + Duration::from_secs(10);
    let folder = worker.folder.path().canonicalize().unwrap();
    loop {
        let folders = std::fs::read_dir(folder.join("cache/jobs"))
            .unwrap()
            .count();
        let processes = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|p| {
                std::fs::read_link(p.path().join("cwd"))
                    .is_ok_and(|cwd| cwd.starts_with(folder.join("cache/jobs")))
            })
            .count();
        if folders + processes == 0 || Instant::now() > deadline {
            return folders + processes;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_takes_its_job_with_it() {
    let worker = prober().await;
    let revision = worker
        .fetch(&asked(&json!({"do": "hang"})).url())
        .await
        .unwrap();
    let request = render_of(&revision, "k");
    let mut ignore = |_| {};
    let render = worker.worker.render(&request, &mut ignore);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), render)
            .await
            .is_err()
    );
    assert_eq!(jobs(&worker).await, 0);
}

#[tokio::test]
async fn a_worker_that_is_killed_comes_back_and_its_jobs_are_gone() {
    let worker = prober().await;
    let repo = Repo::with(&[("a.yaml", &config_map("a"))]);
    worker.rendered(&repo.url(), "").await.unwrap();
    let socket = worker.socket();
    let pid = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find(|p| {
            let line = std::fs::read(p.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("\0worker\0") && line.contains(&*socket.to_string_lossy())
        })
        .and_then(|p| p.file_name().to_str().and_then(|n| n.parse::<i32>().ok()))
        .unwrap();
    let hanging = worker
        .fetch(&asked(&json!({"do": "hang"})).url())
        .await
        .unwrap();
    let handle = worker.worker.clone();
    let asking =
        tokio::spawn(async move { handle.render(&render_of(&hanging, "k"), &mut |_| {}).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let error = asking.await.unwrap().unwrap_err();
    assert_eq!(
        (error.category(), error.is_retryable()),
        (Category::Worker, true),
        "{error}"
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    let names = loop {
        match worker.rendered(&repo.url(), "").await {
            Ok(rendered) => break rendered.names().join(","),
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((names.as_str(), jobs(&worker).await), ("a", 0));
}

#[tokio::test]
async fn the_worker_ends_with_its_owner() {
    let TestWorker {
        folder,
        local,
        worker,
    } = TestWorker::start().await;
    drop::<LocalWorker>(local);
    let deadline = Instant::now() + Duration::from_secs(10);
    while worker.ping().await.is_ok() {
        assert!(Instant::now() < deadline);
    }
    let error = worker.ping().await.unwrap_err();
    assert!(
        error.to_string().contains("worker.sock") && error.to_string().contains("running"),
        "{error}"
    );
    drop(folder);
}

#[tokio::test]
async fn garbage_is_answered_and_does_no_harm() {
    let worker = TestWorker::start().await;
    let endless = vec![b'x'; 9 << 20];
    for garbage in [
        b"garbage\n".as_slice(),
        b"{\"Fetch\": {\"password\": \"canary\"}}\n",
        b"\n",
        &[0xff; 100],
        &endless,
    ] {
        let stream = UnixStream::connect(worker.socket()).await.unwrap();
        let (reader, mut writer) = stream.into_split();
        // The worker may hang up before all of it has arrived.
        let _ = writer.write_all(garbage).await;
        drop(writer);
        let mut answer = String::new();
        let _ = BufReader::new(reader).read_line(&mut answer).await;
        assert!(!answer.contains("canary"), "{answer}");
    }
    for key in ["../../../../etc", "", "0"] {
        let mut request = serde_json::to_value(render_of(
            &worker
                .fetch(&Repo::with(&[("a.yaml", "")]).url())
                .await
                .unwrap(),
            "",
        ))
        .unwrap();
        request["repository"] = key.into();
        let error = worker
            .render(&serde_json::from_value(request).unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.category(), Category::Input, "{key}: {error}");
    }
    worker.worker.ping().await.unwrap();
}

#[tokio::test]
async fn many_requests_queue_up_and_all_are_answered() {
    let worker = TestWorker::start().await;
    let repo = Repo::with(&[("a.yaml", &config_map("a"))]);
    let url = repo.url();
    let all = (0..40).map(|_| worker.rendered(&url, ""));
    for rendered in futures::future::join_all(all).await {
        assert_eq!(rendered.unwrap().names(), ["a"]);
    }
}

#[tokio::test]
async fn a_worker_that_is_not_there_is_an_error_and_no_wait() {
    let error = Worker::at("/nowhere/worker.sock")
        .fetch(&fetch_of("https://h/x", Reference::Branch("main".into())))
        .await
        .unwrap_err();
    assert_eq!(
        (error.category(), error.is_retryable()),
        (Category::Worker, true)
    );
}
