//! A worker as a child process: where there is no second container.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::client::Worker;
use crate::error::{Category, Error};

/// How to start a local worker.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The program to start, for example `/proc/self/exe`.
    pub program: PathBuf,
    /// Its arguments: a subcommand that calls [`crate::worker_main`] with this socket and
    /// `end_with_stdin` set.
    pub arguments: Vec<OsString>,
    /// The socket that it will listen on.
    pub socket: PathBuf,
    /// How long to wait for its first answer.
    pub start_timeout: Duration,
}

/// A worker that runs as long as this handle: started anew when it dies, ended when the handle is dropped or this
/// process dies.
#[derive(Debug)]
pub struct LocalWorker {
    worker: Worker,
    supervisor: JoinHandle<()>,
}

impl LocalWorker {
    /// Starts a worker and waits until it answers. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// `Worker` if the program cannot be started or does not answer in time.
    pub async fn start(options: LocalOptions) -> Result<Self, Error> {
        let worker = Worker::at(&options.socket);
        let deadline = Instant::now() + options.start_timeout;
        let child = spawn(&options)?;
        let (died, mut dead) = oneshot::channel();
        let shown = options.socket.display().to_string();
        let local = Self {
            worker: worker.clone(),
            supervisor: tokio::spawn(supervise(options, child, died)),
        };
        loop {
            let last = match worker.ping().await {
                Ok(_) => return Ok(local),
                Err(error) => error,
            };
            if dead.try_recv().is_ok() {
                return Err(Error::new(
                    Category::Worker,
                    shown,
                    "the worker ended as soon as it was started: see its log",
                ));
            }
            if Instant::now() > deadline {
                return Err(last);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The handle to ask.
    pub fn worker(&self) -> Worker {
        self.worker.clone()
    }
}

impl Drop for LocalWorker {
    fn drop(&mut self) {
        // The child is killed with the task that owns it.
        self.supervisor.abort();
    }
}

fn spawn(options: &LocalOptions) -> Result<Child, Error> {
    Command::new(&options.program)
        .args(&options.arguments)
        // Held open: its end tells the worker that this process is gone.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| {
            Error::new(
                Category::Worker,
                options.program.display().to_string(),
                format!("the worker could not be started: {e}"),
            )
        })
}

async fn supervise(options: LocalOptions, mut child: Child, died: oneshot::Sender<()>) {
    let mut died = Some(died);
    loop {
        // Waiting would close it, and its end tells the worker to end.
        let leash = child.stdin.take();
        let status = child.wait().await;
        drop(leash);
        if let Some(died) = died.take() {
            let _ = died.send(());
        }
        tracing::warn!(?status, "the worker ended and is started anew");
        child = loop {
            // Slow enough for a program that dies at once, fast enough for one that was killed.
            sleep(Duration::from_millis(250)).await;
            match spawn(&options) {
                Ok(child) => break child,
                Err(error) => tracing::error!(%error, "the worker cannot be started"),
            }
        };
    }
}
