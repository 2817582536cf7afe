//! Rendering a commit: plain manifests, kustomize, Helm. Runs inside a job, after the sandbox is closed.

mod complaint;
mod helm;
mod json;
mod kustomize;
mod layout;
mod objects;
mod origins;
mod plain;
mod release;
mod tool;
mod touched;
mod tree;
mod unstable;
mod yaml;

use std::path::{Path, PathBuf};

use git2::Repository;

use crate::error::{Category, Error, one_line};
use crate::request::{ListRequest, Listing, RenderItem, RenderRequest, RenderSummary, Renderer};
use objects::Collector;
pub(crate) use release::release;
pub(crate) use tool::run_tool;
use tree::{CommitTree, Entry, Kind};

/// Stack for the thread that renders: the parser takes up to 40 KB a level in a debug build, and reads 100 levels.
pub(crate) const STACK_BYTES: usize = 16 << 20;

/// What rendering has at hand.
pub(crate) struct Tools {
    pub(crate) kustomize: Option<PathBuf>,
    pub(crate) helm: Option<PathBuf>,
    /// The job's own folder.
    pub(crate) temp: PathBuf,
}

/// Renders a path of a commit; `send` gives false when nobody listens any more.
///
/// # Errors
/// What spoils the whole rendering; what spoils a part of it is an item.
pub(crate) fn render(
    request: &RenderRequest,
    repository: &Path,
    tools: &Tools,
    send: &mut dyn FnMut(RenderItem) -> bool,
) -> Result<RenderSummary, Error> {
    let repo = open(repository, &request.commit)?;
    let tree = CommitTree::open(&repo, &request.commit)?;
    let target = tree.look(&tree::clean_path(&request.path)?)?;
    let mut collector = Collector::new(send, &request.namespace, request.limits.output_bytes);
    let renderer = renderer(&tree, &target)?;
    match renderer {
        Renderer::Plain | Renderer::Release => {
            plain::render(&tree, &target, &request.limits, &mut collector)?
        }
        Renderer::Kustomize => kustomize::render(request, &tree, &target, tools, &mut collector)?,
        Renderer::Helm => helm::render(request, &tree, &target, tools, &mut collector)?,
    }
    collector.finish();
    Ok(RenderSummary {
        renderer,
        objects: collector.objects,
        problems: collector.problems,
    })
}

/// The files of a commit.
///
/// # Errors
/// `Limit` where there are too many.
pub(crate) fn list(request: &ListRequest, repository: &Path) -> Result<Listing, Error> {
    let repo = open(repository, &request.commit)?;
    let tree = CommitTree::open(&repo, &request.commit)?;
    let root = tree.look("")?;
    let below = tree.below(&root, request.limits.files, |_| true)?;
    let files = below.into_iter().filter(|e| e.kind == Kind::File);
    Ok(Listing {
        files: files.map(|e| e.path).collect(),
    })
}

fn open(repository: &Path, commit: &str) -> Result<Repository, Error> {
    Repository::open_bare(repository).map_err(|e| Error::NotFound {
        at: format!("commit {}", one_line(commit, 40)),
        what: format!(
            "is not in the worker's cache ({}): it is fetched again",
            one_line(e.message(), 200)
        ),
        retry: true,
    })
}

/// What a path asks for, by the files in it: a kustomization before a chart, as in `kubectl apply -k`.
fn renderer(tree: &CommitTree<'_>, target: &Entry) -> Result<Renderer, Error> {
    match target.kind {
        Kind::File => Ok(Renderer::Plain),
        Kind::Folder => {
            let names = tree.names(target)?;
            let has = |name: &str| names.iter().any(|n| n == name);
            Ok(
                if has("kustomization.yaml") || has("kustomization.yml") || has("Kustomization") {
                    Renderer::Kustomize
                } else if has("Chart.yaml") {
                    Renderer::Helm
                } else {
                    Renderer::Plain
                },
            )
        }
        Kind::Link | Kind::Submodule => {
            let what =
                "is a symbolic link or a submodule, which are not followed: name the folder itself";
            Err(Error::new(
                Category::Refused,
                format!("path `{}`", one_line(&target.path, 200)),
                what,
            ))
        }
    }
}
