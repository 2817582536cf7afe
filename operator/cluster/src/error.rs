//! What can go wrong between the operator and the API server.

use std::time::Duration;

/// A call to the API server that did not lead to an answer that can be used.
///
/// `action` says what was tried, in words that complete "could not …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The deadline passed.
    #[error("could not {action}: no answer from the API server within {} s", deadline.as_secs_f32())]
    Deadline {
        /// What was tried.
        action: String,
        /// How long an answer was waited for.
        deadline: Duration,
    },
    /// No connection, or it broke.
    #[error(
        "could not {action}: the API server cannot be reached; check its address and the network"
    )]
    Unreachable {
        /// What was tried.
        action: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server answered with an error.
    #[error("could not {action}: the API server says {status} {reason}: {message}")]
    Status {
        /// What was tried.
        action: String,
        /// The HTTP status code.
        status: u16,
        /// The machine-readable reason of the `Status` object, for example `Forbidden`; may be empty.
        reason: String,
        /// The message for people.
        message: String,
    },
    /// The answer is larger than what is accepted.
    #[error("could not {action}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// What was tried.
        action: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is not what the API promises.
    #[error("could not {action}: the answer cannot be read")]
    Undecodable {
        /// What was tried.
        action: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The request cannot be expressed, for example because a name holds characters that no header can carry.
    #[error("could not {action}: the request cannot be built")]
    Request {
        /// What was tried.
        action: String,
        /// What is wrong with it.
        #[source]
        source: http::Error,
    },
    /// The guard of the dry-run account is not in order, so nothing is asked with that account.
    #[error("dry-run creations are not asked for: {reason}")]
    Untrusted {
        /// What is wrong with the guard, and the remedy.
        reason: String,
    },
}

/// Errors by kind, for metrics and conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// No answer in time.
    Timeout,
    /// No connection.
    Unreachable,
    /// The operator is not known to the API server (401).
    Unauthorized,
    /// The operator lacks a right (403).
    Forbidden,
    /// The thing asked for is not there (404, 405, 410).
    NotFound,
    /// The API server asks for patience (429, 503, 504).
    Busy,
    /// Another refusal.
    Refused,
    /// An answer that cannot be used.
    Invalid,
    /// The guard of the dry-run account is not in order.
    Untrusted,
}

impl Category {
    /// The word used as a label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Untrusted => "untrusted",
        }
    }
}

impl Error {
    /// The kind of error.
    pub fn category(&self) -> Category {
        match self {
            Self::Deadline { .. } => Category::Timeout,
            Self::Unreachable { .. } => Category::Unreachable,
            Self::Status { status, .. } => match status {
                401 => Category::Unauthorized,
                403 => Category::Forbidden,
                404 | 405 | 410 => Category::NotFound,
                408 | 429 | 503 | 504 => Category::Busy,
                _ => Category::Refused,
            },
            Self::TooLarge { .. } | Self::Undecodable { .. } | Self::Request { .. } => {
                Category::Invalid
            }
            Self::Untrusted { .. } => Category::Untrusted,
        }
    }

    /// True where the same call may succeed later without anybody mending anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status >= 500 || self.category() == Category::Busy,
            _ => matches!(self.category(), Category::Timeout | Category::Unreachable),
        }
    }

    /// The HTTP status, where the API server gave one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Error {
        Error::Status {
            action: "list pods".into(),
            status,
            reason: String::new(),
            message: String::new(),
        }
    }

    #[test]
    fn only_passing_trouble_is_retryable() {
        for code in [408, 429, 500, 503, 504] {
            assert!(status(code).is_retryable(), "{code}");
        }
        for code in [400, 401, 403, 404, 410, 422] {
            assert!(!status(code).is_retryable(), "{code}");
        }
        assert!(
            Error::Deadline {
                action: "x".into(),
                deadline: Duration::from_secs(5)
            }
            .is_retryable()
        );
        assert!(!Error::Untrusted { reason: "x".into() }.is_retryable());
    }

    #[test]
    fn categories_name_what_happened() {
        assert_eq!(status(403).category().as_str(), "forbidden");
        assert_eq!(status(404).category().as_str(), "not_found");
        assert_eq!(status(503).category().as_str(), "busy");
        assert_eq!(status(422).category().as_str(), "refused");
    }
}
