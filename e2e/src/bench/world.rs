//! A private control plane with the chart, a Git server and the objects deployed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use driftline_e2e::git::{GitRepo, GitServer, GitServerOptions};
use driftline_e2e::operator::{NAMESPACE, install, kubeconfig};
use driftline_e2e::{ControlPlane, Options, Tools};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::Client;
use serde_json::{Value, json};

use super::audit::Audit;
use super::workload::{NAMESPACES, Release, live, namespace};
use super::{Plan, Result, WorldSpec, say, workload};

/// Creations at the same time.
const CONCURRENCY: usize = 24;

pub struct World {
    pub spec: WorldSpec,
    pub tools: Tools,
    pub client: Client,
    pub audit: Audit,
    pub repo: GitRepo,
    pub account: PathBuf,
    pub kubernetes: String,
    // What must live as long as the world, ended in this order.
    _git: GitServer,
    _control_plane: ControlPlane,
    folder: tempfile::TempDir,
}

impl World {
    /// Starts everything and deploys the objects; the operator does not run yet.
    pub async fn build(plan: &Plan, spec: &WorldSpec) -> Result<Self> {
        say(&format!(
            "{} {}: starting a control plane",
            spec.objects,
            spec.kind.title()
        ));
        let folder = tempfile::Builder::new()
            .prefix("driftline-bench-")
            .tempdir()?;
        let tools = Tools::ensure().await?;
        let audit = Audit::new(folder.path())?;
        // Without the controller manager: it would make ReplicaSets and Pods of every Deployment, which is work of the API
        // server and none of the operator's.
        let control_plane = ControlPlane::start(Options {
            apiserver_flags: audit.flags(),
            without_controller_manager: true,
            ..Options::default()
        })
        .await?;
        let admin = control_plane.kubeconfig_path().to_owned();
        install(&tools, &admin, &[]).await?;
        let account = kubeconfig(&tools, &admin, &folder.path().join("kubeconfig")).await?;
        let client = control_plane.client().await?;
        let kubernetes = client.apiserver_version().await?.git_version;
        let git = GitServer::start(GitServerOptions::default())?;
        let repo = git.create_repo("bench").await?;
        say(&format!("committing {} manifests", spec.objects));
        let files = workload::files(spec.kind, spec.objects, Release::First);
        repo.commit("Everything", files).await?;
        deploy(&client, spec).await?;
        create_policy(&client, &git.url("bench"), plan).await?;
        Ok(Self {
            spec: spec.clone(),
            tools,
            client,
            audit,
            repo,
            account,
            kubernetes,
            _git: git,
            _control_plane: control_plane,
            folder,
        })
    }

    pub fn operator_log(&self) -> PathBuf {
        self.folder.path().join("operator.log")
    }

    /// Makes an edit of an object, or undoes it. The manager is that of `kubectl edit`.
    pub async fn edit(&self, number: usize, undo: bool) -> Result<()> {
        edit(self.client.clone(), self.spec.kind, number, undo).await
    }

    /// Has live edits put back, as an account of its own that may write everything here; or not any more.
    pub async fn put_back(&self, does: bool) -> Result<()> {
        if does {
            for (path, body) in workload::writer(NAMESPACE) {
                post(&self.client, path, &body).await?;
            }
        }
        let rung = if does { "Revert" } else { "Observe" };
        self.change_policy(&json!({"spec": {"serviceAccountName": "bench", "enforcement": rung}}))
            .await
    }

    /// Edits the first objects, several at a time.
    pub async fn edit_some(&self, objects: usize) -> Result<()> {
        let kind = self.spec.kind;
        let some = WorldSpec {
            objects,
            ..self.spec.clone()
        };
        let edits = |number| edit(self.client.clone(), kind, number, false);
        bulk(&some, "edited", edits).await
    }

    /// Rolls out the next release, several objects at a time.
    pub async fn roll_out(&self) -> Result<()> {
        let kind = self.spec.kind;
        let roll_out = |number| async move {
            let (form, patch) = workload::roll_out(kind, number);
            let manager = "bench-deploy";
            send(&self.client, (kind, number), manager, form, &patch).await
        };
        bulk(&self.spec, "rolled out", roll_out).await
    }

    /// Sets how often the policy is verified.
    pub async fn verify_every(&self, every: &str) -> Result<()> {
        self.change_policy(&json!({"spec": {"verifyEvery": every}}))
            .await
    }

    async fn change_policy(&self, change: &Value) -> Result<()> {
        let path = format!("{}/bench", policies());
        let request = http::Request::patch(path)
            .header("Content-Type", "application/merge-patch+json")
            .body(serde_json::to_vec(change)?)?;
        self.client.request_text(request).await?;
        Ok(())
    }

    /// Commits the declarations of a release.
    pub async fn release(&self, release: Release) -> Result<()> {
        let files = workload::files(self.spec.kind, self.spec.objects, release);
        self.repo.commit(&format!("{release:?}"), files).await?;
        Ok(())
    }
}

/// [`World::edit`] for a task of its own.
pub async fn edit(client: Client, kind: workload::Kind, number: usize, undo: bool) -> Result<()> {
    let form = "application/merge-patch+json";
    let patch = workload::edit(kind, undo);
    send(&client, (kind, number), "kubectl-edit", form, &patch).await
}

async fn send(
    client: &Client,
    (kind, number): (workload::Kind, usize),
    manager: &str,
    form: &str,
    patch: &Value,
) -> Result<()> {
    let path = format!(
        "{}/{}?fieldManager={manager}",
        kind.collection(&namespace(number)),
        workload::name(number)
    );
    let request = http::Request::patch(path)
        .header("Content-Type", form)
        .body(serde_json::to_vec(patch)?)?;
    client.request_text(request).await?;
    Ok(())
}

async fn post(client: &Client, path: &str, body: &Value) -> Result<()> {
    let request = http::Request::post(path)
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(body)?)?;
    client.request_text(request).await?;
    Ok(())
}

async fn deploy(client: &Client, spec: &WorldSpec) -> Result<()> {
    for number in 0..NAMESPACES {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(number)}});
        post(client, "/api/v1/namespaces", &body).await?;
    }
    let create = |number| async move {
        let path = format!(
            "{}?fieldManager=bench-deploy",
            spec.kind.collection(&namespace(number))
        );
        post(client, &path, &live(spec.kind, number)?).await
    };
    bulk(spec, "deployed", create).await
}

/// Does something to all objects, several at a time, and says how far it is.
async fn bulk<F>(spec: &WorldSpec, done_what: &'static str, act: impl Fn(usize) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let (began, done) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let (total, title) = (spec.objects, spec.kind.title());
    let counter = Arc::clone(&done);
    let teller = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let done = counter.load(Ordering::Relaxed);
            say(&format!("{done_what} {done} of {total} {title}"));
        }
    });
    let result = futures::stream::iter(0..total)
        .map(act)
        .buffer_unordered(CONCURRENCY)
        .try_for_each(|()| {
            done.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(()))
        })
        .await;
    teller.abort();
    result?;
    say(&format!(
        "{done_what} {total} {title} in {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// A policy of the operator's namespace: it may leave out the account, and then sees what the chart's reader sees.
async fn create_policy(client: &Client, url: &str, plan: &Plan) -> Result<()> {
    let body = json!({
        "apiVersion": "driftline.dev/v1alpha1",
        "kind": "DriftPolicy",
        "metadata": {"name": "bench", "namespace": NAMESPACE},
        "spec": {
            "source": {"git": {"url": url, "ref": {"branch": "main"}, "interval": format!("{}s", plan.interval.as_secs())}},
            "targets": [{"name": "app", "kubernetes": {"path": "deploy"}}],
        },
    });
    post(client, &policies(), &body).await
}

fn policies() -> String {
    format!("/apis/driftline.dev/v1alpha1/namespaces/{NAMESPACE}/driftpolicies")
}
