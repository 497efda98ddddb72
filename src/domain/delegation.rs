//! Who may exchange whose token (design rule 4), and the actor chain that comes of it (RFC 8693 §4.1, §4.4).

use super::refusal::Refusal;
use super::registry::Registry;
use crate::protocol::claims::{AccessTokenClaims, Actor};

/// Why an agent may exchange one of our tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the token's own actor: a renewal, which adds no level.
    OwnActor,
    /// The token was issued to it, names it in `may_act`, or its actor may delegate to it.
    Delegate,
    /// It runs behind the resource that the token is for, and goes on from there.
    BehindResource,
}

/// Decides rule 4 for one of our own tokens.
///
/// RFC 8693 §4.4: "When a `subject_token` contains a `may_act` claim, the authorization server uses it to determine
/// whether the client (or party identified in the `actor_token`) is authorized to engage in the requested delegation".
pub fn standing(agent: &str, token: &AccessTokenClaims, registry: &Registry) -> Result<Standing, Refusal> {
    if let Some(may_act) = &token.may_act {
        // `may_act` is exhaustive: a token that names its actor can't be taken up by another.
        return if may_act.sub == agent { Ok(Standing::Delegate) } else { Err(Refusal::ActorNotInMayAct) };
    }
    if token.client_id == agent {
        return Ok(if token.actor() == Some(agent) { Standing::OwnActor } else { Standing::Delegate });
    }
    // Only the outermost actor is asked: inner ones are history and decide nothing (RFC 8693 §4.1).
    let current = token.actor().and_then(|actor| registry.agent(actor));
    if current.is_some_and(|actor| actor.may_delegate_to.iter().any(|to| to == agent)) {
        return Ok(Standing::Delegate);
    }
    let serves = registry
        .resource(token.aud.as_str())
        .is_some_and(|resource| resource.served_by.iter().any(|by| by == agent));
    if serves { Ok(Standing::BehindResource) } else { Err(Refusal::AgentMayNotActForSubject) }
}

/// The actor chain of the new token: the agent on the outside, what was there within, never dropped, never forged.
pub fn chain(
    agent: &str,
    standing: Standing,
    before: Option<&Actor>,
    depth: usize,
) -> Result<Actor, Refusal> {
    if standing == Standing::OwnActor {
        return before.cloned().ok_or(Refusal::AgentMayNotActForSubject);
    }
    let act = Actor { sub: agent.to_owned(), act: before.cloned().map(Box::new) };
    if act.chain().count() > depth { Err(Refusal::DelegationTooDeep) } else { Ok(act) }
}
