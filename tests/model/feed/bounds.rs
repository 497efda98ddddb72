//! How large a model is, and which parts of the protocol it has.

use crate::planted::Planted;

/// One second, in ticks. A tick is half a second.
pub(crate) const SECOND: u8 = 2;
/// How far a clock may drift from true time within a lease, to either side: half of the second that the promise leaves.
pub(crate) const DRIFT: u8 = SECOND / 2;
/// A token's lifetime, where that matters.
pub(crate) const LIFETIME: u8 = 1;
/// How long after `exp` enforcers still accept.
pub(crate) const LEEWAY: u8 = SECOND + 1;

/// A part of the protocol, or a fault, that a model may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The stream, and a node whose view lags behind the log.
    Stream,
    /// Enforcers that start over from a snapshot whenever they please.
    StartOver,
    /// Tokens that show an enforcer how far the log has come.
    CatchUp,
    /// Entries that are forgotten too early.
    Forgetting,
    /// Responses that are held back between two looks.
    Buffering,
    /// A token that expires.
    Expiry,
    /// The server's leases, its restarts, and its word that a cutoff is in force.
    Effective,
    /// No time passes: for races that need none, and many messages.
    Standstill,
}

/// One model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// S, in ticks.
    pub(crate) lease: u8,
    /// Cutoffs that a log can hold.
    pub(crate) cutoffs: u8,
    /// Restores from an older copy.
    pub(crate) restores: u8,
    /// Lease requests that the enforcer has under way at once.
    pub(crate) requests: usize,
    /// Messages that are under way at once.
    pub(crate) in_flight: usize,
    /// What else there is.
    pub(crate) parts: &'static [Part],
    /// What is wrong on purpose.
    pub(crate) planted: Planted,
    /// How far past B the model still tells lateness apart, in ticks.
    pub(crate) beyond: u8,
}

impl Bounds {
    /// Whether the model has this part.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Whether the node's view may lag behind the log.
    pub(crate) fn node_lags(&self) -> bool {
        let parts = self.has(Part::Stream) || self.has(Part::Effective);
        parts || self.planted == Planted::LaggingNodeHead
    }

    /// With a bug.
    pub(crate) fn with(self, planted: Planted) -> Self {
        Self { planted, ..self }
    }

    /// B, in ticks.
    pub(crate) fn promise(&self) -> u8 {
        let lifetime = match self.planted {
            _ if !self.has(Part::Expiry) => u8::MAX,
            Planted::LeewayNotCounted => LIFETIME,
            _ => LIFETIME + LEEWAY,
        };
        self.lease.min(lifetime) + SECOND
    }

    /// From here on every lateness is the same.
    pub(crate) fn horizon(&self) -> u8 {
        self.promise() + self.beyond
    }

    /// How long the server lets a lease run, on its own clock, before it counts as run out.
    pub(crate) fn lease_at_server(&self) -> u8 {
        // The server's clock may run ahead as far as the enforcer's lags behind.
        self.lease + if self.planted == Planted::EffectiveWithoutSlack { 0 } else { 2 * DRIFT }
    }
}
