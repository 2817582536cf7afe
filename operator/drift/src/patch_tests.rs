use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::compare::compare;
use crate::compare::tests::schema;
use crate::residue::extras;

fn with_uid(mut object: Value) -> Value {
    object["metadata"]["uid"] = "u-1".into();
    object
}

fn patch_of(declared: &Value, live: &Value) -> Patch {
    let found = compare(declared, live, &schema());
    put_back(declared, live, &found.iter().collect::<Vec<_>>()).expect("a patch")
}

fn patched(declared: &Value, live: &Value) -> Value {
    let mut object = live.clone();
    json_patch::patch(&mut object, &patch_of(declared, live)).expect("it applies");
    object
}

fn container(name: &str, image: &str) -> Value {
    json!({"name": name, "image": image})
}

#[test]
fn an_image_is_put_back_behind_tests_of_uid_name_and_value() {
    let declared = json!({"spec": {"containers": [container("web", "a:1")]}});
    let live = with_uid(
        json!({"spec": {"containers": [container("side", "s"), container("web", "a:2")]}}),
    );
    let patch = serde_json::to_value(patch_of(&declared, &live)).expect("json");
    assert_eq!(
        patch,
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u-1"},
            {"op": "test", "path": "/spec/containers/1/name", "value": "web"},
            {"op": "test", "path": "/spec/containers/1/image", "value": "a:2"},
            {"op": "replace", "path": "/spec/containers/1/image", "value": "a:1"},
        ])
    );
}

#[test]
fn what_is_missing_comes_back_where_it_is_declared() {
    let declared = json!({"metadata": {"labels": {"a/b~c": "1"}, "finalizers": ["x/y"]}, "spec": {"replicas": 2, "containers": [
        container("a", "1"), container("b", "2"), container("c", "3"), container("d", "4")]}});
    let live = with_uid(
        json!({"metadata": {"labels": {}, "finalizers": []}, "spec": {"containers": [container("side", "s"), container("c", "3")]}}),
    );
    let now = patched(&declared, &live);
    let names: Vec<&str> = now["spec"]["containers"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|c| c["name"].as_str())
        .collect();
    assert_eq!(names, ["a", "b", "side", "c", "d"]);
    assert_eq!(now["metadata"]["labels"]["a/b~c"], "1");
    assert_eq!(now["metadata"]["finalizers"], json!(["x/y"]));
}

#[test]
fn what_went_with_its_map_comes_back() {
    let declared = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"replicas": 1}});
    let live = with_uid(json!({"metadata": {"name": "web"}, "spec": {"replicas": 1}}));
    assert_eq!(
        patched(&declared, &live)["metadata"]["labels"],
        declared["metadata"]["labels"]
    );
    let found = compare(&declared, &live, &schema());
    let patch = put_back(&declared, &live, &[&found[1]]).expect("a patch");
    let mut now = live;
    json_patch::patch(&mut now, &patch).expect("applies");
    assert_eq!(now["metadata"]["labels"], json!({"b": "2"}));
}

#[test]
fn of_two_that_add_to_a_list_the_second_is_refused() {
    let declared = json!({"spec": {"containers": [container("a", "1"), container("b", "2")]}});
    let live = with_uid(json!({"spec": {"containers": [container("a", "1")]}}));
    let patch = patch_of(&declared, &live);
    let mut now = patched(&declared, &live);
    let before = now.clone();
    assert!(json_patch::patch(&mut now, &patch).is_err());
    assert_eq!(now, before);
}

#[test]
fn what_was_added_is_removed_the_last_of_duplicates_first() {
    let live = with_uid(
        json!({"spec": {"containers": [{"name": "web", "env": [{"name": "A"}, {"name": "B"}, {"name": "A", "value": "2"}, {"name": "A", "value": "3"}]}]}}),
    );
    let added = |path: &str| FieldDrift {
        path: path.parse().expect(path),
        change: Change::Added,
        declared: None,
        live: None,
    };
    let fields = [
        added("spec.containers[name=web].env[name=A;#1]"),
        added("spec.containers[name=web].env[name=A;#2]"),
    ];
    let patch = put_back(&json!({}), &live, &fields.iter().collect::<Vec<_>>()).expect("a patch");
    let mut now = live;
    json_patch::patch(&mut now, &patch).expect("applies");
    assert_eq!(
        now["spec"]["containers"][0]["env"],
        json!([{"name": "A"}, {"name": "B"}])
    );
}

#[test]
fn nothing_is_written_where_the_object_is_no_longer_as_judged() {
    let field = |path: &str, change| FieldDrift {
        path: path.parse().expect(path),
        change,
        declared: Some(json!(1)),
        live: None,
    };
    let live = with_uid(json!({"spec": {}}));
    for gone in [
        field("spec.replicas", Change::Changed),
        field("spec.containers[name=web].image", Change::Missing),
        field("spec.x.y", Change::Missing),
        field("spec.replicas", Change::Added),
    ] {
        let refused = put_back(&json!({}), &live, &[&gone]);
        assert!(matches!(refused, Err(PatchError::Moved(_))), "{refused:?}");
    }
    assert_eq!(
        put_back(&json!({}), &json!({}), &[]),
        Err(PatchError::NoUid)
    );
}

/// Elements of keyed lists have one key each, as the API server sees to for most.
fn object() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d"]);
    let text = || prop::option::of("[x-z]{0,2}");
    let env = prop::collection::btree_map(name(), text(), 0..4).prop_map(|m| {
        let one = |(n, v): (&str, Option<String>)| json!({"name": n, "value": v});
        m.into_iter().map(one).collect::<Vec<Value>>()
    });
    let ports = prop::collection::btree_map(
        (80u16..83, prop::sample::select(vec!["TCP", "UDP"])),
        text(),
        0..3,
    )
    .prop_map(|m| {
        let one = |((p, q), n)| json!({"containerPort": p, "protocol": q, "name": n});
        m.into_iter().map(one).collect::<Vec<Value>>()
    });
    let args = prop::option::of(prop::collection::vec("[x-z]{1,2}", 0..3));
    let container = (text(), env, ports, args).prop_map(
        |(image, env, ports, args)| json!({"image": image, "env": env, "ports": ports, "args": args}),
    );
    let containers = prop::collection::btree_map(name(), container, 0..4).prop_map(|m| {
        let one = |(n, mut c): (&str, Value)| {
            c["name"] = n.into();
            c
        };
        m.into_iter().map(one).collect::<Vec<Value>>()
    });
    let labels = prop::option::of(prop::collection::btree_map(name(), "[x-z]{0,2}", 0..4));
    let finalizers = prop::collection::btree_set(name(), 0..4);
    (labels, finalizers, containers.prop_shuffle(), prop::option::of(0..3u8)).prop_map(
        |(labels, finalizers, containers, replicas)| json!({"metadata": {"labels": labels, "finalizers": finalizers}, "spec": {"replicas": replicas, "containers": containers}}),
    )
}

proptest! {
    #[test]
    fn a_patch_leaves_nothing_of_the_drift_and_all_of_the_rest(declared in object(), live in object()) {
        let live = with_uid(live);
        let now = patched(&declared, &live);
        prop_assert_eq!(compare(&declared, &now, &schema()), vec![]);
        let beyond = |l: &Value| {
            let mut all: Vec<String> = extras(&declared, l, &schema()).iter().map(|e| e.path.to_string()).collect();
            all.sort();
            all
        };
        prop_assert_eq!(beyond(&now), beyond(&live));
    }

    #[test]
    fn a_patch_of_some_fields_leaves_the_others(declared in object(), live in object(), kept in any::<prop::sample::Index>()) {
        let live = with_uid(live);
        let found = compare(&declared, &live, &schema());
        prop_assume!(!found.is_empty());
        let kept = kept.index(found.len());
        let some: Vec<&FieldDrift> = found.iter().enumerate().filter(|(n, _)| *n != kept).map(|(_, f)| f).collect();
        let mut now = live.clone();
        json_patch::patch(&mut now, &put_back(&declared, &live, &some).expect("a patch")).expect("applies");
        let left: Vec<String> = compare(&declared, &now, &schema()).iter().map(|d| d.path.to_string()).collect();
        prop_assert_eq!(left, vec![found[kept].path.to_string()]);
    }

    #[test]
    fn whatever_was_judged_and_has_changed_since_stops_the_patch(declared in object(), live in object(), which in any::<prop::sample::Index>()) {
        let live = with_uid(live);
        let found = compare(&declared, &live, &schema());
        let changed: Vec<&FieldDrift> = found.iter().filter(|f| f.change == Change::Changed).collect();
        prop_assume!(!changed.is_empty());
        let meant = changed[which.index(changed.len())];
        let patch = put_back(&declared, &live, &[meant]).expect("a patch");
        let pointer = match patch.0.last() {
            Some(PatchOperation::Replace(replace)) => replace.path.clone(),
            other => panic!("{other:?}"),
        };
        let mut other = live;
        *pointer.resolve_mut(&mut other).expect("there") = json!("something else");
        let before = other.clone();
        prop_assert!(json_patch::patch(&mut other, &patch).is_err());
        prop_assert_eq!(other, before);
    }
}
