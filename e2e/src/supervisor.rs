//! The pipe to a supervisor process.
//!
//! Nothing here needs an async runtime: each test has one of its own, and a
//! control plane that several tests share must outlive all of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::error::{Error, IoContext, Result};

/// How long a supervisor may take to end what it runs.
const END: Duration = Duration::from_secs(15);

/// A running supervisor. It ends with everything that it started when this
/// value is dropped, and also when this process ends in whatever way, because
/// then its standard input is closed by the kernel.
#[derive(Debug)]
pub(crate) struct Supervisor {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Starts the supervisor with these arguments and waits for its first line.
    pub(crate) fn start<T: DeserializeOwned>(
        binaries: &Path,
        what: &str,
        arguments: impl IntoIterator<Item = String>,
        environment: &[(String, String)],
    ) -> Result<(Self, T)> {
        let program = binaries.join("supervisor");
        let mut child = Command::new(&program)
            .args(arguments)
            .envs(environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing("running", &program)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(no_pipes(what));
        };
        let mut supervisor = Self {
            child,
            stdin: Some(stdin),
            stdout: BufReader::new(stdout),
        };
        match supervisor.read(what) {
            Ok(first) => Ok((supervisor, first)),
            Err(error) => Err(supervisor.complaint(what).unwrap_or(error)),
        }
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        let stdin = self.stdin.as_mut().ok_or_else(|| no_pipes(command))?;
        writeln!(stdin, "{command}").doing("writing to", "the supervisor")?;
        self.read(command)
    }

    fn read<T: DeserializeOwned>(&mut self, what: &str) -> Result<T> {
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .doing("reading from", "the supervisor")?;
        serde_json::from_str(&line).map_err(|error| Error::Start {
            what: what.to_owned(),
            reason: format!("the supervisor answered {:?} ({error})", line.trim_end()),
        })
    }

    /// What a supervisor that ended had to say.
    fn complaint(&mut self, what: &str) -> Option<Error> {
        drop(self.stdin.take());
        let mut reason = String::new();
        self.child.stderr.take()?.read_to_string(&mut reason).ok()?;
        (!reason.trim().is_empty()).then(|| Error::Start {
            what: what.to_owned(),
            reason: reason.trim().to_owned(),
        })
    }
}

fn no_pipes(what: &str) -> Error {
    Error::Start {
        what: what.to_owned(),
        reason: "the pipes to its supervisor are closed".to_owned(),
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + END;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                // Its children end with it.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
