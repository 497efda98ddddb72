//! Who the enforcer is: its key file, and the assertions it signs with it (RFC 7523 §2.2, RFC 10070).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::entropy::Entropy;
use crate::jose::{JwkError, PrivateJwk, SigningKey};
use crate::time::Timestamp;

/// Seconds that an assertion lives.
const ASSERTION_LIFETIME: i64 = 60;

/// The enforcer's identity, ready to sign.
#[derive(Clone, Debug)]
pub struct Credentials {
    issuer: String,
    client_id: String,
    key: SigningKey,
}

/// The text isn't a private key file.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Not JSON, or a member is missing.
    #[error("a key file is a JSON object with issuer, client_id and private_jwk")]
    Malformed,
    /// The key can't sign.
    #[error("the key file's private_jwk can't be used: {0}")]
    Key(#[from] JwkError),
}

#[derive(Deserialize)]
struct KeyFile {
    issuer: String,
    client_id: String,
    private_jwk: Value,
}

impl Credentials {
    /// An enforcer that is registered at `issuer` as `client_id` with the public half of `key`.
    pub fn new(issuer: &str, client_id: &str, key: SigningKey) -> Self {
        Self { issuer: issuer.to_owned(), client_id: client_id.to_owned(), key }
    }

    /// Reads the text of a key file: `{"issuer", "client_id", "private_jwk"}`.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let file: KeyFile = serde_json::from_str(text).map_err(|_| CredentialsError::Malformed)?;
        let key = PrivateJwk::parse(file.private_jwk)?.signing_key()?;
        Ok(Self { issuer: file.issuer, client_id: file.client_id, key })
    }

    /// Where the enforcer is registered.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The enforcer's id.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// A fresh single-use assertion for the issuer.
    ///
    /// RFC 10070: the audience of an assertion is the issuer identifier and nothing else.
    pub(super) fn assertion(&self, entropy: &Entropy, now: Timestamp) -> Result<String, JwkError> {
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.issuer,
            "jti": entropy.ordered_id("ca", now),
            "iat": now,
            "exp": now.plus(ASSERTION_LIFETIME),
        });
        self.key.sign("client-authentication+jwt", &claims)
    }
}
