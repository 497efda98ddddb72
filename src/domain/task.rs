//! Tasks: one unit of work, its deadline, and its place in the tree (design: a delegation opens a child).

use super::refusal::Refusal;
use crate::time::Timestamp;

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// The tasks above it, root first.
    pub ancestors: Vec<String>,
    /// No token of it lives past this.
    pub deadline: Timestamp,
    /// When it was ended, if it was.
    pub ended_at: Option<Timestamp>,
}

/// What a mint does to the tree.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskPlan {
    /// A new root task.
    Root,
    /// A task below that one: the actor changed.
    Child(Task),
    /// The same task: its own actor asks again.
    Renewal(Task),
}

/// What an operator allows.
#[derive(Clone, Copy, Debug)]
pub struct TaskLimits {
    /// Life of a task whose agent doesn't ask for one, in seconds.
    pub default_lifetime: i64,
    /// The longest life that may be asked for, in seconds.
    pub longest_lifetime: i64,
    /// How many agents a chain may have.
    pub depth: usize,
}

impl Default for TaskLimits {
    fn default() -> Self {
        Self { default_lifetime: 3600, longest_lifetime: 28_800, depth: 4 }
    }
}

/// The deadline of the task that the plan leads to.
pub fn deadline(
    plan: &TaskPlan,
    asked: Option<i64>,
    limits: TaskLimits,
    now: Timestamp,
) -> Result<Timestamp, Refusal> {
    // Never narrowed in silence: a life that is not allowed is refused, not cut.
    if asked.is_some_and(|seconds| !(1..=limits.longest_lifetime).contains(&seconds)) {
        return Err(Refusal::TaskLifetimeNotAllowed);
    }
    match plan {
        TaskPlan::Root => Ok(now.plus(asked.unwrap_or(limits.default_lifetime))),
        TaskPlan::Child(parent) => {
            check_running(parent, now)?;
            // What a person has granted to a client may run for weeks; no agent's task does.
            let own = now.plus(asked.unwrap_or(limits.longest_lifetime));
            Ok(parent.deadline.min(own))
        }
        TaskPlan::Renewal(task) => {
            check_running(task, now)?;
            Ok(task.deadline)
        }
    }
}

fn check_running(task: &Task, now: Timestamp) -> Result<(), Refusal> {
    if task.ended_at.is_some() {
        return Err(Refusal::TaskEnded);
    }
    if now >= task.deadline {
        return Err(Refusal::TaskDeadlinePassed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_and_a_renewal_end_with_their_parent() {
        let now = Timestamp(1000);
        let task = Task { id: "t".into(), ancestors: vec![], deadline: Timestamp(1100), ended_at: None };
        let limits = TaskLimits::default();
        assert_eq!(deadline(&TaskPlan::Child(task.clone()), Some(3600), limits, now), Ok(Timestamp(1100)));
        assert_eq!(deadline(&TaskPlan::Child(task.clone()), Some(10), limits, now), Ok(Timestamp(1010)));
        assert_eq!(deadline(&TaskPlan::Renewal(task.clone()), None, limits, now), Ok(Timestamp(1100)));
        let late = deadline(&TaskPlan::Renewal(task), None, limits, Timestamp(1100));
        assert_eq!(late, Err(Refusal::TaskDeadlinePassed));
        assert_eq!(
            deadline(&TaskPlan::Root, Some(28_801), limits, now),
            Err(Refusal::TaskLifetimeNotAllowed)
        );
        assert_eq!(deadline(&TaskPlan::Root, Some(0), limits, now), Err(Refusal::TaskLifetimeNotAllowed));
    }
}
