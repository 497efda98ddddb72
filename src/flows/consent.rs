//! A person's answer to a client's request (design section 10): what is shown, and what becomes of it.

use serde_json::json;

use super::authorize::{ReturnAddress, Waiting, waiting};
use super::clients::{KnownClient, Origin};
use super::{FlowError, Server, Tenant, TenantState};
use crate::domain::audit::{Event, EventKind};
use crate::domain::authorization::{AuthorizationRequest, CODE_LIFETIME, Grant, Prompt};
use crate::domain::narrowing::DetailTypes;
use crate::domain::refusal::Refusal;
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::scope::Scope;
use crate::secret::{Digest, Secret};
use crate::storage::consents::{self, GivenConsent};
use crate::storage::sessions::Session;
use crate::storage::tenants::Head;
use crate::storage::{Tx, audit, grants, requests, tenants};
use crate::time::Timestamp;

/// The prefix of codes.
const CODE_PREFIX: &str = "tpc";
/// How often an answer is decided again when the registry moves under it.
const ATTEMPTS: usize = 4;

/// What a person is asked, beside what the person has said yes to before.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub request: AuthorizationRequest,
    /// By whom.
    pub client: KnownClient,
    /// Where the browser goes afterwards.
    pub back: ReturnAddress,
    /// Who is asked: the person's id.
    pub user: String,
    /// The yes that there is to the same client at the same resource for the same agent.
    pub given: Option<GivenConsent>,
    /// The scopes that are new.
    pub new_scope: Scope,
    /// The details that are new.
    pub new_details: AuthorizationDetails,
    /// Whether the client wants the person to sign in anew, which has not happened since it asked.
    pub must_sign_in: bool,
}

impl Question {
    /// Whether the person has said yes to all of it before.
    pub fn is_covered(&self) -> bool {
        self.given.is_some() && self.new_scope.is_empty() && self.new_details.is_empty()
    }

    /// Whom the page is about to show, and what as given: an answer to it counts as long as that is still so.
    pub fn shown(&self) -> String {
        let given = self.given.as_ref().map(|given| format!(" {} {}", given.id, given.changed_at.0));
        format!("{}{}", self.user, given.unwrap_or_default())
    }

    /// The same question against what is given now.
    fn again(self, state: &TenantState, given: Vec<GivenConsent>) -> Self {
        let (given, new_scope, new_details) = compare(state, (&self.request, &self.client), given);
        Self { given, new_scope, new_details, ..self }
    }

    /// Whether what this is an answer to is still so.
    fn is_still_what(&self, answer: &Answer) -> bool {
        match answer {
            Answer::Allow(_, shown) => *shown == self.shown(),
            Answer::Before => self.answers_itself(),
            Answer::Deny => true,
        }
    }

    /// Until when a yes holds. What the person chooses now counts, be it shorter than before.
    fn until(&self, answer: &Answer, now: Timestamp) -> Timestamp {
        match (answer, &self.given) {
            (Answer::Allow(seconds, _), _) => now.plus(*seconds),
            (_, Some(given)) => given.expires_at,
            (_, None) => now,
        }
    }

    /// Whether it may be answered without the person.
    ///
    /// OAuth 2.1 §7.1: "the authorization server SHOULD NOT process authorization requests automatically without user consent
    /// or interaction, except when the identity of the client can be assured": by its keys, or by an https redirect of a
    /// client that is known beforehand.
    pub fn answers_itself(&self) -> bool {
        let assured = self.client.confidential
            || (self.client.origin != Origin::Dynamic && self.request.redirect_uri.starts_with("https://"));
        self.is_covered() && assured && self.request.prompt != Prompt::Consent
    }
}

/// How long a yes may last: for how many seconds, in the order in which they are offered.
pub const EXPIRIES: [i64; 3] = [86_400, 30 * 86_400, 90 * 86_400];
/// The one that is chosen where the person chooses none.
pub const DEFAULT_EXPIRY: i64 = 30 * 86_400;

/// What the request that waits in this browser asks of this person.
pub async fn question(
    server: &Server,
    tenant: &Tenant,
    (handle, browser): (&str, &Digest),
    session: &Session,
) -> Result<Question, FlowError> {
    let Waiting { request, client, back, .. } = waiting(server, tenant, handle, browser).await?;
    let mut tx = server.db.read().await?;
    let given = consents::of_user(&mut tx, &tenant.name, &session.user, server.clock.now()).await?;
    drop(tx);
    let (given, new_scope, new_details) = compare(&tenant.state(), (&request, &client), given);
    // OpenID Connect Core §3.1.2.1, `login`: "The Authorization Server SHOULD prompt the End-User for reauthentication."
    let anew = request.signed_in_by.as_deref() == Some(session.id.as_str());
    let must_sign_in = request.prompt == Prompt::Login && !anew;
    let user = session.user.clone();
    Ok(Question { request, client, back, user, given, new_scope, new_details, must_sign_in })
}

/// The yes that the question is about among those that the person has given, and what is new against it.
fn compare(
    state: &TenantState,
    (request, client): (&AuthorizationRequest, &KnownClient),
    given: Vec<GivenConsent>,
) -> (Option<GivenConsent>, Scope, AuthorizationDetails) {
    let actor = request.requested_actor.as_deref().unwrap_or_default();
    let same = |given: &GivenConsent| {
        given.client_id == client.id && given.resource == request.resource && given.agent == actor
    };
    // The newest: an older one that overlaps with it has been widened instead of repeated.
    let given = given.into_iter().rev().find(same);
    let (new_scope, new_details) = difference(state, request, given.as_ref());
    (given, new_scope, new_details)
}

/// What is asked and not covered by what is given.
fn difference(
    state: &TenantState,
    request: &AuthorizationRequest,
    given: Option<&GivenConsent>,
) -> (Scope, AuthorizationDetails) {
    let Some(given) = given else {
        return (request.scope.clone(), request.authorization_details.clone());
    };
    let scope = request.scope.iter().filter(|token| !given.scope.contains(token));
    let types = &state.registry.detail_types;
    (
        Scope::from_tokens(scope).unwrap_or_default(),
        beyond(types, &request.authorization_details, &given.authorization_details),
    )
}

/// The details that are not within `bound`.
fn beyond(
    types: &DetailTypes,
    details: &AuthorizationDetails,
    bound: &AuthorizationDetails,
) -> AuthorizationDetails {
    let alone = |detail: &crate::protocol::authorization_details::AuthorizationDetail| {
        AuthorizationDetails::from_details(vec![detail.clone()])
    };
    let outside = details
        .iter()
        .filter(|detail| alone(detail).map_or(true, |alone| types.within(&alone, bound).is_err()));
    AuthorizationDetails::from_details(outside.cloned().collect()).unwrap_or_default()
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The person's yes, for so many seconds, to a page that has shown this much as given ([`Question::shown`]).
    Allow(i64, String),
    /// The person's no.
    Deny,
    /// What the person has said before, where that covers all of it.
    Before,
}

/// What becomes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is written down, and the browser goes there.
    GoTo(String),
    /// What it was an answer to is no longer so: the person has to be shown how it is now.
    AskAgain,
}

/// Writes down what the person has answered. Of two answers to one request one wins.
pub async fn answer(
    server: &Server,
    tenant: &Tenant,
    (handle, browser): (&str, &Digest),
    session: &Session,
    answer: Answer,
) -> Result<Answered, FlowError> {
    for _ in 0..ATTEMPTS {
        tenant.check_fresh(server)?;
        let state = tenant.state();
        let question = question(server, tenant, (handle, browser), session).await?;
        if question.must_sign_in {
            return Err(Refusal::SessionMissing.into());
        }
        let now = server.clock.now();
        let mut tx = server.db.write().await?;
        let mut head = tenants::lock(&mut tx, &tenant.name).await?;
        if head.registry_version != state.registry.version {
            drop(tx);
            server.refresh().await?;
            continue;
        }
        take(&mut tx, &tenant.name, handle, &question.request).await?;
        // Under the lock nobody gives or withdraws: what is given now is what counts.
        let given = consents::of_user(&mut tx, &tenant.name, &session.user, now).await?;
        let question = question.again(&state, given);
        if !question.is_still_what(&answer) {
            return Ok(Answered::AskAgain);
        }
        let mut event = event_of(&question, session);
        event.rev = Some(head.rev.clone());
        let to = match answer {
            Answer::Deny => {
                event = event.refused(Refusal::ConsentDenied.rule());
                question.back.refused(Refusal::ConsentDenied)
            }
            Answer::Allow(..) | Answer::Before => {
                // Whoever was switched off while the page was open has not agreed to anything.
                if state.registry.is_disabled(&session.user) || state.registry.is_session_ended(&session.id) {
                    return Err(Refusal::SessionMissing.into());
                }
                let types = &state.registry.detail_types;
                let consent = agree(
                    (server, types),
                    (&mut tx, &tenant.name),
                    &question,
                    session,
                    (question.until(&answer, now), now),
                )
                .await?;
                event.consent = Some(consent.id.clone());
                event.exp = Some(consent.expires_at);
                let code = code(server, (&mut tx, &tenant.name), (&question, session), &consent, now).await?;
                question.back.granted(&code)
            }
        };
        write(&mut tx, &mut head, &event, now).await?;
        tx.commit().await?;
        return Ok(Answered::GoTo(to));
    }
    Err(Refusal::Overloaded.into())
}

/// Takes the request away, and what was pushed for it: each is answered once.
async fn take(
    tx: &mut Tx,
    tenant: &str,
    handle: &str,
    request: &AuthorizationRequest,
) -> Result<(), FlowError> {
    let mut waited = requests::delete(tx, tenant, &Digest::of(handle.as_bytes())).await?;
    if let Some(pushed) = &request.pushed {
        waited &= requests::delete_by_id(tx, tenant, pushed).await?;
    }
    if waited { Ok(()) } else { Err(Refusal::AuthorizationRequestGone.into()) }
}

async fn write(tx: &mut Tx, head: &mut Head, event: &Event, now: Timestamp) -> Result<(), FlowError> {
    audit::append(tx, head, &[event], now).await?;
    Ok(tenants::save(tx, head).await?)
}

/// The person's yes: a new one, or the one that there is, widened, and until when the person has chosen.
async fn agree(
    (server, types): (&Server, &DetailTypes),
    (tx, tenant): (&mut Tx, &str),
    question: &Question,
    session: &Session,
    (expires_at, now): (Timestamp, Timestamp),
) -> Result<GivenConsent, FlowError> {
    let request = &question.request;
    if let Some(given) = &question.given {
        let scope = given.scope.iter().chain(request.scope.iter());
        // What lies within the new isn't listed twice.
        let kept = beyond(types, &given.authorization_details, &question.new_details);
        let details = kept.iter().chain(question.new_details.iter());
        let wider = GivenConsent {
            scope: Scope::from_tokens(scope.collect::<std::collections::BTreeSet<_>>()).unwrap_or_default(),
            authorization_details: AuthorizationDetails::from_details(details.cloned().collect())
                .map_err(|_| Refusal::DetailsMalformed)?,
            changed_at: now,
            expires_at,
            ..given.clone()
        };
        if consents::widen(tx, tenant, &wider).await? {
            return Ok(wider);
        }
        // It was withdrawn this very moment: what was in it is asked for again.
        return Err(Refusal::AuthorizationRequestGone.into());
    }
    let consent = GivenConsent {
        id: server.entropy.ordered_id("con", now),
        user: session.user.clone(),
        client_id: question.client.id.clone(),
        client_name: question.client.name.clone(),
        agent: request.requested_actor.clone().unwrap_or_default(),
        resource: request.resource.clone(),
        scope: request.scope.clone(),
        authorization_details: request.authorization_details.clone(),
        given_at: now,
        changed_at: now,
        expires_at,
        withdrawn_at: None,
    };
    consents::insert(tx, tenant, &consent).await?;
    Ok(consent)
}

async fn code(
    server: &Server,
    (tx, tenant): (&mut Tx, &str),
    (question, session): (&Question, &Session),
    consent: &GivenConsent,
    now: Timestamp,
) -> Result<Secret, FlowError> {
    let request = &question.request;
    let grant = Grant {
        task: server.entropy.ordered_id("tsk", now),
        client_id: question.client.id.clone(),
        sub: session.user.clone(),
        sid: session.id.clone(),
        consent: consent.id.clone(),
        resource: request.resource.clone(),
        scope: request.scope.clone(),
        authorization_details: request.authorization_details.clone(),
        may_act: request.requested_actor.clone(),
        expires_at: consent.expires_at,
        redirect_uri: request.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
    };
    let code = server.entropy.secret(CODE_PREFIX);
    grants::insert_code(tx, tenant, &code.hash(), &grant, now.plus(CODE_LIFETIME)).await?;
    Ok(code)
}

fn event_of(question: &Question, session: &Session) -> Event {
    let mut event = Event::new(EventKind::Authorization, true);
    let request = &question.request;
    event.client_id = Some(question.client.id.clone());
    event.sub = Some(session.user.clone());
    event.resource = Some(request.resource.as_str().to_owned());
    event.scope = request.scope.clone();
    event.authorization_details = request.authorization_details.clone();
    event.detail = Some(json!({ "session": session.id, "requested_actor": request.requested_actor }));
    event
}
