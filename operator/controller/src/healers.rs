//! Which deployers put back by themselves what they list: Applications of Argo CD with self-heal, Kustomizations and HelmReleases of Flux.
//! What they heal is left to them.
//!
//! Known from the watches of [`crate::undeclared`], so that it costs no call before a write. Anybody who may create an Application could
//! let it list anything, so one counts only where the object names it too, or the policy's account may get it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cluster::Account;
use cluster::access::Attributes;
use cluster::index::Standing;
use drift::ObjectId;
use drift::converge::Healed;
use drift::undeclared::{Declarer, Tool, claim};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use crate::engine::Engine;

/// What deployers heal.
#[derive(Debug, Default)]
pub struct Healers {
    inner: Mutex<Inner>,
    /// Something is healed no more, or all lists are known at last.
    fewer: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    tools: BTreeMap<Tool, Standing>,
    healed: BTreeMap<Arc<Declarer>, HashSet<ObjectId>>,
}

impl Healers {
    /// Sets whether it is known what objects of a tool heal.
    pub fn set_tool(&self, tool: Tool, standing: Standing) {
        let mut inner = self.inner.lock();
        let before = inner.tools.insert(tool, standing);
        drop(inner);
        if before.is_none() {
            self.fewer.notify_one();
        }
    }

    /// Takes in what one heals; nothing, once it is gone.
    pub fn set(&self, by: &Arc<Declarer>, objects: Vec<ObjectId>) {
        let now: HashSet<ObjectId> = objects.into_iter().collect();
        let mut inner = self.inner.lock();
        let before = inner.healed.remove(by).unwrap_or_default();
        let fewer = before.iter().any(|id| !now.contains(id));
        if !now.is_empty() {
            inner.healed.insert(Arc::clone(by), now);
        }
        drop(inner);
        if fewer {
            self.fewer.notify_one();
        }
    }

    /// Forgets everything: nobody needs to know.
    pub fn forget(&self) {
        *self.inner.lock() = Inner::default();
    }

    /// Those that heal an object; `None` while that is not known.
    fn of(&self, id: &ObjectId) -> Option<Vec<Arc<Declarer>>> {
        let inner = self.inner.lock();
        let known = |tool| inner.tools.contains_key(&tool);
        let all = inner.healed.iter().filter(|(_, ids)| ids.contains(id));
        Tool::LISTING
            .into_iter()
            .all(known)
            .then(|| all.map(|(by, _)| Arc::clone(by)).collect())
    }

    /// Who a live object says its deployer is, where that cannot be read.
    pub fn unconfirmed(&self, live: &Value) -> Option<Declarer> {
        let inner = self.inner.lock();
        let unread = |d: &Declarer| matches!(inner.tools.get(&d.tool), Some(Standing::Unread(_)));
        claim(live).filter(unread)
    }
}

/// Whether a deployer puts an object back, and which.
pub async fn healed(
    engine: &Engine,
    account: &Account,
    id: &ObjectId,
    live: Option<&Value>,
) -> (Healed, Option<Arc<Declarer>>) {
    let Some(all) = engine.beyond.healers().of(id) else {
        return (Healed::NotKnown, None);
    };
    let mut answer = Healed::No;
    for by in all {
        if live.is_some_and(|live| by.tool.leaves_alone(live)) {
            continue;
        }
        if live.is_some_and(|live| by.is_named_by(live)) {
            return (Healed::Yes, Some(by));
        }
        match may_get(engine, account, &by).await {
            Ok(true) => return (Healed::Yes, Some(by)),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, object = %id, "whether its deployer may be believed could not be found out; trying again");
                answer = Healed::NotKnown;
            }
        }
    }
    (answer, None)
}

async fn may_get(engine: &Engine, account: &Account, by: &Declarer) -> cluster::Result<bool> {
    let catalog = engine.catalog.catalog();
    let served = by.tool.kind().and_then(|kind| {
        let version = catalog.versions(&kind).into_iter().next()?;
        Some((kind, catalog.resource(&version)?))
    });
    let Some((kind, resource)) = served else {
        return Ok(false);
    };
    let attributes = Attributes {
        verb: "get",
        group: &kind.group,
        resource: &resource.plural,
        subresource: "",
        namespace: by.namespace.as_deref(),
        name: Some(&by.name),
    };
    engine.access.may(account, attributes).await
}

/// Has what was left alone looked at again once its deployer heals it no more, or what deployers heal is known.
pub async fn run(engine: Arc<Engine>) {
    loop {
        engine.beyond.healers().fewer.notified().await;
        engine.converging.reconsider();
    }
}

#[cfg(test)]
mod tests {
    use drift::{GroupKind, Unknown};
    use serde_json::json;

    use super::*;

    fn by(tool: Tool, name: &str) -> Arc<Declarer> {
        Arc::new(Declarer {
            tool,
            namespace: Some("argocd".into()),
            name: name.into(),
        })
    }

    fn id(name: &str) -> ObjectId {
        ObjectId::new(GroupKind::new("", "ConfigMap"), Some("shop"), name)
    }

    #[test]
    fn nothing_is_said_before_all_lists_are_known() {
        let healers = Healers::default();
        assert_eq!(healers.of(&id("web")), None);
        healers.set_tool(Tool::Application, Standing::Listed);
        healers.set_tool(Tool::Kustomization, Standing::Unserved);
        assert_eq!(healers.of(&id("web")), None);
        healers.set_tool(Tool::HelmRelease, Standing::Unread(Unknown::Forbidden));
        assert_eq!(healers.of(&id("web")), Some(vec![]));
        let (one, two) = (by(Tool::Application, "one"), by(Tool::Application, "two"));
        healers.set(&one, vec![id("web")]);
        healers.set(&two, vec![id("web"), id("api")]);
        assert_eq!(healers.of(&id("web")), Some(vec![one, Arc::clone(&two)]));
        healers.set(&two, vec![]);
        assert_eq!(healers.of(&id("api")), Some(vec![]));
    }

    #[test]
    fn a_claim_is_unconfirmed_only_where_its_tool_cannot_be_read() {
        let healers = Healers::default();
        let live = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:shop/web"}}});
        healers.set_tool(Tool::Application, Standing::Listed);
        assert_eq!(healers.unconfirmed(&live), None);
        healers.set_tool(Tool::Application, Standing::Unread(Unknown::Forbidden));
        assert_eq!(
            healers.unconfirmed(&live).map(|d| d.to_string()).as_deref(),
            Some("Argo CD's Application shop")
        );
        assert_eq!(healers.unconfirmed(&json!({})), None);
    }
}
