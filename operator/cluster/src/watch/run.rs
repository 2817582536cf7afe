//! The task behind a watch.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;

use super::decode::{self, Decoded};
use super::end::{End, jitter, reason_of_status, refused};
use super::lines::{Line, Lines};
use super::{FailureReason, Shared, Sink, WatchEvent, WatchOptions, WatchScope, add};
use crate::call::{self, METADATA, METADATA_LIST};
use crate::error::Error;

/// Where a connection begins.
enum From {
    /// With a streaming list.
    List,
    /// After a version.
    Version(String),
}

pub(super) struct Watch {
    client: Client,
    scope: WatchScope,
    options: WatchOptions,
    sink: Arc<dyn Sink>,
    shared: Arc<Shared>,
    /// The version to go on from; `None` where a list is needed.
    version: Option<String>,
    /// This server ignores the wish for a streaming list for this kind (aggregated servers do).
    paged: bool,
    /// Failures in a row.
    attempts: u32,
}

impl Watch {
    pub(super) fn new(
        client: Client,
        scope: WatchScope,
        options: WatchOptions,
        sink: Arc<dyn Sink>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            client,
            scope,
            options,
            sink,
            shared,
            version: None,
            paged: false,
            attempts: 0,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let began = Instant::now();
            let before = self.shared.events.load(Ordering::Relaxed);
            let end = self.once().await;
            let idle = self.shared.events.load(Ordering::Relaxed) == before
                && began.elapsed() < Duration::from_secs(1);
            if matches!(end, End::Relist | End::Paged { .. }) {
                self.version = None;
            }
            match end {
                End::Failed(reason, message) => self.fail(reason, message).await,
                // A server that closes at once, again and again, must not be asked without a pause.
                End::Resume | End::Relist if idle => {
                    let wait = self.backoff(self.options.backoff_max);
                    self.attempts = self.attempts.saturating_add(1);
                    self.pause(wait).await;
                }
                End::Resume => self.attempts = 0,
                End::Relist | End::Paged { .. } => {}
            }
        }
    }

    /// One list or one connection.
    async fn once(&mut self) -> End {
        match self.version.clone() {
            Some(version) => self.stream(From::Version(version)).await,
            None if self.paged || !self.options.streaming_lists.offered() => {
                match self.list().await {
                    Ok(version) => self.stream(From::Version(version)).await,
                    Err(end) => end,
                }
            }
            None => self.stream(From::List).await,
        }
    }

    async fn fail(&mut self, reason: FailureReason, message: String) {
        tracing::debug!(scope = %self.scope, reason = reason.as_str(), message, "watch failed");
        self.version = None;
        self.shared.ready.store(false, Ordering::Relaxed);
        add(&self.shared.failures);
        self.sink.on_event(WatchEvent::Failed { reason, message });
        let wait = match reason {
            FailureReason::Blind => self.backoff(self.options.backoff_max),
            // A new kind is in the catalog a moment before it can be listed.
            FailureReason::NotServed => self.backoff(self.options.refused_retry),
            FailureReason::Unauthorized | FailureReason::Forbidden => {
                jitter(self.options.refused_retry)
            }
        };
        self.attempts = self.attempts.saturating_add(1);
        self.pause(wait).await;
    }

    fn backoff(&self, most: Duration) -> Duration {
        let doubled = self
            .options
            .backoff_min
            .saturating_mul(1 << self.attempts.min(16));
        jitter(doubled.min(most))
    }

    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.shared.retry.notified() => {}
        }
    }

    fn emit(&self, event: WatchEvent) {
        if matches!(
            event,
            WatchEvent::Listed(_) | WatchEvent::Applied(_) | WatchEvent::Deleted(_)
        ) {
            add(&self.shared.events);
        }
        self.sink.on_event(event);
    }

    fn restarted(&self) {
        add(&self.shared.relists);
        self.emit(WatchEvent::Restarted);
    }

    fn ready(&mut self) {
        self.attempts = 0;
        self.shared.ready.store(true, Ordering::Relaxed);
        self.emit(WatchEvent::Ready);
    }

    fn alive(&self) {
        self.shared.hear();
        self.emit(WatchEvent::Alive);
    }

    fn url(&self, query: &str) -> String {
        let kind = &self.scope.kind;
        let path = call::collection(
            &kind.group_kind.group,
            &kind.version,
            &self.scope.plural,
            self.scope.namespace.as_deref(),
        );
        let selector = self
            .options
            .field_selector
            .as_deref()
            .map(|s| format!("&fieldSelector={}", call::escape(s)));
        format!("{path}?{query}{}", selector.unwrap_or_default())
    }

    /// One connection that streams events until it ends.
    async fn stream(&mut self, from: From) -> End {
        let lifetime = jitter(self.options.connection_lifetime);
        let start = match &from {
            From::List => {
                "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion="
                    .to_owned()
            }
            From::Version(version) => format!("&resourceVersion={}", call::escape(version)),
        };
        let seconds = lifetime.as_secs().max(1);
        let url = self.url(&format!(
            "watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}{start}"
        ));
        let dead_at = Instant::now() + lifetime + self.options.grace;
        let response = match self.open(&url, METADATA).await {
            Ok(response) => response,
            Err(error) => return self.refused(&from, &error),
        };
        self.alive();
        let chunks = response
            .into_body()
            .into_data_stream()
            .map_err(io::Error::other);
        let mut lines = Lines::new(chunks, self.options.event_limit);
        let mut listing = matches!(from, From::List);
        if listing {
            self.restarted();
        }
        loop {
            let line = match tokio::time::timeout_at(dead_at, lines.next()).await {
                Err(_) => return self.stalled(),
                Ok(Ok(Some(line))) => line,
                Ok(end) => return self.ended(listing, end.err()),
            };
            self.shared.hear();
            if let Some(end) = self.take(line, &mut listing) {
                return end;
            }
        }
    }

    async fn open(&self, url: &str, metadata: &str) -> Result<http::Response<Body>, Error> {
        add(&self.shared.connections);
        let action = format!("watch {}", self.scope);
        let mut builder = call::get(url).header(http::header::ACCEPT_ENCODING, "identity");
        if self.options.metadata_only
            && let (Some(headers), Ok(accept)) = (builder.headers_mut(), metadata.parse())
        {
            headers.insert(http::header::ACCEPT, accept);
        }
        let request = call::with_body(builder, &action, Vec::new())?;
        let response = call::open(
            &self.client,
            request,
            &action,
            self.options.connect_deadline,
        )
        .await?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(call::refusal_of(response, &action).await)
        }
    }

    /// A connection that was refused or did not come about.
    fn refused(&mut self, from: &From, error: &Error) -> End {
        let end = refused(error);
        match (from, end) {
            (From::List, End::Paged { by_server }) => {
                self.paged = true;
                if by_server {
                    self.options.streaming_lists.set(false);
                }
                End::Paged { by_server }
            }
            // What was refused was no streaming list.
            (From::Version(_), End::Paged { .. }) => {
                End::Failed(FailureReason::Blind, error.to_string())
            }
            (_, end) => end,
        }
    }

    fn stalled(&self) -> End {
        let silence = self
            .shared
            .started
            .elapsed()
            .as_millis()
            .saturating_sub(u128::from(self.shared.heard.load(Ordering::Relaxed)));
        let message = format!(
            "could not watch {}: nothing heard from the API server for {} s",
            self.scope,
            silence / 1000
        );
        End::Failed(FailureReason::Blind, message)
    }

    /// The connection was closed, or broke.
    fn ended(&mut self, listing: bool, error: Option<io::Error>) -> End {
        match error {
            // Closed in good order in the middle of a streaming list: the server does not know how such a list ends.
            None if listing => {
                self.paged = true;
                End::Paged { by_server: false }
            }
            Some(error) if listing => End::Failed(
                FailureReason::Blind,
                format!("could not list {}: {error}", self.scope),
            ),
            _ => End::Resume,
        }
    }

    fn take(&mut self, line: Line, listing: &mut bool) -> Option<End> {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong(head) => {
                self.undecodable(
                    decode::identity_in_head(&head),
                    format!("larger than {} bytes", self.options.event_limit),
                );
                return None;
            }
        };
        match decode::line(&bytes) {
            decode::Line::Applied(object) if *listing => self.object(object, WatchEvent::Listed),
            decode::Line::Applied(object) => self.object(object, WatchEvent::Applied),
            decode::Line::Deleted(object) => self.object(object, WatchEvent::Deleted),
            decode::Line::Bookmark { version, ends_list } => {
                self.version = version.or(self.version.take());
                if ends_list && *listing {
                    *listing = false;
                    self.ready();
                }
                self.emit(WatchEvent::Alive);
            }
            decode::Line::Error { code: 410, .. } => return Some(End::Relist),
            decode::Line::Error { code, message } => {
                return Some(End::Failed(
                    reason_of_status(code),
                    format!("could not watch {}: {message}", self.scope),
                ));
            }
            decode::Line::Unreadable(message) => {
                self.undecodable(decode::identity_in_head(&bytes), message)
            }
        }
        // Inside a streaming list a version is none to go on from: its end is.
        if *listing {
            self.version = None;
        }
        None
    }

    fn object(&mut self, decoded: Decoded, event: fn(Value) -> WatchEvent) {
        match decoded {
            Decoded::Object { object, version } => {
                self.version = version.or(self.version.take());
                self.emit(event(object));
            }
            Decoded::Undecodable {
                identity,
                version,
                message,
            } => {
                self.version = version.or(self.version.take());
                self.undecodable(identity, message);
            }
        }
    }

    fn undecodable(&self, identity: Option<super::Identity>, message: String) {
        add(&self.shared.undecodable);
        self.emit(WatchEvent::Undecodable { identity, message });
    }

    /// A list by pages. Returns the version to go on from.
    async fn list(&mut self) -> Result<String, End> {
        self.restarted();
        let mut token = String::new();
        loop {
            let mut query = format!("limit={}", self.options.page_size);
            if !token.is_empty() {
                query.push_str(&format!("&continue={}", call::escape(&token)));
            }
            let url = self.url(&query);
            let body = self
                .page(&url)
                .await
                .map_err(|error| self.refused(&From::Version(String::new()), &error))?;
            self.shared.hear();
            let unreadable = |e: serde_json::Error| {
                End::Failed(
                    FailureReason::Blind,
                    format!(
                        "could not list {}: the answer cannot be read: {e}",
                        self.scope
                    ),
                )
            };
            let page: decode::Page<'_> = serde_json::from_slice(&body).map_err(unreadable)?;
            for item in page.items.unwrap_or_default() {
                self.listed(decode::object(item.get()));
            }
            self.version = None;
            token = page.metadata.continue_token;
            if token.is_empty() {
                let version = page.metadata.resource_version;
                self.version = Some(version.clone());
                self.ready();
                return Ok(version);
            }
            self.emit(WatchEvent::Alive);
        }
    }

    async fn page(&self, url: &str) -> Result<Vec<u8>, Error> {
        let response = self.open(url, METADATA_LIST).await?;
        call::read_rest(response, &format!("list {}", self.scope), call::LONG).await
    }

    /// Items of a list carry neither `apiVersion` nor `kind`.
    fn listed(&mut self, mut decoded: Decoded) {
        if let Decoded::Object {
            object: Value::Object(object),
            ..
        } = &mut decoded
        {
            let kind = &self.scope.kind;
            let (api_version, name) = if self.options.metadata_only {
                (
                    "meta.k8s.io/v1".to_owned(),
                    "PartialObjectMetadata".to_owned(),
                )
            } else {
                (kind.api_version(), kind.group_kind.kind.to_string())
            };
            object
                .entry("apiVersion")
                .or_insert(Value::String(api_version));
            object.entry("kind").or_insert(Value::String(name));
        }
        self.object(decoded, WatchEvent::Listed);
    }
}
