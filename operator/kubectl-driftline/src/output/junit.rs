//! For CI: a test case for each object; drift is a failure, what could not be checked an error.

use std::fmt::Write as _;

use super::words;
use crate::model::{AuditReport, ClusterReport, Finding, Standing, title};
use crate::paint::{Paint, When};

/// Text in XML 1.0: the five specials escaped, what XML cannot hold replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// An audit.
pub fn audit(report: &AuditReport) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"kubectl driftline audit\">\n",
    );
    for cluster in &report.clusters {
        suite(&mut text, report, cluster);
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(text: &mut String, report: &AuditReport, cluster: &ClusterReport) {
    let name = if cluster.context.is_empty() {
        &cluster.server
    } else {
        &cluster.context
    };
    let tests = cluster.in_sync.len() + cluster.objects.len() + cluster.not_checked.len();
    let failures = cluster
        .objects
        .iter()
        .filter(|f| f.standing == Standing::Drifted)
        .count();
    let waiting = cluster.objects.len() - failures;
    let _ = writeln!(
        text,
        "  <testsuite name=\"{}\" timestamp=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{}\" skipped=\"{waiting}\">",
        escape(name),
        report.generated_at.0,
        cluster.not_checked.len()
    );
    for subject in &cluster.in_sync {
        let class = subject.namespace.as_deref().unwrap_or("(cluster)");
        let _ = writeln!(
            text,
            "    <testcase classname=\"{}\" name=\"{}\"/>",
            escape(class),
            escape(&title(subject))
        );
    }
    for finding in &cluster.objects {
        case(text, finding, report);
    }
    for not in &cluster.not_checked {
        let class = not.namespace.as_deref().unwrap_or("(cluster)");
        let _ = writeln!(
            text,
            "    <testcase classname=\"{}\" name=\"{}\"><error type=\"{}\" message=\"{}\"/></testcase>",
            escape(class),
            escape(&words::subject(not)),
            escape(&not.reason),
            escape(&not.message)
        );
    }
    text.push_str("  </testsuite>\n");
}

fn case(text: &mut String, finding: &Finding, report: &AuditReport) {
    let class = finding.subject.namespace.as_deref().unwrap_or("(cluster)");
    let place = finding
        .declared_at
        .as_ref()
        .map(|at| format!(" file=\"{}\"", escape(&words::place(at, None))))
        .unwrap_or_default();
    let _ = write!(
        text,
        "    <testcase classname=\"{}\" name=\"{}\"{place}>",
        escape(class),
        escape(&title(&finding.subject))
    );
    let message = format!("{}; {}", words::change(finding), words::origin(finding));
    if finding.standing == Standing::Pending {
        let _ = write!(text, "<skipped message=\"{}\"/>", escape(&message));
    } else {
        let body = super::table::finding(finding, Paint::new(When::Never), report.generated_at.0);
        let _ = write!(
            text,
            "<failure type=\"{}\" message=\"{}\">{}</failure>",
            words::severity(finding.severity),
            escape(&message),
            escape(&body)
        );
    }
    text.push_str("</testcase>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(
            escape("<a b='\"'>&\u{1b}]]>"),
            "&lt;a b=&apos;&quot;&apos;&gt;&amp;\u{fffd}]]&gt;"
        );
    }
}
