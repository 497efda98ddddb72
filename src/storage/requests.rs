//! What clients have asked people for: pushed, or waiting for an answer in a browser.

use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::domain::authorization::AuthorizationRequest;
use crate::secret::Digest;
use crate::time::Timestamp;

/// A stored request.
#[derive(Clone, Debug)]
pub struct StoredRequest {
    /// What is asked.
    pub request: AuthorizationRequest,
    /// The hash of the cookie of the browser that it waits in; a pushed one waits in none.
    pub browser: Option<String>,
    /// Until when it waits.
    pub expires_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    body: String,
    browser: Option<String>,
    expires_at: i64,
}

/// Stores a request under the hash of its handle.
pub async fn insert(
    tx: &mut Tx,
    tenant: &str,
    handle: &Digest,
    stored: &StoredRequest,
    now: Timestamp,
) -> Result<(), StorageError> {
    let body = body(&stored.request)?;
    execute!(
        tx,
        sql::REQUEST_INSERT,
        tenant,
        handle.hex(),
        &stored.request.client_id,
        body,
        stored.browser.as_deref(),
        now.0,
        stored.expires_at.0,
    )?;
    Ok(())
}

fn body(request: &AuthorizationRequest) -> Result<String, StorageError> {
    serde_json::to_string(request).map_err(|error| StorageError::Damaged(error.to_string()))
}

/// Remembers in which session the person has signed in for this request, if it still waits.
pub async fn sign_in(tx: &mut Tx, tenant: &str, handle: &Digest, session: &str) -> Result<(), StorageError> {
    if let Some(StoredRequest { mut request, .. }) = find(tx, tenant, handle).await? {
        request.signed_in_by = Some(session.to_owned());
        execute!(tx, sql::REQUEST_UPDATE, tenant, handle.hex(), body(&request)?)?;
    }
    Ok(())
}

/// The request of that handle, whether or not it has expired.
pub async fn find(tx: &mut Tx, tenant: &str, handle: &Digest) -> Result<Option<StoredRequest>, StorageError> {
    let row = fetch!(fetch_optional, tx, Row, sql::REQUEST, tenant, handle.hex())?;
    row.map(|row| {
        let request = serde_json::from_str(&row.body)
            .map_err(|error| StorageError::Damaged(format!("authorization request: {error}")))?;
        Ok(StoredRequest { request, browser: row.browser, expires_at: Timestamp(row.expires_at) })
    })
    .transpose()
}

/// Takes a request away, because it has been answered; whether it was there. Of two answers one wins.
pub async fn delete(tx: &mut Tx, tenant: &str, handle: &Digest) -> Result<bool, StorageError> {
    Ok(execute!(tx, sql::REQUEST_DELETE, tenant, handle.hex())? == 1)
}

/// The same by the stored id.
pub async fn delete_by_id(tx: &mut Tx, tenant: &str, id: &str) -> Result<bool, StorageError> {
    Ok(execute!(tx, sql::REQUEST_DELETE, tenant, id)? == 1)
}

/// Forgets requests that nobody answered.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::REQUESTS_PRUNE, before.0)?)
}
