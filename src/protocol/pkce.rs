//! Proof key for code exchange (RFC 7636), S256 alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::Digest;

/// Whether this is an S256 challenge: a SHA-256 in base64url without padding, in its one spelling.
pub fn is_challenge(text: &str) -> bool {
    Digest::from_base64url(text).is_some()
}

/// Whether this can be a verifier.
///
/// RFC 7636 §4.1: "high-entropy cryptographic random STRING using the unreserved characters … with a minimum length of 43
/// characters and a maximum length of 128 characters."
pub fn is_verifier(text: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}

/// The challenge that belongs to a verifier.
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(verifier.as_bytes()).0)
}

/// Whether the verifier is the one that the challenge was made from.
///
/// RFC 7636 §4.6: "If the values are not equal, an error response indicating `invalid_grant` … MUST be returned."
pub fn matches(verifier: &str, expected: &str) -> bool {
    let expected = Digest::from_base64url(expected);
    is_verifier(verifier)
        && expected.is_some_and(|expected| Digest::of(verifier.as_bytes()).matches(&expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(challenge(VERIFIER), CHALLENGE);
        assert!(is_challenge(CHALLENGE) && matches(VERIFIER, CHALLENGE));
    }

    #[test]
    fn nothing_else_matches() {
        assert!(!matches(&VERIFIER.replace('d', "e"), CHALLENGE));
        assert!(!matches("short", &challenge("short")));
        assert!(!matches(VERIFIER, VERIFIER));
        assert!(!matches(VERIFIER, &format!("{CHALLENGE}=")));
        assert!(!is_verifier(&"a".repeat(129)) && !is_verifier(&format!("{VERIFIER}+")));
        assert!(!is_challenge("") && !is_challenge(&CHALLENGE[1..]));
    }
}
