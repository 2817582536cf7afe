//! What cannot be done is said in one sentence, with the next step, and with exit code 3.

use std::path::Path;

use driftline_e2e::ControlPlane;

use super::support::*;

#[tokio::test]
async fn a_wrong_flag_is_named() {
    let wrong = run(Path::new("/nowhere"), &["audit", "--got", "x"]).await;
    wrong.fails_with(&["--got", "kubectl driftline audit"]);
    let without = run(Path::new("/nowhere"), &["audit"]).await;
    without.fails_with(&["--git <URL|DIR>"]);
    let help = run(Path::new("/nowhere"), &["audit", "--help"]).await;
    assert_eq!(help.code, 0);
    help.shows(&["Usage: kubectl driftline audit", "Examples:"]);
}

#[tokio::test]
async fn output_that_cannot_be_written_is_no_success() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut command = tokio::process::Command::new(program());
    command
        .args(["completion", "bash"])
        .stdout(full.unwrap())
        .stderr(std::process::Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().await.unwrap();
    Run::new(&output).fails_with(&["the output cannot be written", "next: "]);
}

#[tokio::test]
async fn a_path_that_is_not_written_as_one_is_no_object() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("repo/shop/web")).unwrap();
    let nowhere = Path::new("/nowhere");
    let deep = run_in(nowhere, folder.path(), &["diff", "repo/shop/web"]).await;
    deep.fails_with(&["next: write ./repo/shop/web"]);
    let short = run_in(nowhere, folder.path(), &["diff", "repo/shop"]).await;
    short.fails_with(&["repo/shop is a folder or file here", "write ./repo/shop"]);
    let none = run_in(nowhere, folder.path(), &["diff", "repo/shop/none"]).await;
    none.fails_with(&["does not name an object"]);
}

#[tokio::test]
async fn without_a_cluster_it_says_how_to_name_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_string_lossy().into_owned();
    let none = run(&folder.path().join("none"), &["audit", "--git", &here]).await;
    none.fails_with(&["error: no cluster", "next: set KUBECONFIG or --kubeconfig"]);
    let plane = ControlPlane::shared().await.unwrap();
    let audit = ["audit", "--git", &here, "--context", "nowhere"];
    let unknown = run(plane.kubeconfig_path(), &audit).await;
    unknown.fails_with(&["no context \"nowhere\"", "next: choose one of: "]);
    let dead = folder.path().join("dead");
    let config = "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: u, user: {}}]}";
    std::fs::write(&dead, config).unwrap();
    std::fs::write(
        folder.path().join("a.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
    )
    .unwrap();
    let refused = run(&dead, &["audit", "--git", &here]).await;
    refused.fails_with(&[
        "the API server cannot be reached",
        "next: check the server's address",
    ]);
}

#[tokio::test]
async fn a_source_that_cannot_be_used_is_named() {
    let plane = ControlPlane::shared().await.unwrap();
    let config = plane.kubeconfig_path();
    let absent = run(config, &["audit", "--git", "/no/such/folder"]).await;
    absent.fails_with(&[
        "/no/such/folder is neither a URL nor a folder",
        "next: name a repository",
    ]);
    let unreachable = run(config, &["audit", "--git", "http://127.0.0.1:1/x.git"]).await;
    unreachable.fails_with(&["http://127.0.0.1:1/x.git", "next: "]);
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_string_lossy().into_owned();
    let empty = run(config, &["audit", "--git", &here]).await;
    empty.fails_with(&["no object is declared", "next: check --path"]);
    std::fs::create_dir(folder.path().join("k")).unwrap();
    std::fs::write(
        folder.path().join("k/kustomization.yaml"),
        "resources: [gone.yaml]\n",
    )
    .unwrap();
    let broken = run(config, &["audit", "--git", &here, "--path", "k"]).await;
    broken.fails_with(&["gone.yaml", "next: render it by hand"]);
    let nothing = run(config, &["audit", "--git", &here, "--path", "z/*"]).await;
    nothing.fails_with(&["matches --path z/*"]);
}
