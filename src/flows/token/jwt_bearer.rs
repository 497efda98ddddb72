//! `urn:ietf:params:oauth:grant-type:jwt-bearer`: a client brings what a company's identity provider says
//! (RFC 7523 §2.1, draft-ietf-oauth-identity-assertion-authz-grant-04 §4.4, MCP enterprise-managed authorization §5).
//!
//! Nobody is asked, and no refresh token is given: the provider is asked again instead. Agents don't come this way. A token
//! for a client has no actor and rests on no consent, so an agent with an ID-JAG would be past its ceiling, its policies
//! and its chain; it exchanges the person's token.

use super::ask::Form;
use super::attempt::Attempt;
use super::mint::Minted;
use super::mint_client::{ForClient, for_client};
use crate::domain::exchange::{Request, Rule};
use crate::domain::id_jag::{ID_JAG_TYP, IdJag};
use crate::domain::refusal::Refusal;
use crate::domain::registry::Status;
use crate::domain::task::{self, TaskPlan};
use crate::domain::user::{upstream_session_id, user_id};
use crate::flows::FlowError;
use crate::flows::client_authentication::claimed;
use crate::flows::clients::{KnownClient, authenticate_asserting_client};
use crate::flows::upstream_token::{Unproved, verify_signature};
use crate::jose::Unverified;
use crate::secret::Digest;
use crate::storage::grants::Redemption;
use crate::storage::marks::Mark;

impl Attempt<'_> {
    /// Rules 1 to 9 for what a company's identity provider says.
    pub(super) async fn take_id_jag(&mut self, form: &Form<'_>) -> Result<Minted, FlowError> {
        let (server, tenant, state) = (self.server, self.tenant, self.state);
        let known = authenticate_asserting_client(server, tenant, state, form.credentials, self.now).await;
        let (client, mark) =
            known.inspect_err(|_| self.event.client_id = claimed(state, form.credentials.assertion))?;
        self.mark = mark;
        self.event.client_id = Some(client.id.clone());
        // §8.1: "This specification SHOULD only be supported for confidential clients." The assertion is a bearer token, and
        // a name is no proof.
        if !client.confidential {
            return Err(Refusal::IdJagFromPublicClient.into());
        }
        self.unregistered = !client.is_registered();
        self.server.limits.token.take(&self.tenant.name, &client.id)?;
        // RFC 7523 §2.1: "The value of the `assertion` parameter MUST contain a single JWT."
        let assertion = form.assertion.ok_or(Refusal::AssertionMissing)?;
        let request = form.request()?;
        self.note_request(&request);
        self.grant_id_jag(&client, assertion, &request).await
    }

    async fn grant_id_jag(
        &mut self,
        client: &KnownClient,
        assertion: &str,
        request: &Request,
    ) -> Result<Minted, FlowError> {
        self.rule = Rule::Subject;
        let (issuer, id_jag) = self.verify_id_jag(assertion).await?;
        id_jag.check(&self.tenant.issuer, &client.id, self.now)?;
        let sub = user_id(&self.tenant.name, &issuer, &id_jag.sub);
        self.event.sub = Some(sub.clone());
        self.rule = Rule::MayAct;
        let registry = &self.state.registry;
        let tenant = &self.tenant.name;
        let sid = id_jag.sid.as_deref().map(|sid| upstream_session_id(tenant, &issuer, sid));
        if registry.is_disabled(&sub) || registry.is_logged_out(&sub, sid.as_deref(), Some(id_jag.iat.0)) {
            return Err(Refusal::SessionEnded.into());
        }
        let granted = id_jag.grant(registry, &client.resources, request);
        let granted = granted.map_err(|(rule, refusal)| {
            self.rule = rule;
            refusal
        })?;
        self.rule = Rule::Task;
        let limits = self.server.settings.tasks;
        let deadline = task::deadline(&TaskPlan::Root, request.task_lifetime, limits, self.now)?;
        let task = self.server.entropy.ordered_id("tsk", self.now);
        let granted = ForClient {
            client_id: &client.id,
            sub: &sub,
            resource: &granted.resource.resource,
            scope: granted.scope,
            authorization_details: granted.authorization_details,
            may_act: None,
            consent: None,
            sid: sid.as_deref(),
            task: (&task, true, deadline),
        };
        let minted = for_client(self, granted)?.redeeming(Redemption::IdJag(mark(&issuer, &id_jag)));
        Ok(minted.for_person((sub, issuer, id_jag.sub, self.now)))
    }

    /// The assertion, if a provider whose ID-JAGs are accepted signed it; and that provider's issuer.
    async fn verify_id_jag(&self, assertion: &str) -> Result<(String, IdJag), FlowError> {
        let unverified = Unverified::parse(assertion).map_err(|_| Refusal::IdJagMalformed)?;
        // RFC 8725 §3.11, §4.4.1 of the draft: an ID token, a client assertion or an access token is not an ID-JAG.
        if unverified.header().typ.as_deref() != Some(ID_JAG_TYP) {
            return Err(Refusal::IdJagOfWrongType.into());
        }
        let peeked = unverified.peek().ok_or(Refusal::IdJagMalformed)?;
        let issuer = peeked.get("iss").and_then(serde_json::Value::as_str).ok_or(Refusal::IdJagMalformed)?;
        let known = self.state.registry.identity_provider(issuer);
        let known = known.filter(|(idp, _)| idp.id_jag && idp.status == Status::Active);
        let (_, keys) = known.ok_or(Refusal::IdJagIssuerNotTrusted)?;
        verify_signature(self.server, keys, &unverified).await.map_err(|unproved| match unproved {
            Unproved::NoKeys => Refusal::IdJagKeysUnavailable,
            Unproved::NotSigned => Refusal::IdJagSignatureWrong,
        })?;
        // What is proved now is what was looked at above.
        Ok((issuer.to_owned(), IdJag::read(&peeked)?))
    }
}

/// MCP §7.4.2: the server "MUST implement replay detection by rejecting re-use of the same `jti` for the lifetime of the
/// assertion". The draft's §4.4.3 lets clients "re-submit the original" one; the profile forbids it, and is followed.
fn mark(issuer: &str, id_jag: &IdJag) -> Mark {
    Mark {
        kind: "id_jag",
        digest: Digest::of_parts(&[b"id_jag", issuer.as_bytes(), id_jag.jti.as_bytes()]),
        expires_at: id_jag.forgotten_at(),
        refusal: Some(Refusal::IdJagReplayed),
    }
}
