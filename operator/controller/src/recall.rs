//! Brings back what was known of a target before the operator started: the snapshot, and what its baselines declared, rendered
//! again from the commits that they name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cluster::index::{Recollection, Snapshot, object_key};
use declared::{Reference, Revision};
use serde_json::Value;

use crate::blame::commit_of;
use crate::engine::Engine;
use crate::policy::Policy;
use crate::registry::PolicyState;
use crate::targets::{Rendered, Target};

/// Commits that are rendered again at most; objects whose baseline is another one have none.
pub const MAX_REVISIONS: usize = 5;

/// What was known of a target cannot be brought back now; trying again may help. Says why.
#[derive(Debug)]
pub struct Later(pub String);

/// A rendering and the revision that it is of.
pub type Earlier = (Rendered, cluster::index::Revision);

/// Recalls a target before its first declaration. Gives the rendering of the revision by which it was last in sync, where that is
/// another one than the current.
///
/// # Errors
/// Where something needed cannot be had now. With `patience` at an end what could be had has to do.
pub async fn recall(
    engine: &Arc<Engine>,
    state: &PolicyState,
    policy: &Policy,
    target: &Target,
    current: &cluster::index::Revision,
    patience: bool,
) -> Result<Option<Earlier>, Later> {
    let remembered = engine
        .memory
        .of(engine, &state.uid, &target.spec.name)
        .await;
    let snapshot = match remembered {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return Ok(None),
        Err(error) if patience => return Err(Later(error.to_string())),
        Err(error) => {
            tracing::warn!(policy = %state.key, %error, "what was remembered cannot be read; baselines are unknown until objects are in sync");
            return Ok(None);
        }
    };
    let main = (snapshot.revision.clone(), snapshot.inputs.clone());
    let is_current = *main.0 == *current.name && *main.1 == *current.inputs;
    let mut declared: HashMap<(String, String, u64), Value> = HashMap::new();
    let mut before = None;
    for (name, inputs) in wanted(&snapshot, is_current) {
        let rendered = match again(engine, state, policy, target, &name, &inputs).await {
            Ok(Some(rendered)) => rendered,
            Err(later) if patience => return Err(later),
            Ok(None) | Err(_) => {
                tracing::info!(policy = %state.key, revision = name, "a baseline cannot be rendered again; origins that depend on it are unknown");
                continue;
            }
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
    Ok(before)
}

/// The revisions to render again, each with its inputs: the one by which nearly everything was in sync, then those that are the
/// baselines of most objects.
fn wanted(snapshot: &Snapshot, is_current: bool) -> Vec<(String, String)> {
    let main = (snapshot.revision.clone(), snapshot.inputs.clone());
    let mut objects: BTreeMap<(String, String), usize> = BTreeMap::new();
    let apart = snapshot.apart.iter().filter_map(|a| a.baseline.as_ref());
    let of_left = snapshot.left.iter().filter_map(|l| l.baseline.as_ref());
    let baselines = apart.chain(of_left);
    let left = snapshot.left.iter();
    let all = baselines
        .map(|b| (b.revision.clone(), b.inputs.clone()))
        .chain(left.map(|l| (l.revision.clone(), l.inputs.clone())));
    for revision in all {
        *objects.entry(revision).or_default() += 1;
    }
    if !is_current {
        objects.insert(main, usize::MAX);
    }
    let mut wanted: Vec<_> = objects.into_iter().collect();
    wanted.sort_by(|(a, many), (b, more)| more.cmp(many).then_with(|| a.cmp(b)));
    let wanted = wanted.into_iter().map(|(revision, _)| revision);
    wanted.take(MAX_REVISIONS).collect()
}

/// Renders a revision of earlier; `None` if it is gone, or if anything else that goes into rendering is not as it was then.
async fn again(
    engine: &Arc<Engine>,
    state: &PolicyState,
    policy: &Policy,
    target: &Target,
    name: &str,
    inputs: &str,
) -> Result<Option<Rendered>, Later> {
    if target.spec.is_release() {
        return target
            .stored_release(engine, state, policy, name, inputs)
            .await;
    }
    let Some(commit) = commit_of(name) else {
        return Ok(None);
    };
    let Some(fetched) = fetch(engine, state, commit).await? else {
        return Ok(None);
    };
    let revision = Revision {
        name: name.to_owned(),
        ..fetched
    };
    target.render_again(engine, state, &revision, inputs).await
}

/// Fetches a commit of the policy's own source; `None` if it is gone.
///
/// # Errors
/// Where fetching it again may help.
pub async fn fetch(
    engine: &Arc<Engine>,
    state: &PolicyState,
    commit: &str,
) -> Result<Option<Revision>, Later> {
    let Some(history) = state.view.lock().history.clone() else {
        return Ok(None);
    };
    let mut request = declared::FetchRequest::clone(&history.fetch);
    request.reference = Reference::Commit(commit.to_owned());
    match engine.worker.fetch(&request).await {
        Ok(fetched) => Ok(Some(fetched)),
        Err(error) if error.is_retryable() => Err(Later(error.to_string())),
        Err(error) => {
            tracing::debug!(%error, commit, "a commit of earlier cannot be fetched");
            Ok(None)
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

#[cfg(test)]
mod tests {
    use cluster::index::{Apart, Earlier};
    use drift::Evidence;

    use super::*;

    /// By the names of commits, which say nothing, the one that nearly all objects were in sync by could be left out.
    #[test]
    fn the_revision_of_most_objects_is_rendered_again_before_those_of_a_few() {
        let apart = |object, revision: &str| Apart {
            object,
            baseline: Some(Earlier {
                revision: revision.to_owned(),
                inputs: "i".to_owned(),
                evidence: Evidence::Own,
                except: Vec::new(),
            }),
            absent: false,
        };
        let mut snapshot = Snapshot {
            revision: "a".to_owned(),
            inputs: "i".to_owned(),
            apart: "bcdefg"
                .chars()
                .enumerate()
                .map(|(n, name)| apart(n as u64, &name.to_string()))
                .collect(),
            ..Snapshot::default()
        };
        snapshot.apart.push(apart(9, "g"));
        let names = |is_current| -> Vec<String> {
            let wanted = wanted(&snapshot, is_current);
            wanted.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(false), ["a", "g", "b", "c", "d"]);
        assert_eq!(names(true), ["g", "b", "c", "d", "e"]);
    }
}
