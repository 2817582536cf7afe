//! Whether stamps are believed.

use std::sync::Arc;
use std::time::Duration;

use cluster::guard::GuardState;
use cluster::stamp::{StampKeeper, newest_version};

use crate::engine::Engine;

/// The wait after an API server did not say what its newest version is.
const AGAIN: Duration = Duration::from_secs(5);

/// Watches over the stamp, where the operator was told of one; the index believes it while policy and binding are as they have to be, and
/// only of what is written from then on.
pub fn keep(engine: &Arc<Engine>) -> Option<StampKeeper> {
    let name = engine.options.stamp_policy.clone()?;
    let keeper = StampKeeper::start(
        engine.watch_client.clone(),
        name,
        engine.watch_options.clone(),
    );
    let (engine, mut state) = (Arc::clone(engine), keeper.subscribe());
    tokio::spawn(async move {
        while state.changed().await.is_ok() {
            let now = state.borrow_and_update().clone();
            match now {
                GuardState::Trusted => believe(&engine, &state).await,
                GuardState::Untrusted { reason } => {
                    engine.index.believe_stamps(None);
                    tracing::warn!(reason, "nobody is named by stamps");
                }
            }
        }
    });
    Some(keeper)
}

async fn believe(engine: &Engine, state: &tokio::sync::watch::Receiver<GuardState>) {
    while !state.has_changed().unwrap_or(true) {
        match newest_version(&engine.client).await {
            Ok(version) => {
                engine.index.believe_stamps(Some(version));
                tracing::info!("stamps are believed: their policy is in order");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "nobody is named by stamps; trying again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
