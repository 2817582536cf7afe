//! Flux's kustomize-controller, and what stands in for its source-controller: a server of archives, and GitRepositories whose status
//! names one.

use std::path::Path;

use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use crate::cache::FLUX;
use crate::control_plane::{ControlPlane, blocking};
use crate::error::{Error, IoContext as _, Result};
use crate::git::GitRepo;
use crate::leash::Leash;
use crate::peers::{Apply, apply, established, port};
use crate::ports;
use crate::tools::Tools;

const MODULE: &str = "github.com/fluxcd/kustomize-controller";
const GROUP: &str = "source.toolkit.fluxcd.io";

/// Kinds of sources, as far as the controller watches them.
const SOURCES: [(&str, &str); 4] = [
    ("gitrepositories", "GitRepository"),
    ("ocirepositories", "OCIRepository"),
    ("buckets", "Bucket"),
    ("externalartifacts", "ExternalArtifact"),
];

/// A running kustomize-controller; ended when dropped.
pub struct Flux {
    controller: Leash,
    client: Client,
    archives: tempfile::TempDir,
    base: String,
    server: JoinHandle<()>,
}

impl Drop for Flux {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Flux {
    /// Installs its definitions and starts it.
    ///
    /// # Errors
    /// If it cannot be built, or the API server refuses something.
    pub async fn start(tools: &Tools, cluster: &ControlPlane) -> Result<Self> {
        let (binaries, module) = blocking("building Flux's kustomize-controller", || {
            Ok((FLUX.ensure()?, FLUX.module(MODULE)?))
        })
        .await?;
        let kubeconfig = cluster.kubeconfig_path();
        let own = module.join("config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml");
        apply(tools, kubeconfig, Apply::File(&own)).await?;
        let definitions: Vec<String> = SOURCES.iter().map(|s| definition(*s)).collect();
        let text = definitions.join("\n---\n");
        apply(tools, kubeconfig, Apply::Text(&text)).await?;
        let kinds = [
            "kustomizations.kustomize.toolkit.fluxcd.io",
            "gitrepositories.source.toolkit.fluxcd.io",
            "ocirepositories.source.toolkit.fluxcd.io",
            "buckets.source.toolkit.fluxcd.io",
        ];
        established(tools, kubeconfig, &kinds).await?;

        let archives =
            tempfile::tempdir().doing("creating a directory in", std::env::temp_dir())?;
        let (base, server) = serve(archives.path().to_owned())?;
        let flags = [
            "--watch-all-namespaces=true".to_owned(),
            "--enable-leader-election=false".to_owned(),
            "--metrics-addr=0".to_owned(),
            format!("--health-addr=127.0.0.1:{}", port()?),
            "--log-level=info".to_owned(),
        ];
        let environment = [
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("RUNTIME_NAMESPACE", "default".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let program = binaries.join("kustomize-controller");
        let log = archives.path().join("controller.log");
        let controller = Leash::start(program, flags, environment, log).await?;
        Ok(Self {
            controller,
            client: cluster.client().await?,
            archives,
            base,
            server,
        })
    }

    /// Publishes the current commit of a repository in the GitRepository of that name, as the source-controller does.
    ///
    /// # Errors
    /// If git fails, or the API server refuses.
    pub async fn publish(&self, namespace: &str, name: &str, repo: &GitRepo) -> Result<String> {
        let commit = repo.head().await?;
        let file = format!("{namespace}-{name}-{commit}.tar.gz");
        let archive = self.archives.path().join(&file);
        // Of a tree, so that no header names the commit.
        let output = format!("--output={}", archive.display());
        repo.git(["archive", "--format=tar.gz", &output, "HEAD^{tree}"])
            .await?;
        let bytes = std::fs::read(&archive).doing("reading", &archive)?;
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let revision = format!("main@sha1:{commit}");
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let now = now.to_string();
        let status = json!({"status": {
            "observedGeneration": 1,
            "artifact": {
                "url": format!("{}/{file}", self.base), "path": file, "revision": revision,
                "digest": format!("sha256:{digest}"), "size": bytes.len(), "lastUpdateTime": now,
            },
            "conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored", "lastTransitionTime": now, "observedGeneration": 1}],
        }});
        let kind = GroupVersionKind::gvk(GROUP, "v1", "GitRepository");
        let resource = ApiResource::from_gvk_with_plural(&kind, "gitrepositories");
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let params = PatchParams::default();
        let patched = api.patch_status(name, &params, &Patch::Merge(status)).await;
        patched.map_err(|source| Error::Kube {
            doing: format!("publishing {revision} in the GitRepository {namespace}/{name}"),
            source: Box::new(source),
        })?;
        Ok(revision)
    }

    /// What the controller has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.controller.output()
    }
}

/// A kind of source, of which nothing is checked.
fn definition((plural, kind): (&str, &str)) -> String {
    let singular = kind.to_lowercase();
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.{GROUP}}}
spec:
  group: {GROUP}
  scope: Namespaced
  names: {{plural: {plural}, singular: {singular}, kind: {kind}, listKind: {kind}List}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    )
}

/// Serves the files of a directory; gives its URL.
fn serve(directory: std::path::PathBuf) -> Result<(String, JoinHandle<()>)> {
    let listener = ports::bind()?;
    let address = listener.local_addr().doing("binding", "127.0.0.1")?;
    listener
        .set_nonblocking(true)
        .doing("listening on", address.to_string())?;
    let listener = tokio::net::TcpListener::from_std(listener);
    let listener = listener.doing("listening on", address.to_string())?;
    let get = move |axum::extract::Path(name): axum::extract::Path<String>| {
        let file = directory.join(Path::new(&name).file_name().unwrap_or_default());
        async move { std::fs::read(file).map_err(|_| http::StatusCode::NOT_FOUND) }
    };
    let router = axum::Router::new().route("/{name}", axum::routing::get(get));
    let server = tokio::spawn(async move {
        // Accepting goes on whatever happens to a connection.
        let _ = axum::serve(listener, router).await;
    });
    Ok((format!("http://{address}"), server))
}
