//! `doctor`: an installation that works, and what is said of each way in which it does not.

use std::path::Path;

use driftline_e2e::{Invocation, Options, operator};
use serde_json::Value;

use super::support::*;
use crate::operator::support::{Team, World};

/// An installation as on a cluster with nodes: the operator runs, and nobody but the test writes its Deployment's status.
async fn world() -> World {
    let options = Options {
        without_controller_manager: true,
        ..Options::default()
    };
    let world = World::own(options, &[]).await;
    let status = r#"{"status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}}"#;
    world
        .kubectl()
        .args(["-n", "driftline-system", "patch", "deployment", "driftline"])
        .args(["--subresource=status", "--type=merge", "-p", status])
        .run()
        .await
        .unwrap();
    world
}

async fn doctor(world: &World, arguments: &[&str]) -> Run {
    let mut all = vec!["doctor"];
    all.extend(arguments);
    run(world.plane().kubeconfig_path(), &all).await
}

/// Checks, their levels and messages.
fn findings(report: &Value) -> Vec<(String, String, String)> {
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|f| (text(f, "check"), text(f, "level"), text(f, "message")))
        .collect()
}

/// The check fails or is not known, with these words, and a remedy that has a command.
#[track_caller]
fn fails(run: &Run, check: &str, level: &str, words: &str) {
    let report = run.json();
    let found = report["findings"].as_array().unwrap().iter().find(|f| {
        f["check"] == check && f["level"] == level && f["message"].as_str().unwrap().contains(words)
    });
    let found =
        found.unwrap_or_else(|| panic!("no {level} of {check} with {words:?}:\n{}", run.out));
    assert!(found["remedy"].as_str().unwrap().contains('`'), "{found}");
}

#[tokio::test]
async fn what_does_not_work_is_told_with_what_mends_it() {
    let world = world().await;
    let admin = world.plane().kubeconfig_path().to_owned();
    let team = Team::new(&world, "doctor").await;
    team.declare("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}")
        .await;

    let healthy = doctor(&world, &["-n", &team.namespace]).await;
    assert_eq!(healthy.code, 0, "{}{}", healthy.out, healthy.err);
    healthy.shows(&[
        "ok       server        Kubernetes v1.",
        "Deployment driftline-system/driftline runs ",
        "as this program knows them: driftpolicies.driftline.dev (v1alpha1)",
        "2 of 2 replicas are available",
        "driftline-dry-run-only keeps driftline-system/driftline-dry-run to dry runs",
        "driftline-finalizer keeps the operator from changing policies",
        "roles grant driftline-system/driftline the ",
        "1 of 1 are ready",
        "all that policies declare is seen",
        "checks are in order.",
    ]);
    let json = doctor(&world, &["-o", "json"]).await;
    let report = json.json();
    assert_eq!(
        (&report["kind"], &report["status"]),
        (&"DoctorReport".into(), &"Ok".into())
    );
    assert!(
        findings(&report).iter().all(|(_, level, _)| level == "Ok"),
        "{report}"
    );

    as_the_test_of_the_chart(&world).await;
    repositories(&world, &team).await;
    rights(&world, &team).await;

    let policy = [
        "-n",
        "driftline-system",
        "delete",
        "validatingadmissionpolicybinding",
        "driftline-dry-run-only",
    ];
    world.kubectl().args(policy).run().await.unwrap();
    let guardless = doctor(&world, &["-o", "json"]).await;
    assert_eq!(guardless.code, 1, "{}", guardless.out);
    fails(
        &guardless,
        "guard",
        "Failure",
        "ValidatingAdmissionPolicyBinding driftline-dry-run-only does not exist",
    );
    world
        .kubectl()
        .args(["delete", "validatingadmissionpolicy", "driftline-holds"])
        .run()
        .await
        .unwrap();
    let holdless = doctor(&world, &["-o", "json"]).await;
    fails(
        &holdless,
        "admission",
        "Failure",
        "ValidatingAdmissionPolicy driftline-holds is missing: whoever may edit",
    );

    let drop = r#"[{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/rules"}, {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations"}]"#;
    let patch = [
        "patch",
        "crd",
        "driftpolicies.driftline.dev",
        "--type=json",
        "-p",
        drop,
    ];
    let patched = world.kubectl().args(patch).output().await.unwrap();
    if !patched.status.success() {
        // The validations of all of it name the field as well.
        let said = String::from_utf8_lossy(&patched.stderr).into_owned();
        panic!("{said}");
    }
    let old = doctor(&world, &["-o", "json"]).await;
    assert_eq!(old.code, 1, "{}", old.out);
    fails(
        &old,
        "definitions",
        "Failure",
        "driftpolicies.driftline.dev is older than this program: it does not know spec.rules",
    );

    let role = ["delete", "clusterrole", "driftline"];
    world.kubectl().args(role).run().await.unwrap();
    let powerless = doctor(&world, &["-o", "json"]).await;
    fails(
        &powerless,
        "rights",
        "Failure",
        "driftline-system/driftline lacks rights: patch driftpolicies.driftline.dev/status",
    );

    world.kill_operator().await;
    let stale = r#"{"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}"#;
    let lease = [
        "-n",
        "driftline-system",
        "patch",
        "lease",
        "driftline",
        "--type=merge",
        "-p",
        stale,
    ];
    world.kubectl().args(lease).run().await.unwrap();
    let status = r#"{"status": {"availableReplicas": 0, "readyReplicas": 0}}"#;
    let pods = [
        "-n",
        "driftline-system",
        "patch",
        "deployment",
        "driftline",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ];
    world.kubectl().args(pods).run().await.unwrap();
    world
        .kubectl()
        .args(["delete", "crd", "driftrecords.driftline.dev"])
        .run()
        .await
        .unwrap();
    let gone = doctor(&world, &["-o", "json"]).await;
    assert_eq!(gone.code, 1, "{}", gone.out);
    fails(&gone, "leader", "Failure", "has not renewed it for ");
    fails(
        &gone,
        "pods",
        "Failure",
        "none of 2 replicas of driftline-system/driftline is available",
    );
    fails(
        &gone,
        "definitions",
        "Failure",
        "driftrecords.driftline.dev is not defined",
    );

    // The remedies that were told, the definitions first.
    let crds = operator::workspace().join("charts/driftline/files/crds");
    let apply = world
        .kubectl()
        .args(["apply", "--server-side", "--force-conflicts", "-f"])
        .args([crds]);
    apply.run().await.unwrap();
    operator::install(&world.tools, &admin, &[]).await.unwrap();
    let mended = doctor(&world, &["-o", "json"]).await;
    let still: Vec<String> = findings(&mended.json())
        .into_iter()
        .filter(|(_, level, _)| level == "Failure")
        .map(|(check, ..)| check)
        .collect();
    assert_eq!(
        still,
        ["pods", "leader"],
        "what the remedy mends is mended: {}",
        mended.out
    );
}

/// In a Pod, as the account that the chart gives its test: no kubeconfig, a mounted token, and rights to read what is read.
async fn as_the_test_of_the_chart(world: &World) {
    let admin = world.plane().kubeconfig_path();
    let chart = operator::workspace().join("charts/driftline");
    let hook = Invocation::new(&world.tools.helm)
        .args(["template", "driftline"])
        .args([chart])
        .args([
            "-n",
            "driftline-system",
            "--set",
            "image.repository=driftline",
        ])
        .args(["--show-only", "templates/tests/doctor.yaml"])
        .run()
        .await
        .unwrap();
    let mut objects = serde_saphyr::from_multiple::<Value>(&hook).unwrap();
    objects.retain(|o| !o.is_null());
    let pod = objects.iter().position(|o| o["kind"] == "Pod").unwrap();
    let pod = objects.remove(pod);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        container["command"],
        serde_json::json!(["kubectl-driftline"])
    );
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let apply = world
        .kubectl()
        .args(["apply", "-f", "-"])
        .stdin(list.to_string());
    apply.run().await.unwrap();
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap();
    let create = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
    let create = world.kubectl().args(create).stdin(pod.to_string());
    create.run().await.unwrap();
    let token = world
        .kubectl()
        .args(["-n", "driftline-system", "create", "token", account])
        .run()
        .await
        .unwrap();
    let config = kube::config::Kubeconfig::read_from(admin).unwrap();
    let cluster = config.clusters[0].cluster.clone().unwrap();
    let server: http::Uri = cluster.server.unwrap().parse().unwrap();
    let mounted = tempfile::tempdir().unwrap();
    let ca = match (
        cluster.certificate_authority_data,
        cluster.certificate_authority,
    ) {
        (Some(data), _) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD
                .decode(data)
                .unwrap()
        }
        (None, Some(file)) => std::fs::read(file).unwrap(),
        (None, None) => panic!("the control plane has a certificate authority"),
    };
    for (file, text) in [
        ("token", token.trim().as_bytes()),
        ("ca.crt", &ca),
        ("namespace", b"driftline-system"),
    ] {
        std::fs::write(mounted.path().join(file), text).unwrap();
    }
    // The path is the same in every Pod: a mount of its own for this one process.
    let script = "mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && cp -r \"$1\" /run/secrets/kubernetes.io/serviceaccount && shift && exec \"$@\"";
    let arguments = container["args"].as_array().unwrap().iter();
    let arguments: Vec<&str> = arguments.filter_map(Value::as_str).collect();
    let inside = |home: &Path| {
        Invocation::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .args([mounted.path()])
            .args([program()])
            .args(&arguments)
            .env("KUBECONFIG", home.join("none"))
            .env("KUBERNETES_SERVICE_HOST", server.host().unwrap())
            .env(
                "KUBERNETES_SERVICE_PORT",
                server.port_u16().unwrap().to_string(),
            )
    };
    let run = Run::new(&inside(mounted.path()).output().await.unwrap());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    run.shows(&["Cluster in-cluster ", "checks are in order."]);
}

async fn repositories(world: &World, team: &Team<'_>) {
    let url = team.server.url("shop");
    let reached = doctor(world, &["--git", &url]).await;
    assert_eq!(reached.code, 0, "{}", reached.out);
    reached.shows(&["is reached from here, its head is", "main@sha1:"]);
    let credentials = "http://127.0.0.1:1/x.git";
    let lost = doctor(world, &["--git", credentials, "-o", "json"]).await;
    assert_eq!(lost.code, 1, "{}", lost.out);
    fails(&lost, "git", "Failure", "http://127.0.0.1:1/x.git");
    // What a policy cannot reach is the policy's own trouble.
    let lose =
        |p: &mut Value| p["spec"]["source"]["git"]["url"] = "http://127.0.0.1:1/y.git".into();
    team.policy(lose).await;
    team.status("the source is lost", |s| {
        s["conditions"].to_string().contains("127.0.0.1:1")
    })
    .await;
    let warned = doctor(world, &["-o", "json"]).await;
    assert_eq!(warned.code, 0, "{}", warned.out);
    fails(&warned, "policies", "Warning", "127.0.0.1:1/y.git");
    team.policy(|_| {}).await;
    team.in_sync().await;
}

async fn rights(world: &World, team: &Team<'_>) {
    let namespace = &team.namespace;
    team.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody}}")
        .await;
    let made = world
        .plane()
        .kubeconfig_for_service_account(namespace, "nobody");
    let nobody = made.await.unwrap();
    let run = run(&nobody, &["doctor", "-n", namespace, "-o", "json"]).await;
    assert_eq!(run.code, 2, "{}{}", run.out, run.err);
    fails(&run, "guard", "Unknown", "cannot be read");
    fails(
        &run,
        "installation",
        "Unknown",
        "cannot list resource \"deployments\"",
    );
    fails(
        &run,
        "your rights",
        "Warning",
        "you may not list driftpolicies",
    );
}
