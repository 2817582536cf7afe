//! What Git declares, as the core takes it: objects with the place they come from, and what could not be read.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::subject::{GroupVersionKind, ObjectId};

/// Where an object is declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Provenance {
    /// The file, relative to the repository's root; for rendered output the folder that was rendered, where the file is not certain.
    pub file: String,
    /// The document in that file, counted from 1.
    pub document: u32,
    /// The line on which the object starts, counted from 1; 0 where it is not known (rendered output).
    pub line: u32,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.document > 1 {
            write!(f, ", document {}", self.document)?;
        }
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        Ok(())
    }
}

/// One object as Git declares it, rendered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeclaredObject {
    /// The object: `apiVersion`, `kind` and `metadata.name` are non-empty strings, everything else is as declared.
    pub object: Value,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The line of each node of `object` in pre-order (an object's members in the order of
    /// [`serde_json::Map`], the line of a member is that of its key), counted from 1; empty where lines are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<u32>,
    /// Paths that two renders of the same commit do not agree on (random values, dates), as JSON pointers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unstable: Vec<String>,
    /// Its values are encrypted: only its keys can be compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
}

impl DeclaredObject {
    /// The kind it is declared as; `None` if `apiVersion` or `kind` is not usable.
    pub fn kind(&self) -> Option<GroupVersionKind> {
        GroupVersionKind::parse(
            self.object.get("apiVersion")?.as_str()?,
            self.object.get("kind")?.as_str()?,
        )
    }

    /// The namespace the object itself names.
    pub fn namespace(&self) -> Option<&str> {
        self.object
            .get("metadata")?
            .get("namespace")?
            .as_str()
            .filter(|n| !n.is_empty())
    }

    /// The object's name.
    pub fn name(&self) -> Option<&str> {
        self.object
            .get("metadata")?
            .get("name")?
            .as_str()
            .filter(|n| !n.is_empty())
    }
}

/// Why something in a source could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProblemKind {
    /// A file is not YAML or JSON.
    Parse,
    /// A document is not a Kubernetes object: no `apiVersion`, `kind` or name, or of the wrong type.
    NotAnObject,
    /// The same object is declared twice in one target.
    Duplicate,
    /// A limit was exceeded: file bytes, number of files, output bytes.
    Limit,
    /// A path that is not followed: symlink, submodule.
    NotFollowed,
    /// The renderer refused.
    Render,
    /// The kind is not served by the cluster.
    UnknownKind,
}

/// Something in a source that could not be used; the rest of the target is still compared, and what is absent
/// from it is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// The place: file, and document and line where known.
    pub at: Provenance,
    /// One sentence: what is wrong and how to mend it.
    pub message: String,
    /// Set if it is known which object is affected; the others of the target are then not in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// A declared object with its identity resolved against a cluster's discovery.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The identity.
    pub id: ObjectId,
    /// The kind and version it is declared and compared in.
    pub kind: GroupVersionKind,
    /// The declaration.
    pub declared: DeclaredObject,
}
