//! What happened, in the driver's own time: one monotonic clock, in microseconds since the driver started.

use std::sync::Mutex;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;
use taskpass::time::monotonic;

/// Microseconds since the driver started.
pub(super) type Moment = u64;

/// A token that was presented to an enforcer, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Presented {
    pub(super) enforcer: String,
    pub(super) token: String,
    /// Before the first byte was written.
    pub(super) sent: Moment,
    /// After the last byte was read, or the connection broke.
    pub(super) answered: Moment,
    /// The HTTP status; 0 when there was no answer.
    pub(super) status: u16,
}

/// A token that was cut, by whatever scope.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Revoked {
    pub(super) token: String,
    /// When the acknowledgement had been read.
    pub(super) acknowledged: Moment,
    /// When the receipt had been read that it is in force everywhere.
    pub(super) effective: Option<Moment>,
}

/// What an enforcer, or everybody, went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Ordeal {
    /// Nothing comes through between this enforcer and the server. It is held against whoever accepts then, so it is no
    /// longer than it certainly was: from after the deed until before the mending.
    Apart,
    /// It stood still and then went on: what it had been asked before is answered afterwards. An excuse, and so no
    /// shorter than it may have been: from before the deed until after the mending.
    Stopped,
    /// It may answer 503, or not at all. An excuse too.
    Troubled,
}

/// From when to when.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Spell {
    pub(super) ordeal: Ordeal,
    /// The enforcer; nobody means all of them.
    pub(super) enforcer: Option<String>,
    pub(super) from: Moment,
    pub(super) to: Moment,
}

/// Everything that happened during one fault.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// The enforcers' lease.
    pub(super) lease: Moment,
    pub(super) presented: Vec<Presented>,
    pub(super) revoked: Vec<Revoked>,
    pub(super) spells: Vec<Spell>,
    /// Tokens that must be let in as long as nothing is wrong.
    pub(super) controls: Vec<String>,
    /// Tokens that nobody need let in, and that must be dead from some moment on: minted before a restore, say.
    pub(super) perished: Vec<(String, Moment)>,
    /// From when on nothing was wrong any more.
    pub(super) mended: Moment,
}

impl History {
    /// As JSON lines.
    pub(super) fn lines(&self) -> String {
        fn line(kind: &str, is: impl Serialize) -> String {
            json!({ "event": kind, "is": is }).to_string() + "\n"
        }
        let mut text = line(
            "terms",
            json!({ "lease_us": self.lease, "mended": self.mended, "controls": self.controls, "perished": self.perished }),
        );
        text.extend(self.spells.iter().map(|spell| line("spell", spell)));
        text.extend(self.revoked.iter().map(|revoked| line("revoked", revoked)));
        text.extend(self.presented.iter().map(|presented| line("presented", presented)));
        text
    }
}

/// Where everybody writes down what happens.
pub(super) struct Journal {
    started: Instant,
    pub(super) history: Mutex<History>,
}

impl Journal {
    pub(super) fn new(lease_seconds: u64) -> Self {
        let history = History { lease: lease_seconds * 1_000_000, ..History::default() };
        Self { started: monotonic(), history: Mutex::new(history) }
    }

    pub(super) fn now(&self) -> Moment {
        u64::try_from(monotonic().duration_since(self.started).as_micros()).unwrap()
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut History) -> T) -> T {
        change(&mut self.history.lock().unwrap())
    }
}
