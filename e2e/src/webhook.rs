//! A mutating admission webhook, as service meshes have one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::error::{IoContext, Result};
use crate::ports;
use crate::tls::{Tls, TlsListener};

/// A webhook on a free port of 127.0.0.1 that answers every request with the same JSON patch.
pub struct Webhook {
    address: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    patch: Value,
    asked: AtomicUsize,
}

impl Webhook {
    /// Starts one.
    ///
    /// # Errors
    /// If no port can be bound or no certificate made.
    pub fn start(patch: Value) -> Result<Self> {
        let tls = Tls::new()?;
        let listener = ports::bind()?;
        let address = listener.local_addr().doing("binding", "127.0.0.1")?;
        listener
            .set_nonblocking(true)
            .doing("listening on", address.to_string())?;
        let listener = tokio::net::TcpListener::from_std(listener)
            .doing("listening on", address.to_string())?;
        let shared = Arc::new(Shared {
            patch,
            asked: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&shared));
        let ca_pem = tls.ca_pem.clone();
        let task = tokio::spawn(async move {
            // Accepting goes on whatever happens to a connection.
            let _ = axum::serve(TlsListener { listener, tls }, router).await;
        });
        Ok(Self {
            address,
            ca_pem,
            shared,
            task,
        })
    }

    /// What a webhook configuration says of where it is.
    #[must_use]
    pub fn client_config(&self) -> Value {
        let ca = STANDARD.encode(&self.ca_pem);
        json!({"url": format!("https://{}/", self.address), "caBundle": ca})
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, review: Bytes) -> impl IntoResponse {
    shared.asked.fetch_add(1, Ordering::Relaxed);
    let review: Value = serde_json::from_slice(&review).unwrap_or_default();
    let patch = STANDARD.encode(shared.patch.to_string());
    let uid = &review["request"]["uid"];
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": patch},
    });
    ([(CONTENT_TYPE, "application/json")], answer.to_string())
}
