//! Who the enforcer is: its key file, and the assertions it signs with it (RFC 7523 §2.2, RFC 10070).

use crate::entropy::Entropy;
use crate::jose::{ClientKey, JwkError, SigningKey};
use crate::time::Timestamp;

pub use crate::jose::ClientKeyError as CredentialsError;

/// The enforcer's identity, ready to sign.
#[derive(Clone, Debug)]
pub struct Credentials {
    issuer: String,
    key: ClientKey,
}

impl Credentials {
    /// An enforcer that is registered at `issuer` as `client_id` with the public half of `key`.
    pub fn new(issuer: &str, client_id: &str, key: SigningKey) -> Self {
        let key = ClientKey::new(client_id.to_owned(), Some(issuer.to_owned()), key);
        Self { issuer: issuer.to_owned(), key }
    }

    /// Reads the text of a key file: `{"issuer", "client_id", "private_jwk"}`.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let key = ClientKey::parse(text)?;
        let issuer = key.issuer().ok_or(CredentialsError::Malformed { line: None })?.to_owned();
        Ok(Self { issuer, key })
    }

    /// Where the enforcer is registered.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The enforcer's id.
    pub fn client_id(&self) -> &str {
        self.key.client_id()
    }

    /// A fresh single-use assertion for the issuer.
    pub(super) fn assertion(&self, entropy: &Entropy, now: Timestamp) -> Result<String, JwkError> {
        self.key.assertion(&self.issuer, now, entropy)
    }
}
