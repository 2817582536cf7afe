//! What Git says: repositories fetched, trees read, manifests rendered, each object with the place it is declared.
//!
//! Nothing that comes from a repository is parsed in the operator's process. A **worker** ([`worker_main`]) listens on
//! a Unix socket and starts one short-lived, sandboxed process a request ([`job_main`]); the operator talks to it
//! through [`Worker`], and starts one of its own with [`LocalWorker`] where there is no second container.
//!
//! Credentials travel over the socket and a pipe only. Errors name the source and the remedy, never a value.

mod cache;
mod client;
mod error;
mod git;
mod job;
mod local;
mod render;
mod request;
mod running;
mod sandbox;
mod wire;
mod worker;

pub use client::Worker;
pub use error::{Category, Error};
pub use job::job_main;
pub use local::{LocalOptions, LocalWorker};
pub use request::{
    Blame, BlameLimits, BlameRequest, Credentials, DeepenRequest, FetchLimits, FetchRequest,
    HelmOptions, LineAt, LineOrigin, ListRequest, Listing, Reference, ReleaseRequest, RenderItem,
    RenderLimits, RenderRequest, RenderSummary, Renderer, RepositoryKey, Revision, WorkerInfo,
    inputs_digest,
};
pub use worker::{WorkerOptions, worker_main};
