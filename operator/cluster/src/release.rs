//! Helm's own storage: which revisions of a release there are, and one of them, read as a policy's account.

use std::collections::BTreeMap;

use base64::Engine as _;
use kube::Client;
use serde::Deserialize;

use crate::account::Account;
use crate::call;
use crate::error::{Category, Error, Result};

/// Revisions that are listed at most; Helm keeps ten unless told otherwise.
const REVISIONS: usize = 1000;
/// The type that Helm gives its Secrets (helm.sh/helm/pkg/storage/driver).
const SECRET_TYPE: &str = "helm.sh/release.v1";

/// Where Helm keeps releases: its drivers `secret` (the default) and `configmap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Secrets.
    Secrets,
    /// ConfigMaps.
    ConfigMaps,
}

impl Driver {
    fn plural(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::ConfigMaps => "configmaps",
        }
    }
}

/// One revision of a release, by its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it is kept.
    pub driver: Driver,
    /// The object's name.
    pub object: String,
    /// The object's uid and resourceVersion: the same ones hold the same release.
    pub identity: (String, String),
    /// The revision.
    pub version: u32,
    /// What Helm calls it: `deployed`, `superseded`, `pending-upgrade`, …
    pub status: String,
    /// When Helm last wrote it, in seconds since 1970; 0 where it does not say.
    pub written_at: i64,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Option<Vec<Item>>,
}

#[derive(Deserialize, Default)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
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
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl ItemMetadata {
    /// `None` for what only looks like a revision of the release.
    fn stored(self, driver: Driver, release: &str) -> Option<Stored> {
        let label = |key: &str| self.labels.get(key).map(String::as_str);
        let version: u32 = label("version")?.parse().ok()?;
        if self.name != format!("sh.helm.release.v1.{release}.v{version}") {
            return None;
        }
        let time = |key| label(key).and_then(|t| t.parse().ok()).unwrap_or(0);
        Some(Stored {
            driver,
            version,
            status: label("status")?.to_owned(),
            written_at: time("createdAt").max(time("modifiedAt")),
            identity: (self.uid, self.resource_version),
            object: self.name,
        })
    }
}

/// The revisions of a release that Helm keeps in a namespace, read as `account`.
///
/// # Errors
/// Where the account may not list Secrets there, or the operator may not impersonate it.
pub async fn revisions_as(
    client: &Client,
    account: &Account,
    namespace: &str,
    release: &str,
) -> Result<Vec<Stored>> {
    revisions(client, Some(account), namespace, release).await
}

/// As [`revisions_as`]; without an account as whom the client is.
///
/// # Errors
/// Where Secrets may not be listed there.
pub async fn revisions(
    client: &Client,
    account: Option<&Account>,
    namespace: &str,
    release: &str,
) -> Result<Vec<Stored>> {
    let secrets = list(client, account, namespace, release, Driver::Secrets).await;
    if secrets.as_ref().is_ok_and(|found| !found.is_empty()) {
        return secrets;
    }
    // Most releases are in Secrets, and their account need not read ConfigMaps.
    match list(client, account, namespace, release, Driver::ConfigMaps).await {
        Ok(found) if !found.is_empty() => Ok(found),
        Err(error) if error.category() != Category::Forbidden && secrets.is_ok() => Err(error),
        _ => secrets,
    }
}

async fn list(
    client: &Client,
    account: Option<&Account>,
    namespace: &str,
    release: &str,
    driver: Driver,
) -> Result<Vec<Stored>> {
    let path = call::collection("", "v1", driver.plural(), Some(namespace));
    let action = format!(
        "list the {} of Helm release {namespace}/{release}{}",
        driver.plural(),
        as_whom(account)
    );
    let selector = call::escape(&format!("owner=helm,name={release}"));
    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let mut url = format!("{path}?limit=500&labelSelector={selector}");
        if !next.is_empty() {
            url.push_str("&continue=");
            url.push_str(&call::escape(&next));
        }
        let builder = http::Request::builder()
            .method(http::Method::GET)
            .uri(url)
            .header(http::header::ACCEPT, call::METADATA_LIST);
        let builder = acting_as(builder, account);
        let request = call::with_body(builder, &action, Vec::new())?;
        let page: Page = call::json(client, request, &action, call::CALL).await?;
        let items = page.items.into_iter().flatten();
        found.extend(items.filter_map(|i| i.metadata.stored(driver, release)));
        if page.metadata.next.is_empty() || found.len() >= REVISIONS {
            return Ok(found);
        }
        next = page.metadata.next;
    }
}

fn as_whom(account: Option<&Account>) -> String {
    account.map_or_else(String::new, |a| format!(" as service account {a}"))
}

fn acting_as(builder: http::request::Builder, account: Option<&Account>) -> http::request::Builder {
    match account {
        Some(account) => builder.header("Impersonate-User", account.user()),
        None => builder,
    }
}

#[derive(Deserialize)]
struct Holder {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// What Helm stored of a revision, `base64(gzip(JSON))`, read as `account`.
///
/// # Errors
/// Where the account may not get it, the operator may not impersonate it, or it is not as Helm makes it.
pub async fn stored_as(
    client: &Client,
    account: &Account,
    namespace: &str,
    stored: &Stored,
) -> Result<String> {
    content(client, Some(account), namespace, stored).await
}

/// As [`stored_as`]; without an account as whom the client is.
///
/// # Errors
/// Where it may not be got, or is not as Helm makes it.
pub async fn content(
    client: &Client,
    account: Option<&Account>,
    namespace: &str,
    stored: &Stored,
) -> Result<String> {
    let path = call::collection("", "v1", stored.driver.plural(), Some(namespace));
    let action = format!("get {namespace}/{}{}", stored.object, as_whom(account));
    let builder = call::get(&format!("{path}/{}", call::escape(&stored.object)));
    let builder = acting_as(builder, account);
    let request = call::with_body(builder, &action, Vec::new())?;
    let mut holder: Holder = call::json(client, request, &action, call::CALL).await?;
    let undecodable = |what: &str| Error::Undecodable {
        action: action.clone(),
        source: serde::de::Error::custom(what),
    };
    let data = holder
        .data
        .remove("release")
        .ok_or_else(|| undecodable("it holds no release"))?;
    match stored.driver {
        Driver::ConfigMaps => Ok(data),
        Driver::Secrets if holder.kind != SECRET_TYPE => {
            Err(undecodable("it is not of Helm's own type"))
        }
        Driver::Secrets => base64::engine::general_purpose::STANDARD
            .decode(data)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| undecodable("its release is not base64")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_helm_itself_names_so_is_a_revision() {
        let stored = |name: &str, labels: serde_json::Value| {
            let item = json!({"name": name, "uid": "u", "resourceVersion": "7", "labels": labels});
            let item: ItemMetadata = serde_json::from_value(item).expect("metadata");
            item.stored(Driver::Secrets, "web")
        };
        let labels = |version: &str| json!({"owner": "helm", "name": "web", "status": "deployed", "version": version, "createdAt": "5", "modifiedAt": "9"});
        let found = stored("sh.helm.release.v1.web.v12", labels("12")).expect("a revision");
        assert_eq!((found.version, found.written_at), (12, 9));
        assert_eq!(stored("sh.helm.release.v1.web.v12", labels("13")), None);
        assert_eq!(stored("mine", labels("12")), None);
        assert_eq!(stored("sh.helm.release.v1.web.v1", json!({})), None);
    }
}
