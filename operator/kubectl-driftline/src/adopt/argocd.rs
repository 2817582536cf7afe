//! Applications of Argo CD (argo-cd/pkg/apis/application/v1alpha1/types.go).

use serde_json::{Map, Value, json};

use super::Skipped;
use super::draft::{self, Draft, Origin, TARGETS};
use super::jq;
use super::repository::{self, Repository};
use super::rules::{self, Rule};

/// What of a source changes what is rendered, and has no counterpart here.
const KUSTOMIZE: [&str; 15] = [
    "namePrefix",
    "nameSuffix",
    "images",
    "commonLabels",
    "commonAnnotations",
    "replicas",
    "patches",
    "components",
    "namespace",
    "forceCommonLabels",
    "labelWithoutSelector",
    "labelIncludeTemplates",
    "version",
    "kubeVersion",
    "apiVersions",
];
const HELM: [&str; 6] = [
    "fileParameters",
    "namespace",
    "kubeVersion",
    "apiVersions",
    "version",
    "skipSchemaValidation",
];
const DIRECTORY: [&str; 3] = ["include", "exclude", "jsonnet"];

/// Adopts an Application: a policy for each repository and revision that it names.
pub fn adopt(
    application: &Value,
    server: &str,
    drafts: &mut Vec<Draft>,
    skipped: &mut Vec<Skipped>,
) {
    let origin = origin(application);
    let from = draft::from(&origin);
    let mut skip = |why: String| {
        skipped.push(Skipped {
            from: from.clone(),
            why,
        })
    };
    let spec = &application["spec"];
    if let Err(why) = is_here(spec, server) {
        return skip(why);
    }
    let several = spec["sources"].as_array().filter(|s| !s.is_empty());
    let single = [spec["source"].clone()];
    let sources: &[Value] = several.map_or(&single, |s| s.as_slice());
    let synced = |n: usize| match several {
        Some(_) => application["status"]["sync"]["revisions"][n]
            .as_str()
            .unwrap_or_default(),
        None => text(application, "/status/sync/revision"),
    };
    let mut own: Vec<Draft> = Vec::new();
    let mut lost = Vec::new();
    for (n, source) in sources.iter().enumerate() {
        // A source with a name and no path only gives values to the others.
        if is_values_only(source) {
            continue;
        }
        match target(application, sources, n, synced(n)) {
            Ok(made) => place(&mut own, &origin, made),
            Err(why) if several.is_some() => lost.push(format!("spec.sources[{n}]: {why}")),
            Err(why) => return skip(why),
        }
    }
    if own.is_empty() {
        return skip(match lost.is_empty() {
            true => "it names no source".to_owned(),
            false => lost.join("; "),
        });
    }
    let count = own.len();
    for (part, draft) in own.iter_mut().enumerate() {
        draft.part = part;
        ignore_differences(spec, draft);
        options(spec, draft);
        if part == 0 {
            draft.left_out.append(&mut lost);
        }
        if count > 1 {
            draft.hints.push(format!(
                "it has sources of several repositories or revisions; this is policy {} of {count}",
                part + 1
            ));
        }
    }
    drafts.append(&mut own);
}

fn origin(application: &Value) -> Origin {
    Origin {
        tool: "Argo CD",
        kind: "Application",
        namespace: text(application, "/metadata/namespace").to_owned(),
        name: text(application, "/metadata/name").to_owned(),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What says something: not absent, null, empty or false.
pub fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(map) => map.values().any(is_set),
        _ => true,
    }
}

/// Those of these keys that say something, as one entry for each.
pub fn set_of<'a>(value: &'a Value, keys: &'a [&str]) -> impl Iterator<Item = &'a str> {
    keys.iter().copied().filter(|key| is_set(&value[*key]))
}

fn is_here(spec: &Value, server: &str) -> Result<(), String> {
    let destination = &spec["destination"];
    let (named, url) = (text(destination, "/name"), text(destination, "/server"));
    let here = match url {
        "" => named == "in-cluster",
        url => {
            let url = url.trim_end_matches('/');
            url == "https://kubernetes.default.svc" || url == server.trim_end_matches('/')
        }
    };
    if here {
        return Ok(());
    }
    let to = if url.is_empty() { named } else { url };
    Err(format!(
        "it deploys to another cluster ({to}): adopt it there"
    ))
}

fn is_values_only(source: &Value) -> bool {
    is_set(&source["ref"]) && !is_set(&source["path"]) && !is_set(&source["chart"])
}

/// A target, its repository, and what was noticed.
struct Made {
    repository: Repository,
    target: Value,
    left_out: Vec<String>,
    hints: Vec<String>,
}

fn target(application: &Value, sources: &[Value], n: usize, synced: &str) -> Result<Made, String> {
    let Some(source) = sources.get(n) else {
        return Err("it names no source".to_owned());
    };
    let (mut left_out, mut hints) = (Vec::new(), Vec::new());
    let named = text(source, "/repoURL");
    if is_set(&source["chart"]) {
        return Err(format!(
            "chart {} comes from a chart repository, and policies render charts of Git repositories only",
            text(source, "/chart")
        ));
    }
    if is_set(&source["plugin"]) {
        return Err("a plugin renders it (source.plugin)".to_owned());
    }
    if named.is_empty() {
        return Err("it names no repository (repoURL)".to_owned());
    }
    let (url, held) = repository::url(named).map_err(|why| format!("repoURL: {why}"))?;
    if held {
        left_out.push("repoURL holds credentials, which are not written: put them into a Secret and name it in spec.source.git.secretRef".to_owned());
    } else {
        hints.push("if the repository is private, put what opens it into a Secret of the policy's namespace and name it in spec.source.git.secretRef (Argo CD's own are not read)".to_owned());
    }
    let (follows, note) = repository::follows(text(source, "/targetRevision"), synced)?;
    left_out.extend(note);
    let path = repository::path(text(source, "/path"))?;
    let mut kubernetes = Map::from_iter([("path".to_owned(), json!(path))]);
    let namespace = text(application, "/spec/destination/namespace");
    if !namespace.is_empty() {
        kubernetes.insert("namespace".to_owned(), json!(namespace));
    }
    let kind = text(application, "/status/sourceType");
    let is_helm = is_set(&source["helm"]) || kind == "Helm";
    if is_helm {
        let helm = helm(application, sources, n, &url, &path, &mut left_out);
        kubernetes.insert("helm".to_owned(), helm);
        left_out.extend(
            set_of(&source["helm"], &HELM)
                .map(|key| format!("source.helm.{key}: charts are rendered without it")),
        );
    }
    left_out.extend(set_of(&source["kustomize"], &KUSTOMIZE).map(|key| {
        format!("source.kustomize.{key}: put it into the kustomization, which is rendered as it is in Git")
    }));
    left_out.extend(set_of(&source["directory"], &DIRECTORY).map(|key| {
        format!("source.directory.{key}: all YAML and JSON files below the path are read")
    }));
    if kind == "Directory" && !source["directory"]["recurse"].as_bool().unwrap_or(false) {
        hints.push("Argo CD reads only the files directly in the path; a policy reads its folders, too: if there are any, name a folder without".to_owned());
    }
    let name = match sources.len() {
        1 => text(application, "/metadata/name").to_owned(),
        _ if is_set(&source["name"]) => text(source, "/name").to_owned(),
        _ => format!("source-{n}"),
    };
    Ok(Made {
        repository: Repository { url, follows },
        target: json!({"name": draft::label(&name, 63), "kubernetes": kubernetes}),
        left_out,
        hints,
    })
}

/// Targets of one repository and revision are in one policy.
fn place(drafts: &mut Vec<Draft>, origin: &Origin, made: Made) {
    let is_it = |d: &&mut Draft| {
        d.repository.as_ref() == Some(&made.repository) && d.targets.len() < TARGETS
    };
    let draft = match drafts.iter_mut().find(is_it) {
        Some(draft) => draft,
        None => {
            let mut draft = Draft::new(origin.clone());
            draft.repository = Some(made.repository);
            drafts.push(draft);
            match drafts.last_mut() {
                Some(draft) => draft,
                None => return,
            }
        }
    };
    draft.targets.push(made.target);
    for (lines, more) in [
        (&mut draft.left_out, made.left_out),
        (&mut draft.hints, made.hints),
    ] {
        for line in more {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
}

fn helm(
    application: &Value,
    sources: &[Value],
    n: usize,
    url: &str,
    path: &str,
    left_out: &mut Vec<String>,
) -> Value {
    let helm = &sources[n]["helm"];
    let mut made = Map::new();
    let release = match text(helm, "/releaseName") {
        "" => text(application, "/metadata/name"),
        name => name,
    };
    if release.len() <= 53 {
        made.insert("releaseName".to_owned(), json!(release));
    } else {
        left_out.push(format!(
            "source.helm.releaseName: {release} is longer than the 53 characters that Helm takes"
        ));
    }
    let mut files = Vec::new();
    for file in helm["valueFiles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        match values_file(file, sources, url, path) {
            Ok(file) => files.push(file),
            Err(why) => left_out.push(format!(
                "source.helm.valueFiles: {}: {why}",
                drift::redact::text(file)
            )),
        }
    }
    if !files.is_empty() {
        made.insert("valuesFiles".to_owned(), json!(files));
    }
    let mut values = match &helm["valuesObject"] {
        Value::Object(map) if !map.is_empty() => Value::Object(map.clone()),
        _ => match serde_saphyr::from_str::<Value>(text(helm, "/values")) {
            Ok(value @ Value::Object(_)) => value,
            Ok(_) => json!({}),
            Err(_) => {
                left_out.push("source.helm.values: it is no YAML".to_owned());
                json!({})
            }
        },
    };
    for parameter in helm["parameters"].as_array().into_iter().flatten() {
        let name = text(parameter, "/name");
        let value = text(parameter, "/value");
        if name.contains(['[', '\\', '{', ','])
            || name.is_empty()
            || value.starts_with('{')
            || value.contains("$ARGOCD_")
        {
            left_out.push(format!(
                "source.helm.parameters: {name}: write it into spec.targets.kubernetes.helm.values"
            ));
            continue;
        }
        let value = match parameter["forceString"].as_bool() {
            Some(true) => json!(value),
            _ => typed(value),
        };
        put(&mut values, name, value);
    }
    let mut secret = Vec::new();
    withhold(&mut values, "", &mut secret);
    left_out.extend(secret.into_iter().map(|path| {
        format!("source.helm values, {path}: it looks like a secret and is not written; have the chart take it from a Secret")
    }));
    if is_set(&values) {
        made.insert("values".to_owned(), values);
    }
    Value::Object(made)
}

/// As `helm --set` reads it.
fn typed(text: &str) -> Value {
    match text {
        "true" => json!(true),
        "false" => json!(false),
        "null" => Value::Null,
        // A leading zero makes it a text for Helm, too.
        digits if digits.len() < 2 || !digits.starts_with('0') => match digits.parse::<i64>() {
            Ok(number) => json!(number),
            Err(_) => json!(text),
        },
        _ => json!(text),
    }
}

fn put(values: &mut Value, name: &str, value: Value) {
    let mut at = values;
    let mut keys = name.split('.').peekable();
    while let Some(key) = keys.next() {
        if !at.is_object() {
            *at = json!({});
        }
        let Value::Object(map) = at else { return };
        if keys.peek().is_none() {
            map.insert(key.to_owned(), value);
            return;
        }
        at = map.entry(key.to_owned()).or_insert(Value::Null);
    }
}

/// Takes out what is named or looks like a credential.
fn withhold(value: &mut Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let name = map.get("name").and_then(Value::as_str);
            let is_of_secret = name.is_some_and(drift::redact::is_credential_name);
            map.retain(|key, below| {
                let here = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                let is_plain = |v: &Value| v.is_string() || v.is_number();
                let plain: Vec<&Value> = match &*below {
                    Value::Array(all) => all.iter().filter(|v| is_plain(v)).collect(),
                    one => Some(one)
                        .filter(|v| is_plain(v) && is_set(v))
                        .into_iter()
                        .collect(),
                };
                let is_named =
                    drift::redact::is_credential_name(key) || (is_of_secret && key == "value");
                if plain
                    .iter()
                    .any(|v| is_named || drift::redact::holds_credential(v))
                {
                    found.push(here);
                    return false;
                }
                withhold(below, &here, found);
                true
            });
        }
        Value::Array(all) => all
            .iter_mut()
            .for_each(|below| withhold(below, &format!("{at}[]"), found)),
        _ => {}
    }
}

/// A values file relative to the chart.
fn values_file(file: &str, sources: &[Value], url: &str, chart: &str) -> Result<String, String> {
    if file.contains("://") {
        return Err("files that are not in the repository are not read".to_owned());
    }
    let below_root = match file.strip_prefix('$') {
        Some(rest) => {
            let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
            let of = sources.iter().find(|s| text(s, "/ref") == name);
            let of = of.ok_or_else(|| format!("no source is called {name}"))?;
            let same = repository::url(text(of, "/repoURL")).is_ok_and(|(other, _)| other == url);
            if !same {
                return Err("it lies in another repository than the chart".to_owned());
            }
            path.to_owned()
        }
        None => match file.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => return Ok(file.to_owned()),
        },
    };
    let depth = chart.split('/').filter(|p| !matches!(*p, "" | ".")).count();
    Ok(format!("{}{below_root}", "../".repeat(depth)))
}

fn ignore_differences(spec: &Value, draft: &mut Draft) {
    let destination = text(spec, "/destination/namespace");
    for (n, entry) in spec["ignoreDifferences"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let at = format!("spec.ignoreDifferences[{n}]");
        let kind = match rules::kind(text(entry, "/group"), text(entry, "/kind")) {
            Ok(kind) => kind,
            Err(why) => {
                draft.left_out.push(format!("{at}: {why}"));
                continue;
            }
        };
        let namespace = text(entry, "/namespace");
        if !namespace.is_empty() && namespace != destination {
            draft.left_out.push(format!("{at}.namespace: rules are for all namespaces of their targets; this one is left out, because it would ignore more"));
            continue;
        }
        let mut rule = Rule {
            kind,
            name: Some(text(entry, "/name").to_owned()).filter(|n| !n.is_empty()),
            ..Rule::default()
        };
        let texts = |key: &str| -> Vec<&str> {
            entry[key]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect()
        };
        let mut whole = false;
        for pointer in texts("jsonPointers") {
            match rules::pointer(pointer) {
                Ok((path, _)) if path.is_empty() => whole = true,
                Ok((path, wider)) => {
                    if wider {
                        draft.hints.push(format!("{at}: {pointer} names a place in a list; the rule is about any element of it"));
                    }
                    rule.fields.push(path);
                }
                Err(why) => draft.left_out.push(format!("{at}.jsonPointers: {why}")),
            }
        }
        for expression in texts("jqPathExpressions") {
            match jq::path(expression) {
                Ok(path) => rule.fields.push(path),
                Err(why) => draft
                    .left_out
                    .push(format!("{at}.jqPathExpressions: {why}")),
            }
        }
        let managers = texts("managedFieldsManagers");
        if !managers.is_empty() {
            draft.left_out.push(format!(
                "{at}.managedFieldsManagers ({}): a manager's name is whatever a client calls itself, so no rule goes by it; name the fields. \
                 What controllers write themselves is no drift anyway (docs/never-drift.md)",
                managers.join(", ")
            ));
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

fn options(spec: &Value, draft: &mut Draft) {
    if spec.pointer("/syncPolicy/automated/selfHeal") == Some(&json!(true)) {
        draft.hints.push(
            "Argo CD puts live edits back by itself (selfHeal); leave the policy at Observe"
                .to_owned(),
        );
    }
    let ignores = spec.pointer("/syncPolicy/managedNamespaceMetadata");
    if ignores.is_some_and(is_set) {
        draft.left_out.push("spec.syncPolicy.managedNamespaceMetadata: labels and annotations that Argo CD puts on the namespace are not in Git".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::repository::Follows;

    fn adopted(spec: Value) -> (Vec<Draft>, Vec<Skipped>) {
        let application =
            json!({"metadata": {"name": "shop", "namespace": "argocd"}, "spec": spec});
        let (mut drafts, mut skipped) = (Vec::new(), Vec::new());
        adopt(&application, "https://10.0.0.1", &mut drafts, &mut skipped);
        (drafts, skipped)
    }

    fn here() -> Value {
        json!({"server": "https://kubernetes.default.svc", "namespace": "shop"})
    }

    #[test]
    fn one_source_becomes_one_target() {
        let source = json!({"repoURL": "https://u:canary@h/a.git", "path": "./deploy", "targetRevision": "main",
            "helm": {"valueFiles": ["prod.yaml", "/common.yaml"], "values": "a: 1\ndb: {password: canary}\n",
                "parameters": [{"name": "image.tag", "value": "1.2"}, {"name": "n", "value": "3"}, {"name": "l[0]", "value": "x"}]}});
        let (drafts, skipped) = adopted(json!({"source": source, "destination": here()}));
        assert!(skipped.is_empty());
        let draft = &drafts[0];
        let repository = draft.repository.as_ref().expect("a repository");
        assert_eq!(
            (repository.url.as_str(), &repository.follows),
            ("https://h/a.git", &Follows::Branch("main".into()))
        );
        assert_eq!(
            draft.targets[0],
            json!({"name": "shop", "kubernetes": {"path": "deploy", "namespace": "shop", "helm": {
                "releaseName": "shop", "valuesFiles": ["prod.yaml", "../common.yaml"],
                "values": {"a": 1, "db": {}, "image": {"tag": "1.2"}, "n": 3}}}})
        );
        let said = draft.left_out.join("\n");
        assert!(
            said.contains("repoURL holds credentials")
                && said.contains("db.password")
                && said.contains("l[0]"),
            "{said}"
        );
        assert!(!format!("{drafts:?}").contains("canary"));
    }

    #[test]
    fn sources_of_one_repository_share_a_policy_and_values_are_found_across() {
        let sources = json!([
            {"repoURL": "https://h/a.git", "targetRevision": "main", "path": "charts/web", "helm": {"valueFiles": ["$values/envs/prod.yaml", "$other/x.yaml"]}},
            {"repoURL": "https://h/a.git", "targetRevision": "main", "ref": "values"},
            {"repoURL": "https://h/b.git", "targetRevision": "main", "ref": "other"},
            {"repoURL": "https://h/a.git", "targetRevision": "main", "path": "extra"},
            {"repoURL": "https://h/b.git", "targetRevision": "v1.0.0", "path": "."},
            {"repoURL": "https://charts.example.com", "targetRevision": "1.0.0", "chart": "redis"},
        ]);
        let (drafts, skipped) = adopted(json!({"sources": sources, "destination": here()}));
        assert!(skipped.is_empty());
        assert_eq!(drafts.len(), 2);
        assert_eq!((drafts[0].targets.len(), drafts[1].targets.len()), (2, 1));
        assert_eq!(
            drafts[0].targets[0]["kubernetes"]["helm"]["valuesFiles"],
            json!(["../../envs/prod.yaml"])
        );
        let said = drafts[0].left_out.join("\n");
        assert!(
            said.contains("$other/x.yaml: it lies in another repository"),
            "{said}"
        );
        assert!(said.contains("spec.sources[5]: chart redis"), "{said}");
    }

    #[test]
    fn what_cannot_be_followed_is_skipped_with_the_reason() {
        let source = json!({"repoURL": "https://h/a.git", "path": ".", "targetRevision": "main"});
        let elsewhere =
            json!({"source": source, "destination": {"server": "https://other", "namespace": "x"}});
        assert!(
            adopted(elsewhere).1[0]
                .why
                .contains("another cluster (https://other)")
        );
        let by_address = json!({"source": source, "destination": {"server": "https://10.0.0.1/", "namespace": "x"}});
        assert_eq!(adopted(by_address).0.len(), 1);
        let chart = json!({"source": {"repoURL": "https://c", "chart": "redis", "targetRevision": "1"}, "destination": here()});
        assert!(adopted(chart).1[0].why.contains("chart repository"));
        let plugin = json!({"source": {"repoURL": "https://h/a", "path": ".", "plugin": {"name": "x"}}, "destination": here()});
        assert!(adopted(plugin).1[0].why.contains("plugin"));
        assert!(
            adopted(json!({"destination": here()})).1[0]
                .why
                .contains("names no")
        );
    }

    #[test]
    fn ignored_differences_become_rules() {
        let source = json!({"repoURL": "https://h/a.git", "path": ".", "targetRevision": "main"});
        let ignored = json!([
            {"group": "apps", "kind": "Deployment", "name": "web", "jsonPointers": ["/spec/replicas"], "jqPathExpressions": [".spec.template.spec.containers[] | select(.name == \"a\") | .image"]},
            {"kind": "ConfigMap", "jqPathExpressions": [".data | keys"]},
            {"group": "*", "kind": "*", "managedFieldsManagers": ["kube-controller-manager"]},
            {"kind": "Secret", "namespace": "other", "jsonPointers": ["/data"]},
        ]);
        let (drafts, _) =
            adopted(json!({"source": source, "destination": here(), "ignoreDifferences": ignored}));
        let rules = rules::policy_rules(&drafts[0].rules, "why");
        assert_eq!(
            rules,
            [
                json!({"match": {"kinds": ["apps/Deployment"], "names": ["web"],
                "fields": ["spec.replicas", "spec.template.spec.containers[name=a].image"]}, "ignore": {"reason": "why"}})
            ]
        );
        let said = drafts[0].left_out.join("\n");
        for words in [
            "[1].jqPathExpressions: .data | keys",
            "[2].managedFieldsManagers (kube-controller-manager)",
            "[3].namespace",
        ] {
            assert!(said.contains(words), "{words} is not in {said}");
        }
    }
}
