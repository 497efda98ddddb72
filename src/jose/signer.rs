//! Private keys: made, read, and used to sign compact JWS (RFC 7515 §7.1).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jws::JwsSigner;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::jwk::{JwkError, PublicJwk};
use super::ring_jws::{RingKeyPair, RingSigner};

/// A private key as a JWK; never printed.
#[derive(Clone)]
pub struct PrivateJwk(Map<String, Value>);

impl PrivateJwk {
    /// A fresh key for `algorithm` (ES256, EdDSA, RS256 or PS256). Its `kid` is its thumbprint.
    pub fn generate(algorithm: Algorithm) -> Result<Self, JwkError> {
        use josekit::jwk::Jwk;
        use josekit::jwk::alg::ec::EcCurve;
        use josekit::jwk::alg::ed::EdCurve;
        let jwk = match algorithm {
            Algorithm::ES256 => Jwk::generate_ec_key(EcCurve::P256),
            Algorithm::EdDSA => Jwk::generate_ed_key(EdCurve::Ed25519),
            Algorithm::RS256 | Algorithm::PS256 => Jwk::generate_rsa_key(3072),
            _ => return Err(JwkError::Unsupported),
        };
        let mut jwk = Self(jwk.map_err(|_| JwkError::Unsupported)?.as_ref().clone());
        jwk.0.insert("alg".into(), json!(algorithm.as_str()));
        let kid = jwk.public()?.thumbprint().to_owned();
        jwk.0.insert("kid".into(), json!(kid));
        Ok(jwk)
    }

    /// Reads a private JWK.
    pub fn parse(jwk: Value) -> Result<Self, JwkError> {
        match jwk {
            Value::Object(map) if map.contains_key("d") => Ok(Self(map)),
            _ => Err(JwkError::Malformed("d")),
        }
    }

    /// Its public half.
    pub fn public(&self) -> Result<PublicJwk, JwkError> {
        let mut public = self.0.clone();
        for member in ["d", "p", "q", "dp", "dq", "qi", "key_ops"] {
            public.remove(member);
        }
        PublicJwk::parse(&public)
    }

    /// The text to store, wiped after use.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(Value::Object(self.0.clone()).to_string())
    }

    /// Makes it ready to sign. A JWK without `alg` gets the one of its type (RSA: RS256).
    pub fn signing_key(&self) -> Result<SigningKey, JwkError> {
        let public = self.public()?;
        let algorithm = public.algorithms().next().ok_or(JwkError::Unsupported)?;
        let random = crate::entropy::Entropy::default().ring().clone();
        let refused = |_| JwkError::Malformed("d");
        let pair = match algorithm {
            Algorithm::ES256 => {
                let point = [&[4][..], &self.bytes("x")?, &self.bytes("y")?].concat();
                let (rules, d) = (&ECDSA_P256_SHA256_FIXED_SIGNING, self.bytes("d")?);
                RingKeyPair::Ecdsa(
                    EcdsaKeyPair::from_private_key_and_public_key(rules, &d, &point, &random)
                        .map_err(refused)?,
                )
            }
            Algorithm::EdDSA => RingKeyPair::Ed25519(
                Ed25519KeyPair::from_seed_and_public_key(&self.bytes("d")?, &self.bytes("x")?)
                    .map_err(refused)?,
            ),
            Algorithm::RS256 | Algorithm::PS256 => {
                RingKeyPair::Rsa(RsaKeyPair::from_pkcs8(&self.rsa_pkcs8()?).map_err(refused)?)
            }
            _ => return Err(JwkError::Unsupported),
        };
        let kid = public.kid().unwrap_or(public.thumbprint()).to_owned();
        let signer = Arc::new(RingSigner { algorithm, pair: Arc::new(pair), random });
        Ok(SigningKey { kid, algorithm, public, signer })
    }

    fn bytes(&self, member: &'static str) -> Result<Zeroizing<Vec<u8>>, JwkError> {
        let text = self.0.get(member).and_then(Value::as_str).ok_or(JwkError::Malformed(member))?;
        URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).map_err(|_| JwkError::Malformed(member))
    }

    fn rsa_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, JwkError> {
        use josekit::jwk::{Jwk, alg::rsa::RsaKeyPair};
        let mut map = self.0.clone();
        map.remove("use");
        map.remove("key_ops");
        let pair = Jwk::from_map(map).and_then(|jwk| RsaKeyPair::from_jwk(&jwk));
        pair.map(|pair| Zeroizing::new(pair.to_der_private_key())).map_err(|_| JwkError::Malformed("d"))
    }
}

impl std::fmt::Debug for PrivateJwk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateJwk(…)")
    }
}

/// A private key that signs.
#[derive(Clone, Debug)]
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    public: PublicJwk,
    signer: Arc<dyn JwsSigner>,
}

impl SigningKey {
    /// The key's id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key's algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half.
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// Signs `claims` as a compact JWS whose header is exactly `{"alg", "typ", "kid"}`.
    ///
    /// # Errors
    /// When the claims can't be written as JSON, or the key refuses to sign.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, JwkError> {
        let header = json!({ "alg": self.algorithm.as_str(), "typ": typ, "kid": self.kid }).to_string();
        let payload = serde_json::to_vec(claims).map_err(|_| JwkError::Malformed("payload"))?;
        self.sign_under(&header, &payload)
    }

    /// Signs `payload` under this very header.
    pub(crate) fn sign_under(&self, header: &str, payload: &[u8]) -> Result<String, JwkError> {
        let mut token = String::with_capacity((header.len() + payload.len()) * 4 / 3 + 96);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.signer.sign(token.as_bytes()).map_err(|_| JwkError::Malformed("d"))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{JwkSet, Unverified};

    #[test]
    fn every_kind_of_key_signs_what_its_public_half_verifies() {
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS256] {
            let key = PrivateJwk::generate(algorithm).unwrap().signing_key().unwrap();
            let token = key.sign("at+jwt", &json!({"sub": "a"})).unwrap();
            let unverified = Unverified::parse(&token).unwrap();
            assert_eq!(unverified.header().algorithm, algorithm);
            let payload = unverified.verify(&JwkSet::of(key.public().clone())).unwrap();
            assert_eq!(payload, br#"{"sub":"a"}"#);
            let other = PrivateJwk::generate(algorithm).unwrap().public().unwrap();
            assert!(unverified.verify(&JwkSet::of(other)).is_err());
        }
    }

    #[test]
    fn debug_does_not_print_the_key() {
        let key = PrivateJwk::generate(Algorithm::ES256).unwrap();
        assert!(!format!("{key:?}").contains(key.0["d"].as_str().unwrap()));
    }
}
