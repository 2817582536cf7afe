//! A bare repository on the server, and the work tree from which tests fill it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};
use crate::tools::Invocation;

/// A repository that tests commit to. Every change is pushed to the bare
/// repository at once, as a colleague's push would be.
///
/// Author, dates and configuration are fixed, so that the same files give the
/// same commit ids and nobody's own configuration has a say.
#[derive(Debug, Clone)]
pub struct GitRepo {
    bare: PathBuf,
    work: PathBuf,
}

impl GitRepo {
    /// Makes an empty repository `<root>/<name>.git` with the branch `main`.
    ///
    /// # Errors
    /// If git is not installed or the directory cannot be written.
    pub async fn create(root: &Path, name: &str) -> Result<Self> {
        let bare = root.join(format!("{name}.git"));
        let work = root.join(format!(".work/{name}"));
        fs::create_dir_all(&bare).doing("creating", &bare)?;
        fs::create_dir_all(&work).doing("creating", &work)?;
        let repo = Self { bare, work };
        let initial = ["init", "--quiet", "--initial-branch=main"];
        git(&repo.bare).args(initial).args(["--bare"]).run().await?;
        // What the well-known hosts allow: a commit can be asked for by its id.
        for key in ["uploadpack.allowAnySHA1InWant", "uploadpack.allowFilter"] {
            git(&repo.bare).args(["config", key, "true"]).run().await?;
        }
        git(&repo.work).args(initial).run().await?;
        let origin = repo.bare.as_os_str();
        git(&repo.work)
            .args(["remote", "add", "origin"])
            .args([origin])
            .run()
            .await?;
        // So that a plain `git push` works in the demo's work tree.
        git(&repo.work)
            .args(["config", "push.autoSetupRemote", "true"])
            .run()
            .await?;
        Ok(repo)
    }

    /// The bare repository, as the path part of an ssh URL or for `git -C`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.bare
    }

    /// The work tree. What is changed in it by hand goes into the next commit.
    #[must_use]
    pub fn work_tree(&self) -> &Path {
        &self.work
    }

    /// Writes files, commits everything and pushes the current branch. Returns
    /// the commit's id.
    ///
    /// # Errors
    /// If a file cannot be written or git fails.
    pub async fn commit<P: AsRef<Path>, C: AsRef<[u8]>>(
        &self,
        message: &str,
        files: impl IntoIterator<Item = (P, C)>,
    ) -> Result<String> {
        for (path, content) in files {
            let path = self.work.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).doing("creating", parent)?;
            }
            fs::write(&path, content).doing("writing", &path)?;
        }
        self.git(["add", "--all"]).await?;
        self.git(["commit", "--quiet", "--allow-empty", "--message", message])
            .await?;
        self.push(false).await?;
        self.head().await
    }

    /// Removes files, commits and pushes. Returns the commit's id.
    ///
    /// # Errors
    /// If a file is not there or git fails.
    pub async fn remove(&self, message: &str, paths: &[&str]) -> Result<String> {
        self.git(["rm", "-r", "--quiet", "--"].iter().chain(paths))
            .await?;
        self.commit(message, std::iter::empty::<(&str, &str)>())
            .await
    }

    /// Puts the content of a directory into the repository, commits and pushes.
    ///
    /// # Errors
    /// If the directory cannot be read or git fails.
    pub async fn commit_directory(&self, message: &str, directory: &Path) -> Result<String> {
        copy(directory, &self.work)?;
        self.commit(message, std::iter::empty::<(&str, &str)>())
            .await
    }

    /// The id of the commit of the current branch.
    ///
    /// # Errors
    /// If there is none yet.
    pub async fn head(&self) -> Result<String> {
        Ok(self.git(["rev-parse", "HEAD"]).await?.trim().to_owned())
    }

    /// Goes to a branch, which is made at the current commit if it is new.
    ///
    /// # Errors
    /// If git fails.
    pub async fn branch(&self, name: &str) -> Result<()> {
        let reference = format!("refs/heads/{name}");
        let exists = self.git(["rev-parse", "--verify", "--quiet", &reference]);
        if exists.await.is_ok() {
            self.git(["checkout", "--quiet", name]).await?;
        } else {
            self.git(["checkout", "--quiet", "-b", name]).await?;
        }
        self.push(false).await
    }

    /// Puts an annotated tag on the current commit.
    ///
    /// # Errors
    /// If the tag is there already.
    pub async fn tag(&self, name: &str) -> Result<()> {
        self.git(["tag", "--annotate", "--message", name, name])
            .await?;
        self.git(["push", "--quiet", "origin", name]).await?;
        Ok(())
    }

    /// Sets the current branch back to another commit by a forced push.
    ///
    /// # Errors
    /// If there is no such commit.
    pub async fn force_push(&self, commit: &str) -> Result<()> {
        self.git(["reset", "--hard", "--quiet", commit]).await?;
        self.push(true).await
    }

    /// Deletes a branch on the server.
    ///
    /// # Errors
    /// If there is no such branch.
    pub async fn delete_branch(&self, name: &str) -> Result<()> {
        self.git(["push", "--quiet", "origin", "--delete", name])
            .await
            .map(drop)
    }

    /// Runs git in the work tree.
    ///
    /// # Errors
    /// If git fails.
    pub async fn git<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String> {
        git(&self.work).args(arguments).run().await
    }

    async fn push(&self, force: bool) -> Result<()> {
        let mut arguments = vec!["push", "--quiet", "origin", "HEAD"];
        if force {
            arguments.push("--force");
        }
        // A branch without a commit has nothing to push yet.
        if self.head().await.is_err() {
            return Ok(());
        }
        self.git(arguments).await.map(drop)
    }
}

/// git in this directory, as nobody in particular.
pub(crate) fn git(directory: &Path) -> Invocation {
    const PERSON: &str = "Driftline Tests";
    const MAIL: &str = "tests@driftline.invalid";
    const DATE: &str = "2026-01-01T12:00:00Z";
    Invocation::new("git")
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", PERSON)
        .env("GIT_AUTHOR_EMAIL", MAIL)
        .env("GIT_AUTHOR_DATE", DATE)
        .env("GIT_COMMITTER_NAME", PERSON)
        .env("GIT_COMMITTER_EMAIL", MAIL)
        .env("GIT_COMMITTER_DATE", DATE)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).doing("creating", to)?;
    for entry in fs::read_dir(from).doing("reading", from)? {
        let entry = entry.doing("reading", from)?;
        let target = to.join(entry.file_name());
        if entry.file_type().doing("reading", entry.path())?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).doing("copying to", &target)?;
        }
    }
    Ok(())
}
