//! The keys that lie in `keys/` for everyone to read: good for tests, never for production.

use super::PublicJwk;

/// The thumbprints of the keys in `keys/`, one a line.
const THUMBPRINTS: &str = include_str!("../../keys/thumbprints.txt");

/// Whether everybody has the private half of this key.
pub fn is_test_key(key: &PublicJwk) -> bool {
    THUMBPRINTS.lines().any(|line| line == key.thumbprint())
}
