//! Moments and spans as people read them. UTC, because these pages run no script that knows where the reader is.

use crate::time::{Calendar, Timestamp};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// How the templates print a moment.
pub(crate) trait Readable {
    /// `2026-11-21T04:45:36Z`, for the `datetime` of a `<time>`.
    fn iso(&self) -> String;
    /// `21 November 2026, 04:45 UTC`.
    fn in_full(&self) -> String;
    /// `04:45:36 UTC`.
    fn clock(&self) -> String;
    /// `in 6 days`, `2 hours ago`, `now`, as seen from `now`.
    fn seen_from(&self, now: Timestamp) -> String;
}

impl Readable for Timestamp {
    fn iso(&self) -> String {
        let Calendar { year, month, day, hour, minute, second } = (*self).into();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    fn in_full(&self) -> String {
        let Calendar { year, month, day, hour, minute, .. } = (*self).into();
        let month = usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&"");
        format!("{day} {month} {year}, {hour:02}:{minute:02} UTC")
    }

    fn clock(&self) -> String {
        let Calendar { hour, minute, second, .. } = (*self).into();
        format!("{hour:02}:{minute:02}:{second:02} UTC")
    }

    fn seen_from(&self, now: Timestamp) -> String {
        match self.since(now) {
            0 => "now".into(),
            ahead @ 1.. => format!("in {}", span(ahead)),
            behind => format!("{} ago", span(behind.saturating_neg())),
        }
    }
}

/// `40 seconds`, `2 hours`, `6 days`: the largest unit that is full at least once, rounded down.
fn span(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..=59 => (seconds, "second"),
        60..=3_599 => (seconds / 60, "minute"),
        3_600..=86_399 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    if count == 1 { format!("{count} {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_out() {
        let moment = Timestamp(1_795_236_336);
        assert_eq!(moment.iso(), "2026-11-21T04:45:36Z");
        assert_eq!(moment.in_full(), "21 November 2026, 04:45 UTC");
        assert_eq!(moment.clock(), "04:45:36 UTC");
    }

    #[test]
    fn spans_have_one_unit() {
        let now = Timestamp(1_000_000);
        for (seconds, words) in [
            (0, "now"),
            (1, "in 1 second"),
            (119, "in 1 minute"),
            (7_200, "in 2 hours"),
            (86_400 * 6 + 5, "in 6 days"),
            (-59, "59 seconds ago"),
            (-86_400, "1 day ago"),
        ] {
            assert_eq!(now.plus(seconds).seen_from(now), words);
        }
    }
}
