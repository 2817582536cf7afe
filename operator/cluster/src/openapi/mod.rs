//! Schemas of kinds from the API server's OpenAPI v3 documents.
//!
//! There is one document for each group and version, addressed by a URL that holds its hash
//! (<https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3>). Documents are read for the kinds that are needed, reduced
//! to what comparing needs and dropped; the reduced form is shared by the kinds of a document and kept until its hash changes.

mod document;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use drift::{GroupVersionKind, Schema};
use kube::Client;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::call;
use crate::error::{Category, Error, Result};

/// The schemas of one API server.
pub struct Schemas {
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where each group version's document is: `apis/apps/v1` and a URL that changes with its content.
    index: BTreeMap<String, String>,
    index_read: Option<Instant>,
    documents: HashMap<String, Document>,
    /// Kinds whose document was found to be another one while loading; [`Schemas::refresh`] tells of them.
    changed: BTreeSet<GroupVersionKind>,
}

/// A kind that is served is in the schemas a moment later; until then the index is read again at most this often.
const INDEX_AGE: Duration = Duration::from_millis(500);

/// A document, reduced.
struct Document {
    url: String,
    /// `None` for kinds that the document does not hold.
    kinds: HashMap<GroupVersionKind, Option<Schema>>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    paths: BTreeMap<String, IndexEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry {
    #[serde(rename = "serverRelativeURL")]
    url: String,
}

impl State {
    /// True where a kind is not known, which a new index may change.
    fn lacks(&self, path: &str, kinds: &BTreeSet<GroupVersionKind>) -> bool {
        let document = self.documents.get(path);
        kinds
            .iter()
            .any(|kind| document.and_then(|d| d.kinds.get(kind)?.as_ref()).is_none())
    }
}

impl Schemas {
    /// Schemas of the server that `client` talks to. Nothing is read yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            state: Mutex::default(),
        }
    }

    /// Reads the index again and returns the kinds whose schema has changed since they were asked for; [`Schemas::load`] gives the
    /// new ones. To be called when the catalog has changed, and from time to time (an upgrade of the server changes schemas too).
    ///
    /// # Errors
    /// Where the index cannot be read. Known schemas stay as they are.
    pub async fn refresh(&self) -> Result<BTreeSet<GroupVersionKind>> {
        let index = read_index(&self.client).await?;
        let mut state = self.state.lock().await;
        state.index = index;
        state.index_read = Some(Instant::now());
        let State {
            index,
            documents,
            changed,
            ..
        } = &mut *state;
        let mut changed = std::mem::take(changed);
        documents.retain(|path, document| {
            let same = index.get(path).is_some_and(|url| *url == document.url);
            if !same {
                changed.extend(document.kinds.keys().cloned());
            }
            same
        });
        Ok(changed)
    }

    /// The schemas of kinds. A kind that the server publishes no schema for is not in the answer: use [`Schema::unknown`] for it.
    /// Kinds already known cost nothing; the others cost the index and one document for each group version. A kind that is new may be
    /// missing for some seconds while it is served already: ask for it again.
    ///
    /// # Errors
    /// Where a document cannot be read. The kinds of other documents are kept, so trying again costs only the rest.
    pub async fn load(
        &self,
        kinds: impl IntoIterator<Item = GroupVersionKind>,
    ) -> Result<HashMap<GroupVersionKind, Schema>> {
        let mut wanted: BTreeMap<String, BTreeSet<GroupVersionKind>> = BTreeMap::new();
        for kind in kinds {
            wanted.entry(path_of(&kind)).or_default().insert(kind);
        }
        let mut state = self.state.lock().await;
        let lacking = wanted.iter().any(|(path, kinds)| state.lacks(path, kinds));
        if lacking && state.index_read.is_none_or(|at| at.elapsed() > INDEX_AGE) {
            state.index = read_index(&self.client).await?;
            state.index_read = Some(Instant::now());
        }
        let mut found = HashMap::new();
        for (path, kinds) in wanted {
            self.load_document(&mut state, &path, &kinds).await?;
            if let Some(document) = state.documents.get(&path) {
                let known =
                    |k: &GroupVersionKind| Some((k.clone(), document.kinds.get(k)?.clone()?));
                found.extend(kinds.iter().filter_map(known));
            }
        }
        Ok(found)
    }

    /// Sees to it that the document of a group version is the newest one and was searched for the kinds.
    async fn load_document(
        &self,
        state: &mut State,
        path: &str,
        kinds: &BTreeSet<GroupVersionKind>,
    ) -> Result<()> {
        let Some(url) = state.index.get(path).cloned() else {
            return Ok(());
        };
        let known = state.documents.get(path);
        let is_new = known.is_some_and(|d| d.url != url);
        if !is_new && known.is_some_and(|d| kinds.iter().all(|k| d.kinds.contains_key(k))) {
            return Ok(());
        }
        // One arena for all kinds of the document that were ever asked for.
        let before: BTreeSet<_> = known.iter().flat_map(|d| d.kinds.keys().cloned()).collect();
        let all: BTreeSet<_> = before.iter().chain(kinds).cloned().collect();
        match self.read_document(url, &all).await? {
            Some(document) => state.documents.insert(path.to_owned(), document),
            None => state.documents.remove(path),
        };
        if is_new {
            state.changed.extend(before);
        }
        Ok(())
    }

    /// How many schema nodes are kept, for metrics.
    pub async fn nodes(&self) -> usize {
        let state = self.state.lock().await;
        state
            .documents
            .values()
            .filter_map(|d| d.kinds.values().flatten().next())
            .map(Schema::len)
            .sum()
    }

    /// Reads a document and reduces it to the given kinds; `None` where it is gone, because its group was just removed, or where it
    /// has just become another one (the server then redirects to the new URL, which the next index holds).
    async fn read_document(
        &self,
        url: String,
        kinds: &BTreeSet<GroupVersionKind>,
    ) -> Result<Option<Document>> {
        let action = format!("read the schemas at {url}");
        let request = call::with_body(call::get(&url), &action, Vec::new())?;
        let (parts, body) = call::exchange(&self.client, request, &action, call::LONG).await?;
        if parts.status.is_redirection() {
            return Ok(None);
        }
        if !parts.status.is_success() {
            let error = call::refusal(&action, parts.status, &body);
            return if error.category() == Category::NotFound {
                Ok(None)
            } else {
                Err(error)
            };
        }
        let kinds = document::schemas(&body, kinds)
            .map_err(|source| Error::Undecodable { action, source })?;
        Ok(Some(Document { url, kinds }))
    }
}

async fn read_index(client: &Client) -> Result<BTreeMap<String, String>> {
    let index: Index = call::get_json(
        client,
        "/openapi/v3",
        "read the index of schemas",
        call::CALL,
    )
    .await?;
    Ok(index
        .paths
        .into_iter()
        .map(|(path, entry)| (path, entry.url))
        .collect())
}

/// The key of a kind's document in the index.
fn path_of(kind: &GroupVersionKind) -> String {
    let (group, version) = (&kind.group_kind.group, &kind.version);
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}
