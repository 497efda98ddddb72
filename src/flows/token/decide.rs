//! One decision about a token request, rule by rule (design section 4).

use super::ask::{Ask, Form};
use super::attempt::Attempt;
use super::mint::{self, Minted};
use super::response::TokenResponse;
use crate::domain::exchange::{self, Rule, Subject, UpstreamUser};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Principal, PrincipalKind, SenderConstraint};
use crate::domain::task;
use crate::flows::client_authentication::claimed;
use crate::flows::{FlowError, authenticate, own_token, subject_token, svid};
use crate::policy::{Asked, Verdict, Who};
use crate::protocol::token_type::{AUTHORIZATION_CODE, JWT_BEARER_GRANT, REFRESH_TOKEN, TokenType};
use crate::storage::journal::Mint;

impl Attempt<'_> {
    /// Rules 1 to 9: refuses at the first that fails, else mints.
    pub(super) async fn decide(&mut self, form: &Form<'_>) -> Result<(Mint, TokenResponse), FlowError> {
        if matches!(form.grant_type, Some(AUTHORIZATION_CODE | REFRESH_TOKEN)) {
            return Ok(self.decide_for_client(form).await?.into_parts(false));
        }
        if form.grant_type == Some(JWT_BEARER_GRANT) {
            return Ok(self.take_id_jag(form).await?.into_parts(false));
        }
        let named_alone = form.credentials.assertion.is_none() && form.credentials.client_id.is_some();
        if named_alone && !form.credentials.other_method {
            // A public client hears what it can't ask for, rather than that it proves nothing.
            form.ask()?;
        }
        let client = authenticate(self.server, self.tenant, self.state, form.credentials, self.now).await;
        let client =
            client.inspect_err(|_| self.event.client_id = claimed(self.state, form.credentials.assertion))?;
        self.mark = client.mark;
        self.server.limits.token.take(&self.tenant.name, &client.id)?;
        self.event.client_id = Some(client.id.clone());
        let principal = self.state.registry.principal(&client.id).ok_or(Refusal::ClientUnknown)?;
        let minted = self.decide_for(principal, form).await?;
        let exchanged = matches!(form.ask()?, Ask::Exchange { .. });
        Ok(minted.into_parts(exchanged))
    }

    /// Rules 2 to 9 for a client that is known.
    pub(super) async fn decide_for(
        &mut self,
        principal: &Principal,
        form: &Form<'_>,
    ) -> Result<Minted, FlowError> {
        self.rule = Rule::Actor;
        let ask = form.ask()?;
        let request = form.request()?;
        self.note_request(&request);
        if principal.kind != PrincipalKind::Agent {
            return self.builtin(principal, &ask, &request);
        }
        let subject = match ask {
            Ask::ClientCredentials => Subject::Nobody,
            // Agents exchange tokens; what a person has granted to a client is the client's.
            Ask::AuthorizationCode { .. } | Ask::RefreshToken(_) | Ask::IdJag(_) => {
                return Err(Refusal::GrantNotForThisClient.into());
            }
            Ask::Exchange { subject, actor } => {
                let actor_task = self.check_actor(principal, actor).await?;
                self.rule = Rule::Subject;
                let (server, tenant, state) = (self.server, self.tenant, self.state);
                let proved =
                    subject_token::verify(server, tenant, state, principal, subject, self.now).await?;
                check_same_task(&proved, actor_task.as_deref())?;
                if let Subject::Token(claims, _, _) = &proved {
                    self.rest_on(claims, subject.0);
                }
                proved
            }
        };
        self.note_subject(&subject);
        let decided = self.grant(principal, &subject, &request);
        match (decided, subject) {
            // No administrator has said yes; the person may have. Looked up only now: most tokens need no look.
            (Err(FlowError::Refused(refusal)), Subject::Upstream(user)) if is_about_consent(refusal) => {
                let (server, tenant) = (self.server, self.tenant);
                let given = subject_token::given(server, tenant, &user, &principal.id, self.now).await?;
                if given.is_empty() {
                    return Err(refusal.into());
                }
                self.grant(principal, &Subject::Upstream(UpstreamUser { given, ..user }), &request)
            }
            (decided, _) => decided,
        }
    }

    /// Rules 4 to 9.
    fn grant(
        &mut self,
        principal: &Principal,
        subject: &Subject,
        request: &exchange::Request,
    ) -> Result<Minted, FlowError> {
        let registry = &self.state.registry;
        let agent = registry.agent(&principal.id).ok_or(Refusal::ClientUnknown)?;
        let limits = self.server.settings.tasks;
        let bounded =
            exchange::decide(registry, agent, subject, request, limits, self.now).map_err(|stopped| {
                (self.rule, self.because) = (stopped.rule, stopped.because);
                stopped.refusal
            })?;
        self.rule = Rule::Policy;
        let tools = mint::impacts(registry, bounded.resource, &bounded.authorization_details);
        let asked = Asked {
            who: Who::Agent(bounded.agent),
            resource: bounded.resource,
            sub: &bounded.sub,
            scope: &bounded.scope,
            tools: &tools,
            depth: bounded.act.chain().count(),
        };
        self.check_policy(&asked)?;
        if bounded.resource.token.sender_constraint == SenderConstraint::Required {
            return Err(Refusal::SenderConstraintRequired.into());
        }
        self.rule = Rule::Task;
        let deadline = task::deadline(&bounded.plan, request.task_lifetime, limits, self.now)?;
        let worst = tools.iter().map(|(_, impact)| *impact).max();
        mint::for_agent(self, &bounded, request, (subject, worst, deadline))
    }

    /// Rule 7.
    pub(super) fn check_policy(&mut self, asked: &Asked<'_>) -> Result<(), Refusal> {
        let (because, refusal) = match self.state.policy.decide(asked, self.now) {
            Verdict::Permit => return Ok(()),
            Verdict::Deny(because) => (because, Refusal::PolicyDenied),
            Verdict::NeedsApproval(because) => (because, Refusal::PolicyNeedsApproval),
        };
        self.because = Some(because);
        Err(refusal)
    }

    /// Rule 2: "the authenticated client is the actor". An actor token must prove the same agent; the task that it
    /// belongs to, if it is one of ours, is returned.
    async fn check_actor(
        &mut self,
        principal: &Principal,
        actor: Option<(&str, TokenType)>,
    ) -> Result<Option<String>, FlowError> {
        let (server, tenant, state) = (self.server, self.tenant, self.state);
        match actor {
            None => Ok(None),
            Some((token, TokenType::AccessToken)) => {
                let verified = own_token::verify(server, tenant, state, token, self.now).await?;
                let verified = verified.ok_or(Refusal::ActorTokenNotAccepted)?;
                if verified.claims.actor() == Some(&principal.id) && verified.claims.cnf.is_none() {
                    self.rest_on(&verified.claims, token);
                    Ok(verified.claims.task.clone())
                } else {
                    Err(Refusal::ActorTokenNotOfClient.into())
                }
            }
            Some((token, TokenType::Jwt)) => {
                let proved = svid::verify(server, tenant, state, token, self.now).await;
                let proved = proved.map_err(|error| match error {
                    FlowError::Refused(_) => Refusal::ActorTokenNotAccepted.into(),
                    fault => fault,
                })?;
                let same = principal.spiffe_ids.iter().any(|id| id == proved.as_str());
                if same { Ok(None) } else { Err(Refusal::ActorTokenNotOfClient.into()) }
            }
            Some((_, TokenType::IdToken)) => Err(Refusal::ActorTokenNotAccepted.into()),
        }
    }

    /// Administrators' tools and enforcers act for nobody and get tokens for this server's own endpoints only.
    fn builtin(
        &mut self,
        principal: &Principal,
        ask: &Ask<'_>,
        request: &exchange::Request,
    ) -> Result<Minted, FlowError> {
        if !matches!(ask, Ask::ClientCredentials) {
            return Err(Refusal::GrantNotForThisClient.into());
        }
        self.rule = Rule::Target;
        mint::for_builtin(self, principal, request)
    }
}

/// Whether another consent could lead to another answer.
fn is_about_consent(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::ConsentMissing
            | Refusal::ConsentExpired
            | Refusal::ScopeExceedsConsent
            | Refusal::DetailsExceedConsent
            | Refusal::NothingToGrant
    )
}

/// A subject of one task and an actor of another, each genuine, must not be spliced into one token.
fn check_same_task(subject: &Subject, actor_task: Option<&str>) -> Result<(), Refusal> {
    match (subject, actor_task) {
        (Subject::Token(claims, _, _), Some(actor)) => {
            let related = claims.task.as_deref() == Some(actor)
                || claims.task_ancestors.iter().any(|task| task == actor);
            if related { Ok(()) } else { Err(Refusal::ActorTokenNotOfClient) }
        }
        _ => Ok(()),
    }
}
