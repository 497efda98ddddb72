//! A person is (issuer, subject) of an upstream identity provider; never an e-mail address.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::Digest;

/// The `sub` under which a person is known in one tenant: `usr_` and 132 bits of a digest over tenant, issuer and
/// subject. The same person gets another one in another tenant, so that tokens can't be joined across tenants.
pub fn user_id(tenant: &str, issuer: &str, subject: &str) -> String {
    let digest =
        Digest::of_parts(&[b"taskpass user", tenant.as_bytes(), issuer.as_bytes(), subject.as_bytes()]);
    format!("usr_{}", &URL_SAFE_NO_PAD.encode(digest.0)[..22])
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
    }
}
