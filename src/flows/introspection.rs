//! Introspection (RFC 7662): answered from memory, under the same revocation view as any enforcer's.

use std::sync::Arc;

use serde::Serialize;

use super::client_authentication::claimed;
use super::{
    Credentials, FlowError, Recorder, Server, Tenant, TenantState, Verified, authenticate, own_token,
};
use crate::domain::audit::{Event, EventKind};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{PrincipalKind, Status};
use crate::protocol::claims::AccessTokenClaims;
use crate::protocol::resource::ResourceUri;
use crate::storage::journal::{Entry, Outcome};
use crate::storage::marks::Mark;
use crate::time::Timestamp;

/// How the caller of an introspection proves who it is.
#[derive(Debug)]
pub enum Caller<'a> {
    /// An access token for the introspection endpoint.
    Bearer(&'a str),
    /// A client assertion in the request itself.
    Client(Credentials<'a>),
}

/// The answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The token is alive, and this is what it says.
    Active {
        /// The JSON body.
        body: Arc<str>,
        /// The token's id, for the `ETag`.
        jti: String,
        /// When it expires; no cache may keep the answer past this.
        exp: Timestamp,
    },
    /// Nothing more is said: unknown, expired, revoked, or not for the caller's eyes.
    Inactive,
}

#[derive(Serialize)]
struct Body<'a> {
    active: bool,
    token_type: &'static str,
    #[serde(flatten)]
    claims: &'a AccessTokenClaims,
}

/// Answers one introspection request.
pub async fn introspect(
    server: &Server,
    tenant: &Tenant,
    caller: &Caller<'_>,
    token: &str,
) -> Result<Answer, FlowError> {
    tenant.check_fresh(server)?;
    let now = server.clock.now();
    let state = tenant.state();
    let caller = authenticate_caller(server, tenant, &state, caller, now).await?;
    let Some(verified) = own_token::verify(server, tenant, &state, token, now).await? else {
        return Ok(Answer::Inactive);
    };
    // RFC 7662 §4: "the authorization server … MUST … determine whether or not the token can be used at the protected
    // resource making the introspection call"; §2.2: if not, `active` is false and nothing else is said.
    if !caller.resources.contains(&verified.claims.aud) {
        deny(server, tenant, &state, (&caller.id, &verified)).await?;
        return Ok(Answer::Inactive);
    }
    let body = verified.introspection.get_or_init(|| render(&verified.claims)).clone();
    Ok(Answer::Active { body, jti: verified.claims.jti.clone(), exp: verified.claims.exp })
}

fn render(claims: &AccessTokenClaims) -> Arc<str> {
    let body = Body { active: true, token_type: "Bearer", claims };
    serde_json::to_string(&body).unwrap_or_else(|_| r#"{"active":false}"#.to_owned()).into()
}

struct Enforcer {
    id: String,
    resources: Vec<ResourceUri>,
}

/// RFC 7662 §2.1: "To prevent token scanning attacks, the endpoint MUST also require some form of authorization".
async fn authenticate_caller(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    caller: &Caller<'_>,
    now: Timestamp,
) -> Result<Enforcer, FlowError> {
    let recorder = Recorder::new(server, tenant, EventKind::Introspection);
    let enforcer = match caller {
        Caller::Bearer(token) => {
            let id = recorder.stranger(None, bearer(server, tenant, state, token, now).await).await?;
            recorder.client(&id, enforcer(state, &id)).await?
        }
        Caller::Client(credentials) => {
            let client = authenticate(server, tenant, state, *credentials, now).await;
            let client = recorder.stranger(claimed(state, credentials.assertion), client).await?;
            let decided = enforcer(state, &client.id);
            match client.mark {
                Some(mark) => spend(server, tenant, state, (&client.id, mark), decided).await?,
                None => recorder.client(&client.id, decided).await?,
            }
        }
    };
    server.limits.introspection.take(&tenant.name, &enforcer.id)?;
    Ok(enforcer)
}

async fn bearer(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    token: &str,
    now: Timestamp,
) -> Result<String, FlowError> {
    let verified = own_token::verify(server, tenant, state, token, now).await?;
    let verified = verified.ok_or(Refusal::AccessTokenNotAccepted)?;
    let aud = verified.claims.aud.as_str();
    if aud.strip_prefix(tenant.issuer.as_str()) != Some("/oauth/introspect") {
        return Err(Refusal::AccessTokenNotAccepted.into());
    }
    if !verified.claims.scope.contains("introspect") {
        return Err(Refusal::AccessTokenLacksScope.into());
    }
    Ok(verified.claims.client_id.clone())
}

fn enforcer(state: &TenantState, id: &str) -> Result<Enforcer, Refusal> {
    let principal = state.registry.principal(id).ok_or(Refusal::ClientUnknown)?;
    if principal.kind != PrincipalKind::Enforcer {
        return Err(Refusal::CallerNotEnforcer);
    }
    if principal.status != Status::Active {
        return Err(Refusal::ClientSuspended);
    }
    Ok(Enforcer { id: principal.id.clone(), resources: principal.resources.clone() })
}

/// An assertion that authenticates a request is spent with it, whatever else is decided, in the row that says so.
async fn spend<T>(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    (client, mark): (&str, Mark),
    decided: Result<T, Refusal>,
) -> Result<T, FlowError> {
    let mut event = Event::new(EventKind::Introspection, true);
    event.client_id = Some(client.to_owned());
    event.detail = Some(serde_json::json!({ "authenticated": true }));
    if let Err(refusal) = &decided {
        event = event.refused(refusal.rule());
    }
    match write(server, tenant, state, Some(mark), event).await? {
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Committed | Outcome::Repeated => Ok(decided?),
        Outcome::Moved => Err(Refusal::Overloaded.into()),
    }
}

async fn deny(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    (caller, verified): (&str, &Verified),
) -> Result<(), FlowError> {
    let mut event = Event::new(EventKind::Introspection, false);
    event.rule = Some("token_not_for_caller".into());
    event.client_id = Some(caller.to_owned());
    event.jti = Some(verified.claims.jti.clone());
    event.resource = Some(verified.claims.aud.to_string());
    match write(server, tenant, state, None, event).await? {
        Outcome::Moved => Err(Refusal::Overloaded.into()),
        Outcome::Committed | Outcome::Repeated | Outcome::Refused(_) => Ok(()),
    }
}

async fn write(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    mark: Option<Mark>,
    mut event: Event,
) -> Result<Outcome, FlowError> {
    let rev = tenant.view.rev();
    event.rev = Some(rev.clone());
    let registry_version = state.registry.version;
    let entry = Entry {
        tenant: tenant.name.clone(),
        rev,
        registry_version,
        mark,
        mint: None,
        event,
        more: Vec::new(),
    };
    Ok(server.journal.record(entry).await?)
}
