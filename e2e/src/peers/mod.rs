//! Deployers as they are, for tests of getting along with them: Argo CD's application controller and repo server, and Flux's
//! kustomize-controller. They run with an administrator's rights.

mod argocd;
mod flux;

use std::path::Path;
use std::time::Duration;

use crate::error::{IoContext as _, Result};
use crate::ports;
use crate::tools::{Invocation, Tools};

pub use argocd::ArgoCd;
pub use flux::Flux;

/// A port on which nothing listens, for a program that cannot be told to look for one itself.
fn port() -> Result<u16> {
    let address = ports::bind()?.local_addr();
    Ok(address.doing("binding", "127.0.0.1")?.port())
}

/// Applies files or texts as an administrator.
async fn apply(tools: &Tools, kubeconfig: &Path, what: Apply<'_>) -> Result<()> {
    let base = ["apply", "--server-side", "--force-conflicts", "-f"];
    let kubectl = |file: &Path| -> Invocation { tools.kubectl(kubeconfig).args(base).args([file]) };
    match what {
        Apply::File(file) => kubectl(file).run().await.map(drop),
        Apply::Text(text) => kubectl(Path::new("-")).stdin(text).run().await.map(drop),
    }
}

#[derive(Clone, Copy)]
enum Apply<'a> {
    File(&'a Path),
    Text(&'a str),
}

/// Waits until definitions of kinds are served.
async fn established(tools: &Tools, kubeconfig: &Path, definitions: &[&str]) -> Result<()> {
    tools
        .kubectl(kubeconfig)
        .args(["wait", "--for=condition=Established", "--timeout=30s"])
        .args(definitions.iter().map(|d| format!("crd/{d}")))
        .deadline(Duration::from_secs(40))
        .run()
        .await
        .map(drop)
}
