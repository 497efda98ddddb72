//! The registry's entries, and what revocation has switched off.

use serde_json::Value;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::domain::cutoff::ScopeKind;
use crate::domain::registry::Kind;
use crate::time::Timestamp;

/// The stored entries of a tenant: kind, id, body.
pub async fn entries(tx: &mut Tx, tenant: &str) -> Result<Vec<(String, String, Value)>, StorageError> {
    let rows = fetch!(fetch_all, tx, (String, String, String), sql::REGISTRY_ENTRIES, tenant)?;
    let parse = |(kind, id, body): (String, String, String)| match serde_json::from_str(&body) {
        Ok(body) => Ok((kind, id, body)),
        Err(error) => Err(StorageError::Damaged(format!("{kind} {id}: {error}"))),
    };
    rows.into_iter().map(parse).collect()
}

/// Stores an entry in place of the one that was there.
pub async fn put(
    tx: &mut Tx,
    tenant: &str,
    (kind, id): (Kind, &str),
    body: &Value,
    now: Timestamp,
) -> Result<(), StorageError> {
    execute!(tx, sql::REGISTRY_PUT, tenant, kind.as_str(), id, body.to_string(), now.0)?;
    Ok(())
}

/// What revocation has switched off, and when.
pub async fn suspensions(
    tx: &mut Tx,
    tenant: &str,
) -> Result<Vec<(ScopeKind, String, Timestamp)>, StorageError> {
    let rows = fetch!(fetch_all, tx, (String, String, i64), sql::SUSPENSIONS, tenant)?;
    let known = |(kind, id, at): (String, String, i64)| match ScopeKind::parse(&kind) {
        Some(kind) => Ok((kind, id, Timestamp(at))),
        None => Err(StorageError::Damaged(format!("suspension of {kind}"))),
    };
    rows.into_iter().map(known).collect()
}

/// Switches something off.
pub async fn suspend(
    tx: &mut Tx,
    tenant: &str,
    (kind, id): (ScopeKind, &str),
    seq: u64,
    now: Timestamp,
) -> Result<(), StorageError> {
    execute!(tx, sql::SUSPEND, tenant, kind.as_str(), id, seq.cast_signed(), now.0)?;
    Ok(())
}

/// Switches it on again; whether it was off.
pub async fn reinstate(
    tx: &mut Tx,
    tenant: &str,
    (kind, id): (ScopeKind, &str),
) -> Result<bool, StorageError> {
    Ok(execute!(tx, sql::REINSTATE, tenant, kind.as_str(), id)? == 1)
}

/// Forgets sessions that were switched off before then. Nodes that have them in memory keep them until they read the registry
/// again.
pub async fn prune_sessions(tx: &mut Tx, tenant: &str, before: Timestamp) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::SUSPENSIONS_PRUNE, tenant, before.0)?)
}
