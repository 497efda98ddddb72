//! Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document-02): fetched when a client shows up, kept for as long
//! as its site lets them be kept, within bounds. Strangers choose the URLs, so everything here is bounded.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{Mutex, Semaphore};

use super::fetch::{FetchError, Fetcher};
use super::keys::Keys;
use crate::domain::client_metadata::{ClientMetadata, UnfitMetadata};
use crate::time::{Clock, Uptime};

/// §8.7: "The recommended maximum size to read is 5 kilobytes".
const LARGEST: usize = 5 * 1024;
/// §5.2: the server "MAY define its own upper and/or lower bounds on an acceptable cache lifetime".
const SHORTEST: u64 = 60;
const LONGEST: u64 = 86_400;
/// How long a document is kept whose site doesn't say, in seconds.
const USUAL: u64 = 300;
/// How much longer the last good one serves when its site can't be reached: people keep working while it is down.
const GRACE: Duration = Duration::from_hours(1);
/// A URL that failed isn't asked again sooner than this, whoever names it. Nothing of the failure is kept.
const REST: Duration = Duration::from_secs(5);
/// Documents in memory.
const DOCUMENTS: u64 = 2_000;
/// Key sets in memory, of those documents that point to one.
const KEY_SETS: u64 = 1_000;
/// Documents on their way at once: slow sites hold up each other, and nothing else.
const UNDER_WAY: usize = 32;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It could not be read.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// It is not one that can be taken.
    #[error("{0}")]
    Unfit(#[from] UnfitMetadata),
    /// It could not be read a moment ago.
    #[error("the document could not be read a moment ago")]
    Resting,
    /// Too many documents are on their way.
    #[error("too many documents are being fetched")]
    Busy,
}

impl DocumentError {
    /// Whether the site may be as it should, and only not be reached just now.
    fn is_passing(&self) -> bool {
        match self {
            Self::Fetch(FetchError::Status(status)) => *status >= 500,
            Self::Fetch(FetchError::Http(_) | FetchError::TooOften) | Self::Resting | Self::Busy => true,
            Self::Fetch(_) | Self::Unfit(_) => false,
        }
    }
}

#[derive(Default)]
struct Slot {
    good: Option<(Arc<ClientMetadata>, Uptime)>,
    failed: Option<Uptime>,
}

/// The documents in memory, and the keys that they point to.
pub struct ClientDocuments {
    fetcher: Fetcher,
    slots: Cache<String, Arc<Mutex<Slot>>>,
    under_way: Semaphore,
    /// Of documents that were good before: strangers can name any number of others.
    renewals: Semaphore,
    /// The keys at documents' `jwks_uri`: apart from those that the registry names, so that strangers can't push those out.
    pub keys: Keys,
}

impl ClientDocuments {
    /// An empty memory. The fetcher is one for strangers ([`Fetcher::for_strangers`]).
    pub fn new(fetcher: Fetcher) -> Self {
        Self {
            keys: Keys::of_strangers(fetcher.clone(), KEY_SETS),
            fetcher,
            slots: Cache::new(DOCUMENTS),
            under_way: Semaphore::new(UNDER_WAY),
            renewals: Semaphore::new(UNDER_WAY),
        }
    }

    /// What the document at this URL says. Errors and unfit documents are never kept (§5.2).
    pub async fn of(&self, url: &str, clock: &Clock) -> Result<Arc<ClientMetadata>, DocumentError> {
        let slot = self.slots.get_with_by_ref(url, Arc::default);
        // One reader at a time; the others wait and find what it brought.
        let mut slot = slot.lock().await;
        let now = clock.uptime();
        if let Some((metadata, _)) = slot.good.as_ref().filter(|(_, until)| now < *until) {
            return Ok(metadata.clone());
        }
        // Kept until there is another: whoever waits for it may hang up.
        let last_good = slot.good.clone().filter(|(_, until)| now < until.plus(GRACE));
        let rests = slot.failed.is_some_and(|failed| now.since(failed) < REST);
        let read = match (rests, &last_good) {
            (true, _) => Err(DocumentError::Resting),
            (false, Some(_)) => self.read(url, &self.renewals).await,
            (false, None) => self.read(url, &self.under_way).await,
        };
        match (read, last_good) {
            (Ok((metadata, lifetime)), _) => {
                let metadata = Arc::new(metadata);
                *slot = Slot { good: Some((metadata.clone(), clock.uptime().plus(lifetime))), failed: None };
                Ok(metadata)
            }
            (Err(error), last_good) => {
                if !rests {
                    slot.failed = Some(clock.uptime());
                    tracing::info!(client_id = url, %error, "a client's metadata document was not taken");
                }
                slot.good = last_good.filter(|_| error.is_passing());
                slot.good.as_ref().map(|(metadata, _)| metadata.clone()).ok_or(error)
            }
        }
    }

    async fn read(&self, url: &str, places: &Semaphore) -> Result<(ClientMetadata, Duration), DocumentError> {
        let _one_of_few = places.try_acquire().map_err(|_| DocumentError::Busy)?;
        let document = self.fetcher.document(url, LARGEST).await?;
        let metadata = ClientMetadata::from_document(url, &document.members)?;
        Ok((metadata, lifetime(document.cache_control.as_deref())))
    }
}

/// How long a document is kept (RFC 9111 §5.2.2). One that says that it must not be kept is kept for the shortest time: else each
/// step of one sign-in would fetch it, and tell its site of it.
fn lifetime(cache_control: Option<&str>) -> Duration {
    let directives = || {
        cache_control.unwrap_or_default().split(',').map(|directive| directive.trim().to_ascii_lowercase())
    };
    let not_kept = directives().any(|directive| directive == "no-store" || directive == "no-cache");
    let max_age =
        directives().find_map(|directive| directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok());
    let seconds = if not_kept { SHORTEST } else { max_age.unwrap_or(USUAL) };
    Duration::from_secs(seconds.clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_says_how_long_within_bounds() {
        for (header, seconds) in [
            (None, 300),
            (Some(""), 300),
            (Some("public"), 300),
            (Some("public, max-age=3600"), 3600),
            (Some("Max-Age=\"3600\""), 3600),
            (Some("max-age=0"), 60),
            (Some("max-age=59"), 60),
            (Some("max-age=604800"), 86_400),
            (Some("max-age=99999999999999999999999"), 300),
            (Some("max-age=-1"), 300),
            (Some("max-age=x"), 300),
            (Some("no-store"), 60),
            (Some("no-cache, max-age=3600"), 60),
            (Some("s-maxage=7200"), 300),
        ] {
            assert_eq!(lifetime(header), Duration::from_secs(seconds), "{header:?}");
        }
    }
}
