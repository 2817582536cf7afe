//! Which file each object that kustomize built comes from, and which of its lines.
//!
//! kustomize tells, if a kustomization asks for it (`buildMetadata`). So the laid-out copy is made to ask and built once more. The
//! objects themselves are always those of the first build, since annotations that were not there may change what a patch does; an
//! object that the second build makes otherwise keeps the folder for its place.

use std::collections::{HashMap, HashSet};
use std::fs;

use drift::declared::DeclaredObject;
use serde::Deserialize;
use serde_json::Value;

use super::layout::Layout;
use super::objects::{in_file, quietly};
use super::touched::Touched;
use super::tree::{CommitTree, Entry, join_path};
use super::yaml::{self, Body};
use crate::error::Error;
use crate::request::RenderRequest;

const ORIGIN: &str = "config.kubernetes.io/origin";
const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
const ASK: &str = "\nbuildMetadata: [originAnnotations, transformerAnnotations]\n";

/// What kustomize says of where an object, or a change to it, comes from.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Origin {
    pub(super) path: Option<String>,
    pub(super) repo: Option<String>,
    pub(super) configured_in: Option<String>,
    pub(super) configured_by: By,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct By {
    pub(super) kind: String,
}

/// Makes the laid-out copy of the target's own kustomization ask for origins. False where that cannot be done without changing
/// what it says, or where it asks for something of the kind itself.
pub(super) fn ask(layout: &Layout, target: &Entry) -> bool {
    let found = KUSTOMIZATIONS.iter().find_map(|name| {
        let file = join_path(&target.path, name)?;
        layout.files.contains(&file).then(|| layout.root.join(file))
    });
    let Some(path) = found else { return false };
    let Some(text) = fs::read_to_string(&path).ok().and_then(|t| asking(&t)) else {
        return false;
    };
    fs::write(&path, text).is_ok()
}

/// The text with the question added; `None` where adding a line would not add just that.
fn asking(text: &str) -> Option<String> {
    let asking = format!("{text}{ASK}");
    let one = |text: &str| {
        let mut documents = yaml::documents(text);
        let only = documents.next()?;
        if documents.next().is_some() {
            return None;
        }
        yaml::parse(only.text).ok().flatten()
    };
    let (before, mut after) = (one(text)?.without_lines(), one(&asking)?.without_lines());
    let Body::Map(members) = &mut after.body else {
        return None;
    };
    members.remove("buildMetadata")?;
    (before.get("buildMetadata").is_none() && before == after).then_some(asking)
}

/// An object of the build that was asked for origins, without what was asked for.
struct Built {
    object: DeclaredObject,
    /// The file or generator, of this repository.
    origin: Option<Origin>,
    /// The file that holds it.
    file: Option<String>,
    /// What was done to it; `None` where that could not be read.
    transformations: Option<Vec<Origin>>,
}

impl Built {
    fn of(mut object: DeclaredObject, folder: &str) -> Self {
        let (origin, transformations) = (
            take(&mut object.object, ORIGIN),
            take(&mut object.object, TRANSFORMATIONS),
        );
        let origin = origin.and_then(|text| serde_saphyr::from_str::<Origin>(&text).ok());
        let origin = origin.filter(|o| o.repo.is_none());
        let path = origin.as_ref().and_then(|o| o.path.as_deref());
        Self {
            file: path.and_then(|path| join_path(folder, path)),
            transformations: match transformations {
                None => Some(Vec::new()),
                Some(text) => serde_saphyr::from_str(&text).ok(),
            },
            object,
            origin,
        }
    }
}

/// The places of the objects of a build, from the output of the build that was asked for them.
pub(super) struct Origins<'t> {
    built: Vec<Built>,
    tree: &'t CommitTree<'t>,
    target: &'t Entry,
    request: &'t RenderRequest,
    layout: &'t Layout,
    files: HashMap<String, Vec<DeclaredObject>>,
    /// Which built object of a file is which of its objects, where only all together tell.
    matched: HashMap<String, HashMap<usize, usize>>,
    /// Whether a generator anywhere may add to a ConfigMap or Secret of a file; nothing in what is built says so.
    merging: Option<bool>,
}

impl<'t> Origins<'t> {
    pub(super) fn new(
        text: &str,
        tree: &'t CommitTree<'t>,
        target: &'t Entry,
        request: &'t RenderRequest,
        layout: &'t Layout,
    ) -> Self {
        let built = quietly(text, request).into_iter();
        Self {
            built: built.map(|o| Built::of(o, &target.path)).collect(),
            tree,
            target,
            request,
            layout,
            files: HashMap::new(),
            matched: HashMap::new(),
            merging: None,
        }
    }

    /// Notes where an object, the `index`-th of the build, comes from, as far as that is certain.
    ///
    /// # Errors
    /// `Corrupt` if the tree cannot be read.
    pub(super) fn place(&mut self, index: usize, object: &mut DeclaredObject) -> Result<(), Error> {
        let Some(built) = self.built.get(index) else {
            return Ok(());
        };
        if built.object.object != without_empty_annotations(object.object.clone()) {
            return Ok(());
        }
        let Some(origin) = &built.origin else {
            return Ok(());
        };
        let declared_in = origin.path.as_ref().or(origin.configured_in.as_ref());
        let file = declared_in.and_then(|path| join_path(&self.target.path, path));
        let Some(file) = file.filter(|f| self.layout.files.contains(f)) else {
            return Ok(());
        };
        object.provenance.file.clone_from(&file);
        object.provenance.document = 1;
        if built.file.is_some() && built.transformations.is_some() {
            self.lines(index, object, &file)?;
        }
        Ok(())
    }

    /// Finds the object in its file, and the line of each value that nothing but the file can have set.
    fn lines(
        &mut self,
        index: usize,
        object: &mut DeclaredObject,
        file: &str,
    ) -> Result<(), Error> {
        if !self.files.contains_key(file) {
            let text = self.read(file)?;
            let found = text.map_or_else(Vec::new, |text| in_file(file, &text, self.request));
            self.files.insert(file.to_owned(), found);
        }
        let touched = self.touched(index)?;
        let place = self.source(index, file, &touched)?;
        let sources = self.files.get(file);
        let Some(source) = place.and_then(|at| sources?.get(at)).cloned() else {
            return Ok(());
        };
        object.provenance = source.provenance.clone();
        let kind = object.object.get("kind").and_then(Value::as_str);
        let generated = matches!(kind, Some("ConfigMap" | "Secret")) && self.generators_merge()?;
        if !touched.all && !generated {
            object.lines = lines(&object.object, &source, &touched);
        }
        Ok(())
    }

    /// What may have been set of a built object elsewhere than in its file.
    fn touched(&self, index: usize) -> Result<Touched, Error> {
        let built = self.built.get(index);
        let transformations = built.and_then(|b| b.transformations.as_deref());
        let Some((built, transformations)) = built.zip(transformations) else {
            return Ok(Touched {
                all: true,
                ..Touched::default()
            });
        };
        let kind = built.object.object.get("kind").and_then(Value::as_str);
        let read = |path: &str| self.read(path);
        let kind = kind.unwrap_or_default();
        Touched::by(transformations, kind, &self.target.path, read)
    }

    /// Which object of its file a built one comes from.
    fn source(
        &mut self,
        index: usize,
        file: &str,
        touched: &Touched,
    ) -> Result<Option<usize>, Error> {
        let Some(built) = self.built.get(index) else {
            return Ok(None);
        };
        let naming = Naming::of(built, touched);
        let sources = self.files.get(file).map_or(&[][..], Vec::as_slice);
        match candidates(sources, &built.object, naming).as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(*only)),
            _ if !matches!(naming, Naming::Affixed { .. }) => Ok(None),
            _ => {
                if !self.matched.contains_key(file) {
                    let matched = self.matched(file)?;
                    self.matched.insert(file.to_owned(), matched);
                }
                Ok(self.matched.get(file).and_then(|m| m.get(&index)).copied())
            }
        }
    }

    /// Tells the built objects of a file apart by leaving out what others must be. That is certain only where each object of the file
    /// was built once.
    fn matched(&self, file: &str) -> Result<HashMap<usize, usize>, Error> {
        let sources = self.files.get(file).map_or(&[][..], Vec::as_slice);
        let mut open: Vec<(usize, Vec<usize>)> = Vec::new();
        for (index, built) in self.built.iter().enumerate() {
            if built.file.as_deref() != Some(file) {
                continue;
            }
            let naming = Naming::of(built, &self.touched(index)?);
            if naming == Naming::Unknown {
                return Ok(HashMap::new());
            }
            open.push((index, candidates(sources, &built.object, naming)));
        }
        if open.len() != sources.len() {
            return Ok(HashMap::new());
        }
        open.sort_by_key(|(_, found)| found.len());
        let mut matched = HashMap::new();
        let mut taken = HashSet::new();
        for (index, mut found) in open {
            found.retain(|at| !taken.contains(at));
            match found.as_slice() {
                // Two of one: not each was built once.
                [] => return Ok(HashMap::new()),
                [only] => {
                    taken.insert(*only);
                    matched.insert(index, *only);
                }
                _ => {}
            }
        }
        Ok(matched)
    }

    fn generators_merge(&mut self) -> Result<bool, Error> {
        if let Some(known) = self.merging {
            return Ok(known);
        }
        let mut merging = false;
        for file in &self.layout.files {
            let name = file.rsplit('/').next().unwrap_or(file);
            merging |= KUSTOMIZATIONS.contains(&name)
                && self
                    .read(file)?
                    .is_none_or(|text| text.contains("behavior"));
        }
        self.merging = Some(merging);
        Ok(merging)
    }

    /// A file of the commit, if it can be read as text.
    fn read(&self, path: &str) -> Result<Option<String>, Error> {
        if !self.layout.files.contains(path) {
            return Ok(None);
        }
        let entry = self.tree.look(path)?;
        Ok(String::from_utf8(self.tree.read(&entry)?).ok())
    }
}

/// Takes an annotation off an object.
fn take(object: &mut Value, key: &str) -> Option<String> {
    let taken = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
        .and_then(|a| a.remove(key));
    *object = without_empty_annotations(std::mem::take(object));
    match taken {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn without_empty_annotations(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && metadata
            .get("annotations")
            .is_some_and(|a| a.is_null() || a.as_object().is_some_and(serde_json::Map::is_empty))
    {
        metadata.remove("annotations");
    }
    object
}

/// What a built object's name says of that in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// It is the same.
    Kept {
        /// The namespace may be another.
        moved: bool,
    },
    /// Something stands before or behind it.
    Affixed { prefix: bool, suffix: bool },
    /// Nothing.
    Unknown,
}

impl Naming {
    fn of(built: &Built, touched: &Touched) -> Self {
        let Some(transformations) = built.transformations.as_deref() else {
            return Self::Unknown;
        };
        if touched.all || touched.renamed {
            return Self::Unknown;
        }
        let did = |transformer: &str| {
            let mut kinds = transformations.iter().map(|t| &t.configured_by.kind);
            kinds.any(|kind| kind == transformer)
        };
        let prefix = did("PrefixTransformer");
        let suffix = did("SuffixTransformer") || did("HashTransformer");
        if prefix || suffix {
            return Self::Affixed { prefix, suffix };
        }
        Self::Kept {
            moved: did("NamespaceTransformer"),
        }
    }
}

/// The objects of a file that a built one can come from.
fn candidates(sources: &[DeclaredObject], built: &DeclaredObject, naming: Naming) -> Vec<usize> {
    let text = |o: &DeclaredObject, key: &str| o.object.get(key).cloned();
    let alike = |s: &DeclaredObject| {
        text(s, "apiVersion") == text(built, "apiVersion") && text(s, "kind") == text(built, "kind")
    };
    let Some(name) = built.name() else {
        return Vec::new();
    };
    let named = |s: &DeclaredObject| {
        let own = s.name().unwrap_or_default();
        match naming {
            Naming::Kept { moved } => own == name && (moved || s.namespace() == built.namespace()),
            Naming::Affixed { prefix, suffix } => match (prefix, suffix) {
                (true, false) => name.ends_with(own),
                (false, true) => name.starts_with(own),
                _ => name.contains(own),
            },
            Naming::Unknown => true,
        }
    };
    let found = sources.iter().enumerate();
    let found = found.filter(|(_, s)| alike(s) && named(s));
    found.map(|(at, _)| at).collect()
}

/// The line of each node of a built object, 0 where another than its file may have set it.
fn lines(built: &Value, source: &DeclaredObject, touched: &Touched) -> Vec<u32> {
    let mut found = Vec::new();
    if !source.lines.is_empty() {
        walk(
            built,
            Some((&source.object, 0)),
            &source.lines,
            touched,
            &mut found,
        );
    }
    found
}

fn walk(
    built: &Value,
    source: Option<(&Value, usize)>,
    lines: &[u32],
    touched: &Touched,
    found: &mut Vec<u32>,
) {
    let same = source.filter(|(source, _)| match (built, source) {
        (Value::Object(_), Value::Object(_)) => true,
        // A list that grew or shrank: no telling which element was which.
        (Value::Array(a), Value::Array(b)) => a.len() == b.len(),
        (a, b) => a == *b,
    });
    found.push(
        same.and_then(|(_, node)| lines.get(node))
            .copied()
            .unwrap_or(0),
    );
    let places = same.map(|(value, node)| children(value, node));
    let mut places = places.unwrap_or_default();
    match built {
        Value::Object(members) => {
            for (name, member) in members {
                let place = places.remove(name.as_str());
                let place = place.filter(|_| !touched.keys.contains(name.as_str()));
                walk(member, place, lines, touched, found);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                let place = places.remove(n.to_string().as_str());
                walk(item, place, lines, touched, found);
            }
        }
        _ => {}
    }
}

/// The children of a node by name or number, each with its own number in pre-order.
fn children(value: &Value, node: usize) -> HashMap<String, (&Value, usize)> {
    let mut next = node + 1;
    let mut take = |name: String, child| {
        let place = (child, next);
        next += nodes(child);
        (name, place)
    };
    match value {
        Value::Object(members) => members.iter().map(|(k, v)| take(k.clone(), v)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(n, v)| take(n.to_string(), v))
            .collect(),
        _ => HashMap::new(),
    }
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(nodes).sum(),
        Value::Array(items) => items.iter().map(nodes).sum::<usize>(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kustomization_is_made_to_ask_only_where_nothing_else_changes() {
        for fine in [
            "resources: [a.yaml]",
            "resources:\n- a.yaml\npatches:\n- patch: |\n    - op: x\n",
            "# comment\n---\nresources: [a.yaml]\n",
        ] {
            assert!(asking(fine).is_some(), "{fine}");
        }
        for not in [
            "",
            "{resources: [a.yaml]}",
            "resources: [a.yaml]\n...\n",
            "resources: [a.yaml]\n---\nx: 1\n",
            "resources: [a.yaml]\nbuildMetadata: [managedByLabel]\n",
            "a: \"open",
        ] {
            assert!(asking(not).is_none(), "{not}");
        }
    }
}
