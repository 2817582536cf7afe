//! What the operator asks the worker for, and what it gets back.

use std::fmt;
use std::time::Duration;

use drift::declared::{DeclaredObject, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Which commit of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reference {
    /// What the remote itself calls its head: the default branch.
    Head,
    /// The tip of a branch, without `refs/heads/`.
    Branch(String),
    /// A tag, without `refs/tags/`; annotated tags are peeled.
    Tag(String),
    /// The highest tag in a semver range, for example `>=1.2, <2`; a leading `v` of tags is allowed.
    Semver(String),
    /// A full commit hash, in hexadecimal.
    Commit(String),
}

/// What opens a repository. `Debug` prints the kind only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// User name and password (or token), over https only.
    Basic {
        /// The user name.
        username: String,
        /// The password or token.
        password: String,
    },
    /// An `Authorization: Bearer` header, over https only.
    Bearer {
        /// The token.
        token: String,
    },
    /// A private key, over ssh only.
    Ssh {
        /// The private key, PEM or OpenSSH format.
        identity: String,
        /// The lines of a `known_hosts` file; a host that is not in it is refused.
        known_hosts: String,
        /// What opens the key, if it is encrypted.
        passphrase: Option<String>,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::Basic { .. } => "Basic(redacted)",
            Credentials::Bearer { .. } => "Bearer(redacted)",
            Credentials::Ssh { .. } => "Ssh(redacted)",
        })
    }
}

/// Limits of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchLimits {
    /// Bytes received in one fetch, and bytes kept of one repository.
    pub repository_bytes: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            repository_bytes: 512 << 20,
        }
    }
}

/// Asks for the commit a reference names now, and for its objects to be in the cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// `https://…`, `ssh://…`, `git@host:path`, `http://…` without credentials, `file://…` with `allow_file`.
    pub url: String,
    /// Which commit.
    pub reference: Reference,
    /// What opens the repository.
    pub credentials: Option<Credentials>,
    /// PEM certificates that are trusted instead of the system's.
    pub ca: Option<String>,
    /// The whole fetch is ended after this.
    pub timeout: Duration,
    /// Limits.
    pub limits: FetchLimits,
    /// Accept `file://` URLs: for the command line and tests only.
    pub allow_file: bool,
}

/// Names an entry of the worker's cache: one URL with one set of credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RepositoryKey(pub(crate) String);

impl RepositoryKey {
    /// True if it is a name as the worker makes them, and so a safe folder name.
    pub(crate) fn is_valid(&self) -> bool {
        self.0.len() == 40
            && self
                .0
                .bytes()
                .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    }
}

/// A commit that is in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The full hash.
    pub commit: String,
    /// For people: `main@sha1:…`, `v1.2.3@sha1:…`, `sha1:…`.
    pub name: String,
    /// `Name <mail>`, at most 200 characters.
    pub author: String,
    /// The first line of the message, at most 200 characters.
    pub message: String,
    /// Commit time in seconds since 1970.
    pub committed_at: i64,
    /// The cache entry, for [`RenderRequest`].
    pub repository: RepositoryKey,
}

/// Asks for the history of a commit that is in the cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeepenRequest {
    /// How the commit was fetched.
    pub fetch: FetchRequest,
    /// From [`Revision::commit`].
    pub commit: String,
    /// How many commits back.
    pub depth: u32,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LineAt {
    /// The file, relative to the repository's root.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
}

/// Limits of a blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlameLimits {
    /// Commits looked at.
    pub commits: u64,
    /// Bytes of one version of a file; a larger one is not compared.
    pub file_bytes: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// What is not known after this stays unknown.
    pub timeout: Duration,
}

impl Default for BlameLimits {
    fn default() -> Self {
        Self {
            commits: 20_000,
            file_bytes: 1 << 20,
            memory_bytes: 512 << 20,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Asks who last changed lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlameRequest {
    /// From [`Revision::repository`].
    pub repository: RepositoryKey,
    /// From [`Revision::commit`].
    pub commit: String,
    /// The lines, at most [`BlameRequest::MOST`].
    pub lines: Vec<LineAt>,
    /// Limits.
    pub limits: BlameLimits,
}

impl BlameRequest {
    /// The most lines of one request.
    pub const MOST: usize = 100;
}

/// Who last changed a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineOrigin {
    /// The full hash of the commit that wrote the line as it is.
    pub commit: String,
    /// `Name <mail>`, at most 200 characters.
    pub author: String,
    /// When it was written, in seconds since 1970.
    pub authored_at: i64,
}

/// The answer to a [`BlameRequest`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// For each line of the request; `None` where it is not known.
    pub lines: Vec<Option<LineOrigin>>,
    /// True if a line is older than the history in the cache, so that a deeper one may tell.
    pub shallow: bool,
}

/// How a Helm chart is rendered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HelmOptions {
    /// The release's name.
    pub release_name: String,
    /// Values files, relative to the chart's folder and inside the repository; later ones win.
    pub values_files: Vec<String>,
    /// Inline values; win over all files.
    pub values: Value,
}

/// Limits of a rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderLimits {
    /// Bytes of one file of the repository.
    pub file_bytes: u64,
    /// Files read or laid out.
    pub files: u64,
    /// Bytes of everything rendered.
    pub output_bytes: u64,
    /// Bytes of memory of one process of the job.
    pub memory_bytes: u64,
    /// The whole rendering is ended after this.
    pub timeout: Duration,
}

impl Default for RenderLimits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            files: 50_000,
            output_bytes: 256 << 20,
            memory_bytes: 1 << 30,
            timeout: Duration::from_secs(120),
        }
    }
}

/// Asks for the objects that a commit declares under a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderRequest {
    /// From [`Revision::repository`].
    pub repository: RepositoryKey,
    /// From [`Revision::commit`].
    pub commit: String,
    /// A folder or file of the repository; `.` or nothing for all of it.
    pub path: String,
    /// The target's namespace: Helm's release namespace, and the default when looking for duplicates.
    pub namespace: String,
    /// Options for Helm; defaults apply where a chart is found and this is not given.
    pub helm: Option<HelmOptions>,
    /// The cluster's version, for example `v1.37.2`; Helm is told.
    pub kube_version: String,
    /// The cluster's API versions (`apps/v1`, `apps/v1/Deployment`); Helm is told.
    pub api_versions: Vec<String>,
    /// Limits.
    pub limits: RenderLimits,
}

/// Asks for the objects of a release that Helm stored in the cluster.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseRequest {
    /// What Helm stored: `base64(gzip(JSON))`.
    pub stored: String,
    /// The release's namespace, and the default when looking for duplicates.
    pub namespace: String,
    /// The release's name.
    pub name: String,
    /// The release's revision.
    pub version: u32,
    /// Limits; one file's is that of the release when unpacked.
    pub limits: RenderLimits,
}

/// A release holds the values it was made with.
impl fmt::Debug for ReleaseRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "helm release {}/{} v{}",
            self.namespace, self.name, self.version
        )
    }
}

/// Asks for the files and folders of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListRequest {
    /// From [`Revision::repository`].
    pub repository: RepositoryKey,
    /// From [`Revision::commit`].
    pub commit: String,
    /// Limits.
    pub limits: RenderLimits,
}

/// The answer to a [`ListRequest`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The files, relative to the repository's root, sorted.
    pub files: Vec<String>,
}

/// One thing that rendering brought to light.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RenderItem {
    /// An object.
    Object(DeclaredObject),
    /// Something that could not be used.
    Problem(Problem),
}

/// What a folder turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Renderer {
    /// Plain YAML and JSON.
    Plain,
    /// A folder with a kustomization file.
    Kustomize,
    /// A chart.
    Helm,
    /// A release that Helm stored.
    Release,
}

/// How a rendering ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderSummary {
    /// What rendered.
    pub renderer: Renderer,
    /// Objects streamed.
    pub objects: u64,
    /// Problems found, including those left out of the stream beyond the first few hundred.
    pub problems: u64,
}

/// What a worker can do, from [`crate::Worker::ping`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// The kustomize found, by its own words; `None` if there is none.
    pub kustomize: Option<String>,
    /// The helm found, by its own words; `None` if there is none.
    pub helm: Option<String>,
    /// The Landlock ABI in force for jobs; 0 where the kernel has none.
    pub landlock_abi: u32,
    /// True if render jobs run under a seccomp filter.
    pub seccomp: bool,
}

impl WorkerInfo {
    /// What the kernel does not offer, in words for the log; empty if all is in force.
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.landlock_abi == 0 {
            missing.push("Landlock: renderers are not kept from reading the worker's files");
        }
        if !self.seccomp {
            missing.push("seccomp: renderers are not kept from the network");
        }
        missing
    }
}

/// A digest of everything besides the commit that goes into a rendering: `sha256:…`.
pub fn inputs_digest(request: &RenderRequest, info: &WorkerInfo) -> String {
    let mut versions = request.api_versions.clone();
    versions.sort_unstable();
    versions.dedup();
    let inputs = serde_json::json!({
        "path": request.path,
        "namespace": request.namespace,
        "helm": request.helm,
        "kubeVersion": request.kube_version,
        "apiVersions": versions,
        "tools": { "kustomize": info.kustomize, "helm": info.helm },
    });
    format!("sha256:{}", hex(&Sha256::digest(inputs.to_string())))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RenderRequest {
        RenderRequest {
            repository: RepositoryKey("0".repeat(40)),
            commit: "c".into(),
            path: "apps".into(),
            namespace: "shop".into(),
            helm: None,
            kube_version: "v1.37.2".into(),
            api_versions: vec!["v1".into(), "apps/v1".into()],
            limits: RenderLimits::default(),
        }
    }

    #[test]
    fn credentials_print_nothing_of_themselves() {
        let basic = Credentials::Basic {
            username: "canary".into(),
            password: "canary".into(),
        };
        let ssh = Credentials::Ssh {
            identity: "canary".into(),
            known_hosts: "canary".into(),
            passphrase: None,
        };
        for credentials in [
            basic,
            Credentials::Bearer {
                token: "canary".into(),
            },
            ssh,
        ] {
            assert!(!format!("{credentials:?}{credentials:#?}").contains("canary"));
        }
    }

    #[test]
    fn the_inputs_digest_knows_inputs_and_nothing_else() {
        let info = WorkerInfo::default();
        let digest = inputs_digest(&request(), &info);
        let mut same = request();
        same.commit = "other".into();
        same.api_versions.reverse();
        same.limits.files = 1;
        assert_eq!(digest, inputs_digest(&same, &info));
        let mut other = request();
        other.namespace = "other".into();
        assert_ne!(digest, inputs_digest(&other, &info));
        let newer = WorkerInfo {
            helm: Some("v4".into()),
            ..WorkerInfo::default()
        };
        assert_ne!(digest, inputs_digest(&request(), &newer));
    }
}
