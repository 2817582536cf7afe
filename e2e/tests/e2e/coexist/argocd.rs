//! Beside Argo CD's application controller.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use driftline_e2e::peers::ArgoCd;
use futures::StreamExt as _;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use serde_json::{Value, json};

use super::*;

const KIND: (&str, &str, &str, &str) = ("argoproj.io", "v1alpha1", "Application", "applications");

fn applications(team: &Team<'_>) -> Api<DynamicObject> {
    api(team, ArgoCd::NAMESPACE, KIND)
}

/// An Application of a team's repository, which goes by the name of the team's namespace.
async fn application(team: &Team<'_>, policy: Value) {
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": team.namespace, "namespace": ArgoCd::NAMESPACE},
        "spec": {
            "project": "default",
            "source": {"repoURL": team.server.url("shop"), "path": "deploy", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": team.namespace},
            "syncPolicy": policy,
        },
    });
    team.world.apply("", &application.to_string()).await;
}

async fn patch(team: &Team<'_>, patch: Value) {
    let params = PatchParams::default();
    let patch = Patch::Merge(patch);
    let api = applications(team);
    api.patch(&team.namespace, &params, &patch).await.unwrap();
}

async fn until(team: &Team<'_>, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    team.until_in(what, applications(team), |all| {
        all.get(&team.namespace)
            .filter(|a| done(&a["status"]))
            .cloned()
    })
    .await
}

/// The Application is in sync with a commit, and so is each of its objects.
async fn synced(team: &Team<'_>, commit: &str) {
    until(team, "Synced", |s| is_synced(s, commit)).await;
}

fn is_synced(status: &Value, commit: &str) -> bool {
    let all = status["resources"].as_array();
    let each = all.is_some_and(|all| all.iter().all(|r| r["status"] == "Synced"));
    each && status["sync"]["status"] == "Synced" && status["sync"]["revision"] == commit
}

/// Asks for a sync and waits until it has succeeded.
async fn sync(team: &Team<'_>, commit: &str, options: &[&str]) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed).to_string();
    let operation = json!({
        "info": [{"name": "turn", "value": turn}],
        "initiatedBy": {"username": "e2e"},
        "sync": {"revision": commit, "syncOptions": options},
    });
    patch(team, json!({"operation": operation})).await;
    let application = until(team, "the end of a sync", |s| {
        let state = &s["operationState"];
        state["operation"]["info"][0]["value"] == turn && state["phase"] != "Running"
    })
    .await;
    let state = &application["status"]["operationState"];
    assert_eq!(state["phase"], "Succeeded", "{state:#}");
    synced(team, commit).await;
}

/// Every status of synchronisation that an Application ever had, once it was in sync.
struct Statuses {
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Statuses {
    fn watch(team: &Team<'_>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (into, api, name) = (
            Arc::clone(&seen),
            applications(team),
            team.namespace.clone(),
        );
        let task = tokio::spawn(async move {
            let mut events = Box::pin(watcher(api, Config::default()).default_backoff());
            while let Some(event) = events.next().await {
                let (Ok(Event::Apply(one)) | Ok(Event::InitApply(one))) = event else {
                    continue;
                };
                if one.metadata.name.as_deref() == Some(&name) {
                    let status = &one.data["status"]["sync"]["status"];
                    let status = status.as_str().unwrap_or_default().to_owned();
                    into.lock().unwrap().push(status);
                }
            }
        });
        Self { seen, task }
    }

    fn all(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Statuses {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Syncs by hand: what is edited goes back by Driftline, and the next sync goes on from there.
async fn not_healing(world: &World, prefix: &str, options: &[&str]) {
    let team = team(world, prefix).await;
    let first = commit(&team, 1).await;
    application(&team, json!({})).await;
    sync(&team, &first, options).await;
    policy(&team).await;
    edit_both(&team).await;
    goes_back(&team, &BOTH).await;
    is_live(&team, 1).await;
    // Argo CD sees that by itself, without a sync.
    synced(&team, &first).await;
    sync(&team, &first, options).await;
    team.in_sync().await;

    let second = commit(&team, 2).await;
    team.check().await;
    sync(&team, &second, options).await;
    is_live(&team, 2).await;
    team.in_sync().await;

    // What was put back and synced is dropped as if it had never been edited.
    edit_both(&team).await;
    goes_back(&team, &BOTH).await;
    synced(&team, &second).await;
    sync(&team, &second, options).await;
    let third = commit(&team, 3).await;
    team.check().await;
    sync(&team, &third, options).await;
    is_live(&team, 3).await;
    team.in_sync().await;

    // What was deleted comes back.
    team.kubectl(["delete", "configmap", "settings"]).await;
    goes_back(&team, &[("ConfigMap", "settings")]).await;
    sync(&team, &third, options).await;
    team.in_sync().await;
    let live = get(&team, "configmap", "settings").await;
    let note = &live["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"];
    assert!(note.is_string(), "{live}");
}

/// Self-heal is on: Driftline reports, and Argo CD puts back.
async fn healing(world: &World) {
    let team = team(world, "argo-heals").await;
    let first = commit(&team, 1).await;
    let heals = json!({"automated": {"selfHeal": true}, "syncOptions": ["ServerSideApply=true"]});
    application(&team, heals).await;
    synced(&team, &first).await;
    policy(&team).await;
    set_debug(&team).await;
    is_observed(&team, "HealedByArgoCD: Argo CD's Application argocd/").await;
    is_healed(&team, "l1").await;
    synced(&team, &first).await;
    team.in_sync().await;
    let events = events(&team).await;
    assert!(!events.contains("DriftReverted"), "{events}");
}

/// Nobody touches anything: nothing is ever told, and nothing is ever out of sync.
async fn left_alone(world: &World) {
    let team = team(world, "argo-alone").await;
    let first = commit(&team, 1).await;
    application(&team, json!({"automated": {}})).await;
    synced(&team, &first).await;
    let statuses = Statuses::watch(&team);
    policy(&team).await;
    let until = Instant::now() + MINUTES;
    while Instant::now() < until {
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        let hard = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}});
        patch(&team, hard).await;
        was_never_told(&team).await;
    }
    for options in [&[][..], &["ServerSideApply=true"]] {
        sync(&team, &first, options).await;
        team.check().await;
    }
    was_never_told(&team).await;
    let statuses = statuses.all();
    assert!(statuses.iter().all(|s| s == "Synced"), "{statuses:?}");
}

#[tokio::test]
#[ignore = "builds Argo CD and takes minutes: make coexist"]
async fn beside_argo_cd() {
    let world = world(&[("argoproj.io", "applications")]).await;
    let argo = ArgoCd::start(&world.tools, world.plane()).await.unwrap();
    let log = Log(argo);
    tokio::join!(
        not_healing(&world, "argo-client", &[]),
        not_healing(&world, "argo-server", &["ServerSideApply=true"]),
        healing(&world),
        left_alone(&world),
    );
    drop(log);
}

/// Shows what Argo CD had to say where a test fails.
struct Log(ArgoCd);

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.0.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            println!("Argo CD's log:\n{}", tail.join("\n"));
        }
    }
}
