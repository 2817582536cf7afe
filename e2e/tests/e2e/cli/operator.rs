//! What the operator knows, as the command line shows it.

use std::path::PathBuf;

use super::support::*;
use crate::operator::support::{Team, World};

const SETTINGS: &str = "apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  level: info # for now
  feature: 'on'
";

impl Team<'_> {
    fn admin(&self) -> PathBuf {
        self.world.plane().kubeconfig_path().to_owned()
    }

    /// Runs the program in the team's namespace and checkout.
    async fn driftline(&self, arguments: &[&str]) -> Run {
        let mut all = vec!["-n", &*self.namespace];
        all.extend(arguments);
        run_in(&self.admin(), self.repo.work_tree(), &all).await
    }

    async fn edited(&self) {
        self.declare(SETTINGS).await;
        self.in_sync().await;
        let patch = "{\"data\": {\"level\": \"debug\"}}";
        self.kubectl(["patch", "configmap/settings", "--type=merge", "-p", patch])
            .await;
        self.drifted(1).await;
        let known = |r: &serde_json::Value| r["status"]["declaredAt"]["author"].is_string();
        self.record("ConfigMap", "settings", known).await;
    }
}

#[tokio::test]
async fn drift_is_listed_explained_and_brought_back_into_git() {
    let team = Team::new(World::shared().await, "cli").await;
    let nothing = team.driftline(&["get"]).await;
    assert_eq!(
        (nothing.code, nothing.out.contains("No drift is recorded")),
        (0, true),
        "{}",
        nothing.err
    );
    team.edited().await;
    let namespace = &team.namespace;

    let list = team.driftline(&["get"]).await;
    assert_eq!(list.code, 0);
    list.shows(&[
        "SEVERITY   SUBJECT",
        &format!("ConfigMap {namespace}/settings"),
        "1: …level",
        "LiveEdited",
        "kubectl-patch",
        "Open",
    ]);
    let wide = team.driftline(&["get", "-o", "wide"]).await;
    wide.shows(&["POLICY", "shop/", ":6", "shop-"]);
    let name = team.driftline(&["get", "-o", "name"]).await.out;
    let name = name
        .trim()
        .strip_prefix("driftrecord.driftline.dev/")
        .expect("a name")
        .to_owned();
    let json = team.driftline(&["get", "-o", "json"]).await.json();
    assert_eq!(json["items"][0]["metadata"]["name"], name.as_str());
    assert_eq!(json["items"][0]["status"]["fields"][0]["live"], "debug");
    let grave = team.driftline(&["get", "--severity", "critical"]).await;
    grave.shows(&["No drift is recorded"]);

    let status = team.driftline(&["status"]).await;
    status.shows(&[
        "POLICY",
        "shop",
        "Observe",
        "True",
        "main@sha1:",
        "shop: the worst",
        "1: …level",
    ]);

    for what in ["configmap/settings", "cm/settings", &name] {
        let explained = team.driftline(&["explain", what]).await;
        assert_eq!(explained.code, 0, "{}", explained.err);
        explained.shows(&[
            &format!("OPEN MEDIUM ConfigMap {namespace}/settings  1 field differs; edited live"),
            "- \"info\"  line 6",
            "+ \"debug\"  kubectl-patch",
            "Who       kubectl-patch (what a tool calls itself, not a person)",
            ":6 at main@sha1:",
            "the line was written by ",
            "Why       Medium: it changes how it runs",
            "Next      nothing by itself: policy shop only observes",
            "kubectl driftline check shop -n",
            "-o patch | git apply",
            "-  level: info # for now\n+  level: debug # for now",
        ]);
    }
    let diff = team.driftline(&["diff", "cm/settings"]).await;
    assert_eq!(diff.code, 1, "{}", diff.err);
    diff.shows(&["-  level: info\n+  level: debug\n"]);
    let traced = team.driftline(&["trace", "cm/settings"]).await;
    // Other tests' repositories, which may be gone by now, are looked into as well.
    assert!(matches!(traced.code, 0 | 2), "{}{}", traced.out, traced.err);
    traced.shows(&[
        &format!("{namespace}/shop target app, Observe"),
        "deploy of http",
        "deploy/app.yaml:1",
        "Open: 1: …level; kubectl driftline explain shop-",
        "kubectl-patch, Update at ",
    ]);
    let unknown = team.driftline(&["trace", "cm/nope"]).await;
    assert!(
        matches!(unknown.code, 2 | 3),
        "{}{}",
        unknown.out,
        unknown.err
    );
    let patch = team.driftline(&["explain", &name, "-o", "patch"]).await;
    assert_eq!(patch.code, 0, "{}", patch.err);
    let file = team.repo.work_tree().join("live.patch");
    std::fs::write(&file, &patch.out).unwrap();
    team.repo.git(["apply", "live.patch"]).await.unwrap();
    let changed = team.repo.git(["diff"]).await.unwrap();
    assert!(changed.contains("+  level: debug # for now"), "{changed}");
}

#[tokio::test]
async fn a_check_waits_for_the_operator_and_ends_with_what_it_found() {
    let team = Team::new(World::shared().await, "cli-check").await;
    team.declare(SETTINGS).await;
    team.in_sync().await;
    let clean = team.driftline(&["check", "shop"]).await;
    assert_eq!(clean.code, 0, "{}{}", clean.out, clean.err);
    let patch = "{\"data\": {\"level\": \"debug\"}}";
    team.kubectl(["patch", "configmap/settings", "--type=merge", "-p", patch])
        .await;
    team.drifted(1).await;
    let drifted = team.driftline(&["check", "shop"]).await;
    assert_eq!(drifted.code, 1, "{}{}", drifted.out, drifted.err);
    drifted.shows(&["1: …level"]);
    let none = team.driftline(&["check", "nope"]).await;
    none.fails_with(&[
        "there is no DriftPolicy \"nope\"",
        "kubectl driftline status -A",
    ]);
    let unknown = team.driftline(&["explain", "deployment/nope"]).await;
    unknown.fails_with(&["there is no record of \"deployment/nope\"", "next: "]);
}

#[tokio::test]
async fn a_cluster_without_the_operator_says_so() {
    let plane = driftline_e2e::ControlPlane::start(driftline_e2e::Options {
        without_controller_manager: true,
        ..Default::default()
    })
    .await
    .unwrap();
    for command in [
        &["get"][..],
        &["status"],
        &["explain", "cm/x"],
        &["watch"],
        &["check", "x"],
    ] {
        let run = run(plane.kubeconfig_path(), command).await;
        run.fails_with(&[
            "Driftline is not installed in this cluster",
            "kubectl driftline audit --git URL",
        ]);
    }
}
