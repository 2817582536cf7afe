//! Namespaces, raw calls and a sink that can be waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster::watch::{self, WatchEvent, WatchHandle, WatchOptions, WatchScope};
use drift::GroupVersionKind;
use http::{Method, Request};
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Nothing that these tests wait for takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The administrator's client on the control plane that the tests share. A client belongs to the runtime of its test.
pub(crate) async fn shared() -> (&'static driftline_e2e::ControlPlane, Client) {
    let plane = driftline_e2e::ControlPlane::shared().await.unwrap();
    (plane, plane.client().await.unwrap())
}

/// Sends JSON and returns the status and what came back.
pub(crate) async fn call(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> (u16, Value) {
    let content = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let bytes = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
    call_raw(client, method, path, content, bytes).await
}

/// Sends bytes and returns the status and what came back.
pub(crate) async fn call_raw(
    client: &Client,
    method: Method,
    path: &str,
    content: &str,
    bytes: Vec<u8>,
) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content)
        .body(bytes.into())
        .unwrap();
    let response = tokio::time::timeout(PATIENCE, client.send(request))
        .await
        .unwrap()
        .unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await.unwrap();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

/// Sends JSON that has to be accepted.
pub(crate) async fn must(client: &Client, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = call(client, method.clone(), path, Some(&body)).await;
    assert!(status < 300, "{method} {path}: {status} {answer}");
    answer
}

pub(crate) async fn post(client: &Client, path: &str, body: Value) -> Value {
    must(client, Method::POST, path, body).await
}

pub(crate) async fn delete(client: &Client, path: &str) {
    let (status, answer) = call(client, Method::DELETE, path, None).await;
    assert!(status < 300, "DELETE {path}: {status} {answer}");
}

/// A name that nothing else has.
pub(crate) fn unique(prefix: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!(
        "{prefix}-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A namespace that nothing else uses.
pub(crate) async fn namespace(client: &Client, prefix: &str) -> String {
    let name = unique(prefix);
    post(
        client,
        "/api/v1/namespaces",
        json!({"metadata": {"name": name}}),
    )
    .await;
    name
}

/// A service account, and the name of a role that its binding of the same name refers to.
pub(crate) async fn service_account(client: &Client, namespace: &str, name: &str) {
    post(
        client,
        &format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
        json!({"metadata": {"name": name}}),
    )
    .await;
}

/// Gives an account what a ClusterRole says, everywhere; returns the path of the binding.
pub(crate) async fn bind(client: &Client, role: &str, namespace: &str, account: &str) -> String {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let name = unique("binding");
    let body = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": account}],
    });
    post(client, path, body).await;
    format!("{path}/{name}")
}

pub(crate) async fn config_map(client: &Client, namespace: &str, name: &str, value: &str) -> Value {
    let body = json!({"metadata": {"name": name}, "data": {"key": value}});
    post(
        client,
        &format!("/api/v1/namespaces/{namespace}/configmaps"),
        body,
    )
    .await
}

pub(crate) fn config_maps(namespace: &str) -> WatchScope {
    WatchScope {
        kind: GroupVersionKind::new("", "v1", "ConfigMap"),
        plural: "configmaps".into(),
        namespace: Some(namespace.into()),
    }
}

/// Options with short times.
pub(crate) fn quick() -> WatchOptions {
    WatchOptions {
        connection_lifetime: Duration::from_secs(20),
        grace: Duration::from_secs(2),
        connect_deadline: Duration::from_secs(5),
        backoff_max: Duration::from_millis(500),
        refused_retry: Duration::from_millis(300),
        ..WatchOptions::default()
    }
}

/// Keeps what a watch tells.
#[derive(Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<WatchEvent>>,
    more: Notify,
}

impl Recorder {
    pub(crate) fn watch(
        client: &Client,
        scope: WatchScope,
        options: WatchOptions,
    ) -> (Arc<Self>, WatchHandle) {
        let recorder = Arc::new(Self::default());
        let sink = Arc::clone(&recorder);
        let handle = watch::spawn(
            client.clone(),
            scope,
            options,
            Arc::new(move |event| {
                sink.events.lock().push(event);
                sink.more.notify_waiters();
            }),
        );
        (recorder, handle)
    }

    pub(crate) fn events(&self) -> Vec<WatchEvent> {
        self.events.lock().clone()
    }

    pub(crate) fn clear(&self) {
        self.events.lock().clear();
    }

    /// Waits until what happened since the last `clear` satisfies.
    pub(crate) async fn until(&self, what: &str, satisfied: impl Fn(&[WatchEvent]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let more = self.more.notified();
            if satisfied(&self.events.lock()) {
                return;
            }
            let waited = tokio::time::timeout_at(deadline, more).await;
            assert!(
                waited.is_ok(),
                "{what} did not happen; what did: {:#?}",
                summary(&self.events())
            );
        }
    }

    pub(crate) async fn ready(&self) {
        self.until("Ready", |events| events.contains(&WatchEvent::Ready))
            .await;
    }

    /// The objects of the last complete list, as changed since, by name.
    pub(crate) fn state(&self) -> std::collections::BTreeMap<String, Value> {
        let mut state = std::collections::BTreeMap::new();
        for event in self.events() {
            match event {
                WatchEvent::Restarted => state.clear(),
                WatchEvent::Listed(object) | WatchEvent::Applied(object) => {
                    state.insert(name_of(&object), object);
                }
                WatchEvent::Deleted(object) => {
                    state.remove(&name_of(&object));
                }
                _ => {}
            }
        }
        state
    }
}

pub(crate) fn name_of(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn summary(events: &[WatchEvent]) -> Vec<String> {
    let short = |event: &WatchEvent| match event {
        WatchEvent::Listed(o) => format!("Listed {}", name_of(o)),
        WatchEvent::Applied(o) => format!("Applied {}", name_of(o)),
        WatchEvent::Deleted(o) => format!("Deleted {}", name_of(o)),
        other => format!("{other:?}"),
    };
    events.iter().map(short).collect()
}

/// Waits until a question is answered with yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !ask().await {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
