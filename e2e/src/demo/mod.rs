//! The demo: an example application on a real control plane, watched by the operator while an engineer edits it by hand.
#![allow(clippy::print_stdout)]

mod observer;
mod revert;
mod story;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::git::{GitServer, GitServerOptions};
use crate::operator::{self, workspace};
use crate::processes;
use crate::{Cluster, Operator, OperatorOptions, Tools};

/// What can go wrong in the demo; only shown, never told apart.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long the Git server and the operator may take to start.
const START: Duration = Duration::from_secs(60);

/// The demo, in a directory that keeps what runs between its commands.
#[derive(Debug)]
pub struct Demo {
    directory: PathBuf,
}

/// What the background part says when it is ready.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Serving {
    pid: u32,
    /// The repository's URL.
    url: String,
    /// A working copy of it.
    work_tree: PathBuf,
    /// Where the operator serves health and metrics.
    operator: String,
    /// The file that it logs to.
    log: PathBuf,
}

impl Demo {
    /// The demo of this checkout, in `.driftline/demo`, or in another directory.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self {
            directory: directory.unwrap_or_else(|| workspace().join(".driftline/demo")),
        }
    }

    fn cluster(&self) -> Cluster {
        Cluster::in_directory(self.directory.join("cluster"))
    }

    /// Starts everything, tells the story, and leaves it running.
    ///
    /// # Errors
    /// If something does not start, or drift is not found.
    pub async fn up(&self) -> Result<(), Failure> {
        self.down_quietly()?;
        fs::create_dir_all(&self.directory)?;
        let tools = Tools::ensure().await?;
        let begun = Instant::now();
        println!(
            "==> Starting a real control plane: etcd, kube-apiserver, kube-controller-manager"
        );
        let cluster = self.cluster();
        let status = tokio::task::spawn_blocking(move || cluster.up()).await??;
        println!(
            "    ready after {:.1} s at {}",
            begun.elapsed().as_secs_f32(),
            status.endpoint
        );
        println!("==> Installing Driftline with helm, and starting a Git server and the operator");
        let serving = self.start_serving(&status.kubeconfig).await?;
        println!(
            "    {} holds examples/shop: plain YAML, a kustomize overlay and a Helm chart",
            serving.url
        );
        let found = story::tell(&tools, &status.kubeconfig, &serving).await?;
        story::end(&tools, &status.kubeconfig, &serving, &found);
        Ok(())
    }

    /// Ends everything that [`Demo::up`] left running.
    ///
    /// # Errors
    /// If it does not end.
    pub fn down(&self) -> Result<(), Failure> {
        let ran = self.down_quietly()?;
        println!(
            "{}",
            if ran {
                "The demo has ended; nothing of it is left running."
            } else {
                "No demo was running."
            }
        );
        Ok(())
    }

    fn down_quietly(&self) -> Result<bool, Failure> {
        let serve: [&OsStr; 3] = [
            "--directory".as_ref(),
            self.directory.as_ref(),
            "serve".as_ref(),
        ];
        let mut ran = processes::end(&serve)?;
        ran |= self.cluster().down()?;
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        Ok(ran)
    }

    /// What the background part that was started says once it is ready.
    fn serving(&self) -> Option<Serving> {
        serde_json::from_slice(&fs::read(self.directory.join("serving.json")).ok()?).ok()
    }

    async fn start_serving(&self, kubeconfig: &Path) -> Result<Serving, Failure> {
        let log = fs::File::create(self.directory.join("serve.log"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--directory")
            .arg(&self.directory)
            .arg("serve")
            .env("KUBECONFIG", kubeconfig)
            // Ctrl-C in this terminal is not meant for it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let deadline = Instant::now() + START;
        loop {
            if let Some(serving) = self.serving() {
                return Ok(serving);
            }
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let log = fs::read_to_string(self.directory.join("serve.log")).unwrap_or_default();
                return Err(format!("the Git server or the operator did not start: {log}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The background part: runs the Git server and the operator until SIGTERM.
    ///
    /// # Errors
    /// If one of them does not start.
    pub async fn serve(&self) -> Result<(), Failure> {
        let tools = Tools::ensure().await?;
        let kubeconfig = self
            .cluster()
            .status()
            .ok_or("the demo's control plane does not run")?
            .kubeconfig;
        let git = GitServer::start(GitServerOptions::default())?;
        let repository = git.create_repo("shop").await?;
        repository
            .commit_directory("Declare the shop", &workspace().join("examples/shop"))
            .await?;
        operator::install(&tools, &kubeconfig, &[]).await?;
        let operator =
            Operator::start_installed(&tools, &kubeconfig, OperatorOptions::default()).await?;
        let serving = Serving {
            pid: std::process::id(),
            url: git.url("shop"),
            work_tree: repository.work_tree().to_owned(),
            operator: operator.address().to_string(),
            log: operator.log_file().to_owned(),
        };
        let ready = self.directory.join("serving.json");
        let fresh = ready.with_extension("new");
        fs::write(&fresh, serde_json::to_vec_pretty(&serving)?)?;
        fs::rename(&fresh, &ready)?;
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        terminate.recv().await;
        drop((operator, git));
        Ok(())
    }
}
