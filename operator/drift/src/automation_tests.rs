use serde_json::json;

use super::*;
use crate::path::FieldPath;

fn addition(kind: GroupKind, live: &Value, path: &str, value: Value) -> bool {
    let context = Context {
        kind: &kind,
        declared: &json!({}),
        live,
        replicas: None,
    };
    explains_addition(&context, &path.parse::<FieldPath>().expect(path).0, &value)
}

#[test]
fn a_tracking_note_of_another_object_is_an_addition() {
    let kind = || GroupKind::new("apps", "Deployment");
    let live = json!({"metadata": {"name": "web", "namespace": "shop"}});
    let path = "metadata.annotations[\"argocd.argoproj.io/tracking-id\"]";
    let told = |id: &str| addition(kind(), &live, path, json!(id));
    assert!(told("shop:apps/Deployment:shop/web"));
    assert!(!told("shop:apps/Deployment:shop/other"));
    assert!(!told("shop:apps/StatefulSet:shop/web"));
    assert!(!told("x"));
}

#[test]
fn pull_secrets_added_by_hand_are_seen() {
    let kind = || GroupKind::new("", "ServiceAccount");
    let live = json!({"metadata": {"name": "ci"}});
    let added = |name: &str| addition(kind(), &live, "imagePullSecrets", json!([{"name": name}]));
    assert!(added("ci-dockercfg-x1z2"));
    assert!(!added("registry-of-somebody"));
}

#[test]
fn replicas_within_the_bounds_of_an_autoscaler_are_its_own() {
    let kind = GroupKind::new("apps", "Deployment");
    let empty = json!({});
    let bounds = |replicas| Context {
        kind: &kind,
        declared: &empty,
        live: &empty,
        replicas,
    };
    let path = "spec.replicas".parse::<FieldPath>().expect("a path").0;
    let within = Some(ReplicaBounds { min: 2, max: 6 });
    for (replicas, explained) in [(2, true), (6, true), (7, false), (1, false), (0, false)] {
        assert_eq!(
            explains_change(&bounds(within), &path, Some(&json!(replicas))),
            explained,
            "{replicas}"
        );
    }
    assert!(!explains_change(&bounds(None), &path, Some(&json!(3))));
    let zero = Some(ReplicaBounds { min: 0, max: 6 });
    assert!(!explains_change(&bounds(zero), &path, Some(&json!(0))));
    assert!(!explains_change(&bounds(within), &path, None));
}

#[test]
fn a_label_of_helm_needs_helms_annotations() {
    let kind = || GroupKind::new("", "Service");
    let path = "metadata.labels[\"app.kubernetes.io/managed-by\"]";
    let released = json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "shop"}}});
    assert!(addition(kind(), &released, path, json!("Helm")));
    assert!(!addition(kind(), &json!({}), path, json!("Helm")));
    assert!(!addition(kind(), &released, path, json!("somebody")));
}

#[test]
fn finalizers_of_a_custom_resources_own_controller_are_its_own() {
    let flux = || GroupKind::new("kustomize.toolkit.fluxcd.io", "Kustomization");
    let live = json!({});
    let path = "metadata.finalizers[=x]";
    assert!(addition(flux(), &live, path, json!("finalizers.fluxcd.io")));
    assert!(!addition(
        flux(),
        &live,
        path,
        json!("hold.example.com/by-hand")
    ));
    let deployment = GroupKind::new("apps", "Deployment");
    assert!(!addition(deployment, &live, path, json!("apps/x")));
}

#[test]
fn any_number_of_steps_matches_none_too() {
    let steps = |t: &str| t.parse::<FieldPath>().expect(t).0;
    assert!(leads_to(&["**", "caBundle"], &steps("caBundle")));
    assert!(leads_to(
        &["**", "caBundle"],
        &steps("webhooks[name=a].clientConfig.caBundle")
    ));
    assert!(!leads_to(
        &["**", "caBundle"],
        &steps("webhooks[name=a].clientConfig")
    ));
    assert!(leads_to(
        &["spec", "selector", "**"],
        &steps("spec.selector.matchLabels.a")
    ));
    assert!(leads_to(
        &["spec", "selector", "**"],
        &steps("spec.selector")
    ));
}

/// A volume with the name of the one that admission adds was the server's, whatever it was.
#[test]
fn a_directory_of_the_host_under_the_name_of_a_token_volume_is_added_by_hand() {
    let declared = json!({"metadata": {"name": "a"}});
    let kind = GroupKind::new("", "Pod");
    let path: FieldPath = "spec.volumes[name=kube-api-access-abcde]"
        .parse()
        .expect("a path");
    let explained = |mut volume: Value| {
        volume["name"] = "kube-api-access-abcde".into();
        let context = Context {
            kind: &kind,
            declared: &declared,
            live: &declared,
            replicas: None,
        };
        explains_addition(&context, &path.0, &volume)
    };
    let token = json!({"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}});
    let root = json!({"configMap": {"name": "kube-root-ca.crt"}});
    let namespace = json!({"downwardAPI": {"items": []}});
    let projected = |sources: Value| json!({"projected": {"sources": sources, "defaultMode": 420}});
    assert!(explained(projected(json!([token, root, namespace]))));
    assert!(!explained(json!({"hostPath": {"path": "/"}})));
    assert!(!explained(projected(json!([root]))));
    let secret = json!({"secret": {"name": "other"}});
    assert!(!explained(projected(json!([token, secret]))));
}
