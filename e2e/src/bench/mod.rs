//! The benchmark: worlds of objects, scenarios that measure in them, a table and JSON.

mod audit;
mod edits;
mod machine;
mod process;
mod report;
mod revert;
mod scenarios;
mod sightings;
mod subject;
mod workload;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

pub use workload::Kind;

/// The benchmark's result: errors are only ever shown.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures the release build against a real control plane.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench")]
pub struct BenchOptions {
    /// 200 objects and short waits, about a minute: shows that everything works, not how fast it is.
    #[arg(long)]
    pub quick: bool,
    /// What is declared, such as deployments:10000; several times for several worlds
    /// [default: deployments:1000, deployments:10000, configmaps:50000].
    #[arg(long = "world", value_name = "KIND:OBJECTS")]
    pub worlds: Vec<WorldSpec>,
    /// What is measured in each world [default: all that fits the world].
    #[arg(long = "only", value_enum, value_delimiter = ',')]
    pub only: Vec<Scenario>,
    /// Live edits, each undone, and each put back [default: 500; 20 with --quick].
    #[arg(long)]
    pub edits: Option<usize>,
    /// Seconds between the first complete report and the reading at rest [default: 60; 3 with --quick].
    #[arg(long)]
    pub settle_seconds: Option<u64>,
    /// Seconds over which an idle operator is watched [default: 120; 5 with --quick].
    #[arg(long)]
    pub idle_seconds: Option<u64>,
    /// The log filter of the operator.
    #[arg(long, default_value = "info")]
    pub log_level: String,
    /// Where the results are written as JSON.
    #[arg(long, default_value = "target/bench.json")]
    pub json: PathBuf,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// From the start of the process to the first complete report.
    Start,
    /// Memory at rest.
    Rest,
    /// Requests and CPU of an idle operator.
    Idle,
    /// Requests of a full verification.
    Verify,
    /// From a live edit to the record and to the policy's status.
    Edits,
    /// A drift made while the operator was down.
    Down,
    /// A commit that changes every declaration, deployed already.
    Commit,
    /// A commit that changes every declaration, and its roll-out.
    Rollout,
    /// Live edits that go back, one by one and many at once.
    Revert,
    /// Every object is edited.
    Storm,
}

/// A world: so many objects of one kind.
#[derive(Debug, Clone)]
pub struct WorldSpec {
    pub kind: Kind,
    pub objects: usize,
    pub scenarios: Vec<Scenario>,
}

impl std::str::FromStr for WorldSpec {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not deployments:NUMBER or configmaps:NUMBER, such as deployments:1000"
            )
        };
        let (kind, objects) = text.split_once(':').ok_or_else(wrong)?;
        let kind = match kind {
            "deployments" => Kind::Deployment,
            "configmaps" => Kind::ConfigMap,
            _ => return Err(wrong()),
        };
        let objects = objects.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
        Ok(Self {
            kind,
            objects,
            scenarios: Scenario::value_variants().to_vec(),
        })
    }
}

/// The options with all defaults filled in.
#[derive(Debug, Clone)]
pub struct Plan {
    pub worlds: Vec<WorldSpec>,
    pub edits: usize,
    pub settle: Duration,
    pub idle: Duration,
    /// How often the policy looks for a new commit.
    pub interval: Duration,
    pub log_level: String,
}

impl Plan {
    fn of(options: &BenchOptions) -> Self {
        let quick = options.quick;
        let or = |given: Option<u64>, full, short| {
            Duration::from_secs(given.unwrap_or(if quick { short } else { full }))
        };
        let mut worlds = if !options.worlds.is_empty() {
            options.worlds.clone()
        } else if quick {
            vec![world(Kind::Deployment, 200, Scenario::value_variants())]
        } else {
            use Scenario::{
                Commit, Down, Edits, Idle, Rest, Revert, Rollout, Start, Storm, Verify,
            };
            vec![
                world(Kind::Deployment, 1_000, &[Start, Edits]),
                world(
                    Kind::Deployment,
                    10_000,
                    &[
                        Start, Rest, Idle, Verify, Edits, Down, Commit, Rollout, Revert, Storm,
                    ],
                ),
                world(Kind::ConfigMap, 50_000, &[Start, Rest, Commit]),
            ]
        };
        if !options.only.is_empty() {
            for world in &mut worlds {
                world.scenarios.clone_from(&options.only);
            }
        }
        Self {
            worlds,
            edits: options.edits.unwrap_or(if quick { 20 } else { 500 }),
            settle: or(options.settle_seconds, 60, 3),
            idle: or(options.idle_seconds, 120, 5),
            interval: Duration::from_secs(if quick { 10 } else { 60 }),
            log_level: options.log_level.clone(),
        }
    }
}

fn world(kind: Kind, objects: usize, scenarios: &[Scenario]) -> WorldSpec {
    WorldSpec {
        kind,
        objects,
        scenarios: scenarios.to_vec(),
    }
}

/// Measures, prints the table and writes the JSON.
pub async fn run(options: BenchOptions) -> Result<()> {
    let plan = Plan::of(&options);
    let mut report = report::Report::begin(machine::Machine::read().await);
    report.print_head();
    for spec in plan.worlds.clone() {
        scenarios::measure(&plan, &spec, &mut report).await?;
    }
    report.print_table();
    report.write_json(&options.json)?;
    println!("\nAs JSON: {}", options.json.display());
    Ok(())
}

/// Says what is being done; everything over two seconds has such a line.
pub fn say(text: &str) {
    eprintln!("bench: {text}");
}
