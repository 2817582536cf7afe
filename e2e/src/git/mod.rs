//! Git repositories, and a real smart-HTTP server in front of them.

mod backend;
mod repo;
mod server;
mod tls;

pub use repo::GitRepo;
pub use server::{Auth, Fault, GitServer, GitServerOptions, Request};
