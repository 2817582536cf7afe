//! The worker process: listens, queues, and starts one job a request.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::error::{Category, Error};
use crate::running::{Jobs, serve};

/// How long a request may wait for its turn.
pub(crate) const QUEUE_WAIT: Duration = Duration::from_secs(120);
/// Requests that wait or run at the same time; more are turned away as busy.
const CONNECTIONS: usize = 64;

/// How a worker runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOptions {
    /// The Unix socket to listen on.
    pub socket: PathBuf,
    /// The folder for repositories and jobs' own folders; this worker's alone.
    pub cache: PathBuf,
    /// The kustomize program; looked for on the `PATH` if not given.
    pub kustomize: Option<PathBuf>,
    /// The helm program; looked for on the `PATH` if not given.
    pub helm: Option<PathBuf>,
    /// Bytes kept of all repositories.
    pub cache_bytes: u64,
    /// Bytes of memory of one fetch.
    pub fetch_memory_bytes: u64,
    /// Renderings at the same time.
    pub renders: usize,
    /// Fetches at the same time.
    pub fetches: usize,
    /// The socket's mode: `0o600`, or `0o660` where operator and worker share a group only.
    pub socket_mode: u32,
    /// End when standard input ends: for a worker that must not outlive the program that started it.
    pub end_with_stdin: bool,
    /// The arguments that make this program a job (see [`crate::job_main`]).
    pub job_arguments: Vec<OsString>,
}

impl WorkerOptions {
    /// Options with the defaults: 2 GiB of cache, 1 GiB of memory a fetch, 2 renderings, 4 fetches.
    pub fn new(socket: impl Into<PathBuf>, cache: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            cache: cache.into(),
            kustomize: None,
            helm: None,
            cache_bytes: 2 << 30,
            fetch_memory_bytes: 1 << 30,
            renders: 2,
            fetches: 4,
            socket_mode: 0o600,
            end_with_stdin: false,
            job_arguments: vec!["worker-job".into()],
        }
    }
}

/// Runs a worker until SIGTERM or SIGINT (or the end of standard input, if asked). Blocks.
///
/// # Errors
/// `Worker` if the socket or the cache cannot be used.
pub fn worker_main(options: WorkerOptions) -> Result<(), Error> {
    // A thread of its own, because the caller may be inside a runtime; jobs end with the thread that started them.
    let thread = std::thread::Builder::new()
        .name("worker".into())
        .spawn(move || run(options));
    let broken = |what: &str| Error::new(Category::Worker, "the worker", what);
    thread
        .map_err(|e| broken(&format!("could not start: {e}")))?
        .join()
        .map_err(|_| broken("ended by a defect: see its log"))?
}

fn run(options: WorkerOptions) -> Result<(), Error> {
    let broken = |what: String| {
        Error::new(
            Category::Worker,
            format!("worker {}", options.socket.display()),
            what,
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| broken(format!("could not start: {e}")))?;
    let result = runtime.block_on(listen(&options));
    runtime.shutdown_background();
    let _ = fs::remove_file(&options.socket);
    result
}

async fn listen(options: &WorkerOptions) -> Result<(), Error> {
    let broken = |what: String| {
        Error::new(
            Category::Worker,
            format!("worker {}", options.socket.display()),
            what,
        )
    };
    // Nobody else reads what is written here: private repositories.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let cache = Cache::open(&options.cache.join("repositories"), options.cache_bytes)?;
    let _lock = lock(&options.cache)?;
    let temp = make_temp(&options.cache)?;
    let listener = bind(options).await?;
    let jobs = Arc::new(Jobs::new(
        cache,
        temp,
        find(options.kustomize.as_deref(), "kustomize"),
        find(options.helm.as_deref(), "helm"),
        options,
    ));
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|e| broken(format!("cannot listen to signals: {e}")))?;
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|e| broken(format!("cannot listen to signals: {e}")))?;
    let stdin = stdin_end(options.end_with_stdin);
    tokio::pin!(stdin);
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    tracing::info!(socket = %options.socket.display(), "worker listens");
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => start(stream, &jobs, &connections),
                Err(error) => {
                    // Out of file descriptors: they come back when jobs end.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = &mut stdin => return Ok(()),
        }
    }
}

fn start(stream: UnixStream, jobs: &Arc<Jobs>, connections: &Arc<Semaphore>) {
    let permit = Arc::clone(connections).try_acquire_owned().ok();
    let jobs = Arc::clone(jobs);
    tokio::spawn(async move { serve(stream, &jobs, permit).await });
}

/// Ends when standard input does; never if that was not asked for.
async fn stdin_end(asked: bool) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    if !asked {
        return std::future::pending().await;
    }
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = sender.send(());
    });
    let _ = receiver.await;
}

/// Keeps a second worker off the same cache: they would clear each other's folders.
fn lock(cache: &Path) -> Result<fs::File, Error> {
    let path = cache.join("lock");
    let broken = |what: String| Error::new(Category::Worker, path.display().to_string(), what);
    let file = fs::File::create(&path).map_err(|e| broken(format!("cannot be written: {e}")))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| broken("another worker uses this cache: give each its own".into()))?;
    Ok(file)
}

/// A fresh folder for jobs' folders; what a killed worker left is cleared.
fn make_temp(cache: &Path) -> Result<PathBuf, Error> {
    let temp = cache.join("jobs");
    if let Ok(temp) = temp.canonicalize() {
        end_leftovers(&temp);
    }
    let _ = fs::remove_dir_all(&temp);
    fs::create_dir_all(&temp)
        .and_then(|()| temp.canonicalize())
        .map_err(|e| {
            Error::new(
                Category::Worker,
                temp.display().to_string(),
                format!("cannot be written: {e}"),
            )
        })
}

/// A job dies with its worker, but not the renderer that it started. Whatever runs inside a job's folder while this
/// worker holds the lock is such a leftover.
fn end_leftovers(temp: &Path) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let inside =
            fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(temp));
        let pid = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw);
        if let (true, Some(pid)) = (inside, pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

async fn bind(options: &WorkerOptions) -> Result<UnixListener, Error> {
    let path = &options.socket;
    let broken = |what: String| Error::new(Category::Worker, path.display().to_string(), what);
    if UnixStream::connect(path).await.is_ok() {
        return Err(broken(
            "another worker listens here: give each its own socket".into(),
        ));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .map_err(|e| broken(format!("its folder cannot be made: {e}")))?;
    }
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(|e| broken(format!("cannot listen: {e}")))?;
    fs::set_permissions(path, fs::Permissions::from_mode(options.socket_mode))
        .map_err(|e| broken(format!("cannot set its mode: {e}")))?;
    Ok(listener)
}

/// A program by its path, or else on the `PATH`; with links resolved, because the sandbox names files.
fn find(given: Option<&Path>, name: &str) -> Option<PathBuf> {
    let executable = |path: &Path| {
        let path = path.canonicalize().ok()?;
        let meta = fs::metadata(&path).ok()?;
        (meta.is_file() && meta.permissions().mode() & 0o111 != 0).then_some(path)
    };
    let found = match given {
        Some(path) => executable(path),
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .find_map(|folder| executable(&folder.join(OsStr::new(name))))
        }
    };
    if found.is_none() {
        tracing::warn!(
            program = name,
            "not found: sources that need it will not render"
        );
    }
    found
}
