//! What Git declares, fetched: a repository by its URL, a folder's commit, or a folder's files as they are.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use declared::{
    Category, Credentials, FetchLimits, FetchRequest, ListRequest, Reference, RenderLimits,
    Revision,
};
use globset::GlobBuilder;

use super::snapshot::{self, LeftOut};
use crate::failure::{Failure, Result};
use crate::options::SourceOptions;
use crate::worker::Local;

/// How long a fetch may take.
const FETCH: Duration = Duration::from_secs(300);
/// After this long it is said where nothing else says that something is being waited for.
const QUIET: Duration = Duration::from_secs(10);

/// A commit in the worker's cache.
#[derive(Clone)]
pub struct Source {
    /// As it was named, without credentials.
    pub shown: String,
    /// The repository's address, by which deployers know it: of a working tree that of its remote `origin`.
    pub url: String,
    /// The commit.
    pub revision: Revision,
    /// The name that the report gives it.
    pub name: String,
    /// How it was fetched, for its history; `None` where files were taken as they are.
    pub history: Option<FetchRequest>,
    /// What to render, relative to the root.
    pub paths: Vec<String>,
    /// What the user should know.
    pub note: Option<String>,
    /// Files that are not looked into.
    pub left_out: Vec<LeftOut>,
}

/// Who named a source. Whoever may write a policy names any host, so what a user holds for hosts of their own is not offered to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The user who runs the command.
    User,
    /// A policy in the cluster.
    Policy,
}

/// The name and commit of a repository's head, if it can be had from here.
///
/// # Errors
/// Where it cannot.
pub async fn reach(
    local: &Local,
    url: &str,
    options: &SourceOptions,
    by: NamedBy,
) -> Result<String> {
    let place = place(local, url, 0, options)?;
    let (revision, _) = fetch(local, &place, Reference::Head, options, by).await?;
    Ok(revision.name)
}

/// Where a source is.
struct Place {
    url: String,
    shown: String,
    is_file: bool,
    /// What of it is meant, relative to its root.
    below: String,
    is_snapshot: bool,
    note: Option<String>,
    left_out: Vec<LeftOut>,
    head: Option<String>,
    branch: Option<String>,
    remote: Option<String>,
}

/// Fetches a source and finds what is to be rendered of it.
///
/// # Errors
/// Where it cannot be fetched, or holds nothing of what is asked for.
pub async fn open(
    local: &Local,
    git: &str,
    number: usize,
    options: &SourceOptions,
    by: NamedBy,
) -> Result<Source> {
    let place = match by {
        NamedBy::User => place(local, git, number, options)?,
        NamedBy::Policy => place_of_policy(git)?,
    };
    let reference = match (&options.reference, &place.head) {
        (Some(name), _) if place.is_snapshot => {
            return Err(Failure::new(
                format!("--ref {name} makes no sense where files are compared as they are"),
                "leave out --ref, or name a Git repository and leave out --worktree",
            ));
        }
        (Some(name), _) => reference(name),
        (None, Some(commit)) => Reference::Commit(commit.clone()),
        (None, None) => Reference::Head,
    };
    let (revision, request) = fetch(local, &place, reference, options, by).await?;
    let paths = paths(local, &revision, &place.below, &options.path).await?;
    let name = if place.is_snapshot {
        "files".to_owned()
    } else {
        match &place.branch {
            Some(branch) => format!("{branch}@{}", revision.name),
            None => revision.name.clone(),
        }
    };
    Ok(Source {
        url: place.remote.unwrap_or(place.url),
        shown: place.shown,
        name,
        history: (!place.is_snapshot).then_some(request),
        revision,
        paths,
        note: place.note,
        left_out: place.left_out,
    })
}

fn place_of_url(url: &str, is_file: bool) -> Place {
    Place {
        url: url.to_owned(),
        shown: without_credentials(url),
        is_file,
        below: String::new(),
        is_snapshot: false,
        note: None,
        left_out: Vec::new(),
        head: None,
        branch: None,
        remote: None,
    }
}

/// Only hosts on the network, and those only over http: a policy's path would be one on this machine, and a key for ssh one of the user's.
fn place_of_policy(url: &str) -> Result<Place> {
    let refused = |why: &str| {
        Err(Failure::new(
            format!("{}: {why}", without_credentials(url)),
            "compare it yourself: kubectl driftline audit --git URL",
        ))
    };
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        _ if url.contains(char::is_control) => refused("it holds control characters"),
        Some("https" | "http") => Ok(place_of_url(url, false)),
        Some("file") => refused("files of this machine are not opened for a policy"),
        Some("ssh") => refused("your keys for ssh are not offered to hosts that policies name"),
        None if is_scp(url) => {
            refused("your keys for ssh are not offered to hosts that policies name")
        }
        _ => refused("only https:// and http:// are fetched for a policy"),
    }
}

fn place(local: &Local, git: &str, number: usize, options: &SourceOptions) -> Result<Place> {
    if is_url(git) {
        return Ok(place_of_url(git, git.starts_with("file://")));
    }
    let folder = Path::new(git).canonicalize().map_err(|e| {
        Failure::new(
            format!("{git} is neither a URL nor a folder that can be read: {e}"),
            "name a repository as https://… or ssh://…, or an existing folder",
        )
    })?;
    if !options.worktree
        && let Some(found) = snapshot::repository_of(&folder)?
    {
        return Ok(Place {
            url: format!("file://{}", found.git.display()),
            shown: git.to_owned(),
            is_file: true,
            below: found.below,
            is_snapshot: false,
            note: found.note,
            left_out: Vec::new(),
            head: options.reference.is_none().then_some(found.head),
            branch: found.branch.filter(|_| options.reference.is_none()),
            remote: found.remote,
        });
    }
    let copy = local.scratch().join(format!("files-{number}.git"));
    let (folder, below) = match options.worktree && folder.is_file() {
        true => alone(&folder, &local.scratch().join(format!("file-{number}")))?,
        false => (folder, String::new()),
    };
    let left_out = snapshot::take(&folder, &copy)?;
    Ok(Place {
        url: format!("file://{}", copy.display()),
        shown: git.to_owned(),
        is_file: true,
        below,
        is_snapshot: true,
        note: None,
        left_out,
        head: None,
        branch: None,
        remote: None,
    })
}

/// A file in a folder of its own, so that what lies beside it is not read. Gives the folder and the file's name.
fn alone(file: &Path, folder: &Path) -> Result<(PathBuf, String)> {
    let name = file.file_name().unwrap_or_default();
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::copy(file, folder.join(name)))
        .map_err(|e| {
            Failure::new(
                format!("{} cannot be copied: {e}", file.display()),
                "make it readable, and check that TMPDIR can be written and has room",
            )
        })?;
    Ok((folder.to_owned(), name.to_string_lossy().into_owned()))
}

fn is_url(text: &str) -> bool {
    text.contains("://") || (!Path::new(text).exists() && is_scp(text))
}

/// `git@host:path`.
fn is_scp(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(host, _)| host.contains('@') && !host.contains('/'))
}

/// A URL without what opens it.
pub fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or(host);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}

/// A commit by its full hash; else a branch or tag, whichever there is.
fn reference(name: &str) -> Reference {
    if name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Reference::Commit(name.to_ascii_lowercase());
    }
    match name.strip_prefix("refs/tags/") {
        Some(tag) => Reference::Tag(tag.to_owned()),
        None => Reference::Branch(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned()),
    }
}

async fn fetch(
    local: &Local,
    place: &Place,
    reference: Reference,
    options: &SourceOptions,
    by: NamedBy,
) -> Result<(Revision, FetchRequest)> {
    let ca = options.git_ca.as_deref().map(read).transpose()?;
    let credentials = match by {
        NamedBy::User => credentials(&place.url, options)?,
        // The helper below knows credentials by their host.
        NamedBy::Policy => None,
    };
    let mut request = FetchRequest {
        url: place.url.clone(),
        reference,
        credentials,
        ca,
        timeout: FETCH,
        limits: FetchLimits::default(),
        allow_file: place.is_file,
    };
    let worker = local.worker();
    let mut result = patiently(place, worker.fetch(&request)).await;
    if let (Err(error), Reference::Branch(name)) = (&result, &request.reference)
        && error.category() == Category::NotFound
    {
        let tag = FetchRequest {
            reference: Reference::Tag(name.clone()),
            ..request.clone()
        };
        if let Ok(revision) = worker.fetch(&tag).await {
            return Ok((revision, tag));
        }
    }
    let refused = matches!(&result, Err(e) if e.category() == Category::Auth);
    if refused && request.credentials.is_none() {
        request.credentials = helper(&place.url).await;
        if request.credentials.is_some() {
            result = patiently(place, worker.fetch(&request)).await;
        }
    }
    let revision = result.map_err(|e| failed(place, &e))?;
    Ok((revision, request))
}

/// Waits, and says so once where no line on a terminal does.
async fn patiently<T>(place: &Place, fetch: impl Future<Output = T>) -> T {
    let mut fetch = std::pin::pin!(fetch);
    if let Ok(done) = tokio::time::timeout(QUIET, &mut fetch).await {
        return done;
    }
    if !std::io::stderr().is_terminal() {
        let line = format!(
            "note: waiting for {}, for at most {} s",
            place.shown,
            FETCH.as_secs()
        );
        let _ = writeln!(std::io::stderr(), "{}", drift::redact::printable(&line));
    }
    fetch.await
}

/// There is no flag for how long a fetch may take, so nobody is told to raise that.
fn failed(place: &Place, error: &declared::Error) -> Failure {
    if error.category() == Category::Timeout && error.to_string().contains("raise the timeout") {
        return Failure::new(
            format!(
                "{}: not all of it was fetched within {} s",
                place.shown,
                FETCH.as_secs()
            ),
            "check that the server answers (git ls-remote) and how large the repository is; a checkout of it is compared with --git DIR",
        );
    }
    Failure::of_source(error)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| {
        Failure::new(
            format!("{} cannot be read: {e}", path.display()),
            "name a file that you may read",
        )
    })
}

/// From the environment, or the keys that ssh itself would use.
fn credentials(url: &str, options: &SourceOptions) -> Result<Option<Credentials>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    if url.starts_with("https://") {
        if let Some(token) = variable("DRIFTLINE_GIT_TOKEN") {
            return Ok(Some(Credentials::Bearer { token }));
        }
        return Ok(
            variable("DRIFTLINE_GIT_PASSWORD").map(|password| Credentials::Basic {
                username: variable("DRIFTLINE_GIT_USERNAME").unwrap_or_else(|| "git".to_owned()),
                password,
            }),
        );
    }
    if url.starts_with("http://") || url.starts_with("file://") {
        return Ok(None);
    }
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".ssh");
    let key = match &options.ssh_key {
        Some(key) => Some(key.clone()),
        None => ["id_ed25519", "id_ecdsa", "id_rsa"]
            .iter()
            .map(|name| home.join(name))
            .find(|path| path.is_file()),
    };
    let Some(key) = key else {
        return Ok(None);
    };
    Ok(Some(Credentials::Ssh {
        identity: read(&key)?,
        known_hosts: std::fs::read_to_string(home.join("known_hosts")).unwrap_or_default(),
        passphrase: variable("DRIFTLINE_SSH_PASSPHRASE"),
    }))
}

/// What Git's own credential helper knows; it is not let ask a person.
async fn helper(url: &str) -> Option<Credentials> {
    use tokio::io::AsyncWriteExt as _;
    // A second line would name another host to the helper.
    if !url.starts_with("https://") || url.contains(char::is_control) {
        return None;
    }
    let mut child = tokio::process::Command::new("git")
        .args(["credential", "fill"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    stdin
        .write_all(format!("url={url}\n\n").as_bytes())
        .await
        .ok()?;
    drop(stdin);
    let waited = tokio::time::timeout(Duration::from_secs(20), child.wait_with_output());
    let output = waited.await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let field = |key: &str| {
        let mut lines = text.lines();
        lines.find_map(|l| l.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
    };
    let (username, password) = (field("username")?, field("password")?);
    (!password.is_empty()).then_some(Credentials::Basic { username, password })
}

/// The paths to render: as they were given, or all that globs match.
async fn paths(
    local: &Local,
    revision: &Revision,
    below: &str,
    asked: &[String],
) -> Result<Vec<String>> {
    let full = |path: &str| {
        let path = path.trim_start_matches("./").trim_matches('/');
        match (below, path) {
            (below, "" | ".") => below.to_owned(),
            ("", path) => path.to_owned(),
            (below, path) => format!("{below}/{path}"),
        }
    };
    if asked.is_empty() {
        return Ok(vec![full("")]);
    }
    let mut found: Vec<String> = Vec::new();
    let mut files: Option<Vec<String>> = None;
    for path in asked.iter().map(|p| full(p)) {
        if !path.contains(['*', '?', '[', '{']) {
            found.push(path);
            continue;
        }
        let all = match files.take() {
            Some(all) => all,
            None => list(local, revision).await?,
        };
        let matched = matches(&path, &all)?;
        files = Some(all);
        if matched.is_empty() {
            return Err(Failure::new(
                format!("nothing in {} matches --path {path}", revision.name),
                "check the glob; it is relative to the repository's root, * does not match /, ** does",
            ));
        }
        found.extend(matched);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

async fn list(local: &Local, revision: &Revision) -> Result<Vec<String>> {
    let request = ListRequest {
        repository: revision.repository.clone(),
        commit: revision.commit.clone(),
        limits: RenderLimits::default(),
    };
    let listing = local.worker().list(&request).await;
    Ok(listing.map_err(|e| Failure::of_source(&e))?.files)
}

/// The folders and files that a glob matches; of what lies within each other, the outermost.
fn matches(glob: &str, files: &[String]) -> Result<Vec<String>> {
    let matcher = GlobBuilder::new(glob)
        .literal_separator(true)
        .build()
        .map_err(|e| Failure::new(format!("--path {glob}: {e}"), "mend the glob"))?
        .compile_matcher();
    let mut found: Vec<String> = Vec::new();
    for file in files {
        let mut ends = file
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([file.len()]);
        if let Some(path) = ends.find_map(|end| file.get(..end).filter(|p| matcher.is_match(p)))
            && found.last().is_none_or(|last| last != path)
        {
            found.push(path.to_owned());
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_names_folders_and_files_and_the_outermost_of_them() {
        let files = [
            "apps/a/k.yaml",
            "apps/a/x/y.yaml",
            "apps/b/k.yaml",
            "apps/c.yaml",
            "z/k.yaml",
        ];
        let files: Vec<String> = files.iter().map(|f| (*f).to_owned()).collect();
        let found = |glob| matches(glob, &files).expect("a glob");
        assert_eq!(found("apps/*"), ["apps/a", "apps/b", "apps/c.yaml"]);
        assert_eq!(
            found("**/k.yaml"),
            ["apps/a/k.yaml", "apps/b/k.yaml", "z/k.yaml"]
        );
        assert!(found("apps/q*").is_empty());
        assert!(matches("a[", &files).is_err());
    }

    #[test]
    fn a_policy_opens_neither_files_nor_keys_of_this_machine() {
        for url in [
            "file:///etc",
            "FILE:///etc",
            "/etc",
            ".",
            "ssh://git@h/x",
            "git@h:x",
            "https://h/x\nhost=other",
            "ext::sh",
        ] {
            assert!(place_of_policy(url).is_err(), "{url}");
        }
        let place = place_of_policy("https://h/x").expect("a place");
        assert!(!place.is_file && !place.is_snapshot);
    }

    #[test]
    fn what_is_a_url_and_what_of_it_is_shown() {
        assert!(is_url("https://h/x") && is_url("git@h:x") && is_url("ssh://h/x"));
        assert!(!is_url(".") && !is_url("/tmp"));
        assert_eq!(
            without_credentials("https://u:p@h/x.git"),
            "https://h/x.git"
        );
    }
}
