//! Rendering with Helm.

use std::ffi::OsString;
use std::fs;

use drift::declared::DeclaredObject;

use super::Tools;
use super::complaint;
use super::layout::{Layout, lay_out};
use super::objects::{Collector, quietly};
use super::plain::not_followed;
use super::tool::run_tool;
use super::tree::{CommitTree, Entry, Kind, join_path};
use super::unstable::Second;
use super::yaml::Document;
use crate::error::{Category, Error, one_line};
use crate::request::{HelmOptions, RenderRequest};

/// Runs `helm template` twice on a chart; what the two do not agree on is marked unstable. Hooks and tests are left
/// out: they are made to go away.
///
/// # Errors
/// `Render` with helm's complaint in one sentence; `Input` for values files outside the repository; `Limit`, `Corrupt`, `Worker`.
pub(crate) fn render(
    request: &RenderRequest,
    tree: &CommitTree<'_>,
    target: &Entry,
    tools: &Tools,
    collector: &mut Collector<'_>,
) -> Result<(), Error> {
    let folder = target.shown();
    let at = format!("Helm chart `{folder}`");
    let Some(helm) = &tools.helm else {
        let what = "needs the program `helm`, which the worker does not have: install it or name it with --helm";
        return Err(Error::new(Category::Render, at, what));
    };
    let options = request.helm.clone().unwrap_or_else(|| HelmOptions {
        release_name: "release".into(),
        values_files: Vec::new(),
        values: serde_json::Value::Null,
    });
    let mut entries = tree.below(target, request.limits.files, |_| true)?;
    entries
        .iter()
        .for_each(|entry| not_followed(entry, collector));
    let values = values_files(&options, tree, target, &mut entries)?;
    let layout = lay_out(tree, &entries, &tools.temp, &request.limits)?;
    let arguments = arguments(request, &options, &values, &layout, target, tools)?;
    let template = || -> Result<String, Error> {
        let output = run_tool(
            helm,
            arguments.clone(),
            &tools.temp,
            request.limits.memory_bytes,
            request.limits.output_bytes,
        )?;
        if !output.success {
            return Err(complaint::helm(&at, &output.stderr, &layout));
        }
        String::from_utf8(output.stdout).map_err(|_| {
            Error::new(
                Category::Render,
                at.clone(),
                "helm's output is not UTF-8 text",
            )
        })
    };
    let (first, second) = (template()?, template()?);
    // Most charts render to the same text twice; then there is nothing to compare.
    let second = (first != second).then(|| Second::new(quietly(&second, request)));
    // A packed dependency, or one whose folder is not called as it is, has no file of that name.
    let file = |document: &Document<'_>| {
        source(document, target)
            .filter(|file| layout.files.contains(file))
            .unwrap_or_else(|| folder.to_owned())
    };
    for mut object in collector.rendered(&first, file) {
        if is_hook(&object) {
            continue;
        }
        if let Some(second) = &second {
            second.compare(&mut object);
        }
        collector.object(object)?;
    }
    Ok(())
}

pub(crate) fn is_hook(object: &DeclaredObject) -> bool {
    object
        .object
        .pointer("/metadata/annotations")
        .is_some_and(|a| a.get("helm.sh/hook").is_some())
}

/// The values files, as paths in the repository; those outside the chart's folder join what is laid out.
fn values_files(
    options: &HelmOptions,
    tree: &CommitTree<'_>,
    target: &Entry,
    entries: &mut Vec<Entry>,
) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for file in &options.values_files {
        let at = format!("values file `{}`", one_line(file, 200));
        let outside = || {
            Error::new(
                Category::Input,
                at.clone(),
                "must be relative to the chart's folder and inside the repository",
            )
        };
        let path = join_path(&target.path, file).ok_or_else(outside)?;
        let entry = tree.look(&path)?;
        if entry.kind != Kind::File {
            return Err(Error::new(
                Category::Input,
                at,
                "is not a regular file: symbolic links are not followed",
            ));
        }
        if !entries.iter().any(|e| e.path == entry.path) {
            entries.push(entry);
        }
        found.push(path);
    }
    Ok(found)
}

fn arguments(
    request: &RenderRequest,
    options: &HelmOptions,
    values: &[String],
    layout: &Layout,
    target: &Entry,
    tools: &Tools,
) -> Result<Vec<OsString>, Error> {
    let mut arguments: Vec<OsString> = vec![
        "template".into(),
        name("release name", &options.release_name)?.into(),
        layout.root.join(&target.path).into(),
        "--include-crds".into(),
        "--no-hooks".into(),
    ];
    let mut flag = |flag: &str, value: &str| arguments.push(format!("--{flag}={value}").into());
    if !request.namespace.is_empty() {
        flag("namespace", &name("namespace", &request.namespace)?);
    }
    if !request.kube_version.is_empty() {
        flag(
            "kube-version",
            &name("Kubernetes version", &request.kube_version)?,
        );
    }
    for version in &request.api_versions {
        flag("api-versions", &name("API version", version)?);
    }
    for path in values {
        arguments.extend(["--values".into(), layout.root.join(path).into()]);
    }
    // Inline values go by a file: in --set, commas and dots would mean something.
    if !options.values.is_null() {
        let path = tools.temp.join("values.json");
        fs::write(&path, options.values.to_string()).map_err(|e| {
            Error::new(
                Category::Worker,
                "inline values",
                format!("cannot be written to the job's folder: {e}"),
            )
        })?;
        arguments.extend(["--values".into(), path.into()]);
    }
    Ok(arguments)
}

/// A word for helm's command line that it cannot take for a flag.
fn name(what: &str, value: &str) -> Result<String, Error> {
    let valid = !value.is_empty()
        && value.len() <= 253
        && !value.starts_with('-')
        && value.chars().all(|c| c.is_ascii_graphic());
    if valid {
        return Ok(value.to_owned());
    }
    let at = format!("{what} `{}`", one_line(value, 100));
    Err(Error::new(
        Category::Input,
        at,
        "is not valid: use letters, digits and dashes",
    ))
}

/// The template a document came from: Helm writes `# Source: <chart>/templates/x.yaml` above it.
fn source(document: &Document<'_>, target: &Entry) -> Option<String> {
    let line = document
        .text
        .lines()
        .take(3)
        .find_map(|line| line.strip_prefix("# Source: "))?;
    // The chart's own name stands where its folder is.
    let (_, below) = line.trim().split_once('/')?;
    join_path(&target.path, below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::yaml::documents;

    #[test]
    fn sources_become_paths_in_the_repository() {
        let text = "---\n# Source: web/templates/deploy.yaml\nkind: A\n---\n# Source: web/charts/db/templates/x.yaml\nkind: B\n";
        let target = Entry::for_tests("charts/web");
        let sources: Vec<_> = documents(text)
            .map(|d| source(&d, &target).unwrap())
            .collect();
        assert_eq!(
            sources,
            [
                "charts/web/templates/deploy.yaml",
                "charts/web/charts/db/templates/x.yaml"
            ]
        );
        assert_eq!(
            source(&documents("kind: A\n").next().unwrap(), &target),
            None
        );
    }
}
