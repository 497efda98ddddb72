//! Codes, what they have bought, and the refresh tokens that keep it going. Whatever may be used once is used by one
//! statement; the journal runs it in the transaction that writes the token.

use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::marks::{self, Mark};
use super::{StorageError, Tx, sql};
use crate::domain::authorization::{Grant, REPLAY_WINDOW};
use crate::domain::refusal::Refusal;
use crate::secret::Digest;
use crate::time::Timestamp;

/// What a token request redeems.
#[derive(Clone, Debug)]
pub enum Redemption {
    /// A code, for a grant, and for a first refresh token if the client gets one.
    Code {
        /// The code's hash.
        code: Digest,
        /// What it buys.
        grant: Box<Grant>,
        /// The hash and the expiry of the refresh token that goes out with the access token.
        refresh_token: Option<(Digest, Timestamp)>,
    },
    /// A refresh token.
    Refresh {
        /// Its hash.
        refresh_token: Digest,
        /// The grant's task.
        task: String,
        /// The hash and the expiry of the one token that may follow it; none where refresh tokens aren't rotated.
        successor: Option<(Digest, Timestamp)>,
    },
    /// An identity assertion grant.
    IdJag(Mark),
}

impl Redemption {
    /// Redeems it, or says which rule forbids that.
    pub(super) async fn redeem(
        &self,
        tx: &mut Tx,
        tenant: &str,
        now: Timestamp,
    ) -> Result<Option<Refusal>, StorageError> {
        match self {
            Self::IdJag(mark) => {
                let fresh = marks::spend(tx, tenant, &[mark]).await?;
                Ok(if fresh.is_empty() { mark.refusal } else { None })
            }
            Self::Code { code, grant, refresh_token } => {
                // RFC 6749 §4.1.2: "The client MUST NOT use the authorization code more than once."
                if execute!(tx, sql::CODE_REDEEM, tenant, code.hex(), now.0)? == 0 {
                    return Ok(Some(Refusal::AuthorizationCodeAlreadyRedeemed));
                }
                insert_grant(tx, tenant, grant, now).await?;
                if let Some((hash, expires_at)) = refresh_token {
                    execute!(tx, sql::REFRESH_INSERT, tenant, hash.hex(), &grant.task, now.0, expires_at.0)?;
                }
                Ok(None)
            }
            Self::Refresh { refresh_token, task, successor: Some((next, expires_at)) } => {
                let (used, next) = (refresh_token.hex(), next.hex());
                let since = now.plus(-REPLAY_WINDOW).0;
                if execute!(tx, sql::REFRESH_ROTATE, tenant, used, now.0, &next, since)? == 0 {
                    return Ok(Some(Refusal::RefreshTokenReplayed));
                }
                execute!(tx, sql::REFRESH_INSERT, tenant, next, task, now.0, expires_at.0)?;
                Ok(None)
            }
            Self::Refresh { refresh_token, successor: None, .. } => {
                let used = execute!(tx, sql::REFRESH_USE, tenant, refresh_token.hex(), now.0)?;
                Ok((used == 0).then_some(Refusal::RefreshTokenUnknown))
            }
        }
    }
}

async fn insert_grant(tx: &mut Tx, tenant: &str, grant: &Grant, now: Timestamp) -> Result<(), StorageError> {
    let body = serde_json::to_string(grant).map_err(|error| StorageError::Damaged(error.to_string()))?;
    execute!(
        tx,
        sql::GRANT_INSERT,
        tenant,
        &grant.task,
        &grant.client_id,
        &grant.sub,
        &grant.sid,
        &grant.consent,
        body,
        now.0,
        grant.expires_at.0,
    )?;
    Ok(())
}

/// A code as it is stored.
#[derive(Clone, Debug)]
pub struct Code {
    /// What it buys.
    pub grant: Grant,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was redeemed.
    pub redeemed_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct CodeRow {
    body: String,
    expires_at: i64,
    redeemed_at: Option<i64>,
}

/// Stores a code under its hash.
pub async fn insert_code(
    tx: &mut Tx,
    tenant: &str,
    code: &Digest,
    grant: &Grant,
    expires_at: Timestamp,
) -> Result<(), StorageError> {
    let body = serde_json::to_string(grant).map_err(|error| StorageError::Damaged(error.to_string()))?;
    execute!(tx, sql::CODE_INSERT, tenant, code.hex(), body, expires_at.0)?;
    Ok(())
}

/// The code, redeemed or not.
pub async fn find_code(tx: &mut Tx, tenant: &str, code: &Digest) -> Result<Option<Code>, StorageError> {
    let row = fetch!(fetch_optional, tx, CodeRow, sql::CODE, tenant, code.hex())?;
    row.map(|row| {
        Ok(Code {
            grant: parse(&row.body)?,
            expires_at: Timestamp(row.expires_at),
            redeemed_at: row.redeemed_at.map(Timestamp),
        })
    })
    .transpose()
}

/// A refresh token as it is stored.
#[derive(Clone, Debug, FromRow)]
pub struct RefreshToken {
    /// The grant's task.
    pub task: String,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was first used.
    pub used_at: Option<Timestamp>,
}

/// The refresh token, used or not.
pub async fn find_refresh_token(
    tx: &mut Tx,
    tenant: &str,
    hash: &Digest,
) -> Result<Option<RefreshToken>, StorageError> {
    Ok(fetch!(fetch_optional, tx, RefreshToken, sql::REFRESH, tenant, hash.hex())?)
}

/// The grant of that task.
pub async fn find(tx: &mut Tx, tenant: &str, task: &str) -> Result<Option<Grant>, StorageError> {
    let row = fetch!(fetch_optional, tx, (String,), sql::GRANT, tenant, task)?;
    row.map(|(body,)| parse(&body)).transpose()
}

fn parse(body: &str) -> Result<Grant, StorageError> {
    serde_json::from_str(body).map_err(|error| StorageError::Damaged(format!("grant: {error}")))
}

/// Forgets codes, refresh tokens and grants that expired before then.
pub async fn prune(tx: &mut Tx, tenant: &str, before: Timestamp) -> Result<(), StorageError> {
    execute!(tx, sql::CODES_PRUNE, before.0)?;
    execute!(tx, sql::REFRESH_PRUNE, before.0)?;
    execute!(tx, sql::GRANTS_PRUNE, tenant, before.0)?;
    Ok(())
}
