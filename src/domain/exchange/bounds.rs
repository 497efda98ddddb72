//! Rule 6: scope and details ⊆ subject token ∩ consent ∩ ceiling ∩ what the resource understands.

use super::{Granted as GrantedUnder, Request, Rule, Stopped, UpstreamUser};
use crate::domain::delegation::Standing;
use serde_json::Value;

use crate::domain::narrowing::{DetailTypes, MCP_TOOL_CALL};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Agent, Consent, Registry, Resource, Status};
use crate::protocol::authorization_details::{AuthorizationDetail, AuthorizationDetails};
use crate::protocol::claims::AccessTokenClaims;
use crate::protocol::scope::Scope;
use crate::time::Timestamp;

/// What is granted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Granted {
    pub(super) scope: Scope,
    pub(super) authorization_details: AuthorizationDetails,
}

/// Whose bound it is.
#[derive(Clone, Copy)]
enum Whose<'a> {
    SubjectToken,
    Consent(&'a str),
    Ceiling(&'a str),
    Downstream,
}

impl std::fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SubjectToken => f.write_str("the subject token"),
            Self::Consent(id) => write!(f, "consent {id}"),
            Self::Ceiling(agent) => write!(f, "the ceiling of agent {agent}"),
            Self::Downstream => f.write_str("what the tools of the subject token lead to"),
        }
    }
}

/// A refusal of rule 6, and what it was about.
fn because(refusal: Refusal, because: String) -> Stopped {
    Stopped { rule: Rule::Bounds, refusal, because: Some(because) }
}

fn plain(refusal: Refusal) -> Stopped {
    Stopped { rule: Rule::Bounds, refusal, because: None }
}

/// One bound.
struct Bound<'a> {
    whose: Whose<'a>,
    scope: &'a Scope,
    details: &'a AuthorizationDetails,
}

/// What every bound check of one request needs.
pub(super) struct Bounds<'a> {
    pub(super) registry: &'a Registry,
    pub(super) agent: &'a Agent,
    pub(super) resource: &'a Resource,
    pub(super) request: &'a Request,
    pub(super) standing: Standing,
    pub(super) now: Timestamp,
}

impl<'a> Bounds<'a> {
    /// For a person by an upstream token: the first consent under which the request fits. A person's own consent is
    /// tried before a group's; if none fits, the first one's refusal is the answer.
    pub(super) fn under_consents(&self, user: &'a UpstreamUser) -> Result<GrantedUnder<'a>, Stopped> {
        let who = (user.subject.as_str(), user.groups.as_slice());
        let mut consents =
            self.registry.consents_for(&self.agent.agent, &self.resource.resource, &user.issuer, who);
        let here =
            |given: &&Consent| given.agent == self.agent.agent && given.resource == self.resource.resource;
        consents.extend(user.given.iter().filter(here));
        if consents.is_empty() {
            return Err(Stopped::at(Rule::MayAct)(Refusal::ConsentMissing));
        }
        let mut live = consents.into_iter().filter(|consent| self.now < consent.expires_at).peekable();
        if live.peek().is_none() {
            return Err(Stopped::at(Rule::MayAct)(Refusal::ConsentExpired));
        }
        let mut first = None;
        for consent in live {
            match self.grant(&[consent_bound(consent), self.ceiling()?]) {
                Ok(granted) => return Ok((granted, Some(consent))),
                Err(stopped) => first = first.or(Some(stopped)),
            }
        }
        Err(first.unwrap_or(plain(Refusal::ConsentMissing)))
    }

    /// For one of our own tokens.
    pub(super) fn under_token(
        &self,
        token: &AccessTokenClaims,
        given: Option<&'a Consent>,
    ) -> Result<GrantedUnder<'a>, Stopped> {
        let ceiling = self.ceiling()?;
        // The consent is looked at again: it may have been withdrawn or narrowed, or have ended, since the token was minted.
        let resting = match &token.consent {
            Some(id) => {
                let consent = given.or_else(|| self.registry.consent(id));
                Some(consent.ok_or(plain(Refusal::ConsentMissing))?)
            }
            None => None,
        };
        if resting.is_some_and(|consent| self.now >= consent.expires_at) {
            return Err(plain(Refusal::ConsentExpired));
        }
        if self.standing == Standing::BehindResource {
            let ways = self.downstream(token);
            let downstream =
                Bound { whose: Whose::Downstream, scope: &ways.scope, details: &ways.authorization_details };
            return Ok((self.grant(&[downstream, ceiling])?, None));
        }
        let own =
            Bound { whose: Whose::SubjectToken, scope: &token.scope, details: &token.authorization_details };
        let consent = resting.filter(|consent| consent.resource == self.resource.resource);
        let granted = match consent {
            Some(consent) => self.grant(&[own, consent_bound(consent), ceiling])?,
            None => self.grant(&[own, ceiling])?,
        };
        Ok((granted, consent))
    }

    /// For nobody.
    pub(super) fn under_ceiling(&self) -> Result<Granted, Stopped> {
        let ceiling = self.ceiling()?;
        self.grant(&[ceiling])
    }

    fn ceiling(&self) -> Result<Bound<'a>, Stopped> {
        let ceiling = self.registry.ceiling(self.agent, &self.resource.resource);
        let ceiling = ceiling.ok_or_else(|| Stopped::at(Rule::Target)(Refusal::TargetNotInCeiling))?;
        Ok(Bound {
            whose: Whose::Ceiling(&self.agent.agent),
            scope: &ceiling.scopes,
            details: &ceiling.authorization_details,
        })
    }

    /// What the tools that the token may call lead to at the target: a token for one tool opens only that tool's way.
    fn downstream(&self, token: &AccessTokenClaims) -> Granted {
        let tools = self.types().tools_for(&token.authorization_details, token.aud.as_str());
        let source = self.registry.resource(token.aud.as_str());
        let ways = source.into_iter().filter(|source| source.status == Status::Active).flat_map(|source| {
            source.downstream.iter().filter(|way| {
                let enabled = source.tool(&way.tool).is_some_and(|tool| !tool.disabled);
                way.resource == self.resource.resource && enabled && tools.contains(&way.tool)
            })
        });
        let (mut scopes, mut details) = (Vec::new(), Vec::new());
        for way in ways {
            scopes.extend(way.scopes.iter());
            details.extend(way.authorization_details.iter().cloned());
        }
        Granted {
            scope: Scope::from_tokens(scopes).unwrap_or_default(),
            authorization_details: AuthorizationDetails::from_details(details).unwrap_or_default(),
        }
    }

    fn types(&self) -> &'a DetailTypes {
        &self.registry.detail_types
    }

    /// What is asked for, if every bound allows it. Both omitted means the largest common part; one omitted means that
    /// none of it is wanted, since whoever names what it needs doesn't need the rest.
    fn grant(&self, bounds: &[Bound<'_>]) -> Result<Granted, Stopped> {
        let granted = match (&self.request.scope, &self.request.authorization_details) {
            (None, None) => self.largest(bounds),
            (scope, details) => Granted {
                scope: scope.clone().unwrap_or_default(),
                authorization_details: details.clone().unwrap_or_default(),
            },
        };
        self.check_resource(&granted)?;
        for bound in bounds {
            if !granted.scope.within(bound.scope) {
                let beyond = beyond(&granted.scope, bound.scope);
                return Err(because(scope_exceeds(bound.whose), format!("{beyond}: not in {}", bound.whose)));
            }
            if let Err(error) = self.types().within(&granted.authorization_details, bound.details) {
                let what = format!("{}, in {}", error.in_full(), bound.whose);
                return Err(because(details_exceed(bound.whose), what));
            }
        }
        // RFC 9396 §6 and design rule 6: an empty set grants nothing, so a token for it would be a lie.
        if granted.scope.is_empty() && granted.authorization_details.is_empty() {
            return Err(plain(Refusal::NothingToGrant));
        }
        Ok(granted)
    }

    fn largest(&self, bounds: &[Bound<'_>]) -> Granted {
        let Some((first, rest)) = bounds.split_first() else {
            return Granted::default();
        };
        let start = Granted { scope: first.scope.clone(), authorization_details: first.details.clone() };
        let mut largest = rest.iter().fold(start, |largest, bound| Granted {
            scope: largest.scope.meet(bound.scope),
            authorization_details: self.types().meet(&largest.authorization_details, bound.details),
        });
        largest.scope = largest.scope.meet(&self.resource.scopes);
        largest.authorization_details = without_disabled_tools(self.resource, &largest.authorization_details);
        largest
    }

    fn check_resource(&self, granted: &Granted) -> Result<(), Stopped> {
        if !granted.scope.within(&self.resource.scopes) {
            let beyond = beyond(&granted.scope, &self.resource.scopes);
            return Err(because(Refusal::ScopeUnknownToResource, beyond));
        }
        // RFC 9396 §5: "The AS MUST refuse to process any unknown authorization details type or authorization details
        // not conforming to the respective type definition."
        let details = &granted.authorization_details;
        let checked = self.types().check(details, &self.resource.detail_types);
        checked.map_err(|error| because(Refusal::DetailsNotAccepted, error.in_full()))?;
        if details.iter().any(|detail| names_other_location(detail.object(), self.resource.resource.as_str()))
        {
            return Err(plain(Refusal::DetailsForOtherResource));
        }
        let tools = self.types().tools_for(details, self.resource.resource.as_str());
        let disabled = |name: &&String| self.resource.tool(name).is_some_and(|tool| tool.disabled);
        match tools.iter().find(disabled) {
            Some(tool) => Err(because(Refusal::ToolDisabled, format!("tool {tool}"))),
            None => Ok(()),
        }
    }
}

/// The scopes of one set that another lacks.
fn beyond(asked: &Scope, bound: &Scope) -> String {
    asked.iter().filter(|scope| !bound.contains(scope)).collect::<Vec<_>>().join(" ")
}

/// A token has one audience; details that speak of another place would be read there by whoever checks only details.
pub(crate) fn names_other_location(detail: &serde_json::Map<String, Value>, resource: &str) -> bool {
    match detail.get("locations") {
        None => false,
        Some(Value::Array(places)) => places.iter().any(|place| place.as_str() != Some(resource)),
        Some(_) => true,
    }
}

/// The details without the tools of the resource that are switched off: the rest of a grant outlives them.
pub(crate) fn without_disabled_tools(
    resource: &Resource,
    details: &AuthorizationDetails,
) -> AuthorizationDetails {
    let disabled: Vec<_> = resource.tools.iter().filter(|tool| tool.disabled).collect();
    if disabled.is_empty() {
        return details.clone();
    }
    let is_off = |tool: &Value| disabled.iter().any(|disabled| tool["name"] == *disabled.name);
    let kept = details.iter().filter_map(|detail| {
        let mut object = detail.object().clone();
        if let (MCP_TOOL_CALL, Some(tools)) =
            (detail.kind(), object.get_mut("tools").and_then(Value::as_array_mut))
        {
            tools.retain(|tool| !is_off(tool));
            if tools.is_empty() {
                return None;
            }
        }
        AuthorizationDetail::new(object).ok()
    });
    AuthorizationDetails::from_details(kept.collect()).unwrap_or_default()
}

fn consent_bound(consent: &Consent) -> Bound<'_> {
    Bound {
        whose: Whose::Consent(&consent.consent),
        scope: &consent.scopes,
        details: &consent.authorization_details,
    }
}

fn scope_exceeds(whose: Whose<'_>) -> Refusal {
    match whose {
        Whose::SubjectToken => Refusal::ScopeExceedsSubjectToken,
        Whose::Consent(_) => Refusal::ScopeExceedsConsent,
        Whose::Ceiling(_) => Refusal::ScopeExceedsCeiling,
        Whose::Downstream => Refusal::ScopeExceedsDownstream,
    }
}

fn details_exceed(whose: Whose<'_>) -> Refusal {
    match whose {
        Whose::SubjectToken => Refusal::DetailsExceedSubjectToken,
        Whose::Consent(_) => Refusal::DetailsExceedConsent,
        Whose::Ceiling(_) => Refusal::DetailsExceedCeiling,
        Whose::Downstream => Refusal::DetailsExceedDownstream,
    }
}
