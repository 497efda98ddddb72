//! The guard's own answers.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::challenge::{Challenges, Needed};
use super::headers::{Era, VERSIONS};
use super::refusal::Refusal;
use super::stream::{Body, full};
use crate::protocol::claims::AccessTokenClaims;

/// A refusal, and what its answer must know of the request.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    /// Whether a JSON-RPC message was read, or tried to: its answer is one too.
    pub(super) in_message: bool,
    /// The id of the request.
    pub(super) id: Option<Value>,
    pub(super) era: Era,
    /// The tool that was called.
    pub(super) tool: Option<String>,
    /// What would have been enough.
    pub(super) needed: Option<Needed>,
    /// Whose the token was that is refused as revoked: for the record.
    pub(super) whose: Option<Arc<AccessTokenClaims>>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            in_message: false,
            id: None,
            era: Era::Sessions,
            tool: None,
            needed: None,
            whose: None,
        }
    }
}

/// The JSON-RPC error of a refusal.
pub(super) fn rpc_error(refusal: &Refusal, id: Option<&Value>, challenge: Option<Value>) -> Value {
    let mut data = json!({ "rule": refusal.rule() });
    if let Some(at) = refusal.at() {
        data["at"] = at.into();
    }
    if let Some(challenge) = challenge {
        data["challenge"] = challenge;
    }
    if *refusal == Refusal::VersionUnsupported {
        // MCP 2026-07-28, Versioning: the error lists the versions that are supported.
        data["supported"] = json!(VERSIONS);
    }
    let error = json!({ "code": refusal.rpc_code(), "message": refusal.description(), "data": data });
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

/// Answers a refusal.
pub(super) fn refused(no: &Refused, challenges: &Challenges, step_up: bool) -> Response<Body> {
    let refusal = &no.refusal;
    let challenge = challenges.json(refusal, no.needed.as_ref());
    let body = if no.in_message {
        rpc_error(refusal, no.id.as_ref(), challenge)
    } else {
        let code = refusal.oauth_code().map_or_else(|| error_code(refusal.status()), |code| code.as_str());
        json!({ "error": code, "error_description": refusal.description(), "rule": refusal.rule() })
    };
    let mut response = json_answer(status(no, step_up), &body);
    let headers = response.headers_mut();
    if let Some(challenge) = challenges.header(refusal, no.needed.as_ref())
        && let Ok(challenge) = HeaderValue::from_str(&challenge)
    {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(wait) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    if *refusal == Refusal::MethodNotAllowed {
        headers.insert(ALLOW, HeaderValue::from_static("POST, GET, DELETE"));
    }
    response
}

/// RFC 9110 §10.2.3: `Retry-After` is whole seconds; 0 would invite a busy loop.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The status of a refusal. A call that isn't granted is answered as a call, with 200, unless the operator's clients step
/// up: SDKs show a JSON-RPC error on 200 to whoever called, and hide or hang on one under another status. A method that
/// isn't there is 404 from 2026-07-28 on; before, 404 would end the session.
fn status(no: &Refused, step_up: bool) -> StatusCode {
    match (&no.refusal, &no.id) {
        (Refusal::Call(_), _) if step_up => StatusCode::FORBIDDEN,
        (Refusal::RpcMethodNotAllowed, Some(_)) if no.era == Era::Modern => StatusCode::NOT_FOUND,
        // Nobody reads the answer to a notification, so its status must tell.
        (refusal, None) if refusal.status() == StatusCode::OK => StatusCode::BAD_REQUEST,
        (refusal, _) => refusal.status(),
    }
}

/// The `error` of an answer that isn't about a token.
fn error_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "invalid_token",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::TOO_MANY_REQUESTS => "slow_down",
        StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request",
    }
}

/// JSON that no cache keeps.
pub(super) fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
