//! What was there before Driftline: who moved is known from what Argo CD, Flux or Helm deployed last.

use std::time::Duration;

use driftline_e2e::Options;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::releases::OPT_IN;
use super::support::{Team, World};

const ONE: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {level: info, mode: a}
";
const TWO: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: two}
data: {level: info, mode: a}
";

/// The kinds of Argo CD and Flux, as far as they are read, and the right to read them for the operator.
async fn define(world: &World) {
    for (group, plural, kind) in [
        ("argoproj.io", "applications", "Application"),
        (
            "kustomize.toolkit.fluxcd.io",
            "kustomizations",
            "Kustomization",
        ),
        (
            "source.toolkit.fluxcd.io",
            "gitrepositories",
            "GitRepository",
        ),
    ] {
        let version = if group == "argoproj.io" {
            "v1alpha1"
        } else {
            "v1"
        };
        let yaml = format!(
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.{group}, annotations: {{api-approved.kubernetes.io: unapproved}}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: {plural}, kind: {kind}}}
  versions:
  - name: {version}
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: e2e-deployers-{plural}}}
rules: [{{apiGroups: [{group}], resources: [{plural}], verbs: [get, list, watch]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: e2e-deployers-{plural}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-deployers-{plural}}}
subjects: [{{kind: ServiceAccount, name: driftline, namespace: driftline-system}}]
"
        );
        world.apply("", &yaml).await;
    }
    // The operator's catalog takes them up a moment after the API server.
    tokio::time::sleep(Duration::from_secs(5)).await;
}

pub(super) async fn shared() -> &'static World {
    static DEFINED: OnceCell<()> = OnceCell::const_new();
    let world = World::shared().await;
    DEFINED.get_or_init(|| define(world)).await;
    world
}

/// Why something is not believed, and what makes it so.
type Case<F> = (&'static str, F);
type ChangeBoth = fn(&mut Value, &mut Value);

/// A team whose account may get what deployers keep in its namespace. Its `one` was edited after the first commit was deployed; the second
/// commit was not rolled out.
struct Months<'a> {
    team: Team<'a>,
    deployed: String,
}

impl<'a> Months<'a> {
    async fn new(world: &'a World, prefix: &str) -> Self {
        let team = Team::new(world, prefix).await;
        team.apply(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployers}
rules: [{apiGroups: [argoproj.io, kustomize.toolkit.fluxcd.io, source.toolkit.fluxcd.io], resources: ['*'], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployers}
subjects: [{kind: ServiceAccount, name: drift}]
",
        )
        .await;
        team.apply(ONE).await;
        team.apply(TWO).await;
        let deployed = team
            .commit(&[("deploy/one.yaml", ONE), ("deploy/two.yaml", TWO)])
            .await;
        let next = |text: &str| text.replace("level: info", "level: warn");
        let files = [
            ("deploy/one.yaml", next(ONE)),
            ("deploy/two.yaml", next(TWO)),
        ];
        team.commit(&files.each_ref().map(|(path, text)| (*path, text.as_str())))
            .await;
        let patch = r#"{"data":{"mode":"hand"}}"#;
        team.kubectl(["patch", "configmap", "one", "--type=merge", "-p", patch])
            .await;
        Self { team, deployed }
    }

    async fn create(&self, objects: &[Value]) {
        for object in objects {
            self.team.apply(&object.to_string()).await;
        }
    }

    /// An Application as Argo CD 3 writes it after a sync of the first commit.
    async fn application(&self, change: impl FnOnce(&mut Value)) {
        let team = &self.team;
        let name = team.namespace.as_str();
        for object in ["one", "two"] {
            let id = format!("argocd.argoproj.io/tracking-id={name}:/ConfigMap:{name}/{object}");
            team.kubectl(["annotate", "configmap", object, &id]).await;
        }
        let source =
            json!({"repoURL": team.server.url("shop"), "path": "deploy", "targetRevision": "main"});
        let listed = |object: &str| json!({"version": "v1", "kind": "ConfigMap", "namespace": name, "name": object, "status": "OutOfSync"});
        let mut application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name},
            "spec": {"project": "default", "source": source, "destination": {"server": "https://kubernetes.default.svc", "namespace": name}},
            "status": {
                "sourceType": "Directory",
                "sync": {"status": "OutOfSync", "revision": team.repo.head().await.unwrap()},
                "history": [{"id": 0, "revision": self.deployed, "deployedAt": "2026-01-01T00:00:00Z", "source": source}],
                "operationState": {
                    "phase": "Succeeded", "operation": {"sync": {"revision": self.deployed}}, "startedAt": "2026-01-01T00:00:00Z",
                    "syncResult": {"revision": self.deployed, "source": source},
                },
                "resources": [listed("one"), listed("two")],
            },
        });
        change(&mut application);
        self.create(&[application]).await;
    }

    /// A Kustomization as Flux writes it after the first commit was applied.
    async fn kustomization(&self, change: impl FnOnce(&mut Value, &mut Value)) {
        let team = &self.team;
        let namespace = team.namespace.as_str();
        for object in ["one", "two"] {
            let labels = [
                "kustomize.toolkit.fluxcd.io/name=shop".to_owned(),
                format!("kustomize.toolkit.fluxcd.io/namespace={namespace}"),
            ];
            team.kubectl(["label", "configmap", object, &labels[0], &labels[1]])
                .await;
        }
        let revision = format!("main@sha1:{}", self.deployed);
        let listed =
            |object: &str| json!({"id": format!("{namespace}_{object}__ConfigMap"), "v": "v1"});
        let mut kustomization = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "shop"},
            "spec": {"interval": "10m", "path": "./deploy", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "shop"}},
            "status": {
                "lastAppliedRevision": revision, "lastAttemptedRevision": revision,
                "inventory": {"entries": [listed("one"), listed("two")]},
            },
        });
        let mut repository = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "shop"},
            "spec": {"interval": "1m", "url": team.server.url("shop"), "ref": {"branch": "main"}},
        });
        change(&mut kustomization, &mut repository);
        self.create(&[kustomization, repository]).await;
    }

    /// Waits until the policy tells the commit from the edit, by this evidence.
    async fn is_told(&self, evidence: &str) {
        let team = &self.team;
        let record = team
            .record("ConfigMap", "one", |r| {
                r["status"]["fields"]
                    .as_array()
                    .is_some_and(|f| f.len() == 2)
            })
            .await;
        assert_eq!(
            origins(&record),
            [("data.level", "GitAhead"), ("data.mode", "LiveEdited")],
            "{record}"
        );
        let baseline = &record["status"]["baseline"];
        assert_eq!(baseline["evidence"], evidence, "{record}");
        let revision = baseline["revision"].as_str().unwrap();
        assert!(revision.contains(&self.deployed), "{baseline}");
        assert!(baseline["inputs"].is_string(), "{baseline}");
        let status = team
            .status("the roll-out is pending", |s| {
                s["summary"]["pending"] == 1 && s["summary"]["drifted"] == 1
            })
            .await;
        assert_eq!(status["summary"]["unverified"], 0, "{status}");
    }

    /// The same, and an audit tells the same of the object as the operator's record.
    async fn is_told_by_both(&self, evidence: &str) {
        self.is_told(evidence).await;
        let record = self.team.record("ConfigMap", "one", |_| true).await;
        self.audit_agrees(&record).await;
    }

    /// An audit of the same repository tells the same of the object as the operator's record.
    async fn audit_agrees(&self, record: &Value) {
        let team = &self.team;
        let url = team.server.url("shop");
        let audit = [
            "audit",
            "--git",
            &url,
            "--path",
            "deploy",
            "-n",
            &team.namespace,
            "-o",
            "json",
        ];
        let run = crate::cli::support::run(team.world.plane().kubeconfig_path(), &audit).await;
        assert_eq!(run.code, 1, "{}{}", run.out, run.err);
        let report = run.json();
        let objects = report["clusters"][0]["objects"].as_array().unwrap();
        let told = objects.iter().find(|o| o["subject"]["name"] == "one");
        let told = told.unwrap_or_else(|| panic!("{report}"));
        let status = &record["status"];
        for key in ["origin", "severity", "change"] {
            assert_eq!(told[key], status[key], "{key}: {told}\n{status}");
        }
        // The digest of the other inputs is each one's own: it holds the versions of its tools and what it calls a chart's release.
        for key in ["evidence", "revision"] {
            let (told, known) = (&told["baseline"][key], &status["baseline"][key]);
            assert_eq!(told, known, "{key}: {report}\n{status}");
        }
        let fields = |of: &Value| -> Vec<Vec<Value>> {
            let keys = ["path", "change", "origin", "declared", "live", "by"];
            let all = of["fields"].as_array().unwrap().iter();
            all.map(|f| keys.map(|k| f[k].clone()).into()).collect()
        };
        assert_eq!(fields(told), fields(status), "{told}\n{status}");
        let summary = &report["summary"];
        assert_eq!(
            (&summary["pending"], &summary["drifted"]),
            (&json!(1), &json!(1)),
            "{summary}"
        );
    }

    /// Waits until both objects are told, without anybody knowing who moved.
    async fn is_unknown(&self, why: &str) {
        for name in ["one", "two"] {
            let record = self.team.record("ConfigMap", name, |_| true).await;
            assert_eq!(record["status"]["origin"], "Unknown", "{why}: {record}");
            assert!(record["status"]["baseline"].is_null(), "{why}: {record}");
        }
    }
}

fn origins(record: &Value) -> Vec<(&str, &str)> {
    let fields = record["status"]["fields"].as_array().unwrap();
    fields
        .iter()
        .map(|f| (f["path"].as_str().unwrap(), f["origin"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn what_argo_cd_synced_tells_an_edit_from_a_commit() {
    let months = Months::new(shared().await, "argo").await;
    months.application(|_| {}).await;
    months.team.policy(|_| {}).await;
    months.is_told_by_both("ArgoCD").await;
    assert_eq!(months.team.open_records().await.len(), 1);
    // Once it was seen in sync, Driftline knows for itself.
    let next = |text: &str| text.replace("level: info", "level: warn");
    months.team.apply(&next(ONE)).await;
    months.team.apply(&next(TWO)).await;
    months.team.closed("ConfigMap", "one").await;
    months.team.in_sync().await;
    let patch = r#"{"data":{"mode":"again"}}"#;
    months
        .team
        .kubectl(["patch", "configmap", "one", "--type=merge", "-p", patch])
        .await;
    let record = months.team.record("ConfigMap", "one", |_| true).await;
    assert_eq!(record["status"]["baseline"]["evidence"], "Own", "{record}");
    months.team.check().await;
    months.team.world.assert_nothing_missed().await;
}

#[tokio::test]
async fn what_argo_cd_synced_and_somebody_deleted_is_no_commit_that_waits() {
    let months = Months::new(shared().await, "argogone").await;
    months.application(|_| {}).await;
    let three = "{apiVersion: v1, kind: ConfigMap, metadata: {name: three}, data: {k: v}}";
    months.team.commit(&[("deploy/three.yaml", three)]).await;
    let namespace = months.team.namespace.as_str();
    months
        .application_lists(&["one", "two", "three"], namespace)
        .await;
    months.team.kubectl(["delete", "configmap", "two"]).await;
    months.team.policy(|_| {}).await;
    let record = months.team.record("ConfigMap", "two", |_| true).await;
    assert_eq!(record["status"]["change"], "Missing");
    assert_eq!(record["status"]["origin"], "LiveEdited", "{record}");
    assert_eq!(record["status"]["baseline"]["evidence"], "ArgoCD");
    // The third was never rolled out.
    months
        .team
        .status("pending", |s| {
            s["summary"]["pending"] == 1 && s["summary"]["drifted"] == 2
        })
        .await;
}

impl Months<'_> {
    async fn application_lists(&self, names: &[&str], namespace: &str) {
        let listed: Vec<Value> = names
            .iter()
            .map(|name| json!({"version": "v1", "kind": "ConfigMap", "namespace": namespace, "name": name, "status": "OutOfSync"}))
            .collect();
        let patch = json!({"status": {"resources": listed}}).to_string();
        self.team
            .kubectl([
                "patch",
                "applications.argoproj.io",
                namespace,
                "--type=merge",
                "-p",
                &patch,
            ])
            .await;
    }
}

#[tokio::test]
async fn an_application_is_not_believed_for_what_it_does_not_list_or_render() {
    let world = shared().await;
    let forged = |a: &mut Value| a["status"]["resources"] = json!([]);
    let other = |a: &mut Value| {
        let url = json!("https://git.example.com/other/deploy.git");
        a["status"]["history"][0]["source"]["repoURL"] = url;
    };
    let elsewhere = |a: &mut Value| a["status"]["history"][0]["source"]["path"] = json!("prod");
    let unfinished = |a: &mut Value| {
        a["status"]["operationState"]["phase"] = json!("Failed");
        a["status"]["operationState"]["syncResult"]["revision"] = json!("e".repeat(40));
    };
    let lost = |a: &mut Value| {
        a["status"]["history"][0]["revision"] = json!("e".repeat(40));
        a["status"]["operationState"] = Value::Null;
    };
    let cases: [Case<fn(&mut Value)>; 5] = [
        ("it does not list them", forged),
        ("another repository", other),
        ("another path", elsewhere),
        ("an attempt at another commit failed", unfinished),
        ("the commit is not in the repository", lost),
    ];
    for (why, change) in cases {
        let months = Months::new(world, "forged").await;
        months.application(change).await;
        months.team.policy(|_| {}).await;
        months.is_unknown(why).await;
    }
}

#[tokio::test]
async fn an_account_that_may_not_get_the_application_learns_nothing_from_it() {
    let months = Months::new(shared().await, "norights").await;
    months.application(|_| {}).await;
    months
        .team
        .kubectl(["delete", "rolebinding", "deployers"])
        .await;
    months.team.policy(|_| {}).await;
    months.is_unknown("no rights").await;
    // Given them, a check asks once more.
    months
        .team
        .kubectl([
            "create",
            "rolebinding",
            "again",
            "--role=deployers",
            &format!("--serviceaccount={}:drift", months.team.namespace),
        ])
        .await;
    months.team.check().await;
    let told = |r: &Value| r["status"]["origin"] == "LiveEdited";
    months.team.record("ConfigMap", "one", told).await;
    months.is_told("ArgoCD").await;
}

#[tokio::test]
async fn what_flux_applied_tells_an_edit_from_a_commit() {
    let months = Months::new(shared().await, "flux").await;
    months.kustomization(|_, _| {}).await;
    months.team.policy(|_| {}).await;
    months.is_told_by_both("Flux").await;
    months.team.check().await;
    months.team.world.assert_nothing_missed().await;
}

#[tokio::test]
async fn a_kustomization_is_not_believed_for_what_it_does_not_list_or_render() {
    let world = shared().await;
    let forged = |k: &mut Value, _: &mut Value| k["status"]["inventory"]["entries"] = json!([]);
    let other = |_: &mut Value, r: &mut Value| {
        r["spec"]["url"] = json!("ssh://git@git.example.com/other/deploy.git");
    };
    let patched = |k: &mut Value, _: &mut Value| {
        k["spec"]["images"] = json!([{"name": "web", "newTag": "2"}]);
    };
    let cases: [Case<ChangeBoth>; 3] = [
        ("it does not list them", forged),
        ("another repository", other),
        ("it renders something else", patched),
    ];
    for (why, change) in cases {
        let months = Months::new(world, "fluxforged").await;
        months.kustomization(change).await;
        months.team.policy(|_| {}).await;
        months.is_unknown(why).await;
    }
}

const CHART: [(&str, &str); 3] = [
    (
        "chart/Chart.yaml",
        "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    ),
    ("chart/values.yaml", "level: info\n"),
    (
        "chart/templates/settings.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {level: '{{ .Values.level }}', mode: a}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: more}
data: {level: '{{ .Values.level }}'}
",
    ),
];

#[tokio::test]
async fn what_helm_deployed_tells_an_edit_from_a_commit() {
    let world = World::shared().await;
    let team = Team::new(world, "helmproof").await;
    team.commit(&CHART).await;
    let chart = team.repo.work_tree().join("chart");
    let helm = world.tools.helm(world.plane().kubeconfig_path());
    let chart = chart.display().to_string();
    helm.args(["install", "web", "-n", &team.namespace, &chart])
        .run()
        .await
        .unwrap();
    let patch = r#"{"data":{"mode":"hand"}}"#;
    team.kubectl([
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        patch,
    ])
    .await;
    team.commit(&[("chart/values.yaml", "level: warn\n")]).await;
    team.policy(|p| p["spec"]["targets"][0]["kubernetes"]["path"] = json!("chart"))
        .await;
    // The account may not read Helm's storage.
    let record = team.record("ConfigMap", "settings", |_| true).await;
    assert_eq!(record["status"]["origin"], "Unknown", "{record}");
    team.apply(OPT_IN).await;
    team.check().await;
    let told = |r: &Value| r["status"]["origin"] == "LiveEdited";
    let record = team.record("ConfigMap", "settings", told).await;
    let expected = [("data.level", "GitAhead"), ("data.mode", "LiveEdited")];
    assert_eq!(origins(&record), expected, "{record}");
    let baseline = &record["status"]["baseline"];
    assert_eq!(baseline["evidence"], "Helm", "{baseline}");
    assert_eq!(baseline["revision"], "v1", "{baseline}");
    // What was installed may have been a hotfix by `--set`, and no commit.
    let ahead = |r: &Value| r["status"]["origin"] == "GitAhead";
    team.record("ConfigMap", "more", ahead).await;
    team.drifted(2).await;
    team.check().await;
    world.assert_nothing_missed().await;
}

#[tokio::test]
async fn what_a_deployer_proved_is_remembered_across_a_restart() {
    let world = World::own(Options::default(), &[]).await;
    define(&world).await;
    let months = Months::new(&world, "proved").await;
    months.application(|_| {}).await;
    months.team.policy(|_| {}).await;
    months.is_told("ArgoCD").await;
    // Saved at most every 20 s.
    tokio::time::sleep(Duration::from_secs(25)).await;
    world.kill_operator().await;
    let application = months.team.namespace.as_str();
    months
        .team
        .kubectl(["delete", "applications.argoproj.io", application])
        .await;
    world.start_operator(&[]).await;
    let patch = r#"{"data":{"mode":"once more"}}"#;
    months
        .team
        .kubectl(["patch", "configmap", "one", "--type=merge", "-p", patch])
        .await;
    let again = |r: &Value| {
        let fields = r["status"]["fields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        fields.iter().any(|f| f["live"] == "once more")
    };
    months.team.record("ConfigMap", "one", again).await;
    months.is_told("ArgoCD").await;
    months.team.check().await;
    world.assert_nothing_missed().await;
}
