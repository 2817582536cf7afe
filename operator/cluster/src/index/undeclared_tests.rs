//! What nobody declares, as the index sees it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use drift::rules::{MatchText, RuleText, Rules, TargetRules};
use drift::undeclared::{Declarer, Owner, Tool};
use drift::{ObjectChange, Origin, Report, Unknown};
use proptest::strategy::Strategy as _;
use serde_json::{Value, json};

use super::tests::{TARGET, batch, id, live, scope};
use super::{Batch, Index, LeftOut, OwnerQuestion, OwnerState, Standing, State, TargetId};

const OTHER: TargetId = TargetId(2);

fn listed(index: &Index, objects: &[Value]) {
    index.restarted(&scope());
    for object in objects {
        index.observe(&scope(), object);
    }
    index.ready(&scope());
}

/// A target that declares `a` and asks about what nobody declares.
fn asking() -> Index {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    index.look(TARGET, &HashSet::from([scope()]));
    index
}

fn told(index: &Index, name: &str) -> Option<Report> {
    match index.state(TARGET, &id(name))? {
        State::Pending(r) | State::Drifted(r) if r.change == ObjectChange::Undeclared => {
            Some(Report::clone(&r))
        }
        _ => None,
    }
}

fn undeclared(index: &Index, name: &str) -> bool {
    told(index, name).is_some_and(|r| r.origin == Origin::LiveEdited)
}

/// The owner that [`owned`] names.
fn owner(uid: &str) -> OwnerQuestion {
    let text = str::to_owned;
    OwnerQuestion {
        owner: Owner {
            api_version: text("apps/v1"),
            kind: text("Deployment"),
            name: text("web"),
            uid: text(uid),
        },
        namespace: Some("shop".into()),
    }
}

fn owned(name: &str, uid: &str, version: u32) -> Value {
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": true});
    let mut object = live(name, "1", version);
    object["metadata"]["ownerReferences"] = json!([owner]);
    object
}

/// The names of the objects to look at again, with what a read of them finds.
fn look_again(index: &Index, objects: &[Value]) -> Vec<String> {
    let found = index.take_wondered(100);
    for reread in &found {
        let named = |o: &&Value| o["metadata"]["name"] == *reread.id.name;
        match objects.iter().find(named) {
            Some(object) => drop(index.observe(&reread.scope, object)),
            None => index.absent(&reread.scope, &reread.id),
        }
    }
    found.iter().map(|r| r.id.name.to_string()).collect()
}

fn application(name: &str) -> Arc<Declarer> {
    Arc::new(Declarer {
        tool: Tool::Application,
        namespace: Some("argocd".into()),
        name: name.into(),
    })
}

#[test]
fn what_a_list_had_passed_before_a_target_asked_about_its_scope_was_never_told() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    let hand = live("hand", "1", 4);
    index.restarted(&scope());
    index.observe(&scope(), &hand);
    let relist = index.look(TARGET, &HashSet::from([scope()]));
    index.observe(&scope(), &live("a", "1", 5));
    index.ready(&scope());
    assert_eq!(relist, [scope()], "it is listed anew");
    listed(&index, &[hand, live("a", "1", 5)]);
    assert!(undeclared(&index, "hand"));
}

/// The answer was thrown away, and the object was not told before the next verification.
#[test]
fn an_owner_that_was_found_to_be_gone_before_its_scope_was_listed_whole_is_not_forgotten() {
    let index = asking();
    let orphan = owned("b", "u1", 5);
    index.restarted(&scope());
    index.observe(&scope(), &live("a", "1", 4));
    index.observe(&scope(), &orphan);
    assert_eq!(index.take_owner_questions(10).len(), 1);
    index.set_owner(&owner("u1"), OwnerState::Gone);
    assert!(index.take_wondered(10).is_empty(), "not before the list is");
    index.ready(&scope());
    assert_eq!(look_again(&index, std::slice::from_ref(&orphan)), ["b"]);
    assert!(told(&index, "b").is_some());
}

#[test]
fn what_nobody_declares_is_told_where_a_target_asks_and_nowhere_else() {
    let index = Index::new();
    index.declare(TARGET, batch(&[("a", "1")], true));
    listed(&index, &[live("a", "1", 5), live("hand", "1", 6)]);
    assert_eq!(index.state(TARGET, &id("hand")), None);
    let relist = index.look(TARGET, &HashSet::from([scope()]));
    assert_eq!(relist, [scope()]);
    let ca = live("kube-root-ca.crt", "1", 8);
    listed(&index, &[live("a", "1", 5), live("hand", "1", 6), ca]);
    assert!(undeclared(&index, "hand"));
    assert_eq!(index.state(TARGET, &id("kube-root-ca.crt")), None);
    assert_eq!(index.state(TARGET, &id("a")), Some(State::InSync));
    index.ripen(TARGET, &id("hand"));
    let tally = index.tally(TARGET);
    assert_eq!((tally.declared(), tally.orphaned), (1, 1));
    index.declare(TARGET, batch(&[("a", "1")], true));
    assert!(undeclared(&index, "hand"));
    index.gone(&scope(), &live("hand", "1", 9));
    assert_eq!(index.state(TARGET, &id("hand")), None);
    assert_eq!(index.tally(TARGET).orphaned, 0);
}

#[test]
fn what_a_list_does_not_hold_any_more_is_not_told() {
    let index = asking();
    listed(
        &index,
        &[live("hand", "1", 6), live("kube-root-ca.crt", "1", 7)],
    );
    assert!(undeclared(&index, "hand") && index.knows(&scope(), "kube-root-ca.crt"));
    listed(&index, &[]);
    assert!(!undeclared(&index, "hand"));
    assert!(!index.knows(&scope(), "hand") && !index.knows(&scope(), "kube-root-ca.crt"));
}

#[test]
fn a_read_that_was_overtaken_does_not_bring_an_object_back() {
    let index = asking();
    listed(&index, &[live("hand", "1", 6)]);
    index.observe(&scope(), &owned("hand", "u1", 8));
    assert!(!undeclared(&index, "hand"));
    index.observe(&scope(), &live("hand", "1", 6));
    assert!(!undeclared(&index, "hand"));
    // It is gone, as a read says that was asked for when this version was known.
    index.vanished(&scope(), &id("hand"), 6);
    assert!(index.knows(&scope(), "hand"));
    index.vanished(&scope(), &id("hand"), 8);
    assert!(!index.knows(&scope(), "hand"));
}

#[test]
fn an_owner_counts_only_if_it_lives() {
    let index = asking();
    let (with, without) = (owned("with", "u1", 6), owned("without", "u2", 7));
    listed(&index, &[with.clone(), without.clone()]);
    assert!(!undeclared(&index, "with") && !undeclared(&index, "without"));
    Tool::LISTING
        .into_iter()
        .for_each(|t| index.set_tool(t, Standing::Unserved));
    assert!(index.is_open_question(TARGET, &id("with")));
    let asked = index.take_owner_questions(10);
    let uids: Vec<&str> = asked.iter().map(|q| q.owner.uid.as_str()).collect();
    assert_eq!(uids, ["u1", "u2"]);
    assert_eq!(asked[0].namespace.as_deref(), Some("shop"));
    index.set_owner(&owner("u1"), OwnerState::Lives);
    index.set_owner(&owner("u2"), OwnerState::Gone);
    assert!(!index.is_open_question(TARGET, &id("with")));
    let objects = [with, without];
    assert_eq!(look_again(&index, &objects), ["without"]);
    assert!(!undeclared(&index, "with"));
    let report = told(&index, "without").expect("told");
    assert_eq!(
        report.claim.as_deref(),
        Some("its owner apps/Deployment web is not there any more")
    );
    // Each is asked about once.
    index.observe(&scope(), &owned("with", "u1", 9));
    index.observe(&scope(), &owned("without", "u2", 10));
    assert!(index.take_owner_questions(10).is_empty());
    assert!(undeclared(&index, "without"));
    // A verification asks again about those that lived.
    index.review_owners();
    assert_eq!(index.take_owner_questions(10).len(), 1);
    index.set_owner(&owner("u1"), OwnerState::Gone);
    assert_eq!(look_again(&index, &objects), ["with"]);
}

#[test]
fn a_forged_reference_with_the_uid_of_an_owner_does_not_take_it_from_others() {
    let index = asking();
    let mut forged = owned("forged", "u1", 6);
    forged["metadata"]["ownerReferences"][0]["name"] = json!("nobody");
    let owned = owned("owned", "u1", 7);
    let objects = [forged, owned];
    listed(&index, &objects);
    let asked = index.take_owner_questions(10);
    for question in &asked {
        let lives = question.owner.name == "web";
        let state = if lives {
            OwnerState::Lives
        } else {
            OwnerState::Gone
        };
        index.set_owner(question, state);
    }
    assert_eq!(look_again(&index, &objects), ["forged"]);
    assert!(undeclared(&index, "forged") && !undeclared(&index, "owned"));
}

#[test]
fn an_owner_whose_kind_is_served_a_moment_later_counts() {
    let index = asking();
    let objects = [owned("owned", "u1", 6)];
    listed(&index, &objects);
    index.take_owner_questions(10);
    index.set_owner(&owner("u1"), OwnerState::Unserved);
    look_again(&index, &objects);
    assert!(undeclared(&index, "owned"));
    index.review_owners();
    index.review_unserved_owners();
    assert_eq!(index.take_owner_questions(10).len(), 1);
    index.set_owner(&owner("u1"), OwnerState::Lives);
    look_again(&index, &objects);
    assert!(!undeclared(&index, "owned"));
}

#[test]
fn what_has_an_owner_that_cannot_be_read_is_not_told_and_counted() {
    let index = asking();
    listed(&index, &[owned("with", "u1", 6)]);
    index.set_owner(&owner("u1"), OwnerState::Unreadable);
    assert!(!undeclared(&index, "with"));
    let kind = drift::GroupKind::new("apps", "Deployment");
    let out = index.left_out(TARGET);
    assert_eq!(out, BTreeMap::from([(LeftOut::OwnerUnread(kind), 1)]));
}

#[test]
fn an_application_counts_where_it_lists_the_object_itself() {
    let index = asking();
    let mut claimed = live("b", "1", 6);
    claimed["metadata"]["annotations"] =
        json!({"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:shop/b"});
    let claim = |index: &Index| told(index, "b").and_then(|r| r.claim).unwrap_or_default();
    index.set_tool(Tool::Application, Standing::Unread(Unknown::Forbidden));
    listed(&index, &[live("a", "1", 5), claimed.clone()]);
    assert!(
        claim(&index).contains(
            "Argo CD's Application shop declares it; not confirmed: the operator may not read it"
        ),
        "{}",
        claim(&index)
    );
    index.set_tool(Tool::Application, Standing::Listed);
    let objects = [claimed, live("a", "1", 5)];
    assert_eq!(look_again(&index, &objects), ["b"]);
    assert!(
        claim(&index).contains("no Application of this cluster lists it"),
        "{}",
        claim(&index)
    );
    let (shop, other) = (application("shop"), application("other"));
    index.set_listed(&shop, &[id("b"), id("c")]);
    assert_eq!(look_again(&index, &objects), ["b"]);
    assert!(!undeclared(&index, "b"));
    let out = index.left_out(TARGET);
    assert_eq!(
        out,
        BTreeMap::from([(LeftOut::Elsewhere(Arc::clone(&shop)), 1)])
    );
    // Another one lists it too: then the first one does not matter.
    index.set_listed(&other, &[id("b")]);
    index.set_listed(&shop, &[]);
    look_again(&index, &objects);
    assert!(!undeclared(&index, "b"));
    index.set_listed(&other, &[id("z")]);
    assert_eq!(look_again(&index, &objects), ["b"]);
    assert!(undeclared(&index, "b"));
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
    let out = index.left_out(TARGET);
    assert_eq!(out, BTreeMap::from([(LeftOut::Target(OTHER), 1)]));
}

#[test]
fn when_the_last_declaration_goes_the_object_is_looked_at_again() {
    let index = asking();
    let b = live("b", "1", 6);
    index.declare(OTHER, batch(&[("b", "1"), ("c", "1")], true));
    listed(&index, &[live("a", "1", 5), b.clone()]);
    assert!(index.take_wondered(10).is_empty());
    assert!(!undeclared(&index, "b"));
    index.forget(OTHER);
    let mut again = look_again(&index, std::slice::from_ref(&b));
    again.sort();
    assert_eq!(again, ["b", "c"]);
    assert!(undeclared(&index, "b"));
    assert!(!undeclared(&index, "c"));
}

#[test]
fn who_may_not_see_an_object_cannot_hide_it_by_declaring_it() {
    let index = asking();
    let b = live("b", "1", 6);
    let declares_b = || batch(&[("b", "1")], true);
    let denied = HashMap::from([(scope(), Unknown::NotAllowed)]);
    index.declare(
        OTHER,
        Batch {
            denied,
            ..declares_b()
        },
    );
    listed(&index, &[live("a", "1", 5), b.clone()]);
    assert!(undeclared(&index, "b"));
    assert!(index.left_out(TARGET).is_empty());
    index.allow(OTHER, &scope(), None);
    assert!(!undeclared(&index, "b"));
    index.allow(OTHER, &scope(), Some(Unknown::AccessNotKnown));
    assert!(index.take_wondered(10).is_empty());
    index.allow(OTHER, &scope(), Some(Unknown::NotAllowed));
    assert_eq!(look_again(&index, &[b]), ["b"]);
    assert!(undeclared(&index, "b"));
}

#[test]
fn all_live_objects_are_known_where_a_target_asks() {
    let index = asking();
    index.declare(OTHER, batch(&[("b", "1")], true));
    let objects = [
        live("a", "1", 5),
        live("b", "1", 6),
        live("hand", "1", 7),
        owned("owned", "u1", 8),
        live("kube-root-ca.crt", "1", 9),
    ];
    listed(&index, &objects);
    let beliefs: BTreeMap<String, u64> = index
        .beliefs(&scope())
        .into_iter()
        .map(|(name, belief)| (name, belief.version))
        .collect();
    let names = ["a", "b", "hand", "kube-root-ca.crt", "owned"];
    assert_eq!(beliefs.keys().collect::<Vec<_>>(), names);
    assert_eq!(beliefs.values().sum::<u64>(), 35);
}

#[test]
fn what_rules_say_holds_for_what_nobody_declares() {
    let index = asking();
    let ignored = |matches: MatchText| RuleText {
        matches,
        ignore: Some("by hand".into()),
        severity: None,
        rung: None,
    };
    let texts = [
        ignored(MatchText {
            kinds: vec!["ConfigMap".into()],
            names: vec!["scratch-*".into()],
            ..MatchText::default()
        }),
        ignored(MatchText {
            labels: BTreeMap::from([("scratch".into(), "yes".into())]),
            ..MatchText::default()
        }),
    ];
    let rules = TargetRules {
        target: "app".into(),
        rules: Arc::new(Rules::parse(&texts, &["app"]).expect("rules")),
        exceptions: Default::default(),
    };
    index.set_rules(TARGET, rules);
    let mut labelled = live("labelled", "1", 8);
    labelled["metadata"]["labels"] = json!({"scratch": "yes"});
    listed(
        &index,
        &[live("scratch-1", "1", 6), live("hand", "1", 7), labelled],
    );
    assert_eq!(index.state(TARGET, &id("scratch-1")), Some(State::Ignored));
    assert!(undeclared(&index, "hand"));
    assert!(
        undeclared(&index, "labelled"),
        "whoever made it could set the label"
    );
}

#[test]
fn who_asks_no_more_is_told_no_more() {
    let index = Index::new();
    index.declare(TARGET, batch(&[], true));
    index.look(TARGET, &HashSet::from([scope()]));
    listed(&index, &[live("b", "1", 6), owned("owned", "u1", 7)]);
    index.look(TARGET, &HashSet::new());
    assert_eq!(index.state(TARGET, &id("b")), None);
    assert!(index.scopes().is_empty());
    assert!(!index.knows(&scope(), "b") && !index.knows(&scope(), "owned"));
    assert!(index.take_owner_questions(10).is_empty());
}

proptest::proptest! {
    /// Whatever comes in whichever order: in the end exactly that is told which nobody declares, lists or owns.
    #[test]
    fn in_whichever_order_exactly_what_nobody_declares_is_told(order in proptest::sample::subsequence((0..10_u8).collect::<Vec<_>>(), 10).prop_shuffle()) {
        let index = Index::new();
        let objects = [live("a", "1", 5), live("b", "1", 6), live("hand", "1", 7), owned("owned", "u1", 8), owned("left", "u2", 9), live("app", "1", 10)];
        for step in order {
            match step {
                0 => drop(index.declare(TARGET, batch(&[("a", "1")], true))),
                1 => drop(index.declare(OTHER, batch(&[("b", "1")], true))),
                2 => index.set_listed(&application("x"), &[id("app")]),
                3 => index.set_tool(Tool::Application, Standing::Listed),
                4 => drop(index.declare(TargetId(3), batch(&[("hand", "1")], true))),
                5 => index.forget(TargetId(3)),
                6 => drop(index.take_owner_questions(1)),
                7 => drop(look_again(&index, &objects)),
                8 => drop(index.look(TargetId(4), &HashSet::from([scope()]))),
                _ => listed(&index, &objects),
            }
        }
        // The controller goes on until nothing is left to do.
        index.declare(TARGET, batch(&[("a", "1")], true));
        index.forget(TargetId(3));
        index.look(TARGET, &HashSet::from([scope()]));
        listed(&index, &objects);
        index.set_owner(&owner("u1"), OwnerState::Lives);
        index.set_owner(&owner("u2"), OwnerState::Gone);
        look_again(&index, &objects);
        let found: Vec<&str> = ["a", "b", "hand", "owned", "left", "app"].into_iter().filter(|n| undeclared(&index, n)).collect();
        proptest::prop_assert_eq!(found, ["hand", "left"]);
    }
}
