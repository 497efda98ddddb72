//! Chance as a value: random bytes from the operating system, and the identifiers and secrets made from them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

use crate::secret::Secret;
use crate::time::Timestamp;

/// The source of randomness; one per process, cheap to clone.
#[derive(Clone, Debug)]
pub struct Entropy(SystemRandom);

impl Default for Entropy {
    #[expect(clippy::disallowed_methods, reason = "the one source of randomness")]
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

/// Crockford's base 32 in lower case: digits sort before letters, so encoded times sort as numbers do.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Entropy {
    /// `N` random bytes.
    ///
    /// # Panics
    /// If the operating system has no randomness to give: nothing safe can be issued then.
    #[expect(clippy::expect_used, reason = "a server without randomness must stop, not go on")]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes).expect("the operating system gives random bytes");
        bytes
    }

    /// An identifier `{prefix}_{time}{random}`: 40 bits of seconds, then 80 random bits, so that ids sort by time and
    /// rows written together lie together.
    pub fn ordered_id(&self, prefix: &str, now: Timestamp) -> String {
        let mut bytes = [0; 15];
        bytes[..5].copy_from_slice(&now.0.to_be_bytes()[3..]);
        bytes[5..].copy_from_slice(&self.bytes::<10>());
        let mut id = String::with_capacity(prefix.len() + 25);
        id.push_str(prefix);
        id.push('_');
        for group in bytes.chunks_exact(5) {
            let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for shift in (0..8).rev() {
                id.push(char::from(BASE32[(bits >> (shift * 5) & 31) as usize]));
            }
        }
        id
    }

    /// A secret `{prefix}_{43 characters}` with 256 random bits.
    pub fn secret(&self, prefix: &str) -> Secret {
        Secret::new(format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(self.bytes::<32>())))
    }

    /// The random source that ring's own functions take.
    pub fn ring(&self) -> &SystemRandom {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ() {
        let entropy = Entropy::default();
        let earlier = entropy.ordered_id("tok", Timestamp(1_700_000_000));
        let later = entropy.ordered_id("tok", Timestamp(1_700_000_001));
        assert!(earlier < later);
        assert_eq!(later.len(), 28);
        assert_ne!(later, entropy.ordered_id("tok", Timestamp(1_700_000_001)));
    }
}
