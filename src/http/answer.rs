//! Answers: JSON, never stored, and errors in the form of RFC 6749 §5.2.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::domain::refusal::Refusal;
use crate::flows::FlowError;
use crate::protocol::error_code::ErrorCode;

/// RFC 6749 §5.1: "The authorization server MUST include the HTTP `Cache-Control` response header field with a value of
/// `no-store` in any response containing tokens, credentials, or other sensitive information".
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A JSON answer that no cache keeps.
pub(super) fn json_no_store(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A body that is JSON already.
pub(super) fn raw_json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error on its way to the caller.
#[derive(Debug)]
pub(super) enum Failure {
    /// The caller broke a rule.
    Refused(Refusal),
    /// What the administrator sent doesn't hold together.
    Invalid(String),
    /// The request isn't one that this endpoint takes.
    Http(StatusCode, &'static str),
    /// Our fault.
    Fault(FlowError),
}

impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Refused(refusal) => Self::Refused(refusal),
            FlowError::Invalid(text) => Self::Invalid(text),
            fault @ (FlowError::Fault(_) | FlowError::SetBack(_)) => Self::Fault(fault),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refused(refusal),
            Self::Invalid(text) => {
                error(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, &text, Some("registry_invalid"))
            }
            Self::Http(status, text) => error(status, ErrorCode::InvalidRequest, text, None),
            Self::Fault(fault) => {
                // The caller gets a number, the log gets the cause; nobody else learns what broke.
                let correlation =
                    crate::entropy::Entropy::default().ordered_id("err", crate::time::Timestamp(0));
                tracing::error!(%correlation, error = %fault, "a request failed by our fault");
                metrics::counter!("taskpass_faults_total").increment(1);
                let text = format!("The server failed; try again. Correlation {correlation}.");
                error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    ErrorCode::TemporarilyUnavailable,
                    &text,
                    Some("server_fault"),
                )
            }
        }
    }
}

fn refused(refusal: Refusal) -> Response {
    let wire = refusal.wire();
    metrics::counter!("taskpass_refusals_total", "rule" => wire.rule).increment(1);
    let mut response = error(wire.code.status(), wire.code, wire.description, Some(wire.rule));
    // At least one second: Retry-After is whole seconds, and 0 would invite a busy loop.
    if matches!(wire.code, ErrorCode::TemporarilyUnavailable | ErrorCode::SlowDown) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
    }
    // RFC 6750 §3: "If the protected resource request does not include authentication credentials or does not contain an
    // access token that enables access … the resource server MUST include the HTTP `WWW-Authenticate` response header".
    let challenge = match wire.code {
        ErrorCode::InvalidToken if refusal == Refusal::AccessTokenMissing => {
            Some(HeaderValue::from_static("Bearer"))
        }
        ErrorCode::InvalidToken => Some(HeaderValue::from_static(r#"Bearer error="invalid_token""#)),
        ErrorCode::InsufficientScope => {
            Some(HeaderValue::from_static(r#"Bearer error="insufficient_scope""#))
        }
        _ => None,
    };
    if let Some(challenge) = challenge {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn error(status: StatusCode, code: ErrorCode, description: &str, rule: Option<&str>) -> Response {
    let mut body = json!({ "error": code.as_str(), "error_description": description });
    if let (Some(rule), Some(map)) = (rule, body.as_object_mut()) {
        map.insert("rule".into(), json!(rule));
    }
    json_no_store(status, &body)
}
