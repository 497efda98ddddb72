//! Private keys at rest: AES-256-GCM, bound to tenant, key id, algorithm and state.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::entropy::Entropy;

/// The key that wraps keys.
pub struct WrappingKey(LessSafeKey);

/// The wrapped key can't be opened: another wrapping key, or the row was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key can't be unwrapped: the wrapping key is another one, or the stored row was altered")]
pub struct CannotUnwrap;

impl WrappingKey {
    /// A wrapping key of 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, bytes).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// Wraps `secret`; `context` is what it is bound to. The nonce is random: 96 bits for a handful of keys.
    pub fn wrap(&self, secret: &str, context: &[&str; 4], entropy: &Entropy) -> Result<String, CannotUnwrap> {
        let nonce = entropy.bytes::<12>();
        let mut sealed = secret.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(context), &mut sealed)
            .map_err(|_| CannotUnwrap)?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Opens what [`WrappingKey::wrap`] made with the same context.
    pub fn unwrap(&self, wrapped: &str, context: &[&str; 4]) -> Result<Zeroizing<String>, CannotUnwrap> {
        let mut bytes = URL_SAFE_NO_PAD.decode(wrapped).map_err(|_| CannotUnwrap)?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<12>().ok_or(CannotUnwrap)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, aad(context), sealed).map_err(|_| CannotUnwrap)?;
        let text = std::str::from_utf8(opened).map_err(|_| CannotUnwrap)?.to_owned();
        zeroize::Zeroize::zeroize(&mut bytes);
        Ok(Zeroizing::new(text))
    }
}

impl std::fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WrappingKey(…)")
    }
}

fn aad(context: &[&str; 4]) -> Aad<[u8; 32]> {
    Aad::from(crate::secret::Digest::of_parts(&context.map(str::as_bytes)).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_own_context() {
        let entropy = Entropy::default();
        let key = WrappingKey::new(&[7; 32]).unwrap();
        let context = ["main", "k1", "ES256", "active"];
        let wrapped = key.wrap("secret", &context, &entropy).unwrap();
        assert_eq!(*key.unwrap(&wrapped, &context).unwrap(), "secret");
        for other in [
            ["b", "k1", "ES256", "active"],
            ["main", "k2", "ES256", "active"],
            ["main", "k1", "ES256", "revoked"],
        ] {
            assert!(key.unwrap(&wrapped, &other).is_err());
        }
        assert!(WrappingKey::new(&[8; 32]).unwrap().unwrap(&wrapped, &context).is_err());
        assert!(key.unwrap("", &context).is_err());
    }
}
