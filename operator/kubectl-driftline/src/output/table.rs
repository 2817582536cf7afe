//! For a terminal.

use std::fmt::Write as _;

use driftline_crds::{RecordChange, Severity, Summary};
use jiff::Timestamp;

use super::words;
use crate::model::{AuditReport, ClusterReport, Finding, Severities, Standing, title};
use crate::paint::Paint;

/// Columns of text, each as wide as its widest cell; the last is as wide as it is. Escapes of colour take no room.
pub fn columns(rows: &[Vec<String>]) -> String {
    let width = |text: &str| {
        let (mut width, mut escape) = (0, false);
        for c in text.chars() {
            match c {
                '\u{1b}' => escape = true,
                'm' if escape => escape = false,
                _ if escape => {}
                _ => width += 1,
            }
        }
        width
    };
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..most)
        .map(|i| {
            rows.iter()
                .filter_map(|r| r.get(i))
                .map(|c| width(c))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, (cell, widest)) in row.iter().zip(&widths).enumerate() {
            line.push_str(cell);
            if i + 1 < row.len() {
                line.extend(std::iter::repeat_n(' ', widest - width(cell) + 3));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// An audit.
pub fn audit(report: &AuditReport, paint: Paint) -> String {
    let now = report.generated_at.0;
    let mut text = String::new();
    for cluster in &report.clusters {
        one(&mut text, cluster, paint, now);
    }
    let _ = writeln!(text, "{}", last(report, paint));
    text
}

fn one(text: &mut String, cluster: &ClusterReport, paint: Paint, now: Timestamp) {
    let name = if cluster.context.is_empty() {
        &cluster.server
    } else {
        &cluster.context
    };
    let _ = writeln!(
        text,
        "{} {} {}",
        paint.bold("Cluster"),
        paint.bold(name),
        paint.dim(&format!("{} {}", cluster.server, cluster.server_version))
    );
    for target in &cluster.targets {
        let what = format!(
            "{} of {} at {}",
            target.path, target.source, target.revision
        );
        let _ = writeln!(text, "  {}", words::clean(&what));
    }
    text.push('\n');
    text.push_str(&summary(cluster, paint));
    text.push('\n');
    for finding in &cluster.objects {
        text.push_str(&self::finding(finding, paint, now));
        text.push('\n');
    }
    if !cluster.not_checked.is_empty() {
        let _ = writeln!(text, "{}", paint.warn("Not checked"));
        for not in &cluster.not_checked {
            let _ = writeln!(text, "  {} {}", words::subject(not), paint.dim(&not.reason));
            let _ = writeln!(text, "      {}", words::clean(&not.message));
        }
        text.push('\n');
    }
}

fn summary(cluster: &ClusterReport, paint: Paint) -> String {
    let heads = [
        "NAMESPACE",
        "DECLARED",
        "IN SYNC",
        "DRIFTED",
        "CRITICAL",
        "HIGH",
        "MEDIUM",
        "LOW",
        "PENDING",
        "NOT CHECKED",
    ];
    let mut rows = vec![heads.iter().map(|h| paint.dim(h)).collect()];
    let mut all = Severities::default();
    for row in &cluster.namespaces {
        let name = row.namespace.as_deref().unwrap_or("(cluster)");
        all.merge(row.severities);
        rows.push(counts(
            &words::clean(name),
            &row.summary,
            row.severities,
            paint,
        ));
    }
    if cluster.namespaces.len() != 1 {
        rows.push(counts("total", &cluster.summary, all, paint));
    }
    columns(&rows)
}

fn counts(name: &str, sum: &Summary, by: Severities, paint: Paint) -> Vec<String> {
    let plain = |n: u32| {
        if n == 0 {
            paint.dim("-")
        } else {
            n.to_string()
        }
    };
    let grave = |n: u32, severity| match n {
        0 => paint.dim("-"),
        n => paint.severity(severity, &n.to_string()),
    };
    let unchecked = sum.unknown + sum.unverified;
    vec![
        name.to_owned(),
        sum.declared.to_string(),
        plain(sum.in_sync),
        match sum.drifted {
            0 => paint.dim("-"),
            n => paint.bold(&n.to_string()),
        },
        grave(by.critical, Severity::Critical),
        grave(by.high, Severity::High),
        grave(by.medium, Severity::Medium),
        grave(by.low, Severity::Low),
        plain(sum.pending),
        match unchecked {
            0 => paint.dim("-"),
            n => paint.warn(&n.to_string()),
        },
    ]
}

/// A finding: the object, where it is declared, and each field as in a diff.
pub fn finding(finding: &Finding, paint: Paint, now: Timestamp) -> String {
    let mut text = String::new();
    let grave = match (finding.standing, finding.severity) {
        (Standing::Pending, _) => paint.dim("PENDING"),
        (_, Some(s)) => paint.severity(s, &s.as_str().to_uppercase()),
        (_, None) => String::new(),
    };
    let _ = writeln!(
        text,
        "{grave} {}  {}",
        paint.bold(&title(&finding.subject)),
        paint.dim(&format!(
            "{}; {}",
            words::change(finding),
            words::origin(finding)
        ))
    );
    if let Some(at) = &finding.declared_at {
        let written = words::written(at)
            .map(|w| format!("  ({w})"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "  declared in {}{}",
            words::place(at, None),
            paint.dim(&written)
        );
    }
    if let Some(by) = &finding.by {
        let _ = writeln!(text, "  {}", words::actor_and_time(by, now));
    }
    if finding.change == RecordChange::Missing {
        let _ = writeln!(
            text,
            "  {}",
            paint.gone("- the whole object is declared and not there")
        );
    }
    for field in &finding.fields {
        let basis = if field.basis == "Declared" {
            String::new()
        } else {
            words::clean(&format!("  basis {}", field.basis))
        };
        let path = words::clean(&field.path);
        let own = match words::own_origin(finding, field) {
            Some(own) => format!("  {own}"),
            None => String::new(),
        };
        let notes = paint.dim(&format!("{own}{basis}"));
        let _ = writeln!(text, "  {}{notes}", paint.place(&path));
        if words::has_declared(field) {
            let side = words::declared(field);
            let line = field
                .line
                .map(|l| format!("  line {l}"))
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "    {}{}",
                paint.gone(&format!("- {side}")),
                paint.dim(&line)
            );
        }
        let who = words::actor_and_time(&field.by, now);
        if words::has_live(field) {
            let side = words::live(field);
            let live = paint.new_value(&format!("+ {side}"));
            let _ = writeln!(text, "    {live}  {}", paint.dim(&who));
        } else {
            let _ = writeln!(text, "    {}", paint.dim(&format!("(not there)  {who}")));
        }
    }
    if finding.more_fields > 0 {
        let _ = writeln!(
            text,
            "  and {} more",
            words::count(finding.more_fields, "field")
        );
    }
    text
}

fn last(report: &AuditReport, paint: Paint) -> String {
    let sum = &report.summary;
    let checked = sum.in_sync + sum.drifted + sum.pending;
    let mut parts = vec![format!(
        "{} checked: {} as declared, {} drifted",
        words::count(checked, "object"),
        sum.in_sync,
        sum.drifted
    )];
    if sum.pending > 0 {
        parts.push(format!("{} waiting to be rolled out", sum.pending));
    }
    let unchecked = sum.unknown + sum.unverified;
    if unchecked > 0 {
        parts.push(format!(
            "{} could not be checked",
            words::count(unchecked, "object")
        ));
    }
    format!(
        "{} {}",
        paint.bold(words::verdict(report.status)),
        parts.join(", ") + "."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_takes_no_room_in_columns() {
        let rows = [
            vec!["A".to_owned(), "B".to_owned()],
            vec!["\u{1b}[1mlong\u{1b}[0m".to_owned(), "x".to_owned()],
        ];
        assert_eq!(columns(&rows), "A      B\n\u{1b}[1mlong\u{1b}[0m   x\n");
    }

    #[test]
    fn what_repositories_hold_is_no_command_to_a_terminal() {
        let red = "a\u{1b}[31m\nb";
        let summary = serde_json::json!({"declared": 0, "inSync": 0, "drifted": 0, "unverified": 0, "unknown": 0});
        let finding = serde_json::json!({
            "subject": {"group": "", "kind": red, "namespace": "shop", "name": red}, "apiVersion": "v1", "standing": "Drifted",
            "change": "Changed", "origin": null, "severity": null, "declaredAt": {"revision": red, "file": red},
            "fields": [{"path": red, "change": "Changed", "basis": red, "by": {"evidence": "None", "manager": red}}],
        });
        let cluster = serde_json::json!({
            "context": "", "server": "", "serverVersion": "", "summary": summary, "namespaces": [], "objects": [finding],
            "targets": [{"source": red, "revision": red, "path": red, "summary": summary}],
            "notChecked": [{"what": red, "reason": "", "message": red, "objects": 0}],
        });
        let cluster = serde_json::from_value(cluster).expect("a cluster");
        let report = AuditReport::new(vec![cluster], Timestamp::UNIX_EPOCH);
        let text = audit(&report, Paint::new(crate::paint::When::Never));
        let safe = |line: &str| !line.contains(char::is_control) && !line.starts_with('b');
        assert!(text.lines().all(safe), "{text:?}");
    }
}
