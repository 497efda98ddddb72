//! The server: a node's view, the leases it has granted, and its word that a cutoff is in force everywhere.

use super::bounds::{Bounds, Part};
use super::log::{Log, MOST_ENTRIES};
use super::network::{Message, Network};
use super::state::State;
use crate::planted::Planted;

/// What the server keeps in memory. All ages are on its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// The view of the node that the enforcer talks to.
    pub(crate) node: Log,
    /// What the enforcer says it has applied.
    pub(crate) applied: u8,
    /// By head: how long ago a lease was last granted under it, unless it has run out.
    pub(crate) grants: [Option<u8>; MOST_ENTRIES],
    /// How long ago it started, as far as that matters.
    pub(crate) up: u8,
    /// Whether its clock has run ahead by as much as it may.
    pub(crate) clock_leads: bool,
}

impl Server {
    /// A server that has been up for long.
    pub(crate) fn new(bounds: &Bounds) -> Self {
        let (node, grants) = (Log::default(), [None; MOST_ENTRIES]);
        Self { node, applied: 0, grants, up: bounds.lease_at_server() + 1, clock_leads: false }
    }

    /// Its clock moves on.
    pub(crate) fn tick(&mut self, ticks: u8, bounds: &Bounds) {
        let end = bounds.lease_at_server();
        self.grants = self.grants.map(|age| age.map(|age| age + ticks).filter(|age| *age <= end));
        self.up = (self.up + ticks).min(end + 1);
    }

    /// Its process dies and comes back: the leases are forgotten, the view is read again.
    pub(crate) fn restart(&mut self, log: Log) {
        *self = Self { node: log, applied: 0, grants: [None; MOST_ENTRIES], up: 0, ..*self };
    }

    /// Notes a lease that was granted under `head`, or will be under a later one.
    fn note(&mut self, applied: u8, head: u8, bounds: &Bounds) {
        self.applied = self.applied.max(applied);
        if bounds.planted == Planted::EffectiveByAnswer {
            self.grants = [None; MOST_ENTRIES];
        }
        // Under the last entry of all there is nothing that a lease could lack.
        if head < bounds.cutoffs {
            self.grants[usize::from(head)] = Some(0);
        }
    }

    /// Whether everything up to `seq` is in force everywhere, as far as the server can tell.
    pub(crate) fn is_effective(&self, seq: u8, bounds: &Bounds) -> bool {
        let remembers =
            self.up > bounds.lease_at_server() || bounds.planted == Planted::EffectiveForgetsLeasesAtRestart;
        let older = &self.grants[..usize::from(seq)];
        // The word of a process that has started since says nothing of what was granted to it before.
        remembers && (self.applied >= seq || older.iter().all(Option::is_none))
    }
}

/// A lease request arrives.
pub(crate) fn arrive(state: &mut State, (nonce, generation, applied): (u8, u8, u8), bounds: &Bounds) {
    notice_restore(state, generation, applied, bounds.planted);
    let head = if bounds.planted == Planted::LaggingNodeHead { state.server.node } else { state.log };
    if generation != head.generation || applied < head.floor {
        return state.network.send(Message::Gone { generation });
    }
    if !bounds.has(Part::Effective) {
        return state.network.send(Message::Lease { nonce, applied, log: head });
    }
    match bounds.planted {
        Planted::HeadBeforeNote => state.network.send(Message::HeadRead { nonce, applied, log: head }),
        Planted::EffectiveForgetsOtherNodes => {
            state.network.send(Message::Noted { nonce, generation, applied });
        }
        _ => {
            // The lease is noted before the head is read: whoever commits a cutoff after that read finds it here.
            state.server.note(applied, state.server.node.seq(), bounds);
            state.network.send(Message::Noted { nonce, generation, applied });
        }
    }
}

/// The second half of answering: the head is read, and the answer leaves.
pub(crate) fn answer(state: &mut State, message: Message, bounds: &Bounds) {
    match message {
        Message::Noted { nonce, applied, .. } => {
            // What the node knew when it noted the lease is in the answer, since a view never leads the log.
            state.network.send(Message::Lease { nonce, applied, log: state.log });
        }
        Message::HeadRead { nonce, applied, log } => {
            state.server.note(applied, log.seq(), bounds);
            state.network.send(Message::Lease { nonce, applied, log });
        }
        _ => {}
    }
}

/// Planted: only an enforcer that knows more than the log can know that it was set back.
fn notice_restore(state: &mut State, generation: u8, applied: u8, planted: Planted) {
    let ahead = generation == state.log.generation && applied > state.log.seq();
    if planted == Planted::RestoreNoticedLate && ahead {
        state.rename_log();
    }
}

/// What a restart of the server takes with it.
pub(crate) fn drop_work(network: &mut Network) {
    network.drop_where(|message| matches!(message, Message::Noted { .. } | Message::HeadRead { .. }));
}
