//! What nodes tell each other of their leases, and when a revocation is in force: the steps of `flows::fleet`.

use std::time::Duration;

use taskpass::domain::feed::LONGEST_LEASE;
use taskpass::domain::lease::{Position, Standing, standing};
use taskpass::protocol::claims::Rev;
use taskpass::time::Uptime;

use super::database::{LeaseRow, NodeRow, TENANTS};
use super::history::Ms;
use super::node::{NodeStep, place};
use super::planted::Planted;
use super::queries::Query;
use super::world::World;

/// How often a node reports its leases.
const REPORT: Ms = 1_500;
/// How often a node that waits looks again.
const LOOK: Ms = 400;
const LONGEST: Duration = Duration::from_secs(LONGEST_LEASE + 1);
const MAY_BE_SILENT: Duration = Duration::from_mins(1);

impl World {
    /// Where no other node can be, nobody needs to know of this one's leases.
    fn is_shared(&self) -> bool {
        self.nodes.len() > 1
    }

    pub(crate) fn may_grant(&self, n: usize, tenant: usize, now: Uptime) -> bool {
        let reported = self.nodes[n].reported[tenant];
        !self.is_shared() || reported.is_some_and(|at| now.since(at) < MAY_BE_SILENT)
    }

    pub(crate) fn report(&mut self, n: usize) {
        let (looked, shared) = (self.node_uptime(n), self.is_shared());
        let node = &mut self.nodes[n];
        let mut rows = Vec::new();
        for tenant in 0..TENANTS.len() {
            let rev = node.views[tenant].rev();
            let since = node.reported[tenant];
            node.leases[tenant].forget(looked);
            let moved = |renewed: Uptime, lease: Duration| {
                let ran_out = |since| renewed.plus(lease) >= since && renewed.plus(lease) <= looked;
                since.is_none_or(|since| renewed >= since || ran_out(since))
            };
            let changed = node.leases[tenant].iter().filter(|(_, lease)| moved(lease.renewed, lease.lease));
            let leases: Vec<_> = changed
                .map(|(id, lease)| LeaseRow {
                    node: node.name.clone(),
                    enforcer: id.enforcer.clone(),
                    instance: id.instance.clone(),
                    generation: rev.generation.clone(),
                    applied: lease.applied,
                    pending_head: lease.pending_head(looked),
                })
                .collect();
            if leases.is_empty() && since.is_some() && !shared {
                continue;
            }
            node.beat += 1;
            rows.push((tenant, NodeRow { node: node.name.clone(), beat: node.beat, rev }, leases));
        }
        self.ask_database(n, Query::Report { looked, rows });
    }

    pub(crate) fn reported(&mut self, n: usize, looked: Uptime) {
        let late = self.is(Planted::ReportFromCommit);
        let counts_from = if late { self.node_uptime(n) } else { looked };
        self.nodes[n].reported.fill(Some(counts_from));
        self.ask_database(n, Query::Watch);
    }

    pub(crate) fn watched(&mut self, n: usize, nodes: &[Vec<NodeRow>]) {
        self.node_after(n, REPORT, NodeStep::Report);
        for (tenant, rows) in nodes.iter().enumerate() {
            for row in rows {
                self.is_alive(n, tenant, row);
            }
        }
    }

    fn is_alive(&mut self, n: usize, tenant: usize, row: &NodeRow) -> bool {
        let now = self.node_uptime(n);
        let forgets = self.is(Planted::ForgetFormerSelf);
        let node = &mut self.nodes[n];
        // The bug takes a process that went before for one that never was.
        let former = row.node.split('.').next() == node.name.split('.').next();
        let seen = node.peers.entry((tenant, row.node.clone())).or_insert((row.beat, now));
        if seen.0 != row.beat {
            *seen = (row.beat, now);
        }
        !(forgets && former) && now.since(seen.1) <= LONGEST + MAY_BE_SILENT
    }

    pub(crate) fn standing(
        &mut self,
        n: usize,
        (revocation, committed): (usize, Uptime),
        (head, nodes, leases): (&Rev, &[NodeRow], &[LeaseRow]),
    ) {
        let (tenant, at) =
            (self.history.revocations[revocation].tenant, self.history.revocations[revocation].place);
        let generation = format!("g{}", at.0);
        let (own, seq) = (self.nodes[n].name.clone(), at.1);
        // A database that was set back tells of the leases of its time.
        let set_back = head.generation == generation && head.seq < seq;
        let mut alive: Vec<_> = nodes.iter().filter(|row| row.node != own).collect();
        alive.retain(|row| self.is_alive(n, tenant, row));
        if self.is(Planted::AskedNodeOnly) {
            alive.clear();
        }
        let silent = alive.iter().filter(|row| row.rev.generation != generation || row.rev.seq < seq).count();
        let of_alive = leases.iter().filter(|lease| alive.iter().any(|row| row.node == lease.node));
        let others = of_alive.map(|lease| {
            let counts = |number: u64| if lease.generation == generation { number } else { 0 };
            Position {
                id: (&lease.enforcer, &lease.instance),
                applied: counts(lease.applied),
                pending_head: lease.pending_head.map(counts),
            }
        });
        let now = self.node_uptime(n);
        let known = standing(self.nodes[n].leases[tenant].positions(now).chain(others), seq);
        let standing = Standing { waiting: known.waiting + silent + usize::from(set_back), ..known };
        if standing.waiting == 0 || now.since(committed) > LONGEST {
            let view = place(&self.nodes[n].views[tenant].rev());
            self.note(|| format!("node {n} at {view:?}: revocation {revocation} is effective: {standing:?}"));
            self.history.revocations[revocation].effective = Some(self.now);
        } else {
            self.node_after(n, LOOK, NodeStep::Stand { revocation, committed });
        }
    }
}
