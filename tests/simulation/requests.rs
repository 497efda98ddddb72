//! What a node answers: the steps of `flows::feed`, of introspection, and of a mint on its way to the journal.

use std::time::Duration;

use taskpass::domain::cutoff::Verdict;
use taskpass::domain::lease::InstanceId;
use taskpass::protocol::claims::Rev;
use taskpass::time::Uptime;

use super::database::{Mint, Minted};
use super::history::{Place, Token};
use super::node::{NodeStep, OWN_LEASE, Signed, Stream, Then};
use super::planted::Planted;
use super::queries::Query;
use super::wire::{Answer, Body, Request};
use super::world::World;

impl World {
    pub(crate) fn arrive(&mut self, n: usize, request: Request) {
        // It listens once it has read the database.
        if self.nodes[n].refreshed.is_none() {
            return;
        }
        let view = &self.nodes[n].views[request.tenant];
        match &request.body {
            Body::Snapshot => {
                let floor = view.floor();
                let (rev, stretch) = view.after(floor, &request.sees);
                let stretch = stretch.expect("nothing is forgotten between the two looks");
                self.reply(n, &request, &Answer::snapshot(request.tenant, floor, rev, stretch));
            }
            Body::Stream(rev) => {
                let rev = rev.clone();
                let answer = self.piece(n, request.tenant, &request.sees, &rev);
                if matches!(answer, Some(Answer::Gone)) {
                    return self.reply(n, &request, &Answer::Gone);
                }
                self.nodes[n].streams.retain(|stream| stream.request.enforcer != request.enforcer);
                self.nodes[n].streams.push(Stream { request, rev });
                self.push(n, true);
            }
            Body::Lease(_) => {
                let arrived = self.node_uptime(n);
                if !self.may_grant(n, request.tenant, arrived) {
                    return self.reply(n, &request, &Answer::Failed);
                }
                self.node_after(n, 0, NodeStep::Note { request, arrived });
            }
            Body::Introspect(_) => {
                let at = self.node_uptime(n);
                self.node_after(n, 0, NodeStep::Say { request, at });
            }
        }
    }

    pub(crate) fn note_lease(&mut self, n: usize, request: Request, arrived: Uptime) {
        let Body::Lease(asked) = &request.body else { return };
        let node = &mut self.nodes[n];
        let known = node.views[request.tenant].rev();
        if asked.generation == known.generation {
            let id = InstanceId { enforcer: request.enforcer.to_string(), instance: asked.instance.clone() };
            node.leases[request.tenant].arrive(&id, asked, known.seq, arrived).expect("there is room");
            let (e, applied) = (request.enforcer, asked.applied_seq);
            self.note(|| {
                format!("node {n} at {known} notes a lease of enforcer {e}, which has applied {applied}")
            });
        }
        if self.is(Planted::LaggingNode) {
            return self.answer_lease(n, request);
        }
        self.refresh(n, Then::Lease(request));
    }

    pub(crate) fn answer_lease(&mut self, n: usize, request: Request) {
        let Body::Lease(asked) = &request.body else { return };
        let (rev, stretch) = self.nodes[n].views[request.tenant].after(asked.applied_seq, &request.sees);
        if asked.generation != rev.generation {
            return self.reply(n, &request, &Answer::Gone);
        }
        if asked.applied_seq > rev.seq {
            // Our own signed word: the database was set back. This node then reads it anew.
            let proof: Option<Rev> = asked.head_proof.as_ref().and_then(|text| text.parse().ok());
            let proof = proof.filter(|proof| proof.generation == rev.generation && proof.seq > rev.seq);
            if let Some(known) = proof.filter(|_| !self.is(Planted::ReuseGeneration)) {
                if self.db.rename(request.tenant, &known) {
                    self.note(|| format!("node {n} renames a log: an enforcer proved {known}"));
                }
                self.refresh(n, Then::Tick);
            }
            return self.reply(n, &request, &Answer::Failed);
        }
        let Some(stretch) = stretch else { return self.reply(n, &request, &Answer::Gone) };
        let answer = Answer::lease(asked, request.tenant, (self.now, rev), stretch);
        self.node_after(n, 0, NodeStep::Grant { request, answer });
    }

    pub(crate) fn grant(&mut self, n: usize, request: &Request, answer: &Answer) {
        if let Body::Lease(asked) = &request.body {
            let id = InstanceId { enforcer: request.enforcer.to_string(), instance: asked.instance.clone() };
            // The question was answered under the log that it named.
            self.nodes[n].leases[request.tenant].acknowledge(&id, &asked.generation, asked.applied_seq);
        }
        self.reply(n, request, answer);
    }

    pub(crate) fn is_active(&self, n: usize, request: &Request) -> Option<Verdict> {
        let Body::Introspect(token) = request.body else { return None };
        let token = &self.history.tokens[token];
        let expired = self.now >= token.expires;
        (!expired).then(|| self.nodes[n].views[request.tenant].verdict(&token.claims, Some(&token.kid)))
    }

    pub(crate) fn say(&mut self, n: usize, request: &Request, at: Uptime) {
        if !self.nodes[n].views[request.tenant].is_fresh(Duration::from_millis(OWN_LEASE), at) {
            return self.reply(n, request, &Answer::Failed);
        }
        match self.is_active(n, request) {
            Some(Verdict::Behind) => self.refresh(n, Then::Introspect(request.clone())),
            verdict => self.reply(n, request, &Answer::Active(verdict == Some(Verdict::Alive))),
        }
    }

    /// The checks are done: the token is signed, and goes to the journal.
    pub(crate) fn sign(&mut self, n: usize, mut mint: Mint, knew: Place) {
        if self.is(Planted::RevAtSigning) {
            let mut claims = (*mint.claims).clone();
            claims.rev = self.nodes[n].views[mint.tenant].rev();
            mint.claims = claims.into();
        }
        self.ask_database(n, Query::Mint { mint, knew });
    }

    pub(crate) fn minted(&mut self, signed: Signed) {
        let Signed { mint, knew, outcome, restores } = signed;
        if outcome != Minted::Committed {
            return self.note(|| format!("{} is not minted: {outcome:?}", mint.claims.jti));
        }
        self.note(|| format!("minted {} at {}", mint.claims.jti, mint.claims.rev));
        let expires = u64::try_from(mint.claims.exp.0).unwrap() * 1_000;
        let Mint { tenant, claims, kid, mark } = mint;
        self.history.tokens.push(Token { tenant, claims, kid, knew, expires, mark, restores });
    }

    pub(crate) fn acknowledge(&mut self, n: usize, revocation: usize) {
        let committed = self.node_uptime(n);
        self.note(|| format!("node {n} acknowledges revocation {revocation}"));
        self.history.revocations[revocation].acknowledged = Some(self.now);
        self.hunt(revocation);
        self.node_after(n, 0, NodeStep::Stand { revocation, committed });
    }
}
