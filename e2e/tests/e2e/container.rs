//! The image's root file system, laid out by the script that the Dockerfile runs, and the chart's Pod run from it: with its own command
//! lines, users, volumes and environment, and the rights of its service account. What it lacks would be missing in a cluster too.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use driftline_e2e::git::{GitServer, GitServerOptions};
use driftline_e2e::operator::{program, workspace};
use driftline_e2e::{Invocation, RunningPod, Tools};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::chart::monitoring;
use crate::chart::support::{Installed, NAMESPACE, chart, eventually, get, must};

/// Runs the script that the Dockerfile runs.
async fn lay_out(tools: &Tools, folder: &Path, name: &str) -> PathBuf {
    let together = folder.join(format!("{name}-tools"));
    std::fs::create_dir(&together).unwrap();
    symlink(&tools.helm, together.join("helm")).unwrap();
    symlink(&tools.kustomize, together.join("kustomize")).unwrap();
    let root = folder.join(name);
    let programs = program().unwrap().parent().unwrap().to_owned();
    Invocation::new(workspace().join("container/rootfs.sh"))
        .args([programs, together, root.clone()])
        .run()
        .await
        .unwrap();
    root
}

/// Every file with its mode, time and contents.
fn listed(root: &Path) -> BTreeMap<PathBuf, (u32, i64, String)> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let about = std::fs::symlink_metadata(&path).unwrap();
            let contents = if about.is_dir() {
                folders.push(path.clone());
                String::new()
            } else if about.is_symlink() {
                std::fs::read_link(&path).unwrap().display().to_string()
            } else {
                format!("{:x?}", Sha256::digest(std::fs::read(&path).unwrap()))
            };
            let name = path.strip_prefix(root).unwrap().to_owned();
            found.insert(name, (about.mode(), about.mtime(), contents));
        }
    }
    found
}

#[tokio::test]
async fn the_image_holds_what_it_needs_and_no_more_and_twice_the_same() {
    let tools = Tools::ensure().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let once = listed(&lay_out(&tools, folder.path(), "once").await);
    assert_eq!(once, listed(&lay_out(&tools, folder.path(), "twice").await));
    let programs: BTreeSet<&str> = once
        .iter()
        .filter(|(path, (mode, ..))| {
            path.parent() == Some(Path::new("usr/bin")) && mode & 0o111 != 0
        })
        .filter_map(|(path, _)| path.file_name()?.to_str())
        .collect();
    assert_eq!(
        programs,
        BTreeSet::from(["driftline", "helm", "kubectl-driftline", "kustomize"])
    );
    for (path, (mode, ..)) in &once {
        assert_eq!(mode & 0o6000, 0, "{} is setuid or setgid", path.display());
        let writable = mode & 0o002 != 0 && mode & 0o170000 != 0o120000;
        assert!(!writable || path == Path::new("tmp"), "{}", path.display());
    }
    for wanted in [
        "etc/ssl/certs/ca-certificates.crt",
        "usr/lib/ssl/cert.pem",
        "etc/nsswitch.conf",
    ] {
        assert!(once.contains_key(Path::new(wanted)), "{wanted}");
    }
}

#[test]
fn image_and_script_cannot_differ() {
    let dockerfile = std::fs::read_to_string(workspace().join("Dockerfile")).unwrap();
    let last = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("scratch\n"));
    let copied: Vec<&str> = last.lines().filter(|l| l.starts_with("COPY")).collect();
    assert_eq!(copied, ["COPY --from=layout /rootfs/ /"]);
    assert!(dockerfile.contains("container/rootfs.sh /programs /tools /rootfs"));
    // The user of the chart's first container.
    let deployment = std::fs::read_to_string(chart().join("templates/deployment.yaml")).unwrap();
    assert!(last.contains("USER 65532:65532") && deployment.contains("runAsUser: 65532"));
}

/// A policy of the operator's own namespace over the shop: plain YAML, kustomize and Helm.
fn shop(url: &str) -> Value {
    let target = |name: &str, path: &str| json!({"name": name, "kubernetes": {"path": path, "namespace": "shop"}});
    json!({
        "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": "shop"},
        "spec": {
            "source": {"git": {"url": url, "ref": {"branch": "main"}}},
            "targets": [target("config", "config"), target("web", "web/overlays/prod"), target("api", "api")],
        },
    })
}

#[tokio::test]
async fn the_charts_pod_runs_from_the_image_with_its_own_account() {
    let installed = Installed::new(&chart()).await;
    let client = installed.admin().await;
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    eventually("a Pod being created", async || {
        get(&client, &pods).await["items"]
            .as_array()
            .is_some_and(|p| !p.is_empty())
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    // Other users have to get through.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let root = lay_out(&installed.tools, folder.path(), "root").await;
    let git = GitServer::start(GitServerOptions::default()).unwrap();
    let repository = git.create_repo("shop").await.unwrap();
    repository
        .commit_directory("Declare the shop", &workspace().join("examples/shop"))
        .await
        .unwrap();
    let label = "app.kubernetes.io/name=driftline";
    let pod = RunningPod::start(&installed.plane, NAMESPACE, label, &root)
        .await
        .unwrap();
    let logs = || format!("{}\n{}", pod.log("operator"), pod.log("worker"));
    assert_confined(&pod, &root);

    must(
        &client,
        http::Method::POST,
        "/api/v1/namespaces",
        json!({"metadata": {"name": "shop"}}),
    )
    .await;
    let policies = format!("/apis/driftline.dev/v1alpha1/namespaces/{NAMESPACE}/driftpolicies");
    must(
        &client,
        http::Method::POST,
        &policies,
        shop(&git.url("shop")),
    )
    .await;
    let one = format!("{policies}/shop");
    eventually("all targets compared", async || {
        assert!(pod.is_running(), "{}", logs());
        let status = get(&client, &one).await["status"].clone();
        let targets = status["targets"].as_array().cloned().unwrap_or_default();
        targets.len() == 3 && targets.iter().all(|t| t["ready"] == "True")
    })
    .await;
    let status = get(&client, &one).await["status"].clone();
    assert!(status["summary"]["declared"].as_u64() > Some(5), "{status}");
    eventually("records of what is missing", async || {
        let path = format!("/apis/driftline.dev/v1alpha1/namespaces/{NAMESPACE}/driftrecords");
        let records = get(&client, &path).await;
        let targets: BTreeSet<String> = records["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["status"]["change"] == "Missing")
            .filter_map(|r| r["spec"]["target"].as_str().map(str::to_owned))
            .collect();
        targets == BTreeSet::from(["config", "web", "api"].map(str::to_owned))
    })
    .await;
    // Dry runs wait until their guard is known to be in force.
    eventually(
        "Events, the memory and the lease being written",
        async || {
            let events = format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events");
            let opened = get(&client, &events).await["items"]
                .as_array()
                .is_some_and(|all| all.iter().any(|e| e["reason"] == "DriftOpened"));
            let lease =
                format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/driftline");
            let holder = get(&client, &lease).await["spec"]["holderIdentity"].clone();
            let own = pod.pod().metadata.name.clone();
            opened && holder == json!(own)
        },
    )
    .await;
    probes(&pod).await;
    let (_, metrics) = answer(pod.address(), "/metrics").await.unwrap();
    monitoring::is_as_told(&metrics);
    for told in [
        "driftline_leader 1",
        "driftline_drift_open{namespace=\"driftline-system\",policy=\"shop\",target=\"web\",severity=",
        "driftline_records_open{namespace=\"driftline-system\",policy=\"shop\",state=\"Open\"}",
        "driftline_target_ready{namespace=\"driftline-system\",policy=\"shop\",target=\"api\"} 1",
        "driftline_coverage_ratio{namespace=\"driftline-system\",policy=\"shop\"} 1",
        "driftline_source_stale{namespace=\"driftline-system\",policy=\"shop\"} 0",
        "driftline_drift_oldest_age_seconds{namespace=\"driftline-system\",policy=\"shop\"}",
    ] {
        assert!(
            metrics.lines().any(|l| l.starts_with(told)),
            "{told}: {metrics}"
        );
    }
    let said = logs();
    for complaint in [
        "forbidden",
        "Forbidden",
        "cannot ",
        "panicked",
        "read-only file",
    ] {
        assert!(!said.contains(complaint), "{complaint}: {said}");
    }
}

/// Another user for each container, in the root file system, without privileges.
fn assert_confined(pod: &RunningPod, root: &Path) {
    for (container, user) in [("operator", "65532"), ("worker", "65533")] {
        let pid = pod.pid(container).unwrap();
        let status = || std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let value = |name: &str| {
            let status = status();
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
            words.join(" ")
        };
        let users = [user; 4].join(" ");
        while value("Uid:") != users {
            assert!(
                std::time::Instant::now() < deadline,
                "{}",
                pod.log(container)
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(value("Gid:"), ["65532"; 4].join(" "));
        assert_eq!(value("CapEff:"), "0000000000000000");
        assert_eq!(value("NoNewPrivs:"), "1");
        let inside = std::fs::read_link(format!("/proc/{pid}/root")).unwrap();
        assert_eq!(inside, root);
    }
}

/// What the kubelet asks.
async fn probes(pod: &RunningPod) {
    let spec = pod.pod().spec.clone().unwrap();
    let operator = spec
        .containers
        .iter()
        .find(|c| c.name == "operator")
        .unwrap();
    for probe in [&operator.liveness_probe, &operator.readiness_probe] {
        let get = probe.as_ref().unwrap().http_get.as_ref().unwrap();
        let path = get.path.clone().unwrap();
        eventually(&format!("{path} being answered"), async || {
            answer(pod.address(), &path)
                .await
                .is_some_and(|(status, _)| status == 200)
        })
        .await;
    }
}

/// Status and body, if it answers.
async fn answer(address: std::net::SocketAddr, path: &str) -> Option<(u16, String)> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
