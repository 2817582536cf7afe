//! What of that which was delivered once may go when Git does not declare it any more.

use crate::subject::{GroupKind, ObjectId};

/// So many objects go without being asked about, however few there are.
const FEW: usize = 3;

/// Whether objects may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// They may.
    Fine,
    /// Nothing would be left that is declared: the source may have vanished.
    Everything,
    /// More than half of what was delivered would go at once; somebody has to confirm it.
    TooMuch,
}

/// What it means to lose so many of the objects that were delivered, of which so many are there; `declared` counts what Git declares.
pub fn loss(going: usize, delivered: usize, declared: usize) -> Loss {
    if declared == 0 {
        Loss::Everything
    } else if going > FEW && going.saturating_mul(2) > delivered {
        Loss::TooMuch
    } else {
        Loss::Fine
    }
}

/// False for kinds whose deletion takes other objects or data with it: they stay until somebody deletes them.
pub fn may_go(kind: &GroupKind) -> bool {
    !matches!(
        (&*kind.group, &*kind.kind),
        (
            "",
            "Namespace" | "PersistentVolumeClaim" | "PersistentVolume"
        ) | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

/// The order in which objects go: that in which they came, backwards.
pub fn order(objects: &mut [ObjectId]) {
    objects.sort_by(|a, b| {
        let stage = |id: &ObjectId| super::stage(&id.group_kind);
        stage(b).cmp(&stage(a)).then_with(|| a.cmp(b))
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_objects_go_and_many_are_asked_about() {
        assert_eq!(loss(3, 3, 1), Loss::Fine);
        assert_eq!(loss(4, 8, 4), Loss::Fine);
        assert_eq!(loss(4, 7, 3), Loss::TooMuch);
        assert_eq!(loss(1, 1, 0), Loss::Everything);
    }

    #[test]
    fn what_holds_data_or_other_objects_stays() {
        assert!(!may_go(&GroupKind::new("", "Namespace")));
        assert!(may_go(&GroupKind::new("apps", "Deployment")));
    }

    proptest! {
        #[test]
        fn nothing_goes_when_nothing_is_declared_and_never_most_of_many(going in 0..200_usize, rest in 0..200_usize, declared in 0..3_usize) {
            let fine = loss(going, going + rest, declared) == Loss::Fine;
            prop_assert!(!fine || declared > 0);
            prop_assert!(!fine || going <= FEW || going <= rest);
        }

        #[test]
        fn what_came_last_goes_first(names in prop::collection::vec(0..7_usize, 0..20)) {
            let kinds = [("", "Namespace"), ("apiextensions.k8s.io", "X"), ("", "ServiceAccount"), ("", "ConfigMap"), ("", "Service"), ("apps", "Deployment"), ("admissionregistration.k8s.io", "X")];
            let mut all: Vec<ObjectId> = names.iter().map(|n| ObjectId::new(GroupKind::new(kinds[*n].0, kinds[*n].1), None, &n.to_string())).collect();
            order(&mut all);
            prop_assert!(all.is_sorted_by_key(|id| std::cmp::Reverse(super::super::stage(&id.group_kind))));
        }
    }
}
