//! What the parts of the operator share.

use std::sync::Arc;

use cluster::access::Access;
use cluster::discovery::CatalogKeeper;
use cluster::index::Index;
use cluster::openapi::Schemas;
use cluster::watch::WatchOptions;
use declared::{Worker, WorkerInfo};
use kube::Client;
use tokio::sync::watch;

use crate::blame::Blames;
use crate::converge::Converging;
use crate::deliver::Delivering;
use crate::exceptions;
use crate::leader::LeaseClock;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::options::RunOptions;
use crate::pending::Pending;
use crate::preview::Previews;
use crate::registry::Registry;
use crate::sources::Sources;
use crate::turns::Turns;
use crate::undeclared::Beyond;
use crate::watches::Watches;
use crate::workloads::Workloads;

/// Everything that policies share.
pub struct Engine {
    /// For calls.
    pub client: Client,
    /// For watches.
    pub watch_client: Client,
    pub options: RunOptions,
    pub index: Arc<Index>,
    pub catalog: CatalogKeeper,
    pub schemas: Schemas,
    pub access: Access,
    pub worker: Worker,
    pub worker_info: WorkerInfo,
    pub sources: Sources,
    pub watches: Watches,
    pub watch_options: WatchOptions,
    pub registry: Registry,
    pub metrics: Arc<Metrics>,
    pub pending: Pending,
    /// Since when objects have been gone from Git that are still there.
    pub leaving: Pending,
    /// What is looked at for objects that nobody declares.
    pub beyond: Beyond,
    pub memory: Memory,
    /// What is or was put back.
    pub converging: Converging,
    /// What waits for its turn in a delivery.
    pub delivering: Delivering,
    /// What would be, at a higher rung.
    pub previews: Previews,
    /// What may differ for now.
    pub exceptions: exceptions::Known,
    /// Who wrote the lines that drifted.
    pub blames: Blames,
    /// Which workloads run as which service accounts.
    pub workloads: Workloads,
    /// Turns at rendering.
    pub renders: Turns,
    /// True while this replica leads.
    pub leading: watch::Receiver<bool>,
    /// When it last heard so.
    pub lease: LeaseClock,
}

impl Engine {
    /// True while this replica leads and has heard so lately: one that was stopped for a while and goes on does not know yet that
    /// another one leads.
    pub fn may_write(&self) -> bool {
        *self.leading.borrow() && self.lease.is_fresh()
    }
}
