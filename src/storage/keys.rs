//! Signing keys, wrapped at rest.

use serde::Serialize;
use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::time::Timestamp;

/// A signing key as it is stored.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct KeyRecord {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub alg: String,
    /// `prepared`, `active`, `retiring` or `revoked`.
    pub state: String,
    /// The public JWK.
    pub public_jwk: String,
    /// The private JWK, wrapped.
    #[serde(skip)]
    pub wrapped: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub activates_at: Timestamp,
    /// When it is no longer published.
    pub retires_at: Option<Timestamp>,
}

/// A tenant's keys, oldest first.
pub async fn all(tx: &mut Tx, tenant: &str) -> Result<Vec<KeyRecord>, StorageError> {
    Ok(fetch!(fetch_all, tx, KeyRecord, sql::KEYS, tenant)?)
}

/// Stores a new key.
pub async fn insert(tx: &mut Tx, tenant: &str, key: &KeyRecord) -> Result<(), StorageError> {
    execute!(
        tx,
        sql::KEY_INSERT,
        tenant,
        &key.kid,
        &key.alg,
        &key.state,
        &key.public_jwk,
        &key.wrapped,
        key.created_at.0,
        key.activates_at.0,
    )?;
    Ok(())
}

/// Moves a key on to another state; what wraps it binds the state, so it is wrapped anew.
pub async fn set_state(tx: &mut Tx, tenant: &str, key: &KeyRecord) -> Result<(), StorageError> {
    let retires_at = key.retires_at.map(|at| at.0);
    execute!(tx, sql::KEY_STATE, tenant, &key.kid, &key.state, retires_at, &key.wrapped)?;
    Ok(())
}
