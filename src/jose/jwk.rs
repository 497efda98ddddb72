//! Public keys and key sets (RFC 7517), their thumbprints (RFC 7638), and what makes one acceptable.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jws::JwsVerifier;
use serde_json::{Map, Value, json};

use super::algorithm::{Algorithm, RSA};
use super::ring_jws::{RingPublicKey, RingVerifier};
use crate::secret::Digest;

/// Why a key is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// Not a JWK, or a member is missing or malformed.
    #[error("the JWK's member `{0}` is missing or malformed")]
    Malformed(&'static str),
    /// A key type or curve that no accepted algorithm uses.
    #[error("the key type or curve is not accepted: EC P-256, P-384, P-521, OKP Ed25519 and RSA are")]
    Unsupported,
    /// The `alg` doesn't belong to the key's type and curve.
    #[error("the JWK's `alg` doesn't fit its key type")]
    AlgorithmMismatch,
    /// The `use` or `key_ops` is not for verifying signatures.
    #[error("the JWK is not for verifying signatures")]
    NotForSignatures,
    /// An RSA modulus below 2048 or above 8192 bits, or an exponent below 3 or even.
    #[error("the RSA key is too small, too large, or has a weak exponent")]
    WeakKey,
    /// A private key where a public one belongs.
    #[error("the JWK contains private members; publish the public key only")]
    PrivateKey,
    /// The set isn't `{"keys": […]}`, has no usable key, or more than 100.
    #[error("a JWK set is an object with 1 to 100 usable signature keys under `keys`")]
    MalformedSet,
}

/// A public signature key, ready to verify.
#[derive(Clone, Debug)]
pub struct PublicJwk {
    kid: Option<String>,
    verifiers: Vec<(Algorithm, Arc<dyn JwsVerifier>)>,
    public: Map<String, Value>,
    thumbprint: String,
}

impl PublicJwk {
    /// Reads a public JWK; anything that can't be used to verify a signature is an error.
    pub fn parse(jwk: &Map<String, Value>) -> Result<Self, JwkError> {
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|member| jwk.contains_key(*member)) {
            return Err(JwkError::PrivateKey);
        }
        check_purpose(jwk)?;
        let (public, key, native) = key_material(jwk)?;
        let algorithms = check_algorithm(jwk, native)?;
        let verifiers = algorithms
            .iter()
            .map(|algorithm| Ok((*algorithm, verifier(*algorithm, &key, &public)?)))
            .collect::<Result<_, JwkError>>()?;
        // RFC 7638 §3.1: the required members in lexicographic order, without whitespace.
        let canonical = Value::Object(public.clone()).to_string();
        Ok(Self {
            kid: jwk.get("kid").and_then(Value::as_str).map(str::to_owned),
            verifiers,
            thumbprint: URL_SAFE_NO_PAD.encode(Digest::of(canonical.as_bytes()).0),
            public,
        })
    }

    /// The key's id, where it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The SHA-256 thumbprint, base64url (RFC 7638).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The algorithms this key may be used with; one, unless it is RSA without `alg`.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.verifiers.iter().map(|(algorithm, _)| *algorithm)
    }

    /// Whether `signature` is this key's signature of `message` by `algorithm`.
    ///
    /// RFC 8725 §3.1: "each key MUST be used with exactly one algorithm": the header chooses only among those that the
    /// key itself allows.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let found = self.verifiers.iter().find(|(own, _)| *own == algorithm);
        found.is_some_and(|(_, verifier)| verifier.verify(message, signature).is_ok())
    }

    /// The JWK to publish: key material, `kid`, `alg`, `use`.
    pub fn to_json(&self) -> Value {
        let mut jwk = self.public.clone();
        if let Some(kid) = &self.kid {
            jwk.insert("kid".into(), json!(kid));
        }
        if let [(algorithm, _)] = self.verifiers.as_slice() {
            jwk.insert("alg".into(), json!(algorithm.as_str()));
        }
        jwk.insert("use".into(), json!("sig"));
        Value::Object(jwk)
    }
}

fn check_purpose(jwk: &Map<String, Value>) -> Result<(), JwkError> {
    // SPIFFE bundles say `jwt-svid` where RFC 7517 §4.2 says `sig`; the bundle parser strips it before this.
    match jwk.get("use").map(Value::as_str) {
        None | Some(Some("sig")) => {}
        Some(_) => return Err(JwkError::NotForSignatures),
    }
    match jwk.get("key_ops").map(Value::as_array) {
        None => Ok(()),
        Some(Some(ops)) if ops.iter().any(|op| op == "verify") => Ok(()),
        Some(_) => Err(JwkError::NotForSignatures),
    }
}

type Material = (Map<String, Value>, RingPublicKey, &'static [Algorithm]);

fn key_material(jwk: &Map<String, Value>) -> Result<Material, JwkError> {
    let text = |name: &'static str| jwk.get(name).and_then(Value::as_str).ok_or(JwkError::Malformed(name));
    let bytes =
        |name: &'static str| URL_SAFE_NO_PAD.decode(text(name)?).map_err(|_| JwkError::Malformed(name));
    let members = |names: &[&'static str]| -> Map<String, Value> {
        names.iter().filter_map(|name| Some(((*name).to_owned(), jwk.get(*name)?.clone()))).collect()
    };
    match text("kty")? {
        "EC" => {
            let (size, algorithms): (usize, &'static [Algorithm]) = match text("crv")? {
                "P-256" => (32, &[Algorithm::ES256]),
                "P-384" => (48, &[Algorithm::ES384]),
                "P-521" => (66, &[Algorithm::ES512]),
                _ => return Err(JwkError::Unsupported),
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            // RFC 7518 §6.2.1.2: "The length of this octet string MUST be the full size of a coordinate".
            if x.len() != size || y.len() != size {
                return Err(JwkError::Malformed("x"));
            }
            let point = [&[4][..], &x, &y].concat();
            Ok((members(&["crv", "kty", "x", "y"]), RingPublicKey::Bytes(point), algorithms))
        }
        "OKP" if text("crv")? == "Ed25519" => {
            let x = bytes("x")?;
            if x.len() != 32 {
                return Err(JwkError::Malformed("x"));
            }
            Ok((members(&["crv", "kty", "x"]), RingPublicKey::Bytes(x), &[Algorithm::EdDSA]))
        }
        "RSA" => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            let odd = e.last().is_some_and(|last| last % 2 == 1) && e != [1];
            if n.first() == Some(&0)
                || !(256..=1024).contains(&n.len())
                || e.first() == Some(&0)
                || e.len() > 4
                || !odd
            {
                return Err(JwkError::WeakKey);
            }
            Ok((members(&["e", "kty", "n"]), RingPublicKey::Rsa { n, e }, &RSA))
        }
        _ => Err(JwkError::Unsupported),
    }
}

fn check_algorithm(
    jwk: &Map<String, Value>,
    native: &'static [Algorithm],
) -> Result<Vec<Algorithm>, JwkError> {
    match jwk.get("alg") {
        None => Ok(native.to_vec()),
        Some(name) => {
            let named = name.as_str().and_then(|name| {
                if name == "Ed25519" { Some(Algorithm::EdDSA) } else { Algorithm::parse(name) }
            });
            let named =
                named.filter(|algorithm| native.contains(algorithm)).ok_or(JwkError::AlgorithmMismatch)?;
            Ok(vec![named])
        }
    }
}

fn verifier(
    algorithm: Algorithm,
    key: &RingPublicKey,
    public: &Map<String, Value>,
) -> Result<Arc<dyn JwsVerifier>, JwkError> {
    if algorithm == Algorithm::ES512 {
        // ring has no P-521; josekit's own verifier serves the rare SPIFFE bundle that uses it.
        let jwk = josekit::jwk::Jwk::from_map(public.clone()).map_err(|_| JwkError::Malformed("x"))?;
        let verifier = josekit::jws::ES512.verifier_from_jwk(&jwk).map_err(|_| JwkError::Malformed("x"))?;
        return Ok(Arc::new(verifier));
    }
    Ok(Arc::new(RingVerifier { algorithm, key: Arc::new(key.clone()) }))
}

/// A set of public keys.
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    keys: Vec<PublicJwk>,
}

impl JwkSet {
    /// Reads `{"keys": […]}`. Keys that can't verify signatures are passed over (RFC 7517 §5: "Implementations SHOULD
    /// ignore JWKs within a JWK Set that use `kty` values that are not understood"); a private key is an error.
    pub fn parse(set: &Value) -> Result<Self, JwkError> {
        let list = set.get("keys").and_then(Value::as_array).ok_or(JwkError::MalformedSet)?;
        if list.len() > 100 {
            return Err(JwkError::MalformedSet);
        }
        let mut keys = Vec::with_capacity(list.len());
        for jwk in list {
            match PublicJwk::parse(jwk.as_object().ok_or(JwkError::MalformedSet)?) {
                Ok(key) => keys.push(key),
                Err(JwkError::PrivateKey) => return Err(JwkError::PrivateKey),
                Err(error) if list.len() == 1 => return Err(error),
                Err(_) => {}
            }
        }
        if keys.is_empty() { Err(JwkError::MalformedSet) } else { Ok(Self { keys }) }
    }

    /// Reads a SPIFFE bundle (SPIFFE Trust Domain and Bundle §4.2): of its keys, those whose `use` is `jwt-svid`, each
    /// with a `kid`. An empty list is a bundle that trusts no JWT-SVID.
    pub fn parse_spiffe_bundle(bundle: &Value) -> Result<Self, JwkError> {
        let list = bundle.get("keys").and_then(Value::as_array).ok_or(JwkError::MalformedSet)?;
        let mut keys = Vec::new();
        for jwk in list.iter().take(100).filter_map(Value::as_object) {
            if jwk.get("use").and_then(Value::as_str) != Some("jwt-svid") || !jwk.contains_key("kid") {
                continue;
            }
            let mut jwk = jwk.clone();
            jwk.remove("use");
            // JWT-SVID §2.1 allows RS, ES and PS algorithms: no EdDSA.
            let key = PublicJwk::parse(&jwk)?;
            if key.algorithms().all(|algorithm| algorithm != Algorithm::EdDSA) {
                keys.push(key);
            }
        }
        Ok(Self { keys })
    }

    /// A set of one key.
    pub fn of(key: PublicJwk) -> Self {
        Self { keys: vec![key] }
    }

    /// A set of these keys.
    pub fn of_all(keys: Vec<PublicJwk>) -> Self {
        Self { keys }
    }

    /// The keys that could have signed a token with this `kid` and algorithm: by `kid` where the token names one, else
    /// every key that fits the algorithm, at most four so that nobody can buy many verifications with one token.
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a PublicJwk> {
        self.keys
            .iter()
            .filter(move |key| kid.is_none_or(|kid| key.kid() == Some(kid)))
            .filter(move |key| key.algorithms().any(|own| own == algorithm))
            .take(4)
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &PublicJwk> {
        self.keys.iter()
    }

    /// The set to publish.
    pub fn to_json(&self) -> Value {
        json!({ "keys": self.keys.iter().map(PublicJwk::to_json).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprint_is_the_one_of_rfc_7638_section_3_1() {
        let jwk = json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        });
        let key = PublicJwk::parse(jwk.as_object().unwrap()).unwrap();
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(key.algorithms().collect::<Vec<_>>(), [Algorithm::RS256]);
    }

    #[test]
    fn refuses_private_weak_and_mismatched_keys() {
        let refuse = |jwk: Value| PublicJwk::parse(jwk.as_object().unwrap()).unwrap_err();
        assert_eq!(refuse(json!({"kty": "oct", "k": "AA"})), JwkError::PrivateKey);
        assert_eq!(refuse(json!({"kty": "RSA", "n": "AQ", "e": "AQAB"})), JwkError::WeakKey);
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        assert_eq!(
            refuse(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "ES256"})),
            JwkError::AlgorithmMismatch
        );
        assert_eq!(
            refuse(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "use": "enc"})),
            JwkError::NotForSignatures
        );
        assert_eq!(refuse(json!({"kty": "EC", "crv": "secp256k1", "x": x, "y": x})), JwkError::Unsupported);
    }
}
