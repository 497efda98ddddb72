//! `/admin/v1`: protected by this server's own tokens, described by `openapi.rs`.

use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::audit::EventKind;
use crate::domain::cutoff::ScopeKind;
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Administrator, TenantSection, json_schema};
use crate::domain::user::user_id;
use crate::flows::revocation::{self, Order};
use crate::flows::token::{self, Form};
use crate::flows::{Recorder, admin, audit_trail, fleet, signing_keys};
use crate::http::answer::{Failure, json_no_store};
use crate::http::extract::{AdministratorOf, Id, InTenant, JsonBody};
use crate::http::node::Node;
use crate::http::openapi;
use crate::jose::Algorithm;
use crate::storage::{tasks, tokens as token_records};

/// How the first administrator comes in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the words on the wire")]
pub(in crate::http) struct Bootstrap {
    /// The token that the server printed at its first start.
    bootstrap_token: String,
    /// The client id that the administrator's tool will have.
    client: String,
    /// Its public keys.
    jwks: Value,
}

/// Lets the first administrator in.
pub(in crate::http) async fn bootstrap(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    JsonBody(body): JsonBody<Bootstrap>,
) -> Result<Response, Failure> {
    node.server.limits.strangers.take(&tenant.name, "bootstrap")?;
    let recorder = Recorder::new(&node.server, &tenant, EventKind::Administration);
    let attempt = (body.bootstrap_token.as_str(), body.client.as_str(), body.jwks);
    recorder.stranger(None, admin::redeem_bootstrap(&node.server, &tenant, attempt).await).await?;
    Ok(json_no_store(StatusCode::CREATED, &json!({ "client": body.client, "issuer": tenant.issuer })))
}

/// Whether to change anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ApplyQuery {
    #[serde(default)]
    dry_run: bool,
}

fn query<T>(query: Result<Query<T>, axum::extract::rejection::QueryRejection>) -> Result<T, Failure> {
    query.map(|Query(query)| query).map_err(|error| Failure::Invalid(error.body_text()))
}

type Queried<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

/// Applies a tenant's registry.
pub(in crate::http) async fn apply(
    State(node): State<Node>,
    administrator: AdministratorOf,
    parameters: Queried<ApplyQuery>,
    JsonBody(section): JsonBody<TenantSection>,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::RegistryWrite).await?;
    let dry_run = query(parameters)?.dry_run;
    let applied = admin::apply(&node.server, &caller.tenant, &section, (dry_run, &caller.client_id)).await?;
    Ok(json_no_store(StatusCode::OK, &applied))
}

/// The registry as it stands.
pub(in crate::http) async fn registry(
    State(_): State<Node>,
    administrator: AdministratorOf,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::RegistryRead).await?;
    Ok(json_no_store(StatusCode::OK, &caller.tenant.state().registry.section))
}

/// The JSON Schema of registry documents.
pub(in crate::http) async fn schema() -> Response {
    json_no_store(StatusCode::OK, &json_schema())
}

/// A thing to cut, or to reinstate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the words on the wire")]
pub(in crate::http) struct Scope {
    /// tenant, key, resource, tool, agent, client, user, session, consent, task or token.
    scope_kind: String,
    /// Which one. A tool is `resource#tool`; a user is its `sub`, or `{"issuer", "subject"}`.
    scope_id: Value,
    /// Why; at most 500 characters.
    #[serde(default)]
    reason: String,
}

impl Scope {
    fn parse(&self, tenant: &str) -> Result<(ScopeKind, String), Failure> {
        let kind = ScopeKind::parse(&self.scope_kind)
            .ok_or_else(|| Failure::Invalid("scope_kind is one of tenant, key, resource, tool, agent, client, user, session, consent, task, token".into()))?;
        if self.reason.chars().count() > 500 {
            return Err(Failure::Invalid("reason is at most 500 characters".into()));
        }
        let text = |name: &str| self.scope_id.get(name).and_then(Value::as_str);
        match (&self.scope_id, kind) {
            (Value::String(id), _) => Ok((kind, id.clone())),
            (Value::Object(map), ScopeKind::User) if map.len() == 2 => {
                match (text("issuer"), text("subject")) {
                    (Some(issuer), Some(subject)) => Ok((kind, user_id(tenant, issuer, subject))),
                    _ => Err(Failure::Invalid("a user is its sub, or {\"issuer\", \"subject\"}".into())),
                }
            }
            _ => Err(Failure::Invalid("scope_id is a string".into())),
        }
    }
}

/// For what to wait.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RevokeQuery {
    wait: Option<Wait>,
}

/// Until when an answer is held back.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Wait {
    /// The revocation is in force at every enforcer.
    Effective,
}

/// Cuts something. Answers when it is durable, or on demand when it is in force everywhere.
pub(in crate::http) async fn revoke(
    State(node): State<Node>,
    administrator: AdministratorOf,
    parameters: Queried<RevokeQuery>,
    JsonBody(scope): JsonBody<Scope>,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::Revoke).await?;
    let wait = query(parameters)?.wait;
    let (kind, id) = scope.parse(&caller.tenant.name)?;
    let order = Order { kind, id: &id, reason: &scope.reason, actor: &caller.client_id };
    let revoked = caller.recorded(revocation::revoke(&node.server, &caller.tenant, &order).await).await?;
    metrics::counter!("taskpass_revocations_total", "scope_kind" => kind.as_str()).increment(1);
    let mut body = json!(revoked);
    if let (Some(body), Some(Value::Object(first))) =
        (body.as_object_mut(), revoked.cutoffs.first().map(|first| json!(first)))
    {
        body.extend(first.into_iter().filter(|(name, _)| name != "seq" && name != "at"));
    }
    if let Some(Wait::Effective) = wait {
        body["receipt"] = json!(fleet::effective(&node.server, &caller.tenant, &revoked).await?);
    }
    Ok(json_no_store(StatusCode::CREATED, &body))
}

/// Where to go on reading, and how much.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Page {
    #[serde(default)]
    after: u32,
    #[serde(default = "hundred")]
    limit: u16,
}

fn hundred() -> u16 {
    100
}

/// The revocation log.
pub(in crate::http) async fn revocations(
    State(node): State<Node>,
    administrator: AdministratorOf,
    page: Queried<Page>,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::Revoke).await?;
    let page = query(page)?;
    let (generation, mut cutoffs) = revocation::log(&node.server, &caller.tenant, page.after.into()).await?;
    cutoffs.truncate(page.limit.into());
    Ok(json_no_store(StatusCode::OK, &json!({ "gen": generation, "cutoffs": cutoffs })))
}

/// Every instance of every enforcer: what it has applied, and whether its lease runs.
pub(in crate::http) async fn enforcers(
    State(node): State<Node>,
    administrator: AdministratorOf,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::Revoke).await?;
    let rev = caller.tenant.view.rev();
    let enforcers = fleet::members(&node.server, &caller.tenant).await?;
    let body = json!({ "gen": rev.generation, "head_seq": rev.seq, "enforcers": enforcers });
    Ok(json_no_store(StatusCode::OK, &body))
}

/// Lifts what a revocation switched off.
pub(in crate::http) async fn reinstate(
    State(node): State<Node>,
    administrator: AdministratorOf,
    JsonBody(scope): JsonBody<Scope>,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::Revoke).await?;
    let (kind, id) = scope.parse(&caller.tenant.name)?;
    let order = Order { kind, id: &id, reason: &scope.reason, actor: &caller.client_id };
    caller.recorded(revocation::reinstate(&node.server, &caller.tenant, &order).await).await?;
    Ok(json_no_store(StatusCode::OK, &json!({ "scope_kind": kind, "scope_id": id })))
}

/// A token request to be explained, made by a client that is taken to have authenticated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Explain {
    /// The client.
    client_id: String,
    /// Exchange if there is a subject token, else client credentials, unless it is said here.
    grant_type: Option<String>,
    subject_token: Option<String>,
    subject_token_type: Option<String>,
    resource: Option<String>,
    scope: Option<String>,
    authorization_details: Option<Value>,
    task_purpose: Option<String>,
    task_lifetime: Option<i64>,
}

/// Says what would happen, rule by rule.
pub(in crate::http) async fn explain(
    State(node): State<Node>,
    administrator: AdministratorOf,
    JsonBody(body): JsonBody<Explain>,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::Explain).await?;
    let details = body.authorization_details.as_ref().map(Value::to_string);
    let lifetime = body.task_lifetime.map(|seconds| seconds.to_string());
    let implied = if body.subject_token.is_some() {
        crate::protocol::token_type::TOKEN_EXCHANGE
    } else {
        crate::protocol::token_type::CLIENT_CREDENTIALS
    };
    let form = Form {
        grant_type: Some(body.grant_type.as_deref().unwrap_or(implied)),
        subject_token: body.subject_token.as_deref(),
        subject_token_type: body.subject_token_type.as_deref(),
        targets: body.resource.iter().map(String::as_str).collect(),
        scope: body.scope.as_deref(),
        authorization_details: details.as_deref(),
        task_purpose: body.task_purpose.as_deref(),
        task_lifetime: lifetime.as_deref(),
        ..Form::default()
    };
    let explanation = token::explain(&node.server, &caller.tenant, &body.client_id, &form).await;
    let explanation = caller.recorded(explanation).await?;
    Ok(json_no_store(StatusCode::OK, &explanation))
}

/// The signing keys, without their private halves.
pub(in crate::http) async fn keys(
    State(_): State<Node>,
    administrator: AdministratorOf,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::RegistryRead).await?;
    Ok(json_no_store(StatusCode::OK, &json!({ "keys": caller.tenant.state().keys.records })))
}

/// Which kind of key to make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Rotate {
    /// ES256 (default), EdDSA, RS256 or PS256.
    alg: Option<String>,
}

/// Prepares a new key; it signs after one publication period.
pub(in crate::http) async fn rotate(
    State(node): State<Node>,
    administrator: AdministratorOf,
    JsonBody(body): JsonBody<Rotate>,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::RegistryWrite).await?;
    let usable = |algorithm: &Algorithm| {
        matches!(algorithm, Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256 | Algorithm::PS256)
    };
    let algorithm = Algorithm::parse(body.alg.as_deref().unwrap_or("ES256")).filter(usable);
    let algorithm =
        algorithm.ok_or_else(|| Failure::Invalid("alg is ES256, EdDSA, RS256 or PS256".into()))?;
    let kid = signing_keys::rotate(&node.server, &caller.tenant.name, algorithm, &caller.client_id).await?;
    Ok(json_no_store(
        StatusCode::CREATED,
        &json!({ "kid": kid, "alg": algorithm.as_str(), "state": "prepared" }),
    ))
}

/// One task.
pub(in crate::http) async fn task(
    State(node): State<Node>,
    administrator: AdministratorOf,
    axum::extract::Path(parameters): Id,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::RegistryRead).await?;
    let id = parameters.get("id").map(String::as_str).unwrap_or_default();
    let fault = |error| Failure::Fault(crate::flows::FlowError::from(error));
    let mut tx = node.server.db.read().await.map_err(fault)?;
    let task = tasks::find(&mut tx, &caller.tenant.name, id).await.map_err(fault)?;
    let task = caller.recorded(task.ok_or(Refusal::EntryUnknown)).await?;
    Ok(json_no_store(StatusCode::OK, &task))
}

/// Whose tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Holder {
    agent: String,
}

/// The unexpired tokens of an agent, newest first.
pub(in crate::http) async fn tokens(
    State(node): State<Node>,
    administrator: AdministratorOf,
    holder: Queried<Holder>,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::RegistryRead).await?;
    let holder = query(holder)?;
    let fault = |error| Failure::Fault(crate::flows::FlowError::from(error));
    let mut tx = node.server.db.read().await.map_err(fault)?;
    let now = node.server.clock.now();
    let list = token_records::of_client(&mut tx, &caller.tenant.name, &holder.agent, now, 1000)
        .await
        .map_err(fault)?;
    Ok(json_no_store(StatusCode::OK, &json!({ "tokens": list })))
}

/// The audit trail.
pub(in crate::http) async fn audit(
    State(node): State<Node>,
    administrator: AdministratorOf,
    page: Queried<Page>,
) -> Result<Response, Failure> {
    let caller = administrator.may(Administrator::AuditRead).await?;
    let page = query(page)?;
    let limit = page.limit.min(1000).into();
    let rows = audit_trail::read(&node.server, &caller.tenant, page.after.into(), limit).await?;
    Ok(json_no_store(StatusCode::OK, &json!({ "rows": rows })))
}

/// This API's description.
pub(in crate::http) async fn openapi(InTenant(tenant): InTenant) -> Response {
    json_no_store(StatusCode::OK, &openapi::document(&tenant.issuer))
}
