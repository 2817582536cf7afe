//! What Kubernetes says: discovery, schemas, watches, the compact index, the expected object, access reviews.

pub mod access;
pub mod account;
pub mod apply;
mod call;
pub mod discovery;
pub mod dry_run;
pub mod error;
pub mod guard;
pub mod index;
mod installed;
pub mod list;
pub mod mutators;
pub mod openapi;
pub mod read;
pub mod release;
pub mod stamp;
pub mod store;
pub mod trigger;
pub mod watch;
pub mod workloads;
pub mod write;

pub use account::Account;
pub use error::{Category, Error, Result};
