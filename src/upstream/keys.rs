//! Keys that are published elsewhere: fetched when needed, refreshed on schedule, the last good ones kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use serde_json::Value;

use super::fetch::{FetchError, Fetcher};
use crate::domain::registry::{BundleSource, KeySource, TrustDomain};
use crate::jose::{JwkError, JwkSet};
use crate::time::monotonic;

/// Why there are no keys to verify with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// They could not be read, and the last good ones are too old.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// They could not be read a moment ago; the source is left alone for ten seconds.
    #[error("the keys could not be read a moment ago")]
    Resting,
    /// What was read is not a key set.
    #[error("{0}")]
    Jwk(#[from] JwkError),
}

/// How often a key set is read again, and how long the last good one is kept.
#[derive(Clone, Copy)]
struct Pace {
    refresh: Duration,
    keep: Duration,
}

const JWKS_PACE: Pace = Pace { refresh: Duration::from_mins(5), keep: Duration::from_hours(1) };
/// A failed or fruitless read isn't repeated sooner than this.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Slot {
    good: Option<(Arc<JwkSet>, Instant)>,
    tried: Option<Instant>,
}

/// More sources than any registry names; where strangers name them, what falls out is fetched again.
const SOURCES: u64 = 10_000;

/// The key sets in memory: one slot for each source that somebody names.
pub struct Keys {
    fetcher: Fetcher,
    slots: Cache<String, Arc<tokio::sync::Mutex<Slot>>>,
}

impl Keys {
    /// An empty memory.
    pub fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, slots: Cache::new(SOURCES) }
    }

    /// The keys of a source. `missing` says that a token names a key which the current set lacks: then the set is read
    /// again, at most every ten seconds, so that a rotation is seen at once and a stranger can't make us fetch.
    pub async fn of(&self, source: &KeySource, missing: bool) -> Result<Arc<JwkSet>, KeysError> {
        match source {
            KeySource::Inline(set) => Ok(set.clone()),
            KeySource::Remote(url) => {
                let read = || async { Ok(JwkSet::parse(&self.fetcher.json(url).await?)?) };
                self.cached(url, JWKS_PACE, missing, read).await
            }
        }
    }

    /// The bundle of a trust domain that isn't written in the registry.
    pub async fn bundle(
        &self,
        domain: &TrustDomain,
        source: &BundleSource,
        missing: bool,
    ) -> Result<Arc<JwkSet>, KeysError> {
        let pace = Pace {
            refresh: Duration::from_secs(domain.refresh_seconds.into()),
            keep: Duration::from_secs(domain.keep_seconds.into()),
        };
        let name = match source {
            BundleSource::File(path) => format!("file {path}"),
            BundleSource::Endpoint(url) => format!("bundle {url}"),
        };
        let read = || async {
            let bundle: Value = match source {
                BundleSource::File(path) => Fetcher::file(path).await?,
                BundleSource::Endpoint(url) => self.fetcher.json(url).await?,
            };
            Ok(JwkSet::parse_spiffe_bundle(&bundle)?)
        };
        self.cached(&name, pace, missing, read).await
    }

    async fn cached<F: Future<Output = Result<JwkSet, KeysError>>>(
        &self,
        name: &str,
        pace: Pace,
        missing: bool,
        read: impl FnOnce() -> F,
    ) -> Result<Arc<JwkSet>, KeysError> {
        let slot = self.slots.get_with_by_ref(name, Arc::default);
        // One reader at a time; the others wait and find what it brought.
        let mut slot = slot.lock().await;
        let now = monotonic();
        let age = |since: Instant| now.saturating_duration_since(since);
        let rested = slot.tried.is_none_or(|tried| age(tried) >= PATIENCE);
        let fresh = slot.good.as_ref().filter(|(_, at)| age(*at) < pace.refresh && !(missing && rested));
        if let Some((set, _)) = fresh {
            return Ok(set.clone());
        }
        let kept = slot.good.as_ref().filter(|(_, at)| age(*at) < pace.keep).map(|(set, _)| set.clone());
        if let (Some(set), false) = (&kept, rested) {
            return Ok(set.clone());
        }
        if !rested {
            return Err(KeysError::Resting);
        }
        slot.tried = Some(now);
        match (read().await, kept) {
            (Ok(set), _) => {
                let set = Arc::new(set);
                slot.good = Some((set.clone(), now));
                Ok(set)
            }
            (Err(error), Some(set)) => {
                tracing::warn!(source = name, %error, "keys could not be read again; the last good ones stay for now");
                Ok(set)
            }
            (Err(error), None) => {
                tracing::warn!(source = name, %error, "keys could not be read");
                Err(error)
            }
        }
    }
}
