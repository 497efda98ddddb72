//! Introspection by the issuer (RFC 7662): whether a token is still active, asked with a bearer token of our own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::credentials::Credentials;
use super::http::{self, Unavailable};
use super::verifier::check_claims_are_whole;
use crate::entropy::Entropy;
use crate::protocol::claims::AccessTokenClaims;
use crate::protocol::token_type::{CLIENT_CREDENTIALS, JWT_BEARER};
use crate::secret::Secret;
use crate::time::{Clock, monotonic};

/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;
/// After a failure to get a bearer, the time until the next attempt.
const REST: Duration = Duration::from_secs(1);

/// The issuer's answer about one token. It holds for the request that asked, and is not kept.
#[derive(Debug)]
pub enum Introspected {
    /// The token is active, and these are its claims.
    Active(Box<AccessTokenClaims>),
    /// RFC 7662 §2.2: not active, for whatever reason; the issuer doesn't say which.
    Inactive,
}

/// Our own token for the introspection endpoint.
struct Bearer {
    token: Secret,
    /// From when on a new one is fetched, while this one still serves.
    renew_at: Instant,
    /// From when on it isn't used.
    dead_at: Instant,
}

/// Asks one issuer.
pub struct Introspector {
    client: reqwest::Client,
    credentials: Credentials,
    entropy: Entropy,
    clock: Clock,
    bearer: ArcSwapOption<Bearer>,
    /// When the last attempt to get a bearer failed; held while one is under way.
    last_failure: Mutex<Option<Instant>>,
}

impl Introspector {
    /// An introspector that authenticates with these credentials; nothing is asked yet.
    pub(super) fn new(client: reqwest::Client, credentials: Credentials, clock: Clock) -> Self {
        Self {
            client,
            credentials,
            entropy: Entropy::default(),
            clock,
            bearer: ArcSwapOption::empty(),
            last_failure: Mutex::new(None),
        }
    }

    /// Asks whether `token` is active.
    ///
    /// # Errors
    /// When there is no answer that says yes or no: the caller must fail closed.
    pub async fn introspect(&self, token: &str) -> Result<Introspected, Unavailable> {
        let bearer = self.bearer().await?;
        match self.ask(token, &bearer).await {
            Err(Unavailable::Status { status: 401, .. }) => {
                // Our own token was taken back, or the issuer lost it: get another one, once.
                self.forget(&bearer);
                let bearer = self.bearer().await?;
                self.ask(token, &bearer).await
            }
            answer => answer,
        }
    }

    async fn ask(&self, token: &str, bearer: &Bearer) -> Result<Introspected, Unavailable> {
        let url = format!("{}/oauth/introspect", self.credentials.issuer());
        let form = [("token", token), ("token_type_hint", "access_token")];
        let answer = http::post(&self.client, &url, &form, Some(bearer.token.expose()), LONGEST).await?;
        read_answer(answer)
    }

    async fn bearer(&self) -> Result<Arc<Bearer>, Unavailable> {
        let held = |limit: fn(&Bearer) -> Instant| {
            self.bearer.load_full().filter(|bearer| monotonic() < limit(bearer))
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
                self.bearer.store(Some(Arc::clone(&bearer)));
                *last_failure = None;
                Ok(bearer)
            }
            Err(error) => {
                tracing::warn!(%error, "no token for the introspection endpoint");
                *last_failure = Some(monotonic());
                held(|bearer| bearer.dead_at).ok_or(error)
            }
        }
    }

    async fn fetch_bearer(&self) -> Result<Bearer, Unavailable> {
        let issuer = self.credentials.issuer();
        let assertion = self.credentials.assertion(&self.entropy, self.clock.now());
        let assertion = assertion.map_err(|_| Unavailable::Malformed("our key refused to sign"))?;
        let resource = format!("{issuer}/oauth/introspect");
        let form = [
            ("grant_type", CLIENT_CREDENTIALS),
            ("resource", resource.as_str()),
            ("scope", "introspect"),
            ("client_id", self.credentials.client_id()),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.as_str()),
        ];
        // The lifetime counts from before the request left: the answer may have been long on its way.
        let sent = monotonic();
        let answer = http::post(&self.client, &format!("{issuer}/oauth/token"), &form, None, LONGEST).await?;
        read_bearer(&answer, sent).ok_or(Unavailable::Malformed("it is not a token response"))
    }

    fn forget(&self, refused: &Arc<Bearer>) {
        // Only if it is still the one: another request may have replaced it meanwhile.
        self.bearer.rcu(|held| held.clone().filter(|held| !Arc::ptr_eq(held, refused)));
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

/// RFC 7662 §2.2: `active` is REQUIRED and a boolean; anything else is no answer.
fn read_answer(answer: Map<String, Value>) -> Result<Introspected, Unavailable> {
    match answer.get("active") {
        Some(Value::Bool(false)) => Ok(Introspected::Inactive),
        Some(Value::Bool(true)) => check_claims_are_whole(Value::Object(answer))
            .map(|claims| Introspected::Active(Box::new(claims)))
            .map_err(|_| Unavailable::Malformed("an active token without its claims")),
        _ => Err(Unavailable::Malformed("no `active`")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_true_and_false_are_answers() {
        let inactive = read_answer(object(json!({"active": false}))).unwrap();
        assert!(matches!(inactive, Introspected::Inactive));
        for answer in [json!({}), json!({"active": "true"}), json!({"active": 1}), json!({"active": null})] {
            assert!(read_answer(object(answer)).is_err());
        }
        assert!(read_answer(object(json!({"active": true}))).is_err());
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
