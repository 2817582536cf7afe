//! Keeps a catalog up to date.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::read::{self, Validators};
use super::{Catalog, ServerVersion};
use crate::error::Result;
use crate::trigger::{Trigger, cluster_wide};
use crate::watch::WatchOptions;

/// How often the catalog is read.
#[derive(Debug, Clone)]
pub struct KeeperOptions {
    /// Without any sign of a change.
    pub interval: Duration,
    /// While the watches that tell of changes are not up.
    pub blind_interval: Duration,
    /// Times after a change of a CRD or APIService at which the catalog is read: a CRD is served a moment after it is established,
    /// and an aggregated server comes up when it comes up.
    pub after_change: Vec<Duration>,
    /// How the watches are done.
    pub watch: WatchOptions,
}

impl Default for KeeperOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(600),
            blind_interval: Duration::from_secs(15),
            after_change: [0, 150, 400, 800, 1_300, 2_000, 4_000, 8_000, 20_000]
                .map(Duration::from_millis)
                .into(),
            watch: WatchOptions::default(),
        }
    }
}

/// Publishes a new catalog whenever what the server serves has changed. Dropping it stops that.
#[derive(Debug)]
pub struct CatalogKeeper {
    catalog: watch::Receiver<Arc<Catalog>>,
    definitions: watch::Receiver<()>,
    task: JoinHandle<()>,
}

impl CatalogKeeper {
    /// Reads the first catalog and keeps it up to date from then on.
    ///
    /// # Errors
    /// Where the first catalog cannot be read.
    pub async fn start(client: Client, options: KeeperOptions) -> Result<Self> {
        let mut reader = Reader {
            client: client.clone(),
            validators: Validators::default(),
            server: ServerVersion::default(),
        };
        let first = reader.read(None).await?;
        let (publish, catalog) = watch::channel(Arc::new(first));
        let metadata = WatchOptions {
            metadata_only: true,
            ..options.watch.clone()
        };
        let scopes = vec![
            (
                cluster_wide(
                    "apiextensions.k8s.io",
                    "v1",
                    "CustomResourceDefinition",
                    "customresourcedefinitions",
                ),
                metadata.clone(),
            ),
            (
                cluster_wide("apiregistration.k8s.io", "v1", "APIService", "apiservices"),
                metadata,
            ),
        ];
        let trigger = Trigger::spawn(&client, scopes, Duration::from_millis(20));
        let (tell, definitions) = watch::channel(());
        let task = tokio::spawn(keep(reader, trigger, (publish, tell), options));
        Ok(Self {
            catalog,
            definitions,
            task,
        })
    }

    /// The newest catalog, and word of each new one.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.clone()
    }

    /// Word at the times of `after_change` after a CRD or APIService has changed, whether or not the catalog has: the schemas may have.
    pub fn definitions(&self) -> watch::Receiver<()> {
        self.definitions.clone()
    }

    /// The newest catalog.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }
}

impl Drop for CatalogKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    client: Client,
    validators: Validators,
    server: ServerVersion,
}

impl Reader {
    async fn read(&mut self, previous: Option<&Catalog>) -> Result<Catalog> {
        self.server = read::version(&self.client).await?;
        let mut validators = if previous.is_some() {
            self.validators.clone()
        } else {
            Validators::default()
        };
        let found = read::read(&self.client, &mut validators, read::AGGREGATED).await?;
        let catalog = match (found, previous) {
            (Some(mut found), Some(previous)) => {
                read::carry_over(&mut found, previous);
                Catalog::new(found, self.server.clone())
            }
            (Some(found), None) => Catalog::new(found, self.server.clone()),
            (None, Some(previous)) => Catalog {
                server: self.server.clone(),
                ..previous.clone()
            },
            (None, None) => Catalog::new(read::Found::default(), self.server.clone()),
        };
        self.validators = validators;
        Ok(catalog)
    }
}

/// The next time to read, given what happened last.
struct Schedule {
    after_change: Vec<Duration>,
    changed_at: Instant,
    /// How many readings of `after_change` are done.
    done: usize,
}

impl Schedule {
    fn changed(&mut self, now: Instant) {
        self.changed_at = now;
        self.done = 0;
    }

    /// The next reading is one that a change has led to.
    fn is_after_change(&self) -> bool {
        self.done < self.after_change.len()
    }

    fn next(&self, now: Instant, otherwise: Duration) -> Instant {
        self.after_change
            .get(self.done)
            .map_or(now + otherwise, |after| self.changed_at + *after)
    }
}

async fn keep(
    mut reader: Reader,
    trigger: Trigger,
    (publish, tell): (watch::Sender<Arc<Catalog>>, watch::Sender<()>),
    options: KeeperOptions,
) {
    let mut changes = trigger.changes();
    let mut schedule = Schedule {
        done: options.after_change.len(),
        after_change: options.after_change,
        changed_at: Instant::now(),
    };
    let mut last_read = Instant::now();
    loop {
        let interval = if trigger.is_complete() {
            options.interval
        } else {
            options.blind_interval
        };
        let next = schedule.next(last_read, interval);
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                schedule.changed(Instant::now());
                continue;
            }
            () = tokio::time::sleep_until(next) => {}
            () = publish.closed() => return,
        }
        let after_change = schedule.is_after_change();
        schedule.done = schedule.done.saturating_add(1);
        last_read = Instant::now();
        let previous = Arc::clone(&publish.borrow());
        match reader.read(Some(&previous)).await {
            Ok(catalog) if catalog == *previous => {}
            Ok(catalog) => {
                tracing::info!(
                    kinds = catalog.resources.len(),
                    stale = catalog.stale.len(),
                    "what the API server serves has changed"
                );
                publish.send_replace(Arc::new(catalog));
            }
            Err(error) => {
                tracing::warn!(%error, "what the API server serves cannot be read; the last answer stays in force")
            }
        }
        if after_change {
            tell.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_change_it_is_read_soon_and_repeatedly_then_seldom() {
        let now = Instant::now();
        let mut schedule = Schedule {
            after_change: vec![Duration::ZERO, Duration::from_secs(1)],
            changed_at: now,
            done: 2,
        };
        let hour = Duration::from_secs(3600);
        assert_eq!(schedule.next(now, hour), now + hour);
        assert!(!schedule.is_after_change());
        let later = now + Duration::from_secs(5);
        schedule.changed(later);
        assert_eq!(schedule.next(later, hour), later);
        assert!(schedule.is_after_change());
        schedule.done += 1;
        assert_eq!(schedule.next(later, hour), later + Duration::from_secs(1));
        schedule.done += 1;
        assert_eq!(schedule.next(later, hour), later + hour);
        assert!(!schedule.is_after_change());
    }
}
