//! The chart's README is made of values.yaml, and values.schema.json knows the same values.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::support::chart;

const HEAD: &str = "\
# Chart of Driftline

Generated from values.yaml by `make generate`; do not edit.

Installs the operator, its custom resources, its rights and what guards them. How to install, and what else it takes:
[docs/install.md](../../docs/install.md). What it may do: [docs/security.md](../../docs/security.md).

    helm install driftline charts/driftline --namespace driftline-system --create-namespace --set image.repository=YOUR-IMAGE

Rendering it twice gives the same objects; it holds no random values, makes no Secrets and takes none in values. Values that do not go
together are refused before anything is installed, in words.

## Values

### General

";

/// A value of the chart, or a group of values.
#[derive(Debug, Default)]
struct Documented {
    /// Its names from the root, with dots.
    name: String,
    /// `None` for a group.
    default: Option<String>,
    text: String,
    example: Vec<String>,
}

/// All values with what stands directly above them.
fn documented() -> Vec<Documented> {
    let text = std::fs::read_to_string(chart().join("values.yaml")).unwrap();
    let mut place: Vec<(usize, &str)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        if let Some(said) = bare.strip_prefix('#') {
            comment.push(said);
            continue;
        }
        let above = std::mem::take(&mut comment);
        let Some((key, default)) = bare.split_once(':') else {
            assert!(bare.is_empty(), "not understood: {line}");
            continue;
        };
        let indent = line.len() - bare.len();
        place.retain(|(of, _)| *of < indent);
        place.push((indent, key));
        let names: Vec<&str> = place.iter().map(|(_, key)| *key).collect();
        let (example, text): (Vec<&str>, Vec<&str>) =
            above.into_iter().partition(|said| said.starts_with("   "));
        let text: Vec<&str> = text.into_iter().map(str::trim).collect();
        let default = default.trim().to_owned();
        found.push(Documented {
            name: names.join("."),
            default: Some(default).filter(|d| !d.is_empty()),
            text: text.join(" "),
            example: example.iter().map(|said| said[3..].to_owned()).collect(),
        });
    }
    found
}

fn readme() -> String {
    let mut page = HEAD.to_owned();
    for value in documented() {
        let Documented { name, text, .. } = &value;
        match &value.default {
            Some(default) => writeln!(page, "- **`{name}`**, default `{default}`. {text}").unwrap(),
            None if name.contains('.') => {}
            None if text.is_empty() => write!(page, "\n### {name}\n\n").unwrap(),
            None => write!(page, "\n### {name}\n\n{text}\n\n").unwrap(),
        }
        if !value.example.is_empty() {
            let lines = value.example.join("\n  ");
            write!(page, "\n  ```yaml\n  {lines}\n  ```\n\n").unwrap();
        }
    }
    page
}

#[test]
fn the_readme_of_the_chart_is_up_to_date() {
    let path = chart().join("README.md");
    if std::env::var_os("DRIFTLINE_GENERATE").is_some() {
        std::fs::write(&path, readme()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == readme(),
        "charts/driftline/README.md is stale; run `make generate`"
    );
}

#[test]
fn every_value_is_described() {
    for value in documented().iter().filter(|v| v.default.is_some()) {
        let says = value.text.len() > 4 && value.text.ends_with(['.', ':']);
        assert!(says, "{}: {:?}", value.name, value.text);
    }
}

/// The names that a schema lets through, down to what is free or no object.
fn named(schema: &Value, place: &str, names: &mut BTreeSet<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        names.insert(place.to_owned());
        return;
    };
    assert_eq!(
        schema["additionalProperties"], false,
        "{place}: every name would be let through"
    );
    for (name, inner) in properties {
        let dot = if place.is_empty() { "" } else { "." };
        named(inner, &format!("{place}{dot}{name}"), names);
    }
}

#[test]
fn the_schema_knows_exactly_the_values_that_there_are() {
    let text = std::fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    let properties = schema["properties"].as_object_mut().unwrap();
    // Helm hands it to every chart.
    properties.remove("global").unwrap();
    // Of requests and limits any resource may be named.
    let mut names = BTreeSet::new();
    named(&schema, "", &mut names);
    let values: BTreeSet<String> = documented()
        .into_iter()
        .filter(|v| v.default.is_some())
        .map(|v| v.name)
        .collect();
    let shown = |name: &str| {
        // worker.env is one value, of which the schema names the members.
        let parent = name.rsplit_once('.').map(|(parent, _)| parent.to_owned());
        parent
            .filter(|p| values.contains(p))
            .unwrap_or(name.to_owned())
    };
    let names: BTreeSet<String> = names.iter().map(|name| shown(name)).collect();
    assert_eq!(names, values);
}
