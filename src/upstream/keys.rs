//! Keys that are published elsewhere.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::cached::{Cached, PACE, Pace, Resting};
use super::fetch::{FetchError, Fetcher};
use super::openid::{OpenId, OpenIdError};
use crate::domain::registry::{BundleSource, KeySource, TrustDomain};
use crate::jose::{JwkError, JwkSet};

/// Why there are no keys to verify with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// They could not be read, and the last good ones are too old.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// They could not be read a moment ago; the source is left alone for ten seconds.
    #[error("{0}")]
    Resting(#[from] Resting),
    /// What was read is not a key set.
    #[error("{0}")]
    Jwk(#[from] JwkError),
    /// The identity provider doesn't say where its keys are.
    #[error("{0}")]
    Discovery(#[from] OpenIdError),
}

/// The key sets in memory: one slot for each source that somebody names.
pub struct Keys {
    fetcher: Fetcher,
    openid: OpenId,
    sets: Cached<JwkSet>,
}

impl Keys {
    /// An empty memory.
    pub fn new(fetcher: Fetcher) -> Self {
        Self { openid: OpenId::new(fetcher.clone()), fetcher, sets: Cached::default() }
    }

    /// An empty memory for keys that strangers publish, with room for so many sets.
    pub fn of_strangers(fetcher: Fetcher, sources: u64) -> Self {
        Self { sets: Cached::with_room(sources), ..Self::new(fetcher) }
    }

    /// The identity providers behind the keys.
    pub fn openid(&self) -> &OpenId {
        &self.openid
    }

    /// The keys of a source. `missing` says that a token names a key which the current set lacks: then the set is read
    /// again, at most every ten seconds, so that a rotation is seen at once and a stranger can't make us fetch.
    pub async fn of(&self, source: &KeySource, missing: bool) -> Result<Arc<JwkSet>, KeysError> {
        match source {
            KeySource::Inline(set) => Ok(set.clone()),
            KeySource::Remote(url) => self.at(url, missing).await,
            KeySource::Discovered(issuer) => {
                let provider = self.openid.provider(issuer).await?;
                self.at(&provider.jwks_uri, missing).await
            }
        }
    }

    async fn at(&self, url: &str, missing: bool) -> Result<Arc<JwkSet>, KeysError> {
        let read = || async { Ok(JwkSet::parse(&self.fetcher.json(url).await?)?) };
        self.sets.get(url, PACE, missing, read).await
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
        self.sets.get(&name, pace, missing, read).await
    }
}
