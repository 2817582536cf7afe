//! Targets of each kind, and what a repository may look like.

use serde_json::json;

use super::support::{POLICY, Team, World, changed, condition, fields};

#[tokio::test]
async fn a_kustomize_overlay_is_built_and_compared() {
    let team = Team::new(World::shared().await, "overlay").await;
    let base = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: info, region: none}\n";
    team.commit(&[
        ("deploy/base/settings.yaml", base),
        ("deploy/base/kustomization.yaml", "resources: [settings.yaml]\n"),
        (
            "deploy/prod/kustomization.yaml",
            "resources: [../base]\nnamePrefix: prod-\nlabels: [{pairs: {stage: prod}}]\npatches:\n- patch: |-\n    {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {region: eu}}\nconfigMapGenerator:\n- name: made\n  literals: [a=b]\n",
        ),
    ])
    .await;
    let overlay = team.repo.work_tree().join("deploy/prod");
    team.kubectl(["apply".as_ref(), "-k".as_ref(), overlay.as_os_str()])
        .await;
    team.policy(|p| p["spec"]["targets"][0]["kubernetes"]["path"] = json!("deploy/prod"))
        .await;
    assert_eq!(team.in_sync().await["summary"]["inSync"], 2);
    team.kubectl([
        "patch",
        "configmap",
        "prod-settings",
        "--type=merge",
        "-p",
        r#"{"data":{"region":"us"}}"#,
    ])
    .await;
    let record = team.record("ConfigMap", "prod-settings", |_| true).await;
    assert_eq!(fields(&record), [changed("data.region", "eu", "us")]);
}

const CHART: &[(&str, &str)] = &[
    (
        "deploy/Chart.yaml",
        "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
    ),
    ("deploy/values.yaml", "level: info\n"),
    ("deploy/values-prod.yaml", "level: warn\n"),
    (
        "deploy/templates/all.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-settings}
data: {level: {{ .Values.level }}, region: {{ .Values.region | quote }}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-random}
data: {session: {{ randAlphaNum 16 }}, kept: 'yes'}
",
    ),
];

#[tokio::test]
async fn what_a_chart_renders_at_random_is_unknown_and_the_rest_is_compared() {
    let team = Team::new(World::shared().await, "chart").await;
    team.commit(CHART).await;
    let chart = team.repo.work_tree().join("deploy");
    let helm = team.world.tools.helm(team.world.plane().kubeconfig_path());
    helm.args([
        "install",
        "shop",
        "-n",
        &team.namespace,
        "--set",
        "region=eu",
        "-f",
    ])
    .args([chart.join("values-prod.yaml"), chart.clone()])
    .run()
    .await
    .unwrap();
    team.policy(|p| {
        p["spec"]["targets"][0]["kubernetes"]["helm"] =
            json!({"releaseName": "shop", "valuesFiles": ["values-prod.yaml"], "values": {"region": "eu"}});
    })
    .await;
    let status = team
        .status("compared", |s| {
            let listed = s["targets"][0]["reason"] != "Listing";
            listed && s["summary"]["inSync"] == 1 && s["summary"]["unknown"] == 1
        })
        .await;
    assert_eq!(condition(&status, "Drifted").0, "Unknown");
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("shop-random is RenderUnstable") && message.contains("give random values"),
        "{message}"
    );
    assert!(team.records().await.is_empty());

    team.kubectl([
        "patch",
        "configmap",
        "shop-random",
        "--type=merge",
        "-p",
        r#"{"data":{"kept":"no"}}"#,
    ])
    .await;
    let record = team.record("ConfigMap", "shop-random", |_| true).await;
    assert_eq!(fields(&record), [changed("data.kept", "yes", "no")]);
    team.kubectl([
        "patch",
        "configmap",
        "shop-random",
        "--type=merge",
        "-p",
        r#"{"data":{"kept":"yes"}}"#,
    ])
    .await;
    team.closed("ConfigMap", "shop-random").await;
    team.kubectl([
        "patch",
        "configmap",
        "shop-settings",
        "--type=merge",
        "-p",
        r#"{"data":{"level":"debug"}}"#,
    ])
    .await;
    let record = team.record("ConfigMap", "shop-settings", |_| true).await;
    assert_eq!(fields(&record), [changed("data.level", "warn", "debug")]);
}

#[tokio::test]
async fn documents_lists_and_json_are_all_read() {
    let team = Team::new(World::shared().await, "lists").await;
    let many = "# a comment\n---\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}, data: {k: v}}\n- {apiVersion: v1, kind: Service, metadata: {name: two}, spec: {selector: {a: b}, ports: [{port: 80}]}}\n";
    let typed =
        "apiVersion: v1\nkind: ConfigMapList\nitems:\n- {metadata: {name: three}, data: {k: v}}\n";
    let json = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "four"}, "data": {"k": "v"}}"#;
    team.commit(&[
        ("deploy/many.yaml", many),
        ("deploy/deep/er/typed.yml", typed),
        ("deploy/one.json", json),
        ("deploy/README.md", "kind: nothing"),
    ])
    .await;
    for name in ["one", "two", "three", "four"] {
        team.kubectl(["create", "configmap", name, "--from-literal=k=v"])
            .await;
    }
    team.apply("{apiVersion: v1, kind: Service, metadata: {name: two}, spec: {selector: {a: b}, ports: [{port: 80}]}}").await;
    team.policy(|_| {}).await;
    assert_eq!(team.in_sync().await["summary"]["inSync"], 5);
    for name in ["one", "two", "three", "four"] {
        team.kubectl([
            "patch",
            "configmap",
            name,
            "--type=merge",
            "-p",
            r#"{"data":{"k":"x"}}"#,
        ])
        .await;
        team.record("ConfigMap", name, |_| true).await;
    }
}

#[tokio::test]
async fn a_broken_file_is_named_and_the_rest_is_compared() {
    let team = Team::new(World::shared().await, "broken").await;
    let (one, two) = (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}\n",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: two}, data: {k: v}}\n",
    );
    team.apply(one).await;
    team.apply(two).await;
    team.commit(&[("deploy/one.yaml", one), ("deploy/two.yaml", two)])
        .await;
    team.policy(|_| {}).await;
    team.in_sync().await;

    team.commit(&[(
        "deploy/two.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: two\n bad: [\n",
    )])
    .await;
    let status = team.check().await;
    let target = &status["targets"][0];
    assert_eq!(
        (target["ready"].as_str(), target["reason"].as_str()),
        (Some("False"), Some("ParseError")),
        "{target}"
    );
    let message = target["message"].as_str().unwrap();
    assert!(
        message.contains("deploy/two.yaml") && message.contains("line 5"),
        "{message}"
    );
    assert_eq!(condition(&status, "Ready").0, "False");
    assert_eq!(
        (&status["summary"]["inSync"], &status["summary"]["unknown"]),
        (&json!(1), &json!(1)),
        "{status}"
    );
    // The rest goes on.
    team.kubectl([
        "patch",
        "configmap",
        "one",
        "--type=merge",
        "-p",
        r#"{"data":{"k":"x"}}"#,
    ])
    .await;
    team.record("ConfigMap", "one", |_| true).await;
    // What is absent is unknown, whatever happens to it.
    team.kubectl(["delete", "configmap", "two"]).await;
    let status = team.check().await;
    assert_eq!(
        (&status["summary"]["drifted"], &status["summary"]["unknown"]),
        (&json!(1), &json!(1)),
        "{status}"
    );

    team.commit(&[("deploy/two.yaml", two)]).await;
    team.check().await;
    team.record("ConfigMap", "two", |r| r["status"]["change"] == "Missing")
        .await;
    team.apply(one).await;
    team.apply(two).await;
    team.in_sync().await;
}

#[tokio::test]
async fn a_duplicate_and_an_object_without_a_name_are_named() {
    let team = Team::new(World::shared().await, "twice").await;
    let one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}\n";
    team.apply(one).await;
    team.commit(&[("deploy/a.yaml", one), ("deploy/b.yaml", &format!("---\n{{apiVersion: v1, kind: Service, metadata: {{name: none, namespace: kube-public}}}}\n---\n{one}"))]).await;
    team.policy(|_| {}).await;
    let status = team
        .status("duplicate", |s| {
            s["targets"][0]["reason"] == "DuplicateObject"
        })
        .await;
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("deploy/b.yaml") && message.contains("second time"),
        "{message}"
    );
    team.commit(&[(
        "deploy/b.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {labels: {a: b}}\n",
    )])
    .await;
    let status = team.check().await;
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("deploy/b.yaml") && message.contains("name"),
        "{message}"
    );
    assert_eq!(status["summary"]["inSync"], 1, "{status}");
}

#[tokio::test]
async fn a_path_that_is_emptied_or_gone_drops_nothing_silently() {
    let team = Team::new(World::shared().await, "emptied").await;
    let one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}\n";
    team.declare(one).await;
    team.kubectl(["delete", "configmap", "one"]).await;
    team.record("ConfigMap", "one", |_| true).await;
    team.repo.remove("gone", &["deploy"]).await.unwrap();
    let status = team.check().await;
    let (ready, _, message) = condition(&status, "Ready");
    assert_eq!(ready, "False", "{status}");
    assert!(message.contains("deploy"), "{message}");
    assert_eq!(
        team.open_records().await.len(),
        1,
        "a vanished path closes nothing"
    );

    team.commit(&[("deploy/README.md", "nothing here")]).await;
    let status = team.check().await;
    assert_eq!(status["summary"]["declared"], 0, "{status}");
    let message = status["targets"][0]["message"].as_str().unwrap();
    assert!(message.contains("no objects are declared"), "{message}");
    assert_ne!(
        condition(&status, "Drifted").0,
        "False",
        "nothing compared is not in sync: {status}"
    );
}

#[tokio::test]
async fn two_targets_of_one_policy_are_told_apart() {
    let team = Team::new(World::shared().await, "targets").await;
    let one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}\n";
    team.apply(one).await;
    team.commit(&[
        ("a/one.yaml", one),
        ("b/one.yaml", &one.replace("k: v", "k: w")),
    ])
    .await;
    team.policy(|p| {
        p["spec"]["targets"] = json!([{"name": "a", "kubernetes": {"path": "a"}}, {"name": "b", "kubernetes": {"path": "b/one.yaml"}}]);
    })
    .await;
    let status = team.drifted(1).await;
    let of = |n: usize| status["targets"][n]["summary"].clone();
    assert_eq!(
        (&of(0)["inSync"], &of(1)["drifted"]),
        (&json!(1), &json!(1)),
        "{status}"
    );
    let record = team.record("ConfigMap", "one", |_| true).await;
    assert_eq!(
        (&record["spec"]["target"], &record["spec"]["policy"]),
        (&json!("b"), &json!(POLICY))
    );
    // A target that goes takes its records along.
    team.policy(|p| p["spec"]["targets"] = json!([{"name": "a", "kubernetes": {"path": "a"}}]))
        .await;
    team.closed("ConfigMap", "one").await;
    team.in_sync().await;
}
