//! How often one agent, and one task, may ask: a token bucket for each, in bounded memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::refusal::Refusal;
use crate::config::Rate;
use crate::enforcer::VerifiedToken;
use crate::time::monotonic;

/// Buckets remembered at most. Past that the ones that were not used for longest start full again.
const LARGEST: u64 = 50_000;

/// The limits of one guard.
pub(super) struct Limits {
    agents: Option<Limiter>,
    tasks: Option<Limiter>,
}

impl Limits {
    /// `None` is no limit.
    pub(super) fn new(agents: Option<Rate>, tasks: Option<Rate>) -> Self {
        Self { agents: agents.map(Limiter::new), tasks: tasks.map(Limiter::new) }
    }

    /// Takes one request from the buckets of the token's agent and task.
    pub(super) fn take(&self, token: &VerifiedToken) -> Result<(), Refusal> {
        let claims = token.claims();
        let limited = |who| move |retry_after| Refusal::RateLimited { who, retry_after };
        if let Some(agents) = &self.agents {
            let agent = claims.actor().unwrap_or(&claims.client_id);
            agents.take(agent, monotonic()).map_err(limited("agent"))?;
        }
        if let (Some(tasks), Some(task)) = (&self.tasks, &claims.task) {
            tasks.take(task, monotonic()).map_err(limited("task"))?;
        }
        Ok(())
    }
}

/// How many of those who come without a good token leave evidence: each costs a line on the disk and a row in the chain.
pub(super) struct Strangers(Limiter);

impl Strangers {
    /// Twenty in a second, a hundred at once.
    pub(super) fn new() -> Self {
        Self(Limiter::new(Rate { burst: 100.0, per_second: 20.0 }))
    }

    /// Whether one more is written down.
    pub(super) fn take(&self) -> bool {
        self.0.take("strangers", monotonic()).is_ok()
    }
}

type Bucket = Arc<Mutex<(f64, Instant)>>;

struct Limiter {
    rate: Rate,
    buckets: Cache<String, Bucket>,
}

impl Limiter {
    fn new(rate: Rate) -> Self {
        // An idle bucket is full by then, so forgetting it changes nothing.
        let idle = Duration::from_secs_f64(rate.burst / rate.per_second + 1.0);
        Self { rate, buckets: Cache::builder().max_capacity(LARGEST).time_to_idle(idle).build() }
    }

    /// Takes one, or says how long until there is one.
    fn take(&self, who: &str, now: Instant) -> Result<(), Duration> {
        let full = || Arc::new(Mutex::new((self.rate.burst, now)));
        let bucket = match self.buckets.get(who) {
            Some(bucket) => bucket,
            None => self.buckets.get_with(who.to_owned(), full),
        };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, at) = *bucket;
        let refilled = now.saturating_duration_since(at).as_secs_f64() * self.rate.per_second;
        let level = (level + refilled).min(self.rate.burst);
        if level < 1.0 {
            *bucket = (level, now);
            return Err(Duration::from_secs_f64((1.0 - level) / self.rate.per_second));
        }
        *bucket = (level - 1.0, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_refills_and_is_nobody_elses() {
        let limiter = Limiter::new("2/s".parse().unwrap());
        let start = monotonic();
        assert!(limiter.take("a", start).is_ok() && limiter.take("a", start).is_ok());
        let wait = limiter.take("a", start).unwrap_err();
        assert!(wait > Duration::from_millis(400) && wait <= Duration::from_millis(500), "{wait:?}");
        assert!(limiter.take("b", start).is_ok());
        assert!(limiter.take("a", start + Duration::from_millis(500)).is_ok());
        assert!(limiter.take("a", start + Duration::from_millis(500)).is_err());
        // However long it was idle, it holds no more than one burst.
        let later = start + Duration::from_hours(1);
        assert!(limiter.take("a", later).is_ok() && limiter.take("a", later).is_ok());
        assert!(limiter.take("a", later).is_err());
    }
}
