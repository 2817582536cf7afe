use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::declared::{DeclaredObject, Provenance};
use crate::expected::Expected;
use crate::judge::{Case, Verdict, judge};
use crate::origin::Origin;
use crate::rules::{MatchText, RuleText, Rules};
use crate::schema::Schema;
use crate::subject::ObjectId;

fn kind() -> GroupKind {
    GroupKind::new("apps", "Deployment")
}

fn found(declared: &Value, live: Option<&Value>) -> Finding {
    let declared = DeclaredObject {
        object: declared.clone(),
        provenance: Provenance {
            file: "a.yaml".into(),
            document: 1,
            line: 1,
        },
        lines: Vec::new(),
        unstable: Vec::new(),
        encrypted: false,
    };
    let (kind, schema) = (kind(), Schema::unknown());
    let case = Case {
        expected: Expected::AsDeclared,
        ..Case::new(&kind, &declared, &schema)
    };
    match judge(&case, live).verdict {
        Verdict::Drifted(finding) => *finding,
        other => panic!("{other:?}"),
    }
}

fn rule(fields: &[&str], action: Result<Severity, &str>) -> RuleText {
    let everything = if fields.is_empty() {
        vec!["*".to_owned()]
    } else {
        vec![]
    };
    RuleText {
        matches: MatchText {
            fields: fields.iter().map(|f| (*f).to_owned()).collect(),
            names: everything,
            ..MatchText::default()
        },
        ignore: action.err().map(str::to_owned),
        severity: action.ok(),
        rung: None,
    }
}

fn graded(texts: &[RuleText], declared: &Value, live: Option<&Value>) -> Option<Graded> {
    grading(texts, declared, live).left
}

fn grading(texts: &[RuleText], declared: &Value, live: Option<&Value>) -> Grading {
    let rules = Rules::parse(texts, &["app"]).expect("valid");
    let id = ObjectId::new(kind(), Some("shop"), "web");
    grade(
        &kind(),
        found(declared, live),
        rules.about("app", &id, None),
    )
}

fn pair() -> (Value, Value) {
    let of = |n: u32| {
        json!({"metadata": {"labels": {"a": n.to_string()}},
            "spec": {"replicas": n, "template": {"spec": {"hostNetwork": n == 2, "containers": [{"image": format!("web:{n}")}]}}}})
    };
    (of(1), of(2))
}

fn severities(graded: &Graded) -> Vec<Severity> {
    graded.grades.iter().map(|g| g.severity).collect()
}

fn paths(graded: &Graded) -> Vec<String> {
    graded
        .finding
        .fields
        .iter()
        .map(|f| f.drift.path.to_string())
        .collect()
}

#[test]
fn the_gravest_come_first() {
    let (declared, live) = pair();
    let graded = graded(&[], &declared, Some(&live)).expect("drifted");
    use Severity::{Critical, High, Low, Medium};
    assert_eq!(severities(&graded), [Critical, High, Medium, Low]);
    assert_eq!(paths(&graded)[0], "spec.template.spec.hostNetwork");
    assert_eq!((graded.severity, graded.applied.len()), (Critical, 0));
}

#[test]
fn what_is_ignored_is_gone_and_said() {
    let (declared, live) = pair();
    let texts = [
        rule(&["spec.replicas", "metadata"], Err("by hand")),
        rule(&["**.hostNetwork"], Ok(Severity::Low)),
    ];
    let graded = graded(&texts, &declared, Some(&live)).expect("drifted");
    assert_eq!(severities(&graded), [Severity::High, Severity::Low]);
    assert_eq!(graded.severity, Severity::High);
    assert_eq!(
        said(&graded.applied),
        "rules[0] ignores 2 fields: by hand; rules[1]: Low"
    );
}

#[test]
fn an_object_of_which_all_is_ignored_is_in_sync() {
    let (declared, live) = pair();
    assert_eq!(
        graded(&[rule(&["**"], Err("x"))], &declared, Some(&live)),
        None
    );
    assert_eq!(graded(&[rule(&[], Err("x"))], &declared, Some(&live)), None);
    assert_eq!(graded(&[rule(&[], Err("x"))], &declared, None), None);
}

#[test]
fn what_is_ignored_keeps_its_place_for_the_baseline() {
    let (declared, live) = pair();
    let by_hand = rule(&["spec.replicas"], Err("by hand"));
    let ignored = grading(&[by_hand], &declared, Some(&live)).ignored;
    let ignored = ignored.expect("something is");
    assert_eq!(ignored.places, ["spec.replicas".parse().expect("a path")]);
    assert!(!ignored.more && ignored.whole.is_none());
    let gone = grading(&[rule(&[], Err("x"))], &declared, None).ignored;
    assert_eq!(gone.and_then(|i| i.whole), Some(ObjectChange::Missing));
    assert_eq!(grading(&[], &declared, Some(&live)).ignored, None);
}

#[test]
fn what_is_left_when_edits_are_ignored_is_a_roll_out() {
    let (declared, live) = pair();
    let mut finding = found(&declared, Some(&live));
    for field in &mut finding.fields {
        let edited = field.drift.path.to_string() == "spec.replicas";
        field.origin = if edited {
            Origin::LiveEdited
        } else {
            Origin::GitAhead
        };
    }
    finding.origin = Origin::LiveEdited;
    let rules = Rules::parse(&[rule(&["spec.replicas"], Err("x"))], &["app"]).expect("valid");
    let id = ObjectId::new(kind(), Some("shop"), "web");
    let left = grade(&kind(), finding, rules.about("app", &id, None)).left;
    assert_eq!(left.map(|l| l.finding.origin), Some(Origin::GitAhead));
}

#[test]
fn a_missing_object_is_not_what_a_rule_of_fields_is_about() {
    let (declared, _) = pair();
    let missing = graded(&[rule(&["**"], Err("x"))], &declared, None).expect("drifted");
    assert_eq!(
        (missing.severity, missing.applied.len()),
        (Severity::High, 0)
    );
    let missing = graded(&[rule(&[], Ok(Severity::Low))], &declared, None).expect("drifted");
    assert_eq!(missing.severity, Severity::Low);
    assert_eq!(said(&missing.applied), "rules[0]: Low");
}

#[test]
fn a_hundred_thousand_fields_are_graded_at_once() {
    let data = |value: &str| -> Value {
        let entry = |n| (format!("key{n}"), json!({"a": {"b": value}}));
        json!({"spec": (0..100_000).map(entry).collect::<serde_json::Map<_, _>>()})
    };
    let finding = found(&data("a"), Some(&data("b")));
    let texts = vec![rule(&["**.x.**.y", "**.image"], Ok(Severity::Low)); 64];
    let rules = Rules::parse(&texts, &["app"]).expect("valid");
    let id = ObjectId::new(kind(), Some("shop"), "web");
    let started = std::time::Instant::now();
    let graded = grade(&kind(), finding, rules.about("app", &id, None))
        .left
        .expect("drifted");
    assert_eq!(graded.grades.len(), 100_000);
    assert!(started.elapsed() < std::time::Duration::from_secs(30));
}

#[test]
fn a_rule_says_how_far_the_policy_goes_and_nothing_of_how_grave_it_is() {
    let (declared, live) = pair();
    let mut text = rule(&["spec.replicas"], Err("x"));
    text.ignore = None;
    text.rung = Some(Rung::Revert);
    let graded = graded(&[text], &declared, Some(&live)).expect("drifted");
    let of = |path: &str| {
        let place = paths(&graded)
            .iter()
            .position(|p| p == path)
            .expect("there");
        graded.grades[place].clone()
    };
    let replicas = of("spec.replicas");
    assert_eq!(
        (replicas.severity, replicas.rung),
        (Severity::Medium, Some(Rung::Revert))
    );
    assert_eq!(of("spec.template.spec.hostNetwork").rung, None);
    assert_eq!(said(&graded.applied), "rules[0]: Revert");
}

proptest! {
    #[test]
    fn nothing_is_lost_but_what_a_rule_ignores(chosen in prop::collection::vec((0..5usize, 0..3usize), 0..5)) {
        let (declared, live) = pair();
        let patterns = ["spec", "spec.replicas", "**.hostNetwork", "metadata.labels", "**.image"];
        let actions = [Err("x"), Ok(Severity::Low), Ok(Severity::Critical)];
        let texts: Vec<RuleText> = chosen.iter().map(|(p, a)| rule(&[patterns[*p]], actions[*a])).collect();
        let rules = Rules::parse(&texts, &["app"]).expect("valid");
        let id = ObjectId::new(kind(), Some("shop"), "web");
        let mut expected: Vec<String> = found(&declared, Some(&live)).fields.iter()
            .filter(|f| !matches!(rules.decide("app", &id, None, &f.drift.path).map(|r| &r.action), Some(Action::Ignore { .. })))
            .map(|f| f.drift.path.to_string()).collect();
        let graded = graded(&texts, &declared, Some(&live));
        let mut left = graded.as_ref().map(paths).unwrap_or_default();
        expected.sort();
        left.sort();
        prop_assert_eq!(left, expected);
        if let Some(graded) = graded {
            prop_assert!(severities(&graded).is_sorted_by(|a, b| a >= b));
            prop_assert_eq!(graded.severity, graded.grades[0].severity);
        }
    }
}
