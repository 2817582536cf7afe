//! Events and pages, decoded object by object so that one that cannot be read costs only itself.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Identity;

/// The annotation of the bookmark that ends the list of a streaming list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What a line of a watch says.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    Applied(Decoded),
    Deleted(Decoded),
    Bookmark {
        version: Option<String>,
        ends_list: bool,
    },
    Error {
        code: u16,
        message: String,
    },
    /// Not an event at all.
    Unreadable(String),
}

/// An object, or as much of it as could be read.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    Object {
        object: Value,
        version: Option<String>,
    },
    Undecodable {
        identity: Option<Identity>,
        version: Option<String>,
        message: String,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// The part of an object that names it. Everything else is skipped without being decoded, whatever its depth.
#[derive(Deserialize)]
struct Named {
    metadata: NamedMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedMetadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
}

pub(super) fn line(bytes: &[u8]) -> Line {
    let envelope: Envelope<'_> = match serde_json::from_slice(bytes) {
        Ok(envelope) => envelope,
        Err(error) => return Line::Unreadable(error.to_string()),
    };
    match envelope.kind {
        "ADDED" | "MODIFIED" => Line::Applied(object(envelope.object.get())),
        "DELETED" => Line::Deleted(object(envelope.object.get())),
        "BOOKMARK" => bookmark(envelope.object.get()),
        "ERROR" => error(envelope.object.get()),
        other => Line::Unreadable(format!("unknown event type {other:?}")),
    }
}

/// An object by its text.
pub(super) fn object(text: &str) -> Decoded {
    match serde_json::from_str::<Value>(text) {
        Ok(object) => {
            let version = object
                .pointer("/metadata/resourceVersion")
                .and_then(Value::as_str)
                .map(str::to_owned);
            Decoded::Object { object, version }
        }
        Err(error) => {
            let named = serde_json::from_str::<Named>(text)
                .ok()
                .map(|named| named.metadata);
            let version = named.as_ref().and_then(|m| m.resource_version.clone());
            let identity = named.and_then(|m| {
                Some(Identity {
                    namespace: m.namespace,
                    name: m.name?,
                })
            });
            Decoded::Undecodable {
                identity,
                version,
                message: error.to_string(),
            }
        }
    }
}

fn bookmark(text: &str) -> Line {
    let object: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let metadata = object.get("metadata");
    let version = metadata
        .and_then(|m| m.get("resourceVersion"))
        .and_then(Value::as_str)
        .map(str::to_owned);
    let ends_list = metadata.and_then(|m| m.get("annotations")?.get(INITIAL_EVENTS_END)?.as_str())
        == Some("true");
    Line::Bookmark { version, ends_list }
}

fn error(text: &str) -> Line {
    let object: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let code = object
        .get("code")
        .and_then(Value::as_u64)
        .and_then(|c| u16::try_from(c).ok())
        .unwrap_or(500);
    let message = object
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or("the server ended the watch with an error")
        .to_owned();
    Line::Error { code, message }
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    /// Go writes an empty list as `null` where a handler was careless.
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata {
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default, rename = "continue")]
    pub(super) continue_token: String,
}

/// The name in the beginning of an event that was too long to be read: objects are written with `metadata` near their front, and
/// its `name` and `namespace` before anything long. A guess: the identity is only used to say which object is unknown.
pub(super) fn identity_in_head(head: &[u8]) -> Option<Identity> {
    let text = String::from_utf8_lossy(head);
    let metadata = &text[text.find("\"metadata\":{")?..];
    let field = |key: &str| {
        let from = metadata.find(&format!("\"{key}\":\""))? + key.len() + 4;
        metadata[from..]
            .split_once('"')
            .map(|(value, _)| value.to_owned())
    };
    Some(Identity {
        name: field("name")?,
        namespace: field("namespace"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let Line::Applied(Decoded::Object { version, .. }) =
            line(br#"{"type":"ADDED","object":{"metadata":{"resourceVersion":"7"}}}"#)
        else {
            panic!("not applied");
        };
        assert_eq!(version.as_deref(), Some("7"));
        let end = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        assert_eq!(
            line(end),
            Line::Bookmark {
                version: Some("9".into()),
                ends_list: true
            }
        );
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old resource version"}}"#;
        assert_eq!(
            line(gone),
            Line::Error {
                code: 410,
                message: "too old resource version".into()
            }
        );
        assert!(matches!(line(b"{\"type\":\"ADDED\""), Line::Unreadable(_)));
    }

    #[test]
    fn an_object_too_deep_to_decode_still_has_its_name() {
        let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
        let event = format!(
            r#"{{"type":"MODIFIED","object":{{"spec":{deep},"metadata":{{"name":"deep","namespace":"shop","resourceVersion":"12"}}}}}}"#
        );
        let Line::Applied(Decoded::Undecodable {
            identity, version, ..
        }) = line(event.as_bytes())
        else {
            panic!("decoded")
        };
        assert_eq!(
            identity,
            Some(Identity {
                namespace: Some("shop".into()),
                name: "deep".into()
            })
        );
        assert_eq!(version.as_deref(), Some("12"));
    }

    #[test]
    fn half_a_surrogate_pair_costs_only_its_object() {
        let event =
            br#"{"type":"ADDED","object":{"data":{"a":"\ud800"},"metadata":{"name":"bad"}}}"#;
        assert!(matches!(
            line(event),
            Line::Applied(Decoded::Undecodable {
                identity: Some(_),
                ..
            })
        ));
    }

    #[test]
    fn the_name_is_found_in_the_beginning_of_a_long_event() {
        let head = br#"{"type":"ADDED","object":{"kind":"ConfigMap","metadata":{"name":"big","namespace":"shop","uid":"1"#;
        assert_eq!(
            identity_in_head(head),
            Some(Identity {
                namespace: Some("shop".into()),
                name: "big".into()
            })
        );
        assert_eq!(identity_in_head(b"{\"type\":"), None);
    }
}
