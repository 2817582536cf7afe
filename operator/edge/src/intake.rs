//! What a renderer streams, taken in: resolved against what the cluster serves, checked, and kept for the index.

use std::collections::HashSet;
use std::io;

use cluster::discovery::{Catalog, Served};
use cluster::index::{Declaration, ScopeKey};
use cluster::store::{BlobWriter, Blobs};
use declared::{RenderItem, Renderer};
use drift::subject::{not_a_name, not_a_namespace};
use drift::{
    DeclaredObject, GroupVersionKind, ObjectId, Problem, ProblemKind, Provenance, bookkeeping,
    lines,
};

/// The most objects of a target. Each takes memory for as long as the policy is there, and all policies share it.
const MAX_OBJECTS: usize = 100_000;
/// The most pairs of kind and namespace of a target; each takes an access review, and a watch or a part of one.
const MAX_SCOPES: usize = 5_000;
/// Problems that are kept; more are counted.
const MAX_PROBLEMS: usize = 200;

/// What rendering led to.
#[derive(Debug)]
pub struct Rendered {
    /// The declarations' texts.
    pub blobs: Blobs,
    /// The objects, each at most once.
    pub declarations: Vec<Declaration>,
    /// What could not be used, as far as it is kept.
    pub problems: Vec<Problem>,
    /// How much could not be used.
    pub problem_count: usize,
    /// What rendered it.
    pub renderer: Renderer,
    /// A kind was not served, so that the scope of its objects is not known.
    pub unserved: bool,
}

impl Rendered {
    /// What the cluster serves matters to it.
    pub fn is_by_catalog(&self) -> bool {
        self.renderer == Renderer::Helm || self.unserved
    }
}

/// Why a rendering is not taken in.
#[derive(Debug)]
pub enum Refusal {
    /// Declared objects cannot be kept.
    Disk(io::Error),
    /// Which limit was passed, and what to do.
    TooMuch(String),
}

/// Takes in what a renderer streams.
#[derive(Debug)]
pub struct Intake<'a> {
    catalog: &'a Catalog,
    namespace: &'a str,
    writer: BlobWriter,
    declarations: Vec<Declaration>,
    seen: HashSet<ObjectId>,
    scopes: HashSet<ScopeKey>,
    problems: Vec<Problem>,
    problem_count: usize,
    unserved: bool,
    failed: Option<io::Error>,
    /// Which limit was passed.
    too_much: Option<String>,
}

impl<'a> Intake<'a> {
    /// For a cluster that serves `catalog`; objects that live in namespaces and name none are in `namespace`.
    ///
    /// # Errors
    /// Where no temporary file can be made.
    pub fn new(catalog: &'a Catalog, namespace: &'a str) -> io::Result<Self> {
        Ok(Self {
            catalog,
            namespace,
            writer: BlobWriter::new()?,
            declarations: Vec::new(),
            seen: HashSet::new(),
            scopes: HashSet::new(),
            problems: Vec::new(),
            problem_count: 0,
            unserved: false,
            failed: None,
            too_much: None,
        })
    }

    /// All that was taken in, once the renderer is done.
    ///
    /// # Errors
    /// Where declared objects could not be kept, or were too many.
    pub fn finish(self, renderer: Renderer) -> Result<Rendered, Refusal> {
        if let Some(error) = self.failed {
            return Err(Refusal::Disk(error));
        }
        if let Some(what) = self.too_much {
            return Err(Refusal::TooMuch(what));
        }
        Ok(Rendered {
            blobs: self.writer.finish().map_err(Refusal::Disk)?,
            declarations: self.declarations,
            problems: self.problems,
            problem_count: self.problem_count,
            renderer,
            unserved: self.unserved,
        })
    }
}

impl Intake<'_> {
    /// Takes in one item.
    pub fn take(&mut self, item: RenderItem) {
        match item {
            RenderItem::Problem(problem) => self.note(problem),
            RenderItem::Object(object) => self.object(object),
        }
    }

    fn object(&mut self, mut declared: DeclaredObject) {
        if self.too_much.is_some() {
            return;
        }
        let (Some(kind), Some(name)) = (declared.kind(), declared.name().map(str::to_owned)) else {
            return self.problem(
                ProblemKind::NotAnObject,
                declared.provenance,
                "an object needs apiVersion, kind and metadata.name".to_owned(),
            );
        };
        let namespaced = match self.catalog.served(&kind) {
            Served::Yes(resource) => Some(resource.namespaced),
            Served::No | Served::Unavailable => {
                self.unserved = true;
                None
            }
        };
        let namespace = match namespaced {
            Some(false) => None,
            Some(true) => Some(declared.namespace().unwrap_or(self.namespace).to_owned()),
            None => declared.namespace().map(str::to_owned),
        };
        if let Some(why) = misnamed(&name, namespace.as_deref()) {
            return self.problem(ProblemKind::NotAnObject, declared.provenance, why);
        }
        let id = ObjectId::new(kind.group_kind.clone(), namespace.as_deref(), &name);
        if !self.seen.insert(id.clone()) {
            let message = format!("{id} is declared twice; remove one of them");
            return self.problem(ProblemKind::Duplicate, declared.provenance, message);
        }
        self.scopes
            .insert(ScopeKey::new(kind.clone(), id.namespace.clone()));
        if self.is_too_much() {
            return;
        }
        let before = declared.object.clone();
        declared.encrypted = bookkeeping::normalise(&mut declared.object, namespace.as_deref());
        declared.lines = lines::realign(&before, &declared.lines, &declared.object);
        self.keep(id, kind, &declared);
    }

    fn keep(&mut self, id: ObjectId, kind: GroupVersionKind, declared: &DeclaredObject) {
        match self.writer.push(declared) {
            Ok((blob, digest)) => self.declarations.push(Declaration {
                id,
                kind,
                blob,
                digest,
            }),
            Err(error) => self.failed = Some(error),
        }
    }

    fn is_too_much(&mut self) -> bool {
        let passed = |limit: usize, of: &str| {
            Some(format!(
                "more than {limit} {of}: split the target into several with paths of their own"
            ))
        };
        if self.seen.len() > MAX_OBJECTS {
            self.too_much = passed(MAX_OBJECTS, "objects");
        } else if self.scopes.len() > MAX_SCOPES {
            self.too_much = passed(MAX_SCOPES, "pairs of kind and namespace");
        }
        self.too_much.is_some()
    }

    fn note(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    fn problem(&mut self, kind: ProblemKind, at: Provenance, message: String) {
        self.note(Problem {
            kind,
            at,
            message,
            object: None,
        });
    }
}

/// Why an object cannot be asked for by its name and namespace.
fn misnamed(name: &str, namespace: Option<&str>) -> Option<String> {
    let name = not_a_name(name).map(|why| format!("metadata.name {why}"));
    name.or_else(|| {
        let why = namespace.and_then(not_a_namespace)?;
        Some(format!("metadata.namespace {why}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_refused_before_it_is_asked_for() {
        assert_eq!(misnamed("web", Some("shop")), None);
        let name = misnamed("../secrets/x", Some("shop")).unwrap_or_default();
        assert!(name.starts_with("metadata.name"), "{name}");
        let namespace = misnamed("web", Some("a/../kube-system")).unwrap_or_default();
        assert!(namespace.starts_with("metadata.namespace"), "{namespace}");
    }
}
