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
    let below = match repository.workdir() {
        Some(root) => below(folder, root)?,
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

/// The folder within its working tree. Were it not told, all of the repository would be taken for it.
fn below(folder: &Path, root: &Path) -> Result<String> {
    let canonical = root.canonicalize().ok();
    let below = canonical
        .as_deref()
        .and_then(|root| folder.strip_prefix(root).ok())
        .and_then(Path::to_str);
    below.map(str::to_owned).ok_or_else(|| {
        Failure::new(
            format!(
                "where {} lies in the working tree {} cannot be told in UTF-8",
                folder.display(),
                root.display()
            ),
            "rename the folder, or compare the files as they are with --worktree",
        )
    })
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

/// A file that is not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name below the folder, as far as it can be written.
    pub name: String,
    /// Why, and what to do.
    pub why: String,
}

/// What a folder holds.
#[derive(Default)]
struct Files {
    taken: Vec<(String, PathBuf)>,
    left_out: Vec<LeftOut>,
}

/// Copies a folder's files into a repository of their own, with one commit. Gives those that are not copied.
///
/// # Errors
/// Where they cannot be read, or are too many.
pub fn take(folder: &Path, to: &Path) -> Result<Vec<LeftOut>> {
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
    let mut files = Files::default();
    if folder.is_dir() {
        walk(folder, folder, &mut files)?;
    } else {
        return Err(Failure::new(
            format!("{} is not a folder", folder.display()),
            "name the folder with --git and the file with --path",
        ));
    }
    let mut left_out = files.left_out;
    for (name, path) in files.taken {
        let unreadable = |e: std::io::Error| {
            Failure::new(
                format!("{} cannot be read: {e}", path.display()),
                "make it readable, or point --path at other files",
            )
        };
        let meta = fs::symlink_metadata(&path).map_err(unreadable)?;
        let (mode, data) = if meta.is_symlink() {
            let target = fs::read_link(&path).map_err(unreadable)?;
            (0o120_000, target.into_os_string().into_encoded_bytes())
        } else if meta.len() > MAX_BYTES {
            left_out.push(LeftOut {
                name,
                why: format!(
                    "it is larger than {} MiB: make it smaller, or name a folder without it",
                    MAX_BYTES >> 20
                ),
            });
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
    repository.set_head("refs/heads/files").map_err(broken)?;
    Ok(left_out)
}

fn walk(root: &Path, folder: &Path, files: &mut Files) -> Result<()> {
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
        let name = path.strip_prefix(root).unwrap_or(&path);
        match name.to_str().map(str::to_owned) {
            Some(name) => files.taken.push((name, path)),
            None => files.left_out.push(LeftOut {
                name: name.to_string_lossy().into_owned(),
                why: "its name is not UTF-8: rename it, or name a folder without it".to_owned(),
            }),
        }
        if files.taken.len() + files.left_out.len() > MAX_FILES {
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

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn files_that_are_not_copied_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = tempfile::tempdir().expect("a folder");
        let at = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
        fs::write(at(b"a.yaml"), "a: 1").expect("written");
        fs::write(at(b"b\xff.yaml"), "a: 1").expect("written");
        let big = fs::File::create(at(b"big.yaml")).expect("created");
        big.set_len(MAX_BYTES + 1).expect("grown");
        let left_out = take(folder.path(), copy.path()).expect("a copy");
        let names: Vec<&str> = left_out.iter().map(|l| &*l.name).collect();
        assert_eq!(names, ["b\u{fffd}.yaml", "big.yaml"]);
    }

    #[test]
    fn a_folder_that_cannot_be_told_is_not_the_whole_repository() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("a path");
        assert_eq!(below(&root.join("a/b"), &root).as_deref(), Ok("a/b"));
        assert_eq!(below(&root, &root).as_deref(), Ok(""));
        let odd = root.join(OsStr::from_bytes(b"a\xff"));
        assert!(below(&odd, &root).is_err());
        assert!(below(Path::new("/elsewhere"), &root).is_err());
    }
}
