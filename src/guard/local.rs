//! Local endpoints: introspection that knows of revocations at once (RFC 7662), decisions for other proxies, health.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use http::header::{AUTHORIZATION, CACHE_CONTROL, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use serde_json::{Value, json};

use super::bearer::bearer;
use super::challenge::Needed;
use super::evidence::Caller;
use super::judge::{check_any_call, check_call};
use super::refusal::Refusal;
use super::respond::whole_seconds;
use super::{Guard, headers};
use crate::enforcer::{EnforcementError, VerifiedToken};
use crate::protocol::params::Params;
use crate::protocol::strict_json;
use crate::secret::Digest;

/// The largest body.
const BODY: usize = 1 << 20;
/// How deep a body may nest.
const DEPTH: usize = 64;

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

#[derive(Clone)]
struct Here {
    guard: Arc<Guard>,
    metrics: Option<PrometheusHandle>,
}

/// Everything that the local listener answers.
pub(super) fn router(guard: Arc<Guard>, metrics: Option<PrometheusHandle>) -> Router {
    let here = Here { guard, metrics };
    let decisions = Router::new()
        .route("/introspect", post(introspect))
        .route("/v1/authorize", post(authorize))
        .layer(from_fn_with_state(here.clone(), check_caller));
    // Proxies ask here with their client's token in `Authorization`, so it can't be theirs.
    let health = Router::new()
        .route("/forward-auth", any(forward_auth))
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus));
    decisions
        .merge(health)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(axum::middleware::map_response(no_store))
        .with_state(here)
}

async fn no_store(mut response: Response) -> Response {
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// RFC 7662 §2.1: "the endpoint MUST also require some form of authorization". This machine's own processes may ask; others
/// send the bearer token that the operator gave them. A page in a browser on this machine is none of them.
async fn check_caller(
    State(here): State<Here>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<axum::body::Body>,
    next: Next,
) -> Response {
    let headers = request.headers();
    let given = bearer(headers).ok().map(|given| Digest::of(given.as_bytes()));
    let expected =
        here.guard.settings.local_token.as_ref().map(|token| Digest::of(token.expose().as_bytes()));
    let proven = given.zip(expected).is_some_and(|(given, expected)| given.matches(&expected));
    let local = peer.ip().is_loopback() && !headers.contains_key(ORIGIN);
    if local || proven {
        return next.run(request).await;
    }
    let mut response =
        error(StatusCode::UNAUTHORIZED, "invalid_token", "callers of other machines send the local token");
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn error(status: StatusCode, code: &str, description: &str) -> Response {
    (status, Json(json!({ "error": code, "error_description": description }))).into_response()
}

/// RFC 7662 §2.2: whether a token opens this resource at this moment, and what it says.
async fn introspect(State(here): State<Here>, body: Bytes) -> Response {
    let token =
        Params::parse(&body).and_then(|params| params.one("token").map(|token| token.map(str::to_owned)));
    let Ok(Some(token)) = token else {
        return error(StatusCode::BAD_REQUEST, "invalid_request", "token is required, once, in a form");
    };
    match here.guard.enforcer.check_under(&token, here.guard.stale_policy(None)).await {
        Ok(token) => {
            let mut answer = serde_json::to_value(token.claims()).unwrap_or_default();
            answer["active"] = true.into();
            answer["token_type"] = "Bearer".into();
            Json(answer).into_response()
        }
        Err(EnforcementError::Refused(_)) => Json(json!({ "active": false })).into_response(),
        Err(EnforcementError::Stale(_)) => unavailable(&Refusal::Stale),
    }
}

fn unavailable(refusal: &Refusal) -> Response {
    let body = json!({ "error": "temporarily_unavailable", "error_description": refusal.description(), "rule": refusal.rule() });
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    token: String,
    tool: String,
    #[serde(default)]
    arguments: Value,
}

/// Whether a token allows one call, for whoever makes the call itself.
async fn authorize(State(here): State<Here>, body: Bytes) -> Response {
    let question = strict_json::value(&body, DEPTH).ok().and_then(|value| serde_json::from_value(value).ok());
    let Some(Question { token, tool, arguments }) = question else {
        return error(StatusCode::BAD_REQUEST, "invalid_request", "the body is {token, tool, arguments}");
    };
    let guard = &here.guard;
    let token = match guard.enforcer.check_under(&token, guard.stale_policy(Some(&tool))).await {
        Ok(token) => token,
        Err(error) => {
            let refusal = error.into();
            let whose = guard.whose(&token, &refusal);
            return refused(guard, Caller::Stranger(whose.as_deref()), None, &refusal, None);
        }
    };
    let decided = allow(guard, &token, (Some(&tool), Some(&arguments)), &[]);
    match decided {
        Ok(()) => Json(json!({ "allowed": true })).into_response(),
        Err(refusal) => {
            let needed = guard.challenges.needed(&refusal, &tool, &arguments);
            refused(guard, Caller::Known(&token), Some(&tool), &refusal, needed.as_ref())
        }
    }
}

/// A refusal as an answer to a question: 200, for the question was a good one; 503 where nobody knows.
fn refused(
    guard: &Guard,
    caller: Caller<'_>,
    tool: Option<&str>,
    refusal: &Refusal,
    needed: Option<&Needed>,
) -> Response {
    guard.evidence.refused(caller, tool, refusal.rule());
    if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
        return unavailable(refusal);
    }
    let mut answer =
        json!({ "allowed": false, "rule": refusal.rule(), "description": refusal.description() });
    if let Some(at) = refusal.at() {
        answer["at"] = at.into();
    }
    if let Some(challenge) = guard.challenges.header(refusal, needed) {
        answer["challenge"] = challenge.into();
    }
    if let Some(wait) = refusal.retry_after() {
        answer["retry_after"] = whole_seconds(wait).into();
    }
    Json(answer).into_response()
}

/// Everything that is asked of a verified token, in the order in which the proxy asks it.
fn allow(
    guard: &Guard,
    token: &VerifiedToken,
    (tool, arguments): (Option<&str>, Option<&Value>),
    scopes: &[String],
) -> Result<(), Refusal> {
    let mut needed = guard.challenges.scopes().iter().chain(scopes);
    if !needed.all(|scope| token.claims().scope.contains(scope)) {
        return Err(Refusal::ScopeMissing);
    }
    guard.limits.take(token)?;
    match (tool, arguments) {
        (Some(tool), Some(arguments)) => check_call(guard, token, tool, arguments)?,
        (Some(tool), None) => check_any_call(guard, token, tool)?,
        (None, _) => {}
    }
    guard.evidence.granted(token, tool)
}

/// nginx's `auth_request` and Traefik's `forwardAuth`: the original request's `Authorization`, and what it must allow in the
/// query: `scope`, and `tool` where a path stands for one. 200 with who calls, 401, 403, 429 or 503.
async fn forward_auth(State(here): State<Here>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let guard = &here.guard;
    let (mut scopes, mut tool) = (Vec::new(), None);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "scope" => scopes.extend(value.split_ascii_whitespace().map(str::to_owned)),
            "tool" if tool.is_none() => tool = Some(value.into_owned()),
            // A misspelt or repeated demand must not be a demand less.
            _ => {
                return error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "server_error",
                    "the query knows scope and one tool",
                );
            }
        }
    }
    let token = match bearer(&headers) {
        Ok(token) => {
            let policy = guard.stale_policy(tool.as_deref());
            guard.enforcer.check_under(token, policy).await.map_err(Refusal::from)
        }
        Err(refusal) => Err(refusal),
    };
    let decided = token.and_then(|token| {
        allow(guard, &token, (tool.as_deref(), None), &scopes)
            .inspect_err(|refusal| {
                guard.evidence.refused(Caller::Known(&token), tool.as_deref(), refusal.rule());
            })
            .map(|()| token.clone())
    });
    match decided {
        Ok(token) => {
            let mut response = StatusCode::OK.into_response();
            headers::add_trusted(response.headers_mut(), &token);
            response
        }
        Err(refusal) => {
            let tool = tool.as_deref().unwrap_or_default();
            let needed = guard.challenges.needed(&refusal, tool, &Value::Null).unwrap_or_default();
            let needed = Needed { scopes: [scopes, needed.scopes].concat(), ..needed };
            forward_refused(guard, (&refusal, &needed), &headers)
        }
    }
}

fn forward_refused(guard: &Guard, (refusal, needed): (&Refusal, &Needed), headers: &HeaderMap) -> Response {
    if matches!(refusal, Refusal::Token(_)) && headers.contains_key(AUTHORIZATION) {
        let whose = bearer(headers).ok().and_then(|token| guard.whose(token, refusal));
        guard.evidence.refused(Caller::Stranger(whose.as_deref()), None, refusal.rule());
    }
    // Proxies know 401 and 403: what a call isn't granted is 403 here.
    let status = if refusal.status() == StatusCode::OK { StatusCode::FORBIDDEN } else { refusal.status() };
    let code = refusal.oauth_code().map_or("access_denied", |code| code.as_str());
    let body = json!({ "error": code, "error_description": refusal.description(), "rule": refusal.rule() });
    let mut response = (status, Json(body)).into_response();
    let challenge = guard.challenges.header(refusal, Some(needed));
    let challenge = challenge.and_then(|text| HeaderValue::from_str(&text).ok());
    challenge.map(|challenge| response.headers_mut().insert(WWW_AUTHENTICATE, challenge));
    if let Some(wait) = refusal.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    response
}

/// Ready is who knows what is revoked and can write down what is decided.
async fn ready(State(here): State<Here>) -> Response {
    let status = here.guard.enforcer.status();
    let full = here.guard.evidence.fullness() >= 1.0;
    let code = if status.fresh && !full { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = match (status.fresh, full) {
        (false, _) => "stale",
        (true, true) => "evidence full",
        (true, false) => "ready",
    };
    let body = json!({ "status": word, "dry_run": here.guard.settings.dry_run, "enforcer": status });
    (code, Json(body)).into_response()
}

/// Prometheus text.
async fn prometheus(State(here): State<Here>) -> Response {
    let guard = &here.guard;
    let status = guard.enforcer.status();
    metrics::gauge!("taskpass_guard_fresh").set(f64::from(u8::from(status.fresh)));
    metrics::gauge!("taskpass_guard_lease_age_seconds")
        .set(status.lease_age_ms.map_or(f64::NAN, |age| lossy(age) / 1000.0));
    metrics::gauge!("taskpass_guard_live_cutoffs").set(lossy(status.cutoffs as u64));
    metrics::gauge!("taskpass_guard_spool_bytes").set(lossy(guard.evidence.waiting()));
    metrics::gauge!("taskpass_guard_quarantined_tools").set(lossy(guard.pins.quarantined() as u64));
    metrics::gauge!("taskpass_guard_dry_run").set(f64::from(u8::from(guard.settings.dry_run)));
    match &here.metrics {
        Some(handle) => handle.render().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn lossy(count: u64) -> f64 {
    count as f64
}
