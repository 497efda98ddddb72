//! An enforcer: its view, its lease, what it has asked for, and what it decides.

use super::bounds::{Bounds, LEEWAY, LIFETIME, Part};
use super::log::{Log, Token, Verdict, verdict};
use super::network::{Message, Network};
use crate::planted::Planted;

/// Lease requests that can be under way at once.
pub(crate) const MOST_REQUESTS: usize = 2;

/// One process of an enforcer. All ages are on its own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Enforcer {
    /// What it knows.
    pub(crate) view: Option<Log>,
    /// How long ago the request was sent that brought its lease; nothing once that has run out.
    pub(crate) lease: Option<u8>,
    /// How long ago each request was sent whose answer it would still take.
    pub(crate) asked: [Option<u8>; MOST_REQUESTS],
    /// Whether its clock has fallen behind by as much as it may.
    pub(crate) clock_lags: bool,
    /// The highest `rev` among the tokens that it has accepted.
    pub(crate) shown: u8,
    /// The token passed the first look, and the response is held back.
    pub(crate) holds: bool,
}

impl Enforcer {
    /// Its clock moves on.
    pub(crate) fn tick(&mut self, ticks: u8, bounds: &Bounds) {
        for age in std::iter::once(&mut self.lease).chain(&mut self.asked) {
            *age = age.map(|age| age + ticks).filter(|age| *age <= bounds.lease);
        }
    }

    /// Whether it would let the token pass, looking now.
    pub(crate) fn passes(&self, token: Token, bounds: &Bounds) -> bool {
        let fresh = self.lease.is_some() || bounds.planted == Planted::IgnoreLease;
        let expired = bounds.has(Part::Expiry) && token.age > LIFETIME + LEEWAY;
        fresh
            && !expired
            && self.view.is_some_and(|view| verdict(view, token, bounds.planted) == Verdict::Alive)
    }

    /// Whether it accepts the token now: the answer leaves.
    pub(crate) fn accepts(&self, token: Token, bounds: &Bounds) -> bool {
        match bounds.planted {
            Planted::NoSecondLook => self.holds,
            _ if bounds.has(Part::Buffering) => self.holds && self.passes(token, bounds),
            _ => self.passes(token, bounds),
        }
    }

    /// Asks for a lease, if it can.
    pub(crate) fn ask(&mut self, network: &mut Network, bounds: &Bounds) -> bool {
        let Some(view) = self.view else { return false };
        // A nonce is never used again while anything of it is under way.
        let unused = |nonce: &usize| {
            self.asked[*nonce].is_none()
                && network.iter().all(|message| message.nonce().map(usize::from) != Some(*nonce))
        };
        let Some(nonce) = (0..bounds.requests).find(unused) else { return false };
        self.asked[nonce] = Some(0);
        let nonce = u8::try_from(nonce).unwrap();
        network.send(Message::Request { nonce, generation: view.generation, applied: view.seq() });
        true
    }

    /// Takes a lease.
    pub(crate) fn take_lease(&mut self, nonce: u8, applied: u8, log: Log, bounds: &Bounds) {
        let asked = match bounds.planted {
            Planted::IgnoreNonce => self.asked.iter_mut().filter(|age| age.is_some()).min(),
            _ => self.asked.get_mut(usize::from(nonce)),
        };
        let Some(age) = asked.and_then(Option::take) else { return };
        // What doesn't follow on what is known would leave a gap.
        let Some(view) =
            self.view.as_mut().filter(|view| view.generation == log.generation && applied <= view.seq())
        else {
            return;
        };
        view.extend(log);
        let age = if bounds.planted == Planted::FreshFromReceipt { 0 } else { age };
        self.lease = Some(self.lease.map_or(age, |before| before.min(age)));
    }

    /// Takes an event of the stream, which makes nobody fresh.
    pub(crate) fn take_event(&mut self, prev: u8, log: Log) {
        let follows = |view: &&mut Log| view.generation == log.generation && prev <= view.seq();
        if let Some(view) = self.view.as_mut().filter(follows) {
            view.extend(log);
        }
    }

    /// Starts over from a snapshot, which makes nobody fresh. What was asked under the old view is void.
    pub(crate) fn start_over(&mut self, snapshot: Log, bounds: &Bounds) {
        self.view = Some(snapshot);
        self.lease = None;
        if bounds.planted != Planted::StartOverKeepsAsking {
            self.asked = [None; MOST_REQUESTS];
        }
    }

    /// Forgets what it knows: its process died, or its log is no more.
    pub(crate) fn forget(&mut self) {
        *self = Self { clock_lags: self.clock_lags, shown: self.shown, ..Self::default() };
    }
}
