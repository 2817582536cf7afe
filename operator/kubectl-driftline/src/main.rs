//! The program `kubectl-driftline`, which kubectl runs as `kubectl driftline`.

mod adopt;
mod audit;
mod backport;
mod check;
mod completion;
mod connect;
mod diff;
mod doctor;
mod explain;
mod failure;
mod get;
mod model;
mod options;
mod output;
mod paint;
mod progress;
mod records;
mod status;
mod trace;
mod watch;
mod worker;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::Parser as _;
use tokio::sync::Notify;

use failure::{Failure, Result};
use options::{Cli, Command};
use paint::Paint;

/// An error of use or set-up.
const FAILED: u8 = 3;
/// Ended by the user, as a shell says it.
const INTERRUPTED: u8 = 130;

/// Why standard output cannot be written, once that is known.
static UNWRITTEN: OnceLock<Failure> = OnceLock::new();
/// Ends a command that would go on although nothing of it arrives.
static END: Notify = Notify::const_new();

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { 0 });
        }
    };
    match cli.command {
        Command::WorkerJob => declared::job_main(),
        Command::Worker(options) => match declared::worker_main(options.into()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        _ => match run(cli) {
            Ok(code) => ExitCode::from(code),
            Err(failure) => {
                let _ = writeln!(std::io::stderr(), "{failure}");
                ExitCode::from(FAILED)
            }
        },
    }
}

fn run(cli: Cli) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("no threads can be started: {e}"), "check ulimit -u"))?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = command(cli) => result,
            _ = tokio::signal::ctrl_c() => Ok(INTERRUPTED),
            () = END.notified() => Ok(FAILED),
        }
    });
    runtime.shutdown_background();
    match UNWRITTEN.get() {
        Some(failure) => Err(failure.clone()),
        None => result,
    }
}

async fn command(cli: Cli) -> Result<u8> {
    let paint = Paint::new(cli.color);
    let cluster = async || connect::connect(&cli.connection, only(&cli.connection.context)?).await;
    match &cli.command {
        Command::Audit(options) => audit::run(&cli.connection, options, paint).await,
        Command::Diff(options) => diff::run(&cli.connection, options, paint).await,
        Command::Completion(options) => completion::script(options.shell),
        Command::Complete { words } => completion::complete(words),
        Command::Status(options) => status::run(&cluster().await?, options, paint).await,
        Command::Get(options) => get::run(&cluster().await?, options, paint).await,
        Command::Explain(options) => explain::run(&cluster().await?, options, paint).await,
        Command::Check(options) => check::run(&cluster().await?, options, paint).await,
        Command::Trace(options) => trace::run(&cluster().await?, options, paint).await,
        Command::Adopt(options) => adopt::run(&cluster().await?, options, paint).await,
        Command::Doctor(options) => {
            doctor::run(&cli.connection, &cluster().await?, options, paint).await
        }
        Command::Watch(options) => watch::run(&cluster().await?, options, paint).await,
        Command::Worker(_) | Command::WorkerJob => Ok(0),
    }
}

/// The one context that most commands take.
fn only(contexts: &[String]) -> Result<Option<&str>> {
    match contexts {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(Failure::new(
            "this command looks at one cluster, and several contexts are named",
            "leave one --context; audit takes several",
        )),
    }
}

/// Writes to standard output; whoever reads it may have gone. Anything else that keeps it from being written ends the program with exit code 3.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = UNWRITTEN.set(Failure::new(
            format!("the output cannot be written: {error}"),
            "check that there is room where standard output goes",
        ));
        END.notify_one();
    }
}
