//! Programs that must not outlive the tests which started them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cache::SUPERVISOR;
use crate::control_plane::blocking;
use crate::error::Result;
use crate::supervisor::Supervisor;

/// A running program, such as the operator or sshd. It and its process group
/// are killed when this value is dropped, and also when this process crashes.
#[derive(Debug)]
pub struct Leash {
    pid: u32,
    log: PathBuf,
    // Ends the program when dropped.
    _supervisor: Supervisor,
}

#[derive(Deserialize)]
struct Started {
    pid: u32,
}

impl Leash {
    /// Starts a program whose output goes to the end of the file `log`.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub async fn start<A: AsRef<OsStr>>(
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (String, String)>,
        log: impl Into<PathBuf>,
    ) -> Result<Self> {
        let log = log.into();
        let program = program.as_ref().to_string_lossy().into_owned();
        let mut line = vec![
            "leash".to_owned(),
            "--log".to_owned(),
            log.display().to_string(),
            "--".to_owned(),
            program.clone(),
        ];
        line.extend(
            arguments
                .into_iter()
                .map(|a| a.as_ref().to_string_lossy().into_owned()),
        );
        let environment: Vec<_> = environment.into_iter().collect();
        blocking("starting a program", move || {
            let (supervisor, started) =
                Supervisor::start::<Started>(&SUPERVISOR.ensure()?, &program, line, &environment)?;
            Ok(Self {
                pid: started.pid,
                log,
                _supervisor: supervisor,
            })
        })
        .await
    }

    /// The program's process, to send signals to.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The file to which the program prints.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// What the program has printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Whether the program still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        // A zombie has ended: its parent, the supervisor, has yet to read how.
        fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .is_ok_and(|stat| !stat.rsplit(") ").next().is_some_and(|s| s.starts_with('Z')))
    }
}
