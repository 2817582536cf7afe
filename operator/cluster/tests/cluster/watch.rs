//! Watches: both forms of lists, rights, kinds that come later, objects that cannot be read.

use cluster::watch::{FailureReason, Identity, StreamingLists, WatchEvent, WatchScope};
use drift::GroupVersionKind;
use http::Method;
use serde_json::json;

use crate::support::*;

fn failed_with(events: &[WatchEvent], wanted: FailureReason) -> bool {
    events
        .iter()
        .any(|e| matches!(e, WatchEvent::Failed { reason, .. } if *reason == wanted))
}

#[tokio::test]
async fn streaming_and_paged_lists_give_the_same_objects() {
    let (_, client) = shared().await;
    let ns = namespace(&client, "lists").await;
    for n in 0..20 {
        config_map(&client, &ns, &format!("cm-{n}"), "x").await;
    }
    eventually("the namespace's own ConfigMap", || async {
        call(
            &client,
            Method::GET,
            &format!("/api/v1/namespaces/{ns}/configmaps/kube-root-ca.crt"),
            None,
        )
        .await
        .0 == 200
    })
    .await;
    let (streamed, _a) = Recorder::watch(&client, config_maps(&ns), quick());
    let paged = quick();
    paged.streaming_lists.set(false);
    let (paged, b) = Recorder::watch(
        &client,
        config_maps(&ns),
        cluster::watch::WatchOptions {
            page_size: 7,
            ..paged
        },
    );
    streamed.ready().await;
    paged.ready().await;
    assert_eq!(streamed.state().len(), 21);
    assert_eq!(streamed.state(), paged.state());
    let one = &streamed.state()["cm-0"];
    assert_eq!(
        (one["kind"].as_str(), one["apiVersion"].as_str()),
        (Some("ConfigMap"), Some("v1"))
    );
    assert!(one["metadata"]["managedFields"].is_array());
    assert!(b.counters().connections >= 3, "pages are connections");

    for recorder in [&streamed, &paged] {
        recorder.clear();
    }
    let path = format!("/api/v1/namespaces/{ns}/configmaps");
    must(
        &client,
        Method::PATCH,
        &format!("{path}/cm-1"),
        json!({"data": {"key": "y"}}),
    )
    .await;
    delete(&client, &format!("{path}/cm-2")).await;
    for recorder in [&streamed, &paged] {
        recorder
            .until("both events", |events| {
                let applied = events.iter().any(|e| matches!(e, WatchEvent::Applied(o) if name_of(o) == "cm-1" && o["data"]["key"] == "y"));
                applied && events.iter().any(|e| matches!(e, WatchEvent::Deleted(o) if name_of(o) == "cm-2"))
            })
            .await;
    }
}

#[tokio::test]
async fn a_server_without_streaming_lists_is_remembered_and_paged() {
    let options = driftline_e2e::Options {
        apiserver_flags: vec!["--feature-gates=WatchList=false".to_owned()],
        without_controller_manager: true,
        ..Default::default()
    };
    let plane = driftline_e2e::ControlPlane::start(options).await.unwrap();
    let client = plane.client().await.unwrap();
    let ns = namespace(&client, "old").await;
    config_map(&client, &ns, "one", "x").await;
    let options = quick();
    let (recorder, handle) = Recorder::watch(&client, config_maps(&ns), options.clone());
    recorder.ready().await;
    assert!(!options.streaming_lists.offered());
    assert_eq!(handle.counters().failures, 0);
    assert!(recorder.state().contains_key("one"));
    config_map(&client, &ns, "two", "x").await;
    recorder
        .until("the new object", |events| {
            events
                .iter()
                .any(|e| matches!(e, WatchEvent::Applied(o) if name_of(o) == "two"))
        })
        .await;
}

#[tokio::test]
async fn a_watch_outlives_the_end_of_its_connections() {
    let (_, client) = shared().await;
    let ns = namespace(&client, "lifetime").await;
    let options = cluster::watch::WatchOptions {
        connection_lifetime: std::time::Duration::from_millis(1200),
        ..quick()
    };
    let (recorder, handle) = Recorder::watch(&client, config_maps(&ns), options);
    recorder.ready().await;
    eventually("several connections", || async {
        handle.counters().connections >= 4
    })
    .await;
    config_map(&client, &ns, "late", "x").await;
    recorder
        .until("the event", |events| {
            events
                .iter()
                .any(|e| matches!(e, WatchEvent::Applied(o) if name_of(o) == "late"))
        })
        .await;
    let counters = handle.counters();
    assert_eq!((counters.relists, counters.failures), (1, 0));
    assert!(recorder.events().contains(&WatchEvent::Alive));
}

#[tokio::test]
async fn a_kind_that_may_not_be_read_says_so_and_is_read_once_it_may() {
    let (plane, admin) = shared().await;
    let ns = namespace(&admin, "forbidden").await;
    service_account(&admin, &ns, "watcher").await;
    let client = plane
        .client_for_service_account(&ns, "watcher")
        .await
        .unwrap();
    let (recorder, handle) = Recorder::watch(&client, config_maps(&ns), quick());
    recorder
        .until("Forbidden", |events| {
            failed_with(events, FailureReason::Forbidden)
        })
        .await;
    assert!(!handle.is_ready());
    bind(&admin, "view", &ns, "watcher").await;
    handle.retry_now();
    recorder.ready().await;
}

#[tokio::test]
async fn a_kind_that_is_not_served_yet_is_found_when_it_is() {
    let (_, client) = shared().await;
    let group = format!("{}.example.com", unique("late"));
    let scope = WatchScope {
        kind: GroupVersionKind::new(&group, "v1", "Widget"),
        plural: "widgets".into(),
        namespace: None,
    };
    let (recorder, _handle) = Recorder::watch(&client, scope, quick());
    recorder
        .until("NotServed", |events| {
            failed_with(events, FailureReason::NotServed)
        })
        .await;
    crate::discovery::create_crd(&client, &group).await;
    recorder.ready().await;
}

#[tokio::test]
async fn an_object_that_cannot_be_decoded_affects_only_itself() {
    let (_, client) = shared().await;
    let group = format!("{}.example.com", unique("deep"));
    let ns = namespace(&client, "deep").await;
    crate::discovery::create_crd(&client, &group).await;
    let path = format!("/apis/{group}/v1/namespaces/{ns}/widgets");
    eventually("the kind", || async {
        call(&client, Method::GET, &path, None).await.0 == 200
    })
    .await;
    let widget = |name: &str, spec: &str| {
        format!(r#"{{"apiVersion":"{group}/v1","kind":"Widget","metadata":{{"name":"{name}"}},"spec":{{"any":{spec}}}}}"#).into_bytes()
    };
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for (name, spec) in [("a-good", "1"), ("b-deep", deep.as_str()), ("c-good", "2")] {
        let (status, answer) = call_raw(
            &client,
            Method::POST,
            &path,
            "application/json",
            widget(name, spec),
        )
        .await;
        assert_eq!(status, 201, "{answer}");
    }
    let scope = WatchScope {
        kind: GroupVersionKind::new(&group, "v1", "Widget"),
        plural: "widgets".into(),
        namespace: Some(ns.clone()),
    };
    let deep_one = Identity {
        namespace: Some(ns.clone()),
        name: "b-deep".into(),
    };
    let is_undecodable = |e: &WatchEvent| matches!(e, WatchEvent::Undecodable { identity: Some(id), .. } if *id == deep_one);
    for streaming in [true, false] {
        let options = quick();
        options.streaming_lists.set(streaming);
        let (recorder, handle) = Recorder::watch(&client, scope.clone(), options);
        recorder.ready().await;
        assert_eq!(
            recorder.state().into_keys().collect::<Vec<_>>(),
            ["a-good", "c-good"]
        );
        assert!(recorder.events().iter().any(is_undecodable));
        recorder.clear();
        must(
            &client,
            Method::PATCH,
            &format!("{path}/b-deep"),
            json!({"metadata": {"labels": {"streaming": streaming.to_string()}}}),
        )
        .await;
        must(
            &client,
            Method::PATCH,
            &format!("{path}/c-good"),
            json!({"metadata": {"labels": {"streaming": streaming.to_string()}}}),
        )
        .await;
        recorder
            .until("the good one", |events| {
                events.iter().any(|e| matches!(e, WatchEvent::Applied(_)))
            })
            .await;
        assert!(recorder.events().iter().any(is_undecodable));
        assert_eq!(handle.counters().failures, 0);
    }
}

#[tokio::test]
async fn an_object_larger_than_the_limit_affects_only_itself() {
    let (_, client) = shared().await;
    let ns = namespace(&client, "large").await;
    config_map(&client, &ns, "large", &"x".repeat(100_000)).await;
    config_map(&client, &ns, "small", "x").await;
    let options = cluster::watch::WatchOptions {
        event_limit: 20_000,
        streaming_lists: StreamingLists::default(),
        ..quick()
    };
    let (recorder, _handle) = Recorder::watch(&client, config_maps(&ns), options);
    recorder.ready().await;
    let large = Identity {
        namespace: Some(ns.clone()),
        name: "large".into(),
    };
    assert!(
        recorder.events().iter().any(
            |e| matches!(e, WatchEvent::Undecodable { identity: Some(id), .. } if *id == large)
        )
    );
    assert!(recorder.state().contains_key("small") && !recorder.state().contains_key("large"));
}
