//! What keeps a command from doing its work: one sentence, and what to do next. Ends with exit code 3.

use std::fmt;

/// An error of use or set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    what: String,
    next: String,
}

/// A result of this program.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// What failed, on what and why; and the next step.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: next.into(),
        }
    }

    /// What failed, without the next step.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The next step.
    pub fn next(&self) -> &str {
        &self.next
    }

    /// An answer of the API server that cannot be gone on with.
    pub fn of_cluster(error: &cluster::Error) -> Self {
        use cluster::Category as C;
        let next = match error.category() {
            C::Unauthorized => "log in to the cluster again, or choose another user with --context",
            C::Forbidden => "ask for the right that the message names, or use another account",
            C::Unreachable | C::Timeout => {
                "check the server's address in the kubeconfig (kubectl cluster-info) and the network"
            }
            C::Busy => "the API server is overloaded: try again later",
            C::NotFound | C::Refused | C::Invalid | C::Untrusted => {
                "check with kubectl that the cluster is healthy, then try again"
            }
        };
        Self::new(chain(error), next)
    }

    /// The same of a client of the API.
    pub fn of_kube(action: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 401 => Self::new(
                format!("could not {action}: the API server does not accept the credentials"),
                "log in to the cluster again, or choose another user with --context",
            ),
            kube::Error::Api(status) if status.code == 403 => Self::new(
                format!("could not {action}: {}", status.message),
                "ask for the right that the message names, or use another account",
            ),
            kube::Error::Api(status) => Self::new(
                format!("could not {action}: {}", status.message),
                "look at the API server with kubectl; docs/troubleshooting.md has more",
            ),
            other => Self::new(
                format!("could not {action}: {}", chain(other)),
                "check the server's address in the kubeconfig (kubectl cluster-info) and the network",
            ),
        }
    }

    /// A source that cannot be fetched or rendered.
    pub fn of_source(error: &declared::Error) -> Self {
        use declared::Category as C;
        let next = match error.category() {
            C::Auth => {
                "give credentials: DRIFTLINE_GIT_USERNAME and DRIFTLINE_GIT_PASSWORD, DRIFTLINE_GIT_TOKEN, a Git credential helper, or --ssh-key"
            }
            C::NotFound => "check --git, --ref and --path",
            C::Unreachable | C::Timeout => "check the address and the network, then try again",
            C::Render => "render it by hand (kustomize build, helm template) to see more",
            C::Limit => "point --path at less",
            C::Refused | C::Input => "change what the message names",
            C::Corrupt | C::Worker => "try again",
        };
        Self::new(error.to_string(), next)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean = |text: &str| -> String {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            drift::redact::printable(&line).into_owned()
        };
        write!(
            f,
            "error: {}\nnext: {}",
            clean(&self.what),
            clean(&self.next)
        )
    }
}

/// An error with its causes, each told once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_two_lines_whatever_it_was_told() {
        let failure = Failure::new("could not\nread \u{1b}[31mit", "try\n\nagain");
        let text = failure.to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
