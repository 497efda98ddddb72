//! JWT-SVIDs (SPIFFE JWT-SVID §2 to §5).

use std::sync::Arc;

use serde::Deserialize;

use super::{FlowError, Server, Tenant, TenantState};
use crate::domain::refusal::Refusal;
use crate::domain::registry::Status;
use crate::jose::{Algorithm, JwkSet, JwsError, Unverified};
use crate::protocol::numeric_date::{Audience, NumericDate};
use crate::protocol::spiffe_id::SpiffeId;
use crate::time::Timestamp;

/// How far clocks may be apart when an assertion says when it begins, in seconds.
pub(super) const CLOCK_SKEW: i64 = 8;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audience,
    exp: NumericDate,
    nbf: Option<NumericDate>,
}

/// The SPIFFE ID that the SVID proves.
pub(super) async fn verify(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    svid: &str,
    now: Timestamp,
) -> Result<SpiffeId, FlowError> {
    let unverified = Unverified::parse(svid).map_err(|_| Refusal::SvidMalformed)?;
    let header = unverified.header();
    // JWT-SVID §2.1: algorithms are RS, ES and PS; §2.3: "If set, its value MUST be either `JWT` or `JOSE`"; §2: "Header
    // parameters not described in this document … MUST NOT be included".
    let typ = matches!(header.typ.as_deref(), None | Some("jwt" | "jose"));
    if header.algorithm == Algorithm::EdDSA || !typ || header.has_others || header.kid.is_none() {
        return Err(Refusal::SvidMalformed.into());
    }
    // The bundle is chosen by the trust domain in `sub`, which is a look, not a proof: the key proves it.
    let peeked = unverified.peek().ok_or(Refusal::SvidMalformed)?;
    let sub = peeked.get("sub").and_then(serde_json::Value::as_str).ok_or(Refusal::SvidMalformed)?;
    let spiffe_id = SpiffeId::parse(sub).map_err(|_| Refusal::SvidMalformed)?;
    let known = bundle(server, state, spiffe_id.trust_domain(), false).await?;
    let payload = match unverified.verify(&known) {
        // A key that the bundle lacks may be newer than the bundle.
        Err(JwsError::UnknownKey) => {
            let newer = bundle(server, state, spiffe_id.trust_domain(), true).await?;
            unverified.verify(&newer).map_err(|_| Refusal::SvidSignatureWrong)?.to_vec()
        }
        verified => verified.map_err(|_| Refusal::SvidSignatureWrong)?.to_vec(),
    };
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| Refusal::SvidMalformed)?;
    // draft-ietf-oauth-spiffe-client-auth-02 §4.1: the audience is the authorization server's issuer identifier.
    if !claims.aud.is_only(&tenant.issuer) {
        return Err(Refusal::SvidAudienceWrong.into());
    }
    // JWT-SVID §3.3: "Validators … MUST reject any token … whose `exp` claim … has passed".
    if now >= claims.exp.0 || claims.nbf.is_some_and(|from| from.0 > now.plus(CLOCK_SKEW)) {
        return Err(Refusal::SvidExpired.into());
    }
    if claims.sub == spiffe_id.as_str() { Ok(spiffe_id) } else { Err(Refusal::SvidMalformed.into()) }
}

async fn bundle(
    server: &Server,
    state: &TenantState,
    domain: &str,
    missing: bool,
) -> Result<Arc<JwkSet>, FlowError> {
    let trusted = state.registry.trust_domain(domain).filter(|domain| domain.status == Status::Active);
    let trusted = trusted.ok_or(Refusal::SvidTrustDomainUnknown)?;
    match (state.registry.inline_bundle(domain), trusted.source()) {
        (Some(inline), _) => Ok(inline.clone()),
        (None, Some(source)) => {
            let found = server.keys.bundle(trusted, &source, missing).await;
            Ok(found.map_err(|_| Refusal::TrustBundleUnavailable)?)
        }
        (None, None) => Err(Refusal::SvidTrustDomainUnknown.into()),
    }
}
