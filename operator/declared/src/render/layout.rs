//! Laying a part of a tree out as files, for tools that read folders.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::tree::{CommitTree, Entry, Kind};
use crate::error::{Category, Error};
use crate::request::RenderLimits;

/// Files in the job's own folder.
pub(crate) struct Layout {
    /// Where the repository's root is.
    pub(crate) root: PathBuf,
    /// The files laid out, relative to it.
    pub(crate) files: BTreeSet<String>,
    /// Files left out because they are larger than the limit.
    pub(crate) too_large: Vec<String>,
}

/// Lays out regular files; links and submodules are left out, so nothing can lead elsewhere.
///
/// # Errors
/// `Limit` beyond the total, `Worker` if the folder cannot be written, `Corrupt` if the tree cannot be read.
pub(crate) fn lay_out(
    tree: &CommitTree<'_>,
    entries: &[Entry],
    temp: &Path,
    limits: &RenderLimits,
) -> Result<Layout, Error> {
    let mut layout = Layout {
        root: temp.join("tree"),
        files: BTreeSet::new(),
        too_large: Vec::new(),
    };
    let mut left = limits.output_bytes;
    make_folder(&layout.root)?;
    for entry in entries.iter().filter(|e| e.kind == Kind::File) {
        let size = tree.size(entry)?;
        if size > limits.file_bytes {
            layout.too_large.push(entry.path.clone());
            continue;
        }
        left = left.checked_sub(size).ok_or_else(|| {
            let what = format!(
                "the files to lay out are larger than the limit of {} MiB together: raise the limit on output, or move the target to a smaller repository",
                limits.output_bytes >> 20
            );
            Error::new(Category::Limit, entry.path.clone(), what)
        })?;
        write(&layout.root, &entry.path, &tree.read(entry)?)?;
        layout.files.insert(entry.path.clone());
    }
    Ok(layout)
}

fn write(root: &Path, path: &str, bytes: &[u8]) -> Result<(), Error> {
    // Git does not make such names, but a tree made by hand can hold them.
    if path
        .split('/')
        .any(|name| matches!(name, "" | "." | "..") || name.eq_ignore_ascii_case(".git"))
    {
        return Err(Error::new(
            Category::Refused,
            path,
            "is not a path that Git would make: the repository was tampered with",
        ));
    }
    let target = root.join(path);
    if let Some(folder) = target.parent() {
        make_folder(folder)?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&target)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|e| cannot(path, &e))
}

fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|e| cannot("the job's folder", &e))
}

fn cannot(at: &str, error: &std::io::Error) -> Error {
    Error::new(
        Category::Worker,
        at,
        format!("cannot be written to the job's folder ({error}): check the worker's volume"),
    )
}
