//! The tables as docs/never-drift.md shows them.

use super::*;
use crate::bookkeeping::{SERVER_METADATA, TOOL_ANNOTATIONS};

/// Every source, with what it is of.
fn sources() -> Vec<(String, &'static str)> {
    let lines = [ADDED, CHANGED, NOTED].into_iter().flatten();
    let lines = lines.map(|line| (place(line), line.source));
    let notes = TOOL_ANNOTATIONS.iter();
    lines
        .chain(notes.map(|(key, source)| ((*key).to_owned(), *source)))
        .collect()
}

#[test]
fn a_line_without_a_source_slipped_in() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    for (what, source) in sources() {
        let is_page = source.starts_with("https://") && source.len() > 20;
        let is_own = source.starts_with("docs/")
            && std::fs::exists(format!("{root}{source}")).unwrap_or(false);
        assert!(
            is_page || is_own || source.starts_with("KEP-"),
            "{what}: {source}"
        );
    }
}

#[test]
fn a_line_that_is_not_always_so_says_when() {
    let always = |line: &Line| {
        let (kind, empty) = (GroupKind::new("", "Nothing"), Value::Null);
        let context = Context {
            kind: &kind,
            declared: &empty,
            live: &empty,
            replicas: None,
            replicas_at: None,
        };
        (line.when)(&context, &[], &Value::Null)
    };
    for line in [ADDED, CHANGED, NOTED].into_iter().flatten() {
        assert!(always(line) || !line.words.is_empty(), "{}", place(line));
    }
}

/// The place with what its last step may be: `metadata.finalizers`: `a`, `b`.
fn place(line: &Line) -> String {
    let bare = |step: &str| {
        step.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_*".contains(&b))
    };
    let path = match line.path {
        [above @ .., "*"] if !line.among.is_empty() => above,
        path => path,
    };
    let mut text = String::new();
    for step in path {
        match step {
            step if !bare(step) => text.push_str(&format!("[{step:?}]")),
            step if text.is_empty() => text.push_str(step),
            step => text.push_str(&format!(".{step}")),
        }
    }
    let names: Vec<String> = line.among.iter().map(|n| format!("`{n}`")).collect();
    match names.is_empty() {
        true => format!("`{text}`"),
        false => format!("`{text}`: {}", names.join(", ")),
    }
}

fn link(source: &str) -> String {
    let address = match source.strip_prefix("docs/") {
        Some(page) => page,
        None => source,
    };
    let host = address
        .split_once("://")
        .map_or(address, |(_, rest)| rest.split('/').next().unwrap_or(rest));
    format!("[{host}]({address})")
}

fn rows(table: &[Line]) -> String {
    let mut text = "| kinds | field | when | source |\n|---|---|---|---|\n".to_owned();
    for line in table {
        let kinds: Vec<String> = match line.kinds {
            ["*"] => vec!["any".to_owned()],
            kinds => kinds.iter().map(|k| format!("`{k}`")).collect(),
        };
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            kinds.join(", "),
            place(line),
            line.words,
            link(line.source)
        ));
    }
    text
}

fn markdown() -> String {
    let list = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
        names.join(", ")
    };
    let mut text = String::new();
    text.push_str("## Not declared, and yet there\n\n");
    text.push_str(&rows(ADDED));
    text.push_str("\n## Declared, and yet another value\n\n");
    text.push_str(&rows(CHANGED));
    text.push_str("\n## Notes of controllers, declared or not\n\n");
    text.push_str(&rows(NOTED));
    text.push_str("\n## Annotations of tools, on any object and any Pod template\n\n");
    text.push_str("| annotation | source |\n|---|---|\n");
    for (key, source) in TOOL_ANNOTATIONS {
        text.push_str(&format!("| `{key}` | {} |\n", link(source)));
    }
    text.push_str("\n## What only the server writes\n\n");
    text.push_str(&format!(
        "`status`, and of `metadata` {} ([kubernetes.io](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/)).\n",
        list(&SERVER_METADATA)
    ));
    text.push_str("\n## Hooks\n\n");
    text.push_str(&format!(
        "What has one of the annotations {} may be gone, and is compared while it is there ([helm.sh](https://helm.sh/docs/topics/charts_hooks/), [argo-cd.readthedocs.io](https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/)).\n",
        list(&HOOKS)
    ));
    text.push_str("\n## Managers of the control plane\n\n");
    text.push_str(&format!(
        "Where the API server cannot be asked, what {} own at first sight proves no edit and counts as `unverified`, except where these go on writing: in Nodes, Endpoints, EndpointSlices, Leases and CSINodes ([kubernetes.io](https://kubernetes.io/docs/concepts/overview/components/)).\n",
        list(&CONTROL_PLANE)
    ));
    text
}

#[test]
fn the_guide_shows_what_is_never_drift() {
    crate::guide::holds("never-drift.md", "tables", &markdown());
}
