//! Argo CD's application controller and repo server, and the Redis between them.

use std::path::Path;

use crate::cache::ARGO_CD;
use crate::control_plane::{ControlPlane, blocking};
use crate::error::{Error, IoContext as _, Result};
use crate::leash::Leash;
use crate::peers::{Apply, apply, established, port};
use crate::tools::Tools;

/// The namespace of Argo CD and its Applications.
const NAMESPACE: &str = "argocd";
const MODULE: &str = "github.com/argoproj/argo-cd/v3";

/// What Argo CD has to find: its settings, which are the defaults, and the project of all Applications.
const SETTINGS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: argocd}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd, labels: {app.kubernetes.io/name: argocd-cm, app.kubernetes.io/part-of: argocd}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-rbac-cm, namespace: argocd, labels: {app.kubernetes.io/name: argocd-rbac-cm, app.kubernetes.io/part-of: argocd}}
---
apiVersion: v1
kind: Secret
metadata: {name: argocd-secret, namespace: argocd, labels: {app.kubernetes.io/name: argocd-secret, app.kubernetes.io/part-of: argocd}}
stringData: {server.secretkey: of-no-use-to-anybody}
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec:
  sourceRepos: ['*']
  destinations: [{server: '*', namespace: '*'}]
  clusterResourceWhitelist: [{group: '*', kind: '*'}]
";

/// A running Argo CD, without its web server; ended when dropped.
#[derive(Debug)]
pub struct ArgoCd {
    controller: Leash,
    repo_server: Leash,
    _redis: Leash,
    _folder: tempfile::TempDir,
}

impl ArgoCd {
    /// The namespace of its Applications.
    pub const NAMESPACE: &'static str = NAMESPACE;

    /// Installs its definitions and starts it.
    ///
    /// # Errors
    /// If it cannot be built, Redis is missing, or the API server refuses something.
    pub async fn start(tools: &Tools, cluster: &ControlPlane) -> Result<Self> {
        let (binaries, module) = blocking("building Argo CD", || {
            Ok((ARGO_CD.ensure()?, ARGO_CD.module(MODULE)?))
        })
        .await?;
        let kubeconfig = cluster.kubeconfig_path();
        for kind in ["application", "appproject", "applicationset"] {
            let file = module.join(format!("manifests/crds/{kind}-crd.yaml"));
            apply(tools, kubeconfig, Apply::File(&file)).await?;
        }
        let kinds = ["applications.argoproj.io", "appprojects.argoproj.io"];
        established(tools, kubeconfig, &kinds).await?;
        apply(tools, kubeconfig, Apply::Text(SETTINGS)).await?;

        let folder = tempfile::tempdir().doing("creating a directory in", std::env::temp_dir())?;
        let (redis, repo_server) = (port()?, port()?);
        let log = |name: &str| folder.path().join(format!("{name}.log"));
        let redis_address = format!("127.0.0.1:{redis}");
        let redis_flags = [
            "--bind".to_owned(),
            "127.0.0.1".to_owned(),
            "--port".to_owned(),
            redis.to_string(),
            "--save".to_owned(),
            String::new(),
        ];
        let redis = Leash::start(redis_server()?, redis_flags, [], log("redis")).await?;
        let environment = environment(folder.path(), tools, kubeconfig)?;
        let flags = [
            "--address=127.0.0.1".to_owned(),
            format!("--port={repo_server}"),
            "--metrics-address=127.0.0.1".to_owned(),
            format!("--metrics-port={}", port()?),
            format!("--redis={redis_address}"),
            "--disable-tls".to_owned(),
        ];
        let program = binaries.join("argocd-repo-server");
        let repo = Leash::start(program, flags, environment.clone(), log("repo-server")).await?;
        let flags = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--namespace={NAMESPACE}"),
            format!("--repo-server=127.0.0.1:{repo_server}"),
            "--repo-server-plaintext".to_owned(),
            format!("--redis={redis_address}"),
            format!("--metrics-port={}", port()?),
        ];
        let program = binaries.join("argocd-application-controller");
        let controller = Leash::start(program, flags, environment, log("controller")).await?;
        Ok(Self {
            controller,
            repo_server: repo,
            _redis: redis,
            _folder: folder,
        })
    }

    /// What its parts have logged.
    #[must_use]
    pub fn log(&self) -> String {
        format!(
            "{}\n{}",
            self.repo_server.output(),
            self.controller.output()
        )
    }
}

/// Where Debian has it, if not in the `PATH`.
fn redis_server() -> Result<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|p| p.join("redis-server").is_file());
    if found {
        return Ok("redis-server");
    }
    Err(Error::Start {
        what: "Argo CD".to_owned(),
        reason: "there is no redis-server in PATH (Debian: apt-get install redis-server)"
            .to_owned(),
    })
}

/// What keeps it from looking for its files where its container has them.
fn environment(folder: &Path, tools: &Tools, kubeconfig: &Path) -> Result<Vec<(String, String)>> {
    for name in ["tls", "ssh", "plugins", "tmp"] {
        let directory = folder.join(name);
        std::fs::create_dir(&directory).doing("creating", &directory)?;
    }
    let hosts = folder.join("ssh/ssh_known_hosts");
    std::fs::write(&hosts, "").doing("writing", &hosts)?;
    let path = |name: &str| folder.join(name).display().to_string();
    let all = [
        ("KUBECONFIG", kubeconfig.display().to_string()),
        ("ARGOCD_FAKE_IN_CLUSTER", "true".to_owned()),
        ("ARGOCD_CONTROLLER_REPLICAS", "1".to_owned()),
        ("ARGOCD_GPG_ENABLED", "false".to_owned()),
        ("ARGOCD_TLS_DATA_PATH", path("tls")),
        ("ARGOCD_SSH_DATA_PATH", path("ssh")),
        ("ARGOCD_PLUGINSOCKFILEPATH", path("plugins")),
        ("TMPDIR", path("tmp")),
        ("HOME", path("tmp")),
        ("PATH", tools.path_variable().to_string_lossy().into_owned()),
    ];
    let owned = all.map(|(name, value)| (name.to_owned(), value));
    Ok(owned.into())
}
