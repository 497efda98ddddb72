//! The rules of token exchange that need nothing but what is known (design section 4, rules 4 to 6 and 8; RFC 8693).
//!
//! A request names what it wants. It gets that, or a refusal with the bound that refused; nothing is narrowed silently.

mod bounds;

use serde::Serialize;

use super::delegation::{self, Standing};
use super::refusal::Refusal;
use super::registry::{Agent, Consent, Registry, Resource, Status};
use super::task::{Task, TaskLimits, TaskPlan};
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::claims::{AccessTokenClaims, Actor};
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::time::Timestamp;
use bounds::Bounds;
pub(crate) use bounds::{names_other_location, without_disabled_tools};

/// A person whom a trusted identity provider has vouched for.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamUser {
    /// Our own id of the person.
    pub id: String,
    /// The identity provider.
    pub issuer: String,
    /// The person's `sub` there.
    pub subject: String,
    /// The person's groups there.
    pub groups: Vec<String>,
    /// When the token that vouches for the person was issued, if it says so.
    pub issued_at: Option<Timestamp>,
    /// Our own id of the person's session there.
    pub sid: Option<String>,
    /// What the person has said yes to here, as far as it was looked up.
    pub given: Vec<Consent>,
}

/// For whom a token is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// The bearer of one of our own tokens, the task that it belongs to, and the consent that a person has given and that it
    /// rests on; an administrator's is in the registry.
    Token(Box<AccessTokenClaims>, Option<Task>, Option<Box<Consent>>),
    /// A person, by an upstream token.
    Upstream(UpstreamUser),
    /// Nobody: the agent for itself.
    Nobody,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `resource` and `audience` values, as they came.
    pub targets: Vec<String>,
    /// `scope`.
    pub scope: Option<Scope>,
    /// `authorization_details`.
    pub authorization_details: Option<AuthorizationDetails>,
    /// `task_purpose`.
    pub task_purpose: Option<String>,
    /// `task_lifetime`, in seconds.
    pub task_lifetime: Option<i64>,
}

/// What may be granted, before policy and task have had their say.
#[derive(Clone, Debug)]
pub struct Bounded<'a> {
    /// Who asks.
    pub agent: &'a Agent,
    /// For where.
    pub resource: &'a Resource,
    /// In whose name: the person's id, or the agent's own.
    pub sub: String,
    /// The actor chain.
    pub act: Actor,
    /// Granted scopes.
    pub scope: Scope,
    /// Granted details.
    pub authorization_details: AuthorizationDetails,
    /// The consent that it rests on.
    pub consent: Option<String>,
    /// When that consent ends.
    pub consent_expires_at: Option<Timestamp>,
    /// The person's session.
    pub sid: Option<String>,
    /// What happens to the task tree.
    pub plan: TaskPlan,
}

/// The rules of design section 4, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// 1. The client proves who it is.
    Authenticate,
    /// 2. The authenticated client is the actor.
    Actor,
    /// 3. The subject token is genuine and alive.
    Subject,
    /// 4. This agent may act for this subject.
    MayAct,
    /// 5. The target is one known resource in the agent's ceiling.
    Target,
    /// 6. Scope and details are within every bound.
    Bounds,
    /// 7. Policy permits.
    Policy,
    /// 8. The task is open.
    Task,
}

impl Rule {
    /// Every rule, in order.
    pub const ALL: [Self; 8] = [
        Self::Authenticate,
        Self::Actor,
        Self::Subject,
        Self::MayAct,
        Self::Target,
        Self::Bounds,
        Self::Policy,
        Self::Task,
    ];
}

/// Where a request stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// At which rule.
    pub rule: Rule,
    /// What the caller is told.
    pub refusal: Refusal,
    /// What else an administrator is told who asks for an explanation: which entry, tool or limit it was. It may repeat
    /// input and name what the caller must not learn.
    pub because: Option<String>,
}

impl Stopped {
    fn at(rule: Rule) -> impl Fn(Refusal) -> Self {
        move |refusal| Self { rule, refusal, because: None }
    }
}

/// Decides rules 4 to 6 and plans rule 8. On refusal, says at which rule.
pub fn decide<'a>(
    registry: &'a Registry,
    agent: &'a Agent,
    subject: &'a Subject,
    request: &'a Request,
    limits: TaskLimits,
    now: Timestamp,
) -> Result<Bounded<'a>, Stopped> {
    let at = Stopped::at;
    if agent.owner.is_empty() {
        return Err(at(Rule::MayAct)(Refusal::AgentWithoutOwner));
    }
    let (sub, standing) = may_act(registry, agent, subject).map_err(at(Rule::MayAct))?;
    let resource = target(registry, agent, request).map_err(at(Rule::Target))?;
    if let Subject::Token(token, _, _) = subject {
        check_reach(registry, token, standing, resource).map_err(at(Rule::Target))?;
    }
    let before = match subject {
        Subject::Token(token, _, _) => token.act.as_ref(),
        Subject::Upstream(_) | Subject::Nobody => None,
    };
    let act = delegation::chain(&agent.agent, standing, before, limits.depth).map_err(at(Rule::Task))?;
    let bounds = Bounds { registry, agent, resource, request, standing, now };
    let (granted, consent) = match subject {
        Subject::Upstream(user) => bounds.under_consents(user)?,
        Subject::Token(token, _, given) => bounds.under_token(token, given.as_deref())?,
        Subject::Nobody => (bounds.under_ceiling()?, None),
    };
    Ok(Bounded {
        agent,
        resource,
        sub,
        act,
        scope: granted.scope,
        authorization_details: granted.authorization_details,
        consent: consent.map(|consent| consent.consent.clone()).or_else(|| inherited_consent(subject)),
        // At another resource the consent is not a bound, but its end is.
        consent_expires_at: consent
            .or_else(|| resting_consent(registry, subject))
            .map(|consent| consent.expires_at),
        sid: match subject {
            Subject::Token(token, _, _) => token.sid.clone(),
            Subject::Upstream(user) => user.sid.clone(),
            Subject::Nobody => None,
        },
        plan: plan(subject, standing),
    })
}

fn may_act(registry: &Registry, agent: &Agent, subject: &Subject) -> Result<(String, Standing), Refusal> {
    let (sub, standing) = match subject {
        Subject::Token(token, _, _) => {
            (token.sub.clone(), delegation::standing(&agent.agent, token, registry)?)
        }
        Subject::Upstream(user) => (user.id.clone(), Standing::Delegate),
        Subject::Nobody => (agent.agent.clone(), Standing::Delegate),
    };
    if registry.is_disabled(&sub) {
        return Err(Refusal::UserDisabled);
    }
    let ended = match subject {
        Subject::Upstream(user) => registry.is_logged_out(&user.id, user.sid.as_deref(), user.issued_at),
        Subject::Token(token, _, _) => token.sid.as_deref().is_some_and(|sid| registry.is_session_ended(sid)),
        Subject::Nobody => false,
    };
    if ended {
        return Err(Refusal::SubjectTokenRevoked);
    }
    Ok((sub, standing))
}

/// RFC 8707 §2: "If the client omits the `resource` parameter … or the authorization server fails to parse the provided
/// value(s) or does not consider the resource(s) acceptable, it should reject the request with … `invalid_target`".
fn target<'a>(registry: &'a Registry, agent: &Agent, request: &Request) -> Result<&'a Resource, Refusal> {
    let mut targets = request.targets.iter();
    let first = targets.next().ok_or(Refusal::TargetMissing)?;
    if targets.any(|other| other != first) {
        return Err(Refusal::TargetNotSingle);
    }
    ResourceUri::parse(first).map_err(|_| Refusal::TargetMalformed)?;
    let resource = registry.resource(first).ok_or(Refusal::TargetUnknown)?;
    if resource.status != Status::Active {
        return Err(Refusal::TargetDisabled);
    }
    registry.ceiling(agent, &resource.resource).ok_or(Refusal::TargetNotInCeiling)?;
    Ok(resource)
}

/// A token opens its own audience again, or what its resource's tools lead to; nothing else, since a scope means
/// something else at another resource.
fn check_reach(
    registry: &Registry,
    token: &AccessTokenClaims,
    standing: Standing,
    target: &Resource,
) -> Result<(), Refusal> {
    let leads_on = || {
        let source = registry.resource(token.aud.as_str());
        source.is_some_and(|source| source.downstream.iter().any(|way| way.resource == target.resource))
    };
    let reachable = match standing {
        Standing::BehindResource => leads_on(),
        Standing::OwnActor | Standing::Delegate => token.aud == target.resource,
    };
    if reachable { Ok(()) } else { Err(Refusal::TargetNotReachable) }
}

fn resting_consent<'a>(registry: &'a Registry, subject: &'a Subject) -> Option<&'a Consent> {
    let given = match subject {
        Subject::Token(_, _, given) => given.as_deref(),
        Subject::Upstream(_) | Subject::Nobody => None,
    };
    given.or_else(|| inherited_consent(subject).and_then(|id| registry.consent(&id)))
}

fn inherited_consent(subject: &Subject) -> Option<String> {
    match subject {
        Subject::Token(token, _, _) => token.consent.clone(),
        Subject::Upstream(_) | Subject::Nobody => None,
    }
}

fn plan(subject: &Subject, standing: Standing) -> TaskPlan {
    match subject {
        Subject::Token(_, Some(task), _) if standing == Standing::OwnActor => TaskPlan::Renewal(task.clone()),
        Subject::Token(_, Some(task), _) => TaskPlan::Child(task.clone()),
        Subject::Token(_, None, _) | Subject::Upstream(_) | Subject::Nobody => TaskPlan::Root,
    }
}

/// What a bound check grants, and the consent it rests on.
type Granted<'a> = (bounds::Granted, Option<&'a Consent>);
