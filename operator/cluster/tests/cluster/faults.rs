//! Watches while the API server crashes, freezes or forgets.

use std::time::Duration;

use cluster::Account;
use cluster::discovery::Resource;
use cluster::dry_run::{DryRunOptions, ExpectedAsker};
use cluster::guard::GuardState;
use cluster::watch::{FailureReason, WatchEvent, WatchOptions};
use drift::GroupVersionKind;
use driftline_e2e::{Component, ControlPlane, Options};
use serde_json::json;

use crate::support::*;

async fn private(apiserver_flags: &[&str]) -> ControlPlane {
    let options = Options {
        apiserver_flags: apiserver_flags
            .iter()
            .map(|flag| (*flag).to_owned())
            .collect(),
        without_controller_manager: true,
        ..Options::default()
    };
    ControlPlane::start(options).await.unwrap()
}

fn blind(events: &[WatchEvent]) -> bool {
    events.iter().any(|e| {
        matches!(
            e,
            WatchEvent::Failed {
                reason: FailureReason::Blind,
                ..
            }
        )
    })
}

#[tokio::test]
async fn a_killed_api_server_blinds_the_watch_until_it_has_listed_again() {
    let plane = private(&[]).await;
    let client = plane.client().await.unwrap();
    let ns = namespace(&client, "kill").await;
    config_map(&client, &ns, "one", "x").await;
    let (recorder, handle) = Recorder::watch(&client, config_maps(&ns), quick());
    recorder.ready().await;
    recorder.clear();
    plane.kill_api_server().await.unwrap();
    recorder.until("Blind", blind).await;
    assert!(!handle.is_ready());
    plane.start_api_server().await.unwrap();
    recorder.ready().await;
    assert!(recorder.state().contains_key("one"));
    config_map(&client, &ns, "two", "x").await;
    recorder
        .until("an event", |events| {
            events
                .iter()
                .any(|e| matches!(e, WatchEvent::Applied(o) if name_of(o) == "two"))
        })
        .await;
}

#[tokio::test]
async fn a_frozen_api_server_is_noticed_by_its_silence() {
    let plane = private(&[]).await;
    let client = plane.client().await.unwrap();
    let ns = namespace(&client, "freeze").await;
    let options = WatchOptions {
        connection_lifetime: Duration::from_secs(4),
        grace: Duration::from_secs(1),
        connect_deadline: Duration::from_secs(1),
        ..quick()
    };
    let (recorder, handle) = Recorder::watch(&client, config_maps(&ns), options);
    recorder.ready().await;
    recorder.clear();
    plane.pause(Component::ApiServer).await.unwrap();
    let frozen = std::time::Instant::now();
    recorder.until("Blind", blind).await;
    // The lifetime, a tenth of it, the grace and the deadline of one more connection, on a busy machine.
    assert!(
        frozen.elapsed() < Duration::from_secs(12),
        "{:?}",
        frozen.elapsed()
    );
    assert!(handle.age() > Duration::from_millis(500));
    plane.resume(Component::ApiServer).await.unwrap();
    recorder.ready().await;
    assert!(handle.age() < Duration::from_secs(5));
}

#[tokio::test]
async fn forgotten_history_leads_to_a_new_list_and_to_no_failure() {
    // Without a cache the API server asks etcd, which forgets every second.
    let plane = private(&["--watch-cache=false", "--etcd-compaction-interval=1s"]).await;
    let client = plane.client().await.unwrap();
    let ns = namespace(&client, "compact").await;
    let other = namespace(&client, "other").await;
    config_map(&client, &ns, "one", "x").await;
    let options = WatchOptions {
        connection_lifetime: Duration::from_secs(4),
        ..quick()
    };
    let (recorder, handle) = Recorder::watch(&client, config_maps(&ns), options);
    recorder.ready().await;
    eventually("a second list", || async {
        config_map(&client, &other, &unique("cm"), "x").await;
        handle.counters().relists >= 2
    })
    .await;
    // The list that has begun counts once it is complete.
    eventually("the object in the second list", || async {
        recorder.state().into_keys().eq(["one"])
    })
    .await;
    assert!(!blind(&recorder.events()), "{:?}", recorder.events());
}

/// Passes connections on to a control plane until it is told to swallow what comes: those of before stay open and dead, as after a
/// network partition; new ones work.
struct Swallower {
    address: std::net::SocketAddr,
    swallow: tokio::sync::watch::Sender<u64>,
}

impl Swallower {
    async fn before(endpoint: &str) -> Self {
        let target = endpoint.trim_start_matches("https://").to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (swallow, generation) = tokio::sync::watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut generation = generation.clone();
                let target = target.clone();
                tokio::spawn(async move {
                    let born = *generation.borrow();
                    let mut far = tokio::net::TcpStream::connect(&target).await.unwrap();
                    let swallowed = async {
                        while *generation.borrow_and_update() == born {
                            generation.changed().await.unwrap();
                        }
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                        () = swallowed => {}
                    }
                    // Both ends stay open.
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { address, swallow }
    }

    fn swallow(&self) {
        self.swallow.send_modify(|n| *n += 1);
    }
}

async fn client_through(plane: &ControlPlane, address: std::net::SocketAddr) -> kube::Client {
    let mut kubeconfig = kube::config::Kubeconfig::read_from(plane.kubeconfig_path()).unwrap();
    for cluster in &mut kubeconfig.clusters {
        let cluster = cluster.cluster.as_mut().unwrap();
        cluster.server = Some(format!("https://{address}"));
    }
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    kube::Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_and_replaced() {
    let (plane, client) = shared().await;
    let Some(endpoint) = plane.endpoint() else {
        return;
    };
    let ns = namespace(&client, "halfopen").await;
    config_map(&client, &ns, "one", "x").await;
    let proxy = Swallower::before(endpoint).await;
    let through = client_through(plane, proxy.address).await;
    // Idle connections of other calls in the pool are dead as well.
    futures::future::join_all((0..4).map(|_| call(&through, http::Method::GET, "/version", None)))
        .await;
    let options = WatchOptions {
        connection_lifetime: Duration::from_secs(4),
        grace: Duration::from_secs(1),
        connect_deadline: Duration::from_secs(1),
        ..quick()
    };
    let (recorder, handle) = Recorder::watch(&through, config_maps(&ns), options);
    recorder.ready().await;
    recorder.clear();
    proxy.swallow();
    config_map(&client, &ns, "unseen", "x").await;
    recorder.until("Blind", blind).await;
    recorder.ready().await;
    assert!(recorder.state().contains_key("unseen"));
    assert!(handle.is_running() && handle.counters().relists >= 2);
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_an_error_to_try_again() {
    let options = Options {
        without_controller_manager: true,
        ..Default::default()
    };
    let plane = ControlPlane::start(options).await.unwrap();
    let client = plane.client().await.unwrap();
    let (_keep, state) = tokio::sync::watch::channel(GuardState::Trusted);
    let options = DryRunOptions {
        deadline: Duration::from_secs(1),
        ..DryRunOptions::default()
    };
    let asker = ExpectedAsker::new(client.clone(), Account::new("default", "x"), state, options);
    let kind = GroupVersionKind::new("", "v1", "ConfigMap");
    let resource = Resource {
        plural: "configmaps".into(),
        namespaced: true,
        list: true,
        watch: true,
        create: true,
        scale: false,
    };
    plane.pause(Component::ApiServer).await.unwrap();
    let error = asker
        .ask(&kind, &resource, Some("default"), &json!({}))
        .await
        .unwrap_err();
    plane.resume(Component::ApiServer).await.unwrap();
    assert!(
        error.is_retryable() && error.category() == cluster::Category::Timeout,
        "{error}"
    );
}
