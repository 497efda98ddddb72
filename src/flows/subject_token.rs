//! Rule 3: the subject token is genuine, is what it is declared to be, is meant for this client, and is alive.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::upstream_token::{self, Claims, Unproved, groups, is_unfit};
use super::{FlowError, Server, Tenant, TenantState, own_token, svid};
use crate::domain::exchange::{Subject, UpstreamUser};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Consent, Grantee, IdentityProvider, Principal, Status};
use crate::domain::user::{upstream_session_id, user_id};
use crate::jose::Unverified;
use crate::protocol::claims::AccessTokenClaims;
use crate::protocol::token_type::TokenType;
use crate::storage::consents::{self, GivenConsent};
use crate::storage::tasks;
use crate::time::Timestamp;

/// Verifies the subject token of an exchange by `client`.
pub(super) async fn verify(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    client: &Principal,
    (token, kind): (&str, TokenType),
    now: Timestamp,
) -> Result<Subject, FlowError> {
    match kind {
        TokenType::AccessToken => ours(server, tenant, state, token, now).await,
        TokenType::IdToken | TokenType::Jwt => {
            let unverified = Unverified::parse(token).map_err(|_| Refusal::SubjectTokenMalformed)?;
            let peeked = unverified.peek().ok_or(Refusal::SubjectTokenMalformed)?;
            let from_spire =
                peeked.get("sub").and_then(Value::as_str).is_some_and(|sub| sub.starts_with("spiffe://"));
            if kind == TokenType::Jwt && from_spire {
                itself(server, tenant, state, client, (token, now)).await
            } else {
                upstream(server, tenant, state, client, (&unverified, peeked, kind), now).await
            }
        }
    }
}

async fn ours(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    token: &str,
    now: Timestamp,
) -> Result<Subject, FlowError> {
    let verified = own_token::verify(server, tenant, state, token, now).await?;
    let verified = verified.ok_or_else(|| why_not(tenant, token, now))?;
    // RFC 9449 §5: a bound token counts only with its proof; nothing here takes one yet, so it is refused, not unbound.
    if verified.claims.cnf.is_some() {
        return Err(Refusal::SubjectTokenBoundWithoutProof.into());
    }
    let task = match &verified.claims.task {
        None => None,
        Some(id) => {
            let mut tx = server.db.read().await?;
            let record = tasks::find(&mut tx, &tenant.name, id).await?;
            // A token without its task's record can't have a deadline, so it can't be renewed or delegated.
            Some(record.ok_or(Refusal::TaskEnded)?.to_task()?)
        }
    };
    let given = resting(server, tenant, state, &verified.claims).await?;
    Ok(Subject::Token(Box::new(verified.claims.clone()), task, given.map(Box::new)))
}

/// The yes that a person has given and the token rests on, as the rules read it. An administrator's is in the registry.
async fn resting(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    claims: &AccessTokenClaims,
) -> Result<Option<Consent>, FlowError> {
    let Some(id) = claims.consent.as_deref().filter(|id| state.registry.consent(id).is_none()) else {
        return Ok(None);
    };
    let mut tx = server.db.read().await?;
    let given = consents::find(&mut tx, &tenant.name, id).await?;
    Ok(given.filter(|given| given.withdrawn_at.is_none()).map(|given| as_registered(given, None)))
}

/// What the person has said yes to for this agent, as the rules read it.
pub(super) async fn given(
    server: &Server,
    tenant: &Tenant,
    user: &UpstreamUser,
    agent: &str,
    now: Timestamp,
) -> Result<Vec<Consent>, FlowError> {
    let mut tx = server.db.read().await?;
    let given = consents::of_user(&mut tx, &tenant.name, &user.id, now).await?;
    let given = given.into_iter().filter(|given| given.agent == agent);
    Ok(given.map(|given| as_registered(given, Some(user))).collect())
}

fn as_registered(given: GivenConsent, user: Option<&UpstreamUser>) -> Consent {
    let grantee =
        |user: &UpstreamUser| Grantee::User { issuer: user.issuer.clone(), subject: user.subject.clone() };
    Consent {
        consent: given.id,
        user: user.map(grantee),
        group: None,
        agent: given.agent,
        resource: given.resource,
        scopes: given.scope,
        authorization_details: given.authorization_details,
        expires_at: given.expires_at,
    }
}

/// Tells apart, for the caller that holds the token, why it is not accepted.
fn why_not(tenant: &Tenant, token: &str, now: Timestamp) -> Refusal {
    let Ok(unverified) = Unverified::parse(token) else {
        return Refusal::SubjectTokenMalformed;
    };
    if unverified.header().typ.as_deref() != Some(crate::protocol::claims::ACCESS_TOKEN_TYP) {
        return Refusal::SubjectTokenOfWrongType;
    }
    let Some(claims) = unverified.peek() else {
        return Refusal::SubjectTokenMalformed;
    };
    if claims.get("iss").and_then(Value::as_str) != Some(&tenant.issuer) {
        return Refusal::SubjectTokenOfOtherTenant;
    }
    match claims.get("exp").and_then(Value::as_i64) {
        Some(exp) if now.0 >= exp => Refusal::SubjectTokenExpired,
        _ => Refusal::SubjectTokenRevoked,
    }
}

/// A JWT-SVID as subject token: the agent for itself, never another one.
async fn itself(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    client: &Principal,
    (token, now): (&str, Timestamp),
) -> Result<Subject, FlowError> {
    let spiffe_id = svid::verify(server, tenant, state, token, now).await.map_err(as_subject_refusal)?;
    if client.spiffe_ids.iter().any(|id| id == spiffe_id.as_str()) {
        Ok(Subject::Nobody)
    } else {
        Err(Refusal::SubjectTokenAudienceWrong.into())
    }
}

/// RFC 8693 §2.2.2: a bad subject token is `invalid_request`, not a failure of client authentication.
pub(super) fn as_subject_refusal(error: FlowError) -> FlowError {
    let FlowError::Refused(refusal) = error else {
        return error;
    };
    FlowError::Refused(match refusal {
        Refusal::SvidTrustDomainUnknown => Refusal::SubjectTokenIssuerUnknown,
        Refusal::SvidSignatureWrong => Refusal::SubjectTokenSignatureWrong,
        Refusal::SvidAudienceWrong => Refusal::SubjectTokenAudienceWrong,
        Refusal::SvidExpired => Refusal::SubjectTokenExpired,
        Refusal::TrustBundleUnavailable => Refusal::SubjectKeysUnavailable,
        _ => Refusal::SubjectTokenMalformed,
    })
}

async fn upstream(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    client: &Principal,
    (unverified, peeked, kind): (&Unverified<'_>, Map<String, Value>, TokenType),
    now: Timestamp,
) -> Result<Subject, FlowError> {
    // RFC 8725 §3.11: kinds of JWTs are kept apart by `typ`. A logout token, a security event or an access token is not
    // an ID token, whatever it is declared to be.
    let typ_fits = match unverified.header().typ.as_deref() {
        None | Some("jwt") => true,
        Some("at+jwt") => kind == TokenType::Jwt,
        Some(_) => false,
    };
    if !typ_fits || peeked.contains_key("events") {
        return Err(Refusal::SubjectTokenOfWrongType.into());
    }
    let issuer = peeked.get("iss").and_then(Value::as_str).ok_or(Refusal::SubjectTokenMalformed)?;
    if issuer == tenant.issuer {
        return Err(Refusal::SubjectTokenOfWrongType.into());
    }
    let (idp, source) = state.registry.identity_provider(issuer).ok_or(Refusal::SubjectTokenIssuerUnknown)?;
    if idp.status != Status::Active {
        return Err(Refusal::IdentityProviderDisabled.into());
    }
    let signed = upstream_token::verify_signature(server, source, unverified).await;
    signed.map_err(|error| match error {
        Unproved::NoKeys => Refusal::SubjectKeysUnavailable,
        Unproved::NotSigned => Refusal::SubjectTokenSignatureWrong,
    })?;
    // What is proved now is what was looked at above, parsed strictly.
    let claims = Claims::deserialize(&peeked).map_err(|_| Refusal::SubjectTokenMalformed)?;
    let subject = check_upstream(&claims, &peeked, (idp, client), now)?;
    // Keycloak's access tokens have the header of its ID tokens; the payload tells them apart.
    if kind == TokenType::IdToken && peeked.get("typ").and_then(Value::as_str).is_some_and(|typ| typ != "ID")
    {
        return Err(Refusal::SubjectTokenOfWrongType.into());
    }
    let id = user_id(&tenant.name, issuer, subject);
    let groups = groups(&peeked, idp);
    Ok(Subject::Upstream(UpstreamUser {
        id,
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        groups,
        issued_at: claims.iat.map(|iat| iat.0),
        sid: claims.sid.map(|sid| upstream_session_id(&tenant.name, issuer, &sid)),
        given: Vec::new(),
    }))
}

/// Checks what the token says of itself; the person's name at the provider.
fn check_upstream<'a>(
    claims: &'a Claims,
    others: &Map<String, Value>,
    (idp, client): (&IdentityProvider, &Principal),
    now: Timestamp,
) -> Result<&'a str, Refusal> {
    if claims.is_out_of_time(now) {
        return Err(Refusal::SubjectTokenExpired);
    }
    // OpenID Connect Core §3.1.3.7: the audience must contain the client, and `azp`, where present, must be it.
    let meant = |name: &str| {
        name == client.id
            || client.spiffe_ids.iter().any(|id| id == name)
            || idp.audiences.iter().any(|known| known == name)
    };
    if !claims.aud.iter().any(meant) || claims.azp.as_deref().is_some_and(|azp| !meant(azp)) {
        return Err(Refusal::SubjectTokenAudienceWrong);
    }
    // RFC 8693 §4.1: an actor in the token would be history that we can't verify; it must neither vanish nor be believed.
    if others.contains_key("act") || others.contains_key("may_act") {
        return Err(Refusal::SubjectTokenAlreadyDelegated);
    }
    if others.contains_key("cnf") {
        return Err(Refusal::SubjectTokenBoundWithoutProof);
    }
    // Keycloak marks its refresh and offline tokens in the payload, not in the header.
    let inner = others.get("typ").and_then(Value::as_str);
    if inner.is_some_and(|typ| !matches!(typ, "ID" | "Bearer" | "JWT")) {
        return Err(Refusal::SubjectTokenOfWrongType);
    }
    let subject = claims.sub.as_deref().filter(|sub| !is_unfit(sub)).ok_or(Refusal::SubjectTokenMalformed)?;
    if claims.sid.as_deref().is_some_and(is_unfit) {
        return Err(Refusal::SubjectTokenMalformed);
    }
    Ok(subject)
}
