use serde_json::json;

use super::*;
use crate::compare::Change;
use crate::rules::TargetRules;
use crate::subject::GroupKind;

fn text(fields: &[&str]) -> MatchText {
    MatchText {
        kinds: vec!["apps/Deployment".to_owned()],
        names: vec!["web".to_owned()],
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        ..MatchText::default()
    }
}

fn exception(name: &str, fields: &[&str], allowed: Option<&[Value]>) -> Exception {
    Exception::parse(name, &text(fields), allowed, &["app"]).expect("valid")
}

fn drift(path: &str, live: Option<Value>) -> FieldDrift {
    FieldDrift {
        path: path.parse().expect("a path"),
        change: if live.is_some() {
            Change::Changed
        } else {
            Change::Missing
        },
        declared: Some(json!(2)),
        live,
    }
}

/// The exception for a field of a Deployment of this name.
fn found(all: Vec<Exception>, name: &str, drift: &FieldDrift, withheld: bool) -> Option<String> {
    let rules = TargetRules {
        target: "app".into(),
        exceptions: Arc::new(Exceptions::new(all)),
        ..TargetRules::default()
    };
    let id = ObjectId::new(GroupKind::new("apps", "Deployment"), Some("shop"), name);
    let mut about = rules.about(&id, &json!({}));
    about.exception(drift, withheld).map(|n| n.to_string())
}

#[test]
fn only_what_it_names_is_excepted() {
    let one = || vec![exception("scaled", &["spec.replicas"], None)];
    let replicas = drift("spec.replicas", Some(json!(5)));
    assert_eq!(
        found(one(), "web", &replicas, false).as_deref(),
        Some("scaled")
    );
    assert_eq!(found(one(), "api", &replicas, false), None);
    let paused = drift("spec.paused", Some(json!(true)));
    assert_eq!(found(one(), "web", &paused, false), None);
}

#[test]
fn only_the_values_that_it_allows_are() {
    let allowed = [json!(5), json!(6), Value::Null];
    let one = || vec![exception("scaled", &["spec.replicas"], Some(&allowed))];
    let of = |live, withheld| found(one(), "web", &drift("spec.replicas", live), withheld);
    assert!(of(Some(json!(5)), false).is_some());
    assert!(of(Some(json!(6.0)), false).is_some());
    assert!(of(None, false).is_some());
    assert!(of(Some(json!(7)), false).is_none());
    assert!(of(Some(json!("5")), false).is_none());
    // Nobody finds out a secret by trying values.
    assert!(of(Some(json!(5)), true).is_none());
}

#[test]
fn an_exception_for_fields_says_nothing_of_the_object() {
    let about = |fields: &[&str]| {
        let rules = TargetRules {
            target: "app".into(),
            exceptions: Arc::new(Exceptions::new(vec![exception("gone", fields, None)])),
            ..TargetRules::default()
        };
        let id = ObjectId::new(GroupKind::new("apps", "Deployment"), Some("shop"), "web");
        rules.about(&id, &json!({})).exception_for_object()
    };
    assert_eq!(about(&["**"]), None);
    assert_eq!(about(&[]).as_deref(), Some("gone"));
}

#[test]
fn where_it_cannot_be_told_nothing_is_written() {
    let intricate = "**.a.**.b.**.c.**.d";
    let fields = vec![intricate; 60];
    let all: Vec<Exception> = (0..MAX_EXCEPTIONS)
        .map(|n| exception(&format!("e{n:03}"), &fields, None))
        .collect();
    let path = vec!["a"; 120].join(".");
    let found = found(all, "web", &drift(&path, Some(json!(1))), false);
    assert_eq!(found.as_deref(), Some("e000"));
}

#[test]
fn what_cannot_match_is_refused_by_its_place() {
    let parse = |text: MatchText, allowed: Option<&[Value]>| {
        Exception::parse("x", &text, allowed, &["app"])
            .expect_err("wrong")
            .place
    };
    assert_eq!(parse(MatchText::default(), None), "spec.match");
    assert_eq!(parse(text(&[]), Some(&[json!(1)])), "spec.allowedValues");
    assert_eq!(parse(text(&["spec"]), Some(&[])), "spec.allowedValues");
    let elsewhere = MatchText {
        targets: vec!["other".to_owned()],
        ..MatchText::default()
    };
    assert_eq!(parse(elsewhere, None), "spec.match.targets[0]");
}
