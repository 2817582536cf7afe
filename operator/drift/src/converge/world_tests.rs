//! The whole loop in a small world: an object, a server that tests what patches test, people who edit, an admission plugin, an operator that
//! reads old versions, loses events and crashes. What is planned and written is the real thing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::compare::compare;
use crate::compare::tests::schema;
use crate::declared::DeclaredObject;
use crate::expected::Expected;
use crate::grade::grade;
use crate::judge::tests::declaration;
use crate::judge::{Case, Verdict, judge};
use crate::origin::Baseline;
use crate::residue::extras;
use crate::rules::TargetRules;
use crate::schema::Schema;
use crate::subject::{GroupKind, ObjectId};

/// What somebody does to the object.
#[derive(Debug, Clone)]
enum Edit {
    Label(&'static str, Option<&'static str>),
    Image(&'static str, &'static str),
    Env(&'static str, Option<&'static str>),
    Drop(&'static str),
    Sidecar,
    Replicas(u8),
    Subjects(u8),
    Finalizer(&'static str),
    Delete,
}

impl Edit {
    fn apply(&self, live: &mut Option<Value>) {
        let Some(object) = live else {
            return;
        };
        let named = |list: &mut Value, name: &str| -> Option<usize> {
            list.as_array()?.iter().position(|c| c["name"] == name)
        };
        match self {
            Self::Label(key, Some(value)) => object["metadata"]["labels"][*key] = json!(value),
            Self::Label(key, None) => {
                let labels = object["metadata"]["labels"].as_object_mut();
                labels.map(|l| l.remove(*key));
            }
            Self::Image(name, image) => {
                let containers = &mut object["spec"]["containers"];
                if let Some(at) = named(containers, name) {
                    containers[at]["image"] = json!(image);
                }
            }
            Self::Env(name, value) => {
                let containers = &mut object["spec"]["containers"];
                let Some(at) = named(containers, "web") else {
                    return;
                };
                let env = &mut containers[at]["env"];
                match (named(env, name), value) {
                    (Some(at), Some(value)) => env[at]["value"] = json!(value),
                    (Some(at), None) => {
                        env.as_array_mut().expect("a list").remove(at);
                    }
                    (None, Some(value)) => {
                        let one = json!({"name": name, "value": value});
                        match env.as_array_mut() {
                            Some(env) => env.push(one),
                            None => *env = json!([one]),
                        }
                    }
                    (None, None) => {}
                }
            }
            Self::Drop(name) => {
                let containers = &mut object["spec"]["containers"];
                if let Some(at) = named(containers, name) {
                    containers.as_array_mut().expect("a list").remove(at);
                }
            }
            Self::Sidecar => {
                let containers = &mut object["spec"]["containers"];
                if named(containers, "spy").is_none() {
                    let spy = json!({"name": "spy", "image": "spy:1"});
                    containers.as_array_mut().expect("a list").insert(0, spy);
                }
            }
            Self::Replicas(n) => object["spec"]["replicas"] = json!(n),
            Self::Subjects(n) => {
                object["spec"]["subjects"] = json!([{"kind": "User", "name": n.to_string()}])
            }
            Self::Finalizer(name) => {
                let all = object["metadata"]["finalizers"].as_array_mut();
                all.expect("a list").retain(|f| f != name);
            }
            Self::Delete => *live = None,
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let key = || prop::sample::select(vec!["a", "b", "z"]);
    let text = || prop::sample::select(vec!["1", "2", "3"]);
    prop_oneof![
        (key(), prop::option::of(text())).prop_map(|(k, v)| Edit::Label(k, v)),
        (prop::sample::select(vec!["web", "proxy"]), text()).prop_map(|(n, i)| Edit::Image(n, i)),
        (key(), prop::option::of(text())).prop_map(|(k, v)| Edit::Env(k, v)),
        prop::sample::select(vec!["web", "proxy", "spy"]).prop_map(Edit::Drop),
        Just(Edit::Sidecar),
        (0..4u8).prop_map(Edit::Replicas),
        (0..3u8).prop_map(Edit::Subjects),
        prop::sample::select(vec!["x/a", "x/b"]).prop_map(Edit::Finalizer),
        Just(Edit::Delete),
    ]
}

fn declared() -> Value {
    json!({
        "metadata": {"labels": {"a": "1", "b": "1"}, "finalizers": ["x/a", "x/b"]},
        "spec": {
            "replicas": 2,
            "subjects": [{"kind": "User", "name": "0"}],
            "containers": [
                {"name": "web", "image": "1", "env": [{"name": "a", "value": "1"}, {"name": "b", "value": "1"}]},
                {"name": "proxy", "image": "1"},
            ],
        },
    })
}

/// The API server: one object, all of its versions, and what the operator wrote.
struct Server {
    versions: Vec<Option<Value>>,
    made: u32,
    /// What admission makes of each write of the operator.
    admission: Option<Edit>,
    writes: usize,
    /// The version that the operator wrote last: it never reads an older one, as a GET is a quorum read.
    written: usize,
}

/// The object is not as the write says.
#[derive(Debug)]
struct Stale;

impl Server {
    fn new(object: &Value) -> Self {
        let mut server = Self {
            versions: Vec::new(),
            made: 0,
            admission: None,
            writes: 0,
            written: 0,
        };
        server.make(object);
        server
    }

    fn live(&self) -> Option<&Value> {
        self.versions.last().and_then(Option::as_ref)
    }

    /// As it was so many versions ago.
    fn read(&self, age: usize) -> Option<Value> {
        let at = self
            .versions
            .len()
            .saturating_sub(age + 1)
            .max(self.written);
        self.versions.get(at).cloned().flatten()
    }

    fn make(&mut self, object: &Value) {
        self.made += 1;
        let mut object = object.clone();
        object["metadata"]["uid"] = json!(format!("u-{}", self.made));
        self.versions.push(Some(object));
    }

    fn edit(&mut self, edit: &Edit) {
        let mut live = self.live().cloned();
        edit.apply(&mut live);
        if live.as_ref() != self.live() {
            self.versions.push(live);
        }
    }

    fn take(&mut self, act: &Act<'_>) -> Result<Value, Stale> {
        match act {
            // Nothing is delivered in this world.
            Act::Apply(_) | Act::Nothing => return Err(Stale),
            Act::Create(_) if self.live().is_some() => return Err(Stale),
            Act::Create(object) => self.make(object),
            Act::Patch(patch) => {
                let mut object = self.live().cloned().ok_or(Stale)?;
                json_patch::patch(&mut object, patch).map_err(|_| Stale)?;
                self.versions.push(Some(object));
            }
        }
        self.writes += 1;
        self.written = self.versions.len() - 1;
        let written = self.live().cloned().ok_or(Stale);
        match self.admission.clone() {
            None => {}
            // What deletes it comes a moment after.
            Some(Edit::Delete) => self.versions.push(None),
            // Admission is part of the write.
            Some(admission) => {
                let mut object = self.versions.pop().flatten();
                admission.apply(&mut object);
                self.versions.push(object.clone());
                return object.ok_or(Stale);
            }
        }
        written
    }
}

/// The operator: what it forgets in a crash, and what its record says.
struct Operator {
    kind: GroupKind,
    schema: Schema,
    declared: DeclaredObject,
    /// What was in force before, where a commit waits to be rolled out.
    before: Option<Value>,
    terms: Terms,
    removes: bool,
    rounds: Rounds,
    noted: Rounds,
    now: i64,
}

/// What an attempt came to.
#[derive(Debug, PartialEq)]
enum Step {
    Rest,
    Waits(Timestamp, Why),
    Stale,
    Wrote,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("in range")
}

impl Operator {
    fn new(rung: Rung, removes: bool, ahead: bool) -> Self {
        let mut before = declared();
        before["spec"]["replicas"] = json!(1);
        Self {
            kind: GroupKind::new("example.com", "Web"),
            schema: schema(),
            declared: declaration(declared()),
            before: ahead.then_some(before),
            terms: Terms {
                rung,
                origins: vec![Origin::LiveEdited],
                ..Terms::default()
            },
            removes,
            rounds: Rounds::default(),
            noted: Rounds::default(),
            now: 0,
        }
    }

    fn graded(&self, live: Option<&Value>) -> Option<Graded> {
        let object = &self.declared.object;
        let baseline =
            self.before
                .as_ref()
                .map_or(Baseline::Declared, |object| Baseline::Earlier {
                    object,
                    except: &[],
                    evidence: Evidence::Own,
                });
        let case = Case {
            expected: Expected::Answer(object),
            baseline,
            ..Case::new(&self.kind, &self.declared, &self.schema)
        };
        let Verdict::Drifted(finding) = judge(&case, live).verdict else {
            return None;
        };
        let rules = TargetRules::default();
        let id = ObjectId::new(self.kind.clone(), Some("shop"), "web");
        grade(&self.kind, *finding, rules.about(&id, object)).left
    }

    fn plan(&self, live: Option<&Value>, rounds: Rounds) -> Plan {
        let history = History {
            rounds,
            ..History::default()
        };
        self.graded(live).map_or(Plan::Rest, |graded| {
            let removes = self.removes.then_some(&crate::grade::NOTHING);
            plan(&self.terms, &graded, removes, history, at(self.now))
        })
    }

    /// Reads, plans and writes as the controller does; `between` happens after the read. A crash comes before anything is noted.
    fn attempt(
        &mut self,
        server: &mut Server,
        age: usize,
        between: Option<&Edit>,
        crash: bool,
    ) -> Step {
        self.now += 1;
        let live = server.read(age);
        if let Some(edit) = between {
            server.edit(edit);
        }
        let planned = self.plan(live.as_ref(), self.rounds);
        match planned {
            Plan::Rest => return Step::Rest,
            Plan::Wait(until, why) => return Step::Waits(until, why),
            _ => {}
        }
        let Ok(act) = act(&planned, &self.declared.object, live.as_ref()) else {
            return Step::Stale;
        };
        let before = server.live().cloned();
        let Ok(after) = server.take(&act) else {
            return Step::Stale;
        };
        if server.admission.is_none() {
            only_what_was_planned(&planned, before.as_ref(), &after);
            // What happened after the read is another drift, and the only one that may be left.
            if between.is_none() && age == 0 {
                assert_eq!(self.plan(Some(&after), Rounds::default()), Plan::Rest);
            }
        }
        self.rounds = self.rounds.with_one_more(at(self.now));
        if crash {
            self.rounds = self.noted;
        } else {
            self.noted = self.rounds;
        }
        Step::Wrote
    }

    /// Goes on until nothing is left to do; the crash comes after the n-th write of all.
    fn settle(&mut self, server: &mut Server, crash: Option<usize>) {
        for _ in 0..100 {
            let crashes = crash == Some(server.writes + 1);
            match self.attempt(server, 0, None, crashes) {
                Step::Rest => return,
                Step::Waits(until, _) => self.now = until.as_second() - 1_700_000_000,
                Step::Stale => panic!("nobody else is at work"),
                Step::Wrote => {}
            }
        }
        panic!("it does not end");
    }
}

/// Takes away what was planned from both, and whatever is empty then: nothing else may differ.
fn only_what_was_planned(planned: &Plan, before: Option<&Value>, after: &Value) {
    let Plan::PutBack(fields) = planned else {
        assert!(before.is_none(), "created over an object");
        return;
    };
    let without = |object: &Value| {
        let mut object = object.clone();
        for field in fields {
            take(&mut object, &field.path.0);
        }
        prune(&mut object);
        object
    };
    let before = before.expect("a patch of nothing");
    assert_eq!(without(before), without(after), "{planned:?}");
}

fn take(value: &mut Value, path: &[crate::path::Step]) {
    use crate::path::Step;
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    match value {
        Value::Object(map) => {
            let Step::Field(name) = first else { return };
            if rest.is_empty() {
                map.remove(name);
            } else if let Some(below) = map.get_mut(name) {
                take(below, rest);
            }
        }
        Value::Array(list) => {
            let is_meant = |v: &Value| match first {
                Step::Select(pairs, _) => pairs.iter().all(|(k, want)| v.get(k) == Some(want)),
                Step::Member(member) => v == member,
                _ => false,
            };
            let Some(at) = list.iter().position(is_meant) else {
                return;
            };
            if rest.is_empty() {
                list.remove(at);
            } else if let Some(below) = list.get_mut(at) {
                take(below, rest);
            }
        }
        _ => {}
    }
}

fn prune(value: &mut Value) {
    let is_empty = |v: &Value| {
        matches!(v, Value::Object(m) if m.is_empty())
            || matches!(v, Value::Array(l) if l.is_empty())
    };
    if let Value::Object(map) = value {
        map.values_mut().for_each(prune);
        map.retain(|_, v| !v.is_null() && !is_empty(v));
    }
    if let Value::Array(list) = value {
        list.iter_mut().for_each(prune);
    }
}

/// What differs and what is there besides, as text: equal for equal states, in whichever order lists are.
fn state(server: &Server) -> Option<(Vec<String>, BTreeSet<String>)> {
    let live = server.live()?;
    let (declared, schema) = (declared(), schema());
    let differs = compare(&declared, live, &schema);
    let differs = differs.iter().map(|d| format!("{} {:?}", d.path, d.live));
    let beyond = extras(&declared, live, &schema);
    let beyond = beyond
        .iter()
        .filter(|e| !e.path.to_string().ends_with("uid"));
    let beyond = beyond.map(|e| format!("{} {}", e.path, e.value));
    Some((differs.collect(), beyond.collect()))
}

/// Batches of edits, each told by an event or not; at the end all is verified once.
fn run(mut operator: Operator, batches: &[(Vec<Edit>, bool)], crash: Option<usize>) -> Server {
    let mut object = declared();
    if operator.before.is_some() {
        object["spec"]["replicas"] = json!(1);
    }
    let mut server = Server::new(&object);
    for (edits, heard) in batches {
        edits.iter().for_each(|edit| server.edit(edit));
        if *heard {
            operator.settle(&mut server, crash);
        }
    }
    operator.settle(&mut server, crash);
    server
}

fn batches() -> impl Strategy<Value = Vec<(Vec<Edit>, bool)>> {
    prop::collection::vec((prop::collection::vec(edit(), 1..5), any::<bool>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_people_do_the_end_is_as_declared(batches in batches(), removes: bool) {
        let server = run(Operator::new(Rung::Revert, removes, false), &batches, None);
        let (differs, beyond) = state(&server).expect("is there");
        prop_assert_eq!(differs, Vec::<String>::new());
        prop_assert!(!removes || beyond.is_empty(), "{:?}", beyond);
        let heard = batches.iter().filter(|(_, heard)| *heard).count();
        prop_assert!(server.writes <= heard + 1);
    }

    #[test]
    fn a_crash_after_any_write_costs_at_most_one_more(batches in batches(), removes: bool) {
        let operator = || Operator::new(Rung::Revert, removes, false);
        let reference = run(operator(), &batches, None);
        for n in 1..=reference.writes {
            let crashed = run(operator(), &batches, Some(n));
            prop_assert_eq!(state(&crashed), state(&reference), "after write {}", n);
            prop_assert!(crashed.writes <= reference.writes + 1, "after write {}", n);
        }
    }

    #[test]
    fn old_versions_and_edits_in_between_are_refused_and_it_still_ends(
        edits in prop::collection::vec(edit(), 1..6),
        attempts in prop::collection::vec((0..4usize, prop::option::of(edit())), 0..8),
        removes: bool,
    ) {
        let mut operator = Operator::new(Rung::Revert, removes, false);
        let mut server = Server::new(&declared());
        edits.iter().for_each(|edit| server.edit(edit));
        let mut meant = 1;
        for (age, between) in &attempts {
            // Somebody's edit between a read and a write is another drift, which may take another write.
            meant += usize::from(between.is_some());
            operator.attempt(&mut server, *age, between.as_ref(), false);
        }
        operator.settle(&mut server, None);
        let (differs, beyond) = state(&server).expect("is there");
        prop_assert_eq!(differs, Vec::<String>::new());
        prop_assert!(!removes || beyond.is_empty(), "{:?}", beyond);
        prop_assert!(server.writes <= meant + 1, "{} writes", server.writes);
    }

    #[test]
    fn what_a_commit_changed_is_left_to_whoever_rolls_it_out(batches in batches()) {
        let mut operator = Operator::new(Rung::Revert, false, true);
        let mut object = declared();
        object["spec"]["replicas"] = json!(1);
        let mut server = Server::new(&object);
        for edit in batches.iter().flat_map(|(edits, _)| edits) {
            // One that is gone is created as it is declared now.
            if !matches!(edit, Edit::Delete) {
                server.edit(edit);
            }
        }
        let replicas = |server: &Server| server.live().map(|l| l["spec"]["replicas"].clone());
        let before = replicas(&server);
        operator.settle(&mut server, None);
        prop_assert_eq!(replicas(&server), before);
        let (differs, _) = state(&server).expect("is there");
        prop_assert!(differs.iter().all(|d| d.starts_with("spec.replicas")), "{:?}", differs);
    }

    #[test]
    fn at_observe_nothing_is_written(batches in batches(), removes: bool) {
        let server = run(Operator::new(Rung::Observe, removes, false), &batches, None);
        prop_assert_eq!(server.writes, 0);
    }

    #[test]
    fn it_ends_where_admission_changes_back_what_is_written(edits in prop::collection::vec(edit(), 0..4), back in edit(), removes: bool) {
        let mut operator = Operator::new(Rung::Revert, removes, false);
        let mut server = Server::new(&declared());
        edits.iter().chain([&back]).for_each(|edit| server.edit(edit));
        server.admission = Some(back);
        let mut contested = false;
        while operator.now < 3600 {
            operator.now += 9;
            match operator.attempt(&mut server, 0, None, false) {
                Step::Rest => break,
                Step::Waits(_, why) => {
                    prop_assert_eq!(why, Why::Contested);
                    contested = true;
                }
                Step::Wrote | Step::Stale => {}
            }
        }
        // Three rounds, and one more each five minutes.
        prop_assert!(server.writes <= 3 + 12, "{} writes", server.writes);
        let in_peace = operator.plan(server.live(), Rounds::default()) == Plan::Rest;
        prop_assert!(in_peace || contested);
    }

    #[test]
    fn a_second_writer_is_met_a_few_times_and_wins_until_it_stops(edit in edit(), removes: bool) {
        let mut operator = Operator::new(Rung::Revert, removes, false);
        let mut server = Server::new(&declared());
        while operator.now < 3600 {
            server.edit(&edit);
            operator.now += 9;
            operator.attempt(&mut server, 0, None, false);
        }
        prop_assert!(server.writes <= 3 + 12, "{} writes", server.writes);
        operator.settle(&mut server, None);
        prop_assert_eq!(state(&server).map(|(differs, _)| differs), Some(vec![]));
    }
}
