//! Tests against the real control plane and servers.

mod chart;
mod harness;
mod servers;
