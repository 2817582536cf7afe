//! In which order objects are delivered: what others need comes first, and what may refuse others comes last.

use std::collections::BTreeMap;

use crate::subject::{GroupKind, ObjectId};

/// A step of a delivery. Objects of one step are delivered side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Namespaces.
    Namespaces,
    /// Definitions of kinds; objects of a new kind wait until it is served.
    Definitions,
    /// Service accounts, roles and bindings.
    Rights,
    /// Configuration, quotas, classes and volumes.
    Config,
    /// Services.
    Services,
    /// Everything that uses the ones before: workloads, routes, custom resources.
    Workloads,
    /// What stands between the API server and other objects.
    Admission,
}

/// The stage of a kind.
pub fn stage(kind: &GroupKind) -> Stage {
    match (&*kind.group, &*kind.kind) {
        ("", "Namespace") => Stage::Namespaces,
        ("apiextensions.k8s.io", _) => Stage::Definitions,
        ("", "ServiceAccount") | ("rbac.authorization.k8s.io", _) => Stage::Rights,
        (
            "",
            "ConfigMap"
            | "Secret"
            | "LimitRange"
            | "ResourceQuota"
            | "PersistentVolume"
            | "PersistentVolumeClaim",
        )
        | ("scheduling.k8s.io" | "storage.k8s.io" | "node.k8s.io", _)
        | ("networking.k8s.io", "NetworkPolicy" | "IngressClass") => Stage::Config,
        ("", "Service") => Stage::Services,
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Stage::Admission,
        _ => Stage::Workloads,
    }
}

/// What of a target is not delivered yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outstanding {
    /// One of each stage that is on its way.
    coming: BTreeMap<Stage, ObjectId>,
    /// What could not be delivered, or waits for something else.
    failed: Vec<ObjectId>,
}

impl Outstanding {
    /// Collects objects that are not as declared; true for those that failed or wait for something else than their turn.
    pub fn of(objects: impl IntoIterator<Item = (ObjectId, bool)>) -> Self {
        let mut all = Self::default();
        for (id, failed) in objects {
            if failed {
                all.failed.push(id);
            } else {
                all.coming.entry(stage(&id.group_kind)).or_insert(id);
            }
        }
        all
    }

    /// What an object waits for: everything of the stages before its own that is still on its way, and of what failed only what it cannot
    /// do without: its namespace, and the definition of its kind.
    pub fn holds(&self, id: &ObjectId) -> Option<&ObjectId> {
        let mut before = self.coming.range(..stage(&id.group_kind));
        before
            .next()
            .map_or_else(|| self.needed(id), |(_, first)| Some(first))
    }

    /// What failed and an object cannot do without.
    pub fn needed(&self, id: &ObjectId) -> Option<&ObjectId> {
        self.failed.iter().find(|failed| needs(id, failed))
    }
}

/// True if one object cannot be before another is.
fn needs(one: &ObjectId, other: &ObjectId) -> bool {
    match stage(&other.group_kind) {
        Stage::Namespaces => one.namespace.as_deref() == Some(&*other.name),
        // A definition is called PLURAL.GROUP.
        Stage::Definitions => other
            .name
            .split_once('.')
            .is_some_and(|(_, group)| group == &*one.group_kind.group),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> ObjectId {
        ObjectId::new(GroupKind::new(group, kind), namespace, name)
    }

    fn all() -> Vec<ObjectId> {
        vec![
            id("", "Namespace", None, "shop"),
            id(
                "apiextensions.k8s.io",
                "CustomResourceDefinition",
                None,
                "widgets.example.com",
            ),
            id("rbac.authorization.k8s.io", "Role", Some("shop"), "r"),
            id("", "ConfigMap", Some("shop"), "c"),
            id("", "Service", Some("shop"), "s"),
            id("apps", "Deployment", Some("shop"), "d"),
            id(
                "admissionregistration.k8s.io",
                "ValidatingWebhookConfiguration",
                None,
                "w",
            ),
        ]
    }

    #[test]
    fn each_stage_waits_for_those_before_it_and_for_no_other() {
        let all = all();
        for (place, one) in all.iter().enumerate() {
            let coming = |from: usize| {
                let rest = all.iter().skip(from).cloned().map(|id| (id, false));
                Outstanding::of(rest)
            };
            assert_eq!(coming(place).holds(one), None, "{one}");
            let before = place.checked_sub(1);
            let held = before.map(|before| coming(before).holds(one).cloned());
            assert_eq!(held, before.map(|b| all.get(b).cloned()), "{one}");
        }
    }

    #[test]
    fn what_failed_holds_only_what_cannot_do_without_it() {
        let all = all();
        let failed = |n: usize| Outstanding::of([(all[n].clone(), true)]);
        let namespace = failed(0);
        assert!(namespace.holds(&all[5]).is_some());
        assert!(namespace.holds(&all[6]).is_none());
        assert!(
            namespace
                .holds(&id("", "ConfigMap", Some("other"), "c"))
                .is_none()
        );
        let definition = failed(1);
        assert!(
            definition
                .holds(&id("example.com", "Widget", Some("shop"), "w"))
                .is_some()
        );
        assert!(definition.holds(&all[5]).is_none());
        assert!(failed(3).holds(&all[5]).is_none());
    }
}
