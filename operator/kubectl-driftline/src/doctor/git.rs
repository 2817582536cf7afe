//! Whether a repository is reached from here, by the code that audits use.

use super::report::{Finding, Level};
use crate::audit::source::{self, NamedBy};
use crate::options::{DoctorOptions, Programs, SourceOptions};
use crate::worker::Local;

const CHECK: &str = "git";

/// A URL without what opens it.
pub fn shown(url: &str) -> String {
    source::without_credentials(url)
}

/// Asks the repository for its head.
pub async fn check(url: &str, options: &DoctorOptions) -> Finding {
    let local = match Local::start(&Programs::default()).await {
        Ok(local) => local,
        Err(failure) => return Finding::bad(CHECK, Level::Unknown, failure.what(), failure.next()),
    };
    let source = SourceOptions {
        ssh_key: options.ssh_key.clone(),
        git_ca: options.git_ca.clone(),
        ..SourceOptions::default()
    };
    match source::reach(&local, url, &source, NamedBy::User).await {
        Ok(head) => Finding::ok(
            CHECK,
            format!("{} is reached from here, its head is {head}", shown(url)),
        ),
        Err(failure) => Finding::bad(
            CHECK,
            Level::Failure,
            failure.what(),
            format!(
                "{}; with Git itself: `git ls-remote {} HEAD`",
                failure.next(),
                shown(url)
            ),
        ),
    }
}
