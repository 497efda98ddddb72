//! Rule 1: the client proves who it is, by `private_key_jwt` (RFC 7523 as updated by RFC 10070) or a JWT-SVID
//! (draft-ietf-oauth-spiffe-client-auth-02). There are no shared secrets.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::svid::{self, CLOCK_SKEW};
use super::{FlowError, Server, Tenant, TenantState};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{KeySource, Principal, Status};
use crate::jose::{JwsError, Unverified};
use crate::protocol::numeric_date::{Audience, NumericDate};
use crate::protocol::token_type::{JWT_BEARER, JWT_SPIFFE};
use crate::secret::Digest;
use crate::storage::marks::Mark;
use crate::time::Timestamp;
use crate::upstream::Keys;

/// What a request says about its client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// `client_id`, which may be left out: the assertion names the client.
    pub client_id: Option<&'a str>,
    /// `client_assertion_type`.
    pub assertion_type: Option<&'a str>,
    /// `client_assertion`.
    pub assertion: Option<&'a str>,
    /// Whether the request also carries an `Authorization` header or a `client_secret`.
    pub other_method: bool,
}

/// A client that has proved who it is.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Its id in the registry.
    pub id: String,
    /// What its proof spends, if it may be used once.
    pub mark: Option<Mark>,
}

/// The longest that an assertion may be valid, in seconds.
const LONGEST: i64 = 300;

#[derive(Deserialize)]
struct AssertionClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    jti: String,
}

/// Authenticates the client of a request.
pub async fn authenticate(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    credentials: Credentials<'_>,
    now: Timestamp,
) -> Result<Authenticated, FlowError> {
    // RFC 6749 §2.3: "The client MUST NOT use more than one authentication method in each request."
    if credentials.other_method {
        return Err(Refusal::ClientAuthenticationAmbiguous.into());
    }
    let (Some(kind), Some(assertion)) = (credentials.assertion_type, credentials.assertion) else {
        return Err(Refusal::ClientAuthenticationMissing.into());
    };
    let (principal, mark) = match kind {
        JWT_BEARER => {
            let (principal, mark) = private_key_jwt(server, tenant, state, assertion, now).await?;
            (principal, Some(mark))
        }
        // A JWT-SVID is a bearer without `jti`: it may be used until it expires.
        JWT_SPIFFE => {
            let spiffe_id = svid::verify(server, tenant, state, assertion, now).await?;
            (
                state
                    .registry
                    .principal_by_spiffe_id(spiffe_id.as_str())
                    .ok_or(Refusal::SvidNotRegistered)?,
                None,
            )
        }
        _ => return Err(Refusal::ClientAssertionTypeUnsupported.into()),
    };
    let names_it =
        |claimed: &str| claimed == principal.id || principal.spiffe_ids.iter().any(|id| id == claimed);
    if credentials.client_id.is_some_and(|claimed| !names_it(claimed)) {
        return Err(Refusal::ClientIdMismatch.into());
    }
    if principal.status != Status::Active {
        return Err(Refusal::ClientSuspended.into());
    }
    Ok(Authenticated { id: principal.id.clone(), mark })
}

/// Whom a refused assertion says it is from, by its id in the registry if it has one there: unproven, and written down
/// beside the rule that refused it.
pub(super) fn claimed(state: &TenantState, assertion: Option<&str>) -> Option<String> {
    let claims = Unverified::parse(assertion?).ok()?.peek()?;
    let sub = claims.get("sub")?.as_str().filter(|sub| sub.len() <= 2048)?;
    Some(state.registry.principal(sub).map_or(sub, |principal| &principal.id).to_owned())
}

async fn private_key_jwt<'a>(
    server: &Server,
    tenant: &Tenant,
    state: &'a TenantState,
    assertion: &str,
    now: Timestamp,
) -> Result<(&'a Principal, Mark), FlowError> {
    let assertion = Assertion::parse(assertion)?;
    let principal = state.registry.principal(&assertion.from).ok_or(Refusal::ClientUnknown)?;
    let whose = Whose { id: &principal.id, keys: &principal.keys, published: &server.keys };
    let mark = assertion.verify(whose, tenant, now).await?;
    Ok((principal, mark))
}

/// A client assertion that nobody has verified.
pub(super) struct Assertion<'a> {
    unverified: Unverified<'a>,
    claims: Map<String, Value>,
    /// Whom it says it is from.
    pub(super) from: String,
}

/// Whose assertion it must be.
pub(super) struct Whose<'a> {
    /// The client's id.
    pub(super) id: &'a str,
    /// Its keys, or where they are.
    pub(super) keys: &'a [KeySource],
    /// The memory of those that are published elsewhere.
    pub(super) published: &'a Keys,
}

impl<'a> Assertion<'a> {
    /// Takes it apart, and believes nothing.
    pub(super) fn parse(assertion: &'a str) -> Result<Self, Refusal> {
        let unverified = Unverified::parse(assertion).map_err(|_| Refusal::ClientAssertionMalformed)?;
        // RFC 10070: `client-authentication+jwt` is recommended; a generic `JWT` or none is still accepted, the `typ` of any
        // other kind of token is not.
        if !matches!(unverified.header().typ.as_deref(), None | Some("jwt" | "client-authentication+jwt")) {
            return Err(Refusal::ClientAssertionTypWrong);
        }
        let claims = unverified.peek().ok_or(Refusal::ClientAssertionMalformed)?;
        let from = claims.get("iss").and_then(Value::as_str).ok_or(Refusal::ClientAssertionMalformed)?;
        let from = from.to_owned();
        Ok(Self { unverified, claims, from })
    }

    /// Verifies that it is that client's, for this server and this moment. What comes back is to be spent: it proves once.
    pub(super) async fn verify(
        &self,
        whose: Whose<'_>,
        tenant: &Tenant,
        now: Timestamp,
    ) -> Result<Mark, FlowError> {
        let thumbprint = self.verify_with_keys(&whose).await?;
        // What is proved now is what was looked at above, parsed strictly.
        let claims =
            AssertionClaims::deserialize(&self.claims).map_err(|_| Refusal::ClientAssertionMalformed)?;
        check_claims(&claims, &self.from, tenant, now)?;
        let digest = Digest::of_parts(&[
            b"client_assertion",
            whose.id.as_bytes(),
            thumbprint.as_bytes(),
            claims.jti.as_bytes(),
        ]);
        Ok(Mark {
            kind: "client_assertion",
            digest,
            expires_at: claims.exp.0.plus(CLOCK_SKEW),
            refusal: Some(Refusal::ClientAssertionReplayed),
        })
    }

    async fn verify_with_keys(&self, whose: &Whose<'_>) -> Result<String, FlowError> {
        let mut unavailable = false;
        for source in whose.keys {
            for missing in [false, true] {
                let Ok(keys) = whose.published.of(source, missing).await else {
                    unavailable = true;
                    break;
                };
                match self.unverified.verify_by(&keys) {
                    Ok((_, key)) => return Ok(key.thumbprint().to_owned()),
                    // A remote set may have gained the key since it was read.
                    Err(JwsError::UnknownKey) => {}
                    Err(_) => break,
                }
            }
        }
        Err(if unavailable { Refusal::ClientKeysUnavailable } else { Refusal::ClientUnknown }.into())
    }
}

fn check_claims(
    claims: &AssertionClaims,
    named: &str,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<(), Refusal> {
    // RFC 7523 §3: "the subject MUST be the `client_id` of the OAuth client", and `iss` is the same party.
    if claims.iss != claims.sub || claims.iss != named {
        return Err(Refusal::ClientAssertionIssuerNotSubject);
    }
    // RFC 10070: the audience MUST be the authorization server's issuer identifier, as its sole value.
    if !claims.aud.is_only(&tenant.issuer) {
        return Err(Refusal::ClientAssertionAudienceWrong);
    }
    // RFC 7523 §3: "The authorization server MUST reject any JWT with an expiration time that has passed".
    if now >= claims.exp.0 {
        return Err(Refusal::ClientAssertionExpired);
    }
    // RFC 7523 §3: it "may reject JWTs with an `exp` claim value that is unreasonably far in the future".
    if claims.exp.0 > now.plus(LONGEST + CLOCK_SKEW) {
        return Err(Refusal::ClientAssertionLivesTooLong);
    }
    let ahead = |date: Option<NumericDate>| date.is_some_and(|date| date.0 > now.plus(CLOCK_SKEW));
    if ahead(claims.nbf) || ahead(claims.iat) {
        return Err(Refusal::ClientAssertionNotYetValid);
    }
    if claims.jti.is_empty() || claims.jti.len() > 256 {
        return Err(Refusal::ClientAssertionMalformed);
    }
    Ok(())
}
