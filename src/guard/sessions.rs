//! Session ids of MCP versions before 2026-07-28, bound to whoever opened the session.
//!
//! The server behind sees no identities, so to it whoever knows a session's id is its owner. The guard therefore hands out
//! the server's id together with a MAC over that id and the identity, and takes it back from that identity only. Nothing is
//! remembered: there is no table that could overflow or be lost in a restart.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::enforcer::VerifiedToken;
use crate::entropy::Entropy;
use crate::secret::Digest;

/// Between the server's id and the MAC; it can't occur in the MAC.
const SEPARATOR: char = '~';
/// Characters of the MAC.
const MAC_LENGTH: usize = 43;

/// Seals and opens session ids.
pub(super) struct Sessions(hmac::Key);

impl Sessions {
    /// With the key in this file, which is made at the first start. Guards before the same server share it.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = Digest(Entropy::default().bytes()).hex();
                super::files::create_private(path, text.as_bytes())?;
                text
            }
            Err(error) => return Err(error),
        };
        let malformed =
            || std::io::Error::other(format!("{} is not 64 hexadecimal characters", path.display()));
        let key = Digest::from_hex(text.trim()).ok_or_else(malformed)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key.0)))
    }

    /// What the client gets for the server's `id`.
    pub(super) fn seal(&self, id: &str, token: &VerifiedToken) -> String {
        let mac = hmac::sign(&self.0, &bound(id, token).0);
        format!("{id}{SEPARATOR}{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// The server's id, whoever's the session is: for a dry run, which lets everything go on.
    pub(super) fn without_seal(sealed: &str) -> String {
        let sealed_id = sealed.rsplit_once(SEPARATOR).filter(|(_, mac)| mac.len() == MAC_LENGTH);
        sealed_id.map_or(sealed, |(id, _)| id).to_owned()
    }

    /// The server's id, if the session is this identity's.
    pub(super) fn open_for(&self, sealed: &str, token: &VerifiedToken) -> Option<String> {
        let (id, mac) = sealed.rsplit_once(SEPARATOR)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&self.0, &bound(id, token).0, &mac).ok()?;
        Some(id.to_owned())
    }
}

/// A session is one person's, one agent's and one task's: a renewed token of the same task goes on in it, another one doesn't.
fn bound(id: &str, token: &VerifiedToken) -> Digest {
    let claims = token.claims();
    let actors: Vec<_> = claims.actors().collect();
    Digest::of_parts(&[
        id.as_bytes(),
        claims.tenant.as_bytes(),
        claims.sub.as_bytes(),
        claims.client_id.as_bytes(),
        actors.join("\n").as_bytes(),
        claims.task.as_deref().unwrap_or_default().as_bytes(),
    ])
}
