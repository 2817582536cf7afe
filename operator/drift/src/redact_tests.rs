use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::compare::Change;

const CANARY: &str = "c4n4ry-7f3e";
const CANARY_PLAIN: &str = "c4n4ry";

fn drift(path: &str, declared: Value, live: Value) -> FieldDrift {
    FieldDrift {
        path: path.parse().expect(path),
        change: Change::Changed,
        declared: Some(declared),
        live: Some(live),
    }
}

fn shows_canary(kind: &GroupKind, drift: &FieldDrift) -> bool {
    let shown = show(kind, [None, None], drift);
    format!("{shown:?}{}", show_path(kind, &drift.path)).contains(CANARY)
}

#[test]
fn no_canary_survives() {
    let secret = GroupKind::new("", "Secret");
    let other = GroupKind::new("apps", "Deployment");
    let whole = json!([{"name": "DB_PASSWORD", "value": CANARY}]);
    for (kind, path, value) in [
        (&secret, "data.x", json!(CANARY)),
        (&secret, "data", json!({"x": CANARY})),
        (&secret, "stringData[\"a.b\"]", json!(CANARY)),
        (
            &secret,
            "metadata.annotations[\"kubectl.kubernetes.io/x\"]",
            json!(CANARY),
        ),
        (
            &other,
            "spec.containers[name=web].env[name=DB_PASSWORD].value",
            json!(CANARY),
        ),
        (&other, "spec.containers[name=web].env", whole),
        (
            &other,
            "spec.containers[name=web].env[name=DB_PASSWORD]",
            json!({"name": "DB_PASSWORD", "value": CANARY}),
        ),
        (
            &other,
            "spec.template.metadata.annotations[\"x/api-token\"]",
            json!(CANARY),
        ),
        (
            &other,
            "data.DATABASE",
            json!(format!("postgres://app:{CANARY}@db:5432/x")),
        ),
        (&other, "data[\"client_secret\"]", json!(CANARY)),
        (&other, "spec.adminPassword", json!(CANARY)),
        (&other, "spec.tokens", json!([CANARY])),
        (&other, "spec.auth", json!({"tokens": [CANARY]})),
        (
            &other,
            "spec.repo",
            json!(format!("https://{CANARY}@github.com/x")),
        ),
        (
            &other,
            "spec.db",
            json!(format!("postgres://app:pa/{CANARY}@db:5432/x")),
        ),
        (
            &other,
            "spec.args",
            json!([format!("--db-password={CANARY}")]),
        ),
        (&other, "spec.args", json!(["--token", CANARY])),
        (
            &other,
            "data.properties",
            json!(format!("a=1\ndb.password = {CANARY}\nb=2")),
        ),
        (
            &other,
            "data.yaml",
            json!(format!("db:\n  password: '{CANARY} x'\n")),
        ),
        (
            &other,
            "data.json",
            json!(format!("{{\"apiKey\":\"{CANARY}\"}}")),
        ),
        (
            &other,
            "data.url",
            json!(format!("https://h/x?access_token={CANARY}&b=1")),
        ),
        (&other, "data.DB_PASS", json!(CANARY)),
    ] {
        assert!(
            !shows_canary(kind, &drift(path, value.clone(), value)),
            "{path}"
        );
    }
}

#[test]
fn a_value_in_place_of_a_reference_to_a_secret_was_shown() {
    let kind = GroupKind::new("apps", "Deployment");
    let reference =
        json!({"name": "STRIPE", "valueFrom": {"secretKeyRef": {"name": "pay", "key": "k"}}});
    let plain = json!({"name": "STRIPE", "value": CANARY});
    let within = |env: &Value| json!({"spec": {"containers": [{"name": "web", "env": [env]}]}});
    let (git, live) = (within(&reference), within(&plain));
    let value = |change, declared: Option<Value>, live: Option<Value>| FieldDrift {
        path: "spec.containers[name=web].env[name=STRIPE].value"
            .parse()
            .expect("a path"),
        change,
        declared,
        live,
    };
    let added = value(Change::Added, None, Some(json!(CANARY)));
    let removed = value(Change::Missing, Some(json!(CANARY)), None);
    for (objects, drift) in [([&git, &live], &added), ([&live, &git], &removed)] {
        let shown = show(&kind, objects.map(Some), drift);
        assert!(shown.sensitive && !format!("{shown:?}").contains(CANARY));
    }
    let other = json!({"name": "STRIPE", "valueFrom": {"configMapKeyRef": {"name": "pay"}}});
    let shown = show(&kind, [Some(&within(&other)), Some(&live)], &added);
    assert_eq!((shown.live, shown.sensitive), (Some(json!(CANARY)), false));
    // A list that is compared as a whole, or what is around it.
    let whole = drift(
        "spec.env",
        json!([{"name": "A"}, reference]),
        json!([plain, {"name": "A", "value": "1"}]),
    );
    let shown = show(&kind, [None, None], &whole);
    assert!(shown.sensitive && !format!("{shown:?}").contains(CANARY));
    assert!(format!("{shown:?}").contains("secretKeyRef"), "{shown:?}");
    let around = drift("spec", git["spec"].clone(), live["spec"].clone());
    assert!(!shows_canary(&kind, &around));
    assert!(!shows_canary(
        &kind,
        &drift("spec", live["spec"].clone(), git["spec"].clone())
    ));
}

#[test]
fn a_token_under_an_ordinary_name_was_shown() {
    let kind = GroupKind::new("apps", "Deployment");
    let long = "x".repeat(40);
    for text in [
        format!("sk_live_{CANARY}{long}"),
        format!("url ghp_{CANARY_PLAIN}{long}, more"),
        format!("-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----"),
        format!("-----BEGIN PRIVATE KEY-----\n{CANARY}"),
    ] {
        let shown = show(
            &kind,
            [None, None],
            &drift("spec.x", json!("a"), json!(text)),
        );
        let text = format!("{shown:?}");
        assert!(shown.sensitive && !text.contains("c4n4ry"), "{text}");
    }
    for text in [
        "sk_live_",
        "task_live_0123456789abcdef0123",
        "ghp_of_mine",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "no PRIVATE KEY----- at all",
    ] {
        let shown = show(&kind, [None, None], &drift("spec.x", json!(1), json!(text)));
        assert_eq!((shown.live, shown.sensitive), (Some(json!(text)), false));
    }
}

#[test]
fn ordinary_values_are_shown_as_they_are() {
    let kind = GroupKind::new("apps", "Deployment");
    for value in [
        json!("shop/web:1.4.2"),
        json!(3),
        json!({"a": [1, true]}),
        json!({"secretName": "db"}),
    ] {
        let shown = show(
            &kind,
            [None, None],
            &drift("spec.x", value.clone(), value.clone()),
        );
        assert_eq!(
            shown,
            Shown {
                declared: Some(value.clone()),
                live: Some(value),
                truncated: false,
                excerpt: None,
                sensitive: false
            }
        );
    }
    for name in [
        "secretName",
        "TOKEN_FILE",
        "tokenTTL",
        "LOG_LEVEL",
        "rbac.authorization.k8s.io/aggregate-to-edit",
    ] {
        assert!(!is_credential_name(name), "{name}");
    }
}

#[test]
fn a_path_carried_a_token_and_400_kilobytes_into_a_record() {
    let kind = GroupKind::new("example.com", "Thing");
    let member = |parent: &str, value: &str| {
        FieldPath(vec![Step::Field(parent.into()), Step::Member(value.into())])
    };
    assert!(!show_path(&kind, &member("tokens", CANARY)).contains(CANARY));
    assert!(!show_short(&kind, &member("tokens", CANARY)).contains(CANARY));
    let url = format!("https://u:{CANARY}@h");
    assert!(!show_path(&kind, &member("mirrors", &url)).contains(CANARY));
    let long = FieldPath(vec![
        Step::Field("data".into()),
        Step::Field("k".repeat(400_000)),
    ]);
    assert!(show_path(&kind, &long).len() <= MAX_PATH_BYTES);
    assert!(show_short(&kind, &long).len() <= MAX_PATH_BYTES);
    let usual: FieldPath = "spec.containers[name=web].args[1]".parse().expect("a path");
    assert_eq!(show_path(&kind, &usual), usual.to_string());
}

#[test]
fn nothing_that_a_terminal_obeys_is_shown() {
    let kind = GroupKind::new("example.com", "Thing");
    let path = FieldPath(vec![Step::Field("a\u{1b}[31m\u{9b}2J\u{202e}".into())]);
    assert!(!show_path(&kind, &path).chars().any(is_unprintable));
    assert_eq!(printable("shop/web"), "shop/web");
}

#[test]
fn a_commit_message_showed_the_password_of_a_url() {
    let shown = text(&format!(
        "mirror from https://bot:{CANARY}@git.example.com/x"
    ));
    assert!(
        !shown.contains(CANARY) && shown.contains("git.example.com"),
        "{shown}"
    );
}

#[test]
fn what_only_looks_like_a_credential_is_shown() {
    let kind = GroupKind::new("apps", "Deployment");
    for value in [
        json!("registry/secret-service:1.2"),
        json!(["--secret-name=db", "--verbose"]),
        json!("https://example.com:8443/a@b"),
        json!("ssh://git@example.com/x"),
        json!("a=b; c: d"),
    ] {
        let shown = show(
            &kind,
            [None, None],
            &drift("spec.x", value.clone(), value.clone()),
        );
        assert_eq!((shown.live, shown.sensitive), (Some(value), false));
    }
    let switch = show(
        &kind,
        [None, None],
        &drift(
            "spec.automountServiceAccountToken",
            json!(true),
            json!(false),
        ),
    );
    assert_eq!(switch.live, Some(json!(false)));
}

#[test]
fn what_follows_a_private_key_is_shown() {
    let text =
        format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\nport: 80");
    let clean = formats::without_tokens(&text).expect("a key");
    let expected = "-----BEGIN PRIVATE KEY-----(withheld)-----END PRIVATE KEY-----\nport: 80";
    assert_eq!(clean, expected);
    assert_eq!(formats::without_tokens(&clean), None);
}

#[test]
fn what_a_server_repeats_of_a_refused_object_is_left_out() {
    for (said, told) in [
        (
            r#"spec.password: Invalid value: "hun\"ter: 2": spec.password in body should match '^[a-z]+$'"#,
            "spec.password: Invalid value: (withheld): spec.password in body should match '^[a-z]+$'",
        ),
        (
            r#"[spec.a: Invalid value: "x": no, spec.template: Invalid value: {"args":["--key: v"]}: field is immutable]"#,
            "[spec.a: Invalid value: (withheld): no, spec.template: Invalid value: (withheld): field is immutable]",
        ),
        (
            r#"spec.type: Unsupported value: "secret": supported values: "A", "B""#,
            r#"spec.type: Unsupported value: (withheld): supported values: "A", "B""#,
        ),
        (
            "spec.n: Invalid value: 5: too many",
            "spec.n: Invalid value: (withheld): too many",
        ),
        (
            r#"spec.n: Invalid value: "unfinished"#,
            "spec.n: Invalid value: (withheld)",
        ),
        ("nothing of the kind", "nothing of the kind"),
    ] {
        assert_eq!(without_values(said), told);
    }
}

#[test]
fn of_values_that_are_cut_what_differs_is_shown() {
    let rules = |verbs: &[&str]| {
        let resources = ["configmaps", "secrets", "nodes", "pods", "services"];
        let get = json!({"apiGroups": [""], "resources": resources, "verbs": ["get"]});
        json!([get, get, get, {"apiGroups": ["apps"], "resources": resources, "verbs": verbs}])
    };
    let mut rule = drift("rules", rules(&["list"]), rules(&["list", "impersonate"]));
    let kind = GroupKind::new("rbac.authorization.k8s.io", "ClusterRole");
    let shown = show(&kind, [None, None], &rule);
    assert!(shown.truncated);
    assert_eq!(shown.declared, shown.live.clone());
    let last = |verbs: &[&str]| json!(["… 3 the same", {"apiGroups": ["apps"], "resources": "…", "verbs": verbs}]);
    assert_eq!(
        shown.excerpt,
        Some([last(&["list"]), last(&["list", "impersonate"])])
    );

    rule.live = None;
    assert_eq!(show(&kind, [None, None], &rule).excerpt, None);
}

proptest! {
    #[test]
    fn any_text_can_be_scrubbed(text in "[a-z=:/@'\" \n\\-é]{0,40}(password|token|ghp_x{36}|-----BEGIN PRIVATE KEY-----)?[a-z=:/@'\" \n\\-é]{0,40}") {
        scrub(&json!([text]), &mut false);
    }

    #[test]
    fn values_are_cut(text in "\\PC{0,400}") {
        let shown = show(&GroupKind::new("", "ConfigMap"), [None, None], &drift("data.x", json!(text), json!(1)));
        let declared = shown.declared.as_ref().and_then(Value::as_str).unwrap_or_default();
        prop_assert!(declared.len() <= MAX_VALUE_BYTES.max(text.len().min(MAX_VALUE_BYTES)));
        prop_assert_eq!(shown.truncated, declared.len() < text.len() && text.len() > MAX_VALUE_BYTES);
    }

    #[test]
    fn a_secret_shows_nothing(key in ".{1,8}", value in "[a-z]{6,20}") {
        let path = FieldPath(vec![Step::Field("data".into()), Step::Field(key)]);
        let shown = show(&GroupKind::new("", "Secret"), [None, None], &FieldDrift { path, change: Change::Changed, declared: Some(json!(value)), live: Some(json!(value)) });
        prop_assert_eq!(shown, Shown { declared: None, live: None, truncated: false, excerpt: None, sensitive: true });
    }
}

#[test]
fn a_whole_object_is_shown_without_what_is_secret_or_the_servers() {
    let secret = GroupKind::new("", "Secret");
    let live = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "1", "managedFields": [{}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY, "x": CANARY}},
        "data": {"x": CANARY, "y": {"z": [CANARY]}}, "status": {"a": 1}});
    let shown = object(&secret, &live);
    assert!(!shown.to_string().contains(CANARY), "{shown}");
    assert_eq!(shown["data"]["x"], WITHHELD);
    assert_eq!(
        shown["metadata"],
        json!({"name": "a", "annotations": {"x": WITHHELD}})
    );
    assert!(shown.get("status").is_none());
    let other = GroupKind::new("apps", "Deployment");
    let live = json!({"spec": {"replicas": 2, "env": [{"name": "DB_PASSWORD", "value": CANARY}, {"name": "A", "value": "b"}],
        "url": format!("https://u:{CANARY}@h/x"), "adminPassword": CANARY}, "data": {"token": CANARY, "other": "x"}});
    let shown = object(&other, &live);
    assert!(!shown.to_string().contains(CANARY), "{shown}");
    assert_eq!(shown["spec"]["replicas"], 2);
    assert_eq!(shown["spec"]["env"][1]["value"], "b");
    assert_eq!(shown["data"]["other"], "x");
}
