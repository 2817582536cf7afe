use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::{SchemaBuilder, StructNode};

/// A small schema: containers keyed by name with env, ports, args; a set; quantities; bytes.
pub(crate) fn schema() -> Schema {
    let mut b = SchemaBuilder::new();
    let scalar = b.push(Node::Scalar);
    let quantity = b.push(Node::Quantity);
    let bytes = b.push(Node::Bytes);
    let time = b.push(Node::Time);
    let map = |values| Node::Map {
        values,
        atomic: false,
    };
    let quantities = b.push(map(quantity));
    let strings = b.push(map(scalar));
    let secrets = b.push(map(bytes));
    let atomic = b.push(Node::List {
        items: scalar,
        topology: ListTopology::Atomic,
    });
    let set = b.push(Node::List {
        items: scalar,
        topology: ListTopology::Set,
    });
    let record = |fields: &[(&str, NodeId)]| {
        let mut fields: Vec<(Arc<str>, NodeId)> =
            fields.iter().map(|(n, i)| (Arc::from(*n), *i)).collect();
        fields.sort();
        Node::Struct(StructNode {
            fields: fields.into(),
            defaults: Box::default(),
            nullable: Box::default(),
            preserve_unknown: false,
            atomic: false,
        })
    };
    let keyed = |items, keys: &[(&str, Option<Value>)]| Node::List {
        items,
        topology: ListTopology::Map {
            keys: keys
                .iter()
                .map(|(k, d)| (Arc::from(*k), d.clone()))
                .collect(),
        },
    };
    let env = b.push(record(&[("name", scalar), ("value", scalar)]));
    let envs = b.push(keyed(env, &[("name", None)]));
    let port = b.push(record(&[
        ("containerPort", scalar),
        ("protocol", scalar),
        ("name", scalar),
    ]));
    let ports = b.push(keyed(
        port,
        &[("containerPort", None), ("protocol", Some(json!("TCP")))],
    ));
    let container = b.push(record(&[
        ("name", scalar),
        ("image", scalar),
        ("args", atomic),
        ("env", envs),
        ("ports", ports),
        ("limits", quantities),
    ]));
    let containers = b.push(keyed(container, &[("name", None)]));
    let subject = b.push(record(&[
        ("kind", scalar),
        ("name", scalar),
        ("apiGroup", scalar),
    ]));
    let subjects = b.push(Node::List {
        items: subject,
        topology: ListTopology::Atomic,
    });
    let metadata = b.push(record(&[
        ("labels", strings),
        ("annotations", strings),
        ("finalizers", set),
    ]));
    let spec = b.push(record(&[
        ("replicas", scalar),
        ("containers", containers),
        ("since", time),
        ("subjects", subjects),
    ]));
    let root = b.push(record(&[
        ("metadata", metadata),
        ("spec", spec),
        ("data", secrets),
    ]));
    Schema::new(b.finish(), root)
}

fn drifts(declared: Value, live: Value) -> Vec<String> {
    compare(&declared, &live, &schema())
        .iter()
        .map(|d| format!("{} {}", d.change.as_str(), d.path))
        .collect()
}

#[test]
fn live_extras_and_order_of_keyed_lists_do_not_matter() {
    let declared = json!({"spec": {"containers": [{"name": "web", "env": [{"name": "A", "value": "1"}, {"name": "B"}]}]}});
    let live = json!({"spec": {"replicas": 1, "containers": [{"name": "x"}, {"name": "web", "tty": true, "env": [{"name": "B"}, {"name": "C"}, {"name": "A", "value": "1"}]}]}});
    assert_eq!(drifts(declared, live), Vec::<String>::new());
}

#[test]
fn a_list_of_a_hundred_thousand_elements_froze_the_operator() {
    let env = |value: &str| -> Vec<Value> {
        (0..100_000)
            .map(|n| json!({"name": format!("E{n}"), "value": value}))
            .collect()
    };
    let names =
        |prefix: &str| -> Vec<String> { (0..100_000).map(|n| format!("{prefix}{n}")).collect() };
    let object = |value: &str, prefix: &str| json!({"spec": {"containers": [{"name": "web", "env": env(value)}]}, "metadata": {"finalizers": names(prefix)}});
    assert_eq!(drifts(object("1", "a/"), object("1", "a/")).len(), 0);
    assert_eq!(drifts(object("1", "a/"), object("2", "b/")).len(), 200_000);
}

#[test]
fn an_image_is_named_by_its_container() {
    let declared = json!({"spec": {"containers": [{"name": "web", "image": "a:1"}]}});
    let live = json!({"spec": {"containers": [{"name": "web", "image": "a:2"}]}});
    let found = compare(&declared, &live, &schema());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path.to_string(), "spec.containers[name=web].image");
    assert_eq!(
        (found[0].declared.clone(), found[0].live.clone()),
        (Some(json!("a:1")), Some(json!("a:2")))
    );
}

#[test]
fn a_field_that_the_schema_does_not_know_is_pruned_and_not_missing() {
    let schema = schema();
    let declared = json!({"unheardOf": {"a": 1}});
    assert_eq!(compare(&declared, &json!({}), &schema), []);
    assert_eq!(compare(&declared, &declared, &schema), []);
    let unknown = compare(&declared, &json!({}), &Schema::unknown());
    assert_eq!(
        unknown.len(),
        1,
        "without a schema nothing is known to be pruned"
    );
}

#[test]
fn a_key_that_is_left_out_has_its_default() {
    let declared = json!({"spec": {"containers": [{"name": "w", "ports": [{"containerPort": 80, "name": "http"}]}]}});
    let live = json!({"spec": {"containers": [{"name": "w", "ports": [{"containerPort": 80, "protocol": "UDP", "name": "dns"}, {"containerPort": 80, "protocol": "TCP", "name": "http"}]}]}});
    assert_eq!(drifts(declared.clone(), live), Vec::<String>::new());
    let other = json!({"spec": {"containers": [{"name": "w", "ports": [{"containerPort": 80, "protocol": "UDP"}]}]}});
    assert_eq!(
        drifts(declared, other),
        ["Missing spec.containers[name=w].ports[containerPort=80,protocol=TCP]"]
    );
}

#[test]
fn duplicates_in_a_keyed_list_are_matched_in_order() {
    let declared = json!({"spec": {"containers": [{"name": "w", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}]}});
    let live = json!({"spec": {"containers": [{"name": "w", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "3"}]}]}});
    assert_eq!(
        drifts(declared, live),
        ["Changed spec.containers[name=w].env[name=A;#1].value"]
    );
}

#[test]
fn an_atomic_list_differs_as_a_whole_but_may_have_defaults_inside() {
    let declared = json!({"spec": {"subjects": [{"kind": "Group", "name": "devs"}]}});
    let defaulted =
        json!({"spec": {"subjects": [{"kind": "Group", "name": "devs", "apiGroup": "rbac"}]}});
    assert_eq!(drifts(declared.clone(), defaulted), Vec::<String>::new());
    let longer = json!({"spec": {"subjects": [{"kind": "Group", "name": "devs"}, {"kind": "User", "name": "m"}]}});
    assert_eq!(drifts(declared, longer), ["Changed spec.subjects"]);
    let args = |a: Value| json!({"spec": {"containers": [{"name": "w", "args": a}]}});
    assert_eq!(
        drifts(args(json!(["a", "b"])), args(json!(["b", "a"]))),
        ["Changed spec.containers[name=w].args"]
    );
}

#[test]
fn values_are_equal_by_meaning() {
    let declared = json!({"data": {"a": "YQ==\n"}, "metadata": {"finalizers": ["b", "a"]}, "spec": {"replicas": 3.0, "since": "2026-01-01T01:00:00+01:00", "containers": [{"name": "w", "limits": {"cpu": 0.5}}]}});
    let live = json!({"data": {"a": "YQ=="}, "metadata": {"finalizers": ["a", "b", "c"]}, "spec": {"replicas": 3, "since": "2026-01-01T00:00:00Z", "containers": [{"name": "w", "limits": {"cpu": "500m"}}]}});
    assert_eq!(drifts(declared, live), Vec::<String>::new());
}

#[test]
fn base64_that_go_reads_was_refused() {
    let data = |text: &str| json!({"data": {"a": text}});
    assert_eq!(drifts(data("YR=="), data("YQ==")), [""; 0]);
    assert_eq!(drifts(data("YR=="), data("Yg==")), ["Changed data.a"]);
}

#[test]
fn null_in_a_list_was_equal_to_anything() {
    let args = |list: Value| json!({"spec": {"containers": [{"name": "w", "args": list}]}});
    let declared = args(json!(["sh", null]));
    assert_eq!(drifts(declared.clone(), args(json!(["sh", ""]))), [""; 0]);
    assert_eq!(
        drifts(declared, args(json!(["sh", "-c"]))),
        ["Changed spec.containers[name=w].args"]
    );
}

#[test]
fn null_is_absent_and_types_matter() {
    assert_eq!(
        drifts(
            json!({"spec": {"replicas": null}}),
            json!({"spec": {"replicas": 3}})
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        drifts(
            json!({"spec": {"replicas": 1}}),
            json!({"spec": {"replicas": null}})
        ),
        ["Missing spec.replicas"]
    );
    assert_eq!(
        drifts(
            json!({"spec": {"replicas": 1}}),
            json!({"spec": {"replicas": "1"}})
        ),
        ["Changed spec.replicas"]
    );
    assert_eq!(
        drifts(json!({"spec": {"replicas": 1}}), json!({"spec": []})),
        ["Changed spec"]
    );
}

#[test]
fn status_and_tool_notes_never_differ() {
    let declared = json!({"status": {"a": 1}, "metadata": {"creationTimestamp": "x", "annotations": {"deployment.kubernetes.io/revision": "1", "a": "1"}}});
    assert_eq!(
        drifts(declared, json!({"metadata": {"annotations": {"a": "1"}}})),
        Vec::<String>::new()
    );
}

#[test]
fn without_a_schema_lists_are_compared_whole() {
    let found = compare(
        &json!({"l": [{"a": 1}], "m": {"k": 1}}),
        &json!({"l": [{"a": 1, "b": 2}], "m": {"k": 1, "x": 2}}),
        &Schema::unknown(),
    );
    assert_eq!(
        found.iter().map(|d| d.path.to_string()).collect::<Vec<_>>(),
        ["l"]
    );
}

#[test]
fn the_last_annotation_removed_was_told_at_a_place_that_no_rule_named() {
    let declared = json!({"metadata": {"annotations": {"example.com/owner": "web"}}});
    let missing = "Missing metadata.annotations[\"example.com/owner\"]";
    for live in [
        json!({"metadata": {}}),
        json!({"metadata": {"annotations": null}}),
        json!({"metadata": {"annotations": {}}}),
        json!({"metadata": {"annotations": {"b": "2"}}}),
    ] {
        assert_eq!(drifts(declared.clone(), live.clone()), [missing]);
        let found = compare(&declared, &live, &Schema::unknown());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].declared, Some(json!("web")));
        assert_eq!(format!("Missing {}", found[0].path), missing);
    }
}

#[test]
fn a_note_of_a_tool_in_a_map_that_is_gone_was_missing() {
    let declared = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}});
    assert_eq!(drifts(declared, json!({"metadata": {}})), [""; 0]);
}

#[test]
fn only_maps_of_plain_values_are_told_key_by_key() {
    let container = |rest: Value| json!({"spec": {"containers": [rest]}});
    assert_eq!(
        drifts(
            container(json!({"name": "w", "limits": {"cpu": 1, "memory": "1Gi", "x": null}})),
            container(json!({"name": "w"}))
        ),
        [
            "Missing spec.containers[name=w].limits.cpu",
            "Missing spec.containers[name=w].limits.memory"
        ]
    );
    let whole = |declared: Value, live: Value, path: &str| {
        assert_eq!(drifts(declared, live), [format!("Missing {path}")]);
    };
    whole(json!({"spec": {"replicas": 1}}), json!({}), "spec");
    whole(json!({"data": {}}), json!({}), "data");
    whole(json!({"data": {"a": null}}), json!({}), "data");
    whole(
        container(json!({"name": "w", "limits": {"cpu": 1}})),
        json!({"spec": {"containers": []}}),
        "spec.containers[name=w]",
    );
    let free = compare(&json!({"x": {"a": "1"}}), &json!({}), &Schema::unknown());
    assert_eq!(free[0].path.to_string(), "x");
}

/// `selector`, a map, and `match`, a struct with a map in it, each owned as a whole.
fn atomic_schema() -> Schema {
    let mut b = SchemaBuilder::new();
    let scalar = b.push(Node::Scalar);
    let map = |atomic| Node::Map {
        values: scalar,
        atomic,
    };
    let (whole, labels) = (b.push(map(true)), b.push(map(false)));
    let record = |fields: &[(&str, NodeId)], atomic| {
        Node::Struct(StructNode {
            fields: fields.iter().map(|(n, i)| (Arc::from(*n), *i)).collect(),
            preserve_unknown: false,
            atomic,
            defaults: Box::default(),
            nullable: Box::default(),
        })
    };
    let matching = b.push(record(&[("labels", labels)], true));
    let root = b.push(record(&[("match", matching), ("selector", whole)], false));
    Schema::new(b.finish(), root)
}

#[test]
fn what_is_owned_as_a_whole_is_told_as_a_whole() {
    let declared = json!({"selector": {"a": "1"}, "match": {"labels": {"a": "1"}}});
    let found = compare(&declared, &json!({"match": {}}), &atomic_schema());
    let paths: Vec<String> = found.iter().map(|d| d.path.to_string()).collect();
    assert_eq!(paths, ["match.labels", "selector"]);
}

#[test]
fn what_is_left_out_of_a_map_that_is_gone_does_not_hide_the_rest() {
    let declared = json!({"metadata": {"labels": {"a": "", "b": "1"}}});
    let found = compare(&declared, &json!({}), &schema());
    assert!(!is_left_out(&found[0], &schema()));
    let found = compare(&declared, &json!({"metadata": {}}), &schema());
    let left_out: Vec<bool> = found.iter().map(|d| is_left_out(d, &schema())).collect();
    // The server stores empty values of a map.
    assert_eq!(left_out, [false, false]);
    let left = json!({"metadata": {"labels": {"b": "1"}}});
    assert!(!is_left_out(&only(&declared, &left), &schema()));
}

/// The only drift between two objects.
fn only(declared: &Value, live: &Value) -> FieldDrift {
    let mut found = compare(declared, live, &schema());
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn what_the_server_leaves_out_inside_an_atomic_list_was_drift_where_it_could_not_be_asked() {
    let declared = json!({"spec": {"subjects": [{"kind": "User", "name": "a", "apiGroup": ""}]}});
    let mut live = json!({"spec": {"subjects": [{"kind": "User", "name": "a"}]}});
    assert!(is_left_out(&only(&declared, &live), &schema()));
    live["spec"]["subjects"][0]["name"] = json!("b");
    assert!(!is_left_out(&only(&declared, &live), &schema()));
    let missing = only(&json!({"spec": {"replicas": 0}}), &json!({"spec": {}}));
    assert!(is_left_out(&missing, &schema()));
    let changed = only(
        &json!({"spec": {"replicas": 0}}),
        &json!({"spec": {"replicas": 1}}),
    );
    assert!(!is_left_out(&changed, &schema()));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names = prop::sample::select(vec![
            "spec",
            "containers",
            "name",
            "env",
            "value",
            "args",
            "metadata",
            "labels",
            "finalizers",
            "data",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..4).prop_map(|m| Value::Object(
                m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_does_not_differ_from_itself(v in value()) {
        prop_assert_eq!(compare(&v, &v, &schema()), vec![]);
        prop_assert_eq!(compare(&v, &v, &Schema::unknown()), vec![]);
    }

    #[test]
    fn every_drift_names_the_declared_value_at_its_path(d in value(), l in value()) {
        for drift in compare(&d, &l, &schema()) {
            let at = if drift.path.0.is_empty() { Some(&d) } else { drift.path.get(&d) };
            let duplicate = drift.path.0.iter().any(|s| matches!(s, Step::Select(p, n) if p.is_empty() || *n > 0 || p.iter().any(|(_, v)| !v.is_string())));
            if !duplicate {
                prop_assert_eq!(at.is_some(), true, "{}", drift.path);
            }
            prop_assert_eq!(drift.live.is_none(), drift.change == Change::Missing);
        }
    }

    #[test]
    fn what_is_added_live_never_counts(mut d in value(), extra in value()) {
        let mut l = d.clone();
        if let (Some(l), Some(d)) = (l.as_object_mut(), d.as_object_mut()) {
            l.insert("extra".into(), extra);
            prop_assert_eq!(compare(&Value::Object(d.clone()), &Value::Object(l.clone()), &schema()), vec![]);
        }
    }
}
