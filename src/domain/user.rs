//! A person is (issuer, subject) of an upstream identity provider, never an e-mail address; a session of theirs there is
//! (issuer, `sid`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::Digest;

/// The `sub` under which a person is known in one tenant: `usr_` and 132 bits of a digest over tenant, issuer and
/// subject. The same person gets another one in another tenant, so that tokens can't be joined across tenants.
pub fn user_id(tenant: &str, issuer: &str, subject: &str) -> String {
    id_of("usr", &[b"taskpass user", tenant.as_bytes(), issuer.as_bytes(), subject.as_bytes()])
}

/// The `sid` under which a person's session at an identity provider is known in one tenant: `ups_` and 132 bits of a digest over
/// tenant, issuer and the provider's `sid`. Two providers that call two sessions the same end only their own, and enforcers learn
/// nothing that they could show the provider.
pub fn upstream_session_id(tenant: &str, issuer: &str, sid: &str) -> String {
    id_of("ups", &[b"taskpass upstream session", tenant.as_bytes(), issuer.as_bytes(), sid.as_bytes()])
}

fn id_of(prefix: &str, parts: &[&[u8]]) -> String {
    format!("{prefix}_{}", &URL_SAFE_NO_PAD.encode(Digest::of_parts(parts).0)[..22])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_subject_and_tenant_all_count() {
        let id = user_id("main", "https://idp.example", "1");
        assert_eq!(id, user_id("main", "https://idp.example", "1"));
        assert_ne!(id, user_id("main", "https://idp.example1", ""));
        assert_ne!(id, user_id("other", "https://idp.example", "1"));
        assert_eq!(id.len(), 26);
        let session = upstream_session_id("main", "https://idp.example", "1");
        assert_ne!(session, upstream_session_id("main", "https://idp.example1", ""));
        assert_ne!(session, upstream_session_id("other", "https://idp.example", "1"));
        assert_ne!(session[4..], id[4..]);
    }
}
