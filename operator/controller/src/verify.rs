//! Full verification: lists the versions of all declared objects and compares them with what the watches told. What only
//! this finds is counted in a metric that must stay at zero.

use std::time::Duration;

use cluster::index::{Belief, ScopeKey, TargetId};
use cluster::read::Listing;
use drift::ObjectId;
use serde_json::json;

use crate::engine::Engine;
use crate::targets::read_one;

/// How long a watch may lag behind a list before that counts as missed.
const LAG: Duration = Duration::from_secs(3);

/// Verifies all scopes of a target.
pub async fn verify(engine: &Engine, target: TargetId) -> cluster::Result<()> {
    engine.index.review_owners();
    for scope in engine.index.scopes_of(target) {
        let Some(listing) = list(engine, &scope).await? else {
            continue;
        };
        if doubtful(engine, &scope, &listing).is_empty() {
            continue;
        }
        tokio::time::sleep(LAG).await;
        for (name, doubt) in doubtful(engine, &scope, &listing) {
            tracing::error!(%name, kind = %scope.kind, ?doubt, "a verification found what no watch had told");
            engine.metrics.missed.inc();
            mend(engine, &scope, &name, doubt, &listing).await?;
        }
    }
    Ok(())
}

/// How a list and the index disagree on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// The list has a newer version.
    Newer,
    /// The list does not have it.
    Gone,
}

/// `None` for scopes that are not compared, or are blind: those are unknown anyway, and a complete list is on its way.
async fn list(engine: &Engine, scope: &ScopeKey) -> cluster::Result<Option<Listing>> {
    if !engine.index.is_ready(scope) {
        return Ok(None);
    }
    let catalog = engine.catalog.catalog();
    let Some(resource) = catalog.resource(&scope.kind).filter(|r| r.can_watch()) else {
        return Ok(None);
    };
    let listing = cluster::read::listing(
        &engine.client,
        &scope.kind,
        resource,
        scope.namespace.as_deref(),
    )
    .await?;
    Ok(Some(listing))
}

fn doubtful(engine: &Engine, scope: &ScopeKey, listing: &Listing) -> Vec<(String, Doubt)> {
    if !engine.index.is_ready(scope) {
        return Vec::new();
    }
    let unheard: Vec<(String, Doubt)> = if engine.index.is_looked(scope) {
        let names = listing.objects.keys();
        names
            .filter(|name| !engine.index.knows(scope, name))
            .map(|name| (name.clone(), Doubt::Newer))
            .collect()
    } else {
        Vec::new()
    };
    let beliefs = engine.index.beliefs(scope).into_iter();
    beliefs
        .filter_map(|(name, belief)| {
            Some((
                name.clone(),
                doubt(belief, listing.objects.get(&name).copied(), listing.version)?,
            ))
        })
        .chain(unheard)
        .collect()
}

fn doubt(belief: Belief, listed: Option<u64>, at: u64) -> Option<Doubt> {
    match listed {
        Some(version) if version > belief.version => Some(Doubt::Newer),
        None if belief.exists && belief.version < at => Some(Doubt::Gone),
        _ => None,
    }
}

async fn mend(
    engine: &Engine,
    scope: &ScopeKey,
    name: &str,
    doubt: Doubt,
    listing: &Listing,
) -> cluster::Result<()> {
    match doubt {
        Doubt::Newer => {
            let id = ObjectId::new(
                scope.kind.group_kind.clone(),
                scope.namespace.as_deref(),
                name,
            );
            read_one(engine, &engine.catalog.catalog(), scope, &id).await
        }
        Doubt::Gone => {
            // Whatever came after the list has a newer version, and counts more.
            let version = listing.version.to_string();
            engine.index.gone(
                scope,
                &json!({"metadata": {"name": name, "resourceVersion": version}}),
            );
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_watch_should_have_told_is_doubtful() {
        let known = |version, exists| Belief { version, exists };
        assert_eq!(doubt(known(5, true), Some(5), 9), None);
        assert_eq!(doubt(known(7, true), Some(5), 9), None);
        assert_eq!(doubt(known(5, true), Some(6), 9), Some(Doubt::Newer));
        assert_eq!(doubt(known(5, false), Some(6), 9), Some(Doubt::Newer));
        assert_eq!(doubt(known(5, true), None, 9), Some(Doubt::Gone));
        assert_eq!(doubt(known(12, true), None, 9), None);
        assert_eq!(doubt(known(5, false), None, 9), None);
    }
}
