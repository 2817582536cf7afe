//! The chart, installed by the real helm into a real control plane.

// Helpers of tests are not `#[test]` functions, for which alone the workspace allows these.
#![allow(clippy::unwrap_used, clippy::panic)]

mod rights;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use driftline_e2e::{ControlPlane, Invocation, Options, Tools};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const NAMESPACE: &str = "driftline-system";
const IMAGE: &str = "image.repository=driftline.test/driftline";
/// Nothing that these tests wait for takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A control plane of its own: there can be one installation in a cluster.
struct Installed {
    plane: ControlPlane,
    tools: Tools,
}

impl Installed {
    async fn new(chart: &Path) -> Self {
        let plane = ControlPlane::start(Options::default()).await.unwrap();
        let tools = Tools::ensure().await.unwrap();
        let installed = Self { plane, tools };
        // The strictest standard, so that a Pod that needs more is refused.
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }});
        must(
            &installed.admin().await,
            Method::POST,
            "/api/v1/namespaces",
            namespace,
        )
        .await;
        let notes = installed.install(chart, &[]).await;
        assert!(
            notes.contains("kubectl rollout status deployment/driftline -n driftline-system"),
            "{notes}"
        );
        let served = [
            "crd/driftpolicies.driftline.dev",
            "crd/driftrecords.driftline.dev",
        ];
        installed
            .kubectl()
            .args(["wait", "--for=condition=Established", "--timeout=60s"])
            .args(served)
            .run()
            .await
            .unwrap();
        let client = installed.admin().await;
        eventually("the custom resources being served", async || {
            call(
                &client,
                Method::GET,
                "/apis/driftline.dev/v1alpha1/driftrecords",
                None,
                None,
            )
            .await
            .0 == 200
        })
        .await;
        installed
    }

    /// The installation that most tests share. They leave it as it is.
    async fn shared() -> &'static Self {
        static SHARED: OnceCell<Installed> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async { Self::new(&chart()).await })
            .await
    }

    async fn install(&self, chart: &Path, more: &[&str]) -> String {
        let place = [
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--set",
            IMAGE,
        ];
        self.helm()
            .args(["install", "driftline"])
            .args([chart])
            .args(place)
            .args(more)
            .run()
            .await
            .unwrap()
    }

    async fn admin(&self) -> Client {
        self.plane.client().await.unwrap()
    }

    /// A client with a real token of the operator's account.
    async fn operator(&self) -> Client {
        self.plane
            .client_for_service_account(NAMESPACE, "driftline")
            .await
            .unwrap()
    }

    fn helm(&self) -> Invocation {
        self.tools.helm(self.plane.kubeconfig_path())
    }

    fn kubectl(&self) -> Invocation {
        self.tools.kubectl(self.plane.kubeconfig_path())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn chart() -> PathBuf {
    root().join("charts/driftline")
}

/// Sends JSON, as somebody else if asked, and returns the status and what came back.
async fn call(
    client: &Client,
    method: Method,
    path: &str,
    user: Option<&str>,
    body: Option<&Value>,
) -> (u16, Value) {
    let content = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content);
    if let Some(user) = user {
        request = request.header("Impersonate-User", user);
    }
    answer(
        client,
        request
            .body(body.map(|b| b.to_string().into_bytes()).unwrap_or_default())
            .unwrap(),
    )
    .await
}

async fn answer(client: &Client, request: Request<Vec<u8>>) -> (u16, Value) {
    use http_body_util::BodyExt as _;
    let what = format!("{} {}", request.method(), request.uri());
    let response = tokio::time::timeout(PATIENCE, client.send(request.map(Into::into))).await;
    let response = response
        .unwrap_or_else(|_| panic!("{what} was not answered"))
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

/// Sends JSON that has to be accepted.
async fn must(client: &Client, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = call(client, method.clone(), path, None, Some(&body)).await;
    assert!(status < 300, "{method} {path}: {status} {answer}");
    answer
}

async fn get(client: &Client, path: &str) -> Value {
    let (status, answer) = call(client, Method::GET, path, None, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ask().await {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What `helm template` prints, or its complaint.
async fn template(tools: &Tools, arguments: &[&str]) -> Result<String, String> {
    let output = Invocation::new(&tools.helm)
        .args(["template", "other"])
        .args([chart()])
        .args(["--namespace", "other"])
        .args(arguments)
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[test]
fn the_charts_custom_resources_are_those_of_the_api() {
    let names = |folder: &Path| -> Vec<_> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.retain(|name| name.to_string_lossy().ends_with(".yaml"));
        names.sort();
        names
    };
    let (source, copies) = (root().join("crds"), chart().join("files/crds"));
    assert_eq!(names(&source), names(&copies), "run `make generate`");
    for name in names(&source) {
        let same = std::fs::read(source.join(&name)).unwrap()
            == std::fs::read(copies.join(&name)).unwrap();
        assert!(
            same,
            "charts/driftline/files/crds/{} is stale; run `make generate`",
            name.to_string_lossy()
        );
    }
}

#[tokio::test]
async fn helm_finds_nothing_to_complain_of() {
    let tools = Tools::ensure().await.unwrap();
    let lint = Invocation::new(&tools.helm)
        .args(["lint", "--strict", "--set", IMAGE])
        .args([chart()]);
    let said = lint.run().await.unwrap();
    assert!(said.contains("0 chart(s) failed"), "{said}");
}

#[tokio::test]
async fn wrong_values_are_refused_with_the_reason() {
    let tools = Tools::ensure().await.unwrap();
    let rule = |value: &str, group: &str, resource: &str| {
        json!({value: {"customResources": [{"apiGroups": [group], "resources": [resource]}]}})
            .to_string()
    };
    let refused: Vec<(String, &str)> = vec![
        (r#"{"replica": 2}"#.into(), "replica"),
        (r#"{"replicas": "two"}"#.into(), "/replicas"),
        (
            r#"{"image": {"digest": "sha256:abc"}}"#.into(),
            "/image/digest",
        ),
        (r#"{"log": {"format": "xml"}}"#.into(), "/log/format"),
        (r#"{"log": {"level": "loud"}}"#.into(), "/log/level"),
        (
            r#"{"secrets": {"compareLive": "yes"}}"#.into(),
            "/secrets/compareLive",
        ),
        (
            r#"{"worker": {"cache": {"bytes": 1}}}"#.into(),
            "/worker/cache/bytes",
        ),
        (
            r#"{"operator": {"resources": {"limits": {"memory": "lots"}}}}"#.into(),
            "/operator/resources",
        ),
        (
            r#"{"podDisruptionBudget": {"minAvailable": 1}}"#.into(),
            "minAvailable",
        ),
    ];
    for (values, word) in refused {
        refuses(&tools, &values, &[], word).await;
    }
    for value in ["read", "expected"] {
        for (group, resource) in [
            ("*", "widgets"),
            ("", "secrets"),
            ("apps", "deployments"),
            ("a.io", "*"),
            ("a.io", "x/status"),
            ("*.io", "x"),
        ] {
            refuses(
                &tools,
                &rule(value, group, resource),
                &[],
                "customResources",
            )
            .await;
            // Somebody in a hurry may skip the schema.
            refuses(
                &tools,
                &rule(value, group, resource),
                &["--skip-schema-validation"],
                "customResources",
            )
            .await;
        }
    }
    for more in [&[][..], &["--skip-schema-validation"]] {
        refuses(
            &tools,
            &rule("expected", "rbac.authorization.k8s.io", "roles"),
            more,
            "customResources",
        )
        .await;
    }
    let why = template(&tools, &[]).await.unwrap_err();
    assert!(
        why.contains("image.repository: there is no published image yet"),
        "{why}"
    );
}

async fn refuses(tools: &Tools, values: &str, more: &[&str], word: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values).unwrap();
    let arguments = ["--set", IMAGE, "--values", file.path().to_str().unwrap()];
    let why = template(tools, &[&arguments, more].concat()).await.err();
    assert!(
        why.as_ref().is_some_and(|why| why.contains(word)),
        "{values} {more:?}: {why:?}"
    );
}

#[tokio::test]
async fn the_api_server_takes_what_every_option_renders() {
    let installed = Installed::shared().await;
    let client = installed.admin().await;
    must(
        &client,
        Method::POST,
        "/api/v1/namespaces",
        json!({"metadata": {"name": "other"}}),
    )
    .await;
    let options: &[&[(&str, &str)]] = &[
        &[],
        &[
            ("fullnameOverride", "dl"),
            ("replicas", "1"),
            ("service.annotations.team", "platform"),
        ],
        &[
            ("nameOverride", "drift"),
            ("image.tag", "v9"),
            ("image.pullPolicy", "Always"),
            ("imagePullSecrets[0].name", "registry"),
        ],
        &[(
            "image.digest",
            "sha256:0123456789012345678901234567890123456789012345678901234567890123",
        )],
        &[
            ("secrets.compareLive", "true"),
            ("log.format", "text"),
            ("log.level", "debug"),
        ],
        &[
            ("expected.enabled", "false"),
            ("service.enabled", "false"),
            ("rbac.aggregateToUsers", "false"),
        ],
        &[
            ("podDisruptionBudget.enabled", "true"),
            ("podDisruptionBudget.maxUnavailable", "50%"),
        ],
        &[
            ("priorityClassName", "system-cluster-critical"),
            ("podLabels.a", "b"),
            ("podAnnotations.a", "b"),
        ],
        &[
            ("nodeSelector.a", "b"),
            ("tolerations[0].operator", "Exists"),
            ("worker.cache.bytes", "8589934592"),
        ],
        &[
            ("read.customResources[0].apiGroups", "{cert-manager.io}"),
            (
                "read.customResources[0].resources",
                "{certificates,issuers}",
            ),
            ("expected.customResources[0].apiGroups", "{cert-manager.io}"),
            ("expected.customResources[0].resources", "{certificates}"),
        ],
    ];
    for set in options {
        let mut arguments = vec![
            "--set".to_owned(),
            IMAGE.to_owned(),
            "--set".to_owned(),
            "crds.install=false".to_owned(),
        ];
        for (name, value) in *set {
            arguments.extend(["--set".to_owned(), format!("{name}={value}")]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let text = template(&installed.tools, &arguments).await.unwrap();
        let create = installed
            .kubectl()
            .args(["create", "--dry-run=server", "--validate=strict", "-f", "-"])
            .stdin(text.clone());
        create
            .run()
            .await
            .unwrap_or_else(|e| panic!("{set:?}: {e}"));
        assert_eq!(
            text.contains("--compare-secrets"),
            set.iter().any(|(name, _)| *name == "secrets.compareLive")
        );
        assert_eq!(
            text.contains("ValidatingAdmissionPolicy"),
            !set.iter().any(|(name, _)| *name == "expected.enabled")
        );
        assert!(!text.contains("e+"), "{set:?}: a number lost its digits");
    }
}

#[tokio::test]
async fn pods_are_admitted_by_the_strictest_standard_and_only_the_operator_has_a_token() {
    let installed = Installed::shared().await;
    let client = installed.admin().await;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    eventually("two Pods being created", async || {
        get(&client, &path).await["items"]
            .as_array()
            .is_some_and(|pods| pods.len() == 2)
    })
    .await;
    for pod in get(&client, &path).await["items"].as_array().unwrap() {
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], json!(false));
        let mounts = |container: &str| -> Vec<&str> {
            let containers = spec["containers"].as_array().unwrap();
            let found = containers.iter().find(|c| c["name"] == container).unwrap();
            found["volumeMounts"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|m| m["mountPath"].as_str())
                .collect()
        };
        assert_eq!(
            mounts("operator"),
            [
                "/var/run/secrets/kubernetes.io/serviceaccount",
                "/run/driftline",
                "/tmp"
            ]
        );
        assert_eq!(mounts("worker"), ["/run/driftline", "/var/cache/driftline"]);
        for container in spec["containers"].as_array().unwrap() {
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], json!(true));
            assert_eq!(security["allowPrivilegeEscalation"], json!(false));
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        }
    }
}

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
    let definition = old_chart.join("files/crds/driftpolicies.yaml");
    let text = std::fs::read_to_string(&definition).unwrap();
    std::fs::write(&definition, text.replace("    - dp\n", "    - olddp\n")).unwrap();

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
    must(&client, Method::POST, policies, rights::policy("kept")).await;
    must(
        &client,
        Method::POST,
        records,
        rights::record("kept", "kept"),
    )
    .await;
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
    upgrade(&["--set", "crds.install=false"]).await;
    still_there().await;
    upgrade(&[]).await;

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
    installed.install(&chart(), &[]).await;
    still_there().await;
}
