//! What a HorizontalPodAutoscaler may set replicas to. Pure.

use drift::automation::ReplicaBounds;
use drift::{GroupKind, GroupVersionKind, ObjectId};
use serde_json::Value;

/// An autoscaler's namespace and name.
pub fn identity(autoscaler: &Value) -> (String, String) {
    let text = |key: &str| {
        let text = autoscaler
            .get("metadata")
            .and_then(|m| m.get(key)?.as_str());
        text.unwrap_or_default().to_owned()
    };
    (text("namespace"), text("name"))
}

/// What an autoscaler scales, and within which bounds.
///
/// Source: <https://kubernetes.io/docs/reference/kubernetes-api/autoscaling/horizontal-pod-autoscaler-v2/>.
pub fn scaled(autoscaler: &Value) -> Option<(ObjectId, ReplicaBounds)> {
    let spec = autoscaler.get("spec")?;
    let target = spec.get("scaleTargetRef")?;
    let api_version = target
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or("v1");
    let kind = GroupVersionKind::parse(api_version, target.get("kind")?.as_str()?)?;
    let GroupKind { group, kind } = kind.group_kind;
    let id = ObjectId::new(
        GroupKind { group, kind },
        Some(&identity(autoscaler).0),
        target.get("name")?.as_str()?,
    );
    let bounds = ReplicaBounds {
        min: spec.get("minReplicas").and_then(Value::as_i64).unwrap_or(1),
        max: spec.get("maxReplicas")?.as_i64()?,
    };
    Some((id, bounds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_autoscaler_tells_what_it_scales_and_how_far() {
        let hpa = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 6}});
        let (id, bounds) = scaled(&hpa).expect("scales");
        assert_eq!(
            id,
            ObjectId::new(GroupKind::new("apps", "Deployment"), Some("shop"), "web")
        );
        assert_eq!(bounds, ReplicaBounds { min: 1, max: 6 });
        assert_eq!(scaled(&json!({"metadata": {}, "spec": {}})), None);
    }
}
