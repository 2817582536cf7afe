//! Kustomizations and HelmReleases of Flux (kustomize-controller and helm-controller, api/).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Skipped;
use super::argocd::{is_set, set_of};
use super::draft::{self, Draft, Origin};
use super::repository::{self, Follows, Repository};
use super::rules::{self, Rule};

/// What of a Kustomization changes what is applied, beyond what the repository's own kustomization says.
const OVERRIDES: [&str; 8] = [
    "patches",
    "images",
    "components",
    "namePrefix",
    "nameSuffix",
    "commonMetadata",
    "postBuild",
    "decryption",
];

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn origin(object: &Value, kind: &'static str) -> Origin {
    Origin {
        tool: "Flux",
        kind,
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
    }
}

/// A policy for a Kustomization, by the GitRepository that it names.
pub fn kustomization(object: &Value, repositories: &[Value]) -> Result<Draft, Skipped> {
    let mut draft = Draft::new(origin(object, "Kustomization"));
    let skipped = |why: String| Skipped {
        from: draft::from(&origin(object, "Kustomization")),
        why,
    };
    let spec = &object["spec"];
    if is_set(&spec["kubeConfig"]) {
        return Err(skipped(
            "it deploys to another cluster (spec.kubeConfig): adopt it there".to_owned(),
        ));
    }
    let (kind, name) = (text(spec, "/sourceRef/kind"), text(spec, "/sourceRef/name"));
    let namespace = match text(spec, "/sourceRef/namespace") {
        "" => text(object, "/metadata/namespace"),
        namespace => namespace,
    };
    if kind != "GitRepository" {
        return Err(skipped(format!(
            "its source is of kind {kind}, and policies read Git repositories only"
        )));
    }
    let is_it = |r: &&Value| {
        text(r, "/metadata/name") == name && text(r, "/metadata/namespace") == namespace
    };
    let Some(source) = repositories.iter().find(is_it) else {
        return Err(skipped(format!(
            "its GitRepository {namespace}/{name} is not there, or you may not read it"
        )));
    };
    draft.repository =
        Some(repository(source, &mut draft.left_out, &mut draft.hints).map_err(&skipped)?);
    let path = repository::path(text(spec, "/path")).map_err(&skipped)?;
    let mut kubernetes = Map::from_iter([("path".to_owned(), json!(path))]);
    let target = text(spec, "/targetNamespace");
    if !target.is_empty() {
        kubernetes.insert("namespace".to_owned(), json!(target));
        draft.left_out.push(
            "spec.targetNamespace: Flux puts all objects there, a policy only those that name no namespace; set it in the kustomization".to_owned(),
        );
    }
    let label = draft::label(&draft.origin.name, 63);
    draft
        .targets
        .push(json!({"name": label, "kubernetes": kubernetes}));
    for key in set_of(spec, &OVERRIDES) {
        draft.left_out.push(match key {
            "postBuild" => "spec.postBuild: variables are not replaced, so fields that hold them will differ; add rules, or put the values into Git".to_owned(),
            "decryption" => "spec.decryption: what is encrypted in Git is not compared".to_owned(),
            key => format!("spec.{key}: put it into the kustomization, which is rendered as it is in Git"),
        });
    }
    ignored(&spec["ignore"], "spec.ignore", &mut draft);
    if spec["suspend"] == true {
        draft.hints.push("the Kustomization is suspended: what it has not rolled out since is told as drift or pending".to_owned());
    } else {
        draft.hints.push(
            "Flux puts live edits back by itself at each interval; leave the policy at Observe"
                .to_owned(),
        );
    }
    Ok(draft)
}

fn repository(
    source: &Value,
    left_out: &mut Vec<String>,
    hints: &mut Vec<String>,
) -> Result<Repository, String> {
    let spec = &source["spec"];
    let (url, held) =
        repository::url(text(spec, "/url")).map_err(|why| format!("its GitRepository: {why}"))?;
    if held {
        left_out.push("the GitRepository's url holds credentials, which are not written: put them into a Secret and name it in spec.source.git.secretRef".to_owned());
    }
    if is_set(&spec["secretRef"]) {
        let secret = format!(
            "{}/{}",
            text(source, "/metadata/namespace"),
            text(spec, "/secretRef/name")
        );
        left_out.push(format!(
            "the GitRepository uses Secret {secret}, which is not read: put the same into a Secret of the policy's namespace and name it in spec.source.git.secretRef"
        ));
    }
    for (key, why) in [
        ("ignore", "files that it leaves out are read"),
        ("include", "other repositories are not put into it"),
        ("sparseCheckout", "the whole repository is read"),
        ("recurseSubmodules", "submodules are not followed"),
        ("verify", "signatures of commits are not checked"),
        ("proxySecretRef", "set worker.env of the chart"),
    ] {
        if is_set(&spec[key]) {
            left_out.push(format!("the GitRepository's spec.{key}: {why}"));
        }
    }
    let reference = &spec["ref"];
    // By Flux's own precedence: commit, name, semver, tag, branch.
    let named = text(reference, "/name");
    let follows = if is_set(&reference["commit"]) {
        let commit = text(reference, "/commit");
        let whole =
            matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
        if !whole {
            return Err(format!(
                "its GitRepository names the commit {commit:?}, which is no full hash"
            ));
        }
        Follows::Commit(commit.to_ascii_lowercase())
    } else if let Some(branch) = named.strip_prefix("refs/heads/") {
        Follows::Branch(branch.to_owned())
    } else if let Some(tag) = named.strip_prefix("refs/tags/") {
        Follows::Tag(tag.to_owned())
    } else if !named.is_empty() {
        return Err(format!(
            "its GitRepository follows {named}, which is neither a branch nor a tag"
        ));
    } else if is_set(&reference["semver"]) {
        Follows::Semver(text(reference, "/semver").to_owned())
    } else if is_set(&reference["tag"]) {
        Follows::Tag(text(reference, "/tag").to_owned())
    } else if is_set(&reference["branch"]) {
        Follows::Branch(text(reference, "/branch").to_owned())
    } else {
        hints.push("the GitRepository names no branch, which for Flux means master".to_owned());
        Follows::Branch("master".to_owned())
    };
    Ok(Repository { url, follows })
}

/// A policy for what Helm itself keeps of a HelmRelease.
pub fn helm_release(object: &Value) -> Result<Draft, Skipped> {
    let mut draft = Draft::new(origin(object, "HelmRelease"));
    let spec = &object["spec"];
    if is_set(&spec["kubeConfig"]) {
        return Err(Skipped {
            from: draft.from(),
            why: "it deploys to another cluster (spec.kubeConfig): adopt it there".to_owned(),
        });
    }
    let own = text(object, "/metadata/namespace");
    let target = text(spec, "/targetNamespace");
    let storage = text(spec, "/storageNamespace");
    // What was deployed is known best; a release that was not yet goes by Flux's rules.
    let deployed = &object["status"]["history"][0];
    let name = match (text(deployed, "/name"), text(spec, "/releaseName")) {
        ("", "") if target.is_empty() => draft.origin.name.clone(),
        ("", "") => format!("{target}-{}", draft.origin.name),
        ("", named) => named.to_owned(),
        (known, _) => known.to_owned(),
    };
    if name.len() > 53 {
        return Err(Skipped {
            from: draft.from(),
            why: "its release has no name yet that is known: adopt it once Flux has deployed it"
                .to_owned(),
        });
    }
    let kept = if storage.is_empty() { own } else { storage };
    let place = if target.is_empty() { own } else { target };
    if kept != place {
        draft.left_out.push(format!(
            "spec.storageNamespace: Helm keeps the release in {kept} and deploys it into {place}; objects whose manifest names no namespace are looked for in {kept}"
        ));
    }
    let label = draft::label(&draft.origin.name, 63);
    draft
        .targets
        .push(json!({"name": label, "helmRelease": {"name": name, "namespace": kept}}));
    let rules = spec
        .pointer("/driftDetection/ignore")
        .unwrap_or(&Value::Null);
    ignored(rules, "spec.driftDetection.ignore", &mut draft);
    draft.hints.push(format!(
        "the policy's account has to be allowed to get and list Secrets in {kept}, and the operator to act as it: examples/helm-release.yaml; with --service-account adopt names it"
    ));
    if spec["suspend"] == true {
        draft
            .hints
            .push("the HelmRelease is suspended: what Helm deployed last is compared".to_owned());
    }
    Ok(draft)
}

/// Rules with `paths` (JSON pointers) and a `target`.
fn ignored(entries: &Value, at: &str, draft: &mut Draft) {
    for (n, entry) in entries.as_array().into_iter().flatten().enumerate() {
        let at = format!("{at}[{n}]");
        let mut rule = match selected(&entry["target"]) {
            Ok(rule) => rule,
            Err(why) => {
                draft.left_out.push(format!("{at}.target: {why}"));
                continue;
            }
        };
        let paths: Vec<&str> = entry["paths"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut whole = false;
        for path in paths {
            match rules::pointer(path) {
                Ok((path, _)) if path.is_empty() => whole = true,
                Ok((field, wider)) => {
                    if wider {
                        draft.hints.push(format!("{at}: {path} names a place in a list; the rule is about any element of it"));
                    }
                    rule.fields.push(field);
                }
                Err(why) => draft.left_out.push(format!("{at}.paths: {why}")),
            }
        }
        if whole {
            rule.fields.clear();
        }
        if whole || !rule.fields.is_empty() {
            draft.rules.push(rule);
        }
    }
    draft.left_out.extend(rules::too_many(&draft.rules));
}

/// A selector of kustomize: its group, kind and name are regular expressions that have to match as a whole.
fn selected(target: &Value) -> Result<Rule, String> {
    if is_set(&target["annotationSelector"]) {
        return Err("rules do not go by annotations".to_owned());
    }
    if is_set(&target["namespace"]) {
        return Err(format!(
            "namespace {}: rules are for all namespaces of their targets; this one is left out, because it would ignore more",
            text(target, "/namespace")
        ));
    }
    let (group, kind) = (text(target, "/group"), text(target, "/kind"));
    // Without a group, any group is meant.
    let group = if group.is_empty() && !kind.is_empty() {
        "*"
    } else {
        group
    };
    Ok(Rule {
        kind: rules::kind(group, kind)?,
        name: glob(text(target, "/name"))?,
        labels: labels(text(target, "/labelSelector"))?,
        ..Rule::default()
    })
}

/// A name that is a regular expression, as a pattern with `*`.
fn glob(name: &str) -> Result<Option<String>, String> {
    let bare = name.strip_prefix('^').unwrap_or(name);
    let bare = bare.strip_suffix('$').unwrap_or(bare);
    // A star that stands behind anything but a point repeats that.
    let lone = bare.replace(".*", "").contains('*');
    let pattern = bare.replace(".*", "*").replace("\\.", ".");
    if lone
        || pattern.contains(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '*')))
    {
        return Err(format!(
            "the name {name:?} is a regular expression; write names with * and ?"
        ));
    }
    Ok(Some(pattern).filter(|p| !p.is_empty()))
}

fn labels(selector: &str) -> Result<BTreeMap<String, String>, String> {
    let mut labels = BTreeMap::new();
    for part in selector.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let pair = part.split_once("==").or_else(|| part.split_once('='));
        let plain = |text: &str| !text.is_empty() && !text.contains(['!', '(', ')', ' ', '=']);
        match pair.map(|(key, value)| (key.trim(), value.trim())) {
            Some((key, value)) if plain(key) && plain(value) => {
                labels.insert(key.to_owned(), value.to_owned());
            }
            _ => {
                return Err(format!(
                    "the label selector {part:?}: rules go by labels that equal a value"
                ));
            }
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Value {
        json!({"metadata": {"name": "shop", "namespace": "flux-system"},
            "spec": {"url": "https://h/a.git", "ref": {"branch": "main"}, "secretRef": {"name": "shop-git"}}})
    }

    fn kustomize(spec: &Value) -> Value {
        let mut object = json!({"metadata": {"name": "shop", "namespace": "flux-system"},
            "spec": {"path": "./deploy", "sourceRef": {"kind": "GitRepository", "name": "shop"}}});
        for (key, value) in spec.as_object().into_iter().flatten() {
            object["spec"][key] = value.clone();
        }
        object
    }

    #[test]
    fn a_kustomization_becomes_a_target_of_its_repository() {
        let object = kustomize(
            &json!({"targetNamespace": "shop", "postBuild": {"substitute": {"a": "b"}},
            "ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment", "name": "web-.*"}}]}),
        );
        let draft = kustomization(&object, &[source()])
            .map_err(|s| s.why)
            .expect("a draft");
        assert_eq!(
            draft.targets,
            [json!({"name": "shop", "kubernetes": {"path": "deploy", "namespace": "shop"}})]
        );
        let rules = rules::policy_rules(&draft.rules, "why");
        assert_eq!(
            rules[0]["match"],
            json!({"kinds": ["*/Deployment"], "names": ["web-*"], "fields": ["spec.replicas"]})
        );
        let said = draft.left_out.join("\n");
        for words in [
            "flux-system/shop-git",
            "spec.postBuild",
            "spec.targetNamespace",
        ] {
            assert!(said.contains(words), "{words} is not in {said}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_skipped_with_the_reason() {
        let why = |spec: Value, sources: &[Value]| {
            kustomization(&kustomize(&spec), sources)
                .err()
                .map(|s| s.why)
                .unwrap_or_default()
        };
        assert!(
            why(
                json!({"sourceRef": {"kind": "OCIRepository", "name": "x"}}),
                &[]
            )
            .contains("OCIRepository")
        );
        assert!(why(json!({}), &[]).contains("GitRepository flux-system/shop is not there"));
        assert!(
            why(
                json!({"kubeConfig": {"secretRef": {"name": "x"}}}),
                &[source()]
            )
            .contains("another cluster")
        );
        let mut pulls = source();
        pulls["spec"]["ref"] = json!({"name": "refs/pull/1/head"});
        assert!(why(json!({}), &[pulls]).contains("refs/pull/1/head"));
    }

    #[test]
    fn a_release_is_named_as_flux_names_it() {
        let release = |spec: Value, status: Value| {
            let object = json!({"metadata": {"name": "web", "namespace": "apps"}, "spec": spec, "status": status});
            let draft = helm_release(&object).map_err(|s| s.why).expect("a draft");
            draft.targets[0]["helmRelease"].clone()
        };
        assert_eq!(
            release(json!({}), Value::Null),
            json!({"name": "web", "namespace": "apps"})
        );
        assert_eq!(
            release(json!({"targetNamespace": "shop"}), Value::Null)["name"],
            "shop-web"
        );
        assert_eq!(
            release(
                json!({"releaseName": "x", "storageNamespace": "s"}),
                Value::Null
            ),
            json!({"name": "x", "namespace": "s"})
        );
        assert_eq!(
            release(json!({}), json!({"history": [{"name": "known"}]}))["name"],
            "known"
        );
    }

    #[test]
    fn selectors_that_say_more_than_rules_are_left_out() {
        for target in [
            json!({"kind": "Deployment", "name": "(a|b)"}),
            json!({"annotationSelector": "a=b"}),
            json!({"labelSelector": "a in (b)"}),
            json!({"kind": "Deployment", "namespace": "x"}),
        ] {
            assert!(selected(&target).is_err(), "{target}");
        }
        let rule =
            selected(&json!({"group": "apps", "kind": "Deployment", "labelSelector": "app=web"}))
                .expect("a rule");
        assert_eq!(rule.kind.as_deref(), Some("apps/Deployment"));
        assert_eq!(rule.labels.get("app").map(String::as_str), Some("web"));
    }
}
