//! One request from its first byte to its last: queue, process, answer, end.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::cache::{Cache, Entry};
use crate::error::{Category, Error};
use crate::request::{BlameRequest, DeepenRequest, RepositoryKey, WorkerInfo};
use crate::wire::{JobSpec, REPLY_BYTES, REQUEST_BYTES, Reply, Request};
use crate::worker::{QUEUE_WAIT, WorkerOptions};

/// What of the worker's environment a fetch sees: how to reach the network and whom to trust there.
const NETWORK_ENV: [&str; 8] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Everything that requests share.
pub(crate) struct Jobs {
    cache: Cache,
    temp: PathBuf,
    kustomize: Option<PathBuf>,
    helm: Option<PathBuf>,
    arguments: Vec<OsString>,
    fetch_memory_bytes: u64,
    renders: Semaphore,
    fetches: Semaphore,
    /// One at a time: nobody waits for who wrote a line, and no rendering for it.
    blames: Semaphore,
    info: Mutex<Option<WorkerInfo>>,
}

impl Jobs {
    pub(crate) fn new(
        cache: Cache,
        temp: PathBuf,
        kustomize: Option<PathBuf>,
        helm: Option<PathBuf>,
        options: &WorkerOptions,
    ) -> Self {
        Self {
            cache,
            temp,
            kustomize,
            helm,
            arguments: options.job_arguments.clone(),
            fetch_memory_bytes: options.fetch_memory_bytes,
            renders: Semaphore::new(options.renders.max(1)),
            fetches: Semaphore::new(options.fetches.max(1)),
            blames: Semaphore::new(1),
            info: Mutex::new(None),
        }
    }
}

/// Answers one connection. Without a permit it is turned away.
pub(crate) async fn serve(stream: UnixStream, jobs: &Jobs, permit: Option<OwnedSemaphorePermit>) {
    let (reader, mut writer) = stream.into_split();
    let answer = async {
        let (request, mut reader) = timeout(Duration::from_secs(30), read_request(reader))
            .await
            .unwrap_or_else(|_| Err(worker_error("the request did not arrive in time")))?;
        if permit.is_none() {
            return Err(worker_error(
                "the worker is busy with too many requests: it is asked again later",
            ));
        }
        tokio::select! {
            reply = answer(request, jobs, &mut writer) => reply,
            // The client never sends a second line: whatever comes here means that it is gone, and its job with it.
            _ = reader.read_u8() => Err(worker_error("the client hung up")),
        }
    };
    let reply = answer.await.unwrap_or_else(Reply::Failed);
    if let Ok(mut line) = serde_json::to_vec(&reply) {
        line.push(b'\n');
        // Nobody is left to be told.
        let _ = writer.write_all(&line).await;
    }
}

fn worker_error(what: &str) -> Error {
    Error::new(Category::Worker, "the worker", what)
}

async fn read_request(reader: OwnedReadHalf) -> Result<(Request, BufReader<OwnedReadHalf>), Error> {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    let read = (&mut reader)
        .take(REQUEST_BYTES as u64)
        .read_until(b'\n', &mut line)
        .await;
    if read.is_err() || line.last() != Some(&b'\n') {
        return Err(worker_error("the request is not a line, or too long"));
    }
    // No detail: serde_json would quote the request, and there are credentials in it.
    let request = serde_json::from_slice(&line).map_err(|_| {
        worker_error("the request makes no sense: run the same version of operator and worker")
    })?;
    Ok((request, reader))
}

/// A request with what it holds while it runs.
struct Prepared<'a> {
    request: Request,
    key: String,
    at: String,
    timeout: Duration,
    output_bytes: u64,
    turn: &'a Semaphore,
    entry: Option<Arc<Entry>>,
}

async fn answer(
    request: Request,
    jobs: &Jobs,
    writer: &mut OwnedWriteHalf,
) -> Result<Reply, Error> {
    if matches!(request, Request::Ping) {
        return ping(jobs, writer).await;
    }
    let prepared = prepare(request, jobs)?;
    let is_fetch = matches!(prepared.request, Request::Fetch(_) | Request::Deepen(_));
    let reply = in_turn(&prepared, jobs, writer).await;
    if is_fetch {
        jobs.cache.evict();
    }
    if let Err(Error::Corrupt { .. }) | Ok(Reply::Failed(Error::Corrupt { .. })) = &reply {
        jobs.cache.discard(&prepared.key);
    }
    reply
}

/// What the worker can do does not change while it runs.
async fn ping(jobs: &Jobs, writer: &mut OwnedWriteHalf) -> Result<Reply, Error> {
    let mut info = jobs.info.lock().await;
    if let Some(info) = &*info {
        return Ok(Reply::Info(info.clone()));
    }
    let prepared = Prepared {
        request: Request::Ping,
        key: String::new(),
        at: "the worker".into(),
        timeout: Duration::from_secs(30),
        output_bytes: 1 << 20,
        turn: &jobs.renders,
        entry: None,
    };
    let reply = in_turn(&prepared, jobs, writer).await?;
    if let Reply::Info(found) = &reply {
        for missing in found.missing() {
            tracing::warn!("this kernel lacks {missing}");
        }
        *info = Some(found.clone());
    }
    Ok(reply)
}

fn prepare(request: Request, jobs: &Jobs) -> Result<Prepared<'_>, Error> {
    let (key, at, timeout, output_bytes, turn) = match &request {
        Request::Fetch(fetch) | Request::Deepen(DeepenRequest { fetch, .. }) => {
            let url = crate::git::url::GitUrl::parse(&fetch.url, fetch.allow_file)?;
            (
                jobs.cache.key(fetch)?,
                url.shown().to_owned(),
                fetch.timeout,
                1 << 20,
                &jobs.fetches,
            )
        }
        Request::Blame(blame) => {
            check_key(&blame.repository)?;
            if blame.lines.len() > BlameRequest::MOST {
                return Err(worker_error(
                    "more lines are asked about than one request may",
                ));
            }
            (
                blame.repository.0.clone(),
                format!("commit {}", crate::error::one_line(&blame.commit, 40)),
                // The job itself gives up a little earlier and says what it knows.
                blame.limits.timeout + Duration::from_secs(5),
                1 << 20,
                &jobs.blames,
            )
        }
        Request::Render(render) => {
            check_key(&render.repository)?;
            let at = format!(
                "path `{}` at {}",
                crate::error::one_line(&render.path, 200),
                crate::error::one_line(&render.commit, 40)
            );
            (
                render.repository.0.clone(),
                at,
                render.limits.timeout,
                rendered_bytes(render.limits.output_bytes),
                &jobs.renders,
            )
        }
        Request::List(list) => {
            check_key(&list.repository)?;
            (
                list.repository.0.clone(),
                format!("commit {}", crate::error::one_line(&list.commit, 40)),
                list.limits.timeout,
                rendered_bytes(list.limits.output_bytes),
                &jobs.renders,
            )
        }
        Request::Release(release) => (
            String::new(),
            format!("{release:?}"),
            release.limits.timeout,
            rendered_bytes(release.limits.output_bytes),
            &jobs.renders,
        ),
        Request::Ping => return Err(worker_error("a ping needs no preparation")),
    };
    let entry = (!key.is_empty()).then(|| jobs.cache.hold(&key));
    Ok(Prepared {
        request,
        key,
        at,
        timeout,
        output_bytes,
        turn,
        entry,
    })
}

/// The job keeps the exact limit on what it renders; lines and escapes come on top.
fn rendered_bytes(limit: u64) -> u64 {
    limit.saturating_mul(8).saturating_add(64 << 20)
}

fn check_key(key: &RepositoryKey) -> Result<(), Error> {
    if key.is_valid() {
        return Ok(());
    }
    Err(Error::new(
        Category::Input,
        "the repository key",
        "is not one that this worker made: fetch first",
    ))
}

async fn in_turn(
    prepared: &Prepared<'_>,
    jobs: &Jobs,
    writer: &mut OwnedWriteHalf,
) -> Result<Reply, Error> {
    let queue = async {
        // One fetch of a repository at a time; whoever waits for it keeps nobody else from their turn.
        let alone = match (&prepared.request, &prepared.entry) {
            (Request::Fetch(_), Some(entry)) => Some(entry.fetching.lock().await),
            (Request::Deepen(_), Some(entry)) => Some(entry.deepening.lock().await),
            _ => None,
        };
        (alone, prepared.turn.acquire().await)
    };
    let busy = |_| {
        Error::new(
            Category::Worker,
            prepared.at.clone(),
            "waited too long for its turn: the worker is busy",
        )
    };
    let _turn = timeout(QUEUE_WAIT, queue).await.map_err(busy)?;
    let job = run(prepared, jobs, writer);
    timeout(prepared.timeout, job).await.unwrap_or_else(|_| {
        let what = format!("took longer than {} s: raise the timeout, or check the server and the repository's size", prepared.timeout.as_secs_f32());
        Err(Error::new(Category::Timeout, prepared.at.clone(), what))
    })
}

/// Ends a job with all it started, however this scope is left.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn run(
    prepared: &Prepared<'_>,
    jobs: &Jobs,
    writer: &mut OwnedWriteHalf,
) -> Result<Reply, Error> {
    let broken = |e: std::io::Error| {
        Error::new(
            Category::Worker,
            prepared.at.clone(),
            format!("its job could not be started ({e}): check the worker's volume and limits"),
        )
    };
    let temp = tempfile::Builder::new()
        .prefix("job-")
        .tempdir_in(&jobs.temp)
        .map_err(broken)?;
    let spec = specify(prepared, jobs, temp.path()).map_err(broken)?;
    let mut child = spawn(&spec, jobs).map_err(broken)?;
    let group = Group(
        child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw),
    );
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(worker_error("a job was started without its pipes"));
    };
    let line = serde_json::to_vec(&spec)
        .map_err(|_| worker_error("a job's request could not be written"))?;
    // A job that died early shows by its missing answer.
    let _ = stdin.write_all(&line).await;
    drop(stdin);
    let last_words = tokio::spawn(tail(stderr));
    let reply = forward(stdout, prepared, writer).await?;
    if let Some(reply) = reply {
        drop(group);
        return Ok(reply);
    }
    let ended = ended(&mut child).await;
    drop(group);
    let words = timeout(Duration::from_secs(1), last_words)
        .await
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default();
    Err(cause_of_death(&prepared.at, ended, &words))
}

fn specify(prepared: &Prepared<'_>, jobs: &Jobs, temp: &Path) -> std::io::Result<JobSpec> {
    std::fs::create_dir(temp.join("home"))?;
    let entry = match prepared.key.as_str() {
        "" => PathBuf::new(),
        key => jobs.cache.path(key),
    };
    if let Request::Fetch(_) | Request::Deepen(_) = prepared.request {
        std::fs::create_dir_all(&entry)?;
    }
    Ok(JobSpec {
        request: prepared.request.clone(),
        entry,
        key: prepared.key.clone(),
        temp: temp.to_owned(),
        kustomize: jobs.kustomize.clone(),
        helm: jobs.helm.clone(),
        fetch_memory_bytes: jobs.fetch_memory_bytes,
    })
}

fn spawn(spec: &JobSpec, jobs: &Jobs) -> std::io::Result<Child> {
    let mut environment: HashMap<&str, OsString> = HashMap::new();
    environment.insert("HOME", spec.temp.join("home").into());
    environment.insert("TMPDIR", spec.temp.clone().into());
    environment.insert("LANG", "C.UTF-8".into());
    if let Request::Fetch(fetch) | Request::Deepen(DeepenRequest { fetch, .. }) = &spec.request {
        environment.extend(
            NETWORK_ENV
                .iter()
                .filter_map(|name| Some((*name, std::env::var_os(name)?))),
        );
        if let Some(ca) = &fetch.ca {
            let path = spec.temp.join("ca.pem");
            std::fs::write(&path, ca)?;
            // A folder without certificates: the given ones are trusted and no others.
            environment.insert("SSL_CERT_DIR", spec.temp.join("home").into());
            environment.insert("SSL_CERT_FILE", path.into());
        }
    }
    // The program as it was when it was started, even if its file has been replaced since.
    Command::new("/proc/self/exe")
        .args(&jobs.arguments)
        .env_clear()
        .envs(environment)
        .current_dir(&spec.temp)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Passes a job's items on to the client, line by line; gives its last word, if it had one.
async fn forward(
    stdout: ChildStdout,
    prepared: &Prepared<'_>,
    writer: &mut OwnedWriteHalf,
) -> Result<Option<Reply>, Error> {
    let mut lines = BufReader::with_capacity(64 << 10, stdout);
    let mut line = Vec::new();
    let mut total = 0u64;
    loop {
        line.clear();
        let read = (&mut lines)
            .take(REPLY_BYTES as u64)
            .read_until(b'\n', &mut line)
            .await;
        if read.is_err() || line.last() != Some(&b'\n') {
            return Ok(None);
        }
        total += line.len() as u64;
        if total > prepared.output_bytes {
            return Err(Error::new(
                Category::Limit,
                prepared.at.clone(),
                "the answer is larger than the limit on output: raise it or split the target",
            ));
        }
        if line.starts_with(b"{\"Item\"") {
            writer
                .write_all(&line)
                .await
                .map_err(|_| worker_error("the client hung up"))?;
        } else {
            return serde_json::from_slice(&line).map(Some).map_err(|_| {
                Error::new(
                    Category::Worker,
                    prepared.at.clone(),
                    "its job answered with something that makes no sense",
                )
            });
        }
    }
}

async fn tail(stderr: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    let mut stderr = stderr.take(64 << 10);
    let _ = stderr.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

async fn ended(child: &mut Child) -> Option<ExitStatus> {
    timeout(Duration::from_secs(5), child.wait())
        .await
        .ok()
        .and_then(Result::ok)
}

fn cause_of_death(at: &str, status: Option<ExitStatus>, words: &str) -> Error {
    let signal = status
        .and_then(|s| s.signal())
        .and_then(Signal::from_named_raw);
    let memory = words.contains("memory allocation of");
    let (category, what) = match signal {
        _ if memory => (
            Category::Limit,
            "its job ran out of its memory limit: raise the limit or split the target",
        ),
        Some(Signal::KILL) => (
            Category::Limit,
            "its job was killed, most likely for want of memory: give the worker more or split the target",
        ),
        Some(Signal::XFSZ) => (
            Category::Limit,
            "its job wrote a file larger than the limit",
        ),
        Some(Signal::XCPU) => (
            Category::Timeout,
            "its job used up its CPU time: raise the timeout or split the target",
        ),
        Some(_) => (
            Category::Worker,
            "its job crashed: this is a defect or a hostile repository; the worker goes on",
        ),
        None => (
            Category::Worker,
            "its job ended without an answer: see the worker's log",
        ),
    };
    if signal.is_some() || !memory {
        tracing::warn!(
            at,
            ?signal,
            code = status.and_then(|s| s.code()),
            "a job ended without an answer"
        );
    }
    Error::new(category, at, what)
}
