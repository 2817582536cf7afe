//! Delivering an object as a policy's account: a server-side apply of all that is declared, under one field manager.
//!
//! What `kubectl apply` wrote before is taken over first: a field that it has set and that is not declared any more would otherwise stay
//! for ever, because an apply removes only what its own manager owns.
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/server-side-apply/>.

use drift::ownership::Attribution;
use http::Method;
use json_patch::Patch;
use kube::Client;
use serde_json::{Map, Value, json};

use crate::call;
use crate::error::Result;
use crate::write::Place;

/// The field manager that owns what is delivered. What is put back without being delivered goes by another name, and is disowned.
pub const MANAGER: &str = "driftline-delivery";

/// The managers of `kubectl apply`, and of what was there before server-side apply kept its first entry.
const TAKEN_OVER: [&str; 2] = ["kubectl-client-side-apply", "before-first-apply"];

/// True for an owner whose fields go when they are not declared any more: ours, or one that is taken over.
pub fn is_ours(owner: &Attribution) -> bool {
    let ours = owner.operation == "Apply" && owner.manager == MANAGER;
    owner.subresource.is_empty() && (ours || is_taken_over(&owner.operation, &owner.manager))
}

fn is_taken_over(operation: &str, manager: &str) -> bool {
    operation == "Update" && TAKEN_OVER.contains(&manager)
}

/// Applies an object, taking what others own of it, and gives what has become of it. Where the object names a uid or a resourceVersion,
/// nothing is written to any other.
///
/// # Errors
/// Where the API server does not answer or refuses; with status 409 where the live object is another one.
pub async fn apply(client: &Client, place: Place<'_>, object: &Value) -> Result<Value> {
    let action = place.action("apply");
    let path = call::objects(place.kind, place.resource, place.namespace);
    let name = call::escape(place.name);
    let url = format!("{path}/{name}?fieldManager={MANAGER}&force=true&fieldValidation=Ignore");
    let builder = call::get(&url)
        .method(Method::PATCH)
        .header(http::header::CONTENT_TYPE, "application/apply-patch+yaml")
        .header("Impersonate-User", place.account.user());
    let request = call::with_body(builder, &action, object.to_string().into_bytes())?;
    call::json(client, request, &action, call::CALL).await
}

/// Deletes an object as it is, and what it owns after it. Gives nothing: a finalizer may hold it for a while.
///
/// # Errors
/// Where the API server does not answer or refuses; with status 409 where the live object is another one, or has changed.
pub async fn delete(client: &Client, place: Place<'_>, uid: &str, version: &str) -> Result<()> {
    let action = place.action("delete");
    let path = call::objects(place.kind, place.resource, place.namespace);
    let url = format!("{path}/{}", call::escape(place.name));
    let builder = call::get(&url)
        .method(Method::DELETE)
        .header(http::header::CONTENT_TYPE, "application/json")
        .header("Impersonate-User", place.account.user());
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": {"uid": uid, "resourceVersion": version},
    });
    let request = call::with_body(builder, &action, options.to_string().into_bytes())?;
    let _: Value = call::json(client, request, &action, call::CALL).await?;
    Ok(())
}

/// The patch that hands what `kubectl apply` owns of a live object to our manager; `None` where it owns nothing.
pub fn taking_over(live: &Value) -> Option<Patch> {
    let metadata = live.get("metadata")?;
    let entries = metadata.get("managedFields")?.as_array()?;
    let (theirs, mut rest): (Vec<Value>, Vec<Value>) =
        entries.iter().cloned().partition(|e| is(e, is_taken_over));
    if theirs.is_empty() {
        return None;
    }
    let ours = |operation: &str, manager: &str| operation == "Apply" && manager == MANAGER;
    let own = rest.iter().position(|e| is(e, ours));
    let mut own = own.map_or_else(
        || {
            let first = theirs.first().cloned().unwrap_or_default();
            let fields = json!({"manager": MANAGER, "operation": "Apply", "fieldsV1": {}});
            merged(first, fields)
        },
        |place| rest.remove(place),
    );
    let fields = own.get_mut("fieldsV1")?;
    for their in theirs {
        unite(fields, their.get("fieldsV1")?);
    }
    rest.push(own);
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.get("uid")},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.get("resourceVersion")},
        {"op": "replace", "path": "/metadata/managedFields", "value": rest},
    ]);
    serde_json::from_value(operations).ok()
}

fn is(entry: &Value, meant: impl Fn(&str, &str) -> bool) -> bool {
    let text = |key| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    text("subresource").is_empty() && meant(text("operation"), text("manager"))
}

fn merged(mut entry: Value, over: Value) -> Value {
    if let (Some(entry), Value::Object(over)) = (entry.as_object_mut(), over) {
        entry.extend(over);
    }
    entry
}

/// Adds one set of fields to another: both are trees of maps.
fn unite(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        for (key, below) in from {
            let place = into.entry(key.clone());
            unite(place.or_insert_with(|| Value::Object(Map::new())), below);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn taken(entries: Value) -> Option<Value> {
        let mut object =
            json!({"metadata": {"uid": "u", "resourceVersion": "7", "managedFields": entries}});
        let patch = taking_over(&object)?;
        json_patch::patch(&mut object, &patch).expect("applies");
        assert_eq!(taking_over(&object), None, "once is enough");
        Some(object["metadata"]["managedFields"].clone())
    }

    #[test]
    fn what_kubectl_apply_owns_becomes_ours() {
        let kubectl = entry(
            "kubectl-client-side-apply",
            "Update",
            json!({"f:data": {"f:a": {}, ".": {}}}),
        );
        let edit = entry("kubectl-edit", "Update", json!({"f:data": {"f:b": {}}}));
        let now = taken(json!([kubectl, edit])).expect("a patch");
        let ours = entry(MANAGER, "Apply", json!({"f:data": {"f:a": {}, ".": {}}}));
        assert_eq!(now, json!([edit, ours]));
        assert_eq!(taken(json!([edit])), None);
    }

    #[test]
    fn what_is_ours_already_grows() {
        let kubectl = entry(
            "kubectl-client-side-apply",
            "Update",
            json!({"f:data": {"f:a": {}}}),
        );
        let ours = entry(
            MANAGER,
            "Apply",
            json!({"f:data": {"f:c": {}}, "f:metadata": {}}),
        );
        let now = taken(json!([kubectl, ours])).expect("a patch");
        let both = json!({"f:data": {"f:a": {}, "f:c": {}}, "f:metadata": {}});
        assert_eq!(now, json!([entry(MANAGER, "Apply", both)]));
    }

    #[test]
    fn a_status_of_the_same_name_is_left_alone() {
        let mut status = entry(
            "kubectl-client-side-apply",
            "Update",
            json!({"f:status": {}}),
        );
        status["subresource"] = json!("status");
        assert_eq!(taken(json!([status])), None);
    }
}
