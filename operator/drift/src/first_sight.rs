//! What a live object has beyond its declaration, where nothing is remembered of it and the server may not say.

use serde_json::Value;

use crate::automation;
use crate::compare::{Change, FieldDrift};
use crate::expected::Expected;
use crate::judge::Case;
use crate::origin::Baseline;
use crate::ownership::Owners;
use crate::path::{FieldPath, Step};
use crate::residue::{Extra, equal_at};
use crate::schema::Node;

/// True for a place of which it is not known whether what is there was explained before.
pub(crate) fn is_first(case: &Case<'_>, path: &FieldPath) -> bool {
    // Of a Secret only what it holds is not remembered.
    let is_kept = case.kind.is_secret() && !is_secret_data(path);
    (case.known.is_none() && !case.baseline.is_own_sighting()) || (case.partial && !is_kept)
}

/// True for a place whose values are the secret itself.
pub(crate) fn is_secret_data(path: &FieldPath) -> bool {
    matches!(path.0.first(), Some(Step::Field(name)) if name == "data" || name == "stringData")
}

/// Takes out what the schema tells: its defaults, where the server itself is not asked, and what is served by a newer schema than the
/// one that is known. Gives the latter: nothing can be said about it until the schema is here.
pub(crate) fn take_out(case: &Case<'_>, new: &mut Vec<Extra<'_>>) -> Vec<FieldDrift> {
    let asked = matches!(case.expected, Expected::Answer(_));
    let fallback = !asked && (case.expected == Expected::Refused || !case.askable);
    if new.is_empty() || !(fallback || automation::is_custom(case.kind)) {
        return Vec::new();
    }
    let filled = case.schema.with_defaults(&case.declared.object);
    new.retain(|extra| {
        let steps = &extra.path.0;
        match extra.path.get(&filled) {
            None => true,
            // Declared as null is not declared, and no default either; a text in a map is stored as an empty one.
            Some(Value::Null) => extra.value != "",
            Some(default) => !equal_at(
                default,
                extra.value,
                case.schema,
                case.schema.at(steps),
                steps,
            ),
        }
    });
    let mut newer = Vec::new();
    new.retain(|extra| {
        let is_newer = case.schema.rules_out(&extra.path.0);
        if is_newer {
            newer.push(FieldDrift {
                path: extra.path.clone(),
                change: Change::Added,
                declared: None,
                live: Some(extra.value.clone()),
            });
        }
        !is_newer
    });
    newer
}

/// True for what an earlier declaration holds and the current one does not, and is still there because no roll-out took it away. A
/// default that was declared once comes back when it is taken away: that cannot be told from it where only ownership speaks.
pub(crate) fn still_there(case: &Case<'_>, owners: &Owners<'_>, path: &FieldPath) -> bool {
    let Baseline::Earlier { object, .. } = case.baseline else {
        return false;
    };
    if path.get(object).is_none_or(Value::is_null) {
        return false;
    }
    let above = path.0.split_last().map_or(&[][..], |(_, above)| above);
    let has_default = matches!(
        case.schema.node(case.schema.at(above)),
        Node::Struct(_) | Node::Any
    );
    let applied = owners.owner(path, case.schema);
    matches!(case.expected, Expected::Answer(_))
        || automation::is_custom(case.kind)
        || !has_default
        || applied.is_some_and(|o| o.operation == "Apply")
}
