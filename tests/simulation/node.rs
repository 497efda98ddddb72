//! A server node: the real view and the real leases, taken through the steps of `flows::{server, tenant, feed}`. Whatever
//! is awaited there ends a step here.

use std::collections::{HashMap, VecDeque};

use taskpass::domain::cutoff::{CutoffSet, Stretch, Verdict};
use taskpass::domain::feed::Visibility;
use taskpass::domain::lease::Leases;
use taskpass::enforcer::view::RevocationView;
use taskpass::protocol::claims::Rev;
use taskpass::time::Uptime;

use super::database::{LeaseRow, LogRead, Mint, Minted, NodeRow, TENANTS, log_number};
use super::history::{Ms, Place};
use super::planted::Planted;
use super::queries::Query;
use super::wire::{Answer, Request};
use super::world::{Life, World};

/// How old a node's own view may be before it decides nothing.
pub(crate) const OWN_LEASE: Ms = 30_000;
/// How often a node looks at the database by itself.
const REFRESH: Ms = 1_000;
/// How often its streams say that they are alive.
const HEARTBEAT: Ms = 5_000;

/// What waits for a refresh.
#[derive(Debug)]
pub(crate) enum Then {
    Tick,
    Lease(Request),
    Acknowledge(usize),
    Introspect(Request),
}

/// A mint that came back from the database.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) mint: Mint,
    pub(crate) knew: Place,
    pub(crate) outcome: Minted,
    pub(crate) restores: u64,
}

#[derive(Debug)]
pub(crate) enum NodeStep {
    Tick,
    Notified,
    News { known_at: Uptime, again: bool, heads: Option<Vec<LogRead>> },
    Renamed { known_at: Uptime },
    RefreshFailed,
    Arrive(Request),
    Note { request: Request, arrived: Uptime },
    Grant { request: Request, answer: Answer },
    Say { request: Request, at: Uptime },
    Beat,
    Sign { mint: Mint, knew: Place },
    Minted(Box<Signed>),
    Revoked { revocation: usize },
    Report,
    Reported { looked: Uptime },
    Watched(Vec<Vec<NodeRow>>),
    Stand { revocation: usize, committed: Uptime },
    Standing { revocation: usize, committed: Uptime, head: Rev, nodes: Vec<NodeRow>, leases: Vec<LeaseRow> },
}

/// A stream to an enforcer, and how far it has come.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) request: Request,
    pub(crate) rev: Rev,
}

pub(crate) struct Node {
    pub(crate) life: Life,
    /// A restarted node is another.
    pub(crate) name: String,
    pub(crate) views: Vec<RevocationView>,
    pub(crate) leases: Vec<Leases>,
    pub(crate) reported: Vec<Option<Uptime>>,
    pub(crate) peers: HashMap<(usize, String), (u64, Uptime)>,
    pub(crate) beat: u64,
    refreshing: Option<Then>,
    waiting: VecDeque<(Uptime, Then)>,
    pub(crate) refreshed: Option<Uptime>,
    pub(crate) streams: Vec<Stream>,
}

impl Node {
    pub(crate) fn new(n: usize, life: Life) -> Self {
        Self {
            name: format!("node{n}.{}", life.number),
            life,
            views: TENANTS.iter().map(|_| RevocationView::unknown()).collect(),
            leases: vec![Leases::default(); TENANTS.len()],
            reported: vec![None; TENANTS.len()],
            peers: HashMap::new(),
            beat: 0,
            refreshing: None,
            waiting: VecDeque::new(),
            refreshed: None,
            streams: Vec::new(),
        }
    }
}

impl World {
    pub(crate) fn start_node(&mut self, n: usize) {
        self.node_after(n, 0, NodeStep::Tick);
        self.node_after(n, 0, NodeStep::Report);
        self.node_after(n, HEARTBEAT, NodeStep::Beat);
    }

    pub(crate) fn node_uptime(&self, n: usize) -> Uptime {
        self.nodes[n].life.clock.uptime(self.now)
    }

    pub(crate) fn node_step(&mut self, n: usize, step: NodeStep) {
        match step {
            NodeStep::Tick => {
                let next = self.chance.within(REFRESH / 2, REFRESH * 2);
                self.node_after(n, next, NodeStep::Tick);
                self.refresh(n, Then::Tick);
            }
            NodeStep::Notified => self.refresh(n, Then::Tick),
            NodeStep::News { known_at, again, heads } => self.news(n, (known_at, again), heads),
            NodeStep::Renamed { known_at } => self.read(n, known_at, true),
            NodeStep::RefreshFailed => self.refreshed(n, false),
            NodeStep::Arrive(request) => self.arrive(n, request),
            NodeStep::Note { request, arrived } => self.note_lease(n, request, arrived),
            NodeStep::Grant { request, answer } => self.grant(n, &request, &answer),
            NodeStep::Say { request, at } => self.say(n, &request, at),
            NodeStep::Beat => {
                self.push(n, true);
                self.node_after(n, HEARTBEAT, NodeStep::Beat);
            }
            NodeStep::Sign { mint, knew } => self.sign(n, mint, knew),
            NodeStep::Minted(signed) => self.minted(*signed),
            NodeStep::Revoked { revocation } => self.refresh(n, Then::Acknowledge(revocation)),
            NodeStep::Report => {
                self.report(n);
            }
            NodeStep::Reported { looked } => self.reported(n, looked),
            NodeStep::Watched(nodes) => self.watched(n, &nodes),
            NodeStep::Stand { revocation, committed } => {
                self.ask_database(n, Query::Stand { revocation, committed });
            }
            NodeStep::Standing { revocation, committed, head, nodes, leases } => {
                self.standing(n, (revocation, committed), (&head, &nodes, &leases));
            }
        }
    }

    /// Reads take turns, and whoever came before a read was sent is served by it.
    pub(crate) fn refresh(&mut self, n: usize, then: Then) {
        let asked_at = self.node_uptime(n);
        self.nodes[n].waiting.push_back((asked_at, then));
        if self.nodes[n].refreshing.is_none() {
            self.next_refresh(n);
        }
    }

    fn next_refresh(&mut self, n: usize) {
        while let Some((asked_at, then)) = self.nodes[n].waiting.pop_front() {
            if self.nodes[n].refreshed.is_some_and(|known_at| known_at > asked_at) {
                self.go_on(n, then, true);
                continue;
            }
            self.nodes[n].refreshing = Some(then);
            return self.read(n, self.node_uptime(n), false);
        }
    }

    fn read(&mut self, n: usize, known_at: Uptime, again: bool) {
        let has = self.nodes[n].views.iter().map(RevocationView::rev).collect();
        self.ask_database(n, Query::Read { known_at, again, has });
    }

    fn news(&mut self, n: usize, (known_at, again): (Uptime, bool), heads: Option<Vec<LogRead>>) {
        let Some(heads) = heads else { return self.refreshed(n, false) };
        let mut set_back = Vec::new();
        for (tenant, head) in heads.into_iter().enumerate() {
            set_back.extend(self.catch_up(n, tenant, head, known_at).map(|rev| (tenant, rev)));
        }
        if set_back.is_empty() || again {
            self.nodes[n].refreshed = Some(known_at);
            self.push(n, false);
            return self.refreshed(n, true);
        }
        self.ask_database(n, Query::Rename { known_at, known: set_back });
    }

    /// Applies what has happened since; what is known if the database has gone back.
    fn catch_up(&mut self, n: usize, tenant: usize, head: LogRead, known_at: Uptime) -> Option<Rev> {
        let now = self.node_uptime(n);
        let node = &mut self.nodes[n];
        let (view, rev) = (&node.views[tenant], node.views[tenant].rev());
        let gone_back = rev.generation == head.rev.generation && rev.seq > head.rev.seq;
        if rev.generation != head.rev.generation
            || (gone_back && self.planted == Some(Planted::ReuseGeneration))
        {
            let floor = head.cuts.first().map_or(head.rev.seq, |first| first.seq - 1);
            let set =
                CutoffSet::restore(head.rev, floor, head.cuts, now.seconds()).expect("the log is in order");
            if gone_back {
                node.views[tenant] = RevocationView::new(set, known_at);
            } else {
                view.start_over(set, Some(known_at)).expect("it is another log");
            }
            node.leases[tenant].start_over(&node.views[tenant].rev().generation);
            return None;
        }
        if gone_back {
            return Some(rev);
        }
        let stretch = Stretch::whole(rev.seq, head.cuts).expect("the log has no gap");
        view.apply(&stretch, now).expect("the log goes on");
        view.confirm(known_at);
        None
    }

    fn refreshed(&mut self, n: usize, known: bool) {
        if let Some(then) = self.nodes[n].refreshing.take() {
            self.go_on(n, then, known);
        }
        if self.nodes[n].refreshing.is_none() {
            self.next_refresh(n);
        }
    }

    fn go_on(&mut self, n: usize, then: Then, known: bool) {
        match then {
            Then::Lease(request) if known => self.answer_lease(n, request),
            Then::Acknowledge(revocation) if known => self.acknowledge(n, revocation),
            Then::Introspect(request) if known => {
                let alive = self.is_active(n, &request) == Some(Verdict::Alive);
                self.reply(n, &request, &Answer::Active(alive));
            }
            Then::Lease(request) | Then::Introspect(request) => self.reply(n, &request, &Answer::Failed),
            // Whoever asked for a revocation gets an error, and knows nothing.
            Then::Tick | Then::Acknowledge(_) => {}
        }
    }

    /// What goes down a stream that has come to `has`; nothing if there is nothing.
    pub(crate) fn piece(&self, n: usize, tenant: usize, sees: &Visibility, has: &Rev) -> Option<Answer> {
        let view = &self.nodes[n].views[tenant];
        let rev = view.rev();
        if rev.generation != has.generation || has.seq > rev.seq {
            return Some(Answer::Gone);
        }
        if rev.seq == has.seq {
            return None;
        }
        let (rev, stretch) = view.after(has.seq, sees);
        Some(stretch.map_or(Answer::Gone, |stretch| Answer::News(rev.generation, stretch)))
    }

    pub(crate) fn push(&mut self, n: usize, heartbeat: bool) {
        let mut streams = std::mem::take(&mut self.nodes[n].streams);
        streams.retain_mut(|stream| {
            match self.piece(n, stream.request.tenant, &stream.request.sees, &stream.rev) {
                Some(Answer::News(generation, stretch)) => {
                    stream.rev.seq = stretch.seq;
                    self.reply(n, &stream.request, &Answer::News(generation, stretch));
                    true
                }
                None if heartbeat => {
                    self.reply(n, &stream.request, &Answer::Heartbeat(stream.rev.seq));
                    true
                }
                None => true,
                Some(other) => {
                    self.reply(n, &stream.request, &other);
                    false
                }
            }
        });
        self.nodes[n].streams = streams;
    }
}

/// How far a view has come, as the history counts.
pub(crate) fn place(rev: &Rev) -> Place {
    (log_number(&rev.generation), rev.seq)
}
