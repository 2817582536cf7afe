//! Fetching: a commit and its objects into a bare repository of the cache.

mod auth;
mod fetch;
pub(crate) mod known_hosts;
mod refs;
pub(crate) mod url;

pub(crate) use auth::classify;
pub(crate) use fetch::{REPOSITORY, fetch, size};
