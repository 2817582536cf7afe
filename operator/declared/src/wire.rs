//! What goes over the socket and into a job: JSON, one value a line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::request::{
    Blame, BlameRequest, DeepenRequest, FetchRequest, ListRequest, Listing, ReleaseRequest,
    RenderItem, RenderRequest, RenderSummary, Revision, WorkerInfo,
};

/// Bytes of one request: values and API lists are the big ones.
pub(crate) const REQUEST_BYTES: usize = 8 << 20;
/// Bytes of one reply: an object of etcd's limit, its line numbers and escapes.
pub(crate) const REPLY_BYTES: usize = 64 << 20;

/// One connection carries one of these.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    Ping,
    Fetch(FetchRequest),
    List(ListRequest),
    Render(RenderRequest),
    Release(ReleaseRequest),
    Deepen(DeepenRequest),
    Blame(BlameRequest),
}

/// One line of the answer. The last one is `Item`'s opposite: anything else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    Item(RenderItem),
    Listed(Listing),
    Rendered(RenderSummary),
    Fetched(Revision),
    Deepened,
    Blamed(Blame),
    Info(WorkerInfo),
    Failed(Error),
}

/// What the worker hands to a job: the request and where things are. Credentials are in it, so it goes through a pipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JobSpec {
    pub(crate) request: Request,
    /// The cache entry; the job sees no other. Empty for a ping and for a release, which need none.
    pub(crate) entry: PathBuf,
    /// The entry's name, for the answer.
    pub(crate) key: String,
    /// The job's own folder, removed after it.
    pub(crate) temp: PathBuf,
    pub(crate) kustomize: Option<PathBuf>,
    pub(crate) helm: Option<PathBuf>,
    /// Bytes of memory of a fetch, or of its history.
    pub(crate) fetch_memory_bytes: u64,
}
