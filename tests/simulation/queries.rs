//! What a node asks of the database, each one transaction.

use taskpass::domain::cutoff::ScopeKind;
use taskpass::protocol::claims::Rev;
use taskpass::time::Uptime;

use super::database::{LeaseRow, Mint, NodeRow, TENANTS, log_number};
use super::history::{Place, Revocation};
use super::node::{NodeStep, Signed};
use super::planted::Planted;
use super::world::{Event, World};

#[derive(Debug)]
pub(crate) enum Query {
    /// What is new in every log since this.
    Read {
        known_at: Uptime,
        again: bool,
        has: Vec<Rev>,
    },
    /// The database is behind what is known: each log gets another name.
    Rename {
        known_at: Uptime,
        known: Vec<(usize, Rev)>,
    },
    Mint {
        mint: Mint,
        knew: Place,
    },
    Revoke {
        tenant: usize,
        kind: ScopeKind,
        id: String,
    },
    Report {
        looked: Uptime,
        rows: Vec<(usize, NodeRow, Vec<LeaseRow>)>,
    },
    Watch,
    Stand {
        revocation: usize,
        committed: Uptime,
    },
}

impl World {
    pub(crate) fn ask_database(&mut self, n: usize, query: Query) {
        let (delay, life) = (self.db_transit(), self.nodes[n].life.number);
        self.schedule(delay, Event::Query(n, life, query));
    }

    pub(crate) fn query(&mut self, event: Event) {
        let Event::Query(n, life, query) = event else { return };
        let cut = self.db_cuts.get(&n).is_some_and(|until| *until > self.now);
        let step = if cut { Self::unreachable(&query) } else { Some(self.perform(n, query)) };
        let back = self.db_transit();
        if let Some(step) = step.filter(|_| self.nodes[n].life.number == life) {
            self.node_after(n, back, step);
        }
    }

    fn unreachable(query: &Query) -> Option<NodeStep> {
        match query {
            Query::Read { known_at, again, .. } => {
                Some(NodeStep::News { known_at: *known_at, again: *again, heads: None })
            }
            Query::Rename { .. } => Some(NodeStep::RefreshFailed),
            Query::Mint { .. } | Query::Revoke { .. } => None,
            Query::Report { .. } | Query::Watch => Some(NodeStep::Watched(Vec::new())),
            Query::Stand { revocation, committed } => {
                Some(NodeStep::Stand { revocation: *revocation, committed: *committed })
            }
        }
    }

    fn perform(&mut self, n: usize, query: Query) -> NodeStep {
        match query {
            Query::Read { known_at, again, has } => {
                let heads = has.iter().enumerate().map(|(tenant, has)| self.db.read(tenant, has)).collect();
                NodeStep::News { known_at, again, heads: Some(heads) }
            }
            Query::Rename { known_at, known } => {
                for (tenant, rev) in known {
                    if self.db.rename(tenant, &rev) {
                        self.note(|| {
                            format!("node {n} renames the log of {}, having known {rev}", TENANTS[tenant])
                        });
                        self.announce();
                    }
                }
                NodeStep::Renamed { known_at }
            }
            Query::Mint { mint, knew } => {
                let recheck = !self.is(Planted::RevAtSigning);
                let check_mark = !self.is(Planted::ReadThenWrite);
                let outcome = self.db.mint(&mint, recheck, check_mark);
                NodeStep::Minted(Box::new(Signed { mint, knew, outcome, restores: self.db.restores }))
            }
            Query::Revoke { tenant, kind, id } => {
                let rev = self.db.revoke(tenant, kind, &id);
                self.note(|| format!("committed {rev} of {}: {kind:?} {id}", TENANTS[tenant]));
                let place = (log_number(&rev.generation), rev.seq);
                let revocation = Revocation { tenant, kind, id, place, acknowledged: None, effective: None };
                self.history.revocations.push(revocation);
                self.announce();
                NodeStep::Revoked { revocation: self.history.revocations.len() - 1 }
            }
            Query::Report { looked, rows } => {
                for (tenant, node, leases) in rows {
                    self.note(|| {
                        let leases: Vec<_> =
                            leases.iter().map(|row| (&row.instance, row.applied, row.pending_head)).collect();
                        format!("{} reports on {} at {}: {leases:?}", node.node, TENANTS[tenant], node.rev)
                    });
                    self.db.report(tenant, node, &leases);
                }
                NodeStep::Reported { looked }
            }
            Query::Watch => {
                NodeStep::Watched((0..TENANTS.len()).map(|tenant| self.db.nodes(tenant)).collect())
            }
            Query::Stand { revocation, committed } => {
                let tenant = self.history.revocations[revocation].tenant;
                let nodes = self.db.nodes(tenant);
                let leases = self.db.leases_of_others(tenant, &self.nodes[n].name);
                let head = self.db.rev(tenant);
                NodeStep::Standing { revocation, committed, head, nodes, leases }
            }
        }
    }

    /// The database tells every node that there is news; some hear it late, some not at all.
    fn announce(&mut self) {
        for n in 0..self.nodes.len() {
            if !self.chance.once_in(4) {
                let delay = self.db_transit();
                self.node_after(n, delay, NodeStep::Notified);
            }
        }
    }
}
