//! The token endpoint's grants: token exchange (RFC 8693) and client credentials (RFC 6749 §4.4).

mod ask;
mod attempt;
mod authorization_code;
mod decide;
mod explain;
mod jwt_bearer;
mod mint;
mod mint_client;
mod refresh_token;
mod response;

use std::sync::Arc;

pub use ask::{Ask, Form};
pub(super) use authorization_code::REFRESH_PREFIX;
pub use explain::{Explanation, RuleReport, explain};
pub use response::TokenResponse;

use super::{FlowError, Server, Tenant, revocation};
use crate::domain::audit::{Event, EventKind};
use crate::domain::refusal::Refusal;
use crate::storage::journal::{Entry, Outcome};
use attempt::Attempt;

/// How often a request is decided again when the registry moves under it.
const ATTEMPTS: usize = 4;

/// Answers a token request. Whatever is decided is on the disk before this returns.
pub async fn token(server: &Server, tenant: &Tenant, form: &Form<'_>) -> Result<TokenResponse, FlowError> {
    for _ in 0..ATTEMPTS {
        tenant.check_fresh(server)?;
        let now = server.clock.now();
        // Before the first check (design section 6): whatever is cut from here on has a higher number, and kills what is
        // minted here.
        let rev = tenant.view.rev();
        let state = tenant.state();
        let mut attempt = Attempt::new(server, tenant, &state, rev.clone(), now);
        let decided = attempt.decide(form).await;
        let (mint, response, refusal) = match decided {
            Ok((mint, response)) => (Some(mint), Some(response), None),
            Err(FlowError::Refused(refusal)) => (None, None, Some(refusal)),
            Err(other) => return Err(other),
        };
        if let Some(refusal) = unrecorded(server, tenant, &attempt, refusal) {
            return Err(refusal.into());
        }
        let bought = attempt.grant_task;
        let mut event = attempt.event;
        event.rev = Some(rev.clone());
        if let Some(refusal) = refusal {
            event = event.refused(refusal.rule());
        }
        let user =
            mint.as_ref().and_then(|mint| mint.user.as_ref()).map(|(id, ..)| format!("{} {id}", tenant.name));
        let registry_version = state.registry.version;
        let entry = Entry {
            tenant: tenant.name.clone(),
            rev,
            registry_version,
            mark: attempt.mark,
            mint,
            event,
            more: Vec::new(),
        };
        let outcome = server.journal.record(entry).await?;
        let refusal = refusal.or(match outcome {
            Outcome::Refused(refusal) => Some(refusal),
            _ => None,
        });
        end_what_was_bought(server, tenant, refusal, bought.as_deref()).await?;
        match (outcome, response, refusal) {
            (Outcome::Committed, Some(response), _) => {
                if let Some(user) = user {
                    server.seen_users.insert(user, ());
                }
                return Ok(response);
            }
            (Outcome::Committed, None, Some(refusal)) | (Outcome::Refused(refusal), ..) => {
                return Err(refusal.into());
            }
            (Outcome::Moved, ..) => server.refresh().await?,
            (Outcome::Committed, None, None) | (Outcome::Repeated, ..) => {
                return Err(Refusal::RequestMalformed.into());
            }
        }
    }
    // The registry changes faster than requests are decided; a caller that comes again will find it still.
    Err(Refusal::Overloaded.into())
}

/// RFC 6749 §4.1.2, RFC 9700 §4.14.2: what was used twice may have been stolen; what it has bought ends before the second
/// user hears of it.
async fn end_what_was_bought(
    server: &Server,
    tenant: &Tenant,
    refusal: Option<Refusal>,
    task: Option<&str>,
) -> Result<(), FlowError> {
    match (refusal, task) {
        (
            Some(refusal @ (Refusal::AuthorizationCodeAlreadyRedeemed | Refusal::RefreshTokenReplayed)),
            Some(task),
        ) => revocation::end_task(server, tenant, task, refusal.rule()).await,
        _ => Ok(()),
    }
}

/// The answer of a request that is turned away by a limit, and leaves no row: rows are what the limits protect.
fn unrecorded(
    server: &Server,
    tenant: &Tenant,
    attempt: &Attempt<'_>,
    refusal: Option<Refusal>,
) -> Option<Refusal> {
    let unproved = attempt.rule == crate::domain::exchange::Rule::Authenticate && attempt.mark.is_none();
    // What is refused of a grant is limited by the grant, and a replay of it must end it.
    let stranger = unproved || (attempt.unregistered && attempt.grant_task.is_none());
    match refusal? {
        Refusal::TooManyRequests => Some(Refusal::TooManyRequests),
        _ if stranger => server.limits.strangers.take(&tenant.name, "strangers").err(),
        _ => None,
    }
}

/// An empty row about the token endpoint.
fn token_event() -> Event {
    Event::new(EventKind::Token, true)
}

/// The claims, shared between the record and the answer.
type Claims = Arc<crate::protocol::claims::AccessTokenClaims>;
