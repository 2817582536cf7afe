//! Asks the API server what it would make of a declared object, by a dry-run creation under an account that can do nothing else.
//!
//! That a request really is a dry run does not rest on this module alone: an admission policy denies every other request of the
//! account ([`crate::guard`]). Nothing is asked while that guard is not in order.

use std::sync::Arc;
use std::time::Duration;

use drift::GroupVersionKind;
use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::account::Account;
use crate::call;
use crate::discovery::Resource;
use crate::error::{Category, Error, Result};
use crate::guard::GuardState;

/// What the API server said to a dry-run creation.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The object as it would be stored.
    Object(Value),
    /// It would not be stored.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The machine-readable reason, for example `Forbidden` or `Invalid`.
        reason: String,
        /// The message for people. It can repeat values of the object: print it through the redactor only.
        message: String,
    },
}

/// Limits on asking.
#[derive(Debug, Clone)]
pub struct DryRunOptions {
    /// How long one answer may take, waiting for a turn not included.
    pub deadline: Duration,
    /// Questions at the same time.
    pub concurrency: usize,
    /// Questions per second in the long run.
    pub per_second: f64,
    /// Questions that may be asked at once after a pause.
    pub burst: f64,
}

impl Default for DryRunOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            concurrency: 8,
            per_second: 50.0,
            burst: 100.0,
        }
    }
}

/// Asks for expected objects.
pub struct ExpectedAsker {
    client: Client,
    account: Account,
    options: DryRunOptions,
    guard: watch::Receiver<GuardState>,
    turns: Semaphore,
    bucket: Mutex<Bucket>,
}

impl ExpectedAsker {
    /// Asks with the given account, while `guard` says that it can be trusted. The operator needs the verb `impersonate` on that
    /// service account, and on nothing else.
    pub fn new(
        client: Client,
        account: Account,
        guard: watch::Receiver<GuardState>,
        options: DryRunOptions,
    ) -> Arc<Self> {
        let turns = Semaphore::new(options.concurrency.max(1));
        let bucket = Mutex::new(Bucket::new(
            options.per_second,
            options.burst,
            Instant::now(),
        ));
        Arc::new(Self {
            client,
            account,
            options,
            guard,
            turns,
            bucket,
        })
    }

    /// What the API server would make of `declared`, created in `namespace` (`None` for cluster-scoped kinds).
    ///
    /// # Errors
    /// - [`Error::Untrusted`] while the guard is not in order; nothing was asked.
    /// - Retryable errors where the server did not answer in time, cannot be reached or is busy.
    /// - Everything else that the server says is an [`Answer::Refused`].
    pub async fn ask(
        &self,
        kind: &GroupVersionKind,
        resource: &Resource,
        namespace: Option<&str>,
        declared: &Value,
    ) -> Result<Answer> {
        let action = format!("ask the API server for its version of a {kind}");
        let _turn = self.turns.acquire().await;
        self.wait_for_token().await;
        if let GuardState::Untrusted { reason } = &*self.guard.borrow() {
            return Err(Error::Untrusted {
                reason: reason.clone(),
            });
        }
        let request = creation(&self.account, kind, resource, namespace, declared, &action)?;
        let (parts, body) =
            call::exchange(&self.client, request, &action, self.options.deadline).await?;
        if parts.status.is_success() {
            return serde_json::from_slice(&body)
                .map(Answer::Object)
                .map_err(|source| Error::Undecodable { action, source });
        }
        let error = call::refusal(&action, parts.status, &body);
        // 500 is what a dead webhook leads to: that is the cluster's answer for as long as it lasts, not a call that went wrong.
        if matches!(error.category(), Category::Busy | Category::Unauthorized) {
            return Err(error);
        }
        match error {
            Error::Status {
                status,
                reason,
                message,
                ..
            } => Ok(Answer::Refused {
                status,
                reason,
                message,
            }),
            other => Err(other),
        }
    }

    async fn wait_for_token(&self) {
        loop {
            let wait = self.bucket.lock().take(Instant::now());
            match wait {
                None => return,
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
    }
}

/// The only way from a declared object to a request of the dry-run account.
fn creation(
    account: &Account,
    kind: &GroupVersionKind,
    resource: &Resource,
    namespace: Option<&str>,
    declared: &Value,
    action: &str,
) -> Result<Request<Body>> {
    let body = drift::expected::question(declared);
    let builder = call::get(&dry_run_url(kind, resource, namespace))
        .method(Method::POST)
        .header(http::header::CONTENT_TYPE, "application/json")
        // The API server adds the groups of a service account by itself, where none are named; so the operator needs no right to
        // impersonate groups, which would be the right to become anybody.
        .header("Impersonate-User", account.user());
    call::with_body(builder, action, body.to_string().into_bytes())
}

/// The URL of a dry-run creation. There is no other URL in this module.
fn dry_run_url(kind: &GroupVersionKind, resource: &Resource, namespace: Option<&str>) -> String {
    let path = call::objects(kind, resource, Some(namespace.unwrap_or("default")));
    format!("{path}?dryRun=All&fieldManager=driftline&fieldValidation=Ignore")
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    per_second: f64,
    burst: f64,
    filled: Instant,
}

impl Bucket {
    fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        let burst = burst.max(1.0);
        Self {
            tokens: burst,
            per_second: per_second.max(0.01),
            burst,
            filled: now,
        }
    }

    /// Takes a token, or says how long to wait before trying again.
    fn take(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64(
            (1.0 - self.tokens) / self.per_second,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn resource(plural: &str, namespaced: bool) -> Resource {
        Resource {
            plural: plural.into(),
            namespaced,
            list: true,
            watch: true,
            create: true,
            scale: false,
        }
    }

    proptest! {
        #[test]
        fn every_request_is_a_dry_run(group in ".{0,12}", version in ".{0,8}", plural in ".{0,16}", ns in proptest::option::of(".{0,16}"), namespaced: bool) {
            let kind = GroupVersionKind::new(&group, &version, "Any");
            let url = dry_run_url(&kind, &resource(&plural, namespaced), ns.as_deref());
            let (path, query) = url.split_once('?').unwrap();
            prop_assert_eq!(query, "dryRun=All&fieldManager=driftline&fieldValidation=Ignore");
            prop_assert!(!path.contains('?') && !path.contains('#'));
            prop_assert!(path.bytes().all(|b| b.is_ascii_graphic()));
        }
    }

    #[test]
    fn the_request_is_made_as_the_account_without_naming_groups() {
        let account = Account::new("driftline-system", "driftline-dry-run");
        let kind = GroupVersionKind::new("apps", "v1", "Deployment");
        let declared =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
        let request = creation(
            &account,
            &kind,
            &resource("deployments", true),
            Some("shop"),
            &declared,
            "x",
        )
        .unwrap();
        assert_eq!(request.method(), Method::POST);
        assert_eq!(
            request.uri(),
            "/apis/apps/v1/namespaces/shop/deployments?dryRun=All&fieldManager=driftline&fieldValidation=Ignore"
        );
        assert_eq!(
            request.headers()["Impersonate-User"],
            "system:serviceaccount:driftline-system:driftline-dry-run"
        );
        assert!(!request.headers().contains_key("Impersonate-Group"));
    }

    #[test]
    fn the_bucket_lets_a_burst_through_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(50.0, 100.0, start);
        assert!((0..100).all(|_| bucket.take(start).is_none()));
        assert_eq!(bucket.take(start), Some(Duration::from_millis(20)));
        let later = start + Duration::from_secs(1);
        assert_eq!(
            (0..100).filter(|_| bucket.take(later).is_none()).count(),
            50
        );
    }
}
