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

/// What `imagePullPolicy` defaults by: `Always` for the tag `latest`, a digest beside it or not, and for neither tag nor digest;
/// `IfNotPresent` for all else, also for what is no reference. A text that servers of different versions may read differently stays as it is.
///
/// Sources: <https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/util/parsers/parsers.go>,
/// <https://github.com/distribution/reference/blob/main/normalize.go>.
fn tag_kind(image: &str) -> &str {
    const LONGEST: usize = 200;
    const OTHER: &str = "tag";
    let first = image.split(['/', '@']).next().unwrap_or_default();
    let odd_host = !is_host(first) && first.bytes().any(|b| b.is_ascii_uppercase());
    if image.is_empty() || image.len() > LONGEST || image.contains('[') || odd_host {
        return image;
    }
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) if is_host(host) => (Some(host), path),
        _ => (None, rest),
    };
    let (path, tag) = match path.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (path, None),
    };
    let is_reference = host.is_none_or(is_domain)
        && path.split('/').all(is_component)
        && digest.is_none_or(is_digest)
        // What reads as an identifier of an image is no name of one.
        && !(image.len() == 64 && image.bytes().all(is_low_hex));
    match (tag, digest) {
        (Some("latest"), _) | (None, None) if is_reference => "latest",
        _ => OTHER,
    }
}

/// True for what comes before the first `/` and is the name of a registry.
fn is_host(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost"
}

/// Names with dots between, and a port.
fn is_domain(text: &str) -> bool {
    let (names, port) = match text.split_once(':') {
        Some((names, port)) => (names, Some(port)),
        None => (text, None),
    };
    let is_name = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !name.is_empty()
            && !name.starts_with('-')
            && !name.ends_with('-')
    };
    names.split('.').all(is_name)
        && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// Small letters and digits, with one `.`, one or two `_` or any number of `-` between.
fn is_component(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut between = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.bytes().next().is_some_and(is_inner)
        && text.bytes().last().is_some_and(is_inner)
        && between.all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

/// An algorithm that is known, and as much as it gives.
fn is_digest(text: &str) -> bool {
    let long = match text.split_once(':') {
        Some(("sha256", hex)) => (hex, 64),
        Some(("sha384", hex)) => (hex, 96),
        Some(("sha512", hex)) => (hex, 128),
        _ => return false,
    };
    long.0.len() == long.1 && long.0.bytes().all(is_low_hex)
}

fn is_low_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
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

    #[test]
    fn a_digest_beside_the_tag_latest_was_of_the_shape_of_what_is_not_pulled_always() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for always in [
            "web",
            "shop/web:latest",
            "localhost/web",
            "Registry.example.com:5000/shop/web",
            "host/a__b/c--d.e",
            &format!("shop/web:latest@{digest}"),
        ] {
            assert_eq!(tag_kind(always), "latest", "{always}");
        }
        let identifier = "0a".repeat(32);
        for other in [
            "shop/web:1",
            "shop/web:latest-1",
            &format!("shop/web@{digest}"),
            &format!("shop/web:1@{digest}"),
            // No references.
            "shop/Web",
            "shop/web:latest@sha256:0",
            "shop//web:latest",
            "a___b",
            "a..b:latest",
            "web:",
            ":latest",
            "-host.example.com/web",
            "host:port/web",
            " web",
            "a/b:c/d",
            identifier.as_str(),
        ] {
            assert_eq!(tag_kind(other), "tag", "{other}");
        }
        // Read as an address of a registry only by newer versions.
        assert_eq!(tag_kind("[fd00::1]:5000/web"), "[fd00::1]:5000/web");
        assert_eq!(tag_kind("HOST/web"), "HOST/web");
        assert_eq!(tag_kind(""), "");
    }
}
