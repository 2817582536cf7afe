//! Calls to the API server, counted, and what it serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, Request};
use kube::Client;
use serde_json::{Map, Value};

use super::openapi::{Components, Node, root_of};
use super::{Failure, Result};

/// The API server.
pub struct Server {
    client: Client,
    requests: AtomicU64,
    broken: AtomicU64,
}

/// Tries of a request that gets no answer.
const ATTEMPTS: usize = 3;

/// Requests without an answer after which the server is taken to be gone.
const MOST_BROKEN: u64 = 20;

/// What it answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The object, or the `Status`.
    pub body: Value,
}

impl Answer {
    /// The object, where the request was granted.
    pub fn object(self) -> Option<Value> {
        (self.status < 300).then_some(self.body)
    }

    /// Why it was not.
    pub fn message(&self) -> String {
        let message = self.body.get("message").and_then(Value::as_str);
        format!("{} {}", self.status, message.unwrap_or_default())
    }
}

/// A kind in one version.
#[derive(Clone)]
pub struct Kind {
    /// The group; empty for the core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The name in URLs.
    pub plural: String,
    /// Objects live in namespaces.
    pub namespaced: bool,
    /// Its schema.
    pub schema: Node,
}

impl Kind {
    /// `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The URL of all objects.
    pub fn collection(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        let scope = match self.namespaced {
            true => format!("/namespaces/{namespace}"),
            false => String::new(),
        };
        format!("{root}/{}{scope}/{}", self.api_version(), self.plural)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.api_version(), self.kind)
    }
}

impl Server {
    /// The server that a client talks to.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            requests: AtomicU64::new(0),
            broken: AtomicU64::new(0),
        }
    }

    /// How many requests were made.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Makes a request.
    ///
    /// # Errors
    /// Where the server does not answer. What it refuses is an answer.
    pub async fn call(
        &self,
        method: Method,
        url: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let mut broken = String::new();
        for _ in 0..ATTEMPTS {
            match self.attempt(&method, url, content_type, body).await {
                Ok(answer) => return Ok(answer),
                Err(reason) => broken = reason,
            }
        }
        // The server ends the connection of a request that it cannot cope with; that is its answer.
        if self.broken.fetch_add(1, Ordering::Relaxed) < MOST_BROKEN {
            let body = serde_json::json!({"message": broken});
            return Ok(Answer { status: 599, body });
        }
        Err(failed(&method, url, broken))
    }

    async fn attempt(
        &self,
        method: &Method,
        url: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> std::result::Result<Answer, String> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let bytes = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(bytes.into())
            .map_err(|error| error.to_string())?;
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect_bytes().await;
        let bytes = bytes.map_err(|error| error.to_string())?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status, body })
    }

    /// Reads something.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub async fn get(&self, url: &str) -> Result<Answer> {
        self.call(Method::GET, url, "application/json", None).await
    }

    /// All kinds that can be created and read, in all versions.
    ///
    /// # Errors
    /// Where discovery or a document cannot be read.
    pub async fn kinds(&self) -> Result<Vec<Kind>> {
        self.kinds_below("").await
    }

    /// As [`Server::kinds`], of one group.
    ///
    /// # Errors
    /// As there; also where a document has just become another one.
    pub async fn kinds_of(&self, group: &str) -> Result<Vec<Kind>> {
        self.kinds_below(&format!("apis/{group}/")).await
    }

    async fn kinds_below(&self, prefix: &str) -> Result<Vec<Kind>> {
        let index = self.must("/openapi/v3").await?;
        let mut kinds = Vec::new();
        for (path, entry) in index["paths"].as_object().into_iter().flatten() {
            let parts: Vec<&str> = path.split('/').collect();
            let (group, version) = match parts.as_slice() {
                _ if !path.starts_with(prefix) => continue,
                ["api", version] => ("", *version),
                ["apis", group, version] => (*group, *version),
                _ => continue,
            };
            let url = entry["serverRelativeURL"].as_str().unwrap_or_default();
            let mut document = self.must(url).await?;
            let schemas = document["components"]["schemas"].take();
            let components: Components = Arc::new(match schemas {
                Value::Object(schemas) => schemas,
                _ => Map::new(),
            });
            let list = self.must(&format!("/{path}")).await?;
            for resource in list["resources"].as_array().into_iter().flatten() {
                kinds.extend(kind(&components, group, version, resource));
            }
        }
        kinds.sort_by_key(ToString::to_string);
        Ok(kinds)
    }

    async fn must(&self, url: &str) -> Result<Value> {
        let answer = self.get(url).await?;
        let message = answer.message();
        answer
            .object()
            .ok_or_else(|| failed(&Method::GET, url, message))
    }
}

fn kind(components: &Components, group: &str, version: &str, resource: &Value) -> Option<Kind> {
    let text = |key: &str| resource.get(key).and_then(Value::as_str);
    let (plural, name) = (text("name")?, text("kind")?);
    let verbs = resource.get("verbs")?.as_array()?;
    let can = |verb: &str| verbs.iter().any(|v| v == verb);
    if plural.contains('/') || !can("create") || !can("get") {
        return None;
    }
    let root = root_of(components, group, version, name)?;
    Some(Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: name.to_owned(),
        plural: plural.to_owned(),
        namespaced: resource.get("namespaced") == Some(&Value::Bool(true)),
        schema: Node::component(components, &root),
    })
}

fn failed(method: &Method, url: &str, reason: String) -> Failure {
    Failure {
        what: format!("{method} {url}"),
        reason,
    }
}

/// Fields that a refusal names, as steps.
pub fn causes(refusal: &Value) -> Vec<Vec<String>> {
    let causes = refusal["details"]["causes"].as_array();
    let mut found: Vec<_> = causes
        .into_iter()
        .flatten()
        .filter_map(|cause| Some(steps(cause.get("field")?.as_str()?)))
        .filter(|steps| !steps.is_empty())
        .collect();
    // Elements are taken from the end of lists first, so that the others keep their places.
    found.sort();
    found.dedup();
    found.reverse();
    found
}

/// `spec.ports[0].name` and `metadata.labels[a.b/c]`.
fn steps(field: &str) -> Vec<String> {
    let mut steps = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (key, after) = inside.split_once(']').unwrap_or((inside, ""));
            steps.push(key.trim_matches('"').to_owned());
            rest = after;
        } else {
            let text = rest.trim_start_matches('.');
            let end = text.find(['.', '[']).unwrap_or(text.len());
            if end > 0 {
                steps.push(text[..end].to_owned());
            }
            rest = &text[end..];
        }
    }
    steps
}
