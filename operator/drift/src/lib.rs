//! Driftline's core: what differs between what Git declares and what runs, and what that means.
//!
//! Everything here is pure: no I/O, no clock, no async, no Kubernetes client. Values come in as
//! [`serde_json::Value`], verdicts go out as plain data. The rooms around it read the world and act on it.

pub mod attribution;
pub mod automation;
pub mod bookkeeping;
pub mod compare;
pub mod converge;
pub mod declared;
pub mod deliver;
pub mod deployer;
pub mod exceptions;
pub mod expected;
mod first_sight;
pub mod grade;
#[cfg(test)]
mod guide;
pub mod hidden;
pub mod judge;
pub mod ladder;
pub mod lines;
pub mod names;
pub mod origin;
pub mod orphan;
pub mod ownership;
pub mod patch;
pub mod path;
pub mod pattern;
pub mod quantity;
pub mod redact;
pub mod report;
pub mod residue;
pub mod rules;
pub mod schema;
pub mod severity;
pub mod shape;
pub mod subject;
pub mod undeclared;

pub use attribution::{Actor, ActorEvidence};
pub use compare::{Change, FieldDrift, compare};
pub use declared::{DeclaredObject, Problem, ProblemKind, Provenance};
pub use grade::{Grade, Graded, Grading, Ignored, grade};
pub use judge::{Basis, Finding, ObjectChange, Undeclared, Unknown, Verdict};
pub use ladder::Rung;
pub use origin::{Evidence, Origin};
pub use path::FieldPath;
pub use pattern::PathPattern;
pub use report::{Report, ReportedField, report};
pub use residue::Residue;
pub use schema::Schema;
pub use severity::Severity;
pub use subject::{GroupKind, GroupVersionKind, ObjectId};
