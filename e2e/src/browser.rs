//! A real browser without a window, for pages that people would open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::tools::Invocation;

/// Names under which distributions install it, the small one first.
const PROGRAMS: [&str; 5] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Where it is: as `DRIFTLINE_BROWSER` says, or on the `PATH`.
///
/// # Errors
/// If there is none; says how to get it.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("DRIFTLINE_BROWSER") {
        return Ok(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found = PROGRAMS
        .iter()
        .flat_map(|name| folders.iter().map(move |f| f.join(name)))
        .find(|p| p.is_file());
    found.ok_or_else(|| Error::Start {
        what: "a browser".to_owned(),
        reason: "there is no Chromium on the PATH; on Debian: apt-get install chromium-headless-shell; or name one with DRIFTLINE_BROWSER".to_owned(),
    })
}

fn started(profile: &Path, width: u32) -> Result<Invocation> {
    let profile = format!("--user-data-dir={}", profile.display());
    Ok(Invocation::new(program()?)
        .env("HOME", profile.trim_start_matches("--user-data-dir="))
        .args([
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            // Tests run as root in containers, where the browser's own sandbox cannot be made; the page is ours.
            "--no-sandbox",
            "--hide-scrollbars",
            "--virtual-time-budget=3000",
            &profile,
            &format!("--window-size={width},2000"),
        ])
        .deadline(Duration::from_secs(60)))
}

/// The page as the browser understood it, after its scripts, had it any.
///
/// # Errors
/// If there is no browser, or it fails.
pub async fn dom(page: &Path, profile: &Path, more: &[&str]) -> Result<String> {
    let url = format!("file://{}", page.display());
    started(profile, 1200)?
        .args(more)
        .args(["--dump-dom", &url])
        .run()
        .await
}

/// A picture of the page, as PNG.
///
/// # Errors
/// As [`dom`].
pub async fn picture(page: &Path, profile: &Path, to: &Path, more: &[&str]) -> Result<()> {
    let url = format!("file://{}", page.display());
    started(profile, 1200)?
        .args(more)
        .args([&format!("--screenshot={}", to.display()), &url])
        .run()
        .await
        .map(|_| ())
}
