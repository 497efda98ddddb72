//! The revocation log.

use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::domain::cutoff::{Cutoff, ScopeKind};
use crate::protocol::claims::Rev;
use crate::time::Timestamp;

#[derive(FromRow)]
struct Row {
    seq: i64,
    at: i64,
    scope_kind: String,
    scope_id: String,
    reason: String,
    actor: String,
    expires_at: i64,
}

impl TryFrom<Row> for Cutoff {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let kind = ScopeKind::parse(&row.scope_kind);
        Ok(Self {
            seq: row.seq.unsigned_abs(),
            at: Timestamp(row.at),
            scope_kind: kind.ok_or_else(|| StorageError::Damaged(format!("cutoff of {}", row.scope_kind)))?,
            scope_id: row.scope_id,
            reason: row.reason,
            actor: row.actor,
            expires_at: Timestamp(row.expires_at),
        })
    }
}

/// Appends an entry; the caller holds the tenant's lock and has raised the head to its `seq`.
pub async fn append(
    tx: &mut Tx,
    tenant: &str,
    generation: &str,
    cutoff: &Cutoff,
) -> Result<(), StorageError> {
    execute!(
        tx,
        sql::CUTOFF_INSERT,
        tenant,
        generation,
        cutoff.seq.cast_signed(),
        cutoff.at.0,
        cutoff.scope_kind.as_str(),
        &cutoff.scope_id,
        &cutoff.reason,
        &cutoff.actor,
        cutoff.expires_at.0,
    )?;
    Ok(())
}

/// The entries after `rev`, oldest first, at most `limit`.
pub async fn after(tx: &mut Tx, tenant: &str, rev: &Rev, limit: i64) -> Result<Vec<Cutoff>, StorageError> {
    let rows = fetch!(
        fetch_all,
        tx,
        Row,
        sql::CUTOFFS_AFTER,
        tenant,
        &rev.generation,
        rev.seq.cast_signed(),
        limit
    )?;
    rows.into_iter().map(Cutoff::try_from).collect()
}

/// The entries that can still hit a token at `now`, oldest first.
pub async fn live(
    tx: &mut Tx,
    tenant: &str,
    generation: &str,
    now: Timestamp,
) -> Result<Vec<Cutoff>, StorageError> {
    let rows = fetch!(fetch_all, tx, Row, sql::CUTOFFS_LIVE, tenant, generation, now.0)?;
    rows.into_iter().map(Cutoff::try_from).collect()
}
