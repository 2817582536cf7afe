//! `diff`: what drifts as a unified diff of declared against live; of a repository without an operator, or of what the operator recorded.

use std::fs;
use std::process::Command;

use drift::FieldPath;
use drift::path::Step;
use driftline_crds::{Field, KubernetesSubject, RecordChange, RecordState};
use serde_json::{Map, Value};
use similar::TextDiff;

use crate::audit;
use crate::connect::connect;
use crate::failure::{Failure, Result};
use crate::model::{AuditReport, Finding, NotChecked, Outcome, Standing, title};
use crate::options::{Connection, DiffOptions};
use crate::output::words;
use crate::paint::Paint;
use crate::records::{self, Named};

/// What stands for a value that is or may be secret.
const WITHHELD: [&str; 2] = ["(withheld: declared)", "(withheld: live)"];

/// Prints the diff. Gives the exit code.
///
/// # Errors
/// Where nothing can be compared.
pub async fn run(connection: &Connection, options: &DiffOptions, paint: Paint) -> Result<u8> {
    let (findings, not_checked, outcome) =
        if options.source.git.is_empty() && options.helm_release.is_empty() {
            recorded(connection, options).await?
        } else {
            let named = options
                .what
                .as_deref()
                .map(|what| match Named::parse(what) {
                    Some(named) => Ok((what, named)),
                    None => Err(unnamed(what)),
                });
            let named = named.transpose()?;
            let report = audit::quick(connection, options).await?;
            match &named {
                Some((what, named)) => of_object(report, what, named)?,
                None => of_all(report),
            }
        };
    match std::env::var("KUBECTL_EXTERNAL_DIFF")
        .ok()
        .filter(|c| !c.trim().is_empty())
    {
        Some(command) => external(&command, &findings)?,
        None => {
            let text: String = findings.iter().map(|f| unified(f, paint)).collect();
            crate::print(&text);
        }
    }
    for not in &not_checked {
        use std::io::Write as _;
        let _ = writeln!(
            std::io::stderr(),
            "not checked: {}: {}",
            words::subject(not),
            words::clean(&not.message)
        );
    }
    Ok(outcome.code())
}

/// What drifts, of everything.
fn of_all(report: AuditReport) -> (Vec<Finding>, Vec<NotChecked>, Outcome) {
    let (mut findings, mut not_checked) = (Vec::new(), Vec::new());
    for cluster in report.clusters {
        let drifted = |f: &Finding| f.standing == Standing::Drifted;
        findings.extend(cluster.objects.into_iter().filter(drifted));
        not_checked.extend(cluster.not_checked);
    }
    (findings, not_checked, report.status)
}

/// What differs of the object that is named, by its own state: that of others is not asked for.
fn of_object(
    report: AuditReport,
    what: &str,
    named: &Named<'_>,
) -> Result<(Vec<Finding>, Vec<NotChecked>, Outcome)> {
    let is_it = |s: &KubernetesSubject| named.is(&s.group, &s.kind, &s.name);
    let (mut findings, mut not_checked) = (Vec::new(), Vec::new());
    let (mut in_sync, mut unchecked) = (false, false);
    for cluster in report.clusters {
        in_sync |= cluster.in_sync.iter().any(is_it);
        unchecked |= cluster.unchecked.iter().any(is_it);
        let objects = cluster.objects.into_iter();
        findings.extend(objects.filter(|f| is_it(&f.subject)));
        not_checked.extend(cluster.not_checked);
    }
    // Any place that could not be read may declare it.
    let read = not_checked.iter().all(|n| n.objects > 0);
    let drifted = |f: &Finding| f.standing == Standing::Drifted;
    let outcome = if findings.iter().any(drifted) {
        Outcome::Drifted
    } else if unchecked {
        Outcome::Unknown
    } else if in_sync || !findings.is_empty() {
        Outcome::InSync
    } else if read {
        return Err(Failure::new(
            format!("{what:?} is not declared by what is compared"),
            "check its name, --git and --path; without KIND/NAME all that drifts is shown",
        ));
    } else {
        Outcome::Unknown
    };
    if outcome != Outcome::Unknown {
        not_checked.clear();
    }
    Ok((findings, not_checked, outcome))
}

fn unnamed(what: &str) -> Failure {
    Failure::new(
        format!("{what:?} does not name an object"),
        "write KIND/NAME, for example deployment/web",
    )
}

/// What the operator knows of an object.
async fn recorded(
    connection: &Connection,
    options: &DiffOptions,
) -> Result<(Vec<Finding>, Vec<NotChecked>, Outcome)> {
    let Some(what) = &options.what else {
        return Err(Failure::new(
            "neither a repository nor an object is named",
            "compare a repository with --git URL, or name an object that the operator watches as KIND/NAME",
        ));
    };
    let cluster = connect(connection, crate::only(&connection.context)?).await?;
    let known = records::find(&cluster, what).await?;
    let outcome = match known.status.state {
        RecordState::Pending | RecordState::Closed => Outcome::InSync,
        _ => Outcome::Drifted,
    };
    let open = known.is_open().then(|| {
        let standing = match outcome {
            Outcome::Drifted => Standing::Drifted,
            _ => Standing::Pending,
        };
        Finding::new(known.subject().clone(), standing, known.status)
    });
    Ok((open.into_iter().collect(), Vec::new(), outcome))
}

/// Declared and live, as far as they differ.
fn sides(finding: &Finding) -> (String, String) {
    if finding.change == RecordChange::Missing {
        return (
            "# the whole object is declared and not there\n".to_owned(),
            String::new(),
        );
    }
    let side = |n: usize| {
        let mut root = Value::Object(Map::new());
        for field in &finding.fields {
            let value = if n == 0 { &field.declared } else { &field.live };
            let there = if n == 0 {
                words::has_declared(field)
            } else {
                words::has_live(field)
            };
            if there {
                place(&mut root, field, shown(field, value.as_ref(), n));
            }
        }
        match &root {
            Value::Object(map) if map.is_empty() => String::new(),
            root => serde_saphyr::to_string(root).unwrap_or_default(),
        }
    };
    (side(0), side(1))
}

fn shown(field: &Field, value: Option<&Value>, side: usize) -> Value {
    match value {
        None => WITHHELD.get(side).copied().unwrap_or_default().into(),
        Some(Value::String(text)) if field.truncated => format!("{text}… (cut)").into(),
        Some(value) => value.clone(),
    }
}

/// Puts a value where its path says, with the keys of the list elements on the way.
fn place(root: &mut Value, field: &Field, value: Value) {
    match field.path.parse::<FieldPath>() {
        Ok(path) => put(root, &path.0, value),
        // A path that was cut is no path any more.
        Err(_) => put(root, &[Step::Field(field.path.clone())], value),
    }
}

fn put(at: &mut Value, steps: &[Step], value: Value) {
    let Some((first, rest)) = steps.split_first() else {
        *at = value;
        return;
    };
    match first {
        Step::Field(name) => {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            if let Some(map) = at.as_object_mut() {
                put(map.entry(name.clone()).or_insert(Value::Null), rest, value);
            }
        }
        Step::Select(keys, _) => {
            let mut list = list(at);
            let is_it = |element: &Value| keys.iter().all(|(k, v)| element.get(k) == Some(v));
            let index = list.iter().position(is_it).unwrap_or(list.len());
            if index == list.len() {
                list.push(Value::Object(keys.iter().cloned().collect()));
            }
            if let Some(element) = list.get_mut(index) {
                put(element, rest, value);
            }
            *at = Value::Array(list);
        }
        Step::Index(_) | Step::Member(_) | Step::AnyMember => {
            let mut list = list(at);
            let mut element = Value::Null;
            put(&mut element, rest, value);
            list.push(element);
            *at = Value::Array(list);
        }
    }
}

/// The list that stands there, taken out.
fn list(at: &mut Value) -> Vec<Value> {
    match at.take() {
        Value::Array(list) => list,
        _ => Vec::new(),
    }
}

fn unified(finding: &Finding, paint: Paint) -> String {
    let (declared, live) = sides(finding);
    let name = title(&finding.subject);
    let place = finding
        .declared_at
        .as_ref()
        .map(|at| format!("  {}", words::place(at, None)));
    let diff = TextDiff::from_lines(&declared, &live);
    let (before, after) = (
        format!("declared {name}{}", place.unwrap_or_default()),
        format!("live     {name}"),
    );
    let text = diff
        .unified_diff()
        .context_radius(20)
        .header(&before, &after)
        .to_string();
    let mut painted = String::new();
    for line in text.lines() {
        let line = drift::redact::printable(line);
        painted.push_str(&match line.as_bytes().first() {
            _ if line.starts_with("--- ") || line.starts_with("+++ ") => paint.bold(&line),
            Some(b'-') => paint.gone(&line),
            Some(b'+') => paint.new_value(&line),
            Some(b'@') => paint.place(&line),
            _ => line.into_owned(),
        });
        painted.push('\n');
    }
    painted
}

/// As kubectl: two folders with a file for each object, handed to a program of the user's.
fn external(command: &str, findings: &[Finding]) -> Result<()> {
    let broken = |e: std::io::Error| {
        Failure::new(
            format!("the files for KUBECTL_EXTERNAL_DIFF cannot be written: {e}"),
            "check that TMPDIR can be written and has room",
        )
    };
    if findings.is_empty() {
        return Ok(());
    }
    let folder = tempfile::Builder::new()
        .prefix("driftline-diff-")
        .tempdir()
        .map_err(broken)?;
    let (declared, live) = (folder.path().join("DECLARED"), folder.path().join("LIVE"));
    fs::create_dir(&declared)
        .and_then(|()| fs::create_dir(&live))
        .map_err(broken)?;
    for finding in findings {
        let subject = &finding.subject;
        let parts = [
            &subject.group,
            &subject.kind,
            subject.namespace.as_ref().unwrap_or(&String::new()),
            &subject.name,
        ]
        .map(|p| p.replace(['/', '\0'], "_"));
        let name = parts.join(".").trim_start_matches('.').to_owned();
        let (one, other) = sides(finding);
        fs::write(declared.join(&name), one).map_err(broken)?;
        fs::write(live.join(&name), other).map_err(broken)?;
    }
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or("diff");
    Command::new(program)
        .args(words)
        .args([&declared, &live])
        .status()
        .map_err(|e| {
            Failure::new(
                format!("the program of KUBECTL_EXTERNAL_DIFF, {program}, cannot be run: {e}"),
                "name a program that is on the PATH, or unset KUBECTL_EXTERNAL_DIFF",
            )
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding(fields: Value) -> Finding {
        serde_json::from_value(json!({
            "subject": {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web"}, "apiVersion": "apps/v1",
            "standing": "Drifted", "change": "Changed", "origin": null, "severity": null, "fields": fields, "moreFields": 0,
        }))
        .expect("a finding")
    }

    fn field(path: &str, change: &str, declared: Value, live: Value) -> Value {
        let mut field = json!({"path": path, "change": change, "basis": "Declared", "by": {"evidence": "None"}});
        if !declared.is_null() {
            field["declared"] = declared;
        }
        if !live.is_null() {
            field["live"] = live;
        }
        field
    }

    #[test]
    fn fields_of_one_container_stand_in_one_container() {
        let of = |name: &str| format!("spec.containers[name=web].{name}");
        let shown = unified(
            &finding(json!([
                field(&of("image"), "Changed", json!("a:1"), json!("a:2")),
                field(&of("tty"), "Added", Value::Null, json!(true)),
                field("spec.replicas", "Changed", json!(1), json!(3)),
            ])),
            Paint::new(crate::paint::When::Never),
        );
        for line in [
            "--- declared apps/Deployment shop/web",
            "-  - image: a:1\n",
            "+  - image: a:2\n",
            "+    tty: true\n",
            "-  replicas: 1\n",
            "+  replicas: 3\n",
            "     name: web\n",
        ] {
            assert!(shown.contains(line), "{line:?} is not in:\n{shown}");
        }
    }

    /// A report of a Deployment `web` that stands so, and a path that could not be rendered.
    fn report(standing: Option<&str>, unchecked: bool, unrendered: bool) -> AuditReport {
        let web =
            json!({"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web"});
        let mut objects = vec![finding(json!([]))];
        objects[0].subject.name = "api".to_owned();
        objects.extend(standing.map(|standing| Finding {
            standing: serde_json::from_value(json!(standing)).expect("a standing"),
            ..finding(json!([]))
        }));
        let mut not_checked =
            vec![json!({"what": "Secret", "reason": "Forbidden", "message": "", "objects": 1})];
        if unrendered {
            not_checked.push(
                json!({"what": "path x", "reason": "RenderFailed", "message": "", "objects": 0}),
            );
        }
        let summary =
            json!({"declared": 0, "inSync": 0, "drifted": 0, "unverified": 0, "unknown": 0});
        let cluster = json!({
            "context": "", "server": "", "serverVersion": "", "targets": [], "summary": summary, "namespaces": [],
            "objects": objects, "notChecked": not_checked,
        });
        let mut cluster: crate::model::ClusterReport =
            serde_json::from_value(cluster).expect("a report");
        if unchecked {
            cluster.unchecked = vec![serde_json::from_value(web).expect("a subject")];
        }
        AuditReport::new(vec![cluster], jiff::Timestamp::now())
    }

    #[test]
    fn the_outcome_of_an_object_is_its_own() {
        let named = Named::parse("deployment/web").expect("a name");
        let of = |report| of_object(report, "deployment/web", &named);
        let outcome = |report| of(report).expect("an outcome").2;
        assert_eq!(
            outcome(report(Some("Drifted"), false, true)),
            Outcome::Drifted
        );
        assert_eq!(
            outcome(report(Some("Pending"), false, true)),
            Outcome::InSync
        );
        assert_eq!(outcome(report(None, true, false)), Outcome::Unknown);
        assert_eq!(outcome(report(None, false, true)), Outcome::Unknown);
        assert!(
            of(report(None, false, false)).is_err(),
            "it is not declared"
        );
        let mut in_sync = report(None, false, true);
        in_sync.clusters[0].in_sync = vec![finding(json!([])).subject];
        let (findings, not_checked, outcome) = of(in_sync).expect("an outcome");
        assert_eq!(
            (findings.len(), not_checked.len(), outcome),
            (0, 0, Outcome::InSync)
        );
    }

    #[test]
    fn what_is_withheld_still_differs() {
        let mut secret = field("data.key", "Changed", Value::Null, Value::Null);
        secret["sensitive"] = json!(true);
        let (declared, live) = sides(&finding(json!([secret])));
        assert_ne!(declared, live);
    }
}
