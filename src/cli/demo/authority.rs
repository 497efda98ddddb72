//! What the demo asks of the server, over HTTP like anybody else: tokens, and an administrator's requests.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::narrator::Failure;
use crate::entropy::Entropy;
use crate::jose::{SigningKey, Unverified};
use crate::protocol::token_type::{CLIENT_CREDENTIALS, JWT_BEARER, JWT_SPIFFE, TOKEN_EXCHANGE, TokenType};
use crate::time::Clock;

/// An answer of the server, whatever it was.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: StatusCode,
    /// The body; `null` when it isn't JSON.
    pub(super) body: Value,
}

impl Answer {
    /// A member of the body as text; empty when it isn't there.
    pub(super) fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    /// The body, if the status is the one that was expected.
    pub(super) fn expect(self, status: StatusCode) -> Result<Self, Failure> {
        if self.status == status {
            return Ok(self);
        }
        Err(Failure(format!("expected {}, got {}: {}", status.as_u16(), self.status.as_u16(), self.body)))
    }

    /// A refusal in one line: the status, the error and the rule that refused.
    pub(super) fn refusal(&self) -> String {
        format!("{} {}, rule {}", self.status.as_u16(), self.text("error"), self.text("rule"))
    }

    /// The claims in the access token of this answer, as they stand there.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, Failure> {
        let token = Unverified::parse(self.text("access_token")).ok().and_then(|token| token.peek());
        token.ok_or_else(|| Failure(format!("no JWT in the answer: {}", self.status)))
    }
}

/// What an agent asks for in an exchange.
pub(super) struct Exchange<'a> {
    /// The agent's JWT-SVID.
    pub(super) svid: &'a str,
    /// The person's token, or the token that is delegated or renewed.
    pub(super) subject_token: &'a str,
    /// What kind it is.
    pub(super) subject_token_type: TokenType,
    /// Where the new token is to work.
    pub(super) resource: &'a str,
    /// What it is to allow.
    pub(super) details: &'a Value,
}

/// The server, as its clients see it.
pub(super) struct Authority {
    client: reqwest::Client,
    issuer: String,
}

impl Authority {
    /// The server at `issuer`.
    pub(super) fn new(client: reqwest::Client, issuer: &str) -> Self {
        Self { client, issuer: issuer.to_owned() }
    }

    /// A client for requests on this machine.
    pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
        crate::tls::install_provider();
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()
    }

    /// The server's issuer.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token exchange (RFC 8693 §2.1) by an agent that shows a JWT-SVID.
    pub(super) async fn exchange(&self, exchange: &Exchange<'_>) -> Result<Answer, Failure> {
        self.token(&[
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", exchange.subject_token),
            ("subject_token_type", exchange.subject_token_type.as_str()),
            ("resource", exchange.resource),
            ("scope", super::registry::SCOPE),
            ("authorization_details", &exchange.details.to_string()),
            ("task_purpose", "sort today's tickets"),
            ("client_assertion_type", JWT_SPIFFE),
            ("client_assertion", exchange.svid),
        ])
        .await
    }

    /// A token for the administrator's client (RFC 6749 §4.4), which signs its own assertion.
    pub(super) async fn administrator(&self, client_id: &str, key: &SigningKey) -> Result<Answer, Failure> {
        let now = Clock::System.now();
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": self.issuer, "iat": now, "exp": now.plus(60),
            "jti": Entropy::default().ordered_id("ca", now),
        });
        let assertion = key.sign("client-authentication+jwt", &claims)?;
        self.token(&[
            ("grant_type", CLIENT_CREDENTIALS),
            ("resource", &format!("{}/admin/v1", self.issuer)),
            ("scope", "revoke audit:read"),
            ("client_id", client_id),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &assertion),
        ])
        .await
    }

    async fn token(&self, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self
            .client
            .post(format!("{}/oauth/token", self.issuer))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        answer(request).await
    }

    /// `POST` below `/admin/v1`.
    pub(super) async fn post(&self, path: &str, bearer: &str, body: &Value) -> Result<Answer, Failure> {
        let url = format!("{}/admin/v1/{path}", self.issuer);
        answer(self.client.post(url).bearer_auth(bearer).json(body)).await
    }

    /// `GET` below `/admin/v1`.
    pub(super) async fn get(&self, path: &str, bearer: &str) -> Result<Answer, Failure> {
        answer(self.client.get(format!("{}/admin/v1/{path}", self.issuer)).bearer_auth(bearer)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
    let response = request.send().await?;
    let status = response.status();
    let body = response.bytes().await?;
    Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() })
}
