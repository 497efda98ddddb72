//! Keys, and compact JWS of any shape: proper ones and those that no library would write.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use taskpass::entropy::Entropy;
use taskpass::jose::{Algorithm, PrivateJwk};

/// base64url without padding.
pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An ES256 key.
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) public: Value,
    private: Value,
    pair: EcdsaKeyPair,
    entropy: Entropy,
}

impl Key {
    pub(crate) fn generate() -> Self {
        let entropy = Entropy::default();
        let private = PrivateJwk::generate(Algorithm::ES256).unwrap();
        let jwk: Value = serde_json::from_str(&private.to_text()).unwrap();
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let point = [&[4][..], &bytes("x"), &bytes("y")].concat();
        let rules = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(rules, &bytes("d"), &point, entropy.ring())
            .unwrap();
        let kid = jwk["kid"].as_str().unwrap().to_owned();
        Self { kid, public: private.public().unwrap().to_json(), private: jwk, pair, entropy }
    }

    /// The private half.
    pub(crate) fn private(&self) -> Value {
        self.private.clone()
    }

    /// `{"keys": […]}`.
    pub(crate) fn set(&self) -> Value {
        json!({ "keys": [self.public] })
    }

    /// The same as a SPIFFE bundle.
    pub(crate) fn bundle(&self) -> Value {
        let mut public = self.public.clone();
        public["use"] = json!("jwt-svid");
        json!({ "keys": [public] })
    }

    /// The header of a proper token.
    pub(crate) fn header(&self, typ: &str) -> Value {
        json!({ "alg": "ES256", "kid": self.kid, "typ": typ })
    }

    /// A proper token.
    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> String {
        self.sign_with(&self.header(typ), claims)
    }

    /// A token with any header.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// A token with any text for header and payload.
    pub(crate) fn sign_text(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", b64(header), b64(payload));
        let signature = self.pair.sign(self.entropy.ring(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", b64(signature))
    }

    /// A token "signed" with HMAC, this key's public half as the secret.
    pub(crate) fn hmac(&self, typ: &str, claims: &Value) -> String {
        let header = json!({ "alg": "HS256", "kid": self.kid, "typ": typ });
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.public.to_string().as_bytes());
        format!("{signed}.{}", b64(ring::hmac::sign(&secret, signed.as_bytes())))
    }
}
