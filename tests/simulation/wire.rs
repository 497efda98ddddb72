//! What enforcers and nodes say to each other: the real messages, without their encoding.

use std::rc::Rc;

use taskpass::domain::cutoff::Stretch;
use taskpass::domain::feed::{LeaseAnswer, LeaseRequest, Snapshot, Visibility};
use taskpass::protocol::claims::Rev;
use taskpass::time::Timestamp;

use super::database::TENANTS;
use super::enforcer::EnforcerStep;
use super::history::Ms;
use super::world::{Event, World};

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Snapshot,
    Lease(LeaseRequest),
    Stream(Rev),
    Introspect(usize),
}

/// A request of an enforcer that has proved who it is.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) enforcer: usize,
    /// Which life of the enforcer sent it: a connection doesn't outlive its process.
    pub(crate) life: u64,
    pub(crate) number: u64,
    pub(crate) tenant: usize,
    pub(crate) sees: Rc<Visibility>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Snapshot(Snapshot),
    Lease(LeaseAnswer),
    /// 410: start over.
    Gone,
    /// Any other failure.
    Failed,
    News(String, Stretch),
    Heartbeat(u64),
    Active(bool),
}

impl Answer {
    pub(crate) fn snapshot(tenant: usize, floor: u64, rev: Rev, stretch: Stretch) -> Self {
        Self::Snapshot(Snapshot {
            iss: "https://id.example".into(),
            aud: "enforcer".into(),
            iat: Timestamp(0),
            tenant: TENANTS[tenant].into(),
            generation: rev.generation,
            floor,
            seq: stretch.seq,
            cutoffs: stretch.cutoffs,
        })
    }

    pub(crate) fn lease(
        asked: &LeaseRequest,
        tenant: usize,
        (now, rev): (Ms, Rev),
        stretch: Stretch,
    ) -> Self {
        Self::Lease(LeaseAnswer {
            nonce: asked.nonce.clone(),
            tenant: TENANTS[tenant].into(),
            at: Timestamp((now / 1_000).cast_signed()),
            head_seq: stretch.seq,
            cutoffs: stretch.cutoffs,
            ack_within_ms: 0,
            head_proof: Some(rev.to_string()),
            generation: rev.generation,
        })
    }

    fn cuts(&self) -> &[taskpass::domain::cutoff::Cut] {
        match self {
            Self::Snapshot(snapshot) => &snapshot.cutoffs,
            Self::Lease(answer) => &answer.cutoffs,
            Self::News(_, stretch) => &stretch.cutoffs,
            Self::Gone | Self::Failed | Self::Heartbeat(_) | Self::Active(_) => &[],
        }
    }
}

impl World {
    /// A request sets out for some node.
    pub(crate) fn send(&mut self, e: usize, number: u64, body: Body) {
        let n = self.chance.index(self.nodes.len());
        let enforcer = &self.enforcers[e];
        let (tenant, sees, life) = (enforcer.tenant, enforcer.sees.clone(), enforcer.life.number);
        let request = Request { enforcer: e, life, number, tenant, sees, body };
        let copies = if self.doubled() { 2 } else { 1 };
        for _ in 0..copies {
            if let Some(delay) = self.transit(e, n) {
                self.node_after(n, delay, super::node::NodeStep::Arrive(request.clone()));
            }
        }
    }

    /// An answer sets out for the enforcer that asked.
    pub(crate) fn reply(&mut self, n: usize, request: &Request, answer: &Answer) {
        for cut in answer.cuts() {
            self.history.sights.insert((request.enforcer, cut.scope_kind, cut.scope_id.clone()));
        }
        let copies = if self.doubled() { 2 } else { 1 };
        for _ in 0..copies {
            if let Some(delay) = self.transit(request.enforcer, n) {
                let step = EnforcerStep::Answer { number: request.number, answer: answer.clone() };
                self.schedule(delay, Event::Enforcer(request.enforcer, request.life, step));
            }
        }
    }
}
