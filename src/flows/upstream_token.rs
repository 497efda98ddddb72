//! What the JWTs of identity providers have in common, whatever each is for: who signed it, when it holds, and how it is read.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Server;
use crate::domain::registry::{IdentityProvider, KeySource};
use crate::jose::{JwsError, Unverified};
use crate::protocol::numeric_date::{Audience, NumericDate};
use crate::time::Timestamp;

/// How far an upstream's clock may be ahead, in seconds.
pub(super) const SKEW: i64 = 30;

/// Why nobody has signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unproved {
    /// Its issuer's keys can't be had right now.
    NoKeys,
    /// No key of its issuer signed it.
    NotSigned,
}

/// Whether one of these keys signed it; keys that may have been rotated are read again.
pub(super) async fn verify_signature(
    server: &Server,
    source: &KeySource,
    unverified: &Unverified<'_>,
) -> Result<(), Unproved> {
    for missing in [false, true] {
        let keys = server.keys.of(source, missing).await.map_err(|_| Unproved::NoKeys)?;
        match unverified.verify(&keys) {
            Ok(_) => return Ok(()),
            // The provider may have rotated since its keys were read.
            Err(JwsError::UnknownKey) => {}
            Err(_) => break,
        }
    }
    Err(Unproved::NotSigned)
}

/// The claims that decide; each kind of token says which it must have.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) sub: Option<String>,
    pub(super) aud: Audience,
    pub(super) azp: Option<String>,
    pub(super) exp: NumericDate,
    pub(super) nbf: Option<NumericDate>,
    pub(super) iat: Option<NumericDate>,
    pub(super) sid: Option<String>,
}

impl Claims {
    /// Whether it has expired, or is from the future.
    pub(super) fn is_out_of_time(&self, now: Timestamp) -> bool {
        let ahead = |date: Option<NumericDate>| date.is_some_and(|date| date.0 > now.plus(SKEW));
        now >= self.exp.0 || ahead(self.nbf) || ahead(self.iat)
    }
}

/// Whether a name that a provider gives can't be one: it stands in tokens, in the log and in the database.
pub(super) fn is_unfit(name: &str) -> bool {
    name.is_empty() || name.len() > 255 || name.chars().any(char::is_control)
}

/// The person's groups.
pub(super) fn groups(claims: &Map<String, Value>, idp: &IdentityProvider) -> Vec<String> {
    let listed = claims.get(&idp.groups_claim).and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str).take(1000).map(str::to_owned).collect()
}
