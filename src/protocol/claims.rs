//! The claims of our access tokens (RFC 9068 §2.2, RFC 8693 §4, RFC 9396 §9.1) and of their introspection (RFC 7662 §2.2).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::authorization_details::AuthorizationDetails;
use super::resource::ResourceUri;
use super::scope::Scope;
use crate::time::Timestamp;

/// The JWT `typ` of an access token (RFC 9068 §2.1).
pub const ACCESS_TOKEN_TYP: &str = "at+jwt";

/// An acting agent and who acted before it (RFC 8693 §4.1). Only the outermost actor is authoritative: "prior actors
/// … are informational only and are not to be considered in access control decisions".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The agent's id.
    pub sub: String,
    /// The actor before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

impl Actor {
    /// The actors of the chain, the current one first.
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self), |actor| actor.act.as_deref()).map(|actor| actor.sub.as_str())
    }
}

/// Who may exchange this token (RFC 8693 §4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayAct {
    /// The agent's id.
    pub sub: String,
}

/// The key that a token is bound to (RFC 7800 §3, RFC 9449 §6.1, RFC 8705 §3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// SHA-256 thumbprint of the DPoP key.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// SHA-256 thumbprint of the client certificate.
    #[serde(
        default,
        deserialize_with = "there",
        rename = "x5t#S256",
        skip_serializing_if = "Option::is_none"
    )]
    pub x5t_s256: Option<String>,
    /// Whatever else binds the token. We issue none of it, so who meets it must refuse the token.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A member that may be absent, but not null: a binding that is there and says nothing is not the same as none.
fn there<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A place in the revocation log: which log (`gen`), and how far along it (`seq`). On the wire `<gen>.<seq>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rev {
    /// Names the log; a restored or replaced log has another one.
    pub generation: String,
    /// The number of the last entry that had been applied.
    pub seq: u64,
}

impl std::fmt::Display for Rev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.generation, self.seq)
    }
}

impl std::str::FromStr for Rev {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (generation, seq) = text.split_once('.').ok_or("rev is <gen>.<seq>")?;
        let seq = seq.parse().map_err(|_| "rev's seq is not a number")?;
        Ok(Self { generation: generation.to_owned(), seq })
    }
}

impl Serialize for Rev {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rev {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The claims of an access token; the same members come back from introspection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    /// The tenant's issuer URL.
    pub iss: String,
    /// Exactly one resource.
    pub aud: ResourceUri,
    /// The person; the agent itself when it acts for nobody.
    pub sub: String,
    /// Expiry, exclusive: the token is dead from this second on.
    pub exp: Timestamp,
    /// When it was minted.
    pub iat: Timestamp,
    /// Its id, by which it is recorded and revoked.
    pub jti: String,
    /// The OAuth client that it was issued to.
    pub client_id: String,
    /// Who acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
    /// Who may exchange it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_act: Option<MayAct>,
    /// What it may do, in scopes.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// What it may do, in detail.
    #[serde(default, skip_serializing_if = "AuthorizationDetails::is_empty")]
    pub authorization_details: AuthorizationDetails,
    /// The key it is bound to.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The tasks above that one, root first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_ancestors: Vec<String>,
    /// How far the revocation log had come before the first check of the request that minted it.
    pub rev: Rev,
    /// The consent it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// The person's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The tenant.
    pub tenant: String,
}

impl AccessTokenClaims {
    /// The current actor: the outermost `act`, else nobody.
    pub fn actor(&self) -> Option<&str> {
        self.act.as_ref().map(|act| act.sub.as_str())
    }

    /// Every agent in the chain, the current one first.
    pub fn actors(&self) -> impl Iterator<Item = &str> {
        self.act.iter().flat_map(Actor::chain)
    }
}
