//! A client registers itself (RFC 7591), where the registry allows it. MCP has deprecated that: a metadata document needs no room in
//! the database, and names a host.

use serde_json::{Map, Value, json};

use super::{FlowError, Server, Tenant};
use crate::domain::audit::{Event, EventKind};
use crate::domain::client_metadata::{ClientMetadata, UnfitMetadata};
use crate::domain::refusal::Refusal;
use crate::protocol::strict_json;
use crate::storage::{audit, clients, tenants};

/// Clients that a tenant has room for. Those to whom nobody's yes holds make room after a day.
pub const MOST: i64 = 10_000;

/// Registers a client. What comes back is its id and its metadata as they were taken (RFC 7591 §3.2.1).
pub async fn register(
    server: &Server,
    tenant: &Tenant,
    body: &[u8],
) -> Result<Map<String, Value>, FlowError> {
    if !tenant.state().registry.registration().dynamic {
        return Err(Refusal::RegistrationClosed.into());
    }
    server.limits.registrations.take(&tenant.name, "strangers")?;
    let request = strict_json::object(body, 8).map_err(|_| Refusal::ClientMetadataUnfit)?;
    let metadata = ClientMetadata::from_registration(&request)?.to_json();
    let now = server.clock.now();
    let id = server.entropy.ordered_id("dyn", now);
    let mut tx = server.db.write().await?;
    // Under the tenant's lock nobody else counts or inserts.
    let mut head = tenants::lock(&mut tx, &tenant.name).await?;
    if clients::count(&mut tx, &tenant.name).await? >= MOST {
        return Err(Refusal::RegistrationFull.into());
    }
    clients::insert(&mut tx, &tenant.name, &id, &metadata, now).await?;
    let mut event = Event::new(EventKind::Administration, true);
    event.client_id = Some(id.clone());
    event.rev = Some(head.rev.clone());
    event.detail = Some(json!({ "registered": shown(&metadata) }));
    audit::append(&mut tx, &mut head, &[&event], now).await?;
    tenants::save(&mut tx, &head).await?;
    tx.commit().await?;
    let mut answer = Map::new();
    answer.insert("client_id".into(), json!(id));
    answer.insert("client_id_issued_at".into(), json!(now));
    answer.extend(metadata);
    Ok(answer)
}

/// What the audit trail keeps of it. Keys would only fill it.
fn shown(metadata: &Map<String, Value>) -> Map<String, Value> {
    metadata
        .iter()
        .filter(|(name, _)| *name != "jwks")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl From<UnfitMetadata> for FlowError {
    fn from(unfit: UnfitMetadata) -> Self {
        let about_redirects = unfit.is_about_redirects();
        Self::Refused(if about_redirects { Refusal::RedirectUriUnfit } else { Refusal::ClientMetadataUnfit })
    }
}
