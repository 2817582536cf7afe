//! kubectl, helm, kustomize and git as subprocesses.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cache::{CONTROL_PLANE, TOOLS};
use crate::control_plane::{binaries, blocking};
use crate::error::{Error, IoContext, Result};

/// A tool that hangs fails its test after this time.
const DEADLINE: Duration = Duration::from_secs(120);

/// The real command line tools, built once like the control plane.
#[derive(Debug, Clone)]
pub struct Tools {
    /// kubectl, of the control plane's version.
    pub kubectl: PathBuf,
    /// Helm 4.
    pub helm: PathBuf,
    /// kustomize.
    pub kustomize: PathBuf,
}

impl Tools {
    /// Builds what is not there yet.
    ///
    /// # Errors
    /// If Go is missing or a build fails.
    pub async fn ensure() -> Result<Self> {
        blocking("building the tools", Self::ensure_blocking).await
    }

    /// [`Tools::ensure`] for callers without an async runtime.
    ///
    /// # Errors
    /// As there.
    pub fn ensure_blocking() -> Result<Self> {
        // The assets of envtest bring their kubectl; others may not.
        let mut kubectl = binaries()?.join("kubectl");
        if !kubectl.exists() {
            kubectl = CONTROL_PLANE.ensure()?.join("kubectl");
        }
        let tools = TOOLS.ensure()?;
        Ok(Self {
            kubectl,
            helm: tools.join("helm"),
            kustomize: tools.join("kustomize"),
        })
    }

    /// A `PATH` in which the tools come first.
    #[must_use]
    pub fn path_variable(&self) -> OsString {
        let mut directories: Vec<PathBuf> = [&self.kubectl, &self.helm, &self.kustomize]
            .into_iter()
            .filter_map(|tool| tool.parent().map(Path::to_owned))
            .collect();
        directories.dedup();
        if let Some(path) = std::env::var_os("PATH") {
            directories.extend(std::env::split_paths(&path));
        }
        // Only a directory with a colon in its name cannot be joined.
        std::env::join_paths(directories).unwrap_or_default()
    }

    /// `kubectl` against the cluster of this kubeconfig.
    #[must_use]
    pub fn kubectl(&self, kubeconfig: &Path) -> Invocation {
        Invocation::new(&self.kubectl).kubeconfig(kubeconfig)
    }

    /// `helm` against the cluster of this kubeconfig.
    #[must_use]
    pub fn helm(&self, kubeconfig: &Path) -> Invocation {
        Invocation::new(&self.helm).kubeconfig(kubeconfig)
    }

    /// `kustomize`.
    #[must_use]
    pub fn kustomize(&self) -> Invocation {
        Invocation::new(&self.kustomize)
    }

    /// Runs a program with the tools in its `PATH`.
    ///
    /// # Errors
    /// As [`Invocation::run`].
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
        stdin: Option<&str>,
    ) -> Result<String> {
        let mut invocation = Invocation::new(program)
            .env("PATH", self.path_variable())
            .args(arguments);
        if let Some(text) = stdin {
            invocation = invocation.stdin(text);
        }
        invocation.run().await
    }
}

/// One run of a program that ends by itself.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    stdin: Option<Vec<u8>>,
    deadline: Duration,
}

impl Invocation {
    /// A run of this program.
    #[must_use]
    pub fn new(program: impl AsRef<Path>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.kill_on_drop(true);
        Self {
            command,
            stdin: None,
            deadline: DEADLINE,
        }
    }

    /// Makes kubectl or helm talk to the cluster of this kubeconfig, and keeps
    /// their caches beside it: they go by host and port, and another test's
    /// cluster may have had the same ones.
    #[must_use]
    pub fn kubeconfig(self, kubeconfig: &Path) -> Self {
        let mut caches = kubeconfig.as_os_str().to_owned();
        caches.push(".cache");
        let caches = PathBuf::from(caches);
        self.env("KUBECONFIG", kubeconfig)
            .env("KUBECACHEDIR", caches.join("kube"))
            .env("KUBERC", "off")
            .env("HELM_CACHE_HOME", caches.join("helm"))
            .env("HELM_CONFIG_HOME", caches.join("helm"))
            .env("HELM_DATA_HOME", caches.join("helm"))
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the directory to run in.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Gives the program this text to read.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// Sets the time after which the program is killed, two minutes by default.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// [`Error::Tool`] with its stderr if it ends with a failure.
    pub async fn run(self) -> Result<String> {
        let command = self.line();
        let output = self.output().await?;
        if !output.status.success() {
            return Err(Error::Tool {
                command,
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it and returns what it printed and how it ended, also after a failure.
    ///
    /// # Errors
    /// If it cannot be run or takes too long.
    pub async fn output(mut self) -> Result<Output> {
        let doing = self.line();
        let program = PathBuf::from(self.command.as_std().get_program());
        let stdin = match self.stdin {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing("running", &program)?;
        let input = child.stdin.take().zip(self.stdin);
        // Writing and reading go together: a program may answer before it has
        // read everything, and it may not read at all.
        let feed = async {
            if let Some((mut pipe, text)) = input {
                let _ = pipe.write_all(&text).await;
            }
        };
        let run = async { tokio::join!(child.wait_with_output(), feed).0 };
        match tokio::time::timeout(self.deadline, run).await {
            Ok(output) => output.doing("running", &program),
            Err(_) => Err(Error::Deadline {
                doing,
                after: self.deadline,
            }),
        }
    }

    fn line(&self) -> String {
        let command = self.command.as_std();
        std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(OsStr::to_string_lossy)
            .collect::<Vec<_>>()
            .join(" ")
    }
}
