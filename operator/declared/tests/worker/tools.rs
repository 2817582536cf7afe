//! The real kustomize and helm, inside the sandbox.

use declared::{Category, HelmOptions, Renderer, inputs_digest};
use driftline_e2e::Tools;
use serde_json::json;

use crate::support::{Rendered, Repo, TestWorker, What, config_map, render_of};

async fn with_tools() -> TestWorker {
    let tools = Tools::ensure().await.unwrap();
    TestWorker::with_tools(Some(&tools.kustomize), Some(&tools.helm)).await
}

const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
const DEPLOY: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
  namespace: {{ .Release.Namespace }}
  labels:
    kube: {{ .Capabilities.KubeVersion.Version | quote }}
    has: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}
spec:
  replicas: {{ .Values.replicas }}
"#;

fn helm(values_files: &[&str], values: serde_json::Value) -> Option<HelmOptions> {
    Some(HelmOptions {
        release_name: "shop".into(),
        values_files: values_files.iter().map(|f| (*f).to_owned()).collect(),
        values,
    })
}

async fn chart(
    worker: &TestWorker,
    repo: &Repo,
    options: Option<HelmOptions>,
) -> Result<Rendered, declared::Error> {
    let revision = worker.fetch(&repo.url()).await?;
    let mut request = render_of(&revision, "charts/web");
    request.helm = options;
    worker.render(&request).await
}

#[tokio::test]
async fn overlays_with_bases_elsewhere_in_the_repository_render() {
    let worker = with_tools().await;
    let info = worker.worker.ping().await.unwrap();
    assert!(info.kustomize.is_some() && info.helm.is_some(), "{info:?}");
    let repo = Repo::with(&[
        ("base/kustomization.yaml", "resources: [map.yaml]\n"),
        ("base/map.yaml", &config_map("settings")),
        (
            "overlays/live/kustomization.yaml",
            "namePrefix: live-\nnamespace: shop\nresources: [../../base]\nconfigMapGenerator:\n- name: files\n  files: [x.txt]\n",
        ),
        ("overlays/live/x.txt", "hello"),
    ]);
    let rendered = worker.rendered(&repo.url(), "overlays/live").await.unwrap();
    assert_eq!(rendered.summary.renderer, Renderer::Kustomize);
    assert_eq!(rendered.names()[1], "live-settings");
    assert!(
        rendered.names()[0].starts_with("live-files-"),
        "{:?}",
        rendered.names()
    );
    assert_eq!(
        rendered.objects[1].provenance.to_string(),
        "base/map.yaml, line 1"
    );
    assert_eq!(
        rendered.objects[0].provenance.to_string(),
        "overlays/live/kustomization.yaml"
    );
    let revision = worker.fetch(&repo.url()).await.unwrap();
    assert!(inputs_digest(&render_of(&revision, ""), &info).starts_with("sha256:"));
}

const WEB: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: ClusterIP}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 3
  minReadySeconds: 5
  template:
    spec:
      containers:
      - name: web
        image: shop/web:1
        args: [a, b]
";

/// The place of an object, and the lines of some of its fields.
fn placed(rendered: &Rendered, kind: &str, paths: &[&str]) -> (String, Vec<u32>) {
    let object = rendered.objects.iter().find(|o| o.object["kind"] == kind);
    let object = object.unwrap();
    let line =
        |path: &&str| drift::lines::line_of(&object.object, &object.lines, &path.parse().unwrap());
    (
        object.provenance.to_string(),
        paths.iter().map(line).collect(),
    )
}

#[tokio::test]
async fn what_kustomize_builds_names_its_file_and_the_lines_that_nothing_else_can_have_set() {
    let worker = with_tools().await;
    let fields = [
        "spec.replicas",
        "spec.minReadySeconds",
        "spec.template.spec.containers[name=web].image",
        "spec.template.spec.containers[name=web].args",
        "metadata.labels.app",
    ];
    let base = [
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", WEB),
        (
            "live/p.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n",
        ),
    ];
    for (kustomization, lines) in [
        ("resources: [../base]\n", [12, 13, 18, 19, 10]),
        (
            "resources: [../base]\nnamePrefix: p-\nnamespace: shop\n",
            [12, 13, 18, 19, 10],
        ),
        // Even where a patch says the same as the base, the base alone does not declare it.
        (
            "resources: [../base]\npatches: [{path: p.yaml}]\n",
            [0, 13, 18, 19, 10],
        ),
        (
            "resources: [../base]\nimages: [{name: shop/web, newTag: '1'}]\n",
            [12, 13, 0, 19, 10],
        ),
        (
            "resources: [../base]\nlabels: [{pairs: {team: x}}]\n",
            [12, 13, 18, 19, 0],
        ),
        (
            "resources: [../base]\npatches: [{target: {kind: Service}, patch: '[{\"op\": \"remove\", \"path\": \"/spec/type\"}]'}]\n",
            [12, 13, 18, 19, 10],
        ),
        (
            "resources: [../base]\nreplicas: [{name: web, count: 4}]\n",
            [0, 13, 18, 19, 10],
        ),
        // Whoever asks kustomize for origins gets them as annotations, and no other place than the folder.
        (
            "resources: [../base]\nbuildMetadata: [originAnnotations]\n",
            [0; 5],
        ),
    ] {
        let repo = Repo::with(&[&base[..], &[("live/kustomization.yaml", kustomization)]].concat());
        let rendered = worker.rendered(&repo.url(), "live").await.unwrap();
        let asked = kustomization.contains("buildMetadata");
        let place = if asked {
            "live, document 2"
        } else {
            "base/web.yaml, document 2, line 6"
        };
        let found = placed(&rendered, "Deployment", &fields);
        assert_eq!(found, (place.into(), lines.to_vec()), "{kustomization}");
        let annotated = rendered.objects[0].object.pointer("/metadata/annotations");
        assert_eq!(annotated.is_some(), asked, "{kustomization}");
    }
}

/// Where the objects that one file's two become are said to be declared, by name.
async fn two_of_one_file(names: [&str; 2], kustomization: &str) -> Vec<(String, String)> {
    let worker = with_tools().await;
    let two = names.map(config_map).join("---\n");
    let repo = Repo::with(&[
        ("base/kustomization.yaml", "resources: [two.yaml]\n"),
        ("base/two.yaml", &two),
        ("live/kustomization.yaml", kustomization),
    ]);
    let rendered = worker.rendered(&repo.url(), "live").await.unwrap();
    let objects = rendered.objects.iter();
    let mut places: Vec<_> = objects
        .map(|o| (o.name().unwrap().to_owned(), o.provenance.to_string()))
        .collect();
    places.sort();
    places
}

#[tokio::test]
async fn an_object_whose_name_holds_anothers_of_its_file_had_no_line() {
    let second = config_map("web").lines().count() + 2;
    let (first, second) = (
        "base/two.yaml, line 1".to_owned(),
        format!("base/two.yaml, document 2, line {second}"),
    );
    for (more, names) in [
        ("", ["web", "web-worker"]),
        ("namespace: shop\n", ["web", "web-worker"]),
        ("namePrefix: p-\n", ["p-web", "p-web-worker"]),
        ("nameSuffix: -s\n", ["web-s", "web-worker-s"]),
        (
            "namePrefix: p-\nnameSuffix: -s\n",
            ["p-web-s", "p-web-worker-s"],
        ),
    ] {
        let kustomization = format!("resources: [../base]\n{more}");
        let places = two_of_one_file(["web", "web-worker"], &kustomization).await;
        let expected = [
            (names[0].into(), first.clone()),
            (names[1].into(), second.clone()),
        ];
        assert_eq!(places, expected, "{more}");
    }
}

#[tokio::test]
async fn an_object_that_took_anothers_name_is_not_taken_for_that_one() {
    let folder = "base/two.yaml".to_owned();
    // `web-worker` is what `worker` has become.
    let kustomization = "resources: [../base]\nnamePrefix: web-\n";
    let places = two_of_one_file(["worker", "web-worker"], kustomization).await;
    let expected = ["web-web-worker", "web-worker"].map(|n| (n.to_owned(), folder.clone()));
    assert_eq!(places, expected);
    // `b` is what `a` has become.
    let rename = |from: &str, to: &str| {
        let patch = format!("- {{op: replace, path: /metadata/name, value: {to}}}");
        format!("- target: {{name: {from}}}\n  patch: |\n    {patch}\n")
    };
    let kustomization = format!(
        "resources: [../base]\npatches:\n{}{}",
        rename("a", "b"),
        rename("x", "a")
    );
    let places = two_of_one_file(["a", "x"], &kustomization).await;
    let expected = ["a", "b"].map(|n| (n.to_owned(), folder.clone()));
    assert_eq!(places, expected);
}

#[tokio::test]
async fn a_config_map_that_a_generator_may_add_to_names_its_file_and_no_line() {
    let worker = with_tools().await;
    let repo = Repo::with(&[
        ("base/kustomization.yaml", "resources: [m.yaml]\n"),
        (
            "base/m.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  a: '1'\n",
        ),
        (
            "live/kustomization.yaml",
            "resources: [../base]\nconfigMapGenerator:\n- {name: m, behavior: merge, literals: [a=1], options: {disableNameSuffixHash: true}}\n",
        ),
    ]);
    let rendered = worker.rendered(&repo.url(), "live").await.unwrap();
    let (place, lines) = placed(&rendered, "ConfigMap", &["data.a"]);
    assert!(place.starts_with("base/m.yaml"), "{place}");
    assert_eq!(lines, [0]);
}

#[tokio::test]
async fn what_kustomize_would_download_run_or_follow_is_refused_with_a_remedy() {
    let worker = with_tools().await;
    for (kustomization, word) in [
        (
            "resources: ['https://user:canary@github.com/x/y?ref=main']",
            "copy the base",
        ),
        ("resources: ['https://canary.example.com/x.yaml']", "copy"),
        (
            "resources: ['github.com/x/y//base?ref=canary']",
            "copy the base",
        ),
        (
            "helmCharts:\n- name: canary\n  repo: https://h\n  releaseName: x",
            "helmCharts",
        ),
        ("transformers: [t.yaml]", "plugin"),
        ("resources: [gone.yaml]", "k/gone.yaml"),
        (
            "configMapGenerator:\n- name: x\n  files: [../outside.txt]",
            "outside its own folder",
        ),
        ("resources: [/etc/passwd]", "kustomize"),
        ("resources: [link.yaml]", "k/link.yaml"),
    ] {
        let repo = Repo::new();
        let text = format!("{kustomization}\n");
        let plugin = "apiVersion: someteam.example.com/v1\nkind: Runner\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: |\n      exec:\n        path: /bin/sh\n";
        repo.commit([
            ("k/kustomization.yaml", What::File(&text)),
            ("k/t.yaml", What::File(plugin)),
            ("k/link.yaml", What::Link("/etc/hostname")),
            ("outside.txt", What::File("canary")),
        ]);
        let error = worker.rendered(&repo.url(), "k").await.unwrap_err();
        assert_eq!(error.category(), Category::Render, "{error}");
        let told = error.to_string();
        assert!(
            told.contains(word) && told.contains("`k`") && !told.contains("canary"),
            "{kustomization}: {told}"
        );
    }
}

#[tokio::test]
async fn a_chart_gets_the_clusters_version_and_its_values_in_order() {
    let worker = with_tools().await;
    let repo = Repo::with(&[
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/values.yaml", "replicas: 1\n"),
        ("charts/web/live.yaml", "replicas: 2\n"),
        ("values/shop.yaml", "replicas: 3\n"),
        ("charts/web/templates/deploy.yaml", DEPLOY),
        (
            "charts/web/templates/hook.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: hook\n  annotations: {helm.sh/hook: test}\n",
        ),
        (
            "charts/web/crds/crd.yaml",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n",
        ),
        ("charts/web/templates/NOTES.txt", "thank you"),
    ]);
    let rendered = chart(&worker, &repo, helm(&[], json!(null))).await.unwrap();
    assert_eq!(rendered.summary.renderer, Renderer::Helm);
    assert_eq!(rendered.names(), ["things.example.com", "shop-web"]);
    let deploy = &rendered.objects[1];
    assert_eq!(deploy.provenance.file, "charts/web/templates/deploy.yaml");
    assert_eq!(
        rendered.objects[0].provenance.file,
        "charts/web/crds/crd.yaml"
    );
    assert_eq!(
        deploy.object["metadata"],
        json!({"name": "shop-web", "namespace": "shop", "labels": {"kube": "v1.37.2", "has": "true"}})
    );
    assert_eq!(deploy.object["spec"]["replicas"], 1);
    assert!(deploy.unstable.is_empty());
    for (files, values, replicas) in [
        (&["live.yaml"][..], json!(null), 2),
        (&["live.yaml", "../../values/shop.yaml"], json!(null), 3),
        (
            &["live.yaml", "../../values/shop.yaml"],
            json!({"replicas": 4}),
            4,
        ),
    ] {
        let rendered = chart(&worker, &repo, helm(files, values)).await.unwrap();
        assert_eq!(rendered.objects[1].object["spec"]["replicas"], replicas);
    }
    for file in ["../../../etc/passwd", "/etc/passwd", "gone.yaml"] {
        let error = chart(&worker, &repo, helm(&[file], json!(null)))
            .await
            .unwrap_err();
        assert!(
            matches!(error.category(), Category::Input | Category::NotFound),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_two_renderings_do_not_agree_on_is_marked() {
    let worker = with_tools().await;
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {fixed: x}}\nstringData:\n  a/b: {{ randAlphaNum 20 }}\n  fixed: x\n";
    let random =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x-{{ randAlpha 10 | lower }}\n";
    let repo = Repo::with(&[
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/templates/s.yaml", secret),
        ("charts/web/templates/x.yaml", random),
    ]);
    let rendered = chart(&worker, &repo, None).await.unwrap();
    let unstable = |kind: &str| {
        rendered
            .objects
            .iter()
            .find(|o| o.object["kind"] == kind)
            .unwrap()
            .unstable
            .clone()
    };
    assert_eq!(unstable("Secret"), ["/stringData/a~1b"]);
    assert_eq!(unstable("ConfigMap"), [""]);
}

#[tokio::test]
async fn what_helm_refuses_is_told_without_values() {
    let worker = with_tools().await;
    for (chart_yaml, template, word) in [
        (
            format!(
                "{CHART}dependencies:\n- name: canary\n  version: 1.0.0\n  repository: https://h\n"
            ),
            "",
            "helm dependency build",
        ),
        (format!("{CHART}kubeVersion: '<1.20'\n"), "", "kubeVersion"),
        (
            CHART.into(),
            "a: {{ required \"canary\" .Values.x }}",
            "charts/web/templates/x.yaml:1:",
        ),
        (CHART.into(), "a: {{ fail \"canary\" }}", "helm template"),
        (CHART.into(), "a: {{ .Values.canary.b }}", "not set"),
        (CHART.into(), "a: {{ canary }}", "function"),
        (CHART.into(), "a: [canary", "valid YAML"),
        (
            CHART.into(),
            "a: {{ .Files.Get \"/etc/passwd\" }}{{ getHostByName \"canary.example.com\" | fail }}",
            "helm template",
        ),
    ] {
        let repo = Repo::with(&[
            ("charts/web/Chart.yaml", &chart_yaml),
            ("charts/web/templates/x.yaml", template),
        ]);
        match chart(&worker, &repo, None).await {
            Err(error) => {
                let told = error.to_string();
                assert_eq!(error.category(), Category::Render, "{told}");
                assert!(
                    told.contains(word) && told.contains("charts/web") && !told.contains("canary"),
                    "{template}: {told}"
                );
            }
            Ok(rendered) => panic!("{template}: {rendered:?}"),
        }
    }
}

#[tokio::test]
async fn a_missing_tool_says_what_to_install() {
    let worker = TestWorker::with_tools(
        Some(std::path::Path::new("/nowhere/kustomize")),
        Some(std::path::Path::new("/nowhere/helm")),
    )
    .await;
    let repo = Repo::with(&[("k/kustomization.yaml", "{}"), ("c/Chart.yaml", CHART)]);
    for (path, word) in [("k", "--kustomize"), ("c", "--helm")] {
        let error = worker.rendered(&repo.url(), path).await.unwrap_err();
        assert!(
            error.category() == Category::Render && error.to_string().contains(word),
            "{error}"
        );
    }
}
