//! What a client asks a person for, and what the person has granted (OAuth 2.1 §4.1, RFC 8707, RFC 9396).

use serde::{Deserialize, Serialize};

use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::time::Timestamp;

/// How long a code may be redeemed, in seconds.
pub const CODE_LIFETIME: i64 = 60;
/// How long a pushed request may be opened, in seconds.
pub const PUSHED_LIFETIME: i64 = 90;
/// How long a person may take to sign in and to answer, in seconds.
pub const REQUEST_LIFETIME: i64 = 1800;
/// How long a refresh token may lie unused, in seconds.
pub const REFRESH_LIFETIME: i64 = 14 * 86_400;
/// How long after its first use a rotated refresh token still leads to its one successor, in seconds: an answer that was
/// lost on its way must not cost the person a new sign-in.
pub const REPLAY_WINDOW: i64 = 30;
/// How long a browser stays signed in, in seconds.
pub const SESSION_LIFETIME: i64 = 12 * 3600;

/// Whether anybody may be asked (OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// As the server sees fit.
    #[default]
    Any,
    /// Nobody may be asked.
    None,
    /// The person signs in again.
    Login,
    /// The person answers again.
    Consent,
}

/// A request that has been checked: its client is known, its redirect URI is the client's, its target can be had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client_id: String,
    /// Where the browser goes back to.
    pub redirect_uri: String,
    /// The client's own word, given back unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// SHA-256 of the verifier that will come with the code (RFC 7636, S256).
    pub code_challenge: String,
    /// For where.
    pub resource: ResourceUri,
    /// Which scopes.
    pub scope: Scope,
    /// Which details.
    pub authorization_details: AuthorizationDetails,
    /// The agent that the client wants to hand the token to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_actor: Option<String>,
    /// Whether anybody may be asked.
    #[serde(default)]
    pub prompt: Prompt,
    /// An e-mail address that says whose identity provider to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// The pushed request that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<String>,
    /// The session that was opened for this very request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_in_by: Option<String>,
}

/// What a person has granted to a client: one task, at one resource, until then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The task: ending it ends everything that the grant has bought.
    pub task: String,
    /// To whom.
    pub client_id: String,
    /// By whom: the person's id.
    pub sub: String,
    /// In which session of the person's browser.
    pub sid: String,
    /// The consent that it rests on.
    pub consent: String,
    /// Where.
    pub resource: ResourceUri,
    /// Scopes.
    pub scope: Scope,
    /// Details.
    pub authorization_details: AuthorizationDetails,
    /// The agent that may exchange its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_act: Option<String>,
    /// Until when.
    pub expires_at: Timestamp,
    /// Where the code was sent.
    pub redirect_uri: String,
    /// What the code's verifier must hash to.
    pub code_challenge: String,
}
