//! A Git repository and what is followed of it, as Argo CD and Flux name it.

use serde_json::{Value, json};

/// What of a repository is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follows {
    Branch(String),
    Tag(String),
    Semver(String),
    Commit(String),
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its URL, without credentials.
    pub url: String,
    /// What is followed.
    pub follows: Follows,
}

impl Repository {
    /// As spec.source.git.
    pub fn source(&self) -> Value {
        let reference = match &self.follows {
            Follows::Branch(name) => json!({"branch": name}),
            Follows::Tag(name) => json!({"tag": name}),
            Follows::Semver(range) => json!({"semver": range}),
            Follows::Commit(hash) => json!({"commit": hash}),
        };
        json!({"url": self.url, "ref": reference})
    }
}

/// A URL as policies take it, and whether credentials were taken out of it.
///
/// # Errors
/// Says why it is none that a policy may name.
pub fn url(text: &str) -> Result<(String, bool), String> {
    let text = text.trim();
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err("the URL holds white space or control characters".to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        // git@host:path
        return match text.split_once(':') {
            Some((host, path)) if host.contains('@') && !host.contains('/') && !path.is_empty() => {
                Ok((text.to_owned(), false))
            }
            _ => Err("the repository is named neither by https:// nor by ssh://".to_owned()),
        };
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (path, query) = path
        .split_once(['?', '#'])
        .map_or((path, false), |(path, _)| (path, true));
    match scheme.to_ascii_lowercase().as_str() {
        scheme @ ("https" | "http") => {
            let (bare, held) = match host.rsplit_once('@') {
                Some((_, bare)) => (bare, true),
                None => (host, false),
            };
            let url = format!("{scheme}://{bare}/{path}");
            if drift::redact::text(&url) != url {
                return Err("the URL holds what looks like a credential in its path; name the repository without it".to_owned());
            }
            Ok((url, held || query))
        }
        "ssh" => {
            let (user, bare) = host
                .rsplit_once('@')
                .map_or((None, host), |(u, b)| (Some(u), b));
            let name = user.map(|u| {
                u.split_once(':')
                    .map_or((u, false), |(name, _)| (name, true))
            });
            let shown = name.map(|(name, _)| format!("{name}@")).unwrap_or_default();
            Ok((
                format!("ssh://{shown}{bare}/{path}"),
                query || name.is_some_and(|(_, held)| held),
            ))
        }
        "oci" => Err("it is no Git repository but an OCI registry".to_owned()),
        other => Err(format!("{other}:// is none of https, ssh and http")),
    }
}

/// What `targetRevision` of Argo CD names; `synced` is the commit that was compared last. The note says what was assumed.
pub fn follows(revision: &str, synced: &str) -> Result<(Follows, Option<String>), String> {
    let revision = revision.trim();
    let is_hex = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    if revision.starts_with('-') {
        return Err(format!("targetRevision {revision:?} begins with -"));
    }
    if revision.is_empty() || revision == "HEAD" {
        let note = "targetRevision: HEAD follows the default branch, whose name is not said; main is assumed, correct it where it is another";
        return Ok((Follows::Branch("main".to_owned()), Some(note.to_owned())));
    }
    if let Some(branch) = revision.strip_prefix("refs/heads/") {
        return Ok((Follows::Branch(branch.to_owned()), None));
    }
    if let Some(tag) = revision.strip_prefix("refs/tags/") {
        return Ok((Follows::Tag(tag.to_owned()), None));
    }
    if revision.starts_with("refs/") {
        return Err(format!(
            "targetRevision {revision} is neither a branch nor a tag"
        ));
    }
    if revision.len() == 40 && is_hex(revision) {
        return Ok((Follows::Commit(revision.to_owned()), None));
    }
    if revision.len() >= 7
        && revision.len() < 40
        && is_hex(revision)
        && synced.starts_with(revision)
        && synced.len() == 40
    {
        return Ok((Follows::Commit(synced.to_owned()), None));
    }
    let is_range = revision.contains(['*', '^', '~', '>', '<', ',', '|', ' '])
        || revision.split('.').any(|part| matches!(part, "x" | "X"));
    if is_range {
        return Ok((Follows::Semver(revision.to_owned()), None));
    }
    let digits = revision.strip_prefix('v').unwrap_or(revision);
    if digits.split('.').count() >= 3 && digits.starts_with(|c: char| c.is_ascii_digit()) {
        let note = format!(
            "targetRevision: {revision} is taken for a tag; if it is a branch, write ref: {{branch: {revision}}}"
        );
        return Ok((Follows::Tag(revision.to_owned()), Some(note)));
    }
    Ok((Follows::Branch(revision.to_owned()), None))
}

/// A folder of a repository as policies name it.
///
/// # Errors
/// Says why it is none.
pub fn path(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text
        .split('/')
        .filter(|p| !matches!(*p, "" | "."))
        .collect();
    if parts.contains(&"..") {
        return Err(format!("path {text} leads out of the repository"));
    }
    Ok(if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_stay_in_a_url() {
        let of = |text: &str| url(text).expect("a URL");
        assert_eq!(
            of("https://u:canary@h/a.git"),
            ("https://h/a.git".to_owned(), true)
        );
        assert_eq!(
            of("https://canary@h/a.git"),
            ("https://h/a.git".to_owned(), true)
        );
        assert_eq!(
            of("https://h/a.git?token=canary"),
            ("https://h/a.git".to_owned(), true)
        );
        assert_eq!(
            of("ssh://git:canary@h/a.git"),
            ("ssh://git@h/a.git".to_owned(), true)
        );
        assert_eq!(
            of("ssh://git@h:22/a.git"),
            ("ssh://git@h:22/a.git".to_owned(), false)
        );
        assert_eq!(of("git@h:a.git"), ("git@h:a.git".to_owned(), false));
        assert_eq!(of("HTTPS://h/a"), ("https://h/a".to_owned(), false));
        for text in [
            "oci://h/a",
            "file:///etc",
            "registry.example.com/charts",
            "https://h/a b",
            "ext::sh",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn revisions_are_what_they_name() {
        let commit = "a".repeat(40);
        let of = |text: &str| follows(text, &commit).expect("a revision").0;
        assert_eq!(of("main"), Follows::Branch("main".into()));
        assert_eq!(of("feature/x"), Follows::Branch("feature/x".into()));
        assert_eq!(of("refs/tags/v1"), Follows::Tag("v1".into()));
        assert_eq!(of("v1.2.3"), Follows::Tag("v1.2.3".into()));
        assert_eq!(of("1.2.*"), Follows::Semver("1.2.*".into()));
        assert_eq!(
            of(">=1.0.0 <2.0.0"),
            Follows::Semver(">=1.0.0 <2.0.0".into())
        );
        assert_eq!(of(&commit), Follows::Commit(commit.clone()));
        assert_eq!(of("aaaaaaa"), Follows::Commit(commit.clone()));
        assert_eq!(of("bbbbbbb"), Follows::Branch("bbbbbbb".into()));
        assert!(follows("HEAD", "").expect("a revision").1.is_some());
        assert!(follows("refs/pull/1/head", "").is_err());
        assert!(follows("--upload-pack=x", "").is_err());
    }
}
