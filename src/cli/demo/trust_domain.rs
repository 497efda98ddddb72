//! Who vouches for whom in the demo: a SPIFFE trust domain for the agents, and the company's identity provider for the
//! person. Both sign for real, with keys made for this run.

use serde_json::{Value, json};

use super::narrator::Failure;
use crate::entropy::Entropy;
use crate::jose::{Algorithm, JwkError, JwkSet, PrivateJwk, SigningKey};
use crate::time::Timestamp;

/// A SPIFFE trust domain that issues JWT-SVIDs.
pub(super) struct TrustDomain {
    name: &'static str,
    key: SigningKey,
}

impl TrustDomain {
    /// A trust domain with a key of its own.
    pub(super) fn new(name: &'static str) -> Result<Self, JwkError> {
        Ok(Self { name, key: PrivateJwk::generate(Algorithm::ES256)?.signing_key()? })
    }

    /// The SPIFFE ID of one of its agents.
    pub(super) fn spiffe_id(&self, agent: &str) -> String {
        format!("spiffe://{}/agent/{agent}", self.name)
    }

    /// The bundle that a verifier trusts (SPIFFE Trust Domain and Bundle §4).
    pub(super) fn bundle(&self) -> Value {
        let mut jwk = self.key.public().to_json();
        jwk["use"] = json!("jwt-svid");
        json!({ "keys": [jwk], "spiffe_sequence": 1, "spiffe_refresh_hint": 300 })
    }

    /// A JWT-SVID for one agent, shown to one audience (JWT-SVID §3).
    pub(super) fn svid(&self, agent: &str, audience: &str, now: Timestamp) -> Result<String, Failure> {
        let claims = json!({
            "sub": self.spiffe_id(agent), "aud": [audience], "iat": now, "exp": now.plus(300),
        });
        Ok(self.key.sign("JWT", &claims)?)
    }
}

/// The company's identity provider.
pub(super) struct IdentityProvider {
    key: SigningKey,
}

impl IdentityProvider {
    /// Its issuer URL. Nothing answers there: its keys are in the registry.
    pub(super) const ISSUER: &'static str = "https://idp.demo.example";
    /// The person's id at this provider.
    pub(super) const PERSON: &'static str = "alice";

    /// A provider with a key of its own.
    pub(super) fn new() -> Result<Self, JwkError> {
        Ok(Self { key: PrivateJwk::generate(Algorithm::ES256)?.signing_key()? })
    }

    /// The keys that it publishes.
    pub(super) fn jwks(&self) -> Value {
        JwkSet::of(self.key.public().clone()).to_json()
    }

    /// The ID token that the person got by signing in to the agent's application (OpenID Connect Core §2).
    pub(super) fn id_token(&self, client: &str, now: Timestamp) -> Result<String, Failure> {
        let claims = json!({
            "iss": Self::ISSUER, "sub": Self::PERSON, "aud": client, "iat": now, "exp": now.plus(300),
            "auth_time": now, "jti": Entropy::default().ordered_id("idt", now),
            "name": "Alice Archer", "email": "alice@demo.example",
        });
        Ok(self.key.sign("JWT", &claims)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::Unverified;

    #[test]
    fn the_bundle_verifies_the_svids_and_the_jwks_the_id_tokens() {
        let domain = TrustDomain::new("demo.example").unwrap();
        let svid = domain.svid("triage", "http://127.0.0.1:1", Timestamp(1)).unwrap();
        let svid = Unverified::parse(&svid).unwrap();
        assert!(svid.verify(&JwkSet::parse_spiffe_bundle(&domain.bundle()).unwrap()).is_ok());
        assert_eq!(svid.peek().unwrap()["sub"], "spiffe://demo.example/agent/triage");
        let provider = IdentityProvider::new().unwrap();
        let token = provider.id_token("triage", Timestamp(1)).unwrap();
        assert!(Unverified::parse(&token).unwrap().verify(&JwkSet::parse(&provider.jwks()).unwrap()).is_ok());
    }
}
