//! Which workload a service account stands for, where a record names one. Looked up when a record is written, and kept for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::access::Decision;
use cluster::workloads::{Accounts, Workload, accounts};
use driftline_crds::{Actor, DriftRecordStatus};
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::registry::PolicyState;

/// How long an answer is good for, and that there was none.
const FRESH: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(60));
/// Namespaces of which it is kept.
const NAMESPACES: usize = 64;
/// How long a record waits for it.
const DEADLINE: Duration = Duration::from_secs(5);

/// When it was asked who runs as what in a namespace, and the answer, if there was one.
type Answer = (Instant, Option<Arc<Accounts>>);

/// Who runs as what, by namespace.
#[derive(Debug, Default)]
pub struct Workloads {
    known: Mutex<HashMap<String, Answer>>,
}

impl Workloads {
    /// Says in a record which workloads its service accounts are, as far as the policy's account may see them; `before` is what the
    /// open record says.
    pub async fn fill(
        &self,
        engine: &Engine,
        policy: &PolicyState,
        status: &mut DriftRecordStatus,
        before: Option<&DriftRecordStatus>,
    ) {
        let told = before.into_iter().flat_map(actors);
        let told: HashMap<&str, &str> = told
            .filter(|a| !a.workload.is_empty())
            .map(|a| (a.user.as_str(), a.workload.as_str()))
            .collect();
        for actor in status.fields.iter_mut().map(|f| &mut f.by) {
            let Some((namespace, name)) = service_account(&actor.user) else {
                continue;
            };
            actor.workload = match told.get(actor.user.as_str()) {
                Some(known) => (*known).to_owned(),
                None => {
                    let found = self.find(engine, policy, namespace, name).await;
                    found.map_or_else(String::new, |w| {
                        format!("{} {namespace}/{}", w.kind, w.name)
                    })
                }
            };
        }
    }

    async fn find(
        &self,
        engine: &Engine,
        policy: &PolicyState,
        namespace: &str,
        name: &str,
    ) -> Option<Workload> {
        let workload = self.accounts(engine, namespace).await?.get(name)?.clone()?;
        let account = policy.view.lock().account.clone()?;
        let (group, plural) = (workload.group, workload.plural);
        let may = engine
            .access
            .may_list(&account, group, plural, Some(namespace))
            .await;
        (may == Decision::Allowed).then_some(workload)
    }

    async fn accounts(&self, engine: &Engine, namespace: &str) -> Option<Arc<Accounts>> {
        if let Some((at, known)) = self.known.lock().get(namespace) {
            let fresh = if known.is_some() { FRESH.0 } else { FRESH.1 };
            if at.elapsed() < fresh {
                return known.clone();
            }
        }
        let found = match tokio::time::timeout(DEADLINE, accounts(&engine.client, namespace)).await
        {
            Ok(Ok(found)) => found.map(Arc::new),
            Ok(Err(error)) => {
                tracing::debug!(%error, namespace, "which workloads run as what is not known");
                None
            }
            Err(_) => None,
        };
        let mut known = self.known.lock();
        if known.len() >= NAMESPACES {
            known.clear();
        }
        known.insert(namespace.to_owned(), (Instant::now(), found.clone()));
        found
    }
}

fn actors(status: &DriftRecordStatus) -> impl Iterator<Item = &Actor> {
    status.fields.iter().map(|f| &f.by)
}

/// Namespace and name of a service account.
fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_service_accounts_have_workloads() {
        assert_eq!(
            service_account("system:serviceaccount:argocd:server"),
            Some(("argocd", "server"))
        );
        assert_eq!(service_account("system:kube-scheduler"), None);
        assert_eq!(service_account("ann@example.com"), None);
    }
}
