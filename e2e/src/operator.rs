//! The operator as a user installs it: the chart by the real helm, and the program with the rights that the chart gives it. There is no
//! node to run its pod, so the program runs here, as the chart's service account.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::control_plane::ControlPlane;
use crate::error::{Error, IoContext, Result};
use crate::leash::Leash;
use crate::tools::{Invocation, Tools};

/// The namespace in which the chart is installed.
pub const NAMESPACE: &str = "driftline-system";

const READY: Duration = Duration::from_secs(30);

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let e2e = Path::new(env!("CARGO_MANIFEST_DIR"));
    e2e.parent().unwrap_or(e2e).to_owned()
}

/// The program `driftline`, built beside the program that runs now, or named by `DRIFTLINE_BIN`.
///
/// # Errors
/// If it is not there.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("DRIFTLINE_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().doing("finding", Path::new("this program"))?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|f| f.join("driftline")).find(|p| p.is_file());
    found.ok_or_else(|| Error::Start {
        what: "the operator".to_owned(),
        reason: format!(
            "there is no driftline beside {}; build it: cargo build --workspace --bins",
            own.display()
        ),
    })
}

/// Installs the chart (or upgrades it) in [`NAMESPACE`] with settings such as `secrets.compareLive=true`.
///
/// # Errors
/// If helm refuses.
pub async fn install(tools: &Tools, kubeconfig: &Path, settings: &[&str]) -> Result<String> {
    let chart = workspace().join("charts/driftline");
    let mut arguments = vec!["upgrade", "--install", "driftline"];
    let chart = chart.to_string_lossy();
    arguments.extend([
        &*chart,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--set",
        "image.repository=driftline",
    ]);
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    tools
        .helm(kubeconfig)
        .args(arguments)
        .deadline(Duration::from_secs(60))
        .run()
        .await
}

/// A kubeconfig with the rights of the operator's account.
///
/// # Errors
/// If the account is not there or no token is given.
pub async fn kubeconfig(tools: &Tools, admin: &Path, to: &Path) -> Result<PathBuf> {
    let token = tools
        .kubectl(admin)
        .args([
            "-n",
            NAMESPACE,
            "create",
            "token",
            "driftline",
            "--duration=24h",
        ])
        .run()
        .await?;
    let text = std::fs::read_to_string(admin).doing("reading", admin)?;
    std::fs::write(to, text).doing("writing", to)?;
    let set = |arguments: Vec<String>| {
        Invocation::new(&tools.kubectl)
            .kubeconfig(to)
            .args(arguments)
    };
    set(vec![
        "config".into(),
        "set-credentials".into(),
        "operator".into(),
        format!("--token={}", token.trim()),
    ])
    .run()
    .await?;
    set(vec![
        "config".into(),
        "set-context".into(),
        "--current".into(),
        "--user=operator".into(),
    ])
    .run()
    .await?;
    Ok(to.to_owned())
}

/// Makes a kubeconfig lead to another server, with the same credentials.
fn redirect(kubeconfig: &Path, server: &str) -> Result<()> {
    let unusable = |source| Error::Kubeconfig {
        path: kubeconfig.to_owned(),
        source: Box::new(source),
    };
    let mut config = kube::config::Kubeconfig::read_from(kubeconfig).map_err(unusable)?;
    let clusters = config.clusters.iter_mut();
    for cluster in clusters.filter_map(|c| c.cluster.as_mut()) {
        cluster.server = Some(server.to_owned());
    }
    // JSON is YAML, and saves a writer of YAML.
    let text = serde_json::to_string(&config).map_err(std::io::Error::other);
    text.and_then(|text| std::fs::write(kubeconfig, text))
        .doing("writing", kubeconfig)
}

/// How to start an operator.
#[derive(Debug, Clone, Default)]
pub struct OperatorOptions {
    /// More flags of `driftline run`.
    pub arguments: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// The log filter; `info` if empty.
    pub log_level: String,
    /// Where it finds the API server, if not where the kubeconfig says: at a [`Proxy`](crate::Proxy), say.
    pub server: Option<String>,
}

/// A running operator; killed when dropped.
#[derive(Debug)]
pub struct Operator {
    leash: Leash,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Operator {
    /// Installs the chart and starts the operator with the rights of its account; waits until it serves.
    ///
    /// # Errors
    /// If one of these fails; the reason holds the operator's log.
    pub async fn start(
        tools: &Tools,
        cluster: &ControlPlane,
        options: OperatorOptions,
    ) -> Result<Self> {
        let compare = options.arguments.iter().any(|a| a == "--compare-secrets");
        let stamp = options
            .arguments
            .iter()
            .any(|a| a.starts_with("--stamp-policy"));
        let settings = [
            format!("secrets.compareLive={compare}"),
            format!("attribution.stamp.enabled={stamp}"),
        ];
        install(
            tools,
            cluster.kubeconfig_path(),
            &settings.each_ref().map(String::as_str),
        )
        .await?;
        Self::start_installed(tools, cluster.kubeconfig_path(), options).await
    }

    /// Starts the operator of a chart that is installed.
    ///
    /// # Errors
    /// If it does not get ready; the reason holds its log.
    pub async fn start_installed(
        tools: &Tools,
        admin: &Path,
        options: OperatorOptions,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().doing("creating a directory in", std::env::temp_dir())?;
        let account = kubeconfig(tools, admin, &folder.path().join("kubeconfig")).await?;
        if let Some(server) = &options.server {
            redirect(&account, server)?;
        }
        Self::start_as(tools, &account, options, folder).await
    }

    async fn start_as(
        tools: &Tools,
        account: &Path,
        options: OperatorOptions,
        folder: tempfile::TempDir,
    ) -> Result<Self> {
        let address = free_address()?;
        let level = if options.log_level.is_empty() {
            "info".to_owned()
        } else {
            options.log_level
        };
        let mut arguments = vec![
            "run".to_owned(),
            format!("--namespace={NAMESPACE}"),
            format!("--listen={address}"),
            format!("--log-level={level}"),
            "--heed-holds".to_owned(),
            format!("--kustomize={}", tools.kustomize.display()),
            format!("--helm={}", tools.helm.display()),
        ];
        arguments.extend(options.arguments);
        let mut environment: BTreeMap<String, String> = options.environment.into_iter().collect();
        environment.insert("KUBECONFIG".to_owned(), account.display().to_string());
        let log = folder.path().join("operator.log");
        let leash = Leash::start(program()?, arguments, environment, log).await?;
        let operator = Self {
            leash,
            address,
            _folder: folder,
        };
        operator.wait_until_ready().await?;
        Ok(operator)
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY;
        loop {
            if self
                .get("/readyz")
                .await
                .is_some_and(|(status, _)| status == 200)
            {
                return Ok(());
            }
            if !self.leash.is_running() || Instant::now() > deadline {
                return Err(Error::Start {
                    what: "the operator".to_owned(),
                    reason: self.log(),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Status and body of a path that the operator serves; `None` if it does not answer.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let talk = async {
            let mut stream = tokio::net::TcpStream::connect(self.address).await.ok()?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            let status = head.split(' ').nth(1)?.parse().ok()?;
            Some((status, body.to_owned()))
        };
        tokio::time::timeout(Duration::from_secs(5), talk)
            .await
            .ok()?
    }

    /// The value of a metric, given as it is written: `driftline_writes_total{resource="record"}`.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, body) = self.get("/metrics").await?;
        body.lines().find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(' ')?
                .trim()
                .parse()
                .ok()
        })
    }

    /// Where it serves health and metrics.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.leash.pid()
    }

    /// The file that it logs to.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        self.leash.log_file()
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.leash.output()
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.leash.is_running()
    }
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .doing("finding a free port on", Path::new("127.0.0.1"))?;
    listener
        .local_addr()
        .doing("finding a free port on", Path::new("127.0.0.1"))
}
