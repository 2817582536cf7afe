//! Everything that the API server serves, and every request that could change it.

use http::Method;
use kube::Client;

use super::support::get;

/// Reviews of one's own self, which every cluster allows everybody. Nothing is stored.
pub(crate) const SELF_REVIEWS: [(&str, &str); 3] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];

/// A resource or subresource that the server serves.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) group: String,
    pub(crate) version: String,
    /// As RBAC writes it, for example `pods/exec`.
    pub(crate) resource: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
}

impl Served {
    pub(crate) fn is(&self, group: &str, resource: &str) -> bool {
        self.group == group && self.resource == resource
    }

    /// Opens a connection to a node, a Pod or a Service, by GET too.
    pub(crate) fn connects(&self) -> bool {
        self.kind.ends_with("Options")
    }

    pub(crate) fn base(&self, namespace: &str) -> String {
        let group = if self.group.is_empty() {
            "/api".to_owned()
        } else {
            format!("/apis/{}", self.group)
        };
        let namespace = if self.namespaced {
            format!("/namespaces/{namespace}")
        } else {
            String::new()
        };
        format!("{group}/{}{namespace}", self.version)
    }

    /// Every request that could change something, with its verb.
    pub(crate) fn writes(
        &self,
        namespace: &str,
        name: &str,
    ) -> Vec<(&'static str, Method, String)> {
        let base = self.base(namespace);
        let (collection, one) = match self.resource.split_once('/') {
            None => (
                Some(format!("{base}/{}", self.resource)),
                format!("{base}/{}/{name}", self.resource),
            ),
            Some((parent, sub)) => (None, format!("{base}/{parent}/{name}/{sub}")),
        };
        let mut writes = vec![
            ("update", Method::PUT, one.clone()),
            ("patch", Method::PATCH, one.clone()),
            ("delete", Method::DELETE, one.clone()),
        ];
        match collection {
            Some(collection) => {
                writes.push(("create", Method::POST, collection.clone()));
                writes.push(("deletecollection", Method::DELETE, collection));
            }
            None => writes.push(("create", Method::POST, one.clone())),
        }
        if self.connects() {
            writes.push(("get", Method::GET, one));
        }
        writes
    }
}

/// Everything that the server serves, in all versions.
pub(crate) async fn served(client: &Client) -> Vec<Served> {
    let mut versions = vec![(String::new(), "v1".to_owned(), "/api/v1".to_owned())];
    for group in get(client, "/apis").await["groups"].as_array().unwrap() {
        let name = group["name"].as_str().unwrap();
        for version in group["versions"].as_array().unwrap() {
            let version = version["version"].as_str().unwrap();
            versions.push((
                name.to_owned(),
                version.to_owned(),
                format!("/apis/{name}/{version}"),
            ));
        }
    }
    let mut all = Vec::new();
    for (group, version, path) in versions {
        for resource in get(client, &path).await["resources"].as_array().unwrap() {
            all.push(Served {
                group: group.clone(),
                version: version.clone(),
                resource: resource["name"].as_str().unwrap().to_owned(),
                kind: resource["kind"].as_str().unwrap().to_owned(),
                namespaced: resource["namespaced"].as_bool().unwrap(),
                verbs: serde_json::from_value(resource["verbs"].clone()).unwrap(),
            });
        }
    }
    assert!(
        all.iter()
            .any(|s| s.is("driftline.dev", "driftrecords/status")),
        "the custom resources are not in discovery"
    );
    all
}
