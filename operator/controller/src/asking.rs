//! About what the server may be asked, and for whom an answer speaks.

use std::collections::HashSet;

use cluster::Account;
use cluster::access::Attributes;
use cluster::mutators::Mutators;
use drift::GroupVersionKind;

use crate::engine::Engine;

/// The kinds that the dry-run account may create.
pub async fn askable(
    engine: &Engine,
    kinds: &HashSet<GroupVersionKind>,
) -> HashSet<GroupVersionKind> {
    let catalog = engine.catalog.catalog();
    let account = Account::new(&engine.options.namespace, &engine.options.dry_run_account);
    let mut askable = HashSet::new();
    for kind in kinds {
        let Some(resource) = catalog.resource(kind).filter(|r| r.create) else {
            continue;
        };
        let attributes = Attributes {
            verb: "create",
            group: &kind.group_kind.group,
            resource: &resource.plural,
            ..Attributes::default()
        };
        match engine.access.may(&account, attributes).await {
            Ok(false) => {}
            Ok(true) => {
                askable.insert(kind.clone());
            }
            Err(error) => {
                tracing::debug!(%error, %kind, "whether the server may be asked about a kind is not known; it will be tried");
                askable.insert(kind.clone());
            }
        }
    }
    askable
}

/// Tells the index for which kinds one answer serves all objects of a shape: those that no admission webhook or policy sees.
pub async fn share(engine: &Engine) {
    let catalog = engine.catalog.catalog();
    let stamp = engine.options.stamp_policy.as_deref();
    let mutators = match Mutators::read(&engine.client, &catalog, stamp).await {
        Ok(mutators) => Some(mutators),
        Err(error) => {
            tracing::debug!(%error, "what admission changes is not known; the server is asked about each object by itself");
            None
        }
    };
    engine.index.set_shared(|kind| {
        let resource = catalog.resource(kind);
        mutators
            .as_ref()
            .zip(resource)
            .is_some_and(|(m, resource)| !m.see(kind, resource))
    });
}
