//! Reading of the API, with a deadline and with words for what cannot be read.

use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

use super::report::{Finding, Level};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What reading led to.
pub enum Seen<T> {
    /// It is there.
    There(T),
    /// It is not there, or its kind is not.
    Absent,
    /// It could not be read: why.
    Hidden(String),
}

/// An answer within the deadline.
pub async fn ask<T>(asked: impl Future<Output = kube::Result<T>>) -> Seen<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(found)) => Seen::There(found),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Seen::Absent,
        Ok(Err(kube::Error::Api(status))) => Seen::Hidden(status.message.clone()),
        Ok(Err(error)) => Seen::Hidden(error.to_string()),
        Err(_) => Seen::Hidden(format!(
            "the API server did not answer within {} s",
            PATIENCE.as_secs()
        )),
    }
}

/// An object by its name.
pub async fn one<K>(api: &Api<K>, name: &str) -> Seen<K>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    ask(api.get(name)).await
}

/// All objects, by pages.
pub async fn all<K>(api: &Api<K>, selector: &str) -> Seen<Vec<K>>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let mut found = Vec::new();
    let mut parameters = ListParams::default().limit(500).labels(selector);
    loop {
        match ask(api.list(&parameters)).await {
            Seen::There(page) => {
                found.extend(page.items);
                match page.metadata.continue_.filter(|next| !next.is_empty()) {
                    Some(next) => parameters = parameters.continue_token(&next),
                    None => return Seen::There(found),
                }
            }
            Seen::Absent => return Seen::Absent,
            Seen::Hidden(why) => return Seen::Hidden(why),
        }
    }
}

/// Word of something that could not be looked at.
pub fn hidden(check: &'static str, what: &str, why: &str) -> Finding {
    Finding::bad(
        check,
        Level::Unknown,
        format!("{what} cannot be read: {why}"),
        "ask for the right that the message names, or look with another account: `kubectl driftline doctor --context NAME`",
    )
}
