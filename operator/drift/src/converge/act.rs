//! A plan as what goes to the API server.

use json_patch::Patch;
use serde_json::Value;

use super::Plan;
use crate::compare::FieldDrift;
use crate::patch::{PatchError, put_back};

/// What goes to the API server.
#[derive(Debug, Clone, PartialEq)]
pub enum Act<'a> {
    /// A patch of the live object, which fails as a whole where that is not as it was judged.
    Patch(Patch),
    /// The object, which is created as it is declared; where it is there by now, that fails.
    Create(&'a Value),
    /// The whole declared object, of which these fields are to change, as [`crate::deliver`] makes it.
    Apply(&'a [FieldDrift]),
    /// Nothing.
    Nothing,
}

/// What a plan about `live` comes to.
///
/// # Errors
/// Where a patch cannot say it: the live object is not the one that was judged.
pub fn act<'a>(
    planned: &'a Plan,
    declared: &'a Value,
    live: Option<&Value>,
) -> Result<Act<'a>, PatchError> {
    match (planned, live) {
        (Plan::PutBack(fields), Some(live)) => {
            let fields: Vec<&FieldDrift> = fields.iter().collect();
            put_back(declared, live, &fields).map(Act::Patch)
        }
        (Plan::Apply(fields), _) => Ok(Act::Apply(fields)),
        (Plan::Create, None) => Ok(Act::Create(declared)),
        _ => Ok(Act::Nothing),
    }
}
