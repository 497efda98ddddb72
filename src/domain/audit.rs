//! Evidence: one row for each decision, chained by hash so that an edit, a gap or a cut tail names itself.

use std::borrow::Cow;

use serde::Serialize;

use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::claims::{Actor, Rev};
use crate::protocol::scope::Scope;
use crate::secret::Digest;
use crate::time::Timestamp;

/// What was decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A token was asked for.
    Token,
    /// A token was introspected and found dead or not to be shown.
    Introspection,
    /// Something was revoked.
    Revocation,
    /// The registry, the keys or the administrators changed.
    Administration,
    /// A client asked a person for something, and the person answered.
    Authorization,
    /// A person signed in or out.
    SignIn,
    /// An enforcer decided about a request at its resource.
    Enforcement,
}

/// One decision: who, which task, what was asked, what was decided and by which rule, under which view of the
/// revocation log. Never a token, code, assertion or key.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// What was decided about.
    pub event: EventKind,
    /// Whether it was granted.
    pub granted: bool,
    /// The rule that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Cow<'static, str>>,
    /// The authenticated client; as claimed and unproven when `rule` is one of client authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The person, or the agent that acts for nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The actor chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What the agent says it is for; shown, never trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_purpose: Option<String>,
    /// The token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The scope asked for or granted.
    #[serde(skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// The details asked for or granted.
    #[serde(skip_serializing_if = "AuthorizationDetails::is_empty")]
    pub authorization_details: AuthorizationDetails,
    /// The consent it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// When what was granted ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<Timestamp>,
    /// The view of the revocation log under which it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rev: Option<Rev>,
    /// What was changed, for revocation and administration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

impl Event {
    /// An event of this kind with nothing filled in.
    pub fn new(event: EventKind, granted: bool) -> Self {
        Self {
            event,
            granted,
            rule: None,
            client_id: None,
            sub: None,
            act: None,
            task: None,
            task_purpose: None,
            jti: None,
            resource: None,
            scope: Scope::default(),
            authorization_details: AuthorizationDetails::default(),
            consent: None,
            exp: None,
            rev: None,
            detail: None,
        }
    }

    /// The same event, refused by `rule`: nothing was issued, so nothing issued is named.
    #[must_use]
    pub fn refused(self, rule: &'static str) -> Self {
        Self { granted: false, rule: Some(rule.into()), jti: None, exp: None, ..self }
    }
}

/// The place of one row in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The number of the last row.
    pub seq: u64,
    /// Its hash; all zeros before the first.
    pub hash: Digest,
}

/// One row, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number; gap-free within a tenant.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The event as JSON; the hash is over these bytes.
    pub body: String,
    /// The hash of everything above and of the row before.
    pub hash: Digest,
}

impl ChainHead {
    /// The head before the first row.
    pub fn start() -> Self {
        Self { seq: 0, hash: Digest([0; 32]) }
    }

    /// The row that follows, and the head becomes it.
    pub fn append(&mut self, tenant: &str, body: String, at: Timestamp) -> Row {
        let seq = self.seq + 1;
        let hash = chain_hash(tenant, seq, at, &body, &self.hash);
        *self = Self { seq, hash };
        Row { seq, at, body, hash }
    }
}

/// The hash of a row: over tenant, number, time, body and the hash of the row before.
pub fn chain_hash(tenant: &str, seq: u64, at: Timestamp, body: &str, before: &Digest) -> Digest {
    Digest::of_parts(&[
        tenant.as_bytes(),
        &seq.to_be_bytes(),
        &at.0.to_be_bytes(),
        body.as_bytes(),
        &before.0,
    ])
}
