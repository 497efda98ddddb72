//! The revocation feed: what a server and its enforcers say to each other about the log, and who may see what of it.

use serde::{Deserialize, Serialize};

use super::cutoff::{Cut, ScopeKind, Stretch};
use super::registry::{Resource, ScopeTools};
use super::scope_tools::standing;
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::time::Timestamp;

/// The JWT `typ` of a [`Snapshot`].
pub const SNAPSHOT_TYP: &str = "revocation-snapshot+jwt";
/// The JWT `typ` of a [`HeadProof`].
pub const HEAD_TYP: &str = "revocation-head+jwt";
/// The JWT `typ` of a [`Receipt`].
pub const RECEIPT_TYP: &str = "revocation-receipt+jwt";

/// The header in which an enforcer says for which resource it follows the log: one that isn't registered for it is refused.
pub const ENFORCED_RESOURCE: &str = "taskpass-resource";

/// The longest lease an enforcer may take, in seconds.
pub const LONGEST_LEASE: u64 = 120;
/// The lease that enforcers take unless they are told otherwise, in seconds.
pub const DEFAULT_LEASE: u64 = 30;
/// How often a stream says that it is alive, in seconds.
pub const HEARTBEAT: u64 = 5;

/// What one enforcer may see: the cutoffs of its own resources, and those that could hit a token of any resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Visibility(Box<[ResourceUri]>);

impl Visibility {
    /// The view of an enforcer of these resources.
    pub fn of(resources: &[ResourceUri]) -> Self {
        Self(resources.into())
    }

    /// Whether the enforcer sees everything about this resource.
    pub fn covers(&self, resource: &str) -> bool {
        self.0.iter().any(|own| own.as_str() == resource)
    }

    /// Whether the enforcer may see this entry.
    pub fn shows(&self, cut: &Cut) -> bool {
        let own = |uri: &str| self.covers(uri);
        match cut.scope_kind {
            ScopeKind::Resource => own(&cut.scope_id),
            ScopeKind::Tool => cut.scope_id.rsplit_once('#').is_some_and(|(uri, _)| own(uri)),
            ScopeKind::Tenant
            | ScopeKind::Key
            | ScopeKind::Agent
            | ScopeKind::Client
            | ScopeKind::User
            | ScopeKind::Session
            | ScopeKind::Consent
            | ScopeKind::Task
            | ScopeKind::Token => true,
        }
    }
}

/// Everything that can still hit a token, signed: where an enforcer starts, and starts over. It makes nobody fresh: only
/// a lease does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The tenant's issuer URL.
    pub iss: String,
    /// The enforcer that it was made for.
    pub aud: String,
    /// When it was signed.
    pub iat: Timestamp,
    /// The tenant.
    pub tenant: String,
    /// The log.
    #[serde(rename = "gen")]
    pub generation: String,
    /// The newest entry that is left out because it can't hit a token any more.
    pub floor: u64,
    /// How far the log had come.
    pub seq: u64,
    /// The entries after `floor` that the enforcer may see.
    pub cutoffs: Vec<Cut>,
}

/// An enforcer asks for a lease, and says how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// The log that it follows.
    #[serde(rename = "gen")]
    pub generation: String,
    /// The last entry that it has applied.
    pub applied_seq: u64,
    /// Random; comes back in the answer, so that no older answer passes for it.
    pub nonce: String,
    /// This process of the enforcer.
    pub instance: String,
    /// How long it will rely on the answer, in seconds from when it sent this.
    pub lease_seconds: u64,
    /// Its version, for the fleet view.
    #[serde(default)]
    pub version: String,
    /// The newest [`HeadProof`] that it holds: by it a server that was set back to an older database finds out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_proof: Option<String>,
}

/// The lease: everything that was committed before the request arrived is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseAnswer {
    /// The request's own.
    pub nonce: String,
    /// The tenant.
    pub tenant: String,
    /// The issuer's time.
    pub at: Timestamp,
    /// The log.
    #[serde(rename = "gen")]
    pub generation: String,
    /// How far the log had come, read after the request arrived.
    pub head_seq: u64,
    /// What the enforcer lacks: the entries after the `applied_seq` of the request.
    pub cutoffs: Vec<Cut>,
    /// Over how many milliseconds the fleet should spread its acknowledgements.
    pub ack_within_ms: u64,
    /// A signed word on how far the log has come, for the enforcer to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_proof: Option<String>,
}

impl LeaseAnswer {
    /// The stretch that brings whoever had applied `applied_seq` up to date.
    pub fn stretch(&self, applied_seq: u64) -> Stretch {
        Stretch { prev: applied_seq, seq: self.head_seq, cutoffs: self.cutoffs.clone() }
    }
}

/// How far a log had come, signed by the tenant's key. A server that is shown one from its own future has been set back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadProof {
    /// The tenant's issuer URL.
    pub iss: String,
    /// When it was signed.
    pub iat: Timestamp,
    /// The tenant.
    pub tenant: String,
    /// The log.
    #[serde(rename = "gen")]
    pub generation: String,
    /// How far it had come.
    pub seq: u64,
}

/// What an enforcer tells clients to ask for. It is advice: what a token opens is decided by its details alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScopeAdvice {
    /// The scopes to ask for at first.
    #[serde(default)]
    pub scope: Scope,
    /// The tools that scopes stand for.
    #[serde(default)]
    pub scope_tools: ScopeTools,
}

impl ScopeAdvice {
    /// What the registry says of the resource; nothing where it says neither what scopes stand for nor which come first.
    pub fn of(resource: &Resource) -> Self {
        let silent = resource.scope_tools.is_empty() && resource.default_scopes.is_empty();
        let scope = if silent { Scope::default() } else { resource.first_scopes().clone() };
        Self { scope, scope_tools: standing(resource) }
    }
}

/// A revocation is in force everywhere: signed, to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The tenant's issuer URL.
    pub iss: String,
    /// When it was signed.
    pub iat: Timestamp,
    /// The tenant.
    pub tenant: String,
    /// The log.
    #[serde(rename = "gen")]
    pub generation: String,
    /// The last entry that it speaks of.
    pub seq: u64,
    /// What was cut.
    pub cutoffs: Vec<Cut>,
    /// When the revocation was durable.
    pub acknowledged_at: Timestamp,
    /// When it was known to be in force everywhere.
    pub effective_at: Timestamp,
    /// How long that took after the acknowledgement, in milliseconds.
    pub effective_after_ms: u64,
    /// How many enforcers have said that they applied it.
    pub acknowledged: usize,
    /// How many had not, and whose lease ran out: they accept nothing until they have.
    pub leases_expired: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enforcer_sees_its_own_resources_and_what_hits_tokens_of_any() {
        let own = ResourceUri::parse("https://a.example/mcp").unwrap();
        let sees = Visibility::of(std::slice::from_ref(&own));
        let cut = |scope_kind, id: &str| Cut { seq: 1, scope_kind, scope_id: id.into() };
        for kind in ScopeKind::ALL {
            let (mine, other) = match kind {
                ScopeKind::Tool => ("https://a.example/mcp#x", "https://a.example/mcp/b#x"),
                _ => ("https://a.example/mcp", "https://b.example/mcp"),
            };
            assert!(sees.shows(&cut(kind, mine)), "{kind:?}");
            let private = matches!(kind, ScopeKind::Resource | ScopeKind::Tool);
            assert_eq!(sees.shows(&cut(kind, other)), !private, "{kind:?}");
        }
    }
}
