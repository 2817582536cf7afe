//! Flags, and the environment variables that stand for them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

/// Shows what runs and is not what Git says.
#[derive(Debug, Parser)]
#[command(name = "driftline", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator, in a cluster or with the current kubeconfig.
    Run(Box<RunOptions>),
    /// Run a worker that fetches and renders for an operator.
    Worker(WorkerOptions),
    /// One job of a worker; started by it.
    #[command(hide = true)]
    WorkerJob,
}

#[derive(Debug, Args)]
pub struct LogOptions {
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "DRIFTLINE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,cluster=debug.
    #[arg(long, default_value = "info", env = "DRIFTLINE_LOG_LEVEL")]
    pub log_level: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub struct RunOptions {
    /// The operator's own namespace: its lease is there, and policies there may leave out serviceAccountName.
    #[arg(long, env = "POD_NAMESPACE", default_value = "driftline-system")]
    pub namespace: String,
    /// This replica's name in the lease. Default: the host's name and the process id.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
    /// The socket of the worker. Without it the operator starts a worker of its own.
    #[arg(long)]
    pub worker_socket: Option<PathBuf>,
    /// The folder of the operator's own worker; default: a new one among the temporary files.
    #[arg(long, conflicts_with = "worker_socket")]
    pub worker_cache: Option<PathBuf>,
    /// The kustomize program of the operator's own worker; looked for on the PATH if not given.
    #[arg(long, conflicts_with = "worker_socket")]
    pub kustomize: Option<PathBuf>,
    /// The helm program of the operator's own worker; looked for on the PATH if not given.
    #[arg(long, conflicts_with = "worker_socket")]
    pub helm: Option<PathBuf>,
    /// The account that stands in for policies of the operator's namespace without serviceAccountName.
    #[arg(long, default_value = "driftline-reader")]
    pub reader_account: String,
    /// The account that asks for expected objects by dry-run creations and can do nothing else.
    #[arg(long, default_value = "driftline-dry-run")]
    pub dry_run_account: String,
    /// The operator's own account; no policy may name it.
    #[arg(long, default_value = "driftline")]
    pub operator_account: String,
    /// The admission policy, and its binding, that keep the dry-run account to dry runs.
    #[arg(long, default_value = "driftline-dry-run-only")]
    pub guard_policy: String,
    /// The admission policy, and its binding, that stamp objects with who wrote them. Without it no stamp is believed.
    #[arg(long)]
    pub stamp_policy: Option<String>,
    /// How long an exception may last at most, from its creation, for example 720h.
    #[arg(long, default_value = "720h", value_parser = length)]
    pub longest_exception: SignedDuration,
    /// Heed driftline.dev/hold-until on live objects: where an admission policy lets only those write it who may.
    #[arg(long)]
    pub heed_holds: bool,
    /// How far ahead a live object's driftline.dev/hold-until may lie at most to be heeded, for example 72h.
    #[arg(long, default_value = "72h", value_parser = length)]
    pub longest_hold: SignedDuration,
    /// The lease by which replicas agree on the one that writes.
    #[arg(long, default_value = "driftline")]
    pub lease_name: String,
    /// Where health and metrics are served.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Compare live Secrets too (by digest; values are never shown). Needs rights on Secrets.
    #[arg(long)]
    pub compare_secrets: bool,
    /// Accept file:// URLs in policies: for tests and demonstrations only.
    #[arg(long)]
    pub allow_file_urls: bool,
    #[command(flatten)]
    pub log: LogOptions,
}

#[derive(Debug, Args)]
pub struct WorkerOptions {
    /// The Unix socket to listen on.
    #[arg(long)]
    pub socket: PathBuf,
    /// The folder for repositories and jobs; this worker's alone.
    #[arg(long)]
    pub cache: PathBuf,
    /// The kustomize program; looked for on the PATH if not given.
    #[arg(long)]
    pub kustomize: Option<PathBuf>,
    /// The helm program; looked for on the PATH if not given.
    #[arg(long)]
    pub helm: Option<PathBuf>,
    /// The most bytes kept of all repositories.
    #[arg(long, default_value_t = 2 << 30)]
    pub cache_bytes: u64,
    /// The socket's mode, octal: 600, or 660 where operator and worker share a group.
    #[arg(long, default_value = "600", value_parser = octal)]
    pub socket_mode: u32,
    /// End when standard input ends.
    #[arg(long, hide = true)]
    pub end_with_stdin: bool,
    #[command(flatten)]
    pub log: LogOptions,
}

fn length(text: &str) -> Result<SignedDuration, String> {
    let nanos = drift::quantity::parse_duration(text).and_then(|n| i64::try_from(n).ok());
    nanos
        .filter(|n| *n > 0)
        .map(SignedDuration::from_nanos)
        .ok_or_else(|| "a duration such as 72h".to_owned())
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode @ (0o600 | 0o660)) => Ok(mode),
        _ => Err("600 or 660".to_owned()),
    }
}

/// Renderings at the same time; one fewer for the policies of one namespace, so that no team keeps the others waiting.
pub const RENDERS: usize = 3;

impl From<WorkerOptions> for declared::WorkerOptions {
    fn from(options: WorkerOptions) -> Self {
        let mut worker = Self::new(options.socket, options.cache);
        worker.kustomize = options.kustomize;
        worker.helm = options.helm;
        worker.renders = RENDERS;
        worker.cache_bytes = options.cache_bytes;
        worker.socket_mode = options.socket_mode;
        worker.end_with_stdin = options.end_with_stdin;
        worker
    }
}
