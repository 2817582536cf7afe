//! Full verification: lists the versions of all declared objects and compares them with what the watches told. What only
//! this finds is counted in a metric that must stay at zero.

use std::collections::HashMap;
use std::time::Duration;

use cluster::index::{ScopeKey, TargetId};
use drift::ObjectId;

use crate::engine::Engine;
use crate::targets::read_one;

/// How long a watch may lag behind a list before that counts as missed.
const LAG: Duration = Duration::from_secs(3);

/// Verifies all scopes of a target.
pub async fn verify(engine: &Engine, target: TargetId) -> cluster::Result<()> {
    for scope in engine.index.scopes_of(target) {
        let behind = behind(engine, &scope).await?;
        if behind.is_empty() {
            continue;
        }
        tokio::time::sleep(LAG).await;
        let known: HashMap<String, u64> = engine.index.versions(&scope).into_iter().collect();
        let catalog = engine.catalog.catalog();
        for (name, version) in behind {
            if known
                .get(&name)
                .is_some_and(|known| caught_up(*known, version))
            {
                continue;
            }
            tracing::error!(%name, kind = %scope.kind, "a verification found what no watch had told");
            engine.metrics.missed.inc();
            let id = ObjectId::new(
                scope.kind.group_kind.clone(),
                scope.namespace.as_deref(),
                &name,
            );
            read_one(engine, &catalog, &scope, &id).await?;
        }
    }
    Ok(())
}

/// The objects that a list knows in a newer version than the index does.
async fn behind(engine: &Engine, scope: &ScopeKey) -> cluster::Result<Vec<(String, u64)>> {
    let catalog = engine.catalog.catalog();
    let Some(resource) = catalog.resource(&scope.kind).filter(|r| r.can_watch()) else {
        return Ok(Vec::new());
    };
    if scope.kind.group_kind.is_secret() && !engine.options.compare_secrets {
        return Ok(Vec::new());
    }
    let listed = cluster::read::versions(
        &engine.client,
        &scope.kind,
        resource,
        scope.namespace.as_deref(),
    )
    .await?;
    let listed: HashMap<String, u64> = listed
        .into_iter()
        .map(|(name, _, version)| (name, version))
        .collect();
    let known = engine.index.versions(scope);
    let newer = known.into_iter().filter_map(|(name, version)| {
        let listed = listed.get(&name).copied()?;
        (!caught_up(version, listed)).then_some((name, listed))
    });
    Ok(newer.collect())
}

fn caught_up(known: u64, listed: u64) -> bool {
    known >= listed
}
