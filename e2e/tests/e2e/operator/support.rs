//! An operator, and a team's namespace with a repository, an account and a policy of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use driftline_e2e::git::{GitRepo, GitServer, GitServerOptions};
use driftline_e2e::{ControlPlane, Invocation, Operator, OperatorOptions, Options, Tools};
use futures::StreamExt as _;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Nothing that these tests wait for takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// A control plane with the chart installed and an operator.
pub(crate) struct World {
    plane: Plane,
    pub(crate) tools: Tools,
    pub(crate) operator: tokio::sync::RwLock<Option<Operator>>,
}

enum Plane {
    Shared(&'static ControlPlane),
    Own(Box<ControlPlane>),
}

impl World {
    /// The one that most tests share. They leave it as it is.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<World> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                let plane = ControlPlane::shared().await.unwrap();
                Self::with(Plane::Shared(plane), &[]).await
            })
            .await
    }

    /// One for a test that breaks things.
    pub(crate) async fn own(options: Options, arguments: &[&str]) -> Self {
        let plane = ControlPlane::start(options).await.unwrap();
        Self::with(Plane::Own(Box::new(plane)), arguments).await
    }

    async fn with(plane: Plane, arguments: &[&str]) -> Self {
        let tools = Tools::ensure().await.unwrap();
        let world = Self {
            plane,
            tools,
            operator: tokio::sync::RwLock::new(None),
        };
        let operator = Operator::start(&world.tools, world.plane(), flags(arguments))
            .await
            .unwrap();
        *world.operator.write().await = Some(operator);
        world
    }

    pub(crate) fn plane(&self) -> &ControlPlane {
        match &self.plane {
            Plane::Shared(plane) => plane,
            Plane::Own(plane) => plane,
        }
    }

    /// One more operator with the same rights.
    pub(crate) async fn another_operator(&self, arguments: &[&str]) -> Operator {
        Operator::start_installed(
            &self.tools,
            self.plane().kubeconfig_path(),
            flags(arguments),
        )
        .await
        .unwrap()
    }

    /// Kills the operator, as a crash would.
    pub(crate) async fn kill_operator(&self) {
        drop(self.operator.write().await.take());
    }

    /// Replaces the operator by one that finds the API server elsewhere.
    pub(crate) async fn restart_operator_at(&self, server: String) {
        self.kill_operator().await;
        let options = OperatorOptions {
            server: Some(server),
            ..flags(&[])
        };
        let admin = self.plane().kubeconfig_path();
        let operator = Operator::start_installed(&self.tools, admin, options).await;
        *self.operator.write().await = Some(operator.unwrap());
    }

    pub(crate) async fn start_operator(&self, arguments: &[&str]) {
        let operator = self.another_operator(arguments).await;
        *self.operator.write().await = Some(operator);
    }

    pub(crate) async fn log(&self) -> String {
        let operator = self.operator.read().await;
        operator.as_ref().map(Operator::log).unwrap_or_default()
    }

    pub(crate) async fn metrics(&self) -> String {
        let operator = self.operator.read().await;
        let operator = operator.as_ref().unwrap();
        operator.get("/metrics").await.unwrap().1
    }

    /// Full verifications found nothing that the watches had not told.
    pub(crate) async fn assert_nothing_missed(&self) {
        let metrics = self.metrics().await;
        let told = "driftline_verification_missed_total 0";
        assert!(metrics.lines().any(|l| l == told), "{metrics}");
    }

    pub(crate) fn kubectl(&self) -> Invocation {
        self.tools.kubectl(self.plane().kubeconfig_path())
    }

    pub(crate) async fn client(&self) -> Client {
        self.plane().client().await.unwrap()
    }

    /// Applies objects as an administrator would; those that name no namespace in this one.
    pub(crate) async fn apply(&self, namespace: &str, yaml: &str) {
        let mut command =
            self.kubectl()
                .args(["apply", "--server-side", "--force-conflicts", "-f", "-"]);
        if !namespace.is_empty() {
            command = command.args(["-n", namespace]);
        }
        command.stdin(yaml).run().await.unwrap();
    }
}

fn flags(arguments: &[&str]) -> OperatorOptions {
    let level = |a: &&str| a.strip_prefix("--log-level=").map(str::to_owned);
    let (levels, others): (Vec<&str>, Vec<&str>) =
        arguments.iter().partition(|a| level(a).is_some());
    OperatorOptions {
        arguments: others.into_iter().map(str::to_owned).collect(),
        log_level: levels.first().and_then(level).unwrap_or_default(),
        ..OperatorOptions::default()
    }
}

/// A team: a namespace with an account that may list everything in it, and a repository.
pub(crate) struct Team<'a> {
    pub(crate) world: &'a World,
    pub(crate) namespace: String,
    pub(crate) server: GitServer,
    pub(crate) repo: GitRepo,
    pub(crate) client: Client,
}

/// A policy's name wherever a test has one only.
pub(crate) const POLICY: &str = "shop";

impl<'a> Team<'a> {
    pub(crate) async fn new(world: &'a World, prefix: &str) -> Self {
        let namespace = world.plane().create_namespace(prefix).await.unwrap();
        Self::at(world, namespace, GitServerOptions::default()).await
    }

    pub(crate) async fn at(world: &'a World, namespace: String, options: GitServerOptions) -> Self {
        let server = GitServer::start(options).unwrap();
        let repo = server.create_repo("shop").await.unwrap();
        let team = Self {
            client: world.client().await,
            world,
            namespace,
            server,
            repo,
        };
        team.apply(
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: drift}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: drift}
rules: [{apiGroups: ['*'], resources: ['*'], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: drift}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: drift}
subjects: [{kind: ServiceAccount, name: drift}]
",
        )
        .await;
        team
    }

    pub(crate) async fn apply(&self, yaml: &str) {
        self.world.apply(&self.namespace, yaml).await;
    }

    /// kubectl in the team's namespace.
    pub(crate) async fn kubectl<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> String {
        self.world
            .kubectl()
            .args(["-n", &self.namespace])
            .args(arguments)
            .run()
            .await
            .unwrap()
    }

    /// What kubectl says when it fails.
    pub(crate) async fn refused(&self, yaml: &str) -> String {
        let output = self
            .world
            .kubectl()
            .args(["-n", &self.namespace, "apply", "-f", "-"])
            .stdin(yaml)
            .output()
            .await
            .unwrap();
        assert!(!output.status.success(), "accepted: {yaml}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// A policy of one target `app` at `deploy`, changed as a test needs it.
    pub(crate) fn policy_object(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut policy = json!({
            "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftPolicy",
            "metadata": {"name": POLICY, "namespace": self.namespace},
            "spec": {
                "serviceAccountName": "drift",
                "source": {"git": {"url": self.server.url("shop"), "ref": {"branch": "main"}}},
                "targets": [{"name": "app", "kubernetes": {"path": "deploy"}}],
            },
        });
        change(&mut policy);
        policy
    }

    pub(crate) async fn policy(&self, change: impl FnOnce(&mut Value)) {
        let policy = self.policy_object(change).to_string();
        let namespace = self.namespace.as_str();
        let arguments = ["-n", namespace, "apply", "-f", "-"];
        let apply = self.world.kubectl().args(arguments).stdin(policy);
        apply.run().await.unwrap();
    }

    /// Commits `files` and has them deployed by `kubectl apply` where they are YAML of `deploy/`.
    pub(crate) async fn commit(&self, files: &[(&str, &str)]) -> String {
        let files = files.iter().map(|(path, text)| (*path, *text));
        self.repo.commit("a change", files).await.unwrap()
    }

    /// Deploys and declares one file, and waits until a policy over it is in sync.
    pub(crate) async fn declare(&self, yaml: &str) {
        self.apply(yaml).await;
        self.commit(&[("deploy/app.yaml", yaml)]).await;
        self.policy(|_| {}).await;
        self.in_sync().await;
    }

    pub(crate) fn api(&self, kind: &str) -> Api<DynamicObject> {
        let plural = match kind {
            "DriftPolicy" => "driftpolicies",
            "DriftException" => "driftexceptions",
            _ => "driftrecords",
        };
        let kind = GroupVersionKind::gvk("driftline.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Waits until the objects of a kind, by name, are as wanted.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        kind: &str,
        done: impl FnMut(&BTreeMap<String, Value>) -> Option<T>,
    ) -> T {
        let api = self.api(kind);
        self.until_in(what, api, done).await
    }

    pub(crate) async fn until_in<T>(
        &self,
        what: &str,
        api: Api<DynamicObject>,
        done: impl FnMut(&BTreeMap<String, Value>) -> Option<T>,
    ) -> T {
        match watch_until(api, PATIENCE, done).await {
            Ok(found) => found,
            Err(last) => {
                let log = self.world.log().await;
                let tail: Vec<&str> = log.lines().rev().take(25).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                panic!(
                    "{what}: not within {PATIENCE:?}; last seen: {}\nthe operator's log:\n{}",
                    serde_json::to_string_pretty(&last).unwrap(),
                    tail.join("\n")
                )
            }
        }
    }

    /// Waits until the policy's status is as wanted, and gives it.
    pub(crate) async fn status(&self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        self.status_of(POLICY, what, done).await
    }

    pub(crate) async fn status_of(
        &self,
        policy: &str,
        what: &str,
        done: impl Fn(&Value) -> bool,
    ) -> Value {
        self.until(what, "DriftPolicy", |all| {
            let policy = all.get(policy)?;
            let seen = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
            (seen && done(&policy["status"])).then(|| policy["status"].clone())
        })
        .await
    }

    pub(crate) async fn in_sync(&self) -> Value {
        self.status("in sync", |s| {
            condition(s, "Drifted").0 == "False"
                && condition(s, "Ready").0 == "True"
                && s["records"]["open"] == 0
        })
        .await
    }

    pub(crate) async fn drifted(&self, count: u64) -> Value {
        self.status("drifted", |s| {
            s["summary"]["drifted"] == count && s["summary"]["unverified"] == 0
        })
        .await
    }

    /// Waits for an open record of an object, with all that it says as wanted.
    pub(crate) async fn record(
        &self,
        kind: &str,
        name: &str,
        done: impl Fn(&Value) -> bool,
    ) -> Value {
        self.record_in("Open", kind, name, done).await
    }

    /// The same in another state.
    pub(crate) async fn record_in(
        &self,
        state: &str,
        kind: &str,
        name: &str,
        done: impl Fn(&Value) -> bool,
    ) -> Value {
        self.until(
            &format!("a record of {kind} {name}, {state}"),
            "DriftRecord",
            |all| {
                let hit = |r: &&Value| {
                    let subject = &r["spec"]["subject"]["kubernetes"];
                    subject["kind"] == kind
                        && subject["name"] == name
                        && r["status"]["state"] == state
                };
                all.values().find(hit).filter(|r| done(r)).cloned()
            },
        )
        .await
    }

    /// Waits until the object's record is closed.
    pub(crate) async fn closed(&self, kind: &str, name: &str) -> Value {
        self.until(
            &format!("the closed record of {kind} {name}"),
            "DriftRecord",
            |all| {
                let hit = |r: &&Value| {
                    let subject = &r["spec"]["subject"]["kubernetes"];
                    subject["kind"] == kind
                        && subject["name"] == name
                        && r["status"]["state"] == "Closed"
                };
                all.values().find(hit).cloned()
            },
        )
        .await
    }

    /// All records, by name.
    pub(crate) async fn records(&self) -> BTreeMap<String, Value> {
        let list = self.api("DriftRecord").list(&Default::default()).await;
        let all = list.unwrap().items.into_iter();
        all.map(|r| (r.name_any(), serde_json::to_value(r).unwrap()))
            .collect()
    }

    pub(crate) async fn open_records(&self) -> Vec<Value> {
        let all = self.records().await.into_values();
        all.filter(|r| r["status"]["state"] == "Open").collect()
    }

    /// Waits until so many records are open.
    pub(crate) async fn open_records_become(&self, count: usize) {
        let started = std::time::Instant::now();
        loop {
            let open = self.open_records().await.len();
            if open == count {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{open} records are open, not {count}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// Asks for a check by annotation and waits for its answer: new commits are in, and everything is compared.
    pub(crate) async fn check(&self) -> Value {
        self.check_of(POLICY).await
    }

    pub(crate) async fn check_of(&self, policy: &str) -> Value {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let token = format!("check-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let patch = json!({"metadata": {"annotations": {"driftline.dev/check": token}}});
        self.api("DriftPolicy")
            .patch(policy, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
        self.status_of(policy, "the answer to a check", |s| {
            s["lastHandledCheck"] == token.as_str()
        })
        .await
    }
}

/// Follows objects until they are as wanted; the last state if that takes too long.
pub(crate) async fn watch_until<T>(
    api: Api<DynamicObject>,
    patience: Duration,
    mut done: impl FnMut(&BTreeMap<String, Value>) -> Option<T>,
) -> Result<T, BTreeMap<String, Value>> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    let mut listed = false;
    let mut events = Box::pin(watcher(api, Config::default()).default_backoff());
    let follow = async {
        while let Some(event) = events.next().await {
            let Ok(event) = event else { continue };
            match event {
                Event::Init => {
                    all.clear();
                    listed = false;
                }
                Event::InitApply(o) | Event::Apply(o) => {
                    all.insert(o.name_any(), serde_json::to_value(&o).unwrap());
                }
                Event::Delete(o) => {
                    all.remove(&o.name_any());
                }
                Event::InitDone => listed = true,
            }
            if listed && let Some(found) = done(&all) {
                return Some(found);
            }
        }
        None
    };
    match tokio::time::timeout(patience, follow).await {
        Ok(Some(found)) => Ok(found),
        _ => Err(all),
    }
}

/// A condition's status, reason and message; empty if it is not there.
pub(crate) fn condition(status: &Value, kind: &str) -> (String, String, String) {
    let text = |c: &Value, key: &str| c[key].as_str().unwrap_or_default().to_owned();
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == kind);
    found
        .map(|c| (text(c, "status"), text(c, "reason"), text(c, "message")))
        .unwrap_or_default()
}

/// A record's fields: path, change, declared, live.
pub(crate) fn fields(record: &Value) -> Vec<(String, String, Value, Value)> {
    let all = record["status"]["fields"].as_array().cloned();
    let mut fields: Vec<_> = all
        .unwrap_or_default()
        .into_iter()
        .map(|f| {
            let text = |key: &str| f[key].as_str().unwrap_or_default().to_owned();
            (
                text("path"),
                text("change"),
                f["declared"].clone(),
                f["live"].clone(),
            )
        })
        .collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

/// One field of a record.
pub(crate) fn changed(
    path: &str,
    declared: impl Into<Value>,
    live: impl Into<Value>,
) -> (String, String, Value, Value) {
    (
        path.to_owned(),
        "Changed".to_owned(),
        declared.into(),
        live.into(),
    )
}

pub(crate) fn missing(path: &str, declared: impl Into<Value>) -> (String, String, Value, Value) {
    (
        path.to_owned(),
        "Missing".to_owned(),
        declared.into(),
        Value::Null,
    )
}

/// Sends JSON as somebody's own client would, under an odd user agent, and gives what came back.
pub(crate) async fn raw(client: &Client, method: &str, path: &str, body: &Value) -> Value {
    let content = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content)
        .header("user-agent", "okhttp/4.12.0")
        .body(body)
        .unwrap();
    client.request(request).await.unwrap()
}
