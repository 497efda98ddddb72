//! Whom the tenant trusts to say who somebody is: identity providers for people, trust domains for workloads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Status;

/// A company's identity provider, whose ID tokens and JWTs are accepted as subject tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityProvider {
    /// A short name for it.
    pub id: String,
    /// Its issuer URL, compared byte for byte with `iss`.
    pub issuer: String,
    /// Whether its tokens are accepted.
    #[serde(default)]
    pub status: Status,
    /// What people see; its `id` where it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How people sign in with it; they can't where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignIn>,
    /// Whether its identity assertion grants (ID-JAG) are accepted: it then decides, in place of the person, that a client
    /// may have a token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub id_jag: bool,
    /// Its keys, written here. Without either, a provider for sign-in says where its keys are (OpenID Connect Discovery).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Or where it publishes them; https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Audiences accepted beside the requesting agent's own `client_id`: for example the client id of the application
    /// that the person signed in to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// The claim that lists a person's groups.
    #[serde(default = "groups", skip_serializing_if = "String::is_empty")]
    pub groups_claim: String,
}

/// How people sign in with an identity provider: this server is a client of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The `client_id` that the provider knows this server by.
    pub client_id: String,
    /// A file that holds the client secret, below `secrets/` in the server's data directory, for example `secrets/corp`;
    /// without it this server is a public client there, with PKCE alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<String>,
    /// The scopes that are asked for; `openid` is among them.
    #[serde(default = "sign_in_scopes")]
    pub scopes: Vec<String>,
    /// The e-mail domains whose people are sent to this provider without being asked which one is theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
}

fn sign_in_scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).into()
}

/// Somebody who may sign in by a click, on a server that is started with `--dev`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Who, at the development sign-in.
    pub subject: String,
    /// What is shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// An e-mail address: a label, never an identity.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

fn groups() -> String {
    "groups".into()
}

/// Where a trust domain's bundle comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BundleSource {
    /// A file on the server, read again on schedule.
    File(String),
    /// A SPIFFE bundle endpoint (profile `https_web`), fetched on schedule.
    Endpoint(String),
}

/// A SPIFFE trust domain whose JWT-SVIDs are accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustDomain {
    /// Its name, for example `prod.example.com`.
    pub trust_domain: String,
    /// Whether its SVIDs are accepted.
    #[serde(default)]
    pub status: Status,
    /// The bundle, written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Value>,
    /// Or a file on the server that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_file: Option<String>,
    /// Or the https URL of its bundle endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_endpoint: Option<String>,
    /// How often it is read again, in seconds.
    #[serde(default = "five_minutes")]
    pub refresh_seconds: u32,
    /// How long the last good bundle is kept when it can't be read, in seconds.
    #[serde(default = "one_hour")]
    pub keep_seconds: u32,
}

fn five_minutes() -> u32 {
    300
}

fn one_hour() -> u32 {
    3600
}

impl TrustDomain {
    /// Where the bundle is read from, when it isn't written in the registry.
    pub fn source(&self) -> Option<BundleSource> {
        match (&self.bundle_file, &self.bundle_endpoint) {
            (Some(path), _) => Some(BundleSource::File(path.clone())),
            (None, Some(url)) => Some(BundleSource::Endpoint(url.clone())),
            (None, None) => None,
        }
    }
}
