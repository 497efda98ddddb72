//! The issuer's public keys (RFC 7517), fetched when needed and never more often than a stranger's tokens may cause.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::sync::Mutex;

use super::http::{self, Unavailable};
use crate::domain::cutoff::MEMORY_SECONDS;
use crate::jose::JwkSet;
use crate::time::{Clock, Uptime};

/// At most one fetch in this time, however many unknown key names arrive.
const FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// After a fetch that brought nothing, the time until the next: whoever started without keys decides nothing until then.
const RETRY: Duration = Duration::from_secs(1);
/// Keys older than this are fetched again.
const FRESH: Duration = Duration::from_mins(5);
/// Keys older than this are not used: the issuer may have taken one back since, and the cutoff that says so is forgotten
/// some time after.
const KEPT: Duration = Duration::from_mins(7);
const _: () = assert!(KEPT.as_secs() < MEMORY_SECONDS);
/// The longest key set that is read, in bytes.
const LONGEST: usize = 256 * 1024;

struct Fetched {
    keys: Arc<JwkSet>,
    published: Value,
    at: Uptime,
}

/// The key set of one issuer.
pub struct JwksCache {
    client: reqwest::Client,
    url: String,
    /// Keys age while the machine sleeps, too.
    clock: Clock,
    fetched: ArcSwapOption<Fetched>,
    /// From when on the next fetch may begin; held while one is under way.
    next_attempt: Mutex<Option<Uptime>>,
}

impl JwksCache {
    /// The cache of the keys at `url`; nothing is fetched yet.
    pub(super) fn new(client: reqwest::Client, url: String, clock: Clock) -> Self {
        Self { client, url, clock, fetched: ArcSwapOption::empty(), next_attempt: Mutex::new(None) }
    }

    /// The issuer's keys, fetched anew if they don't have `kid` or are old. What comes back may lack `kid` still.
    ///
    /// # Errors
    /// When there are no keys that are young enough to be used.
    pub async fn keys_for(&self, kid: &str) -> Result<Arc<JwkSet>, Unavailable> {
        if let Some(keys) = self.keys_with(kid, FRESH) {
            return Ok(keys);
        }
        // Whoever comes second waits for the first one's fetch, unless the keys at hand will do.
        let mut next_attempt = match self.next_attempt.try_lock() {
            Ok(guard) => guard,
            Err(_) => match self.keys_with(kid, KEPT) {
                Some(keys) => return Ok(keys),
                None => self.next_attempt.lock().await,
            },
        };
        // Who waited for the first one's fetch may find what he needs.
        if let Some(keys) = self.keys_with(kid, FRESH) {
            return Ok(keys);
        }
        if next_attempt.is_some_and(|at| self.clock.uptime() < at) {
            return self.usable().ok_or(Unavailable::Resting);
        }
        *next_attempt = Some(self.clock.uptime().plus(FETCH_INTERVAL));
        match self.fetch().await {
            Ok(keys) => Ok(keys),
            Err(error) => {
                *next_attempt = Some(self.clock.uptime().plus(RETRY));
                tracing::warn!(%error, "the issuer's keys could not be fetched");
                self.usable().ok_or(error)
            }
        }
    }

    /// The keys at hand, if they are young.
    pub(super) fn fresh(&self) -> Option<Arc<JwkSet>> {
        let fetched = self.fetched.load();
        let young = fetched.as_ref().filter(|fetched| self.clock.uptime().since(fetched.at) < FRESH)?;
        Some(Arc::clone(&young.keys))
    }

    fn keys_with(&self, kid: &str, age: Duration) -> Option<Arc<JwkSet>> {
        let fetched = self.fetched.load();
        let fetched = fetched.as_ref()?;
        let young = self.clock.uptime().since(fetched.at) < age;
        (young && fetched.keys.iter().any(|key| key.kid() == Some(kid))).then(|| Arc::clone(&fetched.keys))
    }

    fn usable(&self) -> Option<Arc<JwkSet>> {
        let fetched = self.fetched.load();
        let fetched = fetched.as_ref()?;
        (self.clock.uptime().since(fetched.at) < KEPT).then(|| Arc::clone(&fetched.keys))
    }

    async fn fetch(&self) -> Result<Arc<JwkSet>, Unavailable> {
        let at = self.clock.uptime();
        let published = Value::Object(http::get(&self.client, &self.url, LONGEST).await?);
        // The same keys stay the same object: what was proven under them stays proven.
        let unchanged = self
            .fetched
            .load()
            .as_ref()
            .filter(|old| old.published == published)
            .map(|old| Arc::clone(&old.keys));
        let keys = match unchanged {
            Some(keys) => keys,
            None => Arc::new(
                JwkSet::parse(&published).map_err(|_| Unavailable::Malformed("it is not a JWK set"))?,
            ),
        };
        self.fetched.store(Some(Arc::new(Fetched { keys: Arc::clone(&keys), published, at })));
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{Json, Router, routing::get};

    use super::*;
    use crate::jose::{Algorithm, PrivateJwk};

    async fn issuer(body: Value, hits: Arc<AtomicUsize>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let answer = move || {
            hits.fetch_add(1, Ordering::SeqCst);
            let body = body.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Json(body)
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/jwks", get(answer))).await });
        url
    }

    fn cache(url: String) -> Arc<JwksCache> {
        Arc::new(JwksCache::new(http::client(Duration::from_secs(2), true).unwrap(), url, Clock::System))
    }

    /// A key is taken back by a cutoff, which is forgotten after a while; the key itself must be forgotten before.
    #[tokio::test]
    async fn keys_are_not_used_for_longer_than_the_cutoff_of_one_is_known() {
        let key = PrivateJwk::generate(Algorithm::ES256).unwrap().public().unwrap();
        let kid = key.kid().unwrap().to_owned();
        let mut cache = JwksCache::new(
            http::client(Duration::from_secs(2), true).unwrap(),
            issuer(JwkSet::of(key).to_json(), Arc::default()).await,
            Clock::manual(crate::time::Timestamp(0)),
        );
        cache.keys_for(&kid).await.unwrap();
        "http://127.0.0.1:1/jwks".clone_into(&mut cache.url);
        cache.clock.advance(400);
        assert!(cache.keys_for(&kid).await.is_ok() && cache.fresh().is_none());
        cache.clock.advance(30);
        assert!(cache.keys_for(&kid).await.is_err());
    }

    #[tokio::test]
    async fn many_callers_and_many_unknown_names_cause_one_fetch() {
        let hits = Arc::new(AtomicUsize::new(0));
        let key = PrivateJwk::generate(Algorithm::ES256).unwrap().public().unwrap();
        let kid = key.kid().unwrap().to_owned();
        let cache = cache(issuer(JwkSet::of(key).to_json(), Arc::clone(&hits)).await);
        let callers: Vec<_> = (0..20)
            .map(|number| {
                let (cache, name) =
                    (Arc::clone(&cache), if number % 2 == 0 { kid.clone() } else { number.to_string() });
                tokio::spawn(async move { cache.keys_for(&name).await.unwrap() })
            })
            .collect();
        for caller in callers {
            assert!(caller.await.unwrap().iter().any(|key| key.kid() == Some(&kid)));
        }
        assert_eq!(hits.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_issuer_that_is_away_is_asked_once_and_answers_nothing() {
        let cache = cache("http://127.0.0.1:1/jwks".into());
        assert!(matches!(cache.keys_for("a").await, Err(Unavailable::Unreachable(_))));
        assert!(matches!(cache.keys_for("a").await, Err(Unavailable::Resting)));
    }

    #[tokio::test]
    async fn an_issuer_that_is_back_is_asked_again_within_a_second() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let cache = cache(format!("http://{address}/jwks"));
        assert!(matches!(cache.keys_for("a").await, Err(Unavailable::Unreachable(_))));
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let set = JwkSet::of(PrivateJwk::generate(Algorithm::ES256).unwrap().public().unwrap()).to_json();
        let keys = move || async move { Json(set) };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/jwks", get(keys))).await });
        tokio::time::sleep(RETRY).await;
        assert!(cache.keys_for("a").await.is_ok());
    }

    #[tokio::test]
    async fn a_set_that_is_too_long_or_no_set_is_refused() {
        let hits = Arc::new(AtomicUsize::new(0));
        let long = cache(issuer(serde_json::json!({"keys": "x".repeat(LONGEST)}), Arc::clone(&hits)).await);
        assert!(matches!(long.keys_for("a").await, Err(Unavailable::TooLong)));
        let wrong = cache(issuer(serde_json::json!({"keys": 1}), hits).await);
        assert!(matches!(wrong.keys_for("a").await, Err(Unavailable::Malformed(_))));
    }
}
