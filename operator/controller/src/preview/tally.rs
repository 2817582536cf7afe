//! What came of asking, as a status says it. Pure.

use std::collections::BTreeMap;

use driftline_crds::{Enforcement, PreviewBlocked, PreviewStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::records::whole_seconds;

/// Reasons that are told, the most frequent first.
const REASONS: usize = 8;
/// The longest message of a reason, in bytes.
const MESSAGE: usize = 640;

/// What would come of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It would be put back, with so many fields; with none where it is missing as a whole.
    Done(u32),
    /// It would not, for a reason in one word and in a sentence.
    Blocked(String, String),
}

impl Answer {
    pub fn blocked(reason: &str, message: &str) -> Self {
        Self::Blocked(reason.to_owned(), message.to_owned())
    }
}

/// All of it; `omitted` objects were not asked about.
pub fn tally(answers: &[Answer], omitted: usize, at: Timestamp) -> PreviewStatus {
    let mut status = PreviewStatus {
        omitted: count(omitted),
        at: Some(Time(whole_seconds(at))),
        ..nothing()
    };
    let mut reasons: BTreeMap<&str, (u32, &str)> = BTreeMap::new();
    for answer in answers {
        match answer {
            Answer::Done(fields) => {
                status.objects += 1;
                status.fields += fields;
            }
            Answer::Blocked(reason, message) => {
                let (times, first) = reasons.entry(reason).or_default();
                *times += 1;
                if first.is_empty() {
                    *first = message;
                }
            }
        }
    }
    let mut blocked: Vec<_> = reasons.into_iter().collect();
    blocked.sort_by_key(|(_, (times, _))| std::cmp::Reverse(*times));
    let shown =
        |text: &str| drift::redact::cut(&drift::redact::printable(text), MESSAGE).to_owned();
    let told = blocked.iter().take(REASONS);
    status.blocked = told
        .map(|(reason, (times, message))| PreviewBlocked {
            reason: shown(reason),
            count: *times,
            message: shown(message),
        })
        .collect();
    let more: u32 = blocked
        .iter()
        .skip(REASONS)
        .map(|(_, (times, _))| times)
        .sum();
    if more > 0 {
        status.blocked.push(PreviewBlocked {
            reason: "Other".to_owned(),
            count: more,
            message: String::new(),
        });
    }
    status
}

/// Where nothing drifts.
pub fn nothing() -> PreviewStatus {
    PreviewStatus {
        rung: Enforcement::Revert,
        objects: 0,
        fields: 0,
        blocked: Vec::new(),
        omitted: 0,
        at: None,
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_reasons_come_by_how_often_they_are() {
        let answers = [
            Answer::Done(2),
            Answer::blocked("Invalid", "field is immutable"),
            Answer::Done(0),
            Answer::blocked("NotAllowed", "the first"),
            Answer::blocked("NotAllowed", "the second"),
        ];
        let status = tally(&answers, 7, Timestamp::UNIX_EPOCH);
        assert_eq!((status.objects, status.fields, status.omitted), (2, 2, 7));
        let told: Vec<_> = status
            .blocked
            .iter()
            .map(|b| (b.reason.as_str(), b.count, b.message.as_str()))
            .collect();
        let expected = [
            ("NotAllowed", 2, "the first"),
            ("Invalid", 1, "field is immutable"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn however_many_reasons_there_are_it_stays_short_and_the_sum_is_right() {
        let answers: Vec<Answer> = (0..40)
            .map(|n| Answer::blocked(&format!("R{n}"), &"x".repeat(5000)))
            .collect();
        let status = tally(&answers, 0, Timestamp::UNIX_EPOCH);
        assert_eq!(status.blocked.len(), REASONS + 1);
        assert_eq!(status.blocked.iter().map(|b| b.count).sum::<u32>(), 40);
        assert!(serde_json::to_vec(&status).expect("JSON").len() < 8192);
    }
}
