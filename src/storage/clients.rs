//! Clients that have registered themselves (RFC 7591).

use serde_json::{Map, Value};

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::time::Timestamp;

/// Stores a client's metadata under the id that it was given.
pub async fn insert(
    tx: &mut Tx,
    tenant: &str,
    id: &str,
    metadata: &Map<String, Value>,
    now: Timestamp,
) -> Result<(), StorageError> {
    execute!(
        tx,
        sql::REGISTERED_CLIENT_INSERT,
        tenant,
        id,
        Value::Object(metadata.clone()).to_string(),
        now.0
    )?;
    Ok(())
}

/// The metadata of that client, and when it registered.
pub async fn find(
    tx: &mut Tx,
    tenant: &str,
    id: &str,
) -> Result<Option<(Map<String, Value>, Timestamp)>, StorageError> {
    let row = fetch!(fetch_optional, tx, (String, Timestamp), sql::REGISTERED_CLIENT, tenant, id)?;
    let parse = |(body, created_at): (String, Timestamp)| match serde_json::from_str(&body) {
        Ok(metadata) => Ok((metadata, created_at)),
        Err(error) => Err(StorageError::Damaged(format!("client {id}: {error}"))),
    };
    row.map(parse).transpose()
}

/// How many have registered.
pub async fn count(tx: &mut Tx, tenant: &str) -> Result<i64, StorageError> {
    let (count,) = fetch!(fetch_one, tx, (i64,), sql::REGISTERED_CLIENTS, tenant)?;
    Ok(count)
}

/// Forgets those from before then to whom nobody's yes has held since then.
pub async fn prune(tx: &mut Tx, tenant: &str, before: Timestamp) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::REGISTERED_CLIENTS_PRUNE, tenant, before.0)?)
}
