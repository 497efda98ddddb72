//! Revocation: one entry in the log for each thing cut, its registry entry switched off, and the audit row, in one
//! transaction on a connection of its own.

use serde::Serialize;
use serde_json::json;

use super::{FlowError, Server, Tenant, in_the_last_room, signing_keys};
use crate::domain::audit::{Event, EventKind};
use crate::domain::client_metadata;
use crate::domain::cutoff::{Cutoff, ScopeKind, expires_at};
use crate::domain::refusal::Refusal;
use crate::storage::tenants::Head;
use crate::storage::{
    Tx, audit, clients, consents, cutoffs, news, registry, sessions, tasks, tenants, tokens,
};
use crate::time::Timestamp;

/// What was cut.
#[derive(Clone, Debug, Serialize)]
pub struct Revoked {
    /// The log.
    #[serde(rename = "gen")]
    pub generation: String,
    /// The number of the last entry; once an enforcer has applied it, all of it is in force there.
    pub seq: u64,
    /// When it was committed.
    pub at: Timestamp,
    /// Every entry, the one asked for first.
    pub cutoffs: Vec<Cutoff>,
}

/// What is asked to be cut, by whom, and why.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// What kind of thing.
    pub kind: ScopeKind,
    /// Which one.
    pub id: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Who.
    pub actor: &'a str,
}

/// Cuts something by an administrator's order. When this returns it is durable, and this node honours it.
pub async fn revoke(server: &Server, tenant: &Tenant, order: &Order<'_>) -> Result<Revoked, FlowError> {
    in_the_last_room(server, || Box::pin(try_to_revoke(server, tenant, order))).await
}

async fn try_to_revoke(server: &Server, tenant: &Tenant, order: &Order<'_>) -> Result<Revoked, FlowError> {
    check_known(tenant, order)?;
    let now = server.clock.now();
    let successor = match order.kind {
        ScopeKind::Key => signing_keys::successor(tenant, order.id).await?,
        _ => None,
    };
    let mut tx = server.db.control().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    let mut scopes = vec![(order.kind, order.id.to_owned())];
    match order.kind {
        ScopeKind::Client if order.id.starts_with(client_metadata::DYNAMIC_PREFIX) => {
            if clients::find(&mut tx, &tenant.name, order.id).await?.is_none() {
                return Err(Refusal::EntryUnknown.into());
            }
            registry::suspend(&mut tx, &tenant.name, (order.kind, order.id), head.rev.seq + 1, now).await?;
            head.registry_version += 1;
        }
        ScopeKind::Task => {
            tasks::end(&mut tx, &tenant.name, order.id, now).await?;
        }
        ScopeKind::Token => {
            if tokens::find(&mut tx, &tenant.name, order.id).await?.is_none() {
                return Err(Refusal::EntryUnknown.into());
            }
            scopes.extend(children(&mut tx, &tenant.name, order.id, now).await?);
        }
        ScopeKind::Key => {
            if !signing_keys::revoke(server, &mut tx, &tenant.name, (order.id, successor), now).await? {
                return Err(Refusal::EntryUnknown.into());
            }
            head.registry_version += 1;
        }
        ScopeKind::Consent if tenant.state().registry.listed_consent(order.id).is_none() => {
            if !consents::withdraw(&mut tx, &tenant.name, order.id, now).await? {
                return Err(Refusal::EntryUnknown.into());
            }
            tasks::end_of_consent(&mut tx, &tenant.name, order.id, now).await?;
        }
        kind if switches_off(kind) => {
            if kind == ScopeKind::Session {
                sessions::end(&mut tx, &tenant.name, order.id, now).await?;
                scopes.extend(browsers(&mut tx, &tenant.name, order.id, now).await?);
            }
            if kind == ScopeKind::User {
                sessions::end_of_user(&mut tx, &tenant.name, order.id, now).await?;
            }
            registry::suspend(&mut tx, &tenant.name, (kind, order.id), head.rev.seq + 1, now).await?;
            head.registry_version += 1;
        }
        _ => {}
    }
    let revoked = cut(&mut tx, &mut head, &scopes, (order.reason, order.actor), now).await?;
    tx.commit().await?;
    server.refresh().await?;
    Ok(revoked)
}

/// Whether revoking a thing of this kind also keeps new tokens from bringing it back.
fn switches_off(kind: ScopeKind) -> bool {
    match kind {
        ScopeKind::Resource
        | ScopeKind::Tool
        | ScopeKind::Agent
        | ScopeKind::Client
        | ScopeKind::User
        | ScopeKind::Session
        | ScopeKind::Consent => true,
        ScopeKind::Tenant | ScopeKind::Key | ScopeKind::Task | ScopeKind::Token => false,
    }
}

/// A typing error must not look like a revocation that took effect.
fn check_known(tenant: &Tenant, order: &Order<'_>) -> Result<(), Refusal> {
    let state = tenant.state();
    let registry = &state.registry;
    let known = match order.kind {
        ScopeKind::Tenant => order.id == &*tenant.name,
        ScopeKind::Agent => registry.agent(order.id).is_some(),
        // By its own id: a SPIFFE ID also finds a client, and would cut nothing.
        ScopeKind::Client => {
            registry.principal(order.id).is_some_and(|principal| principal.id == order.id)
                || describes_itself(order.id)
        }
        ScopeKind::Resource => registry.resource(order.id).is_some(),
        ScopeKind::Tool => order.id.rsplit_once('#').is_some_and(|(uri, tool)| {
            registry.resource(uri).is_some_and(|resource| resource.tool(tool).is_some())
        }),
        // What a person has given stands in the database, and is looked for there.
        ScopeKind::Consent => registry.listed_consent(order.id).is_some() || is_given(order.id),
        // People and sessions may be cut before they are first seen, and tasks after they were forgotten.
        ScopeKind::User => order.id.starts_with("usr_") && order.id.len() == 26,
        // The identity provider's own `sid` would cut nothing: no token has it.
        ScopeKind::Session => {
            (order.id.starts_with("ses_") || order.id.starts_with("ups_")) && order.id.len() <= 64
        }
        ScopeKind::Key | ScopeKind::Task | ScopeKind::Token => !order.id.is_empty() && order.id.len() <= 512,
    };
    if known { Ok(()) } else { Err(Refusal::EntryUnknown) }
}

/// Whether this is the id of a client that no administrator has registered. The URL of a metadata document may be cut before its
/// client first shows up; an id that the server has given is looked for in the database.
fn describes_itself(client: &str) -> bool {
    client_metadata::is_document_url(client) || client.starts_with(client_metadata::DYNAMIC_PREFIX)
}

/// Whether this is the id of a consent that a person has given.
fn is_given(id: &str) -> bool {
    id.starts_with("con_") && id.len() <= 64
}

/// The sessions of browsers that come from a session at an identity provider, which end with it.
async fn browsers(
    tx: &mut Tx,
    tenant: &str,
    upstream_sid: &str,
    now: Timestamp,
) -> Result<Vec<(ScopeKind, String)>, FlowError> {
    let mut scopes = Vec::new();
    for session in sessions::of_upstream_sid(tx, tenant, upstream_sid).await? {
        sessions::end(tx, tenant, &session.id, now).await?;
        scopes.push((ScopeKind::Session, session.id));
    }
    Ok(scopes)
}

/// The running tasks that were opened with a token, which end with it.
pub(super) async fn children(
    tx: &mut Tx,
    tenant: &str,
    jti: &str,
    now: Timestamp,
) -> Result<Vec<(ScopeKind, String)>, FlowError> {
    let mut scopes = Vec::new();
    for task in tasks::opened_by(tx, tenant, jti).await? {
        tasks::end(tx, tenant, &task, now).await?;
        scopes.push((ScopeKind::Task, task));
    }
    Ok(scopes)
}

/// Ends a task, and cuts everything in it and below it, because something that led to it was used twice.
pub(super) async fn end_task(
    server: &Server,
    tenant: &Tenant,
    task: &str,
    reason: &str,
) -> Result<(), FlowError> {
    let now = server.clock.now();
    let mut tx = server.db.control().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    // What is over was cut when it ended: a thief's second try makes no second entry.
    if !tasks::end(&mut tx, &tenant.name, task, now).await? {
        return Ok(());
    }
    cut(&mut tx, &mut head, &[(ScopeKind::Task, task.to_owned())], (reason, "taskpass"), now).await?;
    tx.commit().await?;
    server.refresh().await
}

/// Appends one entry for each scope and one audit row; the caller holds the lock and commits.
pub(super) async fn cut(
    tx: &mut Tx,
    head: &mut Head,
    scopes: &[(ScopeKind, String)],
    (reason, actor): (&str, &str),
    now: Timestamp,
) -> Result<Revoked, FlowError> {
    let mut entries = Vec::with_capacity(scopes.len());
    for (kind, id) in scopes {
        head.rev.seq += 1;
        let cutoff = Cutoff {
            seq: head.rev.seq,
            at: now,
            scope_kind: *kind,
            scope_id: id.clone(),
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            expires_at: expires_at(now),
        };
        cutoffs::append(tx, &head.tenant, &head.rev.generation, &cutoff).await?;
        entries.push(cutoff);
    }
    let mut event = Event::new(EventKind::Revocation, true);
    let cut: Vec<_> = entries.iter().map(|cutoff| json!({ "seq": cutoff.seq, "scope_kind": cutoff.scope_kind, "scope_id": cutoff.scope_id })).collect();
    event.detail = Some(json!({ "reason": reason, "cutoffs": cut }));
    write(tx, head, (actor, event), now).await?;
    news::announce(tx, &head.tenant).await?;
    Ok(Revoked { generation: head.rev.generation.clone(), seq: head.rev.seq, at: now, cutoffs: entries })
}

/// Lifts what a revocation switched off. Tokens that were cut stay dead; new ones can be minted again.
pub async fn reinstate(server: &Server, tenant: &Tenant, order: &Order<'_>) -> Result<(), FlowError> {
    let now = server.clock.now();
    let mut tx = server.db.control().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    if !registry::reinstate(&mut tx, &tenant.name, (order.kind, order.id)).await? {
        return Err(Refusal::EntryUnknown.into());
    }
    head.registry_version += 1;
    let mut event = Event::new(EventKind::Administration, true);
    event.client_id = Some(order.actor.to_owned());
    event.detail = Some(
        json!({ "reinstated": { "scope_kind": order.kind, "scope_id": order.id }, "reason": order.reason }),
    );
    audit::append(&mut tx, &mut head, &[&event], now).await?;
    tenants::save(&mut tx, &head).await?;
    news::announce(&mut tx, &tenant.name).await?;
    tx.commit().await?;
    server.refresh().await
}

/// The log's entries after `seq`.
pub async fn log(server: &Server, tenant: &Tenant, seq: u64) -> Result<(String, Vec<Cutoff>), FlowError> {
    let mut tx = server.db.read().await?;
    let rev = tenant.view.rev();
    let after = crate::protocol::claims::Rev { seq, ..rev.clone() };
    Ok((rev.generation, cutoffs::after(&mut tx, &tenant.name, &after, 1000).await?))
}

/// One row about it; the caller holds the lock and commits.
pub(super) async fn write(
    tx: &mut Tx,
    head: &mut Head,
    (client, mut event): (&str, Event),
    now: Timestamp,
) -> Result<(), FlowError> {
    event.client_id = Some(client.to_owned());
    event.rev = Some(head.rev.clone());
    audit::append(tx, head, &[&event], now).await?;
    Ok(tenants::save(tx, head).await?)
}
