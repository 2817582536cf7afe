//! Orphans: objects that Git declared once, does not declare any more, and that are still there.

use serde_json::Value;

use crate::automation;
use crate::judge::{Finding, ObjectChange, Verdict};
use crate::origin::{Evidence, Origin};
use crate::subject::GroupKind;

/// Annotations by which a declaration says that its object is to stay when it is not declared any more.
const STAYS: &[(&str, &str)] = &[
    // https://helm.sh/docs/howto/charts_tips_and_tricks/#tell-helm-not-to-uninstall-a-resource
    ("helm.sh/resource-policy", "keep"),
    // https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#no-prune-resources
    ("argocd.argoproj.io/sync-options", "Prune=false"),
    // https://argo-cd.readthedocs.io/en/stable/user-guide/compare-options/#ignoring-resources-that-are-extraneous
    ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
    // https://fluxcd.io/flux/components/kustomize/kustomizations/#controlling-garbage-collection
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
];

/// True for what is no orphan when it is not declared any more: its declaration says that it stays, or it goes by itself.
pub fn is_left_on_purpose(kind: &GroupKind, declared: &Value) -> bool {
    let annotations = declared
        .get("metadata")
        .and_then(|m| m.get("annotations"))
        .and_then(Value::as_object);
    let says = |(key, value): &(&str, &str)| {
        let text = annotations
            .and_then(|a| a.get(*key))
            .and_then(Value::as_str);
        text.is_some_and(|t| t.split(',').any(|part| part.trim() == *value))
    };
    automation::is_hook(declared)
        || automation::may_be_gone(kind, declared)
        || STAYS.iter().any(says)
}

/// What is the matter with an orphan, by the verdict on its last declaration, and whether it is as that says.
pub fn orphaned(verdict: &Verdict, evidence: Option<Evidence>, live: &Value) -> (Finding, bool) {
    let (origin, evidence) = match verdict {
        Verdict::InSync => (Origin::GitAhead, evidence.or(Some(Evidence::Own))),
        Verdict::Unknown(_) => (Origin::Unknown, evidence),
        // Its removal is being rolled out.
        Verdict::Pending(f) | Verdict::Drifted(f) if f.change == ObjectChange::Terminating => {
            (Origin::GitAhead, evidence)
        }
        Verdict::Pending(f) | Verdict::Drifted(f) => match f.origin {
            Origin::LiveEdited | Origin::Diverged => (Origin::Diverged, f.evidence),
            other => (other, f.evidence),
        },
    };
    let as_declared = *verdict == Verdict::InSync;
    (finding(live, origin, evidence), as_declared)
}

/// The finding of an orphan.
pub fn finding(live: &Value, origin: Origin, evidence: Option<Evidence>) -> Finding {
    let text = |key: &str| Some(live.get("metadata")?.get(key)?.as_str()?.to_owned());
    Finding {
        change: ObjectChange::Orphaned,
        fields: Vec::new(),
        origin,
        evidence,
        uid: text("uid"),
        deleted_at: text("deletionTimestamp"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::judge::Unknown;

    #[test]
    fn an_orphan_that_was_edited_is_diverged_and_one_without_a_baseline_is_unknown() {
        let live = json!({"metadata": {"uid": "1"}});
        let origin = |verdict: Verdict| orphaned(&verdict, None, &live).0.origin;
        assert_eq!(origin(Verdict::InSync), Origin::GitAhead);
        assert_eq!(
            origin(Verdict::Unknown(Unknown::Unverified)),
            Origin::Unknown
        );
        for (edited, told) in [
            (Origin::LiveEdited, Origin::Diverged),
            (Origin::Diverged, Origin::Diverged),
            (Origin::GitAhead, Origin::GitAhead),
            (Origin::Unknown, Origin::Unknown),
        ] {
            let changed = Finding {
                change: ObjectChange::Changed,
                ..finding(&live, edited, None)
            };
            assert_eq!(origin(Verdict::Drifted(Box::new(changed))), told);
        }
    }

    #[test]
    fn what_a_declaration_says_is_to_stay_is_no_orphan() {
        let claim = GroupKind::new("", "PersistentVolumeClaim");
        let with = |key: &str, value: &str| json!({"metadata": {"annotations": {key: value}}});
        for object in [
            with("helm.sh/resource-policy", "keep"),
            with(
                "argocd.argoproj.io/sync-options",
                "Validate=false, Prune=false",
            ),
            with("helm.sh/hook", "pre-install"),
        ] {
            assert!(is_left_on_purpose(&claim, &object), "{object}");
        }
        let told = with("argocd.argoproj.io/sync-options", "Prune=true");
        assert!(!is_left_on_purpose(&claim, &told));
    }
}
