//! "What I have given": a person's consents and running tasks.

use askama::Template;

use super::consent::{Permissions, Target};
use super::frame::{Frame, Person, name_or_id};
use crate::domain::registry::Impact;
use crate::time::Timestamp;
use crate::ui::moment::Readable as _;

/// The page on which a person sees what they have given, and takes it back.
#[derive(Clone, Debug, Template)]
#[template(path = "account.html")]
pub struct Account {
    /// What surrounds it.
    pub frame: Frame,
    /// Whose page it is.
    pub person: Person,
    /// Their live consents.
    pub consents: Vec<GivenConsent>,
    /// Their running tasks; those above no other one, with the rest below them.
    pub tasks: Vec<RunningTask>,
    /// When this was read.
    pub now: Timestamp,
}

/// Who holds a consent or runs a task.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    /// Its id.
    pub id: String,
    /// Its name; the id is shown if this is empty.
    pub name: String,
    /// What it is.
    pub kind: HolderKind,
}

/// An agent, or software that the person uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HolderKind {
    /// Software that the person uses directly.
    #[default]
    Client,
    /// A workload that acts for them.
    Agent,
}

/// A live consent.
#[derive(Clone, Debug, Default)]
pub struct GivenConsent {
    /// Its id: the value of `consent`.
    pub id: String,
    /// Who may act.
    pub holder: Holder,
    /// The agent that may act too with what a client gets, if one was named.
    pub agent: Option<Holder>,
    /// Where.
    pub resource: Target,
    /// With what.
    pub permissions: Permissions,
    /// Who gave it.
    pub given_by: GivenBy,
    /// Since when it holds, if that is known.
    pub since: Option<Timestamp>,
    /// Until when it holds.
    pub until: Timestamp,
    /// When more was added to it last, if it ever was.
    pub changed: Option<Timestamp>,
    /// Whether the person may withdraw it here: what was given to a group is not theirs alone.
    pub may_withdraw: bool,
}

/// Who gave a consent.
#[derive(Clone, Debug, Default)]
pub enum GivenBy {
    /// The person themselves.
    #[default]
    Person,
    /// An administrator, for this person.
    Administrator,
    /// An administrator, for everyone in this group.
    AdministratorForGroup(String),
}

/// A running task.
#[derive(Clone, Debug, Default)]
pub struct RunningTask {
    /// Its id: the value of `task`.
    pub id: String,
    /// Who runs it.
    pub holder: Holder,
    /// What for, in that one's own words, which nobody has checked; empty if it said nothing.
    pub purpose: String,
    /// Where its tokens work, in words; may be empty.
    pub resources: Vec<Target>,
    /// When it began.
    pub started: Timestamp,
    /// When it ends by itself.
    pub deadline: Timestamp,
    /// The tasks below it, which end with it.
    pub below: Vec<RunningTask>,
}

/// A task in the order in which the tree is written, and how many lists close behind it.
struct Row<'a> {
    task: &'a RunningTask,
    above: Option<&'a RunningTask>,
    closes: usize,
}

impl Account {
    /// The page.
    pub fn render(&self) -> String {
        super::render(self)
    }

    /// The tree as a sequence: askama's loops don't call themselves.
    fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        for task in &self.tasks {
            add(&mut rows, task, None);
        }
        rows
    }

    fn running(&self) -> usize {
        self.tasks.iter().map(|task| task.all_below() + 1).sum()
    }
}

fn add<'a>(rows: &mut Vec<Row<'a>>, task: &'a RunningTask, above: Option<&'a RunningTask>) {
    rows.push(Row { task, above, closes: 0 });
    for below in &task.below {
        add(rows, below, Some(task));
    }
    if let (Some(last), false) = (rows.last_mut(), task.below.is_empty()) {
        last.closes += 1;
    }
}

impl RunningTask {
    /// How many tasks end with it.
    fn all_below(&self) -> usize {
        self.below.iter().map(|task| task.all_below() + 1).sum()
    }
}

impl Holder {
    pub(super) fn shown(&self) -> &str {
        name_or_id(&self.name, &self.id)
    }

    pub(super) fn what(&self) -> &'static str {
        match self.kind {
            HolderKind::Client => "application",
            HolderKind::Agent => "agent",
        }
    }
}
