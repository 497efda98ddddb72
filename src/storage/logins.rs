//! Browsers that were sent to an identity provider and have not come back yet.

use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::secret::Digest;
use crate::time::Timestamp;

/// One way out to an identity provider.
#[derive(Clone, Debug)]
pub struct NewLogin<'a> {
    /// The hash of `state`.
    pub state: Digest,
    /// The identity provider's id in the registry.
    pub idp: &'a str,
    /// The handle of the authorization request that waits for it, as text.
    pub request: Option<&'a str>,
    /// The hash of the browser's cookie.
    pub browser: &'a str,
    /// What the ID token must repeat.
    pub nonce: &'a str,
    /// The PKCE verifier for the provider's token endpoint; useless to anybody without the provider's code.
    pub verifier: &'a str,
    /// Until when it may come back.
    pub expires_at: Timestamp,
}

/// What was kept while the browser was away.
#[derive(Clone, Debug, FromRow)]
pub struct Login {
    /// The identity provider's id.
    pub idp: String,
    /// The handle of the authorization request that waits for it.
    pub request: Option<String>,
    /// What the ID token must repeat.
    pub nonce: String,
    /// The PKCE verifier.
    pub verifier: String,
}

/// Remembers a browser that is sent away.
pub async fn insert(tx: &mut Tx, tenant: &str, login: &NewLogin<'_>) -> Result<(), StorageError> {
    execute!(
        tx,
        sql::LOGIN_INSERT,
        tenant,
        login.state.hex(),
        login.idp,
        login.request,
        login.browser,
        login.nonce,
        login.verifier,
        login.expires_at.0,
    )?;
    Ok(())
}

/// Whether this browser is waited for.
pub async fn waits(
    tx: &mut Tx,
    tenant: &str,
    state: &Digest,
    browser: &str,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let row = fetch!(fetch_optional, tx, (i32,), sql::LOGIN_WAITS, tenant, state.hex(), now.0, browser)?;
    Ok(row.is_some())
}

/// Takes up a browser that comes back: once, in time, and only the one that was sent. One statement.
pub async fn redeem(
    tx: &mut Tx,
    tenant: &str,
    state: &Digest,
    browser: &str,
    now: Timestamp,
) -> Result<Option<Login>, StorageError> {
    Ok(fetch!(fetch_optional, tx, Login, sql::LOGIN_REDEEM, tenant, state.hex(), now.0, browser)?)
}

/// Forgets browsers that never came back.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::LOGINS_PRUNE, before.0)?)
}
