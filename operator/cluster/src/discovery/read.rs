//! Discovery documents, in both forms that API servers speak.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use drift::GroupVersionKind;
use kube::Client;
use serde::Deserialize;

use super::{Catalog, Resource, ServerVersion};
use crate::call;
use crate::error::{Category, Result};

/// Aggregated discovery (KEP-3352), stable since Kubernetes 1.30; plain JSON for servers without it.
pub(super) const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// Classic discovery: one document for each group and version.
pub(super) const CLASSIC: &str = "application/json";

/// What is served, by group and version; a group version whose server is down is in `stale`.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) resources: HashMap<GroupVersionKind, Resource>,
    pub(super) stale: BTreeSet<(String, String)>,
    pub(super) versions: BTreeSet<(String, String)>,
}

/// Validators of the last answers, so that an unchanged document costs one short answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Validators(BTreeMap<&'static str, String>);

#[derive(Deserialize)]
struct Document {
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
    /// Of the classic `APIVersions`.
    #[serde(default)]
    versions: Vec<String>,
    /// Of the classic `APIGroupList`.
    #[serde(default)]
    groups: Vec<ClassicGroup>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: GroupName,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize, Default)]
struct GroupName {
    /// Missing for the core group.
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Listed>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    resource: String,
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    subresources: Vec<Subresource>,
}

#[derive(Deserialize)]
struct Subresource {
    #[serde(default)]
    subresource: String,
}

#[derive(Deserialize)]
struct ResponseKind {
    kind: String,
}

#[derive(Deserialize)]
struct ClassicGroup {
    versions: Vec<ClassicVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClassicVersion {
    group_version: String,
}

#[derive(Deserialize)]
struct ClassicList {
    #[serde(default)]
    resources: Vec<ClassicResource>,
}

#[derive(Deserialize)]
struct ClassicResource {
    name: String,
    namespaced: bool,
    kind: String,
    #[serde(default)]
    verbs: Vec<String>,
}

impl Found {
    fn add(&mut self, group: &str, version: &str, kind: &str, resource: Resource) {
        let kind = GroupVersionKind::new(group, version, kind);
        match self.resources.get(&kind) {
            // A kind served under two names (rare): the one that can be watched.
            Some(known) if known.can_watch() || !resource.can_watch() => {}
            _ => {
                self.resources.insert(kind, resource);
            }
        }
    }

    fn aggregated(&mut self, groups: Vec<Group>) {
        for group in groups {
            let name = group.metadata.name;
            for version in group.versions {
                self.versions
                    .insert((name.clone(), version.version.clone()));
                if version.freshness == "Stale" {
                    self.stale.insert((name.clone(), version.version.clone()));
                }
                for listed in version.resources {
                    // Only subresources are without a kind of their own.
                    let Some(kind) = listed.response_kind else {
                        continue;
                    };
                    let namespaced = listed.scope == "Namespaced";
                    let mut below = listed.subresources.iter();
                    let resource = Resource {
                        scale: below.any(|s| s.subresource == "scale"),
                        ..Resource::new(&listed.resource, namespaced, &listed.verbs)
                    };
                    self.add(&name, &version.version, &kind.kind, resource);
                }
            }
        }
    }

    /// Classic discovery: one more call for each group version. One that does not answer hides itself only.
    async fn classic(&mut self, client: &Client, group: &str, version: &str) -> Result<()> {
        let base = if group.is_empty() {
            "/api".to_owned()
        } else {
            format!("/apis/{group}")
        };
        let key = (group.to_owned(), version.to_owned());
        self.versions.insert(key.clone());
        let url = format!("{base}/{version}");
        let answer: Result<ClassicList> =
            call::get_json(client, &url, &format!("discover {url}"), call::CALL).await;
        match answer {
            Ok(list) => {
                let scaled = list.resources.iter();
                let scaled: BTreeSet<&str> = scaled
                    .filter_map(|r| r.name.strip_suffix("/scale"))
                    .collect();
                for listed in list.resources.iter().filter(|r| !r.name.contains('/')) {
                    let resource = Resource {
                        scale: scaled.contains(&*listed.name),
                        ..Resource::new(&listed.name, listed.namespaced, &listed.verbs)
                    };
                    self.add(group, version, &listed.kind, resource);
                }
                Ok(())
            }
            // Removed between the two calls.
            Err(error) if error.category() == Category::NotFound => {
                self.versions.remove(&key);
                Ok(())
            }
            Err(error)
                if error.is_retryable() && !matches!(error.category(), Category::Unreachable) =>
            {
                tracing::warn!(group, version, %error, "an API group does not answer");
                self.stale.insert(key);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn take(&mut self, client: &Client, document: Document) -> Result<()> {
        if document.kind == "APIGroupDiscoveryList" {
            self.aggregated(document.items);
            return Ok(());
        }
        for version in document.versions {
            self.classic(client, "", &version).await?;
        }
        for version in document.groups.into_iter().flat_map(|g| g.versions) {
            if let Some((group, version)) = version.group_version.split_once('/') {
                self.classic(client, group, version).await?;
            }
        }
        Ok(())
    }
}

/// Reads what the server serves; `None` where nothing changed since the validators were set.
pub(super) async fn read(
    client: &Client,
    validators: &mut Validators,
    accept: &'static str,
) -> Result<Option<Found>> {
    let mut fresh = Validators::default();
    let mut documents = Vec::new();
    for path in ["/api", "/apis"] {
        let action = format!("discover {path}");
        let mut builder = call::get(path);
        if let (Some(headers), Ok(accept)) = (builder.headers_mut(), accept.parse()) {
            headers.insert(http::header::ACCEPT, accept);
        }
        if let Some(tag) = validators.0.get(path) {
            builder = builder.header(http::header::IF_NONE_MATCH, tag);
        }
        let request = call::with_body(builder, &action, Vec::new())?;
        let (parts, body) = call::exchange(client, request, &action, call::LONG).await?;
        if parts.status == http::StatusCode::NOT_MODIFIED {
            fresh.0.extend(
                validators
                    .0
                    .get_key_value(path)
                    .map(|(k, v)| (*k, v.clone())),
            );
            continue;
        }
        if !parts.status.is_success() {
            return Err(call::refusal(&action, parts.status, &body));
        }
        if let Some(tag) = parts
            .headers
            .get(http::header::ETAG)
            .and_then(|v| v.to_str().ok())
        {
            fresh.0.insert(path, tag.to_owned());
        }
        documents.push(body);
    }
    if documents.is_empty() {
        return Ok(None);
    }
    // One changed, the other did not: read both, they are one catalog.
    if documents.len() < 2 {
        *validators = Validators::default();
        return Box::pin(read(client, validators, accept)).await;
    }
    let mut found = Found::default();
    for body in documents {
        let unreadable = |source| crate::Error::Undecodable {
            action: "discover what the API server serves".to_owned(),
            source,
        };
        found
            .take(client, serde_json::from_slice(&body).map_err(unreadable)?)
            .await?;
    }
    *validators = fresh;
    Ok(Some(found))
}

/// Reads the server's version.
pub(super) async fn version(client: &Client) -> Result<ServerVersion> {
    call::get_json(
        client,
        "/version",
        "read the API server's version",
        call::CALL,
    )
    .await
}

/// Keeps what was known of group versions that are stale and came without their resources.
pub(super) fn carry_over(found: &mut Found, previous: &Catalog) {
    for (group, version) in &found.stale {
        let of_it = |kind: &&GroupVersionKind| {
            *kind.group_kind.group == **group && *kind.version == **version
        };
        if found.resources.keys().any(|kind| of_it(&kind)) {
            continue;
        }
        let known: Vec<_> = previous
            .resources
            .iter()
            .filter(|(kind, _)| of_it(kind))
            .map(|(k, r)| (k.clone(), r.clone()))
            .collect();
        found.resources.extend(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn aggregated_discovery_names_kinds_scopes_and_stale_groups() {
        let doc = document(
            r#"{"kind":"APIGroupDiscoveryList","items":[
                {"metadata":{"creationTimestamp":null},"versions":[{"version":"v1","freshness":"Current","resources":[
                    {"resource":"pods","responseKind":{"group":"","version":"","kind":"Pod"},"scope":"Namespaced","verbs":["create","list","watch"],
                     "subresources":[{"subresource":"eviction","responseKind":{"group":"policy","version":"v1","kind":"Eviction"},"verbs":["create"]}]}]}]},
                {"metadata":{"name":"argoproj.io"},"versions":[{"version":"v1alpha1","freshness":"Current","resources":[
                    {"resource":"rollouts","responseKind":{"group":"argoproj.io","version":"v1alpha1","kind":"Rollout"},"scope":"Namespaced","verbs":["list"],
                     "subresources":[{"subresource":"scale","responseKind":{"group":"autoscaling","version":"v1","kind":"Scale"},"verbs":["get"]}]}]}]},
                {"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Stale"}]}]}"#,
        );
        let mut found = Found::default();
        found.aggregated(doc.items);
        let pod = &found.resources[&GroupVersionKind::new("", "v1", "Pod")];
        assert_eq!(
            (pod.plural.as_str(), pod.namespaced, pod.can_watch()),
            ("pods", true, true)
        );
        let rollout = GroupVersionKind::new("argoproj.io", "v1alpha1", "Rollout");
        assert!(found.resources[&rollout].scale && !pod.scale);
        assert!(
            !found
                .resources
                .contains_key(&GroupVersionKind::new("", "v1", "Eviction"))
        );
        assert!(
            found
                .stale
                .contains(&("metrics.k8s.io".to_owned(), "v1beta1".to_owned()))
        );
    }

    #[test]
    fn a_group_that_is_down_keeps_its_kinds() {
        let kind = GroupVersionKind::new("metrics.k8s.io", "v1beta1", "PodMetrics");
        let known = Found {
            resources: HashMap::from([(
                kind.clone(),
                Resource::new("pods", true, &["list".to_owned()]),
            )]),
            ..Found::default()
        };
        let previous = Catalog::new(known, ServerVersion::default());
        let mut found = Found::default();
        found
            .stale
            .insert(("metrics.k8s.io".to_owned(), "v1beta1".to_owned()));
        carry_over(&mut found, &previous);
        assert!(found.resources.contains_key(&kind));
    }
}
