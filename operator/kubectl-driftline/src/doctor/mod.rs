//! `doctor`: whether the installation does what is expected of it, and what mends what does not. Only reads; in a pod it serves `helm test`.

mod admission;
mod clock;
mod definitions;
mod git;
mod installation;
mod operator;
mod policies;
mod reading;
mod report;
mod rights;

use crate::connect::Cluster;
use crate::failure::Result;
use crate::options::{Connection, DoctorFormat, DoctorOptions};
use crate::output;
use crate::paint::Paint;
use crate::progress::Progress;
use report::Report;

/// Looks at everything and prints what it found. Gives the exit code.
///
/// # Errors
/// Where there is no cluster to look at.
pub async fn run(
    connection: &Connection,
    cluster: &Cluster,
    options: &DoctorOptions,
    paint: Paint,
) -> Result<u8> {
    let progress = Progress::new(false);
    let result = examine(connection, cluster, options, progress).await;
    progress.clear();
    let report = result?;
    let text = match options.output {
        DoctorFormat::Table => report::shown(&report, paint),
        DoctorFormat::Json => output::json(&report)?,
    };
    crate::print(&text);
    Ok(report.status.code())
}

async fn examine(
    connection: &Connection,
    cluster: &Cluster,
    options: &DoctorOptions,
    progress: Progress,
) -> Result<Report> {
    let client = &cluster.client;
    progress.say("asking the API server");
    let (server, clock) = clock::server(client).await?;
    let mut report = Report::new(cluster, &server);
    report.extend(clock::checks(&server, &clock));
    for url in &options.git {
        progress.say(&format!(
            "asking {}",
            output::words::clean(&git::shown(url))
        ));
        report.extend([git::check(url, options).await]);
    }
    progress.say("reading what is installed");
    let (installation, found) = installation::find(client, options.operator_namespace()).await;
    report.operator = installation.version.clone();
    report.namespace.clone_from(&installation.namespace);
    report.extend(found);
    let (defined, definitions) = definitions::checks(client, &installation).await;
    if installation.deployment.is_none() && !defined {
        // Nothing is installed: that one finding says all of it.
        return Ok(report);
    }
    report.extend(definitions);
    report.extend(operator::checks(client, &installation, &clock).await);
    report.extend(admission::checks(client, &installation).await);
    progress.say("reading roles and bindings");
    report.extend(rights::of_operator(client, &installation).await);
    report.extend(rights::of_caller(client, &cluster.namespace).await);
    progress.say("reading policies");
    report.extend(policies::checks(cluster, &installation).await);
    if connection.in_cluster {
        report.context = "in-cluster".to_owned();
    }
    Ok(report)
}
