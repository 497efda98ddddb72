//! What administrators do beside revoking: the first one comes in, the registry is applied and read.

use std::collections::HashSet;

use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};

use super::tenant::DEVELOPMENT;
use super::{FlowError, Server, Tenant, sessions};
use crate::domain::audit::{Event, EventKind};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{
    Action, Administrator, Change, Client, Identity, IdentityProvider, Kind, Registry, RegistryError, Status,
    TenantSection, changes,
};
use crate::policy::Policy;
use crate::secret::{Digest, Secret};
use crate::storage::{Tx, audit, bootstrap, registry, tenants};
use crate::time::Timestamp;

/// What applying a registry did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// Whether anything was written.
    pub applied: bool,
    /// Every entry of the document.
    pub changes: Vec<Change>,
    /// What the administrator should know.
    pub notes: Vec<String>,
}

impl From<RegistryError> for FlowError {
    fn from(error: RegistryError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// How long a bootstrap token is good for, in seconds.
const BOOTSTRAP_LIFETIME: i64 = 3600;

/// Applies one tenant's section: entries it names are created or replaced, others stay. All or nothing.
pub async fn apply(
    server: &Server,
    tenant: &Tenant,
    section: &TenantSection,
    (dry_run, actor): (bool, &str),
) -> Result<Applied, FlowError> {
    if section.tenant != *tenant.name {
        return Err(FlowError::Invalid(format!(
            "the section is about tenant {:?}, this is {:?}",
            section.tenant, tenant.name
        )));
    }
    let now = server.clock.now();
    let wanted = section.entries()?;
    let mut tx = server.db.write_in_any_room().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    let stored = registry::entries(&mut tx, &tenant.name).await?;
    let changes = changes(&stored, &wanted);
    check_whole(server, &tenant.name, &stored, &wanted)?;
    let notes = suspended_notes(&mut tx, &tenant.name, &wanted).await?;
    let differing: Vec<_> = changes.iter().filter(|change| change.action != Action::Unchanged).collect();
    if dry_run || differing.is_empty() {
        return Ok(Applied { applied: false, changes, notes });
    }
    for (kind, id, body) in wanted
        .iter()
        .filter(|(kind, id, _)| differing.iter().any(|change| change.kind == *kind && change.id == *id))
    {
        registry::put(&mut tx, &tenant.name, (*kind, id), body, now).await?;
    }
    for idp in dismissed(&stored, &wanted)? {
        sessions::end_provider(&mut tx, &mut head, &idp, actor, now).await?;
    }
    head.registry_version += 1;
    let summary: Vec<_> = differing.iter().map(|change| json!(change)).collect();
    record(&mut tx, &mut head, actor, json!({ "registry": summary }), now).await?;
    tx.commit().await?;
    server.refresh().await?;
    super::signing_keys::keep(server, &tenant.name).await?;
    Ok(Applied { applied: true, changes, notes })
}

/// The identity providers that were trusted until now: each as it was. One with another issuer is another one, and one that
/// people no longer sign in with has nobody who is signed in.
fn dismissed(
    stored: &[(String, String, Value)],
    wanted: &[(Kind, String, Value)],
) -> Result<Vec<IdentityProvider>, FlowError> {
    let damaged = |error: serde_json::Error| FlowError::Invalid(format!("identity_provider: {error}"));
    let read = |body: &Value| IdentityProvider::deserialize(body).map_err(damaged);
    let mut dismissed = Vec::new();
    for (_, id, body) in wanted.iter().filter(|(kind, ..)| *kind == Kind::IdentityProvider) {
        let own = |(kind, name, _): &&(String, String, Value)| {
            kind == Kind::IdentityProvider.as_str() && name == id
        };
        let Some((_, _, before)) = stored.iter().find(own) else { continue };
        let (before, after) = (read(before)?, read(body)?);
        let closed = before.sign_in.is_some() && after.sign_in.is_none();
        let still = after.status == Status::Active && after.issuer == before.issuer && !closed;
        if before.status == Status::Active && !still {
            dismissed.push(before);
        }
    }
    Ok(dismissed)
}

/// Checks the registry as it would be afterwards, stored entries included.
fn check_whole(
    server: &Server,
    tenant: &str,
    stored: &[(String, String, Value)],
    wanted: &[(Kind, String, Value)],
) -> Result<(), FlowError> {
    let replaced =
        |kind: &str, id: &str| wanted.iter().any(|(other, name, _)| other.as_str() == kind && name == id);
    let kept = stored.iter().filter(|(kind, id, _)| !replaced(kind, id)).cloned();
    let new = wanted.iter().map(|(kind, id, body)| (kind.as_str().to_owned(), id.clone(), body.clone()));
    let whole = TenantSection::from_entries(tenant, kept.chain(new))?;
    Policy::compile(whole.policies.as_deref())?;
    let issuer = server.issuer(tenant);
    let own = |uri: &str| ["/admin", "/oauth"].iter().any(|path| uri.starts_with(&format!("{issuer}{path}")));
    if let Some(resource) = whole.resources.iter().find(|resource| own(resource.resource.as_str())) {
        return Err(FlowError::Invalid(format!(
            "resource {}: this server's own endpoints are not for registering",
            resource.resource
        )));
    }
    // Nobody else may speak for the people of the development sign-in.
    if let Some(idp) =
        whole.identity_providers.iter().find(|idp| idp.issuer == format!("{issuer}/{DEVELOPMENT}"))
    {
        return Err(FlowError::Invalid(format!(
            "identity_provider {}: this issuer is this server's own",
            idp.id
        )));
    }
    let registry = Registry::compile(0, whole, HashSet::new())?;
    match registry.test_key_holder().filter(|_| server.is_production()) {
        Some(holder) => Err(FlowError::Invalid(format!(
            "{holder} has one of the test keys in keys/, which everybody has"
        ))),
        None => Ok(()),
    }
}

async fn suspended_notes(
    tx: &mut Tx,
    tenant: &str,
    wanted: &[(Kind, String, Value)],
) -> Result<Vec<String>, FlowError> {
    let suspended = registry::suspensions(tx, tenant).await?;
    let named =
        |kind: &str, id: &str| wanted.iter().any(|(other, name, _)| other.as_str() == kind && name == id);
    let notes = suspended.iter().filter(|(kind, id, _)| named(kind.as_str(), id)).map(|(kind, id, _)| {
        format!(
            "{} {id} stays switched off by a revocation; `taskpass reinstate --{} {id}` lifts it",
            kind.as_str(),
            kind.as_str()
        )
    });
    Ok(notes.collect())
}

/// Makes a bootstrap token for a tenant that has no administrator yet; `None` if it has one.
pub async fn offer_bootstrap(server: &Server, tenant: &Tenant) -> Result<Option<Secret>, FlowError> {
    let has_one =
        tenant.state().registry.section.clients.iter().any(|client| !client.administrator.is_empty());
    if has_one {
        return Ok(None);
    }
    let token = server.entropy.secret("tpb");
    let mut tx = server.db.write_in_any_room().await?;
    bootstrap::insert(&mut tx, &tenant.name, &token.hash(), server.clock.now().plus(BOOTSTRAP_LIFETIME))
        .await?;
    tx.commit().await?;
    Ok(Some(token))
}

/// Lets the first administrator in: the token is spent and the client registered in one transaction.
pub async fn redeem_bootstrap(
    server: &Server,
    tenant: &Tenant,
    (token, client, jwks): (&str, &str, Value),
) -> Result<(), FlowError> {
    let now = server.clock.now();
    let entry = Client {
        client: client.to_owned(),
        name: "Administrator".into(),
        owner: String::new(),
        status: Status::Active,
        identities: vec![Identity::Jwks { jwks }],
        redirect_uris: Vec::new(),
        resources: Vec::new(),
        administrator: Administrator::ALL.to_vec(),
    };
    let section =
        TenantSection { tenant: tenant.name.to_string(), clients: vec![entry], ..TenantSection::default() };
    let wanted = section.entries()?;
    let mut tx = server.db.write_in_any_room().await?;
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    // The token lets the first administrator in, and nobody after: tokens of other starts and nodes die with it.
    let stored = registry::entries(&mut tx, &tenant.name).await?;
    let first = TenantSection::from_entries(&tenant.name, stored.iter().cloned())?;
    if first.clients.iter().any(|client| !client.administrator.is_empty()) {
        return Err(Refusal::BootstrapTokenWrong.into());
    }
    if !bootstrap::redeem(&mut tx, &tenant.name, &Digest::of(token.as_bytes()), now).await? {
        return Err(Refusal::BootstrapTokenWrong.into());
    }
    // The token makes a new administrator; it must not take over a name that is already somebody's.
    if stored
        .iter()
        .any(|(kind, id, _)| matches!(kind.as_str(), "agent" | "client" | "enforcer") && id == client)
    {
        return Err(FlowError::Invalid(format!("client {client}: this id is taken; choose another")));
    }
    check_whole(server, &tenant.name, &stored, &wanted)?;
    for (kind, id, body) in &wanted {
        registry::put(&mut tx, &tenant.name, (*kind, id), body, now).await?;
    }
    head.registry_version += 1;
    record(&mut tx, &mut head, client, json!({ "bootstrap": "the first administrator came in" }), now)
        .await?;
    tx.commit().await?;
    server.refresh().await
}

async fn record(
    tx: &mut Tx,
    head: &mut tenants::Head,
    actor: &str,
    detail: Value,
    now: Timestamp,
) -> Result<(), FlowError> {
    let mut event = Event::new(EventKind::Administration, true);
    event.client_id = Some(actor.to_owned());
    event.detail = Some(detail);
    audit::append(tx, head, &[&event], now).await?;
    Ok(tenants::save(tx, head).await?)
}
