//! A proxy before the API server that keeps watch events back, as no real server should, or answers late or not at all.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::{StatusCode, header};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::task::JoinHandle;

use crate::error::{Error, IoContext, Result};

/// The largest request body that is passed on.
const BODY_LIMIT: usize = 16 << 20;

/// A proxy on a free port of 127.0.0.1, without TLS. It passes on whatever credentials a request brings.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    client: Client,
    withheld: AtomicUsize,
    needle: Mutex<Option<String>>,
    trouble: Mutex<Option<Trouble>>,
    troubled: AtomicUsize,
}

/// What goes wrong with requests on purpose.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Of which method.
    pub method: http::Method,
    /// Whose path contains this.
    pub path: String,
    /// How long they wait before anything is done.
    pub delay: Duration,
    /// The answer; without one they are passed on.
    pub status: Option<StatusCode>,
}

impl Proxy {
    /// Starts one before the server of a kubeconfig.
    ///
    /// # Errors
    /// If the kubeconfig cannot be used, or no port can be bound.
    pub async fn start(kubeconfig: &Path) -> Result<Self> {
        let unusable = |source| Error::Kubeconfig {
            path: kubeconfig.to_owned(),
            source: Box::new(source),
        };
        let parsed = Kubeconfig::read_from(kubeconfig).map_err(unusable)?;
        let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
            .await
            .map_err(unusable)?;
        config.auth_info = AuthInfo::default();
        let client = Client::try_from(config).map_err(|source| Error::Kube {
            doing: "making the proxy's client".to_owned(),
            source: Box::new(source),
        })?;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.doing("binding a port of", "127.0.0.1")?;
        let address = listener.local_addr().doing("binding", "127.0.0.1")?;
        let shared = Arc::new(Shared {
            client,
            withheld: AtomicUsize::new(0),
            needle: Mutex::new(None),
            trouble: Mutex::new(None),
            troubled: AtomicUsize::new(0),
        });
        let router = axum::Router::new()
            .fallback(pass_on)
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // Accepting goes on whatever happens to a connection.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on keeps back what watches tell of objects whose JSON contains this text.
    pub fn withhold(&self, text: Option<&str>) {
        let needle = self.shared.needle.lock();
        *needle.unwrap_or_else(PoisonError::into_inner) = text.map(str::to_owned);
    }

    /// From now on makes trouble for requests.
    pub fn trouble(&self, trouble: Option<Trouble>) {
        let now = self.shared.trouble.lock();
        *now.unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// How many requests it has made trouble for.
    #[must_use]
    pub fn troubled(&self) -> usize {
        self.shared.troubled.load(Ordering::Relaxed)
    }

    /// How many events it has kept back.
    #[must_use]
    pub fn withheld(&self) -> usize {
        self.shared.withheld.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(State(shared): State<Arc<Shared>>, request: http::Request<Body>) -> Response {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::HOST);
    // What is compressed cannot be looked into.
    parts.headers.remove(header::ACCEPT_ENCODING);
    let is_watch = parts.uri.query().is_some_and(|q| q.contains("watch="));
    if let Some(trouble) = shared.trouble_for(&parts) {
        tokio::time::sleep(trouble.delay).await;
        if let Some(status) = trouble.status {
            return (status, "on purpose").into_response();
        }
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let request = http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let answer = match shared.client.send(request).await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(header::TRANSFER_ENCODING);
    let body = Body::new(body);
    let body = if is_watch {
        thinned(body, shared)
    } else {
        body
    };
    Response::from_parts(parts, body)
}

/// A watch's lines without those that are kept back.
fn thinned(body: Body, shared: Arc<Shared>) -> Body {
    let mut begun: Vec<u8> = Vec::new();
    let lines = body.into_data_stream().map(move |chunk| {
        begun.extend_from_slice(&chunk?);
        let whole = begun.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        let lines: Vec<u8> = begun.drain(..whole).collect();
        let kept = lines.split_inclusive(|b| *b == b'\n');
        let kept: Vec<&[u8]> = kept.filter(|line| !shared.keeps_back(line)).collect();
        Ok::<_, axum::Error>(Bytes::from(kept.concat()))
    });
    Body::from_stream(lines)
}

impl Shared {
    fn trouble_for(&self, request: &http::request::Parts) -> Option<Trouble> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = trouble
            .as_ref()
            .filter(|t| t.method == request.method && request.uri.path().contains(&t.path));
        let found = meant.cloned();
        drop(trouble);
        if found.is_some() {
            self.troubled.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    fn keeps_back(&self, line: &[u8]) -> bool {
        let needle = self.needle.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(line);
        let found = needle.as_ref().is_some_and(|n| text.contains(n.as_str()));
        if found {
            self.withheld.fetch_add(1, Ordering::Relaxed);
        }
        found
    }
}
