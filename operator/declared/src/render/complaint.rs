//! Turning a tool's complaint into one sentence with a remedy.
//!
//! A complaint may quote what it stumbled over, and that may be a Secret. So nothing of it is passed on but names of
//! files in the repository and positions in them; the reason is told by what is recognised.

use super::layout::Layout;
use crate::error::{Category, Error, one_line};

/// A phrase of a tool, and what it means for a user.
type Known = (&'static str, &'static str);

const KUSTOMIZE: [Known; 15] = [
    (
        "must specify --enable-helm",
        "it inflates a Helm chart (`helmCharts`), which would download it: point a target of its own at the chart's folder",
    ),
    (
        "trouble configuring builtin HelmChart",
        "it inflates a Helm chart (`helmCharts`), which would download it: point a target of its own at the chart's folder",
    ),
    (
        "no 'git' program on path",
        "it refers to a remote base, which is not downloaded: copy the base into the repository and refer to it by a relative path",
    ),
    (
        "git cmd",
        "it refers to a remote base, which is not downloaded: copy the base into the repository and refer to it by a relative path",
    ),
    (
        "URL is a git repository",
        "it refers to a remote base, which is not downloaded: copy the base into the repository and refer to it by a relative path",
    ),
    (
        "HTTP Error",
        "it refers to a remote file, which is not downloaded: copy the file into the repository and refer to it by a relative path",
    ),
    (
        "dial tcp",
        "it refers to something on the network, which is not downloaded: copy it into the repository and refer to it by a relative path",
    ),
    (
        "external plugins disabled",
        "it needs a plugin, and plugins are not run: use kustomize's built-in transformers",
    ),
    (
        "unable to find plugin",
        "it needs a plugin, and plugins are not run: use kustomize's built-in transformers",
    ),
    (
        "is not in or below",
        "it reads a file outside its own folder: move the file, or make the other folder a base with its own kustomization",
    ),
    (
        "no matches for Id",
        "a patch finds no object to change: check the patch's kind and name",
    ),
    (
        "already registered id",
        "the same object comes from two resources: take one out",
    ),
    (
        "no such file or directory",
        "a file or folder it names is missing (symbolic links and submodules are not followed)",
    ),
    (
        "missing metadata.name",
        "an object has no name, and kustomize takes none with `generateName` alone, hooks neither: give it a name",
    ),
    (
        "cycle detected",
        "its bases refer to each other in a circle",
    ),
];

const HELM: [Known; 12] = [
    (
        "found in Chart.yaml, but missing in charts/ directory",
        "dependencies of the chart are not in its `charts/` folder, and charts are not downloaded: run `helm dependency build` and commit `charts/`",
    ),
    (
        "dependencies are missing",
        "dependencies of the chart are not in its `charts/` folder, and charts are not downloaded: run `helm dependency build` and commit `charts/`",
    ),
    (
        "which is incompatible with Kubernetes",
        "the chart's `kubeVersion` excludes this cluster's version: use another version of the chart",
    ),
    (
        "values don't meet the specifications of the schema",
        "the values do not meet the chart's `values.schema.json`",
    ),
    (
        "execution error at",
        "a template refuses the values (`required` or `fail`): run `helm template` with the same values to see its message",
    ),
    (
        "nil pointer evaluating",
        "a template uses a value that is not set: set it, or guard it with `with` or `default`",
    ),
    (
        "function \"",
        "a template calls a function that this version of helm does not have",
    ),
    (
        "YAML parse error",
        "a template does not render to valid YAML: run `helm template` with the same values to see it",
    ),
    (
        "error converting YAML to JSON",
        "a template does not render to valid YAML: run `helm template` with the same values to see it",
    ),
    ("cannot load values", "a values file is not valid YAML"),
    ("Chart.yaml file is missing", "there is no `Chart.yaml`"),
    ("parse error at", "a template cannot be parsed"),
];

/// kustomize's complaint.
pub(crate) fn kustomize(at: &str, stderr: &str, layout: &Layout) -> Error {
    told(at, "kustomize", stderr, layout, &KUSTOMIZE)
}

/// helm's complaint.
pub(crate) fn helm(at: &str, stderr: &str, layout: &Layout) -> Error {
    told(at, "helm", stderr, layout, &HELM)
}

fn told(at: &str, tool: &str, stderr: &str, layout: &Layout, known: &[Known]) -> Error {
    if ["out of memory", "cannot allocate memory"]
        .iter()
        .any(|phrase| stderr.contains(phrase))
    {
        return Error::new(
            Category::Limit,
            at,
            format!("{tool} ran out of its memory limit: raise the limit or split the target"),
        );
    }
    let reason = known
        .iter()
        .find(|(phrase, _)| stderr.contains(phrase))
        .map(|(_, meaning)| *meaning);
    let reason = reason.map_or_else(|| format!("it does not say why in words that are safe to repeat: run {tool} on a checkout to see"), str::to_owned);
    let mut what = format!("{tool} refuses it: {reason}");
    let places = places(stderr, layout);
    if !places.is_empty() {
        what.push_str(&format!(" (see {})", places.join(", ")));
    }
    if !layout.too_large.is_empty() {
        let files: Vec<&str> = layout
            .too_large
            .iter()
            .take(3)
            .map(String::as_str)
            .collect();
        what.push_str(&format!(
            "; left out because of the limit on file size: {}",
            one_line(&files.join(", "), 200)
        ));
    }
    Error::new(Category::Render, at, what)
}

/// Files of the repository that a complaint names, with line and column where it gives them; at most three.
fn places(stderr: &str, layout: &Layout) -> Vec<String> {
    let root = format!("{}/", layout.root.display());
    let mut found: Vec<String> = Vec::new();
    let separators = |c: char| c.is_whitespace() || "'\"`(),<>[]{}".contains(c);
    for word in stderr.split(separators).map(|w| w.trim_matches(':')) {
        let mut parts = word.split(':');
        let name = parts.next().unwrap_or_default();
        let position: Vec<&str> = parts
            .take(2)
            .take_while(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
            .collect();
        // A path below the layout is one that was looked for, there or not; anything else must be a file that is there.
        let file = match name.strip_prefix(&root) {
            Some(path) => Some(path.to_owned()),
            None => in_repository(name, layout),
        };
        // What looks like a URL may carry a token.
        let Some(file) = file.filter(|f| !f.is_empty() && !f.contains(['@', '?'])) else {
            continue;
        };
        let place = if position.is_empty() {
            file
        } else {
            format!("{file}:{}", position.join(":"))
        };
        if !found.contains(&place) {
            found.push(one_line(&place, 200));
        }
        if found.len() == 3 {
            break;
        }
    }
    found
}

/// A file's path, from the name that helm gives templates: the chart's name in place of its folder.
fn in_repository(name: &str, layout: &Layout) -> Option<String> {
    if layout.files.contains(name) {
        return Some(name.to_owned());
    }
    let (_, below) = name.split_once('/')?;
    let ending = format!("/{below}");
    let mut candidates = layout
        .files
        .iter()
        .filter(|f| *f == below || f.ends_with(&ending));
    match (candidates.next(), candidates.next()) {
        (Some(file), None) if below.contains('/') => Some(file.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(files: &[&str]) -> Layout {
        Layout {
            root: "/tmp/job/tree".into(),
            files: files.iter().map(|f| (*f).to_owned()).collect(),
            too_large: Vec::new(),
        }
    }

    #[test]
    fn complaints_name_places_and_remedies_but_repeat_no_values() {
        let layout = layout(&["charts/web/templates/deploy.yaml", "charts/web/values.yaml"]);
        let stderr =
            "Error: execution error at (web/templates/deploy.yaml:12:20): bad password canary-123";
        let error = helm("chart", stderr, &layout).to_string();
        assert!(
            error.contains("charts/web/templates/deploy.yaml:12:20")
                && error.contains("helm template"),
            "{error}"
        );
        assert!(!error.contains("canary"), "{error}");
        let stderr = "Error: something new: token=canary-123 in canary.yaml";
        assert!(
            !helm("chart", stderr, &layout)
                .to_string()
                .contains("canary")
        );
    }

    #[test]
    fn remote_bases_are_told_without_their_url() {
        let stderr = "Error: accumulating resources: accumulation err='accumulating resources from 'https://user:canary@h/x?ref=1': \
                      URL is a git repository': no 'git' program on path: exec: \"git\": executable file not found";
        let error = kustomize("folder", stderr, &layout(&[])).to_string();
        assert!(
            error.contains("remote base") && !error.contains("canary"),
            "{error}"
        );
    }

    #[test]
    fn a_hook_named_when_it_runs_is_refused_in_words() {
        let stderr = "Error: accumulating resources: missing metadata.name in object {{batch/v1 Job} {{ } map[] map[token:canary]}}";
        let error = kustomize("folder", stderr, &layout(&[])).to_string();
        assert!(
            error.contains("generateName") && !error.contains("canary"),
            "{error}"
        );
    }

    #[test]
    fn missing_files_are_named() {
        let stderr = "Error: accumulating resources: evalsymlink failure on '/tmp/job/tree/base/gone.yaml' : lstat /tmp/job/tree/base/gone.yaml: no such file or directory";
        let error = kustomize("folder", stderr, &layout(&[])).to_string();
        assert!(
            error.contains("missing") && error.contains("base/gone.yaml"),
            "{error}"
        );
    }
}
