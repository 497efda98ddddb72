//! Browsers in which somebody is signed in.

use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::secret::Digest;
use crate::time::Timestamp;

/// A person in a browser.
#[derive(Clone, Debug)]
pub struct Session {
    /// `ses_…`: the `sid` of what is granted in it, and an id that the log can cut.
    pub id: String,
    /// The person's id, `usr_…`.
    pub user: String,
    /// The identity provider's id in the registry.
    pub idp: String,
    /// The identity provider.
    pub issuer: String,
    /// The person's `sub` there.
    pub subject: String,
    /// Our own id of the session there, `ups_…`.
    pub upstream_sid: Option<String>,
    /// What the provider calls the person: a label.
    pub name: String,
    /// An e-mail address: a label, never an identity.
    pub email: String,
    /// The person's groups there.
    pub groups: Vec<String>,
    /// When the person signed in.
    pub signed_in_at: Timestamp,
    /// When the browser has to ask again.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    user_id: String,
    idp: String,
    issuer: String,
    subject: String,
    upstream_sid: Option<String>,
    name: String,
    email: String,
    groups: String,
    signed_in_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
}

impl TryFrom<Row> for Session {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        Ok(Self {
            groups: serde_json::from_str(&row.groups)
                .map_err(|error| StorageError::Damaged(format!("session groups: {error}")))?,
            id: row.id,
            user: row.user_id,
            idp: row.idp,
            issuer: row.issuer,
            subject: row.subject,
            upstream_sid: row.upstream_sid,
            name: row.name,
            email: row.email,
            signed_in_at: Timestamp(row.signed_in_at),
            expires_at: Timestamp(row.expires_at),
            ended_at: row.ended_at.map(Timestamp),
        })
    }
}

/// Stores a session under the hash of its cookie, and the person if not seen before.
pub async fn insert(
    tx: &mut Tx,
    tenant: &str,
    secret: &Digest,
    session: &Session,
) -> Result<(), StorageError> {
    execute!(
        tx,
        sql::SESSION_INSERT,
        tenant,
        &session.id,
        secret.hex(),
        &session.user,
        &session.idp,
        &session.issuer,
        &session.subject,
        session.upstream_sid.as_deref(),
        &session.name,
        &session.email,
        serde_json::json!(session.groups).to_string(),
        session.signed_in_at.0,
        session.expires_at.0,
    )?;
    let user = [(&session.user, &session.issuer, &session.subject, session.signed_in_at)];
    let user = serde_json::json!(user).to_string();
    execute!(tx, sql::USERS_INSERT, tenant, user)?;
    Ok(())
}

/// The session of that cookie, whether or not it has ended.
pub async fn find_by_secret(
    tx: &mut Tx,
    tenant: &str,
    secret: &Digest,
) -> Result<Option<Session>, StorageError> {
    let row = fetch!(fetch_optional, tx, Row, sql::SESSION_BY_SECRET, tenant, secret.hex())?;
    row.map(Session::try_from).transpose()
}

/// The session of that id, whether or not it has ended.
pub async fn find(tx: &mut Tx, tenant: &str, id: &str) -> Result<Option<Session>, StorageError> {
    fetch!(fetch_optional, tx, Row, sql::SESSION, tenant, id)?.map(Session::try_from).transpose()
}

/// The sessions that come from a session of this name at an identity provider and have not been ended.
pub async fn of_upstream_sid(
    tx: &mut Tx,
    tenant: &str,
    upstream_sid: &str,
) -> Result<Vec<Session>, StorageError> {
    let rows = fetch!(fetch_all, tx, Row, sql::SESSIONS_OF_UPSTREAM, tenant, upstream_sid)?;
    rows.into_iter().map(Session::try_from).collect()
}

/// A person's sessions that have not been ended.
pub async fn of_user(tx: &mut Tx, tenant: &str, user: &str) -> Result<Vec<Session>, StorageError> {
    let rows = fetch!(fetch_all, tx, Row, sql::SESSIONS_OF_USER, tenant, user)?;
    rows.into_iter().map(Session::try_from).collect()
}

/// Ends every session through an identity provider.
pub async fn end_of_idp(tx: &mut Tx, tenant: &str, idp: &str, now: Timestamp) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::SESSIONS_END_OF_IDP, tenant, idp, now.0)?)
}

/// Ends every session of a person.
pub async fn end_of_user(tx: &mut Tx, tenant: &str, user: &str, now: Timestamp) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::SESSIONS_END_OF_USER, tenant, user, now.0)?)
}

/// Lets a browser's session run out now; whether it was going on. What rests on the session isn't touched.
pub async fn leave(tx: &mut Tx, tenant: &str, id: &str, now: Timestamp) -> Result<bool, StorageError> {
    Ok(execute!(tx, sql::SESSION_LEAVE, tenant, id, now.0)? == 1)
}

/// Ends a session; whether it was going on.
pub async fn end(tx: &mut Tx, tenant: &str, id: &str, now: Timestamp) -> Result<bool, StorageError> {
    Ok(execute!(tx, sql::SESSION_END, tenant, id, now.0)? == 1)
}

/// Forgets sessions that expired before then and that no grant rests on.
pub async fn prune(tx: &mut Tx, tenant: &str, before: Timestamp) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::SESSIONS_PRUNE, tenant, before.0)?)
}
