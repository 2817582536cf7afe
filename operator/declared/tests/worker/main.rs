//! The worker from end to end: a real process, real Git servers, the real tools.

mod git;
mod hostile;
mod plain;
mod ssh;
mod support;
mod tls;
mod tools;
