//! What can go wrong while the surroundings of a test are set up.

use std::path::PathBuf;
use std::time::Duration;

/// The harness's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the harness could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Go tool chain, from which the control plane is built, is not there.
    #[error(
        "Go is needed to build {what} and could not be run; install Go 1.26 or newer (https://go.dev/dl) and put it into PATH"
    )]
    GoMissing {
        /// What was to be built.
        what: String,
        /// Why `go` could not be run.
        source: std::io::Error,
    },
    /// The Go build failed.
    #[error("building {what} failed ({status}); the whole output is in {log}; its end:\n{tail}")]
    Build {
        /// What was to be built.
        what: String,
        /// How `go` ended.
        status: std::process::ExitStatus,
        /// The file with everything that it printed.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A file, directory or pipe could not be used.
    #[error("{doing} {path}")]
    Io {
        /// What was tried, as a phrase that the path completes.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A process did not start, or ended early.
    #[error("{what} did not start: {reason}")]
    Start {
        /// The process.
        what: String,
        /// What it said.
        reason: String,
    },
    /// The supervisor refused a command.
    #[error("the control plane could not {command:?}: {reason}")]
    Command {
        /// The command.
        command: String,
        /// The supervisor's reason.
        reason: String,
    },
    /// The control plane in use is not ours to kill.
    #[error(
        "this test has to {operation}, and the cluster of KUBECONFIG is not ours to do that to; unset DRIFTLINE_E2E_USE_KUBECONFIG"
    )]
    NotPrivate {
        /// What the test wanted.
        operation: String,
    },
    /// A configured input cannot be used.
    #[error("{variable}={value}: {reason}")]
    Environment {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A kubeconfig could not be read or used.
    #[error("the kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The API server refused a request of the harness.
    #[error("{doing}")]
    Kube {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: Box<kube::Error>,
    },
    /// A tool ended with a failure.
    #[error("{command} ended with {status}; stderr:\n{stderr}")]
    Tool {
        /// The command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it printed as error.
        stderr: String,
    },
    /// Something took longer than its deadline.
    #[error("{doing} took longer than {after:?}")]
    Deadline {
        /// What was tried.
        doing: String,
        /// The deadline.
        after: Duration,
    },
    /// `sshd` is not installed.
    #[error("no sshd at {looked_at}; install it (Debian: apt-get install openssh-server)")]
    SshdMissing {
        /// Where it was looked for.
        looked_at: String,
    },
    /// The certificates of a server could not be made.
    #[error("making a server's certificate: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
}

/// Adds what was tried, and on what, to an I/O error.
pub(crate) trait IoContext<T> {
    /// Wraps the error as [`Error::Io`].
    fn doing(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn doing(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::Io {
            doing,
            path: path.into(),
            source,
        })
    }
}
