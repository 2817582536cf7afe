//! A control plane to play with: `cargo run -p driftline-e2e --bin cluster -- up`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use driftline_e2e::{Cluster, ControlPlane, Options, Result, Status, Tools};

/// Runs a real Kubernetes control plane (no nodes) on this machine.
#[derive(Parser)]
#[command(name = "cluster")]
struct Arguments {
    /// Where the cluster of up, down and status lives [default: .driftline/cluster in the workspace].
    #[arg(long, global = true)]
    directory: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start the cluster and leave it running.
    Up,
    /// End it and remove its data.
    Down,
    /// Say whether it runs, and where. The exit code is 1 if it does not.
    Status,
    /// Run a private control plane until Ctrl-C.
    Run,
    /// Build kubectl, helm and kustomize if they are not there, and print their paths.
    Tools,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cluster = arguments
        .directory
        .map_or_else(Cluster::of_workspace, Cluster::in_directory);
    match act(&arguments.action, &cluster) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                eprintln!("  because: {inner}");
                cause = inner.source();
            }
            ExitCode::from(2)
        }
    }
}

fn act(action: &Action, cluster: &Cluster) -> Result<ExitCode> {
    match action {
        Action::Up => describe(&cluster.up()?),
        Action::Down if cluster.down()? => println!("The cluster has ended."),
        Action::Down => println!("No cluster was running."),
        Action::Status => match cluster.status() {
            Some(status) => describe(&status),
            None => {
                println!("No cluster is running. Start it with: make cluster");
                return Ok(ExitCode::FAILURE);
            }
        },
        Action::Run => run()?,
        Action::Tools => {
            let tools = Tools::ensure_blocking()?;
            for tool in [&tools.kubectl, &tools.helm, &tools.kustomize] {
                println!("{}", tool.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(status: &Status) {
    println!("A control plane runs at {}.", status.endpoint);
    for (name, pid) in &status.pids {
        println!("  {name:<24} process {pid}");
    }
    println!("\nexport KUBECONFIG={}", status.kubeconfig.display());
}

/// Holds a private control plane, which ends with this process.
#[tokio::main]
async fn run() -> Result<()> {
    let cluster = ControlPlane::start(Options::default()).await?;
    println!("export KUBECONFIG={}", cluster.kubeconfig_path().display());
    if let Some(supervisor) = cluster.supervisor_pid() {
        println!("# supervisor: process {supervisor}; Ctrl-C ends everything");
    }
    // Without a handler for Ctrl-C the process ends, and everything with it.
    let _ = tokio::signal::ctrl_c().await;
    Ok(())
}
