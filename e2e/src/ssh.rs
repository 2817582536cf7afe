//! A real SSH server in front of Git repositories.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cache::say;
use crate::error::{Error, IoContext, Result};
use crate::leash::Leash;
use crate::ports;
use crate::tools::Invocation;

const START: Duration = Duration::from_secs(10);

/// OpenSSH's sshd on a free port of 127.0.0.1, for the user who runs the test,
/// with a host key, a client key and `known_hosts` made for it alone.
#[derive(Debug)]
pub struct SshServer {
    user: String,
    port: u16,
    // Fields are dropped in this order: sshd ends before its directory goes.
    sshd: Leash,
    directory: tempfile::TempDir,
}

impl SshServer {
    /// Starts it.
    ///
    /// # Errors
    /// [`Error::SshdMissing`] if it is not installed; or if it does not start.
    pub async fn start() -> Result<Self> {
        let program = find_sshd()?;
        let directory = tempfile::Builder::new()
            .prefix("driftline-ssh-")
            .tempdir()
            .doing("creating a directory in", std::env::temp_dir())?;
        let path = directory.path();
        generate_key(&path.join("host_key")).await?;
        generate_key(&path.join("client_key")).await?;
        let client = path.join("client_key.pub");
        let authorized = path.join("authorized_keys");
        fs::copy(&client, &authorized).doing("copying", &client)?;

        // sshd as root insists on this directory, which Debian makes only when
        // it starts the service.
        let separation = Path::new("/run/sshd");
        if rustix::process::geteuid().is_root() && !separation.exists() {
            fs::create_dir(separation).doing("creating", separation)?;
            fs::set_permissions(separation, fs::Permissions::from_mode(0o755))
                .doing("changing the mode of", separation)?;
        }
        let user = Invocation::new("id").args(["-un"]).run().await?;
        let user = user.trim().to_owned();

        let port = free_port()?;
        let config = path.join("sshd_config");
        fs::write(&config, configuration(path, port)).doing("writing", &config)?;
        let sshd = Leash::start(
            &program,
            [
                "-D".as_ref(),
                "-e".as_ref(),
                "-f".as_ref(),
                config.as_os_str(),
            ],
            [],
            path.join("sshd.log"),
        )
        .await?;
        let server = Self {
            user,
            port,
            sshd,
            directory,
        };
        server.wait().await?;
        Ok(server)
    }

    /// Starts it, or says why the test is skipped if sshd is not installed. On
    /// CI (the variable `CI` is set) nothing is skipped.
    ///
    /// # Errors
    /// As [`SshServer::start`].
    pub async fn start_or_skip() -> Result<Option<Self>> {
        match Self::start().await {
            Err(missing @ Error::SshdMissing { .. }) if std::env::var_os("CI").is_none() => {
                say(&format!("skipping a test over ssh: {missing}"));
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// The URL of a repository by its absolute path.
    #[must_use]
    pub fn url(&self, repository: &Path) -> String {
        format!(
            "ssh://{}@127.0.0.1:{}{}",
            self.user,
            self.port,
            repository.display()
        )
    }

    /// The user to log in as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file with the private key that may log in (OpenSSH format, no passphrase).
    #[must_use]
    pub fn private_key_path(&self) -> PathBuf {
        self.directory.path().join("client_key")
    }

    /// That private key.
    ///
    /// # Errors
    /// If the file is gone.
    pub fn private_key(&self) -> Result<String> {
        let path = self.private_key_path();
        fs::read_to_string(&path).doing("reading", path)
    }

    /// The server's public key, `ssh-ed25519 AAAA…`.
    ///
    /// # Errors
    /// If the file is gone.
    pub fn host_key(&self) -> Result<String> {
        let path = self.directory.path().join("host_key.pub");
        let line = fs::read_to_string(&path).doing("reading", path)?;
        Ok(line
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" "))
    }

    /// The lines of a `known_hosts` file for this server.
    ///
    /// # Errors
    /// As [`SshServer::host_key`].
    pub fn known_hosts(&self) -> Result<String> {
        Ok(format!("[127.0.0.1]:{} {}\n", self.port, self.host_key()?))
    }

    /// What sshd has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.sshd.output()
    }

    async fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(());
            }
            if !self.sshd.is_running() || Instant::now() > deadline {
                return Err(Error::Start {
                    what: "sshd".to_owned(),
                    reason: self.log(),
                });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn configuration(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    format!(
        "Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile none
LogLevel VERBOSE
UsePAM no
# The temporary directory may be writable by others.
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
"
    )
}

/// sshd wants to be called by its absolute path, because it runs itself again.
fn find_sshd() -> Result<PathBuf> {
    let usual = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];
    usual
        .iter()
        .map(PathBuf::from)
        .find(|p| p.is_file())
        .ok_or_else(|| Error::SshdMissing {
            looked_at: usual.join(", "),
        })
}

async fn generate_key(file: &Path) -> Result<()> {
    Invocation::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "driftline-e2e", "-f"])
        .args([file])
        .run()
        .await
        .map(drop)
}

fn free_port() -> Result<u16> {
    let listener = ports::bind()?;
    let address = listener.local_addr().doing("binding", "127.0.0.1")?;
    Ok(address.port())
}
