//! Asks deployers what they had deployed before Driftline first saw it: Argo CD, Flux and Helm.
//!
//! Read as the operator (releases as the policy's account), and only what the policy's account may get. What may not be read is no
//! evidence; nor is what is not certain (see [`drift::deployer`]).

use std::sync::Arc;
use std::time::Duration;

use cluster::access::Attributes;
use cluster::discovery::{Catalog, Resource};
use declared::Revision;
use drift::GroupVersionKind;
use drift::deployer::Place;
use edge::evidence::{self, Asker};
use kube::Client;
use serde_json::Value;

use crate::engine::Engine;
use crate::policy::{From, Policy};
use crate::recall::fetch;
use crate::registry::PolicyState;
use crate::targets::{Rendered, Target, reread};

/// All questions about a target together may take this long.
const DEADLINE: Duration = Duration::from_secs(45);

/// A question about a target.
struct Seeker<'a> {
    engine: &'a Arc<Engine>,
    state: &'a PolicyState,
    policy: &'a Policy,
    target: &'a Target,
    place: Place<'a>,
    catalog: Arc<Catalog>,
}

/// Asks about what of a target is not in sync without a known baseline. Whatever comes of it, nobody waits for it after that.
pub async fn seek(
    engine: &Arc<Engine>,
    state: &PolicyState,
    policy: &Policy,
    target: &Target,
    revision: Option<&Revision>,
) {
    let Some(unproven) = engine.index.unproven(target.id) else {
        return;
    };
    let mut proofs = Vec::new();
    if let (Some(revision), Some(source), From::Source { path, helm }) =
        (revision, &policy.source, &target.spec.from)
    {
        let place = Place {
            url: &source.url,
            path,
            namespace: &target.spec.namespace,
            release: helm.as_ref().map_or("", |h| &h.release_name),
            values_files: helm.as_ref().map_or(&[], |h| &h.values_files),
            values: helm.as_ref().map_or(&Value::Null, |h| &h.values),
            commit: &revision.commit,
        };
        let seeker = Seeker {
            engine,
            state,
            policy,
            target,
            place,
            catalog: engine.catalog.catalog(),
        };
        let asked = tokio::time::timeout(DEADLINE, evidence::ask(&seeker, &unproven, &mut proofs));
        if asked.await.is_err() {
            tracing::info!(policy = %state.key, target = target.spec.name, "deployers did not answer in time; some origins stay unknown");
        }
    }
    let rereads = engine.index.prove(target.id, &unproven.objects, proofs);
    if !rereads.is_empty() {
        tokio::spawn(reread(Arc::clone(engine), rereads));
    }
}

impl Asker for Seeker<'_> {
    fn client(&self) -> &Client {
        &self.engine.client
    }

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn place(&self) -> Place<'_> {
        self.place
    }

    async fn may_get(
        &self,
        kind: &GroupVersionKind,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> bool {
        let attributes = Attributes {
            verb: "get",
            group: &kind.group_kind.group,
            resource: &resource.plural,
            namespace: Some(namespace),
            name: Some(name),
            ..Attributes::default()
        };
        let account = &self.policy.account;
        let answer = self.engine.access.may(account, attributes).await;
        let allowed = answer.unwrap_or(false);
        if !allowed {
            tracing::info!(%account, namespace, name, "what its deployer knows is no evidence: let the account get {}", resource.plural);
        }
        allowed
    }

    async fn rendered_at(&self, commit: &str) -> Option<(Rendered, cluster::index::Revision)> {
        let revision = fetch(self.engine, self.state, commit).await.ok()??;
        self.target
            .render_from_now(self.engine, self.state, &revision)
            .await
    }

    async fn deployed_release(&self, name: &str) -> Option<(Rendered, cluster::index::Revision)> {
        self.target
            .deployed_release(self.engine, self.state, self.policy, name)
            .await
    }
}
