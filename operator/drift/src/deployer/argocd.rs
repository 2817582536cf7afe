//! Applications of Argo CD (argo-cd/pkg/apis/application/v1alpha1/types.go).
//!
//! `status.sync.revision` is the commit that was compared last, not the one that was synced. An entry of `status.history` is made for each
//! sync of all of an Application that succeeded; with `revisionHistoryLimit: 0` there is only `status.operationState`.

use serde_json::Value;

use super::{Deployed, Place, is_blank, is_commit, is_same_path, is_same_repository, object, text};
use crate::subject::ObjectId;

/// How Argo CD names the cluster that it runs in.
const HERE: (&str, &str) = ("https://kubernetes.default.svc", "in-cluster");

/// What an Application synced last; `None` where that is not certain, or where it renders something else than the target does.
pub fn deployed(application: &Value, place: Place<'_>) -> Option<Deployed> {
    if !is_here(application) {
        return None;
    }
    let status = application.get("status")?;
    let release = text(application, &["metadata", "name"]);
    let commit_of = |entry| commit(entry, status, release, place);
    let attempt = status.get("operationState").filter(|o| !is_dry_run(o));
    let result = attempt
        .and_then(|o| o.get("syncResult"))
        .filter(|r| !r.is_null());
    let history = status.get("history").and_then(Value::as_array);
    let synced = match history.and_then(|h| h.last()) {
        Some(last) => commit_of(last)?,
        None => commit_of(result.filter(|_| attempt.is_some_and(is_whole))?)?,
    };
    // A later attempt that failed, or is under way, or was of some objects only, may have changed any of them.
    let attempted = result.map(commit_of);
    if attempted.is_some_and(|a| a != Some(synced) && a != Some(place.commit)) {
        return None;
    }
    status.get("resources")?;
    let own = resources(application).filter(|r| is_blank(r.get("hook")));
    Some(Deployed {
        commit: synced.to_owned(),
        objects: own.filter_map(object_of).collect(),
    })
}

/// True for an Application that deploys to the cluster in which it lies.
pub(crate) fn is_here(application: &Value) -> bool {
    let destination = |key| text(application, &["spec", "destination", key]);
    match destination("server") {
        "" => destination("name") == HERE.1,
        server => server.trim_end_matches('/') == HERE.0,
    }
}

/// What an Application lists as declared: what is to be pruned is not any more.
pub(crate) fn resources(application: &Value) -> impl Iterator<Item = &Value> {
    let listed = application.pointer("/status/resources");
    let listed = listed.and_then(Value::as_array).into_iter().flatten();
    listed.filter(|r| is_blank(r.get("requiresPruning")))
}

/// The object of an entry of an Application's lists.
pub(crate) fn object_of(entry: &Value) -> Option<ObjectId> {
    let part = |key| text(entry, &[key]);
    object(part("group"), part("kind"), part("namespace"), part("name"))
}

fn is_dry_run(operation: &Value) -> bool {
    let sync = |key| operation.get("operation")?.get("sync")?.get(key);
    !is_blank(sync("dryRun"))
}

fn is_whole(operation: &Value) -> bool {
    let sync = |key| operation.get("operation")?.get("sync")?.get(key);
    text(operation, &["phase"]) == "Succeeded" && is_blank(sync("resources"))
}

/// The commit of the target's place in an entry of the history or the result of an operation, which have one source or several.
fn commit<'a>(
    entry: &'a Value,
    status: &Value,
    release: &str,
    place: Place<'_>,
) -> Option<&'a str> {
    let list = |key| {
        entry
            .get(key)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    let several = list("sources").iter().zip(list("revisions"));
    let one = entry.get("source").into_iter().zip(entry.get("revision"));
    let of_place = |(source, _): &(&Value, &Value)| {
        is_same_repository(text(source, &["repoURL"]), place.url)
            && is_same_path(text(source, &["path"]), place.path)
    };
    let found = if list("sources").is_empty() {
        one.into_iter().find(of_place)
    } else {
        several.into_iter().find(of_place)
    };
    let (source, revision) = found?;
    let revision = revision.as_str().filter(|r| is_commit(r))?;
    is_rendered_alike(source, status, release, place).then_some(revision)
}

/// Nothing goes into what Argo CD renders that the target does not name too.
fn is_rendered_alike(source: &Value, status: &Value, name: &str, place: Place<'_>) -> bool {
    let part = |of: &str, key: &str| source.get(of)?.get(key);
    let kustomize = source.get("kustomize").and_then(Value::as_object);
    let mut overrides = kustomize
        .into_iter()
        .flatten()
        .filter(|(k, _)| *k != "version");
    if !is_blank(source.get("chart"))
        || !is_blank(source.get("plugin"))
        || overrides.any(|(_, v)| !is_blank(Some(v)))
    {
        return false;
    }
    let types = status.get("sourceTypes").and_then(Value::as_array);
    let types = types.into_iter().flatten().chain(status.get("sourceType"));
    let is = |kind: &str| types.clone().any(|t| t == kind);
    if is("Plugin") {
        return false;
    }
    let no_chart = !is("Helm") && is_blank(source.get("helm"));
    let release = match text(source, &["helm", "releaseName"]) {
        "" => name,
        release => release,
    };
    let files = part("helm", "valueFiles").and_then(Value::as_array);
    let files = files.map_or(&[][..], Vec::as_slice);
    let more = [
        "parameters",
        "fileParameters",
        "values",
        "namespace",
        "ignoreMissingValueFiles",
    ];
    let values = part("helm", "valuesObject");
    let same_values =
        values == Some(place.values) || is_blank(values) && is_blank(Some(place.values));
    let alike = release == place.release
        && files
            .iter()
            .map(Value::as_str)
            .eq(place.values_files.iter().map(|f| Some(f.as_str())))
        && more.iter().all(|key| is_blank(part("helm", key)))
        && same_values;
    no_chart || alike
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sha(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn application(change: impl FnOnce(&mut Value)) -> Value {
        let source = json!({"repoURL": "https://git.example.com/shop/deploy", "path": "deploy", "targetRevision": "main"});
        let mut application = json!({
            "metadata": {"name": "shop", "namespace": "argocd"},
            "spec": {"destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"}, "source": source, "project": "default"},
            "status": {
                "sourceType": "Directory",
                "sync": {"status": "OutOfSync", "revision": sha('c')},
                "history": [
                    {"id": 0, "revision": sha('a'), "deployedAt": "2026-01-01T00:00:00Z", "source": source},
                    {"id": 1, "revision": sha('b'), "deployedAt": "2026-01-02T00:00:00Z", "source": source},
                ],
                "operationState": {
                    "phase": "Succeeded", "operation": {"sync": {"revision": sha('b')}},
                    "syncResult": {"revision": sha('b'), "source": source, "resources": []},
                },
                "resources": [
                    {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "web", "status": "OutOfSync"},
                    {"version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "old", "status": "OutOfSync", "requiresPruning": true},
                ],
            },
        });
        change(&mut application);
        application
    }

    fn commit_now(now: char, change: impl FnOnce(&mut Value)) -> Option<char> {
        let place = Place {
            url: "git@git.example.com:shop/deploy.git",
            path: "deploy/",
            namespace: "shop",
            release: "app",
            values_files: &[],
            values: &json!({}),
            commit: &sha(now),
        };
        deployed(&application(change), place)?.commit.chars().next()
    }

    #[test]
    fn what_was_synced_last_is_not_what_was_compared_last() {
        assert_eq!(commit_now('c', |_| {}), Some('b'));
        let place = Place {
            url: "https://git.example.com/shop/deploy",
            path: "deploy",
            namespace: "shop",
            release: "app",
            values_files: &[],
            values: &json!({}),
            commit: &sha('c'),
        };
        let listed = deployed(&application(|_| {}), place)
            .expect("believed")
            .objects;
        let web = object("apps", "Deployment", "shop", "web");
        assert_eq!(listed.into_iter().map(Some).collect::<Vec<_>>(), [web]);
        // No history is kept.
        assert_eq!(
            commit_now('c', |a| a["status"]["history"] = json!([])),
            Some('b')
        );
        let partly = |a: &mut Value| {
            a["status"]["history"] = json!([]);
            a["status"]["operationState"]["operation"]["sync"]["resources"] =
                json!([{"kind": "ConfigMap", "name": "x"}]);
        };
        assert_eq!(commit_now('c', partly), None);
        assert_eq!(commit_now('c', |a| a["status"] = json!({})), None);
    }

    #[test]
    fn an_attempt_at_another_commit_may_have_changed_anything() {
        let attempt = |phase: &'static str, at: char| {
            move |a: &mut Value| {
                a["status"]["operationState"]["phase"] = json!(phase);
                a["status"]["operationState"]["syncResult"]["revision"] = json!(sha(at));
            }
        };
        assert_eq!(commit_now('d', attempt("Failed", 'c')), None);
        assert_eq!(commit_now('d', attempt("Running", 'c')), None);
        // At the commit that is declared now: what it changed is as declared.
        assert_eq!(commit_now('c', attempt("Failed", 'c')), Some('b'));
        let dry = |a: &mut Value| {
            attempt("Succeeded", 'c')(a);
            a["status"]["operationState"]["operation"]["sync"]["dryRun"] = json!(true);
        };
        assert_eq!(commit_now('d', dry), Some('b'));
    }

    #[test]
    fn what_is_rendered_from_something_else_is_no_evidence() {
        let last = |key: &'static str, value: Value| {
            move |a: &mut Value| a["status"]["history"][1]["source"][key] = value
        };
        assert_eq!(commit_now('c', last("path", json!("deploy/prod"))), None);
        assert_eq!(
            commit_now(
                'c',
                last("repoURL", json!("https://git.example.com/shop/other"))
            ),
            None
        );
        assert_eq!(
            commit_now(
                'c',
                last("kustomize", json!({"images": ["web=shop/web:2"]}))
            ),
            None
        );
        assert_eq!(
            commit_now('c', last("kustomize", json!({"version": "v5"}))),
            Some('b')
        );
        assert_eq!(commit_now('c', last("plugin", json!({"name": "x"}))), None);
        assert_eq!(
            commit_now(
                'c',
                last("helm", json!({"parameters": [{"name": "a", "value": "b"}]}))
            ),
            None
        );
        assert_eq!(
            commit_now('c', |a| a["status"]["sourceType"] = json!("Helm")),
            None
        );
        assert_eq!(
            commit_now('c', last("helm", json!({"releaseName": "app"}))),
            Some('b')
        );
        let elsewhere =
            |a: &mut Value| a["spec"]["destination"]["server"] = json!("https://10.0.0.1");
        assert_eq!(commit_now('c', elsewhere), None);
    }

    #[test]
    fn one_of_several_sources_may_be_the_targets() {
        let several = |a: &mut Value| {
            let own = a["spec"]["source"].clone();
            let chart = json!({"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": "1.0.0"});
            let entry = json!({"id": 2, "sources": [chart, own], "revisions": ["1.0.0", sha('b')], "source": {"repoURL": ""}, "revision": ""});
            a["status"]["history"] = json!([entry]);
            a["status"]
                .as_object_mut()
                .expect("a map")
                .remove("operationState");
        };
        assert_eq!(commit_now('c', several), Some('b'));
    }
}
