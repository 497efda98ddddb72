//! A client's key file, and the assertions that are signed with it (`private_key_jwt`: RFC 7523 §3 as updated by RFC 10070).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{JwkError, PrivateJwk, SigningKey};
use crate::entropy::Entropy;
use crate::protocol::strict_json;
use crate::time::Timestamp;

/// How long an assertion of ours may be used, in seconds: long enough for slow networks, far below the 300 s that the
/// server accepts.
const ASSERTION_SECONDS: i64 = 60;

/// Who a client is, and its key, ready to sign: what agents, enforcers and administrators keep in a file
/// `{"issuer", "client_id", "private_jwk"}`.
#[derive(Clone, Debug)]
pub struct ClientKey {
    issuer: Option<String>,
    client_id: String,
    key: Arc<SigningKey>,
}

/// The text isn't a private key file. It is never quoted.
#[derive(Debug, thiserror::Error)]
pub enum ClientKeyError {
    /// Not JSON, a member twice, or a member is missing.
    #[error("a key file is a JSON object with issuer, client_id and private_jwk")]
    Malformed {
        /// The line, where the text isn't JSON.
        line: Option<usize>,
    },
    /// The key can't sign.
    #[error("the key file's private_jwk can't be used: {0}")]
    Key(#[from] JwkError),
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    issuer: Option<String>,
    client_id: String,
    private_jwk: Value,
}

impl ClientKey {
    /// A client from its parts; `issuer`, if given, is the only server that the key is for.
    pub fn new(client_id: String, issuer: Option<String>, key: SigningKey) -> Self {
        Self { issuer, client_id, key: Arc::new(key) }
    }

    /// Reads the text of a key file.
    pub fn parse(text: &str) -> Result<Self, ClientKeyError> {
        let members = strict_json::object(text.as_bytes(), 8)
            .map_err(|error| ClientKeyError::Malformed { line: Some(error.line()) })?;
        let content = serde_json::from_value::<Content>(Value::Object(members))
            .map_err(|_| ClientKeyError::Malformed { line: None })?;
        let key = PrivateJwk::parse(content.private_jwk)?.signing_key()?;
        Ok(Self::new(content.client_id, content.issuer, key))
    }

    /// The server that the key is registered with, where the file says.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The client's id.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// A fresh single-use assertion for `issuer`.
    pub fn assertion(&self, issuer: &str, now: Timestamp, entropy: &Entropy) -> Result<String, JwkError> {
        // RFC 10070: the audience is the authorization server's issuer identifier and nothing besides.
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": issuer,
            "jti": entropy.ordered_id("ca", now),
            "iat": now,
            "exp": now.plus(ASSERTION_SECONDS),
        });
        self.key.sign("client-authentication+jwt", &claims)
    }
}
