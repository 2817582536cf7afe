use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn changes(path: &str, change: Change) -> FieldDrift {
    FieldDrift {
        path: path.parse().expect("a path"),
        change,
        declared: Some(json!(1)),
        live: Some(json!(2)),
    }
}

fn applied(declared: &Value, live: &Value, fields: &[FieldDrift]) -> (Value, bool) {
    object(declared, live, &Schema::unknown(), fields, &[]).expect("has places")
}

#[test]
fn what_is_not_to_be_written_is_applied_as_it_is() {
    let declared = json!({"spec": {"replicas": 2, "image": "a:2", "gone": true}});
    let live = json!({"spec": {"replicas": 5, "image": "a:1", "more": 1}});
    let image = [changes("spec.image", Change::Changed)];
    let (object, kept) = applied(&declared, &live, &image);
    assert_eq!(object, json!({"spec": {"replicas": 5, "image": "a:2"}}));
    assert!(kept);
    let all = [changes("spec", Change::Changed)];
    assert_eq!(applied(&declared, &live, &all), (declared, false));
}

#[test]
fn what_stays_of_the_undeclared_is_applied_too() {
    let declared = json!({"data": {"a": "1"}});
    let live = json!({"data": {"a": "0", "b": "kept"}});
    let stays = [FieldDrift {
        live: Some(json!("kept")),
        ..changes("data.b", Change::Added)
    }];
    let fields = [changes("data.a", Change::Changed)];
    let (applied, _) =
        object(&declared, &live, &Schema::unknown(), &fields, &stays).expect("has places");
    assert_eq!(applied, json!({"data": {"a": "1", "b": "kept"}}));
    let nowhere = [changes("metadata.labels.x", Change::Added)];
    assert!(object(&declared, &live, &Schema::unknown(), &fields, &nowhere).is_err());
}

fn finding(change: ObjectChange, origin: Origin, fields: &[(Change, Origin)]) -> Graded {
    let field = |(n, (change, origin)): (usize, &(Change, Origin))| JudgedField {
        drift: changes(&format!("spec.f{n}"), *change),
        basis: crate::judge::Basis::Declared,
        origin: *origin,
        whole: 2,
    };
    let grade = Grade {
        severity: crate::Severity::Low,
        rung: None,
        exception: None,
    };
    Graded {
        grades: vec![grade; fields.len()],
        finding: crate::judge::Finding {
            change,
            fields: fields.iter().enumerate().map(field).collect(),
            origin,
            evidence: None,
            uid: None,
            deleted_at: None,
        },
        severity: crate::Severity::Low,
        rung: None,
        exception: None,
        applied: Vec::new(),
    }
}

fn origin() -> impl Strategy<Value = Origin> {
    prop::sample::select(vec![
        Origin::LiveEdited,
        Origin::GitAhead,
        Origin::Diverged,
        Origin::Unknown,
    ])
}

fn change() -> impl Strategy<Value = Change> {
    prop::sample::select(vec![Change::Changed, Change::Missing, Change::Added])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn reverts() -> Terms {
    Terms {
        rung: Rung::Revert,
        ..Terms::default()
    }
}

#[test]
fn a_commit_waits_for_holds_and_not_for_grace_or_budget() {
    let terms = Terms {
        after: jiff::SignedDuration::from_secs(60),
        ..reverts()
    };
    let history = History {
        since: Some(at(0)),
        spent_until: Some(at(100)),
        ..History::default()
    };
    let planned = |terms: &Terms, origin| {
        let graded = finding(ObjectChange::Changed, origin, &[(Change::Changed, origin)]);
        plan(terms, &graded, |_| true, history, at(1))
    };
    let waits = |plan: Plan| matches!(plan, Plan::Wait(..));
    assert!(!waits(planned(&terms, Origin::GitAhead)));
    assert!(waits(planned(&terms, Origin::LiveEdited)));
    // An edit that stays makes no revert of it.
    let mut both = finding(
        ObjectChange::Changed,
        Origin::LiveEdited,
        &[
            (Change::Changed, Origin::LiveEdited),
            (Change::Changed, Origin::GitAhead),
        ],
    );
    assert!(waits(plan(&terms, &both, |_| true, history, at(1))));
    both.grades[0].exception = Some("x".into());
    assert!(!waits(plan(&terms, &both, |_| true, history, at(1))));
    let held = Terms {
        held_until: Some(at(9)),
        ..reverts()
    };
    assert!(waits(planned(&held, Origin::GitAhead)));
}

fn maps() -> impl Strategy<Value = Value> {
    let leaf = prop::collection::btree_map("[a-d]", 0..3_i64, 0..4);
    prop::collection::btree_map("[a-c]", leaf, 0..4).prop_map(|all| {
        let inner = |leaf: std::collections::BTreeMap<String, i64>| {
            Value::Object(leaf.into_iter().map(|(k, v)| (k, json!(v))).collect())
        };
        Value::Object(
            all.into_iter()
                .map(|(k, v)| (k, inner(v)))
                .collect::<Map<_, _>>(),
        )
    })
}

proptest! {
    #[test]
    fn only_at_revert_and_only_what_is_declared_or_ours_is_written(origin in origin(), fields in prop::collection::vec((change(), origin()), 0..5), excepted: u8, ours: bool) {
        let mut graded = finding(ObjectChange::Changed, origin, &fields);
        for (n, grade) in graded.grades.iter_mut().enumerate() {
            grade.exception = (excepted & (1 << n) != 0).then(|| "x".into());
        }
        let planned = |terms: &Terms| plan(terms, &graded, |_| ours, History::default(), at(0));
        prop_assert_eq!(planned(&Terms::default()), Plan::Rest);
        let written = match planned(&reverts()) {
            Plan::Apply(fields) => fields,
            _ => Vec::new(),
        };
        for (field, grade) in graded.finding.fields.iter().zip(&graded.grades) {
            let may = grade.exception.is_none() && (ours || field.drift.change != Change::Added);
            prop_assert_eq!(written.contains(&field.drift), may);
        }
    }

    /// What is applied is live then, so there is nothing left to write.
    #[test]
    fn what_was_applied_is_not_applied_again(declared in maps(), live in maps()) {
        let schema = Schema::unknown();
        let all = compare(&declared, &live, &schema);
        let (object, _) = object(&declared, &live, &schema, &all, &[]).expect("has places");
        prop_assert_eq!(&object, &declared);
        prop_assert!(compare(&declared, &object, &schema).is_empty());
    }

    #[test]
    fn nothing_changes_but_what_is_to_be_written(declared in maps(), live in maps(), choice: u16) {
        let schema = Schema::unknown();
        let drifts = compare(&declared, &live, &schema);
        let (written, left): (Vec<_>, Vec<_>) = drifts.into_iter().enumerate().partition(|(n, _)| choice & (1 << (n % 16)) != 0);
        let written: Vec<_> = written.into_iter().map(|(_, d)| d).collect();
        let (object, _) = object(&declared, &live, &schema, &written, &[]).expect("has places");
        for drift in &written {
            prop_assert_eq!(drift.path.get(&object), drift.path.get(&declared));
        }
        for (_, drift) in &left {
            prop_assert_eq!(drift.path.get(&object), drift.live.as_ref());
        }
    }

    #[test]
    fn what_is_live_as_declared_is_applied_as_declared(declared in maps()) {
        prop_assert_eq!(applied(&declared, &declared, &[]), (declared, false));
    }
}
