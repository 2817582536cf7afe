//! When something may be put back.

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A stretch of time that comes again and again: it begins by a cron expression on the clocks of a time zone.
///
/// Where clocks go forward over its beginning it begins when they have; where they go back over it, it begins once, or each time for an
/// expression of intervals. Its length is elapsed time.
#[derive(Debug, Clone)]
pub struct Window {
    text: String,
    cron: Cron,
    length: SignedDuration,
    zone: TimeZone,
}

/// Compared by what they say.
impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.length == other.length && self.zone == other.zone
    }
}

impl Eq for Window {}

/// Why something is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It is no cron expression.
    #[error("{0:?} is no cron expression of five fields, such as \"0 9 * * MON-FRI\": {1}")]
    Cron(String, String),
    /// There is no such time zone.
    #[error("{0:?} is no time zone; use a name of the IANA database, such as Europe/Berlin")]
    Zone(String),
    /// It has no end, or none within a week.
    #[error("a window is open for 1s to 168h at a time")]
    Length,
}

const LONGEST: SignedDuration = SignedDuration::from_hours(168);

impl Window {
    /// Reads a window.
    ///
    /// # Errors
    /// If there is no such time zone, or the expression cannot be read.
    pub fn parse(cron: &str, length: SignedDuration, zone: &str) -> Result<Self, WindowError> {
        let cut = |text: &str| crate::redact::cut(text, 64).to_owned();
        if length < SignedDuration::from_secs(1) || length > LONGEST {
            return Err(WindowError::Length);
        }
        let wrong = |why: String| WindowError::Cron(cut(cron), why);
        let fields = cron.split_whitespace().count();
        if fields != 5 {
            return Err(wrong(format!("it has {fields}")));
        }
        let parsed: Cron = cron
            .parse()
            .map_err(|e: croner::errors::CronError| wrong(e.to_string()))?;
        let zone = TimeZone::get(zone).map_err(|_| WindowError::Zone(cut(zone)))?;
        Ok(Self {
            text: cron.to_owned(),
            cron: parsed,
            length,
            zone,
        })
    }

    /// True while it is open.
    fn is_open(&self, now: Timestamp) -> bool {
        // The one that began last, at or before now, and less than its length ago.
        let Ok(earliest) = now.checked_sub(self.length) else {
            return false;
        };
        self.next(earliest).is_some_and(|begin| begin <= now)
    }

    /// When it opens next, after a time.
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&after, false).ok()?;
        Some(next.timestamp())
    }
}

/// The windows of a policy; none stands for always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows(pub Vec<Window>);

impl Windows {
    /// Until when all are closed; `None` while one is open, or where there is none. The end of time where none opens again.
    pub fn closed_until(&self, now: Timestamp) -> Option<Timestamp> {
        if self.0.is_empty() || self.0.iter().any(|w| w.is_open(now)) {
            return None;
        }
        let next = self.0.iter().filter_map(|w| w.next(now)).min();
        Some(next.unwrap_or(Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows(cron: &str, hours: i64, zone: &str) -> Windows {
        let length = SignedDuration::from_hours(hours);
        Windows(vec![Window::parse(cron, length, zone).expect("valid")])
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn it_is_open_from_its_beginning_for_its_length() {
        let office = windows("0 9 * * MON-FRI", 8, "Europe/Berlin");
        // A Friday, an hour ahead of UTC.
        assert_eq!(
            office.closed_until(at("2026-11-27T07:59:59Z")),
            Some(at("2026-11-27T08:00:00Z"))
        );
        assert_eq!(office.closed_until(at("2026-11-27T08:00:00Z")), None);
        assert_eq!(office.closed_until(at("2026-11-27T15:59:59Z")), None);
        assert_eq!(
            office.closed_until(at("2026-11-27T16:00:00Z")),
            Some(at("2026-11-30T08:00:00Z"))
        );
        assert_eq!(
            Windows::default().closed_until(at("2026-11-27T16:00:00Z")),
            None
        );
    }

    #[test]
    fn clocks_that_change_move_it_with_them() {
        let night = windows("30 2 * * *", 1, "Europe/Berlin");
        // Clocks go from 02:00 to 03:00 on 29 March: there is no 02:30, and the window is not lost.
        let spring = night
            .closed_until(at("2026-03-28T23:00:00Z"))
            .expect("closed");
        assert!(
            spring >= at("2026-03-29T01:00:00Z") && spring <= at("2026-03-29T01:30:00Z"),
            "{spring}"
        );
        // They go from 03:00 back to 02:00 on 25 October, and 02:30 comes twice: at 00:30 and 01:30.
        let autumn = night.closed_until(at("2026-10-24T23:00:00Z"));
        assert_eq!(autumn, Some(at("2026-10-25T00:30:00Z")));
        // Nine o'clock stays nine o'clock.
        let office = windows("0 9 * * *", 1, "Europe/Berlin");
        assert_eq!(
            office.closed_until(at("2026-03-27T22:00:00Z")),
            Some(at("2026-03-28T08:00:00Z"))
        );
        assert_eq!(
            office.closed_until(at("2026-03-28T22:00:00Z")),
            Some(at("2026-03-29T07:00:00Z"))
        );
    }

    #[test]
    fn what_is_no_window_is_said() {
        let parse = |cron, zone| {
            Window::parse(cron, SignedDuration::from_hours(1), zone)
                .map(|_| ())
                .expect_err("wrong")
                .to_string()
        };
        assert!(
            parse("0 9 * *", "UTC").contains("five fields"),
            "{}",
            parse("0 9 * *", "UTC")
        );
        assert!(parse("0 25 * * *", "UTC").contains("\"0 25 * * *\""));
        assert!(parse("@daily", "UTC").contains("five fields"));
        assert!(parse("0 9 * * *", "Berlin").contains("IANA"));
        let endless = Window::parse("0 9 * * *", SignedDuration::from_hours(169), "UTC");
        assert_eq!(endless.map(|_| ()), Err(WindowError::Length));
        // The thirtieth of February.
        let never = windows("0 0 30 2 *", 1, "UTC");
        assert_eq!(
            never.closed_until(at("2026-11-27T00:00:00Z")),
            Some(Timestamp::MAX)
        );
    }

    proptest! {
        #[test]
        fn whoever_waits_until_it_opens_finds_it_open(minute in 0..60u32, hour in 0..24u32, day in 0..7u32, length in 1..100i64, now in 1_700_000_000..1_900_000_000i64, zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])) {
            let windows = windows(&format!("{minute} {hour} * * {day}"), length, zone);
            let now = Timestamp::from_second(now).expect("in range");
            if let Some(until) = windows.closed_until(now) {
                prop_assert!(until > now);
                prop_assert_eq!(windows.closed_until(until), None);
                let before = until.checked_sub(SignedDuration::from_secs(1)).expect("in range");
                prop_assert!(before < now || windows.closed_until(before) == Some(until));
            }
        }
    }
}
