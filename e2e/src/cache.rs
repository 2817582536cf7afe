//! Binaries that are built from Go modules once and then reused.
//!
//! An [`Artifact`] is built into `<cache>/<name>-<key>/bin`, where the key covers
//! everything that goes into it: the module's files, the flags and the version
//! of Go. The cache is `DRIFTLINE_CACHE`, or else `driftline` in the user's
//! cache directory. Two processes never build at once, and a directory that is
//! there is complete: a build happens beside it and is renamed into place.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::error::{Error, IoContext, Result};
use crate::progress::Progress;

/// A set of binaries from one Go module.
#[derive(Debug)]
pub struct Artifact {
    /// The folder of the module beside this crate's sources, and the artifact's name.
    module: &'static str,
    /// What it is, in progress lines and errors.
    title: &'static str,
    /// The packages to build.
    packages: &'static [&'static str],
    /// Build tags.
    tags: &'static [&'static str],
    /// Values set into variables by the linker.
    variables: &'static [(&'static str, &'static str)],
    /// Other names under which a binary can be called.
    links: &'static [(&'static str, &'static str)],
    /// Packages that a build from nothing compiles, for the progress line.
    compiled: usize,
    /// What to expect of a build from nothing on two cores.
    expectation: &'static str,
}

/// etcd, kube-apiserver, kube-controller-manager and kubectl.
pub static CONTROL_PLANE: Artifact = Artifact {
    module: "controlplane",
    title: "the Kubernetes control plane",
    packages: &["."],
    tags: &[],
    variables: &[
        ("k8s.io/component-base/version.gitVersion", "v1.37.2"),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "37"),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
        ("k8s.io/client-go/pkg/version.gitVersion", "v1.37.2"),
    ],
    links: &[
        ("etcd", "controlplane"),
        ("kube-apiserver", "controlplane"),
        ("kube-controller-manager", "controlplane"),
        ("kubectl", "controlplane"),
    ],
    compiled: 2700,
    expectation: "about 8 min on two cores",
};

/// The oldest control plane that is tested against: etcd, kube-apiserver and kube-controller-manager of Kubernetes 1.30. Its kubectl is
/// the newer one's.
pub static OLD_CONTROL_PLANE: Artifact = Artifact {
    module: "controlplane-old",
    title: "the control plane of Kubernetes 1.30",
    packages: &["."],
    tags: &[],
    variables: &[
        ("k8s.io/component-base/version.gitVersion", "v1.30.14"),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "30"),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
        ("k8s.io/client-go/pkg/version.gitVersion", "v1.30.14"),
    ],
    links: &[
        ("etcd", "controlplane-old"),
        ("kube-apiserver", "controlplane-old"),
        ("kube-controller-manager", "controlplane-old"),
    ],
    compiled: 2200,
    expectation: "about 6 min on two cores",
};

/// helm and kustomize. They are binaries of their own because renderers run
/// under limits of memory and time that should not pay for anything else.
pub const TOOLS: Artifact = Artifact {
    module: "tools",
    title: "helm and kustomize",
    packages: &[
        "helm.sh/helm/v4/cmd/helm",
        "sigs.k8s.io/kustomize/kustomize/v5",
    ],
    tags: &[],
    variables: &[
        ("helm.sh/helm/v4/internal/version.version", "v4.3.1"),
        ("sigs.k8s.io/kustomize/api/provenance.version", "v5.8.2"),
    ],
    links: &[],
    compiled: 1300,
    expectation: "about 2 min on two cores",
};

/// promtool, and a check of dashboards and of objects of the Prometheus operator by their own types. No service discovery is built in: rules need none.
pub const MONITORING: Artifact = Artifact {
    module: "monitoring",
    title: "promtool and a check of dashboards and monitors",
    packages: &["github.com/prometheus/prometheus/cmd/promtool", "."],
    tags: &["remove_all_sd"],
    variables: &[],
    links: &[],
    compiled: 900,
    expectation: "about 3 min on two cores",
};

/// Argo CD: one binary, which plays the part that it is called by.
pub const ARGO_CD: Artifact = Artifact {
    module: "argocd",
    title: "Argo CD",
    packages: &["github.com/argoproj/argo-cd/v3/cmd"],
    tags: &[],
    variables: &[("github.com/argoproj/argo-cd/v3/common.version", "v3.2.11")],
    links: &[
        ("argocd-application-controller", "cmd"),
        ("argocd-repo-server", "cmd"),
    ],
    compiled: 1900,
    expectation: "about 10 min on two cores",
};

/// The controller of Flux's Kustomizations.
pub const FLUX: Artifact = Artifact {
    module: "flux",
    title: "Flux's kustomize-controller",
    packages: &["github.com/fluxcd/kustomize-controller"],
    tags: &[],
    variables: &[],
    links: &[],
    compiled: 1700,
    expectation: "about 4 min on two cores",
};

/// The program that runs a control plane and leaves nothing behind.
pub const SUPERVISOR: Artifact = Artifact {
    module: "supervisor",
    title: "the supervisor of test processes",
    packages: &["."],
    tags: &[],
    variables: &[],
    links: &[],
    compiled: 200,
    expectation: "a few seconds",
};

impl Artifact {
    /// The directory with the binaries, which are built if they are not there.
    ///
    /// # Errors
    /// If Go is missing, the build fails, or the cache cannot be written.
    pub fn ensure(&self) -> Result<PathBuf> {
        let cache = directory();
        let target = cache.join(format!("{}-{}", self.module, self.key()?));
        let bin = target.join("bin");
        if bin.is_dir() {
            return Ok(bin);
        }
        fs::create_dir_all(&cache).doing("creating the cache", &cache)?;
        let lock_file = cache.join(format!("{}.lock", self.module));
        let lock = File::create(&lock_file).doing("creating the lock", &lock_file)?;
        if lock.try_lock().is_err() {
            say(&format!(
                "waiting for another process that builds {}",
                self.title
            ));
            lock.lock().doing("taking the lock", &lock_file)?;
        }
        // Whoever held the lock may have built just this.
        if !bin.is_dir() {
            self.build(&cache, &target)?;
        }
        Ok(bin)
    }

    /// The directory of one of the modules that the binaries are built from, in Go's cache.
    ///
    /// # Errors
    /// If Go is missing, or the module cannot be had.
    pub fn module(&self, path: &str) -> Result<PathBuf> {
        let output = Command::new("go")
            .args(["mod", "download", "-json", path])
            .current_dir(self.sources())
            .env("GOWORK", "off")
            .output()
            .map_err(|source| Error::GoMissing {
                what: self.title.to_owned(),
                source,
            })?;
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let directory = answer["Dir"].as_str().map(PathBuf::from);
        directory.ok_or_else(|| Error::Tool {
            command: format!("go mod download {path}"),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Where the module's sources are.
    fn sources(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(self.module)
    }

    fn linker_flags(&self) -> String {
        let variables = self
            .variables
            .iter()
            .map(|(name, value)| format!(" -X {name}={value}"));
        ["-s -w".to_owned()].into_iter().chain(variables).collect()
    }

    fn key(&self) -> Result<String> {
        let sources = self.sources();
        let mut files = Vec::new();
        for entry in fs::read_dir(&sources).doing("reading", &sources)? {
            let path = entry.doing("reading", &sources)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".go") || name == "go.mod" || name == "go.sum" {
                files.push(path);
            }
        }
        files.sort();
        let mut digest = Sha256::new();
        for file in &files {
            digest.update(file.file_name().unwrap_or_default().as_encoded_bytes());
            digest.update([0]);
            digest.update(fs::read(file).doing("reading", file)?);
            digest.update([0]);
        }
        digest.update(self.linker_flags());
        digest.update(self.packages.join(" "));
        digest.update(self.tags.join(" "));
        for (link, binary) in self.links {
            digest.update(format!("{link}>{binary}\0"));
        }
        digest.update(self.go_version()?);
        let hash = digest.finalize();
        Ok(hash.iter().take(8).map(|b| format!("{b:02x}")).collect())
    }

    fn go_version(&self) -> Result<Vec<u8>> {
        let output = Command::new("go")
            .arg("version")
            .current_dir(self.sources())
            .output()
            .map_err(|source| Error::GoMissing {
                what: self.title.to_owned(),
                source,
            })?;
        Ok(output.stdout)
    }

    fn build(&self, cache: &Path, target: &Path) -> Result<()> {
        self.remove_abandoned(cache)?;
        let staging = tempfile::Builder::new()
            .prefix(&format!(".{}-", self.module))
            .tempdir_in(cache)
            .doing("creating a directory in", cache)?;
        let bin = staging.path().join("bin");
        fs::create_dir(&bin).doing("creating", &bin)?;
        self.compile(&bin, &cache.join(format!("{}.log", self.module)))?;
        for (link, binary) in self.links {
            let link = bin.join(link);
            std::os::unix::fs::symlink(binary, &link).doing("linking", &link)?;
        }
        fs::rename(staging.keep(), target).doing("moving the binaries to", target)
    }

    /// Removes what builds that were interrupted left. Called under the lock,
    /// so none of it is in use.
    fn remove_abandoned(&self, cache: &Path) -> Result<()> {
        let prefix = format!(".{}-", self.module);
        for entry in fs::read_dir(cache).doing("reading", cache)? {
            let entry = entry.doing("reading", cache)?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_dir_all(entry.path()).doing("removing", entry.path())?;
            }
        }
        Ok(())
    }

    /// Runs `go build` and shows how far it is.
    fn compile(&self, bin: &Path, log_file: &Path) -> Result<()> {
        let mut log = File::create(log_file).doing("creating", log_file)?;
        let mut go = Command::new("go")
            .args(["build", "-v", "-trimpath", "-buildvcs=false", "-tags"])
            .arg(self.tags.join(","))
            .arg("-ldflags")
            .arg(self.linker_flags())
            .arg("-o")
            // With the slash it is a directory, for one package as for several.
            .arg(format!("{}/", bin.display()))
            .args(self.packages)
            .current_dir(self.sources())
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Error::GoMissing {
                what: self.title.to_owned(),
                source,
            })?;

        let progress = Progress::start(self.title, self.expectation, self.compiled);
        let mut tail: Vec<String> = Vec::new();
        if let Some(stderr) = go.stderr.take() {
            for line in BufReader::new(stderr).lines() {
                let line = line.doing("reading the output of go build for", self.module)?;
                // The log is for reading after a failure; a full disk fails the build anyway.
                let _ = writeln!(log, "{line}");
                progress.line(&line);
                tail.push(line);
                if tail.len() > 20 {
                    tail.remove(0);
                }
            }
        }
        let status = go.wait().doing("waiting for go build of", self.module)?;
        progress.finish(status.success());
        if status.success() {
            Ok(())
        } else {
            Err(Error::Build {
                what: self.title.to_owned(),
                status,
                log: log_file.to_owned(),
                tail: tail.join("\n"),
            })
        }
    }
}

/// The directory in which all artifacts lie.
#[must_use]
pub fn directory() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    if let Some(own) = set("DRIFTLINE_CACHE") {
        return PathBuf::from(own);
    }
    let base = set("XDG_CACHE_HOME").map_or_else(
        || {
            set("HOME").map_or_else(std::env::temp_dir, |home| {
                PathBuf::from(home).join(".cache")
            })
        },
        PathBuf::from,
    );
    base.join("driftline")
}

/// Prints a line for whoever waits. Standard error, because that is where
/// `cargo test` lets progress through when it captures the tests' output.
pub(crate) fn say(text: &str) {
    let mut stderr = std::io::stderr();
    // A closed terminal is no reason to stop building.
    let _ = writeln!(stderr, "driftline: {text}");
}

/// Whether standard error is read by a person.
pub(crate) fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}
