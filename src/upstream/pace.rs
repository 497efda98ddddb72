//! How often strangers can make the server call one host.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use moka::sync::Cache;

/// Calls per second to one host, and how many may come at once. Nobody's site notices as much.
const PER_SECOND: f64 = 5.0;
const BURST: f64 = 20.0;
/// Hosts that are remembered; one that is forgotten has its burst again.
const HOSTS: u64 = 10_000;

/// A token bucket for each host.
#[derive(Clone, Debug)]
pub(super) struct Pace(Cache<String, Arc<Mutex<Bucket>>>);

/// How many tokens there are, and since when.
type Bucket = (f64, Option<Instant>);

impl Default for Pace {
    fn default() -> Self {
        Self(Cache::new(HOSTS))
    }
}

impl Pace {
    /// Whether this host may be called once more.
    pub(super) fn allows(&self, host: &str, now: Instant) -> bool {
        let bucket = self.0.get_with(host.to_owned(), || Arc::new(Mutex::new((BURST, None))));
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = bucket.1.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        let level = (bucket.0 + elapsed * PER_SECOND).min(BURST);
        let allowed = level >= 1.0;
        *bucket = (if allowed { level - 1.0 } else { level }, Some(now));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_host_is_left_alone_after_a_burst_and_others_are_not() {
        let (pace, start) = (Pace::default(), crate::time::monotonic());
        let at_once = (0..1000).filter(|_| pace.allows("a.example", start)).count();
        assert_eq!(at_once, 20);
        assert!(pace.allows("b.example", start));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| pace.allows("a.example", later)).count(), 5);
        // The clock never goes back, but readings may arrive out of order.
        assert!(!pace.allows("a.example", start));
    }
}
