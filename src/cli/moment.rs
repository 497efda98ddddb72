//! Moments as people read them.

use crate::time::{Calendar, Timestamp};

/// `2026-11-21 04:45:36 UTC`.
pub(super) fn utc(moment: Timestamp) -> String {
    let Calendar { year, month, day, hour, minute, second } = moment.into();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `3 s`, `2 min 5 s`, `1 h 0 min`; `over` for what lies in the past.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..=0 => "over".into(),
        1..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (1_798_761_600, "2027-01-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(Timestamp(seconds)), text);
        }
    }
}
