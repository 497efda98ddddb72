//! The answer of the token endpoint (RFC 6749 §5.1, RFC 8693 §2.2.1, RFC 9396 §7).

use serde::Serialize;

use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::scope::Scope;
use crate::time::Timestamp;

/// What is sent back. `scope` and `authorization_details` are always there when granted, so that nobody has to guess.
#[derive(Clone, Serialize)]
pub struct TokenResponse {
    /// The token.
    pub access_token: String,
    /// RFC 8693 §2.2.1: REQUIRED for an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Seconds until it expires.
    pub expires_in: i64,
    /// The refresh token, for clients that people use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Granted scopes.
    #[serde(skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// Granted details.
    #[serde(skip_serializing_if = "AuthorizationDetails::is_empty")]
    pub authorization_details: AuthorizationDetails,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// When the task ends at the latest, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_deadline: Option<Timestamp>,
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenResponse").field("task", &self.task).finish_non_exhaustive()
    }
}
