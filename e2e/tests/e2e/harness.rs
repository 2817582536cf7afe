//! The control plane harness itself.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use driftline_e2e::{Cluster, Component, ControlPlane, Error, Options, Tools};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).exists()
        && std::fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

async fn count_namespaces(client: &Client) -> kube::Result<usize> {
    let all = Api::<Namespace>::all(client.clone());
    Ok(all.list(&ListParams::default()).await?.items.len())
}

#[tokio::test]
async fn two_instances_start_side_by_side_and_end_without_a_trace() {
    let (one, two) = tokio::join!(
        ControlPlane::start(Options::default()),
        ControlPlane::start(Options {
            without_controller_manager: true,
            ..Options::default()
        }),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    println!(
        "started in {:?} and {:?}",
        one.start_duration(),
        two.start_duration()
    );
    assert_ne!(one.endpoint(), two.endpoint());
    assert!(
        count_namespaces(&one.client().await.unwrap())
            .await
            .unwrap()
            >= 4
    );

    let pids: Vec<u32> = one.pids().await.unwrap().into_values().collect();
    assert_eq!(pids.len(), 3);
    let directory = one.data_dir().unwrap().to_owned();
    drop(one);
    assert!(pids.into_iter().all(|pid| !runs(pid)));
    assert!(!directory.exists());

    // The other one is untouched.
    assert!(count_namespaces(&two.client().await.unwrap()).await.is_ok());
}

#[tokio::test]
async fn a_killed_test_process_leaves_nothing_running() {
    let mut holder = Command::new(env!("CARGO_BIN_EXE_cluster"))
        .arg("run")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let kubeconfig = lines.next().unwrap().unwrap();
    let kubeconfig = PathBuf::from(kubeconfig.strip_prefix("export KUBECONFIG=").unwrap());
    let directory = kubeconfig.parent().unwrap();
    let ready = std::fs::read(directory.join("ready.json")).unwrap();
    let ready: serde_json::Value = serde_json::from_slice(&ready).unwrap();
    let mut pids: Vec<u64> = vec![ready["supervisor"].as_u64().unwrap()];
    pids.extend(
        ready["pids"]
            .as_object()
            .unwrap()
            .values()
            .map(|v| v.as_u64().unwrap()),
    );
    assert_eq!(pids.len(), 4);

    holder.kill().unwrap();
    holder.wait().unwrap();
    until("everything has ended", || {
        pids.iter().all(|pid| !runs(u32::try_from(*pid).unwrap())) && !directory.exists()
    })
    .await;
}

#[tokio::test]
async fn children_of_a_killed_supervisor_end_too() {
    let cluster = ControlPlane::start(Options::default()).await.unwrap();
    let pids = cluster.pids().await.unwrap();
    let supervisor = i32::try_from(cluster.supervisor_pid().unwrap()).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(supervisor).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    until("the components have ended", || {
        pids.values().all(|pid| !runs(*pid))
    })
    .await;
    std::fs::remove_dir_all(cluster.data_dir().unwrap()).unwrap();
}

#[tokio::test]
async fn the_api_server_can_be_killed_frozen_and_started_again() {
    let cluster = ControlPlane::start(Options::default()).await.unwrap();
    let maps = Api::<ConfigMap>::default_namespaced(cluster.client().await.unwrap());
    let kept = ConfigMap {
        metadata: ObjectMeta {
            name: Some("kept".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    maps.create(&PostParams::default(), &kept).await.unwrap();

    cluster.kill_api_server().await.unwrap();
    assert!(maps.get("kept").await.is_err());
    cluster.start_api_server().await.unwrap();
    maps.get("kept").await.unwrap();

    cluster.pause(Component::ApiServer).await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(500), maps.get("kept")).await;
    assert!(silent.is_err(), "a frozen server answered");
    cluster.resume(Component::ApiServer).await.unwrap();
    maps.get("kept").await.unwrap();

    let error = cluster.restart(Component::ApiServer).await.unwrap_err();
    assert!(matches!(error, Error::Command { .. }), "{error}");
}

#[tokio::test]
async fn a_service_account_may_do_only_what_rbac_grants() {
    let cluster = ControlPlane::shared().await.unwrap();
    let admin = cluster.client().await.unwrap();
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some("nobody".to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    let namespace = cluster.create_namespace("account").await.unwrap();
    let accounts = Api::<ServiceAccount>::namespaced(admin, &namespace);
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let client = cluster
        .client_for_service_account(&namespace, "nobody")
        .await
        .unwrap();
    let refused = count_namespaces(&client).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains(&format!("system:serviceaccount:{namespace}:nobody")),
        "{refused}"
    );
    let missing = cluster
        .client_for_service_account(&namespace, "absent")
        .await;
    assert!(matches!(missing.err(), Some(Error::Kube { .. })));
}

#[tokio::test]
async fn the_tools_work_against_the_cluster() {
    let cluster = ControlPlane::shared().await.unwrap();
    let tools = Tools::ensure().await.unwrap();
    let namespace = cluster.create_namespace("tools").await.unwrap();
    let in_namespace = ["-n", namespace.as_str()];
    let kubectl = || tools.kubectl(cluster.kubeconfig_path()).args(in_namespace);

    let version = kubectl().args(["version"]).run().await.unwrap();
    assert!(version.contains("Client Version: v1.37.2"), "{version}");
    assert!(version.contains("Server Version: v1.37.2"), "{version}");

    let token = kubectl()
        .args(["create", "token", "default"])
        .run()
        .await
        .unwrap();
    assert_eq!(token.trim().split('.').count(), 3, "a JWT");
    let user = kubectl()
        .args([
            "auth",
            "whoami",
            "--as=jane",
            "-o",
            "jsonpath={.status.userInfo.username}",
        ])
        .run()
        .await
        .unwrap();
    assert_eq!(user, "jane");
    let resources = kubectl()
        .args(["api-resources", "-o", "name"])
        .run()
        .await
        .unwrap();
    for resource in [
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
    ] {
        assert!(resources.contains(resource), "{resource} in {resources}");
    }
    let openapi = kubectl()
        .args(["get", "--raw", "/openapi/v3"])
        .run()
        .await
        .unwrap();
    assert!(openapi.contains("apis/apps/v1"));

    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: by-kubectl}\ndata: {a: b}\n";
    kubectl()
        .args(["apply", "-f", "-"])
        .stdin(map)
        .run()
        .await
        .unwrap();
    let shown = kubectl()
        .args([
            "get",
            "configmap",
            "by-kubectl",
            "--show-managed-fields",
            "-o",
        ])
        .args(["jsonpath={.metadata.managedFields[0].manager}"])
        .run()
        .await
        .unwrap();
    assert_eq!(shown, "kubectl-client-side-apply");

    let chart = tempfile::tempdir().unwrap();
    tools
        .helm(cluster.kubeconfig_path())
        .args(["create", "example"])
        .current_dir(chart.path())
        .run()
        .await
        .unwrap();
    tools
        .helm(cluster.kubeconfig_path())
        .args(in_namespace)
        .args(["install", "example", "./example"])
        .current_dir(chart.path())
        .run()
        .await
        .unwrap();
    // The controllers run: a ReplicaSet and a (pending) Pod come by themselves.
    kubectl()
        .args([
            "wait",
            "--for=create",
            "pod",
            "-l",
            "app.kubernetes.io/name=example",
            "--timeout=20s",
        ])
        .run()
        .await
        .unwrap();
    std::fs::write(
        chart.path().join("kustomization.yaml"),
        "configMapGenerator:\n- name: x\n  literals: [a=b]\n",
    )
    .unwrap();
    let built = tools
        .kustomize()
        .args(["build"])
        .args([chart.path()])
        .run()
        .await
        .unwrap();
    assert!(built.contains("kind: ConfigMap"), "{built}");

    let error = kubectl().args(["get", "nonsense"]).run().await.unwrap_err();
    assert!(
        error.to_string().contains("doesn't have a resource type"),
        "{error}"
    );
}

#[tokio::test]
async fn servers_without_streaming_lists_can_be_had() {
    let cluster = ControlPlane::start(Options {
        apiserver_flags: vec!["--feature-gates=WatchList=false".to_owned()],
        without_controller_manager: true,
        ..Options::default()
    })
    .await
    .unwrap();
    let query = "/api/v1/namespaces?watch=1&sendInitialEvents=true&allowWatchBookmarks=true\
                 &resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
    let kubectl = Tools::ensure().await.unwrap();
    let refused = kubectl
        .kubectl(cluster.kubeconfig_path())
        .args(["get", "--raw", query])
        .run()
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("sendInitialEvents"),
        "{refused}"
    );
}

#[test]
fn the_detached_cluster_goes_up_and_down_any_number_of_times() {
    let parent = tempfile::tempdir().unwrap();
    let cluster = Cluster::in_directory(parent.path().join("cluster"));
    assert!(!cluster.down().unwrap());
    let first = cluster.up().unwrap();
    assert_eq!(cluster.up().unwrap().supervisor, first.supervisor);
    assert!(first.kubeconfig.is_file());
    assert!(cluster.down().unwrap());
    assert!(cluster.status().is_none());
    assert!(first.pids.iter().all(|(_, pid)| !runs(*pid)));
}
