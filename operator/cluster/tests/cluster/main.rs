//! What this crate relies on, against a real control plane.

// Helpers of tests are not `#[test]` functions, for which alone the workspace allows these.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod access;
mod discovery;
mod faults;
mod guard;
mod manifests;
mod openapi;
mod shapes;
mod support;
mod watch;
