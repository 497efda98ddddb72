//! Resources: MCP servers and APIs, what they accept, and what their tools can do to the world.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Status, scope_list};
use crate::jose::Algorithm;
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;

/// What a call of a tool can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Reads what is not sensitive.
    Read,
    /// Reads personal or confidential data.
    ReadSensitive,
    /// Writes what can be undone.
    ReversibleWrite,
    /// Reaches out of the system: sends, pays, deletes for good.
    ExternalWrite,
}

impl Impact {
    /// The word in the registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadSensitive => "read_sensitive",
            Self::ReversibleWrite => "reversible_write",
            Self::ExternalWrite => "external_write",
        }
    }
}

/// One tool of an MCP server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name, compared byte for byte.
    pub name: String,
    /// What a call can do; the worst is assumed when absent.
    #[serde(default = "worst")]
    pub impact: Impact,
    /// Whether its calls are switched off.
    #[serde(default)]
    pub disabled: bool,
}

fn worst() -> Impact {
    Impact::ExternalWrite
}

/// Whether a token is self-contained or looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    /// A signed JWT (RFC 9068).
    #[default]
    Jwt,
    /// 256 random bits, stored as a hash.
    Opaque,
}

/// How a token must be bound to its holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SenderConstraint {
    /// A bearer token is accepted.
    #[default]
    None,
    /// Only a bound token is accepted (RFC 9449 or RFC 8705).
    Required,
}

/// What tokens for a resource look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenRules {
    /// JWT or opaque.
    pub format: TokenFormat,
    /// The signature algorithm of JWTs: ES256, EdDSA, RS256 or PS256.
    pub alg: Algorithm,
    /// Lifetime in seconds, 1 to 300; tokens that carry `external_write` live 60 s at most.
    pub lifetime_seconds: i64,
    /// Whether tokens must be bound to a key.
    pub sender_constraint: SenderConstraint,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            format: TokenFormat::Jwt,
            alg: Algorithm::ES256,
            lifetime_seconds: 240,
            sender_constraint: SenderConstraint::None,
        }
    }
}

/// The way on from a tool to the API behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Downstream {
    /// The tool whose grant opens this way.
    pub tool: String,
    /// Where it leads.
    #[schemars(with = "String")]
    pub resource: ResourceUri,
    /// The scopes that may be asked for there.
    #[serde(default, with = "scope_list", skip_serializing_if = "Scope::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub scopes: Scope,
    /// The details that may be asked for there.
    #[serde(default, skip_serializing_if = "AuthorizationDetails::is_empty")]
    #[schemars(with = "Vec<serde_json::Value>")]
    pub authorization_details: AuthorizationDetails,
}

/// The tools that a scope stands for, by scope: entries as in the `tools` of an `mcp_tool_call` detail.
pub type ScopeTools = BTreeMap<String, Vec<serde_json::Value>>;

/// An MCP server or API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its canonical URI (RFC 8707).
    #[schemars(with = "String")]
    pub resource: ResourceUri,
    /// What people see.
    #[serde(default)]
    pub name: String,
    /// The person who answers for it.
    #[serde(default)]
    pub owner: String,
    /// How sensitive its data is, in the operator's own words.
    #[serde(default)]
    pub data_class: String,
    /// Whether tokens for it are issued.
    #[serde(default)]
    pub status: Status,
    /// The scopes it understands.
    #[serde(default, with = "scope_list")]
    #[schemars(with = "Vec<String>")]
    pub scopes: Scope,
    /// What is asked for where a client names no scope, and what clients are told to ask for at first; every scope when
    /// absent.
    #[serde(default, with = "scope_list", skip_serializing_if = "Scope::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub default_scopes: Scope,
    /// Scopes that stand for tools: each with entries as in the `tools` of an `mcp_tool_call` detail. Most clients can name
    /// scopes only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scope_tools: ScopeTools,
    /// The types of `authorization_details` it understands.
    #[serde(default)]
    pub detail_types: Vec<String>,
    /// Its tools.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// What tokens for it look like.
    #[serde(default)]
    pub token: TokenRules,
    /// The agents that run behind it and may exchange its tokens for downstream ones.
    #[serde(default)]
    pub served_by: Vec<String>,
    /// Where each tool may go on to.
    #[serde(default)]
    pub downstream: Vec<Downstream>,
}

impl Resource {
    /// The tool of that name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// What a client is told to ask for at first, and what it is taken to ask for where it names no scope.
    pub fn first_scopes(&self) -> &Scope {
        if self.default_scopes.is_empty() { &self.scopes } else { &self.default_scopes }
    }
}
