//! A compact JWS before anybody has checked it (RFC 7515 §5.2, RFC 8725).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::jwk::{JwkSet, PublicJwk};
use crate::protocol::strict_json;

/// The longest token that is looked at, in bytes.
pub(super) const LONGEST: usize = 16 * 1024;

/// Why a JWS was refused; on the wire all of them are the caller's one error, in the log they are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not three base64url parts without padding, or too long.
    #[error("not a compact JWS")]
    NotCompact,
    /// The header isn't a strict JSON object, or has members that we must not honour.
    #[error("the JOSE header is malformed or has members that are not accepted")]
    Header,
    /// `alg` is none, symmetric or unknown.
    #[error("the algorithm is not accepted")]
    Algorithm,
    /// No key fits the header's `kid` and `alg`.
    #[error("no trusted key fits")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// The payload isn't the claims that were expected.
    #[error("the claims are malformed")]
    Claims,
}

/// A JOSE header after the checks that need no key.
#[derive(Clone, Debug)]
pub struct Header {
    /// The algorithm; none and symmetric ones were refused.
    pub algorithm: Algorithm,
    /// Which key the signer says it used.
    pub kid: Option<String>,
    /// The media type, lower-case, without `application/`.
    pub typ: Option<String>,
    /// Whether there is anything besides `alg`, `kid` and `typ`.
    pub has_others: bool,
}

/// A compact JWS whose signature has not been verified. Its payload can only be had for a look ([`Unverified::peek`]),
/// which may choose a key and must decide nothing, or through [`Unverified::verify`].
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Splits and decodes the token and checks its header.
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
        if token.len() > LONGEST { Err(JwsError::NotCompact) } else { Self::parse_document(token) }
    }

    /// The same for a document, whose length the caller has bounded.
    pub fn parse_document(token: &'a str) -> Result<Self, JwsError> {
        let Parts { header, signed, payload, signature } = Parts::split(token, 2)?;
        Ok(Self { header: read_header(&header)?, signed, payload, signature })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The claims as somebody wrote them, unproven: to choose whose keys to try, nothing else.
    pub fn peek(&self) -> Option<Map<String, Value>> {
        strict_json::object(&self.payload, 16).ok()
    }

    /// The payload, if one of the keys signed it.
    pub fn verify<'s>(&'s self, keys: &JwkSet) -> Result<&'s [u8], JwsError> {
        self.verify_by(keys).map(|(payload, _)| payload)
    }

    /// The payload, and the key that signed it.
    pub fn verify_by<'s, 'k>(&'s self, keys: &'k JwkSet) -> Result<(&'s [u8], &'k PublicJwk), JwsError> {
        let mut candidates = keys.candidates(self.header.kid.as_deref(), self.header.algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(JwsError::UnknownKey);
        }
        let message = self.signed.as_bytes();
        let signer = candidates.find(|key| key.verify(self.header.algorithm, message, &self.signature));
        signer.map(|key| (self.payload.as_slice(), key)).ok_or(JwsError::Signature)
    }
}

/// A compact JWS, decoded; nothing is checked but its form.
pub(super) struct Parts<'a> {
    pub(super) header: Map<String, Value>,
    /// What the signature is over.
    pub(super) signed: &'a str,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// Splits and decodes; `depth` is how many levels of nesting the header may have.
    pub(super) fn split(token: &'a str, depth: usize) -> Result<Self, JwsError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::NotCompact)?;
        // The engine refuses padding, other alphabets, and trailing bits that would give one token two spellings.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::NotCompact);
        let header = strict_json::object(&decode(header)?, depth).map_err(|_| JwsError::Header)?;
        Ok(Self { header, signed, payload: decode(payload)?, signature: decode(signature)? })
    }
}

/// Reads a header and refuses what must not be honoured.
pub(super) fn read_header(map: &Map<String, Value>) -> Result<Header, JwsError> {
    // RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not understood and supported by the
    // recipient, then the JWS is invalid". We support none. RFC 8725 §3.5 and §3.10: keys named by the token itself
    // must not be trusted; `zip` is for JWE; `b64` (RFC 7797) changes what was signed.
    let forbidden = ["crit", "jwk", "jku", "x5u", "x5c", "zip", "b64", "enc", "p2c", "p2s"];
    if forbidden.iter().any(|member| map.contains_key(*member)) {
        return Err(JwsError::Header);
    }
    let text = |name: &str| match map.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= 512 => Ok(Some(text.clone())),
        Some(_) => Err(JwsError::Header),
    };
    let algorithm = text("alg")?.and_then(|name| Algorithm::parse(&name)).ok_or(JwsError::Algorithm)?;
    // RFC 7515 §4.1.9: a `typ` without a slash stands for `application/` and it; media types ignore case.
    let typ =
        text("typ")?.map(|typ| typ.to_ascii_lowercase()).map(|typ| match typ.strip_prefix("application/") {
            Some(rest) => rest.to_owned(),
            None => typ,
        });
    let known = |name: &String| matches!(name.as_str(), "alg" | "kid" | "typ");
    Ok(Header { algorithm, kid: text("kid")?, typ, has_others: !map.keys().all(known) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}"))
    }

    #[test]
    fn refuses_headers_that_choose_their_own_rules() {
        let refuse = |header: &str| Unverified::parse(&token(header)).unwrap_err();
        assert_eq!(refuse(r#"{"alg":"none"}"#), JwsError::Algorithm);
        assert_eq!(refuse(r#"{"alg":"HS256"}"#), JwsError::Algorithm);
        assert_eq!(refuse(r#"{"alg":"es256"}"#), JwsError::Algorithm);
        assert_eq!(refuse(r#"{"alg":["ES256"]}"#), JwsError::Header);
        assert_eq!(refuse(r#"{"alg":"ES256","crit":["x"]}"#), JwsError::Header);
        assert_eq!(refuse(r#"{"alg":"ES256","crit":null}"#), JwsError::Header);
        assert_eq!(refuse(r#"{"alg":"ES256","jwk":{}}"#), JwsError::Header);
        assert_eq!(refuse(r#"{"alg":"ES256","alg":"none"}"#), JwsError::Header);
        assert_eq!(refuse(r#"{"alg":"ES256","b64":false}"#), JwsError::Header);
        assert_eq!(refuse("{}"), JwsError::Algorithm);
    }

    #[test]
    fn refuses_what_is_not_compact() {
        let good = token(r#"{"alg":"ES256"}"#);
        assert!(Unverified::parse(&good).is_ok());
        for bad in [
            "",
            "a.b",
            "....",
            &format!("{good}="),
            &format!("{good}.AA"),
            &format!("{good}B"),
            &"a".repeat(LONGEST + 1),
        ] {
            assert!(Unverified::parse(bad).is_err(), "{bad}");
        }
        let flattened = r#"{"payload":"e30","protected":"e30","signature":"AA"}"#;
        assert!(Unverified::parse(flattened).is_err());
    }

    #[test]
    fn one_signature_has_one_spelling() {
        // "AA" and "AB" differ only in bits that base64url throws away.
        let good = token(r#"{"alg":"ES256"}"#);
        assert!(Unverified::parse(&format!("{}AB", good.strip_suffix("AA").unwrap())).is_err());
    }
}
