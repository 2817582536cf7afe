//! The control plane of `make cluster`, which outlives the command that starts it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cache::SUPERVISOR;
use crate::control_plane::{Announcement, binaries};
use crate::error::{Error, IoContext, Result};
use crate::processes;

const START: Duration = Duration::from_secs(180);

/// A control plane that runs until it is told to end, in a directory that says
/// whether it does.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
}

/// What there is to know about a running [`Cluster`].
#[derive(Debug, Clone)]
pub struct Status {
    /// The kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// The API server's address.
    pub endpoint: String,
    /// The process to end.
    pub supervisor: u32,
    /// The components' processes when they were started.
    pub pids: Vec<(String, u32)>,
}

impl Cluster {
    /// The cluster of this checkout, in `.driftline/cluster`.
    #[must_use]
    pub fn of_workspace() -> Self {
        let e2e = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self::in_directory(e2e.parent().unwrap_or(e2e).join(".driftline/cluster"))
    }

    /// A cluster in this directory, which its end removes.
    #[must_use]
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The running cluster, if it runs.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let text = fs::read(self.directory.join("ready.json")).ok()?;
        let announcement: Announcement = serde_json::from_slice(&text).ok()?;
        // The number may belong to another process by now, so its command line decides.
        let line = fs::read(format!("/proc/{}/cmdline", announcement.supervisor)).ok()?;
        let line = String::from_utf8_lossy(&line);
        line.contains(&*self.directory.to_string_lossy())
            .then(|| Status {
                kubeconfig: announcement.kubeconfig,
                endpoint: announcement.endpoint,
                supervisor: announcement.supervisor,
                pids: announcement.pids.into_iter().collect(),
            })
    }

    /// Starts the cluster if it does not run, and waits until it is ready.
    ///
    /// # Errors
    /// If the binaries cannot be built, or it does not get ready.
    pub fn up(&self) -> Result<Status> {
        if let Some(running) = self.status() {
            return Ok(running);
        }
        let supervisor = SUPERVISOR.ensure()?.join("supervisor");
        let binaries = binaries()?;
        self.clear()?;
        let parent = self.directory.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).doing("creating", parent)?;
        let log_file = self.directory.with_extension("log");
        let log = fs::File::create(&log_file).doing("creating", &log_file)?;
        let mut child = Command::new(&supervisor)
            .arg("--detached")
            .arg(self.data())
            .arg(format!("--binaries={}", binaries.display()))
            // Ctrl-C in this terminal is not meant for it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .doing("running", &supervisor)?;
        let deadline = Instant::now() + START;
        loop {
            if let Some(running) = self.status() {
                return Ok(running);
            }
            let ended = child.try_wait().doing("waiting for", &supervisor)?;
            if ended.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                return Err(Error::Start {
                    what: "the cluster".to_owned(),
                    reason: fs::read_to_string(&log_file).unwrap_or_default(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the cluster and removes its directory. Says whether it ran.
    ///
    /// # Errors
    /// If it does not end.
    pub fn down(&self) -> Result<bool> {
        // It may be about to start, and not have said anything yet.
        let ran = processes::end(&["--detached".as_ref(), self.data().as_ref()])?;
        self.clear()?;
        Ok(ran)
    }

    /// The argument by which its supervisor is known.
    fn data(&self) -> String {
        format!("--data={}", self.directory.display())
    }

    /// Removes what a cluster that was killed left behind.
    fn clear(&self) -> Result<()> {
        if !self.directory.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&self.directory).doing("removing what is left in", &self.directory)
    }
}
