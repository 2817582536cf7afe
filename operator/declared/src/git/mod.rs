//! Repositories: a commit and its objects fetched into the cache, and who wrote which line.

mod auth;
mod blame;
mod fetch;
pub(crate) mod known_hosts;
mod refs;
pub(crate) mod url;

pub(crate) use auth::classify;
pub(crate) use blame::blame;
pub(crate) use fetch::{REPOSITORY, deepen, fetch, size};
