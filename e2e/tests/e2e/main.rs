//! Tests against the real control plane and servers.
// Helpers of tests are not seen as tests by the lints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chart;
mod cli;
mod coexist;
mod container;
mod demo;
mod differential;
mod docs;
mod harness;
mod hostile;
mod operator;
mod servers;
