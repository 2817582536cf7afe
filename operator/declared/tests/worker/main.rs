//! The worker from end to end: a real process, real Git servers, the real tools.

// The lints' exception for tests does not reach helpers of tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod blame;
mod git;
mod hostile;
mod plain;
mod ssh;
mod support;
mod tls;
mod tools;
