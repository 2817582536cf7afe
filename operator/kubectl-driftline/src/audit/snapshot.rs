//! Folders on this machine: the Git working tree that one belongs to, or a copy of its files for the worker to read.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{IndexEntry, IndexTime, Oid, Repository, RepositoryInitOptions, Signature};

use crate::failure::{Failure, Result};

/// The most files that are copied.
const MAX_FILES: usize = 50_000;
/// The most bytes of one file.
const MAX_BYTES: u64 = 64 << 20;

/// The working tree that a folder belongs to.
pub struct Found {
    /// The repository itself.
    pub git: PathBuf,
    /// The folder, relative to the working tree's root.
    pub below: String,
    /// The commit that is checked out.
    pub head: String,
    /// And its branch, if it is checked out by that.
    pub branch: Option<String>,
    /// The address of its remote `origin`, if it has one.
    pub remote: Option<String>,
    /// What is not committed, and so not compared.
    pub note: Option<String>,
}

/// The repository that a folder lies in, if it has a commit.
///
/// # Errors
/// Where there is one that cannot be read.
pub fn repository_of(folder: &Path) -> Result<Option<Found>> {
    let repository = match Repository::discover(folder) {
        Ok(repository) => repository,
        Err(e) if e.code() == git2::ErrorCode::NotFound => return Ok(None),
        Err(e) => {
            return Err(Failure::new(
                format!(
                    "the Git repository of {} cannot be read: {}",
                    folder.display(),
                    e.message()
                ),
                "mend it (git status says more), or compare the files as they are with --worktree",
            ));
        }
    };
    let checked_out = repository.head();
    let branch = checked_out
        .as_ref()
        .ok()
        .filter(|h| h.is_branch())
        .and_then(|h| h.shorthand().ok().map(str::to_owned));
    let head = checked_out.and_then(|h| h.peel_to_commit());
    let Ok(head) = head.map(|c| c.id().to_string()) else {
        return Err(Failure::new(
            format!(
                "the Git repository of {} has no commit yet",
                folder.display()
            ),
            "commit something, or compare the files as they are with --worktree",
        ));
    };
    let remote = repository
        .find_remote("origin")
        .ok()
        .and_then(|r| r.url().ok().map(str::to_owned));
    let below = match repository.workdir().and_then(|w| w.canonicalize().ok()) {
        Some(root) => folder
            .strip_prefix(&root)
            .ok()
            .and_then(Path::to_str)
            .unwrap_or_default()
            .to_owned(),
        None => String::new(),
    };
    Ok(Some(Found {
        git: repository.commondir().to_owned(),
        note: uncommitted(&repository, &below),
        below,
        head,
        branch,
        remote,
    }))
}

fn uncommitted(repository: &Repository, below: &str) -> Option<String> {
    let mut options = git2::StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(false);
    if !below.is_empty() {
        options.pathspec(below);
    }
    let count = repository.statuses(Some(&mut options)).ok()?.len();
    let changed = match count {
        0 => return None,
        1 => "1 file is changed and not committed".to_owned(),
        n => format!("{n} files are changed and not committed"),
    };
    Some(format!(
        "{changed}, and so not compared; --worktree compares files as they are"
    ))
}

/// Copies a folder's files into a repository of their own, with one commit.
///
/// # Errors
/// Where they cannot be read, or are too many.
pub fn take(folder: &Path, to: &Path) -> Result<()> {
    let broken = |e: git2::Error| {
        Failure::new(
            format!(
                "the files of {} cannot be copied: {}",
                folder.display(),
                e.message()
            ),
            "check that TMPDIR can be written and has room",
        )
    };
    let mut options = RepositoryInitOptions::new();
    options
        .bare(true)
        .external_template(false)
        .initial_head("files");
    let repository = Repository::init_opts(to, &options).map_err(broken)?;
    let mut index = git2::Index::new().map_err(broken)?;
    let mut files = Vec::new();
    if folder.is_dir() {
        walk(folder, folder, &mut files)?;
    } else {
        return Err(Failure::new(
            format!("{} is not a folder", folder.display()),
            "name the folder with --git and the file with --path",
        ));
    }
    for (name, path) in files {
        let unreadable = |e: std::io::Error| {
            Failure::new(
                format!("{} cannot be read: {e}", path.display()),
                "make it readable, or point --path at other files",
            )
        };
        let meta = fs::symlink_metadata(&path).map_err(unreadable)?;
        let (mode, data) = if meta.is_symlink() {
            let target = fs::read_link(&path).map_err(unreadable)?;
            (
                0o120_000,
                target.to_string_lossy().into_owned().into_bytes(),
            )
        } else if meta.len() > MAX_BYTES {
            continue;
        } else {
            (0o100_644, fs::read(&path).map_err(unreadable)?)
        };
        let id = repository.blob(&data).map_err(broken)?;
        index.add(&entry(name, mode, id)).map_err(broken)?;
    }
    let tree = index.write_tree_to(&repository).map_err(broken)?;
    let tree = repository.find_tree(tree).map_err(broken)?;
    let who = Signature::now("files", "files@localhost").map_err(broken)?;
    repository
        .commit(Some("refs/heads/files"), &who, &who, "files", &tree, &[])
        .map_err(broken)?;
    repository.set_head("refs/heads/files").map_err(broken)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let unreadable = |e: std::io::Error| {
        Failure::new(
            format!("{} cannot be read: {e}", folder.display()),
            "make it readable, or name a folder below it",
        )
    };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable)?);
        if kind.is_dir() {
            if entry.file_name() != ".git" {
                walk(root, &path, files)?;
            }
            continue;
        }
        if !(kind.is_file() || kind.is_symlink()) {
            continue;
        }
        let name = path.strip_prefix(root).ok().and_then(Path::to_str);
        let Some(name) = name.map(str::to_owned) else {
            continue;
        };
        files.push((name, path));
        if files.len() > MAX_FILES {
            return Err(Failure::new(
                format!("{} holds more than {MAX_FILES} files", root.display()),
                "name a folder with less, or a Git repository",
            ));
        }
    }
    Ok(())
}

fn entry(path: String, mode: u32, id: Oid) -> IndexEntry {
    IndexEntry {
        ctime: IndexTime::new(0, 0),
        mtime: IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path: path.into_bytes(),
    }
}
