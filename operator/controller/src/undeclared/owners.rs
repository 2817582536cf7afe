//! Whether the owners live that objects name. Anybody can write such a reference, so it counts only where an object of that kind, name
//! and uid is there.

use std::sync::Arc;

use cluster::Category;
use cluster::discovery::{Catalog, Served};
use cluster::index::{OwnerQuestion, OwnerState};
use drift::GroupVersionKind;
use futures::StreamExt as _;

use crate::engine::Engine;

/// Questions at a time.
const AT_ONCE: usize = 4;

/// Asks, and gives back what could not be found out.
pub async fn ask(engine: &Engine, questions: Vec<Arc<OwnerQuestion>>) -> Vec<Arc<OwnerQuestion>> {
    let catalog = engine.catalog.catalog();
    let one = |question: Arc<OwnerQuestion>| {
        let catalog = Arc::clone(&catalog);
        async move {
            match state(engine, &catalog, &question).await {
                Some(state) => {
                    engine.index.set_owner(&question, state);
                    None
                }
                None => Some(question),
            }
        }
    };
    let asked = futures::stream::iter(questions).map(one);
    asked
        .buffer_unordered(AT_ONCE)
        .filter_map(|open| async { open })
        .collect()
        .await
}

/// `None` where that cannot be found out at the moment.
async fn state(engine: &Engine, catalog: &Catalog, question: &OwnerQuestion) -> Option<OwnerState> {
    let owner = &question.owner;
    let Some(named) = GroupVersionKind::parse(&owner.api_version, &owner.kind) else {
        // Nothing can be of such a kind.
        return Some(OwnerState::Gone);
    };
    let kind = match catalog.served(&named) {
        Served::Yes(_) => named,
        Served::Unavailable => return None,
        Served::No => match catalog.versions(&named.group_kind).into_iter().next() {
            Some(other) => other,
            // With its definition went all of its kind; or that came a moment ago.
            None => return Some(OwnerState::Unserved),
        },
    };
    let resource = catalog.resource(&kind)?;
    let namespace = question.namespace.as_deref();
    if resource.namespaced && namespace.is_none() {
        // What has no namespace is owned by nothing that has one.
        return Some(OwnerState::Gone);
    }
    let read = cluster::read::uid(&engine.client, &kind, resource, namespace, &owner.name).await;
    match read {
        Ok(Some(uid)) if uid == owner.uid => Some(OwnerState::Lives),
        Ok(_) => Some(OwnerState::Gone),
        Err(error) if error.category() == Category::Forbidden => Some(OwnerState::Unreadable),
        Err(error) => {
            tracing::warn!(%error, "whether an owner lives could not be found out; trying again");
            None
        }
    }
}
