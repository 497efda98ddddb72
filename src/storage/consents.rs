//! What people have said yes to. An administrator's consents stand in the registry.

use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::time::Timestamp;

/// A person's yes.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenConsent {
    /// `con_…`: an id that the log can cut.
    pub id: String,
    /// Whose.
    pub user: String,
    /// To which client.
    pub client_id: String,
    /// What the client was called when the person said yes.
    pub client_name: String,
    /// Which agent may act; none when empty.
    pub agent: String,
    /// Where.
    pub resource: ResourceUri,
    /// Scopes.
    pub scope: Scope,
    /// Details.
    pub authorization_details: AuthorizationDetails,
    /// Since when.
    pub given_at: Timestamp,
    /// When it was last widened.
    pub changed_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    user_id: String,
    client_id: String,
    client_name: String,
    agent: String,
    resource: String,
    scope: String,
    authorization_details: String,
    given_at: i64,
    changed_at: i64,
    expires_at: i64,
    withdrawn_at: Option<i64>,
}

impl TryFrom<Row> for GivenConsent {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let damaged = |what: &str| StorageError::Damaged(format!("consent {}: {what}", row.id));
        let scope = if row.scope.is_empty() { Ok(Scope::default()) } else { Scope::parse(&row.scope) };
        Ok(Self {
            resource: ResourceUri::parse(&row.resource).map_err(|_| damaged("resource"))?,
            scope: scope.map_err(|_| damaged("scope"))?,
            authorization_details: serde_json::from_str(&row.authorization_details)
                .map_err(|_| damaged("authorization_details"))?,
            id: row.id,
            user: row.user_id,
            client_id: row.client_id,
            client_name: row.client_name,
            agent: row.agent,
            given_at: Timestamp(row.given_at),
            changed_at: Timestamp(row.changed_at),
            expires_at: Timestamp(row.expires_at),
            withdrawn_at: row.withdrawn_at.map(Timestamp),
        })
    }
}

/// Stores a new yes.
pub async fn insert(tx: &mut Tx, tenant: &str, consent: &GivenConsent) -> Result<(), StorageError> {
    execute!(
        tx,
        sql::CONSENT_INSERT,
        tenant,
        &consent.id,
        &consent.user,
        &consent.client_id,
        &consent.client_name,
        &consent.agent,
        consent.resource.as_str(),
        consent.scope.to_string(),
        consent.authorization_details.to_value().to_string(),
        consent.given_at.0,
        consent.expires_at.0,
    )?;
    Ok(())
}

/// Widens a yes that has not been withdrawn; whether it was there.
pub async fn widen(tx: &mut Tx, tenant: &str, consent: &GivenConsent) -> Result<bool, StorageError> {
    let changed = execute!(
        tx,
        sql::CONSENT_WIDEN,
        tenant,
        &consent.id,
        consent.scope.to_string(),
        consent.authorization_details.to_value().to_string(),
        consent.changed_at.0,
        consent.expires_at.0,
    )?;
    Ok(changed == 1)
}

/// The consent of that id, withdrawn or not.
pub async fn find(tx: &mut Tx, tenant: &str, id: &str) -> Result<Option<GivenConsent>, StorageError> {
    fetch!(fetch_optional, tx, Row, sql::CONSENT, tenant, id)?.map(GivenConsent::try_from).transpose()
}

/// What a person's yes covers now, oldest first.
pub async fn of_user(
    tx: &mut Tx,
    tenant: &str,
    user: &str,
    now: Timestamp,
) -> Result<Vec<GivenConsent>, StorageError> {
    let rows = fetch!(fetch_all, tx, Row, sql::CONSENTS_OF_USER, tenant, user, now.0)?;
    rows.into_iter().map(GivenConsent::try_from).collect()
}

/// Forgets those that ended before then.
pub async fn prune(tx: &mut Tx, tenant: &str, before: Timestamp) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::CONSENTS_PRUNE, tenant, before.0)?)
}

/// Withdraws a consent; whether it held.
pub async fn withdraw(tx: &mut Tx, tenant: &str, id: &str, now: Timestamp) -> Result<bool, StorageError> {
    Ok(execute!(tx, sql::CONSENT_WITHDRAW, tenant, id, now.0)? == 1)
}
