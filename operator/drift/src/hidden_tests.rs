use serde_json::json;

use super::*;
use crate::compare::compare;
use crate::judge::tests::declaration;
use crate::residue::extras;
use crate::schema::{SchemaBuilder, StructNode};

/// Maps everywhere, but `ports` by `name`, the set `tags` and the atomic list `args`.
fn schema() -> Schema {
    let mut b = SchemaBuilder::new();
    let scalar = b.push(Node::Scalar);
    let any = b.push(Node::Any);
    let keys = Box::new([("name".into(), None)]);
    let mut list = |items, topology| b.push(Node::List { items, topology });
    let ports = list(any, ListTopology::Map { keys });
    let tags = list(scalar, ListTopology::Set);
    let args = list(scalar, ListTopology::Atomic);
    let map = b.push(Node::Map {
        values: scalar,
        atomic: false,
    });
    let fields = [
        ("args", args),
        ("data", map),
        ("ports", ports),
        ("tags", tags),
    ];
    let root = b.push(Node::Struct(StructNode {
        fields: fields.into_iter().map(|(n, id)| (n.into(), id)).collect(),
        defaults: Box::default(),
        nullable: Box::default(),
        preserve_unknown: true,
        atomic: false,
    }));
    Schema::new(b.finish(), root)
}

fn declared(object: Value, unstable: &[&str]) -> DeclaredObject {
    DeclaredObject {
        unstable: unstable.iter().map(|p| (*p).to_owned()).collect(),
        ..declaration(object)
    }
}

/// What can be told of a live object, and why not all of it can.
fn told(declared: &DeclaredObject, live: &Value) -> (Vec<String>, Option<Unknown>) {
    let schema = schema();
    let mut drifts = compare(&declared.object, live, &schema);
    let mut beyond = extras(&declared.object, live, &schema);
    let hidden = Hidden::of(declared, &schema);
    let why = hidden.take_out(&mut drifts, &mut beyond, &declared.object, &schema);
    let drifts = drifts
        .iter()
        .map(|d| format!("{} {}", d.change.as_str(), d.path));
    let beyond = beyond.iter().map(|e| format!("Added {}", e.path));
    (drifts.chain(beyond).collect(), why)
}

fn unstable(object: Value, pointers: &[&str], live: &Value) -> Vec<String> {
    let (told, why) = told(&declared(object, pointers), live);
    assert_eq!(why, Some(Unknown::Unstable));
    told
}

#[test]
fn the_rest_of_a_list_with_a_random_element_was_not_compared() {
    let git = || json!({"args": ["--seed=x", "--debug=false"]});
    let live = |seed: &str, debug: &str| json!({"args": [seed, debug]});
    let told = |live: &Value| told(&declared(git(), &["/args/0"]), live);
    let (none, why) = told(&live("--seed=y", "--debug=false"));
    assert_eq!((none, why), (vec![], Some(Unknown::Unstable)));
    let (edited, _) = told(&live("--seed=y", "--debug=true"));
    assert_eq!(edited, ["Changed args"]);
    let (longer, _) = told(&json!({"args": ["--seed=y", "--debug=false", "--more"]}));
    assert_eq!(longer, ["Changed args"]);
    let (emptied, _) = told(&json!({"args": []}));
    assert_eq!(emptied, ["Changed args"]);
}

#[test]
fn a_map_that_is_gone_as_a_whole_was_hidden_by_one_random_value_in_it() {
    let git = json!({"data": {"random": "x", "kept": "y"}});
    let (gone, why) = told(&declared(git.clone(), &["/data/random"]), &json!({}));
    let kept = vec!["Missing data.kept".to_owned()];
    assert_eq!((gone, why), (kept, Some(Unknown::Unstable)));
    // The other rendering may have been without it.
    let without = unstable(git, &["/data/random"], &json!({"data": {"kept": "y"}}));
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn what_has_a_random_name_is_neither_missing_nor_added() {
    let git = || json!({"data": {"key-a": "x", "kept": "y"}, "tags": ["a", "kept"], "ports": [{"name": "a", "port": 1}, {"name": "kept", "port": 2}]});
    let pointers = ["/data/key-a", "/data/key-b", "/tags/0", "/ports/0/name"];
    let live = json!({"data": {"key-c": "x", "kept": "y"}, "tags": ["c", "kept"], "ports": [{"name": "c", "port": 1}, {"name": "kept", "port": 2}]});
    let told = unstable(git(), &pointers, &live);
    assert!(told.is_empty(), "{told:?}");
    let edited = json!({"data": {"key-c": "x", "kept": "z"}, "tags": ["c"], "ports": [{"name": "c", "port": 1}, {"name": "kept", "port": 3, "more": 4}]});
    assert_eq!(
        unstable(git(), &pointers, &edited),
        [
            "Changed data.kept",
            "Changed ports[name=kept].port",
            "Missing tags[=kept]",
            "Added ports[name=kept].more"
        ]
    );
}

#[test]
fn random_string_data_of_a_secret_was_compared() {
    let git = json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": "eA=="}});
    let live = json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": "eQ=="}});
    assert!(unstable(git, &["/stringData/password"], &live).is_empty());
}

#[test]
fn an_object_with_a_random_name_has_nothing_that_can_be_compared() {
    let schema = schema();
    let all = Hidden::of(&declared(json!({"data": {"a": "1"}}), &[""]), &schema);
    assert!(all.is_all());
    let one = Hidden::of(
        &declared(json!({"data": {"a": "1"}}), &["/data/a"]),
        &schema,
    );
    assert!(!one.is_all());
    let paths: Vec<String> = one.unstable().map(ToString::to_string).collect();
    assert_eq!(paths, ["data.a"]);
}

#[test]
fn of_what_is_encrypted_keys_are_told_and_no_value_by_its_length() {
    let cipher = "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]";
    let object = json!({"data": {"a": cipher, "b": cipher, "plain": "1"}, "args": [cipher], "tags": [cipher]});
    let git = DeclaredObject {
        encrypted: true,
        ..declared(object, &[])
    };
    let live =
        json!({"data": {"a": "1", "more": "2", "plain": "2"}, "args": ["x", "y"], "tags": ["x"]});
    let (told, why) = told(&git, &live);
    assert_eq!(why, Some(Unknown::Encrypted));
    assert_eq!(
        told,
        ["Missing data.b", "Changed data.plain", "Added data.more"]
    );
}

#[test]
fn a_document_in_which_nothing_is_encrypted_is_compared_as_any_other() {
    let git = DeclaredObject {
        encrypted: true,
        ..declared(json!({"data": {"a": "1"}}), &[])
    };
    assert_eq!(told(&git, &json!({"data": {"a": "1"}})), (vec![], None));
}

#[test]
fn ciphertext_and_what_nobody_chose_were_to_be_written() {
    let cipher = "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]";
    let encrypted = DeclaredObject {
        encrypted: true,
        ..declared(json!({"data": {"a": cipher, "plain": "1"}}), &[])
    };
    let random = declared(json!({"data": {"a": "x", "plain": "1"}}), &["/data/a"]);
    let field = |path: &str, change| FieldDrift {
        path: path.parse().expect(path),
        change,
        declared: None,
        live: None,
    };
    let (missing, whole) = (
        field("data.a", Change::Missing),
        field("data", Change::Missing),
    );
    let (plain, added) = (
        field("data.plain", Change::Changed),
        field("data.more", Change::Added),
    );
    for git in [encrypted, random] {
        let hidden = Hidden::of(&git, &schema());
        assert!(hidden.is_written_by(&Plan::PutBack(vec![plain.clone(), missing.clone()])));
        assert!(hidden.is_written_by(&Plan::PutBack(vec![whole.clone()])));
        assert!(hidden.is_written_by(&Plan::Create));
        assert!(!hidden.is_written_by(&Plan::PutBack(vec![plain.clone(), added.clone()])));
        assert!(!hidden.is_written_by(&Plan::Rest));
    }
    let open = Hidden::of(&declared(json!({"data": {"a": "x"}}), &[]), &schema());
    assert!(!open.is_written_by(&Plan::Create));
}
