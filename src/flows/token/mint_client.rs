//! Rule 9 for a client: a person's own token, in the task that the person has granted. It has no actor.

use super::attempt::Attempt;
use super::mint::{Minted, impacts, write};
use crate::domain::access_token::expiry;
use crate::domain::exchange::Rule;
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Resource, SenderConstraint, Status};
use crate::flows::FlowError;
use crate::policy::{Asked, Who};
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::claims::{AccessTokenClaims, MayAct};
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::storage::tasks::NewTask;
use crate::time::Timestamp;

/// What is minted for a client.
pub(super) struct ForClient<'a> {
    /// To whom.
    pub(super) client_id: &'a str,
    /// For whom.
    pub(super) sub: &'a str,
    /// For where.
    pub(super) resource: &'a ResourceUri,
    /// Granted scopes.
    pub(super) scope: Scope,
    /// Granted details.
    pub(super) authorization_details: AuthorizationDetails,
    /// The agent that may exchange it.
    pub(super) may_act: Option<&'a str>,
    /// The consent that it rests on.
    pub(super) consent: Option<&'a str>,
    /// The person's session.
    pub(super) sid: Option<&'a str>,
    /// The task, whether it is opened now, and when it ends at the latest.
    pub(super) task: (&'a str, bool, Timestamp),
}

/// The resource of a grant, if tokens for it are issued.
pub(super) fn active_resource<'a>(
    attempt: &Attempt<'a>,
    resource: &ResourceUri,
) -> Result<&'a Resource, Refusal> {
    let resource = attempt.state.registry.resource(resource.as_str()).ok_or(Refusal::TargetUnknown)?;
    if resource.status != Status::Active {
        return Err(Refusal::TargetDisabled);
    }
    if resource.token.sender_constraint == SenderConstraint::Required {
        return Err(Refusal::SenderConstraintRequired);
    }
    Ok(resource)
}

/// Mints for a client what a person, or the person's company, has granted.
pub(super) fn for_client(attempt: &mut Attempt<'_>, granted: ForClient<'_>) -> Result<Minted, FlowError> {
    let now = attempt.now;
    let resource = active_resource(attempt, granted.resource)?;
    let tools = impacts(&attempt.state.registry, resource, &granted.authorization_details);
    if tools.iter().any(|(name, _)| resource.tool(name).is_some_and(|tool| tool.disabled)) {
        return Err(Refusal::ToolDisabled.into());
    }
    attempt.rule = Rule::Policy;
    let registered = attempt.state.registry.client(granted.client_id);
    attempt.check_policy(&Asked {
        who: Who::Client(granted.client_id, registered.map_or("", |client| &client.owner)),
        resource,
        sub: granted.sub,
        scope: &granted.scope,
        tools: &tools,
        depth: 0,
    })?;
    attempt.rule = Rule::Task;
    let (task, opened_now, deadline) = granted.task;
    let worst = tools.iter().map(|(_, impact)| *impact).max();
    let exp = expiry(resource, worst, &[deadline], now);
    if exp <= now {
        return Err(Refusal::TaskDeadlinePassed.into());
    }
    let claims = AccessTokenClaims {
        iss: attempt.tenant.issuer.clone(),
        aud: resource.resource.clone(),
        sub: granted.sub.to_owned(),
        exp,
        iat: now,
        jti: attempt.server.entropy.ordered_id("tok", now),
        client_id: granted.client_id.to_owned(),
        act: None,
        may_act: granted.may_act.map(|sub| MayAct { sub: sub.to_owned() }),
        scope: granted.scope,
        authorization_details: granted.authorization_details,
        cnf: None,
        task: Some(task.to_owned()),
        task_ancestors: Vec::new(),
        rev: attempt.rev.clone(),
        consent: granted.consent.map(str::to_owned),
        sid: granted.sid.map(str::to_owned),
        tenant: attempt.tenant.name.to_string(),
    };
    let new_task = opened_now.then(|| {
        NewTask(
            task.to_owned(),
            "[]".to_owned(),
            granted.client_id.to_owned(),
            granted.sub.to_owned(),
            String::new(),
            None,
            now,
            deadline,
        )
    });
    let rules = (resource.token.format, resource.token.alg);
    Ok(write(attempt, claims, rules, (new_task, None))?.until(deadline))
}
