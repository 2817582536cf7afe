//! A Pod of the cluster, run here. There is no kubelet, so this does what one would: it takes the Pod as the API server has it, lays out
//! its volumes, resolves its environment, and starts its containers with their own command lines from a root file system, as their own
//! users, read-only.
//!
//! # Caveats
//! All containers share this machine's network. So the flag `--listen`, for which a Pod has an address of its own, gets a free port.
//! Limits of memory, seccomp profiles and probes over time are not played.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, ServiceAccount, Volume};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};

use crate::control_plane::ControlPlane;
use crate::error::{Error, IoContext, Result};
use crate::leash::Leash;
use crate::ports;

/// Enters a root file system with the volumes of a container: ROOT USER GROUP (SOURCE PLACE)... -- COMMAND...
const ENTER: &str = r#"
set -e
root=$1; user=$2; group=$3; shift 3
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
    # A runtime makes them, too.
    [ -e "$root$2" ] || mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    shift 2
done
shift
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs /usr/sbin/chroot --userspec="$user:$group" "$root" "$@"
"#;

/// A Pod whose containers run; they end when it is dropped.
#[derive(Debug)]
pub struct RunningPod {
    containers: BTreeMap<String, Leash>,
    address: SocketAddr,
    pod: Pod,
    _folder: tempfile::TempDir,
}

fn failed(doing: &str, source: kube::Error) -> Error {
    Error::Kube {
        doing: doing.to_owned(),
        source: Box::new(source),
    }
}

fn not_played(what: String) -> Error {
    Error::Start {
        what: "a Pod".to_owned(),
        reason: format!("{what} is not played here"),
    }
}

impl RunningPod {
    /// Runs the first Pod with this label from a root file system.
    ///
    /// # Errors
    /// If there is no such Pod, it has what cannot be played here, or a container cannot be started.
    pub async fn start(
        plane: &ControlPlane,
        namespace: &str,
        label: &str,
        root: &Path,
    ) -> Result<Self> {
        let client = plane.client().await?;
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        let found = pods.list(&ListParams::default().labels(label)).await;
        let found = found.map_err(|e| failed("listing Pods", e))?;
        let pod = found
            .items
            .into_iter()
            .next()
            .ok_or_else(|| not_played(format!("a Pod that is not there ({label})")))?;
        let folder = tempfile::tempdir().doing("creating a directory in", std::env::temp_dir())?;
        // Its containers run as other users.
        open(folder.path(), 0o755)?;
        let mut run = Self {
            containers: BTreeMap::new(),
            address: ports::free()?,
            pod,
            _folder: folder,
        };
        let volumes = run.volumes(&client, namespace).await?;
        let spec = run.pod.spec.clone().unwrap_or_default();
        for container in &spec.containers {
            let leash = run.container(plane, root, &volumes, container).await?;
            run.containers.insert(container.name.clone(), leash);
        }
        Ok(run)
    }

    /// What a container has printed.
    #[must_use]
    pub fn log(&self, container: &str) -> String {
        self.containers
            .get(container)
            .map(Leash::output)
            .unwrap_or_default()
    }

    /// Whether all its containers run.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.containers.values().all(Leash::is_running)
    }

    /// A container's process.
    #[must_use]
    pub fn pid(&self, container: &str) -> Option<u32> {
        self.containers.get(container).map(Leash::pid)
    }

    /// Its address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As the API server has it.
    #[must_use]
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    async fn volumes(&self, client: &Client, namespace: &str) -> Result<BTreeMap<String, PathBuf>> {
        let spec = self.pod.spec.clone().unwrap_or_default();
        let group = spec.security_context.and_then(|s| s.fs_group);
        let mut made = BTreeMap::new();
        for volume in spec.volumes.unwrap_or_default() {
            let path = self._folder.path().join("volumes").join(&volume.name);
            std::fs::create_dir_all(&path).doing("creating", &path)?;
            if volume.empty_dir.is_none() {
                self.project(client, namespace, &volume, &path, group)
                    .await?;
            }
            own(&path, group)?;
            open(
                &path,
                if volume.empty_dir.is_some() {
                    0o2777
                } else {
                    0o755
                },
            )?;
            made.insert(volume.name, path);
        }
        Ok(made)
    }

    /// Writes the files of a projected volume.
    async fn project(
        &self,
        client: &Client,
        namespace: &str,
        volume: &Volume,
        path: &Path,
        group: Option<i64>,
    ) -> Result<()> {
        let Some(projected) = &volume.projected else {
            return Err(not_played(format!("the volume {}", volume.name)));
        };
        let mode = projected.default_mode.unwrap_or(0o644);
        let mut files: Vec<(String, String)> = Vec::new();
        for source in projected.sources.iter().flatten() {
            if let Some(token) = &source.service_account_token {
                let given = self
                    .token(client, namespace, token.expiration_seconds)
                    .await?;
                files.push((token.path.clone(), given));
            }
            if let Some(map) = &source.config_map {
                let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
                let found = maps.get(&map.name).await;
                let found = found.map_err(|e| failed("reading a ConfigMap", e))?;
                for item in map.items.iter().flatten() {
                    let value = found.data.as_ref().and_then(|d| d.get(&item.key));
                    files.push((item.path.clone(), value.cloned().unwrap_or_default()));
                }
            }
            for item in source
                .downward_api
                .iter()
                .flat_map(|d| d.items.iter().flatten())
            {
                let field = item.field_ref.as_ref().map(|f| f.field_path.as_str());
                files.push((item.path.clone(), self.field(field.unwrap_or_default())?));
            }
        }
        for (name, text) in files {
            let file = path.join(name);
            std::fs::write(&file, text).doing("writing", &file)?;
            own(&file, group)?;
            open(&file, u32::try_from(mode).unwrap_or(0o400))?;
        }
        Ok(())
    }

    /// A token as a kubelet asks for it, bound to the Pod.
    async fn token(
        &self,
        client: &Client,
        namespace: &str,
        seconds: Option<i64>,
    ) -> Result<String> {
        let spec = self.pod.spec.clone().unwrap_or_default();
        let account = spec.service_account_name.unwrap_or_default();
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: seconds,
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: self.pod.metadata.name.clone(),
                    uid: self.pod.metadata.uid.clone(),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
        let given = accounts
            .create_token_request(&account, &PostParams::default(), &request)
            .await
            .map_err(|e| failed("asking for a token", e))?;
        Ok(given.status.and_then(|s| s.token).unwrap_or_default())
    }

    fn field(&self, path: &str) -> Result<String> {
        let metadata = &self.pod.metadata;
        match path {
            "metadata.name" => Ok(metadata.name.clone().unwrap_or_default()),
            "metadata.namespace" => Ok(metadata.namespace.clone().unwrap_or_default()),
            other => Err(not_played(format!("the field {other}"))),
        }
    }

    /// The container's own variables, and those that a kubelet adds.
    fn environment(
        &self,
        plane: &ControlPlane,
        container: &Container,
    ) -> Result<BTreeMap<String, String>> {
        let endpoint = plane.endpoint().unwrap_or_default();
        let server = endpoint.trim_start_matches("https://");
        let (host, port) = server.rsplit_once(':').unwrap_or((server, "443"));
        let mut all = BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin".to_owned()),
            ("KUBERNETES_SERVICE_HOST".to_owned(), host.to_owned()),
            ("KUBERNETES_SERVICE_PORT".to_owned(), port.to_owned()),
        ]);
        for variable in container.env.iter().flatten() {
            let value = match &variable.value_from {
                None => variable.value.clone().unwrap_or_default(),
                Some(from) => {
                    let field = from.field_ref.as_ref().map(|f| f.field_path.as_str());
                    self.field(field.unwrap_or_default())?
                }
            };
            all.insert(variable.name.clone(), value);
        }
        Ok(all)
    }

    async fn container(
        &self,
        plane: &ControlPlane,
        root: &Path,
        volumes: &BTreeMap<String, PathBuf>,
        container: &Container,
    ) -> Result<Leash> {
        let environment = self.environment(plane, container)?;
        let spec = self.pod.spec.clone().unwrap_or_default();
        let (own, pods) = (container.security_context.as_ref(), spec.security_context);
        let user = own.and_then(|s| s.run_as_user);
        let group = pods.as_ref().and_then(|s| s.run_as_group);
        let number = |id: Option<i64>| id.unwrap_or(0).to_string();
        let mut line: Vec<String> = [
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            ENTER,
            "sh",
        ]
        .map(str::to_owned)
        .to_vec();
        line.extend([root.display().to_string(), number(user), number(group)]);
        for mount in container.volume_mounts.iter().flatten() {
            let source = volumes.get(&mount.name).ok_or_else(|| {
                not_played(format!("the volume {}, which is not there,", mount.name))
            })?;
            line.extend([source.display().to_string(), mount.mount_path.clone()]);
        }
        for file in ["/etc/hosts", "/etc/resolv.conf"] {
            line.extend([file.to_owned(), file.to_owned()]);
        }
        line.push("--".to_owned());
        let words = container.command.iter().flatten();
        let words = words.chain(container.args.iter().flatten());
        let listen = format!("--listen={}", self.address);
        line.extend(words.map(|word| match word.starts_with("--listen=") {
            true => listen.clone(),
            false => expand(word, &environment),
        }));
        let log = self._folder.path().join(format!("{}.log", container.name));
        // Nothing of this process's own environment gets in but what the tools that enter need.
        let mut clean = vec!["-i".to_owned()];
        clean.extend(
            environment
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        clean.push("/usr/bin/unshare".to_owned());
        clean.extend(line);
        Leash::start("env", clean, [], log).await
    }
}

/// Replaces `$(NAME)` as Kubernetes does.
fn expand(word: &str, environment: &BTreeMap<String, String>) -> String {
    let mut word = word.to_owned();
    for (name, value) in environment {
        word = word.replace(&format!("$({name})"), value);
    }
    word
}

fn own(path: &Path, group: Option<i64>) -> Result<()> {
    let group = group.and_then(|g| u32::try_from(g).ok());
    chown(path, None, group).doing("giving away", path)
}

fn open(path: &Path, mode: u32) -> Result<()> {
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, mode).doing("setting the mode of", path)
}
