//! The one error of this crate. It travels over the worker's socket, so its causes are told in words.

use serde::{Deserialize, Serialize};

/// What kind of failure it was, for conditions and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Category {
    /// Credentials are missing, wrong, or do not suffice; a certificate or host key is not trusted.
    Auth,
    /// The repository, the reference, the commit or the path is not there.
    NotFound,
    /// The server does not answer, or not in a way that makes sense.
    Unreachable,
    /// Asked for something that is not allowed: a scheme, a redirect, credentials over plain http.
    Refused,
    /// A limit on bytes, files or memory was exceeded.
    Limit,
    /// The deadline passed.
    Timeout,
    /// The cached copy was damaged.
    Corrupt,
    /// The renderer refused what the repository holds, or is not installed.
    Render,
    /// The worker itself is down, busy or broken.
    Worker,
    /// The request makes no sense.
    Input,
}

impl Category {
    /// The name as it appears in conditions and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Auth => "Auth",
            Category::NotFound => "NotFound",
            Category::Unreachable => "Unreachable",
            Category::Refused => "Refused",
            Category::Limit => "Limit",
            Category::Timeout => "Timeout",
            Category::Corrupt => "Corrupt",
            Category::Render => "Render",
            Category::Worker => "Worker",
            Category::Input => "Input",
        }
    }
}

/// Why a source could not be fetched or rendered.
///
/// `at` names the URL (without user info), path or socket; `what` says what was tried, why it failed and what to do.
/// Neither ever holds a credential or a value from the repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// See [`Category::Auth`].
    #[error("{at}: {what}")]
    Auth {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
    },
    /// See [`Category::NotFound`]. `retry` is set where fetching again may bring it back.
    #[error("{at}: {what}")]
    NotFound {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
        /// True if it was evicted from the cache and fetching again helps at once.
        retry: bool,
    },
    /// See [`Category::Unreachable`].
    #[error("{at}: {what}")]
    Unreachable {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
    },
    /// See [`Category::Refused`].
    #[error("{at}: {what}")]
    Refused {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
    },
    /// See [`Category::Limit`].
    #[error("{at}: {what}")]
    Limit {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
    },
    /// See [`Category::Timeout`].
    #[error("{at}: {what}")]
    Timeout {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
    },
    /// See [`Category::Corrupt`].
    #[error("{at}: {what}")]
    Corrupt {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
    },
    /// See [`Category::Render`].
    #[error("{at}: {what}")]
    Render {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
    },
    /// See [`Category::Worker`].
    #[error("{at}: {what}")]
    Worker {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
    },
    /// See [`Category::Input`].
    #[error("{at}: {what}")]
    Input {
        /// The object of the failure.
        at: String,
        /// What happened and what to do.
        what: String,
    },
}

impl Error {
    /// An error of a category about `at`.
    pub(crate) fn new(category: Category, at: impl Into<String>, what: impl Into<String>) -> Self {
        let (at, what) = (at.into(), what.into());
        match category {
            Category::Auth => Error::Auth { at, what },
            Category::NotFound => Error::NotFound {
                at,
                what,
                retry: false,
            },
            Category::Unreachable => Error::Unreachable { at, what },
            Category::Refused => Error::Refused { at, what },
            Category::Limit => Error::Limit { at, what },
            Category::Timeout => Error::Timeout { at, what },
            Category::Corrupt => Error::Corrupt { at, what },
            Category::Render => Error::Render { at, what },
            Category::Worker => Error::Worker { at, what },
            Category::Input => Error::Input { at, what },
        }
    }

    /// What kind of failure it was.
    pub fn category(&self) -> Category {
        match self {
            Error::Auth { .. } => Category::Auth,
            Error::NotFound { .. } => Category::NotFound,
            Error::Unreachable { .. } => Category::Unreachable,
            Error::Refused { .. } => Category::Refused,
            Error::Limit { .. } => Category::Limit,
            Error::Timeout { .. } => Category::Timeout,
            Error::Corrupt { .. } => Category::Corrupt,
            Error::Render { .. } => Category::Render,
            Error::Worker { .. } => Category::Worker,
            Error::Input { .. } => Category::Input,
        }
    }

    /// True if the same request may succeed soon without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Unreachable { .. }
            | Error::Timeout { .. }
            | Error::Corrupt { .. }
            | Error::Worker { .. } => true,
            Error::NotFound { retry, .. } => *retry,
            _ => false,
        }
    }
}

/// Makes text from a server or a tool fit for an error: one line, no control characters, at most `limit` characters.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
    {
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        for c in word.chars() {
            if length >= limit {
                line.push('…');
                return line;
            }
            line.push(c);
            length += 1;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_short_line() {
        assert_eq!(one_line("a\n\u{1b}[31m b\t\tc", 80), "a [31m b c");
        assert_eq!(one_line("abcdef", 3), "abc…");
    }
}
