//! A target that is a Helm release: declared is the manifest that Helm itself keeps of the deployed revision.
//!
//! Helm changes live objects before it says that a new revision is deployed. So while it is at work nothing is said about the
//! release's objects, and before a record of one is opened Helm's storage is looked at once more (see [`crate::records`]).

use std::sync::Arc;
use std::time::Instant;

use cluster::Category;
use cluster::discovery::Catalog;
use cluster::release::{Stored, revisions_as, stored_as};
use declared::{ReleaseRequest, RenderLimits};
use edge::release::{Seen, UNPACKED, digest, inputs, seen};
use jiff::Timestamp;

use super::{Ask, Done, Failed, Rendered, Target};
use crate::engine::Engine;
use crate::policy::{From, Policy};
use crate::recall::Later;
use crate::registry::PolicyState;

/// Why a release could not be read: reason, message, and whether trying again soon may help.
struct Refused(&'static str, String, bool);

impl Target {
    /// Brings the index up to what Helm says is deployed. As [`Target::update`].
    pub(super) async fn update_release(
        &mut self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        policy: &Policy,
        release: &str,
    ) -> bool {
        let begun = Instant::now();
        let (account, namespace) = (&policy.account, self.spec.namespace.clone());
        let listed = revisions_as(&engine.client, account, &namespace, release).await;
        let seen = match listed {
            Ok(revisions) => seen(&revisions, Timestamp::now().as_second()),
            Err(error) => {
                // What was declared before stays in force, and is reported.
                self.view.polled = Some(begun);
                return self.refuse(self.refused(engine, policy, &error));
            }
        };
        self.at_work = matches!(seen, Seen::AtWork(..));
        match seen {
            Seen::AtWork(version, status) => {
                self.view.ready = None;
                self.view.reason = "RollingOut".to_owned();
                self.view.message = format!(
                    "Helm is at work on release {namespace}/{release} ({status}, revision {version}); its objects are compared when it is done"
                );
                true
            }
            Seen::Nothing(last) => {
                self.forget_release(engine, &namespace, release, last);
                true
            }
            Seen::Deployed(stored) => {
                let done = self.follow(engine, state, policy, release, &stored).await;
                self.view.polled = Some(begun);
                done
            }
        }
    }

    /// What Helm deployed of a release of the target's namespace; `None` where that cannot be told.
    pub async fn deployed_release(
        &self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        policy: &Policy,
        release: &str,
    ) -> Option<(Rendered, cluster::index::Revision)> {
        let (client, account) = (&engine.client, &policy.account);
        let namespace = self.spec.namespace.as_str();
        let unreadable = |error| tracing::debug!(%error, release, "a Helm release is no evidence");
        let revisions = revisions_as(client, account, namespace, release).await;
        let revisions = revisions.map_err(unreadable).ok()?;
        let Seen::Deployed(stored) = seen(&revisions, Timestamp::now().as_second()) else {
            return None;
        };
        let text = stored_as(client, account, namespace, &stored).await;
        let text = text.map_err(unreadable).ok()?;
        let by = cluster::index::Revision {
            name: format!("v{}", stored.version).into(),
            inputs: inputs(&stored).into(),
        };
        let request = self.release_request(text, release, &stored);
        let (catalog, asked) = (engine.catalog.catalog(), Ask::Release(&request));
        let rendered = self
            .render(engine, &catalog, asked, &state.key.namespace)
            .await;
        Some((rendered.ok()?, by))
    }

    /// A revision of earlier, rendered again from Helm's storage; `None` where Helm does not keep it any more.
    ///
    /// # Errors
    /// Where trying again may help.
    pub async fn stored_release(
        &self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        policy: &Policy,
        name: &str,
        by: &str,
    ) -> Result<Option<Rendered>, Later> {
        let From::Release(release) = &self.spec.from else {
            return Ok(None);
        };
        let (client, account) = (&engine.client, &policy.account);
        let namespace = self.spec.namespace.as_str();
        let unreadable = |error: cluster::Error| match error.is_retryable() {
            true => Err(Later(error.to_string())),
            false => Ok(None),
        };
        let revisions = match revisions_as(client, account, namespace, release).await {
            Ok(revisions) => revisions,
            Err(error) => return unreadable(error),
        };
        let Some(stored) = kept(&revisions, name, by) else {
            return Ok(None);
        };
        let text = match stored_as(client, account, namespace, stored).await {
            Ok(text) => text,
            Err(error) => return unreadable(error),
        };
        let request = self.release_request(text, release, stored);
        let catalog = engine.catalog.catalog();
        self.whole(engine, state, &catalog, Ask::Release(&request))
            .await
    }

    fn release_request(&self, text: String, release: &str, stored: &Stored) -> ReleaseRequest {
        ReleaseRequest {
            stored: text,
            namespace: self.spec.namespace.clone(),
            name: release.to_owned(),
            version: stored.version,
            limits: RenderLimits {
                file_bytes: UNPACKED,
                ..RenderLimits::default()
            },
        }
    }

    /// What was uninstalled is missing because somebody wanted it so: nothing is declared any more, and that is no drift.
    fn forget_release(
        &mut self,
        engine: &Engine,
        namespace: &str,
        release: &str,
        last: Option<(u32, String)>,
    ) {
        engine.index.forget(self.id);
        self.forget_rendering();
        self.view.ready = Some(false);
        self.view.revision = None;
        self.view.inputs = None;
        self.view.is_declared = true;
        (self.view.reason, self.view.message) = match last {
            None => (
                "ReleaseNotFound".to_owned(),
                format!(
                    "there is no Helm release {namespace}/{release}; install it, correct targets.helmRelease, or take the target out"
                ),
            ),
            Some((version, status)) => (
                "ReleaseNotDeployed".to_owned(),
                format!(
                    "Helm release {namespace}/{release} has no deployed revision: revision {version} is {status}; see helm history {release} -n {namespace}"
                ),
            ),
        };
    }

    async fn follow(
        &mut self,
        engine: &Arc<Engine>,
        state: &PolicyState,
        policy: &Policy,
        release: &str,
        stored: &Stored,
    ) -> bool {
        let catalog = engine.catalog.catalog();
        let identity = format!("{} {}", stored.identity.0, stored.identity.1);
        let served = served(&catalog);
        let done = self.done.as_ref();
        if done.is_some_and(|d| d.commit == identity && (!d.by_catalog || d.inputs == served)) {
            return self.is_compared();
        }
        if let Some(failed) = &self.failed
            && failed.is_of(&identity, &served)
            && !failed.is_due(Instant::now())
        {
            return !failed.retry;
        }
        let read = stored_as(
            &engine.client,
            &policy.account,
            &self.spec.namespace,
            stored,
        )
        .await;
        let text = match read {
            Ok(text) => text,
            Err(error) => return self.refuse(self.refused(engine, policy, &error)),
        };
        let inputs = inputs(stored);
        let request = self.release_request(text, release, stored);
        let begun = Instant::now();
        let asked = Ask::Release(&request);
        let result = self
            .render(engine, &catalog, asked, &state.key.namespace)
            .await;
        engine.metrics.rendered(begun.elapsed(), result.is_ok());
        match result {
            Err((reason, message, retry)) => {
                let before = self.failed.take();
                self.failed = Some(Failed::after(before.as_ref(), &identity, &served, retry));
                self.view.ready = Some(false);
                (self.view.reason, self.view.message) = (reason, message);
                !retry
            }
            Ok(rendered) => {
                self.failed = None;
                self.report(&rendered);
                let by_catalog = rendered.unserved;
                let revision = format!("v{}", stored.version);
                let by = cluster::index::Revision {
                    name: revision.as_str().into(),
                    inputs: inputs.as_str().into(),
                };
                match self.recall(engine, state, policy, &by).await {
                    Ok(Some((before, at))) => {
                        self.declare(engine, policy, &catalog, before, at).await;
                    }
                    Ok(None) => {}
                    Err(later) => return self.wait_for_memory(&later),
                }
                self.declare(engine, policy, &catalog, rendered, by).await;
                self.view.revision = Some(revision);
                self.view.inputs = Some(inputs);
                self.view.checked_at = Some(Timestamp::now());
                self.done = Some(Done {
                    commit: identity,
                    inputs: served,
                    plain_inputs: String::new(),
                    by_catalog,
                    said: self.said(),
                });
                true
            }
        }
    }

    /// After Helm was at work, or could not be asked, without anything new: what was said of the revision holds again.
    fn is_compared(&mut self) -> bool {
        if let Some((ready, reason, message)) = self.done.as_ref().map(|d| d.said.clone()) {
            (self.view.ready, self.view.reason, self.view.message) = (ready, reason, message);
        }
        true
    }

    fn refuse(&mut self, Refused(reason, message, retry): Refused) -> bool {
        tracing::warn!(
            target = self.spec.name,
            message,
            "a Helm release cannot be read; what was declared before stays in force"
        );
        self.view.ready = Some(false);
        self.view.reason = reason.to_owned();
        self.view.message = message;
        !retry
    }

    fn refused(&self, engine: &Engine, policy: &Policy, error: &cluster::Error) -> Refused {
        if error.category() != Category::Forbidden {
            let retry = error.category() != Category::NotFound;
            return Refused("ReleaseUnreadable", error.to_string(), retry);
        }
        let (account, namespace) = (&policy.account, &self.spec.namespace);
        let message = format!(
            "{error}. Let the account list and get Secrets in namespace {namespace}: kubectl -n {namespace} create role {}-releases --verb=list,get --resource=secrets, bound to {account}; \
             and let Driftline act as the account: a Role in namespace {} with the verb impersonate on serviceaccounts/{}, bound to {}/{} (see docs/rights.md)",
            account.name,
            account.namespace,
            account.name,
            engine.options.namespace,
            engine.options.operator_account
        );
        Refused("ReleaseForbidden", message, false)
    }
}

/// The revision of this name and these inputs, if Helm keeps it.
fn kept<'a>(revisions: &'a [Stored], name: &str, by: &str) -> Option<&'a Stored> {
    let version = name.strip_prefix('v')?;
    let version: u32 = version.parse().ok()?;
    revisions
        .iter()
        .find(|r| r.version == version && inputs(r) == by)
}

/// What the cluster serves, in short.
fn served(catalog: &Catalog) -> String {
    digest(&catalog.api_versions().join(" "))
}

#[cfg(test)]
mod tests {
    use cluster::release::Driver;

    use super::*;

    const NOW: i64 = 1_000_000;

    /// An upgrade made while the operator was down left no baseline, though Helm still had it.
    #[test]
    fn a_revision_that_another_took_the_place_of_is_found_in_the_storage() {
        let stored = |uid: &str, status: &str, resource_version: &str| Stored {
            driver: Driver::Secrets,
            object: "sh.helm.release.v1.web.v1".to_owned(),
            identity: (uid.to_owned(), resource_version.to_owned()),
            version: 1,
            status: status.to_owned(),
            written_at: NOW,
        };
        let then = inputs(&stored("a", "deployed", "5"));
        let superseded = [stored("a", "superseded", "9")];
        assert_eq!(kept(&superseded, "v1", &then), superseded.first());
        assert_eq!(kept(&superseded, "v2", &then), None);
        let installed_anew = [stored("b", "superseded", "12")];
        assert_eq!(kept(&installed_anew, "v1", &then), None);
    }
}
