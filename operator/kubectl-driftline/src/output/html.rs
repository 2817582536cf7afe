//! For a browser: one file, no script, nothing fetched from anywhere, and every value from outside escaped. A content security policy
//! says the same to the browser.

use std::fmt::{self, Write as _};

use driftline_crds::{Field, RecordChange, Summary};
use jiff::Timestamp;

use super::words;
use crate::model::{AuditReport, ClusterReport, Finding, NamespaceReport, Standing, title};

const CSS: &str = include_str!("html.css");

/// Text from outside. Escaped for content and for quoted attributes alike, the only places where it is put.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' => f.write_char('\n')?,
                c if drift::redact::is_unprintable(c) => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// An audit.
pub fn audit(report: &AuditReport) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Drift audit, {}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<main>\n",
        report.generated_at.0
    );
    let _ = write!(
        page,
        "<header>\n<h1>Drift audit</h1>\n<div class=\"soft\">{}</div>\n<div class=\"verdict {}\">{}</div>\n</header>\n",
        report.generated_at.0,
        report.status.as_str(),
        words::verdict(report.status)
    );
    tiles(&mut page, &report.summary);
    for cluster in &report.clusters {
        one(&mut page, cluster, report.generated_at.0);
    }
    let _ = write!(
        page,
        "<footer>Made by <code>kubectl driftline audit</code> {}, which only reads. Declared values are red, live ones green; what may be secret is withheld.</footer>\n</main>\n</body>\n</html>\n",
        Text(&report.version)
    );
    page
}

fn tiles(page: &mut String, sum: &Summary) {
    let unchecked = sum.unknown + sum.unverified;
    page.push_str("<div class=\"tiles\">\n");
    for (count, name, class) in [
        (sum.declared, "declared", ""),
        (sum.in_sync, "as declared", "t-ok"),
        (sum.drifted, "drifted", "t-high"),
        (sum.pending, "waiting for roll-out", ""),
        (unchecked, "not checked", "t-unknown"),
    ] {
        let class = if count == 0 { "soft" } else { class };
        let _ = writeln!(
            page,
            "<div class=\"tile\"><b class=\"{class}\">{count}</b>{name}</div>"
        );
    }
    page.push_str("</div>\n");
    if sum.declared == 0 {
        return;
    }
    page.push_str("<div class=\"bar\" aria-hidden=\"true\">");
    for (count, colour) in [
        (sum.in_sync, "var(--ok)"),
        (sum.drifted, "var(--high)"),
        (sum.pending, "var(--low)"),
        (unchecked, "var(--unknown)"),
    ] {
        if count > 0 {
            let _ = write!(page, "<i style=\"flex:{count};background:{colour}\"></i>");
        }
    }
    page.push_str("</div>\n");
}

fn one(page: &mut String, cluster: &ClusterReport, now: Timestamp) {
    let name = if cluster.context.is_empty() {
        &cluster.server
    } else {
        &cluster.context
    };
    let _ = writeln!(
        page,
        "<section>\n<h2>{}</h2>\n<div class=\"soft\">{}, Kubernetes {}</div>",
        Text(name),
        Text(&cluster.server),
        Text(&cluster.server_version)
    );
    for target in &cluster.targets {
        let commit = match (&target.author, &target.message) {
            (Some(author), Some(message)) => format!(" · {message} ({author})"),
            _ => String::new(),
        };
        let _ = writeln!(
            page,
            "<div><code>{}</code> of <code>{}</code> at <code>{}</code><span class=\"soft\">{}</span></div>",
            Text(&target.path),
            Text(&target.source),
            Text(&target.revision),
            Text(&commit)
        );
    }
    page.push_str("<h3>By namespace</h3>\n<div class=\"scroll\"><table>\n<thead><tr><th>Namespace<th>Declared<th>In sync<th>Drifted<th>Critical<th>High<th>Medium<th>Low<th>Pending<th>Not checked</tr></thead>\n<tbody>\n");
    cluster
        .namespaces
        .iter()
        .for_each(|row| self::row(page, row));
    page.push_str("</tbody></table></div>\n");
    let (drifted, pending): (Vec<&Finding>, Vec<&Finding>) = cluster
        .objects
        .iter()
        .partition(|f| f.standing == Standing::Drifted);
    for (heading, findings) in [("Drift", drifted), ("Waiting for roll-out", pending)] {
        if !findings.is_empty() {
            let _ = writeln!(page, "<h3>{heading}</h3>");
            findings.into_iter().for_each(|f| finding(page, f, now));
        }
    }
    if !cluster.not_checked.is_empty() {
        page.push_str("<h3>Not checked</h3>\n");
    }
    for not in &cluster.not_checked {
        let _ = writeln!(
            page,
            "<div class=\"unchecked\"><b>{}</b> <span class=\"soft\">{}</span><br>{}</div>",
            Text(&words::subject(not)),
            Text(&not.reason),
            Text(&not.message)
        );
    }
    page.push_str("</section>\n");
}

fn row(page: &mut String, row: &NamespaceReport) {
    let (sum, by) = (&row.summary, &row.severities);
    let name = row.namespace.as_deref().unwrap_or("(cluster)");
    let _ = write!(page, "<tr><td>{}", Text(name));
    for (count, class) in [
        (sum.declared, ""),
        (sum.in_sync, "t-ok"),
        (sum.drifted, ""),
        (by.critical, "t-critical"),
        (by.high, "t-high"),
        (by.medium, "t-medium"),
        (by.low, "t-low"),
        (sum.pending, ""),
        (sum.unknown + sum.unverified, "t-unknown"),
    ] {
        let class = if count == 0 { "zero" } else { class };
        let _ = write!(page, "<td class=\"{class}\">{count}");
    }
    page.push_str("</tr>\n");
}

fn finding(page: &mut String, finding: &Finding, now: Timestamp) {
    let grave = match finding.standing {
        Standing::Pending => "Pending",
        Standing::Drifted => words::severity(finding.severity),
    };
    let open = if matches!(grave, "Critical" | "High" | "Medium") {
        " open"
    } else {
        ""
    };
    let _ = writeln!(
        page,
        "<details class=\"{grave}\"{open}>\n<summary><span class=\"badge\">{grave}</span><b>{}</b><span class=\"soft\">{}; {}</span></summary>\n<div>",
        Text(&title(&finding.subject)),
        Text(&words::change(finding)),
        words::origin(finding)
    );
    if let Some(at) = &finding.declared_at {
        let _ = write!(
            page,
            "<div>Declared in <code>{}</code>",
            Text(&words::place(at, None))
        );
        if let Some(written) = words::written(at) {
            let _ = write!(page, " <span class=\"soft\">{}</span>", Text(&written));
        }
        page.push_str("</div>\n");
    }
    if let Some(by) = &finding.by {
        let _ = writeln!(
            page,
            "<div class=\"soft\">{}</div>",
            Text(&words::actor_and_time(by, now))
        );
    }
    if finding.change == RecordChange::Missing {
        page.push_str("<div class=\"side del\"><span class=\"sign\">-</span><span class=\"value\">the whole object is declared and not there</span></div>\n");
    }
    for one in &finding.fields {
        field(page, one, words::own_origin(finding, one), now);
    }
    if finding.more_fields > 0 {
        let _ = writeln!(
            page,
            "<div class=\"soft\">and {} more</div>",
            words::count(finding.more_fields, "field")
        );
    }
    page.push_str("</div>\n</details>\n");
}

fn field(page: &mut String, field: &Field, origin: Option<&str>, now: Timestamp) {
    let basis = match &*field.basis {
        "Declared" => None,
        other => Some(format!("basis {other}")),
    };
    let notes: Vec<&str> = origin.into_iter().chain(basis.as_deref()).collect();
    let _ = writeln!(
        page,
        "<div class=\"field\"><span class=\"mono\">{}</span> <span class=\"soft\">{}</span>",
        Text(&field.path),
        Text(&notes.join("; "))
    );
    let mut side = |class, sign, value: &str, note: &str| {
        let _ = writeln!(
            page,
            "<div class=\"side {class}\"><span class=\"sign\">{sign}</span><span class=\"value mono\">{}</span><span class=\"note\">{}</span></div>",
            Text(value),
            Text(note)
        );
    };
    let line = field.line.map(|l| format!("line {l}")).unwrap_or_default();
    let who = words::actor_and_time(&field.by, now);
    if words::has_declared(field) {
        side("del", '-', &words::declared(field), &line);
    }
    if words::has_live(field) {
        side("add", '+', &words::live(field), &who);
    } else {
        side("", ' ', "not there", &who);
    }
    page.push_str("</div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let shown = Text("<img src=x onerror='a()'>\u{202e}&\"").to_string();
        assert_eq!(
            shown,
            "&lt;img src=x onerror=&#39;a()&#39;&gt;\u{fffd}&amp;&quot;"
        );
    }

    #[test]
    fn the_page_refers_to_nothing_outside() {
        assert!(!CSS.contains("url(") && !CSS.contains("@import") && !CSS.contains("</"));
    }
}
