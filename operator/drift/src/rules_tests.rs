use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::subject::GroupKind;

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

fn rule(matches: MatchText, severity: Severity) -> RuleText {
    RuleText {
        matches,
        ignore: None,
        severity: Some(severity),
        rung: None,
    }
}

fn fields(texts: &[&str]) -> MatchText {
    MatchText {
        fields: list(texts),
        ..MatchText::default()
    }
}

fn parsed(texts: &[RuleText]) -> Rules {
    Rules::parse(texts, &["app", "db"]).expect("valid")
}

fn refused(text: RuleText) -> String {
    Rules::parse(&[RuleText::clone(&text)], &["app"])
        .expect_err("refused")
        .to_string()
}

fn web() -> ObjectId {
    ObjectId::new(GroupKind::new("apps", "Deployment"), Some("shop"), "web-1")
}

fn decided(rules: &Rules, declared: &Value, path: &str) -> Option<usize> {
    let path: FieldPath = path.parse().expect(path);
    rules
        .decide("app", &web(), labels(declared), &path)
        .map(|r| r.index)
}

#[test]
fn the_first_rule_that_matches_decides_alone() {
    let rules = parsed(&[
        rule(fields(&["spec.replicas"]), Severity::Low),
        rule(fields(&["spec"]), Severity::High),
        rule(fields(&["spec.replicas"]), Severity::Critical),
    ]);
    assert_eq!(decided(&rules, &json!({}), "spec.replicas"), Some(0));
    assert_eq!(decided(&rules, &json!({}), "spec.paused"), Some(1));
    assert_eq!(decided(&rules, &json!({}), "metadata.labels.x"), None);
}

#[test]
fn all_of_what_is_named_has_to_match() {
    let full = MatchText {
        targets: list(&["db", "app"]),
        kinds: list(&["ConfigMap", "*/Deployment"]),
        names: list(&["api", "web-?"]),
        labels: BTreeMap::from([("tier".to_owned(), "front".to_owned())]),
        fields: list(&["spec.paused", "spec.replicas"]),
    };
    let declared = json!({"metadata": {"labels": {"tier": "front", "app": "web"}}});
    let says = |change: fn(&mut MatchText)| {
        let mut text = full.clone();
        change(&mut text);
        decided(
            &parsed(&[rule(text, Severity::Low)]),
            &declared,
            "spec.replicas",
        )
    };
    assert_eq!(says(|_| {}), Some(0));
    assert_eq!(says(|t| t.targets = list(&["db"])), None);
    assert_eq!(says(|t| t.kinds = list(&["Deployment"])), None);
    assert_eq!(says(|t| t.names = list(&["web"])), None);
    assert_eq!(says(|t| t.fields = list(&["spec.paused"])), None);
    assert_eq!(
        says(|t| drop(t.labels.insert("app".into(), "db".into()))),
        None
    );
    assert_eq!(
        says(|t| drop(t.labels.insert("x".into(), String::new()))),
        None
    );
    let rules = parsed(&[rule(full.clone(), Severity::Low)]);
    assert_eq!(decided(&rules, &json!({}), "spec.replicas"), None);
}

#[test]
fn a_rule_that_names_fields_is_not_about_objects_as_a_whole() {
    let by_kind = MatchText {
        kinds: list(&["apps/Deployment"]),
        ..MatchText::default()
    };
    let rules = parsed(&[
        rule(fields(&["**"]), Severity::Low),
        rule(by_kind, Severity::High),
    ]);
    let about = rules.about("app", &web(), None);
    assert_eq!(about.object().map(|r| r.index), Some(1));
    assert_eq!(decided(&rules, &json!({}), "spec"), Some(0));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place_and_the_remedy() {
    let ok = || rule(fields(&["spec"]), Severity::Low);
    for (text, said) in [
        (
            RuleText {
                severity: None,
                rung: None,
                ..ok()
            },
            "spec.rules[0]: set ignore, or severity, enforcement or both",
        ),
        (
            RuleText {
                ignore: Some("x".into()),
                ..ok()
            },
            "spec.rules[0]: what is ignored has no severity and is not enforced",
        ),
        (
            RuleText {
                ignore: Some(" \n".into()),
                severity: None,
                rung: None,
                ..ok()
            },
            "spec.rules[0].ignore.reason: say why this may differ",
        ),
        (
            rule(MatchText::default(), Severity::Low),
            "spec.rules[0].match: name at least one of targets",
        ),
        (
            rule(fields(&["spec", "a..b"]), Severity::Low),
            "spec.rules[0].match.fields[1]: \"a..b\" is not a field path at character 2: expected a name; write it like",
        ),
        (
            rule(
                MatchText {
                    kinds: list(&["apps/v1/Deployment"]),
                    ..fields(&[])
                },
                Severity::Low,
            ),
            "spec.rules[0].match.kinds[0]: \"apps/v1/Deployment\" is not a kind; write GROUP/KIND",
        ),
        (
            rule(
                MatchText {
                    targets: list(&["nope"]),
                    ..fields(&[])
                },
                Severity::Low,
            ),
            "spec.rules[0].match.targets[0]: \"nope\" is no target of this policy",
        ),
        (
            rule(fields(&["a"; 65]), Severity::Low),
            "spec.rules[0].match.fields: 65 entries",
        ),
    ] {
        let error = refused(text);
        assert!(error.starts_with(said), "{error}");
    }
    let many = vec![ok(); MAX_RULES + 1];
    assert!(Rules::parse(&many, &[]).is_err());
}

#[test]
fn rules_made_to_be_slow_do_not_hold_up_the_operator() {
    let slow = MatchText {
        names: vec![format!("*{}b", "a".repeat(250)); 64],
        fields: vec![format!("{}b", "**.a.".repeat(100)); 20],
        ..MatchText::default()
    };
    let everything = MatchText {
        fields: vec![format!("{}b", "**.a.".repeat(100)); 20],
        ..MatchText::default()
    };
    let mut texts = vec![rule(slow, Severity::Low); 32];
    texts.extend(vec![rule(everything, Severity::Low); 32]);
    // A later rule that is quick must not decide what an earlier one was too slow for.
    let quick = MatchText {
        targets: list(&["app"]),
        ..MatchText::default()
    };
    texts[63] = rule(quick, Severity::Low);
    let rules = parsed(&texts);
    let id = ObjectId::new(GroupKind::new("", "ConfigMap"), None, &"a".repeat(253));
    let path = FieldPath(vec![crate::path::Step::Field("a".into()); 30]);
    let started = std::time::Instant::now();
    let mut about = rules.about("app", &id, None);
    let spoken = (0..10_000).filter(|_| about.field(&path).is_some()).count();
    assert!(spoken < 10_000, "{spoken}");
    assert_eq!(about.field(&path), None);
    assert!(
        started.elapsed() < std::time::Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
}

proptest! {
    #[test]
    fn the_rule_that_speaks_is_the_first_of_those_that_would_alone(
        chosen in prop::collection::vec(0..6usize, 0..6), at in 0..4usize,
    ) {
        let patterns = ["spec", "spec.replicas", "**.image", "*.x", "metadata", "spec.*"];
        let paths = ["spec.replicas", "spec.x.image", "metadata.x", "data"];
        let texts: Vec<RuleText> = chosen.iter().map(|n| rule(fields(&[patterns[*n]]), Severity::Low)).collect();
        let alone = texts.iter().position(|t| decided(&parsed(std::slice::from_ref(t)), &json!({}), paths[at]).is_some());
        prop_assert_eq!(decided(&parsed(&texts), &json!({}), paths[at]), alone);
    }
}
