//! What an enforcer does in the background, and what it knows.

use crate::protocol::claims::Rev;

/// The background work of following the revocation log; it ends when this is dropped.
#[must_use = "the revocation log is followed only as long as this is held"]
#[derive(Debug)]
pub struct Following(pub(super) Vec<tokio::task::AbortHandle>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

/// What an enforcer knows of the revocation log.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Status {
    /// How far it has come.
    pub rev: Option<Rev>,
    /// How old that knowledge is, in milliseconds.
    pub lease_age_ms: Option<u64>,
    /// How old it may be, in seconds; nothing if revocations aren't followed.
    pub lease_seconds: Option<u64>,
    /// Whether it decides by what it knows.
    pub fresh: bool,
    /// How many cutoffs it holds.
    pub cutoffs: usize,
}
