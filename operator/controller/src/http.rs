//! `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::engine::Engine;
use crate::records::Records;

/// What the handlers need.
#[derive(Clone)]
pub struct Served {
    pub engine: Arc<Engine>,
    pub records: Arc<Records>,
}

/// Serves until the process ends.
pub async fn serve(address: SocketAddr, served: Served) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
    axum::serve(listener, router(served)).await
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(served)
}

/// Answers as long as the process does: an API server that is down is no reason to restart the operator.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready once policies have been listed.
async fn readyz(State(served): State<Served>) -> (StatusCode, &'static str) {
    if served.engine.registry.is_listed() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "policies have not been listed yet\n",
        )
    }
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    let text = served.engine.metrics.text(&served.engine, &served.records);
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
}
