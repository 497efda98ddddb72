//! A database that was set back to an older copy has forgotten revocations. Its log gets another name then, under which
//! nothing that was minted before is alive: nobody has to remember what was cut, and nobody can bring it back.

use serde_json::json;

use super::{FlowError, Server};
use crate::domain::audit::{Event, EventKind};
use crate::domain::cutoff::generation;
use crate::protocol::claims::Rev;
use crate::storage::{audit, news, tenants};

/// Gives the tenant's log another name, unless it has one since `known` was seen: every token minted before is dead.
pub(super) async fn rename_log(server: &Server, tenant: &str, known: &Rev) -> Result<(), FlowError> {
    let mut tx = server.db.control().await?;
    let mut head = tenants::lock(&mut tx, tenant).await?;
    if head.rev.generation != known.generation || head.rev.seq >= known.seq {
        return Ok(());
    }
    tracing::error!(
        tenant, was = %known, now = %head.rev,
        "the database was set back: revocations may be lost, so every token minted until now is dead"
    );
    let mut event = Event::new(EventKind::Administration, true);
    event.detail =
        Some(json!({ "log_replaced": { "known": known.to_string(), "found": head.rev.to_string() } }));
    head.rev = Rev { generation: generation(&server.entropy), seq: 0 };
    head.registry_version += 1;
    event.rev = Some(head.rev.clone());
    audit::append(&mut tx, &mut head, &[&event], server.clock.now()).await?;
    tenants::save(&mut tx, &head).await?;
    news::announce(&mut tx, tenant).await?;
    Ok(tx.commit().await?)
}
