//! What stays when the release changes or goes, and who may not take over.

use http::Method;
use serde_json::json;

use super::support::{
    IMAGE, Installed, NAMESPACE, call, chart, eventually, get, must, policy, record, root,
};

#[tokio::test]
async fn an_upgrade_brings_new_definitions_and_removing_the_release_keeps_policies_and_records() {
    let old = tempfile::tempdir().unwrap();
    let old_chart = old.path().join("driftline");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(chart())
        .arg(&old_chart)
        .status()
        .unwrap();
    assert!(copied.success());
    let change = |file: &str, from: &str, to: &str| {
        let path = old_chart.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    };
    change(
        "files/crds/driftpolicies.yaml",
        "    - dp\n",
        "    - olddp\n",
    );
    change("Chart.yaml", "\nversion: ", "\nversion: 0.0.1-before.");

    let installed = Installed::new(&old_chart).await;
    let client = installed.admin().await;
    let definition =
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/driftpolicies.driftline.dev";
    assert_eq!(
        get(&client, definition).await["spec"]["names"]["shortNames"],
        json!(["olddp"])
    );
    let (policies, records) = (
        "/apis/driftline.dev/v1alpha1/namespaces/default/driftpolicies",
        "/apis/driftline.dev/v1alpha1/namespaces/default/driftrecords",
    );
    must(&client, Method::POST, policies, policy("kept")).await;
    must(&client, Method::POST, records, record("kept", "kept")).await;
    let uid = get(&client, &format!("{records}/kept")).await["metadata"]["uid"].clone();
    let still_there = async || {
        assert_eq!(
            get(&client, &format!("{records}/kept")).await["metadata"]["uid"],
            uid
        );
        get(&client, &format!("{policies}/kept")).await;
    };

    let upgrade = async |more: &[&str]| {
        let helm = installed
            .helm()
            .args(["upgrade", "driftline"])
            .args([chart()]);
        helm.args(["--namespace", NAMESPACE, "--set", IMAGE])
            .args(more)
            .run()
            .await
            .unwrap()
    };
    upgrade(&["--set", "replicas=1"]).await;
    assert_eq!(
        get(&client, definition).await["spec"]["names"]["shortNames"],
        json!(["dp"])
    );
    let deployment = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/driftline");
    assert_eq!(
        get(&client, &deployment).await["spec"]["replicas"],
        json!(1)
    );
    still_there().await;
    // And back: the definition, and what stands on it.
    let rollback = installed
        .helm()
        .args(["rollback", "driftline", "1", "--namespace", NAMESPACE]);
    rollback.run().await.unwrap();
    let spec = get(&client, definition).await["spec"].clone();
    assert_eq!(spec["names"]["shortNames"], json!(["olddp"]));
    assert_eq!(
        get(&client, &deployment).await["spec"]["replicas"],
        json!(2)
    );
    still_there().await;
    upgrade(&["--set", "crds.enabled=false"]).await;
    still_there().await;
    upgrade(&[]).await;
    // A policy whose end takes the operator's help: nothing of the release's end asks for that.
    let mut ends = policy("ends");
    ends["metadata"]["finalizers"] = json!(["driftline.dev/delete"]);
    must(&client, Method::POST, policies, ends).await;

    installed
        .helm()
        .args(["uninstall", "driftline", "--namespace", NAMESPACE])
        .run()
        .await
        .unwrap();
    still_there().await;
    for gone in [
        deployment.as_str(),
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/driftline-dry-run-only",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/driftline",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/driftline-dry-run",
    ] {
        eventually(gone, async || {
            call(&client, Method::GET, gone, None, None).await.0 == 404
        })
        .await;
    }
    let ends = get(&client, &format!("{policies}/ends")).await;
    assert_eq!(ends["metadata"]["deletionTimestamp"], json!(null));
    installed.install(&chart(), &[]).await;
    still_there().await;

    // Somebody who wants all of it gone.
    let all = json!({"metadata": {"finalizers": null}});
    must(&client, Method::PATCH, &format!("{policies}/ends"), all).await;
    upgrade(&["--set", "crds.keep=false"]).await;
    still_there().await;
    let uninstall = installed
        .helm()
        .args(["uninstall", "driftline", "--namespace", NAMESPACE]);
    uninstall.run().await.unwrap();
    eventually("the definitions being gone", async || {
        call(&client, Method::GET, definition, None, None).await.0 == 404
    })
    .await;
}

#[tokio::test]
async fn definitions_belong_to_one_release_and_are_handed_over_on_request_only() {
    let installed = Installed::shared().await;
    let second = installed
        .helm()
        .args(["install", "second"])
        .args([chart()])
        .args([
            "--namespace",
            "second",
            "--create-namespace",
            "--set",
            IMAGE,
        ]);
    let refused = second.run().await.unwrap_err().to_string();
    assert!(
        refused.contains("release-name") && refused.contains("driftline"),
        "{refused}"
    );

    let plane = driftline_e2e::ControlPlane::start(driftline_e2e::Options::default())
        .await
        .unwrap();
    let tools = &installed.tools;
    let apply = tools
        .kubectl(plane.kubeconfig_path())
        .args(["apply", "-f"])
        .args([root().join("crds")]);
    let applied = apply.run().await;
    assert!(
        applied
            .as_ref()
            .is_ok_and(|said| said.contains("driftpolicies.driftline.dev created")),
        "{applied:?}"
    );
    let install = |more: &'static [&'static str]| {
        let helm = tools
            .helm(plane.kubeconfig_path())
            .args(["install", "driftline"])
            .args([chart()]);
        helm.args([
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--set",
            IMAGE,
        ])
        .args(more)
    };
    assert!(install(&[]).run().await.is_err());
    install(&["--take-ownership", "--dry-run=server"])
        .run()
        .await
        .unwrap();
    install(&["--set", "crds.enabled=false"])
        .run()
        .await
        .unwrap();
    let uninstall = tools.helm(plane.kubeconfig_path()).args([
        "uninstall",
        "driftline",
        "--namespace",
        NAMESPACE,
    ]);
    uninstall.run().await.unwrap();
    install(&["--take-ownership"]).run().await.unwrap();
}
