//! What Argo CD, Flux and Helm deployed last: it tells a live edit from a commit that is not rolled out.

use std::time::Duration;

use cluster::discovery::{Catalog, Resource};
use cluster::index::{Index, Revision, TargetId};
use declared::{HelmOptions, Reference};
use drift::GroupVersionKind;
use drift::deployer::Place;
use edge::evidence::{self, Asker};
use edge::intake::Rendered;
use kube::Client;

use super::release;
use super::render;
use super::source::Source;
use crate::connect::Cluster;
use crate::worker::Local;

/// All questions about a target together may take this long.
const DEADLINE: Duration = Duration::from_secs(45);

/// A target, and with whose help its deployers are asked about it.
pub struct Asked<'a> {
    pub cluster: &'a Cluster,
    pub local: &'a Local,
    pub catalog: &'a Catalog,
    pub source: &'a Source,
    pub path: &'a str,
    pub helm: HelmOptions,
}

impl Asked<'_> {
    /// Asks about what is not in sync, and has it judged again by the answers.
    pub async fn seek(&self, index: &Index, target: TargetId) {
        let Some(unproven) = index.unproven(target) else {
            return;
        };
        let mut proofs = Vec::new();
        // What came in time counts.
        let _ = tokio::time::timeout(DEADLINE, evidence::ask(self, &unproven, &mut proofs)).await;
        for again in index.prove(target, &unproven.objects, proofs) {
            let kind = &again.scope.kind;
            let Some(resource) = self.catalog.resource(kind) else {
                continue;
            };
            let namespace = again.scope.namespace.as_deref();
            let client = &self.cluster.client;
            match cluster::read::object(client, kind, resource, namespace, &again.id.name).await {
                Ok(Some(live)) => {
                    index.observe(&again.scope, &live);
                }
                Ok(None) => index.absent(&again.scope, &again.id),
                // Whoever may only list cannot read one object: the kind is unknown then, rather than wrong.
                Err(error) => index.failed(&again.scope, super::compare::trouble(&error)),
            }
        }
    }
}

impl Asker for Asked<'_> {
    fn client(&self) -> &Client {
        &self.cluster.client
    }

    fn catalog(&self) -> &Catalog {
        self.catalog
    }

    fn place(&self) -> Place<'_> {
        Place {
            url: &self.source.url,
            path: self.path,
            namespace: &self.cluster.namespace,
            release: &self.helm.release_name,
            values_files: &self.helm.values_files,
            values: &self.helm.values,
            commit: &self.source.revision.commit,
        }
    }

    /// The user's own rights decide.
    async fn may_get(&self, _: &GroupVersionKind, _: &Resource, _: &str, _: &str) -> bool {
        true
    }

    async fn rendered_at(&self, commit: &str) -> Option<(Rendered, Revision)> {
        let mut request = self.source.history.clone()?;
        request.reference = Reference::Commit(commit.to_owned());
        let revision = self.local.worker().fetch(&request).await.ok()?;
        let name = revision.name.clone();
        let source = Source {
            revision,
            ..self.source.clone()
        };
        let (namespace, helm) = (&self.cluster.namespace, self.helm.clone());
        let rendered = render::render(
            self.local,
            self.catalog,
            &source,
            self.path,
            namespace,
            helm,
        );
        let (rendered, inputs) = rendered.await.ok()?;
        rendered.problems.is_empty().then(|| {
            let by = Revision {
                name: name.as_str().into(),
                inputs: inputs.as_str().into(),
            };
            (rendered, by)
        })
    }

    async fn deployed_release(&self, name: &str) -> Option<(Rendered, Revision)> {
        let namespace = &self.cluster.namespace;
        let found = release::read(self.cluster, self.local, self.catalog, namespace, name).await;
        found.ok()
    }
}
