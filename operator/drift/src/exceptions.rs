//! What may differ for now: the exceptions of a policy that are in force.
//!
//! One evaluator for whoever asks, the same that matches rules. Time is not looked at here: an exception that has expired is not handed
//! in any more. An exception ends enforcement, never detection: what it is about stays in the record.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::compare::{FieldDrift, literally_equal};
use crate::rules::{MatchText, Matcher, RuleError, Work};
use crate::subject::ObjectId;

/// The most exceptions of a policy that are in force at a time.
pub const MAX_EXCEPTIONS: usize = 256;
/// The most values that one allows.
pub const MAX_VALUES: usize = 64;

/// An exception, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Exception {
    name: Arc<str>,
    matcher: Matcher,
    allowed: Option<Vec<Value>>,
}

impl Exception {
    /// Checks what an exception says. With `allowed` only these live values may be there; `null` stands for a field that is not.
    ///
    /// # Errors
    /// If it says nothing, or something that cannot match; the error names the place.
    pub fn parse(
        name: &str,
        matches: &MatchText,
        allowed: Option<&[Value]>,
        targets: &[&str],
    ) -> Result<Self, RuleError> {
        let place = "spec.match";
        let matcher = Matcher::parse(matches, place, targets)?;
        if let Some(values) = allowed {
            if matches.fields.is_empty() {
                let what = "say which fields may have these values, in spec.match.fields";
                return Err(RuleError::new("spec.allowedValues", what));
            }
            if values.is_empty() || values.len() > MAX_VALUES {
                let what = format!("{} values; name 1 to {MAX_VALUES}", values.len());
                return Err(RuleError::new("spec.allowedValues", what));
            }
        }
        Ok(Self {
            name: name.into(),
            matcher,
            allowed: allowed.map(<[Value]>::to_vec),
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn allows(&self, drift: &FieldDrift, withheld: bool) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        // Whoever writes exceptions must not be able to guess at secrets.
        let live = drift.live.as_ref().unwrap_or(&Value::Null);
        !withheld && allowed.iter().any(|value| literally_equal(value, live))
    }
}

/// The exceptions of a policy that are in force, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exceptions(Vec<Exception>);

impl Exceptions {
    /// At most [`MAX_EXCEPTIONS`] of them.
    pub fn new(mut all: Vec<Exception>) -> Self {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.truncate(MAX_EXCEPTIONS);
        Self(all)
    }

    /// Those that may be about an object; labels are those of its declaration.
    pub(crate) fn about<'e>(
        &'e self,
        target: &str,
        id: &ObjectId,
        labels: Option<&Map<String, Value>>,
    ) -> ObjectExceptions<'e> {
        let mut work = Work::new();
        let meant =
            |e: &&Exception| e.matcher.object(target, id, labels, &mut work) || work.is_spent();
        ObjectExceptions {
            all: self.0.iter().filter(meant).collect(),
            work,
        }
    }
}

/// The exceptions that may be about one object.
pub(crate) struct ObjectExceptions<'e> {
    all: Vec<&'e Exception>,
    work: Work,
}

impl Default for ObjectExceptions<'_> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            work: Work::new(),
        }
    }
}

impl ObjectExceptions<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The first exception for a field with this value. Where they are so many and so intricate that it cannot be told, the first that may
    /// be meant: what may be excepted is not written to.
    pub(crate) fn field(&mut self, drift: &FieldDrift, withheld: bool) -> Option<Arc<str>> {
        let Self { all, work } = self;
        let is_it =
            |e: &&&Exception| e.matcher.field(&drift.path, work) && e.allows(drift, withheld);
        let found = all.iter().find(is_it).map(|e| Arc::clone(&e.name));
        if work.is_spent() {
            return all.first().map(|e| Arc::clone(&e.name));
        }
        found
    }

    /// The first exception for the object as a whole.
    pub(crate) fn object(&self) -> Option<Arc<str>> {
        let whole = |e: &&&Exception| e.matcher.names_no_fields();
        self.all.iter().find(whole).map(|e| Arc::clone(&e.name))
    }
}

#[cfg(test)]
#[path = "exceptions_tests.rs"]
mod tests;
