//! Proofs of possession (RFC 9449 §4): the one kind of JWS here that brings its own key.

use serde::Deserialize;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::jwk::{JwkError, PublicJwk};
use super::unverified::{JwsError, Parts, read_header};
use crate::protocol::numeric_date::NumericDate;
use crate::protocol::strict_json;
use crate::secret::Digest;
use crate::time::Timestamp;

/// The JWT `typ` of a proof (RFC 9449 §4.2).
pub const DPOP_TYP: &str = "dpop+jwt";

/// The algorithms of proofs. Those that would need OpenSSL stay out: anybody may send a proof.
pub const DPOP_ALGORITHMS: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS256];

/// The longest proof that is looked at, in bytes: an RSA key of 8192 bits and its signature fit in.
const LONGEST: usize = 8 * 1024;
/// The longest `jti`, in bytes: each is remembered by its hash, but all of it is hashed.
const LONGEST_JTI: usize = 256;

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    /// Too long, not one compact JWS, or a header or claims that aren't strict JSON with the required members.
    #[error("the DPoP proof is malformed")]
    Malformed,
    /// The `typ` isn't `dpop+jwt`.
    #[error("the DPoP proof has the wrong type")]
    WrongType,
    /// `alg` is none, symmetric, unknown, not in [`DPOP_ALGORITHMS`], or not the key's.
    #[error("the DPoP proof's algorithm is not accepted")]
    Algorithm,
    /// The `jwk` is missing, private, weak, or of a type that isn't accepted.
    #[error("the DPoP proof's key is not accepted")]
    Key,
    /// The signature isn't the `jwk`'s.
    #[error("the DPoP proof's signature is wrong")]
    Signature,
}

impl From<JwsError> for DpopError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Algorithm => Self::Algorithm,
            JwsError::UnknownKey => Self::Key,
            JwsError::Signature => Self::Signature,
            JwsError::NotCompact | JwsError::Header | JwsError::Claims => Self::Malformed,
        }
    }
}

impl From<JwkError> for DpopError {
    fn from(error: JwkError) -> Self {
        if error == JwkError::AlgorithmMismatch { Self::Algorithm } else { Self::Key }
    }
}

/// A proof that the key in its own header signed. Whether it is about this request, this moment and this token is for
/// who received it to check.
#[derive(Clone, Debug)]
pub struct DpopProof {
    /// The key's thumbprint (RFC 7638).
    pub jkt: Digest,
    /// Its id.
    pub jti: String,
    /// The HTTP method that it is for.
    pub htm: String,
    /// The URI that it is for.
    pub htu: String,
    /// When it was made.
    pub iat: Timestamp,
    /// The hash of the access token that it is shown with.
    pub ath: Option<String>,
}

/// RFC 9449 §4.2.
#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: NumericDate,
    ath: Option<String>,
}

impl DpopProof {
    /// Verifies the signature and the form of a proof: checks 2 to 7 of RFC 9449 §4.3.
    ///
    /// # Errors
    /// The first of them that fails.
    pub fn verify(proof: &str) -> Result<Self, DpopError> {
        // RFC 9449 §4.3, check 2: the value "is a single and well-formed JWT".
        if proof.len() > LONGEST {
            return Err(DpopError::Malformed);
        }
        let mut parts = Parts::split(proof, 3)?;
        let jwk = parts.header.remove("jwk");
        let header = read_header(&parts.header)?;
        // RFC 9449 §4.3, check 4: "The typ JOSE Header Parameter has the value dpop+jwt."
        if header.typ.as_deref() != Some(DPOP_TYP) {
            return Err(DpopError::WrongType);
        }
        // RFC 9449 §4.3, check 5: the algorithm "indicates a registered asymmetric digital signature algorithm …, is not
        // none, is supported by the application, and is acceptable per local policy."
        if !DPOP_ALGORITHMS.contains(&header.algorithm) {
            return Err(DpopError::Algorithm);
        }
        // RFC 9449 §4.3, check 7: "The jwk JOSE Header Parameter does not contain a private key." Reading it refuses one.
        let Some(Value::Object(jwk)) = jwk else { return Err(DpopError::Key) };
        let key = PublicJwk::parse(&jwk)?;
        if key.algorithms().all(|own| own != header.algorithm) {
            return Err(DpopError::Algorithm);
        }
        // RFC 9449 §4.3, check 6: "The JWT signature verifies with the public key contained in the jwk JOSE Header
        // Parameter."
        if !key.verify(header.algorithm, parts.signed.as_bytes(), &parts.signature) {
            return Err(DpopError::Signature);
        }
        let jkt = Digest::from_base64url(key.thumbprint()).ok_or(DpopError::Key)?;
        Self::read(&parts.payload, jkt).ok_or(DpopError::Malformed)
    }

    fn read(payload: &[u8], jkt: Digest) -> Option<Self> {
        let claims = strict_json::object(payload, 8).ok()?;
        // RFC 9449 §4.3, check 3: "All required claims per Section 4.2 are contained in the JWT."
        let Claims { jti, htm, htu, iat, ath } = serde_json::from_value(Value::Object(claims)).ok()?;
        // RFC 9449 §11.1 lets servers refuse a large `jti`, so that it can't be used to fill their memory.
        if !(1..=LONGEST_JTI).contains(&jti.len()) {
            return None;
        }
        Some(Self { jkt, jti, htm, htu, iat: iat.0, ath })
    }
}

#[cfg(test)]
mod tests;
