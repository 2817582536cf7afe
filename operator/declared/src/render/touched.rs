//! Which fields of an object the transformers and patches of its kustomizations may have set. Rather too many than too few.

use std::collections::HashSet;

use serde_json::Value;

use super::origins::Origin;
use super::tree::join_path;
use super::yaml;
use crate::error::Error;

/// What may have been set elsewhere than in the object's own file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Nothing is certain.
    pub(super) all: bool,
    /// Everything below members of these names.
    pub(super) keys: HashSet<String>,
    /// The object's name, by something else than a prefix or a suffix.
    pub(super) renamed: bool,
}

impl Touched {
    /// By the transformations that kustomize lists for an object of `kind`, their files relative to `folder`.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn by(
        transformations: &[Origin],
        kind: &str,
        folder: &str,
        read: impl Fn(&str) -> Result<Option<String>, Error>,
    ) -> Result<Self, Error> {
        let mut touched = Self::default();
        let mut seen = HashSet::new();
        for transformation in transformations {
            touched.transformer(&transformation.configured_by.kind, kind);
            let file = transformation
                .configured_in
                .as_deref()
                .filter(|_| transformation.repo.is_none())
                .and_then(|path| join_path(folder, path));
            match file {
                Some(file) => {
                    if seen.insert(file.clone()) {
                        touched.kustomization(&file, kind, &read)?;
                    }
                }
                None => touched.all = true,
            }
            if touched.all {
                break;
            }
        }
        Ok(touched)
    }

    fn transformer(&mut self, transformer: &str, kind: &str) {
        let keys: &[&str] = match transformer {
            // What they set is never what it was before, or said in the kustomization, which is looked at apart.
            "PrefixTransformer"
            | "SuffixTransformer"
            | "HashTransformer"
            | "PatchTransformer"
            | "PatchStrategicMergeTransformer"
            | "PatchJson6902Transformer" => &[],
            "NamespaceTransformer" if kind == "Namespace" => {
                self.renamed = true;
                &["namespace", "name"]
            }
            "NamespaceTransformer" => &["namespace"],
            "LabelTransformer" => &[
                "labels",
                "matchLabels",
                "selector",
                "labelSelector",
                "podSelector",
            ],
            "AnnotationsTransformer" => &["annotations"],
            "ImageTagTransformer" => &["image"],
            "ReplicaCountTransformer" => &["replicas"],
            _ => {
                self.all = true;
                &[]
            }
        };
        self.keys.extend(keys.iter().map(|k| (*k).to_owned()));
    }

    fn kustomization(
        &mut self,
        file: &str,
        kind: &str,
        read: &impl Fn(&str) -> Result<Option<String>, Error>,
    ) -> Result<(), Error> {
        let values = read(file)?.and_then(|text| values(&text));
        let Some([kustomization]) = values.as_deref() else {
            self.all = true;
            return Ok(());
        };
        // These may set anything, anywhere.
        let anywhere = [
            "configurations",
            "transformers",
            "replacements",
            "openapi",
            "crds",
        ];
        let has = |key: &str| kustomization.get(key).is_some_and(|v| !v.is_null());
        let labelled = list(kustomization, "labels").any(|l| l.get("fields").is_some());
        if labelled || anywhere.into_iter().any(has) {
            self.all = true;
            return Ok(());
        }
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (member, inline) in [("patches", "patch"), ("patchesJson6902", "patch")] {
            for entry in list(kustomization, member) {
                let allowed =
                    |what: &str| entry.get("options").is_some_and(|o| o.get(what).is_some());
                self.renamed |= allowed("allowNameChange") || allowed("allowKindChange");
                let text = match (entry.get(inline), entry.get("path")) {
                    (Some(Value::String(text)), None) => Some(text.clone()),
                    (None, Some(Value::String(path))) => at(folder, path, read)?,
                    _ => None,
                };
                self.patches(text.as_deref(), entry.get("target"), kind);
            }
        }
        for entry in list(kustomization, "patchesStrategicMerge") {
            let text = match entry.as_str() {
                // Inline or a file, by its looks.
                Some(text) if text.contains('\n') => Some(text.to_owned()),
                Some(path) => at(folder, path, read)?,
                None => None,
            };
            self.patches(text.as_deref(), None, kind);
        }
        Ok(())
    }

    fn patches(&mut self, text: Option<&str>, target: Option<&Value>, kind: &str) {
        let Some(patches) = text.and_then(values) else {
            self.all = true;
            return;
        };
        for patch in &patches {
            match patch {
                Value::Array(operations) => {
                    if concerns(target.and_then(|t| t.get("kind")), kind) {
                        operations.iter().for_each(|o| self.operation(o));
                    }
                }
                Value::Object(_) => {
                    let named = target.map_or_else(|| patch.get("kind"), |t| t.get("kind"));
                    if concerns(named, kind) {
                        self.merged(patch, true);
                    }
                }
                _ => self.all = true,
            }
        }
    }

    /// A strategic merge patch. Lists are taken for set as a whole, because not every kind merges them.
    fn merged(&mut self, patch: &Value, top: bool) {
        let Value::Object(members) = patch else {
            return;
        };
        for (key, value) in members {
            let identity = top && matches!(key.as_str(), "apiVersion" | "kind");
            match value {
                _ if key.starts_with('$') => self.all = true,
                _ if identity => {}
                Value::Object(inner) if !inner.is_empty() => {
                    if top && key == "metadata" {
                        let rest = inner
                            .iter()
                            .filter(|(k, _)| !matches!(k.as_str(), "name" | "namespace"));
                        self.merged(
                            &Value::Object(rest.map(|(k, v)| (k.clone(), v.clone())).collect()),
                            false,
                        );
                    } else {
                        self.merged(value, false);
                    }
                }
                _ => {
                    self.keys.insert(key.clone());
                }
            }
        }
    }

    /// An operation of a JSON patch: what its pointer names, or the list whose element that is.
    fn operation(&mut self, operation: &Value) {
        let mut any = false;
        for pointer in ["path", "from"] {
            let Some(pointer) = operation.get(pointer).and_then(Value::as_str) else {
                continue;
            };
            self.renamed |= matches!(pointer, "/metadata/name" | "/metadata" | "/kind" | "");
            let named = pointer
                .rsplit('/')
                .find(|part| *part != "-" && part.parse::<u64>().is_err())
                .filter(|part| !part.is_empty());
            match named {
                Some(key) => {
                    any = true;
                    self.keys.insert(key.replace("~1", "/").replace("~0", "~"));
                }
                None => self.all = true,
            }
        }
        self.all |= !any;
    }
}

/// True unless a patch is for another kind. The kind of a target is a pattern.
fn concerns(named: Option<&Value>, kind: &str) -> bool {
    match named.and_then(Value::as_str) {
        Some(name) if !name.is_empty() && name.chars().all(char::is_alphanumeric) => name == kind,
        _ => true,
    }
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn at(
    folder: &str,
    path: &str,
    read: &impl Fn(&str) -> Result<Option<String>, Error>,
) -> Result<Option<String>, Error> {
    match join_path(folder, path) {
        Some(path) => read(&path),
        None => Ok(None),
    }
}

/// The documents of a text; `None` if one cannot be read.
fn values(text: &str) -> Option<Vec<Value>> {
    yaml::documents(text)
        .filter_map(|document| yaml::parse(document.text).transpose())
        .map(|node| Some(node.ok()?.into_value(0).0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(kustomization: &str, kind: &str) -> Touched {
        let transformation: Origin = serde_json::from_str(
            r#"{"configuredIn": "kustomization.yaml", "configuredBy": {"kind": "PatchTransformer"}}"#,
        )
        .unwrap();
        let read = |path: &str| {
            Ok(match path {
                "over/kustomization.yaml" => Some(kustomization.to_owned()),
                "over/p.yaml" => Some("kind: Deployment\nmetadata: {name: x, labels: {a: b}}\nspec: {replicas: 2, template: {spec: {containers: [{name: x}]}}}\n".to_owned()),
                _ => None,
            })
        };
        Touched::by(&[transformation], kind, "over", read).unwrap()
    }

    fn keys(kustomization: &str, kind: &str) -> String {
        let touched = touched(kustomization, kind);
        if touched.all {
            return "all".into();
        }
        let mut keys: Vec<_> = touched.keys.into_iter().collect();
        keys.sort();
        keys.join(" ")
    }

    #[test]
    fn a_patch_may_have_set_what_it_names_and_nothing_else() {
        for (kustomization, kind, expected) in [
            ("resources: [x]", "Service", ""),
            (
                "patches: [{path: p.yaml}]",
                "Deployment",
                "a containers replicas",
            ),
            ("patches: [{path: p.yaml}]", "Service", ""),
            (
                "patches: [{path: p.yaml, target: {name: x}}]",
                "Service",
                "a containers replicas",
            ),
            (
                "patches: [{path: p.yaml, target: {kind: Serv.*}}]",
                "Service",
                "a containers replicas",
            ),
            (
                "patchesStrategicMerge: [p.yaml]",
                "Deployment",
                "a containers replicas",
            ),
            (
                "patches: [{patch: '[{op: replace, path: /spec/ports/0/port, value: 1}, {op: add, path: /spec/list/-, value: 1}]', target: {kind: Service}}]",
                "Service",
                "list port",
            ),
            (
                "patches: [{patch: '[{op: add, path: /metadata/annotations/a~1b, value: 1}]'}]",
                "Service",
                "a/b",
            ),
            (
                "patches: [{patch: '[{op: replace, path: \"\", value: {}}]'}]",
                "Service",
                "all",
            ),
            (
                "patches: [{patch: '{kind: Service, spec: {$patch: replace, a: 1}}'}]",
                "Service",
                "all",
            ),
            ("patches: [{path: gone.yaml}]", "Service", "all"),
            ("replacements: [{path: r.yaml}]", "Service", "all"),
            (
                "labels: [{pairs: {a: b}, fields: [{path: spec/x}]}]",
                "Service",
                "all",
            ),
            ("a: b: c", "Service", "all"),
        ] {
            assert_eq!(keys(kustomization, kind), expected, "{kustomization}");
        }
    }

    #[test]
    fn a_transformer_that_is_not_known_may_have_set_anything() {
        let mut touched = Touched::default();
        touched.transformer("ReplacementTransformer", "Service");
        assert!(touched.all);
    }
}
