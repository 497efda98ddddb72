//! What is published elsewhere, in memory: read when needed, read again on schedule, the last good one kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::time::monotonic;

/// It could not be read a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it could not be read a moment ago")]
pub struct Resting;

/// How often it is read again, and how long the last good one is kept.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) refresh: Duration,
    pub(super) keep: Duration,
}

/// What a key set or a provider's metadata is read at.
pub(super) const PACE: Pace = Pace { refresh: Duration::from_mins(5), keep: Duration::from_hours(1) };

/// A failed or fruitless read isn't repeated sooner than this.
const PATIENCE: Duration = Duration::from_secs(10);

struct Slot<T> {
    good: Option<(Arc<T>, Instant)>,
    tried: Option<Instant>,
}

/// More sources than any registry names.
const SOURCES: u64 = 10_000;

/// One slot for each source that somebody names.
pub(super) struct Cached<T> {
    slots: Cache<String, Arc<tokio::sync::Mutex<Slot<T>>>>,
}

impl<T: Send + Sync + 'static> Default for Cached<T> {
    fn default() -> Self {
        Self::with_room(SOURCES)
    }
}

impl<T: Send + Sync + 'static> Cached<T> {
    /// Room for so many. Where strangers name the sources, what falls out is fetched again.
    pub(super) fn with_room(sources: u64) -> Self {
        Self { slots: Cache::new(sources) }
    }

    /// What `name` stands for, by `read` if need be. `missing` says that what is known lacks something: then it is read
    /// again, at most every ten seconds, so that a change is seen at once and a stranger can't make us fetch.
    pub(super) async fn get<E, F>(
        &self,
        name: &str,
        pace: Pace,
        missing: bool,
        read: impl FnOnce() -> F,
    ) -> Result<Arc<T>, E>
    where
        E: std::fmt::Display + From<Resting>,
        F: Future<Output = Result<T, E>>,
    {
        let empty = || Arc::new(tokio::sync::Mutex::new(Slot { good: None, tried: None }));
        let slot = self.slots.get_with_by_ref(name, empty);
        // One reader at a time; the others wait and find what it brought.
        let mut slot = slot.lock().await;
        let now = monotonic();
        let age = |since: Instant| now.saturating_duration_since(since);
        let rested = slot.tried.is_none_or(|tried| age(tried) >= PATIENCE);
        let fresh = slot.good.as_ref().filter(|(_, at)| age(*at) < pace.refresh && !(missing && rested));
        if let Some((good, _)) = fresh {
            return Ok(good.clone());
        }
        let kept = slot.good.as_ref().filter(|(_, at)| age(*at) < pace.keep).map(|(good, _)| good.clone());
        if let (Some(good), false) = (&kept, rested) {
            return Ok(good.clone());
        }
        if !rested {
            return Err(Resting.into());
        }
        slot.tried = Some(now);
        match (read().await, kept) {
            (Ok(good), _) => {
                let good = Arc::new(good);
                slot.good = Some((good.clone(), now));
                Ok(good)
            }
            (Err(error), Some(good)) => {
                tracing::warn!(source = name, %error, "could not be read again; the last good one stays for now");
                Ok(good)
            }
            (Err(error), None) => {
                tracing::warn!(source = name, %error, "could not be read");
                Err(error)
            }
        }
    }
}
