//! The one-time token by which the first administrator comes in.

use super::macros::execute;
use super::{StorageError, Tx, sql};
use crate::secret::Digest;
use crate::time::Timestamp;

/// Stores the hash of a new token.
pub async fn insert(
    tx: &mut Tx,
    tenant: &str,
    hash: &Digest,
    expires_at: Timestamp,
) -> Result<(), StorageError> {
    execute!(tx, sql::BOOTSTRAP_INSERT, tenant, hash.hex(), expires_at.0)?;
    Ok(())
}

/// Redeems a token; whether it was there, unused and in time. One statement: of many racers one wins.
pub async fn redeem(tx: &mut Tx, tenant: &str, hash: &Digest, now: Timestamp) -> Result<bool, StorageError> {
    Ok(execute!(tx, sql::BOOTSTRAP_REDEEM, tenant, hash.hex(), now.0)? == 1)
}
