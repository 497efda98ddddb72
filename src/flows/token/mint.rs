//! Rule 9: the token is made, with everything that is written down about it.

use std::sync::Arc;

use super::Claims;
use super::attempt::Attempt;
use super::response::TokenResponse;
use crate::domain::access_token::expiry;
use crate::domain::exchange::{Bounded, Request, Subject};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Impact, Principal, PrincipalKind, Registry, Resource, TokenFormat};
use crate::domain::task::TaskPlan;
use crate::flows::own_token::OPAQUE_PREFIX;
use crate::flows::{FlowError, feed};
use crate::jose::Algorithm;
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::claims::{ACCESS_TOKEN_TYP, AccessTokenClaims};
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::protocol::token_type::TokenType;
use crate::secret::Secret;
use crate::storage::StorageError;
use crate::storage::grants::Redemption;
use crate::storage::journal::Mint;
use crate::storage::tasks::NewTask;
use crate::storage::tokens::NewToken;
use crate::time::Timestamp;

/// A token that has been made and not yet written down.
pub(super) struct Minted {
    pub(super) claims: Claims,
    token: String,
    record: Mint,
    deadline: Option<Timestamp>,
    refresh_token: Option<Secret>,
}

impl Minted {
    /// With the task's deadline for the answer.
    pub(super) fn until(self, deadline: Timestamp) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// With what is redeemed in the transaction that writes the token.
    pub(super) fn redeeming(mut self, redemption: Redemption) -> Self {
        self.record.redemption = Some(redemption);
        self
    }

    /// With the person, to be written down if not seen before: id, issuer, subject, now.
    pub(super) fn for_person(mut self, person: User) -> Self {
        self.record.user = Some(person);
        self
    }

    /// With the refresh token that goes out beside it.
    pub(super) fn refreshed_by(self, refresh_token: Option<Secret>) -> Self {
        Self { refresh_token, ..self }
    }

    pub(super) fn into_parts(self, exchanged: bool) -> (Mint, TokenResponse) {
        let claims = &self.claims;
        let response = TokenResponse {
            access_token: self.token,
            // RFC 8693 §2.2.1: `issued_token_type` is REQUIRED in the answer to an exchange.
            issued_token_type: exchanged.then_some(TokenType::AccessToken.as_str()),
            token_type: "Bearer",
            expires_in: claims.exp.since(claims.iat),
            refresh_token: self.refresh_token.map(|token| token.expose().to_owned()),
            scope: claims.scope.clone(),
            authorization_details: claims.authorization_details.clone(),
            task: claims.task.clone(),
            task_deadline: self.deadline,
        };
        (self.record, response)
    }
}

/// Mints for an agent what the rules have granted.
pub(super) fn for_agent(
    attempt: &mut Attempt<'_>,
    bounded: &Bounded<'_>,
    request: &Request,
    (subject, worst, deadline): (&Subject, Option<Impact>, Timestamp),
) -> Result<Minted, FlowError> {
    let (entropy, now) = (&attempt.server.entropy, attempt.now);
    let bounds = [Some(deadline), bounded.consent_expires_at, reach(subject)];
    let bounds: Vec<_> = bounds.into_iter().flatten().collect();
    let exp = expiry(bounded.resource, worst, &bounds, now);
    if exp <= now {
        return Err(Refusal::TaskDeadlinePassed.into());
    }
    let (task, ancestors, new) = match &bounded.plan {
        TaskPlan::Root => (entropy.ordered_id("tsk", now), Vec::new(), true),
        TaskPlan::Child(parent) => {
            let ancestors = parent.ancestors.iter().chain([&parent.id]).cloned().collect();
            (entropy.ordered_id("tsk", now), ancestors, true)
        }
        TaskPlan::Renewal(task) => (task.id.clone(), task.ancestors.clone(), false),
    };
    let claims = AccessTokenClaims {
        iss: attempt.tenant.issuer.clone(),
        aud: bounded.resource.resource.clone(),
        sub: bounded.sub.clone(),
        exp,
        iat: now,
        jti: entropy.ordered_id("tok", now),
        client_id: bounded.agent.agent.clone(),
        act: Some(bounded.act.clone()),
        may_act: None,
        scope: bounded.scope.clone(),
        authorization_details: bounded.authorization_details.clone(),
        cnf: None,
        task: Some(task.clone()),
        task_ancestors: ancestors,
        rev: attempt.rev.clone(),
        consent: bounded.consent.clone(),
        sid: bounded.sid.clone(),
        tenant: attempt.tenant.name.to_string(),
    };
    let task = new.then(|| new_task(&claims, request, subject, deadline));
    let user = match subject {
        Subject::Upstream(user) if !seen(attempt, &user.id) => {
            Some((user.id.clone(), user.issuer.clone(), user.subject.clone(), now))
        }
        _ => None,
    };
    let rules = (bounded.resource.token.format, bounded.resource.token.alg);
    let minted = write(attempt, claims, rules, (task, user))?;
    Ok(minted.until(deadline))
}

/// Mints for an administrator's tool or an enforcer: for this server's own endpoints, within its own rights.
pub(super) fn for_builtin(
    attempt: &mut Attempt<'_>,
    principal: &Principal,
    request: &Request,
) -> Result<Minted, FlowError> {
    const LIFETIME: i64 = 240;
    let issuer = &attempt.tenant.issuer;
    let path_of = |target: &str| {
        target.strip_prefix(issuer.as_str()).and_then(|path| path.strip_prefix('/')).map(str::to_owned)
    };
    let asked = request.targets.first().and_then(|target| path_of(target));
    let (path, rights): (_, Vec<&str>) = match principal.kind {
        PrincipalKind::Enforcer if asked.as_deref() == Some(feed::RESOURCE) => {
            (feed::RESOURCE, vec![feed::RESOURCE])
        }
        PrincipalKind::Enforcer => ("oauth/introspect", vec!["introspect"]),
        PrincipalKind::Client if !principal.administrator.is_empty() => {
            ("admin/v1", principal.administrator.iter().map(|right| right.as_str()).collect())
        }
        PrincipalKind::Client | PrincipalKind::Agent => return Err(Refusal::GrantNotForThisClient.into()),
    };
    let own = format!("{issuer}/{path}");
    match request.targets.as_slice() {
        [] => return Err(Refusal::TargetMissing.into()),
        [target] if *target == own => {}
        [_] => return Err(Refusal::TargetUnknown.into()),
        _ => return Err(Refusal::TargetNotSingle.into()),
    }
    let rights = Scope::from_tokens(rights).unwrap_or_default();
    let scope = request.scope.clone().unwrap_or_else(|| rights.clone());
    if !scope.within(&rights) {
        return Err(Refusal::ScopeExceedsCeiling.into());
    }
    if request.authorization_details.is_some() {
        return Err(Refusal::DetailsNotAccepted.into());
    }
    let now = attempt.now;
    let claims = AccessTokenClaims {
        iss: issuer.clone(),
        aud: ResourceUri::parse(&own).map_err(|_| Refusal::TargetMalformed)?,
        sub: principal.id.clone(),
        exp: now.plus(LIFETIME),
        iat: now,
        jti: attempt.server.entropy.ordered_id("tok", now),
        client_id: principal.id.clone(),
        act: None,
        may_act: None,
        scope,
        authorization_details: AuthorizationDetails::default(),
        cnf: None,
        task: None,
        task_ancestors: Vec::new(),
        rev: attempt.rev.clone(),
        consent: None,
        sid: None,
        tenant: attempt.tenant.name.to_string(),
    };
    write(attempt, claims, (TokenFormat::Jwt, Algorithm::ES256), (None, None))
}

/// How far the subject token itself reaches: a task's token as far as its task, which is bound already; a token without
/// a task no further than itself.
fn reach(subject: &Subject) -> Option<Timestamp> {
    match subject {
        Subject::Token(claims, None, _) => Some(claims.exp),
        Subject::Token(_, Some(_), _) | Subject::Upstream(_) | Subject::Nobody => None,
    }
}

fn seen(attempt: &Attempt<'_>, user: &str) -> bool {
    attempt.server.seen_users.contains_key(&format!("{} {user}", attempt.tenant.name))
}

fn new_task(
    claims: &AccessTokenClaims,
    request: &Request,
    subject: &Subject,
    deadline: Timestamp,
) -> NewTask {
    let opened_by = match subject {
        Subject::Token(token, _, _) => Some(token.jti.clone()),
        Subject::Upstream(_) | Subject::Nobody => None,
    };
    NewTask(
        claims.task.clone().unwrap_or_default(),
        serde_json::json!(claims.task_ancestors).to_string(),
        claims.actor().unwrap_or_default().to_owned(),
        claims.sub.clone(),
        request.task_purpose.clone().unwrap_or_default(),
        opened_by,
        claims.iat,
        deadline,
    )
}

/// The tools that would be granted, each with its impact; one that the resource doesn't declare counts as the worst.
pub(super) fn impacts(
    registry: &Registry,
    resource: &Resource,
    details: &AuthorizationDetails,
) -> Vec<(String, Impact)> {
    let impact = |name: &String| resource.tool(name).map_or(Impact::ExternalWrite, |tool| tool.impact);
    let names = registry.detail_types.tools_for(details, resource.resource.as_str());
    names
        .into_iter()
        .map(|name| {
            let impact = impact(&name);
            (name, impact)
        })
        .collect()
}

type User = (String, String, String, Timestamp);

pub(super) fn write(
    attempt: &mut Attempt<'_>,
    claims: AccessTokenClaims,
    (format, algorithm): (TokenFormat, Algorithm),
    (task, user): (Option<NewTask>, Option<User>),
) -> Result<Minted, FlowError> {
    note(attempt, &claims);
    let (token, kid, hash, stored) = match format {
        TokenFormat::Jwt => {
            let unsigned =
                |what: &str| StorageError::Damaged(format!("no {} key {what}", algorithm.as_str()));
            let key =
                attempt.state.keys.signer(algorithm, attempt.now).ok_or_else(|| unsigned("is active"))?;
            let token = key.sign(ACCESS_TOKEN_TYP, &claims).map_err(|_| unsigned("can sign"))?;
            (token, Some(key.kid().to_owned()), None, None)
        }
        TokenFormat::Opaque => {
            let secret = attempt.server.entropy.secret(OPAQUE_PREFIX);
            let stored =
                serde_json::to_string(&claims).map_err(|error| StorageError::Damaged(error.to_string()))?;
            (secret.expose().to_owned(), None, Some(secret.hash().hex()), Some(stored))
        }
    };
    let claims = Arc::new(claims);
    let row = NewToken(
        claims.jti.clone(),
        hash,
        claims.task.clone(),
        claims.client_id.clone(),
        claims.sub.clone(),
        claims.aud.as_str().to_owned(),
        claims.iat,
        claims.exp,
        stored,
    );
    let rests_on = std::mem::take(&mut attempt.rests_on);
    let record = Mint { token: row, task, user, claims: claims.clone(), kid, redemption: None, rests_on };
    Ok(Minted { claims, token, record, deadline: None, refresh_token: None })
}

fn note(attempt: &mut Attempt<'_>, claims: &AccessTokenClaims) {
    let event = &mut attempt.event;
    event.sub = Some(claims.sub.clone());
    event.act.clone_from(&claims.act);
    event.task.clone_from(&claims.task);
    event.jti = Some(claims.jti.clone());
    event.resource = Some(claims.aud.as_str().to_owned());
    event.scope = claims.scope.clone();
    event.authorization_details = claims.authorization_details.clone();
    event.consent.clone_from(&claims.consent);
    event.exp = Some(claims.exp);
}
