//! One place of a source, rendered for one cluster and taken into the index's own form.

use cluster::discovery::Catalog;
use declared::{HelmOptions, RenderLimits, RenderRequest, Renderer, inputs_digest};
use edge::intake::{Intake, Refusal, Rendered};
use serde_json::Value;

use super::source::Source;
use crate::failure::{Failure, Result};
use crate::options::SourceOptions;
use crate::worker::Local;

/// The word of the report.
pub fn word(renderer: Renderer) -> &'static str {
    match renderer {
        Renderer::Plain => "Plain",
        Renderer::Kustomize => "Kustomize",
        Renderer::Helm => "Helm",
        Renderer::Release => "Release",
    }
}

/// Renders a path. Gives what it declares, and the digest of what else went into that.
///
/// # Errors
/// Where nothing of it can be used.
pub async fn render(
    local: &Local,
    catalog: &Catalog,
    source: &Source,
    path: &str,
    namespace: &str,
    helm: HelmOptions,
) -> Result<(Rendered, String)> {
    let request = request(catalog, source, path, namespace, helm);
    let disk = |e: std::io::Error| {
        Failure::new(
            format!("declared objects cannot be kept in a temporary file: {e}"),
            "check that TMPDIR can be written and has room",
        )
    };
    let mut intake = Intake::new(catalog, namespace).map_err(disk)?;
    let mut take = |item| intake.take(item);
    let summary = local.worker().render(&request, &mut take).await;
    let summary = summary.map_err(|e| Failure::of_source(&e))?;
    let rendered = intake.finish(summary.renderer).map_err(|e| match e {
        Refusal::Disk(error) => disk(error),
        Refusal::TooMuch(what) => Failure::new(
            format!("path {path:?} declares {what}"),
            "point --path at less",
        ),
    })?;
    Ok((rendered, inputs_digest(&request, &local.info)))
}

/// How charts are rendered, by the flags.
pub fn helm(path: &str, options: &SourceOptions) -> HelmOptions {
    let folder = path.rsplit('/').next().filter(|n| !n.is_empty());
    let release = options.release_name.as_deref().or(folder);
    HelmOptions {
        release_name: release.unwrap_or("release").to_owned(),
        values_files: options.values.clone(),
        values: Value::Object(serde_json::Map::new()),
    }
}

fn request(
    catalog: &Catalog,
    source: &Source,
    path: &str,
    namespace: &str,
    helm: HelmOptions,
) -> RenderRequest {
    RenderRequest {
        repository: source.revision.repository.clone(),
        commit: source.revision.commit.clone(),
        path: path.to_owned(),
        namespace: namespace.to_owned(),
        helm: Some(helm),
        kube_version: catalog.server().git_version.clone(),
        api_versions: catalog.api_versions().to_vec(),
        limits: RenderLimits::default(),
    }
}
