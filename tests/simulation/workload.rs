//! What people and agents do: mint, call, revoke. And what goes wrong meanwhile.

use std::rc::Rc;
use std::time::Duration;

use taskpass::domain::cutoff::{ScopeKind, scopes};
use taskpass::protocol::authorization_details::AuthorizationDetails;
use taskpass::protocol::claims::{AccessTokenClaims, Actor};
use taskpass::protocol::resource::ResourceUri;
use taskpass::protocol::scope::Scope;
use taskpass::time::Timestamp;

use super::database::{Mint, TENANTS};
use super::enforcer::{Call, EnforcerStep};
use super::history::Ms;
use super::node::{NodeStep, OWN_LEASE, place};
use super::planted::Planted;
use super::queries::Query;
use super::world::{Event, World};

/// What happens without any process doing it.
#[derive(Clone, Debug)]
pub(crate) enum Chore {
    Mint,
    Call,
    Revoke,
    Fault,
    BackUp,
    Present(usize, Call),
    Heal,
    MintForExam,
    Exam,
}

#[derive(Debug, Default)]
pub(crate) struct Workload {
    minted: u64,
    /// The number of each tenant's signing key: one that was cut is never used again.
    keys: [u64; 2],
    marks: u64,
    /// The first of the tokens that the exam is held with.
    exam_from: usize,
}

impl World {
    fn again(&mut self, from: Ms, to: Ms, chore: Chore) {
        let delay = self.chance.within(from, to);
        self.schedule(delay, Event::World(chore));
    }

    pub(crate) fn chore(&mut self, chore: Chore) {
        match chore {
            Chore::Mint if self.stormy => {
                let (tenant, resource) = (self.tenant(), self.chance.below(2));
                self.mint(tenant, resource);
                self.again(300, 2_500, chore);
            }
            Chore::Call if self.stormy => {
                self.call();
                self.again(50, 900, chore);
            }
            Chore::Revoke if self.stormy => {
                self.revoke();
                self.again(2_000, 12_000, chore);
            }
            Chore::Fault if self.stormy => {
                self.fault();
                self.again(1_000, 12_000, chore);
            }
            Chore::BackUp if self.stormy => {
                self.db.back_up();
                self.again(15_000, 60_000, chore);
            }
            Chore::Present(e, call) => self.present(e, call),
            Chore::Heal => self.heal(),
            Chore::MintForExam => {
                self.workload.exam_from = self.history.tokens.len();
                for tenant in 0..TENANTS.len() {
                    (0..2).for_each(|resource| self.mint(tenant, resource));
                }
            }
            Chore::Exam => self.exam(),
            Chore::Mint | Chore::Call | Chore::Revoke | Chore::Fault | Chore::BackUp => {}
        }
    }

    /// The first tenant is the busy one.
    fn tenant(&mut self) -> usize {
        usize::from(self.chance.once_in(6))
    }

    fn mint(&mut self, tenant: usize, resource: u64) {
        let n = self.chance.index(self.nodes.len());
        let life = self.nodes[n].life;
        let now = self.node_uptime(n);
        let view = &self.nodes[n].views[tenant];
        let standing_still = life.paused_until > self.now;
        if standing_still || !view.is_fresh(Duration::from_millis(OWN_LEASE), now) {
            return;
        }
        // Before the first check.
        let rev = view.rev();
        let knew = place(&rev);
        self.workload.minted += 1;
        let claims = self.claims(tenant, resource, rev);
        let kid = format!("{}-key{}", TENANTS[tenant], self.workload.keys[tenant]);
        let mark = (self.stormy && self.chance.once_in(3)).then(|| {
            // Some codes are redeemed at two nodes at once.
            let again = self.chance.once_in(2) && self.workload.marks > 0;
            self.workload.marks += u64::from(!again);
            self.workload.marks
        });
        if mark.is_some_and(|mark| self.is(Planted::ReadThenWrite) && self.db.is_spent(tenant, mark)) {
            return;
        }
        let mint = Mint { tenant, claims, kid, mark };
        let checks = if self.stormy && self.chance.once_in(5) { 15_000 } else { 50 };
        let checks = self.chance.within(1, checks);
        self.node_after(n, checks, NodeStep::Sign { mint, knew });
    }

    fn claims(
        &mut self,
        tenant: usize,
        resource: u64,
        rev: taskpass::protocol::claims::Rev,
    ) -> Rc<AccessTokenClaims> {
        let of = TENANTS[tenant];
        let (number, now) = (self.workload.minted, (self.now / 1_000).cast_signed());
        let mut one = |what: &str, among: u64| format!("{of}-{what}{}", self.chance.below(among));
        let agents = [one("agent", 4), one("agent", 4)];
        let act = Actor {
            sub: agents[0].clone(),
            act: Some(Box::new(Actor { sub: agents[1].clone(), act: None })),
        };
        let (sub, session, consent) = (one("usr", 5), one("session", 6), one("consent", 6));
        let (task, root) = (one("task", 9), one("root", 5));
        let lifetime = self.chance.pick(if self.stormy { &[20, 60, 240, 300] } else { &[60] });
        Rc::new(AccessTokenClaims {
            iss: "https://id.example".into(),
            aud: ResourceUri::parse(&uri(tenant, resource)).expect("it is a URI"),
            sub,
            exp: Timestamp(now + lifetime),
            iat: Timestamp(now),
            jti: format!("{of}-token{number}"),
            client_id: agents[0].clone(),
            act: Some(act),
            may_act: None,
            scope: Scope::default(),
            authorization_details: AuthorizationDetails::default(),
            cnf: None,
            task: Some(task),
            task_ancestors: vec![root],
            rev,
            consent: Some(consent),
            sid: Some(session),
            tenant: of.into(),
        })
    }

    /// One of the newer tokens.
    fn some_token(&mut self) -> Option<usize> {
        let len = self.history.tokens.len();
        let back = self.chance.index(30.min(len)) + 1;
        len.checked_sub(back)
    }

    fn call(&mut self) {
        let Some(token) = self.some_token() else { return };
        let slow = self.chance.once_in(6);
        let work = self.chance.within(0, if slow { 40_000 } else { 100 });
        let call = Call::new(token, self.chance.index(2), work);
        self.at_any(call);
    }

    /// A call with a token comes to one of the enforcers that it is for.
    fn at_any(&mut self, call: Call) {
        let claims = &self.history.tokens[call.token].claims;
        let mine = |e: &usize| self.enforcers[*e].owner.resource == claims.aud.as_str();
        let own: Vec<_> = (0..self.enforcers.len()).filter(mine).collect();
        if !own.is_empty() {
            let e = self.chance.pick(&own);
            self.present(e, call);
        }
    }

    fn present(&mut self, e: usize, call: Call) {
        // How long the signature takes.
        let verify = self.chance.within(0, 3);
        self.enforcer_after(e, verify, EnforcerStep::Read(call));
    }

    /// Whoever holds a token that was just cut tries it everywhere, for as long as it may work and longer.
    pub(crate) fn hunt(&mut self, revocation: usize) {
        let cut = &self.history.revocations[revocation];
        let hit = |token: &&usize| {
            let token = &self.history.tokens[**token];
            let by_scope =
                scopes(&token.claims, Some(&token.kid)).any(|(kind, id)| kind == cut.kind && id == cut.id);
            token.tenant == cut.tenant && (by_scope || cut.kind == ScopeKind::Tool)
        };
        let len = self.history.tokens.len();
        let tokens: Vec<_> = (len.saturating_sub(20)..len).collect();
        let hit: Vec<_> = tokens.iter().rev().filter(hit).take(3).copied().collect();
        for token in hit {
            for _ in 0..4 {
                let claims = &self.history.tokens[token].claims;
                let mine = |e: &usize| self.enforcers[*e].owner.resource == claims.aud.as_str();
                let own: Vec<_> = (0..self.enforcers.len()).filter(mine).collect();
                if own.is_empty() {
                    continue;
                }
                let e = self.chance.pick(&own);
                let lease = u64::try_from(self.enforcers[e].lease.as_millis()).unwrap();
                let near = self.chance.once_in(2);
                let delay =
                    if near { self.chance.within(0, 2_000) } else { self.chance.within(0, lease + 4_000) };
                let work = self.chance.within(0, 300);
                let call = Call::new(token, self.chance.index(2), work);
                self.schedule(delay, Event::World(Chore::Present(e, call)));
            }
        }
    }

    fn revoke(&mut self) {
        let Some(token) = self.some_token() else { return };
        let token = &self.history.tokens[token];
        let (tenant, claims, key) = (token.tenant, token.claims.clone(), token.kid.clone());
        let mut kind = ScopeKind::ALL[self.chance.index(ScopeKind::ALL.len())];
        if kind == ScopeKind::Tenant && !self.chance.once_in(5) {
            kind = ScopeKind::Token;
        }
        let id = if kind == ScopeKind::Tool {
            format!("{}#tool{}", claims.aud, self.chance.below(2))
        } else {
            let hits: Vec<_> = scopes(&claims, Some(&key)).filter(|(other, _)| *other == kind).collect();
            hits[self.chance.index(hits.len())].1.to_owned()
        };
        let n = self.chance.index(self.nodes.len());
        if self.nodes[n].life.paused_until > self.now {
            return;
        }
        if kind == ScopeKind::Key {
            self.workload.keys[tenant] += 1;
        }
        self.ask_database(n, Query::Revoke { tenant, kind, id });
    }

    /// Everything has healed a while ago: whoever isn't fresh, or refuses a good token, has not recovered.
    fn exam(&mut self) {
        for e in 0..self.enforcers.len() {
            let now = self.enforcer_uptime(e);
            let enforcer = &self.enforcers[e];
            if !enforcer.follower.view().is_fresh(enforcer.lease, now) {
                self.history.not_recovered.push(format!("enforcer {e} is stale"));
            }
            let good = (self.workload.exam_from..self.history.tokens.len())
                .find(|token| self.history.tokens[*token].claims.aud.as_str() == enforcer.owner.resource);
            match good {
                Some(token) => self.present(e, Call::exam(token)),
                None => self.history.not_recovered.push(format!("nobody mints for enforcer {e}")),
            }
        }
    }
}

/// The URI of a resource.
pub(crate) fn uri(tenant: usize, resource: u64) -> String {
    format!("https://{}.example/r{resource}", TENANTS[tenant])
}
