//! Writes to objects, as a policy's account: the account has to be allowed to write, and the operator to impersonate it. There is no
//! way here to write as the operator itself.

use drift::GroupVersionKind;
use http::Method;
use json_patch::Patch;
use kube::Client;
use serde_json::{Value, json};

use crate::account::Account;
use crate::call;
use crate::discovery::Resource;
use crate::error::{Error, Result};

/// What our entries in managedFields are called.
pub const MANAGER: &str = "driftline";

/// One object, and as whom it is written to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// As whom.
    pub account: &'a Account,
    /// Its kind and version.
    pub kind: &'a GroupVersionKind,
    /// How its kind is served.
    pub resource: &'a Resource,
    /// Its namespace, where it has one.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

/// Whether something is written, or only asked what would come of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Real,
    DryRun,
}

impl Place<'_> {
    pub(crate) fn action(&self, verb: &str) -> String {
        let (kind, name, account) = (&self.kind.group_kind.kind, self.name, self.account);
        format!("{verb} the {kind} {name} as service account {account}")
    }

    fn request(
        &self,
        mode: Mode,
        method: Method,
        name: &str,
        media: &str,
    ) -> http::request::Builder {
        let path = call::objects(self.kind, self.resource, self.namespace);
        let dry = match mode {
            Mode::Real => "",
            Mode::DryRun => "&dryRun=All",
        };
        let url = format!("{path}{name}?fieldManager={MANAGER}&fieldValidation=Ignore{dry}");
        call::get(&url)
            .method(method)
            .header(http::header::CONTENT_TYPE, media)
            // The API server adds the account's groups by itself.
            .header("Impersonate-User", self.account.user())
    }
}

/// Applies a JSON patch to an object and gives what has become of it.
///
/// # Errors
/// Where the API server does not answer or refuses; where a test of the patch fails, so that nothing was written, see [`is_stale`].
pub async fn patch(client: &Client, place: Place<'_>, patch: &Patch) -> Result<Value> {
    send_patch(Mode::Real, client, place, patch).await
}

/// Asks what a JSON patch would make of an object. Nothing is written.
///
/// # Errors
/// As for [`patch`].
pub async fn try_patch(client: &Client, place: Place<'_>, patch: &Patch) -> Result<Value> {
    send_patch(Mode::DryRun, client, place, patch).await
}

async fn send_patch(mode: Mode, client: &Client, place: Place<'_>, patch: &Patch) -> Result<Value> {
    let action = place.action("patch");
    let name = format!("/{}", call::escape(place.name));
    let builder = place.request(mode, Method::PATCH, &name, "application/json-patch+json");
    let body = json!(patch).to_string().into_bytes();
    let request = call::with_body(builder, &action, body)?;
    call::json(client, request, &action, call::CALL).await
}

/// Creates an object as it is declared and gives what has become of it.
///
/// # Errors
/// Where the API server does not answer or refuses.
pub async fn create(client: &Client, place: Place<'_>, declared: &Value) -> Result<Value> {
    send_create(Mode::Real, client, place, declared).await
}

/// Asks what would come of creating an object. Nothing is written.
///
/// # Errors
/// As for [`create`].
pub async fn try_create(client: &Client, place: Place<'_>, declared: &Value) -> Result<Value> {
    send_create(Mode::DryRun, client, place, declared).await
}

async fn send_create(
    mode: Mode,
    client: &Client,
    place: Place<'_>,
    declared: &Value,
) -> Result<Value> {
    let action = place.action("create");
    let builder = place.request(mode, Method::POST, "", "application/json");
    let request = call::with_body(builder, &action, declared.to_string().into_bytes())?;
    call::json(client, request, &action, call::CALL).await
}

/// True if a patch was refused because the object is not any more what its tests say.
///
/// The API server answers 422 to that as to an invalid object, and tells them apart in words only.
pub fn is_stale(error: &Error) -> bool {
    match error {
        Error::Status { status: 409, .. } => true,
        Error::Status {
            status: 422,
            message,
            ..
        } => {
            message.contains("testing value") || message.contains("the server rejected our request")
        }
        _ => false,
    }
}

/// The patch that takes our own entries out of an object's managedFields, so that its deployer's next apply finds no conflict with us;
/// `None` where there is none.
///
/// Where nobody else has an entry, ours stays and owns a place where nothing is: an API server tracks nobody's updates on an object
/// without entries, and gives all of its fields to `before-first-apply` at the next apply, after which fields that are applied no more
/// would stay.
pub fn disowning(object: &Value) -> Option<Patch> {
    let metadata = object.get("metadata")?;
    let entries = metadata.get("managedFields")?.as_array()?;
    let is_ours = |entry: &&Value| {
        let text = |key| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        // What is applied is delivered, and stays ours.
        text("manager") == MANAGER && text("subresource").is_empty() && text("operation") != "Apply"
    };
    let place = entries.iter().position(|e| is_ours(&e))?;
    let path = format!("/metadata/managedFields/{place}");
    let last = if entries.len() == 1 {
        let nothing = json!({"f:metadata": {"f:annotations": {"f:driftline.dev/reverted": {}}}});
        if entries.first()?.get("fieldsV1") == Some(&nothing) {
            return None;
        }
        json!({"op": "replace", "path": format!("{path}/fieldsV1"), "value": nothing})
    } else {
        json!({"op": "remove", "path": path})
    };
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.get("uid")},
        {"op": "test", "path": format!("{path}/manager"), "value": MANAGER},
        last,
    ]);
    serde_json::from_value(operations).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_entry_goes_and_no_other() {
        let object = json!({"metadata": {"uid": "u", "managedFields": [{"manager": "helm"}, {"manager": "driftline", "subresource": "scale"}, {"manager": "driftline"}]}});
        let mut now = object.clone();
        json_patch::patch(&mut now, &disowning(&object).expect("a patch")).expect("applies");
        let left: Vec<&str> = now["metadata"]["managedFields"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|e| e["manager"].as_str())
            .collect();
        assert_eq!(left, ["helm", "driftline"]);
        assert_eq!(disowning(&now), None);
    }

    #[test]
    fn an_object_without_entries_was_tracked_no_more() {
        let mut now = json!({"metadata": {"uid": "u", "managedFields": [{"manager": "driftline", "fieldsV1": {"f:data": {"f:level": {}}}}]}});
        let patch = disowning(&now).expect("a patch");
        json_patch::patch(&mut now, &patch).expect("applies");
        let entries = now["metadata"]["managedFields"].as_array().expect("a list");
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0]["fieldsV1"]["f:data"], Value::Null);
        assert_eq!(disowning(&now), None);
    }
}
