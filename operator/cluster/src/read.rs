//! Single reads: one live object, the versions of all objects of a kind, a Secret as a policy's account.

use std::collections::{BTreeMap, HashMap, HashSet};

use base64::Engine as _;
use drift::{FieldPath, GroupVersionKind};
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::account::Account;
use crate::call;
use crate::discovery::{Catalog, Resource};
use crate::error::{Error, Result};

/// Reads one live object; `None` if it does not exist.
///
/// # Errors
/// Where the API server does not answer or refuses.
pub async fn object(
    client: &Client,
    kind: &GroupVersionKind,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Value>> {
    let path = call::objects(kind, resource, namespace);
    let url = format!("{path}/{}", call::escape(name));
    let action = format!("read the {} {name}", kind.group_kind.kind);
    call::if_found(call::get_json(client, &url, &action, call::CALL).await)
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    items: Vec<Value>,
}

/// The objects of a kind that have a name, in whichever namespaces, at most so many.
///
/// # Errors
/// Where the API server does not answer or refuses.
pub async fn named(
    client: &Client,
    kind: &GroupVersionKind,
    resource: &Resource,
    name: &str,
    at_most: usize,
) -> Result<Vec<Value>> {
    let path = call::objects(kind, resource, None);
    let selector = call::escape(&format!("metadata.name={name}"));
    let url = format!("{path}?limit={at_most}&fieldSelector={selector}");
    let action = format!("list the {} of name {name}", resource.plural);
    let whole: Whole = call::get_json(client, &url, &action, call::CALL).await?;
    Ok(whole.items)
}

/// Where the replicas of a custom resource's objects are, by its definition; `None` if that says nothing, or that they are at
/// `spec.replicas`, where those of other kinds are.
///
/// Source: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource>.
///
/// # Errors
/// Where the API server does not answer or refuses.
async fn replicas_at(
    client: &Client,
    kind: &GroupVersionKind,
    resource: &Resource,
) -> Result<Option<FieldPath>> {
    let name = format!("{}.{}", resource.plural, kind.group_kind.group);
    let url = format!(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}",
        call::escape(&name)
    );
    let action = format!("read where the replicas of {} are", resource.plural);
    let definition = call::if_found(call::get_json(client, &url, &action, call::CALL).await)?;
    Ok(definition.and_then(|d: Value| replicas_path(&d, &kind.version)))
}

/// [`replicas_at`] of all custom resources that can be scaled among some kinds.
pub async fn all_replicas_at(
    client: &Client,
    catalog: &Catalog,
    kinds: &HashSet<GroupVersionKind>,
) -> Vec<(GroupVersionKind, Result<Option<FieldPath>>)> {
    let mut found = Vec::new();
    for kind in kinds {
        let resource = catalog.resource(kind).filter(|r| r.scale);
        if let Some(resource) = resource
            && drift::automation::is_custom(&kind.group_kind)
        {
            let at = replicas_at(client, kind, resource).await;
            found.push((kind.clone(), at));
        }
    }
    found
}

fn replicas_path(definition: &Value, version: &str) -> Option<FieldPath> {
    let versions = definition.get("spec")?.get("versions")?.as_array()?;
    let version = versions.iter().find(|v| v["name"] == version)?;
    let path = version["subresources"]["scale"]["specReplicasPath"].as_str()?;
    let path = path.strip_prefix('.').filter(|p| *p != "spec.replicas")?;
    path.parse().ok()
}

#[derive(Deserialize)]
struct Identified {
    metadata: Uid,
}

#[derive(Deserialize)]
struct Uid {
    #[serde(default)]
    uid: String,
}

/// The uid of a live object, read without the rest of it; `None` if it does not exist.
///
/// # Errors
/// Where the API server does not answer or refuses.
pub async fn uid(
    client: &Client,
    kind: &GroupVersionKind,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<String>> {
    let path = call::objects(kind, resource, namespace);
    let action = format!("read which {} {name} is", kind.group_kind.kind);
    let builder = http::Request::builder()
        .method(http::Method::GET)
        .uri(format!("{path}/{}", call::escape(name)))
        .header(http::header::ACCEPT, call::METADATA);
    let request = call::with_body(builder, &action, Vec::new())?;
    let read: Result<Identified> = call::json(client, request, &action, call::CALL).await;
    Ok(call::if_found(read)?.map(|object| object.metadata.uid))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    /// The API server writes an empty list of metadata as null.
    #[serde(default)]
    items: Option<Vec<Item>>,
}

#[derive(Deserialize, Default)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
    #[serde(default, rename = "resourceVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Item {
    metadata: ItemMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemMetadata {
    name: String,
    #[serde(default)]
    resource_version: String,
}

/// All objects of a kind in a scope, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The resourceVersion of the list: what is not in it did not exist then.
    pub version: u64,
    /// Each object's resourceVersion, by name.
    pub objects: HashMap<String, u64>,
}

/// Lists the objects of a kind in a namespace (`None` for cluster-scoped kinds), metadata only.
///
/// # Errors
/// Where the API server does not answer or refuses.
pub async fn listing(
    client: &Client,
    kind: &GroupVersionKind,
    resource: &Resource,
    namespace: Option<&str>,
) -> Result<Listing> {
    let path = call::objects(kind, resource, namespace);
    let action = format!("list the {} for verification", resource.plural);
    let mut listing = Listing {
        version: 0,
        objects: HashMap::new(),
    };
    let mut next = String::new();
    loop {
        let mut url = format!("{path}?limit=1000");
        if !next.is_empty() {
            url.push_str("&continue=");
            url.push_str(&call::escape(&next));
        }
        let builder = http::Request::builder()
            .method(http::Method::GET)
            .uri(url)
            .header(http::header::ACCEPT, call::METADATA_LIST);
        let request = call::with_body(builder, &action, Vec::new())?;
        let page: Page = call::json(client, request, &action, call::LONG).await?;
        let version = |text: &str| text.parse().unwrap_or(0);
        listing.version = version(&page.metadata.version);
        listing.objects.extend(
            page.items
                .into_iter()
                .flatten()
                .map(|i| (i.metadata.name, version(&i.metadata.resource_version))),
        );
        if page.metadata.next.is_empty() {
            return Ok(listing);
        }
        next = page.metadata.next;
    }
}

#[derive(Deserialize)]
struct SecretData {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// The content of a Secret, read as `account`, which has to be allowed to get it, and which the operator has to be allowed to impersonate.
///
/// # Errors
/// Where the account may not, the operator may not impersonate it, or the Secret does not exist.
pub async fn secret_as(
    client: &Client,
    account: &Account,
    name: &str,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let path = call::collection("", "v1", "secrets", Some(&account.namespace));
    let action = format!(
        "get the Secret {}/{name} as service account {account}",
        account.namespace
    );
    let builder = call::get(&format!("{path}/{}", call::escape(name)))
        .header("Impersonate-User", account.user());
    let request = call::with_body(builder, &action, Vec::new())?;
    let secret: SecretData = call::json(client, request, &action, call::CALL).await?;
    let decode = |(key, text): (String, String)| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()?;
        Some((key, bytes))
    };
    let count = secret.data.len();
    let data: BTreeMap<_, _> = secret.data.into_iter().filter_map(decode).collect();
    if data.len() == count {
        Ok(data)
    } else {
        Err(undecodable(action))
    }
}

fn undecodable(action: String) -> Error {
    let source = serde::de::Error::custom("a value is not base64");
    Error::Undecodable { action, source }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_says_where_replicas_are() {
        let version = |name: &str, path: &str| json!({"name": name, "subresources": {"scale": {"specReplicasPath": path}}});
        let definition = json!({"spec": {"versions": [
            version("v1", ".spec.workers"),
            version("v2", ".spec.replicas"),
            {"name": "v3"},
        ]}});
        let of = |version: &str| replicas_path(&definition, version).map(|p| p.to_string());
        assert_eq!(of("v1").as_deref(), Some("spec.workers"));
        assert_eq!(of("v2"), None);
        assert_eq!(of("v3"), None);
        assert_eq!(of("v4"), None);
    }
}
