//! Introspection by the issuer (RFC 7662): whether a token is still active, asked with a bearer token of our own.

use serde_json::{Map, Value};

use super::bearer::{Bearer, Bearers};
use super::credentials::Credentials;
use super::http::{self, Unavailable};
use super::verifier::check_claims_are_whole;
use crate::protocol::claims::AccessTokenClaims;
use crate::time::{Clock, Uptime};

/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// The issuer's answer about one token. It holds for the request that asked, and is not kept.
#[derive(Debug)]
pub enum Introspected {
    /// The token is active, and these are its claims; and until when that holds.
    Active(Box<AccessTokenClaims>, Uptime),
    /// RFC 7662 §2.2: not active, for whatever reason; the issuer doesn't say which.
    Inactive,
}

/// Asks one issuer.
pub struct Introspector {
    client: reqwest::Client,
    bearers: Bearers,
    clock: Clock,
}

impl Introspector {
    /// An introspector that authenticates with these credentials; nothing is asked yet.
    pub(super) fn new(client: reqwest::Client, credentials: Credentials, clock: Clock) -> Self {
        let endpoint = ("oauth/introspect", "introspect");
        let bearers = Bearers::new(client.clone(), credentials, clock.clone(), endpoint);
        Self { client, bearers, clock }
    }

    /// Asks whether `token` is active.
    ///
    /// # Errors
    /// When there is no answer that says yes or no: the caller must fail closed.
    pub async fn introspect(&self, token: &str) -> Result<Introspected, Unavailable> {
        let bearer = self.bearers.bearer().await?;
        match self.ask(token, &bearer).await {
            Err(Unavailable::Status { status: 401, .. }) => {
                // Our own token was taken back, or the issuer lost it: get another one, once.
                self.bearers.forget(&bearer);
                let bearer = self.bearers.bearer().await?;
                self.ask(token, &bearer).await
            }
            answer => answer,
        }
    }

    async fn ask(&self, token: &str, bearer: &Bearer) -> Result<Introspected, Unavailable> {
        let url = self.bearers.url();
        let form = [("token", token), ("token_type_hint", "access_token")];
        let sent = self.clock.uptime();
        let answer = http::send(&self.client, &url, &form, Some(bearer.token.expose())).await?;
        // The issuer's own knowledge has an age, and the answer took its time: together they stay within one lease.
        let holds = http::max_age(&answer);
        match read_answer(http::read(answer, LONGEST).await?, sent.plus(holds))? {
            Introspected::Active(_, until) if self.clock.uptime() > until => Err(Unavailable::TooLate),
            answer => Ok(answer),
        }
    }
}

/// RFC 7662 §2.2: `active` is REQUIRED and a boolean; anything else is no answer.
fn read_answer(answer: Map<String, Value>, until: Uptime) -> Result<Introspected, Unavailable> {
    match answer.get("active") {
        Some(Value::Bool(false)) => Ok(Introspected::Inactive),
        Some(Value::Bool(true)) => check_claims_are_whole(Value::Object(answer))
            .map(|claims| Introspected::Active(Box::new(claims), until))
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
        let read_answer = |answer| read_answer(answer, Uptime::default());
        let inactive = read_answer(object(json!({"active": false}))).unwrap();
        assert!(matches!(inactive, Introspected::Inactive));
        for answer in [json!({}), json!({"active": "true"}), json!({"active": 1}), json!({"active": null})] {
            assert!(read_answer(object(answer)).is_err());
        }
        assert!(read_answer(object(json!({"active": true}))).is_err());
    }
}
