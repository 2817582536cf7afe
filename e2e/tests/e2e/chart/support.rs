//! An installation, raw calls, and what is sent by them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use driftline_e2e::{ControlPlane, Invocation, Options, Tools};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub(crate) const NAMESPACE: &str = "driftline-system";
pub(crate) const IMAGE: &str = "image.repository=driftline.test/driftline";
/// Nothing that these tests wait for takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// The user name of the account for dry runs.
pub(crate) const DRY_RUN: &str = "system:serviceaccount:driftline-system:driftline-dry-run";

/// A control plane of its own: there can be one installation in a cluster.
pub(crate) struct Installed {
    pub(crate) plane: ControlPlane,
    pub(crate) tools: Tools,
}

impl Installed {
    pub(crate) async fn new(chart: &Path) -> Self {
        let plane = ControlPlane::start(Options::default()).await.unwrap();
        let tools = Tools::ensure().await.unwrap();
        let installed = Self { plane, tools };
        // The strictest standard, so that a Pod that needs more is refused.
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }});
        must(
            &installed.admin().await,
            Method::POST,
            "/api/v1/namespaces",
            namespace,
        )
        .await;
        let notes = installed.install(chart, &[]).await;
        assert!(
            notes.contains("kubectl rollout status deployment/driftline -n driftline-system"),
            "{notes}"
        );
        let served = [
            "crd/driftexceptions.driftline.dev",
            "crd/driftpolicies.driftline.dev",
            "crd/driftrecords.driftline.dev",
        ];
        installed
            .kubectl()
            .args(["wait", "--for=condition=Established", "--timeout=60s"])
            .args(served)
            .run()
            .await
            .unwrap();
        let client = installed.admin().await;
        eventually("the custom resources being served", async || {
            call(
                &client,
                Method::GET,
                "/apis/driftline.dev/v1alpha1/driftrecords",
                None,
                None,
            )
            .await
            .0 == 200
        })
        .await;
        installed
    }

    /// The installation that most tests share. They leave it as it is.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Installed> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async { Self::new(&chart()).await })
            .await
    }

    pub(crate) async fn install(&self, chart: &Path, more: &[&str]) -> String {
        let place = [
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--set",
            IMAGE,
        ];
        self.helm()
            .args(["install", "driftline"])
            .args([chart])
            .args(place)
            .args(more)
            .run()
            .await
            .unwrap()
    }

    pub(crate) async fn admin(&self) -> Client {
        self.plane.client().await.unwrap()
    }

    /// A client with a real token of the operator's account.
    pub(crate) async fn operator(&self) -> Client {
        self.plane
            .client_for_service_account(NAMESPACE, "driftline")
            .await
            .unwrap()
    }

    pub(crate) fn helm(&self) -> Invocation {
        self.tools.helm(self.plane.kubeconfig_path())
    }

    pub(crate) fn kubectl(&self) -> Invocation {
        self.tools.kubectl(self.plane.kubeconfig_path())
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

pub(crate) fn chart() -> PathBuf {
    root().join("charts/driftline")
}

/// Sends JSON, as somebody else if asked, and returns the status and what came back.
pub(crate) async fn call(
    client: &Client,
    method: Method,
    path: &str,
    user: Option<&str>,
    body: Option<&Value>,
) -> (u16, Value) {
    let content = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content);
    if let Some(user) = user {
        request = request.header("Impersonate-User", user);
    }
    answer(
        client,
        request
            .body(body.map(|b| b.to_string().into_bytes()).unwrap_or_default())
            .unwrap(),
    )
    .await
}

pub(crate) async fn answer(client: &Client, request: Request<Vec<u8>>) -> (u16, Value) {
    use http_body_util::BodyExt as _;
    let what = format!("{} {}", request.method(), request.uri());
    let response = tokio::time::timeout(PATIENCE, client.send(request.map(Into::into))).await;
    let response = response
        .unwrap_or_else(|_| panic!("{what} was not answered"))
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

/// Sends JSON that has to be accepted.
pub(crate) async fn must(client: &Client, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = call(client, method.clone(), path, None, Some(&body)).await;
    assert!(status < 300, "{method} {path}: {status} {answer}");
    answer
}

pub(crate) async fn get(client: &Client, path: &str) -> Value {
    let (status, answer) = call(client, Method::GET, path, None, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

pub(crate) async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ask().await {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A policy as a user would write it.
pub(crate) fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": name},
        "spec": {
            "source": {"git": {"url": "https://git.example.com/a.git", "ref": {"branch": "main"}}},
            "targets": [{"name": "app", "kubernetes": {"path": "."}}],
        },
    })
}

/// A record of a policy.
pub(crate) fn record(name: &str, policy: &str) -> Value {
    let subject = json!({"kubernetes": {"group": "apps", "kind": "Deployment", "namespace": "default", "name": "web"}});
    json!({
        "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftRecord", "metadata": {"name": name},
        "spec": {"policy": policy, "target": "app", "subject": subject},
    })
}
