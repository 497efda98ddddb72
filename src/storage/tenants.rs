//! A tenant's head: one row, whose lock orders everything that is written about the tenant.

use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::domain::audit::ChainHead;
use crate::protocol::claims::Rev;
use crate::secret::Digest;
use crate::time::Timestamp;

/// How far a tenant's log, registry and audit chain have come.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The tenant.
    pub tenant: String,
    /// The revocation log.
    pub rev: Rev,
    /// The registry's version.
    pub registry_version: i64,
    /// The audit chain.
    pub chain: ChainHead,
}

#[derive(FromRow)]
struct Row {
    tenant: String,
    generation: String,
    head_seq: i64,
    registry_version: i64,
    audit_seq: i64,
    audit_hash: String,
}

impl TryFrom<Row> for Head {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let hash =
            Digest::from_hex(&row.audit_hash).ok_or_else(|| StorageError::Damaged("audit_hash".into()))?;
        Ok(Self {
            tenant: row.tenant,
            rev: Rev { generation: row.generation, seq: row.head_seq.unsigned_abs() },
            registry_version: row.registry_version,
            chain: ChainHead { seq: row.audit_seq.unsigned_abs(), hash },
        })
    }
}

/// Creates the tenant if it is new.
pub async fn create(
    tx: &mut Tx,
    tenant: &str,
    generation: &str,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let start = ChainHead::start().hash.hex();
    Ok(execute!(tx, sql::TENANT_CREATE, tenant, generation, start, now.0)? == 1)
}

/// Every tenant's head.
pub async fn heads(tx: &mut Tx) -> Result<Vec<Head>, StorageError> {
    fetch!(fetch_all, tx, Row, sql::TENANTS)?.into_iter().map(Head::try_from).collect()
}

/// The tenant's head, locked until the transaction ends: whoever holds it is alone with the tenant.
pub async fn lock(tx: &mut Tx, tenant: &str) -> Result<Head, StorageError> {
    fetch!(fetch_one, tx, Row, sql::TENANT_LOCK, tenant)?.try_into()
}

/// Writes the head back.
pub async fn save(tx: &mut Tx, head: &Head) -> Result<(), StorageError> {
    execute!(
        tx,
        sql::TENANT_SAVE,
        &head.tenant,
        &head.rev.generation,
        head.rev.seq.cast_signed(),
        head.registry_version,
        head.chain.seq.cast_signed(),
        head.chain.hash.hex(),
    )?;
    Ok(())
}

/// Remembers a name that the tenant's log had until now.
pub async fn remember_generation(
    tx: &mut Tx,
    tenant: &str,
    generation: &str,
    now: Timestamp,
) -> Result<(), StorageError> {
    execute!(tx, sql::GENERATION_PUT, tenant, generation, now.0)?;
    Ok(())
}

/// The names that the tenant's log had before.
pub async fn former_generations(tx: &mut Tx, tenant: &str) -> Result<Vec<String>, StorageError> {
    let rows = fetch!(fetch_all, tx, (String,), sql::GENERATIONS, tenant)?;
    Ok(rows.into_iter().map(|(generation,)| generation).collect())
}
