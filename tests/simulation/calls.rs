//! A call on its way through an enforcer: the steps of `enforcer::check`.

use std::time::Duration;

use taskpass::domain::cutoff::{ScopeKind, Verdict};
use taskpass::enforcer::view::Decision;
use taskpass::protocol::claims::AccessTokenClaims;
use taskpass::protocol::resource::ResourceUri;
use taskpass::time::Uptime;

use super::database::TENANTS;
use super::enforcer::{Call, EnforcerStep, TIMEOUT};
use super::history::{Accept, Ms};
use super::node::OWN_LEASE;
use super::planted::Planted;
use super::wire::Body;
use super::world::World;

/// How old knowledge is at most that came by introspection: the node's own lease, and the time of the answer.
const INTROSPECTED: Ms = OWN_LEASE + ANSWER_HOLDS;
/// For how long after the question an introspection answer holds.
const ANSWER_HOLDS: Ms = 10_000;

impl World {
    /// What the enforcer says about a token, with the bugs that are planted here.
    pub(crate) fn decide(&self, e: usize, call: Call, at: Uptime) -> Decision {
        let token = &self.history.tokens[call.token];
        let follower = &self.enforcers[e].follower;
        let (claims, kid) = (&*token.claims, Some(token.kid.as_str()));
        let decision = match self.planted {
            Some(Planted::IgnoreLease) => Decision::Known(follower.view().verdict(claims, kid)),
            Some(Planted::OneScopeOnly) => follower.decide(&only_itself(claims), None, at),
            _ => follower.decide(claims, kid, at),
        };
        let tool_cut = follower.view().is_tool_cut(claims, &format!("tool{}", call.tool));
        match decision {
            Decision::Known(Verdict::Alive) if tool_cut => Decision::Known(Verdict::Cut(ScopeKind::Tool)),
            other => other,
        }
    }

    pub(crate) fn admit(&mut self, e: usize, mut call: Call, at: Uptime) {
        if self.enforcers[e].kept.contains(&call.token) {
            call.introspected = Some(INTROSPECTED);
            return self.enforcer_after(e, call.work, EnforcerStep::Release(call, at));
        }
        match self.decide(e, call, at) {
            Decision::Known(Verdict::Alive) => {
                self.enforcer_after(e, call.work, EnforcerStep::Release(call, at));
            }
            Decision::Known(Verdict::Cut(_)) => self.refused(e, call, false),
            other if call.asked => self.refused(e, call, other == Decision::Stale),
            _ => {
                call.asked = true;
                self.enforcers[e].turn.calls.push(call);
                self.renew(e);
            }
        }
    }

    pub(crate) fn admit_stale(&mut self, e: usize, call: Call) {
        if !self.enforcers[e].introspects || call.exam {
            return self.refused(e, call, true);
        }
        self.history.stale += 1;
        let (number, now) = (self.next_number(e), self.enforcer_uptime(e));
        self.enforcers[e].asked_about.push((number, call, now));
        self.send(e, number, Body::Introspect(call.token));
        self.enforcer_after(e, TIMEOUT, EnforcerStep::Timeout { number });
    }

    pub(crate) fn introspected(&mut self, e: usize, number: u64, active: Option<bool>, now: Uptime) {
        let asked = &mut self.enforcers[e].asked_about;
        let Some(at) = asked.iter().position(|(asked, ..)| *asked == number) else { return };
        let (_, mut call, sent) = asked.remove(at);
        let late = now.since(sent) > Duration::from_millis(ANSWER_HOLDS);
        if active != Some(true) || late {
            return self.refused(e, call, active.is_none() || late);
        }
        call.introspected = Some(INTROSPECTED);
        if self.is(Planted::CachedIntrospection) {
            self.enforcers[e].kept.push(call.token);
        }
        // The answer took its time: what was good when it was asked may have been cut since.
        self.release(e, call, now, now);
    }

    /// The last look: the clock is read, and the token decided on, in the moment in which the answer goes out.
    pub(crate) fn release(&mut self, e: usize, call: Call, decided: Uptime, now: Uptime) {
        let token = &self.history.tokens[call.token];
        let enforcer = &self.enforcers[e];
        let at = if self.is(Planted::NoSecondCheck) { decided } else { now };
        let expired = enforcer.follower.now(&enforcer.clock) >= token.claims.exp;
        let cut =
            matches!(enforcer.follower.view().verdict(&token.claims, Some(&token.kid)), Verdict::Cut(_));
        let cached = self.is(Planted::CachedIntrospection) && call.introspected.is_some();
        let good = match self.decide(e, call, at) {
            Decision::Known(Verdict::Alive) => true,
            _ if self.is(Planted::NoSecondCheck) => true,
            _ => call.introspected.is_some() && (!cut || cached),
        };
        if expired || !good {
            return self.refused(e, call, !expired);
        }
        self.note(|| format!("enforcer {e} accepts token {} ({call:?})", call.token));
        let bound = call.introspected.unwrap_or(self.enforcers[e].bound());
        let (token, tool, introspected) = (call.token, call.tool, call.introspected.map(|_| ANSWER_HOLDS));
        self.history.accepts.push(Accept { at: self.now, token, enforcer: e, tool, bound, introspected });
    }

    pub(crate) fn refused(&mut self, e: usize, call: Call, stale: bool) {
        self.history.refusals += 1;
        self.history.stale += u64::from(stale);
        if call.exam {
            let why = format!("enforcer {e} of {} refuses a good token", TENANTS[self.enforcers[e].tenant]);
            self.history.not_recovered.push(why);
        }
    }
}

/// The claims as whoever looks at one scope sees them.
fn only_itself(claims: &AccessTokenClaims) -> AccessTokenClaims {
    let none = String::new;
    AccessTokenClaims {
        sub: none(),
        client_id: none(),
        act: None,
        task: None,
        task_ancestors: Vec::new(),
        consent: None,
        sid: None,
        tenant: none(),
        aud: ResourceUri::parse("https://nowhere.example").expect("it is a URI"),
        ..claims.clone()
    }
}
