//! A database that was set back to an older copy has forgotten revocations. Its log gets another name then, under which
//! nothing that was minted before is alive: nobody has to remember what was cut, and nobody can bring it back.
//!
//! It is noticed by a node that had come further, by an enforcer that holds our own signed word for more, and at the start
//! by the high-water mark: a small file outside of the database that says how far each log had come. If all of them were
//! set back together, only the operator knows; `taskpass restored` is how he says so.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::{FlowError, Server, in_the_last_room};
use crate::domain::audit::{Event, EventKind};
use crate::domain::cutoff::generation;
use crate::entropy::Entropy;
use crate::protocol::claims::Rev;
use crate::storage::leases::{self, Report};
use crate::storage::tenants::Head;
use crate::storage::{StorageError, Tx, audit, news, tenants};
use crate::time::Timestamp;

/// How far each tenant's log had come.
pub type HighWater = BTreeMap<String, Rev>;

/// Gives the log another name: every token minted before is dead. The caller holds the lock and commits.
pub async fn rename(
    tx: &mut Tx,
    head: &mut Head,
    entropy: &Entropy,
    (known, now): (&str, Timestamp),
) -> Result<(), StorageError> {
    let mut event = Event::new(EventKind::Administration, true);
    event.detail = Some(json!({ "log_replaced": { "known": known, "found": head.rev.to_string() } }));
    tenants::remember_generation(tx, &head.tenant, &head.rev.generation, now).await?;
    head.rev = Rev { generation: generation(entropy), seq: 0 };
    head.registry_version += 1;
    event.rev = Some(head.rev.clone());
    audit::append(tx, head, &[&event], now).await?;
    // What nodes reported is as old as the copy, and tells nothing of leases that were granted since. A node that nobody
    // hears of stands for all of them: until their time is over, nothing is called effective.
    let forgotten = Rev { generation: String::new(), seq: 0 };
    let node = format!("before-{}", head.rev.generation);
    let report = Report { tenant: &head.tenant, node: &node, beat: 0, rev: &forgotten, leases: &[] };
    leases::report(tx, &report, now).await?;
    tenants::save(tx, head).await?;
    news::announce(tx, &head.tenant).await
}

/// Gives the tenant's log another name if it doesn't come up to what is `known` of it.
pub(super) async fn rename_if_set_back(server: &Server, tenant: &str, known: &Rev) -> Result<(), FlowError> {
    in_the_last_room(server, || Box::pin(try_to_rename(server, tenant, known))).await
}

async fn try_to_rename(server: &Server, tenant: &str, known: &Rev) -> Result<(), FlowError> {
    let mut tx = server.db.control().await?;
    let mut head = tenants::lock(&mut tx, tenant).await?;
    let set_back = if head.rev.generation == known.generation {
        head.rev.seq < known.seq
    } else {
        // A name that the log had before is history. One that this database has never heard of is its future.
        !tenants::former_generations(&mut tx, tenant).await?.contains(&known.generation)
    };
    if !set_back {
        return Ok(());
    }
    tracing::error!(
        tenant, known = %known, found = %head.rev,
        "the database was set back: revocations may be lost, so every token minted until now is dead"
    );
    metrics::counter!("taskpass_revocation_logs_replaced_total").increment(1);
    rename(&mut tx, &mut head, &server.entropy, (&known.to_string(), server.clock.now())).await?;
    Ok(tx.commit().await?)
}

/// Compares each log with the high-water mark in `folder`; to be called before anything is decided.
pub async fn check_high_water(server: &Server, folder: &Path) -> Result<(), FlowError> {
    let Some(marks) = read(folder)? else { return Ok(()) };
    for (tenant, known) in &marks {
        if server.tenant(tenant).is_some() {
            rename_if_set_back(server, tenant, known).await?;
        }
    }
    server.refresh().await
}

/// How far this node's logs have come.
pub fn high_water(server: &Server) -> HighWater {
    server.tenants().iter().map(|tenant| (tenant.name.to_string(), tenant.view.rev())).collect()
}

/// Writes the high-water mark; a crash leaves the old one or the new one.
pub fn write(folder: &Path, marks: &HighWater) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(marks)?;
    let (path, new) = (folder.join(FILE), folder.join("high-water.new"));
    let file = std::fs::File::create(&new)?;
    std::io::Write::write_all(&mut &file, text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, path)
}

const FILE: &str = "high-water.json";

fn read(folder: &Path) -> Result<Option<HighWater>, FlowError> {
    let path = folder.join(FILE);
    let wrong = |error: &dyn std::fmt::Display| {
        FlowError::Invalid(format!(
            "{}: {error}; it says how far the revocation logs had come. If it is lost, run `taskpass restored` and remove it",
            path.display()
        ))
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| wrong(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(&error)),
    }
}
