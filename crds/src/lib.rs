//! Driftline's custom resources: `DriftPolicy` and `DriftRecord` of `driftline.dev/v1alpha1`.
//!
//! A field is here once it works, never before. The YAML beside this crate is generated from it
//! (`make generate`); a test fails when it is stale.

pub mod policy;
pub mod record;

pub use policy::*;
pub use record::*;

/// The API group.
pub const GROUP: &str = "driftline.dev";

/// Asks for a check now; any new value does. Answered in `status.lastHandledCheck`.
pub const CHECK_ANNOTATION: &str = "driftline.dev/check";

/// The label of a record that names its target.
pub const TARGET_LABEL: &str = "driftline.dev/target";

/// The label of a record that holds its policy's name.
pub const POLICY_LABEL: &str = "driftline.dev/policy";

/// Both definitions, as they are applied to a cluster, by file name.
pub fn definitions() -> Vec<(
    &'static str,
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
)> {
    use kube::CustomResourceExt as _;
    vec![
        ("driftpolicies.yaml", DriftPolicy::crd()),
        ("driftrecords.yaml", DriftRecord::crd()),
    ]
}
