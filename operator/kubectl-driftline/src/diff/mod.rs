//! `diff`: what drifts as a unified diff of declared against live; of a repository without an operator, or of what the operator recorded.

mod full;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use drift::FieldPath;
use drift::path::Step;
use driftline_crds::{Field, KubernetesSubject, RecordChange, RecordState};
use kube::ResourceExt as _;
use serde_json::{Map, Value};
use similar::TextDiff;

use crate::audit;
use crate::connect::{Cluster, connect};
use crate::failure::{Failure, Result};
use crate::model::{AuditReport, Finding, NotChecked, Outcome, Standing, title};
use crate::options::{Connection, DiffOptions};
use crate::output::words;
use crate::paint::Paint;
use crate::records::{self, Known, Named, Scope};

/// What stands for a value that is or may be secret.
const WITHHELD: [&str; 2] = ["(withheld: declared)", "(withheld: live)"];

/// What is to be shown, and how it ends.
struct Compared {
    /// The clusters' findings.
    clusters: Vec<(Option<String>, Vec<Finding>)>,
    not_checked: Vec<NotChecked>,
    outcome: Outcome,
    /// What else is to be known.
    notes: Vec<String>,
}

/// Prints the diff. Gives the exit code.
///
/// # Errors
/// Where nothing can be compared.
pub async fn run(connection: &Connection, options: &DiffOptions, paint: Paint) -> Result<u8> {
    let options = &folder(options)?;
    let of_repository = !options.source.git.is_empty() || !options.helm_release.is_empty();
    let compared = match of_repository {
        true => of_sources(connection, options).await,
        false => recorded(connection, options).await,
    };
    let compared = compared.map_err(|failure| or_a_path(options, failure))?;
    let mut sides = Vec::new();
    for (context, findings) in &compared.clusters {
        let whole = match options.full {
            true => {
                let context = context.as_deref().filter(|c| !c.is_empty());
                full::whole(&connect(connection, context).await?, findings).await?
            }
            false => Vec::new(),
        };
        let mut whole = whole.into_iter();
        for finding in findings {
            let (declared, live, cut) = match whole.next() {
                Some(Ok(whole)) => (yaml(&whole.declared), yaml(&whole.live), whole.cut),
                Some(Err(why)) => {
                    if !why.is_empty() {
                        tell(&format!("note: {why}"));
                    }
                    let (declared, live) = self::sides(finding);
                    (declared, live, Vec::new())
                }
                None => {
                    let (declared, live) = self::sides(finding);
                    (declared, live, Vec::new())
                }
            };
            sides.push(Side {
                remarks: remarks(finding, declared == live, cut),
                finding,
                declared,
                live,
            });
        }
    }
    match std::env::var("KUBECTL_EXTERNAL_DIFF")
        .ok()
        .filter(|c| !c.trim().is_empty())
    {
        Some(command) => {
            external(&command, &sides)?;
            for side in &sides {
                let name = title(&side.finding.subject);
                for remark in &side.remarks {
                    tell(&format!("note: {name}: {remark}"));
                }
            }
        }
        None => {
            let text: String = sides
                .iter()
                .map(|s| unified(s, paint, options.full))
                .collect();
            crate::print(&text);
        }
    }
    for note in &compared.notes {
        tell(&format!("note: {note}"));
    }
    for not in &compared.not_checked {
        tell(&format!(
            "not checked: {}: {}",
            words::subject(not),
            not.message
        ));
    }
    Ok(compared.outcome.code())
}

/// On standard error.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", words::clean(line));
}

/// A folder or file that is named instead of an object is compared as its files are.
fn folder(options: &DiffOptions) -> Result<DiffOptions> {
    let mut options = options.clone();
    let Some(what) = options.what.clone() else {
        return Ok(options);
    };
    let is_path = ["./", "../", "/"].iter().any(|p| what.starts_with(p))
        || matches!(what.as_str(), "." | "..")
        || what.ends_with('/');
    let is_there = Path::new(&what).exists();
    if !is_path {
        return match what.matches('/').count() {
            0 | 1 => Ok(options),
            _ if is_there => Err(Failure::new(
                format!("{what} is a folder or file, and is not written as one"),
                format!("write ./{what}"),
            )),
            _ => Err(unnamed(&what)),
        };
    }
    if !is_there {
        return Err(Failure::new(
            format!("there is no folder or file {what}"),
            "name one that is there, or an object as KIND/NAME",
        ));
    }
    if !options.source.git.is_empty() {
        return Err(Failure::new(
            format!("{what} is a folder or file here, and --git names another place"),
            "name what is meant of a repository with --path, or leave out --git",
        ));
    }
    options.what = None;
    options.source.worktree = options.source.reference.is_none();
    options.source.git = vec![what];
    if let [git] = &*options.source.git
        && Path::new(git).is_file()
    {
        let (folder, path) = file(git, options.source.worktree);
        if !options.source.path.is_empty() {
            return Err(Failure::new(
                format!("{git} is a file, and --path looks into folders"),
                "leave out --path, or name a folder",
            ));
        }
        options.source.git = vec![folder];
        options.source.path.extend(path);
    }
    Ok(options)
}

/// Where a file is found, and what of that place it is. What a kustomization or chart declares lies in its folder; any other file of a
/// working tree is taken by itself.
fn file(file: &str, as_it_is: bool) -> (String, Option<String>) {
    const WHOLE: [&str; 4] = [
        "kustomization.yaml",
        "kustomization.yml",
        "Kustomization",
        "Chart.yaml",
    ];
    let (folder, name) = file.rsplit_once('/').unwrap_or((".", file));
    let folder = match folder {
        "" => "/".to_owned(),
        folder => folder.to_owned(),
    };
    if WHOLE.contains(&name) {
        (folder, None)
    } else if as_it_is {
        (file.to_owned(), None)
    } else {
        (folder, Some(globset::escape(name)))
    }
}

/// What names neither an object nor a record may have been meant as a path.
fn or_a_path(options: &DiffOptions, failure: Failure) -> Failure {
    match &options.what {
        Some(what) if Path::new(what).exists() => Failure::new(
            format!("{} ({what} is a folder or file here, too)", failure.what()),
            format!("to compare that, write ./{what}; else {}", failure.next()),
        ),
        _ => failure,
    }
}

async fn of_sources(connection: &Connection, options: &DiffOptions) -> Result<Compared> {
    if options.policy.is_some() || options.target.is_some() {
        return Err(Failure::new(
            "--policy names what the operator recorded, and a repository is named, too",
            "leave out one of them",
        ));
    }
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
        Some((what, named)) => of_object(report, what, named),
        None => Ok(of_all(report)),
    }
}

/// What drifts, of everything.
fn of_all(report: AuditReport) -> Compared {
    let (mut clusters, mut not_checked) = (Vec::new(), Vec::new());
    for cluster in report.clusters {
        let drifted = |f: &Finding| f.standing == Standing::Drifted;
        let findings = cluster.objects.into_iter().filter(drifted).collect();
        clusters.push((Some(cluster.context), findings));
        not_checked.extend(cluster.not_checked);
    }
    Compared {
        clusters,
        not_checked,
        outcome: report.status,
        notes: Vec::new(),
    }
}

/// What differs of the object that is named, by its own state: that of others is not asked for.
fn of_object(report: AuditReport, what: &str, named: &Named<'_>) -> Result<Compared> {
    let is_it = |s: &KubernetesSubject| named.is(&s.group, &s.kind, &s.name);
    let (mut clusters, mut not_checked) = (Vec::new(), Vec::new());
    let (mut in_sync, mut unchecked) = (false, false);
    for cluster in report.clusters {
        in_sync |= cluster.in_sync.iter().any(is_it);
        unchecked |= cluster.unchecked.iter().any(is_it);
        let objects = cluster.objects.into_iter();
        let found: Vec<Finding> = objects.filter(|f| is_it(&f.subject)).collect();
        clusters.push((Some(cluster.context), found));
        not_checked.extend(cluster.not_checked);
    }
    // Any place that could not be read may declare it.
    let read = not_checked.iter().all(|n| n.objects > 0);
    let drifted = |f: &Finding| f.standing == Standing::Drifted;
    let findings = || clusters.iter().flat_map(|(_, found)| found);
    let outcome = if findings().any(drifted) {
        Outcome::Drifted
    } else if unchecked {
        Outcome::Unknown
    } else if in_sync || findings().next().is_some() {
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
    Ok(Compared {
        clusters,
        not_checked,
        outcome,
        notes: Vec::new(),
    })
}

fn unnamed(what: &str) -> Failure {
    Failure::new(
        format!("{what:?} does not name an object"),
        "write KIND/NAME, for example deployment/web",
    )
}

/// What the operator knows of an object, or of all that a policy or one of its targets declares.
async fn recorded(connection: &Connection, options: &DiffOptions) -> Result<Compared> {
    let context = crate::only(&connection.context)?;
    let known = match (&options.what, &options.policy) {
        (Some(what), _) => {
            let cluster = connect(connection, context).await?;
            vec![records::find(&cluster, what).await?]
        }
        (None, Some(policy)) => {
            let cluster = connect(connection, context).await?;
            return of_policy(&cluster, policy, options.target.as_deref(), context).await;
        }
        (None, None) => {
            return Err(Failure::new(
                "neither a repository nor an object is named",
                "compare a repository with --git URL, a folder as ./FOLDER, or name what the operator watches as KIND/NAME or with --policy NAME",
            ));
        }
    };
    let outcome = worst(&known);
    Ok(of_records(known, Vec::new(), outcome, context))
}

async fn of_policy(
    cluster: &Cluster,
    name: &str,
    target: Option<&str>,
    context: Option<&str>,
) -> Result<Compared> {
    let scope = Scope::In(&cluster.namespace);
    let policies = records::policies(cluster, scope, Some(name)).await?;
    let targets = || policies.items.iter().flat_map(|p| &p.spec.targets);
    if let Some(target) = target
        && !targets().any(|t| t.name == target)
    {
        let there: Vec<&str> = targets().map(|t| t.name.as_str()).collect();
        return Err(Failure::new(
            format!("policy {name} has no target {target:?}"),
            format!("choose one of: {}", there.join(", ")),
        ));
    }
    let listed = records::records(cluster, scope).await?;
    let is_it = |k: &Known| {
        let spec = &k.record.spec;
        spec.policy == name && target.is_none_or(|t| spec.target == t) && k.is_open()
    };
    let unreadable = !listed.unreadable.is_empty();
    let known: Vec<Known> = listed.items.into_iter().filter(is_it).collect();
    // Of one target the operator tells counts of its own.
    let mut not_checked = Vec::new();
    for policy in &policies.items {
        let targets = policy.status.iter().flat_map(|s| &s.targets);
        for of in targets.filter(|t| target.is_none_or(|name| t.name == name)) {
            let counted = of.summary.unwrap_or_default();
            let objects = counted.unknown + counted.unverified;
            if of.ready != "True" || objects > 0 {
                not_checked.push(NotChecked {
                    what: format!("target {}", of.name),
                    namespace: None,
                    reason: of.reason.clone(),
                    message: match of.message.is_empty() {
                        true => of.reason.clone(),
                        false => of.message.clone(),
                    },
                    objects,
                });
            }
        }
        if policy.status.is_none() {
            not_checked.push(NotChecked {
                what: format!("policy {name}"),
                namespace: None,
                reason: "Unseen".to_owned(),
                message: "no operator has looked at it yet".to_owned(),
                objects: 0,
            });
        }
    }
    let outcome = match worst(&known) {
        Outcome::InSync if unreadable || !not_checked.is_empty() => Outcome::Unknown,
        outcome => outcome,
    };
    Ok(of_records(known, not_checked, outcome, context))
}

/// Allowed and held drift is shown and fails nobody's pipeline; a commit that waits is no drift.
fn worst(known: &[Known]) -> Outcome {
    let drifts = |k: &Known| {
        !matches!(
            k.status.state,
            RecordState::Pending | RecordState::Closed | RecordState::Excepted | RecordState::Held
        )
    };
    match known.iter().any(drifts) {
        true => Outcome::Drifted,
        false => Outcome::InSync,
    }
}

fn of_records(
    known: Vec<Known>,
    not_checked: Vec<NotChecked>,
    outcome: Outcome,
    context: Option<&str>,
) -> Compared {
    let notes = known.iter().filter_map(allowed).collect();
    let open = known.into_iter().filter(Known::is_open).map(|known| {
        let standing = match known.status.state {
            RecordState::Pending => Standing::Pending,
            _ => Standing::Drifted,
        };
        Finding::new(known.subject().clone(), standing, known.status)
    });
    Compared {
        clusters: vec![(context.map(str::to_owned), open.collect())],
        not_checked,
        outcome,
        notes,
    }
}

/// Why drift that is shown counts as none.
fn allowed(known: &Known) -> Option<String> {
    let name = title(known.subject());
    let more = format!(
        "kubectl driftline explain {} -n {} says until when",
        known.record.name_any(),
        known.record.namespace().unwrap_or_default()
    );
    match known.status.state {
        RecordState::Excepted => {
            let exception = known.status.exception.as_deref().unwrap_or_default();
            Some(format!(
                "{name} may differ for now, by exception {exception}; {more}"
            ))
        }
        RecordState::Held => Some(format!("{name} is held, and not put back for now; {more}")),
        RecordState::Pending => Some(format!("{name} only waits for a commit to be rolled out")),
        _ => None,
    }
}

/// An object to be shown.
struct Side<'a> {
    finding: &'a Finding,
    declared: String,
    live: String,
    /// What the two sides do not tell.
    remarks: Vec<String>,
}

/// What is to be said beside the two sides: what is the matter with the object as a whole, what looks the same on both, and what is left out.
fn remarks(finding: &Finding, is_equal: bool, cut: Vec<String>) -> Vec<String> {
    let mut said = Vec::new();
    if !matches!(
        finding.change,
        RecordChange::Changed | RecordChange::Missing
    ) {
        said.push(words::change(finding));
    }
    for field in &finding.fields {
        let both = words::has_declared(field) && words::has_live(field);
        let side = |value: &Option<Value>, n| shown(field, value.as_ref(), n);
        if both && side(&field.declared, 0) == side(&field.live, 1) {
            let where_in = match field.sensitive {
                true => "withheld",
                false => "not shown",
            };
            said.push(format!("{} differs in what is {where_in}", field.path));
        }
    }
    said.extend(cut);
    match finding.more_fields {
        0 => {}
        1 => said.push("and 1 field more".to_owned()),
        n => said.push(format!("and {n} fields more")),
    }
    if said.is_empty() && is_equal {
        said.push("it differs in what is not shown".to_owned());
    }
    said
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
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
            root => yaml(root),
        }
    };
    (side(0), side(1))
}

fn shown(field: &Field, value: Option<&Value>, side: usize) -> Value {
    if let Some(excerpt) = &field.excerpt {
        let differs = [&excerpt.declared, &excerpt.live];
        return differs.get(side).copied().cloned().unwrap_or_default();
    }
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

fn unified(side: &Side<'_>, paint: Paint, full: bool) -> String {
    let Side {
        finding,
        declared,
        live,
        remarks,
    } = side;
    let name = title(&finding.subject);
    let place = finding
        .declared_at
        .as_ref()
        .map(|at| format!("  {}", words::place(at, None)));
    let diff = TextDiff::from_lines(declared, live);
    let (before, after) = (
        format!("declared {name}{}", place.unwrap_or_default()),
        format!("live     {name}"),
    );
    let text = diff
        .unified_diff()
        .context_radius(if full { usize::MAX >> 8 } else { 20 })
        .header(&before, &after)
        .to_string();
    let text = match text.is_empty() {
        true => format!("--- {before}\n+++ {after}\n"),
        false => text,
    };
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
    for remark in remarks {
        painted.push_str(&paint.dim(&format!("# {}", words::clean(remark))));
        painted.push('\n');
    }
    painted
}

/// As kubectl: two folders with a file for each object, handed to a program of the user's.
fn external(command: &str, sides: &[Side<'_>]) -> Result<()> {
    let broken = |e: std::io::Error| {
        Failure::new(
            format!("the files for KUBECTL_EXTERNAL_DIFF cannot be written: {e}"),
            "check that TMPDIR can be written and has room",
        )
    };
    if sides.is_empty() {
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
    for side in sides {
        let subject = &side.finding.subject;
        let parts = [
            &subject.group,
            &subject.kind,
            subject.namespace.as_ref().unwrap_or(&String::new()),
            &subject.name,
        ]
        .map(|p| p.replace(['/', '\0'], "_"));
        let name = parts.join(".").trim_start_matches('.').to_owned();
        fs::write(declared.join(&name), &side.declared).map_err(broken)?;
        fs::write(live.join(&name), &side.live).map_err(broken)?;
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
        let finding = finding(json!([
            field(&of("image"), "Changed", json!("a:1"), json!("a:2")),
            field(&of("tty"), "Added", Value::Null, json!(true)),
            field("spec.replicas", "Changed", json!(1), json!(3)),
        ]));
        let (declared, live) = sides(&finding);
        let side = Side {
            finding: &finding,
            remarks: Vec::new(),
            declared,
            live,
        };
        let shown = unified(&side, Paint::new(crate::paint::When::Never), false);
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
        let outcome = |report| of(report).map(|c| c.outcome).ok();
        assert_eq!(
            outcome(report(Some("Drifted"), false, true)),
            Some(Outcome::Drifted)
        );
        assert_eq!(
            outcome(report(Some("Pending"), false, true)),
            Some(Outcome::InSync)
        );
        assert_eq!(outcome(report(None, true, false)), Some(Outcome::Unknown));
        assert_eq!(outcome(report(None, false, true)), Some(Outcome::Unknown));
        assert!(
            of(report(None, false, false)).is_err(),
            "it is not declared"
        );
        let mut in_sync = report(None, false, true);
        in_sync.clusters[0].in_sync = vec![finding(json!([])).subject];
        let compared = of(in_sync).map_err(|e| e.to_string()).expect("an outcome");
        let findings: usize = compared.clusters.iter().map(|(_, found)| found.len()).sum();
        assert_eq!(
            (findings, compared.not_checked.len(), compared.outcome),
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

    fn text(finding: &Finding) -> String {
        let (declared, live) = sides(finding);
        let side = Side {
            remarks: remarks(finding, declared == live, Vec::new()),
            finding,
            declared,
            live,
        };
        unified(&side, Paint::new(crate::paint::When::Never), false)
    }

    #[test]
    fn drift_that_looks_the_same_on_both_sides_is_named() {
        let url = json!("https://u:(withheld)@h");
        let mut field = field("data.url", "Changed", url.clone(), url);
        field["sensitive"] = json!(true);
        let mut withheld = finding(json!([field]));
        let shown = text(&withheld);
        assert!(shown.starts_with("--- declared "), "{shown}");
        assert!(
            shown.contains("\n# data.url differs in what is withheld\n"),
            "{shown}"
        );
        assert!(!shown.contains("fields more"), "{shown}");
        withheld.more_fields = 3;
        assert!(text(&withheld).contains("\n# and 3 fields more\n"));
        let mut held = finding(json!([]));
        assert!(text(&held).contains("\n# it differs in what is not shown\n"));
        held.change = RecordChange::Terminating;
        let shown = text(&held);
        assert!(
            shown.contains("web\n# deleted, and held by a finalizer\n"),
            "{shown}"
        );
    }

    #[test]
    fn a_file_is_taken_by_itself_unless_it_stands_for_its_folder() {
        let name = |path: &str| Some(path.to_owned());
        assert_eq!(file("./a/web.yaml", true), ("./a/web.yaml".into(), None));
        assert_eq!(file("./a/w.yaml", false), ("./a".into(), name("w.yaml")));
        assert_eq!(
            file("/w[1].yaml", false),
            ("/".into(), name("w[[]1[]].yaml"))
        );
        assert_eq!(file("./k/kustomization.yaml", true), ("./k".into(), None));
    }
}
