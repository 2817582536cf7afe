//! What Argo CD or Flux put back by themselves is left to them, where they prove it.

use serde_json::json;

use super::deployers;
use super::revert::{SETTINGS, WEB, change_policy, edit_settings, get, opt_in, outcome, patch};
use super::support::Team;

async fn team(prefix: &str) -> Team<'static> {
    let team = Team::new(deployers::shared().await, prefix).await;
    team.apply(WEB).await;
    team.apply(SETTINGS).await;
    team.commit(&[("deploy/web.yaml", WEB), ("deploy/settings.yaml", SETTINGS)])
        .await;
    opt_in(&team).await;
    team
}

/// An Application that lists both objects and heals them.
async fn application(team: &Team<'_>) {
    let listed = |group: &str, kind: &str, name: &str| json!({"group": group, "version": "v1", "kind": kind, "namespace": team.namespace, "name": name});
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "shop"},
        "spec": {
            "destination": {"server": "https://kubernetes.default.svc", "namespace": team.namespace},
            "syncPolicy": {"automated": {"selfHeal": true}},
        },
        "status": {"resources": [listed("", "ConfigMap", "settings"), listed("apps", "Deployment", "web")]},
    });
    team.apply(&application.to_string()).await;
}

#[tokio::test]
async fn what_argo_cd_heals_is_observed_and_a_forged_note_changes_nothing() {
    let team = team("argoheals").await;
    application(&team).await;
    let tracked = |application: &str, object: &str| {
        format!("argocd.argoproj.io/tracking-id={application}:{object}")
    };
    let settings = tracked("shop", &format!("/ConfigMap:{}/settings", team.namespace));
    team.kubectl(["annotate", "configmap", "settings", &settings])
        .await;
    // It names an Application that there is not; the one that lists it the account may not get.
    let forged = tracked("other", &format!("apps/Deployment:{}/web", team.namespace));
    team.kubectl(["annotate", "deployment", "web", &forged])
        .await;
    team.policy(|p| p["spec"]["enforcement"] = json!("Revert"))
        .await;
    team.in_sync().await;
    edit_settings(&team).await;
    team.kubectl(["scale", "deployment/web", "--replicas=4"])
        .await;
    let record = outcome(&team, "Observed").await;
    let enforcement = &record["status"]["enforcement"];
    assert_eq!(record["spec"]["subject"]["kubernetes"]["name"], "settings");
    assert_eq!(record["status"]["state"], "Open", "{record}");
    assert_eq!(enforcement["rung"], "Observe", "{record}");
    let reason = enforcement["reason"].as_str().unwrap();
    let named = format!(
        "HealedByArgoCD: Argo CD's Application {}/shop",
        team.namespace
    );
    assert!(reason.starts_with(&named), "{reason}");
    let web = team.closed("Deployment", "web").await;
    assert_eq!(web["status"]["enforcement"]["outcome"], "Reverted", "{web}");
    let live = get(&team, "configmap", "settings").await;
    assert_eq!(live["data"]["level"], "debug");
    // Once it heals no more, Driftline does.
    let off = json!({"spec": {"syncPolicy": {"automated": {"selfHeal": false}}}});
    patch(&team, "applications.argoproj.io", "shop", off).await;
    let record = team.closed("ConfigMap", "settings").await;
    assert_eq!(record["status"]["enforcement"]["outcome"], "Reverted");
    assert_eq!(record["status"]["enforcement"]["attempts"], 1);
}

#[tokio::test]
async fn what_flux_heals_is_observed_until_it_is_suspended() {
    let team = team("fluxheals").await;
    team.apply(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployers}
rules: [{apiGroups: [kustomize.toolkit.fluxcd.io], resources: ['*'], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployers}
subjects: [{kind: ServiceAccount, name: drift}]
",
    )
    .await;
    let id = format!("{}_settings__ConfigMap", team.namespace);
    let kustomization = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "shop"},
        "spec": {"interval": "10m", "path": "./deploy", "prune": true},
        "status": {"inventory": {"entries": [{"id": id, "v": "v1"}]}},
    });
    team.apply(&kustomization.to_string()).await;
    team.policy(|_| {}).await;
    team.in_sync().await;
    // Nothing lies on an object that is gone; the list names it all the same.
    team.kubectl(["delete", "configmap", "settings"]).await;
    change_policy(&team, json!({"enforcement": "Revert"})).await;
    let record = outcome(&team, "Observed").await;
    let reason = record["status"]["enforcement"]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("HealedByFlux: Flux's Kustomization"),
        "{reason}"
    );
    let suspend = json!({"spec": {"suspend": true}});
    patch(
        &team,
        "kustomizations.kustomize.toolkit.fluxcd.io",
        "shop",
        suspend,
    )
    .await;
    team.closed("ConfigMap", "settings").await;
    assert_eq!(
        get(&team, "configmap", "settings").await["data"]["level"],
        "info"
    );
    // An object that Flux is asked to leave alone is not healed.
    let resume = json!({"spec": {"suspend": false}});
    patch(
        &team,
        "kustomizations.kustomize.toolkit.fluxcd.io",
        "shop",
        resume,
    )
    .await;
    let spared = "kustomize.toolkit.fluxcd.io/reconcile=disabled";
    team.kubectl(["annotate", "configmap", "settings", spared])
        .await;
    edit_settings(&team).await;
    team.record("ConfigMap", "settings", |r| {
        r["status"]["enforcement"]["outcome"] == "Reverted"
    })
    .await;
    assert_eq!(
        get(&team, "configmap", "settings").await["data"]["level"],
        "info"
    );
}
