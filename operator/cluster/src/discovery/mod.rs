//! What the API server serves: kinds, their resource names and scopes, and its version.

mod keeper;
mod read;

use std::collections::{BTreeSet, HashMap};

use drift::{GroupKind, GroupVersionKind};
use kube::Client;
use serde::Deserialize;

pub use keeper::{CatalogKeeper, KeeperOptions};

use crate::error::Result;

/// How a kind is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The resource name in URLs and rules, for example `deployments`.
    pub plural: String,
    /// True where objects live in namespaces.
    pub namespaced: bool,
    /// The kind can be listed.
    pub list: bool,
    /// The kind can be watched.
    pub watch: bool,
    /// Objects can be created (and so asked for by a dry-run creation).
    pub create: bool,
    /// Objects have a subresource by which they are scaled.
    pub scale: bool,
}

impl Resource {
    /// A resource from its discovery entry, without subresources.
    pub fn new(plural: &str, namespaced: bool, verbs: &[String]) -> Self {
        let has = |verb: &str| verbs.iter().any(|v| v == verb);
        Self {
            plural: plural.to_owned(),
            namespaced,
            list: has("list"),
            watch: has("watch"),
            create: has("create"),
            scale: false,
        }
    }

    /// True where the kind can be listed and watched.
    pub fn can_watch(&self) -> bool {
        self.list && self.watch
    }
}

/// The API server's version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerVersion {
    /// For example `v1.37.2`; this is what Helm takes as `--kube-version`.
    #[serde(default)]
    pub git_version: String,
    /// For example `1`.
    #[serde(default)]
    pub major: String,
    /// For example `37`; some providers append a `+`.
    #[serde(default)]
    pub minor: String,
}

/// What is known about a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served<'a> {
    /// It is served.
    Yes(&'a Resource),
    /// It is not served.
    No,
    /// The server behind its group does not answer, so nothing can be said.
    Unavailable,
}

/// A snapshot of what the API server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    resources: HashMap<GroupVersionKind, Resource>,
    stale: BTreeSet<(String, String)>,
    api_versions: Vec<String>,
    server: ServerVersion,
}

impl Catalog {
    fn new(found: read::Found, server: ServerVersion) -> Self {
        let of = |group: &str, version: &str| {
            if group.is_empty() {
                version.to_owned()
            } else {
                format!("{group}/{version}")
            }
        };
        let mut names: BTreeSet<String> = found
            .versions
            .iter()
            .map(|(group, version)| of(group, version))
            .collect();
        names.extend(
            found
                .resources
                .keys()
                .map(|kind| format!("{}/{}", kind.api_version(), kind.group_kind.kind)),
        );
        Self {
            resources: found.resources,
            stale: found.stale,
            api_versions: names.into_iter().collect(),
            server,
        }
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses discovery. An API group whose own server is down is no error.
    pub async fn read(client: &Client) -> Result<Self> {
        Self::read_accepting(client, read::AGGREGATED).await
    }

    /// Reads a snapshot in the way of servers without aggregated discovery: one call for each group and version.
    ///
    /// # Errors
    /// As [`Catalog::read`].
    pub async fn read_classic(client: &Client) -> Result<Self> {
        Self::read_accepting(client, read::CLASSIC).await
    }

    async fn read_accepting(client: &Client, accept: &'static str) -> Result<Self> {
        let server = read::version(client).await?;
        let found = read::read(client, &mut read::Validators::default(), accept).await?;
        Ok(Self::new(found.unwrap_or_default(), server))
    }

    /// How a kind is served; `None` if it is not, or if nothing can be said about its group ([`Catalog::served`] tells which).
    pub fn resource(&self, kind: &GroupVersionKind) -> Option<&Resource> {
        self.resources.get(kind)
    }

    /// Whether and how a kind is served.
    pub fn served(&self, kind: &GroupVersionKind) -> Served<'_> {
        match self.resources.get(kind) {
            Some(resource) => Served::Yes(resource),
            None if self.is_stale(&kind.group_kind.group, &kind.version) => Served::Unavailable,
            None => Served::No,
        }
    }

    /// True where the server behind a group and version does not answer; its kinds are those seen last.
    pub fn is_stale(&self, group: &str, version: &str) -> bool {
        self.stale.contains(&(group.to_owned(), version.to_owned()))
    }

    /// The versions in which a kind is served, sorted by text.
    pub fn versions(&self, kind: &GroupKind) -> Vec<GroupVersionKind> {
        let mut versions: Vec<_> = self
            .resources
            .keys()
            .filter(|k| k.group_kind == *kind)
            .cloned()
            .collect();
        versions.sort();
        versions
    }

    /// All kinds with their resources, in no order.
    pub fn resources(&self) -> impl Iterator<Item = (&GroupVersionKind, &Resource)> {
        self.resources.iter()
    }

    /// Group versions and kinds (`apps/v1`, `apps/v1/Deployment`), sorted: what Helm takes as `--api-versions`.
    pub fn api_versions(&self) -> &[String] {
        &self.api_versions
    }

    /// The server's version.
    pub fn server(&self) -> &ServerVersion {
        &self.server
    }
}
