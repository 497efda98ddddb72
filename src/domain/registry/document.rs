//! The registry as a document: what `taskpass apply` reads, checked as a whole before anything is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Agent, Client, Enforcer, IdentityProvider, Person, Registration, Resource, TrustDomain, scope_list,
};
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::time::Timestamp;

/// A registry file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of this format: 1.
    pub version: u32,
    /// One section for each tenant.
    pub tenants: Vec<TenantSection>,
}

/// Everything declared about one tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantSection {
    /// The tenant; `main` unless there are several.
    pub tenant: String,
    /// Whose JWT-SVIDs are accepted.
    pub trust_domains: Vec<TrustDomain>,
    /// Whose people are accepted.
    pub identity_providers: Vec<IdentityProvider>,
    /// MCP servers and APIs.
    pub resources: Vec<Resource>,
    /// Types of `authorization_details` beside the built-in `mcp_tool_call`.
    pub detail_types: Vec<DetailType>,
    /// Workloads.
    pub agents: Vec<Agent>,
    /// Software that people use, and administrators' tools.
    pub clients: Vec<Client>,
    /// Verifiers.
    pub enforcers: Vec<Enforcer>,
    /// Consents given by an administrator.
    pub consents: Vec<Consent>,
    /// Those of them that were taken back, kept apart so that no rule finds them: to say what they were. In no document.
    #[serde(skip)]
    pub withdrawn_consents: Vec<Consent>,
    /// People who may sign in without any proof, on a server that is started with `--dev` alone.
    pub people: Vec<Person>,
    /// How clients that no administrator has registered may come in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
    /// Cedar policies; absent permits what every other rule permits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<String>,
}

/// A type of `authorization_details` that the operator adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DetailType {
    /// The value of `type`.
    #[serde(rename = "type")]
    pub name: String,
    /// The JSON Schema that a detail must satisfy.
    pub schema: Value,
    /// How each member narrows: `equal`, `subset`, `at_most` or `prefix`.
    pub narrowing: Map<String, Value>,
}

/// For whom a consent was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Grantee {
    /// One person at one identity provider.
    User {
        /// The identity provider's issuer URL.
        issuer: String,
        /// The person's `sub` there.
        subject: String,
    },
    /// Everyone in a group of one identity provider.
    Group {
        /// The identity provider's issuer URL.
        issuer: String,
        /// The group.
        group: String,
    },
}

/// A stored yes: this agent may act for these people, at this resource, with at most this, until then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Its id.
    pub consent: String,
    /// The person it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Grantee>,
    /// Or the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Grantee>,
    /// The agent that may act.
    pub agent: String,
    /// Where.
    #[schemars(with = "String")]
    pub resource: ResourceUri,
    /// With which scopes; none when absent.
    #[serde(default, with = "scope_list", skip_serializing_if = "Scope::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub scopes: Scope,
    /// With which details; none when absent.
    #[serde(default, skip_serializing_if = "AuthorizationDetails::is_empty")]
    #[schemars(with = "Vec<Value>")]
    pub authorization_details: AuthorizationDetails,
    /// Until when, in seconds since 1970.
    #[schemars(with = "i64")]
    pub expires_at: Timestamp,
}

impl Consent {
    /// For whom it was given; the registry refuses consents for both or neither.
    pub fn grantee(&self) -> Option<&Grantee> {
        self.user.as_ref().or(self.group.as_ref())
    }
}

/// The kinds of entries, as they are stored and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the design")]
pub enum Kind {
    TrustDomain,
    IdentityProvider,
    Resource,
    DetailType,
    Agent,
    Client,
    Enforcer,
    Consent,
    Person,
    Registration,
    Policies,
}

impl Kind {
    /// Every kind, in the order of the document.
    pub const ALL: [Self; 11] = [
        Self::TrustDomain,
        Self::IdentityProvider,
        Self::Resource,
        Self::DetailType,
        Self::Agent,
        Self::Client,
        Self::Enforcer,
        Self::Consent,
        Self::Person,
        Self::Registration,
        Self::Policies,
    ];

    /// The word under which it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TrustDomain => "trust_domain",
            Self::IdentityProvider => "identity_provider",
            Self::Resource => "resource",
            Self::DetailType => "detail_type",
            Self::Agent => "agent",
            Self::Client => "client",
            Self::Enforcer => "enforcer",
            Self::Consent => "consent",
            Self::Person => "person",
            Self::Registration => "registration",
            Self::Policies => "policies",
        }
    }
}

/// What is wrong with a registry document, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct RegistryError {
    /// The entry, for example `agent triage`.
    pub place: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl RegistryError {
    /// An error at `place`.
    pub fn new(place: impl Into<String>, what: impl std::fmt::Display) -> Self {
        Self { place: place.into(), what: what.to_string() }
    }
}

impl TenantSection {
    /// The section as single entries: kind, id, body.
    pub fn entries(&self) -> Result<Vec<(Kind, String, Value)>, RegistryError> {
        let mut entries = Vec::new();
        push(&mut entries, Kind::TrustDomain, &self.trust_domains, |entry| &entry.trust_domain)?;
        push(&mut entries, Kind::IdentityProvider, &self.identity_providers, |entry| &entry.id)?;
        push(&mut entries, Kind::Resource, &self.resources, |entry| entry.resource.as_str())?;
        push(&mut entries, Kind::DetailType, &self.detail_types, |entry| &entry.name)?;
        push(&mut entries, Kind::Agent, &self.agents, |entry| &entry.agent)?;
        push(&mut entries, Kind::Client, &self.clients, |entry| &entry.client)?;
        push(&mut entries, Kind::Enforcer, &self.enforcers, |entry| &entry.enforcer)?;
        push(&mut entries, Kind::Consent, &self.consents, |entry| &entry.consent)?;
        push(&mut entries, Kind::Person, &self.people, |entry| &entry.subject)?;
        push(&mut entries, Kind::Registration, self.registration.as_slice(), |_| "clients")?;
        if let Some(policies) = &self.policies {
            entries.push((Kind::Policies, "cedar".into(), Value::String(policies.clone())));
        }
        Ok(entries)
    }

    /// Puts stored entries together again.
    pub fn from_entries(
        tenant: &str,
        entries: impl IntoIterator<Item = (String, String, Value)>,
    ) -> Result<Self, RegistryError> {
        let mut section = Self { tenant: tenant.to_owned(), ..Self::default() };
        for (kind, id, body) in entries {
            let at = || format!("{kind} {id}");
            match kind.as_str() {
                "trust_domain" => section.trust_domains.push(read(body, at)?),
                "identity_provider" => section.identity_providers.push(read(body, at)?),
                "resource" => section.resources.push(read(body, at)?),
                "detail_type" => section.detail_types.push(read(body, at)?),
                "agent" => section.agents.push(read(body, at)?),
                "client" => section.clients.push(read(body, at)?),
                "enforcer" => section.enforcers.push(read(body, at)?),
                "consent" => section.consents.push(read(body, at)?),
                "person" => section.people.push(read(body, at)?),
                "registration" => section.registration = Some(read(body, at)?),
                "policies" => section.policies = Some(read(body, at)?),
                _ => {
                    return Err(RegistryError::new(at(), "this kind of entry is unknown to this version"));
                }
            }
        }
        Ok(section)
    }
}

fn push<T: Serialize>(
    entries: &mut Vec<(Kind, String, Value)>,
    kind: Kind,
    list: &[T],
    id: impl Fn(&T) -> &str,
) -> Result<(), RegistryError> {
    for entry in list {
        let place = format!("{} {}", kind.as_str(), id(entry));
        if entries.iter().any(|(other, name, _)| *other == kind && name == id(entry)) {
            return Err(RegistryError::new(place, "is declared twice"));
        }
        let body = serde_json::to_value(entry).map_err(|error| RegistryError::new(place, error))?;
        entries.push((kind, id(entry).to_owned(), body));
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(body: Value, at: impl Fn() -> String) -> Result<T, RegistryError> {
    serde_json::from_value(body).map_err(|error| RegistryError::new(at(), error))
}

/// The JSON Schema of the registry document, for editors.
pub fn json_schema() -> Value {
    schemars::schema_for!(Document).to_value()
}
