//! Whoever authenticates: agents, clients, enforcers, and how each proves who it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scope_list;
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;

/// How a workload proves that it is this agent, client or enforcer. No shared secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Identity {
    /// A SPIFFE ID of a trust domain that this tenant trusts, proved by a JWT-SVID.
    Spiffe {
        /// `spiffe://{trust domain}/{path}`.
        spiffe_id: String,
    },
    /// Public keys written here, for `private_key_jwt`.
    Jwks {
        /// A JWK set (RFC 7517 §5).
        jwks: Value,
    },
    /// Public keys fetched from where the workload publishes them, for `private_key_jwt`.
    JwksUri {
        /// An https URL.
        jwks_uri: String,
    },
}

/// Whether an entry may be used. Only `active` ones mint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In use.
    #[default]
    Active,
    /// Switched off for now.
    Suspended,
    /// Switched off for good; kept for the record.
    Retired,
}

/// The most that an agent may ever be given at one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// The resource.
    #[schemars(with = "String")]
    pub resource: ResourceUri,
    /// Scopes; none when absent.
    #[serde(default, with = "scope_list", skip_serializing_if = "Scope::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub scopes: Scope,
    /// Details; none when absent.
    #[serde(default, skip_serializing_if = "AuthorizationDetails::is_empty")]
    #[schemars(with = "Vec<Value>")]
    pub authorization_details: AuthorizationDetails,
}

/// A registered workload that acts for people, or for nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its id, which is also its `client_id` and its `act.sub`.
    pub agent: String,
    /// What people see.
    #[serde(default)]
    pub name: String,
    /// The person who answers for it. An agent without one mints nothing.
    #[serde(default)]
    pub owner: String,
    /// What it is for.
    #[serde(default)]
    pub purpose: String,
    /// Risk tier: 1 internal and low, 2 production, 3 high.
    #[serde(default = "default_tier")]
    pub tier: u8,
    /// Where it runs, for example `production`.
    #[serde(default)]
    pub environment: String,
    /// Whether it may be used.
    #[serde(default)]
    pub status: Status,
    /// How it proves who it is.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// The most it may ever be given, per resource.
    #[serde(default)]
    pub ceiling: Vec<Ceiling>,
    /// The agents that may exchange this agent's tokens for narrower ones of their own.
    #[serde(default)]
    pub may_delegate_to: Vec<String>,
}

fn default_tier() -> u8 {
    3
}

/// What an administrator's client may do; each is a scope at `{issuer}/admin/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Administrator {
    /// Read the registry, keys, tasks and tokens.
    #[serde(rename = "registry:read")]
    RegistryRead,
    /// Change the registry and rotate keys.
    #[serde(rename = "registry:write")]
    RegistryWrite,
    /// Revoke and reinstate.
    #[serde(rename = "revoke")]
    Revoke,
    /// Ask for dry runs.
    #[serde(rename = "explain")]
    Explain,
    /// Read the audit trail.
    #[serde(rename = "audit:read")]
    AuditRead,
}

impl Administrator {
    /// Every right, in the order in which they are documented.
    pub const ALL: [Self; 5] =
        [Self::RegistryRead, Self::RegistryWrite, Self::Revoke, Self::Explain, Self::AuditRead];

    /// The scope token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RegistryRead => "registry:read",
            Self::RegistryWrite => "registry:write",
            Self::Revoke => "revoke",
            Self::Explain => "explain",
            Self::AuditRead => "audit:read",
        }
    }
}

/// Software that a person uses directly, or an administrator's tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    pub client: String,
    /// What people see.
    #[serde(default)]
    pub name: String,
    /// The person who answers for it.
    #[serde(default)]
    pub owner: String,
    /// Whether it may be used.
    #[serde(default)]
    pub status: Status,
    /// How it proves who it is.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// Where a person's browser may be sent back to, compared byte for byte; a loopback address may have any port. Without
    /// one the client can't ask people for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// The resources that it may ask for; every one that is registered when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub resources: Vec<ResourceUri>,
    /// What it may do at the administrative API; nothing when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub administrator: Vec<Administrator>,
}

/// How clients come in that no administrator has registered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Registration {
    /// Whether a client may describe itself by a Client ID Metadata Document: its `client_id` is the document's URL.
    pub metadata_documents: bool,
    /// The hosts that such documents may come from; every host when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metadata_document_hosts: Vec<String>,
    /// Whether a client may register itself (RFC 7591). MCP has deprecated that: off.
    pub dynamic: bool,
}

/// A verifier that sits at a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enforcer {
    /// Its `client_id`.
    pub enforcer: String,
    /// Whether it may be used.
    #[serde(default)]
    pub status: Status,
    /// The resources whose tokens it may see.
    #[schemars(with = "Vec<String>")]
    pub resources: Vec<ResourceUri>,
    /// How it proves who it is.
    #[serde(default)]
    pub identities: Vec<Identity>,
}
