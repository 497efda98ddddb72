//! Every way in which the guard says no, mapped to the wire in this one file.

use std::time::Duration;

use http::StatusCode;

use crate::domain::narrowing::CallRefusal;
use crate::enforcer::{EnforcementError, TokenRefusal};
use crate::protocol::error_code::ErrorCode;

/// The JSON-RPC code of what a token doesn't allow; from the range for servers' own codes.
pub(super) const NOT_GRANTED: i32 = -32_003;
/// JSON-RPC 2.0 §5.1.
const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;
const METHOD_NOT_FOUND: i32 = -32_601;
const INVALID_PARAMS: i32 = -32_602;
/// What SDKs answer where a session is unknown.
const SESSION_NOT_FOUND: i32 = -32_001;
/// MCP 2026-07-28, Error Codes.
const HEADER_MISMATCH: i32 = -32_020;
const UNSUPPORTED_VERSION: i32 = -32_022;
const INTERNAL_ERROR: i32 = -32_603;

/// A rule that a request breaks, or why it can't be served.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    PathUnknown,
    MethodNotAllowed,
    OriginNotAllowed,
    TokenInQuery,
    TokenMissing,
    AuthorizationMalformed,
    Token(TokenRefusal),
    Stale,
    ScopeMissing,
    RateLimited { who: &'static str, retry_after: Duration },
    BodyTooLarge,
    BodyTooSlow,
    BodyBroken,
    ContentTypeWrong,
    JsonMalformed,
    BatchNotAllowed,
    MessageMalformed,
    MembersAlike,
    MemberDisguised { at: String },
    ParamsMalformed,
    HeaderMismatch { header: &'static str },
    VersionUnsupported,
    RpcMethodNotAllowed,
    ResponseNotExpected,
    SessionUnknown,
    Call(CallRefusal),
    ArgumentsUnknown,
    ToolQuarantined,
    ToolNotPinned,
    EvidenceFull,
    UpstreamUnreachable,
    UpstreamRedirects,
    UpstreamWantsToken,
    UpstreamMalformed,
}

impl From<EnforcementError> for Refusal {
    fn from(error: EnforcementError) -> Self {
        match error {
            EnforcementError::Refused(refusal) => Self::Token(refusal),
            EnforcementError::Stale(cause) => {
                tracing::warn!(%cause, "a request was refused because its token could not be checked");
                Self::Stale
            }
        }
    }
}

/// How a refusal looks: the rule's name, the HTTP status, the JSON-RPC code, the words.
struct Wire(&'static str, StatusCode, i32, &'static str);

impl Refusal {
    #[expect(clippy::too_many_lines, reason = "one table of one line for each rule")]
    fn wire(&self) -> Wire {
        use StatusCode as S;
        match self {
            Self::PathUnknown => {
                Wire("path_unknown", S::NOT_FOUND, METHOD_NOT_FOUND, "there is nothing at this path")
            }
            Self::MethodNotAllowed => Wire(
                "http_method_not_allowed",
                S::METHOD_NOT_ALLOWED,
                INVALID_REQUEST,
                "this path does not take this method",
            ),
            Self::OriginNotAllowed => {
                Wire("origin_not_allowed", S::FORBIDDEN, INVALID_REQUEST, "pages of this origin may not call")
            }
            Self::TokenInQuery => Wire(
                "token_in_query",
                S::BAD_REQUEST,
                INVALID_REQUEST,
                "an access token does not belong into a URL",
            ),
            Self::TokenMissing => {
                Wire("token_missing", S::UNAUTHORIZED, NOT_GRANTED, "no access token was sent")
            }
            Self::AuthorizationMalformed => Wire(
                "authorization_malformed",
                S::BAD_REQUEST,
                INVALID_REQUEST,
                "the Authorization header is malformed or repeated",
            ),
            Self::Token(_) => Wire("token", S::UNAUTHORIZED, NOT_GRANTED, "the access token is not accepted"),
            Self::Stale => Wire(
                "enforcer_stale",
                S::SERVICE_UNAVAILABLE,
                NOT_GRANTED,
                "the token can not be checked at the moment",
            ),
            Self::ScopeMissing => {
                Wire("scope_missing", S::FORBIDDEN, NOT_GRANTED, "the access token lacks a scope")
            }
            Self::RateLimited { .. } => Wire(
                "rate_limited",
                S::TOO_MANY_REQUESTS,
                NOT_GRANTED,
                "too many requests; wait as long as Retry-After says",
            ),
            Self::BodyTooLarge => {
                Wire("body_too_large", S::PAYLOAD_TOO_LARGE, INVALID_REQUEST, "the body is too large")
            }
            Self::BodyTooSlow => {
                Wire("body_too_slow", S::REQUEST_TIMEOUT, INVALID_REQUEST, "the body came too slowly")
            }
            Self::BodyBroken => {
                Wire("body_broken", S::BAD_REQUEST, INVALID_REQUEST, "the body could not be read")
            }
            Self::ContentTypeWrong => Wire(
                "content_type_wrong",
                S::UNSUPPORTED_MEDIA_TYPE,
                INVALID_REQUEST,
                "the body must be application/json in UTF-8, not compressed",
            ),
            Self::JsonMalformed => Wire(
                "json_malformed",
                S::BAD_REQUEST,
                PARSE_ERROR,
                "the body is not one JSON object without repeated members, nested at most 64 deep",
            ),
            Self::BatchNotAllowed => Wire(
                "batch_not_allowed",
                S::BAD_REQUEST,
                INVALID_REQUEST,
                "a body is one message, not a batch",
            ),
            Self::MessageMalformed => Wire(
                "message_malformed",
                S::BAD_REQUEST,
                INVALID_REQUEST,
                "the body is not a well-formed JSON-RPC 2.0 message",
            ),
            Self::MembersAlike => {
                Wire("members_alike", S::BAD_REQUEST, INVALID_PARAMS, "two members differ in case only")
            }
            Self::MemberDisguised { .. } => Wire(
                "member_disguised",
                S::BAD_REQUEST,
                INVALID_PARAMS,
                "a member is a known one in another spelling",
            ),
            Self::ParamsMalformed => Wire(
                "params_malformed",
                S::BAD_REQUEST,
                INVALID_PARAMS,
                "the params are not what this method takes",
            ),
            Self::HeaderMismatch { .. } => Wire(
                "header_mismatch",
                S::BAD_REQUEST,
                HEADER_MISMATCH,
                "Header mismatch: a header is missing, repeated, malformed, or differs from the body",
            ),
            Self::VersionUnsupported => Wire(
                "version_unsupported",
                S::BAD_REQUEST,
                UNSUPPORTED_VERSION,
                "Unsupported protocol version",
            ),
            Self::RpcMethodNotAllowed => {
                Wire("method_not_allowed", S::OK, METHOD_NOT_FOUND, "this method is not let through")
            }
            Self::ResponseNotExpected => Wire(
                "response_not_expected",
                S::BAD_REQUEST,
                INVALID_REQUEST,
                "a response belongs to a session in which the server asked",
            ),
            Self::SessionUnknown => {
                Wire("session_unknown", S::NOT_FOUND, SESSION_NOT_FOUND, "Session not found")
            }
            Self::Call(refusal) => Wire(refusal.rule(), S::OK, NOT_GRANTED, "the call was not granted"),
            Self::ArgumentsUnknown => Wire(
                "arguments_unknown",
                S::OK,
                NOT_GRANTED,
                "the token bounds this tool's arguments, and they can not be seen here",
            ),
            Self::ToolQuarantined => Wire(
                "tool_definition_changed",
                S::OK,
                NOT_GRANTED,
                "the tool's definition has changed, and an administrator has not accepted the new one",
            ),
            Self::ToolNotPinned => Wire(
                "tool_not_pinned",
                S::OK,
                NOT_GRANTED,
                "the tool's definition was never accepted by an administrator",
            ),
            Self::EvidenceFull => Wire(
                "evidence_not_writable",
                S::SERVICE_UNAVAILABLE,
                NOT_GRANTED,
                "the decision can not be recorded, so it is no",
            ),
            Self::UpstreamUnreachable => Wire(
                "upstream_unreachable",
                S::BAD_GATEWAY,
                INTERNAL_ERROR,
                "the server behind the guard does not answer",
            ),
            Self::UpstreamRedirects => Wire(
                "upstream_redirects",
                S::BAD_GATEWAY,
                INTERNAL_ERROR,
                "the server behind the guard redirects; the guard must be given its final address",
            ),
            Self::UpstreamWantsToken => Wire(
                "upstream_wants_token",
                S::BAD_GATEWAY,
                INTERNAL_ERROR,
                "the server behind the guard asks for a token of its own; the guard never passes tokens on",
            ),
            Self::UpstreamMalformed => Wire(
                "upstream_malformed",
                S::BAD_GATEWAY,
                INTERNAL_ERROR,
                "the answer of the server behind the guard can not be read",
            ),
        }
    }

    /// The rule's name in answers, evidence and metrics.
    pub(super) fn rule(&self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.rule(),
            other => other.wire().0,
        }
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        self.wire().1
    }

    /// The JSON-RPC code.
    pub(super) fn rpc_code(&self) -> i32 {
        self.wire().2
    }

    /// Fixed words, without any input.
    pub(super) fn description(&self) -> String {
        match self {
            Self::Token(refusal) => refusal.to_string(),
            Self::Call(refusal) => refusal.to_string(),
            other => other.wire().3.to_owned(),
        }
    }

    /// Where in the request it lies: a JSON Pointer, a header. It repeats input.
    pub(super) fn at(&self) -> Option<&str> {
        match self {
            Self::Call(refusal) => refusal.at(),
            Self::MemberDisguised { at } => Some(at),
            Self::HeaderMismatch { header } => Some(header),
            Self::RateLimited { who, .. } => Some(who),
            _ => None,
        }
    }

    /// The `error` of RFC 6750 §3.1 in a challenge; `None` where there is none to tell.
    pub(super) fn oauth_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Token(_) => Some(ErrorCode::InvalidToken),
            Self::AuthorizationMalformed | Self::TokenInQuery => Some(ErrorCode::InvalidRequest),
            // A tool that is switched off stays so under any token.
            Self::Call(CallRefusal::ToolSwitchedOff) => None,
            Self::ScopeMissing | Self::Call(_) => Some(ErrorCode::InsufficientScope),
            _ => None,
        }
    }

    /// Whether another token could help: the answer then carries a challenge.
    pub(super) fn challenges(&self) -> bool {
        matches!(self, Self::TokenMissing) || self.oauth_code().is_some()
    }

    /// What a client waits before it comes back.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Stale | Self::EvidenceFull | Self::UpstreamUnreachable => Some(Duration::from_secs(1)),
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}
