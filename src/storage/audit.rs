//! The audit chain and its checkpoints.

use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::tenants::Head;
use super::{StorageError, Tx, sql};
use crate::domain::audit::{Event, Row};
use crate::secret::Digest;
use crate::time::Timestamp;

#[derive(FromRow)]
struct Stored {
    seq: i64,
    at: i64,
    body: String,
    hash: String,
}

/// A signed statement of how far the chain had come.
#[derive(Clone, Debug, FromRow)]
pub struct Checkpoint {
    /// The last row it covers.
    pub seq: i64,
    /// When it was signed.
    pub at: Timestamp,
    /// The statement, a compact JWS.
    pub statement: String,
}

/// Chains events to a tenant's head and stores them; the caller holds the tenant's lock and saves the head.
pub async fn append(
    tx: &mut Tx,
    head: &mut Head,
    events: &[&Event],
    now: Timestamp,
) -> Result<(), StorageError> {
    let mut rows = Vec::with_capacity(events.len());
    for event in events {
        let body = serde_json::to_string(event).map_err(|error| StorageError::Damaged(error.to_string()))?;
        let row = head.chain.append(&head.tenant, body, now);
        rows.push((row.seq, row.at, row.body, row.hash.hex()));
    }
    insert(tx, &head.tenant, &rows).await
}

async fn insert(
    tx: &mut Tx,
    tenant: &str,
    rows: &[(u64, Timestamp, String, String)],
) -> Result<(), StorageError> {
    let rows = serde_json::to_string(rows).map_err(|error| StorageError::Damaged(error.to_string()))?;
    execute!(tx, sql::AUDIT_INSERT, tenant, rows)?;
    Ok(())
}

/// The rows after `seq`, oldest first.
pub async fn after(tx: &mut Tx, tenant: &str, seq: u64, limit: i64) -> Result<Vec<Row>, StorageError> {
    let rows = fetch!(fetch_all, tx, Stored, sql::AUDIT_AFTER, tenant, seq.cast_signed(), limit)?;
    let row = |row: Stored| Row {
        seq: row.seq.unsigned_abs(),
        at: Timestamp(row.at),
        body: row.body,
        // A damaged hash must be found by verification, not hide the row from it.
        hash: Digest::from_hex(&row.hash).unwrap_or(Digest([0; 32])),
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Stores a checkpoint.
pub async fn add_checkpoint(tx: &mut Tx, tenant: &str, checkpoint: &Checkpoint) -> Result<(), StorageError> {
    execute!(tx, sql::CHECKPOINT_INSERT, tenant, checkpoint.seq, checkpoint.at.0, &checkpoint.statement)?;
    Ok(())
}

/// The last row that a checkpoint covers; 0 before the first.
pub async fn last_checkpoint(tx: &mut Tx, tenant: &str) -> Result<u64, StorageError> {
    let (seq,) = fetch!(fetch_one, tx, (i64,), sql::CHECKPOINT_LAST, tenant)?;
    Ok(seq.unsigned_abs())
}

/// The checkpoints, oldest first.
pub async fn checkpoints(tx: &mut Tx, tenant: &str) -> Result<Vec<Checkpoint>, StorageError> {
    Ok(fetch!(fetch_all, tx, Checkpoint, sql::CHECKPOINTS, tenant)?)
}
