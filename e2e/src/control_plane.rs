//! Kubernetes control planes for tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::Client;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::cache::{Artifact, CONTROL_PLANE, OLD_CONTROL_PLANE, SUPERVISOR};
use crate::credentials;
use crate::error::{Error, Result};
use crate::supervisor::Supervisor;

/// How a private control plane differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More flags for kube-apiserver, such as `--feature-gates=WatchList=false`.
    pub apiserver_flags: Vec<String>,
    /// More flags for etcd, such as `--quota-backend-bytes=16777216`.
    pub etcd_flags: Vec<String>,
    /// More flags for kube-controller-manager.
    pub controller_manager_flags: Vec<String>,
    /// Leave kube-controller-manager out: half a second faster, and nothing
    /// changes objects behind the test's back.
    pub without_controller_manager: bool,
}

/// A part of the control plane that a test can kill or freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        }
    }
}

/// A control plane of etcd, kube-apiserver and kube-controller-manager, with
/// RBAC, without nodes.
///
/// It runs on free ports in a directory of its own. It ends and the directory
/// goes when this value is dropped, and equally when this process crashes or is
/// killed. With `KUBEBUILDER_ASSETS` its binaries come from there (the assets
/// of envtest have no controller manager, so Deployments stay without Pods and
/// deleted namespaces stay `Terminating`); otherwise they are built once.
///
/// # Caveats
/// A cluster of `KUBECONFIG` is used by [`ControlPlane::shared`] only if
/// `DRIFTLINE_E2E_USE_KUBECONFIG=1` says so, because tests write to it.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    scratch: PathBuf,
    private: Option<Private>,
}

#[derive(Debug)]
struct Private {
    announcement: Announcement,
    supervisor: Arc<Mutex<Supervisor>>,
}

/// What the supervisor prints when the control plane is ready.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Announcement {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) endpoint: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) supervisor: u32,
    pub(crate) pids: BTreeMap<String, u32>,
    pub(crate) start_milliseconds: u64,
}

#[derive(Debug, Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    pids: BTreeMap<String, u32>,
}

static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();

impl ControlPlane {
    /// Starts a private control plane and waits until it serves requests.
    ///
    /// # Errors
    /// If the binaries cannot be built, or a component does not get ready.
    pub async fn start(options: Options) -> Result<Self> {
        blocking("starting the control plane", move || {
            let supervisor_binaries = SUPERVISOR.ensure()?;
            let binaries = binaries()?;
            let directory = private_directory();
            let arguments = arguments(&options, &binaries, &directory);
            let (supervisor, announcement) = Supervisor::start::<Announcement>(
                &supervisor_binaries,
                "the control plane",
                arguments,
                &[],
            )?;
            Ok(Self {
                kubeconfig: announcement.kubeconfig.clone(),
                scratch: announcement.data_dir.join("scratch"),
                private: Some(Private {
                    announcement,
                    supervisor: Arc::new(Mutex::new(supervisor)),
                }),
            })
        })
        .await
    }

    /// The control plane that all tests of this binary share, started at the
    /// first call. Tests keep apart by namespaces of their own.
    ///
    /// # Errors
    /// As [`ControlPlane::start`]; with `DRIFTLINE_E2E_USE_KUBECONFIG=1` also if
    /// `KUBECONFIG` names no single file.
    pub async fn shared() -> Result<&'static Self> {
        SHARED
            .get_or_try_init(|| async {
                match developers_kubeconfig()? {
                    Some(kubeconfig) => Ok(Self {
                        kubeconfig,
                        scratch: private_directory(),
                        private: None,
                    }),
                    None => Self::start(Options::default()).await,
                }
            })
            .await
    }

    /// The kubeconfig of an administrator (group `system:masters`).
    #[must_use]
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// The API server's address, `https://127.0.0.1:PORT`; none for a
    /// developer's cluster.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.private
            .as_ref()
            .map(|p| p.announcement.endpoint.as_str())
    }

    /// Everything the instance writes, with a log for each component in `logs`.
    #[must_use]
    pub fn data_dir(&self) -> Option<&Path> {
        self.private
            .as_ref()
            .map(|p| p.announcement.data_dir.as_path())
    }

    /// From the start of the supervisor to a control plane that serves.
    #[must_use]
    pub fn start_duration(&self) -> Option<Duration> {
        self.private
            .as_ref()
            .map(|p| Duration::from_millis(p.announcement.start_milliseconds))
    }

    /// The process of the supervisor.
    #[must_use]
    pub fn supervisor_pid(&self) -> Option<u32> {
        self.private.as_ref().map(|p| p.announcement.supervisor)
    }

    /// A client with an administrator's rights.
    ///
    /// # Errors
    /// If the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client> {
        credentials::client(&self.kubeconfig).await
    }

    /// Makes a namespace for one test, with a unique name that begins so, and
    /// returns the name.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn create_namespace(&self, prefix: &str) -> Result<String> {
        credentials::namespace(self.client().await?, prefix).await
    }

    /// A client with the rights of a service account, which must exist.
    ///
    /// # Errors
    /// If the account has no token to give, for one because it does not exist.
    pub async fn client_for_service_account(&self, namespace: &str, name: &str) -> Result<Client> {
        let file = self.kubeconfig_for_service_account(namespace, name).await?;
        credentials::client(&file).await
    }

    /// A kubeconfig with a fresh token of a service account, which must exist.
    /// The file lives as long as the control plane.
    ///
    /// # Errors
    /// As [`ControlPlane::client_for_service_account`].
    pub async fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<PathBuf> {
        credentials::service_account(&self.kubeconfig, &self.scratch, namespace, name).await
    }

    /// Kills a component at once, as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// [`Error::NotPrivate`] for a developer's cluster.
    pub async fn kill(&self, component: Component) -> Result<()> {
        self.ask("kill", component).await
    }

    /// Starts a killed component on its former port and waits until it is ready.
    ///
    /// # Errors
    /// If it does not get ready, or runs already.
    pub async fn restart(&self, component: Component) -> Result<()> {
        self.ask("start", component).await
    }

    /// Freezes a component: its connections stay open and nothing answers.
    ///
    /// # Errors
    /// As [`ControlPlane::kill`].
    pub async fn pause(&self, component: Component) -> Result<()> {
        self.ask("stop", component).await
    }

    /// Lets a frozen component go on.
    ///
    /// # Errors
    /// As [`ControlPlane::kill`].
    pub async fn resume(&self, component: Component) -> Result<()> {
        self.ask("cont", component).await
    }

    /// [`ControlPlane::kill`] for the API server.
    ///
    /// # Errors
    /// As there.
    pub async fn kill_api_server(&self) -> Result<()> {
        self.kill(Component::ApiServer).await
    }

    /// [`ControlPlane::restart`] for the API server.
    ///
    /// # Errors
    /// As there.
    pub async fn start_api_server(&self) -> Result<()> {
        self.restart(Component::ApiServer).await
    }

    /// The processes of the components by name; 0 for one that does not run.
    ///
    /// # Errors
    /// As [`ControlPlane::kill`].
    pub async fn pids(&self) -> Result<BTreeMap<String, u32>> {
        self.command("status".to_owned()).await
    }

    async fn ask(&self, verb: &str, component: Component) -> Result<()> {
        self.command(format!("{verb} {}", component.name()))
            .await
            .map(drop)
    }

    async fn command(&self, command: String) -> Result<BTreeMap<String, u32>> {
        let Some(private) = &self.private else {
            return Err(Error::NotPrivate { operation: command });
        };
        let supervisor = Arc::clone(&private.supervisor);
        blocking("commanding the control plane", move || {
            let answer: Answer = supervisor
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .ask(&command)?;
            if answer.ok {
                Ok(answer.pids)
            } else {
                Err(Error::Command {
                    command,
                    reason: answer.error,
                })
            }
        })
        .await
    }
}

/// The directory with etcd and kube-apiserver.
pub(crate) fn binaries() -> Result<PathBuf> {
    const VARIABLE: &str = "KUBEBUILDER_ASSETS";
    let Some(assets) = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()) else {
        return artifact()?.ensure();
    };
    let assets = PathBuf::from(assets);
    for program in ["etcd", "kube-apiserver"] {
        if !assets.join(program).is_file() {
            return Err(Error::Environment {
                variable: VARIABLE,
                value: assets.display().to_string(),
                reason: format!("there is no {program} in it; unset it to build one"),
            });
        }
    }
    Ok(assets)
}

/// The version that `DRIFTLINE_KUBERNETES` asks for, by default the newest.
fn artifact() -> Result<&'static Artifact> {
    const VARIABLE: &str = "DRIFTLINE_KUBERNETES";
    let value = std::env::var(VARIABLE).unwrap_or_default();
    match value.as_str() {
        "" | "1.37" => Ok(&CONTROL_PLANE),
        "1.30" => Ok(&OLD_CONTROL_PLANE),
        _ => Err(Error::Environment {
            variable: VARIABLE,
            value,
            reason: "1.37 (the default) and 1.30 can be built".to_owned(),
        }),
    }
}

fn arguments(options: &Options, binaries: &Path, directory: &Path) -> Vec<String> {
    let mut arguments = vec![
        format!("--data={}", directory.display()),
        format!("--binaries={}", binaries.display()),
    ];
    if options.without_controller_manager {
        arguments.push("--no-controller-manager".to_owned());
    }
    let passed = [
        ("--apiserver-flag", &options.apiserver_flags),
        ("--etcd-flag", &options.etcd_flags),
        (
            "--controller-manager-flag",
            &options.controller_manager_flags,
        ),
    ];
    for (flag, values) in passed {
        arguments.extend(values.iter().map(|value| format!("{flag}={value}")));
    }
    arguments
}

/// A directory that does not exist yet. The supervisor makes it, because it is
/// the one that will still be there to remove it if this process is killed.
pub(crate) fn private_directory() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.subsec_nanos());
    std::env::temp_dir().join(format!(
        "driftline-e2e-{}-{}-{nanos}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed),
    ))
}

fn developers_kubeconfig() -> Result<Option<PathBuf>> {
    if std::env::var("DRIFTLINE_E2E_USE_KUBECONFIG").as_deref() != Ok("1") {
        return Ok(None);
    }
    let value = std::env::var("KUBECONFIG").unwrap_or_default();
    let path = PathBuf::from(&value);
    if path.is_file() {
        return Ok(Some(path));
    }
    Err(Error::Environment {
        variable: "KUBECONFIG",
        value,
        reason: "DRIFTLINE_E2E_USE_KUBECONFIG=1 needs it to name one existing file".to_owned(),
    })
}

/// Runs what blocks away from the async workers.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Error::Start {
                what: what.to_owned(),
                reason: error.to_string(),
            })
        })
}
