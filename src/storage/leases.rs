//! What the nodes tell each other about the leases of their enforcers.

use serde::Serialize;
use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::protocol::claims::Rev;
use crate::time::Timestamp;

/// How far one node has come, and that it lives.
#[derive(Clone, Debug, FromRow)]
pub struct NodeRow {
    /// The node; a restarted one is another.
    pub node: String,
    /// Rises with each of its reports.
    pub beat: i64,
    /// The log it follows.
    pub generation: String,
    /// How far it had come when it looked at its leases.
    pub seq: i64,
}

/// One instance of an enforcer, as one node knows it.
#[derive(Clone, Debug, FromRow, Serialize)]
pub struct LeaseRow {
    /// The enforcer as it is registered.
    pub enforcer: String,
    /// The process.
    pub instance: String,
    /// The node that granted the lease.
    pub node: String,
    /// What it says its version is.
    pub version: String,
    /// The log.
    pub generation: String,
    /// The last entry that it says it has applied.
    pub applied_seq: i64,
    /// The oldest head under which it may still be deciding; nothing when no lease of this node runs.
    pub pending_head: Option<i64>,
    /// How long it relies on an answer, in seconds.
    pub lease_seconds: i64,
    /// When it was last renewed, by the node's wall clock: for people.
    pub renewed_at: i64,
}

/// A node's report on one tenant.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The node.
    pub node: &'a str,
    /// Rises with each report.
    pub beat: u64,
    /// How far the node's view had come **before** it looked at its leases.
    pub rev: &'a Rev,
    /// The leases that have changed.
    pub leases: &'a [LeaseRow],
}

/// Writes a node's report.
pub async fn report(tx: &mut Tx, report: &Report<'_>, now: Timestamp) -> Result<(), StorageError> {
    if !report.leases.is_empty() {
        let rows = serde_json::to_string(report.leases);
        let rows = rows.map_err(|error| StorageError::Damaged(error.to_string()))?;
        execute!(tx, sql::LEASES_PUT, report.tenant, rows)?;
    }
    let (beat, seq) = (report.beat.cast_signed(), report.rev.seq.cast_signed());
    execute!(tx, sql::NODE_PUT, report.tenant, report.node, beat, &report.rev.generation, seq, now.0)?;
    Ok(())
}

/// Every node that has reported on the tenant.
pub async fn nodes(tx: &mut Tx, tenant: &str) -> Result<Vec<NodeRow>, StorageError> {
    Ok(fetch!(fetch_all, tx, NodeRow, sql::NODES, tenant)?)
}

/// Every lease that any node but `node` has reported on the tenant.
pub async fn of_others(tx: &mut Tx, tenant: &str, node: &str) -> Result<Vec<LeaseRow>, StorageError> {
    Ok(fetch!(fetch_all, tx, LeaseRow, sql::LEASES, tenant, node)?)
}

/// Forgets nodes and leases that haven't been heard of since `before`.
pub async fn prune(tx: &mut Tx, tenant: &str, before: Timestamp) -> Result<(), StorageError> {
    execute!(tx, sql::NODES_PRUNE, tenant, before.0)?;
    execute!(tx, sql::LEASES_PRUNE, tenant, before.0)?;
    Ok(())
}
