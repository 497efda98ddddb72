//! Our own access tokens, verified: JWTs by signature, opaque ones by their record.

use std::sync::{Arc, OnceLock};

use super::{FlowError, Server, Tenant, TenantState};
use crate::domain::access_token::{LEEWAY, LIFETIME_CEILING};
use crate::jose::Unverified;
use crate::protocol::claims::{ACCESS_TOKEN_TYP, AccessTokenClaims};
use crate::secret::Digest;
use crate::storage::tokens;
use crate::time::Timestamp;

/// The prefix of opaque tokens.
pub(super) const OPAQUE_PREFIX: &str = "tpo";

/// A token that this tenant minted. Only this module makes one. Whether it has expired or been cut is asked at each use.
#[derive(Debug)]
pub struct Verified {
    /// What it says.
    pub claims: AccessTokenClaims,
    /// The key that signed it; opaque tokens have none.
    pub kid: Option<String>,
    /// About how much memory it takes, in bytes.
    pub(super) weight: u32,
    /// Its introspection answer, made once.
    pub(super) introspection: OnceLock<Arc<str>>,
}

/// The token, if this tenant minted it and it has neither expired nor been cut; `None` says no more than that.
pub async fn verify(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    token: &str,
    now: Timestamp,
) -> Result<Option<Arc<Verified>>, FlowError> {
    let digest = Digest::of(token.as_bytes());
    let verified = match tenant.verified.get(&digest) {
        Some(verified) => verified,
        None => match prove(server, tenant, state, token, &digest).await? {
            Some(verified) => {
                let verified = Arc::new(verified);
                tenant.verified.insert(digest, verified.clone());
                verified
            }
            None => return Ok(None),
        },
    };
    // RFC 7519 §4.1.4: "The `exp` … claim identifies the expiration time on or after which the JWT MUST NOT be accepted".
    let claims = &verified.claims;
    let ahead = claims.iat > now.plus(LEEWAY) || claims.exp.since(claims.iat) > LIFETIME_CEILING;
    // A key that has left the published set proves nothing any more, whatever is remembered of it.
    let published = |kid: &String| state.keys.published().iter().any(|key| key.kid() == Some(kid));
    let in_time = now < claims.exp && !ahead && verified.kid.as_ref().is_none_or(published);
    Ok(if in_time && tenant.is_alive(server, &verified).await? { Some(verified) } else { None })
}

async fn prove(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    token: &str,
    digest: &Digest,
) -> Result<Option<Verified>, FlowError> {
    if token.starts_with(OPAQUE_PREFIX) && token.as_bytes().get(OPAQUE_PREFIX.len()) == Some(&b'_') {
        let mut tx = server.db.read().await?;
        let record = tokens::find_by_hash(&mut tx, &tenant.name, &digest.hex()).await?;
        let claims = record.and_then(|record| serde_json::from_str(record.claims.as_deref()?).ok());
        return Ok(claims.map(|claims| Verified {
            claims,
            kid: None,
            weight: 2048,
            introspection: OnceLock::new(),
        }));
    }
    let Ok(unverified) = Unverified::parse(token) else {
        return Ok(None);
    };
    // RFC 9068 §4: "The resource server MUST verify that the `typ` header value is `at+jwt` or `application/at+jwt`".
    if unverified.header().typ.as_deref() != Some(ACCESS_TOKEN_TYP) || unverified.header().kid.is_none() {
        return Ok(None);
    }
    let Ok((payload, key)) = unverified.verify_by(state.keys.published()) else {
        return Ok(None);
    };
    let Ok(claims) = serde_json::from_slice::<AccessTokenClaims>(payload) else {
        return Ok(None);
    };
    let ours = claims.iss == tenant.issuer && *claims.tenant == *tenant.name;
    let kid = key.kid().map(str::to_owned);
    // Claims, and the answer made of them, are each about as long as the token; strings have their overhead.
    let weight = u32::try_from(token.len() * 3 + 512).unwrap_or(u32::MAX);
    Ok(ours.then_some(Verified { claims, kid, weight, introspection: OnceLock::new() }))
}
