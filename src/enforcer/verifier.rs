//! Access tokens as JWTs, verified offline (RFC 9068 §4, RFC 8725).

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use serde_json::Value;

use super::{StalePolicy, TokenRefusal, binding};
use crate::jose::{Header, JwkSet, JwsError, Unverified};
use crate::protocol::claims::{ACCESS_TOKEN_TYP, AccessTokenClaims, Confirmation};
use crate::protocol::resource::ResourceUri;
use crate::protocol::strict_json;
use crate::secret::Digest;
use crate::time::{Timestamp, Uptime};

/// The longest access token that is looked at, in bytes.
pub const LONGEST_TOKEN: usize = 16 * 1024;
/// The longest lifetime a token may have from `iat` to `exp`, in seconds, unless configured shorter.
pub const LIFETIME_CEILING: i64 = 300;
/// How far ahead of our clock the issuer's may be, in seconds.
pub const LEEWAY: i64 = 5;

/// Deepest nesting of the claims: the object itself, and the 16 levels that authorization details may have.
const CLAIMS_DEPTH: usize = 17;
/// Bytes of verified tokens whose claims are remembered.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// An access token that passed every check; only the checks of this folder build one.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    claims: Arc<AccessTokenClaims>,
    kid: Option<Arc<str>>,
    /// Under which policy it was let in.
    pub(super) admitted: StalePolicy,
    /// Until when the issuer's own word about it holds, if it was asked.
    pub(super) vouched_until: Option<Uptime>,
}

impl VerifiedToken {
    /// What the issuer says about it.
    pub fn claims(&self) -> &AccessTokenClaims {
        &self.claims
    }

    /// The key that signed it; opaque tokens have none.
    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }
}

/// A token as it was presented, and the hash by which its claims are remembered.
#[derive(Clone, Copy)]
pub(super) struct TokenText<'a> {
    text: &'a str,
    digest: Digest,
}

impl<'a> TokenText<'a> {
    /// Refuses what is too long to be looked at.
    pub(super) fn new(text: &'a str) -> Result<Self, TokenRefusal> {
        if text.len() > LONGEST_TOKEN {
            return Err(TokenRefusal::TokenTooLong);
        }
        Ok(Self { text, digest: Digest::of(text.as_bytes()) })
    }

    /// The token as it came.
    pub(super) fn text(self) -> &'a str {
        self.text
    }

    /// Its SHA-256.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Reads it as a JWT.
    pub(super) fn parse(self) -> Result<Unverified<'a>, TokenRefusal> {
        Ok(Unverified::parse(self.text)?)
    }
}

/// An access token whose claims are true. Whether its bearer may use it isn't known before its binding is checked, so
/// nothing is decided by it.
#[derive(Clone, Debug)]
pub(super) struct Genuine {
    claims: Arc<AccessTokenClaims>,
    kid: Option<Arc<str>>,
}

impl Genuine {
    /// What the token is bound to.
    pub(super) fn confirmation(&self) -> Option<&Confirmation> {
        self.claims.cnf.as_ref()
    }

    /// The token, in the hands of who may use it: for [`super::binding`] to say.
    pub(super) fn in_good_hands(self) -> VerifiedToken {
        VerifiedToken { claims: self.claims, kid: self.kid, admitted: StalePolicy::Deny, vouched_until: None }
    }
}

/// What was proven of a token once and doesn't change: its claims, under one state of the issuer's keys.
#[derive(Clone)]
struct Proven {
    keys: Arc<JwkSet>,
    claims: Arc<AccessTokenClaims>,
    kid: Arc<str>,
    size: u32,
}

/// Verifies access tokens of one issuer for one resource.
///
/// Claims are remembered by the hash of their token, for as long as the issuer's keys stay what they were; decisions are
/// not: `exp`, `iat`, issuer, audience and lifetime are compared at each use.
pub struct Verifier {
    issuer: String,
    resource: ResourceUri,
    ceiling: i64,
    proven: Cache<Digest, Proven>,
}

impl Verifier {
    /// A verifier for tokens of `issuer` whose audience is `resource`, living at most `ceiling` seconds (and never more
    /// than [`LIFETIME_CEILING`]).
    pub fn new(issuer: &str, resource: ResourceUri, ceiling: i64) -> Self {
        let proven = Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|_: &Digest, proven: &Proven| proven.size)
            // This bounds memory only; `exp` is compared at each use.
            .time_to_live(Duration::from_secs(LIFETIME_CEILING.unsigned_abs()))
            .build();
        Self { issuer: issuer.to_owned(), resource, ceiling: ceiling.min(LIFETIME_CEILING), proven }
    }

    /// The resource whose tokens are accepted.
    pub fn resource(&self) -> &ResourceUri {
        &self.resource
    }

    /// The header, after the checks that need no key: the type is right and a key is named.
    pub fn check_header(header: &Header) -> Result<&str, TokenRefusal> {
        // RFC 9068 §4: "The resource server MUST verify that the 'typ' header value is 'at+jwt' or
        // 'application/at+jwt' and reject tokens carrying any other value."
        if header.typ.as_deref() != Some(ACCESS_TOKEN_TYP) {
            return Err(TokenRefusal::TokenNotAnAccessToken);
        }
        header.kid.as_deref().ok_or(TokenRefusal::SigningKeyNotNamed)
    }

    /// The token, if it was proven under these keys before and is still good at `now`; `None` when it must be verified.
    pub(super) fn recall(
        &self,
        token: TokenText<'_>,
        keys: &Arc<JwkSet>,
        now: Timestamp,
    ) -> Option<Result<Genuine, TokenRefusal>> {
        let proven = self.proven.get(&token.digest)?;
        if !Arc::ptr_eq(&proven.keys, keys) {
            return None;
        }
        Some(self.check_claims(proven.claims, Some(proven.kid), now))
    }

    /// The claims and the key of a token that was proven not long ago, whatever has become of it since.
    pub(super) fn remembered(&self, token: TokenText<'_>) -> Option<(Arc<AccessTokenClaims>, Arc<str>)> {
        self.proven.get(&token.digest).map(|proven| (proven.claims, proven.kid))
    }

    /// Verifies a JWT that came as a bearer token by `keys` at `now`. One that is bound to a key or a certificate is
    /// refused: see [`Enforcer::check_presented`](super::Enforcer::check_presented).
    ///
    /// # Errors
    /// The first rule that the token breaks.
    pub fn verify(
        &self,
        token: &str,
        keys: &Arc<JwkSet>,
        now: Timestamp,
    ) -> Result<VerifiedToken, TokenRefusal> {
        let token = TokenText::new(token)?;
        let genuine = match self.recall(token, keys, now) {
            Some(known) => known,
            None => self.prove(token, &token.parse()?, keys, now),
        };
        genuine.and_then(binding::check_unbound)
    }

    /// Verifies a JWT that has been read, and remembers it.
    ///
    /// # Errors
    /// The first rule that the token breaks.
    pub(super) fn prove(
        &self,
        token: TokenText<'_>,
        unverified: &Unverified<'_>,
        keys: &Arc<JwkSet>,
        now: Timestamp,
    ) -> Result<Genuine, TokenRefusal> {
        let kid = Self::check_header(unverified.header())?;
        let payload = unverified.verify(keys).map_err(|error| match error {
            // RFC 8725 §3.1: the key decides the algorithm; a known key under another algorithm is not a missing key.
            JwsError::UnknownKey if knows(keys, kid) => TokenRefusal::AlgorithmNotAccepted,
            other => other.into(),
        })?;
        let (claims, kid) = (Arc::new(parse_claims(payload)?), Arc::<str>::from(kid));
        let verified = self.check_claims(Arc::clone(&claims), Some(Arc::clone(&kid)), now)?;
        let size = u32::try_from(token.text.len() * 2).unwrap_or(u32::MAX);
        self.proven.insert(token.digest, Proven { keys: Arc::clone(keys), claims, kid, size });
        Ok(verified)
    }

    /// The checks on genuine claims, whether a signature or the issuer's own answer made them so.
    pub(super) fn check_claims(
        &self,
        claims: Arc<AccessTokenClaims>,
        kid: Option<Arc<str>>,
        now: Timestamp,
    ) -> Result<Genuine, TokenRefusal> {
        // RFC 9068 §4: "The issuer identifier … MUST exactly match the value of the 'iss' claim."
        if claims.iss != self.issuer {
            return Err(TokenRefusal::IssuerNotTrusted);
        }
        // RFC 9068 §4: "The JWT access token MUST be rejected if 'aud' does not contain a resource indicator of the
        // current resource server". Ours name exactly one; a list was refused when the claims were read.
        if claims.aud != self.resource {
            return Err(TokenRefusal::AudienceNotThisResource);
        }
        // RFC 9068 §4: "The current time MUST be before the time represented by the 'exp' claim." No leeway here: it
        // would lengthen the time that a revocation takes.
        if now >= claims.exp {
            return Err(TokenRefusal::TokenExpired);
        }
        if claims.iat > now.plus(LEEWAY) {
            return Err(TokenRefusal::TokenFromTheFuture);
        }
        if !(1..=self.ceiling).contains(&claims.exp.since(claims.iat)) {
            return Err(TokenRefusal::LifetimeAboveCeiling);
        }
        Ok(Genuine { claims, kid })
    }
}

fn knows(keys: &JwkSet, kid: &str) -> bool {
    keys.iter().any(|key| key.kid() == Some(kid))
}

fn parse_claims(payload: &[u8]) -> Result<AccessTokenClaims, TokenRefusal> {
    let map = strict_json::object(payload, CLAIMS_DEPTH).map_err(|_| TokenRefusal::ClaimsMalformed)?;
    // Our issuer sends no `nbf`. RFC 7519 §4.1.5: "the token MUST NOT be accepted for processing" before it, so one is
    // accepted only where `iat`, which is checked at each use, is no earlier.
    if let Some(not_before) = map.get("nbf") {
        let issued_at = map.get("iat").and_then(Value::as_i64);
        match (not_before.as_i64(), issued_at) {
            (Some(not_before), Some(issued_at)) if not_before <= issued_at => {}
            (Some(_), Some(_)) => return Err(TokenRefusal::TokenFromTheFuture),
            _ => return Err(TokenRefusal::ClaimsMalformed),
        }
    }
    check_claims_are_whole(Value::Object(map))
}

/// Reads claims and refuses those that are there but empty.
pub(super) fn check_claims_are_whole(value: Value) -> Result<AccessTokenClaims, TokenRefusal> {
    let claims: AccessTokenClaims =
        serde_json::from_value(value).map_err(|_| TokenRefusal::ClaimsMalformed)?;
    // RFC 9068 §2.2: iss, exp, aud, sub, client_id, iat and jti are REQUIRED; an empty one names nobody.
    let named = [&claims.sub, &claims.jti, &claims.client_id, &claims.tenant];
    let actors_named = claims.actors().all(|actor| !actor.is_empty());
    if named.iter().any(|text| text.is_empty()) || !actors_named {
        return Err(TokenRefusal::ClaimsMalformed);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests;
