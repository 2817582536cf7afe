//! The commands of the guide, run as they stand there, and its links.

use std::path::PathBuf;
use std::time::Duration;

use driftline_e2e::operator::{program, workspace};
use driftline_e2e::{ControlPlane, Invocation, Options, Tools};
use serde_json::Value;

/// The blocks of a page that begin with `sh`, and why the ones are not run that say so.
fn blocks(page: &str) -> Vec<(Option<String>, String)> {
    let mut found = Vec::new();
    let (mut excuse, mut block): (Option<String>, Option<String>) = (None, None);
    for line in page.lines() {
        match &mut block {
            Some(text) if line == "```" => {
                found.push((excuse.take(), std::mem::take(text)));
                block = None;
            }
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
            None if line == "```sh" => block = Some(String::new()),
            None if line.starts_with("<!-- not run: ") => excuse = Some(line.to_owned()),
            None => {}
        }
    }
    assert!(block.is_none(), "a block without an end");
    found
}

/// Runs a page's commands in a cluster of their own, in a copy of what they need of the repository.
async fn follow(page: &str, at_least: usize) {
    let text = std::fs::read_to_string(workspace().join("docs").join(page)).unwrap();
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let tools = Tools::ensure().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for entry in ["charts", "examples", "crds", "Makefile"] {
        let copied = Invocation::new("cp").args([
            "-r".into(),
            workspace().join(entry),
            folder.path().to_owned(),
        ]);
        copied.run().await.unwrap();
    }
    let mut path = program().unwrap().parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(tools.path_variable());
    let mut run = 0;
    for (excuse, block) in blocks(&text) {
        if excuse.is_some() {
            continue;
        }
        let shell = Invocation::new("bash")
            .kubeconfig(plane.kubeconfig_path())
            .env("PATH", &path)
            .current_dir(folder.path())
            .deadline(Duration::from_secs(90))
            .args(["-euo", "pipefail", "-c", &block]);
        shell
            .run()
            .await
            .unwrap_or_else(|e| panic!("docs/{page}: {e}"));
        run += 1;
    }
    assert!(run >= at_least, "docs/{page}: only {run} blocks");
}

#[tokio::test]
async fn what_install_says_works() {
    follow("install.md", 4).await;
}

#[tokio::test]
async fn what_operations_says_works() {
    follow("operations.md", 2).await;
}

/// All Markdown of the repository that a user reads.
fn pages() -> Vec<PathBuf> {
    let root = workspace();
    let mut pages = vec![
        root.join("README.md"),
        root.join("ARCHITECTURE.md"),
        root.join("charts/driftline/README.md"),
    ];
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "md") {
            pages.push(path);
        }
    }
    pages
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let heading = |line: &str| {
        Some(
            line.strip_prefix('#')?
                .trim_start_matches('#')
                .trim()
                .to_lowercase(),
        )
    };
    let anchor = |heading: String| -> String {
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    text.lines().filter_map(heading).map(anchor).collect()
}

#[test]
fn every_link_of_the_guide_leads_somewhere() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for part in text.split("](").skip(1) {
            let link = part.split(')').next().unwrap();
            if link.starts_with("http") || link.contains(char::is_whitespace) {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(file)
            };
            assert!(target.exists(), "{}: {link}", page.display());
            let is_page = target.extension().is_some_and(|e| e == "md");
            if is_page && !anchor.is_empty() {
                let there = anchors(&std::fs::read_to_string(&target).unwrap());
                assert!(
                    there.iter().any(|a| a == anchor),
                    "{}: {link}",
                    page.display()
                );
            }
        }
    }
}

#[tokio::test]
async fn the_examples_of_an_installation_have_values_that_the_chart_takes() {
    let tools = Tools::ensure().await.unwrap();
    let folder = workspace().join("examples/install");
    for (file, values) in [
        ("argocd-application.yaml", "/spec/source/helm/valuesObject"),
        ("flux-helmrelease.yaml", "/spec/values"),
    ] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let last = documents.last().unwrap();
        let values = last.pointer(values).unwrap();
        let kept = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kept.path(), values.to_string()).unwrap();
        let render = Invocation::new(&tools.helm)
            .args(["template", "driftline"])
            .args([workspace().join("charts/driftline")])
            .args(["--namespace", "driftline-system", "--values"])
            .args([kept.path()]);
        render.run().await.unwrap();
    }
}
