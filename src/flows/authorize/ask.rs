//! An authorization request as it came, and what it asks for.

use crate::domain::authorization::{AuthorizationRequest, Prompt};
use crate::domain::exchange::names_other_location;
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Resource, SenderConstraint, Status};
use crate::domain::scope_tools::{details_of_nothing_named, details_of_scopes, in_combination};
use crate::flows::TenantState;
use crate::flows::clients::KnownClient;
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::params::Params;
use crate::protocol::pkce;
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;

/// SEP-2207 and OpenID Connect Core §11: the scope by which a client asks for refresh tokens. Clients of ours get them
/// anyway where they are registered for them, so it is understood and grants nothing.
const OFFLINE_ACCESS: &str = "offline_access";

/// The parameters of an authorization request, each taken once.
#[derive(Debug, Default)]
pub struct AuthorizationForm<'a> {
    /// `client_id`.
    pub client_id: Option<&'a str>,
    /// `redirect_uri`.
    pub redirect_uri: Option<&'a str>,
    /// `state`.
    pub state: Option<&'a str>,
    /// `request_uri` (RFC 9126).
    pub request_uri: Option<&'a str>,
    request: Option<&'a str>,
    response_type: Option<&'a str>,
    response_mode: Option<&'a str>,
    code_challenge: Option<&'a str>,
    code_challenge_method: Option<&'a str>,
    targets: Vec<&'a str>,
    scope: Option<&'a str>,
    authorization_details: Option<&'a str>,
    requested_actor: Option<&'a str>,
    prompt: Option<&'a str>,
    login_hint: Option<&'a str>,
}

/// A `state` is a handle of the client's, in bytes at most. It is kept, by strangers' wish, until it is sent back.
const LONGEST_STATE: usize = 2048;

impl<'a> AuthorizationForm<'a> {
    /// Takes each parameter; a repeated one is refused, whichever it is.
    pub fn from_params(params: &'a Params<'a>) -> Result<Self, Refusal> {
        if params.one("state")?.is_some_and(|state| state.len() > LONGEST_STATE) {
            return Err(Refusal::RequestMalformed);
        }
        Ok(Self {
            client_id: params.one("client_id")?,
            redirect_uri: params.one("redirect_uri")?,
            state: params.one("state")?,
            request_uri: params.one("request_uri")?,
            request: params.one("request")?,
            response_type: params.one("response_type")?,
            response_mode: params.one("response_mode")?,
            code_challenge: params.one("code_challenge")?,
            code_challenge_method: params.one("code_challenge_method")?,
            targets: params.many("resource"),
            scope: params.one("scope")?,
            authorization_details: params.one("authorization_details")?,
            requested_actor: params.one("requested_actor")?,
            prompt: params.one("prompt")?,
            login_hint: params.one("login_hint")?,
        })
    }

    /// Checks everything but the client and its redirect URI.
    pub(super) fn check(
        &self,
        state: &TenantState,
        client: &KnownClient,
    ) -> Result<AuthorizationRequest, Refusal> {
        // What stands in a request object would otherwise be ignored in silence.
        if self.request.is_some() {
            return Err(Refusal::RequestObjectUnsupported);
        }
        // OAuth 2.1 §4.1.1: `response_type` is REQUIRED, and `code` is the only one left.
        match self.response_type {
            Some("code") => {}
            Some(_) => return Err(Refusal::ResponseTypeUnsupported),
            None => return Err(Refusal::ParameterMissing),
        }
        if self.response_mode.is_some_and(|mode| mode != "query") {
            return Err(Refusal::ResponseModeUnsupported);
        }
        let code_challenge = self.code_challenge()?;
        let resource = self.resource(state, client)?;
        let scope = self.scope(resource)?;
        let authorization_details = self.details(state, resource, &scope)?;
        if scope.is_empty() && authorization_details.is_empty() {
            return Err(Refusal::NothingToGrant);
        }
        Ok(AuthorizationRequest {
            client_id: client.id.clone(),
            redirect_uri: self.redirect_uri.unwrap_or_default().to_owned(),
            state: self.state.map(str::to_owned),
            code_challenge: code_challenge.to_owned(),
            resource: resource.resource.clone(),
            scope,
            authorization_details,
            requested_actor: self.actor(state, resource)?,
            prompt: self.prompt()?,
            login_hint: self.login_hint.map(|hint| hint.chars().take(320).collect()),
            pushed: None,
            signed_in_by: None,
        })
    }

    /// RFC 9700 §2.1.1: "authorization servers … MUST support PKCE", public clients MUST use it, and here everybody does.
    fn code_challenge(&self) -> Result<&'a str, Refusal> {
        // RFC 7636 §4.3: the method "defaults to `plain` if not present in the request", and plain is refused.
        if self.code_challenge.is_some() && self.code_challenge_method != Some("S256") {
            return Err(Refusal::CodeChallengeMethodUnsupported);
        }
        self.code_challenge.filter(|text| pkce::is_challenge(text)).ok_or(Refusal::CodeChallengeMissing)
    }

    fn resource<'s>(&self, state: &'s TenantState, client: &KnownClient) -> Result<&'s Resource, Refusal> {
        let first = self.targets.first().ok_or(Refusal::TargetMissing)?;
        if self.targets.iter().any(|target| target != first) {
            return Err(Refusal::TargetNotSingle);
        }
        ResourceUri::parse(first).map_err(|_| Refusal::TargetMalformed)?;
        let resource = state.registry.resource(first).ok_or(Refusal::TargetUnknown)?;
        if resource.status != Status::Active {
            return Err(Refusal::TargetDisabled);
        }
        if resource.token.sender_constraint == SenderConstraint::Required {
            return Err(Refusal::SenderConstraintRequired);
        }
        if client.may_ask_for(&resource.resource) { Ok(resource) } else { Err(Refusal::ClientNotForResource) }
    }

    /// What is asked for, or, where nothing is named at all, what the resource gives at first: the person sees it.
    fn scope(&self, resource: &Resource) -> Result<Scope, Refusal> {
        let Some(text) = self.scope else {
            let named = self.authorization_details.is_some();
            return Ok(if named { Scope::default() } else { resource.first_scopes().clone() });
        };
        let asked = Scope::parse(text).map_err(|_| Refusal::ScopeMalformed)?;
        let wanted = asked.iter().filter(|token| *token != OFFLINE_ACCESS);
        let wanted = Scope::from_tokens(wanted).map_err(|_| Refusal::ScopeMalformed)?;
        if wanted.within(&resource.scopes) { Ok(wanted) } else { Err(Refusal::ScopeUnknownToResource) }
    }

    /// The details that are named, and what the scopes stand for: most clients can name scopes only (decision 0011).
    fn details(
        &self,
        state: &TenantState,
        resource: &Resource,
        scope: &Scope,
    ) -> Result<AuthorizationDetails, Refusal> {
        let Some(text) = self.authorization_details else {
            return Ok(match self.scope {
                Some(_) => details_of_scopes(resource, scope),
                None => details_of_nothing_named(resource),
            });
        };
        let details = AuthorizationDetails::parse(text).map_err(|_| Refusal::DetailsMalformed)?;
        let types = &state.registry.detail_types;
        types.check(&details, &resource.detail_types).map_err(|_| Refusal::DetailsNotAccepted)?;
        let uri = resource.resource.as_str();
        if details.iter().any(|detail| names_other_location(detail.object(), uri)) {
            return Err(Refusal::DetailsForOtherResource);
        }
        let tools = types.tools_for(&details, uri);
        if tools.iter().any(|name| resource.tool(name).is_some_and(|tool| tool.disabled)) {
            return Err(Refusal::ToolDisabled);
        }
        // RFC 9396 §3: "The AS MUST process both sets of requirements in combination with each other".
        in_combination(resource, scope, &details).ok_or(Refusal::DetailsNotAccepted)
    }

    /// The agent that the client wants to hand the token to, which the person will see.
    fn actor(&self, state: &TenantState, resource: &Resource) -> Result<Option<String>, Refusal> {
        let Some(id) = self.requested_actor else {
            return Ok(None);
        };
        let agent = state.registry.agent(id).filter(|agent| agent.status == Status::Active);
        let agent = agent.filter(|agent| state.registry.ceiling(agent, &resource.resource).is_some());
        agent.map(|agent| Some(agent.agent.clone())).ok_or(Refusal::ActorUnknown)
    }

    fn prompt(&self) -> Result<Prompt, Refusal> {
        let Some(text) = self.prompt else {
            return Ok(Prompt::Any);
        };
        let words: Vec<_> = text.split(' ').collect();
        // OpenID Connect Core §3.1.2.1: "If this parameter contains `none` with any other value, an error is returned."
        match words.as_slice() {
            ["none"] => Ok(Prompt::None),
            words if words.contains(&"none") => Err(Refusal::RequestMalformed),
            words if words.contains(&"login") || words.contains(&"select_account") => Ok(Prompt::Login),
            words if words.contains(&"consent") => Ok(Prompt::Consent),
            _ => Ok(Prompt::Any),
        }
    }
}
