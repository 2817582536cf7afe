//! What nobody declares, as the index sees it.

use std::collections::HashSet;

use drift::{ObjectChange, Origin};
use serde_json::{Value, json};

use super::tests::{TARGET, batch, id, live, scope};
use super::{Index, State, TargetId};

const OTHER: TargetId = TargetId(2);

fn listed(index: &Index, objects: &[Value]) {
    index.restarted(&scope());
    for object in objects {
        index.observe(&scope(), object);
    }
    index.ready(&scope());
}

fn undeclared(index: &Index, name: &str) -> bool {
    match index.state(TARGET, &id(name)) {
        Some(State::Pending(r) | State::Drifted(r)) => {
            r.change == ObjectChange::Undeclared && r.origin == Origin::LiveEdited
        }
        _ => false,
    }
}

#[test]
fn what_nobody_declares_is_told_where_a_target_asks_and_nowhere_else() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5), live("hand", "1", 6)]);
    assert_eq!(index.state(TARGET, &id("hand")), None);
    let relist = index.look(TARGET, &HashSet::from([scope()]));
    assert_eq!(relist, [scope()]);
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "1", "controller": true});
    let mut owned = live("owned", "1", 7);
    owned["metadata"]["ownerReferences"] = json!([owner]);
    let ca = live("kube-root-ca.crt", "1", 8);
    listed(
        &index,
        &[live("a", "1", 5), live("hand", "1", 6), owned, ca],
    );
    assert!(undeclared(&index, "hand"));
    assert_eq!(index.state(TARGET, &id("owned")), None);
    assert_eq!(index.state(TARGET, &id("kube-root-ca.crt")), None);
    assert_eq!(index.state(TARGET, &id("a")), Some(State::InSync));
    index.ripen(TARGET, &id("hand"));
    let tally = index.tally(TARGET);
    assert_eq!((tally.declared(), tally.orphaned), (1, 1));
    index.declare(TARGET, batch(&[("a", "1")], true));
    assert!(undeclared(&index, "hand"));
    index.gone(&scope(), &live("hand", "1", 9));
    assert_eq!(index.state(TARGET, &id("hand")), None);
}

#[test]
fn what_any_policy_declares_is_not_undeclared() {
    let index = Index::new();
    index.declare(TARGET, batch(&[], true));
    index.look(TARGET, &HashSet::from([scope()]));
    assert_eq!(index.scopes().len(), 1, "it has to be watched");
    listed(&index, &[live("b", "1", 6)]);
    assert!(undeclared(&index, "b"));
    index.declare(OTHER, batch(&[("b", "1")], true));
    assert_eq!(index.state(TARGET, &id("b")), None);
    index.observe(&scope(), &live("b", "2", 7));
    assert_eq!(index.state(TARGET, &id("b")), None);
}

#[test]
fn who_asks_no_more_is_told_no_more() {
    let index = Index::new();
    index.declare(TARGET, batch(&[], true));
    index.look(TARGET, &HashSet::from([scope()]));
    listed(&index, &[live("b", "1", 6)]);
    index.look(TARGET, &HashSet::new());
    assert_eq!(index.state(TARGET, &id("b")), None);
    assert!(index.scopes().is_empty());
}
