//! Brings back what was known of a target before the operator started: the snapshot, and what its baselines declared, rendered
//! again from the commits that they name.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cluster::index::{Recollection, Snapshot, object_key};
use declared::{Reference, Revision};
use serde_json::Value;

use crate::blame::commit_of;
use crate::engine::Engine;
use crate::registry::PolicyState;
use crate::targets::{Rendered, Target};

/// Commits that are rendered again at most; objects whose baseline is another one have none.
pub const MAX_REVISIONS: usize = 5;

/// Recalls a target before its first declaration. Gives the rendering of the revision by which it was last in sync, where that is
/// another one than the current.
pub async fn recall(
    engine: &Arc<Engine>,
    state: &PolicyState,
    target: &Target,
    current: &cluster::index::Revision,
) -> Option<(Rendered, cluster::index::Revision)> {
    let snapshot = engine
        .memory
        .of(engine, &state.uid, &target.spec.name)
        .await?;
    let main = (snapshot.revision.clone(), snapshot.inputs.clone());
    let mut wanted: BTreeSet<(String, String)> = snapshot
        .apart
        .iter()
        .filter_map(|a| a.baseline.as_ref())
        .map(|b| (b.revision.clone(), b.inputs.clone()))
        .collect();
    wanted.extend(
        snapshot
            .left
            .iter()
            .map(|l| (l.revision.clone(), l.inputs.clone())),
    );
    let of_left = snapshot.left.iter().filter_map(|l| l.baseline.as_ref());
    wanted.extend(of_left.map(|b| (b.revision.clone(), b.inputs.clone())));
    let is_current = *main.0 == *current.name && *main.1 == *current.inputs;
    if !is_current {
        wanted.insert(main.clone());
    }
    let mut declared: HashMap<(String, String, u64), Value> = HashMap::new();
    let mut before = None;
    for (name, inputs) in wanted.into_iter().rev().take(MAX_REVISIONS) {
        let Some(rendered) = again(engine, state, target, &name, &inputs).await else {
            tracing::info!(policy = %state.key, revision = name, "a baseline cannot be rendered again; origins that depend on it are unknown");
            continue;
        };
        keep_apart(&snapshot, &rendered, (&name, &inputs), &mut declared);
        if (&name, &inputs) == (&main.0, &main.1) && !is_current {
            let revision = cluster::index::Revision {
                name: name.into(),
                inputs: inputs.into(),
            };
            before = Some((rendered, revision));
        }
    }
    let recollection = Recollection { snapshot, declared };
    engine.index.recall(target.id, recollection);
    before
}

/// Renders a commit of earlier; `None` if it is gone, or if anything else that goes into rendering is not as it was then.
async fn again(
    engine: &Arc<Engine>,
    state: &PolicyState,
    target: &Target,
    name: &str,
    inputs: &str,
) -> Option<Rendered> {
    let revision = Revision {
        name: name.to_owned(),
        ..fetch(engine, state, commit_of(name)?).await?
    };
    target.render_again(engine, state, &revision, inputs).await
}

/// Fetches a commit of the policy's own source; `None` if it is gone.
pub async fn fetch(engine: &Arc<Engine>, state: &PolicyState, commit: &str) -> Option<Revision> {
    let history = state.view.lock().history.clone()?;
    let mut request = declared::FetchRequest::clone(&history.fetch);
    request.reference = Reference::Commit(commit.to_owned());
    match engine.worker.fetch(&request).await {
        Ok(fetched) => Some(fetched),
        Err(error) => {
            tracing::debug!(%error, commit, "a commit of earlier cannot be fetched");
            None
        }
    }
}

/// Keeps what a revision declared of the objects whose baseline it is.
fn keep_apart(
    snapshot: &Snapshot,
    rendered: &Rendered,
    (name, inputs): (&str, &str),
    declared: &mut HashMap<(String, String, u64), Value>,
) {
    let mut wanted: BTreeSet<u64> = snapshot
        .apart
        .iter()
        .filter(|a| {
            a.baseline
                .as_ref()
                .is_some_and(|b| b.revision == name && b.inputs == inputs)
        })
        .map(|a| a.object)
        .collect();
    let here = |r: &str, i: &str| r == name && i == inputs;
    let left = snapshot.left.iter().filter(|l| {
        let base = l.baseline.as_ref();
        here(&l.revision, &l.inputs) || base.is_some_and(|b| here(&b.revision, &b.inputs))
    });
    wanted.extend(left.filter_map(|l| Some(object_key(&l.id()?))));
    for declaration in &rendered.declarations {
        let object = object_key(&declaration.id);
        if wanted.contains(&object)
            && let Ok(read) = rendered.blobs.read(declaration.blob)
        {
            declared.insert((name.to_owned(), inputs.to_owned(), object), read.object);
        }
    }
}
