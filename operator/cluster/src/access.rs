//! What policies' service accounts may see, by access reviews.
//!
//! Watches are shared and run as the operator; whether a policy may be told of an object is decided here, by asking the API server
//! what the policy's own account may do. Answers are kept and asked again when roles or bindings change, off the hot path.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::account::Account;
use crate::call;
use crate::error::Result;
use crate::trigger::Trigger;

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The account may.
    Allowed,
    /// The account may not.
    Denied,
    /// The API server could not be asked (for longer than an earlier answer is good for).
    Unanswered,
}

/// May an account list a kind?
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// Who.
    pub account: Account,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource name, for example `deployments`.
    pub plural: String,
    /// One namespace; `None` for the whole cluster.
    pub namespace: Option<String>,
}

/// How answers are kept.
#[derive(Debug, Clone)]
pub struct AccessOptions {
    /// All questions are asked again this often, whatever happens.
    pub interval: Duration,
    /// The same while the watches that tell of changed rights are not all up.
    pub blind_interval: Duration,
    /// After an error the ones without an answer are asked again after this time.
    pub retry: Duration,
    /// An earlier answer is good for this long while the API server cannot be asked.
    pub keep: Duration,
    /// Questions at the same time.
    pub concurrency: usize,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(300),
            blind_interval: Duration::from_secs(30),
            retry: Duration::from_secs(5),
            keep: Duration::from_secs(600),
            concurrency: 8,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    decision: Decision,
    /// When the question was put that led to this.
    asked: Instant,
    /// When the API server last answered.
    answered: Option<Instant>,
}

/// Keeps the answers to all questions asked so far. Dropping it stops asking again.
pub struct Access {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    client: Client,
    options: AccessOptions,
    entries: Mutex<HashMap<Question, Entry>>,
    generation: watch::Sender<u64>,
}

impl Access {
    /// Keeps answers, asking all of them again whenever `rbac` tells of a change (see [`crate::trigger::rbac`]).
    pub fn start(client: Client, rbac: Arc<Trigger>, options: AccessOptions) -> Self {
        let inner = Arc::new(Inner {
            client,
            options,
            entries: Mutex::default(),
            generation: watch::channel(0).0,
        });
        let task = tokio::spawn(refresh(Arc::clone(&inner), rbac));
        Self { inner, task }
    }

    /// Whether an account may list a kind in a namespace, or in the whole cluster. Asks the API server the first time only.
    pub async fn may_list(
        &self,
        account: &Account,
        group: &str,
        plural: &str,
        namespace: Option<&str>,
    ) -> Decision {
        let question = Question {
            account: account.clone(),
            group: group.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
        };
        match self.known(&question) {
            Some(decision) => decision,
            None => self.inner.ask(&question).await,
        }
    }

    /// The answer to a question asked before, without asking.
    pub fn known(&self, question: &Question) -> Option<Decision> {
        self.inner
            .entries
            .lock()
            .get(question)
            .map(|entry| entry.decision)
    }

    /// Asks afresh whether an account may do something with one object (or, without a name, with any of its kind). Nothing is kept.
    ///
    /// # Errors
    /// Where the API server did not answer: the answer is not known, which is not a denial.
    pub async fn may(&self, account: &Account, attributes: Attributes<'_>) -> Result<bool> {
        review(&self.inner.client, account, attributes).await
    }

    /// A counter that grows whenever an answer has changed: read all answers again then.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.generation.subscribe()
    }

    /// Forgets the questions for which `keep` is false, so that they are not asked again.
    pub fn retain(&self, keep: impl Fn(&Question) -> bool) {
        self.inner
            .entries
            .lock()
            .retain(|question, _| keep(question));
    }

    /// How many questions are kept.
    pub fn len(&self) -> usize {
        self.inner.entries.lock().len()
    }

    /// True where no question is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is to be done, as access reviews put it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// For example `get`.
    pub verb: &'a str,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The resource name, for example `secrets`.
    pub resource: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace; `None` for the whole cluster or a cluster-scoped kind.
    pub namespace: Option<&'a str>,
    /// The object's name; `None` for any.
    pub name: Option<&'a str>,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: ReviewStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct ReviewStatus {
    #[serde(default)]
    allowed: bool,
}

/// One SubjectAccessReview.
pub(crate) async fn review(
    client: &Client,
    account: &Account,
    attributes: Attributes<'_>,
) -> Result<bool> {
    let Attributes {
        verb,
        group,
        resource,
        subresource,
        namespace,
        name,
    } = attributes;
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": account.user(),
            "groups": account.groups(),
            "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "subresource": subresource,
                "namespace": namespace.unwrap_or_default(), "name": name.unwrap_or_default(),
            },
        },
    });
    let action = format!("review the access of service account {account} to {resource}");
    let url = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let review: Review = call::post_json(client, url, &body, &action).await?;
    Ok(review.status.allowed)
}

impl Inner {
    /// Asks and keeps the answer.
    async fn ask(&self, question: &Question) -> Decision {
        let attributes = Attributes {
            verb: "list",
            group: &question.group,
            resource: &question.plural,
            namespace: question.namespace.as_deref(),
            ..Attributes::default()
        };
        let asked = Instant::now();
        let answer = review(&self.client, &question.account, attributes).await;
        if let Err(error) = &answer {
            tracing::warn!(%error, "an access review got no answer");
        }
        let mut entries = self.entries.lock();
        let before = entries.get(question).copied();
        // An answer that was overtaken by that to a later question says what was, not what is.
        if let Some(newer) = before.filter(|before| before.asked > asked) {
            return newer.decision;
        }
        let entry = merge(before, answer.ok(), asked, self.options.keep);
        entries.insert(question.clone(), entry);
        drop(entries);
        if before.is_some_and(|before| before.decision != entry.decision) {
            self.generation.send_modify(|n| *n += 1);
        }
        entry.decision
    }

    /// Asks all questions again, or only those whose last attempt got no answer. Returns whether all were answered.
    async fn ask_again(&self, since: Option<Instant>) -> bool {
        let pending =
            |entry: &Entry| since.is_none_or(|since| entry.answered.is_none_or(|at| at < since));
        let questions: Vec<Question> = self
            .entries
            .lock()
            .iter()
            .filter(|(_, e)| pending(e))
            .map(|(q, _)| q.clone())
            .collect();
        let begun = Instant::now();
        let answers = futures::stream::iter(questions).map(|question| async move {
            self.ask(&question).await;
            question
        });
        let asked: Vec<Question> = answers
            .buffer_unordered(self.options.concurrency.max(1))
            .collect()
            .await;
        let entries = self.entries.lock();
        asked.iter().all(|q| {
            entries
                .get(q)
                .is_none_or(|e| e.answered.is_some_and(|at| at >= begun))
        })
    }
}

/// The new entry after asking: an answer counts at once; without one, an earlier answer stays for a while.
fn merge(before: Option<Entry>, answer: Option<bool>, asked: Instant, keep: Duration) -> Entry {
    let answered = before.and_then(|before| before.answered);
    match (answer, before) {
        (Some(true), _) => Entry {
            decision: Decision::Allowed,
            asked,
            answered: Some(asked),
        },
        (Some(false), _) => Entry {
            decision: Decision::Denied,
            asked,
            answered: Some(asked),
        },
        (None, Some(before))
            if answered.is_some_and(|at| asked.saturating_duration_since(at) <= keep) =>
        {
            Entry { asked, ..before }
        }
        (None, _) => Entry {
            decision: Decision::Unanswered,
            asked,
            answered,
        },
    }
}

/// Asks again: at once when rights change and once more a little later (every API server's authorizer hears of a change in its own
/// time), all from time to time, and those without an answer soon.
async fn refresh(inner: Arc<Inner>, rbac: Arc<Trigger>) {
    let mut changes = rbac.changes();
    let mut again = false;
    let mut open_since: Option<Instant> = None;
    loop {
        let wait = match (open_since.is_some() || again, rbac.is_complete()) {
            (true, _) => inner.options.retry,
            (false, true) => inner.options.interval,
            (false, false) => inner.options.blind_interval,
        };
        let changed = tokio::select! {
            // The trigger is held here, so its counter does not end.
            changed = changes.changed() => changed.is_ok(),
            () = tokio::time::sleep(wait) => false,
        };
        let only_open = !changed && !again;
        again = changed;
        let begun = Instant::now();
        let since = open_since.filter(|_| only_open);
        open_since = if inner.ask_again(since).await {
            None
        } else {
            Some(since.unwrap_or(begun))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_outlives_a_short_silence_but_not_a_long_one() {
        let keep = Duration::from_secs(600);
        let start = Instant::now();
        let allowed = merge(None, Some(true), start, keep);
        assert_eq!(allowed.decision, Decision::Allowed);
        let short = merge(Some(allowed), None, start + Duration::from_secs(60), keep);
        assert_eq!(short.decision, Decision::Allowed);
        let long = merge(Some(short), None, start + Duration::from_secs(601), keep);
        assert_eq!(long.decision, Decision::Unanswered);
        assert_eq!(
            merge(Some(long), Some(false), start, keep).decision,
            Decision::Denied
        );
        assert_eq!(
            merge(None, None, start, keep).decision,
            Decision::Unanswered
        );
    }

    #[test]
    fn an_account_is_asked_for_with_its_groups() {
        let account = Account::new("team", "reader");
        assert_eq!(account.user(), "system:serviceaccount:team:reader");
        assert_eq!(account.groups()[1], "system:serviceaccounts:team");
    }
}
