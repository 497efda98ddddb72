//! Error codes as they stand on the wire (RFC 6749 §5.2, RFC 6750 §3.1, RFC 8707 §2, RFC 9396 §5, RFC 9449 §5).

use http::StatusCode;

/// The `error` member of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// RFC 6749 §5.2: malformed, missing or repeated parameters; a bad subject or actor token (RFC 8693 §2.2.2).
    InvalidRequest,
    /// RFC 6749 §5.2: client authentication failed.
    InvalidClient,
    /// RFC 6749 §5.2: the grant is invalid, expired or revoked.
    InvalidGrant,
    /// RFC 6749 §5.2: this client may not use this grant.
    UnauthorizedClient,
    /// RFC 6749 §5.2: the grant type is not one of ours.
    UnsupportedGrantType,
    /// RFC 6749 §5.2: the scope is unknown or exceeds what may be granted.
    InvalidScope,
    /// RFC 8707 §2: the resource is unknown, malformed or not to be had.
    InvalidTarget,
    /// RFC 9396 §5: the details are unknown, malformed or exceed what may be granted.
    InvalidAuthorizationDetails,
    /// RFC 9449 §5: the proof of possession is missing or wrong.
    InvalidDpopProof,
    /// RFC 6750 §3.1: the access token doesn't open this endpoint.
    InvalidToken,
    /// RFC 6750 §3.1: the access token lacks a scope.
    InsufficientScope,
    /// RFC 6749 §4.1.2.1: the request was understood and refused.
    AccessDenied,
    /// RFC 6749 §4.1.2.1: the response type is not one of ours.
    UnsupportedResponseType,
    /// OpenID Connect Core §3.1.2.6: request objects (RFC 9101) are not taken.
    RequestNotSupported,
    /// OpenID Connect Core §3.1.2.6: nobody is signed in, and the client wants nobody to be asked.
    LoginRequired,
    /// OpenID Connect Core §3.1.2.6: the person has not said yes, and the client wants nobody to be asked.
    ConsentRequired,
    /// RFC 7591 §3.2.2: a member of the client's metadata is not acceptable.
    InvalidClientMetadata,
    /// RFC 7591 §3.2.2: a redirect URI is not acceptable.
    InvalidRedirectUri,
    /// RFC 6749 §4.1.2.1: try again later.
    TemporarilyUnavailable,
    /// RFC 7009 §2.2.1: the token type can't be revoked here.
    UnsupportedTokenType,
    /// Nothing of that name exists.
    NotFound,
    /// What the caller refers to is no longer kept; start over.
    Gone,
    /// What the caller says and what we know can't both be true.
    Conflict,
    /// The caller asked too often.
    SlowDown,
    /// RFC 6749 §4.1.2.1: our own fault.
    ServerError,
}

impl ErrorCode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidAuthorizationDetails => "invalid_authorization_details",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::RequestNotSupported => "request_not_supported",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::SlowDown => "slow_down",
            Self::ServerError => "server_error",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest
            | Self::InvalidGrant
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::InvalidAuthorizationDetails
            | Self::InvalidDpopProof
            | Self::UnsupportedResponseType
            | Self::RequestNotSupported
            | Self::LoginRequired
            | Self::ConsentRequired
            | Self::InvalidClientMetadata
            | Self::InvalidRedirectUri
            | Self::UnsupportedTokenType => StatusCode::BAD_REQUEST,
            Self::InvalidClient | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope | Self::AccessDenied => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::SlowDown => StatusCode::TOO_MANY_REQUESTS,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
