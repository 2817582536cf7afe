//! `audit`: what a repository declares against what runs, once, by the operator's own engine and without an operator.

mod blame;
mod compare;
mod deployers;
mod release;
pub mod render;
mod snapshot;
pub mod source;

use std::io::Write as _;

use jiff::Timestamp;

use crate::connect::connect;
use crate::failure::{Failure, Result};
use crate::model::AuditReport;
use crate::options::{AuditOptions, Connection, DiffOptions, ReportFormat};
use crate::output;
use crate::paint::Paint;
use crate::progress::Progress;
use crate::worker::Local;
use compare::Comparison;
use source::{NamedBy, Source};

/// Runs an audit and prints its report. Gives the exit code.
///
/// # Errors
/// Where it cannot be done at all; what can be done in part is told in the report.
pub async fn run(connection: &Connection, options: &AuditOptions, paint: Paint) -> Result<u8> {
    let progress = Progress::new(false);
    let result = report(connection, options, progress).await;
    progress.clear();
    let report = result?;
    let text = output::audit(&report, options.output, paint)?;
    crate::print(&text);
    Ok(report.status.code())
}

/// An audit for a diff: nobody is asked who wrote the lines.
///
/// # Errors
/// As [`run`].
pub async fn quick(connection: &Connection, options: &DiffOptions) -> Result<AuditReport> {
    let progress = Progress::new(false);
    let options = AuditOptions {
        source: options.source.clone(),
        programs: options.programs.clone(),
        output: ReportFormat::Table,
        helm_release: options.helm_release.clone(),
        ignore_undeclared: options.ignore_undeclared,
        skip_secrets: options.skip_secrets,
        no_blame: true,
    };
    let result = report(connection, &options, progress).await;
    progress.clear();
    result
}

async fn report(
    connection: &Connection,
    options: &AuditOptions,
    progress: Progress,
) -> Result<AuditReport> {
    let contexts: Vec<Option<&str>> = match &*connection.context {
        [] => vec![None],
        several => several.iter().map(|c| Some(&**c)).collect(),
    };
    let mut clusters = Vec::new();
    for context in contexts {
        clusters.push(connect(connection, context).await?);
    }
    progress.say("starting the renderer");
    let local = Local::start(&options.programs).await?;
    let mut sources = Vec::new();
    for (number, git) in options.source.git.iter().enumerate() {
        progress.say(&format!("fetching {git}"));
        let source = source::open(&local, git, number, &options.source, NamedBy::User).await?;
        if let Some(note) = &source.note {
            progress.clear();
            let _ = writeln!(std::io::stderr(), "note: {}: {note}", source.shown);
        }
        sources.push(source);
    }
    let mut reports = Vec::new();
    for cluster in &clusters {
        let comparison = Comparison {
            cluster,
            local: &local,
            sources: &sources,
            options,
            progress,
        };
        reports.push(comparison.report().await?);
    }
    if reports
        .iter()
        .all(|r| r.summary.declared == 0 && r.not_checked.is_empty())
    {
        return Err(nothing_declared(&sources, &options.helm_release));
    }
    Ok(AuditReport::new(reports, Timestamp::now()))
}

fn nothing_declared(sources: &[Source], releases: &[String]) -> Failure {
    let names: Vec<String> = sources
        .iter()
        .map(|s| format!("{} of {} ({})", s.paths.join(", "), s.shown, s.name))
        .chain(releases.iter().map(|r| format!("Helm release {r}")))
        .collect();
    Failure::new(
        format!("no object is declared in {}", names.join("; ")),
        "check --path; it names a folder with manifests, a kustomization or a chart",
    )
}
