//! Git repositories, and a real smart-HTTP server in front of them.

mod backend;
mod repo;
mod server;

pub use repo::GitRepo;
pub use server::{Auth, Fault, GitServer, GitServerOptions, Request};
