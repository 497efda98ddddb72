//! Identity assertion grants (draft-ietf-oauth-identity-assertion-authz-grant-04, "ID-JAG", and MCP's
//! enterprise-managed authorization): a company's identity provider says that a client may have a token for a person.
//! The provider decides in the person's place, so what it says is a bound on every side: it is never widened.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::exchange::{Request, Rule, names_other_location};
use super::narrowing::DetailTypes;
use super::refusal::Refusal;
use super::registry::{Registry, Resource};
use super::scope_tools::in_combination;
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::numeric_date::{Audience, NumericDate};
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::time::Timestamp;

/// The JWT `typ` of an ID-JAG.
pub const ID_JAG_TYP: &str = "oauth-id-jag+jwt";
/// The longest that an ID-JAG may be valid, in seconds: "ID-JAGs MUST be short-lived" (MCP §7.4.2).
const LONGEST: i64 = 3600;
/// How far a provider's clock may be ahead, in seconds.
const SKEW: i64 = 30;

/// What an ID-JAG says, once its signature has been checked.
#[derive(Clone, Debug, Deserialize)]
pub struct IdJag {
    /// The person, as the provider knows it.
    pub sub: String,
    aud: Audience,
    client_id: String,
    /// Its id, which may come once.
    pub jti: String,
    /// When it ends.
    pub exp: NumericDate,
    /// When it was issued.
    pub iat: NumericDate,
    nbf: Option<NumericDate>,
    resource: Option<Audience>,
    scope: Option<String>,
    authorization_details: Option<Value>,
    /// The person's session there.
    pub sid: Option<String>,
    /// Which of the claims are there that change what the others mean, whatever they say.
    #[serde(skip)]
    names: Names,
}

#[derive(Clone, Copy, Debug, Default)]
struct Names {
    tenant: bool,
    actor: bool,
    cnf: bool,
}

/// What may be minted for one.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted<'a> {
    /// Where.
    pub resource: &'a Resource,
    /// Which scopes.
    pub scope: Scope,
    /// Which details.
    pub authorization_details: AuthorizationDetails,
}

impl IdJag {
    /// Reads the claims. `auth_time`, `acr`, `amr`, `email` and whatever else an ID token may say are nothing to decide by.
    pub fn read(claims: &Map<String, Value>) -> Result<Self, Refusal> {
        let has = |name: &str| claims.contains_key(name);
        let names = Names { tenant: has("tenant"), actor: has("act") || has("may_act"), cnf: has("cnf") };
        let read = Self::deserialize(claims).map_err(|_| Refusal::IdJagMalformed)?;
        Ok(Self { names, ..read })
    }

    /// Whether it is meant for this server, from this client, now, and says nothing that isn't understood.
    pub fn check(&self, issuer: &str, client_id: &str, now: Timestamp) -> Result<(), Refusal> {
        let unfit =
            |text: &str, most| text.is_empty() || text.len() > most || text.chars().any(char::is_control);
        if unfit(&self.sub, 255)
            || unfit(&self.jti, 256)
            || self.sid.as_deref().is_some_and(|sid| unfit(sid, 255))
        {
            return Err(Refusal::IdJagMalformed);
        }
        // §4.4.1: "If the `aud` claim is an array, it MUST contain exactly one element, and that element MUST be the issuer
        // identifier of the Resource Authorization Server." RFC 7523 §3 would take the token endpoint as well; the profile
        // doesn't, and is followed.
        if !self.aud.is_only(issuer) {
            return Err(Refusal::IdJagAudienceWrong);
        }
        // §4.4.1: "The `client_id` claim MUST identify the same client as the client authentication in the request."
        if self.client_id != client_id {
            return Err(Refusal::IdJagOfOtherClient);
        }
        self.check_dates(now)?;
        // §3.1: `sub` is unique with `iss` "for a single-tenant issuer", and with both and `tenant` otherwise. People are
        // known by issuer and subject here, so two of a multi-tenant issuer could be taken for one.
        if self.names.tenant {
            return Err(Refusal::IdJagOfATenant);
        }
        // RFC 8693 §4.1: an actor would be history that can't be verified; it must neither vanish nor be believed. The
        // draft leaves `act` to "future profiles or extensions".
        if self.names.actor {
            return Err(Refusal::IdJagAlreadyDelegated);
        }
        // §8.6.1.2.2: a bound assertion without a proof MUST be refused with `invalid_grant`; no proof is taken here yet.
        if self.names.cnf {
            return Err(Refusal::IdJagBoundWithoutProof);
        }
        Ok(())
    }

    fn check_dates(&self, now: Timestamp) -> Result<(), Refusal> {
        if now >= self.exp.0 {
            return Err(Refusal::IdJagExpired);
        }
        let ahead = |date: NumericDate| date.0 > now.plus(SKEW);
        if ahead(self.iat) || self.nbf.is_some_and(ahead) {
            return Err(Refusal::IdJagNotYetValid);
        }
        if self.exp.0.since(self.iat.0) > LONGEST {
            return Err(Refusal::IdJagLivesTooLong);
        }
        Ok(())
    }

    /// When nothing valid can carry its id any more.
    pub fn forgotten_at(&self) -> Timestamp {
        self.exp.0.plus(SKEW)
    }

    /// What the client gets: what the provider says, within what the client asks for, at a resource that it may have
    /// (`allowed`; every one when empty).
    pub fn grant<'a>(
        &self,
        registry: &'a Registry,
        allowed: &[ResourceUri],
        request: &Request,
    ) -> Result<Granted<'a>, (Rule, Refusal)> {
        let at = |rule| move |refusal| (rule, refusal);
        let resource = self.resource(registry, request).map_err(at(Rule::Target))?;
        if !allowed.is_empty() && !allowed.contains(&resource.resource) {
            return Err((Rule::Target, Refusal::ClientNotForResource));
        }
        let scope = self.scope(resource, request).map_err(at(Rule::Bounds))?;
        let bound = self.details(registry, resource, &scope).map_err(at(Rule::Bounds))?;
        let authorization_details = match &request.authorization_details {
            None => bound,
            Some(asked) => {
                let types = &registry.detail_types;
                check_details(types, resource, asked).map_err(at(Rule::Bounds))?;
                types.within(asked, &bound).map_err(|_| (Rule::Bounds, Refusal::DetailsExceedIdJag))?;
                asked.clone()
            }
        };
        if scope.is_empty() && authorization_details.is_empty() {
            return Err((Rule::Bounds, Refusal::NothingToGrant));
        }
        Ok(Granted { resource, scope, authorization_details })
    }

    /// MCP §7.6: `aud` and `resource` "MUST be treated as a bound pair to prevent cross-server token confusion attacks".
    /// One without `resource` would open every resource of this issuer that has such a scope, so it opens none.
    fn resource<'a>(&self, registry: &'a Registry, request: &Request) -> Result<&'a Resource, Refusal> {
        let named = self.resource.as_ref().ok_or(Refusal::IdJagResourceMissing)?;
        let first = named.iter().next().ok_or(Refusal::IdJagResourceMissing)?;
        // §4.4.1 lets the server choose from several; a token has one audience, and the choice isn't ours to make.
        if !named.is_only(first) {
            return Err(Refusal::IdJagResourceNotSingle);
        }
        let resource = registry.resource(first).ok_or(Refusal::IdJagResourceUnknown)?;
        match request.targets.iter().find(|target| *target != first) {
            Some(_) => Err(Refusal::TargetNotOfIdJag),
            None => Ok(resource),
        }
    }

    /// MCP §7.2.1: the server "MUST validate that the scopes in the ID-JAG are a subset of or equal to the scopes requested
    /// in the access token request, and issue access tokens with scopes that are the intersection" of the two. A request
    /// without `scope` asks for what the assertion says. The answer always names what was granted.
    fn scope(&self, resource: &Resource, request: &Request) -> Result<Scope, Refusal> {
        let said = match &self.scope {
            None => Scope::default(),
            Some(text) => Scope::parse(text).map_err(|_| Refusal::IdJagMalformed)?,
        };
        // MCP §7.6.2: "If either the `aud`, `resource` or `scope` claim does not match the expected values, the MCP
        // Authorization Server MUST reject the request with an `invalid_grant` error."
        if !said.within(&resource.scopes) {
            return Err(Refusal::IdJagScopeUnknownToResource);
        }
        let Some(asked) = &request.scope else {
            return Ok(said);
        };
        if !asked.within(&resource.scopes) {
            return Err(Refusal::ScopeUnknownToResource);
        }
        if said.within(asked) { Ok(said.meet(asked)) } else { Err(Refusal::IdJagExceedsRequest) }
    }

    /// §4.4.1: "If both `scope` and `authorization_details` claims are present, the Resource Authorization Server MUST process
    /// both": the details, and what the scopes stand for.
    fn details(
        &self,
        registry: &Registry,
        resource: &Resource,
        scope: &Scope,
    ) -> Result<AuthorizationDetails, Refusal> {
        let said = match &self.authorization_details {
            None => AuthorizationDetails::default(),
            Some(value) => AuthorizationDetails::from_value(value.clone())
                .map_err(|_| Refusal::IdJagDetailsNotAccepted)?,
        };
        check_details(&registry.detail_types, resource, &said).map_err(|refusal| match refusal {
            Refusal::DetailsNotAccepted | Refusal::DetailsForOtherResource => {
                Refusal::IdJagDetailsNotAccepted
            }
            other => other,
        })?;
        in_combination(resource, scope, &said).ok_or(Refusal::IdJagDetailsNotAccepted)
    }
}

fn check_details(
    types: &DetailTypes,
    resource: &Resource,
    details: &AuthorizationDetails,
) -> Result<(), Refusal> {
    let uri = resource.resource.as_str();
    // RFC 9396 §5: "The AS MUST refuse to process any unknown authorization details type or authorization details not
    // conforming to the respective type definition."
    types.check(details, &resource.detail_types).map_err(|_| Refusal::DetailsNotAccepted)?;
    if details.iter().any(|detail| names_other_location(detail.object(), uri)) {
        return Err(Refusal::DetailsForOtherResource);
    }
    let off = |name: &String| resource.tool(name).is_some_and(|tool| tool.disabled);
    if types.tools_for(details, uri).iter().any(off) { Err(Refusal::ToolDisabled) } else { Ok(()) }
}
