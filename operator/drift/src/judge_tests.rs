use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::declared::Provenance;
use crate::grade::grade;
use crate::report::{MAX_FIELDS, report};
use crate::schema::{ListTopology, Node, NodeId, SchemaBuilder, StructNode};

pub(crate) fn declaration(object: Value) -> DeclaredObject {
    DeclaredObject {
        object,
        provenance: Provenance {
            file: "a.yaml".into(),
            document: 1,
            line: 1,
        },
        lines: Vec::new(),
        unstable: Vec::new(),
        encrypted: false,
    }
}

/// A kind with `spec.containers` by name, each with `image` and `policy`, and the atomic list `spec.peers` of objects.
fn schema() -> Schema {
    let mut b = SchemaBuilder::new();
    let scalar = b.push(Node::Scalar);
    let fields = |mut fields: Vec<(&str, NodeId)>| {
        fields.sort();
        Node::Struct(StructNode {
            fields: fields.into_iter().map(|(n, id)| (n.into(), id)).collect(),
            defaults: Box::default(),
            nullable: Box::default(),
            preserve_unknown: false,
            atomic: false,
        })
    };
    let container = b.push(fields(vec![
        ("image", scalar),
        ("name", scalar),
        ("policy", scalar),
    ]));
    let containers = b.push(Node::List {
        items: container,
        topology: ListTopology::Map {
            keys: Box::new([("name".into(), None)]),
        },
    });
    let peer = b.push(fields(vec![("ip", scalar), ("port", scalar)]));
    let peers = b.push(Node::List {
        items: peer,
        topology: ListTopology::Atomic,
    });
    let spec = b.push(fields(vec![
        ("containers", containers),
        ("peers", peers),
        ("replicas", scalar),
    ]));
    let map = b.push(Node::Map {
        values: scalar,
        atomic: false,
    });
    let metadata = b.push(fields(vec![
        ("annotations", map),
        ("labels", map),
        ("name", scalar),
    ]));
    let root = b.push(fields(vec![
        ("metadata", metadata),
        ("spec", spec),
        ("data", map),
    ]));
    Schema::new(b.finish(), root)
}

struct World {
    kind: GroupKind,
    schema: Schema,
    declared: DeclaredObject,
}

impl World {
    fn new(declared: Value) -> Self {
        Self {
            kind: GroupKind::new("apps", "Deployment"),
            schema: schema(),
            declared: declaration(declared),
        }
    }

    fn case<'a>(&'a self, expected: Expected<'a>) -> Case<'a> {
        Case {
            expected,
            ..Case::new(&self.kind, &self.declared, &self.schema)
        }
    }
}

fn web(containers: Value) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"containers": containers}})
}

fn shown(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Drifted(f) | Verdict::Pending(f) => f
            .fields
            .iter()
            .map(|f| {
                format!(
                    "{} {} {}",
                    f.drift.change.as_str(),
                    f.drift.path,
                    f.origin.as_str()
                )
            })
            .collect(),
        Verdict::InSync => Vec::new(),
        Verdict::Unknown(why) => vec![why.reason().to_owned()],
    }
}

#[test]
fn a_sidecar_added_by_hand_is_seen_and_defaults_are_not() {
    let world = World::new(web(json!([{"name": "web", "image": "a"}])));
    let expected = web(json!([{"name": "web", "image": "a", "policy": "Always"}]));
    let live = web(
        json!([{"name": "web", "image": "a", "policy": "Always"}, {"name": "shell", "image": "b"}]),
    );
    let first = judge(&world.case(Expected::AsDeclared), Some(&live));
    assert!(first.ask);
    assert_eq!(first.verdict, Verdict::Unknown(Unknown::Unverified));
    let clean = judge(&world.case(Expected::Answer(&expected)), Some(&expected));
    assert_eq!(clean.verdict, Verdict::InSync);
    let known = clean.explained;
    let case = Case {
        known: Some(&known),
        baseline: Baseline::Declared,
        ..world.case(Expected::Answer(&expected))
    };
    let judged = judge(&case, Some(&live));
    assert_eq!(
        shown(&judged.verdict),
        ["Added spec.containers[name=shell] LiveEdited"]
    );
    assert_eq!(judged.explained, known);
    let calm = Case {
        known: Some(&known),
        ..world.case(Expected::AsDeclared)
    };
    assert!(!judge(&calm, Some(&expected)).ask);
}

#[test]
fn an_edit_of_what_admission_injected_is_narrowed_down() {
    let world = World::new(web(json!([{"name": "web", "image": "a"}])));
    let expected = web(
        json!([{"name": "web", "image": "a"}, {"name": "mesh", "image": "proxy:1", "policy": "x"}]),
    );
    let live = web(json!([{"name": "web", "image": "a"}, {"name": "mesh", "image": "proxy:2"}]));
    let case = Case {
        baseline: Baseline::Declared,
        ..world.case(Expected::Answer(&expected))
    };
    assert_eq!(
        shown(&judge(&case, Some(&live)).verdict),
        ["Added spec.containers[name=mesh].image LiveEdited"]
    );
}

#[test]
fn a_default_that_changed_since_is_not_drift() {
    let world = World::new(web(json!([{"name": "web", "image": "a"}])));
    let before = web(json!([{"name": "web", "image": "a", "policy": "Always"}]));
    let now = web(json!([{"name": "web", "image": "a", "policy": "Never"}]));
    let known = judge(&world.case(Expected::Answer(&before)), Some(&before)).explained;
    let case = Case {
        known: Some(&known),
        baseline: Baseline::Declared,
        ..world.case(Expected::Answer(&now))
    };
    assert_eq!(judge(&case, Some(&before)).verdict, Verdict::InSync);
    let first_sight = judge(&world.case(Expected::Answer(&now)), Some(&before));
    assert_eq!(first_sight.verdict, Verdict::Unknown(Unknown::Unverified));
    // What its deployer deployed says nothing of what the server once made of that.
    let by_deployer = Case {
        baseline: Baseline::Earlier {
            object: &world.declared.object,
            except: &[],
            evidence: Evidence::ArgoCD,
        },
        ..world.case(Expected::Answer(&now))
    };
    let judged = judge(&by_deployer, Some(&before)).verdict;
    assert_eq!(judged, Verdict::Unknown(Unknown::Unverified));
}

#[test]
fn at_first_sight_what_a_foreign_manager_owns_is_added() {
    let world = World::new(web(json!([{"name": "web", "image": "a"}])));
    let mut live = web(json!([{"name": "web", "image": "a"}, {"name": "shell", "image": "b"}]));
    let entry = |manager: &str, name: &str| {
        let key = format!("k:{{\"name\":\"{name}\"}}");
        json!({"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:spec": {"f:containers": {key: {".": {}, "f:name": {}, "f:image": {}}}}}})
    };
    let judged = |live: &Value, expected| judge(&world.case(expected), Some(live)).verdict;
    let unexplained = web(json!([{"name": "web", "image": "a"}]));
    for manager in ["deployer", "kubectl-edit"] {
        live["metadata"]["managedFields"] =
            json!([entry("deployer", "web"), entry(manager, "shell")]);
        let foreign = manager != "deployer";
        let by_answer = judged(&live, Expected::Answer(&unexplained));
        assert_eq!(
            matches!(by_answer, Verdict::Drifted(_)),
            foreign,
            "{manager}"
        );
        let by_ownership = judged(&live, Expected::Refused);
        assert_eq!(
            matches!(by_ownership, Verdict::Drifted(_)),
            foreign,
            "{manager}"
        );
    }
}

#[test]
fn what_came_since_in_sync_is_seen_even_where_the_server_cannot_be_asked() {
    let world = World::new(web(json!([{"name": "web", "image": "a"}])));
    let mut quiet = web(json!([{"name": "web", "image": "a", "policy": "Always"}]));
    quiet["metadata"]["managedFields"] = deployed();
    let known = judge(&world.case(Expected::Refused), Some(&quiet)).explained;
    let mut live = quiet;
    live["metadata"]["labels"] = json!({"team": "x"});
    let case = Case {
        known: Some(&known),
        baseline: Baseline::Declared,
        ..world.case(Expected::Refused)
    };
    let judged = judge(&case, Some(&live)).verdict;
    assert_eq!(shown(&judged), ["Added metadata.labels.team LiveEdited"]);
    let Verdict::Drifted(finding) = judged else {
        panic!("drifted");
    };
    assert_eq!(finding.fields[0].basis, Basis::Ownership);
}

/// Somebody applied the container `web` and its image.
fn deployed() -> Value {
    json!([{"manager": "deployer", "operation": "Apply", "time": "2026-01-01T00:00:00Z",
        "fieldsV1": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}])
}

/// Nobody owned an addition, nor anything else: it was taken for a default and remembered as that.
#[test]
fn at_first_sight_with_ownership_emptied_an_addition_is_unverified() {
    let world = World::new(web(json!([{"name": "web", "image": "a"}])));
    let mut live = web(json!([{"name": "web", "image": "a", "policy": "Always"}]));
    let judged = judge(&world.case(Expected::Refused), Some(&live));
    assert_eq!(judged.verdict, Verdict::Unknown(Unknown::Unverified));
    assert!(judged.explained.is_empty());
    live["metadata"]["managedFields"] = deployed();
    let judged = judge(&world.case(Expected::Refused), Some(&live));
    assert_eq!(judged.verdict, Verdict::InSync, "a default has no owner");
}

/// A commit takes something out that is still there: that was in sync where the server could not be asked.
#[test]
fn what_a_commit_takes_out_is_pending_for_as_long_as_the_deployer_applies_it() {
    let mut world = World::new(web(json!([{"name": "web", "image": "a"}])));
    let before = web(json!([{"name": "web", "image": "a", "policy": "Always"}]));
    let mut live = before.clone();
    let mut owned = deployed();
    owned[0]["fieldsV1"]["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"]["f:policy"] = json!({});
    live["metadata"]["managedFields"] = owned;
    let verdict = |world: &World, live: &Value| {
        let case = Case {
            baseline: Baseline::Earlier {
                object: &before,
                except: &[],
                evidence: Evidence::Own,
            },
            ..world.case(Expected::Refused)
        };
        judge(&case, Some(live)).verdict
    };
    let pending = verdict(&world, &live);
    assert!(matches!(pending, Verdict::Pending(_)), "{pending:?}");
    // Rolled out, and the server's own default has come back.
    live["metadata"]["managedFields"] = deployed();
    assert_eq!(verdict(&world, &live), Verdict::InSync);
    // A custom resource's defaults are all in its schema.
    world.kind = GroupKind::new("example.com", "Widget");
    assert!(matches!(verdict(&world, &live), Verdict::Pending(_)));
}

/// A definition that gained a field with a default made drift of every object of its kind: nobody owns what the server fills in.
#[test]
fn a_default_that_a_custom_resources_definition_gained_is_not_added() {
    let mut b = SchemaBuilder::new();
    let scalar = b.push(Node::Scalar);
    let mut structure = |fields: &[(&str, NodeId)], defaults: &[(&str, Value)]| {
        b.push(Node::Struct(StructNode {
            fields: fields.iter().map(|(n, id)| ((*n).into(), *id)).collect(),
            defaults: defaults
                .iter()
                .map(|(n, v)| ((*n).into(), v.clone()))
                .collect(),
            nullable: Box::default(),
            preserve_unknown: false,
            atomic: false,
        }))
    };
    let nested = structure(&[("mode", scalar)], &[("mode", json!("auto"))]);
    let size = structure(&[("size", scalar)], &[]);
    let spec = structure(
        &[("nested", nested), ("retries", scalar), ("size", scalar)],
        &[("nested", json!({})), ("retries", json!(3))],
    );
    let metadata = structure(&[("name", scalar)], &[]);
    let [old, new] =
        [size, spec].map(|spec| structure(&[("metadata", metadata), ("spec", spec)], &[]));
    let nodes = b.finish();
    let widget = |spec: Value| json!({"metadata": {"name": "w"}, "spec": spec});
    let declared = declaration(widget(json!({"size": 1})));
    let kind = GroupKind::new("example.com", "Widget");
    let known = Residue::default();
    let verdict = |root, live: Value| {
        let schema = Schema::new(Arc::clone(&nodes), root);
        let case = Case {
            askable: false,
            known: Some(&known),
            baseline: Baseline::Declared,
            rewritten: Some(&known),
            ..Case::new(&kind, &declared, &schema)
        };
        let judged = judge(&case, Some(&widget(live)));
        (shown(&judged.verdict), judged.explained.is_empty())
    };
    let defaulted = json!({"size": 1, "retries": 3, "nested": {"mode": "auto"}});
    assert_eq!(verdict(new, defaulted.clone()), (vec![], false));
    let edited = json!({"size": 1, "retries": 4, "nested": {"mode": "auto"}});
    assert_eq!(verdict(new, edited).0, ["Added spec.retries LiveEdited"]);
    // Seen before the new schema was read.
    assert_eq!(
        verdict(old, defaulted),
        (vec!["Unverified".to_owned()], true)
    );
}

/// A custom resource and the same after `manager` added `spec.policy` to a container, labelled it and, if it is the controller of its
/// kind, reported its status.
fn custom(manager: &str, status: bool) -> (World, Value, Value) {
    let mut world = World::new(web(json!([{"name": "web", "image": "a"}])));
    world.kind = GroupKind::new("example.com", "Fleet");
    let entry = |manager: &str, subresource: &str, fields: Value| json!({"manager": manager, "operation": "Update", "subresource": subresource, "time": "2026-01-01T00:00:00Z", "fieldsV1": fields});
    let of = |fields: Value| json!({"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": fields}}});
    let deployer = entry(
        "deployer",
        "",
        of(json!({".": {}, "f:name": {}, "f:image": {}})),
    );
    let reported = entry(manager, "status", json!({"f:status": {"f:ready": {}}}));
    let reported = status.then_some(reported);
    let mut quiet = world.declared.object.clone();
    quiet["metadata"]["managedFields"] = reported.iter().chain([&deployer]).cloned().collect();
    let mut added = web(json!([{"name": "web", "image": "a", "policy": "x"}]));
    added["metadata"]["labels"] = json!({"noted": "x"});
    let mut fields = of(json!({"f:policy": {}}));
    fields["f:metadata"] = json!({"f:labels": {"f:noted": {}}});
    let write = entry(manager, "", fields);
    added["metadata"]["managedFields"] = reported
        .iter()
        .chain([&deployer, &write])
        .cloned()
        .collect();
    (world, quiet, added)
}

#[test]
fn what_was_added_to_a_custom_resource_under_its_controllers_name_was_never_told() {
    let (world, quiet, added) = custom("fleet-operator", true);
    for expected in [Expected::Refused, Expected::Answer(&world.declared.object)] {
        let known = judge(&world.case(expected), Some(&quiet)).explained;
        let case = Case {
            known: Some(&known),
            baseline: Baseline::Declared,
            ..world.case(expected)
        };
        // What it notes down in metadata is its business.
        assert_eq!(
            shown(&judge(&case, Some(&added)).verdict),
            ["Added spec.containers[name=web].policy LiveEdited"]
        );
    }
}

/// A provider fills in what it found at first, and what it chose later.
#[test]
fn who_completes_a_custom_resource_may_go_on_doing_so() {
    let (world, _, added) = custom("fleet-operator", true);
    for expected in [Expected::Refused, Expected::Answer(&world.declared.object)] {
        let known = judge(&world.case(Expected::Refused), Some(&added)).explained;
        let case = Case {
            known: Some(&known),
            baseline: Baseline::Declared,
            ..world.case(expected)
        };
        let mut more = added.clone();
        let containers = more["spec"]["containers"].as_array_mut().expect("a list");
        containers.push(json!({"name": "mesh", "image": "b"}));
        let of = |more: &mut Value, writer: usize| {
            let owned = &mut more["metadata"]["managedFields"][writer]["fieldsV1"]["f:spec"];
            owned["f:containers"]["k:{\"name\":\"mesh\"}"] = json!({".": {}, "f:image": {}});
        };
        let mut by_another = more.clone();
        of(&mut more, 2);
        assert_eq!(judge(&case, Some(&more)).verdict, Verdict::InSync);
        of(&mut by_another, 1);
        let judged = judge(&case, Some(&by_another)).verdict;
        assert_eq!(
            shown(&judged),
            ["Added spec.containers[name=mesh] LiveEdited"]
        );
    }
}

#[test]
fn at_first_sight_a_controller_may_have_completed_its_custom_resource() {
    let (world, _, added) = custom("fleet-operator", true);
    let judged = |expected| judge(&world.case(expected), Some(&added)).verdict;
    assert_eq!(judged(Expected::Refused), Verdict::InSync);
    assert_eq!(
        judged(Expected::Answer(&world.declared.object)),
        Verdict::Unknown(Unknown::Unverified)
    );
    let (world, _, added) = custom("kubectl-edit", false);
    let judged = judge(&world.case(Expected::Refused), Some(&added)).verdict;
    assert!(matches!(judged, Verdict::Drifted(_)));
}

#[test]
fn what_was_added_under_the_name_of_the_control_plane_was_never_told_where_the_server_cannot_be_asked()
 {
    for manager in ["kube-controller-manager", "kubelet"] {
        let (world, quiet, added) = custom(manager, false);
        let known = judge(&world.case(Expected::Refused), Some(&quiet)).explained;
        let case = Case {
            known: Some(&known),
            baseline: Baseline::Declared,
            ..world.case(Expected::Refused)
        };
        assert_eq!(
            shown(&judge(&case, Some(&added)).verdict),
            [
                "Added metadata.labels.noted LiveEdited",
                "Added spec.containers[name=web].policy LiveEdited"
            ]
        );
        let node = GroupKind::new("", "Node");
        let case = Case {
            kind: &node,
            ..case
        };
        let judged = judge(&case, Some(&added)).verdict;
        assert_eq!(judged, Verdict::InSync, "it goes on writing its nodes");
    }
}

#[test]
fn what_the_control_planes_name_stands_on_is_not_called_in_sync_at_first_sight() {
    for manager in ["kube-controller-manager", "kubelet"] {
        let (world, _, added) = custom(manager, false);
        let judged = judge(&world.case(Expected::Refused), Some(&added)).verdict;
        assert_eq!(judged, Verdict::Unknown(Unknown::Unverified));
        let node = GroupKind::new("", "Node");
        let case = Case {
            kind: &node,
            ..world.case(Expected::Refused)
        };
        assert_eq!(judge(&case, Some(&added)).verdict, Verdict::InSync);
    }
}

#[test]
fn a_zero_value_that_a_custom_resource_does_not_have_was_called_in_sync_at_first_sight() {
    let of = |spec: Value| json!({"metadata": {"name": "web", "labels": {}, "finalizers": []}, "spec": spec});
    let stored = |spec: Value| json!({"metadata": {"name": "web"}, "spec": spec});
    let mut world = World::new(of(json!({"containers": [], "replicas": 0})));
    let whole = json!({"containers": [], "replicas": 0});
    for (group, lost) in [
        ("apps", Verdict::InSync),
        ("example.com", Verdict::Unknown(Unknown::Unverified)),
    ] {
        world.kind = GroupKind::new(group, "Fleet");
        let judged = |spec| judge(&world.case(Expected::Refused), Some(&stored(spec))).verdict;
        // Empty labels and lists of finalizers are nowhere stored.
        assert_eq!(judged(whole.clone()), Verdict::InSync);
        assert_eq!(judged(json!({"containers": []})), lost);
    }
}

#[test]
fn a_default_that_a_new_definition_brought_was_an_addition_to_every_custom_resource() {
    let (world, quiet, _) = custom("fleet-operator", true);
    let known = judge(&world.case(Expected::Refused), Some(&quiet)).explained;
    // Filled in when it is read: nobody wrote it, and nobody owns it.
    let mut read = quiet;
    read["spec"]["replicas"] = 1.into();
    let judged = |unwritten| {
        let case = Case {
            known: Some(&known),
            baseline: Baseline::Declared,
            unwritten,
            ..world.case(Expected::Refused)
        };
        judge(&case, Some(&read))
    };
    let now = judged(true);
    assert_eq!(now.verdict, Verdict::InSync);
    assert_eq!(now.explained.hashes().len(), 1);
    assert_eq!(
        shown(&judged(false).verdict),
        ["Added spec.replicas LiveEdited"]
    );
}

#[test]
fn an_addition_within_an_atomic_list_is_a_change_of_the_list() {
    let object = |peers: Value| json!({"metadata": {"name": "web"}, "spec": {"peers": peers}});
    let world = World::new(object(json!([{"ip": "1"}])));
    let expected = object(json!([{"ip": "1", "port": 80}]));
    let live = object(json!([{"ip": "1", "port": 81}]));
    let case = Case {
        baseline: Baseline::Declared,
        ..world.case(Expected::Answer(&expected))
    };
    assert_eq!(judge(&case, Some(&expected)).verdict, Verdict::InSync);
    assert_eq!(
        shown(&judge(&case, Some(&live)).verdict),
        ["Changed spec.peers LiveEdited"]
    );
}

#[test]
fn a_commit_that_is_not_rolled_out_is_pending() {
    let object = |n: i64| json!({"metadata": {"name": "web"}, "spec": {"replicas": n}});
    let world = World::new(object(3));
    let before = object(2);
    let case = Case {
        baseline: Baseline::Earlier {
            object: &before,
            except: &[],
            evidence: Evidence::Own,
        },
        ..world.case(Expected::AsDeclared)
    };
    assert!(matches!(
        judge(&case, Some(&object(2))).verdict,
        Verdict::Pending(_)
    ));
    assert!(matches!(
        judge(&case, Some(&object(7))).verdict,
        Verdict::Drifted(_)
    ));
    let missing = judge(
        &Case {
            baseline: Baseline::Absent,
            ..world.case(Expected::Unsettled)
        },
        None,
    );
    assert!(matches!(missing.verdict, Verdict::Pending(_)));
}

#[test]
fn what_kubectl_last_applied_is_evidence_of_the_origin_and_hides_nothing() {
    let world = World::new(json!({"metadata": {"name": "web"}, "spec": {"replicas": 3}}));
    let live = |applied: i64, replicas: i64| {
        let text = json!({"metadata": {"name": "web"}, "spec": {"replicas": applied}}).to_string();
        json!({"metadata": {"name": "web", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": text}},
            "spec": {"replicas": replicas}})
    };
    let judged = |live: &Value| {
        let expected = json!({"metadata": {"name": "x"}, "spec": {"replicas": 3}});
        judge(&world.case(Expected::Answer(&expected)), Some(live)).verdict
    };
    assert_eq!(
        shown(&judged(&live(3, 5))),
        ["Changed spec.replicas LiveEdited"]
    );
    let applied_by_hand = judged(&live(5, 5));
    assert_eq!(shown(&applied_by_hand), ["Changed spec.replicas GitAhead"]);
    assert!(matches!(applied_by_hand, Verdict::Drifted(_)));
}

#[test]
fn hooks_and_jobs_with_a_time_to_live_may_go() {
    let hook = json!({"metadata": {"name": "m", "annotations": {"helm.sh/hook": "pre-install"}}});
    let world = World::new(hook);
    assert_eq!(
        judge(&world.case(Expected::Unsettled), None).verdict,
        Verdict::InSync
    );
    let job = json!({"metadata": {"name": "m"}, "spec": {"ttlSecondsAfterFinished": 10}});
    let mut world = World::new(job);
    assert!(matches!(
        judge(&world.case(Expected::Unsettled), None).verdict,
        Verdict::Drifted(_)
    ));
    world.kind = GroupKind::new("batch", "Job");
    assert_eq!(
        judge(&world.case(Expected::Unsettled), None).verdict,
        Verdict::InSync
    );
}

#[test]
fn a_hook_that_was_there_could_be_edited_for_ever() {
    let hook = json!({"metadata": {"name": "m", "annotations": {"helm.sh/hook": "pre-install"}}, "spec": {"replicas": 1}});
    let world = World::new(hook.clone());
    let judged = |live: &Value| judge(&world.case(Expected::AsDeclared), Some(live)).verdict;
    assert_eq!(judged(&hook), Verdict::InSync);
    let mut edited = hook;
    edited["spec"]["replicas"] = 2.into();
    assert_eq!(shown(&judged(&edited)), ["Changed spec.replicas Unknown"]);
    let mut going = edited;
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(judged(&going), Verdict::InSync);
}

#[test]
fn a_job_with_a_time_to_live_that_was_deleted_before_it_had_finished_was_in_sync() {
    let job = json!({"metadata": {"name": "m"}, "spec": {"ttlSecondsAfterFinished": 10}});
    let mut world = World::new(job.clone());
    world.kind = GroupKind::new("batch", "Job");
    let absent = |cut_short| {
        let case = Case {
            cut_short,
            ..world.case(Expected::Unsettled)
        };
        judge(&case, None).verdict
    };
    assert_eq!(absent(false), Verdict::InSync);
    assert!(matches!(absent(true), Verdict::Drifted(f) if f.change == ObjectChange::Missing));
    // Its own controller deletes it in the foreground: for a moment it is being deleted.
    let mut going = job;
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let judged = |live: &Value| judge(&world.case(Expected::Unsettled), Some(live)).verdict;
    assert!(matches!(judged(&going), Verdict::Drifted(f) if f.change == ObjectChange::Terminating));
    for end in ["Complete", "Failed"] {
        going["status"] = json!({"conditions": [{"type": "Suspended", "status": "True"}, {"type": end, "status": "True"}]});
        assert_eq!(judged(&going), Verdict::InSync);
    }
}

#[test]
fn of_encrypted_values_the_keys_are_compared() {
    let cipher = "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]";
    let mut world =
        World::new(json!({"metadata": {"name": "s"}, "data": {"a": cipher, "b": cipher}}));
    world.declared.encrypted = true;
    let judged = |live: Value| judge(&world.case(Expected::AsDeclared), Some(&live)).verdict;
    let equal = json!({"metadata": {"name": "s"}, "data": {"a": "eA==", "b": "eA=="}});
    assert_eq!(judged(equal), Verdict::Unknown(Unknown::Encrypted));
    let less = json!({"metadata": {"name": "s"}, "data": {"a": "eA=="}});
    assert_eq!(shown(&judged(less)), ["Missing data.b Unknown"]);
}

#[test]
fn an_object_with_a_hundred_thousand_drifted_fields_froze_the_operator() {
    let data = |value: &str| -> serde_json::Map<String, Value> {
        (0..100_000)
            .map(|n| (format!("key{n}"), value.into()))
            .collect()
    };
    let owned: serde_json::Map<String, Value> = (0..100_000)
        .map(|n| (format!("f:key{n}"), json!({})))
        .collect();
    let live = json!({"data": data("b"), "metadata": {"managedFields": [
        {"manager": "m", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": owned}}]}});
    let mut world = World::new(json!({"data": data("a")}));
    let explained = judge(&world.case(Expected::Answer(&live)), Some(&live));
    assert_eq!(explained.verdict, Verdict::InSync);
    let Verdict::Drifted(finding) = judge(&world.case(Expected::AsDeclared), Some(&live)).verdict
    else {
        panic!("drifted");
    };
    assert_eq!(finding.fields.len(), 100_000);
    let rules = crate::rules::Rules::default();
    let id = crate::subject::ObjectId::new(world.kind.clone(), None, "x");
    let graded = grade(&world.kind, *finding, rules.about("app", &id, None));
    let told = report(
        &world.kind,
        &world.declared,
        &world.schema,
        Some(&live),
        &graded.left.expect("drifted"),
    );
    assert!(told.fields[MAX_FIELDS - 1].by.manager.is_some());
    world.declared.unstable = (0..100_000).map(|n| format!("/data/key{n}")).collect();
    let random = judge(&world.case(Expected::AsDeclared), Some(&live));
    assert_eq!(random.verdict, Verdict::Unknown(Unknown::Unstable));
    world.declared = declaration(json!({"data": {}}));
    let added = judge(&world.case(Expected::Answer(&json!({}))), Some(&live));
    assert!(matches!(
        added.verdict,
        Verdict::Unknown(Unknown::Unverified)
    ));
}

#[test]
fn a_struct_added_as_a_whole_is_one_field_and_labels_are_many() {
    let world = World::new(json!({"metadata": {"name": "web"}}));
    let live = json!({"metadata": {"name": "web", "labels": {"a": "1", "b": "2"}}, "spec": {"replicas": 3, "peers": []}});
    let told = |expected: &Value| -> Vec<String> {
        let case = Case {
            baseline: Baseline::Declared,
            ..world.case(Expected::Answer(expected))
        };
        let Verdict::Drifted(finding) = judge(&case, Some(&live)).verdict else {
            panic!("drifted");
        };
        let id = crate::subject::ObjectId::new(GroupKind::new("apps", "Deployment"), None, "web");
        let rules = crate::rules::Rules::default();
        let grading = crate::grade::grade(&world.kind, *finding, rules.about("app", &id, None));
        let graded = grading.left.expect("drifted");
        let report = report(
            &world.kind,
            &world.declared,
            &world.schema,
            Some(&live),
            &graded,
        );
        let mut paths: Vec<String> = report.fields.iter().map(|f| f.path.clone()).collect();
        paths.sort();
        paths
    };
    assert_eq!(
        told(&world.declared.object),
        ["metadata.labels.a", "metadata.labels.b", "spec"]
    );
    let with_spec = json!({"metadata": {"name": "web"}, "spec": {"peers": []}});
    assert_eq!(
        told(&with_spec),
        ["metadata.labels.a", "metadata.labels.b", "spec.replicas"]
    );
}

#[test]
fn an_atomic_list_with_something_changed_and_something_added_was_told_twice() {
    let of = |peers: Value| json!({"metadata": {"name": "web"}, "spec": {"peers": peers}});
    let world = World::new(of(json!([{"ip": "a"}])));
    let expected = of(json!([{"ip": "a", "port": 1}]));
    let live = of(json!([{"ip": "b", "port": 2}]));
    for (expected, askable) in [
        (Expected::Answer(&expected), true),
        (Expected::AsDeclared, false),
    ] {
        let known = Residue::default();
        let case = Case {
            known: Some(&known),
            baseline: Baseline::Declared,
            askable,
            ..world.case(expected)
        };
        let judged = judge(&case, Some(&live));
        assert_eq!(shown(&judged.verdict), ["Changed spec.peers LiveEdited"]);
        assert!(judged.explained.is_empty(), "what is told is not explained");
    }
}

#[test]
fn a_zero_that_was_kept_hid_behind_one_that_the_server_drops() {
    let of = |labels: Value, spec: Value| json!({"metadata": {"name": "web", "labels": labels}, "spec": spec});
    let kept = json!({"team": "a", "scraped": ""});
    let world = World::new(of(kept.clone(), json!({"containers": [], "replicas": 0})));
    // The server drops the empty list, and the number with it.
    let stored = of(kept, json!({}));
    let first = judge(&world.case(Expected::Refused), Some(&stored));
    assert_eq!(first.verdict, Verdict::InSync);
    let known = first.rewritten.expect("known");
    assert_eq!(known.hashes().len(), 2);
    let case = Case {
        known: Some(&first.explained),
        baseline: Baseline::Declared,
        rewritten: Some(&known),
        ..world.case(Expected::Refused)
    };
    assert_eq!(judge(&case, Some(&stored)).verdict, Verdict::InSync);
    let removed = of(json!({"team": "a"}), json!({}));
    let judged = judge(&case, Some(&removed));
    assert_eq!(
        shown(&judged.verdict),
        ["Missing metadata.labels.scraped LiveEdited"]
    );
    // While it differs, what else the server does is not forgotten.
    assert_eq!(judged.rewritten, Some(known.clone()));
    let askable = Case {
        expected: Expected::Unsettled,
        ..case
    };
    assert!(
        judge(&askable, Some(&stored)).ask,
        "what the server drops is no edit"
    );
}
