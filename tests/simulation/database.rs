//! The database that the nodes share: every call is one transaction, and happens at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use taskpass::domain::cutoff::{Cut, ScopeKind, scopes};
use taskpass::protocol::claims::{AccessTokenClaims, Rev};

/// The tenants; each has a log of its own.
pub(crate) const TENANTS: [&str; 2] = ["main", "other"];

/// A node's report on its leases.
#[derive(Clone, Debug)]
pub(crate) struct NodeRow {
    pub(crate) node: String,
    pub(crate) beat: u64,
    pub(crate) rev: Rev,
}

/// One instance as one node knows it.
#[derive(Clone, Debug)]
pub(crate) struct LeaseRow {
    pub(crate) node: String,
    pub(crate) enforcer: String,
    pub(crate) instance: String,
    pub(crate) generation: String,
    pub(crate) applied: u64,
    pub(crate) pending_head: Option<u64>,
}

/// A tenant's rows.
#[derive(Clone, Debug, Default)]
struct Rows {
    generation: u64,
    log: Vec<Cut>,
    nodes: BTreeMap<String, NodeRow>,
    leases: BTreeMap<(String, String, String), LeaseRow>,
    marks: BTreeSet<u64>,
}

/// What a read of a log brings.
#[derive(Clone, Debug)]
pub(crate) struct LogRead {
    pub(crate) rev: Rev,
    /// The entries after what the reader has, or all of them if it follows another log.
    pub(crate) cuts: Vec<Cut>,
}

/// What became of a mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Minted {
    Committed,
    Refused,
    Moved,
}

/// What is to be minted.
#[derive(Clone, Debug)]
pub(crate) struct Mint {
    pub(crate) tenant: usize,
    pub(crate) claims: Rc<AccessTokenClaims>,
    pub(crate) kid: String,
    pub(crate) mark: Option<u64>,
}

pub(crate) struct Database {
    rows: [Rows; 2],
    copies: Vec<[Rows; 2]>,
    /// Names of logs are random: none comes back with an older copy.
    names: u64,
    pub(crate) restores: u64,
}

/// The number in the name of a log.
pub(crate) fn log_number(generation: &str) -> u64 {
    generation.trim_start_matches('g').parse().unwrap_or(0)
}

impl Database {
    pub(crate) fn new() -> Self {
        let rows = [1, 2].map(|generation| Rows { generation, ..Rows::default() });
        Self { copies: vec![rows.clone()], rows, names: 2, restores: 0 }
    }

    pub(crate) fn rev(&self, tenant: usize) -> Rev {
        let rows = &self.rows[tenant];
        Rev { generation: format!("g{}", rows.generation), seq: rows.log.len() as u64 }
    }

    pub(crate) fn read(&self, tenant: usize, has: &Rev) -> LogRead {
        let rev = self.rev(tenant);
        let log = &self.rows[tenant].log;
        let from = if has.generation == rev.generation { usize::try_from(has.seq).unwrap() } else { 0 };
        LogRead { rev, cuts: log.get(from..).unwrap_or_default().to_vec() }
    }

    pub(crate) fn revoke(&mut self, tenant: usize, scope_kind: ScopeKind, id: &str) -> Rev {
        let seq = self.rows[tenant].log.len() as u64 + 1;
        self.rows[tenant].log.push(Cut { seq, scope_kind, scope_id: id.into() });
        self.rev(tenant)
    }

    /// As the journal writes: marks first, then the cutoffs since the decision.
    pub(crate) fn mint(&mut self, mint: &Mint, recheck: bool, check_mark: bool) -> Minted {
        let head = self.rev(mint.tenant);
        let rows = &mut self.rows[mint.tenant];
        if mint.claims.rev.generation != head.generation {
            return Minted::Moved;
        }
        if mint.mark.is_some_and(|mark| !rows.marks.insert(mark) && check_mark) {
            return Minted::Refused;
        }
        let hits = |cut: &Cut| {
            scopes(&mint.claims, Some(&mint.kid))
                .any(|(kind, id)| (kind, id) == (cut.scope_kind, &*cut.scope_id))
        };
        let known = usize::try_from(mint.claims.rev.seq).unwrap();
        let news = rows.log.get(known..).unwrap_or_default();
        if recheck && news.iter().any(hits) { Minted::Refused } else { Minted::Committed }
    }

    pub(crate) fn is_spent(&self, tenant: usize, mark: u64) -> bool {
        self.rows[tenant].marks.contains(&mark)
    }

    /// Gives the log another name, unless it has one since `known` was seen.
    pub(crate) fn rename(&mut self, tenant: usize, known: &Rev) -> bool {
        let head = self.rev(tenant);
        let due = head.generation == known.generation && head.seq < known.seq;
        if due {
            self.rename_now(tenant);
        }
        due
    }

    fn rename_now(&mut self, tenant: usize) {
        self.names += 1;
        self.rows[tenant].generation = self.names;
        self.rows[tenant].log.clear();
        // The reports are as old as the copy: whoever they don't tell of is waited for as a node that is silent.
        let rev = Rev { generation: String::new(), seq: 0 };
        let ghost = NodeRow { node: format!("before.g{}", self.names), beat: 0, rev };
        self.rows[tenant].nodes.insert(ghost.node.clone(), ghost);
    }

    pub(crate) fn report(&mut self, tenant: usize, node: NodeRow, leases: &[LeaseRow]) {
        let rows = &mut self.rows[tenant];
        for lease in leases {
            let key = (lease.enforcer.clone(), lease.instance.clone(), lease.node.clone());
            rows.leases.insert(key, lease.clone());
        }
        rows.nodes.insert(node.node.clone(), node);
    }

    pub(crate) fn nodes(&self, tenant: usize) -> Vec<NodeRow> {
        self.rows[tenant].nodes.values().cloned().collect()
    }

    pub(crate) fn leases_of_others(&self, tenant: usize, node: &str) -> Vec<LeaseRow> {
        self.rows[tenant].leases.values().filter(|lease| lease.node != node).cloned().collect()
    }

    /// Somebody takes a copy.
    pub(crate) fn back_up(&mut self) {
        self.copies.push(self.rows.clone());
        if self.copies.len() > 3 {
            self.copies.remove(0);
        }
    }

    /// The database is set back to one of the copies; an operator who knows gives the logs other names at once.
    pub(crate) fn restore(&mut self, copy: usize, rename: bool) {
        self.restores += 1;
        self.rows = self.copies[copy % self.copies.len()].clone();
        if rename {
            (0..TENANTS.len()).for_each(|tenant| self.rename_now(tenant));
        }
    }
}
