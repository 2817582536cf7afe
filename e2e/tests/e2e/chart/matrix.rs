//! Values in combination: those that do not go together, those that do, and the same twice.

use serde_json::{Value, json};

use driftline_e2e::{Invocation, Tools};

use super::support::{IMAGE, Installed, NAMESPACE, root};
use super::{refuses, template};

#[tokio::test]
async fn what_does_not_go_together_is_refused_in_words() {
    let tools = Tools::ensure().await.unwrap();
    let named = json!([{"apiGroups": ["cert-manager.io"], "resources": ["certificates"]}]);
    for (values, words) in [
        (
            json!({"expected": {"enabled": false, "customResources": named}}),
            "expected.customResources: nothing is asked about while expected.enabled is false",
        ),
        (
            json!({"serviceMonitor": {"enabled": true}, "service": {"enabled": false}}),
            "serviceMonitor.enabled: it finds the pods by the Service; set service.enabled to true",
        ),
        (
            json!({"serviceMonitor": {"enabled": true}, "networkPolicy": {"enabled": true}}),
            "networkPolicy.metricsFrom: nobody may read /metrics",
        ),
        (
            json!({"podDisruptionBudget": {"maxUnavailable": 0}}),
            "podDisruptionBudget.maxUnavailable: with 0 no node",
        ),
        (
            json!({"podDisruptionBudget": {"maxUnavailable": "0%"}}),
            "podDisruptionBudget.maxUnavailable: with 0 no node",
        ),
        (
            json!({"worker": {"cache": {"sizeLimit": "2Gi"}}}),
            "worker.cache.sizeLimit: 2Gi has to be more than worker.cache.bytes (2147483648)",
        ),
        (
            json!({"worker": {"cache": {"bytes": 8_589_934_592_u64, "sizeLimit": 4_294_967_296_u64}}}),
            "worker.cache.sizeLimit",
        ),
        (
            json!({"operator": {"resources": {"requests": {"memory": "1Gi"}}}}),
            "operator.resources: requests.memory (1Gi) is more than limits.memory (512Mi)",
        ),
        (
            json!({"worker": {"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": 1}}}}),
            "worker.resources: requests.cpu (1500m) is more than limits.cpu (1)",
        ),
        (
            json!({"attribution": {"stamp": {"enabled": true}}}),
            "attribution.stamp.enabled: this API server has no MutatingAdmissionPolicy",
        ),
    ] {
        let old: &[&str] = if words.starts_with("attribution") {
            &["--kube-version", "1.30.0"]
        } else {
            &[]
        };
        refuses(&tools, &values.to_string(), old, words).await;
    }
    // An older server is refused by the chart's own version range.
    let why = template(&tools, &["--set", IMAGE, "--kube-version", "1.29.0"]).await;
    assert!(why.unwrap_err().contains(">=1.30.0-0"));
}

/// Everything that can be turned on, on.
fn everything() -> Value {
    json!({
        "commonLabels": {"team": "platform", "app.kubernetes.io/name": "other"},
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}, "relabelings": [{"action": "labeldrop", "regex": "pod"}]},
        "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": true, "annotations": {"folder": "GitOps"}},
        "networkPolicy": {"enabled": true, "metricsFrom": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-notes"}}],
    })
}

#[tokio::test]
async fn a_second_rendering_is_the_same() {
    let tools = Tools::ensure().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), everything().to_string()).unwrap();
    let arguments = ["--set", IMAGE, "--values", file.path().to_str().unwrap()];
    let first = template(&tools, &arguments).await.unwrap();
    assert_eq!(first, template(&tools, &arguments).await.unwrap());
    for part in [
        "kind: ServiceMonitor",
        "kind: PrometheusRule",
        "kind: NetworkPolicy",
        "other-notes",
        "grafana_dashboard: \"1\"",
        "honorLabels: true",
    ] {
        assert!(first.contains(part), "{part}");
    }
    // No secrets come in by values, and none are made.
    assert!(!first.contains("\nkind: Secret"));
}

#[tokio::test]
async fn the_api_server_takes_everything_at_once() {
    let installed = Installed::shared().await;
    let tools = &installed.tools;
    let mut values = everything();
    // Kinds of the Prometheus operator are not served here.
    values["serviceMonitor"]["enabled"] = json!(false);
    values["prometheusRule"]["enabled"] = json!(false);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    // Of another name, so that nothing of it is there yet.
    let render = Invocation::new(&tools.helm)
        .args(["template", "second", "--skip-tests"])
        .args([super::support::chart()])
        .args(["--namespace", NAMESPACE, "--set", IMAGE])
        .args(["--set", "crds.enabled=false", "--values"])
        .args([file.path()]);
    let text = render.run().await.unwrap();
    let create = installed
        .kubectl()
        .args([
            "create",
            "--dry-run=server",
            "--validate=strict",
            "-o",
            "json",
            "-f",
            "-",
        ])
        .stdin(text);
    let created = create.run().await.unwrap();
    // kubectl prints one list, or the objects one after another.
    let objects: Vec<Value> = serde_json::Deserializer::from_str(&created)
        .into_iter::<Value>()
        .map(Result::unwrap)
        .collect();
    let all: Vec<&Value> = objects
        .iter()
        .flat_map(|o| {
            o["items"]
                .as_array()
                .map_or(vec![o], |items| items.iter().collect())
        })
        .collect();
    let of = |kind: &str| all.iter().find(|o| o["kind"] == kind).unwrap();
    let labels = &of("Deployment")["metadata"]["labels"];
    // The chart's own labels win.
    assert_eq!(labels["app.kubernetes.io/name"], "driftline");
    assert_eq!(labels["team"], "platform");
    let spread = &of("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"];
    assert_eq!(spread.as_array().unwrap().len(), 1);
    assert_eq!(
        spread[0]["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"],
        "second"
    );
    let policy = &of("NetworkPolicy")["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["ingress"].as_array().unwrap().len(), 1);
    let dashboard = all
        .iter()
        .find(|o| o["metadata"]["name"] == "second-driftline-dashboard")
        .unwrap();
    let json: Value =
        serde_json::from_str(dashboard["data"]["second-driftline.json"].as_str().unwrap()).unwrap();
    assert_eq!(json["title"], "Driftline");
}

/// The manifests for `kubectl apply`, made of the chart.
#[tokio::test]
async fn plain_manifests_install_the_same_and_change_nothing_the_second_time() {
    let tools = Tools::ensure().await.unwrap();
    let plane = driftline_e2e::ControlPlane::start(driftline_e2e::Options::default())
        .await
        .unwrap();
    let make = Invocation::new(root().join("charts/manifests.sh"))
        .env("HELM", &tools.helm)
        .args(["--set", IMAGE]);
    let text = make.run().await.unwrap();
    for absent in ["helm.sh/", "managed-by: Helm"] {
        assert!(!text.contains(absent), "{absent}");
    }
    let apply = || {
        let kubectl = tools.kubectl(plane.kubeconfig_path());
        kubectl
            .args(["apply", "--server-side", "-o", "json", "-f", "-"])
            .stdin(text.clone())
    };
    let versions = async || {
        let said = apply().run().await.unwrap();
        let list = serde_json::Deserializer::from_str(&said).into_iter::<Value>();
        let objects: Vec<Value> = list.map(Result::unwrap).collect();
        let metadata = |o: &Value| {
            let m = &o["metadata"];
            // A Deployment's status is written by its controller.
            (
                o["kind"].to_string(),
                m["name"].to_string(),
                m["generation"].to_string(),
                m["labels"].to_string(),
            )
        };
        let all = objects.iter().flat_map(|o| {
            o["items"].as_array().map_or(vec![metadata(o)], |items| {
                items.iter().map(metadata).collect()
            })
        });
        all.collect::<Vec<_>>()
    };
    let first = versions().await;
    assert!(first.len() > 20, "{first:?}");
    assert_eq!(first, versions().await);
    // They are those that helm would have installed.
    let diff = tools
        .helm(plane.kubeconfig_path())
        .args(["template", "driftline", "--skip-tests"])
        .args([super::support::chart()])
        .args(["--namespace", NAMESPACE, "--set", IMAGE]);
    let rendered = diff.run().await.unwrap();
    assert_eq!(rendered.matches("\nkind: ").count() + 1, first.len());
    let ready = tools.kubectl(plane.kubeconfig_path()).args([
        "wait",
        "--for=create",
        "--timeout=60s",
        "-n",
        NAMESPACE,
        "pod",
        "-l",
        "app.kubernetes.io/name=driftline",
    ]);
    ready.run().await.unwrap();
}
