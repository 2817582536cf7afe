//! The custom resource definitions, against those that this program was built with.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{Api, Client, ResourceExt as _};

use super::installation::Installation;
use super::reading::{self, Seen};
use super::report::{Finding, Level};

const CHECK: &str = "definitions";
/// What installs them.
const APPLY: &str = "apply the definitions of the operator's version: `kubectl apply --server-side --force-conflicts -f crds/`";
/// Fields that are named in a message.
const NAMED: usize = 3;

/// Looks at each definition. True unless none of them is there.
pub async fn checks(client: &Client, installation: &Installation) -> (bool, Vec<Finding>) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let (mut bad, mut good) = (Vec::new(), Vec::new());
    let mut defined = false;
    for (_, wanted) in driftline_crds::definitions() {
        let name = wanted.name_any();
        let seen = reading::one(&api, &name).await;
        defined |= !matches!(seen, Seen::Absent);
        match seen {
            Seen::There(live) => match trouble(&live, &wanted, installation) {
                Some(finding) => bad.push(finding),
                None => good.push(format!("{name} ({})", versions(&live).join(", "))),
            },
            Seen::Absent => bad.push(Finding::bad(
                CHECK,
                Level::Failure,
                format!("{name} is not defined"),
                APPLY.to_owned(),
            )),
            Seen::Hidden(why) => bad.push(reading::hidden(CHECK, &name, &why)),
        }
    }
    if !good.is_empty() {
        bad.insert(
            0,
            Finding::ok(
                CHECK,
                format!("as this program knows them: {}", good.join(", ")),
            ),
        );
    }
    (defined, bad)
}

fn versions(definition: &CustomResourceDefinition) -> Vec<String> {
    let served = definition.spec.versions.iter().filter(|v| v.served);
    served.map(|v| v.name.clone()).collect()
}

fn trouble(
    live: &CustomResourceDefinition,
    wanted: &CustomResourceDefinition,
    installation: &Installation,
) -> Option<Finding> {
    let name = live.name_any();
    let apply = APPLY.to_owned();
    let bad =
        |level, message: String, remedy: String| Some(Finding::bad(CHECK, level, message, remedy));
    let conditions = live
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    for condition in conditions {
        let expected = match condition.type_.as_str() {
            "Established" | "NamesAccepted" => "True",
            "NonStructuralSchema" | "Terminating" => "False",
            _ => continue,
        };
        if condition.status != expected {
            let why = condition.message.as_deref().unwrap_or_default();
            return bad(
                Level::Failure,
                format!("{name}: {} is {}: {why}", condition.type_, condition.status),
                format!("see what keeps it: `kubectl describe crd {name}`"),
            );
        }
    }
    for version in &wanted.spec.versions {
        let Some(there) = live
            .spec
            .versions
            .iter()
            .find(|v| v.name == version.name && v.served)
        else {
            let served = versions(live).join(", ");
            return bad(
                Level::Failure,
                format!(
                    "{name} is served as {served}, and this program speaks {}",
                    version.name
                ),
                format!("use the kubectl-driftline of the operator's version, or {apply}"),
            );
        };
        let schema = |v: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion| {
            let schema = v.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref());
            schema.map(fields).unwrap_or_default()
        };
        let (ours, theirs) = (schema(version), schema(there));
        let lacks: Vec<&String> = ours.difference(&theirs).collect();
        if !lacks.is_empty() {
            // What a definition does not know, the API server drops: an operator of this version writes into the void.
            let level = match installation.version.as_deref() {
                Some(version) if version != env!("CARGO_PKG_VERSION") => Level::Warning,
                _ => Level::Failure,
            };
            return bad(
                level,
                format!(
                    "{name} is older than this program: it does not know {}",
                    some(&lacks)
                ),
                apply,
            );
        }
        let more: Vec<&String> = theirs.difference(&ours).collect();
        if !more.is_empty() {
            return bad(
                Level::Warning,
                format!(
                    "{name} is newer than this program: it knows {} besides",
                    some(&more)
                ),
                "use the kubectl-driftline of the operator's version".to_owned(),
            );
        }
    }
    let known = |stored: &String| wanted.spec.versions.iter().any(|v| v.name == *stored);
    let stored = live
        .status
        .iter()
        .flat_map(|s| s.stored_versions.iter().flatten());
    let strange: Vec<&String> = stored.filter(|s| !known(s)).collect();
    if !strange.is_empty() {
        return bad(
            Level::Warning,
            format!(
                "objects of {name} are stored as {}, which this program does not know",
                some(&strange)
            ),
            "use the kubectl-driftline of the operator's version".to_owned(),
        );
    }
    None
}

fn some(names: &[&String]) -> String {
    let mut text = names
        .iter()
        .take(NAMED)
        .map(|n| n.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > NAMED {
        text = format!("{text} and {} more", names.len() - NAMED);
    }
    text
}

/// The paths of all fields of a schema.
fn fields(schema: &JSONSchemaProps) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(schema, "", &mut found);
    found
}

fn collect(schema: &JSONSchemaProps, at: &str, found: &mut BTreeSet<String>) {
    for (name, below) in schema.properties.iter().flatten() {
        let path = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}.{name}")
        };
        collect(below, &path, found);
        found.insert(path);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        collect(items, &format!("{at}[]"), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation() -> Installation {
        Installation::none("driftline-system")
    }

    fn policies() -> CustomResourceDefinition {
        let all = driftline_crds::definitions().into_iter().map(|(_, d)| d);
        all.into_iter()
            .find(|d| d.name_any().starts_with("driftpolicies"))
            .expect("policies")
    }

    fn spec(
        definition: &mut CustomResourceDefinition,
    ) -> &mut std::collections::BTreeMap<String, JSONSchemaProps> {
        let schema = definition.spec.versions[0].schema.as_mut();
        let root = schema
            .and_then(|s| s.open_api_v3_schema.as_mut())
            .expect("a schema");
        let spec = root
            .properties
            .as_mut()
            .and_then(|p| p.get_mut("spec"))
            .expect("a spec");
        spec.properties.as_mut().expect("properties")
    }

    #[test]
    fn a_definition_that_lacks_a_field_is_older_and_one_with_more_is_newer() {
        assert!(trouble(&policies(), &policies(), &installation()).is_none());
        let mut old = policies();
        spec(&mut old).remove("rules");
        let finding = trouble(&old, &policies(), &installation()).expect("trouble");
        assert_eq!(finding.level, Level::Failure);
        assert!(
            finding.message.contains("does not know spec.rules, "),
            "{}",
            finding.message
        );
        let finding = trouble(&policies(), &old, &installation()).expect("trouble");
        assert_eq!(finding.level, Level::Warning);
        let mut other = policies();
        other.spec.versions[0].name = "v1".to_owned();
        let finding = trouble(&other, &policies(), &installation()).expect("trouble");
        assert!(
            finding
                .message
                .contains("served as v1, and this program speaks v1alpha1"),
            "{}",
            finding.message
        );
    }
}
