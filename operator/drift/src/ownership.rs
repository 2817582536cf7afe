//! Who owns a field, by `metadata.managedFields`. That names a tool, chosen by the client: evidence, never authorisation.
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>.

use serde_json::{Map, Value};

use crate::compare::compare_at;
use crate::path::{FieldPath, Step};
use crate::residue::extras;
use crate::schema::Schema;

/// A write, as far as `managedFields` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// The field manager's name.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The subresource the write went to; empty for the object itself.
    pub subresource: String,
    /// When the manager last wrote (RFC 3339, 1 s resolution): an upper bound for one field.
    pub at: Option<String>,
}

/// Who deployed an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployers {
    /// What they own is as it is declared.
    pub certain: Vec<String>,
    /// What they own is not: a commit is not rolled out, or they are who edited it. Only where nobody is certain.
    pub likely: Vec<String>,
}

impl Deployers {
    /// True where ownership was emptied, or nobody owns enough.
    pub fn is_empty(&self) -> bool {
        self.certain.is_empty() && self.likely.is_empty()
    }
}

/// Commands of kubectl that change what is there and never create anything, as they call themselves.
///
/// Source: <https://github.com/kubernetes/kubernetes/tree/v1.37.2/staging/src/k8s.io/kubectl/pkg/cmd>.
const ONLY_CHANGES: [&str; 7] = [
    "kubectl-annotate",
    "kubectl-edit",
    "kubectl-label",
    "kubectl-patch",
    "kubectl-rollout",
    "kubectl-set",
    "kubectl-taint",
];

/// The managers of one object.
pub struct Owners<'a> {
    live: &'a Value,
    entries: &'a [Value],
    /// When the object was created.
    created: Option<&'a str>,
}

impl<'a> Owners<'a> {
    /// Those of a live object.
    pub fn of(live: &'a Value) -> Self {
        let metadata = live.get("metadata");
        let entries = metadata
            .and_then(|m| m.get("managedFields"))
            .and_then(Value::as_array);
        Self {
            live,
            entries: entries.map_or(&[], Vec::as_slice),
            created: metadata
                .and_then(|m| m.get("creationTimestamp"))
                .and_then(Value::as_str),
        }
    }

    /// The manager that owns a field that is there; the one that wrote last where there are several. `schema` says where a
    /// value is owned as a whole: elsewhere an entry that ends above the field is only what is left of fields that are gone.
    pub fn owner(&self, path: &FieldPath, schema: &Schema) -> Option<Attribution> {
        let atomic = schema.atomic_above(path).unwrap_or(path.0.len());
        self.latest(&path.0, atomic)
    }

    /// The manager that left out a field that is not there. A removal leaves no owner, unless the field was a part of a value
    /// that is owned as a whole.
    pub fn owner_of_absence(&self, path: &FieldPath, schema: &Schema) -> Option<Attribution> {
        let atomic = schema.atomic_above(path)?;
        self.latest(path.0.get(..atomic)?, atomic)
    }

    /// True if an entry that is meant owns a field that is there, alone or beside others.
    pub fn is_owned_by(
        &self,
        path: &FieldPath,
        schema: &Schema,
        is_meant: impl Fn(&Attribution) -> bool,
    ) -> bool {
        let atomic = schema.atomic_above(path).unwrap_or(path.0.len());
        let owning = |e: &&Value| e.get("fieldsV1").is_some_and(|f| owns(f, &path.0, atomic));
        let mut all = self.entries.iter().filter(owning).map(attribution);
        all.any(|a| is_meant(&a))
    }

    /// True if a place belongs to whoever writes the object's status as a subresource, and did not write the object's first
    /// version too: the controller of its kind. A person at a command line is none.
    pub fn is_controllers(&self, path: &FieldPath, schema: &Schema) -> bool {
        let Some(owner) = self.owner(path, schema) else {
            return false;
        };
        if owner.manager.starts_with("kubectl") {
            return false;
        }
        let is_owner = |e: &&Value| text(e, "manager") == owner.manager;
        let writes_status = |e: &Value| {
            text(e, "subresource") == "status"
                && e.get("fieldsV1")
                    .is_some_and(|f| f.get("f:status").is_some())
        };
        let spec = |e: &Value| {
            e.get("fieldsV1")
                .and_then(|f| f.get("f:spec"))
                .is_some_and(|s| s.get(".").is_some())
        };
        self.entries.iter().filter(is_owner).any(writes_status)
            && !self.entries.iter().filter(is_owner).any(spec)
    }

    /// The managers that own at least half of what is declared, as it is declared: whoever deployed it. And the one that created the
    /// object and has not written since, as of a Secret that declares its name alone, or where others have taken over most of what is
    /// declared. Nobody where ownership was emptied.
    pub fn deployers(&self, declared: &Value, schema: &Schema) -> Deployers {
        /// Enough to tell; large objects have many alike.
        const LOOKED_AT: usize = 200;
        let nothing = Value::Object(serde_json::Map::new());
        let places = extras(&nothing, declared, schema);
        let places: Vec<(&[Step], usize, bool)> = places
            .iter()
            .filter(|e| !is_identity(&e.path))
            .take(LOOKED_AT)
            .map(|e| {
                let steps = e.path.0.as_slice();
                let atomic = schema.atomic_above(&e.path).unwrap_or(steps.len());
                let live = e.path.get(self.live);
                let as_declared = live.is_some_and(|live| {
                    compare_at(e.value, live, schema, schema.at(steps), steps.to_vec()).is_empty()
                });
                (steps, atomic, as_declared)
            })
            .collect();
        let mut found = Deployers::default();
        for entry in self.entries {
            let manager = text(entry, "manager");
            let Some(fields) = entry.get("fieldsV1") else {
                continue;
            };
            if ONLY_CHANGES.contains(&&*manager) {
                continue;
            }
            let owned = places.iter().filter(|(steps, atomic, _)| {
                (owns(fields, steps, *atomic) && !owns_parts_only(fields, steps))
                    || owns_string_data(fields, steps, *atomic)
            });
            let (mut all, mut as_declared) = (0, 0);
            for (_, _, same) in owned {
                all += 1;
                as_declared += usize::from(*same);
            }
            let is_half = |count: usize| count > 0 && count * 2 >= places.len();
            if is_half(as_declared) {
                found.certain.push(manager);
            } else if is_half(all) {
                found.likely.push(manager);
            }
        }
        let creator = self.creator().filter(|c| !found.certain.contains(c));
        found.certain.extend(creator);
        if !found.certain.is_empty() {
            found.likely = Vec::new();
        }
        found
    }

    /// The manager whose last write was the object's creation, if it is the only one of that second.
    ///
    /// The API server notes the owner's time before it admits the object, and the object's own after that: the owner's may lie before it.
    fn creator(&self) -> Option<String> {
        let created = self.created?;
        let written = |is: fn(&str, &str) -> bool| {
            let mut found = self.entries.iter().filter(|e| {
                let at = text(e, "time");
                text(e, "subresource").is_empty() && !at.is_empty() && is(&at, created)
            });
            let first = found.next()?;
            Some((first, found.next().is_none()))
        };
        let (creator, alone) =
            written(|at, created| at < created).or_else(|| written(|at, created| at == created))?;
        alone.then(|| text(creator, "manager"))
    }

    /// The last write that left an owner, whatever it wrote but the status.
    pub fn last_write(&self) -> Option<Attribution> {
        let entries = self.entries.iter();
        entries
            .filter(|e| text(e, "subresource") != "status")
            .max_by_key(|e| text(e, "time"))
            .map(attribution)
    }

    /// False if something else of the object was written after this: then this was not written by the object's last write.
    pub fn may_be_newest(&self, write: &Attribution) -> bool {
        let at = write.at.as_deref().unwrap_or_default();
        self.entries.iter().all(|e| text(e, "time").as_str() <= at)
    }

    fn latest(&self, steps: &[Step], atomic: usize) -> Option<Attribution> {
        self.entries
            .iter()
            .filter(|e| {
                e.get("fieldsV1")
                    .is_some_and(|f| owns(f, steps, atomic) || owns_string_data(f, steps, atomic))
            })
            .max_by_key(|e| text(e, "time"))
            .map(attribution)
    }
}

fn attribution(entry: &Value) -> Attribution {
    Attribution {
        manager: text(entry, "manager"),
        operation: text(entry, "operation"),
        subresource: text(entry, "subresource"),
        at: Some(text(entry, "time")).filter(|t| !t.is_empty()),
    }
}

/// Nobody owns an object's name.
fn is_identity(path: &FieldPath) -> bool {
    matches!(path.0.as_slice(), [Step::Field(a), Step::Field(b)] if a == "metadata" && (b == "name" || b == "namespace"))
}

fn text(entry: &Value, key: &str) -> String {
    entry
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A server-side apply of a Secret's `stringData` owns that, never `data`.
fn owns_string_data(fields: &Value, steps: &[Step], atomic: usize) -> bool {
    match steps {
        [Step::Field(data), rest @ ..] if data == "data" => fields
            .get("f:stringData")
            .is_some_and(|f| owns(f, rest, atomic.saturating_sub(1))),
        _ => false,
    }
}

/// True if a `fieldsV1` tree owns the place: it holds the whole way, or ends earlier, but not before `atomic` steps, in a value
/// owned as a whole.
fn owns(fields: &Value, steps: &[Step], atomic: usize) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return true;
    };
    let Some(members) = fields.as_object() else {
        return false;
    };
    if members.is_empty() {
        return atomic == 0;
    }
    child(members, step).is_some_and(|child| owns(child, rest, atomic.saturating_sub(1)))
}

fn child<'f>(members: &'f Map<String, Value>, step: &Step) -> Option<&'f Value> {
    match step {
        Step::Field(name) => members.get(&format!("f:{name}")),
        Step::Index(n) => members.get(&format!("i:{n}")),
        Step::Member(value) => members.get(&format!("v:{value}")),
        Step::Select(pairs, _) => members.iter().find_map(|(key, child)| {
            let wanted: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            let same = |(name, value): &(String, Value)| wanted.get(name) == Some(value);
            (wanted.as_object()?.len() == pairs.len() && pairs.iter().all(same)).then_some(child)
        }),
        Step::AnyMember => None,
    }
}

/// True for an element of a list of which an entry owns fields, and not that it is there: it was put there by somebody else.
fn owns_parts_only(fields: &Value, steps: &[Step]) -> bool {
    let element = steps
        .iter()
        .try_fold(fields, |fields, step| child(fields.as_object()?, step));
    matches!(steps.last(), Some(Step::Select(..)))
        && element
            .and_then(Value::as_object)
            .is_some_and(|e| !e.is_empty() && !e.contains_key("."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::{ListTopology, Node, SchemaBuilder, StructNode};

    /// `spec` with the granular list `ports`, the granular list `containers`, whose `args` are one value, and the atomic map
    /// `selector`.
    fn schema() -> Schema {
        let mut b = SchemaBuilder::new();
        let scalar = b.push(Node::Scalar);
        let fields = |mut fields: Vec<(&str, crate::schema::NodeId)>| {
            fields.sort();
            Node::Struct(StructNode {
                fields: fields.into_iter().map(|(n, id)| (n.into(), id)).collect(),
                defaults: Box::default(),
                nullable: Box::default(),
                preserve_unknown: false,
                atomic: false,
            })
        };
        let list = |items, key: Option<&str>| Node::List {
            items,
            topology: key.map_or(ListTopology::Atomic, |key| ListTopology::Map {
                keys: Box::new([(key.into(), None)]),
            }),
        };
        let args = b.push(list(scalar, None));
        let container = b.push(fields(vec![("args", args), ("image", scalar)]));
        let containers = b.push(list(container, Some("name")));
        let port = b.push(fields(vec![("port", scalar), ("targetPort", scalar)]));
        let ports = b.push(list(port, Some("port")));
        let selector = b.push(Node::Map {
            values: scalar,
            atomic: true,
        });
        let spec = b.push(fields(vec![
            ("containers", containers),
            ("ports", ports),
            ("replicas", scalar),
            ("selector", selector),
        ]));
        let root = b.push(fields(vec![("spec", spec)]));
        Schema::new(b.finish(), root)
    }

    fn owner(live: &Value, path: &str) -> Option<String> {
        Owners::of(live)
            .owner(&path.parse().expect(path), &schema())
            .map(|a| a.manager)
    }

    fn owner_of_absence(live: &Value, path: &str) -> Option<String> {
        Owners::of(live)
            .owner_of_absence(&path.parse().expect(path), &schema())
            .map(|a| a.manager)
    }

    #[test]
    fn an_object_that_declares_next_to_nothing_was_deployed_by_its_creator() {
        let declared = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bare"}});
        let entry = |manager: &str, operation: &str, time: &str| json!({"manager": manager, "operation": operation, "time": time, "fieldsV1": {"f:type": {}}});
        let (at, later) = ("2026-01-03T00:00:00Z", "2026-01-03T00:00:09Z");
        let deployers = |entries: &[Value]| {
            let live = json!({"metadata": {"creationTimestamp": at, "managedFields": entries}, "type": "Opaque"});
            Owners::of(&live).deployers(&declared, &schema()).certain
        };
        let kubectl = entry("kubectl", "Update", at);
        assert_eq!(deployers(std::slice::from_ref(&kubectl)), ["kubectl"]);
        let edit = entry("kubectl-edit", "Update", later);
        assert_eq!(deployers(&[kubectl.clone(), edit.clone()]), ["kubectl"]);
        assert!(deployers(&[edit]).is_empty());
        assert!(deployers(&[kubectl, entry("kubectl-edit", "Update", at)]).is_empty());
        assert!(deployers(&[]).is_empty());
        // The second may end between the two times that the API server takes.
        let before = "2026-01-02T23:59:59Z";
        let early = entry("kubectl", "Update", before);
        assert_eq!(deployers(std::slice::from_ref(&early)), ["kubectl"]);
        assert_eq!(
            deployers(&[early.clone(), entry("kubectl-edit", "Update", at)]),
            ["kubectl"]
        );
        assert!(deployers(&[early, entry("helm", "Apply", before)]).is_empty());
    }

    #[test]
    fn who_edited_the_only_container_counted_as_the_deployer() {
        let declared = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "a"}]}});
        let entry = |manager: &str, fields: Value| {
            json!({"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1":
                {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": fields}}}})
        };
        let of = |image: &str| {
            let live = json!({"metadata": {"managedFields": [
                entry("helm", json!({".": {}, "f:image": {}})),
                entry("console", json!({"f:args": {}})),
            ]}, "spec": {"containers": [{"name": "web", "image": image, "args": ["-v"]}]}});
            Owners::of(&live).deployers(&declared, &schema())
        };
        assert_eq!(of("a").certain, ["helm"]);
        let likely = Deployers {
            likely: vec!["helm".to_owned()],
            ..Deployers::default()
        };
        assert_eq!(of("b"), likely);
    }

    #[test]
    fn who_changed_half_of_what_is_declared_counted_as_the_deployer() {
        let declared = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"app": "web"}}});
        let entry = |manager: &str, fields: Value| json!({"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": fields}});
        let of = |editor: &str, replicas: u32| {
            let live = json!({"spec": {"replicas": replicas, "selector": {"app": "web"}, "paused": true}, "metadata": {"managedFields": [
                entry("flux", json!({"f:selector": {}})), entry(editor, json!({"f:replicas": {}, "f:paused": {}}))]}});
            Owners::of(&live).deployers(&declared, &schema()).certain
        };
        assert_eq!(of("console", 5), ["flux"]);
        // Two who apply parts of it.
        assert_eq!(of("console", 2), ["flux", "console"]);
        assert_eq!(of("kubectl-patch", 2), ["flux"]);
    }

    /// What a Service has after `kubectl apply` and a JSON patch of its port's number.
    fn repatched() -> Value {
        json!({"metadata": {"managedFields": [
            {"manager": "kubectl-client-side-apply", "operation": "Update", "time": "2026-01-03T00:00:00Z", "fieldsV1":
                {"f:spec": {"f:ports": {}, "f:selector": {}}}},
            {"manager": "kubectl-patch", "operation": "Update", "time": "2026-01-02T00:00:00Z", "fieldsV1":
                {"f:spec": {"f:ports": {"k:{\"port\":8081}": {".": {}, "f:port": {}, "f:targetPort": {}}}}}},
        ]}})
    }

    #[test]
    fn who_wrote_a_list_is_not_blamed_for_an_element_that_another_removed() {
        let live = repatched();
        assert_eq!(owner_of_absence(&live, "spec.ports[port=80]"), None);
        assert_eq!(owner_of_absence(&live, "spec.ports"), None);
        assert_eq!(owner_of_absence(&live, "spec.replicas"), None);
    }

    #[test]
    fn what_is_left_of_an_emptied_list_does_not_own_what_others_put_there() {
        assert_eq!(
            owner(&repatched(), "spec.ports[port=8081].targetPort").as_deref(),
            Some("kubectl-patch")
        );
    }

    #[test]
    fn who_wrote_a_value_as_a_whole_left_out_its_parts() {
        assert_eq!(
            owner_of_absence(&repatched(), "spec.selector.app").as_deref(),
            Some("kubectl-client-side-apply")
        );
        assert_eq!(
            owner(&repatched(), "spec.selector.app").as_deref(),
            Some("kubectl-client-side-apply")
        );
    }

    #[test]
    fn what_a_kinds_controller_notes_down_is_its_own() {
        let entry = |manager: &str, subresource: &str, fields: Value| json!({"manager": manager, "operation": "Update", "subresource": subresource, "time": "2026-01-01T00:00:00Z", "fieldsV1": fields});
        let note = json!({"f:metadata": {"f:annotations": {"f:revision": {}}}});
        let status = json!({"f:status": {"f:ready": {}}});
        let path: FieldPath = "metadata.annotations.revision".parse().expect("a path");
        let told = |entries: Vec<Value>| {
            let live = json!({"metadata": {"managedFields": entries}});
            Owners::of(&live).is_controllers(&path, &schema())
        };
        assert!(told(vec![
            entry("rollouts", "", note.clone()),
            entry("rollouts", "status", status.clone())
        ]));
        assert!(!told(vec![
            entry("kubectl-edit", "", note.clone()),
            entry("rollouts", "status", status.clone())
        ]));
        assert!(!told(vec![
            entry("kubectl-patch", "", note),
            entry("kubectl-patch", "status", status.clone())
        ]));
        let deployer =
            json!({"f:spec": {".": {}}, "f:metadata": {"f:annotations": {"f:revision": {}}}});
        assert!(!told(vec![
            entry("all", "", deployer),
            entry("all", "status", status)
        ]));
    }

    #[test]
    fn the_latest_owner_is_named() {
        let live = json!({"metadata": {"managedFields": [
            {"manager": "helm", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1":
                {"f:spec": {"f:replicas": {}, "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:args": {}}}}}},
            {"manager": "kubectl-set", "operation": "Update", "time": "2026-01-02T00:00:00Z", "fieldsV1":
                {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}}},
        ]}});
        assert_eq!(
            owner(&live, "spec.containers[name=web].image").as_deref(),
            Some("kubectl-set")
        );
        assert_eq!(owner(&live, "spec.replicas").as_deref(), Some("helm"));
        assert_eq!(
            owner(&live, "spec.containers[name=web].args[1]").as_deref(),
            Some("helm")
        );
        assert_eq!(owner(&live, "spec.containers[name=other].image"), None);
        assert_eq!(owner(&live, "spec.containers[name=web].command"), None);
    }

    #[test]
    fn a_secret_applied_by_string_data_has_an_owner() {
        let live = json!({"metadata": {"managedFields": [{"manager": "ci", "time": "", "fieldsV1": {"f:stringData": {"f:a": {}}}}]}});
        assert_eq!(owner(&live, "data.a").as_deref(), Some("ci"));
    }

    #[test]
    fn emptied_or_broken_managed_fields_name_nobody() {
        for fields in [
            json!([]),
            json!([{}]),
            json!("x"),
            json!([{"manager": "m", "fieldsV1": {"f:spec": 3}}]),
        ] {
            let live = json!({"metadata": {"managedFields": fields}});
            assert_eq!(owner(&live, "spec.replicas"), None);
        }
    }
}
