//! Logs on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::options::{LogFormat, LogOptions};

/// Starts logging; a filter that cannot be read is replaced by `info`, and that is said.
pub fn start(options: &LogOptions) {
    let (filter, bad) = match EnvFilter::try_new(directives(&options.log_level)) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(directives("info")), Some(error)),
    };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Text => builder.with_target(false).with_ansi(colour).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    if let Some(error) = bad {
        tracing::warn!(%error, "--log-level is not a filter; using info");
    }
}

/// The client library logs an error for each answer of 500 and above, without saying of what; whoever asked does say so.
fn directives(level: &str) -> String {
    const NAMELESS: &str = "kube_client::client::builder=off";
    if level.contains("kube_client") {
        level.to_owned()
    } else {
        format!("{NAMELESS},{level}")
    }
}
