//! Which declarations the server fills up alike.

use serde_json::Value;

use crate::subject::GroupVersionKind;

/// Texts of a workload that no defaulting reads, `*` being every member or element.
const WORKLOAD: &[&str] = &[
    "metadata/annotations/*",
    "metadata/labels/*",
    "spec/selector/matchLabels/*",
];

/// Texts of a Pod template that no defaulting reads.
/// Source: <https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/defaults.go>.
const TEMPLATE: &[&str] = &[
    "metadata/labels/*",
    "spec/volumes/*/configMap/name",
    "spec/volumes/*/secret/secretName",
    "spec/volumes/*/persistentVolumeClaim/claimName",
];

/// Texts of a container that no defaulting reads, by the same source.
const CONTAINER: &[&str] = &[
    "args/*",
    "command/*",
    "env/*/value",
    "env/*/valueFrom/configMapKeyRef/key",
    "env/*/valueFrom/configMapKeyRef/name",
    "env/*/valueFrom/secretKeyRef/key",
    "env/*/valueFrom/secretKeyRef/name",
    "envFrom/*/configMapRef/name",
    "envFrom/*/secretRef/name",
];

/// A digest of all of a declaration that what the server does on creation may depend on. Declarations of one shape get the same
/// defaults, as long as no admission webhook or policy sees them.
///
/// The name is left out for every kind: no defaulting reads it. For workloads, whose defaulting is known, texts that it does not
/// read are left out as well, and of an image all but the kind of its tag, which is what `imagePullPolicy` goes by. Source:
/// <https://kubernetes.io/docs/concepts/containers/images/#imagepullpolicy-defaulting>.
pub fn shape(kind: &GroupVersionKind, declared: &Value) -> u64 {
    let mut object = declared.clone();
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("name");
    }
    let templates: &[&str] = match (&*kind.group_kind.group, &*kind.group_kind.kind) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => &["spec/template"],
        ("batch", "CronJob") => &["spec/jobTemplate", "spec/jobTemplate/spec/template"],
        _ => &[],
    };
    if !templates.is_empty() {
        forget_all(&mut object, WORKLOAD);
    }
    for template in templates {
        each(&mut object, template, &mut |template| {
            forget_all(template, TEMPLATE);
            for containers in ["spec/containers/*", "spec/initContainers/*"] {
                each(template, containers, &mut |container| {
                    forget_all(container, CONTAINER);
                    if let Some(Value::String(image)) = container.get_mut("image") {
                        *image = tag_kind(image).to_owned();
                    }
                });
            }
        });
    }
    xxhash_rust::xxh3::xxh3_64(format!("{kind} {object}").as_bytes())
}

fn forget_all(value: &mut Value, places: &[&str]) {
    for place in places {
        each(value, place, &mut |text| {
            // An empty text is another matter: the server leaves some of them out.
            if let Value::String(text) = text
                && !text.is_empty()
            {
                "x".clone_into(text);
            }
        });
    }
}

/// Visits what is at a place, `*` being every member or element.
fn each(value: &mut Value, place: &str, visit: &mut dyn FnMut(&mut Value)) {
    let (step, rest) = match place.split_once('/') {
        Some((step, rest)) => (step, Some(rest)),
        None => (place, None),
    };
    let mut go = |value: &mut Value| match rest {
        Some(rest) => each(value, rest, visit),
        None => visit(value),
    };
    match (value, step) {
        (Value::Object(members), "*") => members.values_mut().for_each(go),
        (Value::Array(elements), "*") => elements.iter_mut().for_each(go),
        (Value::Object(members), step) => {
            if let Some(member) = members.get_mut(step) {
                go(member);
            }
        }
        _ => {}
    }
}

/// What `imagePullPolicy` defaults by.
fn tag_kind(image: &str) -> &'static str {
    if image.contains('@') {
        return "digest";
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        None | Some((_, "latest")) => "latest",
        Some(_) => "tag",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn web(name: &str, image: &str, port: i64, env: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "containers": [{"name": "web", "image": image, "args": [name], "ports": [{"containerPort": port}],
                    "env": [{"name": "HOST", "value": env}], "envFrom": [{"configMapRef": {"name": name}}]}],
                "volumes": [{"name": "config", "configMap": {"name": name}}]}}}})
    }

    #[test]
    fn only_what_defaulting_does_not_read_is_left_out_of_a_shape() {
        let kind = GroupVersionKind::new("apps", "v1", "Deployment");
        let of = |name, image, port, env| shape(&kind, &web(name, image, port, env));
        let first = of("a", "shop/web:1", 80, "a");
        assert_eq!(first, of("b", "other/thing:2", 80, "b"));
        assert_ne!(first, of("a", "shop/web", 80, "a"), "pulled always");
        assert_ne!(first, of("a", "shop/web:latest", 80, "a"), "pulled always");
        assert_ne!(first, of("a", "shop/web@sha256:0", 80, "a"));
        assert_eq!(
            of("a", "host:5000/web", 80, "a"),
            of("a", "web:latest", 80, "a"),
            "a port is no tag"
        );
        assert_ne!(first, of("a", "shop/web:1", 81, "a"));
        assert_ne!(first, of("a", "shop/web:1", 80, ""), "left out when stored");
    }

    #[test]
    fn of_other_kinds_only_the_name_is_left_out() {
        let service = GroupVersionKind::new("", "v1", "Service");
        let mut renamed = web("a", "x", 1, "e");
        renamed["metadata"]["name"] = "b".into();
        let of = |object: &Value| shape(&service, object);
        assert_eq!(of(&web("a", "x", 1, "e")), of(&renamed));
        assert_ne!(of(&web("a", "x", 1, "e")), of(&web("b", "x", 1, "e")));
    }
}
