use serde_json::json;

use super::*;
use crate::path::FieldPath;

fn addition(kind: GroupKind, live: &Value, path: &str, value: Value) -> bool {
    let context = Context {
        kind: &kind,
        declared: &json!({}),
        live,
        replicas: None,
        replicas_at: None,
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
        replicas_at: None,
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
fn an_autoscaler_sets_replicas_where_the_definition_says_they_are() {
    let kind = GroupKind::new("example.com", "Crew");
    let empty = json!({});
    let place = |text: &str| text.parse::<FieldPath>().expect("a path");
    let workers = place("spec.workers");
    let context = Context {
        kind: &kind,
        declared: &empty,
        live: &empty,
        replicas: Some(ReplicaBounds { min: 2, max: 6 }),
        replicas_at: Some(&workers),
    };
    let of = |path: &str, replicas: u32| {
        let (path, replicas) = (place(path).0, json!(replicas));
        let explained = explains_change(&context, &path, Some(&replicas));
        assert_eq!(explained, explains_addition(&context, &path, &replicas));
        explained
    };
    assert!(of("spec.workers", 6));
    assert!(!of("spec.workers", 7));
    assert!(!of("spec.workers", 0));
    assert!(!of("spec.replicas", 6), "it is another number");
}

#[test]
fn the_control_plane_notes_things_down_under_its_own_domains() {
    let of = |kind: GroupKind, path: &str| {
        let path = path.parse::<FieldPath>().expect("a path").0;
        is_kept_by_control_plane(&kind, &path)
    };
    let lease = || GroupKind::new("coordination.k8s.io", "Lease");
    let label = |key: &str| format!("metadata.labels[\"{key}\"]");
    assert!(of(lease(), "spec.renewTime"));
    assert!(of(lease(), &label("apiserver.kubernetes.io/identity")));
    assert!(!of(lease(), &label("frozen")));
    assert!(!of(lease(), &label("mykubernetes.io/frozen")));
    // It takes over those of the Service.
    assert!(of(GroupKind::new("", "Endpoints"), &label("team")));
    assert!(!of(GroupKind::new("", "Service"), &label("team")));
}

#[test]
fn defaults_of_webhooks_and_bindings_are_the_servers() {
    let kind = |name: &str| GroupKind::new("admissionregistration.k8s.io", name);
    let of = |path: &str, value: Value| {
        let kind = kind("MutatingWebhookConfiguration");
        addition(kind, &json!({}), &format!("webhooks[name=a].{path}"), value)
    };
    assert!(of("reinvocationPolicy", json!("Never")));
    assert!(!of("reinvocationPolicy", json!("IfNeeded")));
    assert!(of("objectSelector", json!({})));
    assert!(!of("objectSelector", json!({"matchLabels": {"a": "b"}})));
    assert!(!of("matchConditions", json!({})));
    assert!(of("rules[0].scope", json!("*")));
    assert!(!of("rules[0].scope", json!("Namespaced")));
    let binding = || GroupKind::new("rbac.authorization.k8s.io", "RoleBinding");
    let path = "subjects[1].apiGroup";
    assert!(addition(
        binding(),
        &json!({}),
        path,
        json!("rbac.authorization.k8s.io")
    ));
    assert!(!addition(binding(), &json!({}), path, json!("example.com")));
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
fn a_ca_bundle_added_by_hand_was_silent_wherever_it_was() {
    let live = json!({});
    let told = |group: &str, kind: &str, path: &str| {
        !addition(GroupKind::new(group, kind), &live, path, json!("LS0t"))
    };
    assert!(told("", "ConfigMap", "data.caBundle"));
    assert!(told(
        "cert-manager.io",
        "ClusterIssuer",
        "spec.vault.caBundle"
    ));
    assert!(told(
        WEBHOOKS,
        "ValidatingWebhookConfiguration",
        "metadata.labels.caBundle"
    ));
    assert!(told(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "spec.caBundle"
    ));
    for (group, kind, path) in [
        (
            WEBHOOKS,
            "ValidatingWebhookConfiguration",
            "webhooks[name=a].clientConfig.caBundle",
        ),
        (
            WEBHOOKS,
            "MutatingWebhookConfiguration",
            "webhooks[name=a].clientConfig.caBundle",
        ),
        ("apiregistration.k8s.io", "APIService", "spec.caBundle"),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "spec.conversion.webhook.clientConfig.caBundle",
        ),
    ] {
        assert!(!told(group, kind, path), "{kind}");
    }
}

const WEBHOOKS: &str = "admissionregistration.k8s.io";

/// Whether a live value is explained on an object that is declared with an annotation.
fn with_annotation(kind: &GroupKind, annotation: &str, path: &str, changed: bool) -> bool {
    let declared = json!({"metadata": {"annotations": {annotation: "true"}}});
    let context = Context {
        kind,
        declared: &declared,
        live: &declared,
        replicas: None,
        replicas_at: None,
    };
    let (path, value) = (path.parse::<FieldPath>().expect(path).0, json!("LS0t"));
    match changed {
        true => explains_change(&context, &path, Some(&value)),
        false => explains_addition(&context, &path, &value),
    }
}

#[test]
fn what_git_asks_an_injector_for_is_the_injectors() {
    let asked = "cert-manager.io/inject-ca-from";
    let api = GroupKind::new("apiregistration.k8s.io", "APIService");
    assert!(with_annotation(&api, asked, "spec.caBundle", true));
    assert!(!with_annotation(&api, "other", "spec.caBundle", true));
    let custom = GroupKind::new("example.com", "Receiver");
    assert!(with_annotation(&custom, asked, "spec.hook.caBundle", false));
    assert!(!with_annotation(&custom, asked, "spec.hook.caBundle", true));
    let map = GroupKind::new("", "ConfigMap");
    let openshift = "service.beta.openshift.io/inject-cabundle";
    let certificate = "data[\"service-ca.crt\"]";
    assert!(with_annotation(&map, openshift, certificate, false));
    assert!(!with_annotation(&map, "other", certificate, false));
}

#[test]
fn a_token_secret_was_never_in_sync() {
    let secret =
        |kind: &str| json!({"type": kind, "metadata": {"name": "ci", "namespace": "shop"}});
    let token = secret("kubernetes.io/service-account-token");
    let explained = |live: &Value, path: &str, value: &str| {
        addition(GroupKind::new("", "Secret"), live, path, json!(value))
    };
    for (path, value) in [
        ("data.token", "eHl6"),
        ("data[\"ca.crt\"]", "eHl6"),
        ("data.namespace", "c2hvcA=="),
        (
            "metadata.annotations[\"kubernetes.io/service-account.uid\"]",
            "7d1c",
        ),
        (
            "metadata.labels[\"kubernetes.io/legacy-token-last-used\"]",
            "2026-11-01",
        ),
    ] {
        assert!(explained(&token, path, value), "{path}");
        assert!(!explained(&secret("Opaque"), path, value), "{path}");
    }
    for (path, value) in [
        ("data.namespace", "b3RoZXI="),
        ("data.password", "eHl6"),
        (
            "metadata.labels[\"kubernetes.io/legacy-token-invalid-since\"]",
            "2026-11-01",
        ),
    ] {
        assert!(!explained(&token, path, value), "{path}");
    }
}

fn finalizer(group: &str, kind: &str, name: &str) -> bool {
    let path = format!("metadata.finalizers[={name:?}]");
    addition(GroupKind::new(group, kind), &json!({}), &path, json!(name))
}

#[test]
fn finalizers_of_controllers_on_kubernetes_own_kinds_were_told() {
    for (group, kind, name) in [
        ("networking.k8s.io", "Ingress", "ingress.k8s.aws/resources"),
        ("networking.k8s.io", "Ingress", "group.ingress.k8s.aws/shop"),
        (
            "networking.k8s.io",
            "Ingress",
            "networking.gke.io/ingress-finalizer-V2",
        ),
        (
            "networking.k8s.io",
            "ServiceCIDR",
            "networking.k8s.io/service-cidr-finalizer",
        ),
        ("", "Service", "service.k8s.aws/resources"),
        ("", "Service", "gke.networking.io/l4-ilb-v2"),
        (
            "",
            "PersistentVolume",
            "external-provisioner.volume.kubernetes.io/finalizer",
        ),
        (
            "",
            "PersistentVolumeClaim",
            "snapshot.storage.kubernetes.io/pvc-as-source-protection",
        ),
        (
            "storage.k8s.io",
            "VolumeAttributesClass",
            "kubernetes.io/vac-protection",
        ),
        (
            "resource.k8s.io",
            "ResourceClaim",
            "resource.kubernetes.io/delete-protection",
        ),
        (
            "snapshot.storage.k8s.io",
            "VolumeSnapshot",
            "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
        ),
        (
            "gateway.networking.k8s.io",
            "Gateway",
            "gateway.k8s.aws/alb",
        ),
        (
            "gateway.networking.k8s.io",
            "GatewayClass",
            "gateway-exists-finalizer.gateway.networking.k8s.io",
        ),
    ] {
        assert!(finalizer(group, kind, name), "{kind} {name}");
    }
    for (group, kind, name) in [
        ("", "Service", "ingress.k8s.aws/resources"),
        ("", "ConfigMap", "service.k8s.aws/resources"),
        ("networking.k8s.io", "Ingress", "group.ingress.k8s.aws/"),
        (
            "networking.k8s.io",
            "Ingress",
            "ingress.k8s.aws/resources-of-mine",
        ),
        ("networking.k8s.io", "Ingress", "example.k8s.io/hold"),
        ("", "PersistentVolumeClaim", "external-attacher/x"),
    ] {
        assert!(!finalizer(group, kind, name), "{kind} {name}");
    }
}

#[test]
fn notes_of_load_balancers_were_told() {
    let service = || GroupKind::new("", "Service");
    let ingress = || GroupKind::new("networking.k8s.io", "Ingress");
    let (live, value) = (json!({}), json!("x"));
    let path = |key: &str| format!("metadata.annotations[{key:?}]");
    for (kind, key) in [
        (service(), "cloud.google.com/neg-status"),
        (service(), "service.kubernetes.io/tcp-forwarding-rule"),
        (service(), "field.cattle.io/publicEndpoints"),
        (ingress(), "ingress.kubernetes.io/backends"),
        (ingress(), "field.cattle.io/publicEndpoints"),
    ] {
        assert!(
            addition(kind.clone(), &live, &path(key), value.clone()),
            "{key}"
        );
        let context = Context {
            kind: &kind,
            declared: &live,
            live: &live,
            replicas: None,
            replicas_at: None,
        };
        let steps = path(key).parse::<FieldPath>().expect(key).0;
        assert!(explains_change(&context, &steps, Some(&value)), "{key}");
        assert!(!explains_change(&context, &steps, None), "{key}");
    }
    for (kind, key) in [
        (service(), "cloud.google.com/neg"),
        (service(), "service.kubernetes.io/topology-mode"),
        (ingress(), "ingress.kubernetes.io/ssl-redirect"),
        (ingress(), "ingress.gcp.kubernetes.io/pre-shared-cert"),
        (service(), "field.cattle.io/projectId"),
    ] {
        assert!(!addition(kind, &live, &path(key), value.clone()), "{key}");
    }
}

#[test]
fn a_registry_secret_appended_to_declared_ones_was_a_change() {
    let kind = GroupKind::new("", "ServiceAccount");
    let path = "imagePullSecrets".parse::<FieldPath>().expect("a path").0;
    let declared = json!({"imagePullSecrets": [{"name": "registry"}, {"name": "mirror"}]});
    let explained = |live: Value, noted: &str| {
        let object = json!({"metadata": {"name": "ci", "annotations": {"openshift.io/internal-registry-pull-secret-ref": noted}}});
        let context = Context {
            kind: &kind,
            declared: &declared,
            live: &object,
            replicas: None,
            replicas_at: None,
        };
        explains_change(&context, &path, Some(&live))
    };
    let list = |names: &[&str]| -> Value { names.iter().map(|n| json!({"name": n})).collect() };
    assert!(explained(
        list(&["registry", "mirror", "ci-dockercfg-x1z2"]),
        ""
    ));
    assert!(explained(
        list(&["registry", "mirror", "long-5f-x"]),
        "long-5f-x"
    ));
    assert!(!explained(list(&["registry", "mirror", "somebodys"]), ""));
    assert!(!explained(list(&["registry", "ci-dockercfg-x1z2"]), ""));
    assert!(!explained(
        list(&["mirror", "registry", "ci-dockercfg-x1z2"]),
        ""
    ));
}

#[test]
fn a_service_recreated_headless_was_silent() {
    let service = || GroupKind::new("", "Service");
    let live = json!({});
    assert!(addition(
        service(),
        &live,
        "spec.clusterIP",
        json!("10.96.0.7")
    ));
    assert!(!addition(service(), &live, "spec.clusterIP", json!("None")));
    assert!(
        addition(service(), &live, "spec.clusterIPs", json!(["None"])),
        "told once"
    );
    assert!(addition(
        service(),
        &live,
        "spec.ipFamilyPolicy",
        json!("SingleStack")
    ));
    assert!(!addition(
        service(),
        &live,
        "spec.ipFamilyPolicy",
        json!("PreferDualStack")
    ));
}

#[test]
fn a_finalizer_that_people_set_counted_as_argo_cds_own() {
    for name in [
        "resources-finalizer.argocd.argoproj.io",
        "resources-finalizer.argocd.argoproj.io/background",
    ] {
        assert!(!finalizer("argoproj.io", "Application", name), "{name}");
    }
    assert!(finalizer(
        "argoproj.io",
        "Application",
        "post-delete-finalizer.argocd.argoproj.io"
    ));
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
            replicas_at: None,
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

#[test]
fn what_was_allocated_where_git_declares_it_empty_was_a_change() {
    let changed = |kind: &str, declared: Value, path: &str, live: Value| {
        let context = Context {
            kind: &GroupKind::new("", kind),
            declared: &declared,
            live: &json!({}),
            replicas: None,
            replicas_at: None,
        };
        let steps = path.parse::<FieldPath>().expect(path).0;
        !explains_change(&context, &steps, Some(&live))
    };
    let service = |spec: Value, path: &str, live: Value| {
        changed("Service", json!({"spec": spec}), path, live)
    };
    let address = "spec.clusterIP";
    assert!(!service(
        json!({"clusterIP": ""}),
        address,
        json!("10.0.0.7")
    ));
    assert!(service(json!({"clusterIP": ""}), address, json!("None")));
    assert!(service(
        json!({"clusterIP": "None"}),
        address,
        json!("10.0.0.7")
    ));
    let health = "spec.healthCheckNodePort";
    assert!(!service(
        json!({"healthCheckNodePort": 0}),
        health,
        json!(31000)
    ));
    assert!(service(
        json!({"healthCheckNodePort": 31001}),
        health,
        json!(31000)
    ));
    let ports = |port: i64| json!({"ports": [{"port": 80, "protocol": "TCP", "nodePort": port}]});
    let port = "spec.ports[port=80,protocol=TCP].nodePort";
    assert!(!service(ports(0), port, json!(30080)));
    assert!(service(ports(30081), port, json!(30080)));
    let claim = |volume: &str| json!({"spec": {"volumeName": volume}});
    let claimed = |declared| {
        changed(
            "PersistentVolumeClaim",
            claim(declared),
            "spec.volumeName",
            json!("pvc-1"),
        )
    };
    assert!(!claimed(""));
    assert!(claimed("pvc-2"));
}

#[test]
fn the_place_of_its_node_was_an_addition_to_a_pod() {
    let bound = json!({"spec": {"nodeName": "n1"}});
    let label = |name: &str| format!("metadata.labels[\"topology.kubernetes.io/{name}\"]");
    let told = |kind: GroupKind, live: &Value, name: &str| {
        !addition(kind, live, &label(name), json!("eu-1"))
    };
    let pod = || GroupKind::new("", "Pod");
    assert!(!told(pod(), &bound, "zone"));
    assert!(!told(pod(), &bound, "region"));
    assert!(told(pod(), &bound, "rack"));
    assert!(told(pod(), &json!({"spec": {}}), "zone"), "not bound yet");
    assert!(told(GroupKind::new("", "Service"), &bound, "zone"));
}
