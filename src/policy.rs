//! Policy (rule 7): Cedar decides permit, deny, or needs approval. The only place that names cedar.

use std::collections::HashSet;
use std::str::FromStr as _;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, PolicyId, PolicySet, Request, RestrictedExpression,
};

use crate::domain::registry::{Agent, Impact, RegistryError, Resource};
use crate::protocol::scope::Scope;
use crate::time::Timestamp;

/// What policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Permit,
    /// No; which policies said so, for an administrator.
    Deny(String),
    /// Not without a person's answer to this very action; which policies ask for it.
    NeedsApproval(String),
}

/// A tenant's policies, compiled; none permit everything that the other rules permit.
#[derive(Debug, Default)]
pub struct Policy {
    set: Option<PolicySet>,
}

/// A `forbid` with this annotation asks for approval instead: `@decision("needs_approval") forbid (…);`
const ANNOTATION: &str = "decision";

/// What a policy is called in explanations: `@id("no-writes-at-night")`. Without it, by its place in the text.
const NAME: &str = "id";

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

    /// Decides about what would be granted. Principal `Agent::"id"` or `Client::"id"`, action `Action::"mint"`, resource
    /// `Resource::"uri"`; the context has `sub`, `person`, `scopes`, `tools`, `impacts`, `depth` and `now` (seconds).
    ///
    /// An error while evaluating any policy is a deny: a policy that can't be read must not be skipped.
    pub fn decide(&self, asked: &Asked<'_>, now: Timestamp) -> Verdict {
        let Some(set) = &self.set else {
            return Verdict::Permit;
        };
        let Some((request, entities)) = question(asked, now) else {
            return Verdict::Deny("the request can't be put to policy".into());
        };
        let answer = Authorizer::new().is_authorized(&request, set, &entities);
        let failed: Vec<_> = answer.diagnostics().errors().map(failed).collect();
        if !failed.is_empty() {
            return Verdict::Deny(format!("{} failed while it was evaluated", names(set, &failed)));
        }
        let reasons: Vec<_> = answer.diagnostics().reason().collect();
        let asks =
            |id: &PolicyId| set.policy(id).is_some_and(|policy| policy.annotation(ANNOTATION).is_some());
        let (asking, denying): (Vec<_>, Vec<_>) = reasons.into_iter().partition(|id| asks(id));
        match answer.decision() {
            Decision::Allow => Verdict::Permit,
            Decision::Deny if !denying.is_empty() => {
                Verdict::Deny(format!("{} forbids it", names(set, &denying)))
            }
            Decision::Deny if !asking.is_empty() => {
                Verdict::NeedsApproval(format!("{} asks for it", names(set, &asking)))
            }
            Decision::Deny => Verdict::Deny("no policy permits it".into()),
        }
    }
}

fn failed(error: &AuthorizationError) -> &PolicyId {
    let AuthorizationError::PolicyEvaluationError(error) = error;
    error.policy_id()
}

/// The policies' names, or their places in the text counted from 1: Cedar numbers them `policy0`, `policy1`, ….
fn names(set: &PolicySet, ids: &[&PolicyId]) -> String {
    let name = |id: &PolicyId| match set.annotation(id, NAME) {
        Some(name) if !name.is_empty() => format!("policy {name}"),
        _ => match id.to_string().strip_prefix("policy").and_then(|place| place.parse::<usize>().ok()) {
            Some(place) => format!("policy number {}", place + 1),
            None => format!("policy {id}"),
        },
    };
    let mut names: Vec<_> = ids.iter().map(|id| name(id)).collect();
    names.sort_unstable();
    names.join(", ")
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(EntityTypeName::from_str(kind).ok()?, EntityId::new(id)))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

/// What is put to policy.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who would hold the token.
    pub who: Who<'a>,
    /// For where.
    pub resource: &'a Resource,
    /// In whose name.
    pub sub: &'a str,
    /// Scopes.
    pub scope: &'a Scope,
    /// Tools, each with its impact.
    pub tools: &'a [(String, Impact)],
    /// How many agents act.
    pub depth: usize,
}

/// Who would hold a token.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// A workload.
    Agent(&'a Agent),
    /// Software that a person uses: its id, and who answers for it; nobody where it isn't registered.
    Client(&'a str, &'a str),
}

impl Who<'_> {
    fn question(&self) -> (&'static str, &str, Vec<(&'static str, RestrictedExpression)>) {
        match self {
            Self::Agent(agent) => (
                "Agent",
                &agent.agent,
                vec![
                    ("owner", text(&agent.owner)),
                    ("environment", text(&agent.environment)),
                    ("tier", RestrictedExpression::new_long(agent.tier.into())),
                ],
            ),
            Self::Client(id, owner) => ("Client", id, vec![("owner", text(owner))]),
        }
    }
}

fn question(asked: &Asked<'_>, now: Timestamp) -> Option<(Request, Entities)> {
    let (kind, id, attributes) = asked.who.question();
    let resource = asked.resource;
    let principal = uid(kind, id)?;
    let target = uid("Resource", resource.resource.as_str())?;
    let named = |pairs: Vec<(&str, RestrictedExpression)>| {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let what = vec![("owner", text(&resource.owner)), ("data_class", text(&resource.data_class))];
    let entities = [
        Entity::new(principal.clone(), named(attributes), HashSet::new()).ok()?,
        Entity::new(target.clone(), named(what), HashSet::new()).ok()?,
    ];
    let set = |values: Vec<RestrictedExpression>| RestrictedExpression::new_set(values);
    let context = Context::from_pairs([
        ("sub".to_owned(), text(asked.sub)),
        ("person".to_owned(), RestrictedExpression::new_bool(asked.sub != id)),
        ("scopes".to_owned(), set(asked.scope.iter().map(text).collect())),
        ("tools".to_owned(), set(asked.tools.iter().map(|(name, _)| text(name)).collect())),
        ("impacts".to_owned(), set(asked.tools.iter().map(|(_, impact)| text(impact.as_str())).collect())),
        ("depth".to_owned(), RestrictedExpression::new_long(i64::try_from(asked.depth).ok()?)),
        ("now".to_owned(), RestrictedExpression::new_long(now.0)),
    ]);
    let request = Request::new(principal, uid("Action", "mint")?, target, context.ok()?, None).ok()?;
    Some((request, Entities::from_entities(entities, None).ok()?))
}
