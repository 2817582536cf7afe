//! What is said of putting back: in records, Events and the log.

use cluster::write::Place;
use cluster::{Category, Error};
use drift::ObjectId;
use drift::converge::{Terms, Why};
use drift::undeclared::Declarer;
use driftline_crds::{Converged, Outcome};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use sha2::{Digest as _, Sha256};

use crate::engine::Engine;
use crate::events::{Events, Said};
use crate::records::whole_seconds;
use crate::registry::PolicyState;

/// Why neither of two targets puts an object back.
pub const DISPUTED: &str = "another target or policy declares this object otherwise, so neither puts it back; let one of them declare it, or both the same";
/// Why what the operator itself does not know is not put back.
pub const HIDDEN: &str = "its value is encrypted in Git, or renders differently each time, so nobody here knows what to write; deploy it again";
/// Why nothing is left of a write that was accepted.
pub const CHANGED_BACK: &str = "what was written was changed back at once; find the admission policy, webhook or controller that does so";
/// Why nothing is written before all exceptions are known.
pub const EXCEPTIONS: &str = "it is not known yet what exceptions allow; if this stays, let the operator list and watch driftexceptions";

/// Why nothing is written before it is known what deployers heal.
pub const UNLISTED: &str = "it is not known yet what Argo CD and Flux put back by themselves; if this stays, the log of the operator says why their lists cannot be read";

/// Why an object is left to its deployer.
pub fn healed(by: &Declarer) -> String {
    format!(
        "{}: {by} lists it and puts it back ({}), so Driftline only reports it",
        by.tool.healed(),
        by.tool.healing(),
    )
}

/// Who may be at work besides, as far as that cannot be found out.
pub fn unconfirmed(by: &Declarer) -> String {
    format!(
        "it says that it is deployed by {by}, which could not be confirmed; let the operator read those (read.customResources of the chart)"
    )
}

/// The outcome of waiting, and its reason in words.
pub fn waiting(
    why: Why,
    times: u32,
    until: Timestamp,
    terms: &Terms,
    by: &str,
) -> (Outcome, String) {
    let at = if until == Timestamp::MAX {
        "never".to_owned()
    } else {
        whole_seconds(until).to_string()
    };
    match why {
        Why::Healed => (Outcome::Observed, "its deployer puts it back".to_owned()),
        Why::Unlisted => (Outcome::Waiting, UNLISTED.to_owned()),
        Why::Held => (
            Outcome::Held,
            format!("spec.hold pauses enforcement until {at}"),
        ),
        Why::BrokenGlass => (
            Outcome::Held,
            format!(
                "the object asks to be left alone until {at} ({})",
                driftline_crds::HOLD_UNTIL_ANNOTATION
            ),
        ),
        Why::Window => (
            Outcome::Waiting,
            format!("no window of spec.revert.windows is open; the next opens {at}"),
        ),
        Why::Grace => (
            Outcome::Waiting,
            format!("it is put back at {at} (spec.revert.after)"),
        ),
        Why::Budget => (
            Outcome::Waiting,
            format!("{}; there is room again at {at}", spent(terms)),
        ),
        // Nobody is told before its turn.
        Why::Order => (Outcome::Waiting, String::new()),
        Why::Contested => {
            let by = match by {
                "" => String::new(),
                by => format!(" by {by}"),
            };
            (
                Outcome::Contested,
                format!(
                    "it was put back {times} times and changed again{by}; the next attempt is not before {at}"
                ),
            )
        }
    }
}

fn spent(terms: &Terms) -> String {
    let Some(budget) = &terms.budget else {
        return String::new();
    };
    format!(
        "as much was put back as spec.revert.budget allows ({} in {:#}); status.budget of the policy says how to let the rest through now",
        budget.objects, budget.per
    )
}

/// A value for the annotation that confirms what was hashed: short enough to be copied by hand.
pub fn confirmation(of: Sha256) -> String {
    let digest = of.finalize();
    digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// Says that a budget is spent, and how to go on.
pub fn stopped(
    engine: &Engine,
    events: &Events,
    policy: &PolicyState,
    terms: &Terms,
    now: Timestamp,
) {
    let Some(budget) = &terms.budget else {
        return;
    };
    let full = engine.converging.budgets.full_until(policy, budget, now);
    let until = full.map_or(now, whole_seconds);
    let note = format!(
        "{} objects were put back within {:#}, as many as spec.revert.budget allows; what else drifts waits until {until}. To let it through now: kubectl annotate driftpolicy {} -n {} --overwrite {}=\"$(kubectl get driftpolicy {} -n {} -o jsonpath='{{.status.budget.confirm}}')\"",
        budget.objects,
        budget.per,
        policy.key.name,
        policy.key.namespace,
        driftline_crds::CONFIRM_ANNOTATION,
        policy.key.name,
        policy.key.namespace,
    );
    tracing::warn!(policy = %policy.key, objects = budget.objects, "the budget is spent; what else drifts waits");
    let said = Said {
        reason: "BudgetSpent",
        action: "Revert",
        warning: true,
        note,
        related: ObjectReference::default(),
    };
    events.say(engine, policy, said);
}

/// What is written to.
#[derive(Clone, Copy)]
pub struct About<'a> {
    pub policy: &'a PolicyState,
    pub id: &'a ObjectId,
    /// Its commits are rolled out by Driftline.
    pub delivers: bool,
}

/// An Event about what came of putting an object back, or delivering it.
pub fn event(engine: &Engine, events: &Events, about: About<'_>, said: &Converged) {
    let About {
        policy,
        id,
        delivers,
    } = about;
    let (reason, warning) = match said.outcome {
        Outcome::Reverted => ("DriftReverted", false),
        Outcome::Delivered => ("Delivered", false),
        Outcome::Pruned => ("Pruned", false),
        Outcome::Blocked if delivers => ("DeliveryBlocked", true),
        Outcome::Blocked => ("RevertBlocked", true),
        Outcome::Held if delivers => ("DeliveryHeld", false),
        Outcome::Contested => ("DriftContested", true),
        Outcome::Held => ("RevertHeld", false),
        Outcome::Waiting | Outcome::Observed => return,
    };
    let note = match said.outcome {
        Outcome::Reverted => format!("{id} was put back"),
        Outcome::Delivered => format!("{id} was delivered"),
        Outcome::Pruned => format!("{id} was deleted: Git does not declare it any more"),
        _ => format!("{id}: {}", said.reason),
    };
    let said = Said {
        reason,
        action: if delivers { "Deliver" } else { "Revert" },
        warning,
        note,
        related: ObjectReference {
            kind: Some(id.group_kind.kind.to_string()),
            namespace: id.namespace.as_deref().map(str::to_owned),
            name: Some(id.name.to_string()),
            ..ObjectReference::default()
        },
    };
    events.say(engine, policy, said);
}

/// Why an object is not written to that the account may not see.
pub fn unseen(place: Place<'_>) -> String {
    let Place {
        account, resource, ..
    } = place;
    format!(
        "service account {account} may not list {} there any more; grant it the verb list, or let the policy not declare them",
        resource.plural
    )
}

/// True where the operator may not act as an account.
pub fn is_not_opted_in(error: &Error) -> bool {
    error.category() == Category::Forbidden && error.to_string().contains("impersonate")
}

/// The verb that an account lacks, where that is why a write was refused: admission answers 403 too.
pub fn missing_verb(error: &Error) -> Option<&'static str> {
    let text = error.to_string();
    let lacks = |verb: &&str| text.contains(&format!("cannot {verb} resource"));
    let verbs = ["patch", "create", "delete"].into_iter().find(lacks);
    verbs.filter(|_| error.category() == Category::Forbidden)
}

/// Why a write was refused, with the remedy where it is known; `applied` where it was an apply, which takes two verbs.
pub fn refusal(error: &Error, place: Place<'_>, applied: bool) -> String {
    let Place {
        account, resource, ..
    } = place;
    let said = match error {
        // What the API server says of an object may hold its values.
        Error::Status {
            action,
            status,
            reason,
            ..
        } if place.kind.group_kind.is_secret()
            && missing_verb(error).is_none()
            && !is_not_opted_in(error) =>
        {
            format!(
                "could not {action}: the API server says {status} {reason}; the rest is withheld, because it may name values of the Secret"
            )
        }
        _ => drift::redact::without_values(&error.to_string()),
    };
    let remedy = match missing_verb(error) {
        _ if is_not_opted_in(error) => format!(
            ". Let Driftline act as the account: a Role in namespace {} with the verb impersonate on serviceaccounts/{} (see docs/rights.md)",
            account.namespace, account.name
        ),
        Some(_) if applied => {
            format!(
                ". Let service account {account} patch and create {}",
                resource.plural
            )
        }
        Some(verb) => format!(". Let service account {account} {verb} {}", resource.plural),
        None => String::new(),
    };
    format!("{said}{remedy}")
}
