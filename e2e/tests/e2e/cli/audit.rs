//! `audit`: what differs is told, what cannot be checked is told, and nothing is written.

use std::collections::BTreeSet;

use driftline_e2e::git::{GitServer, GitServerOptions};
use driftline_e2e::{ControlPlane, Options};
use serde_json::Value;

use super::support::*;

#[tokio::test]
async fn what_was_edited_is_told_with_values_place_and_tool() {
    let plane = ControlPlane::shared().await.unwrap();
    let shop = Shop::new(plane).await;
    let clean = shop.audit(&[]).await;
    assert_eq!(clean.code, 0, "{}{}", clean.out, clean.err);
    clean.shows(&["Everything is as declared. 3 objects checked: 3 as declared, 0 drifted."]);
    assert_eq!(
        clean.err, "",
        "nothing is said where all is well and nobody looks"
    );

    shop.edit().await;
    let run = shop.audit(&[]).await;
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    let namespace = &shop.namespace;
    run.shows(&[
        &format!("{namespace}   3          -         3"),
        &format!("HIGH apps/Deployment {namespace}/web  1 field differs; edited live"),
        "declared in web.yaml:12",
        "spec.template.spec.containers[name=web].image",
        "- \"shop/web:1.4.2\"  line 12",
        "+ \"shop/web:hotfix\"  kubectl-set, ",
        &format!("HIGH Secret {namespace}/password"),
        "- (withheld)",
        "There is drift. 3 objects checked: 0 as declared, 3 drifted.",
    ]);
    for shown in [run.out, shop.audit(&["-o", "json"]).await.out] {
        assert!(!shown.contains("canary"), "a secret is shown:\n{shown}");
        assert!(!shown.contains('\u{1b}'), "colours in a pipe:\n{shown}");
    }
    let coloured = shop.audit(&["--color", "always"]).await;
    assert!(
        coloured.out.contains("\u{1b}[32m+ \"shop/web:hotfix\""),
        "{}",
        coloured.out
    );
}

#[tokio::test]
async fn every_format_tells_the_same_and_hostile_values_stay_values() {
    let plane = ControlPlane::shared().await.unwrap();
    let shop = Shop::new(plane).await;
    shop.edit().await;
    let json = shop.audit(&["-o", "json"]).await;
    assert_eq!(json.code, 1, "{}", json.err);
    let report = json.json();
    assert_eq!(report["kind"], "AuditReport");
    assert_eq!(report["status"], "Drifted");
    assert_eq!(report["summary"]["drifted"], 3);
    let objects = report["clusters"][0]["objects"].as_array().unwrap();
    let kinds: Vec<&str> = objects
        .iter()
        .filter_map(|o| o["subject"]["kind"].as_str())
        .collect();
    assert_eq!(
        kinds,
        ["Deployment", "Secret", "ConfigMap"],
        "the gravest first"
    );
    let field = &objects[0]["fields"][0];
    assert_eq!(field["declared"], "shop/web:1.4.2");
    assert_eq!(field["basis"], "Declared");
    assert_eq!(field["by"]["manager"], "kubectl-set");

    let yaml = shop.audit(&["-o", "yaml"]).await.out;
    assert!(
        yaml.starts_with("apiVersion: driftline.dev/v1alpha1\nkind: AuditReport\n"),
        "{yaml}"
    );

    let html = shop.audit(&["-o", "html"]).await.out;
    assert!(
        html.contains("&lt;img src=x onerror=alert(1)&gt;&amp;"),
        "{html}"
    );
    for outside in [
        "<img",
        "<script",
        "src=\"",
        "href=",
        "url(",
        "@import",
        "http-equiv=\"refresh",
    ] {
        assert!(!html.contains(outside), "{outside} is in:\n{html}");
    }
    assert!(html.contains("default-src 'none'") && html.trim_end().ends_with("</html>"));

    let junit = shop.audit(&["-o", "junit"]).await.out;
    assert!(
        junit.contains("tests=\"3\" failures=\"3\" errors=\"0\""),
        "{junit}"
    );
    assert!(junit.contains("&lt;img src=x"), "{junit}");

    let markdown = shop.audit(&["-o", "markdown"]).await.out;
    assert!(
        markdown.contains("``\"<img src=x onerror=alert(1)>&\\\"'`¦\"``"),
        "{markdown}"
    );
}

/// Verbs that a user asked for, by the API server's own log.
fn verbs(log: &str, user: &str) -> BTreeSet<String> {
    let events = log
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok());
    events
        .filter(|e| e["user"]["username"] == user)
        .filter_map(|e| Some(e["verb"].as_str()?.to_owned()))
        .collect()
}

#[tokio::test]
async fn an_audit_of_a_repository_only_lists_and_gets() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, log) = (
        folder.path().join("policy.yaml"),
        folder.path().join("audit.log"),
    );
    let everything = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";
    std::fs::write(&policy, everything).unwrap();
    let flags = vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
        "--audit-log-mode=blocking".to_owned(),
    ];
    let options = Options {
        apiserver_flags: flags,
        ..Options::default()
    };
    let plane = ControlPlane::start(options).await.unwrap();
    let shop = Shop::new(&plane).await;
    shop.edit().await;
    let server = GitServer::start(GitServerOptions::default()).unwrap();
    let repo = server.create_repo("shop").await.unwrap();
    let web = std::fs::read_to_string(shop.folder.path().join("web.yaml")).unwrap();
    repo.commit(
        "first",
        [
            ("apps/web/web.yaml", &web),
            ("apps/README", &"none".to_owned()),
        ],
    )
    .await
    .unwrap();
    let reader = shop.account("reader", READ).await;
    let url = server.url("shop");
    let found = run(
        &reader,
        &[
            "audit",
            "--git",
            &url,
            "--path",
            "apps/*",
            "-n",
            &shop.namespace,
            "-o",
            "json",
        ],
    )
    .await;
    assert_eq!(found.code, 1, "{}", found.err);
    let report = found.json();
    let at = &report["clusters"][0]["objects"][0]["declaredAt"];
    assert_eq!(at["file"], "apps/web/web.yaml");
    assert_eq!(at["commit"], repo.head().await.unwrap());
    assert!(
        at["revision"].as_str().unwrap().starts_with("main@sha1:"),
        "{at}"
    );
    let user = format!("system:serviceaccount:{}:reader", shop.namespace);
    let asked = verbs(&std::fs::read_to_string(&log).unwrap(), &user);
    let only_reads: BTreeSet<String> = ["get", "list"].map(str::to_owned).into();
    assert_eq!(asked, only_reads);
}

#[tokio::test]
async fn a_diff_shows_what_drifts_and_hands_it_to_a_program_of_the_users() {
    let plane = ControlPlane::shared().await.unwrap();
    let shop = Shop::new(plane).await;
    let reader = shop.account("reader", READ).await;
    let folder = shop.folder.path().to_string_lossy().into_owned();
    let diff = ["diff", "--git", &folder, "-n", &shop.namespace];
    let clean = run(&reader, &diff).await;
    assert_eq!((clean.code, clean.out.as_str()), (0, ""), "{}", clean.err);
    shop.edit().await;
    let found = run(&reader, &diff).await;
    assert_eq!(found.code, 1, "{}", found.err);
    found.shows(&[
        &format!(
            "--- declared apps/Deployment {}/web  web.yaml:12\n+++ live ",
            shop.namespace
        ),
        "-      - image: shop/web:1.4.2\n+      - image: shop/web:hotfix\n         name: web\n",
        "(withheld: live)",
    ]);
    assert!(!found.out.contains("canary"), "{}", found.out);
    let mut one_of = diff.to_vec();
    one_of.push("configmap/settings");
    let one = run(&reader, &one_of).await;
    assert!(
        one.out.contains("greeting") && !one.out.contains("image"),
        "{}",
        one.out
    );
    let file = format!("{folder}/settings.yaml");
    let file = run(&reader, &["diff", &file, "-n", &shop.namespace]).await;
    assert_eq!(file.code, 1, "{}", file.err);
    assert!(
        file.out.contains("settings.yaml:") && !file.out.contains("image"),
        "{}",
        file.out
    );
    let other = run_with(&reader, &diff, &[("KUBECTL_EXTERNAL_DIFF", "ls -R")]).await;
    assert_eq!(other.code, 1, "{}", other.err);
    other.shows(&[
        "DECLARED",
        "LIVE",
        &format!("apps.Deployment.{}.web", shop.namespace),
    ]);
    let broken = run_with(
        &reader,
        &diff,
        &[("KUBECTL_EXTERNAL_DIFF", "no-such-program")],
    )
    .await;
    broken.fails_with(&["no-such-program, cannot be run", "next: "]);
    // Held by a finalizer, it is as declared but for its deletion.
    let hold =
        r#"{"metadata": {"finalizers": ["example.com/hold"]}, "data": {"greeting": "hello"}}"#;
    shop.kubectl(&["patch", "configmap/settings", "--type=merge", "-p", hold])
        .await;
    shop.kubectl(&["delete", "configmap/settings", "--wait=false"])
        .await;
    let held = run(&reader, &one_of).await;
    assert_eq!(held.code, 1, "{}", held.err);
    held.shows(&[
        "--- declared ConfigMap ",
        "# deleted, and held by a finalizer\n",
    ]);
    let external = run_with(&reader, &one_of, &[("KUBECTL_EXTERNAL_DIFF", "diff")]).await;
    assert_eq!(external.code, 1, "{}", external.err);
    assert!(
        external.err.contains("deleted, and held by a finalizer"),
        "{}",
        external.err
    );
    let free = r#"{"metadata": {"finalizers": null}}"#;
    shop.kubectl(&["patch", "configmap/settings", "--type=merge", "-p", free])
        .await;
}

#[tokio::test]
async fn several_clusters_are_compared_in_one_report() {
    let plane = ControlPlane::shared().await.unwrap();
    let other = ControlPlane::start(Options::default()).await.unwrap();
    let shop = Shop::new(plane).await;
    let merged = shop.folder.path().join("kubeconfig");
    let read = |path: &std::path::Path| kube::config::Kubeconfig::read_from(path).unwrap();
    let (mut one, mut two) = (read(plane.kubeconfig_path()), read(other.kubeconfig_path()));
    for (config, name) in [(&mut one, "one"), (&mut two, "two")] {
        config.current_context = Some(name.to_owned());
        config.clusters[0].name = name.to_owned();
        config.auth_infos[0].name = name.to_owned();
        config.contexts[0].name = name.to_owned();
        let context = config.contexts[0].context.as_mut().unwrap();
        context.cluster = name.to_owned();
        context.user = Some(name.to_owned());
    }
    let both = one.merge(two).unwrap();
    std::fs::write(&merged, serde_json::to_string(&both).unwrap()).unwrap();
    let folder = shop.folder.path().to_string_lossy().into_owned();
    let audit = [
        "audit",
        "--git",
        &folder,
        "--path",
        "*.yaml",
        "-n",
        &shop.namespace,
        "--context",
        "one",
        "--context",
        "two",
        "-o",
        "json",
    ];
    let found = run(&merged, &audit).await;
    assert_eq!(found.code, 1, "{}", found.err);
    let report = found.json();
    let drifted = |n: usize| report["clusters"][n]["summary"]["drifted"].as_u64();
    assert_eq!((drifted(0), drifted(1)), (Some(0), Some(3)), "{report}");
    assert_eq!(report["clusters"][1]["context"], "two");
    assert_eq!(report["clusters"][1]["objects"][0]["change"], "Missing");
}

#[tokio::test]
async fn helm_tells_where_a_difference_comes_from_and_is_compared_by_itself() {
    let plane = ControlPlane::shared().await.unwrap();
    let shop = Shop::new(plane).await;
    let admin = plane.kubeconfig_path();
    let server = GitServer::start(GitServerOptions::default()).unwrap();
    let repo = server.create_repo("chart").await.unwrap();
    let chart = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: charted}\ndata: {level: '{{ .Values.level }}', other: a}\n";
    let files = [
        ("web/Chart.yaml", chart),
        ("web/templates/a.yaml", template),
        ("web/values.yaml", "level: one\n"),
    ];
    repo.commit("first", files).await.unwrap();
    let folder = repo.work_tree().join("web");
    let folder = folder.to_string_lossy();
    let install = ["-n", &shop.namespace, "install", "web", &*folder];
    shop.tools.helm(admin).args(install).run().await.unwrap();
    repo.commit("second", [("web/values.yaml", "level: two\n")])
        .await
        .unwrap();
    let url = server.url("chart");
    let audit = [
        "audit",
        "--git",
        &url,
        "--path",
        "web",
        "-n",
        &shop.namespace,
    ];
    // What Helm deployed need not have come from a commit: it tells the origin, and proves no roll-out.
    let waits = run(admin, &audit).await;
    assert_eq!(waits.code, 1, "{}{}", waits.out, waits.err);
    waits.shows(&[
        "1 field differs; Git is ahead: not rolled out",
        "- \"two\"",
        "+ \"one\"  helm, ",
    ]);

    let release = format!("{}/web", shop.namespace);
    let of_release = ["audit", "--helm-release", &release];
    let clean = run(admin, &of_release).await;
    assert_eq!(clean.code, 0, "{}{}", clean.out, clean.err);
    let edit = "{\"data\": {\"other\": \"b\"}}";
    shop.kubectl(&["patch", "configmap", "charted", "--type=merge", "-p", edit])
        .await;
    let edited = run(admin, &of_release).await;
    assert_eq!(edited.code, 1, "{}{}", edited.out, edited.err);
    edited.shows(&["- \"a\"", "+ \"b\"  kubectl-patch"]);
    let both = run(admin, &audit).await;
    assert_eq!(both.code, 1, "{}{}", both.out, both.err);
    let absent = run(admin, &["audit", "--helm-release", "x/absent"]).await;
    absent.fails_with(&["there is no Helm release x/absent", "helm list -A"]);
}

#[tokio::test]
async fn what_may_not_be_read_is_told_and_never_in_sync() {
    let plane = ControlPlane::shared().await.unwrap();
    let shop = Shop::new(plane).await;
    let rules = "[{apiGroups: ['', apps], resources: [configmaps, deployments], verbs: [list]}]";
    let account = shop.account("some", rules).await;
    let folder = shop.folder.path().to_string_lossy().into_owned();
    let audit = ["audit", "--git", &folder, "-n", &shop.namespace];
    let found = run(&account, &audit).await;
    assert_eq!(found.code, 2, "{}{}", found.out, found.err);
    found.shows(&[
        "Not checked",
        "  Secret in namespace ",
        "Forbidden",
        "you may not list this kind there: ask for the verb list",
        "No drift is known, and not everything could be checked.",
    ]);
    let skipped = shop.audit(&["--skip-secrets"]).await;
    assert_eq!(skipped.code, 2, "{}{}", skipped.out, skipped.err);

    shop.declare("broken.yaml", "apiVersion: v1\nkind: [\n");
    shop.declare(
        "widget.yaml",
        "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n",
    );
    let broken = shop.audit(&["-o", "json"]).await;
    assert_eq!(broken.code, 2, "{}{}", broken.out, broken.err);
    let report = broken.json();
    let not_checked = report["clusters"][0]["notChecked"].to_string();
    assert!(
        not_checked.contains("broken.yaml") && not_checked.contains("KindNotServed"),
        "{not_checked}"
    );
}

#[tokio::test]
async fn a_folder_of_a_working_tree_is_compared_as_it_was_committed() {
    let plane = ControlPlane::shared().await.unwrap();
    let shop = Shop::new(plane).await;
    let reader = shop.account("reader", READ).await;
    let server = GitServer::start(GitServerOptions::default()).unwrap();
    let repo = server.create_repo("tree").await.unwrap();
    let web = std::fs::read_to_string(shop.folder.path().join("web.yaml")).unwrap();
    repo.commit("first", [("deploy/web.yaml", &web)])
        .await
        .unwrap();
    let tree = repo.work_tree().join("deploy");
    let changed = web.replace("1.4.2", "2.0.0");
    std::fs::write(tree.join("web.yaml"), changed).unwrap();
    let audit = ["audit", "--git", ".", "-n", &shop.namespace];
    let committed = run_in(&reader, &tree, &audit).await;
    assert_eq!(committed.code, 0, "{}{}", committed.out, committed.err);
    assert!(
        committed
            .err
            .contains("1 file is changed and not committed"),
        "{}",
        committed.err
    );
    let mut with_files = audit.to_vec();
    with_files.push("--worktree");
    let files = run_in(&reader, &tree, &with_files).await;
    assert_eq!(files.code, 1, "{}{}", files.out, files.err);
    files.shows(&["- \"shop/web:2.0.0\"", "+ \"shop/web:1.4.2\""]);
}
