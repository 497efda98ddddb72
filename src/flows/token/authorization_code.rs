//! `authorization_code`: the client brings back what a person's browser brought it (OAuth 2.1 §4.1.3, RFC 7636 §4.5).

use super::ask::{Ask, Form};
use super::attempt::Attempt;
use super::mint::Minted;
use super::mint_client::{ForClient, active_resource, for_client};
use crate::domain::authorization::{Grant, REFRESH_LIFETIME};
use crate::domain::exchange::{Request, Rule, without_disabled_tools};
use crate::domain::refusal::Refusal;
use crate::flows::FlowError;
use crate::flows::clients::{KnownClient, authenticate_client};
use crate::protocol::pkce;
use crate::secret::{Digest, Secret};
use crate::storage::grants::{self, Redemption};
use crate::storage::{consents, sessions, tasks};
use crate::time::Timestamp;

/// The prefix of refresh tokens.
pub(in crate::flows) const REFRESH_PREFIX: &str = "tpr";

impl Attempt<'_> {
    /// Rules 1 to 9 for what a person has granted to a client.
    pub(super) async fn decide_for_client(&mut self, form: &Form<'_>) -> Result<Minted, FlowError> {
        // Whom a public client claims to be is written down, and proved by what follows.
        self.event.client_id = form.credentials.client_id.map(|id| id.chars().take(512).collect());
        let (server, tenant, state) = (self.server, self.tenant, self.state);
        let (client, mark) = authenticate_client(server, tenant, state, form.credentials, self.now).await?;
        self.mark = mark;
        self.event.client_id = Some(client.id.clone());
        self.unregistered = !client.is_registered();
        if client.confidential && !self.unregistered {
            // Whatever comes of it, a proof is a row: so it counts before anything else is looked at.
            server.limits.token.take(&tenant.name, &client.id)?;
        }
        let request = form.request()?;
        match form.ask()? {
            Ask::AuthorizationCode { code, redirect_uri, code_verifier } => {
                self.redeem_code(&client, code, (redirect_uri, code_verifier), &request).await
            }
            Ask::RefreshToken(refresh_token) => self.refresh(&client, refresh_token, &request).await,
            Ask::Exchange { .. } | Ask::ClientCredentials | Ask::IdJag(_) => {
                Err(Refusal::GrantNotForThisClient.into())
            }
        }
    }

    async fn redeem_code(
        &mut self,
        client: &KnownClient,
        code: &str,
        (redirect_uri, code_verifier): (Option<&str>, &str),
        request: &Request,
    ) -> Result<Minted, FlowError> {
        let hash = Digest::of(code.as_bytes());
        let mut tx = self.server.db.read().await?;
        let found = grants::find_code(&mut tx, &self.tenant.name, &hash).await?;
        drop(tx);
        let found = found.ok_or(Refusal::AuthorizationCodeUnknown)?;
        let grant = found.grant;
        // RFC 6749 §4.1.3: the server MUST "ensure that the authorization code was issued to the authenticated confidential
        // client, or if the client is public, ensure that the code was issued to `client_id` in the request".
        if grant.client_id != client.id {
            return Err(Refusal::AuthorizationCodeOfOtherClient.into());
        }
        if !pkce::is_verifier(code_verifier) {
            return Err(Refusal::CodeVerifierMissing.into());
        }
        if !pkce::matches(code_verifier, &grant.code_challenge) {
            return Err(Refusal::CodeVerifierWrong.into());
        }
        // OAuth 2.1 §10.2 lets clients leave it out, since the verifier binds the code; one that is sent must be the same.
        if redirect_uri.is_some_and(|uri| uri != grant.redirect_uri) {
            return Err(Refusal::RedirectUriMismatch.into());
        }
        self.rule = Rule::Subject;
        self.grant_task = Some(grant.task.clone());
        self.note_grant(&grant);
        // The client that has the verifier is the one that asked: a second use means that the code was seen by others. It ends
        // what was bought, once; what comes after that is limited.
        let replayed = found.redeemed_at.is_some();
        if !(replayed && self.goes_on(&grant.task).await?) {
            self.server.limits.token.take(&self.tenant.name, &grant.task)?;
        }
        if replayed {
            return Err(Refusal::AuthorizationCodeAlreadyRedeemed.into());
        }
        if self.now >= found.expires_at {
            return Err(Refusal::AuthorizationCodeUnknown.into());
        }
        self.check_grant(&grant).await?;
        let refresh_token = client.refreshes.then(|| self.server.entropy.secret(REFRESH_PREFIX));
        let until = refresh_expiry(&grant, self.now);
        let hashed = refresh_token.as_ref().map(|token| (token.hash(), until));
        let minted = self.mint_grant((client, &grant), request, true)?;
        let redemption = Redemption::Code { code: hash, grant: Box::new(grant), refresh_token: hashed };
        Ok(minted.redeeming(redemption).refreshed_by(refresh_token))
    }

    async fn goes_on(&self, task: &str) -> Result<bool, FlowError> {
        let mut tx = self.server.db.read().await?;
        let task = tasks::find(&mut tx, &self.tenant.name, task).await?;
        Ok(task.is_some_and(|task| task.ended_at.is_none()))
    }

    /// What was true when the person said yes must be true still.
    pub(super) async fn check_grant(&mut self, grant: &Grant) -> Result<(), FlowError> {
        self.rule = Rule::MayAct;
        let registry = &self.state.registry;
        if registry.is_disabled(&grant.sub) {
            return Err(Refusal::SessionEnded.into());
        }
        let mut tx = self.server.db.read().await?;
        let session = sessions::find(&mut tx, &self.tenant.name, &grant.sid).await?;
        // A browser that signs out, or whose cookie runs out, takes nothing back; an ended session does.
        let session = session.filter(|session| session.ended_at.is_none()).ok_or(Refusal::SessionEnded)?;
        if registry.is_session_ended(&grant.sid)
            || !self.state.trusts(&session.idp, self.server.settings.development)
        {
            return Err(Refusal::SessionEnded.into());
        }
        let consent = consents::find(&mut tx, &self.tenant.name, &grant.consent).await?;
        let consent =
            consent.filter(|consent| consent.withdrawn_at.is_none()).ok_or(Refusal::ConsentMissing)?;
        if self.now >= consent.expires_at || self.now >= grant.expires_at {
            return Err(Refusal::ConsentExpired.into());
        }
        Ok(())
    }

    /// Mints within the grant: all of it, or as much as is asked for.
    pub(super) fn mint_grant(
        &mut self,
        (client, grant): (&KnownClient, &Grant),
        request: &Request,
        opened_now: bool,
    ) -> Result<Minted, FlowError> {
        self.rule = Rule::Target;
        let mut targets = request.targets.iter();
        if targets.any(|target| target != grant.resource.as_str()) {
            return Err(Refusal::TargetNotOfGrant.into());
        }
        let resource = active_resource(self, &grant.resource)?;
        // What the administrator has narrowed since the person said yes is narrower here too.
        if !client.may_ask_for(&resource.resource) {
            return Err(Refusal::ClientNotForResource.into());
        }
        self.rule = Rule::Bounds;
        // RFC 6749 §6: "The requested scope MUST NOT include any scope not originally granted by the resource owner, and if omitted
        // is treated as equal to the scope originally granted".
        let scope = match &request.scope {
            Some(asked) if asked.within(&grant.scope) => asked.clone(),
            Some(_) => return Err(Refusal::ScopeExceedsGrant.into()),
            None => grant.scope.meet(&resource.scopes),
        };
        if !scope.within(&resource.scopes) {
            return Err(Refusal::ScopeUnknownToResource.into());
        }
        let details = match &request.authorization_details {
            Some(details) => details.clone(),
            None => without_disabled_tools(resource, &grant.authorization_details),
        };
        let types = &self.state.registry.detail_types;
        types.check(&details, &resource.detail_types).map_err(|_| Refusal::DetailsNotAccepted)?;
        if types.within(&details, &grant.authorization_details).is_err() {
            return Err(Refusal::DetailsExceedGrant.into());
        }
        if scope.is_empty() && details.is_empty() {
            return Err(Refusal::NothingToGrant.into());
        }
        let granted = ForClient {
            client_id: &grant.client_id,
            sub: &grant.sub,
            resource: &grant.resource,
            scope,
            authorization_details: details,
            may_act: grant.may_act.as_deref(),
            consent: Some(&grant.consent),
            sid: Some(&grant.sid),
            task: (&grant.task, opened_now, grant.expires_at),
        };
        for_client(self, granted)
    }

    pub(super) fn note_grant(&mut self, grant: &Grant) {
        self.event.sub = Some(grant.sub.clone());
        self.event.task = Some(grant.task.clone());
        self.event.resource = Some(grant.resource.as_str().to_owned());
        self.event.consent = Some(grant.consent.clone());
    }
}

/// When a refresh token issued now expires.
pub(super) fn refresh_expiry(grant: &Grant, now: Timestamp) -> Timestamp {
    grant.expires_at.min(now.plus(REFRESH_LIFETIME))
}

/// The one refresh token that may follow another: made from it with a key that only this server's nodes have, so that each
/// of them finds the same, and nothing but hashes is stored.
pub(super) fn successor(attempt: &Attempt<'_>, refresh_token: &str) -> Secret {
    let tag = attempt.server.wrapping.tag(&[
        b"refresh_token",
        attempt.tenant.name.as_bytes(),
        refresh_token.as_bytes(),
    ]);
    Secret::new(format!("{REFRESH_PREFIX}_{}", tag.base64url()))
}
