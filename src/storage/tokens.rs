//! Records of minted tokens; never the tokens themselves.

use serde::Serialize;
use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::time::Timestamp;

/// What is recorded of a token.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct TokenRecord {
    /// Its id.
    pub jti: String,
    /// Its task.
    pub task: Option<String>,
    /// Whom it was issued to.
    pub client_id: String,
    /// For whom.
    pub sub: String,
    /// When it expires.
    pub exp: Timestamp,
    /// The claims of an opaque token, as JSON.
    #[serde(skip)]
    pub claims: Option<String>,
}

/// A token to be recorded, in the order of the insert's columns: jti, hash of an opaque token, task, client_id, sub,
/// resource, iat, exp, claims of an opaque token.
#[derive(Clone, Debug, Serialize)]
pub struct NewToken(
    pub String,
    pub Option<String>,
    pub Option<String>,
    pub String,
    pub String,
    pub String,
    pub Timestamp,
    pub Timestamp,
    pub Option<String>,
);

/// The record of that id.
pub async fn find(tx: &mut Tx, tenant: &str, jti: &str) -> Result<Option<TokenRecord>, StorageError> {
    Ok(fetch!(fetch_optional, tx, TokenRecord, sql::TOKEN, tenant, jti)?)
}

/// The record of an opaque token.
pub async fn find_by_hash(
    tx: &mut Tx,
    tenant: &str,
    hash: &str,
) -> Result<Option<TokenRecord>, StorageError> {
    Ok(fetch!(fetch_optional, tx, TokenRecord, sql::TOKEN_BY_HASH, tenant, hash)?)
}

/// The unexpired tokens that were issued to a client, newest first.
pub async fn of_client(
    tx: &mut Tx,
    tenant: &str,
    client_id: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<TokenRecord>, StorageError> {
    Ok(fetch!(fetch_all, tx, TokenRecord, sql::TOKENS_OF_CLIENT, tenant, client_id, now.0, limit)?)
}

/// The people of one identity provider for whom tokens are alive.
pub async fn users_of_issuer(
    tx: &mut Tx,
    tenant: &str,
    issuer: &str,
    now: Timestamp,
) -> Result<Vec<String>, StorageError> {
    let rows = fetch!(fetch_all, tx, (String,), sql::USERS_OF_ISSUER, tenant, issuer, now.0)?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Forgets records whose ids (which sort by time) are below `before`; the audit trail keeps the decision.
pub async fn prune(tx: &mut Tx, tenant: &str, before: &str) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::TOKENS_PRUNE, tenant, before)?)
}
