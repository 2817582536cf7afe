//! What deployers say of what they deployed last: evidence for the origin of differences that were there before Driftline was.
//!
//! What lies on an object only says where to ask ([`claims`]): anybody can write that. A deployer is believed where it lists the object
//! itself, and where it deploys what the target declares: the same path of the same repository, rendered from the same inputs.

pub mod argocd;
pub mod flux;
mod heals;

use std::collections::HashSet;

use serde_json::Value;

use crate::subject::{GroupKind, ObjectId, not_a_name, not_a_namespace};

/// Who claims to have deployed an object; those that are asked first come first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    /// An Application of Argo CD, which may be in any namespace where it names none.
    ArgoCD {
        /// Its namespace.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
    /// A Kustomization of Flux.
    Flux {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A release of Helm.
    Helm {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Who claims to have deployed a live object.
pub fn claims(live: &Value) -> Vec<Claim> {
    let Some(metadata) = live.get("metadata") else {
        return Vec::new();
    };
    let text = |map: &str, key: &str| metadata.get(map)?.get(key)?.as_str();
    let annotation = |key: &str| text("annotations", key);
    let label = |key: &str| text("labels", key);
    let tracked = annotation("argocd.argoproj.io/tracking-id")
        .and_then(|id| Some(id.split_once(':')?.0))
        .or_else(|| label("argocd.argoproj.io/instance"))
        .or_else(|| label("app.kubernetes.io/instance"));
    let flux = |key: &str| label(&format!("kustomize.toolkit.fluxcd.io/{key}"));
    let helm = |key: &str| annotation(&format!("meta.helm.sh/release-{key}"));
    let named = |namespace: Option<&str>, name: Option<&str>| {
        let (namespace, name) = (namespace?, name?);
        let valid = not_a_namespace(namespace).is_none() && is_name(name);
        valid.then(|| (namespace.to_owned(), name.to_owned()))
    };
    let all = [
        tracked.and_then(application),
        named(flux("namespace"), flux("name"))
            .map(|(namespace, name)| Claim::Flux { namespace, name }),
        named(helm("namespace"), helm("name"))
            .map(|(namespace, name)| Claim::Helm { namespace, name }),
    ];
    all.into_iter().flatten().collect()
}

/// Argo CD calls an Application that is not in its own namespace `namespace_name`.
fn application(instance: &str) -> Option<Claim> {
    let (namespace, name) = match instance.split_once('_') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, instance),
    };
    let valid = is_name(name) && namespace.is_none_or(|n| not_a_namespace(n).is_none());
    valid.then(|| Claim::ArgoCD {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    })
}

/// A name that can stand in a field selector as well as in a path.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    not_a_name(text).is_none() && text.bytes().all(plain)
}

/// What a target is rendered from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The repository's URL.
    pub url: &'a str,
    /// The path in it.
    pub path: &'a str,
    /// The namespace of what names none.
    pub namespace: &'a str,
    /// The name that a chart is rendered by.
    pub release: &'a str,
    /// The files with values for a chart.
    pub values_files: &'a [String],
    /// More values for a chart.
    pub values: &'a Value,
    /// The commit that is declared now.
    pub commit: &'a str,
}

/// What a deployer deployed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The commit.
    pub commit: String,
    /// The objects that it lists as its own.
    pub objects: HashSet<ObjectId>,
}

/// True if two URLs name one repository. By whichever protocol: a commit that only the other one had would not be found.
pub fn is_same_repository(a: &str, b: &str) -> bool {
    matches!((repository(a), repository(b)), (Some(a), Some(b)) if a == b)
}

/// Host and path of a repository, in small letters, without what may be left out.
fn repository(url: &str) -> Option<(String, String)> {
    let url = url.trim().to_ascii_lowercase();
    let (scheme, host, path) = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/')?;
            (scheme, host, path)
        }
        None => {
            let (host, path) = url.split_once(':')?;
            ("ssh", host, path)
        }
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => ":22",
    };
    let host = host.strip_suffix(usual).unwrap_or(host);
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!path.is_empty()).then(|| (host.to_owned(), path.to_owned()))
}

/// True if two paths lead to one folder of a repository.
pub fn is_same_path(a: &str, b: &str) -> bool {
    let names = |path: &str| -> Vec<String> {
        let names = path.split('/').filter(|n| !matches!(*n, "" | "."));
        names.map(str::to_owned).collect()
    };
    names(a) == names(b)
}

/// True for what says nothing: absent, null, or empty.
fn is_blank(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(all)) => all.is_empty(),
        Some(Value::Object(map)) => map.values().all(|v| is_blank(Some(v))),
        Some(Value::Bool(on)) => !on,
        Some(Value::Number(_)) => false,
    }
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    let at = path.iter().try_fold(value, |value, key| value.get(*key));
    at.and_then(Value::as_str).unwrap_or_default()
}

fn object(group: &str, kind: &str, namespace: &str, name: &str) -> Option<ObjectId> {
    let namespace = (!namespace.is_empty()).then_some(namespace);
    let whole = !kind.is_empty() && !name.is_empty();
    whole.then(|| ObjectId::new(GroupKind::new(group, kind), namespace, name))
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_lies_on_an_object_says_whom_to_ask() {
        let of = |metadata: Value| claims(&json!({"metadata": metadata}));
        let argo = |namespace: Option<&str>, name: &str| Claim::ArgoCD {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        let tracked = |id: &str| of(json!({"annotations": {"argocd.argoproj.io/tracking-id": id}}));
        assert_eq!(
            tracked("shop:apps/Deployment:shop/web"),
            [argo(None, "shop")]
        );
        assert_eq!(
            tracked("team_shop:/ConfigMap:shop/web"),
            [argo(Some("team"), "shop")]
        );
        assert_eq!(tracked("a,metadata.name=b:/ConfigMap:shop/web"), []);
        assert_eq!(tracked("../x:/ConfigMap:shop/web"), []);
        let labelled = of(json!({"labels": {"app.kubernetes.io/instance": "shop"}}));
        assert_eq!(labelled, [argo(None, "shop")]);
        let all = of(json!({
            "labels": {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
            "annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"},
        }));
        let (namespace, name) = ("flux-system".to_owned(), "shop".to_owned());
        let flux = Claim::Flux { namespace, name };
        let (namespace, name) = ("shop".to_owned(), "web".to_owned());
        assert_eq!(all, [flux, Claim::Helm { namespace, name }]);
        assert_eq!(
            of(json!({"annotations": {"meta.helm.sh/release-name": "web"}})),
            []
        );
    }

    #[test]
    fn one_repository_has_many_urls() {
        let base = "https://git.example.com/Shop/deploy.git";
        for same in [
            "https://git.example.com/shop/deploy",
            "https://git.example.com:443/shop/deploy/",
            "https://user:secret@GIT.example.com/shop/deploy.git",
            "git@git.example.com:shop/deploy.git",
            "ssh://git@git.example.com:22/shop/deploy.git",
        ] {
            assert!(is_same_repository(base, same), "{same}");
        }
        for other in [
            "https://git.example.com/shop/other.git",
            "https://git.example.org/shop/deploy.git",
            "https://git.example.com:8443/shop/deploy.git",
            "https://git.example.com/",
            "oci://git.example.com/",
            "",
        ] {
            assert!(!is_same_repository(base, other), "{other}");
        }
        assert!(!is_same_repository("", ""));
        assert!(is_same_path("./deploy//prod/", "deploy/prod") && is_same_path(".", ""));
        assert!(!is_same_path("deploy", "deploy/prod"));
    }
}
