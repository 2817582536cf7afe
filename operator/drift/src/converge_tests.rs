use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::grade::NOTHING;
use crate::judge::{Basis, Finding};
use crate::severity::Severity;

fn field(change: Change, origin: Origin) -> JudgedField {
    let drift = FieldDrift {
        path: "spec.replicas".parse().expect("a path"),
        change,
        declared: Some(json!(1)),
        live: Some(json!(2)),
    };
    JudgedField {
        drift,
        basis: Basis::Declared,
        origin,
        whole: 2,
    }
}

fn added(path: &str, whole: usize) -> JudgedField {
    JudgedField {
        drift: FieldDrift {
            path: path.parse().expect("a path"),
            change: Change::Added,
            declared: None,
            live: Some(json!("x")),
        },
        basis: Basis::Expected,
        origin: Origin::LiveEdited,
        whole,
    }
}

fn grade(rung: Option<Rung>, exception: Option<&str>) -> Grade {
    Grade {
        severity: Severity::Medium,
        rung,
        exception: exception.map(Arc::from),
    }
}

fn graded(change: ObjectChange, origin: Origin, fields: Vec<JudgedField>) -> Graded {
    Graded {
        grades: vec![grade(None, None); fields.len()],
        finding: Finding {
            change,
            fields,
            origin,
            evidence: None,
            uid: None,
            deleted_at: None,
        },
        severity: Severity::Medium,
        rung: None,
        exception: None,
        applied: Vec::new(),
    }
}

fn edited() -> Graded {
    graded(
        ObjectChange::Changed,
        Origin::LiveEdited,
        vec![field(Change::Changed, Origin::LiveEdited)],
    )
}

fn origin() -> impl Strategy<Value = Origin> {
    prop::sample::select(vec![
        Origin::LiveEdited,
        Origin::GitAhead,
        Origin::Diverged,
        Origin::Unknown,
    ])
}

fn any_graded() -> impl Strategy<Value = Graded> {
    let change = prop::sample::select(vec![Change::Changed, Change::Missing, Change::Added]);
    let object = prop::sample::select(vec![
        ObjectChange::Changed,
        ObjectChange::Missing,
        ObjectChange::Terminating,
        ObjectChange::Orphaned,
        ObjectChange::Undeclared,
    ]);
    let rung = prop::sample::select(vec![None, Some(Rung::Observe), Some(Rung::Revert)]);
    let one = (change, origin(), rung.clone(), any::<bool>());
    let fields = prop::collection::vec(one, 0..5);
    (object, origin(), fields, rung, any::<bool>()).prop_map(|(c, o, f, rung, excepted)| {
        let exception = |yes: bool| yes.then_some("x");
        let grades = f.iter().map(|f| grade(f.2, exception(f.3))).collect();
        let fields = f.iter().map(|f| field(f.0, f.1)).collect();
        Graded {
            grades,
            rung,
            exception: exception(excepted).map(Arc::from),
            ..graded(c, o, fields)
        }
    })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("in range")
}

fn revert(origins: Vec<Origin>) -> Terms {
    Terms {
        rung: Rung::Revert,
        origins,
        ..Terms::default()
    }
}

fn fought(rounds: Rounds) -> History {
    History {
        rounds,
        ..History::default()
    }
}

fn planned(terms: &Terms, graded: &Graded, history: History, now: Timestamp) -> Plan {
    plan(terms, graded, None, history, now)
}

#[test]
fn drift_is_left_for_its_grace_and_while_enforcement_is_held() {
    let terms = Terms {
        after: SignedDuration::from_secs(60),
        held_until: Some(at(100)),
        ..revert(vec![Origin::LiveEdited])
    };
    let since = |second| History {
        since: Some(at(second)),
        ..History::default()
    };
    let planned = |history, now| planned(&terms, &edited(), history, at(now));
    assert_eq!(planned(since(0), 99), Plan::Wait(at(100), Why::Held));
    assert!(matches!(planned(since(0), 100), Plan::PutBack(_)));
    assert_eq!(planned(since(90), 100), Plan::Wait(at(150), Why::Grace));
    assert!(matches!(planned(since(90), 150), Plan::PutBack(_)));
}

#[test]
fn an_object_that_asks_for_it_and_a_spent_budget_are_waited_for() {
    let terms = revert(vec![Origin::LiveEdited]);
    let history = History {
        held_until: Some(at(50)),
        spent_until: Some(at(90)),
        ..History::default()
    };
    let planned = |now| planned(&terms, &edited(), history, at(now));
    assert_eq!(planned(0), Plan::Wait(at(50), Why::BrokenGlass));
    assert_eq!(planned(50), Plan::Wait(at(90), Why::Budget));
    assert!(matches!(planned(90), Plan::PutBack(_)));
}

#[test]
fn what_its_deployer_heals_is_left_to_it_and_before_all_else() {
    let terms = Terms {
        held_until: Some(at(500)),
        ..revert(vec![Origin::LiveEdited])
    };
    let with = |healed| History {
        healed,
        ..History::default()
    };
    let planned = |healed, now| planned(&terms, &edited(), with(healed), at(now));
    assert_eq!(planned(Healed::Yes, 0), Plan::Wait(at(60), Why::Healed));
    let soon = Plan::Wait(at(15), Why::Unlisted);
    assert_eq!(planned(Healed::NotKnown, 0), soon);
    assert_eq!(planned(Healed::No, 0), Plan::Wait(at(500), Why::Held));
    assert!(matches!(planned(Healed::No, 500), Plan::PutBack(_)));
}

#[test]
fn outside_of_its_windows_nothing_is_put_back() {
    let hour = SignedDuration::from_hours(1);
    let window = Window::parse("0 9 * * *", hour, "UTC").expect("valid");
    let terms = Terms {
        windows: Windows(vec![window]),
        ..revert(vec![Origin::LiveEdited])
    };
    let time = |text: &str| -> Timestamp { text.parse().expect("a time") };
    let planned = |now| planned(&terms, &edited(), History::default(), time(now));
    let opens = time("2026-11-27T09:00:00Z");
    assert_eq!(
        planned("2026-11-27T08:00:00Z"),
        Plan::Wait(opens, Why::Window)
    );
    assert!(matches!(planned("2026-11-27T09:30:00Z"), Plan::PutBack(_)));
}

#[test]
fn a_fight_is_three_rounds_and_then_one_in_five_minutes() {
    let terms = revert(vec![Origin::LiveEdited]);
    let mut rounds = Rounds::default();
    let mut writes = Vec::new();
    for second in 0..3600 {
        match planned(&terms, &edited(), fought(rounds), at(second)) {
            Plan::PutBack(_) => {
                rounds = rounds.with_one_more(at(second));
                writes.push(second);
            }
            Plan::Wait(until, Why::Contested) => {
                assert!(until > at(second));
                let then = planned(&terms, &edited(), fought(rounds), until);
                assert!(matches!(then, Plan::PutBack(_)), "{then:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(writes.get(..4), Some(&[0, 1, 2, 302][..]));
    assert!(writes.len() <= 15, "{writes:?}");
    let rested = at(3600 + 4 * 300);
    assert_eq!(rounds.at(rested), 0);
}

#[test]
fn what_a_deployer_says_is_enforced_like_unknown() {
    let mut told = edited();
    told.finding.evidence = Some(Evidence::ArgoCD);
    let plan_with = |origin| {
        let planned = planned(&revert(vec![origin]), &told, History::default(), at(0));
        matches!(planned, Plan::PutBack(_))
    };
    assert!(!plan_with(Origin::LiveEdited));
    assert!(plan_with(Origin::Unknown));
}

#[test]
fn a_rule_moves_one_field_up_or_down_the_ladder() {
    let mut two = edited();
    two.finding
        .fields
        .push(field(Change::Missing, Origin::LiveEdited));
    two.grades = vec![grade(Some(Rung::Observe), None), grade(None, None)];
    let fields =
        |terms: &Terms, graded: &Graded| match planned(terms, graded, History::default(), at(0)) {
            Plan::PutBack(fields) => fields.iter().map(|f| f.change).collect(),
            _ => Vec::new(),
        };
    let reverting = revert(vec![Origin::LiveEdited]);
    assert_eq!(fields(&reverting, &two), [Change::Missing]);
    let observing = Terms {
        rung: Rung::Observe,
        ..reverting
    };
    assert_eq!(fields(&observing, &two), []);
    two.grades = vec![grade(Some(Rung::Revert), None), grade(None, None)];
    assert_eq!(fields(&observing, &two), [Change::Changed]);
}

#[test]
fn what_was_added_goes_as_a_whole_and_only_where_that_is_asked_for() {
    let mut sidecar = graded(
        ObjectChange::Changed,
        Origin::LiveEdited,
        vec![
            added("spec.template.spec.containers[name=spy].image", 5),
            added("spec.template.spec.containers[name=spy].name", 5),
            added("metadata.labels.x", 3),
        ],
    );
    let terms = revert(vec![Origin::LiveEdited]);
    let paths =
        |graded: &Graded| match plan(&terms, graded, Some(&NOTHING), History::default(), at(0)) {
            Plan::PutBack(fields) => fields.iter().map(|f| f.path.to_string()).collect(),
            _ => Vec::new(),
        };
    let whole = "spec.template.spec.containers[name=spy]";
    assert_eq!(paths(&sidecar), ["metadata.labels.x", whole]);
    let rest = plan(&terms, &sidecar, None, History::default(), at(0));
    assert_eq!(rest, Plan::Rest);
    // A part of it that may stay keeps the whole.
    let ignored = Ignored {
        places: vec![
            "spec.template.spec.containers[name=spy].env"
                .parse()
                .expect("a path"),
        ],
        ..Ignored::default()
    };
    let kept = plan(&terms, &sidecar, Some(&ignored), History::default(), at(0));
    assert!(matches!(kept, Plan::PutBack(f) if f.len() == 1));
    sidecar.grades[1].exception = Some("x".into());
    assert_eq!(paths(&sidecar), ["metadata.labels.x"]);
}

proptest! {
    #[test]
    fn nothing_is_written_at_observe(graded in any_graded(), origins in prop::collection::vec(origin(), 0..4), times in 0..9u32, removes: bool) {
        let mut graded = graded;
        let calm = |rung: &mut Option<Rung>| { rung.take_if(|r| *r == Rung::Revert); };
        calm(&mut graded.rung);
        graded.grades.iter_mut().for_each(|g| calm(&mut g.rung));
        let terms = Terms { rung: Rung::Observe, ..revert(origins) };
        prop_assert_eq!(plan(&terms, &graded, removes.then_some(&NOTHING), fought(Rounds::noted(times, at(0))), at(1)), Plan::Rest);
    }

    #[test]
    fn only_what_is_declared_and_may_be_is_put_back(graded in any_graded(), origins in prop::collection::vec(origin(), 0..4)) {
        let terms = revert(origins.clone());
        let may = |origin: Origin, rung: Option<Rung>, excepted: bool| origins.contains(&origin) && rung != Some(Rung::Observe) && !excepted;
        match planned(&terms, &graded, History::default(), at(0)) {
            Plan::Create => prop_assert!(graded.finding.change == ObjectChange::Missing && may(graded.finding.origin, graded.rung, graded.exception.is_some())),
            Plan::PutBack(fields) => {
                prop_assert_eq!(graded.finding.change, ObjectChange::Changed);
                let all = graded.finding.fields.iter().zip(&graded.grades);
                let may = all.filter(|(f, g)| may(f.origin, g.rung, g.exception.is_some()) && f.drift.change != Change::Added);
                prop_assert_eq!(fields, may.map(|(f, _)| f.drift.clone()).collect::<Vec<_>>());
            }
            Plan::Rest => {}
            Plan::Apply(_) => prop_assert!(false, "something else delivers"),
            Plan::Wait(..) => prop_assert!(false, "nothing to wait for"),
        }
    }
}
