//! The one place where a declared or live value becomes something to show: in a record, an event, a log, a metric.
//! Values of Secrets are withheld whole, other values that look like credentials too, long ones are cut.

use serde_json::{Map, Value};

use crate::compare::FieldDrift;
use crate::path::{FieldPath, Step};
use crate::subject::GroupKind;

/// The longest value shown, in bytes of its JSON text.
pub const MAX_VALUE_BYTES: usize = 256;

/// Stands where a part of a value is withheld.
pub const WITHHELD: &str = "(withheld)";

/// A field's values as they may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The declared value; absent where there is none or it is withheld.
    pub declared: Option<Value>,
    /// The live value; absent where there is none or it is withheld.
    pub live: Option<Value>,
    /// A value was cut at [`MAX_VALUE_BYTES`].
    pub truncated: bool,
    /// The values, or parts of them, are withheld.
    pub sensitive: bool,
}

/// What of a difference may be shown.
pub fn show(kind: &GroupKind, drift: &FieldDrift) -> Shown {
    if withheld(kind, &drift.path) {
        return Shown {
            declared: None,
            live: None,
            truncated: false,
            sensitive: true,
        };
    }
    let mut shown = Shown {
        declared: None,
        live: None,
        truncated: false,
        sensitive: false,
    };
    shown.declared = drift
        .declared
        .as_ref()
        .map(|v| present(v, &mut shown.truncated, &mut shown.sensitive));
    shown.live = drift
        .live
        .as_ref()
        .map(|v| present(v, &mut shown.truncated, &mut shown.sensitive));
    shown
}

/// A path as it may be shown: set members and keys of a Secret are its own words, never its values.
pub fn show_path(kind: &GroupKind, path: &FieldPath) -> String {
    let mut path = path.clone();
    if kind.is_secret() {
        for step in &mut path.0 {
            if let Step::Member(value) = step {
                *value = WITHHELD.into();
            }
        }
    }
    path.to_string()
}

fn withheld(kind: &GroupKind, path: &FieldPath) -> bool {
    let root = match path.0.first() {
        Some(Step::Field(name)) => name.as_str(),
        _ => "",
    };
    let second = match path.0.get(1) {
        Some(Step::Field(name)) => name.as_str(),
        _ => "",
    };
    if kind.is_secret()
        && (matches!(root, "data" | "stringData" | "")
            || (root == "metadata" && matches!(second, "annotations" | "")))
    {
        return true;
    }
    path.0.iter().enumerate().any(|(n, step)| match step {
        // Values below an element of a list named like a credential (`env[name=DB_PASSWORD].value`).
        Step::Select(pairs, _) => {
            let value_below = matches!(path.0.get(n + 1), Some(Step::Field(f)) if f == "value");
            value_below && pairs.iter().any(|(_, v)| v.as_str().is_some_and(is_credential_name))
        }
        // Keys of free maps (`data`, `annotations`) named like a credential.
        Step::Field(name) => {
            let free_map = n > 0 && matches!(&path.0[n - 1], Step::Field(f) if matches!(f.as_str(), "data" | "annotations" | "stringData"));
            free_map && is_credential_name(name)
        }
        _ => false,
    })
}

/// Words that make a name a credential's; compared in lower case without separators.
const CREDENTIAL_WORDS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "credential",
    "accesskey",
];

/// True for names such as `DB_PASSWORD`, `apiToken`, `aws-secret-access-key`; false for names of references to them
/// (`secretName`, `TOKEN_FILE`).
pub fn is_credential_name(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    let reference = [
        "name", "ref", "file", "path", "ttl", "seconds", "url", "type",
    ]
    .iter()
    .any(|s| plain.ends_with(s));
    !reference && CREDENTIAL_WORDS.iter().any(|word| plain.contains(word))
}

fn present(value: &Value, truncated: &mut bool, sensitive: &mut bool) -> Value {
    let clean = scrub(value, sensitive);
    let length = match &clean {
        Value::String(s) => s.len(),
        Value::Array(_) | Value::Object(_) => clean.to_string().len(),
        _ => 0,
    };
    if length <= MAX_VALUE_BYTES {
        return clean;
    }
    *truncated = true;
    let text = match clean {
        Value::String(s) => s,
        other => other.to_string(),
    };
    Value::String(cut(&text, MAX_VALUE_BYTES).to_owned())
}

/// Withholds parts of a value: `value` beside a `name` that is a credential's, members named like one, passwords in URLs.
fn scrub(value: &Value, sensitive: &mut bool) -> Value {
    match value {
        Value::Object(members) => {
            let named = members
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(is_credential_name);
            let mut clean = Map::new();
            for (key, member) in members {
                let secret =
                    (named && key == "value") || (member.is_string() && is_credential_name(key));
                *sensitive |= secret;
                clean.insert(
                    key.clone(),
                    if secret {
                        WITHHELD.into()
                    } else {
                        scrub(member, sensitive)
                    },
                );
            }
            Value::Object(clean)
        }
        Value::Array(items) => items.iter().map(|v| scrub(v, sensitive)).collect(),
        Value::String(text) => match without_url_password(text) {
            Some(clean) => {
                *sensitive = true;
                Value::String(clean)
            }
            None => value.clone(),
        },
        other => other.clone(),
    }
}

/// `scheme://user:password@host` with the password withheld; `None` if there is none.
fn without_url_password(text: &str) -> Option<String> {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        clean.push_str(head);
        let end = tail
            .find(|c: char| c == '/' || c.is_whitespace() || c == '"' || c == '\'')
            .unwrap_or(tail.len());
        let authority = &tail[..end];
        match authority
            .rsplit_once('@')
            .and_then(|(user, host)| Some((user.split_once(':')?.0, host)))
        {
            Some((user, host)) => {
                found = true;
                clean.push_str(&format!("{user}:{WITHHELD}@{host}"));
            }
            None => clean.push_str(authority),
        }
        rest = &tail[end..];
    }
    clean.push_str(rest);
    found.then_some(clean)
}

/// A text cut to at most so many bytes, at a character's boundary.
pub fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::compare::Change;

    const CANARY: &str = "c4n4ry-7f3e";

    fn drift(path: &str, declared: Value, live: Value) -> FieldDrift {
        FieldDrift {
            path: path.parse().expect(path),
            change: Change::Changed,
            declared: Some(declared),
            live: Some(live),
        }
    }

    fn shows_canary(kind: &GroupKind, drift: &FieldDrift) -> bool {
        let shown = show(kind, drift);
        format!("{shown:?}{}", show_path(kind, &drift.path)).contains(CANARY)
    }

    #[test]
    fn no_canary_survives() {
        let secret = GroupKind::new("", "Secret");
        let other = GroupKind::new("apps", "Deployment");
        let whole = json!([{"name": "DB_PASSWORD", "value": CANARY}]);
        for (kind, path, value) in [
            (&secret, "data.x", json!(CANARY)),
            (&secret, "data", json!({"x": CANARY})),
            (&secret, "stringData[\"a.b\"]", json!(CANARY)),
            (
                &secret,
                "metadata.annotations[\"kubectl.kubernetes.io/x\"]",
                json!(CANARY),
            ),
            (
                &other,
                "spec.containers[name=web].env[name=DB_PASSWORD].value",
                json!(CANARY),
            ),
            (&other, "spec.containers[name=web].env", whole),
            (
                &other,
                "spec.containers[name=web].env[name=DB_PASSWORD]",
                json!({"name": "DB_PASSWORD", "value": CANARY}),
            ),
            (
                &other,
                "spec.template.metadata.annotations[\"x/api-token\"]",
                json!(CANARY),
            ),
            (
                &other,
                "data.DATABASE",
                json!(format!("postgres://app:{CANARY}@db:5432/x")),
            ),
            (&other, "data[\"client_secret\"]", json!(CANARY)),
        ] {
            assert!(
                !shows_canary(kind, &drift(path, value.clone(), value)),
                "{path}"
            );
        }
    }

    #[test]
    fn ordinary_values_are_shown_as_they_are() {
        let kind = GroupKind::new("apps", "Deployment");
        for value in [
            json!("shop/web:1.4.2"),
            json!(3),
            json!({"a": [1, true]}),
            json!({"secretName": "db"}),
        ] {
            let shown = show(&kind, &drift("spec.x", value.clone(), value.clone()));
            assert_eq!(
                shown,
                Shown {
                    declared: Some(value.clone()),
                    live: Some(value),
                    truncated: false,
                    sensitive: false
                }
            );
        }
        for name in ["secretName", "TOKEN_FILE", "tokenTTL", "LOG_LEVEL"] {
            assert!(!is_credential_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn values_are_cut(text in "\\PC{0,400}") {
            let shown = show(&GroupKind::new("", "ConfigMap"), &drift("data.x", json!(text), json!(1)));
            let declared = shown.declared.as_ref().and_then(Value::as_str).unwrap_or_default();
            prop_assert!(declared.len() <= MAX_VALUE_BYTES.max(text.len().min(MAX_VALUE_BYTES)));
            prop_assert_eq!(shown.truncated, declared.len() < text.len() && text.len() > MAX_VALUE_BYTES);
        }

        #[test]
        fn a_secret_shows_nothing(key in ".{1,8}", value in "[a-z]{6,20}") {
            let path = FieldPath(vec![Step::Field("data".into()), Step::Field(key)]);
            let shown = show(&GroupKind::new("", "Secret"), &FieldDrift { path, change: Change::Changed, declared: Some(json!(value)), live: Some(json!(value)) });
            prop_assert_eq!(shown, Shown { declared: None, live: None, truncated: false, sensitive: true });
        }
    }
}
