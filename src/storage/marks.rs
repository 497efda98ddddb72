//! Marks of what may be used once. The unique key decides who was first, across nodes and restarts.

use std::collections::HashSet;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::domain::refusal::Refusal;
use crate::secret::Digest;
use crate::time::Timestamp;

/// Something that may be used once.
#[derive(Clone, Debug)]
pub struct Mark {
    /// What kind of thing, so that no kind can be spent as another.
    pub kind: &'static str,
    /// Its digest.
    pub digest: Digest,
    /// When nothing valid can carry it any more.
    pub expires_at: Timestamp,
    /// The rule that a second use breaks; none where a repetition is no offence and only changes nothing.
    pub refusal: Option<Refusal>,
}

/// Spends marks in one statement; the digests, as hex, of those that had not been spent before.
pub async fn spend(tx: &mut Tx, tenant: &str, marks: &[&Mark]) -> Result<HashSet<String>, StorageError> {
    let rows: Vec<_> = marks.iter().map(|mark| (mark.kind, mark.digest.hex(), mark.expires_at)).collect();
    let rows = serde_json::to_string(&rows).map_err(|error| StorageError::Damaged(error.to_string()))?;
    let fresh = fetch!(fetch_all, tx, (String,), sql::MARKS_INSERT, tenant, rows)?;
    Ok(fresh.into_iter().map(|(mark,)| mark).collect())
}

/// Forgets single-use marks that nothing valid can carry any more.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::MARKS_PRUNE, before.0)?)
}
