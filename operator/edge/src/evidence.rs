//! Asks deployers what they had deployed before anybody compared: Argo CD, Flux and Helm.
//!
//! What may not be read is no evidence; nor is what is not certain (see [`drift::deployer`]).

use std::collections::{HashMap, HashSet};

use cluster::discovery::{Catalog, Resource};
use cluster::index::{Before, Proof, Revision, Unproven};
use drift::deployer::{Claim, Deployed, Place, argocd, flux, is_same_repository};
use drift::{Evidence, GroupKind, GroupVersionKind, ObjectId};
use kube::Client;
use serde_json::Value;

use crate::intake::Rendered;

/// Applications of one name that are looked at, in whichever namespaces.
const NAMESAKES: usize = 5;
/// Commits that are rendered again at most.
const MAX_REVISIONS: usize = 5;

/// Whoever asks, about one target.
pub trait Asker: Sync {
    /// Reads deployers' own objects.
    fn client(&self) -> &Client;

    /// What the cluster serves.
    fn catalog(&self) -> &Catalog;

    /// What the target is rendered from.
    fn place(&self) -> Place<'_>;

    /// True if an object may be read on behalf of whom the answer is for.
    fn may_get(
        &self,
        kind: &GroupVersionKind,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = bool> + Send;

    /// What the target declared at a commit of earlier; `None` where that cannot be told without a doubt.
    fn rendered_at(
        &self,
        commit: &str,
    ) -> impl Future<Output = Option<(Rendered, Revision)>> + Send;

    /// What Helm deployed of a release of the target's namespace; `None` where that cannot be told.
    fn deployed_release(
        &self,
        name: &str,
    ) -> impl Future<Output = Option<(Rendered, Revision)>> + Send;
}

/// Asks about what of a target is not in sync without a known baseline.
pub async fn ask(asker: &impl Asker, unproven: &Unproven, proofs: &mut Vec<Proof>) {
    Seeker { asker }.ask(unproven, proofs).await;
}

struct Seeker<'a, A> {
    asker: &'a A,
}

impl<A: Asker> Seeker<'_, A> {
    /// Those asked first are believed first.
    async fn ask(&self, unproven: &Unproven, proofs: &mut Vec<Proof>) {
        let mut open: HashMap<ObjectId, bool> = unproven.objects.iter().cloned().collect();
        for evidence in [Evidence::ArgoCD, Evidence::Flux] {
            let mut deployed = Vec::new();
            for claim in &unproven.claims {
                deployed.extend(self.deployed(claim, evidence).await);
            }
            self.by_commit(deployed, evidence, &mut open, proofs).await;
        }
        for claim in &unproven.claims {
            if let Claim::Helm { namespace, name } = claim
                && namespace == self.asker.place().namespace
                && !open.is_empty()
            {
                self.by_release(name, &mut open, proofs).await;
            }
        }
    }

    async fn deployed(&self, claim: &Claim, evidence: Evidence) -> Vec<Deployed> {
        match (claim, evidence) {
            (Claim::ArgoCD { namespace, name }, Evidence::ArgoCD) => {
                let found = self.applications(namespace.as_deref(), name).await;
                let all = found.iter();
                all.filter_map(|a| argocd::deployed(a, self.asker.place()))
                    .collect()
            }
            (Claim::Flux { namespace, name }, Evidence::Flux) => self
                .kustomization(namespace, name)
                .await
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    async fn applications(&self, namespace: Option<&str>, name: &str) -> Vec<Value> {
        let Some((kind, resource)) = self.served("argoproj.io", "Application") else {
            return Vec::new();
        };
        if let Some(namespace) = namespace {
            let found = self.get(&kind, resource, namespace, name).await;
            return found.into_iter().collect();
        }
        let client = self.asker.client();
        let found = match cluster::read::named(client, &kind, resource, name, NAMESAKES).await {
            Ok(found) => found,
            Err(error) => {
                tracing::info!(%error, "what Argo CD synced is no evidence: let the operator read Applications (read.customResources of the chart)");
                return Vec::new();
            }
        };
        let mut allowed = Vec::new();
        for application in found {
            let namespace = application["metadata"]["namespace"]
                .as_str()
                .unwrap_or_default();
            if self.asker.may_get(&kind, resource, namespace, name).await {
                allowed.push(application);
            }
        }
        allowed
    }

    async fn kustomization(&self, namespace: &str, name: &str) -> Option<Deployed> {
        let (kind, resource) = self.served("kustomize.toolkit.fluxcd.io", "Kustomization")?;
        let kustomization = self.get(&kind, resource, namespace, name).await?;
        let deployed = flux::deployed(&kustomization, self.asker.place())?;
        let (namespace, name) = flux::source(&kustomization)?;
        let (kind, resource) = self.served("source.toolkit.fluxcd.io", "GitRepository")?;
        let repository = self.get(&kind, resource, namespace, name).await?;
        is_same_repository(flux::url(&repository), self.asker.place().url).then_some(deployed)
    }

    /// A kind in the version with the shortest name: `v1` before `v1beta2`.
    fn served(&self, group: &str, kind: &str) -> Option<(GroupVersionKind, &Resource)> {
        let versions = self.asker.catalog().versions(&GroupKind::new(group, kind));
        let kind = versions.into_iter().min_by_key(|k| k.version.len())?;
        let resource = self.asker.catalog().resource(&kind)?;
        Some((kind, resource))
    }

    /// An object that the policy's account may get; `None` if it may not, the operator may not, or it is not there.
    async fn get(
        &self,
        kind: &GroupVersionKind,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        if !self.asker.may_get(kind, resource, namespace, name).await {
            return None;
        }
        let client = self.asker.client();
        match cluster::read::object(client, kind, resource, Some(namespace), name).await {
            Ok(found) => found,
            Err(error) => {
                tracing::info!(%error, "what its deployer knows is no evidence: let the operator read {} (read.customResources of the chart)", resource.plural);
                None
            }
        }
    }

    /// What deployers of commits prove. Of what two of them list with two commits, nothing.
    async fn by_commit(
        &self,
        deployed: Vec<Deployed>,
        evidence: Evidence,
        open: &mut HashMap<ObjectId, bool>,
        proofs: &mut Vec<Proof>,
    ) {
        let mut commits: HashMap<&ObjectId, HashSet<&str>> = HashMap::new();
        for one in &deployed {
            for id in one.objects.iter().filter(|id| open.contains_key(id)) {
                commits.entry(id).or_default().insert(&one.commit);
            }
        }
        let mut by_commit: HashMap<&str, Vec<ObjectId>> = HashMap::new();
        for (id, commits) in commits {
            if let (1, Some(commit)) = (commits.len(), commits.iter().next()) {
                by_commit.entry(commit).or_default().push(id.clone());
            }
        }
        for (commit, ids) in by_commit.into_iter().take(MAX_REVISIONS) {
            for proof in self.proofs(commit, ids, evidence, open).await {
                open.remove(&proof.id);
                proofs.push(proof);
            }
        }
    }

    async fn proofs(
        &self,
        commit: &str,
        ids: Vec<ObjectId>,
        evidence: Evidence,
        open: &HashMap<ObjectId, bool>,
    ) -> Vec<Proof> {
        let proof = |id, before| Proof {
            id,
            before,
            evidence,
        };
        if commit == self.asker.place().commit {
            return ids.into_iter().map(|id| proof(id, Before::AsNow)).collect();
        }
        let Some((rendered, by)) = self.asker.rendered_at(commit).await else {
            return Vec::new();
        };
        let before = declared(&rendered, &ids);
        let of = |id: ObjectId| match before.get(&id) {
            Some(object) => Some(proof(id, Before::Earlier(by.clone(), object.clone()))),
            // It lists what it is to create.
            None if open.get(&id) == Some(&false) => Some(proof(id, Before::Absent)),
            None => None,
        };
        ids.into_iter().filter_map(of).collect()
    }

    async fn by_release(
        &self,
        name: &str,
        open: &mut HashMap<ObjectId, bool>,
        proofs: &mut Vec<Proof>,
    ) {
        let Some((rendered, by)) = self.asker.deployed_release(name).await else {
            return;
        };
        let ids: Vec<ObjectId> = open.keys().cloned().collect();
        for (id, object) in declared(&rendered, &ids) {
            open.remove(&id);
            proofs.push(Proof {
                id,
                before: Before::Earlier(by.clone(), object),
                evidence: Evidence::Helm,
            });
        }
    }
}

/// What a rendering declares of some objects.
fn declared(rendered: &Rendered, ids: &[ObjectId]) -> HashMap<ObjectId, Value> {
    let wanted: HashSet<&ObjectId> = ids.iter().collect();
    let of = rendered.declarations.iter();
    of.filter(|d| wanted.contains(&d.id))
        .filter_map(|d| Some((d.id.clone(), rendered.blobs.read(d.blob).ok()?.object)))
        .collect()
}
