//! Full verification: lists the versions of all declared objects and compares them with what the watches told. What only
//! this finds is counted in a metric that must stay at zero.

use std::time::Duration;

use cluster::Category;
use cluster::index::{Belief, ScopeKey, TargetId};
use cluster::read::Listing;
use drift::ObjectId;
use serde_json::json;

use crate::engine::Engine;
use crate::targets::read_one;

/// How long a watch may lag behind a list before that counts as missed.
const LAG: Duration = Duration::from_secs(3);

/// Scopes in a row of which the API server is not heard before the others are not asked about either: each takes as long as a deadline.
const UNHEARD: usize = 3;

/// A scope that could not be verified.
pub type Failure = (ScopeKey, cluster::Error);

/// Verifies all scopes of a target. What cannot be listed or read keeps no other scope from it.
pub async fn verify(engine: &Engine, target: TargetId) -> Vec<Failure> {
    engine.index.review_owners();
    let mut failures = Failures::default();
    for scope in engine.index.scopes_of(target) {
        let result = verify_scope(engine, &scope).await;
        if !failures.go_on(scope, result) {
            break;
        }
    }
    failures.all
}

#[derive(Default)]
struct Failures {
    all: Vec<Failure>,
    /// So many of the last in a row were not answered.
    unheard: usize,
}

impl Failures {
    /// Takes what came of a scope. False if the others need not be tried.
    fn go_on(&mut self, scope: ScopeKey, result: cluster::Result<()>) -> bool {
        let Err(error) = result else {
            self.unheard = 0;
            return true;
        };
        let silent = matches!(error.category(), Category::Timeout | Category::Unreachable);
        self.unheard = if silent { self.unheard + 1 } else { 0 };
        self.all.push((scope, error));
        self.unheard < UNHEARD
    }
}

async fn verify_scope(engine: &Engine, scope: &ScopeKey) -> cluster::Result<()> {
    let Some(listing) = list(engine, scope).await? else {
        return Ok(());
    };
    if doubtful(engine, scope, &listing).is_empty() {
        return Ok(());
    }
    tokio::time::sleep(LAG).await;
    for (name, doubt) in doubtful(engine, scope, &listing) {
        tracing::error!(%name, kind = %scope.kind, ?doubt, "a verification found what no watch had told");
        engine.metrics.missed.inc();
        mend(engine, scope, &name, doubt, &listing).await?;
    }
    Ok(())
}

/// What a target's message says of a verification that could not be finished.
pub fn said(failures: &[Failure]) -> Option<String> {
    let (scope, error) = failures.first()?;
    let place = scope.namespace.as_ref();
    let place = place.map(|n| format!(" in namespace {n}"));
    let more = match failures.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    Some(format!(
        "the last verification left out {}{}: {error}{more}",
        scope.kind.group_kind,
        place.unwrap_or_default(),
    ))
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
    use drift::GroupVersionKind;

    use super::*;

    fn scope(kind: &str) -> ScopeKey {
        ScopeKey::new(GroupVersionKind::new("", "v1", kind), None)
    }

    #[test]
    fn one_kind_that_could_not_be_listed_ended_the_verification_of_all() {
        let mut failures = Failures::default();
        let refused = || cluster::Error::Status {
            action: "list".to_owned(),
            status: 500,
            reason: "InternalError".to_owned(),
            message: "no".to_owned(),
        };
        for _ in 0..UNHEARD {
            assert!(failures.go_on(scope("A"), Err(refused())));
        }
        assert!(failures.go_on(scope("B"), Ok(())));
        assert_eq!(
            said(&failures.all).expect("failures"),
            "the last verification left out A: could not list: the API server says 500 InternalError: no (and 2 more)"
        );
        assert_eq!(said(&[]), None);
    }

    #[test]
    fn a_server_that_is_not_heard_is_not_waited_for_again_and_again() {
        let mut failures = Failures::default();
        let silence = || cluster::Error::Deadline {
            action: "list".to_owned(),
            deadline: Duration::from_secs(30),
        };
        for _ in 1..UNHEARD {
            assert!(failures.go_on(scope("A"), Err(silence())));
        }
        assert!(!failures.go_on(scope("B"), Err(silence())));
    }

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
