//! Clients that have registered themselves (RFC 7591).

use serde_json::Value;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::time::Timestamp;

/// Stores a client's metadata under the id that it was given.
pub async fn insert(
    tx: &mut Tx,
    tenant: &str,
    id: &str,
    metadata: &Value,
    now: Timestamp,
) -> Result<(), StorageError> {
    execute!(tx, sql::REGISTERED_CLIENT_INSERT, tenant, id, metadata.to_string(), now.0)?;
    Ok(())
}

/// The metadata of that client.
pub async fn find(tx: &mut Tx, tenant: &str, id: &str) -> Result<Option<Value>, StorageError> {
    let row = fetch!(fetch_optional, tx, (String,), sql::REGISTERED_CLIENT, tenant, id)?;
    let parse = |(body,): (String,)| {
        serde_json::from_str(&body).map_err(|error| StorageError::Damaged(format!("client {id}: {error}")))
    };
    row.map(parse).transpose()
}
