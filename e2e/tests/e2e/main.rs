//! Tests against the real control plane and servers.

mod chart;
mod demo;
mod harness;
mod hostile;
mod operator;
mod servers;
