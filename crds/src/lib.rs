//! Driftline's custom resources: `DriftPolicy`, `DriftRecord` and `DriftException` of `driftline.dev/v1alpha1`.
//!
//! A field is here once it works, never before. The YAML beside this crate is generated from it
//! (`make generate`); a test fails when it is stale.

pub mod exception;
pub mod policy;
pub mod record;
pub mod rules;

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

pub use exception::*;
pub use policy::*;
pub use record::*;
pub use rules::*;

/// The API group.
pub const GROUP: &str = "driftline.dev";

/// The finalizer of a policy whose end deletes what it delivered.
pub const FINALIZER: &str = "driftline.dev/delete";
/// Asks for a check now; any new value does. Answered in `status.lastHandledCheck`.
pub const CHECK_ANNOTATION: &str = "driftline.dev/check";

/// On a live object: until when it is not put back (RFC 3339).
pub const HOLD_UNTIL_ANNOTATION: &str = "driftline.dev/hold-until";

/// On a live object: why it is not put back.
pub const HOLD_REASON_ANNOTATION: &str = "driftline.dev/hold-reason";

/// Lets what is blocked go through once: the digest that the message names.
pub const CONFIRM_ANNOTATION: &str = "driftline.dev/confirm";

/// The label of a record that names its target.
pub const TARGET_LABEL: &str = "driftline.dev/target";

/// The label of a record that holds its policy's name.
pub const POLICY_LABEL: &str = "driftline.dev/policy";

/// The label of a record that holds its severity.
pub const SEVERITY_LABEL: &str = "driftline.dev/severity";

/// All definitions, as they are applied to a cluster, by file name.
pub fn definitions() -> Vec<(&'static str, CustomResourceDefinition)> {
    use kube::CustomResourceExt as _;
    let mut all = vec![
        ("driftpolicies.yaml", DriftPolicy::crd()),
        ("driftexceptions.yaml", DriftException::crd()),
        ("driftrecords.yaml", DriftRecord::crd()),
    ];
    for version in all
        .iter_mut()
        .flat_map(|(_, definition)| &mut definition.spec.versions)
    {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        {
            drop_unknown_formats(schema);
        }
    }
    all
}

/// The API server warns of formats that it does not know; `uint32` says no more than the minimum beside it.
fn drop_unknown_formats(schema: &mut JSONSchemaProps) {
    schema.format.take_if(|format| format == "uint32");
    schema
        .properties
        .iter_mut()
        .flat_map(BTreeMap::values_mut)
        .for_each(drop_unknown_formats);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        drop_unknown_formats(items);
    }
}
