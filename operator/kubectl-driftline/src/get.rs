//! `get`: records, as a list.

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::json;

use crate::connect::Cluster;
use crate::failure::Result;
use crate::model::title;
use crate::options::{GetOptions, ListFormat};
use crate::output::{self, table, words};
use crate::paint::Paint;
use crate::records::{self, Known, Scope};

/// Prints the records of a scope.
///
/// # Errors
/// Where they cannot be listed.
pub async fn run(cluster: &Cluster, options: &GetOptions, paint: Paint) -> Result<u8> {
    let scope = options.scope.of(cluster);
    let all = records::about(cluster, scope).await?;
    let code = all.code();
    let mut found = all.items;
    found.retain(|k| {
        (options.all || k.is_open())
            && options
                .policy
                .as_ref()
                .is_none_or(|p| *p == k.record.spec.policy)
            && options
                .severity
                .is_none_or(|s| k.status.severity.is_some_and(|of| of >= s.into()))
            && (options.names.is_empty() || options.names.contains(&k.record.name_any()))
    });
    let text = match options.output {
        ListFormat::Table => listed(&found, scope, false, paint),
        ListFormat::Wide => listed(&found, scope, true, paint),
        ListFormat::Name => found
            .iter()
            .map(|k| format!("driftrecord.driftline.dev/{}\n", k.record.name_any()))
            .collect(),
        ListFormat::Json => output::json(&as_list(found))?,
        ListFormat::Yaml => output::yaml(&as_list(found))?,
    };
    crate::print(&text);
    Ok(code)
}

/// As kubectl writes a list.
fn as_list(found: Vec<Known>) -> serde_json::Value {
    let items: Vec<serde_json::Value> = found
        .into_iter()
        .map(|known| {
            let mut record = known.record;
            record.metadata.managed_fields = None;
            record.status = Some(known.status);
            serde_json::to_value(&record).unwrap_or_default()
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn listed(found: &[Known], scope: Scope<'_>, wide: bool, paint: Paint) -> String {
    if found.is_empty() {
        return format!("No drift is recorded{}.\n", records::place(scope));
    }
    let now = Timestamp::now();
    // Policies elsewhere may keep records about objects in this namespace.
    let elsewhere = |k: &Known| match scope {
        Scope::All => true,
        Scope::In(namespace) => k.record.namespace().as_deref() != Some(namespace),
    };
    let all = found.iter().any(elsewhere);
    let mut heads: Vec<&str> = if all { vec!["NAMESPACE"] } else { Vec::new() };
    heads.extend([
        "SEVERITY", "SUBJECT", "FIELDS", "ORIGIN", "BY", "STATE", "SINCE",
    ]);
    if wide {
        heads.extend(["POLICY", "DECLARED IN", "RECORD"]);
    }
    let mut rows = vec![heads.iter().map(|h| paint.dim(h)).collect()];
    for known in found {
        rows.push(row(known, all, wide, paint, now));
    }
    table::columns(&rows)
}

fn row(known: &Known, all: bool, wide: bool, paint: Paint, now: Timestamp) -> Vec<String> {
    let status = &known.status;
    let mut row = Vec::new();
    if all {
        row.push(known.record.namespace().unwrap_or_default());
    }
    row.push(match status.severity {
        Some(severity) => paint.severity(severity, severity.as_str()),
        None => String::new(),
    });
    row.extend([
        title(known.subject()),
        words::clean(&status.display.fields),
        words::clean(&status.display.origin),
        words::clean(&status.display.by),
        format!("{:?}", status.state),
        words::age(&status.first_seen, now),
    ]);
    if wide {
        let at = status.declared_at.as_ref();
        row.extend([
            format!("{}/{}", known.record.spec.policy, known.record.spec.target),
            at.map(|at| words::place(at, None)).unwrap_or_default(),
            known.record.name_any(),
        ]);
    }
    row
}
