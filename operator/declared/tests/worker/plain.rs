//! Plain manifests: what is read, where it says it comes from, and what is told about the rest.

use declared::{Category, Reference, Renderer};
use drift::declared::ProblemKind;
use serde_json::json;

use crate::support::{Repo, TestWorker, What, config_map, fetch_of, render_of};

#[tokio::test]
async fn manifests_come_with_file_document_and_line() {
    let repo = Repo::with(&[
        (
            "apps/b.yaml",
            &format!(
                "# a comment\n---\n{}---\n# nothing\n---\n{}",
                config_map("b1"),
                config_map("b2")
            ),
        ),
        ("apps/a/x.yml", &config_map("a")),
        (
            "apps/c.json",
            r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}"#,
        ),
        ("apps/README.md", "not a manifest"),
        ("apps/.github/workflow.yaml", "on: push"),
        ("other/d.yaml", &config_map("d")),
    ]);
    let worker = TestWorker::start().await;
    let revision = worker.fetch(&repo.url()).await.unwrap();
    assert_eq!(
        (revision.author.as_str(), revision.message.as_str()),
        ("Ann <ann@example.com>", "a change")
    );
    assert_eq!(
        (revision.name, revision.committed_at),
        (format!("main@sha1:{}", revision.commit), 1_700_000_000)
    );

    let rendered = worker.rendered(&repo.url(), "./apps/").await.unwrap();
    assert_eq!(rendered.names(), ["a", "b1", "b2", "c"]);
    assert_eq!(
        (
            rendered.summary.renderer,
            rendered.summary.objects,
            rendered.summary.problems
        ),
        (Renderer::Plain, 4, 0)
    );
    let places: Vec<String> = rendered
        .objects
        .iter()
        .map(|o| o.provenance.to_string())
        .collect();
    assert_eq!(
        places,
        [
            "apps/a/x.yml, line 1",
            "apps/b.yaml, line 3",
            "apps/b.yaml, document 2, line 12",
            "apps/c.json, line 1"
        ]
    );
    // root, apiVersion, data, data.key, kind, metadata, metadata.name
    assert_eq!(rendered.objects[2].lines, [12, 12, 16, 17, 13, 14, 15]);

    let all = worker.rendered(&repo.url(), "").await.unwrap();
    assert_eq!(all.names(), ["a", "b1", "b2", "c", "d"]);
    let one = worker.rendered(&repo.url(), "other/d.yaml").await.unwrap();
    assert_eq!(one.names(), ["d"]);
}

#[tokio::test]
async fn lists_are_taken_apart() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: one}\n- apiVersion: v1\n  kind: ConfigMapList\n  items:\n  - metadata:\n      name: two\n  - metadata: {}\n";
    let worker = TestWorker::start().await;
    let rendered = worker
        .rendered(&Repo::with(&[("x.yaml", list)]).url(), "")
        .await
        .unwrap();
    assert_eq!(rendered.names(), ["one", "two"]);
    assert_eq!(
        rendered.objects[1].object,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two"}})
    );
    assert_eq!(rendered.objects[1].provenance.line, 10);
    assert_eq!(
        rendered.told(),
        [
            "x.yaml, line 12: has no `metadata.name`, or one that is no text: add it (and quote it if it looks like a number)"
        ]
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_by_place_and_the_rest_goes_on() {
    let files = [
        (
            "a.yaml",
            format!(
                "{}---\nkey: [canary\n---\n{}",
                config_map("a1"),
                config_map("a2")
            ),
        ),
        ("b.yaml", "replicas: 3\nimage: canary\n".to_owned()),
        (
            "c.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: x-\n".to_owned(),
        ),
        ("d.yaml", format!("\n{}", config_map("a1"))),
        ("e.yaml", config_map("123")),
        (
            "f.yaml",
            "apiVersion: v1\nkind: ConfigMap\nkind: Secret\nmetadata: {name: f}\n".to_owned(),
        ),
        ("g.yaml", "- 1\n- 2\n".to_owned()),
        (
            "h.yaml",
            "apiVersion: a/b/c\nkind: X\nmetadata: {name: h}\n".to_owned(),
        ),
        (
            "i.yaml",
            format!(
                "{}  namespace: shop\n",
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a2\n"
            ),
        ),
    ];
    let repo = Repo::new();
    repo.commit(
        files
            .iter()
            .map(|(path, text)| (*path, What::File(text)))
            .chain([
                ("j.yaml", What::Bytes(vec![0xff, 0xfe, 0x00])),
                ("k.yaml", What::Link("/etc/passwd")),
                ("l", What::Link("../..")),
                ("m", What::Submodule),
                ("n.md", What::Link("README.md")),
            ]),
    );
    let worker = TestWorker::start().await;
    let rendered = worker.rendered(&repo.url(), "").await.unwrap();
    assert_eq!(rendered.names(), ["a1", "a2"]);
    let found: Vec<(ProblemKind, String, u32, u32)> = rendered
        .problems
        .iter()
        .map(|p| (p.kind, p.at.file.clone(), p.at.document, p.at.line))
        .collect();
    use ProblemKind::{Duplicate, NotAnObject, NotFollowed, Parse};
    let expected = [
        (Parse, "a.yaml", 2, 8),
        (NotAnObject, "b.yaml", 1, 1),
        (NotAnObject, "c.yaml", 1, 1),
        (Duplicate, "d.yaml", 1, 2),
        (NotAnObject, "e.yaml", 1, 1),
        (Parse, "f.yaml", 1, 3),
        (NotAnObject, "g.yaml", 1, 1),
        (NotAnObject, "h.yaml", 1, 1),
        (Duplicate, "i.yaml", 1, 1),
        (Parse, "j.yaml", 1, 0),
        (NotFollowed, "k.yaml", 1, 0),
        (NotFollowed, "l", 1, 0),
        (NotFollowed, "m", 1, 0),
    ];
    assert_eq!(
        found,
        expected.map(|(kind, file, document, line)| (kind, file.to_owned(), document, line))
    );
    let told = rendered.told().join("\n");
    assert!(!told.contains("canary"), "{told}");
    assert!(
        told.contains("ConfigMap shop/a1 a second time; the first is in a.yaml, line 1"),
        "{told}"
    );
}

#[tokio::test]
async fn paths_that_lead_nowhere_or_elsewhere_are_refused() {
    let repo = Repo::new();
    repo.commit([
        ("a.yaml", What::File("{}")),
        ("link", What::Link("/etc")),
        ("module", What::Submodule),
    ]);
    let worker = TestWorker::start().await;
    for (path, category) in [
        ("gone", Category::NotFound),
        ("a.yaml/x", Category::NotFound),
        ("..", Category::Input),
        ("/etc", Category::Input),
        ("link", Category::Refused),
        ("module", Category::Refused),
        ("link/passwd", Category::NotFound),
    ] {
        let error = worker.rendered(&repo.url(), path).await.unwrap_err();
        assert_eq!(error.category(), category, "{path}: {error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn limits_on_files_and_bytes_hold() {
    let repo = Repo::with(&[
        ("a.yaml", &config_map("a")),
        ("b.yaml", &config_map("b")),
        (
            "c.yaml",
            &format!("# {}\n{}", "x".repeat(5000), config_map("c")),
        ),
    ]);
    let worker = TestWorker::start().await;
    let revision = worker.fetch(&repo.url()).await.unwrap();
    let mut request = render_of(&revision, "");
    request.limits.file_bytes = 1000;
    let rendered = worker.render(&request).await.unwrap();
    assert_eq!(rendered.names(), ["a", "b"]);
    assert_eq!(
        (
            rendered.problems[0].kind,
            rendered.problems[0].at.file.as_str()
        ),
        (ProblemKind::Limit, "c.yaml")
    );

    request.limits.files = 2;
    assert_eq!(
        worker.render(&request).await.unwrap_err().category(),
        Category::Limit
    );
    request.limits.files = 10;
    request.limits.output_bytes = 100;
    assert_eq!(
        worker.render(&request).await.unwrap_err().category(),
        Category::Limit
    );
}

#[tokio::test]
async fn a_commit_that_left_the_cache_is_asked_for_again() {
    let repo = Repo::with(&[("a.yaml", &config_map("a"))]);
    let worker = TestWorker::start().await;
    let revision = worker.fetch(&repo.url()).await.unwrap();
    std::fs::remove_dir_all(worker.cache()).unwrap();
    let error = worker.render(&render_of(&revision, "")).await.unwrap_err();
    assert_eq!(
        (error.category(), error.is_retryable()),
        (Category::NotFound, true),
        "{error}"
    );
    std::fs::create_dir(worker.cache()).unwrap();
    worker
        .worker
        .fetch(&fetch_of(
            &repo.url(),
            Reference::Commit(revision.commit.clone()),
        ))
        .await
        .unwrap();
    assert_eq!(
        worker
            .render(&render_of(&revision, ""))
            .await
            .unwrap()
            .names(),
        ["a"]
    );
}

#[tokio::test]
async fn an_object_larger_than_any_api_server_takes_is_a_problem_of_its_file() {
    let members: String = (0..600_000).map(|n| format!("  k{n}: v\n")).collect();
    let huge = format!("{}{members}", config_map("huge"));
    let repo = Repo::with(&[("a/huge.yaml", &huge), ("a/ok.yaml", &config_map("ok"))]);
    let worker = TestWorker::start().await;
    let rendered = worker.rendered(&repo.url(), "a").await.unwrap();
    assert_eq!(rendered.names(), ["ok"]);
    assert_eq!(rendered.problems[0].kind, ProblemKind::Limit);
    assert!(rendered.problems[0].to_string().contains("a/huge.yaml"));
}
