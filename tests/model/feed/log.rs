//! The revocation log, a token, and the rule that says whether it is dead.
//!
//! There is one token, with two scopes. It stands for all: what an enforcer decides of one token doesn't depend on another.

use crate::planted::Planted;

/// Entries that a log can hold.
pub(crate) const MOST_ENTRIES: usize = 2;

/// One place of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// Nothing was written here yet.
    #[default]
    Unwritten,
    /// Cuts the token's first scope.
    First,
    /// Cuts its second scope.
    Second,
    /// Cuts something else.
    Other,
    /// Was left out, because the server's wall clock said that it can't hit a token any more.
    Forgotten,
}

impl Entry {
    /// What can be cut.
    pub(crate) const CUTS: [Self; 3] = [Self::First, Self::Second, Self::Other];

    fn hits(self) -> bool {
        matches!(self, Self::First | Self::Second)
    }
}

/// A log, or as much of it as somebody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Log {
    /// Its name.
    pub(crate) generation: u8,
    /// The newest entry that is left out.
    pub(crate) floor: u8,
    entries: [Entry; MOST_ENTRIES],
}

impl Log {
    /// How far it has come.
    pub(crate) fn seq(self) -> u8 {
        self.entries.iter().map(|entry| u8::from(*entry != Entry::Unwritten)).sum()
    }

    /// Writes the next entry.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries[usize::from(self.seq())] = entry;
    }

    /// Sets it back to its first `seq` entries.
    pub(crate) fn set_back(&mut self, seq: u8) {
        self.entries[usize::from(seq)..].fill(Entry::Unwritten);
        self.floor = self.floor.min(seq);
    }

    /// Leaves out the oldest entry that is still there.
    pub(crate) fn forget(&mut self) {
        self.entries[usize::from(self.floor)] = Entry::Forgotten;
        self.floor += 1;
    }

    /// Appends what `other` holds beyond this.
    pub(crate) fn extend(&mut self, other: Self) {
        for (own, news) in self.entries.iter_mut().zip(other.entries) {
            if *own == Entry::Unwritten {
                *own = news;
            }
        }
    }

    /// Whether an entry in `(after, to]` hits the token.
    pub(crate) fn hits(self, after: u8, to: u8) -> bool {
        self.entries[usize::from(after)..usize::from(to.max(after))].iter().any(|entry| entry.hits())
    }
}

/// The token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    /// The log that it was minted under.
    pub(crate) generation: u8,
    /// How far that log had come. A token that shows later in the run and has this `rev` decides nothing more than
    /// one minted at once.
    pub(crate) rev: u8,
    /// Its age, where that matters.
    pub(crate) age: u8,
}

/// What a view says about the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No entry hits it.
    Alive,
    /// An entry hits it, or it is of another log.
    Dead,
    /// The view has not come as far as the token: catch up first.
    Behind,
}

/// The rule of `taskpass::domain::cutoff`.
pub(crate) fn verdict(view: Log, token: Token, planted: Planted) -> Verdict {
    let tested = |entry: &Entry| match planted {
        Planted::OneScopeOnly => *entry == Entry::First,
        _ => entry.hits(),
    };
    let below_floor = token.rev < view.floor && planted != Planted::SnapshotWithoutFloor;
    if view.generation != token.generation
        || below_floor
        || view.entries[usize::from(token.rev)..].iter().any(tested)
    {
        return Verdict::Dead;
    }
    if token.rev > view.seq() && planted != Planted::NoCatchUp { Verdict::Behind } else { Verdict::Alive }
}
