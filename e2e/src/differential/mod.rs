//! The differential test: random valid objects of every kind that the server serves are written by different managers and compared,
//! changed and compared again. What has to be found is worked out from the live objects and the published schema alone.
//!
//! Nothing in here knows the operator: what compares is behind [`Judge`].

mod beyond;
mod crds;
mod deploy;
mod generate;
mod mutate;
mod object;
mod one;
mod openapi;
mod path;
mod report;
mod run;
mod server;
mod spelling;
mod templates;
mod truth;
mod variants;

use futures::future::BoxFuture;
use serde_json::Value;

pub use path::{Change, Field, Step, canonical};
pub use report::{Mismatch, Report};
pub use run::{Options, run};
pub use server::{Kind, Server};

/// The result of what talks to the server.
pub type Result<T> = std::result::Result<T, Failure>;

/// What stops the whole test: the server does not answer, or a file of the test cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{what} failed: {reason}")]
pub struct Failure {
    /// What was tried.
    pub what: String,
    /// Why it failed.
    pub reason: String,
}

/// What the server makes of a declaration.
#[derive(Debug, Clone)]
pub enum Expected {
    /// The object as it would be stored.
    Object(Value),
    /// It would not be stored.
    Refused(String),
}

/// What is tested.
pub trait Judge: Send + Sync {
    /// Gets ready for kinds.
    fn prepare<'a>(&'a self, kinds: &'a [Kind]) -> BoxFuture<'a, Result<()>>;

    /// What is sent to the server to learn what it makes of a declaration.
    fn question(&self, kind: &Kind, declared: &Value) -> Value;

    /// What is reported of `live`, an object that was `first` when it was deployed.
    fn judge(&self, kind: &Kind, sight: &Sight<'_>) -> Vec<Verdict>;
}

/// What there is to see.
pub struct Sight<'a> {
    /// The declaration as it was deployed.
    pub declared: &'a Value,
    /// The live object when it was deployed.
    pub first: &'a Value,
    /// The live object now.
    pub live: &'a Value,
    /// What the server makes of the declaration.
    pub expected: &'a Expected,
}

/// What is reported, by one way to come to it.
#[derive(Debug)]
pub struct Verdict {
    /// The way.
    pub way: &'static str,
    /// Whose additions can be told on this way.
    pub additions: Additions,
    /// The fields.
    pub fields: Vec<Field>,
}

/// Whose additions have to be reported. Of the others it cannot be told whether somebody added them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Additions {
    /// All, and nothing else.
    All,
    /// All but those that the control plane made, and nothing else.
    NotControlPlanes,
    /// Those of whoever has written nothing that is declared, and is neither deployer nor control plane. What such a one wrote may be
    /// reported although the server would have put it there.
    Strangers,
    /// None.
    None,
}
