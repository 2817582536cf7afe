//! What the operator knows, as the command line shows it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};

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
    let grave = team.driftline(&["get", "--severity", "Critical"]).await;
    grave.shows(&["No drift is recorded"]);

    // What drifts is named a moment after it is counted.
    let named = |s: &serde_json::Value| s["worst"].as_array().is_some_and(|w| !w.is_empty());
    team.status("the worst is named", named).await;
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
            "{.status.preview}",
            "\"targets\":[\"app\"]",
            "| kubectl create -f -",
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
    let clean = team.driftline(&["check", "shop", "--timeout", "2m"]).await;
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
    team.policy(|p| {
        let spec = p["spec"].as_object_mut().unwrap();
        spec.remove("serviceAccountName");
    })
    .await;
    let begun = std::time::Instant::now();
    let stalled = team.driftline(&["check", "shop"]).await;
    assert_eq!(stalled.code, 2, "{}{}", stalled.out, stalled.err);
    stalled.shows(&["shop: Stalled is True: "]);
    assert!(begun.elapsed() < Duration::from_secs(60));
    let doubtful = team.driftline(&["explain", "deployment/nope"]).await;
    assert_eq!(doubtful.code, 2, "{}{}", doubtful.out, doubtful.err);
    let named = format!("policy {}/shop, target app: ", team.namespace);
    assert!(doubtful.err.contains(&named), "{}", doubtful.err);
}

#[tokio::test]
async fn a_diff_of_records_tells_drift_from_what_is_allowed() {
    let team = Team::new(World::shared().await, "cli-diff").await;
    team.edited().await;
    let drifted = team.driftline(&["diff", "--policy", "shop"]).await;
    assert_eq!(drifted.code, 1, "{}{}", drifted.out, drifted.err);
    drifted.shows(&["-  level: info\n+  level: debug\n"]);
    let target = team
        .driftline(&["diff", "--policy", "shop", "--target", "app", "--full"])
        .await;
    assert_eq!(target.code, 1, "{}{}", target.out, target.err);
    target.shows(&[
        "-  level: info\n+  level: debug\n",
        "   feature: \"on\"\n",
        " kind: ConfigMap\n",
    ]);
    let other = team
        .driftline(&["diff", "--policy", "shop", "--target", "web"])
        .await;
    other.fails_with(&["policy shop has no target \"web\"", "choose one of: app"]);
    let program = [("KUBECTL_EXTERNAL_DIFF", "diff -r -u")];
    let external = run_with(
        &team.admin(),
        &["-n", &team.namespace, "diff", "cm/settings"],
        &program,
    )
    .await;
    assert_eq!(external.code, 1, "{}", external.err);
    external.shows(&["-  level: info", "+  level: debug"]);

    team.apply(
        "apiVersion: driftline.dev/v1alpha1
kind: DriftException
metadata: {name: incident}
spec: {policy: shop, match: {names: [settings]}, reason: an incident, expiresAt: 2026-12-20T00:00:00Z}
"
        .replace("2026-12-20T00:00:00Z", &in_an_hour())
        .as_str(),
    )
    .await;
    team.record_in("Excepted", "ConfigMap", "settings", |_| true)
        .await;
    for what in [&["diff", "cm/settings"][..], &["diff", "--policy", "shop"]] {
        let allowed = team.driftline(what).await;
        assert_eq!(allowed.code, 0, "{}{}", allowed.out, allowed.err);
        allowed.shows(&["+  level: debug\n"]);
        assert!(
            allowed
                .err
                .contains("may differ for now, by exception incident"),
            "{}",
            allowed.err
        );
    }
}

fn in_an_hour() -> String {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    at.round(jiff::Unit::Second).unwrap().to_string()
}

#[tokio::test]
async fn a_watch_tells_what_opens_changes_and_closes() {
    let team = Team::new(World::shared().await, "cli-watch").await;
    team.declare(SETTINGS).await;
    team.in_sync().await;
    let mut watch = tokio::process::Command::new(program())
        .args(["watch", "-n", &team.namespace])
        .env("KUBECONFIG", team.admin())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let edit = async |value: &str| {
        let patch = format!("{{\"data\": {{\"level\": \"{value}\"}}}}");
        team.kubectl(["patch", "configmap/settings", "--type=merge", "-p", &patch])
            .await;
    };
    for (value, word) in [("debug", "OPEN"), ("trace", "CHANGED"), ("info", "CLOSED")] {
        edit(value).await;
        // Others may tell first what is known of it by now.
        let told = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the watch goes on");
                assert!(
                    line.contains(&format!("ConfigMap {}/settings", team.namespace)),
                    "{line}"
                );
                if line.contains(word) {
                    return line;
                }
                assert!(line.contains("CHANGED"), "{word} was awaited: {line}");
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(45), told).await;
        let line = told.unwrap_or_else(|_| panic!("{word} was not told"));
        assert!(
            line.contains("1: …level") && line.contains("Medium"),
            "{line}"
        );
    }
    watch.kill().await.unwrap();
}

/// One object of each kind that no program of this version can read, past the schema as only an older or newer version could.
#[tokio::test]
async fn an_object_that_cannot_be_read_hides_no_other() {
    let world = World::own(driftline_e2e::Options::default(), &[]).await;
    let team = Team::new(&world, "unreadable").await;
    team.edited().await;
    for kind in ["driftpolicies", "driftrecords"] {
        let anything = r#"[{"op": "replace", "path": "/spec/versions/0/schema", "value": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]"#;
        let definition = format!("{kind}.driftline.dev");
        team.kubectl(["patch", "crd", &definition, "--type=json", "-p", anything])
            .await;
    }
    let namespace = &team.namespace;
    let broken = format!(
        "apiVersion: driftline.dev/v1alpha1
kind: DriftPolicy
metadata: {{name: strange, namespace: {namespace}}}
spec: {{targets: many}}
---
apiVersion: driftline.dev/v1alpha1
kind: DriftRecord
metadata: {{name: odd, namespace: {namespace}}}
spec: {{policy: [shop]}}
"
    );
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let apply = world
            .kubectl()
            .args(["apply", "-f", "-"])
            .stdin(broken.clone());
        match apply.run().await {
            Ok(_) => break,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for scope in [&["-A"][..], &[]] {
        let status = team.driftline(&[&["status"][..], scope].concat()).await;
        assert_eq!(status.code, 2, "{}{}", status.out, status.err);
        status.shows(&["shop"]);
        let named = format!("warning: DriftPolicy {namespace}/strange cannot be read: ");
        assert!(
            status.err.contains(&named)
                && status
                    .err
                    .contains("kubectl edit driftpolicies.driftline.dev strange"),
            "{}",
            status.err
        );
        let get = team.driftline(&[&["get"][..], scope].concat()).await;
        assert_eq!(get.code, 2, "{}{}", get.out, get.err);
        get.shows(&[&format!("ConfigMap {namespace}/settings")]);
        assert!(
            get.err.contains(&format!(
                "warning: DriftRecord {namespace}/odd cannot be read: "
            )),
            "{}",
            get.err
        );
    }
    let explain = team.driftline(&["explain", "cm/settings"]).await;
    assert_eq!(explain.code, 0, "{}", explain.err);
    let itself = team.driftline(&["status", "strange"]).await;
    itself.fails_with(&[
        &format!("DriftPolicy {namespace}/strange cannot be read"),
        "next: ",
    ]);
    let doctor = team.driftline(&["doctor", "-o", "json"]).await;
    assert!(
        doctor
            .out
            .contains(&format!("DriftPolicy {namespace}/strange cannot be read")),
        "{}",
        doctor.out
    );
    let traced = team.driftline(&["trace", "cm/settings"]).await;
    assert_eq!(traced.code, 2, "{}{}", traced.out, traced.err);
    traced.shows(&["deploy/app.yaml:1", "strange cannot be read"]);
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
    let doctor = run(plane.kubeconfig_path(), &["doctor"]).await;
    assert_eq!(doctor.code, 1, "{}{}", doctor.out, doctor.err);
    doctor.shows(&[
        "FAILURE  installation  no Deployment runs the operator",
        "`helm install driftline charts/driftline",
        "Of 3 checks: 1 failure.",
    ]);
}
