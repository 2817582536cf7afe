//! What machines read is what the documentation promises.

use driftline_e2e::{ControlPlane, operator};
use serde_json::{Value, json};

use super::support::*;

/// As much of JSON Schema as the published schema is written in; what is more than that is refused, never passed over. (The crates that
/// know all of it switch on features of `serde_json`, with which the product would be tested otherwise than it is shipped.)
struct Schema(Value);

impl Schema {
    fn published() -> Self {
        let file = operator::workspace().join("docs/audit-report.schema.json");
        Self(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
    }

    fn complaints(&self, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.check(&self.0, value, "", &mut found);
        found
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut found = Vec::new();
        self.check(schema, value, "", &mut found);
        found.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let Some(schema) = schema.as_object() else {
            assert_eq!(schema, &Value::Bool(true), "a schema that is none");
            return;
        };
        for (keyword, says) in schema {
            let good = match keyword.as_str() {
                "$schema"
                | "$defs"
                | "title"
                | "description"
                | "default"
                | "items"
                | "properties"
                | "x-kubernetes-preserve-unknown-fields" => true,
                "$ref" => {
                    let place = says.as_str().and_then(|r| r.strip_prefix('#')).unwrap();
                    let named = self
                        .0
                        .pointer(place)
                        .unwrap_or_else(|| panic!("{place} is not in the schema"));
                    self.check(named, value, at, found);
                    true
                }
                "type" => match says {
                    Value::Array(any) => any.iter().any(|t| is(t, value)),
                    one => is(one, value),
                },
                "required" => says
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|k| value.get(k.as_str().unwrap()).is_some() || !value.is_object()),
                "enum" => says.as_array().unwrap().contains(value),
                "const" => says == value,
                "anyOf" => says.as_array().unwrap().iter().any(|s| self.fits(s, value)),
                "oneOf" => {
                    says.as_array()
                        .unwrap()
                        .iter()
                        .filter(|s| self.fits(s, value))
                        .count()
                        == 1
                }
                "minimum" => value.as_f64().is_none_or(|n| n >= says.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|n| n <= says.as_f64().unwrap()),
                "format" => match says.as_str().unwrap() {
                    "date-time" => value
                        .as_str()
                        .is_none_or(|t| t.parse::<jiff::Timestamp>().is_ok()),
                    "uint32" | "uint64" | "int32" | "int64" => true,
                    other => panic!("format {other} is not known to this test"),
                },
                other => panic!("{other} is not known to this test"),
            };
            if !good {
                found.push(format!("{at}: not {keyword} {says}: {value}"));
            }
        }
        if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
            for (n, value) in values.iter().enumerate() {
                self.check(items, value, &format!("{at}/{n}"), found);
            }
        }
        if let (Some(properties), Some(members)) = (schema.get("properties"), value.as_object()) {
            for (name, member) in members {
                // "Fields may be added"; those of our own version are all named.
                match properties.get(name) {
                    Some(schema) => self.check(schema, member, &format!("{at}/{name}"), found),
                    None => found.push(format!("{at}/{name}: is not in the schema")),
                }
            }
        }
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("type {other} is not known to this test"),
    }
}

#[tokio::test]
async fn reports_are_as_their_schema_says() {
    let plane = ControlPlane::shared().await.unwrap();
    let shop = Shop::new(plane).await;
    let schema = Schema::published();
    let clean = shop.audit(&["-o", "json"]).await.json();
    assert_eq!(schema.complaints(&clean), [""; 0]);
    shop.edit().await;
    shop.kubectl(&["label", "deployment", "web", "by=hand"])
        .await;
    shop.declare(
        "gone.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: gone}\n",
    );
    shop.declare("broken.yaml", "apiVersion: v1\nkind: [\n");
    let json = shop.audit(&["-o", "json"]).await;
    let mut report = json.json();
    assert_eq!(
        report["clusters"][0]["objects"].as_array().map(Vec::len),
        Some(4),
        "{report}"
    );
    assert!(
        !report["clusters"][0]["notChecked"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(schema.complaints(&report), [""; 0]);
    let yaml = shop.audit(&["-o", "yaml"]).await.out;
    let yaml: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(schema.complaints(&yaml), [""; 0]);
    // The schema would notice.
    report["status"] = json!("Fine");
    report["clusters"][0]["objects"][0]["standing"] = json!(3);
    report["clusters"][0]["summary"]["more"] = json!(1);
    assert!(
        schema.complaints(&report).len() >= 3,
        "{:?}",
        schema.complaints(&report)
    );
}
