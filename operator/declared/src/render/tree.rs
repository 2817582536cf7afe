//! A commit's tree: paths that stay inside it, files with limits, nothing followed.

use git2::{ObjectType, Oid, Repository, Tree};

use crate::error::{Category, Error, one_line};
use crate::git::classify;

const LINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;
/// As long as a path can be on Linux.
const PATH_BYTES: usize = 4096;

/// A tree of a commit.
pub(crate) struct CommitTree<'r> {
    repo: &'r Repository,
    tree: Tree<'r>,
    commit: String,
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Link,
    Submodule,
}

/// An entry somewhere below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative to the repository's root.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    id: Oid,
}

impl Entry {
    /// The path as people write it.
    pub(crate) fn shown(&self) -> &str {
        if self.path.is_empty() {
            "."
        } else {
            &self.path
        }
    }
}

#[cfg(test)]
impl Entry {
    pub(crate) fn for_tests(path: &str) -> Self {
        Self {
            path: path.into(),
            kind: Kind::Folder,
            id: Oid::ZERO_SHA1,
        }
    }
}

/// A path inside a repository: no `..`, not absolute, `/` between names; empty for the root.
///
/// # Errors
/// `Input` if it leads outside.
pub(crate) fn clean_path(path: &str) -> Result<String, Error> {
    join_path("", path).ok_or_else(|| {
        Error::new(
            Category::Input,
            format!("path `{}`", one_line(path, 200)),
            "must be relative and stay inside the repository",
        )
    })
}

/// `path` seen from the folder `base`; `..` may climb as far as the repository's root. `None` if it leads outside.
pub(crate) fn join_path(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\0', '\\']) {
        return None;
    }
    let mut names: Vec<&str> = base.split('/').filter(|n| !n.is_empty()).collect();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

impl<'r> CommitTree<'r> {
    /// The tree of a commit.
    ///
    /// # Errors
    /// A retryable `NotFound` if the cache no longer has it.
    pub(crate) fn open(repo: &'r Repository, commit: &str) -> Result<Self, Error> {
        let gone = || Error::NotFound {
            at: format!("commit {}", one_line(commit, 40)),
            what: "is not in the worker's cache: it is fetched again".into(),
            retry: true,
        };
        let id: Oid = if commit.len() == 40 {
            commit.parse().map_err(|_| gone())?
        } else {
            return Err(gone());
        };
        let tree = match repo.find_commit(id).and_then(|commit| commit.tree()) {
            Ok(tree) => tree,
            Err(e) if e.code() == git2::ErrorCode::NotFound => return Err(gone()),
            Err(e) => return Err(damaged(commit, &e)),
        };
        Ok(Self {
            repo,
            tree,
            commit: commit.to_owned(),
        })
    }

    /// What a clean path names.
    ///
    /// # Errors
    /// `NotFound` if there is nothing.
    pub(crate) fn look(&self, path: &str) -> Result<Entry, Error> {
        if path.is_empty() {
            return Ok(Entry {
                path: String::new(),
                kind: Kind::Folder,
                id: self.tree.id(),
            });
        }
        match self.tree.get_path(path.as_ref()) {
            Ok(entry) => Ok(Entry {
                path: path.to_owned(),
                kind: kind(entry.filemode(), entry.kind()),
                id: entry.id(),
            }),
            Err(e)
                if matches!(e.code(), git2::ErrorCode::NotFound)
                    || e.class() == git2::ErrorClass::Invalid =>
            {
                Err(Error::new(
                    Category::NotFound,
                    format!("path `{}`", one_line(path, 200)),
                    format!(
                        "is not in commit {}: check `path`, and whether the folder was moved",
                        self.commit
                    ),
                ))
            }
            Err(e) => Err(damaged(&self.commit, &e)),
        }
    }

    /// The names directly in a folder.
    ///
    /// # Errors
    /// `Corrupt` if the folder cannot be read.
    pub(crate) fn names(&self, folder: &Entry) -> Result<Vec<String>, Error> {
        let tree = self
            .repo
            .find_tree(folder.id)
            .map_err(|e| damaged(&self.commit, &e))?;
        Ok(tree
            .iter()
            .filter_map(|e| e.name().ok().map(str::to_owned))
            .collect())
    }

    /// Everything below a folder but the folders themselves, sorted by path; `enter` says which folders to look into.
    ///
    /// # Errors
    /// `Limit` beyond `limit` files, as many folders, or a nesting that nobody means; `Corrupt` if a folder cannot be read.
    pub(crate) fn below(
        &self,
        folder: &Entry,
        limit: u64,
        enter: impl Fn(&str) -> bool,
    ) -> Result<Vec<Entry>, Error> {
        let too_many = || {
            let at = format!("path `{}`", one_line(&folder.path, 200));
            let what = format!(
                "holds more than the limit of {limit} files: point the path at less, or raise the limit"
            );
            Error::new(Category::Limit, at, what)
        };
        let (mut found, mut open, mut folders) =
            (Vec::new(), vec![(folder.path.clone(), folder.id)], 0);
        while let Some((path, id)) = open.pop() {
            folders += 1;
            if folders > limit || path.len() > PATH_BYTES {
                return Err(too_many());
            }
            for entry in self
                .repo
                .find_tree(id)
                .map_err(|e| damaged(&self.commit, &e))?
                .iter()
            {
                let name = String::from_utf8_lossy(entry.name_bytes());
                let path = if path.is_empty() {
                    name.to_string()
                } else {
                    format!("{path}/{name}")
                };
                match kind(entry.filemode(), entry.kind()) {
                    Kind::Folder if enter(&name) => open.push((path, entry.id())),
                    Kind::Folder => {}
                    kind => found.push(Entry {
                        path,
                        kind,
                        id: entry.id(),
                    }),
                }
                if found.len() as u64 > limit {
                    return Err(too_many());
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// The bytes a file has, without reading it.
    ///
    /// # Errors
    /// `Corrupt` if it cannot be read.
    pub(crate) fn size(&self, entry: &Entry) -> Result<u64, Error> {
        let (size, _) = self
            .repo
            .odb()
            .and_then(|odb| odb.read_header(entry.id))
            .map_err(|e| damaged(&self.commit, &e))?;
        Ok(size as u64)
    }

    /// A file's bytes. Look at the size first.
    ///
    /// # Errors
    /// `Corrupt` if it cannot be read.
    pub(crate) fn read(&self, entry: &Entry) -> Result<Vec<u8>, Error> {
        let blob = self
            .repo
            .find_blob(entry.id)
            .map_err(|e| damaged(&self.commit, &e))?;
        Ok(blob.content().to_vec())
    }
}

fn kind(mode: i32, object: Option<ObjectType>) -> Kind {
    match (mode, object) {
        (LINK, _) => Kind::Link,
        (SUBMODULE, _) | (_, Some(ObjectType::Commit)) => Kind::Submodule,
        (_, Some(ObjectType::Tree)) => Kind::Folder,
        _ => Kind::File,
    }
}

fn damaged(commit: &str, error: &git2::Error) -> Error {
    let at = format!("commit {}", one_line(commit, 40));
    match classify(&at, error, false) {
        limit @ Error::Limit { .. } => limit,
        _ => {
            let what = format!(
                "the cached copy is damaged ({}): it is thrown away and fetched again",
                one_line(error.message(), 200)
            );
            Error::new(Category::Corrupt, at, what)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_stay_inside() {
        for (path, clean) in [("", ""), (".", ""), ("./a//b/", "a/b"), ("a/../b", "b")] {
            assert_eq!(clean_path(path).unwrap(), clean, "{path:?}");
        }
        for bad in ["..", "../a", "a/../../b", "/a", "/", "a\0b", "a\\..\\b"] {
            assert!(clean_path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            join_path("charts/web", "../../values/x.yaml").as_deref(),
            Some("values/x.yaml")
        );
        assert_eq!(join_path("charts/web", "../../../x"), None);
    }

    proptest! {
        #[test]
        fn no_path_leads_outside(base in "([a-z]{1,3}/){0,3}", path in "[a-z./]{0,20}") {
            if let Some(joined) = join_path(&base, &path) {
                prop_assert!(!joined.split('/').any(|n| n == ".." || n == "."));
                prop_assert!(!joined.starts_with('/'));
            }
        }
    }
}
