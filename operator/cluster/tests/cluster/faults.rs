//! Watches while the API server crashes, freezes or forgets.

use std::time::Duration;

use cluster::watch::{FailureReason, WatchEvent, WatchOptions};
use driftline_e2e::{Component, ControlPlane, Options};

use crate::support::*;

async fn private(apiserver_flags: &[&str]) -> ControlPlane {
    let options = Options {
        apiserver_flags: apiserver_flags.iter().map(|flag| (*flag).to_owned()).collect(),
        without_controller_manager: true,
        ..Options::default()
    };
    ControlPlane::start(options).await.unwrap()
}

fn blind(events: &[WatchEvent]) -> bool {
    events.iter().any(|e| matches!(e, WatchEvent::Failed { reason: FailureReason::Blind, .. }))
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
    recorder.until("an event", |events| events.iter().any(|e| matches!(e, WatchEvent::Applied(o) if name_of(o) == "two"))).await;
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
    assert!(frozen.elapsed() < Duration::from_secs(12), "{:?}", frozen.elapsed());
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
    let options = WatchOptions { connection_lifetime: Duration::from_secs(4), ..quick() };
    let (recorder, handle) = Recorder::watch(&client, config_maps(&ns), options);
    recorder.ready().await;
    eventually("a second list", || async {
        config_map(&client, &other, &unique("cm"), "x").await;
        handle.counters().relists >= 2
    })
    .await;
    eventually("ready", || async { handle.is_ready() }).await;
    assert!(!blind(&recorder.events()), "{:?}", recorder.events());
    assert_eq!(recorder.state().into_keys().collect::<Vec<_>>(), ["one"]);
}
