//! The program `kubectl-driftline`, which kubectl runs as `kubectl driftline`.

mod audit;
mod connect;
mod failure;
mod model;
mod options;
mod output;
mod paint;
mod progress;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use failure::{Failure, Result};
use options::{Cli, Command};
use paint::Paint;

/// An error of use or set-up.
const FAILED: u8 = 3;
/// Ended by the user, as a shell says it.
const INTERRUPTED: u8 = 130;

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
        }
    });
    runtime.shutdown_background();
    result
}

async fn command(cli: Cli) -> Result<u8> {
    let paint = Paint::new(cli.color);
    match cli.command {
        Command::Audit(options) => audit::run(&cli.connection, &options, paint).await,
        Command::Worker(_) | Command::WorkerJob => Ok(0),
    }
}

/// Writes to standard output; whoever reads it may have gone.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
