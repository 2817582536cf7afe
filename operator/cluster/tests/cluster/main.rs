//! What this crate relies on, against a real control plane.

mod access;
mod discovery;
mod faults;
mod guard;
mod manifests;
mod openapi;
mod support;
mod watch;
