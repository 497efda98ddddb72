//! Policy (rule 7): Cedar decides permit, deny, or needs approval. The only place that names cedar.

use std::collections::HashSet;
use std::str::FromStr as _;

use cedar_policy::{
    Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet,
    Request, RestrictedExpression,
};

use crate::domain::exchange::Bounded;
use crate::domain::registry::RegistryError;
use crate::time::Timestamp;

/// What policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Permit,
    /// No.
    Deny,
    /// Not without a person's answer to this very action.
    NeedsApproval,
}

/// A tenant's policies, compiled; none permit everything that the other rules permit.
#[derive(Debug, Default)]
pub struct Policy {
    set: Option<PolicySet>,
}

/// A `forbid` with this annotation asks for approval instead: `@decision("needs_approval") forbid (…);`
const ANNOTATION: &str = "decision";

impl Policy {
    /// Compiles Cedar text.
    pub fn compile(text: Option<&str>) -> Result<Self, RegistryError> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            return Ok(Self::default());
        };
        let set = PolicySet::from_str(text)
            .map_err(|error| RegistryError::new("policies", format!("{error:?}")))?;
        for policy in set.policies() {
            if policy
                .annotation(ANNOTATION)
                .is_some_and(|value| value != "needs_approval" || policy.effect() != Effect::Forbid)
            {
                return Err(RegistryError::new(
                    "policies",
                    "the only @decision is \"needs_approval\", on a forbid",
                ));
            }
        }
        Ok(Self { set: Some(set) })
    }

    /// Decides about what would be granted. Principal `Agent::"id"`, action `Action::"mint"`, resource
    /// `Resource::"uri"`; the context has `sub`, `person`, `scopes`, `tools`, `impacts`, `depth` and `now` (seconds).
    ///
    /// An error while evaluating any policy is a deny: a policy that can't be read must not be skipped.
    pub fn decide(&self, granted: &Bounded<'_>, tools: &[(String, &'static str)], now: Timestamp) -> Verdict {
        let Some(set) = &self.set else {
            return Verdict::Permit;
        };
        let Some((request, entities)) = question(granted, tools, now) else {
            return Verdict::Deny;
        };
        let answer = Authorizer::new().is_authorized(&request, set, &entities);
        if answer.diagnostics().errors().next().is_some() {
            return Verdict::Deny;
        }
        match answer.decision() {
            Decision::Allow => Verdict::Permit,
            Decision::Deny => {
                let mut reasons = answer.diagnostics().reason().peekable();
                let asks = |id| set.policy(id).is_some_and(|policy| policy.annotation(ANNOTATION).is_some());
                if reasons.peek().is_some() && reasons.all(asks) {
                    Verdict::NeedsApproval
                } else {
                    Verdict::Deny
                }
            }
        }
    }
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(EntityTypeName::from_str(kind).ok()?, EntityId::new(id)))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn question(
    granted: &Bounded<'_>,
    tools: &[(String, &'static str)],
    now: Timestamp,
) -> Option<(Request, Entities)> {
    let (agent, resource) = (granted.agent, granted.resource);
    let principal = uid("Agent", &agent.agent)?;
    let target = uid("Resource", resource.resource.as_str())?;
    let attributes = |pairs: Vec<(&str, RestrictedExpression)>| {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let who = attributes(vec![
        ("owner", text(&agent.owner)),
        ("environment", text(&agent.environment)),
        ("tier", RestrictedExpression::new_long(agent.tier.into())),
    ]);
    let what = attributes(vec![("owner", text(&resource.owner)), ("data_class", text(&resource.data_class))]);
    let entities = [
        Entity::new(principal.clone(), who, HashSet::new()).ok()?,
        Entity::new(target.clone(), what, HashSet::new()).ok()?,
    ];
    let context = Context::from_pairs([
        ("sub".to_owned(), text(&granted.sub)),
        ("person".to_owned(), RestrictedExpression::new_bool(granted.sub != agent.agent)),
        ("scopes".to_owned(), RestrictedExpression::new_set(granted.scope.iter().map(text))),
        ("tools".to_owned(), RestrictedExpression::new_set(tools.iter().map(|(name, _)| text(name)))),
        ("impacts".to_owned(), RestrictedExpression::new_set(tools.iter().map(|(_, impact)| text(impact)))),
        (
            "depth".to_owned(),
            RestrictedExpression::new_long(i64::try_from(granted.act.chain().count()).ok()?),
        ),
        ("now".to_owned(), RestrictedExpression::new_long(now.0)),
    ]);
    let request = Request::new(principal, uid("Action", "mint")?, target, context.ok()?, None).ok()?;
    Some((request, Entities::from_entities(entities, None).ok()?))
}
