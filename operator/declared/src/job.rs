//! One job: a process that reads a request from its standard input, shuts itself in, answers and ends.

use std::fs;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::error::{Category, Error};
use crate::request::{
    BlameRequest, FetchRequest, RenderItem, RenderLimits, RenderSummary, WorkerInfo,
};
use crate::sandbox::{self, InForce, Needs};
use crate::wire::{JobSpec, REQUEST_BYTES, Reply, Request};
use crate::{git, render};

/// Runs one job: request on standard input, answers on standard output, a JSON value a line.
///
/// The caller is a program whose hidden subcommand this is. Nothing may run beside it: call it before any thread is
/// started, since a thread would stay outside the sandbox.
pub fn job_main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout());
    let last = match job(&mut out) {
        Ok(reply) => reply,
        Err(error) => Reply::Failed(error),
    };
    match write_line(&mut out, &last).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn job(out: &mut (dyn Write + Send)) -> Result<Reply, Error> {
    // The worker's end is the job's end. If it is gone already, its end of standard input is closed.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let spec = read_spec()?;
    if fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(broken(
            "was started beside other threads, which would stay outside the sandbox",
        ));
    }
    match &spec.request {
        Request::Ping => Ok(Reply::Info(ping(&spec)?)),
        Request::Fetch(request) => {
            enter(&fetch_needs(&spec, request))?;
            git::fetch(request, &spec.entry, &spec.key, &spec.temp.join("home")).map(Reply::Fetched)
        }
        Request::Deepen(request) => {
            enter(&fetch_needs(&spec, &request.fetch))?;
            git::deepen(request, &spec.entry, &spec.temp.join("home")).map(|()| Reply::Deepened)
        }
        Request::Blame(request) => blame(&spec, request),
        Request::Render(request) => {
            let tools = render::Tools {
                kustomize: spec.kustomize.clone(),
                helm: spec.helm.clone(),
                temp: spec.temp.clone(),
            };
            let repository = spec.entry.join(git::REPOSITORY);
            enter(&needs_of(&spec, &request.limits))?;
            on_a_deep_stack(out, |send| {
                render::render(request, &repository, &tools, send)
            })
        }
        Request::List(request) => {
            let repository = spec.entry.join(git::REPOSITORY);
            enter(&Needs {
                execute: Vec::new(),
                ..needs_of(&spec, &request.limits)
            })?;
            render::list(request, &repository).map(Reply::Listed)
        }
        Request::Release(request) => {
            enter(&Needs {
                execute: Vec::new(),
                ..needs_of(&spec, &request.limits)
            })?;
            on_a_deep_stack(out, |send| render::release(request, send))
        }
    }
}

fn broken(what: &str) -> Error {
    Error::new(Category::Worker, "the worker's job", what)
}

fn read_spec() -> Result<JobSpec, Error> {
    let mut text = Vec::new();
    let limit = 2 * REQUEST_BYTES as u64;
    io::stdin()
        .lock()
        .take(limit)
        .read_to_end(&mut text)
        .map_err(|e| broken(&format!("could not read its request: {e}")))?;
    // serde_json's errors may quote their input, and there are credentials in it.
    serde_json::from_slice(&text).map_err(|_| {
        broken("was handed a request it cannot read: run the same version of operator and worker")
    })
}

fn blame(spec: &JobSpec, request: &BlameRequest) -> Result<Reply, Error> {
    let limits = &request.limits;
    let deadline = Instant::now() + limits.timeout;
    enter(&Needs {
        execute: Vec::new(),
        ..render_needs(spec, limits.memory_bytes, 0, limits.timeout.as_secs())
    })?;
    git::blame(request, &spec.entry, deadline).map(Reply::Blamed)
}

fn fetch_needs(spec: &JobSpec, request: &FetchRequest) -> Needs {
    let mut needs = Needs {
        write: vec![spec.entry.clone(), spec.temp.clone()],
        network: true,
        memory_bytes: spec.fetch_memory_bytes,
        // A pack and its index; the exact limit is kept while the pack comes in.
        file_bytes: request
            .limits
            .repository_bytes
            .saturating_mul(2)
            .saturating_add(64 << 20),
        cpu_seconds: request.timeout.as_secs() + 10,
        ..Needs::default()
    };
    if request.allow_file
        && let Some(path) = request.url.strip_prefix("file://")
    {
        needs.read.push(PathBuf::from(path));
    }
    // The certificates that OpenSSL was told to trust may lie anywhere.
    needs.read.extend(
        ["SSL_CERT_FILE", "SSL_CERT_DIR"]
            .iter()
            .filter_map(std::env::var_os)
            .map(PathBuf::from),
    );
    needs
}

fn needs_of(spec: &JobSpec, limits: &RenderLimits) -> Needs {
    render_needs(
        spec,
        limits.memory_bytes,
        limits.output_bytes.max(limits.file_bytes),
        limits.timeout.as_secs(),
    )
}

/// Renders in a thread with room for deep nesting. It is started inside the sandbox and so is in it.
fn on_a_deep_stack(
    out: &mut (dyn Write + Send),
    render: impl FnOnce(&mut dyn FnMut(RenderItem) -> bool) -> Result<RenderSummary, Error> + Send,
) -> Result<Reply, Error> {
    std::thread::scope(|scope| {
        let work = || {
            let mut send = |item: RenderItem| write_line(out, &Reply::Item(item)).is_ok();
            render(&mut send).map(Reply::Rendered)
        };
        let thread = std::thread::Builder::new()
            .stack_size(render::STACK_BYTES)
            .spawn_scoped(scope, work);
        let thread = thread.map_err(|e| broken(&format!("could not start a thread: {e}")))?;
        thread
            .join()
            .map_err(|_| broken("ended by a defect: see the worker's log"))?
    })
}

fn render_needs(spec: &JobSpec, memory_bytes: u64, file_bytes: u64, seconds: u64) -> Needs {
    let read = if spec.entry.as_os_str().is_empty() {
        Vec::new()
    } else {
        vec![spec.entry.clone()]
    };
    Needs {
        read,
        write: vec![spec.temp.clone()],
        execute: spec.kustomize.iter().chain(&spec.helm).cloned().collect(),
        network: false,
        memory_bytes,
        file_bytes,
        // Two processes may share the deadline's cores.
        cpu_seconds: seconds.saturating_mul(4) + 10,
    }
}

/// Tries the sandbox on for size and asks the tools for their versions inside it.
fn ping(spec: &JobSpec) -> Result<WorkerInfo, Error> {
    let in_force = enter(&render_needs(spec, 1 << 30, 1 << 20, 30))?;
    Ok(WorkerInfo {
        kustomize: spec
            .kustomize
            .as_deref()
            .and_then(|path| version(path, &["version"], spec)),
        helm: spec
            .helm
            .as_deref()
            .and_then(|path| version(path, &["version", "--short"], spec)),
        landlock_abi: in_force.landlock_abi,
        seccomp: in_force.seccomp,
    })
}

fn version(path: &Path, arguments: &[&str], spec: &JobSpec) -> Option<String> {
    let output = render::run_tool(
        path,
        arguments.iter().map(Into::into),
        &spec.temp,
        1 << 30,
        4096,
    )
    .ok()?;
    let text = crate::error::one_line(&String::from_utf8_lossy(&output.stdout), 100);
    (output.success && !text.is_empty()).then_some(text)
}

fn enter(needs: &Needs) -> Result<InForce, Error> {
    sandbox::enter(needs).map_err(|what| broken(&what))
}

fn write_line(out: &mut dyn Write, reply: &Reply) -> io::Result<()> {
    serde_json::to_writer(&mut *out, reply)?;
    out.write_all(b"\n")
}
