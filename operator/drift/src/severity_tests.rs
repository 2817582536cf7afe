use serde_json::json;

use super::*;

fn field(kind: &str, path: &str) -> Severity {
    within(kind, path, json!("x"))
}

fn within(kind: &str, path: &str, live: Value) -> Severity {
    let (group, kind) = kind.split_once('/').unwrap_or(("", kind));
    Severities::of(&GroupKind::new(group, kind))
        .field(&path.parse().expect(path), [None, Some(&live)])
}

#[test]
fn every_row_is_valid_and_gives_a_reason() {
    for ((kinds, paths, row), raw) in FIELD_ROWS.iter().zip(FIELDS) {
        assert_eq!(
            (kinds.len(), paths.len()),
            (raw.kinds.len(), raw.paths.len()),
            "{:?}",
            row.paths
        );
        assert!(!row.reason.is_empty() && !row.paths.is_empty());
    }
    for ((kinds, _, row), raw) in OBJECT_ROWS.iter().zip(OBJECTS) {
        assert_eq!(kinds.len(), raw.kinds.len(), "{:?}", row.kinds);
        assert!(!row.reason.is_empty() && !row.presence.is_empty());
    }
}

#[test]
fn every_row_can_be_reached() {
    for (n, (kinds, paths, row)) in FIELD_ROWS.iter().enumerate() {
        for path in paths {
            let hidden = FIELD_ROWS[..n]
                .iter()
                .any(|(k, p, _)| (k.is_empty() || k == kinds) && p.contains(path));
            assert!(!hidden, "{path} of {:?}", row.kinds);
        }
    }
}

#[test]
fn who_may_do_what_is_graver_than_a_label() {
    for (kind, path, severity) in [
        ("rbac.authorization.k8s.io/Role", "rules[0].verbs", Critical),
        (
            "rbac.authorization.k8s.io/ClusterRoleBinding",
            "subjects[0]",
            Critical,
        ),
        (
            "rbac.authorization.k8s.io/RoleBinding",
            "roleRef.name",
            Critical,
        ),
        ("rbac.authorization.k8s.io/Role", "metadata.labels.app", Low),
        (
            "admissionregistration.k8s.io/ValidatingWebhookConfiguration",
            "webhooks[name=a].failurePolicy",
            Critical,
        ),
        (
            "Namespace",
            "metadata.labels[\"pod-security.kubernetes.io/enforce\"]",
            Critical,
        ),
        ("Namespace", "metadata.labels.team", Low),
        (
            "apps/Deployment",
            "spec.template.spec.containers[name=web].securityContext.privileged",
            Critical,
        ),
        (
            "apps/Deployment",
            "spec.template.spec.hostNetwork",
            Critical,
        ),
        (
            "batch/CronJob",
            "spec.jobTemplate.spec.template.spec.hostPID",
            Critical,
        ),
        ("Pod", "spec.volumes[name=x].hostPath.path", Critical),
        (
            "Pod",
            "spec.containers[name=x].securityContext.capabilities.add",
            Critical,
        ),
        ("Pod", "spec.securityContext.runAsUser", High),
        ("networking.k8s.io/NetworkPolicy", "spec.ingress[0]", High),
        ("Secret", "data.password", High),
        ("Secret", "metadata.annotations.x", Low),
        (
            "ServiceAccount",
            "metadata.annotations[\"eks.amazonaws.com/role-arn\"]",
            High,
        ),
        (
            "apps/Deployment",
            "spec.template.spec.serviceAccountName",
            High,
        ),
        (
            "apps/Deployment",
            "spec.template.spec.containers[name=web].image",
            High,
        ),
        (
            "argoproj.io/Rollout",
            "spec.template.spec.containers[0].image",
            High,
        ),
        (
            "apps/Deployment",
            "spec.template.spec.containers[name=web].env[name=A].value",
            Medium,
        ),
        (
            "apps/Deployment",
            "spec.template.spec.containers[name=web].resources.limits.cpu",
            Medium,
        ),
        (
            "apps/Deployment",
            "spec.template.spec.containers[name=web].livenessProbe",
            Medium,
        ),
        ("apps/Deployment", "spec.replicas", Medium),
        ("apps/Deployment", "metadata.labels.image", Low),
        (
            "apps/Deployment",
            "spec.template.metadata.annotations.image",
            Low,
        ),
        ("ConfigMap", "data.hostNetwork", Medium),
        ("ConfigMap", "data[\"app.yaml\"]", Medium),
        ("Service", "spec.type", High),
        ("Service", "spec.externalIPs[=1.2.3.4]", High),
        (
            "Service",
            "spec.ports[port=80,protocol=TCP].targetPort",
            Medium,
        ),
        ("networking.k8s.io/Ingress", "spec.rules", High),
        ("example.com/Widget", "spec.size", Medium),
    ] {
        assert_eq!(field(kind, path), severity, "{kind} {path}");
    }
}

#[test]
fn a_container_added_by_hand_is_as_grave_as_what_it_holds() {
    let path = "spec.template.spec.containers[name=debug]";
    let plain = json!({"name": "debug", "resources": {}});
    assert_eq!(within("apps/Deployment", path, plain), High);
    let privileged = json!({"name": "debug", "securityContext": {"privileged": true}});
    assert_eq!(within("apps/Deployment", path, privileged), Critical);
    let volumes = json!([{"name": "x", "hostPath": {"path": "/"}}]);
    assert_eq!(
        within("apps/Deployment", "spec.template.spec.volumes", volumes),
        Critical
    );
}

#[test]
fn a_value_of_a_million_places_is_graded_at_once() {
    let huge = json!({"a": vec![json!({"b": [1, 2, 3]}); 300_000]});
    let started = std::time::Instant::now();
    assert_eq!(within("example.com/Widget", "spec", huge), Medium);
    assert!(started.elapsed() < std::time::Duration::from_secs(30));
}

#[test]
fn whole_objects_have_a_severity_by_kind() {
    let object = |group: &str, kind: &str, presence| {
        Severities::of(&GroupKind::new(group, kind)).object(presence)
    };
    assert_eq!(
        object("rbac.authorization.k8s.io", "RoleBinding", Extra),
        Critical
    );
    assert_eq!(
        object("rbac.authorization.k8s.io", "RoleBinding", Gone),
        High
    );
    assert_eq!(object("networking.k8s.io", "NetworkPolicy", Gone), High);
    assert_eq!(object("networking.k8s.io", "NetworkPolicy", Extra), Medium);
    assert_eq!(object("apps", "Deployment", Gone), High);
    assert_eq!(object("", "ConfigMap", Gone), Medium);
    assert_eq!(object("", "ConfigMap", Extra), Low);
    assert_eq!(object("example.com", "Widget", Gone), Medium);
}

/// The table as docs/policy.md shows it.
fn markdown() -> String {
    let kinds = |kinds: &[&str]| match kinds {
        [] => "any".to_owned(),
        some => some
            .iter()
            .map(|k| format!("`{k}`"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let mut text = "| kinds | fields | severity | why |\n|---|---|---|---|\n".to_owned();
    for row in FIELDS {
        let paths: Vec<String> = row.paths.iter().map(|p| format!("`{p}`")).collect();
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            kinds(row.kinds),
            paths.join(", "),
            row.severity.as_str(),
            row.reason
        ));
    }
    text.push_str("\n| kinds | gone or undeclared | severity | why |\n|---|---|---|---|\n");
    for row in OBJECTS {
        let which = match row.presence {
            [Gone] => "gone",
            [Extra] => "undeclared",
            _ => "both",
        };
        text.push_str(&format!(
            "| {} | {which} | {} | {} |\n",
            kinds(row.kinds),
            row.severity.as_str(),
            row.reason
        ));
    }
    text
}

#[test]
fn the_guide_shows_the_table_as_it_is() {
    crate::guide::holds("policy.md", "severities", &markdown());
}
