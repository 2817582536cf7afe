//! The one place where a declared or live value becomes something to show: in a record, an event, a log, a metric.
//! Values of Secrets are withheld whole, other values that look like credentials too, long ones are cut.

mod assigned;
mod formats;
mod references;
mod shorten;

use serde_json::{Map, Value};

use crate::compare::FieldDrift;
use crate::path::{FieldPath, Step};
use crate::subject::GroupKind;

/// The longest value shown, in bytes of its JSON text.
pub const MAX_VALUE_BYTES: usize = 256;

/// The longest path shown, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;

/// The longest name or key within a path, in bytes; names of annotations take up to 317.
const MAX_STEP_BYTES: usize = 320;

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
    /// Of two values of which one was cut, what differs: declared and live.
    pub excerpt: Option<[Value; 2]>,
    /// The values, or parts of them, are withheld.
    pub sensitive: bool,
}

/// What of a difference may be shown; `objects` are the two that differ, as far as they are there.
pub fn show(kind: &GroupKind, objects: [Option<&Value>; 2], drift: &FieldDrift) -> Shown {
    let Some((sides, sensitive)) = scrubbed(kind, objects, drift) else {
        return Shown {
            declared: None,
            live: None,
            truncated: false,
            excerpt: None,
            sensitive: true,
        };
    };
    let truncated = sides.iter().flatten().any(shorten::is_long);
    let excerpt = match &sides {
        [Some(declared), Some(live)] if truncated => Some(shorten::both(declared, live)),
        _ => None,
    };
    let [declared, live] = sides.map(|side| side.map(shorten::cut_long));
    Shown {
        declared,
        live,
        truncated,
        excerpt,
        sensitive,
    }
}

/// True if values of a difference are withheld, or parts of them.
pub fn is_sensitive(kind: &GroupKind, objects: [Option<&Value>; 2], drift: &FieldDrift) -> bool {
    scrubbed(kind, objects, drift).is_none_or(|(_, sensitive)| sensitive)
}

/// Declared and live without what is secret in them, and whether something was; `None` where both are withheld whole.
fn scrubbed(
    kind: &GroupKind,
    objects: [Option<&Value>; 2],
    drift: &FieldDrift,
) -> Option<([Option<Value>; 2], bool)> {
    if withheld(kind, &drift.path)
        || is_credential(drift)
        || references::stands_for_secret(objects, &drift.path)
    {
        return None;
    }
    let mut sensitive = false;
    let mut side = |value: Option<&Value>, other: Option<&Value>| {
        let other = other.unwrap_or(&Value::Null);
        let clean = references::masked(value?, other, &mut sensitive);
        Some(scrub(&clean, &mut sensitive))
    };
    let (declared, live) = (drift.declared.as_ref(), drift.live.as_ref());
    let sides = [side(declared, live), side(live, declared)];
    Some((sides, sensitive))
}

/// True if something in a value looks like a credential, whatever it is called.
pub fn holds_credential(value: &Value) -> bool {
    let mut sensitive = false;
    scrub(value, &mut sensitive);
    sensitive
}

/// A whole object as it may be shown, without the server's bookkeeping; nothing is cut.
pub fn object(kind: &GroupKind, object: &Value) -> Value {
    const SERVERS: [&str; 6] = [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
        "selfLink",
    ];
    let mut clean = scrub(object, &mut false);
    if let Some(members) = clean.as_object_mut() {
        members.remove("status");
        if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
            SERVERS.iter().for_each(|key| {
                metadata.remove(*key);
            });
            let annotations = metadata
                .get_mut("annotations")
                .and_then(Value::as_object_mut);
            // A copy of the whole object, Secrets' values included.
            let emptied = annotations.is_some_and(|a| {
                a.remove("kubectl.kubernetes.io/last-applied-configuration");
                a.is_empty()
            });
            if emptied {
                metadata.remove("annotations");
            }
        }
    }
    hide(kind, &mut FieldPath::default(), &mut clean);
    clean
}

/// Withholds what [`withheld`] names, below a place.
fn hide(kind: &GroupKind, at: &mut FieldPath, value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                at.0.push(Step::Field(key.clone()));
                hide(kind, at, member);
                at.0.pop();
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter_mut().enumerate() {
                at.0.push(Step::Index(n));
                hide(kind, at, item);
                at.0.pop();
            }
        }
        _ if withheld(kind, at) => *value = WITHHELD.into(),
        _ => {}
    }
}

/// A text of somebody else's, such as a commit's message, as it may be shown.
pub fn text(text: &str) -> String {
    match scrub(&Value::String(text.to_owned()), &mut false) {
        Value::String(clean) => printable(&clean).into_owned(),
        _ => WITHHELD.to_owned(),
    }
}

/// A path as it may be shown: its keys and set members are values, too, and may be secret, long, or meant for a terminal.
pub fn show_path(kind: &GroupKind, path: &FieldPath) -> String {
    cut(&clean_path(kind, path).to_string(), MAX_PATH_BYTES).to_owned()
}

/// The last part of a path as it may be shown.
pub fn show_short(kind: &GroupKind, path: &FieldPath) -> String {
    cut(&clean_path(kind, path).short(), MAX_PATH_BYTES).to_owned()
}

fn clean_path(kind: &GroupKind, path: &FieldPath) -> FieldPath {
    let mut below_credential = kind.is_secret();
    let steps = path.0.iter().map(|step| match step {
        Step::Field(name) => {
            below_credential = kind.is_secret() || is_credential_name(name);
            Step::Field(cut(&printable(name), MAX_STEP_BYTES).to_owned())
        }
        Step::Member(_) if below_credential => Step::Member(WITHHELD.into()),
        Step::Member(value) => Step::Member(clean_key(value)),
        Step::Select(pairs, nth) => {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.clone(), clean_key(value)));
            Step::Select(pairs.collect(), *nth)
        }
        other => other.clone(),
    });
    FieldPath(steps.collect())
}

fn clean_key(value: &Value) -> Value {
    match scrub(value, &mut false) {
        Value::String(text) => cut(&printable(&text), MAX_STEP_BYTES).into(),
        other if other.to_string().len() > MAX_STEP_BYTES => "…".into(),
        other => other,
    }
}

/// A text without characters that a terminal would obey or that would hide or reorder what stands beside them.
pub fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    if text.chars().any(is_unprintable) {
        let clean = text.chars().map(|c| {
            if is_unprintable(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        });
        clean.collect::<String>().into()
    } else {
        text.into()
    }
}

/// Control characters, and those that are invisible or change the direction of writing.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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

/// A field that is named like a credential and holds one (`spec.adminPassword`), not a reference to one or a switch.
fn is_credential(drift: &FieldDrift) -> bool {
    let named = |step: &Step| match step {
        Step::Field(name) => Some(is_credential_name(name)),
        _ => None,
    };
    drift.path.0.iter().rev().find_map(named) == Some(true)
        && drift.declared.iter().chain(&drift.live).any(is_plain)
}

/// Text, a number, or a list of those.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(_) | Value::Number(_) => true,
        Value::Array(items) => items.iter().any(is_plain),
        _ => false,
    }
}

/// Words that make a name a credential's; compared in lower case without separators.
const CREDENTIAL_WORDS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "encryptionkey",
    "signingkey",
    "connectionstring",
    "authorization",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "credential",
    "accesskey",
];

/// True for names such as `DB_PASSWORD`, `apiToken`, `aws-secret-access-key`; false for names of references to them
/// (`secretName`, `TOKEN_FILE`).
///
/// Of a qualified key (`rbac.authorization.k8s.io/aggregate-to-edit`) the domain says nothing about the value.
pub fn is_credential_name(name: &str) -> bool {
    let own = name
        .split_once('/')
        .filter(|(domain, _)| domain.contains('.'));
    let plain: String = own
        .map_or(name, |(_, own)| own)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    let reference = [
        "name", "ref", "file", "path", "ttl", "seconds", "url", "type",
    ]
    .iter()
    .any(|s| plain.ends_with(s));
    let short = plain.ends_with("pass") && !plain.ends_with("bypass");
    !reference && (short || CREDENTIAL_WORDS.iter().any(|word| plain.contains(word)))
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
                    (named && key == "value") || (is_plain(member) && is_credential_name(key));
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
        Value::Array(items) => scrub_list(items, sensitive),
        Value::String(text) => {
            let steps = [
                without_url_password,
                assigned::without,
                formats::without_tokens,
            ];
            let clean = steps.iter().fold(None, |clean: Option<String>, step| {
                step(clean.as_deref().unwrap_or(text)).or(clean)
            });
            *sensitive |= clean.is_some();
            clean.map_or_else(|| value.clone(), Value::String)
        }
        other => other.clone(),
    }
}

/// A list, with the value after a flag such as `--password` withheld.
fn scrub_list(items: &[Value], sensitive: &mut bool) -> Value {
    let flag = |v: &Value| {
        v.as_str()
            .is_some_and(|t| t.starts_with('-') && !t.contains('=') && is_credential_name(t))
    };
    let mut after_flag = false;
    let clean = items.iter().map(|item| {
        let secret = after_flag && item.as_str().is_some_and(|t| !t.starts_with('-'));
        after_flag = flag(item);
        *sensitive |= secret;
        if secret {
            WITHHELD.into()
        } else {
            scrub(item, sensitive)
        }
    });
    clean.collect()
}

/// `scheme://user:password@host` with the password withheld, and what stands before the host of a web address, which is often a
/// token; `None` if there is none.
fn without_url_password(text: &str) -> Option<String> {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        clean.push_str(head);
        let web = head.ends_with("http://") || head.ends_with("https://");
        let end = authority_end(tail);
        let authority = &tail[..end];
        match authority.rsplit_once('@') {
            Some((userinfo, host)) if web || userinfo.contains(':') => {
                found = true;
                let user = userinfo.split_once(':').map(|(user, _)| format!("{user}:"));
                clean.push_str(&format!("{}{WITHHELD}@{host}", user.unwrap_or_default()));
            }
            _ => clean.push_str(authority),
        }
        rest = &tail[end..];
    }
    clean.push_str(rest);
    found.then_some(clean)
}

/// Where user, password, host and port end. A password may hold a slash although it should not.
fn authority_end(tail: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    let word = &tail[..tail.find(ends).unwrap_or(tail.len())];
    let usual = word.find(['/', '?', '#']).unwrap_or(word.len());
    let port_or_none = word[..usual]
        .split_once(':')
        .is_none_or(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    match word.rfind('@') {
        Some(at) if at > usual && !port_or_none && !word[..usual].contains('@') => word[at..]
            .find(['/', '?', '#'])
            .map_or(word.len(), |n| at + n),
        _ => usual,
    }
}

/// A text cut to at most so many bytes, at a character's boundary.
pub fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What an API server says of an object it refuses, without the values that it repeats.
///
/// Source: <https://pkg.go.dev/k8s.io/apimachinery/pkg/util/validation/field#Error.ErrorBody>.
pub fn without_values(text: &str) -> String {
    const MARKERS: [&str; 3] = [
        "Invalid value: ",
        "Unsupported value: ",
        "Duplicate value: ",
    ];
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    let first = |text: &str| {
        let found = MARKERS.iter().filter_map(|m| Some(text.find(m)? + m.len()));
        found.min()
    };
    while let Some(begin) = first(rest) {
        let (before, after) = rest.split_at(begin);
        kept.push_str(before);
        kept.push_str("(withheld)");
        rest = after.get(value_end(after)..).unwrap_or_default();
    }
    kept.push_str(rest);
    kept
}

/// Where a value ends that begins a text: a quoted one with its quote, an object or list with the last bracket before what is said of it.
fn value_end(text: &str) -> usize {
    match text.chars().next() {
        Some('"') => {
            let mut escaped = false;
            let closing = text.char_indices().skip(1).find(|(_, c)| {
                let closes = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                closes
            });
            closing.map_or(text.len(), |(at, _)| at + 1)
        }
        Some('{') => text.rfind("}: ").map_or(text.len(), |at| at + 1),
        Some('[') => text.rfind("]: ").map_or(text.len(), |at| at + 1),
        _ => text
            .find(": ")
            .or_else(|| text.find(", "))
            .unwrap_or(text.len()),
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
