//! How connections end, and how long to wait after it.

use std::time::Duration;

use super::FailureReason;
use crate::error::Error;

/// How a connection came to its end.
#[derive(Debug)]
pub(super) enum End {
    /// The server closed it in good order, or it broke: go on from the last version.
    Resume,
    /// The history is gone (410): list again.
    Relist,
    /// No streaming list is to be had: list by pages.
    Paged {
        /// The server says that it has none at all, not only here.
        by_server: bool,
    },
    /// Nothing is known any more.
    Failed(FailureReason, String),
}

/// What a connection that was refused, or did not come about, means.
pub(super) fn refused(error: &Error) -> End {
    let Error::Status {
        status, message, ..
    } = error
    else {
        return End::Failed(FailureReason::Blind, with_sources(error));
    };
    match status {
        // Servers name the parameter that they do not know, or that a feature gate is off for.
        400 | 422 => End::Paged {
            by_server: ["sendInitialEvents", "resourceVersionMatch"]
                .iter()
                .any(|parameter| message.contains(parameter)),
        },
        410 => End::Relist,
        _ => End::Failed(reason_of_status(*status), error.to_string()),
    }
}

pub(super) fn reason_of_status(status: u16) -> FailureReason {
    match status {
        401 => FailureReason::Unauthorized,
        403 => FailureReason::Forbidden,
        404 | 405 => FailureReason::NotServed,
        _ => FailureReason::Blind,
    }
}

/// The text of an error with what lies beneath it: this text goes to people, who see no chain.
fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Give or take a tenth, so that watches do not move in step.
pub(super) fn jitter(duration: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    // Each `RandomState` has keys of its own: randomness enough, without a generator.
    let random = RandomState::new().hash_one(0u8) % 2001;
    let factor = 0.9 + f64::from(u32::try_from(random).unwrap_or(1000)) / 10_000.0;
    duration.mul_f64(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth() {
        for _ in 0..1000 {
            let d = jitter(Duration::from_secs(40));
            assert!(
                d >= Duration::from_secs(36) && d <= Duration::from_millis(44_001),
                "{d:?}"
            );
        }
    }

    #[test]
    fn a_server_without_streaming_lists_is_told_from_a_bad_request() {
        let error = |message: &str| Error::Status {
            action: "watch".into(),
            status: 422,
            reason: "Invalid".into(),
            message: message.into(),
        };
        let off = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        assert!(matches!(
            refused(&error(off)),
            End::Paged { by_server: true }
        ));
        assert!(matches!(
            refused(&error("bad field selector")),
            End::Paged { by_server: false }
        ));
    }

    #[test]
    fn statuses_have_reasons() {
        assert_eq!(reason_of_status(403), FailureReason::Forbidden);
        assert_eq!(reason_of_status(404), FailureReason::NotServed);
        assert_eq!(reason_of_status(503), FailureReason::Blind);
    }
}
