//! From documents to objects: lists taken apart, what is no object named, duplicates found.

use std::collections::HashMap;

use drift::automation::HOOKS;
use drift::declared::{DeclaredObject, Problem, ProblemKind, Provenance};
use drift::subject::GroupVersionKind;
use serde_json::Value;

use super::yaml::{self, Body, Document, Node};
use crate::error::{Category, Error};
use crate::request::{RenderItem, RenderRequest};

/// Problems that are streamed; the rest is counted.
const PROBLEMS: u64 = 200;

/// The largest object, in bytes of its values. API servers take 3 MiB at most, and everything that is done with an object later
/// is done with it as a whole.
const OBJECT_BYTES: u64 = 4 << 20;

/// Group, kind, namespace, name.
type Identity = (String, String, String, String);

/// Takes what rendering finds, checks it, and passes it on.
pub(crate) struct Collector<'a> {
    send: &'a mut dyn FnMut(RenderItem) -> bool,
    namespace: &'a str,
    output_left: u64,
    output_bytes: u64,
    seen: HashMap<Identity, Provenance>,
    pub(crate) objects: u64,
    pub(crate) problems: u64,
}

impl<'a> Collector<'a> {
    /// `send` gives false when nobody listens any more; `output_bytes` limits the values of all objects together.
    pub(crate) fn new(
        send: &'a mut dyn FnMut(RenderItem) -> bool,
        namespace: &'a str,
        output_bytes: u64,
    ) -> Self {
        Self {
            send,
            namespace,
            output_left: output_bytes,
            output_bytes,
            seen: HashMap::new(),
            objects: 0,
            problems: 0,
        }
    }

    /// Notes a problem.
    pub(crate) fn problem(
        &mut self,
        kind: ProblemKind,
        at: Provenance,
        message: impl Into<String>,
    ) {
        self.note(Problem {
            kind,
            at,
            message: message.into(),
            object: None,
        });
    }

    fn note(&mut self, problem: Problem) {
        self.problems += 1;
        if self.problems <= PROBLEMS {
            (self.send)(RenderItem::Problem(problem));
        }
    }

    /// Says how many problems were left out. To be called last.
    pub(crate) fn finish(&mut self) {
        if self.problems > PROBLEMS {
            let message = format!("{} more problems are not listed", self.problems - PROBLEMS);
            let at = Provenance {
                file: ".".into(),
                document: 1,
                line: 0,
            };
            (self.send)(RenderItem::Problem(Problem {
                kind: ProblemKind::Limit,
                at,
                message,
                object: None,
            }));
        }
    }

    /// Takes a file of plain YAML or JSON.
    ///
    /// # Errors
    /// `Limit` once all objects together are too large.
    pub(crate) fn file(&mut self, file: &str, text: &str) -> Result<(), Error> {
        for (index, document) in yaml::documents(text).enumerate() {
            self.document(file, index, document)?;
        }
        Ok(())
    }

    fn document(&mut self, file: &str, index: usize, document: Document<'_>) -> Result<(), Error> {
        let place = |line: u32| Provenance {
            file: file.to_owned(),
            document: number(index),
            line,
        };
        let offset = document.line - 1;
        match yaml::parse(document.text) {
            Ok(None) => Ok(()),
            Ok(Some(node)) => {
                let mut found = Vec::new();
                // A document that begins with `---` has its first key on a later line.
                let first = if node.line == 0 {
                    document.line
                } else {
                    node.line + offset
                };
                self.flatten(node, offset, first, &place, &mut found);
                found.into_iter().try_for_each(|object| self.object(object))
            }
            Err(error) => {
                let line = if error.line == 0 {
                    document.line
                } else {
                    error.line + offset
                };
                let kind = if error.limit {
                    ProblemKind::Limit
                } else {
                    ProblemKind::Parse
                };
                self.problem(kind, place(line), error.what);
                Ok(())
            }
        }
    }

    /// The objects of rendered text, each with the file that `file` names for its document; lines in it mean nothing to a user.
    pub(crate) fn rendered(
        &mut self,
        text: &str,
        file: impl Fn(&Document<'_>) -> String,
    ) -> Vec<DeclaredObject> {
        let mut found = Vec::new();
        for (index, document) in yaml::documents(text).enumerate() {
            let place = |_| Provenance {
                file: file(&document),
                document: number(index),
                line: 0,
            };
            match yaml::parse(document.text) {
                Ok(Some(node)) => self.flatten(node.without_lines(), 0, 0, &place, &mut found),
                Ok(None) => {}
                Err(error) => {
                    let kind = if error.limit {
                        ProblemKind::Limit
                    } else {
                        ProblemKind::Parse
                    };
                    self.problem(kind, place(0), error.what);
                }
            }
        }
        found
    }

    /// Takes a document apart into objects; what is none becomes a problem.
    fn flatten(
        &mut self,
        node: Node,
        offset: u32,
        first: u32,
        place: &dyn Fn(u32) -> Provenance,
        found: &mut Vec<DeclaredObject>,
    ) {
        let node = match items(node) {
            Ok((items, of)) => {
                for mut item in items {
                    let line = if item.line == 0 {
                        first
                    } else {
                        item.line + offset
                    };
                    inherit(&mut item, &of);
                    self.flatten(item, offset, line, place, found);
                }
                return;
            }
            Err(node) => node,
        };
        if is_nameless_hook(&node) {
            return;
        }
        if let Some(message) = not_an_object(&node) {
            self.problem(ProblemKind::NotAnObject, place(first), message);
            return;
        }
        let lined = node.line > 0;
        let (object, mut lines) = node.into_value(offset);
        if !lined {
            lines.clear();
        }
        found.push(DeclaredObject {
            object,
            provenance: place(first),
            lines,
            unstable: Vec::new(),
            encrypted: false,
        });
    }

    /// Takes an object, unless it is a duplicate.
    ///
    /// # Errors
    /// `Limit` once all objects together are too large.
    pub(crate) fn object(&mut self, object: DeclaredObject) -> Result<(), Error> {
        let weight = weight(&object.object);
        if weight > OBJECT_BYTES {
            let what = format!(
                "is an object larger than {} MiB, which no API server takes: make it smaller",
                OBJECT_BYTES >> 20
            );
            self.problem(ProblemKind::Limit, object.provenance, what);
            return Ok(());
        }
        self.output_left = self.output_left.checked_sub(weight).ok_or_else(|| {
            let what = format!("the objects are larger than the limit of {} MiB together: raise it or split the target", self.output_bytes >> 20);
            Error::new(Category::Limit, object.provenance.file.clone(), what)
        })?;
        let Some((identity, shown)) = self.identity(&object) else {
            self.problem(
                ProblemKind::NotAnObject,
                object.provenance,
                "has an `apiVersion` that is not `version` or `group/version`",
            );
            return Ok(());
        };
        if let Some(before) = self.seen.get(&identity) {
            let message = format!(
                "declares {shown} a second time; the first is in {before} and counts: take one out"
            );
            self.note(Problem {
                kind: ProblemKind::Duplicate,
                at: object.provenance,
                message,
                object: Some(shown),
            });
            return Ok(());
        }
        self.seen.insert(identity, object.provenance.clone());
        self.objects += 1;
        if (self.send)(RenderItem::Object(object)) {
            Ok(())
        } else {
            Err(Error::new(
                Category::Worker,
                "the worker's job",
                "nobody listens any more",
            ))
        }
    }

    fn identity(&self, object: &DeclaredObject) -> Option<(Identity, String)> {
        let kind = object.kind()?;
        let (namespace, name) = (object.namespace().unwrap_or(self.namespace), object.name()?);
        let shown = format!("{} {namespace}/{name}", kind.group_kind);
        let GroupVersionKind { group_kind, .. } = kind;
        Some((
            (
                group_kind.group.to_string(),
                group_kind.kind.to_string(),
                namespace.to_owned(),
                name.to_owned(),
            ),
            shown,
        ))
    }
}

/// The objects of a text that was rendered once more; problems in it were told the first time.
pub(crate) fn quietly(text: &str, request: &RenderRequest) -> Vec<DeclaredObject> {
    let mut ignore = |_| true;
    Collector::new(&mut ignore, &request.namespace, request.limits.output_bytes)
        .rendered(text, |_| String::new())
}

/// The objects of a file with their lines, whatever else is in it.
pub(crate) fn in_file(file: &str, text: &str, request: &RenderRequest) -> Vec<DeclaredObject> {
    let mut objects = Vec::new();
    let mut take = |item| {
        if let RenderItem::Object(object) = item {
            objects.push(object);
        }
        true
    };
    // What is too much is not looked for; that only costs lines.
    let _ =
        Collector::new(&mut take, &request.namespace, request.limits.output_bytes).file(file, text);
    objects
}

/// A document's number, counted from 1.
pub(crate) fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

/// What the items of a typed list may leave to it.
struct ListOf {
    api_version: String,
    kind: Option<String>,
}

/// The items of a list kind (`v1 List`, `ConfigMapList`, …), or the node itself.
fn items(mut node: Node) -> Result<(Vec<Node>, ListOf), Node> {
    let of = match (
        node.get("apiVersion").and_then(Node::as_str),
        node.get("kind").and_then(Node::as_str),
    ) {
        (Some(api_version), Some(kind)) if kind.ends_with("List") => ListOf {
            api_version: api_version.to_owned(),
            kind: kind
                .strip_suffix("List")
                .filter(|k| !k.is_empty())
                .map(str::to_owned),
        },
        _ => return Err(node),
    };
    if !matches!(node.get("items").map(|n| &n.body), Some(Body::List(_))) {
        return Err(node);
    }
    if let Body::Map(members) = &mut node.body
        && let Some((
            _,
            Node {
                body: Body::List(items),
                ..
            },
        )) = members.remove("items")
    {
        return Ok((items, of));
    }
    Err(node)
}

/// Items of a typed list may leave out what the list says.
fn inherit(item: &mut Node, of: &ListOf) {
    let (Body::Map(members), Some(kind)) = (&mut item.body, &of.kind) else {
        return;
    };
    if !members.contains_key("kind") && !members.contains_key("apiVersion") {
        let text = |text: &str| {
            (
                item.line,
                Node {
                    line: item.line,
                    body: Body::Scalar(Value::String(text.to_owned())),
                },
            )
        };
        members.insert("kind".into(), text(kind));
        members.insert("apiVersion".into(), text(&of.api_version));
    }
}

/// True for a hook that gets its name when it is run: whoever runs it makes it and takes it away.
///
/// Source: <https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/#examples>.
fn is_nameless_hook(node: &Node) -> bool {
    let Some(metadata) = node.get("metadata") else {
        return false;
    };
    let text = |node: &Node, key: &str| {
        node.get(key)
            .and_then(Node::as_str)
            .is_some_and(|t| !t.is_empty())
    };
    let annotations = metadata.get("annotations");
    let is_hook = |key: &&str| annotations.is_some_and(|a| text(a, key));
    metadata.get("name").is_none_or(Node::is_null)
        && text(metadata, "generateName")
        && text(node, "apiVersion")
        && text(node, "kind")
        && HOOKS.iter().any(is_hook)
}

/// Says why a document is no object, if it is none.
fn not_an_object(node: &Node) -> Option<String> {
    if !matches!(node.body, Body::Map(_)) {
        return Some(
            "is not a mapping, and so no Kubernetes object: move it out of the target's path"
                .into(),
        );
    }
    let text = |node: &Node, key: &str| {
        node.get(key)
            .and_then(Node::as_str)
            .is_some_and(|t| !t.is_empty())
    };
    match (text(node, "apiVersion"), text(node, "kind")) {
        (true, true) => {}
        (false, false) => {
            return Some("has neither `apiVersion` nor `kind`, and so is no Kubernetes object: move it out of the target's path".into());
        }
        (true, false) => return Some("has no `kind`, or one that is no text: add it".into()),
        (false, true) => return Some("has no `apiVersion`, or one that is no text: add it".into()),
    }
    let Some(metadata) = node.get("metadata") else {
        let hint = match node.get("kind").and_then(Node::as_str) {
            Some("Kustomization" | "Component") => {
                "is a kustomization in a folder of plain manifests: point the path at its folder"
            }
            _ => "has no `metadata.name`: add it",
        };
        return Some(hint.into());
    };
    if !text(metadata, "name") {
        return Some(match metadata.get("generateName") {
            Some(_) => "has `generateName` instead of `metadata.name`: such an object cannot be compared, give it a name".into(),
            None => "has no `metadata.name`, or one that is no text: add it (and quote it if it looks like a number)".into(),
        });
    }
    match metadata.get("namespace").map(|n| &n.body) {
        None | Some(Body::Scalar(Value::Null | Value::String(_))) => None,
        Some(_) => Some("has a `metadata.namespace` that is no text: quote it".into()),
    }
}

/// About how many bytes a value takes as JSON.
fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 + 3,
        Value::Array(items) => items.iter().map(weight).sum::<u64>() + 2,
        Value::Object(members) => {
            members
                .iter()
                .map(|(key, value)| key.len() as u64 + 4 + weight(value))
                .sum::<u64>()
                + 2
        }
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and problems of a text, read as a file and as what a tool rendered.
    fn both_ways(text: &str) -> [(Vec<String>, Vec<String>); 2] {
        [true, false].map(|rendered| {
            let (mut names, mut problems) = (Vec::new(), Vec::new());
            let mut take = |item| {
                match item {
                    RenderItem::Object(object) => names.extend(object.name().map(str::to_owned)),
                    RenderItem::Problem(problem) => problems.push(problem.message),
                }
                true
            };
            let mut collector = Collector::new(&mut take, "shop", 1 << 20);
            if rendered {
                for object in collector.rendered(text, |_| String::new()) {
                    collector.object(object).unwrap();
                }
            } else {
                collector.file("a.yaml", text).unwrap();
            }
            (names, problems)
        })
    }

    fn job(metadata: &str) -> String {
        format!("---\napiVersion: batch/v1\nkind: Job\nmetadata: {metadata}\n")
    }

    #[test]
    fn a_hook_named_when_it_runs_made_the_whole_target_not_ready() {
        let hook = |key: &str| {
            job(&format!(
                "{{generateName: x-, annotations: {{{key}: PostSync}}}}"
            ))
        };
        let text = ["argocd.argoproj.io/hook", "helm.sh/hook"]
            .map(hook)
            .concat();
        for (names, problems) in both_ways(&(text + &job("{name: web}"))) {
            assert_eq!((names, problems), (vec!["web".to_owned()], vec![]));
        }
    }

    #[test]
    fn what_has_no_name_and_is_no_hook_is_a_problem() {
        let hook = "annotations: {argocd.argoproj.io/hook: PostSync}";
        for metadata in [
            "{generateName: x-}".to_owned(),
            format!("{{{hook}}}"),
            format!("{{generateName: '', {hook}}}"),
            format!("{{generateName: x-, name: 3, {hook}}}"),
        ] {
            for (names, problems) in both_ways(&job(&metadata)) {
                assert_eq!((names.len(), problems.len()), (0, 1), "{metadata}");
            }
        }
    }
}
