//! Browsers in which somebody is signed in: from when to when, and what ends them.
//!
//! Three things end a session, and they are not the same. It **runs out**, or the person signs out: the browser has to ask again,
//! and what was granted goes on, since that is withdrawn on the account page. It is **taken back**: the identity provider logs
//! the person out, or the provider or the person is disabled; whatever was granted in it ends too.

use serde_json::json;

use super::tenant::DEVELOPMENT;
use super::{FlowError, Server, Tenant, TenantState, revocation};
use crate::domain::audit::{Event, EventKind};
use crate::domain::authorization::SESSION_LIFETIME;
use crate::domain::cutoff::ScopeKind;
use crate::domain::refusal::Refusal;
use crate::domain::registry::IdentityProvider;
use crate::domain::user::user_id;
use crate::secret::{Digest, Secret};
use crate::storage::sessions::Session;
use crate::storage::tenants::Head;
use crate::storage::{Tx, audit, requests, sessions, tenants, tokens};
use crate::time::Timestamp;

/// Somebody who has proved at a provider who they are.
pub(super) struct Arrival {
    pub(super) idp: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) upstream_sid: Option<String>,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) groups: Vec<String>,
}

/// Somebody has signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// What the browser proves it by from now on.
    pub cookie: Secret,
    /// Who, and how.
    pub session: Session,
    /// The handle of the authorization request that has waited for it.
    pub request: Option<String>,
}

/// How often it is looked again when the registry moves underneath.
const ATTEMPTS: usize = 4;

/// Opens a session, for the request of this handle where one waits: the row, the person's row and the audit row, in one transaction.
pub(super) async fn enter(
    server: &Server,
    tenant: &Tenant,
    arrival: Arrival,
    request: Option<String>,
) -> Result<SignedIn, FlowError> {
    let now = server.clock.now();
    let cookie = server.entropy.secret("tps");
    let session = Session {
        id: server.entropy.ordered_id("ses", now),
        user: user_id(&tenant.name, &arrival.issuer, &arrival.subject),
        idp: arrival.idp,
        issuer: arrival.issuer,
        subject: arrival.subject,
        upstream_sid: arrival.upstream_sid,
        name: arrival.name,
        email: arrival.email,
        groups: arrival.groups,
        signed_in_at: now,
        expires_at: now.plus(SESSION_LIFETIME),
        ended_at: None,
    };
    for _ in 0..ATTEMPTS {
        tenant.check_fresh(server)?;
        let state = tenant.state();
        check(server, tenant, &state, &session)?;
        let mut tx = server.db.write().await?;
        let mut head = tenants::lock(&mut tx, &tenant.name).await?;
        // Under the lock nothing is disabled and nobody is logged out: what was checked is still so.
        if head.registry_version != state.registry.version {
            drop(tx);
            server.refresh().await?;
            continue;
        }
        sessions::insert(&mut tx, &tenant.name, &cookie.hash(), &session).await?;
        let detail = json!({ "identity_provider": session.idp, "session": session.id });
        record(&mut tx, &mut head, &session, detail, now).await?;
        if let Some(handle) = &request {
            requests::sign_in(&mut tx, &tenant.name, &Digest::of(handle.as_bytes()), &session.id).await?;
        }
        tx.commit().await?;
        return Ok(SignedIn { cookie, session, request });
    }
    Err(Refusal::Overloaded.into())
}

/// Whether whoever came through this session is still let in: its provider, the person, and the session itself.
fn check(server: &Server, tenant: &Tenant, state: &TenantState, session: &Session) -> Result<(), Refusal> {
    let own_issuer = if session.idp == DEVELOPMENT {
        session.issuer == format!("{}/{DEVELOPMENT}", tenant.issuer)
    } else {
        let idp = state.registry.identity_provider_by_id(&session.idp);
        idp.is_some_and(|(idp, _)| idp.issuer == session.issuer)
    };
    if !own_issuer || !state.trusts(&session.idp, server.settings.development) {
        return Err(Refusal::IdentityProviderDisabled);
    }
    if state.registry.is_disabled(&session.user) {
        return Err(Refusal::UserDisabled);
    }
    let ended = |sid: &str| state.registry.is_session_ended(sid);
    if ended(&session.id) || session.upstream_sid.as_deref().is_some_and(ended) {
        return Err(Refusal::SessionMissing);
    }
    Ok(())
}

async fn record(
    tx: &mut Tx,
    head: &mut Head,
    session: &Session,
    detail: serde_json::Value,
    now: Timestamp,
) -> Result<(), FlowError> {
    let mut event = Event::new(EventKind::SignIn, true);
    event.sub = Some(session.user.clone());
    event.detail = Some(detail);
    event.rev = Some(head.rev.clone());
    audit::append(tx, head, &[&event], now).await?;
    Ok(tenants::save(tx, head).await?)
}

/// The session that a browser's cookie proves, as long as it goes on: it has neither run out nor been taken back, and the person
/// and the identity provider are still let in.
pub async fn find(server: &Server, tenant: &Tenant, cookie: &str) -> Result<Option<Session>, FlowError> {
    tenant.check_fresh(server)?;
    let now = server.clock.now();
    let mut tx = server.db.read().await?;
    let found = sessions::find_by_secret(&mut tx, &tenant.name, &Digest::of(cookie.as_bytes())).await?;
    let state = tenant.state();
    let goes_on = |session: &Session| {
        now < session.expires_at
            && session.ended_at.is_none()
            && check(server, tenant, &state, session).is_ok()
    };
    Ok(found.filter(goes_on))
}

/// Signs a browser out. What was granted in the session goes on: a person who closes a browser takes nothing back, and who wants
/// to take something back sees on the account page what there is.
pub async fn sign_out(server: &Server, tenant: &Tenant, session: &Session) -> Result<(), FlowError> {
    let now = server.clock.now();
    let mut tx = server.db.write().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    if sessions::leave(&mut tx, &tenant.name, &session.id, now).await? {
        record(&mut tx, &mut head, session, json!({ "signed_out": session.id }), now).await?;
    }
    Ok(tx.commit().await?)
}

/// Takes back everything that came through an identity provider which is trusted no longer. The caller holds the lock, changes
/// the registry in the same transaction, and commits.
pub(super) async fn end_provider(
    tx: &mut Tx,
    head: &mut Head,
    idp: &IdentityProvider,
    actor: &str,
    now: Timestamp,
) -> Result<(), FlowError> {
    /// Enforcers take a token this much longer than it says, in seconds.
    const LATE: i64 = 10;
    let tenant = head.tenant.clone();
    sessions::end_of_idp(tx, &tenant, &idp.id, now).await?;
    let people = tokens::users_of_issuer(tx, &tenant, &idp.issuer, now.plus(-LATE)).await?;
    if !people.is_empty() {
        let scopes: Vec<_> = people.into_iter().map(|user| (ScopeKind::User, user)).collect();
        revocation::cut(tx, head, &scopes, ("identity provider disabled", actor), now).await?;
    }
    Ok(())
}
