//! A Helm release: what is declared is the manifest that Helm itself keeps of the deployed revision.

use cluster::discovery::Catalog;
use cluster::index::Revision;
use cluster::release::{content, revisions};
use declared::{ReleaseRequest, RenderLimits};
use edge::intake::{Intake, Refusal, Rendered};
use edge::release::{Seen, UNPACKED, inputs, seen};
use jiff::Timestamp;

use crate::connect::Cluster;
use crate::failure::{Failure, Result};
use crate::worker::Local;

/// Reads what Helm deployed.
///
/// # Errors
/// Where it may not be read, is not deployed, or Helm is at work on it.
pub async fn read(
    cluster: &Cluster,
    local: &Local,
    catalog: &Catalog,
    namespace: &str,
    name: &str,
) -> Result<(Rendered, Revision)> {
    let client = &cluster.client;
    let failed = |e: cluster::Error| Failure::of_cluster(&e);
    let all = revisions(client, None, namespace, name)
        .await
        .map_err(failed)?;
    let stored = match seen(&all, Timestamp::now().as_second()) {
        Seen::Deployed(stored) => stored,
        Seen::AtWork(version, status) => {
            return Err(Failure::new(
                format!(
                    "Helm is at work on release {namespace}/{name} ({status}, revision {version})"
                ),
                "try again when it is done",
            ));
        }
        Seen::Nothing(None) => {
            return Err(Failure::new(
                format!("there is no Helm release {namespace}/{name}"),
                "helm list -A shows what there is; name it as NAMESPACE/NAME",
            ));
        }
        Seen::Nothing(Some((version, status))) => {
            return Err(Failure::new(
                format!(
                    "Helm release {namespace}/{name} has no deployed revision: revision {version} is {status}"
                ),
                format!("see helm history {name} -n {namespace}"),
            ));
        }
    };
    let text = content(client, None, namespace, &stored)
        .await
        .map_err(failed)?;
    let request = ReleaseRequest {
        stored: text,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        version: stored.version,
        limits: RenderLimits {
            file_bytes: UNPACKED,
            ..RenderLimits::default()
        },
    };
    let disk = |e: std::io::Error| {
        Failure::new(
            format!("declared objects cannot be kept in a temporary file: {e}"),
            "check that TMPDIR can be written and has room",
        )
    };
    let mut intake = Intake::new(catalog, namespace).map_err(disk)?;
    let summary = local
        .worker()
        .release(&request, &mut |item| intake.take(item))
        .await;
    let summary = summary.map_err(|e| Failure::of_source(&e))?;
    let rendered = intake.finish(summary.renderer).map_err(|e| match e {
        Refusal::Disk(error) => disk(error),
        Refusal::TooMuch(what) => Failure::new(what, "leave the release out"),
    })?;
    let by = Revision {
        name: format!("v{}", stored.version).into(),
        inputs: inputs(&stored).into(),
    };
    Ok((rendered, by))
}
