//! Tasks.

use serde::Serialize;
use sqlx::FromRow;

use super::macros::{execute, fetch};
use super::{StorageError, Tx, sql};
use crate::domain::task::Task;
use crate::time::Timestamp;

/// A task with everything that is recorded of it.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct TaskRecord {
    /// Its id.
    pub id: String,
    /// The tasks above it, root first, as a JSON list.
    pub ancestors: String,
    /// The agent that works on it.
    pub agent: String,
    /// For whom.
    pub sub: String,
    /// What the agent said it is for.
    pub purpose: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends at the latest.
    pub deadline: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

impl TaskRecord {
    /// The part that the rules need.
    pub fn to_task(&self) -> Result<Task, StorageError> {
        let ancestors = serde_json::from_str(&self.ancestors)
            .map_err(|_| StorageError::Damaged("task ancestors".into()))?;
        Ok(Task { id: self.id.clone(), ancestors, deadline: self.deadline, ended_at: self.ended_at })
    }
}

/// A task to be opened with a token, in the order of the insert's columns: id, ancestors (JSON), agent, sub, purpose,
/// the token that it was opened with, when, deadline.
#[derive(Clone, Debug, Serialize)]
pub struct NewTask(
    pub String,
    pub String,
    pub String,
    pub String,
    pub String,
    pub Option<String>,
    pub Timestamp,
    pub Timestamp,
);

/// The task of that id.
pub async fn find(tx: &mut Tx, tenant: &str, id: &str) -> Result<Option<TaskRecord>, StorageError> {
    Ok(fetch!(fetch_optional, tx, TaskRecord, sql::TASK, tenant, id)?)
}

/// The running tasks that were opened with this token.
pub async fn opened_by(tx: &mut Tx, tenant: &str, jti: &str) -> Result<Vec<String>, StorageError> {
    let rows = fetch!(fetch_all, tx, (String,), sql::TASKS_OPENED_BY, tenant, jti)?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// The running tasks in which somebody acts for this person, oldest first.
pub async fn of_sub(
    tx: &mut Tx,
    tenant: &str,
    sub: &str,
    now: Timestamp,
) -> Result<Vec<TaskRecord>, StorageError> {
    Ok(fetch!(fetch_all, tx, TaskRecord, sql::TASKS_OF_SUB, tenant, sub, now.0)?)
}

/// Ends the tasks that a person has granted under a consent.
pub async fn end_of_consent(
    tx: &mut Tx,
    tenant: &str,
    consent: &str,
    now: Timestamp,
) -> Result<u64, StorageError> {
    Ok(execute!(tx, sql::TASKS_END_OF_CONSENT, tenant, consent, now.0)?)
}

/// Ends a task; whether it was running.
pub async fn end(tx: &mut Tx, tenant: &str, id: &str, now: Timestamp) -> Result<bool, StorageError> {
    Ok(execute!(tx, sql::TASK_END, tenant, id, now.0)? == 1)
}
