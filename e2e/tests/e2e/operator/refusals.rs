//! What the API server refuses of a policy, and what the operator says of one that it cannot work with.

use serde_json::{Value, json};

use super::support::{POLICY, Team, World, condition};

#[tokio::test]
async fn bad_values_are_refused_at_admission_with_the_remedy() {
    let team = Team::new(World::shared().await, "refused").await;
    type Change = fn(&mut Value);
    let refused: &[(Change, &str)] = &[
        (
            |p| p["spec"]["enforcement"] = json!("Prevent"),
            "use Observe or Revert",
        ),
        (
            |p| {
                p["spec"]["enforcement"] = json!("Revert");
                p["spec"]
                    .as_object_mut()
                    .unwrap()
                    .remove("serviceAccountName");
            },
            "name it in spec.serviceAccountName",
        ),
        (
            |p| p["spec"]["revert"] = json!({"origins": ["GitAhead"]}),
            "waits to be rolled out",
        ),
        (
            |p| p["spec"]["revert"] = json!({"after": "48h"}),
            "at most 24h",
        ),
        (
            |p| p["spec"]["hold"] = json!({"until": "tomorrow", "reason": "x"}),
            "spec.hold.until",
        ),
        (
            |p| p["spec"]["serviceAccountName"] = json!(""),
            "name a service account of the policy's namespace",
        ),
        (
            |p| p["spec"]["source"]["git"]["interval"] = json!("1s"),
            "a duration of at least 10s",
        ),
        (
            |p| p["spec"]["source"]["git"]["timeout"] = json!("11m"),
            "a duration from 1s to 10m",
        ),
        (
            |p| p["spec"]["source"]["git"]["ref"] = json!({"branch": "-x"}),
            "a branch name does not begin with -",
        ),
        (
            |p| p["spec"]["source"]["git"]["ref"] = json!({"tag": "--upload-pack=x"}),
            "a tag name does not begin with -",
        ),
        (
            |p| p["spec"]["source"]["git"]["ref"] = json!({"commit": "main"}),
            "the full hash in lower case",
        ),
        (
            |p| p["spec"]["source"]["git"]["ref"] = json!({}),
            "set exactly one of branch, tag, semver, commit",
        ),
        (
            |p| p["spec"]["source"]["git"]["ref"] = json!({"branch": "a", "tag": "b"}),
            "set exactly one of",
        ),
        (
            |p| p["spec"]["source"]["git"]["url"] = json!("--upload-pack=touch"),
            "use https://HOST/PATH",
        ),
        (
            |p| p["spec"]["source"]["git"]["url"] = json!("ext::sh -c true"),
            "use https://HOST/PATH",
        ),
        (
            |p| {
                p["spec"]["source"]["git"]["url"] = json!("https://me:secret@git.example.com/x.git")
            },
            "credentials do not belong into the url",
        ),
        (
            |p| p["spec"]["source"]["git"]["secretRef"] = json!({"name": "x"}),
            "credentials never go over plain http",
        ),
        (
            |p| p["spec"]["targets"][0]["kubernetes"]["namespace"] = json!("Shop"),
            "lower case letters, digits and -",
        ),
        (
            |p| p["spec"]["targets"][0]["kubernetes"]["path"] = json!("/etc"),
            "a path inside the repository",
        ),
        (
            |p| p["spec"]["targets"][0]["kubernetes"]["path"] = json!("a/../../b"),
            "without ..",
        ),
        (
            |p| p["spec"]["targets"][0]["name"] = json!("App"),
            "lower case letters, digits and -",
        ),
        (
            |p| p["spec"]["targets"] = json!([{"name": "a", "kubernetes": {"path": "."}}, {"name": "a", "kubernetes": {"path": "."}}]),
            "give each target a name of its own",
        ),
        (|p| p["spec"]["targets"] = json!([]), "spec.targets"),
        (
            |p| p["spec"]["targets"][0]["helmRelease"] = json!({"name": "web"}),
            "set exactly one of kubernetes, helmRelease",
        ),
        (
            |p| p["spec"]["targets"] = json!([{"name": "a"}]),
            "set exactly one of kubernetes, helmRelease",
        ),
        (
            |p| p["spec"]["targets"] = json!([{"name": "a", "helmRelease": {"name": "Web"}}]),
            "as helm list shows it",
        ),
        (|p| p["spec"]["source"] = json!(null), "name the repository"),
        (
            |p| p["spec"]["verifyEvery"] = json!("1s"),
            "a duration of at least 1m",
        ),
        (
            |p| p["spec"]["rules"] = json!([{"match": {"names": ["a"]}}]),
            "spec.rules[0]: Invalid value: rules: set either ignore, or severity, enforcement or both",
        ),
        (
            |p| {
                p["spec"]["rules"] = json!([{"match": {"names": ["a"]}, "ignore": {"reason": " "}}])
            },
            "spec.rules[0].ignore.reason: Invalid value: \" \": rules.ignore.reason: say why this may differ",
        ),
        (
            |p| p["spec"]["rules"] = json!([{"match": {}, "severity": "Low"}]),
            "name at least one of targets, kinds, names, labels, fields",
        ),
        (
            |p| p["spec"]["rules"] = json!([{"match": {"targets": ["other"]}, "severity": "Low"}]),
            "spec.rules: Invalid value: rules.match.targets: name only targets of spec.targets",
        ),
        (
            |p| {
                p["spec"]["rules"] =
                    json!([{"match": {"kinds": ["apps/v1/Deployment"]}, "severity": "Low"}])
            },
            "write GROUP/KIND without a version",
        ),
        (
            |p| p["spec"]["rules"] = json!([{"match": {"fields": ["spec..x"]}, "severity": "Low"}]),
            "spec.rules[0].match.fields: Invalid value: rules.match.fields: write paths as records show them",
        ),
        (
            |p| p["spec"]["rules"] = json!([{"match": {"fields": ["a[x"]}, "severity": "Low"}]),
            "write paths as records show them",
        ),
        (
            |p| {
                p["spec"]["rules"] = json!([{"match": {"types": ["aws_iam_*"]}, "severity": "Low"}])
            },
            "addresses and types are not available yet",
        ),
        (
            |p| p["spec"]["rules"] = json!([{"match": {"names": ["a"]}, "severity": "Huge"}]),
            "supported values: \"Low\", \"Medium\", \"High\", \"Critical\"",
        ),
        (
            |p| {
                p["spec"]["targets"][0]["kubernetes"]["undeclared"] =
                    json!({"objects": [{"kinds": ["*/Deployment"]}]})
            },
            "undeclared.objects.kinds: write GROUP/KIND without a version",
        ),
        (
            |p| p["metadata"]["name"] = json!("x".repeat(64)),
            "at most 63 characters",
        ),
    ];
    for (change, words) in refused {
        let policy = team.policy_object(change).to_string();
        let said = team.refused(&policy).await;
        assert!(said.contains(words), "{words:?} expected: {said}");
    }
}

#[tokio::test]
async fn explain_and_columns_read_well() {
    let world = World::shared().await;
    let team = Team::new(world, "columns").await;
    let explained = team
        .kubectl(["explain", "driftpolicy.spec.source.git"])
        .await;
    for words in [
        "A Git repository.",
        "interval",
        "How often the repository is asked",
        "-required-",
        "secretRef",
    ] {
        assert!(explained.contains(words), "{words}: {explained}");
    }
    let explained = team.kubectl(["explain", "driftpolicy.spec.source"]).await;
    assert!(
        explained.contains("Where the declarations are"),
        "{explained}"
    );

    team.declare("{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}")
        .await;
    team.kubectl(["delete", "configmap", "one"]).await;
    team.drifted(1).await;
    team.record("ConfigMap", "one", |_| true).await;
    let policies = team.kubectl(["get", "dp"]).await;
    let lines: Vec<Vec<&str>> = policies
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "NAME",
            "ENFORCEMENT",
            "READY",
            "DRIFTED",
            "OLDEST",
            "REVISION",
            "AGE"
        ]
    );
    assert_eq!(lines[1][..4], [POLICY, "Observe", "True", "1"]);
    assert!(lines[1][5].starts_with("main@sha1:"), "{policies}");
    let records = team.kubectl(["get", "dr"]).await;
    assert!(
        records.contains("ConfigMap") && records.contains("missing") && records.contains("Open"),
        "{records}"
    );
    for column in ["SUBJECT", "FIELDS", "BY", "STATE", "SINCE"] {
        assert!(
            records.lines().next().unwrap().contains(column),
            "{records}"
        );
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_worked_with_is_stalled_with_the_remedy() {
    let team = Team::new(World::shared().await, "stalled").await;
    let stalled = async |reason: &str, words: &str| {
        let status = team
            .status(reason, |s| condition(s, "Stalled").1 == reason)
            .await;
        let (ready, why, message) = condition(&status, "Ready");
        assert_eq!((ready.as_str(), why.as_str()), ("False", reason));
        assert!(message.contains(words), "{message}");
    };
    team.policy(|p| {
        p["spec"]
            .as_object_mut()
            .unwrap()
            .remove("serviceAccountName");
    })
    .await;
    let commands = format!(
        "kubectl -n {0} create serviceaccount shop-drift && kubectl -n {0} create rolebinding",
        team.namespace
    );
    stalled("ServiceAccountMissing", &commands).await;
    team.policy(|p| p["spec"]["source"]["git"]["url"] = json!("file:///srv/shop.git"))
        .await;
    stalled("InvalidSpec", "--allow-file-urls").await;
}

#[tokio::test]
async fn an_account_of_driftline_is_refused() {
    let world = World::shared().await;
    let team = Team::at(world, "driftline-system".to_owned(), Default::default()).await;
    for (name, account) in [("own-a", "driftline"), ("own-b", "driftline-dry-run")] {
        team.policy(|p| {
            p["metadata"]["name"] = json!(name);
            p["spec"]["serviceAccountName"] = json!(account);
        })
        .await;
        let status = team
            .status_of(name, "refused", |s| {
                condition(s, "Stalled").1 == "ServiceAccountRefused"
            })
            .await;
        assert!(
            condition(&status, "Ready")
                .2
                .contains("one of Driftline's own accounts")
        );
        team.kubectl(["delete", "driftpolicy", name]).await;
    }
}
