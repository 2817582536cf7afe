//! A policy in the making, with what could not be translated, and its text.

use serde_json::{Map, Value, json};

use super::repository::Repository;
use super::rules::{self, Rule};
use crate::failure::Result;
use crate::options::AdoptOptions;
use crate::output;

/// The longest name of a policy: records carry it in a label.
const NAME: usize = 63;
/// A policy has at most so many targets.
pub const TARGETS: usize = 32;

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `Argo CD` or `Flux`.
    pub tool: &'static str,
    /// For example `Application`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A policy in the making.
#[derive(Debug)]
pub struct Draft {
    /// Its name; empty until all are known.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Which of several policies of the same origin, from 0.
    pub part: usize,
    /// The repository; none where all targets are Helm releases.
    pub repository: Option<Repository>,
    /// The targets.
    pub targets: Vec<Value>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// What could not be translated.
    pub left_out: Vec<String>,
    /// What is left to do by hand.
    pub hints: Vec<String>,
}

impl Draft {
    /// Nothing yet.
    pub fn new(origin: Origin) -> Self {
        Self {
            name: String::new(),
            origin,
            part: 0,
            repository: None,
            targets: Vec::new(),
            rules: Vec::new(),
            left_out: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// `Application argocd/shop of Argo CD`.
    pub fn from(&self) -> String {
        from(&self.origin)
    }

    /// The policy.
    fn policy(&self, options: &AdoptOptions) -> Value {
        let mut spec = Map::new();
        spec.insert("enforcement".to_owned(), json!("Observe"));
        if let Some(account) = &options.service_account {
            spec.insert("serviceAccountName".to_owned(), json!(account));
        }
        if let Some(repository) = &self.repository {
            spec.insert("source".to_owned(), json!({"git": repository.source()}));
        }
        spec.insert("targets".to_owned(), json!(self.targets));
        let rules = rules::policy_rules(&self.rules, &format!("adopted from {}", self.from()));
        if !rules.is_empty() {
            spec.insert("rules".to_owned(), json!(rules));
        }
        json!({
            "apiVersion": "driftline.dev/v1alpha1",
            "kind": "DriftPolicy",
            "metadata": {"name": self.name, "namespace": options.policy_namespace},
            "spec": spec,
        })
    }

    /// The file: the policy, with what could not be translated above it.
    ///
    /// # Errors
    /// Where it cannot be written as YAML.
    pub fn yaml(&self, options: &AdoptOptions) -> Result<String> {
        let mut text = String::new();
        comment(
            &mut text,
            "",
            &format!("From {}. Review it, and commit it.", self.from()),
        );
        if !self.left_out.is_empty() {
            comment(&mut text, "", "Not translated:");
            self.left_out
                .iter()
                .for_each(|line| comment(&mut text, "- ", line));
        }
        if !self.hints.is_empty() {
            comment(&mut text, "", "To do:");
            self.hints
                .iter()
                .for_each(|line| comment(&mut text, "- ", line));
        }
        let policy = self.policy(options);
        let yaml = output::yaml(&policy)?;
        // What kubectl would read otherwise is written as JSON, which is YAML.
        let same = serde_saphyr::from_str::<Value>(&yaml).is_ok_and(|read| read == policy);
        text.push_str(&if same { yaml } else { output::json(&policy)? });
        Ok(text)
    }
}

/// `Application argocd/shop of Argo CD`.
pub fn from(origin: &Origin) -> String {
    let Origin {
        tool,
        kind,
        namespace,
        name,
    } = origin;
    format!("{kind} {namespace}/{name} of {tool}")
}

/// One line of comment, whatever it was told.
fn comment(text: &mut String, mark: &str, line: &str) {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.push_str(&format!("# {mark}{}\n", drift::redact::printable(&line)));
}

/// A name as policies may have it, of the n-th part of something.
pub fn policy_name(text: &str, part: usize) -> String {
    let end = if part > 0 {
        format!("-{}", part + 1)
    } else {
        String::new()
    };
    let name = label(text, NAME - end.len());
    format!("{name}{end}")
}

/// Lower case letters, digits and -, beginning and ending with a letter or digit. A text that is too long is told apart by a hash.
pub fn label(text: &str, longest: usize) -> String {
    let clean: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let clean = clean.trim_matches('-');
    if clean.is_empty() {
        return "adopted".to_owned();
    }
    if clean.len() <= longest {
        return clean.to_owned();
    }
    // FNV-1a: the same name for the same text, whenever it is asked.
    let hash = clean.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = format!("{:08x}", hash >> 32);
    let kept = clean
        .get(..longest.saturating_sub(hash.len() + 1))
        .unwrap_or_default();
    format!("{}-{hash}", kept.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_as_the_api_server_takes() {
        assert_eq!(policy_name("shop", 0), "shop");
        assert_eq!(policy_name("Shop.Web_1", 1), "shop-web-1-2");
        assert_eq!(policy_name("--", 0), "adopted");
        let long = "a".repeat(80);
        let name = policy_name(&long, 3);
        assert!(name.len() <= NAME && name.ends_with("-4"), "{name}");
        assert_ne!(name, policy_name(&format!("{long}b"), 3));
    }

    #[test]
    fn a_comment_stays_a_comment() {
        let mut text = String::new();
        comment(&mut text, "- ", "spec.x: a\nkind: Evil\u{1b}[2J");
        assert_eq!(text.lines().count(), 1);
        assert!(
            text.starts_with("# - spec.x: a kind: Evil") && !text.contains('\u{1b}'),
            "{text:?}"
        );
    }
}
