//! Running kustomize and helm: with nothing but their arguments, and a limit on what they say.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::error::{Category, Error};

/// Bytes of a tool's complaints that are looked at.
const COMPLAINT_BYTES: u64 = 64 << 10;

/// What a tool said.
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) success: bool,
}

/// Runs a program to its end inside this job's sandbox; deadline and process group are the worker's affair.
///
/// # Errors
/// `Render` if it cannot be started, `Limit` if it says more than `output_bytes`.
pub(crate) fn run_tool(
    program: &Path,
    arguments: impl IntoIterator<Item = OsString>,
    temp: &Path,
    memory_bytes: u64,
    output_bytes: u64,
) -> Result<Output, Error> {
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let broken = |e: std::io::Error| {
        Error::new(
            Category::Render,
            name.clone(),
            format!("could not be run ({e}): check the worker's image"),
        )
    };
    let mut child = command(program, temp, memory_bytes)
        .args(arguments)
        .spawn()
        .map_err(broken)?;
    let complaints = child
        .stderr
        .take()
        .map(|pipe| thread::spawn(move || read(pipe, COMPLAINT_BYTES)));
    let stdout = child
        .stdout
        .take()
        .map(|pipe| read(pipe, output_bytes + 1))
        .unwrap_or_default();
    if stdout.len() as u64 > output_bytes {
        let _ = child.kill();
        let _ = child.wait();
        let what = format!(
            "its output is larger than the limit of {} MiB: raise it or split the target",
            output_bytes >> 20
        );
        return Err(Error::new(Category::Limit, name, what));
    }
    let status = child.wait().map_err(broken)?;
    let stderr = complaints
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default();
    Ok(Output {
        stdout,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        success: status.success(),
    })
}

fn command(program: &Path, temp: &Path, memory_bytes: u64) -> Command {
    let home = temp.join("home");
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", &home)
        .env("TMPDIR", temp)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("HELM_PLUGINS", home.join("no-plugins"))
        // An empty PATH: no git, no shell, no plugin is found by name.
        .env("PATH", "")
        // Go collects harder as it nears the hard limit instead of running into it.
        .env("GOMEMLIMIT", format!("{}B", memory_bytes / 10 * 8))
        .current_dir(temp)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Reads up to a limit and lets the rest run into a closed pipe, if there is any.
fn read(pipe: impl Read, limit: u64) -> Vec<u8> {
    let mut text = Vec::new();
    // What came before an error counts; the exit status tells the rest.
    let _ = pipe.take(limit).read_to_end(&mut text);
    text
}
