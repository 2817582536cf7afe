//! The chart, installed by the real helm into a real control plane.

// Helpers of tests are not `#[test]` functions, for which alone the workspace allows these.
#![allow(clippy::unwrap_used, clippy::panic)]

mod dry_run;
mod matrix;
pub(crate) mod monitoring;
mod readme;
mod rights;
mod served;
mod stamp;
pub(crate) mod support;
mod teams;
mod upgrade;

use std::path::Path;

use driftline_e2e::{Invocation, Tools};
use http::Method;
use serde_json::{Value, json};

use support::{IMAGE, Installed, NAMESPACE, chart, eventually, get, must, root};

/// What `helm template` prints, or its complaint.
async fn template(tools: &Tools, arguments: &[&str]) -> Result<String, String> {
    let output = Invocation::new(&tools.helm)
        // The Pod of the test wants its account to be there: cli/doctor.rs has both.
        .args(["template", "other", "--skip-tests"])
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
            r#"{"worker": {"env": {"LD_PRELOAD": "x"}}}"#.into(),
            "LD_PRELOAD",
        ),
        (
            r#"{"attribution": {"stamp": {"enabled": "yes"}}}"#.into(),
            "/attribution/stamp/enabled",
        ),
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
            ("log.level", "info\\,cluster=debug"),
            ("worker.env.HTTPS_PROXY", "http://proxy.example.com:3128"),
        ],
        &[
            ("expected.enabled", "false"),
            ("service.enabled", "false"),
            ("rbac.aggregateToUsers", "false"),
        ],
        &[
            ("podDisruptionBudget.enabled", "false"),
            ("commonLabels.team", "platform"),
        ],
        &[
            ("podDisruptionBudget.maxUnavailable", "50%"),
            ("networkPolicy.enabled", "true"),
            ("dashboard.enabled", "true"),
        ],
        &[
            ("topologySpreadConstraints[0].topologyKey", "rack"),
            ("topologySpreadConstraints[0].maxSkew", "1"),
            (
                "topologySpreadConstraints[0].whenUnsatisfiable",
                "DoNotSchedule",
            ),
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
            ("worker.cache.sizeLimit", "16Gi"),
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
            "crds.enabled=false".to_owned(),
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
            text.contains("may only ask for dry runs"),
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
async fn the_program_takes_the_arguments_that_the_chart_gives_it() {
    let installed = Installed::shared().await;
    let program = driftline_e2e::operator::program().unwrap();
    let only = ["--set", IMAGE, "--show-only", "templates/deployment.yaml"];
    let more = [
        "--set",
        "secrets.compareLive=true,log.format=text",
        "--set",
        "log.level=info\\,cluster=debug",
    ];
    for options in [only.to_vec(), [&only[..], &more].concat()] {
        let text = template(&installed.tools, &options).await.unwrap();
        let json = installed
            .kubectl()
            .args(["create", "--dry-run=client", "-o", "json", "-f", "-"])
            .stdin(text);
        let deployment: Value = serde_json::from_str(&json.run().await.unwrap()).unwrap();
        for container in deployment["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
        {
            assert_eq!(container["command"], json!(["driftline"]));
            let arguments: Vec<&str> = container["args"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let set: Vec<&str> = container["env"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|e| e["name"].as_str())
                .collect();
            assert!(
                container["name"] == "operator"
                    || set.starts_with(&["DRIFTLINE_LOG_FORMAT", "DRIFTLINE_LOG_LEVEL"])
            );
            // Help is printed only if everything before it is understood.
            let run = |last: &'static [&'static str]| {
                Invocation::new(&program).args(&arguments).args(last)
            };
            run(&["--help"])
                .run()
                .await
                .unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
            assert!(run(&["--no-such-flag", "--help"]).run().await.is_err());
        }
    }
}
