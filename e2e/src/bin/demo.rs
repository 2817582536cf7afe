//! The main job, live: `make demo`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use driftline_e2e::demo::{Demo, Failure};

/// Shows Driftline at work on a real control plane.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Where the demo keeps its state [default: .driftline/demo in the workspace].
    #[arg(long, global = true)]
    directory: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Clone, Copy, Subcommand)]
enum Action {
    /// Start everything, edit live objects, show what is found (the default).
    Up,
    /// End everything that `up` left running.
    Down,
    /// Run the Git server and the operator until told to end; started by `up`.
    #[command(hide = true)]
    Serve,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let demo = Demo::new(arguments.directory);
    let action = arguments.action.unwrap_or(Action::Up);
    let result = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| {
            runtime.block_on(async {
                match action {
                    Action::Up => tokio::select! {
                        told = demo.up() => told,
                        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
                    },
                    Action::Down => demo.down(),
                    Action::Serve => demo.serve().await,
                }
            })
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                eprintln!("  because: {inner}");
                cause = inner.source();
            }
            if matches!(action, Action::Up) {
                eprintln!("End what is running with: make demo-down");
            }
            // What is still starting is not waited for.
            std::process::exit(1)
        }
    }
}
