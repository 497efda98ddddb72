//! How long access tokens live.

use super::registry::{Impact, Resource};
use crate::time::Timestamp;

/// The longest life of any access token, in seconds; enforcers refuse more.
pub const LIFETIME_CEILING: i64 = 300;

/// The longest life of a token that carries `external_write`, in seconds.
pub const EXTERNAL_WRITE_LIFETIME: i64 = 60;

/// The leeway that enforcers may allow for clocks, in seconds.
pub const LEEWAY: i64 = 5;

/// When a token minted now expires: after the resource's lifetime, sooner if it carries `external_write`, and never
/// past `bounds` (the task's deadline, the consent's expiry, the subject token's reach).
pub fn expiry(resource: &Resource, worst: Option<Impact>, bounds: &[Timestamp], now: Timestamp) -> Timestamp {
    let lifetime = match worst {
        Some(Impact::ExternalWrite) => resource.token.lifetime_seconds.min(EXTERNAL_WRITE_LIFETIME),
        _ => resource.token.lifetime_seconds.min(LIFETIME_CEILING),
    };
    bounds.iter().copied().fold(now.plus(lifetime), Ord::min)
}
