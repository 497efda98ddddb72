//! RFC 7009: a client hands back a token of its own, and with it the task or the grant that it stands for.

use serde_json::json;

use super::client_authentication::claimed;
use super::clients::{authenticate_client, of_a_stranger};
use super::revocation::{children, cut, write};
use super::token::REFRESH_PREFIX;
use super::{
    Authenticated, Credentials, FlowError, Recorder, Server, Tenant, TenantState, authenticate,
    in_the_last_room, own_token,
};
use crate::domain::audit::{Event, EventKind};
use crate::domain::cutoff::ScopeKind;
use crate::domain::refusal::Refusal;
use crate::protocol::claims::AccessTokenClaims;
use crate::secret::Digest;
use crate::storage::{Tx, grants, marks, tasks, tenants};
use crate::time::Timestamp;

/// RFC 7009: a client hands back one of its own tokens.
///
/// §2.2: "The authorization server responds with HTTP status code 200 if the token has been revoked successfully or if
/// the client submitted an invalid token." A store that fails is a 503, never a 200 (§2.2.1).
pub async fn hand_back(
    server: &Server,
    tenant: &Tenant,
    credentials: Credentials<'_>,
    token: &str,
) -> Result<(), FlowError> {
    in_the_last_room(server, || Box::pin(try_to_hand_back(server, tenant, credentials, token))).await
}

async fn try_to_hand_back(
    server: &Server,
    tenant: &Tenant,
    credentials: Credentials<'_>,
    token: &str,
) -> Result<(), FlowError> {
    let now = server.clock.now();
    let state = tenant.state();
    let client = holder(server, tenant, &state, credentials, now).await;
    let recorder = Recorder::new(server, tenant, EventKind::Revocation);
    let (client, registered) = recorder.stranger(claimed(&state, credentials.assertion), client).await?;
    if !registered && client.mark.is_some() {
        // Revocation isn't limited, but clients with keys are made at will, and each proof is written down.
        server.limits.strangers.take(&tenant.name, "hand back")?;
    }
    if token.strip_prefix(REFRESH_PREFIX).is_some_and(|rest| rest.starts_with('_')) {
        return hand_back_grant(server, tenant, &client, token).await;
    }
    let mut verified = own_token::verify(server, tenant, &state, token, now).await?;
    if verified.is_none() {
        // Another node may have signed it with a key that this one hasn't read yet.
        server.refresh().await?;
        verified = own_token::verify(server, tenant, &tenant.state(), token, now).await?;
    }
    if verified.is_none() && (client.mark.is_none() || !registered) {
        return Ok(());
    }
    let mut tx = server.db.control().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    let foreign = verified.as_ref().is_some_and(|token| token.claims.client_id != client.id);
    if let Some(refusal) = unfit(&mut tx, tenant, &client, foreign).await? {
        // What was spent stays spent: the row and the mark are kept, then the request is refused.
        let event = Event::new(EventKind::Revocation, false).refused(refusal.rule());
        write(&mut tx, &mut head, (&client.id, event), now).await?;
        tx.commit().await?;
        return Err(refusal.into());
    }
    let Some(verified) = verified else {
        // Dead already, or not ours: nothing to do, and nothing to tell.
        let mut event = Event::new(EventKind::Revocation, true);
        event.detail = Some(json!({ "reason": "handed back", "cutoffs": [] }));
        write(&mut tx, &mut head, (&client.id, event), now).await?;
        return Ok(tx.commit().await?);
    };
    let scopes = own_scopes(&mut tx, tenant, &verified.claims, now).await?;
    cut(&mut tx, &mut head, &scopes, ("handed back", &client.id), now).await?;
    tx.commit().await?;
    server.refresh().await
}

/// Who hands something back, and whether an administrator has registered it: a public client by its name alone, since the token is
/// proof enough (RFC 7009 §2.1).
async fn holder(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    credentials: Credentials<'_>,
    now: Timestamp,
) -> Result<(Authenticated, bool), FlowError> {
    let describes_itself = of_a_stranger(&credentials).is_some();
    if !describes_itself && (credentials.assertion.is_some() || credentials.client_id.is_none()) {
        return Ok((authenticate(server, tenant, state, credentials, now).await?, true));
    }
    let (client, mark) = authenticate_client(server, tenant, state, credentials, now).await?;
    let registered = client.is_registered();
    Ok((Authenticated { id: client.id, mark }, registered))
}

/// A refresh token stands for the whole grant: it is over, with everything that came of it.
async fn hand_back_grant(
    server: &Server,
    tenant: &Tenant,
    client: &Authenticated,
    token: &str,
) -> Result<(), FlowError> {
    let now = server.clock.now();
    let mut tx = server.db.control().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    let hash = Digest::of(token.as_bytes());
    let found = grants::find_refresh_token(&mut tx, &tenant.name, &hash).await?;
    let grant = match found {
        Some(found) => grants::find(&mut tx, &tenant.name, &found.task).await?,
        None => None,
    };
    let foreign = grant.as_ref().is_some_and(|grant| grant.client_id != client.id);
    if let Some(refusal) = unfit(&mut tx, tenant, client, foreign).await? {
        let event = Event::new(EventKind::Revocation, false).refused(refusal.rule());
        write(&mut tx, &mut head, (&client.id, event), now).await?;
        tx.commit().await?;
        return Err(refusal.into());
    }
    // What is over was cut when it ended.
    if let Some(grant) = grant
        && tasks::end(&mut tx, &tenant.name, &grant.task, now).await?
    {
        let scopes = [(ScopeKind::Task, grant.task)];
        cut(&mut tx, &mut head, &scopes, ("handed back", &client.id), now).await?;
    }
    tx.commit().await?;
    server.refresh().await
}

/// Spends the client's proof, here and not in the journal, whose queue minting may have filled; and says which rule
/// forbids the client to hand the token back.
async fn unfit(
    tx: &mut Tx,
    tenant: &Tenant,
    client: &Authenticated,
    foreign: bool,
) -> Result<Option<Refusal>, FlowError> {
    if let Some(mark) = &client.mark
        && marks::spend(tx, &tenant.name, &[mark]).await?.is_empty()
    {
        return Ok(Some(mark.refusal.unwrap_or(Refusal::ClientAssertionReplayed)));
    }
    // RFC 7009 §2.1: the server "verifies whether the token was issued to the client making the revocation request. If
    // this validation fails, the request is refused".
    Ok(foreign.then_some(Refusal::TokenNotOfClient))
}

/// When the holder gives back its own task token the task is over, and with it everything below it.
async fn own_scopes(
    tx: &mut Tx,
    tenant: &Tenant,
    claims: &AccessTokenClaims,
    now: Timestamp,
) -> Result<Vec<(ScopeKind, String)>, FlowError> {
    if let Some(task) = &claims.task {
        tasks::end(tx, &tenant.name, task, now).await?;
        return Ok(vec![(ScopeKind::Task, task.clone())]);
    }
    let mut scopes = vec![(ScopeKind::Token, claims.jti.clone())];
    scopes.extend(children(tx, &tenant.name, &claims.jti, now).await?);
    Ok(scopes)
}
