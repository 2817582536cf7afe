//! Rendering with kustomize.

use super::Tools;
use super::complaint;
use super::layout::lay_out;
use super::objects::Collector;
use super::origins::{self, Origins};
use super::plain::not_followed;
use super::tool::run_tool;
use super::tree::{CommitTree, Entry};
use crate::error::{Category, Error};
use crate::request::RenderRequest;

/// Runs `kustomize build` on a folder. Bases may lie anywhere in the repository, so all of it is laid out.
/// Without plugins and without a network its output depends on its input alone: one run is enough for the objects, a second one
/// tells where they come from.
///
/// # Errors
/// `Render` with kustomize's complaint in one sentence; `Limit`, `Corrupt`, `Worker`.
pub(crate) fn render(
    request: &RenderRequest,
    tree: &CommitTree<'_>,
    target: &Entry,
    tools: &Tools,
    collector: &mut Collector<'_>,
) -> Result<(), Error> {
    let folder = target.shown();
    let at = format!("kustomize folder `{folder}`");
    let Some(kustomize) = &tools.kustomize else {
        let what = "needs the program `kustomize`, which the worker does not have: install it or name it with --kustomize";
        return Err(Error::new(Category::Render, at, what));
    };
    let below = tree.below(target, request.limits.files, |_| true)?;
    below
        .iter()
        .for_each(|entry| not_followed(entry, collector));
    let everything = tree.below(&tree.look("")?, request.limits.files, |_| true)?;
    let layout = lay_out(tree, &everything, &tools.temp, &request.limits)?;
    let build = || {
        run_tool(
            kustomize,
            ["build".into(), layout.root.join(&target.path).into()],
            &tools.temp,
            request.limits.memory_bytes,
            request.limits.output_bytes,
        )
    };
    let output = build()?;
    if !output.success {
        return Err(complaint::kustomize(&at, &output.stderr, &layout));
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_| Error::new(Category::Render, at, "kustomize's output is not UTF-8 text"))?;
    let mut origins = origins::ask(&layout, target)
        .then(build)
        .and_then(Result::ok)
        .filter(|output| output.success)
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|text| Origins::new(&text, tree, target, request, &layout));
    for (index, mut object) in collector
        .rendered(&text, |_| folder.to_owned())
        .into_iter()
        .enumerate()
    {
        if let Some(origins) = &mut origins {
            origins.place(index, &mut object)?;
        }
        collector.object(object)?;
    }
    Ok(())
}
