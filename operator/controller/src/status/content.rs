//! What a policy's status says. Pure.

use cluster::Account;
use cluster::index::{ScopeKey, Tally};
use drift::{ObjectId, Unknown};
use driftline_crds::{BudgetStatus, DriftPolicyStatus, RecordCounts, Summary, TargetStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::beyond::Beyond;
use crate::records::{MAX_OPEN, Standing};
use crate::registry::{TargetView, View};

/// The longest message of a condition or a target, in bytes.
const MESSAGE: usize = 1024;

/// A target and what the index says of it.
pub struct Target {
    pub view: TargetView,
    pub tally: Tally,
    pub troubles: Vec<(ScopeKey, Unknown, u32)>,
    /// Objects that cannot be compared, or not wholly, for a reason of their own: for each reason how many, and the first.
    pub odd: Vec<(u32, ObjectId, Unknown)>,
    pub settled: bool,
    /// What it asks about objects that nobody declares, if it does.
    pub beyond: Option<Beyond>,
    /// Since when its oldest commit has been waiting to be rolled out.
    pub pending_since: Option<Timestamp>,
}

/// What a condition says.
struct Said {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

/// A status as a whole; `before` gives the times of conditions that have not changed.
pub fn status(
    view: &View,
    targets: &[Target],
    records: Standing,
    budget: Option<BudgetStatus>,
    before: &DriftPolicyStatus,
    now: Timestamp,
) -> DriftPolicyStatus {
    let Standing {
        open,
        pending,
        oldest,
        worst,
    } = records;
    let mut sum = Tally::default();
    targets.iter().for_each(|t| sum.merge(t.tally));
    let target_statuses: Vec<TargetStatus> = targets
        .iter()
        .map(|target| target_status(target, view.account.as_ref()))
        .collect();
    let pause = held(view, now);
    let mut said = conditions(view, &target_statuses, sum, pause.is_some());
    said.extend(pause);
    let omitted = if open >= MAX_OPEN {
        (sum.drifted + sum.orphaned).saturating_sub(u32::try_from(open).unwrap_or(u32::MAX))
    } else {
        0
    };
    DriftPolicyStatus {
        observed_generation: view.generation,
        conditions: said
            .into_iter()
            .map(|s| condition(s, view.generation, before, now))
            .collect(),
        source: view.source.clone(),
        summary: Some(summary(sum)),
        oldest_drift_since: oldest,
        worst,
        records: Some(RecordCounts {
            open: u32::try_from(open).unwrap_or(u32::MAX),
            pending: u32::try_from(pending).unwrap_or(u32::MAX),
            omitted,
        }),
        targets: target_statuses,
        budget,
        preview: None,
        last_handled_check: view.last_handled_check.clone(),
    }
}

fn summary(tally: Tally) -> Summary {
    let Tally {
        in_sync,
        drifted,
        pending,
        excepted,
        unverified,
        unknown,
        orphaned,
        left: _,
    } = tally;
    Summary {
        declared: tally.declared(),
        in_sync,
        drifted: drifted + orphaned,
        pending,
        excepted,
        unverified,
        unknown,
    }
}

fn target_status(target: &Target, account: Option<&Account>) -> TargetStatus {
    let view = &target.view;
    let (ready, reason, message) = readiness(target, account);
    TargetStatus {
        name: view.name.clone(),
        ready: ready.to_owned(),
        reason,
        message: shown(&message),
        revision: view.revision.clone(),
        inputs: view.inputs.clone(),
        checked_at: view
            .checked_at
            .map(|t| Time(crate::records::whole_seconds(t))),
        oldest_pending_since: target
            .pending_since
            .map(|t| Time(crate::records::whole_seconds(t))),
        summary: Some(summary(target.tally)),
    }
}

fn readiness(target: &Target, account: Option<&Account>) -> (&'static str, String, String) {
    let view = &target.view;
    match view.ready {
        None => return ("Unknown", view.reason.clone(), view.message.clone()),
        Some(false) => return ("False", view.reason.clone(), view.message.clone()),
        Some(true) => {}
    }
    // Leaving live Secrets alone is a setting, not a failure.
    let failing: Vec<_> = target
        .troubles
        .iter()
        .filter(|(_, why, _)| *why != Unknown::NotCompared)
        .collect();
    if let Some((scope, why, _)) = failing.first() {
        let kind = &scope.kind.group_kind;
        let place = scope
            .namespace
            .as_ref()
            .map(|n| format!(" in namespace {n}"))
            .unwrap_or_default();
        let more = if failing.len() > 1 {
            format!(" (and {} more)", failing.len() - 1)
        } else {
            String::new()
        };
        return (
            "False",
            why.reason().to_owned(),
            format!("{kind}{place}: {}{more}", remedy(why, account)),
        );
    }
    if !target.settled {
        return (
            "Unknown",
            "Listing".to_owned(),
            "live objects are being listed".to_owned(),
        );
    }
    if let Some((reason, message)) = target.beyond.as_ref().and_then(Beyond::failing) {
        return ("False", reason.to_owned(), message);
    }
    let left_out: u32 = target.troubles.iter().map(|(_, _, count)| count).sum();
    let mut messages = Vec::new();
    for (count, first, why) in &target.odd {
        let more = match count {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        messages.push(format!(
            "{first} is {}: {}{more}",
            why.reason(),
            oddity(why)
        ));
    }
    if left_out > 0 {
        let (noun, verb) = if left_out == 1 {
            ("Secret", "is")
        } else {
            ("Secrets", "are")
        };
        messages.push(format!(
            "{left_out} {noun} {verb} not compared: the operator was started without --compare-secrets (secrets.compareLive of the chart)"
        ));
    }
    if target.tally.declared() == 0 {
        messages.push(
            "no objects are declared; if there should be some, check the target's path".to_owned(),
        );
    }
    messages.extend(target.beyond.as_ref().and_then(Beyond::left_out));
    messages.extend(view.unverified.clone());
    ("True", view.reason.clone(), messages.join("; "))
}

/// Why an object cannot be compared while others of its kind can, and what to do.
fn oddity(why: &Unknown) -> &'static str {
    match why {
        Unknown::Unstable => {
            "two renderings of one commit do not agree on what differs; give random values and dates a fixed value"
        }
        Unknown::Autoscaled => {
            "its replicas are not as declared, and autoscalers have not been read; if that stays so, let the operator list and watch horizontalpodautoscalers"
        }
        Unknown::Encrypted => {
            "its values are encrypted in Git, so of those only the names are compared"
        }
        _ => "the API server's answer about it cannot be read",
    }
}

fn remedy(why: &Unknown, account: Option<&Account>) -> String {
    let account = account.map_or_else(|| "of the policy".to_owned(), Account::to_string);
    match why {
        Unknown::Forbidden => {
            "the operator may not list and watch this kind; add it to the chart's read rights"
                .to_owned()
        }
        Unknown::NotAllowed => format!(
            "service account {account} may not list this kind there; create it if it does not exist, and grant it the verb list"
        ),
        Unknown::NotServed => {
            "the cluster does not serve this kind in this version; is its CRD missing?".to_owned()
        }
        Unknown::AccessNotKnown => format!(
            "the API server did not say whether service account {account} may list this kind; it is asked again"
        ),
        Unknown::Blind => "the API server is not heard for this kind at the moment".to_owned(),
        _ => "nothing can be said about this kind".to_owned(),
    }
}

/// By kstatus rules: Ready and Drifted always, Reconciling and Stalled while they are true.
fn conditions(view: &View, targets: &[TargetStatus], sum: Tally, is_held: bool) -> Vec<Said> {
    let said = |kind, status, reason: &str, message: &str| Said {
        kind,
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    let mut all = Vec::new();
    let pending = targets.iter().find(|t| t.ready == "Unknown");
    let failing = targets.iter().find(|t| t.ready == "False");
    if let Some((reason, message)) = &view.stalled {
        all.push(said("Ready", "False", reason, message));
        all.push(said("Stalled", "True", reason, message));
    } else if let Some((reason, message)) = view
        .source_error
        .as_ref()
        .filter(|_| view.source_stale || view.source.is_none())
    {
        let stale = if view.source.is_some() {
            "SourceStale"
        } else {
            reason
        };
        all.push(said("Ready", "False", stale, message));
    } else if let Some(target) = failing {
        let others = targets.iter().filter(|t| t.ready == "False").count() - 1;
        let others = match others {
            0 => String::new(),
            1 => " (another target fails too)".to_owned(),
            n => format!(" ({n} other targets fail too)"),
        };
        let message = format!("target {}: {}{others}", target.name, target.message);
        all.push(said("Ready", "False", &target.reason, &message));
    } else if let Some(target) = pending {
        all.push(said(
            "Ready",
            "Unknown",
            "Progressing",
            &format!("target {}: {}", target.name, target.message),
        ));
        all.push(said("Reconciling", "True", "Progressing", &target.message));
    } else if targets.is_empty() {
        all.push(said(
            "Ready",
            "Unknown",
            "Progressing",
            "the source is being fetched",
        ));
        all.push(said(
            "Reconciling",
            "True",
            "Progressing",
            "the source is being fetched",
        ));
    } else {
        let late = view
            .source_error
            .as_ref()
            .map(|(_, message)| format!("the last revision stays in force: {message}"));
        all.push(said("Ready", "True", "Compared", &late.unwrap_or_default()));
    }
    let all_compared = !targets.is_empty() && targets.iter().all(|t| t.ready == "True");
    all.push(drifted(sum, all_compared, is_held));
    all
}

/// Exists while enforcement is paused.
fn held(view: &View, now: Timestamp) -> Option<Said> {
    let until = crate::records::whole_seconds(view.terms.hold(now)?);
    let reason = view.hold_reason.as_deref().unwrap_or_default();
    let reason = drift::redact::printable(reason);
    Some(Said {
        kind: "Held",
        status: "True",
        reason: "Hold".to_owned(),
        message: format!("nothing is put back until {until}: {reason}"),
    })
}

/// False only where everything was compared: nothing is called in sync that was not looked at. What is excepted or held does not set it.
fn drifted(sum: Tally, all_compared: bool, is_held: bool) -> Said {
    let blind = sum.unknown + sum.unverified;
    let declared = sum.declared();
    let drifted = sum.drifted + sum.orphaned;
    let (status, reason, message) = if drifted > 0 && !is_held {
        ("True", "DriftFound", what_drifted(sum))
    } else if blind > 0 {
        (
            "Unknown",
            "NotAllCompared",
            format!("{blind} of {declared} objects could not be compared"),
        )
    } else if !all_compared {
        (
            "Unknown",
            "NotAllCompared",
            "not everything that is declared could be read and compared".to_owned(),
        )
    } else if declared == 0 {
        (
            "Unknown",
            "NothingDeclared",
            "no objects are declared, so nothing could be compared".to_owned(),
        )
    } else if drifted + sum.excepted > 0 {
        ("False", "Allowed", what_is_allowed(sum))
    } else {
        let message = match sum.pending {
            0 => format!("all {declared} objects are as declared"),
            n => format!(
                "{n} of {declared} objects wait for a commit to be rolled out; the others are as declared"
            ),
        };
        ("False", "InSync", message)
    };
    Said {
        kind: "Drifted",
        status,
        reason: reason.to_owned(),
        message,
    }
}

/// What differs and is held or excepted.
fn what_is_allowed(sum: Tally) -> String {
    let held = sum.drifted + sum.orphaned;
    let held = (held > 0).then(|| format!("{held} objects differ while spec.hold lasts"));
    let excepted = sum.excepted;
    let excepted = (excepted > 0).then(|| format!("{excepted} objects differ as exceptions allow"));
    let said: Vec<String> = [held, excepted].into_iter().flatten().collect();
    said.join("; ")
}

fn what_drifted(sum: Tally) -> String {
    let declared = (sum.drifted > 0).then(|| {
        let all = sum.declared();
        format!("{} of {all} objects are not as declared", sum.drifted)
    });
    let orphaned =
        (sum.orphaned > 0).then(|| format!("{} more are there and not declared", sum.orphaned));
    let said: Vec<String> = [declared, orphaned].into_iter().flatten().collect();
    said.join("; ")
}

fn condition(
    said: Said,
    generation: Option<i64>,
    before: &DriftPolicyStatus,
    now: Timestamp,
) -> Condition {
    let old = before
        .conditions
        .iter()
        .find(|c| c.type_ == said.kind && c.status == said.status);
    Condition {
        type_: said.kind.to_owned(),
        status: said.status.to_owned(),
        reason: said.reason,
        message: shown(&said.message),
        observed_generation: generation,
        last_transition_time: old.map_or_else(
            || Time(crate::records::whole_seconds(now)),
            |c| c.last_transition_time.clone(),
        ),
    }
}

/// A message fit for a terminal: names of files are their author's words.
fn shown(message: &str) -> String {
    drift::redact::cut(&drift::redact::printable(message), MESSAGE).to_owned()
}

/// Makes a status shorter; true if nothing is left to cut.
pub fn shrink(status: &mut DriftPolicyStatus) -> bool {
    if status.worst.pop().is_some() {
        return false;
    }
    let longest = status.targets.iter_mut().max_by_key(|t| t.message.len());
    match longest.filter(|t| t.message.len() > 64) {
        Some(target) => {
            target.message =
                drift::redact::cut(&target.message, target.message.len() / 2).to_owned();
            false
        }
        None => {
            let blocked = status.preview.iter_mut().flat_map(|p| &mut p.blocked);
            let mut longest = blocked.filter(|b| !b.message.is_empty());
            match longest.next() {
                Some(blocked) => {
                    blocked.message.clear();
                    false
                }
                None => true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster::index::TargetId;

    use super::*;

    fn target(ready: Option<bool>, tally: Tally) -> Target {
        let view = TargetView {
            id: TargetId(1),
            name: "app".into(),
            ready,
            reason: "Compared".into(),
            message: String::new(),
            revision: None,
            inputs: None,
            checked_at: None,
            delivers: false,
            prunes: false,
            unverified: None,
            is_release: false,
            polled: None,
            begun: std::time::Instant::now(),
            is_declared: true,
            asks: crate::undeclared::Asks::default(),
        };
        Target {
            view,
            tally,
            troubles: vec![],
            odd: vec![],
            settled: true,
            beyond: None,
            pending_since: None,
        }
    }

    fn made(view: &View, targets: &[Target]) -> Vec<(String, String, String)> {
        let status = status(
            view,
            targets,
            Standing::default(),
            None,
            &DriftPolicyStatus::default(),
            Timestamp::UNIX_EPOCH,
        );
        status
            .conditions
            .into_iter()
            .map(|c| (c.type_, c.status, c.reason))
            .collect()
    }

    fn strings(all: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
        all.iter()
            .map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned()))
            .collect()
    }

    #[test]
    fn ready_says_nothing_about_drift() {
        let tally = Tally {
            in_sync: 2,
            drifted: 1,
            unknown: 1,
            ..Tally::default()
        };
        let view = View {
            generation: Some(1),
            ..View::default()
        };
        assert_eq!(
            made(&view, &[target(Some(true), tally)]),
            strings(&[
                ("Ready", "True", "Compared"),
                ("Drifted", "True", "DriftFound")
            ])
        );
    }

    #[test]
    fn what_could_not_be_compared_is_never_in_sync() {
        let view = View {
            generation: Some(1),
            ..View::default()
        };
        for tally in [
            Tally {
                in_sync: 9,
                unknown: 1,
                ..Tally::default()
            },
            Tally {
                in_sync: 9,
                unverified: 1,
                ..Tally::default()
            },
        ] {
            assert_eq!(made(&view, &[target(Some(true), tally)])[1].1, "Unknown");
        }
        assert_eq!(
            made(
                &view,
                &[target(
                    Some(true),
                    Tally {
                        in_sync: 1,
                        ..Tally::default()
                    }
                )]
            )[1]
            .1,
            "False"
        );
        assert_eq!(made(&view, &[])[2].1, "Unknown");
        let in_sync = Tally {
            in_sync: 1,
            ..Tally::default()
        };
        for ready in [None, Some(false)] {
            let conditions = made(&view, &[target(ready, in_sync)]);
            assert_eq!(conditions.last().map(|c| c.1.as_str()), Some("Unknown"));
        }
    }

    #[test]
    fn a_wrong_policy_is_stalled_and_a_failed_fetch_only_a_message() {
        let stalled = View {
            generation: Some(1),
            stalled: Some(("InvalidSpec".into(), "x".into())),
            ..View::default()
        };
        assert_eq!(
            made(&stalled, &[])[..2],
            strings(&[
                ("Ready", "False", "InvalidSpec"),
                ("Stalled", "True", "InvalidSpec")
            ])[..]
        );
        let late = View {
            generation: Some(1),
            source: Some(Default::default()),
            source_error: Some(("Timeout".into(), "slow".into())),
            ..View::default()
        };
        let ok = target(
            Some(true),
            Tally {
                in_sync: 1,
                ..Tally::default()
            },
        );
        assert_eq!(made(&late, &[ok])[0].1, "True");
        let stale = View {
            source_stale: true,
            ..late
        };
        let ok = target(
            Some(true),
            Tally {
                in_sync: 1,
                ..Tally::default()
            },
        );
        assert_eq!(
            made(&stale, &[ok])[0],
            strings(&[("Ready", "False", "SourceStale")])[0]
        );
    }

    #[test]
    fn a_kind_that_may_not_be_read_is_named() {
        let mut target = target(
            Some(true),
            Tally {
                unknown: 3,
                ..Tally::default()
            },
        );
        let scope = ScopeKey::new(
            drift::GroupVersionKind::new("apps", "v1", "Deployment"),
            Some("shop".into()),
        );
        target.troubles = vec![(scope, Unknown::Forbidden, 3)];
        let status = target_status(&target, None);
        assert_eq!(
            (status.ready.as_str(), status.reason.as_str()),
            ("False", "Forbidden")
        );
        assert!(
            status
                .message
                .starts_with("apps/Deployment in namespace shop: the operator may not"),
            "{}",
            status.message
        );
    }

    #[test]
    fn that_values_are_encrypted_was_said_nowhere() {
        let tally = Tally {
            unknown: 3,
            ..Tally::default()
        };
        let mut target = target(Some(true), tally);
        let map = |name| ObjectId::new(drift::GroupKind::new("", "ConfigMap"), Some("shop"), name);
        target.odd = vec![
            (2, map("a"), Unknown::Encrypted),
            (1, map("b"), Unknown::Unstable),
        ];
        let status = target_status(&target, None);
        assert_eq!(status.ready, "True");
        for part in [
            "shop/a is ValuesEncrypted: its values are encrypted in Git, so of those only the names are compared (and 1 more)",
            "shop/b is RenderUnstable: two renderings",
        ] {
            assert!(status.message.contains(part), "{}", status.message);
        }
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let view = View {
            generation: Some(1),
            ..View::default()
        };
        let first = status(
            &view,
            &[target(
                Some(true),
                Tally {
                    in_sync: 1,
                    ..Tally::default()
                },
            )],
            Standing::default(),
            None,
            &DriftPolicyStatus::default(),
            Timestamp::UNIX_EPOCH,
        );
        let later = Timestamp::from_second(1000).expect("time");
        let same = status(
            &view,
            &[target(
                Some(true),
                Tally {
                    in_sync: 1,
                    ..Tally::default()
                },
            )],
            Standing::default(),
            None,
            &first,
            later,
        );
        assert_eq!(first, same);
        let other = status(
            &view,
            &[target(
                Some(true),
                Tally {
                    drifted: 1,
                    ..Tally::default()
                },
            )],
            Standing::default(),
            None,
            &first,
            later,
        );
        assert_eq!(other.conditions[1].last_transition_time.0, later);
    }
}
