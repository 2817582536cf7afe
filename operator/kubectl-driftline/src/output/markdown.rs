//! For merge requests and tickets. Everything foreign is in code spans that it cannot leave.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::words;
use crate::model::{AuditReport, ClusterReport, Finding, Standing, title};

/// Text in a code span: the fence is longer than any run of backticks inside; bars would end a table's cell.
fn code(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let line = line.replace('|', "¦");
    let mut longest = 0;
    let mut run = 0;
    for c in line.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') {
        " "
    } else {
        ""
    };
    if line.is_empty() {
        String::new()
    } else {
        format!("{fence}{pad}{line}{pad}{fence}")
    }
}

/// An audit.
pub fn audit(report: &AuditReport) -> String {
    let mut text = format!("# Drift audit\n\n**{}** ", words::verdict(report.status));
    let sum = &report.summary;
    let _ = writeln!(
        text,
        "{} declared, {} as declared, {} drifted, {} waiting to be rolled out, {} not checked. {}.\n",
        words::count(sum.declared, "object"),
        sum.in_sync,
        sum.drifted,
        sum.pending,
        sum.unknown + sum.unverified,
        report.generated_at.0
    );
    for cluster in &report.clusters {
        one(&mut text, cluster, report.generated_at.0);
    }
    text
}

fn one(text: &mut String, cluster: &ClusterReport, now: Timestamp) {
    let name = if cluster.context.is_empty() {
        &cluster.server
    } else {
        &cluster.context
    };
    let _ = writeln!(text, "## Cluster {}\n", code(name));
    for target in &cluster.targets {
        let _ = writeln!(
            text,
            "- {} of {} at {}",
            code(&target.path),
            code(&target.source),
            code(&target.revision)
        );
    }
    text.push_str("\n| Namespace | Declared | In sync | Drifted | Critical | High | Medium | Low | Pending | Not checked |\n");
    text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for row in &cluster.namespaces {
        let (sum, by) = (&row.summary, &row.severities);
        let name = row
            .namespace
            .as_deref()
            .map_or_else(|| "(cluster)".to_owned(), code);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            sum.declared,
            sum.in_sync,
            sum.drifted,
            by.critical,
            by.high,
            by.medium,
            by.low,
            sum.pending,
            sum.unknown + sum.unverified
        );
    }
    text.push('\n');
    for finding in &cluster.objects {
        self::finding(text, finding, now);
    }
    if !cluster.not_checked.is_empty() {
        text.push_str("### Not checked\n\n");
        for not in &cluster.not_checked {
            let _ = writeln!(
                text,
                "- {} {}: {}",
                code(&words::subject(not)),
                not.reason,
                code(&not.message)
            );
        }
        text.push('\n');
    }
}

fn finding(text: &mut String, finding: &Finding, now: Timestamp) {
    let grave = match finding.standing {
        Standing::Pending => "Pending",
        Standing::Drifted => words::severity(finding.severity),
    };
    let _ = writeln!(text, "### {grave}: {}\n", code(&title(&finding.subject)));
    let _ = write!(
        text,
        "{}; {}",
        words::change(finding),
        words::origin(finding)
    );
    if let Some(at) = &finding.declared_at {
        let _ = write!(text, "; declared in {}", code(&words::place(at, None)));
        if let Some(written) = words::written(at) {
            let _ = write!(text, " ({})", code(&written));
        }
    }
    text.push_str(".\n\n");
    if finding.fields.is_empty() {
        return;
    }
    text.push_str("| Field | Declared | Live | Who |\n|---|---|---|---|\n");
    for field in &finding.fields {
        let declared = if words::has_declared(field) {
            code(&words::declared(field))
        } else {
            "not declared".to_owned()
        };
        let live = if words::has_live(field) {
            code(&words::live(field))
        } else {
            "not there".to_owned()
        };
        let who = code(&words::actor_and_time(&field.by, now));
        let own = match words::own_origin(finding, field) {
            Some(own) => format!(" ({own})"),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "| {}{own} | {declared} | {live} | {who} |",
            code(&field.path)
        );
    }
    if finding.more_fields > 0 {
        let _ = writeln!(
            text,
            "\nand {} more",
            words::count(finding.more_fields, "field")
        );
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_leaves_its_code_span() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`x`"), "`` `x` ``");
        assert_eq!(code("a|b\nc"), "`a¦b c`");
    }
}
