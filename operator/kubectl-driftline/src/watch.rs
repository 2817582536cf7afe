//! `watch`: records as they open, change and close.

use std::collections::HashMap;

use driftline_crds::{DriftRecord, DriftRecordStatus, RecordState};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, ResourceExt as _};

use crate::connect::Cluster;
use crate::failure::Result;
use crate::model::title;
use crate::options::WatchOptions;
use crate::output::words;
use crate::paint::Paint;
use crate::records;

/// Prints a line for each change until it is ended.
///
/// # Errors
/// Where records cannot be listed.
pub async fn run(cluster: &Cluster, options: &WatchOptions, paint: Paint) -> Result<u8> {
    let scope = options.scope.of(cluster);
    // Says clearly what is missing; a watch would only try again.
    records::records(cluster, scope).await?;
    let api: Api<DeserializeGuard<DriftRecord>> = records::api(cluster, scope);
    let mut events = std::pin::pin!(watcher(api, Config::default()).default_backoff());
    let mut known: HashMap<String, DriftRecordStatus> = HashMap::new();
    let mut listing = true;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listing = true,
            Ok(Event::InitDone) => listing = false,
            Ok(Event::InitApply(record) | Event::Apply(record)) => {
                // Those that cannot be read were named at the start; the others go on.
                let Ok(record) = record.0 else { continue };
                let before = known.get(&key(&record));
                if let Some(status) = &record.status {
                    let quiet =
                        listing && (before.is_some() || status.state == RecordState::Closed);
                    if !quiet && let Some(word) = word(before, status) {
                        tell(&record, status, word, paint);
                    }
                    known.insert(key(&record), status.clone());
                }
            }
            Ok(Event::Delete(record)) => {
                let Ok(record) = record.0 else { continue };
                if let Some(status) = known
                    .remove(&key(&record))
                    .filter(|s| s.state != RecordState::Closed)
                {
                    tell(&record, &status, "GONE", paint);
                }
            }
            // The watch tries again by itself.
            Err(_) => {}
        }
    }
    Ok(0)
}

fn key(record: &DriftRecord) -> String {
    record.uid().unwrap_or_else(|| record.name_any())
}

/// What has happened to a record; `None` if nothing that anybody asked about.
fn word(before: Option<&DriftRecordStatus>, now: &DriftRecordStatus) -> Option<&'static str> {
    let closed = |s: &DriftRecordStatus| s.state == RecordState::Closed;
    match before {
        None if closed(now) => None,
        None => Some("OPEN"),
        Some(before) if closed(before) && !closed(now) => Some("OPEN"),
        Some(before) if !closed(before) && closed(now) => Some("CLOSED"),
        Some(before)
            if before.state != now.state
                || before.fields != now.fields
                || before.change != now.change =>
        {
            Some("CHANGED")
        }
        Some(_) => None,
    }
}

fn tell(record: &DriftRecord, status: &DriftRecordStatus, word: &str, paint: Paint) {
    let now = edge::content::whole_seconds(Timestamp::now());
    let severity = status
        .severity
        .map(|s| paint.severity(s, &format!("{:<8}", s.as_str())));
    let painted = match word {
        "CLOSED" | "GONE" => paint.new_value(&format!("{word:<7}")),
        _ => paint.bold(&format!("{word:<7}")),
    };
    let by = words::clean(&status.display.by);
    let by = match &*by {
        "" => String::new(),
        by if by.starts_with("last ") => format!("  {by}"),
        by => format!("  by {by}"),
    };
    let ended = status.enforcement.as_ref().map(|came| came.outcome);
    let state = match ended.filter(|outcome| word == "CLOSED" && outcome.is_done()) {
        Some(outcome) => format!("{:?}, {}", status.state, outcome.as_str()),
        None => format!("{:?}", status.state),
    };
    crate::print(&format!(
        "{}  {painted}  {}  {}  {}{}  {}\n",
        paint.dim(&now.to_string()),
        severity.unwrap_or_default(),
        title(&record.spec.subject.kubernetes),
        words::clean(&status.display.fields),
        paint.dim(&by),
        paint.dim(&state),
    ));
}
