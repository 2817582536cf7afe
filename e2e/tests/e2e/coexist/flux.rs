//! Beside Flux's kustomize-controller.

use std::time::Instant;

use driftline_e2e::peers::Flux;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::*;

const KIND: (&str, &str, &str, &str) = (
    "kustomize.toolkit.fluxcd.io",
    "v1",
    "Kustomization",
    "kustomizations",
);

fn kustomizations(team: &Team<'_>) -> Api<DynamicObject> {
    api(team, &team.namespace, KIND)
}

/// A Kustomization `shop` of a team's repository.
async fn kustomization(team: &Team<'_>, flux: &Flux) {
    let repository = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "shop"},
        "spec": {"interval": "1m", "url": team.server.url("shop"), "ref": {"branch": "main"}},
    });
    team.apply(&repository.to_string()).await;
    publish(team, flux).await;
    let kustomization = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "shop"},
        "spec": {
            "interval": "10m", "path": "./deploy", "prune": true, "targetNamespace": team.namespace,
            "sourceRef": {"kind": "GitRepository", "name": "shop"},
        },
    });
    team.apply(&kustomization.to_string()).await;
}

async fn publish(team: &Team<'_>, flux: &Flux) -> String {
    flux.publish(&team.namespace, "shop", &team.repo)
        .await
        .unwrap()
}

async fn patch(team: &Team<'_>, patch: Value) {
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    let api = kustomizations(team);
    api.patch("shop", &params, &patch).await.unwrap();
}

async fn until(team: &Team<'_>, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    team.until_in(what, kustomizations(team), |all| {
        all.get("shop").filter(|k| done(k)).cloned()
    })
    .await
}

/// Flux has applied a revision.
async fn applied(team: &Team<'_>, revision: &str) {
    until(team, "applied", |k| {
        k["status"]["lastAppliedRevision"] == revision && is_ready(k)
    })
    .await;
}

fn is_ready(kustomization: &Value) -> bool {
    let all = kustomization["status"]["conditions"].as_array();
    let generation = &kustomization["metadata"]["generation"];
    all.is_some_and(|all| {
        all.iter().any(|c| {
            c["type"] == "Ready" && c["status"] == "True" && c["observedGeneration"] == *generation
        })
    })
}

/// Asks Flux to reconcile and waits until it has.
async fn reconcile(team: &Team<'_>, revision: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = format!("turn-{}", TURN.fetch_add(1, Ordering::Relaxed));
    let ask = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": turn}}});
    patch(team, ask).await;
    until(team, "reconciled", |k| {
        k["status"]["lastHandledReconcileAt"] == turn.as_str()
            && k["status"]["lastAppliedRevision"] == revision
            && is_ready(k)
    })
    .await;
}

async fn suspend(team: &Team<'_>, is: bool) {
    patch(team, json!({"spec": {"suspend": is}})).await;
}

async fn versions(team: &Team<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    for (kind, name) in BOTH {
        let live = get(team, kind, name).await;
        all.push(json!([
            live["metadata"]["uid"],
            live["metadata"]["generation"]
        ]));
    }
    all
}

/// While it is suspended Driftline puts back, and when it goes on Flux finds nothing to do.
async fn not_healing(world: &World, flux: &Flux) {
    let team = team(world, "flux-suspended").await;
    commit(&team, 1).await;
    kustomization(&team, flux).await;
    let first = publish(&team, flux).await;
    applied(&team, &first).await;
    suspend(&team, true).await;
    policy(&team).await;
    edit_both(&team).await;
    goes_back(&team, &BOTH).await;
    is_live(&team, 1).await;
    let before = versions(&team).await;
    suspend(&team, false).await;
    reconcile(&team, &first).await;
    assert_eq!(versions(&team).await, before, "Flux had something to do");
    team.in_sync().await;

    // Flux had nothing to apply, so nobody owns what was put back: what the very next commit drops of it stays, and is told.
    commit(&team, 3).await;
    team.check().await;
    let third = publish(&team, flux).await;
    reconcile(&team, &third).await;
    team.status("pending", |s| s["summary"]["pending"] == 1)
        .await;
    edit(
        &team,
        "configmap",
        "settings",
        json!({"data": {"mode": null}}),
    )
    .await;
    is_live(&team, 3).await;
    team.in_sync().await;

    suspend(&team, true).await;
    team.kubectl(["delete", "configmap", "settings"]).await;
    goes_back(&team, &[("ConfigMap", "settings")]).await;
    suspend(&team, false).await;
    reconcile(&team, &third).await;
    team.in_sync().await;
    // It is Flux's again.
    let live = get(&team, "configmap", "settings").await;
    let label = &live["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"];
    assert_eq!(*label, "shop", "{live}");
    assert!(managers(&live).contains(&"kustomize-controller"), "{live}");
}

async fn healing(world: &World, flux: &Flux) {
    let team = team(world, "flux-heals").await;
    commit(&team, 1).await;
    kustomization(&team, flux).await;
    let first = publish(&team, flux).await;
    applied(&team, &first).await;
    policy(&team).await;
    set_debug(&team).await;
    is_observed(&team, "HealedByFlux: Flux's Kustomization").await;
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"]["level"], "debug", "it is Flux's to put back");
    reconcile(&team, &first).await;
    is_healed(&team, "l1").await;
    team.in_sync().await;
    let events = events(&team).await;
    assert!(!events.contains("DriftReverted"), "{events}");
}

async fn left_alone(world: &World, flux: &Flux) {
    let team = team(world, "flux-alone").await;
    commit(&team, 1).await;
    kustomization(&team, flux).await;
    let first = publish(&team, flux).await;
    applied(&team, &first).await;
    let before = versions(&team).await;
    policy(&team).await;
    let until = Instant::now() + MINUTES;
    while Instant::now() < until {
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        reconcile(&team, &first).await;
        was_never_told(&team).await;
    }
    // A new revision of the same is none to Driftline either.
    team.commit(&[("README.md", "nothing that is deployed")])
        .await;
    let second = publish(&team, flux).await;
    team.check().await;
    reconcile(&team, &second).await;
    was_never_told(&team).await;
    assert_eq!(versions(&team).await, before, "Flux had something to do");
}

#[tokio::test]
#[ignore = "builds Flux and takes minutes: make coexist"]
async fn beside_flux() {
    let kinds = [
        ("kustomize.toolkit.fluxcd.io", "kustomizations"),
        ("source.toolkit.fluxcd.io", "gitrepositories"),
    ];
    let world = world(&kinds).await;
    let flux = Log(Flux::start(&world.tools, world.plane()).await.unwrap());
    tokio::join!(
        not_healing(&world, &flux.0),
        healing(&world, &flux.0),
        left_alone(&world, &flux.0),
    );
}

/// Shows what Flux had to say where a test fails.
struct Log(Flux);

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.0.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            println!("Flux's log:\n{}", tail.join("\n"));
        }
    }
}
