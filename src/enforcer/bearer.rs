//! The enforcer's own tokens, for one of the issuer's endpoints (RFC 6749 §4.4): held, renewed ahead of their end, and
//! dropped when the issuer takes one back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::HeaderValue;
use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::credentials::Credentials;
use super::http::{self, Unavailable};
use crate::entropy::Entropy;
use crate::protocol::token_type::{CLIENT_CREDENTIALS, JWT_BEARER};
use crate::secret::Secret;
use crate::time::{Clock, monotonic};

/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;
/// After a failure to get a bearer, the time until the next attempt.
const REST: Duration = Duration::from_secs(1);

/// A token of ours.
pub(super) struct Bearer {
    /// What is sent.
    pub(super) token: Secret,
    /// From when on a new one is fetched, while this one still serves.
    renew_at: Instant,
    /// From when on it isn't used.
    dead_at: Instant,
}

impl Bearer {
    /// RFC 6750 §2.1. Marked sensitive, so that nothing prints it.
    pub(super) fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.token.expose()))
            .unwrap_or(HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }
}

/// Gets tokens for one endpoint.
pub(super) struct Bearers {
    client: reqwest::Client,
    credentials: Credentials,
    entropy: Entropy,
    clock: Clock,
    /// The built-in resource below the issuer, and its scope.
    endpoint: (&'static str, &'static str),
    held: ArcSwapOption<Bearer>,
    /// When the last attempt to get one failed; held while one is under way.
    last_failure: Mutex<Option<Instant>>,
}

impl Bearers {
    /// Tokens for `endpoint`: the path below the issuer, and the scope. Nothing is asked yet.
    pub(super) fn new(
        client: reqwest::Client,
        credentials: Credentials,
        clock: Clock,
        endpoint: (&'static str, &'static str),
    ) -> Self {
        Self {
            client,
            credentials,
            entropy: Entropy::default(),
            clock,
            endpoint,
            held: ArcSwapOption::empty(),
            last_failure: Mutex::new(None),
        }
    }

    /// The endpoint's URL.
    pub(super) fn url(&self) -> String {
        format!("{}/{}", self.credentials.issuer(), self.endpoint.0)
    }

    /// A token that still lives for a while.
    ///
    /// # Errors
    /// There is none, and none can be had.
    pub(super) async fn bearer(&self) -> Result<Arc<Bearer>, Unavailable> {
        let held = |limit: fn(&Bearer) -> Instant| {
            self.held.load_full().filter(|bearer| monotonic() < limit(bearer))
        };
        if let Some(bearer) = held(|bearer| bearer.renew_at) {
            return Ok(bearer);
        }
        // One caller renews; the others go on with the old one while it lives.
        let mut last_failure = match self.last_failure.try_lock() {
            Ok(guard) => guard,
            Err(_) => match held(|bearer| bearer.dead_at) {
                Some(bearer) => return Ok(bearer),
                None => self.last_failure.lock().await,
            },
        };
        if let Some(bearer) = held(|bearer| bearer.renew_at) {
            return Ok(bearer);
        }
        if last_failure.is_some_and(|at| monotonic().duration_since(at) < REST) {
            return held(|bearer| bearer.dead_at).ok_or(Unavailable::Resting);
        }
        match self.fetch_bearer().await {
            Ok(bearer) => {
                let bearer = Arc::new(bearer);
                self.held.store(Some(Arc::clone(&bearer)));
                *last_failure = None;
                Ok(bearer)
            }
            Err(error) => {
                tracing::warn!(%error, "no token for the issuer's endpoint");
                *last_failure = Some(monotonic());
                held(|bearer| bearer.dead_at).ok_or(error)
            }
        }
    }

    async fn fetch_bearer(&self) -> Result<Bearer, Unavailable> {
        let issuer = self.credentials.issuer();
        let assertion = self.credentials.assertion(&self.entropy, self.clock.now());
        let assertion = assertion.map_err(|_| Unavailable::Malformed("our key refused to sign"))?;
        let resource = self.url();
        let form = [
            ("grant_type", CLIENT_CREDENTIALS),
            ("resource", resource.as_str()),
            ("scope", self.endpoint.1),
            ("client_id", self.credentials.client_id()),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.as_str()),
        ];
        // The lifetime counts from before the request left: the answer may have been long on its way.
        let sent = monotonic();
        let answer = http::post(&self.client, &format!("{issuer}/oauth/token"), &form, None, LONGEST).await?;
        read_bearer(&answer, sent).ok_or(Unavailable::Malformed("it is not a token response"))
    }

    /// Drops a token that the issuer doesn't accept any more.
    pub(super) fn forget(&self, refused: &Arc<Bearer>) {
        // Only if it is still the one: another request may have replaced it meanwhile.
        self.held.rcu(|held| held.clone().filter(|held| !Arc::ptr_eq(held, refused)));
    }
}

/// Reads a token response (RFC 6749 §5.1); the token is renewed after three quarters of its life.
fn read_bearer(answer: &Map<String, Value>, sent: Instant) -> Option<Bearer> {
    let token = answer.get("access_token")?.as_str()?.to_owned();
    let bearer = answer.get("token_type")?.as_str()?.eq_ignore_ascii_case("bearer");
    let lifetime = Duration::from_secs(answer.get("expires_in")?.as_u64()?.min(3600));
    bearer.then(|| Bearer {
        token: Secret::new(token),
        renew_at: sent + lifetime * 3 / 4,
        dead_at: sent + lifetime,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_bearer_is_renewed_ahead_of_its_end() {
        let sent = monotonic();
        let answer = json!({"access_token": "a", "token_type": "Bearer", "expires_in": 240});
        let bearer = read_bearer(&object(answer), sent).unwrap();
        assert_eq!(bearer.renew_at, sent + Duration::from_mins(3));
        assert_eq!(bearer.dead_at, sent + Duration::from_mins(4));
        for answer in [
            json!({"access_token": "a", "token_type": "DPoP", "expires_in": 240}),
            json!({"access_token": "a", "token_type": "Bearer"}),
            json!({"token_type": "Bearer", "expires_in": 240}),
        ] {
            assert!(read_bearer(&object(answer), sent).is_none());
        }
    }
}
