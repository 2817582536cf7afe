//! Ignore rules of Argo CD and Flux, as rules of a policy.

use std::collections::BTreeMap;

use drift::pattern::PathPattern;
use serde_json::{Map, Value, json};

/// The most rules of a policy, and the most fields of a rule.
const RULES: usize = 64;
const FIELDS: usize = 20;

/// What may differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Targets of the policy; all if empty.
    pub targets: Vec<String>,
    /// The kind, as rules write it; any if `None`.
    pub kind: Option<String>,
    /// The name; any if `None`.
    pub name: Option<String>,
    /// Labels as Git declares them.
    pub labels: BTreeMap<String, String>,
    /// The fields; the whole object if empty.
    pub fields: Vec<String>,
}

impl Rule {
    fn matches(&self, fields: &[String]) -> Value {
        let mut map = Map::new();
        if !self.targets.is_empty() {
            map.insert("targets".to_owned(), json!(self.targets));
        }
        if let Some(kind) = &self.kind {
            map.insert("kinds".to_owned(), json!([kind]));
        }
        if let Some(name) = &self.name {
            map.insert("names".to_owned(), json!([name]));
        }
        if !self.labels.is_empty() {
            map.insert("labels".to_owned(), json!(self.labels));
        }
        if !fields.is_empty() {
            map.insert("fields".to_owned(), json!(fields));
        }
        if map.is_empty() {
            map.insert("names".to_owned(), json!(["*"]));
        }
        Value::Object(map)
    }
}

/// As spec.rules, at most so many as a policy takes.
pub fn policy_rules(rules: &[Rule], reason: &str) -> Vec<Value> {
    let reason: String = reason.chars().take(512).collect();
    let one = |rule: &Rule, fields: &[String]| json!({"match": rule.matches(fields), "ignore": {"reason": reason}});
    let mut all = Vec::new();
    for rule in rules {
        if rule.fields.is_empty() {
            all.push(one(rule, &[]));
        }
        all.extend(rule.fields.chunks(FIELDS).map(|fields| one(rule, fields)));
    }
    all.truncate(RULES);
    all
}

/// How many rules a policy would have, beyond what it takes.
pub fn too_many(rules: &[Rule]) -> Option<String> {
    let all: usize = rules
        .iter()
        .map(|r| r.fields.len().div_ceil(FIELDS).max(1))
        .sum();
    (all > RULES).then(|| {
        format!(
            "{} ignore rules beyond the {RULES} that a policy takes: put them together by hand",
            all - RULES
        )
    })
}

/// A kind as rules write it: `apps/Deployment`, `ConfigMap`, `*/Deployment`. `None` for any kind.
///
/// # Errors
/// Says why it cannot be written so.
pub fn kind(group: &str, kind: &str) -> Result<Option<String>, String> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let group_ok = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
    };
    match (group, kind) {
        ("*" | "", "*" | "") => Ok(None),
        (_, "*" | "") => Err(format!(
            "a rule for all kinds of group {group}: name the kinds"
        )),
        (_, kind) if !plain(kind) => Err(format!("the kind {kind:?} is a pattern: name the kinds")),
        ("*", kind) => Ok(Some(format!("*/{kind}"))),
        ("", kind) => Ok(Some(kind.to_owned())),
        (group, kind) if group_ok(group) => Ok(Some(format!("{group}/{kind}"))),
        (group, _) => Err(format!("the group {group:?} is a pattern: name the groups")),
    }
}

/// A JSON pointer as a path of rules. A place in a list becomes any element: lists are told by their keys here. The whole object is "".
///
/// # Errors
/// Says why it cannot be written so.
pub fn pointer(text: &str) -> Result<(String, bool), String> {
    if matches!(text, "" | "/") {
        return Ok((String::new(), false));
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err(format!("{text:?} is no JSON pointer"));
    };
    let mut path = String::new();
    let mut wider = false;
    for (at, step) in rest.split('/').enumerate() {
        let step = step.replace("~1", "/").replace("~0", "~");
        if at > 0 && (step == "-" || (!step.is_empty() && step.bytes().all(|b| b.is_ascii_digit())))
        {
            path.push_str("[*]");
            wider = true;
        } else {
            field(&mut path, &step);
        }
    }
    checked(path, text).map(|path| (path, wider))
}

/// Adds a field to a path.
pub fn field(path: &mut String, name: &str) {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    } else {
        path.push_str(&format!("[{}]", Value::String(name.to_owned())));
    }
}

/// A path as the core itself reads it.
///
/// # Errors
/// Where it does not.
pub fn checked(path: String, from: &str) -> Result<String, String> {
    if path.len() > 512 {
        return Err(format!(
            "{from}: longer than the 512 characters that a rule takes"
        ));
    }
    // Rules begin with a field's name.
    if path.starts_with('[') {
        return Err(format!("{from}: a rule begins with the name of a field"));
    }
    match path.parse::<PathPattern>() {
        Ok(_) => Ok(path),
        Err(error) => Err(format!("{from}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_become_paths() {
        let of = |text: &str| pointer(text).expect("a path");
        assert_eq!(of("/spec/replicas"), ("spec.replicas".to_owned(), false));
        assert_eq!(
            of("/metadata/annotations/example.com~1owner"),
            (
                r#"metadata.annotations["example.com/owner"]"#.to_owned(),
                false
            )
        );
        assert_eq!(
            of("/spec/template/spec/containers/0/image"),
            ("spec.template.spec.containers[*].image".to_owned(), true)
        );
        assert_eq!(
            of("/webhooks/0/clientConfig/caBundle"),
            ("webhooks[*].clientConfig.caBundle".to_owned(), true)
        );
        assert_eq!(of("/"), (String::new(), false));
        assert!(pointer("spec/replicas").is_err());
    }

    #[test]
    fn kinds_are_written_as_rules_write_them() {
        assert_eq!(
            kind("apps", "Deployment"),
            Ok(Some("apps/Deployment".to_owned()))
        );
        assert_eq!(kind("", "ConfigMap"), Ok(Some("ConfigMap".to_owned())));
        assert_eq!(kind("*", "Deployment"), Ok(Some("*/Deployment".to_owned())));
        assert_eq!(kind("*", "*"), Ok(None));
        assert!(kind("apps", "*").is_err());
        assert!(kind("", "Deploy.*").is_err());
        assert!(kind(".*", "Deployment").is_err());
    }

    #[test]
    fn many_fields_become_several_rules() {
        let fields = (0..45).map(|n| format!("spec.f{n}")).collect();
        let rule = Rule {
            fields,
            ..Rule::default()
        };
        assert_eq!(policy_rules(std::slice::from_ref(&rule), "why").len(), 3);
        assert!(too_many(std::slice::from_ref(&rule)).is_none());
        assert!(too_many(&vec![rule; 30]).is_some_and(|t| t.starts_with("26 ignore rules")));
        let all = policy_rules(&[Rule::default()], "why");
        assert_eq!(all[0]["match"]["names"], json!(["*"]));
    }
}
