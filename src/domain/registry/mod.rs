//! The registry: what an administrator has declared about one tenant, as a document and as the index that flows read.

mod agent;
mod changes;
mod check;
mod document;
mod index;
mod resource;
mod sign_in;
mod upstream;

pub use agent::{Administrator, Agent, Ceiling, Client, Enforcer, Identity, Registration, Status};
pub use changes::{Action, Change, changes};
pub use document::{Consent, Document, Grantee, Kind, RegistryError, TenantSection, json_schema};
pub use index::{KeySource, Principal, PrincipalKind, Registry, ended_session, revoked_client};
pub use resource::{
    Downstream, Impact, Resource, ScopeTools, SenderConstraint, TokenFormat, TokenRules, Tool,
};
pub use sign_in::is_below_secrets;
pub use upstream::{BundleSource, IdentityProvider, Person, SignIn, TrustDomain};

/// Scopes are written as a list in the registry and as one string on the wire.
pub(crate) mod scope_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::protocol::scope::Scope;

    pub(crate) fn serialize<S: Serializer>(scope: &Scope, serializer: S) -> Result<S::Ok, S::Error> {
        scope.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
        let tokens = Vec::<String>::deserialize(deserializer)?;
        Scope::from_tokens(tokens.iter().map(String::as_str)).map_err(serde::de::Error::custom)
    }
}
