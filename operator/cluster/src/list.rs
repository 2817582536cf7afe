//! All objects of a kind, once: for whoever compares once and needs no watch, nor the right to one.

use drift::GroupVersionKind;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::call;
use crate::discovery::Resource;
use crate::error::Result;

/// Objects of one page; the API server's own tools ask for as many.
const PAGE: u32 = 500;
/// How often a list that took too long for the server to go on with is begun anew.
const RESTARTS: u32 = 2;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    /// The API server writes an empty list as null.
    #[serde(default, borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize, Default)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

/// What a list tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Listed {
    /// It begins, or begins anew: what came before does not count.
    Begins,
    /// An object.
    Object(Value),
    /// An object that cannot be read: its namespace and name.
    Unreadable(Option<String>, String),
}

#[derive(Deserialize)]
struct Named {
    metadata: NamedMetadata,
}

#[derive(Deserialize)]
struct NamedMetadata {
    namespace: Option<String>,
    name: String,
}

/// Lists the objects of a kind in a namespace, or in all of them, page by page.
///
/// # Errors
/// Where the API server does not answer or refuses; what was told until then is not whole.
pub async fn objects(
    client: &Client,
    kind: &GroupVersionKind,
    resource: &Resource,
    namespace: Option<&str>,
    mut tell: impl FnMut(Listed),
) -> Result<()> {
    let path = call::objects(kind, resource, namespace);
    let action = format!("list the {}", resource.plural);
    let mut restarts = 0;
    let mut next = String::new();
    loop {
        if next.is_empty() {
            tell(Listed::Begins);
        }
        let mut url = format!("{path}?limit={PAGE}");
        if !next.is_empty() {
            url.push_str("&continue=");
            url.push_str(&call::escape(&next));
        }
        let page: Box<RawValue> = match call::get_json(client, &url, &action, call::LONG).await {
            // The server keeps what a list goes on with for some minutes only.
            Err(error) if error.status() == Some(410) && restarts < RESTARTS => {
                restarts += 1;
                next.clear();
                continue;
            }
            answer => answer?,
        };
        let page: Page<'_> = serde_json::from_str(page.get()).map_err(|source| {
            crate::error::Error::Undecodable {
                action: action.clone(),
                source,
            }
        })?;
        for item in page.items.into_iter().flatten() {
            tell_one(kind, item, &mut tell);
        }
        if page.metadata.next.is_empty() {
            return Ok(());
        }
        next = page.metadata.next;
    }
}

fn tell_one(kind: &GroupVersionKind, item: &RawValue, tell: &mut impl FnMut(Listed)) {
    match serde_json::from_str::<Value>(item.get()) {
        Ok(Value::Object(mut object)) => {
            // Items of a list carry neither.
            object
                .entry("apiVersion")
                .or_insert_with(|| kind.api_version().into());
            object
                .entry("kind")
                .or_insert_with(|| kind.group_kind.kind.to_string().into());
            tell(Listed::Object(Value::Object(object)));
        }
        _ => {
            if let Ok(named) = serde_json::from_str::<Named>(item.get()) {
                tell(Listed::Unreadable(
                    named.metadata.namespace,
                    named.metadata.name,
                ));
            }
        }
    }
}
