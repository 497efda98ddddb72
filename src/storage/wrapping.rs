//! The key that this server's nodes share: private keys at rest are wrapped with it (AES-256-GCM, bound to tenant, key id,
//! algorithm and state), and tags are made with a key derived from it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use crate::entropy::Entropy;
use crate::secret::Digest;

/// The key that wraps keys.
pub struct WrappingKey {
    wrapping: LessSafeKey,
    tagging: hmac::Key,
}

/// The wrapped key can't be opened: another wrapping key, or the row was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key can't be unwrapped: the wrapping key is another one, or the stored row was altered")]
pub struct CannotUnwrap;

impl WrappingKey {
    /// A wrapping key of 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Option<Self> {
        let wrapping = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?);
        // Another key for another purpose: what tags give away says nothing about what is wrapped.
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"taskpass tags");
        Some(Self { wrapping, tagging: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) })
    }

    /// What only nodes with this key can make of `parts`: the same on each of them, and no hint at the key.
    pub fn tag(&self, parts: &[&[u8]]) -> Digest {
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&self.tagging, &Digest::of_parts(parts).0).as_ref());
        Digest(tag)
    }

    /// Wraps `secret`; `context` is what it is bound to. The nonce is random: 96 bits for a handful of keys.
    pub fn wrap(&self, secret: &str, context: &[&str; 4], entropy: &Entropy) -> Result<String, CannotUnwrap> {
        let nonce = entropy.bytes::<12>();
        let mut sealed = secret.as_bytes().to_vec();
        self.wrapping
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(context), &mut sealed)
            .map_err(|_| CannotUnwrap)?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Opens what [`WrappingKey::wrap`] made with the same context.
    pub fn unwrap(&self, wrapped: &str, context: &[&str; 4]) -> Result<Zeroizing<String>, CannotUnwrap> {
        let mut bytes = URL_SAFE_NO_PAD.decode(wrapped).map_err(|_| CannotUnwrap)?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<12>().ok_or(CannotUnwrap)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.wrapping.open_in_place(nonce, aad(context), sealed).map_err(|_| CannotUnwrap)?;
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
    Aad::from(Digest::of_parts(&context.map(str::as_bytes)).0)
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

    #[test]
    fn tags_depend_on_the_key_and_on_every_part() {
        let key = WrappingKey::new(&[7; 32]).unwrap();
        let tag = key.tag(&[b"a", b"b"]);
        assert_eq!(tag, WrappingKey::new(&[7; 32]).unwrap().tag(&[b"a", b"b"]));
        assert_ne!(tag, key.tag(&[b"ab", b""]));
        assert_ne!(tag, WrappingKey::new(&[8; 32]).unwrap().tag(&[b"a", b"b"]));
    }
}
