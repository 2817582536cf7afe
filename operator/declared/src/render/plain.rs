//! Plain manifests: every YAML and JSON file below the path.

use drift::declared::{ProblemKind, Provenance};

use super::objects::Collector;
use super::tree::{CommitTree, Entry, Kind};
use crate::error::Error;
use crate::request::RenderLimits;

/// Reads every `*.yaml`, `*.yml` and `*.json` below a folder, or one file whatever its name.
/// Names that begin with a dot (`.github`, `.sops.yaml`) hold no manifests and are left out.
///
/// # Errors
/// `Limit` and `Corrupt`; what is wrong with one file is an item.
pub(crate) fn render(
    tree: &CommitTree<'_>,
    target: &Entry,
    limits: &RenderLimits,
    collector: &mut Collector<'_>,
) -> Result<(), Error> {
    if target.kind == Kind::File {
        return file(tree, target, limits, collector);
    }
    for entry in tree.below(target, limits.files, |name| !name.starts_with('.'))? {
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        match entry.kind {
            Kind::File if is_manifest(name) => file(tree, &entry, limits, collector)?,
            // A link without an ending may stand for a folder of manifests.
            Kind::Link if is_manifest(name) || !name.contains('.') => {
                not_followed(&entry, collector)
            }
            Kind::Submodule => not_followed(&entry, collector),
            _ => {}
        }
    }
    Ok(())
}

fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// Notes a link or submodule, which is left out.
pub(crate) fn not_followed(entry: &Entry, collector: &mut Collector<'_>) {
    let what = match entry.kind {
        Kind::Link => "symbolic link",
        Kind::Submodule => "submodule",
        Kind::File | Kind::Folder => return,
    };
    let message = format!(
        "is a {what}, which is not followed: put the files themselves here, or take it out of the target's path"
    );
    collector.problem(ProblemKind::NotFollowed, whole(entry), message);
}

fn whole(entry: &Entry) -> Provenance {
    Provenance {
        file: entry.path.clone(),
        document: 1,
        line: 0,
    }
}

fn file(
    tree: &CommitTree<'_>,
    entry: &Entry,
    limits: &RenderLimits,
    collector: &mut Collector<'_>,
) -> Result<(), Error> {
    let size = tree.size(entry)?;
    if size > limits.file_bytes {
        let message = format!(
            "has {size} bytes, more than the limit of {} for one file: split it or raise the limit",
            limits.file_bytes
        );
        collector.problem(ProblemKind::Limit, whole(entry), message);
        return Ok(());
    }
    match String::from_utf8(tree.read(entry)?) {
        Ok(text) => collector.file(&entry.path, &text),
        Err(_) => {
            collector.problem(
                ProblemKind::Parse,
                whole(entry),
                "is not UTF-8 text: save it as UTF-8",
            );
            Ok(())
        }
    }
}
