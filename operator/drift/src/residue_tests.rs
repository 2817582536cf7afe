use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::{SchemaBuilder, StructNode};

fn paths(declared: &Value, live: &Value) -> Vec<String> {
    extras(declared, live, &Schema::unknown())
        .iter()
        .map(|e| e.path.to_string())
        .collect()
}

#[test]
fn additions_are_told_part_by_part() {
    let live = json!({"metadata": {"labels": {"a": "1", "b": "2"}, "uid": "x"}, "spec": {"on": true, "empty": {}}, "status": {"x": 1}});
    assert_eq!(
        paths(&json!({"metadata": {"labels": {"a": "1"}}}), &live),
        ["metadata.labels.b", "spec.empty", "spec.on"]
    );
    assert_eq!(paths(&live, &live), Vec::<String>::new());
}

#[test]
fn a_part_named_like_bookkeeping_of_the_object_is_not_bookkeeping() {
    let schema = Schema::unknown();
    let path = vec![Step::Field("subjects".to_owned()), Step::Index(0)];
    let subject = |kind: &str| json!({"kind": kind, "name": "x"});
    assert!(!equal_at(
        &subject("User"),
        &subject("Group"),
        &schema,
        NodeId::UNKNOWN,
        &path
    ));
}

#[test]
fn an_atomic_list_in_what_the_server_adds_was_told_twice_and_with_the_value_of_a_part() {
    let mut b = SchemaBuilder::new();
    let scalar = b.push(Node::Scalar);
    let fields = |fields: &[(&str, NodeId)]| {
        Node::Struct(StructNode {
            fields: fields.iter().map(|(n, id)| ((*n).into(), *id)).collect(),
            defaults: Box::default(),
            nullable: Box::default(),
            preserve_unknown: false,
            atomic: false,
        })
    };
    let list = |items, topology| Node::List { items, topology };
    let source = b.push(fields(&[("from", scalar), ("mode", scalar)]));
    let sources = b.push(list(source, ListTopology::Atomic));
    let volume = b.push(fields(&[("name", scalar), ("sources", sources)]));
    let keys = Box::new([("name".into(), None)]);
    let volumes = b.push(list(volume, ListTopology::Map { keys }));
    let root = b.push(fields(&[("volumes", volumes)]));
    let schema = Schema::new(b.finish(), root);
    let declared = json!({"volumes": []});
    let of = |source: Value| json!({"volumes": [{"name": "token", "sources": [source]}]});
    let expected = of(json!({"from": "a"}));
    for (source, told) in [
        (json!({"from": "b", "mode": 1}), 1),
        (json!({"from": "a", "mode": 1, "more": 2}), 1),
        (json!({"from": "a"}), 0),
    ] {
        let live = of(source.clone());
        let beyond = extras(&declared, &live, &schema);
        let found = unexplained(&beyond, &declared, &expected, &live, &schema);
        assert_eq!(found.len(), told, "{source}");
        for drift in found {
            assert_eq!(drift.path.to_string(), "volumes[name=token].sources");
            assert_eq!(drift.live, Some(json!([source])));
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-e]", inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_has_more_than_itself(v in value()) {
        prop_assert!(extras(&v, &v, &Schema::unknown()).is_empty());
    }

    #[test]
    fn what_the_server_makes_of_a_declaration_is_explained(declared in value(), expected in value()) {
        let schema = Schema::unknown();
        let found = extras(&declared, &expected, &schema);
        prop_assert!(unexplained(&found, &declared, &expected, &expected, &schema).is_empty());
    }

    #[test]
    fn the_residue_of_equal_objects_is_equal(declared in value(), live in value()) {
        let schema = Schema::unknown();
        let residue = |l: &Value| Residue::new(extras(&declared, l, &schema).iter().map(Extra::hash).collect());
        let again: Value = serde_json::from_str(&live.to_string()).expect("json");
        prop_assert_eq!(residue(&live), residue(&again));
    }
}
