//! `explain`: one record in full, and what one can do about it, as commands to copy.

mod next;

use std::fmt::Write as _;

use driftline_crds::{
    Converged, DriftException, DriftPolicy, DriftRecord, Enforcement, Origin, Outcome,
    RecordChange, RecordState, Severity,
};
use jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt as _};

use crate::backport::{self, Backport};
use crate::connect::Cluster;
use crate::failure::{Failure, Result};
use crate::model::{Finding, Standing};
use crate::options::{ExplainFormat, ExplainOptions};
use crate::output::{self, table, words};
use crate::paint::Paint;
use crate::records::{self, Known, Scope, Sought};
use crate::status;

/// There is no record, and what has none could not all be checked.
const NOT_KNOWN: u8 = 2;
/// The longest name of an exception, and the most fields of a match, by their schema.
const NAME: usize = 63;
const FIELDS: usize = 20;

/// Explains a record.
///
/// # Errors
/// Where there is none.
pub async fn run(cluster: &Cluster, options: &ExplainOptions, paint: Paint) -> Result<u8> {
    let known = match records::seek(cluster, &options.what).await? {
        Sought::Found(known) => *known,
        Sought::Doubtful(failure) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "{failure}");
            return Ok(NOT_KNOWN);
        }
    };
    match options.output {
        ExplainFormat::Table => {}
        ExplainFormat::Patch => return patch(&known, options),
        ExplainFormat::Json => return resource(known, output::json),
        ExplainFormat::Yaml => return resource(known, output::yaml),
    }
    let namespace = known.record.namespace().unwrap_or_default();
    let policies: Api<DriftPolicy> = records::api(cluster, Scope::In(&namespace));
    // What is not there, or may not be read, is left out.
    let policy = policies
        .get_opt(&known.record.spec.policy)
        .await
        .ok()
        .flatten();
    let exceptions = exceptions(cluster, &namespace, &known).await;
    let told = Told {
        known: &known,
        policy: policy.as_ref(),
        exceptions: &exceptions,
        backport: backport::of(&known.status, options.repo.as_deref()),
        paint,
        now: Timestamp::now(),
    };
    crate::print(&told.text());
    Ok(0)
}

/// Prints the record itself.
fn resource(known: Known, write: impl Fn(&DriftRecord) -> Result<String>) -> Result<u8> {
    let mut record = known.record;
    record.metadata.managed_fields = None;
    record.status = Some(known.status);
    crate::print(&write(&record)?);
    Ok(0)
}

/// Prints nothing but the patch.
fn patch(known: &Known, options: &ExplainOptions) -> Result<u8> {
    let none = |why: String| {
        Failure::new(
            format!("there is no patch for this: {why}"),
            "kubectl driftline explain without -o patch says more",
        )
    };
    match backport::of(&known.status, options.repo.as_deref()) {
        Backport::Patch { text, rest } => {
            crate::print(&text);
            let mut left = rest;
            if known.status.more_fields > 0 {
                let more = words::count(known.status.more_fields, "field");
                left.push(format!("{more} more that the record does not name"));
            }
            if !left.is_empty() {
                use std::io::Write as _;
                let _ = writeln!(
                    std::io::stderr(),
                    "warning: not in the patch, to be done by hand: {}",
                    words::clean(&left.join(", "))
                );
            }
            Ok(0)
        }
        Backport::ByHand(why) => Err(none(why)),
        Backport::None => Err(none("no field of it differs".to_owned())),
    }
}

async fn exceptions(cluster: &Cluster, namespace: &str, known: &Known) -> Vec<DriftException> {
    let Some(names) = &known.status.exception else {
        return Vec::new();
    };
    let api: Api<DriftException> = records::api(cluster, Scope::In(namespace));
    let mut found = Vec::new();
    for name in names.split(", ") {
        found.extend(api.get_opt(name).await.ok().flatten());
    }
    found
}

struct Told<'a> {
    known: &'a Known,
    policy: Option<&'a DriftPolicy>,
    exceptions: &'a [DriftException],
    backport: Backport,
    paint: Paint,
    now: Timestamp,
}

impl Told<'_> {
    fn text(&self) -> String {
        let (record, status) = (&self.known.record, &self.known.status);
        let mut text = self.what();
        text.push('\n');
        let mut say = |head: &str, body: String| {
            let _ = writeln!(text, "{}{body}", self.paint.bold(&format!("{head:<10}")));
        };
        let since = &status.first_seen;
        let mut seen = format!("first seen {} ({})", since.0, words::ago(since, self.now));
        if let Some(closed) = &status.closed_at {
            seen = format!(
                "{seen}; over since {} ({})",
                closed.0,
                words::ago(closed, self.now)
            );
        }
        say("Since", seen);
        say("Who", self.who());
        say("Declared", self.declared());
        say("Why", self.why());
        say("Next", self.next());
        say(
            "Policy",
            format!(
                "{}/{} target {}, record {}",
                record.namespace().unwrap_or_default(),
                record.spec.policy,
                record.spec.target,
                record.name_any()
            ),
        );
        if let Some(owner) = &status.owner {
            let parts = [&owner.team, &owner.contact, &owner.runbook];
            let parts: Vec<&str> = parts.into_iter().filter_map(|p| p.as_deref()).collect();
            say("Owner", words::clean(&parts.join(", ")));
        }
        if status.state != RecordState::Closed {
            let _ = writeln!(text, "\n{}", self.paint.bold("What you can do"));
            for (what, command) in self.options() {
                let _ = writeln!(
                    text,
                    "  {what}\n    {}",
                    self.paint.place(&words::clean(&command))
                );
            }
            self.way_back(&mut text);
        }
        text
    }

    fn what(&self) -> String {
        let (known, status) = (self.known, &self.known.status);
        let standing = match status.state {
            RecordState::Pending => Standing::Pending,
            _ => Standing::Drifted,
        };
        let mut finding = Finding::new(known.subject().clone(), standing, status.clone());
        // Told below, with more words.
        finding.declared_at = None;
        let state = format!("{:?} ", status.state).to_uppercase();
        format!(
            "{}{}",
            self.paint.warn(&state),
            table::finding(&finding, self.paint, self.now)
        )
    }

    fn who(&self) -> String {
        let status = &self.known.status;
        let mut all: Vec<String> = Vec::new();
        for by in status.fields.iter().map(|f| &f.by).chain(&status.by) {
            let who = words::actor(by);
            let how = match &*by.evidence {
                "Stamp" | "Admission" | "Audit" => {
                    "the API server authenticated this user for this write"
                }
                "ManagedFields" => "what a tool calls itself, not a person",
                _ => "who removed it leaves no trace",
            };
            let line = if who.is_empty() {
                format!("nobody is named: {how}")
            } else {
                format!("{who} ({how})")
            };
            if !all.contains(&line) {
                all.push(line);
            }
        }
        if all.is_empty() {
            all.push("nobody is named".to_owned());
        }
        all.join("\n          ")
    }

    fn declared(&self) -> String {
        let Some(at) = &self.known.status.declared_at else {
            return "not in Git as far as is known".to_owned();
        };
        let mut text = format!(
            "{} at {}",
            words::place(at, None),
            words::clean(&status::short(&at.revision))
        );
        if let Some(written) = words::written(at) {
            let _ = write!(text, "\n          the line was written by {written}");
        }
        text
    }

    fn why(&self) -> String {
        let status = &self.known.status;
        let grave = match status.severity {
            Some(Severity::Critical) => "Critical: it changes who may do what",
            Some(Severity::High) => "High: it changes what runs, or who reaches it",
            Some(Severity::Medium) => "Medium: it changes how it runs",
            Some(Severity::Low) | None => "Low: it changes nothing that runs",
        };
        let rule = match &status.rule {
            Some(rule) => format!("by rules of the policy: {}", words::clean(rule)),
            None => "built in; no rule of the policy says otherwise".to_owned(),
        };
        let origin = match status.origin {
            Some(Origin::LiveEdited) => "what runs was changed, Git was not",
            Some(Origin::GitAhead) => "Git was changed, and that is not rolled out",
            Some(Origin::Diverged) => "what runs was changed, and so was Git",
            Some(Origin::Unknown) | None => "it was so before Driftline knew it",
        };
        let mixed = match words::is_mixed(status.origin, &status.fields) {
            true => "; not of all fields: those of which something else is known say it above",
            false => "",
        };
        format!("{grave} ({rule})\n          {origin}{mixed}")
    }

    /// What happens without anybody doing anything.
    fn next(&self) -> String {
        let status = &self.known.status;
        if status.state == RecordState::Closed {
            return format!(
                "nothing: {}, and the record goes a day after it closed",
                ended(status.enforcement.as_ref())
            );
        }
        let lasting = |e: &&DriftException| e.spec.expires_at.0 > self.now;
        let allowed = self.exceptions.iter().find(lasting).map(|exception| {
            format!(
                "allowed by exception {} until {}: {}",
                exception.name_any(),
                exception.spec.expires_at.0,
                words::clean(&exception.spec.reason)
            )
        });
        match allowed {
            Some(allowed) if status.state == RecordState::Excepted => allowed,
            Some(allowed) => format!(
                "some of it is {allowed}\n          the rest: {}",
                self.rest()
            ),
            None if status.state == RecordState::Excepted => format!(
                "allowed for now by exception {}, of which no more could be read",
                words::clean(status.exception.as_deref().unwrap_or_default())
            ),
            None => self.rest(),
        }
    }

    /// What happens to what no exception allows.
    fn rest(&self) -> String {
        let status = &self.known.status;
        let mut before = String::new();
        if let Some(came) = &status.enforcement {
            if !came.outcome.is_done() {
                let reason = match &*came.reason {
                    "" => String::new(),
                    reason => format!(": {}", words::clean(reason)),
                };
                return format!("{}{reason} (tried {})", came.outcome.as_str(), came.at.0);
            }
            before = format!(
                "{} ({}), and it differs again; ",
                came.outcome.as_str(),
                came.at.0
            );
        }
        let Some(policy) = self.policy else {
            return format!("{before}what its policy does about it could not be read");
        };
        if let Some(("True", reason, message)) = status::condition(policy, "Stalled") {
            let why = words::clean(&format!("{reason}: {message}"));
            return format!(
                "{before}nothing while policy {} is stalled: {why}",
                policy.name_any()
            );
        }
        let fate = next::fate(self.known, policy, policy.spec.enforcement);
        if !fate.goes {
            if status.state == RecordState::Pending {
                return format!("{before}it is over when the commit is rolled out");
            }
            let why = match next::only_observes(policy) {
                true => format!("policy {} only observes", policy.name_any()),
                false => fate.why(),
            };
            return format!("{before}nothing by itself: {why}");
        }
        let stays = match fate.why() {
            why if why.is_empty() => String::new(),
            why => format!("\n          what stays as it is: {why}"),
        };
        let hold = policy.spec.hold.as_ref().map(|h| h.until.0);
        if let Some(until) = hold.filter(|until| *until > self.now) {
            return format!("{before}nothing until {until}: spec.hold pauses enforcement{stays}");
        }
        if fate.delivers {
            return format!("{before}Driftline applies what Git declares, as windows allow{stays}");
        }
        let after = policy.spec.revert.as_ref().map_or("0s", |r| &r.after);
        let after = words::clean(after);
        format!(
            "{before}it is put back, {after} after its record was opened, as windows and budget allow{stays}"
        )
    }

    fn options(&self) -> Vec<(String, String)> {
        let (record, status) = (&self.known.record, &self.known.status);
        let subject = self.known.subject();
        let namespace = record.namespace().unwrap_or_default();
        let of = match &subject.group[..] {
            "" => subject.kind.to_lowercase(),
            group => format!("{}.{group}", subject.kind.to_lowercase()),
        };
        let place = subject
            .namespace
            .as_ref()
            .map(|n| format!(" -n {n}"))
            .unwrap_or_default();
        let object = format!("{of} {}", shell(&subject.name));
        let mut all = Vec::new();
        if status.change != RecordChange::Missing {
            all.push((
                "see what runs, and who wrote which field".to_owned(),
                format!("kubectl get {object}{place} -o yaml --show-managed-fields"),
            ));
        }
        all.push((
            "have it looked at again".to_owned(),
            format!(
                "kubectl driftline check {} -n {namespace}",
                shell(&record.spec.policy)
            ),
        ));
        if self.policy.is_some_and(|p| self.would_go(p)) {
            let policy = shell(&record.spec.policy);
            all.push((
                "see what Revert would do now about all live edits of the policy, not only this one".to_owned(),
                format!("kubectl get driftpolicy {policy} -n {namespace} -o 'jsonpath={{.status.preview}}'"),
            ));
            all.push((
                "then let Driftline put all of them back (docs/converging.md; the team has to opt in)".to_owned(),
                format!(
                    "kubectl patch driftpolicy {policy} -n {namespace} --type=merge -p '{{\"spec\":{{\"enforcement\":\"Revert\"}}}}'"
                ),
            ));
        }
        if status.state != RecordState::Excepted {
            let fields = match (self.fields().is_empty(), status.fields.is_empty()) {
                (true, false) => ", with all of its fields",
                _ => "",
            };
            all.push((
                format!("allow it for a week, on record{fields}"),
                self.exception(&namespace),
            ));
        }
        all
    }

    /// Raising the policy would put back something of this, and the API server would take it.
    fn would_go(&self, policy: &DriftPolicy) -> bool {
        policy.spec.service_account_name.is_some()
            && policy.spec.enforcement == Enforcement::Observe
            && self.known.status.state == RecordState::Open
            && !next::fate(self.known, policy, Enforcement::Observe).goes
            && next::fate(self.known, policy, Enforcement::Revert).goes
    }

    /// The fields that an exception names; none where there are more than it can.
    fn fields(&self) -> Vec<&str> {
        let status = &self.known.status;
        if status.more_fields > 0 || status.fields.len() > FIELDS {
            return Vec::new();
        }
        status.fields.iter().map(|f| &*f.path).collect()
    }

    fn exception(&self, namespace: &str) -> String {
        let (record, subject) = (&self.known.record, self.known.subject());
        let kind = match &subject.group[..] {
            "" => subject.kind.clone(),
            group => format!("{group}/{}", subject.kind),
        };
        let until = self.now.saturating_add(SignedDuration::from_hours(7 * 24));
        let until = until.map_or(self.now, edge::content::whole_seconds);
        let fields = self.fields();
        let mut matches = serde_json::json!({
            "targets": [record.spec.target], "kinds": [kind], "names": [subject.name],
        });
        if !fields.is_empty()
            && let Some(map) = matches.as_object_mut()
        {
            map.insert("fields".to_owned(), fields.into());
        }
        let name = exception_name(&subject.kind, &record.name_any());
        let object = serde_json::json!({
            "apiVersion": "driftline.dev/v1alpha1",
            "kind": "DriftException",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"policy": record.spec.policy, "match": matches, "reason": "WHY", "expiresAt": until.to_string()},
        });
        format!("echo {} | kubectl create -f -", shell(&object.to_string()))
    }

    fn way_back(&self, text: &mut String) {
        match &self.backport {
            Backport::Patch { text: patch, rest } => {
                let _ = writeln!(text, "  keep what runs: bring it into Git, in a checkout");
                let what = format!(
                    "kubectl driftline explain {} -n {} -o patch | git apply",
                    shell(&self.known.record.name_any()),
                    self.known.record.namespace().unwrap_or_default()
                );
                let _ = writeln!(text, "    {}\n", self.paint.place(&words::clean(&what)));
                for line in patch.lines() {
                    // Tabs are common in files, and harmless.
                    let line = line.split('\t').map(words::clean).collect::<Vec<_>>();
                    let line = line.join("\t");
                    let painted = match line.as_bytes().first() {
                        Some(b'-') => self.paint.gone(&line),
                        Some(b'+') => self.paint.new_value(&line),
                        Some(b'@') => self.paint.place(&line),
                        _ => line,
                    };
                    let _ = writeln!(text, "{painted}");
                }
                if !rest.is_empty() {
                    let _ = writeln!(
                        text,
                        "\n  not in the patch, to be done by hand: {}",
                        words::clean(&rest.join(", "))
                    );
                }
            }
            Backport::ByHand(why) => {
                let _ = writeln!(text, "  keep what runs: {}", words::clean(why));
            }
            Backport::None => {}
        }
    }
}

/// How what a closed record told of came to an end.
fn ended(came: Option<&Converged>) -> String {
    let done = came.filter(|c| c.outcome.is_done());
    let Some(came) = done else {
        return "it is over, not by Driftline as far as is recorded".to_owned();
    };
    let what = match came.outcome {
        Outcome::Delivered => "Driftline applied what Git declares",
        Outcome::Pruned => "Driftline deleted it",
        _ => "Driftline put it back",
    };
    format!("{what} ({}, {})", came.outcome.as_str(), came.at.0)
}

/// A name for an exception of a record: records' names end with a digest of what they are about, which is kept where all is too long.
fn exception_name(kind: &str, record: &str) -> String {
    let whole: Vec<char> = format!("{kind}-{record}")
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let from = whole.len().saturating_sub(NAME - "allow-".len());
    let end: String = whole.into_iter().skip(from).collect();
    format!("allow-{}", end.trim_matches('-'))
}

/// A word for a POSIX shell.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_has_an_exception_of_its_own() {
        assert_eq!(
            exception_name("Service", "shop-app-service-x-1a2b"),
            "allow-service-shop-app-service-x-1a2b"
        );
        assert_ne!(
            exception_name("Service", "x-1"),
            exception_name("Service", "x-2")
        );
        let long = format!("{}-0123456789", "a.".repeat(80));
        let name = exception_name("ConfigMap", &long);
        assert!(
            name.len() <= NAME && name.ends_with("-0123456789"),
            "{name}"
        );
    }

    #[test]
    fn a_closed_record_says_how_it_ended() {
        let came = |outcome: &str| {
            let came = serde_json::json!({"rung": "Revert", "outcome": outcome, "at": "2026-01-01T00:00:00Z"});
            serde_json::from_value::<Converged>(came).expect("an outcome")
        };
        assert!(
            ended(Some(&came("Reverted"))).starts_with("Driftline put it back (Reverted, 2026")
        );
        assert!(ended(Some(&came("Waiting"))).starts_with("it is over"));
        assert!(ended(None).starts_with("it is over"));
    }

    #[test]
    fn words_for_a_shell_cannot_end_themselves() {
        assert_eq!(shell("web-1"), "web-1");
        assert_eq!(shell("a'; rm -rf"), r"'a'\''; rm -rf'");
        assert_eq!(shell(""), "''");
    }

    #[test]
    fn what_teams_and_repositories_wrote_is_no_command_to_a_terminal() {
        let red = "a\u{1b}[31mb";
        let record = serde_json::from_value(serde_json::json!({
            "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftRecord", "metadata": {"name": "r", "namespace": "shop"},
            "spec": {"policy": "shop", "target": "app", "subject": {"kubernetes": {"kind": "ConfigMap", "namespace": "shop", "name": red}}},
            "status": {
                "state": "Excepted", "change": "Changed", "apiVersion": "v1", "severity": "Low", "origin": "LiveEdited",
                "firstSeen": "2026-01-01T00:00:00Z", "rule": red, "display": {"subject": red, "fields": red, "origin": red, "by": red},
                "owner": {"team": red, "contact": red, "runbook": red},
                "declaredAt": {"revision": red, "file": red, "commit": red, "author": red},
                "fields": [{"path": red, "change": "Changed", "basis": red, "by": {"evidence": "None", "manager": red},
                    "declared": red, "live": red}],
            },
        }));
        let mut record: DriftRecord = record.expect("a record");
        let status = record.status.take().expect("a status");
        let exception = serde_json::from_value(serde_json::json!({
            "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftException", "metadata": {"name": "e", "namespace": "shop"},
            "spec": {"policy": "shop", "match": {}, "reason": red, "expiresAt": "2026-01-01T00:00:00Z"},
        }));
        let known = Known { record, status };
        let told = |backport| {
            let told = Told {
                known: &known,
                policy: None,
                exceptions: &[exception.as_ref().map(Clone::clone).expect("an exception")],
                backport,
                paint: Paint::new(crate::paint::When::Never),
                now: Timestamp::UNIX_EPOCH,
            };
            told.text()
        };
        let text = format!("+{red}\n\tb\n");
        let rest = vec![red.to_owned()];
        let texts = [
            told(Backport::Patch { text, rest }),
            told(Backport::ByHand(red.to_owned())),
        ];
        for text in texts {
            assert!(
                text.contains("allowed by exception e") && text.contains("Owner"),
                "{text}"
            );
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
    }
}
