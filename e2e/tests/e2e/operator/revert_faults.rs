//! Things that break while edits are put back: nothing is written twice, nothing is lost, and what cannot be done is said.

use std::time::{Duration, Instant};

use driftline_e2e::{Operator, Options};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::watcher::{Config, Event, watcher};
use serde_json::{Value, json};

use super::revert::{SETTINGS, change_policy, edit_settings, get, opt_in, patch, team};
use super::support::{PATIENCE, POLICY, Team, World, condition};

/// Writes to the object again and again, until dropped.
struct Rival(tokio::task::JoinHandle<()>);

impl Drop for Rival {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn rival(
    team: &Team<'_>,
    every: Duration,
    change: impl Fn(u64) -> Value + Send + 'static,
) -> Rival {
    let maps: Api<ConfigMap> = Api::namespaced(team.client.clone(), &team.namespace);
    Rival(tokio::spawn(async move {
        let params = kube::api::PatchParams {
            field_manager: Some("rival".to_owned()),
            ..Default::default()
        };
        let mut tick = tokio::time::interval(every);
        for n in 0.. {
            tick.tick().await;
            let patch = kube::api::Patch::Merge(change(n));
            let _ = maps.patch("settings", &params, &patch).await;
        }
    }))
}

#[tokio::test]
async fn a_busy_writer_of_other_fields_keeps_no_edit_from_going_back() {
    let team = team("busy").await;
    opt_in(&team).await;
    let note = |n: u64| json!({"metadata": {"annotations": {"example.com/beat": n.to_string()}}});
    let busy = rival(&team, Duration::from_millis(10), note);
    edit_settings(&team).await;
    let record = team
        .record("ConfigMap", "settings", |r| {
            r["status"]["enforcement"]["outcome"] == "Reverted"
        })
        .await;
    assert_eq!(record["status"]["enforcement"]["attempts"], 1, "{record}");
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"]["level"], "info");
    assert!(live["metadata"]["annotations"]["example.com/beat"].is_string());
    drop(busy);
}

#[tokio::test]
async fn a_rival_that_never_stops_is_named_and_left_alone_until_it_does() {
    let team = team("rival").await;
    opt_in(&team).await;
    let level = |_| json!({"data": {"level": "rival"}});
    let fight = rival(&team, Duration::from_millis(100), level);
    let record = team
        .record_in("Contested", "ConfigMap", "settings", |_| true)
        .await;
    let enforcement = &record["status"]["enforcement"];
    assert_eq!(enforcement["attempts"], 3, "{record}");
    let reason = enforcement["reason"].as_str().unwrap();
    assert!(reason.contains("changed again by rival;"), "{reason}");
    drop(fight);
    assert_eq!(
        get(&team, "configmap", "settings").await["data"]["level"],
        "rival"
    );
    team.apply(SETTINGS).await;
    team.in_sync().await;
}

#[tokio::test]
async fn a_verb_that_is_taken_away_stops_that_kind_alone() {
    let team = team("verb").await;
    opt_in(&team).await;
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: shop-drift-writes}, rules: [{apiGroups: [apps], resources: [deployments], verbs: [patch]}]}";
    let role = role.replace("shop-drift-writes", "drift-writes");
    let roles = team.kubectl(["get", "roles", "-o", "name"]).await;
    let name = if roles.contains("/shop-drift-writes") {
        role.replace("drift-writes", "shop-drift-writes")
    } else {
        role
    };
    team.apply(&name).await;
    edit_settings(&team).await;
    team.kubectl(["scale", "deployment/web", "--replicas=4"])
        .await;
    let settings = team
        .record_in("Blocked", "ConfigMap", "settings", |_| true)
        .await;
    let reason = settings["status"]["enforcement"]["reason"]
        .as_str()
        .unwrap();
    assert!(reason.contains("patch configmaps"), "{reason}");
    let web = team.closed("Deployment", "web").await;
    assert_eq!(web["status"]["enforcement"]["outcome"], "Reverted");
    assert_eq!(
        get(&team, "configmap", "settings").await["data"]["level"],
        "debug"
    );
}

#[tokio::test]
async fn a_dead_webhook_of_somebody_else_blocks_writes_and_not_comparing() {
    let team = team("deadhook").await;
    opt_in(&team).await;
    let hold = json!({"hold": {"until": super::revert::in_seconds(600), "reason": "not yet"}});
    change_policy(&team, hold).await;
    edit_settings(&team).await;
    team.record_in("Held", "ConfigMap", "settings", |_| true)
        .await;
    // Nobody listens there.
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": team.namespace},
        "webhooks": [{
            "name": "dead.example.com", "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 1,
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://127.0.0.1:9/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team.namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["UPDATE"]}],
        }],
    });
    team.apply(&webhook.to_string()).await;
    change_policy(&team, json!({"hold": null})).await;
    let record = team
        .record_in("Blocked", "ConfigMap", "settings", |_| true)
        .await;
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(reason.contains("dead.example.com"), "{reason}");
    // The others are compared and put back as before.
    team.kubectl(["scale", "deployment/web", "--replicas=4"])
        .await;
    team.closed("Deployment", "web").await;
    let status = team.drifted(1).await;
    assert_eq!(condition(&status, "Ready").0, "True");
    team.kubectl(["delete", "validatingwebhookconfiguration", &team.namespace])
        .await;
    // It is tried again by itself within a minute; new terms are reason enough to try at once.
    change_policy(&team, json!({"revert": {"after": "1s"}})).await;
    team.closed("ConfigMap", "settings").await;
    assert_eq!(
        get(&team, "configmap", "settings").await["data"]["level"],
        "info"
    );
}

#[tokio::test]
async fn a_repository_that_is_rewritten_emptied_or_gone_undoes_nothing() {
    let team = team("rewritten").await;
    opt_in(&team).await;
    let first = team.repo.head().await.unwrap();
    let newer = SETTINGS.replace("info", "warn");
    team.commit(&[("deploy/settings.yaml", &newer)]).await;
    team.check().await;
    team.apply(&newer).await;
    team.in_sync().await;
    let level = || async { get(&team, "configmap", "settings").await["data"]["level"].clone() };
    // Back to an earlier commit by force: that is a commit to roll out, and no live edit.
    team.repo.force_push(&first).await.unwrap();
    team.check().await;
    team.status("pending", |s| s["summary"]["pending"] == 1)
        .await;
    assert_eq!(level().await, "warn");
    // The path is gone: nobody deletes anything, and what was declared stays in force.
    team.repo
        .remove("gone", &["deploy/settings.yaml", "deploy/web.yaml"])
        .await
        .unwrap();
    let status = team.check().await;
    assert_eq!(condition(&status, "Ready").0, "False", "{status}");
    team.kubectl(["scale", "deployment/web", "--replicas=4"])
        .await;
    team.closed("Deployment", "web").await;
    assert_eq!(get(&team, "deployment", "web").await["spec"]["replicas"], 2);
    assert_eq!(level().await, "warn");
    team.repo.force_push(&first).await.unwrap();
    team.check().await;
    // The branch is gone: the last good revision is in force, and what is edited against it goes back.
    team.repo.branch("release").await.unwrap();
    let release = json!({"source": {"git": {"ref": {"branch": "release"}}}});
    change_policy(&team, release).await;
    team.check().await;
    team.repo.delete_branch("release").await.unwrap();
    team.check().await;
    patch(
        &team,
        "deployment",
        "web",
        json!({"metadata": {"labels": {"team": "other"}}}),
    )
    .await;
    team.record_in("Closed", "Deployment", "web", |r| {
        r["status"]["fields"][0]["path"] == "metadata.labels.team"
    })
    .await;
    let web = get(&team, "deployment", "web").await;
    assert_eq!(web["metadata"]["labels"]["team"], "shop");
    assert_eq!(level().await, "warn");
}

/// How many ConfigMaps are put back while operators crash.
const MAPS: usize = 3;

fn map(n: usize) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: m{n}}}, data: {{level: info}}}}")
}

async fn declared_maps(team: &Team<'_>) {
    let all: Vec<String> = (0..MAPS).map(map).collect();
    let all = all.join("\n---\n");
    team.apply(&all).await;
    team.commit(&[("deploy/maps.yaml", &all)]).await;
    team.policy(|p| p["spec"]["enforcement"] = json!("Revert"))
        .await;
    team.in_sync().await;
}

/// The times each map became as declared again, as a watch sees them; `stop` ends the count.
struct Reverts {
    counts: std::sync::Arc<std::sync::Mutex<std::collections::BTreeMap<String, (String, u32)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Reverts {
    fn watch(team: &Team<'_>) -> Self {
        let counts: std::sync::Arc<
            std::sync::Mutex<std::collections::BTreeMap<String, (String, u32)>>,
        > = Default::default();
        let maps: Api<ConfigMap> = Api::namespaced(team.client.clone(), &team.namespace);
        let seen = std::sync::Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut events = Box::pin(watcher(maps, Config::default()));
            while let Some(event) = events.next().await {
                let (Ok(Event::Apply(map)) | Ok(Event::InitApply(map))) = event else {
                    continue;
                };
                let name = map.metadata.name.unwrap_or_default();
                let level = map.data.and_then(|d| d.get("level").cloned());
                let level = level.unwrap_or_default();
                let mut seen = seen.lock().unwrap();
                let (before, times) = seen.entry(name).or_default();
                if level == "info" && !before.is_empty() && before != "info" {
                    *times += 1;
                }
                *before = level;
            }
        });
        Self { counts, task }
    }

    fn all(&self) -> Vec<u32> {
        let counts = self.counts.lock().unwrap();
        let own = counts.iter().filter(|(name, _)| name.starts_with('m'));
        own.map(|(_, (_, times))| *times).collect()
    }

    async fn reach(&self, sum: u32) {
        let deadline = Instant::now() + PATIENCE;
        while self.all().iter().sum::<u32>() < sum {
            assert!(Instant::now() < deadline, "{:?}", self.all());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Reverts {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn edit_maps(team: &Team<'_>) {
    let maps: Api<ConfigMap> = Api::namespaced(team.client.clone(), &team.namespace);
    for n in 0..MAPS {
        let patch = kube::api::Patch::Merge(json!({"data": {"level": "debug"}}));
        maps.patch(&format!("m{n}"), &Default::default(), &patch)
            .await
            .unwrap();
    }
}

/// Waits until it is saved what was in sync: what is not known then is not put back by whoever comes next.
async fn remembers(world: &World) {
    let memory = ["-n", "driftline-system", "get", "configmaps", "-o", "name"];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = world.kubectl().args(memory).run().await.unwrap();
        if all.contains("driftline-memory-") {
            return;
        }
        assert!(Instant::now() < deadline, "{all}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// In how many of them Driftline owns something.
async fn owned(team: &Team<'_>) -> usize {
    let mut owned = 0;
    for n in 0..MAPS {
        let live = get(team, "configmap", &format!("m{n}")).await;
        let entries = live["metadata"]["managedFields"].as_array().unwrap();
        let mut ours = entries.iter().filter(|e| e["manager"] == "driftline");
        owned += usize::from(ours.any(|e| !e["fieldsV1"]["f:data"].is_null()));
    }
    owned
}

/// All is as declared, and Driftline owns nothing of it.
async fn nothing_is_left(team: &Team<'_>) {
    team.in_sync().await;
    for n in 0..MAPS {
        let live = get(team, "configmap", &format!("m{n}")).await;
        assert_eq!(live["data"]["level"], "info");
    }
    let deadline = Instant::now() + PATIENCE;
    while owned(team).await > 0 {
        assert!(Instant::now() < deadline, "an entry of Driftline's stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_crash_after_any_write_and_a_leader_that_slept_write_nothing_twice() {
    let world = World::own(Options::default(), &[]).await;
    let team = Team::new(&world, "crash").await;
    opt_in(&team).await;
    declared_maps(&team).await;
    remembers(&world).await;
    for n in 1..=u32::try_from(MAPS).unwrap() {
        let reverts = Reverts::watch(&team);
        tokio::time::sleep(Duration::from_millis(200)).await;
        edit_maps(&team).await;
        reverts.reach(n).await;
        world.kill_operator().await;
        let left = owned(&team).await;
        println!("a crash after write {n} left {left} entries of Driftline's");
        // Whoever comes next need not wait for the lease to run out.
        let lease = ["-n", "driftline-system", "delete", "lease", "driftline"];
        world.kubectl().args(lease).run().await.unwrap();
        world.start_operator(&[]).await;
        nothing_is_left(&team).await;
        assert_eq!(reverts.all(), [1; MAPS], "a crash after write {n}");
    }
    // Others, because so many rounds in so short a time count as a fight.
    let team = Team::new(&world, "sleeper").await;
    opt_in(&team).await;
    declared_maps(&team).await;
    a_leader_that_slept(&world, &team).await;
}

/// The leader is stopped in the middle of its work, another takes over, and it goes on.
async fn a_leader_that_slept(world: &World, team: &Team<'_>) {
    let second = world.another_operator(&[]).await;
    knows(&second, team).await;
    let reverts = Reverts::watch(team);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let signal = |signal| async move {
        let operator = world.operator.read().await;
        let pid = i32::try_from(operator.as_ref().unwrap().pid()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    edit_maps(team).await;
    signal(rustix::process::Signal::STOP).await;
    leads(&second).await;
    nothing_is_left(team).await;
    edit_maps(team).await;
    nothing_is_left(team).await;
    let before = reverts.all();
    assert_eq!(before, [2; MAPS]);
    let versions = versions(team).await;
    signal(rustix::process::Signal::CONT).await;
    let deadline = Instant::now() + PATIENCE;
    while world
        .operator
        .read()
        .await
        .as_ref()
        .unwrap()
        .metric("driftline_leader")
        .await
        != Some(0.0)
    {
        assert!(Instant::now() < deadline, "two lead");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(reverts.all(), before, "the one that slept wrote");
    let now = self::versions(team).await;
    let changed = versions.iter().zip(&now).filter(|(a, b)| a != b).count();
    assert!(changed <= 1, "{versions:?} {now:?}");
}

/// Waits until a replica has compared all of them itself.
async fn knows(operator: &Operator, team: &Team<'_>) {
    let in_sync = format!(
        "driftline_objects{{namespace=\"{}\",policy=\"{POLICY}\",state=\"in_sync\"}}",
        team.namespace
    );
    let deadline = Instant::now() + PATIENCE;
    while operator.metric(&in_sync).await != Some(MAPS as f64) {
        assert!(Instant::now() < deadline, "{}", operator.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn leads(operator: &Operator) {
    let deadline = Instant::now() + PATIENCE;
    while operator.metric("driftline_leader").await != Some(1.0) {
        assert!(Instant::now() < deadline, "{}", operator.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn versions(team: &Team<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for n in 0..MAPS {
        let map = get(team, "configmap", &format!("m{n}")).await;
        all.push(map["metadata"]["resourceVersion"].to_string());
    }
    all
}
