//! The smallest JSON patch that puts drifted fields back, and changes nothing else.
//!
//! Every operation stands behind tests: of the object's uid, of the keys of the list elements that the way leads through, and of the value
//! that was judged. Whatever has changed since then, the patch fails as a whole instead of writing over it.

use std::collections::HashSet;

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation,
};
use serde_json::{Map, Value};

use crate::compare::{Change, FieldDrift};
use crate::path::{FieldPath, Step};

/// Why a field cannot be put back by a patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The live object is not the one that was judged.
    #[error("the live object has no uid")]
    NoUid,
    /// The way to it does not lead to where it was.
    #[error("{0} is not in the live object as it was judged")]
    Moved(String),
    /// It is not in the declaration.
    #[error("{0} is not declared")]
    NotDeclared(String),
}

/// The patch that gives `fields` of `live` the values that `declared` has, and removes those that were added.
pub fn put_back(
    declared: &Value,
    live: &Value,
    fields: &[&FieldDrift],
) -> Result<Patch, PatchError> {
    let uid = live
        .get("metadata")
        .and_then(|m| m.get("uid"))
        .ok_or(PatchError::NoUid)?;
    let mut draft = Draft {
        declared,
        object: live.clone(),
        operations: Vec::new(),
        tested: HashSet::new(),
    };
    draft.test(PointerBuf::from_tokens(["metadata", "uid"]), uid.clone());
    // Elements are inserted behind those that are declared before them, and of duplicates the last goes first.
    let (added, mut declared_ones): (Vec<&FieldDrift>, Vec<&FieldDrift>) =
        fields.iter().partition(|f| f.change == Change::Added);
    declared_ones.sort_by_key(|f| places(declared, &f.path));
    for field in declared_ones {
        draft.restore(field)?;
    }
    for field in added.into_iter().rev() {
        draft.remove(field)?;
    }
    Ok(Patch(draft.operations))
}

/// A patch, and what it makes of the object so far: pointers count from there.
struct Draft<'a> {
    declared: &'a Value,
    object: Value,
    operations: Vec<PatchOperation>,
    /// Lists that were tested as a whole: what comes after is known from the patch itself.
    tested: HashSet<String>,
}

impl Draft<'_> {
    fn restore(&mut self, field: &FieldDrift) -> Result<(), PatchError> {
        let moved = || PatchError::Moved(field.path.to_string());
        let undeclared = || PatchError::NotDeclared(field.path.to_string());
        let value = field.declared.clone().ok_or_else(undeclared)?;
        let (last, above) = field.path.0.split_last().ok_or_else(moved)?;
        let place = match self.walk(above) {
            Some(place) => place,
            None if field.change == Change::Missing => self.make_map(above).ok_or_else(moved)?,
            None => return Err(moved()),
        };
        let parent = place.resolve(&self.object).map_err(|_| moved())?;
        if let Some(at) = position(last, parent).filter(|_| field.change == Change::Changed) {
            let mut there = place;
            self.test_keys(&there, last, &at);
            there.push_back(at);
            let now = there.resolve(&self.object).map_err(|_| moved())?.clone();
            self.test(there.clone(), now);
            self.push(PatchOperation::Replace(ReplaceOperation {
                path: there,
                value,
            }));
            return Ok(());
        }
        if field.change == Change::Changed {
            return Err(moved());
        }
        let mut there = place.clone();
        match (last, parent) {
            (Step::Field(name), Value::Object(_)) => there.push_back(name.as_str()),
            (Step::Select(..) | Step::Member(_), Value::Array(list)) => {
                // Two that add to one list do not know of each other otherwise.
                let list = Value::from(list.clone());
                let at = self.insert_at(above, last, &list);
                if self.tested.insert(FieldPath(above.to_vec()).to_string()) {
                    self.test(place, list);
                }
                there.push_back(at);
            }
            _ => return Err(moved()),
        }
        self.push(PatchOperation::Add(AddOperation { path: there, value }));
        Ok(())
    }

    fn remove(&mut self, field: &FieldDrift) -> Result<(), PatchError> {
        let moved = || PatchError::Moved(field.path.to_string());
        let (last, above) = field.path.0.split_last().ok_or_else(moved)?;
        let mut place = self.walk(above).ok_or_else(moved)?;
        let parent = place.resolve(&self.object).map_err(|_| moved())?;
        let at = position(last, parent).ok_or_else(moved)?;
        place.push_back(at);
        let now = place.resolve(&self.object).map_err(|_| moved())?.clone();
        self.test(place.clone(), now);
        self.push(PatchOperation::Remove(RemoveOperation { path: place }));
        Ok(())
    }

    /// Makes the declared map at a place whose parent is there: the server drops maps with their last key.
    fn make_map(&mut self, steps: &[Step]) -> Option<PointerBuf> {
        let is_declared = FieldPath(steps.to_vec())
            .get(self.declared)
            .is_some_and(Value::is_object);
        let (Step::Field(name), above) = steps.split_last()? else {
            return None;
        };
        let mut place = self.walk(above)?;
        let parent = place.resolve(&self.object).ok()?;
        if !is_declared
            || !parent.is_object()
            || position(&Step::Field(name.clone()), parent).is_some()
        {
            return None;
        }
        place.push_back(name.as_str());
        self.push(PatchOperation::Add(AddOperation {
            path: place.clone(),
            value: Value::Object(Map::new()),
        }));
        Some(place)
    }

    /// The pointer to a place, with tests of the keys of the elements on the way.
    fn walk(&mut self, steps: &[Step]) -> Option<PointerBuf> {
        let mut pointer = PointerBuf::new();
        for step in steps {
            let parent = pointer.resolve(&self.object).ok()?;
            let at = position(step, parent)?;
            self.test_keys(&pointer, step, &at);
            pointer.push_back(at);
        }
        Some(pointer)
    }

    /// Tests that the element at a place of a list is the one that is meant.
    fn test_keys(&mut self, list: &PointerBuf, step: &Step, at: &str) {
        let Step::Select(pairs, _) = step else {
            return;
        };
        for (key, value) in pairs {
            let mut pointer = list.clone();
            pointer.push_back(at);
            pointer.push_back(key.as_str());
            if pointer.resolve(&self.object).is_ok() {
                self.test(pointer, value.clone());
            }
        }
    }

    fn test(&mut self, path: PointerBuf, value: Value) {
        let test = PatchOperation::Test(TestOperation { path, value });
        self.operations.push(test);
    }

    fn push(&mut self, operation: PatchOperation) {
        // Of a place that was found a moment ago.
        let _ = json_patch::patch(&mut self.object, std::slice::from_ref(&operation));
        self.operations.push(operation);
    }

    /// Where in a live list an element belongs that is missing: behind the nearest that is declared before it and there.
    fn insert_at(&self, list: &[Step], element: &Step, live: &Value) -> String {
        let declared = FieldPath(list.to_vec());
        let all = declared.get(self.declared).and_then(Value::as_array);
        let own = all.and_then(|all| index(element, all));
        let end = live.as_array().map_or(0, Vec::len);
        let (Some(all), Some(own), Step::Select(pairs, _)) = (all, own, element) else {
            return end.to_string();
        };
        let before = all.iter().take(own).rev();
        let behind = before
            .filter_map(|sibling| position(&like(pairs, sibling), live)?.parse::<usize>().ok())
            .next();
        behind.map_or(0, |n| n + 1).min(end).to_string()
    }
}

/// The step to an element of the same list.
fn like(pairs: &[(String, Value)], element: &Value) -> Step {
    let key = |(name, _): &(String, Value)| Some((name.clone(), element.get(name)?.clone()));
    Step::Select(pairs.iter().filter_map(key).collect(), 0)
}

/// The token of a JSON pointer for a step from a value, where the step leads somewhere.
pub(crate) fn position(step: &Step, value: &Value) -> Option<String> {
    match (step, value) {
        (Step::Field(name), Value::Object(fields)) => has(fields, name).then(|| name.clone()),
        (_, Value::Array(list)) => index(step, list).map(|n| n.to_string()),
        _ => None,
    }
}

fn has(fields: &Map<String, Value>, name: &str) -> bool {
    fields.get(name).is_some_and(|v| !v.is_null())
}

fn index(step: &Step, list: &[Value]) -> Option<usize> {
    match step {
        Step::Index(n) => (*n < list.len()).then_some(*n),
        Step::Member(member) => list.iter().position(|v| v == member),
        Step::Select(pairs, nth) => {
            let is_meant = |v: &Value| {
                let same = |(k, want): &(String, Value)| v.get(k).is_none_or(|have| have == want);
                pairs.iter().all(same)
            };
            let hits = list.iter().enumerate().filter(|(_, v)| is_meant(v));
            hits.map(|(n, _)| n).nth(*nth)
        }
        Step::Field(_) | Step::AnyMember => None,
    }
}

/// The places in their lists of what a path leads through.
fn places(declared: &Value, path: &FieldPath) -> Vec<usize> {
    let mut value = Some(declared);
    let mut places = Vec::new();
    for step in &path.0 {
        let list = value.and_then(Value::as_array);
        places.extend(list.and_then(|list| index(step, list)));
        value = value.and_then(|v| step.get(v));
    }
    places
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
