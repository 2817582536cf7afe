//! What was found, and how it is shown.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::clock::Server;
use crate::connect::Cluster;
use crate::output::words;
use crate::paint::Paint;

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Level {
    /// In order.
    Ok,
    /// Works, and somebody should know.
    Warning,
    /// Could not be found out.
    Unknown,
    /// Does not work.
    Failure,
}

impl Level {
    /// The exit code: as that of a comparison, with a failure for drift.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok | Self::Warning => 0,
            Self::Failure => 1,
            Self::Unknown => 2,
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// How it is to be taken.
    pub level: Level,
    /// What was found, in a sentence.
    pub message: String,
    /// What to do, with the command to copy; absent where there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// In order.
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            message: message.into(),
            remedy: None,
        }
    }

    /// Something else, with what to do.
    pub fn bad(
        check: &'static str,
        level: Level,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level,
            message: message.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// All findings.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    api_version: &'static str,
    kind: &'static str,
    /// The gravest level.
    pub status: Level,
    generated_at: Time,
    /// The version of this program.
    version: &'static str,
    /// The context; empty inside a cluster.
    pub context: String,
    server: String,
    server_version: String,
    /// The operator's namespace.
    pub namespace: String,
    /// The operator's version, as its Deployment says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    findings: Vec<Finding>,
}

impl Report {
    /// Of a cluster, without findings yet.
    pub fn new(cluster: &Cluster, server: &Server) -> Self {
        Self {
            api_version: "driftline.dev/v1alpha1",
            kind: "DoctorReport",
            status: Level::Ok,
            generated_at: Time(edge::content::whole_seconds(Timestamp::now())),
            version: env!("CARGO_PKG_VERSION"),
            context: cluster.context.clone(),
            server: cluster.server.clone(),
            server_version: server.version.clone(),
            namespace: String::new(),
            operator: None,
            findings: Vec::new(),
        }
    }

    /// Adds findings. A failure is graver than what could not be found out.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for mut finding in findings {
            finding.message = words::clean(&finding.message);
            finding.remedy = finding.remedy.map(|remedy| words::clean(&remedy));
            self.status = self.status.max(finding.level);
            self.findings.push(finding);
        }
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|f| f.level == level).count()
    }
}

/// For a terminal: what is not in order stands with its remedy.
pub fn shown(report: &Report, paint: Paint) -> String {
    let widest = report.findings.iter().map(|f| f.check.len()).max();
    let width = widest.unwrap_or(0);
    let mut text = format!(
        "{} {} {}\n\n",
        paint.bold("Cluster"),
        paint.bold(if report.context.is_empty() {
            &report.server
        } else {
            &report.context
        }),
        paint.dim(&format!("{} {}", report.server, report.server_version)),
    );
    for finding in &report.findings {
        let word = match finding.level {
            Level::Ok => paint.new_value("ok     "),
            Level::Warning => paint.warn("warning"),
            Level::Unknown => paint.warn("unknown"),
            Level::Failure => paint.gone("FAILURE"),
        };
        let indent = 7 + 2 + width + 2;
        let _ = writeln!(
            text,
            "{word}  {:width$}  {}",
            finding.check,
            wrapped(&finding.message, indent)
        );
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(
                text,
                "{:indent$}{} {}",
                "",
                paint.bold("->"),
                wrapped(remedy, indent + 3)
            );
        }
    }
    let _ = writeln!(text, "\n{}", paint.bold(&last(report)));
    text
}

fn last(report: &Report) -> String {
    let (failures, unknown, warnings) = (
        report.count(Level::Failure),
        report.count(Level::Unknown),
        report.count(Level::Warning),
    );
    let said = [
        (failures, "failure"),
        (unknown, "check that could not be done"),
        (warnings, "warning"),
    ];
    let said: Vec<String> = said
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| match (*n, *what) {
            (1, what) => format!("1 {what}"),
            (n, "check that could not be done") => format!("{n} checks that could not be done"),
            (n, what) => format!("{n} {what}s"),
        })
        .collect();
    if said.is_empty() {
        format!("All {} checks are in order.", report.findings.len())
    } else {
        format!("Of {} checks: {}.", report.findings.len(), said.join(", "))
    }
}

/// Text in lines of at most 110 columns, the following ones indented. Commands to copy stay whole.
fn wrapped(text: &str, indent: usize) -> String {
    const WIDTH: usize = 110;
    let room = WIDTH.saturating_sub(indent).max(40);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let in_command = lines
            .last()
            .is_some_and(|l| l.matches('`').count() % 2 == 1);
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                if !in_command && line.chars().count() + 1 + word.chars().count() > room {
                    lines.push(word.to_owned());
                    continue;
                }
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{:indent$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_weighs_more_than_what_is_not_known() {
        assert!(Level::Failure > Level::Unknown && Level::Unknown > Level::Warning);
        let codes = [Level::Ok, Level::Warning, Level::Failure, Level::Unknown].map(Level::code);
        assert_eq!(codes, [0, 0, 1, 2]);
    }

    #[test]
    fn a_command_to_copy_is_not_broken() {
        let command = "`kubectl annotate driftpolicy shop -n shop driftline.dev/check=now --overwrite --context production`";
        let text = wrapped(&format!("ask again, for example by {command} and wait"), 20);
        assert!(text.contains(command), "{text}");
        assert!(text.lines().count() > 1, "{text}");
    }
}
