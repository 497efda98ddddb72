//! Time as a value: seconds since the Unix epoch, read once per request at the edge and handed down.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Whole seconds since the Unix epoch (RFC 7519 §2, `NumericDate`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, Default,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment plus `seconds`, without overflow.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this moment; negative when `earlier` is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment by the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the calendar")]
pub struct Calendar {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
}

impl From<Timestamp> for Calendar {
    fn from(moment: Timestamp) -> Self {
        let (days, seconds) = (moment.0.div_euclid(86_400), moment.0.rem_euclid(86_400));
        // Count days from 1 March of the year 0, so that the leap day is the last of its year; then 400-year cycles.
        let days = days + 719_468;
        let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = cycle * 400 + year + i64::from(month <= 2);
        Self { year, month, day, hour: seconds / 3600, minute: seconds / 60 % 60, second: seconds % 60 }
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A reading of a clock that only runs forward, and that runs on while the machine sleeps (CLOCK_BOOTTIME): what leases
/// and freshness are counted in. Never compared with a [`Timestamp`], nor with a reading from another machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

impl Uptime {
    /// The moment that lies `since_start` after the clock's own beginning.
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// This moment plus `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// The time from `earlier` to this moment; nothing when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since the clock's beginning.
    pub fn seconds(self) -> u64 {
        self.0.as_secs()
    }
}

/// Where the time comes from: the machine, or a test that moves it by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clocks.
    #[default]
    System,
    /// Clocks that stand still until they are moved.
    Manual(Arc<ManualClock>),
}

/// A wall clock and an uptime that a test moves.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    up: AtomicU64,
}

impl Clock {
    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(ManualClock { wall: AtomicI64::new(start.0), up: AtomicU64::new(1_000) }))
    }

    /// The same, whose uptime is `up`.
    pub fn manual_at(start: Timestamp, up: Uptime) -> Self {
        Self::Manual(Arc::new(ManualClock {
            wall: AtomicI64::new(start.0),
            up: AtomicU64::new(up.seconds()),
        }))
    }

    /// The current time. A wall clock before 1970 reads as 0, at which every token has its `iat` in the future.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp(system_seconds()),
            Self::Manual(clock) => Timestamp(clock.wall.load(Ordering::SeqCst)),
        }
    }

    /// How long the clock that only runs forward has run.
    pub fn uptime(&self) -> Uptime {
        match self {
            Self::System => uptime(),
            Self::Manual(clock) => Uptime(Duration::from_secs(clock.up.load(Ordering::SeqCst))),
        }
    }

    /// Lets `seconds` pass on a manual clock; the machine's are not moved.
    pub fn advance(&self, seconds: u32) {
        if let Self::Manual(clock) = self {
            clock.wall.fetch_add(seconds.into(), Ordering::SeqCst);
            clock.up.fetch_add(seconds.into(), Ordering::SeqCst);
        }
    }

    /// Sets a manual wall clock forward or back by `seconds`, as an operator or a time server does; no time passes.
    pub fn step(&self, seconds: i64) {
        if let Self::Manual(clock) = self {
            clock.wall.fetch_add(seconds, Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX))
}

/// A reading of the monotonic clock, for ages and latencies; never compared with a [`Timestamp`].
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Linux's CLOCK_BOOTTIME. CLOCK_MONOTONIC stops while the machine sleeps, and a lease must not.
fn uptime() -> Uptime {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Uptime(Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default()))
}
