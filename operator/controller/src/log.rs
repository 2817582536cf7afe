//! Logs on standard error.

use tracing_subscriber::EnvFilter;

use crate::options::{LogFormat, LogOptions};

/// Starts logging; a filter that cannot be read is replaced by `info`, and that is said.
pub fn start(options: &LogOptions) {
    let (filter, bad) = match EnvFilter::try_new(&options.log_level) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    if let Some(error) = bad {
        tracing::warn!(%error, "--log-level is not a filter; using info");
    }
}
