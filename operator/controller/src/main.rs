//! The program `driftline`: the operator, and the worker that fetches and renders for it.

mod actor;
mod asking;
mod autoscalers;
mod blame;
mod converge;
mod credentials;
mod deliver;
mod engine;
mod events;
mod evidence;
mod exceptions;
mod healers;
mod http;
mod leader;
mod log;
mod memory;
mod metrics;
mod options;
mod pending;
mod policies;
mod policy;
mod preview;
mod questions;
mod recall;
mod records;
mod registry;
mod run;
mod sources;
mod stamps;
mod status;
mod targets;
mod turns;
mod undeclared;
mod verify;
mod watches;
mod workloads;

use std::process::ExitCode;

use clap::Parser as _;
use options::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::WorkerJob => declared::job_main(),
        Command::Worker(options) => {
            log::start(&options.log);
            finish(declared::worker_main(options.into()).map_err(Into::into))
        }
        Command::Run(options) => {
            log::start(&options.log);
            finish(run::run(options))
        }
    }
}

fn finish(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    tracing::error!("{text}");
    ExitCode::FAILURE
}
