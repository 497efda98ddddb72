//! What was taken back, and how far that has come.

use askama::Template;

use super::account::Holder;
use super::consent::Target;
use super::frame::Frame;
use crate::time::Timestamp;
use crate::ui::moment::Readable as _;

/// The page after a withdrawal.
#[derive(Clone, Debug, Template)]
#[template(path = "withdrawn.html")]
pub struct Withdrawn {
    /// What surrounds it.
    pub frame: Frame,
    /// What was taken back.
    pub what: What,
    /// When that was durable: from then on nothing new is given.
    pub at: Timestamp,
    /// How far it has come.
    pub progress: Progress,
    /// Where the page is looked at again.
    pub again: String,
}

/// What was taken back.
#[derive(Clone, Debug)]
pub enum What {
    /// A consent, and every task that rests on it.
    Consent {
        /// Who may no longer act.
        holder: Holder,
        /// Where.
        resource: Target,
    },
    /// A task, and those below it.
    Task {
        /// Who ran it.
        holder: Holder,
        /// What for, in that one's own words; may be empty.
        purpose: String,
        /// How many tasks below it ended with it.
        below: usize,
    },
}

/// How far it has come.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Nothing accepts an affected token any more.
    InForce {
        /// Since when, and how long after it was durable, in milliseconds, if this server has watched it.
        since: Option<(Timestamp, u64)>,
        /// How many enforcers have it.
        enforcers: usize,
    },
    /// Some enforcers haven't said yet that they have it.
    Waiting {
        /// How many enforcers have it.
        applied: usize,
        /// How many don't.
        waiting: usize,
        /// When it is in force at the latest, whatever breaks.
        latest: Timestamp,
    },
}

impl Withdrawn {
    /// The page.
    pub fn render(&self) -> String {
        super::render(self)
    }

    /// How long it took, where that is known, as people read it.
    fn took(&self) -> String {
        match self.progress {
            Progress::InForce { since: Some((_, ms @ ..=999)), .. } => format!("{ms} ms"),
            Progress::InForce { since: Some((_, ms)), .. } => format!("{}.{} s", ms / 1000, ms / 100 % 10),
            Progress::InForce { since: None, .. } | Progress::Waiting { .. } => String::new(),
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(self.progress, Progress::Waiting { .. })
    }
}
