//! The API server: that it answers, its version, and whether its clock and ours agree.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;

use super::report::{Finding, Level};
use crate::failure::{Failure, Result};

/// The oldest minor version of Kubernetes that is supported.
const OLDEST: u32 = 30;
/// Clocks are allowed to differ by this much; an HTTP date has whole seconds.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(15);

/// The API server.
pub struct Server {
    /// For example `v1.37.2`.
    pub version: String,
    minor: Option<u32>,
}

/// How the API server's clock stands to ours.
pub struct Clock {
    offset: Option<SignedDuration>,
    slow: bool,
}

impl Clock {
    /// Now, on the API server's clock as far as it is known.
    pub fn now(&self) -> Timestamp {
        let offset = self.offset.unwrap_or(SignedDuration::ZERO);
        Timestamp::now().checked_add(offset).unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
    #[serde(default)]
    minor: String,
}

/// Asks the API server for its version and its time.
///
/// # Errors
/// Where it cannot be reached or takes no requests from us: then there is nothing to look at.
pub async fn server(client: &Client) -> Result<(Server, Clock)> {
    let unusable = |why: &str| {
        Failure::new(
            format!("the API server did not say its version: {why}"),
            "check the server's address in the kubeconfig (kubectl cluster-info) and the network",
        )
    };
    let request = http::Request::get("/version")
        .body(Body::empty())
        .map_err(|e| unusable(&e.to_string()))?;
    let (begun, at) = (std::time::Instant::now(), Timestamp::now());
    let response = tokio::time::timeout(PATIENCE, client.send(request))
        .await
        .map_err(|_| unusable("no answer within 15 s"))?
        .map_err(|e| Failure::of_kube("ask the API server for its version", &e))?;
    let took = begun.elapsed();
    let status = response.status();
    let date = response
        .headers()
        .get(http::header::DATE)
        .and_then(|d| d.to_str().ok())
        .and_then(|d| jiff::fmt::rfc2822::parse(d).ok())
        .map(|d| d.timestamp());
    let body = response.into_body().collect_bytes().await;
    let body = body.map_err(|e| unusable(&e.to_string()))?;
    if status == http::StatusCode::UNAUTHORIZED {
        return Err(Failure::new(
            "the API server does not accept the credentials",
            "log in to the cluster again, or choose another user with --context",
        ));
    }
    let version: Version =
        serde_json::from_slice(&body).map_err(|_| unusable(&format!("it answered {status}")))?;
    let server = Server {
        minor: version
            .minor
            .trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .ok(),
        version: version.git_version,
    };
    // Its date is cut to the second: in the middle it is half a second later.
    let middle = at
        .checked_add(took / 2)
        .and_then(|t| t.checked_sub(Duration::from_millis(500)))
        .unwrap_or(at);
    let clock = Clock {
        offset: date.map(|date| date.duration_since(middle)),
        slow: took > Duration::from_secs(2),
    };
    Ok((server, clock))
}

/// What is to be said of both.
pub fn checks(server: &Server, clock: &Clock) -> Vec<Finding> {
    vec![version(server), skew(clock)]
}

fn version(server: &Server) -> Finding {
    let shown = &server.version;
    match server.minor {
        Some(minor) if minor < OLDEST => Finding::bad(
            "server",
            Level::Failure,
            format!("Kubernetes {shown} is older than 1.{OLDEST}, which Driftline needs"),
            "upgrade the cluster; an audit needs nothing installed: `kubectl driftline audit --git URL`",
        ),
        _ => Finding::ok("server", format!("Kubernetes {shown} answers")),
    }
}

fn skew(clock: &Clock) -> Finding {
    let Some(offset) = clock.offset else {
        return Finding::bad(
            "time",
            Level::Unknown,
            "the API server's answers carry no date, so its clock cannot be compared with this machine's",
            "compare them by hand: `date -u` here and on the control plane's nodes",
        );
    };
    let seconds = offset.abs().as_secs();
    if offset.abs() <= TOLERANCE {
        return Finding::ok(
            "time",
            format!(
                "the clocks of the API server and of this machine agree within {} s",
                seconds.max(1)
            ),
        );
    }
    let which = if offset.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let slow = if clock.slow {
        "; its answer was slow, which makes this inexact"
    } else {
        ""
    };
    Finding::bad(
        "time",
        Level::Warning,
        format!(
            "the API server's clock is {seconds} s {which} this machine's{slow}: ages, holds and the ends of exceptions are judged by these clocks"
        ),
        "have both kept by NTP; on each machine look with `timedatectl status`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(seconds: i64) -> Clock {
        Clock {
            offset: Some(SignedDuration::from_secs(seconds)),
            slow: false,
        }
    }

    #[test]
    fn clocks_that_differ_are_told_with_the_direction() {
        assert_eq!(skew(&clock(2)).level, Level::Ok);
        let ahead = skew(&clock(90));
        assert_eq!(ahead.level, Level::Warning);
        assert!(ahead.message.contains("90 s ahead of"), "{}", ahead.message);
        assert!(skew(&clock(-90)).message.contains("90 s behind"));
        let none = Clock {
            offset: None,
            slow: false,
        };
        assert_eq!(skew(&none).level, Level::Unknown);
    }

    #[test]
    fn an_old_server_is_refused() {
        let of = |minor| Server {
            version: format!("v1.{minor}.0"),
            minor: Some(minor),
        };
        assert_eq!(version(&of(29)).level, Level::Failure);
        assert_eq!(version(&of(30)).level, Level::Ok);
    }
}
