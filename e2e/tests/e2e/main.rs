//! Tests against the real control plane and servers.

mod harness;
mod servers;
