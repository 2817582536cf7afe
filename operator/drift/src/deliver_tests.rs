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
