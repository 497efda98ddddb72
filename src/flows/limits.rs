//! Limits: how often one client may ask, so that none can starve the others. Revocation is not limited.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::domain::refusal::Refusal;
use crate::time::monotonic;

/// The limits of one node. They count whoever has proved who it is; strangers share one limit for each tenant, so that
/// nobody can use up another's by its name.
#[derive(Debug)]
pub struct Limits {
    /// Of token requests.
    pub token: Limiter,
    /// Of introspections.
    pub introspection: Limiter,
    /// Of decisions that enforcers bring, each a row of the audit trail.
    pub decisions: Limiter,
    /// Of refusals that are a row of their own in the audit trail: strangers share one limit, and each client that has
    /// proved who it is has another.
    pub strangers: Limiter,
    /// Of clients that register themselves: all strangers share one limit for each tenant.
    pub registrations: Limiter,
}

/// Such refusals per second and tenant, and per client.
const STRANGERS: u32 = 200;
/// Registrations per second and tenant.
const REGISTRATIONS: u32 = 2;
/// Decisions per second and enforcer: what a fleet of guards of one name writes down, not what a runaway one could.
const DECISIONS: u32 = 5_000;

impl Limits {
    /// Requests per second and client; 0 is no limit. A burst is four seconds' worth.
    pub fn new(token: u32, introspection: u32) -> Self {
        let unless_off = |limit| if token == 0 { 0 } else { limit };
        Self {
            token: Limiter::new(token),
            introspection: Limiter::new(introspection),
            decisions: Limiter::new(unless_off(DECISIONS)),
            strangers: Limiter::new(unless_off(STRANGERS)),
            registrations: Limiter::new(unless_off(REGISTRATIONS)),
        }
    }
}

/// A token bucket for each key, in shards so that clients don't wait for each other.
#[derive(Debug)]
pub struct Limiter {
    per_second: u32,
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<u64, (f64, Instant)>>>,
}

const SHARDS: u64 = 16;
/// Keys per shard at most; a stranger can fill them, so a full shard forgets those that have refilled, then all.
const LARGEST: usize = 4096;
const BURST_SECONDS: f64 = 4.0;

impl Limiter {
    /// A limiter of so many requests per second.
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Takes one request from the bucket of `who` in `tenant`.
    pub fn take(&self, tenant: &str, who: &str) -> Result<(), Refusal> {
        self.take_many(tenant, who, 1)
    }

    /// Takes so many from the bucket of `who` in `tenant`, or none.
    pub fn take_many(&self, tenant: &str, who: &str, count: u32) -> Result<(), Refusal> {
        if self.per_second == 0 {
            return Ok(());
        }
        self.take_at((tenant, who), count, monotonic())
    }

    fn take_at(&self, key: (&str, &str), count: u32, now: Instant) -> Result<(), Refusal> {
        let (rate, full) = (f64::from(self.per_second), f64::from(self.per_second) * BURST_SECONDS);
        let key = self.hasher.hash_one(key);
        let shard = &self.shards[usize::try_from(key % SHARDS).unwrap_or_default()];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = |(level, at): (f64, Instant)| {
            (level + now.saturating_duration_since(at).as_secs_f64() * rate).min(full)
        };
        if shard.len() >= LARGEST && !shard.contains_key(&key) {
            shard.retain(|_, bucket| filled(*bucket) < full);
            if shard.len() >= LARGEST {
                shard.clear();
            }
        }
        let level = shard.get(&key).map_or(full, |bucket| filled(*bucket));
        let count = f64::from(count);
        let (level, answer) = if level >= count { (level - count, Ok(())) } else { (level, Err(())) };
        shard.insert(key, (level, now));
        answer.map_err(|()| Refusal::TooManyRequests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn refills_and_stays_bounded() {
        let limiter = Limiter::new(1);
        let start = monotonic();
        for _ in 0..4 {
            assert_eq!(limiter.take_at(("t", "a"), 1, start), Ok(()));
        }
        assert_eq!(limiter.take_at(("t", "a"), 1, start), Err(Refusal::TooManyRequests));
        assert_eq!(limiter.take_at(("t", "b"), 3, start), Ok(()));
        assert_eq!(limiter.take_at(("t", "b"), 2, start), Err(Refusal::TooManyRequests), "all of it or none");
        assert_eq!(limiter.take_at(("t", "b"), 1, start), Ok(()));
        assert_eq!(limiter.take_at(("t", "a"), 1, start + Duration::from_millis(1001)), Ok(()));
        for key in 0..200_000 {
            let _ = limiter.take_at(("t", &key.to_string()), 1, start);
        }
        assert!(limiter.shards.iter().all(|shard| shard.lock().unwrap().len() <= LARGEST));
    }
}
