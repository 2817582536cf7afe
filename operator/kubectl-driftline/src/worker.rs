//! The worker that fetches and renders, as a process of our own, with a folder that goes when we do.

use std::time::Duration;

use declared::{LocalOptions, LocalWorker, Worker, WorkerInfo};

use crate::failure::{Failure, Result};
use crate::options::Programs;

/// A worker that runs as long as this.
pub struct Local {
    // Dropped first: the folder is the worker's.
    local: LocalWorker,
    /// What it can do.
    pub info: WorkerInfo,
    folder: tempfile::TempDir,
}

impl Local {
    /// Starts it.
    ///
    /// # Errors
    /// Where no process or folder can be made.
    pub async fn start(programs: &Programs) -> Result<Self> {
        let broken =
            |what: String| Failure::new(what, "check that TMPDIR can be written and has room");
        let folder = tempfile::Builder::new()
            .prefix("kubectl-driftline-")
            .tempdir()
            .map_err(|e| broken(format!("no temporary folder can be made: {e}")))?;
        let cache = folder.path().join("cache");
        std::fs::create_dir_all(&cache)
            .map_err(|e| broken(format!("{} cannot be made: {e}", cache.display())))?;
        let socket = folder.path().join("worker.sock");
        let mut arguments = vec![
            "worker".into(),
            "--socket".into(),
            socket.clone().into(),
            "--cache".into(),
            cache.into(),
        ];
        for (flag, program) in [
            ("--kustomize", &programs.kustomize),
            ("--helm", &programs.helm),
        ] {
            if let Some(program) = program {
                arguments.extend([flag.into(), program.into()]);
            }
        }
        let program = std::env::current_exe()
            .map_err(|e| broken(format!("this program cannot find itself: {e}")))?;
        let local = LocalWorker::start(LocalOptions {
            program,
            arguments,
            socket,
            start_timeout: Duration::from_secs(30),
        })
        .await
        .map_err(|e| broken(e.to_string()))?;
        let info = local
            .worker()
            .ping()
            .await
            .map_err(|e| broken(e.to_string()))?;
        Ok(Self {
            local,
            info,
            folder,
        })
    }

    /// The handle to ask.
    pub fn worker(&self) -> Worker {
        self.local.worker()
    }

    /// A folder for what is only needed while it runs.
    pub fn scratch(&self) -> &std::path::Path {
        self.folder.path()
    }
}
