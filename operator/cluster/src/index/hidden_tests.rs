//! Objects of which some values can never be compared: encrypted ones, and those that render differently each time.

use drift::{DeclaredObject, Origin, Provenance, Unknown};
use serde_json::{Value, json};

use super::tests::{TARGET, batch, id, listed, live, restarted, revision, scope};
use super::{Asked, Batch, Declaration, Index, State, Tally};
use crate::store::BlobWriter;

const CIPHER: &str = "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]";

/// Both kinds of them.
const BOTH: [Unknown; 2] = [Unknown::Unstable, Unknown::Encrypted];

/// A commit by which the ConfigMap `a` has the key `k` and one that cannot be compared; each rendering has another value for that.
fn commit(why: &Unknown, name: &str, data: Value) -> Batch {
    let encrypted = *why == Unknown::Encrypted;
    let secret = if encrypted {
        CIPHER.to_owned()
    } else {
        format!("random-{name}")
    };
    let mut data = data;
    data["secret"] = secret.into();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": data});
    let provenance = Provenance {
        file: "f.yaml".into(),
        document: 1,
        line: 1,
    };
    let unstable = ["/data/secret".to_owned()];
    let declared = DeclaredObject {
        object,
        provenance,
        lines: vec![],
        unstable: unstable.into_iter().filter(|_| !encrypted).collect(),
        encrypted,
    };
    let mut writer = BlobWriter::new().expect("open");
    let (blob, digest) = writer.push(&declared).expect("push");
    Batch {
        revision: revision(name),
        declarations: vec![Declaration {
            id: id("a"),
            kind: scope().kind,
            blob,
            digest,
        }],
        blobs: writer.finish().expect("finish"),
        ..batch(&[], true)
    }
}

fn running(data: Value, version: u32) -> Value {
    let mut object = live("a", "", version);
    object["data"] = data;
    object["data"]["secret"] = "deployed".into();
    object
}

/// What is told of the object, with the origin of each field.
fn told(index: &Index) -> Vec<String> {
    match index.state(TARGET, &id("a")) {
        Some(State::Pending(report) | State::Drifted(report)) => report
            .fields
            .iter()
            .map(|f| format!("{} {} {}", f.change.as_str(), f.path, f.origin.as_str()))
            .collect(),
        Some(State::Unknown(why)) => vec![why.reason().to_owned()],
        other => panic!("{other:?}"),
    }
}

fn first_commit(why: &Unknown) -> Index {
    let index = Index::new();
    index.declare(TARGET, commit(why, "main@1", json!({"k": "1"})));
    listed(&index, &[running(json!({"k": "1"}), 5)]);
    assert_eq!(told(&index), [why.reason()]);
    index
}

#[test]
fn every_roll_out_of_a_chart_with_a_random_value_was_told_as_drift() {
    for why in BOTH {
        let index = first_commit(&why);
        for (n, before) in [(2, "1"), (3, "2")] {
            let (name, k) = (format!("main@{n}"), n.to_string());
            let added = format!("new{n}");
            let mut next = running(json!({"k": before}), 10 * n);
            index.declare(
                TARGET,
                commit(&why, &name, json!({"k": k, added.as_str(): "x"})),
            );
            index.observe(&scope(), &next);
            let state = index.state(TARGET, &id("a"));
            assert!(
                matches!(state, Some(State::Pending(_))),
                "{why:?} {n}: {state:?}"
            );
            let fields = [
                "Changed data.k GitAhead".to_owned(),
                format!("Missing data.{added} GitAhead"),
            ];
            assert_eq!(told(&index), fields);
            next = running(json!({"k": k, added: "x"}), 10 * n + 1);
            index.observe(&scope(), &next);
            assert_eq!(told(&index), [why.reason()]);
            index.declare(TARGET, commit(&why, &name, json!({"k": k})));
            index.observe(&scope(), &running(json!({"k": k}), 10 * n + 2));
        }
    }
}

#[test]
fn what_was_added_beside_a_random_value_was_never_told() {
    for why in BOTH {
        let index = first_commit(&why);
        let edited = running(json!({"k": "1", "added": "x"}), 6);
        index.observe(&scope(), &edited);
        assert_eq!(told(&index), ["Unverified"]);
        let question = index.next_question().expect("one");
        index.settle(&question, Asked::Object(running(json!({"k": "1"}), 1)));
        index.observe(&scope(), &edited);
        assert_eq!(told(&index), ["Added data.added LiveEdited"], "{why:?}");
        index.observe(&scope(), &running(json!({"k": "1"}), 7));
        assert_eq!(told(&index), [why.reason()]);
    }
}

#[test]
fn an_edit_beside_a_random_value_was_of_unknown_origin() {
    for why in BOTH {
        let index = first_commit(&why);
        index.observe(&scope(), &running(json!({"k": "hand"}), 6));
        assert_eq!(told(&index), ["Changed data.k LiveEdited"], "{why:?}");
        index.observe(&scope(), &running(json!({}), 7));
        assert_eq!(told(&index), ["Missing data.k LiveEdited"]);
        index.gone(&scope(), &running(json!({}), 8));
        let Some(State::Drifted(report)) = index.state(TARGET, &id("a")) else {
            panic!("missing");
        };
        assert_eq!(report.origin, Origin::LiveEdited);
    }
}

#[test]
fn what_is_known_of_an_object_with_a_random_value_survives_a_restart() {
    for why in BOTH {
        let before = first_commit(&why);
        let index = restarted(&before, Default::default());
        index.declare(TARGET, commit(&why, "main@1", json!({"k": "1"})));
        index.declare(TARGET, commit(&why, "main@2", json!({"k": "2"})));
        listed(&index, &[running(json!({"k": "1"}), 5)]);
        assert_eq!(told(&index), ["Changed data.k GitAhead"], "{why:?}");
    }
}

#[test]
fn a_value_that_was_random_before_has_no_known_origin() {
    let index = first_commit(&Unknown::Unstable);
    let data = json!({"k": "1", "more": "y"});
    let mut pinned = commit(&Unknown::Unstable, "main@2", data);
    let mut writer = BlobWriter::new().expect("open");
    let blob = pinned.declarations[0].blob;
    let declared = DeclaredObject {
        unstable: vec![],
        ..pinned.blobs.read(blob).expect("read")
    };
    (pinned.declarations[0].blob, pinned.declarations[0].digest) =
        writer.push(&declared).expect("push");
    pinned.blobs = writer.finish().expect("finish");
    index.declare(TARGET, pinned);
    index.observe(&scope(), &running(json!({"k": "1"}), 5));
    let question = index.next_question().expect("the server may be rewriting");
    index.settle(&question, Asked::Object(declared.object));
    index.observe(&scope(), &running(json!({"k": "1"}), 5));
    assert_eq!(
        told(&index),
        ["Missing data.more GitAhead", "Changed data.secret Unknown"]
    );
}

#[test]
fn an_object_with_a_random_value_was_called_in_sync_for_what_the_server_adds_to_its_like() {
    for why in BOTH {
        let index = Index::new();
        index.declare(TARGET, commit(&why, "main@1", json!({"k": "1"})));
        index.set_shared(|_| true);
        let defaulted = running(json!({"k": "1", "default": "x"}), 5);
        listed(&index, std::slice::from_ref(&defaulted));
        let question = index.next_question().expect("one");
        index.settle(&question, Asked::Object(defaulted));
        let unknown = Tally {
            unknown: 1,
            ..Tally::default()
        };
        assert_eq!(index.tally(TARGET), unknown, "{why:?}");
        assert!(index.beliefs(&scope()).iter().all(|(_, b)| b.exists));
    }
}
