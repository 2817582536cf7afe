//! One fetch: ask what the reference names now, and get that commit if it is not in the cache yet.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

use git2::{
    AutotagOption, Commit, FetchOptions, Oid, ProxyOptions, RemoteRedirect, Repository,
    RepositoryInitOptions,
};

use super::auth::{Session, classify};
use super::blame::is_cut;
use super::known_hosts;
use super::refs::{self, RemoteRef};
use super::url::{GitUrl, Scheme};
use crate::error::{Category, Error, one_line};
use crate::request::{
    Credentials, DeepenRequest, FetchRequest, Reference, RepositoryKey, Revision,
};

/// The folder of the bare repository in a cache entry.
pub(crate) const REPOSITORY: &str = "repo.git";
/// The folder of the bare repository that blame looks into, beside the one that is rendered from: what goes wrong with it, or
/// is too large, must not touch the other.
pub(crate) const HISTORY: &str = "history.git";
/// Where fetched tips are kept, so that they stay reachable.
const TIP: &str = "refs/driftline/tip";
/// Names nothing on any remote: fetching it lists the refs without a pack.
const LIST_ONLY: &str = "refs/driftline/none:refs/driftline/none";
/// libgit2's word for "everything that was left out by an earlier shallow fetch".
const UNSHALLOW: i32 = i32::MAX;

/// Fetches into a cache entry. A damaged entry is thrown away and fetched anew, once.
///
/// # Errors
/// See [`Category`]; each names the URL.
pub(crate) fn fetch(
    request: &FetchRequest,
    entry: &Path,
    key: &str,
    home: &Path,
) -> Result<Revision, Error> {
    let url = GitUrl::parse(&request.url, request.allow_file)?;
    url.check_credentials(request.credentials.as_ref())?;
    refs::check(&request.reference)?;
    write_known_hosts(&url, request, home)?;
    let path = entry.join(REPOSITORY);
    let fresh = !path.exists();
    remove_unfinished(&path);
    let first = Fetch::open(&url, request, &path).and_then(|fetch| fetch.run(key));
    match first {
        Err(Error::Corrupt { .. }) => {
            remove(&path, &url)?;
            Fetch::open(&url, request, &path)?.run(key)
        }
        // Old commits pile up in a shallow copy; only a fresh one says how large the repository is.
        Ok(_) if size(&path) > request.limits.repository_bytes && !fresh => {
            remove(&path, &url)?;
            let revision = Fetch::open(&url, request, &path)?.run(key)?;
            keep_if_small(revision, request, &path, &url)
        }
        Ok(revision) => keep_if_small(revision, request, &path, &url),
        Err(error) => Err(error),
    }
}

/// Fetches what came before a commit, so far as `depth` reaches, for [`super::blame`]. Nothing where it is here already.
///
/// # Errors
/// See [`Category`]; each names the URL.
pub(crate) fn deepen(request: &DeepenRequest, entry: &Path, home: &Path) -> Result<(), Error> {
    let fetch = &request.fetch;
    let url = GitUrl::parse(&fetch.url, fetch.allow_file)?;
    url.check_credentials(fetch.credentials.as_ref())?;
    refs::check(&fetch.reference)?;
    let path = entry.join(REPOSITORY);
    if Repository::open_bare(&path).is_ok_and(|repo| !repo.is_shallow()) {
        return Ok(());
    }
    write_known_hosts(&url, fetch, home)?;
    let path = entry.join(HISTORY);
    remove_unfinished(&path);
    let get = || Fetch::open(&url, fetch, &path)?.history(&request.commit, request.depth);
    let first = get();
    let again =
        matches!(first, Err(Error::Corrupt { .. })) || size(&path) > fetch.limits.repository_bytes;
    let result = if again {
        // Histories of old commits pile up; a fresh copy says how large this one is.
        remove(&path, &url)?;
        get()
    } else {
        first
    };
    result.and_then(|()| keep_if_small((), fetch, &path, &url))
}

fn keep_if_small<T>(
    kept: T,
    request: &FetchRequest,
    path: &Path,
    url: &GitUrl,
) -> Result<T, Error> {
    let (bytes, limit) = (size(path), request.limits.repository_bytes);
    if bytes <= limit {
        return Ok(kept);
    }
    remove(path, url)?;
    let what = format!(
        "the repository takes {} MiB, more than the limit of {} MiB: raise the limit",
        bytes >> 20,
        limit >> 20
    );
    Err(Error::new(Category::Limit, url.shown(), what))
}

struct Fetch<'a> {
    url: &'a GitUrl,
    request: &'a FetchRequest,
    repo: Repository,
    /// Set once it is known that the server asks for no credentials.
    open: Cell<bool>,
}

impl<'a> Fetch<'a> {
    fn open(url: &'a GitUrl, request: &'a FetchRequest, path: &Path) -> Result<Self, Error> {
        if path.exists()
            && let Ok(repo) = Repository::open_bare(path)
        {
            return Ok(Self {
                url,
                request,
                repo,
                open: Cell::new(false),
            });
        }
        remove(path, url)?;
        let mut options = RepositoryInitOptions::new();
        options
            .bare(true)
            .external_template(false)
            .no_reinit(true)
            .initial_head("driftline");
        let repo = Repository::init_opts(path, &options).map_err(|e| {
            let what = format!(
                "the cache folder cannot be written ({}): check the worker's volume",
                one_line(e.message(), 200)
            );
            Error::new(Category::Worker, url.shown(), what)
        })?;
        Ok(Self {
            url,
            request,
            repo,
            open: Cell::new(false),
        })
    }

    fn run(&self, key: &str) -> Result<Revision, Error> {
        let (oid, label) = match &self.request.reference {
            Reference::Commit(hash) => (self.commit(hash)?, None),
            Reference::Head => {
                let (oid, name) = self.named()?;
                (oid, name.strip_prefix("refs/heads/").map(str::to_owned))
            }
            Reference::Branch(name) | Reference::Tag(name) => (self.named()?.0, Some(name.clone())),
            Reference::Semver(_) => {
                let (oid, name) = self.named()?;
                (oid, Some(name.trim_start_matches("refs/tags/").to_owned()))
            }
        };
        let commit = self
            .repo
            .find_commit(oid)
            .map_err(|e| classify(self.url.shown(), &e, false))?;
        Ok(revision(&commit, label.as_deref(), key))
    }

    /// What a branch, tag or range names: its commit and its full name on the remote.
    fn named(&self) -> Result<(Oid, String), Error> {
        let found = refs::resolve(&self.request.reference, &self.list()?, self.url.shown())?;
        if self.has(found.target)? {
            return Ok((found.target, found.name));
        }
        self.get(&[&format!("+{}:{TIP}", found.name)])?;
        Ok((self.tip(&found)?, found.name))
    }

    /// The fetched tip, which may be newer than the one listed.
    fn tip(&self, found: &RemoteRef) -> Result<Oid, Error> {
        let reference = self
            .repo
            .find_reference(TIP)
            .map_err(|e| classify(self.url.shown(), &e, false))?;
        let commit = reference.peel_to_commit().map_err(|_| {
            let name = one_line(&found.name, 200);
            Error::new(
                Category::NotFound,
                self.url.shown(),
                format!("`{name}` does not point at a commit"),
            )
        })?;
        Ok(commit.id())
    }

    fn commit(&self, hash: &str) -> Result<Oid, Error> {
        let missing = || {
            let what = format!(
                "there is no commit {hash} on any branch or tag: it may have been force-pushed away"
            );
            Error::new(Category::NotFound, self.url.shown(), what)
        };
        let oid = refs::commit_id(hash).ok_or_else(missing)?;
        if self.has(oid)? {
            return Ok(oid);
        }
        self.preflight()?;
        // Most servers hand out any reachable commit by its hash; for the others everything is fetched.
        let direct = self.get(&[&format!("+{hash}:{TIP}")]);
        if direct.is_ok() && self.has(oid)? {
            return Ok(oid);
        }
        if let Err(error @ (Error::Auth { .. } | Error::Refused { .. } | Error::Limit { .. })) =
            direct
        {
            return Err(error);
        }
        self.get_depth(
            &[
                "+refs/heads/*:refs/driftline/heads/*",
                "+refs/tags/*:refs/driftline/tags/*",
            ],
            self.everything(),
        )?;
        if self.has(oid)? {
            Ok(oid)
        } else {
            Err(missing())
        }
    }

    /// A commit and what came before it.
    fn history(&self, hash: &str, depth: u32) -> Result<(), Error> {
        let missing = || {
            let what = format!(
                "the history of commit {hash} cannot be had: it is on no branch or tag any more"
            );
            Error::new(Category::NotFound, self.url.shown(), what)
        };
        let oid = refs::commit_id(hash).ok_or_else(missing)?;
        if self.has(oid)? && reaches(&self.repo, oid, depth) {
            return Ok(());
        }
        self.preflight()?;
        let depth = i32::try_from(depth).unwrap_or(UNSHALLOW);
        // As for a single commit: not every server hands one out by its hash. The branch may have moved on since.
        match self.get_depth(&[&format!("+{hash}:{TIP}")], depth) {
            Ok(()) if self.has(oid)? => return Ok(()),
            Err(error @ (Error::Auth { .. } | Error::Refused { .. } | Error::Limit { .. })) => {
                return Err(error);
            }
            _ => {}
        }
        if !matches!(self.request.reference, Reference::Commit(_)) {
            let found = refs::resolve(&self.request.reference, &self.list()?, self.url.shown())?;
            self.get_depth(&[&format!("+{}:{TIP}", found.name)], depth)?;
        }
        if self.has(oid)? {
            Ok(())
        } else {
            Err(missing())
        }
    }

    fn everything(&self) -> i32 {
        if self.repo.is_shallow() { UNSHALLOW } else { 0 }
    }

    /// The remote's refs, without a pack.
    fn list(&self) -> Result<Vec<RemoteRef>, Error> {
        match self.preflight()? {
            Some(refs) => Ok(refs),
            None => self.listing(&self.session()),
        }
    }

    /// A bearer token is in every request from the first, and libgit2 would send it along on a redirect to another
    /// port of the host. So the server is first asked without it: one that asks for credentials gets the token, one that
    /// redirects elsewhere does not, and one that answers does not need it.
    fn preflight(&self) -> Result<Option<Vec<RemoteRef>>, Error> {
        if !matches!(self.request.credentials, Some(Credentials::Bearer { .. })) {
            return Ok(None);
        }
        let session = Session::anonymous(self.url, self.request);
        match self.listing(&session) {
            Ok(refs) => {
                self.open.set(true);
                Ok(Some(refs))
            }
            Err(Error::Auth { .. } | Error::NotFound { .. }) if session.moved_on() => {
                let what = "the server redirects, which is not followed with credentials: use the repository's final URL";
                Err(Error::new(Category::Refused, self.url.shown(), what))
            }
            // Some servers do not admit to strangers that something is there.
            Err(Error::Auth { .. } | Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn session(&self) -> Session<'_> {
        if self.open.get() {
            Session::anonymous(self.url, self.request)
        } else {
            Session::new(self.url, self.request)
        }
    }

    fn listing(&self, session: &Session<'_>) -> Result<Vec<RemoteRef>, Error> {
        let mut remote = self
            .repo
            .remote_anonymous(self.url.as_str())
            .map_err(|e| session.error(&e))?;
        let mut options = self.options(session, 0);
        remote
            .fetch(&[LIST_ONLY], Some(&mut options), None)
            .map_err(|e| session.error(&e))?;
        let listed = remote.list().map_err(|e| session.error(&e))?;
        Ok(refs::peel(
            listed
                .iter()
                .map(|head| (head.name().to_owned(), head.oid())),
        ))
    }

    fn get(&self, refspecs: &[&str]) -> Result<(), Error> {
        if self.url.scheme() == Scheme::File {
            // libgit2's local transport knows no depth.
            return self.get_depth(refspecs, 0);
        }
        match self.get_depth(refspecs, 1) {
            Err(Error::Unreachable { what, .. }) if what.contains("shallow") => {
                self.get_depth(refspecs, 0)
            }
            other => other,
        }
    }

    fn get_depth(&self, refspecs: &[&str], depth: i32) -> Result<(), Error> {
        let session = self.session();
        let mut remote = self
            .repo
            .remote_anonymous(self.url.as_str())
            .map_err(|e| session.error(&e))?;
        let mut options = self.options(&session, depth);
        remote
            .fetch(refspecs, Some(&mut options), None)
            .map_err(|e| session.error(&e))
    }

    fn options<'s>(&self, session: &'s Session<'_>, depth: i32) -> FetchOptions<'s> {
        let mut options = FetchOptions::new();
        let mut proxy = ProxyOptions::new();
        proxy.auto();
        options
            .remote_callbacks(session.callbacks())
            .proxy_options(proxy)
            .download_tags(AutotagOption::None)
            .update_fetchhead(false)
            .depth(depth)
            .follow_redirects(match self.request.credentials {
                Some(_) => RemoteRedirect::None,
                None => RemoteRedirect::Initial,
            });
        if let Some(header) = session.header() {
            options.custom_headers(&[&header]);
        }
        options
    }

    /// True if the commit (or the commit a tag points at) and its tree are here.
    fn has(&self, oid: Oid) -> Result<bool, Error> {
        let there = self
            .repo
            .find_commit(oid)
            .and_then(|commit| commit.tree().map(|_| ()));
        match there {
            Ok(()) => Ok(true),
            Err(e) if e.code() == git2::ErrorCode::NotFound => Ok(false),
            Err(e) => {
                let what = format!(
                    "the cached copy is damaged ({})",
                    one_line(e.message(), 200)
                );
                Err(Error::new(Category::Corrupt, self.url.shown(), what))
            }
        }
    }
}

/// libgit2 asks a server for a key of a type that `~/.ssh/known_hosts` has; without it, it may be shown another of the host's keys.
fn write_known_hosts(url: &GitUrl, request: &FetchRequest, home: &Path) -> Result<(), Error> {
    let Some(Credentials::Ssh { known_hosts, .. }) = &request.credentials else {
        return Ok(());
    };
    let folder = home.join(".ssh");
    let lines = known_hosts::plain_lines(known_hosts, url.host(), url.port());
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("known_hosts"), lines))
        .map_err(|e| {
            Error::new(
                Category::Worker,
                url.shown(),
                format!("the job's folder cannot be written ({e}): check the worker's volume"),
            )
        })
}

fn revision(commit: &Commit<'_>, label: Option<&str>, key: &str) -> Revision {
    let hash = commit.id().to_string();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Revision {
        name: label.map_or_else(
            || format!("sha1:{hash}"),
            |label| format!("{label}@sha1:{hash}"),
        ),
        author: author(commit),
        message: one_line(
            text(commit.message_bytes())
                .trim_start()
                .lines()
                .next()
                .unwrap_or_default(),
            200,
        ),
        committed_at: commit.time().seconds(),
        commit: hash,
        repository: RepositoryKey(key.to_owned()),
    }
}

/// True if the history of a commit that is here is cut no sooner than `depth` commits back.
fn reaches(repo: &Repository, commit: Oid, depth: u32) -> bool {
    let (mut level, mut seen) = (vec![commit], HashSet::from([commit]));
    for _ in 1..depth {
        let mut next = Vec::new();
        for commit in level {
            let Ok(commit) = repo.find_commit(commit) else {
                return false;
            };
            if is_cut(&commit) {
                return false;
            }
            next.extend(commit.parent_ids().filter(|parent| seen.insert(*parent)));
        }
        level = next;
    }
    true
}

/// `Name <mail>` of who wrote a commit.
pub(super) fn author(commit: &Commit<'_>) -> String {
    let author = commit.author();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (name, mail) = (text(author.name_bytes()), text(author.email_bytes()));
    one_line(&format!("{name} <{mail}>"), 200)
}

fn remove(path: &Path, url: &GitUrl) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::new(
            Category::Worker,
            url.shown(),
            format!("the cached copy cannot be removed: {e}"),
        )),
    }
}

/// Removes what a fetch that was killed had received: a server that sends half a gigabyte and then falls silent would fill
/// the volume, attempt by attempt. One repository is fetched once at a time, so nobody is writing these files.
fn remove_unfinished(repository: &Path) {
    let packs = fs::read_dir(repository.join("objects/pack"));
    for file in packs.into_iter().flatten().flatten() {
        let name = file.file_name();
        if !name.to_string_lossy().starts_with("pack-") {
            // What cannot be removed now is removed with the repository.
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Bytes of all files below a folder.
pub(crate) fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_of_killed_fetches_piled_up() {
        let folder = tempfile::tempdir().unwrap();
        let packs = folder.path().join("objects/pack");
        fs::create_dir_all(&packs).unwrap();
        for name in ["pack-1.pack", "pack-1.idx", "pack_git2_0f3a"] {
            fs::write(packs.join(name), "x").unwrap();
        }
        remove_unfinished(folder.path());
        let mut left: Vec<_> = fs::read_dir(&packs)
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["pack-1.idx", "pack-1.pack"]);
        remove_unfinished(Path::new("/nowhere"));
    }
}
