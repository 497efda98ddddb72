//! Tokens that are bound to a key (RFC 9449) or to a client certificate (RFC 8705), and how a caller presents them.

mod spent;

use super::verifier::Genuine;
use super::{EnforcementError, TokenRefusal, Unavailable, VerifiedToken};
use crate::jose::DpopProof;
use crate::protocol::http_uri::HttpUri;
use crate::secret::Digest;
use crate::time::Timestamp;
use spent::{Refused, Spent};

/// How far a proof's `iat` may lie from now in either direction, in seconds.
pub const PROOF_WINDOW: i64 = 10;

/// The SHA-256 of the client certificate (DER) of the connection that a request came on (RFC 8705 §3.1). Whoever
/// terminates TLS puts it into the request's extensions, after checking that the client holds the certificate's key; it
/// is never read from a header, which a client could write too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCertificate(pub Digest);

impl ClientCertificate {
    /// The certificate of these DER bytes.
    pub fn of_der(der: &[u8]) -> Self {
        Self(Digest::of(der))
    }
}

/// How the caller presented its token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// Under the scheme `DPoP`; under `Bearer` without.
    dpop: Option<Dpop<'a>>,
    certificate: Option<ClientCertificate>,
}

/// The proofs that came with the token, and the request that they must be about.
#[derive(Clone, Copy, Debug)]
struct Dpop<'a> {
    proof: Result<&'a str, TokenRefusal>,
    method: &'a str,
    url: &'a str,
}

impl<'a> Presented<'a> {
    /// As a bearer token (RFC 6750 §2.1).
    pub fn bearer() -> Self {
        Self::default()
    }

    /// Under the scheme `DPoP` (RFC 9449 §7.1): the values of all `DPoP` headers, the request's method, and its URL as
    /// clients know it: from your configuration and the path, never from the `Host` header.
    pub fn dpop(proofs: impl IntoIterator<Item = &'a str>, method: &'a str, url: &'a str) -> Self {
        let mut proofs = proofs.into_iter();
        let proof = match (proofs.next(), proofs.next()) {
            (None, _) => Err(TokenRefusal::DpopProofMissing),
            (Some(proof), None) => Ok(proof),
            (Some(_), Some(_)) => Err(TokenRefusal::DpopProofRepeated),
        };
        Self { dpop: Some(Dpop { proof, method, url }), certificate: None }
    }

    /// On a connection with this client certificate.
    #[must_use]
    pub fn certificate(mut self, certificate: ClientCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// What can be told without looking at the token.
    pub(super) fn check_form(&self) -> Result<(), TokenRefusal> {
        // RFC 9449 §7.1: "a resource server MUST check that a DPoP proof was also received in the DPoP header field of the
        // HTTP request". §4.3, check 1: "There is not more than one DPoP HTTP request header field."
        self.dpop.map_or(Ok(()), |dpop| dpop.proof.map(drop))
    }
}

/// Checks bindings, and remembers the proofs that were used.
#[derive(Default)]
pub(super) struct Binding {
    spent: Spent,
}

/// The token as a bearer's, if it is bound to nothing.
pub(super) fn check_unbound(genuine: Genuine) -> Result<VerifiedToken, TokenRefusal> {
    match bounds(&genuine)? {
        Bounds { key: None, certificate: None } => Ok(genuine.in_good_hands()),
        // RFC 9449 §7.2: a resource "MUST reject a DPoP-bound access token received as a bearer token".
        Bounds { key: Some(_), .. } => Err(TokenRefusal::KeyBindingNotProven),
        Bounds { key: None, certificate: Some(_) } => Err(TokenRefusal::CertificateNotPresented),
    }
}

/// What a token is bound to.
#[derive(Clone, Copy)]
struct Bounds {
    key: Option<Digest>,
    certificate: Option<Digest>,
}

fn bounds(genuine: &Genuine) -> Result<Bounds, TokenRefusal> {
    let Some(confirmation) = genuine.confirmation() else {
        return Ok(Bounds { key: None, certificate: None });
    };
    let digest = |text: Option<&String>| {
        let read =
            |text: &String| Digest::from_base64url(text).ok_or(TokenRefusal::ConfirmationNotUnderstood);
        text.map(read).transpose()
    };
    let bounds = Bounds {
        key: digest(confirmation.jkt.as_ref())?,
        certificate: digest(confirmation.x5t_s256.as_ref())?,
    };
    // RFC 7800 §3.1 has members that aren't understood ignored "in the absence of" a requirement by the application. Ours
    // is that a token is used only by whom it is bound to, so a binding that can't be checked is one that isn't met.
    if !confirmation.others.is_empty() || (bounds.key.is_none() && bounds.certificate.is_none()) {
        return Err(TokenRefusal::ConfirmationNotUnderstood);
    }
    Ok(bounds)
}

impl Binding {
    /// The token in the hands of who presented it at `now`, if it is bound to just what was shown; `token` is its hash.
    ///
    /// # Errors
    /// The first rule that fails; or so many proofs are remembered that no more fit.
    pub(super) fn check(
        &self,
        genuine: Genuine,
        token: &Digest,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, EnforcementError> {
        let Presented { dpop, certificate } = presented;
        let bounds = bounds(&genuine)?;
        let held = match (bounds.key, dpop) {
            (None, None) => None,
            // RFC 9449 §7.2: a resource "MUST reject a DPoP-bound access token received as a bearer token".
            (Some(_), None) => return Err(TokenRefusal::KeyBindingNotProven.into()),
            // RFC 9449 §7.1: "The resource server MUST NOT grant access to the resource unless all checks are successful",
            // and no key can match one that the token doesn't name.
            (None, Some(_)) => return Err(TokenRefusal::TokenNotBoundToAKey.into()),
            (Some(bound), Some(dpop)) => Some((bound, dpop)),
        };
        if let Some(bound) = bounds.certificate {
            check_certificate(&bound, certificate.as_ref())?;
        }
        if let Some((bound, dpop)) = held {
            let proof = check_proof(&bound, dpop, token, now)?;
            self.spend(&proof, now)?;
        }
        Ok(genuine.in_good_hands())
    }

    /// RFC 9449 §11.1: servers can "store, in the context of the target URI, the jti value of each DPoP proof for the time
    /// window in which the respective DPoP proof JWT would be accepted". Ours are kept by key, whatever the URI.
    fn spend(&self, proof: &DpopProof, now: Timestamp) -> Result<(), EnforcementError> {
        self.spent.spend(proof, now).map_err(|refused| match refused {
            Refused::Replayed => TokenRefusal::DpopProofReplayed.into(),
            Refused::Forgotten => TokenRefusal::DpopProofNotFresh.into(),
            Refused::Full => Unavailable::ProofsFull.into(),
        })
    }
}

fn check_certificate(bound: &Digest, presented: Option<&ClientCertificate>) -> Result<(), TokenRefusal> {
    let Some(ClientCertificate(presented)) = presented else {
        return Err(TokenRefusal::CertificateNotPresented);
    };
    // RFC 8705 §3: "The protected resource MUST obtain, from its TLS implementation layer, the client certificate used for
    // mutual TLS and MUST verify that the certificate matches the certificate associated with the access token."
    if !bound.matches(presented) {
        return Err(TokenRefusal::CertificateNotTheBoundOne);
    }
    Ok(())
}

/// RFC 9449 §4.3, but for replay.
fn check_proof(
    bound: &Digest,
    dpop: &Dpop<'_>,
    token: &Digest,
    now: Timestamp,
) -> Result<DpopProof, TokenRefusal> {
    let proof = DpopProof::verify(dpop.proof?)?;
    // RFC 9449 §4.3, check 8: "The htm claim matches the HTTP method of the current request." Methods have a case.
    if proof.htm != dpop.method {
        return Err(TokenRefusal::DpopMethodMismatch);
    }
    // RFC 9449 §4.3, check 9: "The htu claim matches the HTTP URI value for the HTTP request in which the JWT was received,
    // ignoring any query and fragment parts."
    match (HttpUri::parse(&proof.htu), HttpUri::parse(dpop.url)) {
        (Ok(claimed), Ok(here)) if claimed == here => {}
        _ => return Err(TokenRefusal::DpopUriMismatch),
    }
    // RFC 9449 §4.3, check 11: the creation time "is within an acceptable window (see Section 11.1)."
    if !(-PROOF_WINDOW..=PROOF_WINDOW).contains(&now.since(proof.iat)) {
        return Err(TokenRefusal::DpopProofNotFresh);
    }
    // RFC 9449 §4.3, check 12: "ensure that the value of the ath claim equals the hash of that access token".
    let hash = proof.ath.as_deref().and_then(Digest::from_base64url);
    if !hash.is_some_and(|hash| hash.matches(token)) {
        return Err(TokenRefusal::DpopTokenHashMismatch);
    }
    // The same: "confirm that the public key to which the access token is bound matches the public key from the DPoP proof."
    if !bound.matches(&proof.jkt) {
        return Err(TokenRefusal::DpopKeyNotTheBoundOne);
    }
    Ok(proof)
}

#[cfg(test)]
mod tests;
