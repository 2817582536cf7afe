//! One call to the API server: a deadline, a byte limit and an error that says what was tried.

use std::time::Duration;

use drift::GroupVersionKind;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::discovery::Resource;
use crate::error::{Category, Error, Result};

/// Connecting and the answer's headers may take this long.
pub(crate) const HEADERS: Duration = Duration::from_secs(15);
/// A whole call that reads one object or a short list may take this long.
pub(crate) const CALL: Duration = Duration::from_secs(15);
/// A page of a list, a discovery document or a schema document may take this long.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// No answer that is read as a whole may be larger.
pub(crate) const BODY_LIMIT: usize = 256 << 20;
/// Messages of the API server are cut at this length: some repeat the whole object.
const MESSAGE_LIMIT: usize = 2048;

/// What a call is for, completing "could not …".
pub(crate) type Action<'a> = &'a str;

/// Starts a request; `url` begins with a slash.
pub(crate) fn get(url: &str) -> http::request::Builder {
    Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(http::header::ACCEPT, "application/json")
}

/// Finishes a request with a body.
pub(crate) fn with_body(
    builder: http::request::Builder,
    action: Action<'_>,
    body: Vec<u8>,
) -> Result<Request<Body>> {
    builder
        .body(Body::from(body))
        .map_err(|source| Error::Request {
            action: action.to_owned(),
            source,
        })
}

/// Sends a request and returns when the headers of the answer are there, whatever its status.
pub(crate) async fn open(
    client: &Client,
    request: Request<Body>,
    action: Action<'_>,
    deadline: Duration,
) -> Result<Response<Body>> {
    let text = action.to_owned();
    match tokio::time::timeout(deadline, client.send(request)).await {
        Err(_) => Err(Error::Deadline {
            action: text,
            deadline,
        }),
        Ok(Err(source)) => Err(from_client(text, source)),
        Ok(Ok(response)) => Ok(response),
    }
}

/// Sends a request, reads the whole answer and returns it with its status, which may be an error.
pub(crate) async fn exchange(
    client: &Client,
    request: Request<Body>,
    action: Action<'_>,
    deadline: Duration,
) -> Result<(http::response::Parts, Vec<u8>)> {
    let text = action.to_owned();
    let whole = async {
        let response = client
            .send(request)
            .await
            .map_err(|source| from_client(text.clone(), source))?;
        let (parts, body) = response.into_parts();
        Ok((parts, read(body, &text, BODY_LIMIT).await?))
    };
    match tokio::time::timeout(deadline, whole).await {
        Err(_) => Err(Error::Deadline {
            action: text,
            deadline,
        }),
        Ok(result) => result,
    }
}

/// Sends a request and reads the answer as `T`; a status of 400 and more is an error.
pub(crate) async fn json<T: DeserializeOwned>(
    client: &Client,
    request: Request<Body>,
    action: Action<'_>,
    deadline: Duration,
) -> Result<T> {
    let (parts, body) = exchange(client, request, action, deadline).await?;
    if !parts.status.is_success() {
        return Err(refusal(action, parts.status, &body));
    }
    serde_json::from_slice(&body).map_err(|source| Error::Undecodable {
        action: action.to_owned(),
        source,
    })
}

/// Gets a URL as `T`.
pub(crate) async fn get_json<T: DeserializeOwned>(
    client: &Client,
    url: &str,
    action: Action<'_>,
    deadline: Duration,
) -> Result<T> {
    let request = with_body(get(url), action, Vec::new())?;
    json(client, request, action, deadline).await
}

/// Posts JSON and reads the answer as `T`.
pub(crate) async fn post_json<T: DeserializeOwned>(
    client: &Client,
    url: &str,
    body: &Value,
    action: Action<'_>,
) -> Result<T> {
    let builder = get(url)
        .method(Method::POST)
        .header(http::header::CONTENT_TYPE, "application/json");
    let request = with_body(builder, action, body.to_string().into_bytes())?;
    json(client, request, action, CALL).await
}

/// Reads the rest of an answer that is an error.
pub(crate) async fn refusal_of(response: Response<Body>, action: Action<'_>) -> Error {
    let text = action.to_owned();
    let (parts, body) = response.into_parts();
    match tokio::time::timeout(CALL, read(body, &text, 1 << 20)).await {
        Ok(Ok(body)) => refusal(&text, parts.status, &body),
        Ok(Err(error)) => error,
        Err(_) => Error::Deadline {
            action: text,
            deadline: CALL,
        },
    }
}

/// Reads the rest of an answer as a whole.
pub(crate) async fn read_rest(
    response: Response<Body>,
    action: Action<'_>,
    deadline: Duration,
) -> Result<Vec<u8>> {
    let text = action.to_owned();
    match tokio::time::timeout(deadline, read(response.into_body(), &text, BODY_LIMIT)).await {
        Ok(result) => result,
        Err(_) => Err(Error::Deadline {
            action: text,
            deadline,
        }),
    }
}

/// An error answer: a `Status` object, or text from something on the way.
pub(crate) fn refusal(action: &str, status: StatusCode, body: &[u8]) -> Error {
    let object: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let field = |name: &str| {
        object
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut message = field("message");
    if object.is_null() {
        message = String::from_utf8_lossy(body).into_owned();
    }
    if message.len() > MESSAGE_LIMIT {
        let end = (0..=MESSAGE_LIMIT)
            .rev()
            .find(|at| message.is_char_boundary(*at))
            .unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    Error::Status {
        action: action.to_owned(),
        status: status.as_u16(),
        reason: field("reason"),
        message,
    }
}

async fn read(body: Body, action: &str, limit: usize) -> Result<Vec<u8>> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(source) if source.is::<LengthLimitError>() => Err(Error::TooLarge {
            action: action.to_owned(),
            limit,
        }),
        Err(source) => Err(Error::Unreachable {
            action: action.to_owned(),
            source,
        }),
    }
}

fn from_client(action: String, source: kube::Error) -> Error {
    match source {
        kube::Error::Api(status) => Error::Status {
            action,
            status: status.code,
            reason: status.reason.clone(),
            message: status.message.clone(),
        },
        other => Error::Unreachable {
            action,
            source: other.into(),
        },
    }
}

/// Writes one part of a URL's path, or a value of its query: everything but unreserved characters is escaped
/// (RFC 3986, section 2.3).
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What watches and lists accept that need no more of objects than their metadata.
pub(crate) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// The same for a list in one answer.
pub(crate) const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// The path of a kind's objects in a namespace, which says nothing about kinds that have none.
pub(crate) fn objects(
    kind: &GroupVersionKind,
    resource: &Resource,
    namespace: Option<&str>,
) -> String {
    let namespace = namespace.filter(|_| resource.namespaced);
    let group = &kind.group_kind.group;
    collection(group, &kind.version, &resource.plural, namespace)
}

/// `None` for what is not there.
pub(crate) fn if_found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.category() == Category::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The path of a kind's collection, without a query: `/apis/apps/v1/namespaces/shop/deployments`.
pub(crate) fn collection(
    group: &str,
    version: &str,
    plural: &str,
    namespace: Option<&str>,
) -> String {
    let base = if group.is_empty() {
        "/api".to_owned()
    } else {
        format!("/apis/{}", escape(group))
    };
    let namespace = namespace
        .map(|name| format!("/namespaces/{}", escape(name)))
        .unwrap_or_default();
    format!("{base}/{}{namespace}/{}", escape(version), escape(plural))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_a_path() {
        assert_eq!(
            collection("apps", "v1", "deployments", Some("shop")),
            "/apis/apps/v1/namespaces/shop/deployments"
        );
        assert_eq!(collection("", "v1", "pods", None), "/api/v1/pods");
        assert_eq!(
            collection("", "v1", "pods", Some("a/../b?x=y")),
            "/api/v1/namespaces/a%2F..%2Fb%3Fx%3Dy/pods"
        );
    }

    #[test]
    fn a_refusal_reads_the_status_object_and_cuts_long_messages() {
        let body = format!(
            r#"{{"kind":"Status","reason":"Forbidden","message":"{}"}}"#,
            "é".repeat(5000)
        );
        let Error::Status {
            reason,
            message,
            status,
            ..
        } = refusal("list pods", StatusCode::FORBIDDEN, body.as_bytes())
        else {
            panic!("not a status");
        };
        assert_eq!((status, reason.as_str()), (403, "Forbidden"));
        assert!(message.len() < 2100 && message.ends_with('…'));
        let plain = refusal("list pods", StatusCode::BAD_GATEWAY, b"<html>no</html>").to_string();
        assert!(plain.contains("<html>no</html>"), "{plain}");
    }
}
