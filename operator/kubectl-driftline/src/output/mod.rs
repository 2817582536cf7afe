//! Reports as text: for people, machines, merge requests, browsers and CI.

mod html;
mod junit;
mod markdown;
pub mod table;
pub mod words;

use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::model::AuditReport;
use crate::options::ReportFormat;
use crate::paint::Paint;

/// An audit's report.
///
/// # Errors
/// Where it cannot be written as such.
pub fn audit(report: &AuditReport, format: ReportFormat, paint: Paint) -> Result<String> {
    match format {
        ReportFormat::Table => Ok(table::audit(report, paint)),
        ReportFormat::Json => json(report),
        ReportFormat::Yaml => yaml(report),
        ReportFormat::Markdown => Ok(markdown::audit(report)),
        ReportFormat::Html => Ok(html::audit(report)),
        ReportFormat::Junit => Ok(junit::audit(report)),
    }
}

/// Indented JSON with a newline at its end.
///
/// # Errors
/// Where it cannot be written as such.
pub fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(|e| unwritable(&e))?;
    Ok(text + "\n")
}

/// YAML.
///
/// # Errors
/// Where it cannot be written as such.
pub fn yaml(value: &impl Serialize) -> Result<String> {
    serde_saphyr::to_string(value).map_err(|e| unwritable(&e))
}

fn unwritable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        format!("the report cannot be written: {error}"),
        "choose another format with -o",
    )
}
