//! Use cases: one file each. A flow owns its transactions; it knows neither HTTP nor SQL.

pub mod account;
pub mod admin;
pub mod audit_trail;
pub mod authorize;
mod client_authentication;
pub mod clients;
pub mod consent;
pub mod enforcement;
pub mod feed;
pub mod fleet;
pub mod hand_back;
pub mod introspection;
mod limits;
mod own_token;
mod refusals;
pub mod registration;
pub mod restore;
pub mod revocation;
mod server;
pub mod sessions;
pub mod sign_in;
pub mod signing_keys;
mod subject_token;
mod svid;
mod tenant;
pub mod token;
mod upstream_token;

pub use client_authentication::{Authenticated, Credentials, authenticate};
pub use limits::{Limiter, Limits};
pub use own_token::{Verified, verify as verify_own_token};
pub use refusals::Recorder;
pub use server::{Server, Settings};
pub use tenant::{DEVELOPMENT, Tenant, TenantState};

use std::sync::Arc;

use crate::domain::refusal::Refusal;
use crate::protocol::claims::Rev;
use crate::storage::StorageError;
use crate::storage::journal::JournalError;

/// Why a flow didn't end well.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FlowError {
    /// The caller broke a rule.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// What an administrator sent doesn't hold together; the text says where and what.
    #[error("{0}")]
    Invalid(String),
    /// The database's log is shorter than what this node has applied of it: this far.
    #[error("the revocation log was set back to before {0}")]
    SetBack(Rev),
    /// It is our fault.
    #[error("{0}")]
    Fault(Arc<StorageError>),
}

impl FlowError {
    fn is_disk_full(&self) -> bool {
        matches!(self, Self::Fault(error) if error.is_disk_full())
    }
}

/// An attempt under way.
type Attempted<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, FlowError>> + Send + 'a>>;

/// Does what must be done also when the disk is full: once more then, in the room that was kept back for it.
async fn in_the_last_room<'a, T>(
    server: &'a Server,
    attempt: impl Fn() -> Attempted<'a, T> + Send + Sync,
) -> Result<T, FlowError> {
    match attempt().await {
        Err(error) if error.is_disk_full() && server.db.room().give_way() => attempt().await,
        done => done,
    }
}

impl From<StorageError> for FlowError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::DiskFull => Self::Refused(Refusal::DiskNearlyFull),
            error => Self::Fault(Arc::new(error)),
        }
    }
}

impl From<JournalError> for FlowError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full | JournalError::Stopped => Self::Refused(Refusal::Overloaded),
            JournalError::NoRoom => Self::Refused(Refusal::DiskNearlyFull),
            JournalError::Storage(error) if error.is_disk_full() => Self::Refused(Refusal::DiskNearlyFull),
            JournalError::Storage(error) => Self::Fault(error),
        }
    }
}
