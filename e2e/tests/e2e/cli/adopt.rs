//! `adopt`: what Argo CD and Flux deploy becomes policies that the API server admits.

use std::collections::BTreeMap;
use std::path::Path;

use driftline_e2e::published::DEPLOYERS;
use driftline_e2e::{ControlPlane, Options, Tools, operator};
use serde_json::Value;

use super::support::*;

/// Real definitions of both tools, and what people write with them.
struct Deployed {
    plane: ControlPlane,
    tools: Tools,
}

impl Deployed {
    async fn new() -> Self {
        let options = Options {
            without_controller_manager: true,
            ..Options::default()
        };
        let (plane, tools) = (
            ControlPlane::start(options).await.unwrap(),
            Tools::ensure().await.unwrap(),
        );
        let deployed = Self { plane, tools };
        for published in DEPLOYERS {
            deployed.apply(&published.path().await.unwrap()).await;
        }
        deployed
            .apply(&operator::workspace().join("charts/driftline/files/crds"))
            .await;
        let wait = [
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=30s",
        ];
        deployed.kubectl(&wait, "").await;
        for namespace in ["argocd", "flux-system", "driftline-system"] {
            deployed
                .kubectl(&["create", "namespace", namespace], "")
                .await;
        }
        deployed.kubectl(&["create", "-f", "-"], OBJECTS).await;
        deployed
    }

    async fn apply(&self, path: &Path) {
        let path = path.to_string_lossy();
        self.kubectl(&["apply", "--server-side", "-f", &path], "")
            .await;
    }

    async fn kubectl(&self, arguments: &[&str], stdin: &str) -> String {
        let kubectl = self.tools.kubectl(self.plane.kubeconfig_path());
        kubectl.args(arguments).stdin(stdin).run().await.unwrap()
    }
}

const OBJECTS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop, namespace: argocd, labels: {team: shop}}
spec:
  project: default
  destination: {server: https://kubernetes.default.svc, namespace: shop}
  source:
    repoURL: https://robot:canary-url@git.example.com/shop/deploy.git
    path: deploy/overlays/prod
    targetRevision: HEAD
    kustomize: {images: ["web=web:2"]}
  syncPolicy: {automated: {selfHeal: true}}
  ignoreDifferences:
  - {group: apps, kind: Deployment, name: web, jsonPointers: [/spec/replicas, /metadata/annotations/example.com~1owner, /spec/template/spec/containers/0/image]}
  - group: admissionregistration.k8s.io
    kind: MutatingWebhookConfiguration
    jqPathExpressions: ['.webhooks[]?.clientConfig.caBundle', '.webhooks[] | select(.name | startswith("a"))']
  - {group: "*", kind: "*", managedFieldsManagers: [kube-controller-manager]}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: charts, namespace: argocd}
spec:
  project: default
  destination: {name: in-cluster, namespace: web}
  sources:
  - repoURL: https://git.example.com/charts.git
    path: charts/web
    targetRevision: v1.2.0
    helm:
      valueFiles: ["$values/envs/prod.yaml", defaults.yaml]
      valuesObject: {image: {tag: "1.0"}, database: {password: canary-value}, "y": "no", "on": {a: "0755"}}
      parameters: [{name: replicas, value: "3"}]
  - {repoURL: https://git.example.com/charts.git, targetRevision: v1.2.0, ref: values}
  - {repoURL: https://charts.example.com, chart: redis, targetRevision: 1.0.0}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: elsewhere, namespace: argocd}
spec:
  project: default
  destination: {server: https://other.example.com, namespace: shop}
  source: {repoURL: https://git.example.com/a.git, path: ., targetRevision: main}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1m, url: ssh://git@git.example.com/fleet.git, ref: {semver: ">=1.0.0"}, secretRef: {name: fleet-key}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: shop, namespace: flux-system}
spec:
  interval: 10m
  path: ./apps/shop
  prune: true
  sourceRef: {kind: GitRepository, name: fleet}
  postBuild: {substitute: {region: eu}}
  ignore:
  - {paths: [/spec/replicas], target: {kind: Deployment, name: web-.*}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: ingress, namespace: flux-system}
spec:
  interval: 10m
  releaseName: ingress-nginx
  storageNamespace: ingress
  targetNamespace: ingress
  chart: {spec: {chart: ingress-nginx, sourceRef: {kind: HelmRepository, name: x}}}
  values: {adminPassword: canary-release}
  driftDetection:
    mode: enabled
    ignore: [{paths: [/spec/replicas]}]
---
apiVersion: v1
kind: Secret
metadata: {name: fleet-key, namespace: flux-system}
stringData: {identity: canary-secret}
"#;

#[tokio::test]
async fn what_others_deploy_becomes_policies_that_are_admitted() {
    let deployed = Deployed::new().await;
    let plane = &deployed.plane;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("policies");
    let out_text = out.to_string_lossy().into_owned();
    let before = deployed
        .kubectl(
            &["get", "--raw", "/apis/driftline.dev/v1alpha1/driftpolicies"],
            "",
        )
        .await;

    let tried = run(
        plane.kubeconfig_path(),
        &["adopt", "-A", "--output-dir", &out_text, "--dry-run"],
    )
    .await;
    assert_eq!(tried.code, 2, "{}{}", tried.out, tried.err);
    assert!(!out.exists(), "a dry run wrote");
    tried.shows(&["4 policies would be written"]);

    let adopted = run(
        plane.kubeconfig_path(),
        &["adopt", "-A", "--output-dir", &out_text],
    )
    .await;
    assert_eq!(adopted.code, 2, "{}{}", adopted.out, adopted.err);
    adopted.shows(&[
        "from Application argocd/shop of Argo CD",
        "not translated: repoURL holds credentials",
        "not translated: targetRevision: HEAD follows the default branch",
        "not translated: source.kustomize.images: ",
        "spec.ignoreDifferences[1].jqPathExpressions: .webhooks[] | select(.name | startswith(\"a\"))",
        "spec.ignoreDifferences[2].managedFieldsManagers (kube-controller-manager)",
        "spec.sources[2]: chart redis comes from a chart repository",
        "the GitRepository uses Secret flux-system/fleet-key, which is not read",
        "spec.postBuild: variables are not replaced",
        "skipped Application argocd/elsewhere of Argo CD: it deploys to another cluster (https://other.example.com)",
        "4 policies written, ",
        "kubectl apply --dry-run=server -f ",
    ]);
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        files.insert(name, std::fs::read_to_string(path).unwrap());
    }
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "argocd-shop.yaml",
            "charts.yaml",
            "flux-system-shop.yaml",
            "ingress.yaml"
        ]
    );
    let all = files.values().cloned().collect::<String>() + &adopted.out + &adopted.err;
    assert!(!all.contains("canary"), "a credential is written:\n{all}");
    assert!(
        files["argocd-shop.yaml"]
            .starts_with("# From Application argocd/shop of Argo CD. Review it"),
        "{}",
        files["argocd-shop.yaml"]
    );

    // The real API server's own opinion, and what it understood.
    let admitted = deployed
        .kubectl(
            &[
                "create",
                "--dry-run=server",
                "--validate=strict",
                "-o",
                "json",
                "-f",
                &out_text,
            ],
            "",
        )
        .await;
    let admitted: Vec<Value> = serde_json::Deserializer::from_str(&admitted)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let of = |name: &str| {
        let mut all = admitted.iter();
        let found = all.find(|p| p["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{name} was not admitted: {admitted:?}"))["spec"].clone()
    };
    let shop = of("argocd-shop");
    assert_eq!(
        shop["source"]["git"]["url"],
        "https://git.example.com/shop/deploy.git"
    );
    assert_eq!(shop["enforcement"], "Observe");
    assert_eq!(shop["targets"][0]["kubernetes"]["namespace"], "shop");
    let fields = |spec: &Value, n: usize| spec["rules"][n]["match"]["fields"].clone();
    assert_eq!(
        fields(&shop, 0),
        serde_json::json!([
            "spec.replicas",
            "metadata.annotations[\"example.com/owner\"]",
            "spec.template.spec.containers[*].image"
        ])
    );
    assert_eq!(
        fields(&shop, 1),
        serde_json::json!(["webhooks[*].clientConfig.caBundle"])
    );
    let helm = &of("charts")["targets"][0]["kubernetes"]["helm"];
    assert_eq!(
        helm["valuesFiles"],
        serde_json::json!(["../../envs/prod.yaml", "defaults.yaml"])
    );
    assert_eq!(
        helm["values"],
        serde_json::json!({"image": {"tag": "1.0"}, "database": {}, "y": "no", "on": {"a": "0755"}, "replicas": 3})
    );
    let kustomization = of("flux-system-shop");
    assert_eq!(
        kustomization["source"]["git"]["ref"],
        serde_json::json!({"semver": ">=1.0.0"})
    );
    assert_eq!(
        kustomization["rules"][0]["match"]["names"],
        serde_json::json!(["web-*"])
    );
    let release = of("ingress");
    assert_eq!(
        release["targets"][0]["helmRelease"]["name"],
        "ingress-nginx"
    );
    assert_eq!(release["targets"][0]["helmRelease"]["namespace"], "ingress");

    let again = run(
        plane.kubeconfig_path(),
        &["adopt", "-A", "--output-dir", &out_text],
    )
    .await;
    again.fails_with(&["is there already; nothing was written", "--force"]);
    let forced = run(
        plane.kubeconfig_path(),
        &["adopt", "-A", "--output-dir", &out_text, "--force"],
    )
    .await;
    assert_eq!(forced.code, 2, "{}", forced.err);

    let some = run(
        plane.kubeconfig_path(),
        &["adopt", "-n", "argocd", "-l", "team=shop", "-o", "yaml"],
    )
    .await;
    assert_eq!(some.code, 2, "{}", some.err);
    assert_eq!(
        some.out.matches("kind: DriftPolicy").count(),
        1,
        "{}",
        some.out
    );
    assert!(some.err.contains("1 policy written"), "{}", some.err);
    let none = run(plane.kubeconfig_path(), &["adopt", "-n", "default"]).await;
    none.fails_with(&["there is no Application of Argo CD and no Kustomization or HelmRelease of Flux in namespace default", "-A"]);
    let after = deployed
        .kubectl(
            &["get", "--raw", "/apis/driftline.dev/v1alpha1/driftpolicies"],
            "",
        )
        .await;
    let items = |text: &str| serde_json::from_str::<Value>(text).unwrap()["items"].clone();
    assert_eq!(items(&before), items(&after), "adopt wrote to the cluster");
}
