//! Places for opaque tokens. Anybody can make one up, and each costs the issuer a question: only so many are asked about at
//! the same time. Those that were good before have places of their own, which nobody takes by making up others.

use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::verifier::LIFETIME_CEILING;
use crate::secret::Digest;

/// Tokens of one kind that the issuer is asked about at the same time at most.
const PLACES: usize = 64;
/// Good tokens remembered at most. Past that the ones that came least often are strangers again.
const KNOWN: u64 = 50_000;

/// The places, and which tokens were good when the issuer was asked last.
pub(super) struct Opaque {
    /// That a token is here opens nothing: the issuer is asked about it each time.
    known: Cache<Digest, ()>,
    regulars: Semaphore,
    strangers: Semaphore,
}

impl Opaque {
    pub(super) fn new() -> Self {
        let lifetime = Duration::from_secs(LIFETIME_CEILING.unsigned_abs());
        Self {
            known: Cache::builder().max_capacity(KNOWN).time_to_live(lifetime).build(),
            regulars: Semaphore::new(PLACES),
            strangers: Semaphore::new(PLACES),
        }
    }

    /// A place to ask the issuer about this token, if one is free.
    pub(super) fn place(&self, token: &Digest) -> Option<SemaphorePermit<'_>> {
        let places = if self.known.contains_key(token) { &self.regulars } else { &self.strangers };
        places.try_acquire().ok()
    }

    /// What the issuer has said about a token.
    pub(super) fn remember(&self, token: &Digest, good: bool) {
        if good {
            self.known.insert(*token, ());
        } else {
            self.known.invalidate(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_tokens_take_no_places_of_good_ones() {
        let opaque = Opaque::new();
        let token = |number: usize| Digest::of(format!("tpo_{number}").as_bytes());
        let good = token(0);
        drop(opaque.place(&good).unwrap());
        opaque.remember(&good, true);
        let junk: Vec<_> = (1..=PLACES).map(|number| opaque.place(&token(number)).unwrap()).collect();
        assert!(opaque.place(&token(PLACES + 1)).is_none(), "no more of these at the same time");
        let regulars: Vec<_> = (0..PLACES).map(|_| opaque.place(&good).unwrap()).collect();
        assert!(opaque.place(&good).is_none(), "and no more of those");
        drop(regulars);
        // One that died is a stranger again.
        opaque.remember(&good, false);
        assert!(opaque.place(&good).is_none());
        drop(junk);
        assert!(opaque.place(&good).is_some());
    }
}
