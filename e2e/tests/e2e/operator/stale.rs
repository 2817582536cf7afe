//! An API server that knows nothing new: a second one, whose connections to etcd stand still for a while.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use driftline_e2e::{Leash, Options};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::revert::{get, opt_in, team_in};
use super::support::World;

/// Passes bytes on to an address while the gate is open; keeps them back while it is shut.
struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    async fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, gate) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(to).await else {
                    continue;
                };
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                tokio::spawn(pass_on(near_in, far_out, gate.clone()));
                tokio::spawn(pass_on(far_in, near_out, gate.clone()));
            }
        });
        Self {
            address,
            open,
            task,
        }
    }
}

async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut gate: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut bytes).await {
        if count == 0 || gate.wait_for(|open| *open).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A second API server beside the first, which finds etcd behind the gate; gives its address.
async fn another_api_server(world: &World, log: &std::path::Path) -> (Leash, Gate, String) {
    let pid = world.plane().pids().await.unwrap()["kube-apiserver"];
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let line = String::from_utf8(line).unwrap();
    let words: Vec<&str> = line.split('\0').skip(1).filter(|w| !w.is_empty()).collect();
    let etcd = words
        .iter()
        .find_map(|w| w.strip_prefix("--etcd-servers=http://"));
    let gate = Gate::before(etcd.expect("etcd without TLS").parse().unwrap()).await;
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let own = |word: &&str| {
        if word.starts_with("--etcd-servers=") {
            format!("--etcd-servers=http://{}", gate.address)
        } else if word.starts_with("--secure-port=") {
            format!("--secure-port={port}")
        } else {
            (*word).to_owned()
        }
    };
    // One program is all of them, unless they were not built here.
    let is_all = program.ends_with("controlplane");
    let first = is_all.then(|| "kube-apiserver".to_owned());
    let arguments: Vec<String> = first.into_iter().chain(words.iter().map(own)).collect();
    let environment: Vec<(String, String)> = Vec::new();
    let leash = Leash::start(program, arguments, environment, log)
        .await
        .unwrap();
    let server = format!("https://127.0.0.1:{port}");
    let flag = format!("--server={server}");
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let ready = world.kubectl().args([&*flag, "get", "--raw=/readyz"]).run();
        if ready.await.is_ok() {
            return (leash, gate, server);
        }
        assert!(Instant::now() < deadline, "{}", leash.output());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap()
}

#[tokio::test]
async fn from_an_api_server_that_knows_nothing_new_nothing_is_written() {
    let world = World::own(Options::default(), &[]).await;
    let team = team_in(&world, "stale").await;
    opt_in(&team).await;
    let folder = tempfile::tempdir().unwrap();
    let (_server, gate, address) = another_api_server(&world, &folder.path().join("log")).await;
    world.restart_operator_at(address).await;
    // Seen by this operator, too: what it did not see in sync is nothing that was edited.
    team.check().await;
    team.in_sync().await;
    let scale = |replicas: &str| {
        let replicas = format!("--replicas={replicas}");
        let command = ["scale", "deployment/web", &replicas].map(str::to_owned);
        team.kubectl(command)
    };
    // It works that way round, too.
    let before = generation(&get(&team, "deployment", "web").await);
    scale("5").await;
    team.closed("Deployment", "web").await;
    let web = get(&team, "deployment", "web").await;
    assert_eq!(web["spec"]["replicas"], 2);
    assert_eq!(generation(&web), before + 2);

    gate.open.send_replace(false);
    // An edit that the operator does not see, its undoing, and another one.
    for replicas in ["6", "2", "7"] {
        scale(replicas).await;
        tokio::time::sleep(Duration::from_secs(12)).await;
    }
    let web = get(&team, "deployment", "web").await;
    assert_eq!(web["spec"]["replicas"], 7, "nobody could know of it");
    assert_eq!(generation(&web), before + 5);
    gate.open.send_replace(true);

    let deadline = Instant::now() + super::support::PATIENCE * 2;
    loop {
        let web = get(&team, "deployment", "web").await;
        if web["spec"]["replicas"] == 2 {
            // One write, of the one edit that is left.
            assert_eq!(generation(&web), before + 6, "{web}");
            break;
        }
        assert!(Instant::now() < deadline, "{}", world.log().await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let web = get(&team, "deployment", "web").await;
    assert_eq!(generation(&web), before + 6, "{web}");
}
