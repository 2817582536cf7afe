//! What Kubernetes says: discovery, schemas, watches, the compact index, the expected object, access reviews.

mod call;
pub mod discovery;
pub mod error;
pub mod index;
pub mod store;
pub mod trigger;
pub mod watch;

pub use error::{Category, Error, Result};
