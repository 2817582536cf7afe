//! The ways in which objects get into a cluster.

use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};

use super::Result;
use super::server::{Answer, Kind, Server};

/// Server-side apply takes JSON as the YAML that it is.
pub const APPLY: &str = "application/apply-patch+yaml";
const JSON: &str = "application/json";

/// A way to deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `kubectl apply --server-side`, Argo CD, Flux, Helm 4.
    Apply(&'static str),
    /// Two appliers of the same manifest.
    ApplyTwice,
    /// `kubectl apply`.
    ClientSide,
    /// A plain creation.
    Create(&'static str),
    /// An older object, written over.
    Replace,
    /// Created by one, applied by another.
    CreateThenApply,
}

impl Way {
    /// One of them.
    pub fn random(rng: &mut Rng) -> Self {
        match rng.u8(..9) {
            0 => Self::Apply("argocd-controller"),
            1 => Self::Apply("kustomize-controller"),
            2 => Self::Apply("helm"),
            3 => Self::ApplyTwice,
            4 => Self::ClientSide,
            5 => Self::Create("helm"),
            6 => Self::Create("node-fetch"),
            7 => Self::Replace,
            _ => Self::CreateThenApply,
        }
    }

    /// The name of whoever deployed it, or wrote last.
    pub fn manager(self) -> &'static str {
        match self {
            Self::Apply(manager) | Self::Create(manager) => manager,
            Self::ApplyTwice => "argocd-controller",
            Self::ClientSide => "kubectl-client-side-apply",
            Self::Replace => "Mozilla",
            Self::CreateThenApply => "kubectl",
        }
    }

    /// Server-side apply refuses elements with equal keys.
    pub fn takes_duplicates(self) -> bool {
        matches!(self, Self::ClientSide | Self::Create(_) | Self::Replace)
    }
}

/// Deploys an object; `older` is another one of the same name.
///
/// # Errors
/// Where the server does not answer.
pub async fn deploy(
    server: &Server,
    kind: &Kind,
    namespace: &str,
    way: Way,
    object: &Value,
    older: &Value,
) -> Result<Answer> {
    let post = |manager: &str| format!("{}?fieldManager={manager}", kind.collection(namespace));
    let one = one(kind, namespace, object);
    let apply = |manager: &str| format!("{one}?fieldManager={manager}&force=true");
    match way {
        Way::Apply(manager) => {
            server
                .call(Method::PATCH, &apply(manager), APPLY, Some(object))
                .await
        }
        Way::ApplyTwice => {
            server
                .call(Method::PATCH, &apply("helm"), APPLY, Some(object))
                .await?;
            server
                .call(
                    Method::PATCH,
                    &apply("argocd-controller"),
                    APPLY,
                    Some(object),
                )
                .await
        }
        Way::ClientSide => {
            let mut sent = object.clone();
            let note = format!("{object}\n");
            if !sent["metadata"]["annotations"].is_object() {
                sent["metadata"]["annotations"] = json!({});
            }
            sent["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
                json!(note);
            server
                .call(
                    Method::POST,
                    &post("kubectl-client-side-apply"),
                    JSON,
                    Some(&sent),
                )
                .await
        }
        Way::Create(manager) => {
            server
                .call(Method::POST, &post(manager), JSON, Some(object))
                .await
        }
        Way::Replace => {
            let created = server
                .call(Method::POST, &post("kubectl-create"), JSON, Some(older))
                .await?;
            let version = created.body["metadata"]["resourceVersion"].clone();
            if created.status >= 300 {
                return Ok(created);
            }
            let mut sent = object.clone();
            sent["metadata"]["resourceVersion"] = version;
            let url = format!("{one}?fieldManager=Mozilla");
            server.call(Method::PUT, &url, JSON, Some(&sent)).await
        }
        Way::CreateThenApply => {
            let created = server
                .call(Method::POST, &post("kubectl-create"), JSON, Some(object))
                .await?;
            match created.status {
                ..300 => {
                    server
                        .call(Method::PATCH, &apply("kubectl"), APPLY, Some(object))
                        .await
                }
                _ => Ok(created),
            }
        }
    }
}

/// The URL of an object.
pub fn one(kind: &Kind, namespace: &str, object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    format!("{}/{name}", kind.collection(namespace))
}
