//! What a verdict is about: Kubernetes kinds and objects, by identity.

use std::fmt;
use std::sync::Arc;

/// A kind and its group, without a version: objects are identified without their version because the
/// same object is served in several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    /// The API group; empty for the core group.
    pub group: Arc<str>,
    /// The kind, for example `Deployment`.
    pub kind: Arc<str>,
}

impl GroupKind {
    /// A kind of a group; the empty group is the core group.
    pub fn new(group: &str, kind: &str) -> Self {
        Self {
            group: group.into(),
            kind: kind.into(),
        }
    }

    /// True for the core group's Secret, whose values never leave the redactor.
    pub fn is_secret(&self) -> bool {
        self.group.is_empty() && &*self.kind == "Secret"
    }
}

/// Written as in rules and records: `apps/Deployment`, core kinds without a slash.
impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}/{}", self.group, self.kind)
        }
    }
}

/// A kind in one version: the version it is declared in is the version it is compared in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersionKind {
    /// Group and kind.
    pub group_kind: GroupKind,
    /// The version, for example `v1`.
    pub version: Arc<str>,
}

impl GroupVersionKind {
    /// A kind of a group in a version.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self {
            group_kind: GroupKind::new(group, kind),
            version: version.into(),
        }
    }

    /// Reads an object's `apiVersion` and `kind`; `None` where the `apiVersion` has more than one slash
    /// or a part is empty.
    pub fn parse(api_version: &str, kind: &str) -> Option<Self> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let slash_only = api_version.contains('/') && group.is_empty();
        if version.is_empty() || kind.is_empty() || group.contains('/') || slash_only {
            return None;
        }
        Some(Self::new(group, version, kind))
    }

    /// The `apiVersion` as objects carry it: `apps/v1`, `v1`.
    pub fn api_version(&self) -> String {
        if self.group_kind.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group_kind.group, self.version)
        }
    }
}

impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.group_kind.kind)
    }
}

/// One object of a cluster, by identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Group and kind.
    pub group_kind: GroupKind,
    /// The namespace; `None` for cluster-scoped objects.
    pub namespace: Option<Arc<str>>,
    /// The name.
    pub name: Arc<str>,
}

impl ObjectId {
    /// An object by its parts.
    pub fn new(group_kind: GroupKind, namespace: Option<&str>, name: &str) -> Self {
        Self {
            group_kind,
            namespace: namespace.map(Into::into),
            name: name.into(),
        }
    }
}

/// Why a text is no name of an object, in words that do not repeat it; `None` if it is one. What names may hold differs
/// from kind to kind; this is what holds for all. The API server takes an escaped slash for a slash, so that such a name would
/// lead a request elsewhere.
///
/// Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#path-segment-names>.
pub fn not_a_name(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.len() > 253 {
        Some("has to be of 1 to 253 characters")
    } else if matches!(text, "." | "..") || text.contains(['/', '%']) {
        Some("may not be . or .. nor hold / or %")
    } else if text.chars().any(crate::redact::is_unprintable) {
        Some("may not hold control characters")
    } else {
        None
    }
}

/// Why a text is no name of a namespace, in words that do not repeat it; `None` if it is one.
pub fn not_a_namespace(text: &str) -> Option<&'static str> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let valid = text.len() <= 63
        && !text.is_empty()
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    (!valid).then_some(
        "has to be of at most 63 lower case letters, digits and -, beginning and ending with a letter or digit",
    )
}

/// Written as `apps/Deployment shop/web`, or `Namespace shop` where there is no namespace.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.group_kind, self.name),
            None => write!(f, "{} {}", self.group_kind, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_in_a_name_led_a_request_to_another_namespace() {
        for bad in [
            "",
            ".",
            "..",
            "../../secrets/x",
            "a%2fb",
            "a\n",
            "a\u{1b}[31m",
            "\u{202e}x",
            &"n".repeat(254),
        ] {
            assert!(not_a_name(bad).is_some(), "{bad:?}");
        }
        for good in ["web", "system:node", "a.b-c", "A_B"] {
            assert_eq!(not_a_name(good), None);
        }
        for bad in [
            "",
            "..",
            "a/../kube-system",
            "kube-system/secrets?x=",
            "A",
            "a.b",
            "-a",
            "a-",
            &"n".repeat(64),
        ] {
            assert!(not_a_namespace(bad).is_some(), "{bad:?}");
        }
        assert_eq!(not_a_namespace("kube-system"), None);
    }

    #[test]
    fn api_versions_round_trip() {
        for text in ["v1", "apps/v1", "networking.k8s.io/v1beta1"] {
            assert_eq!(
                GroupVersionKind::parse(text, "Thing")
                    .map(|g| g.api_version())
                    .as_deref(),
                Some(text)
            );
        }
        for bad in ["", "/v1", "a/b/v1", "apps/"] {
            assert_eq!(GroupVersionKind::parse(bad, "Thing"), None, "{bad:?}");
        }
        assert_eq!(GroupVersionKind::parse("v1", ""), None);
    }
}
