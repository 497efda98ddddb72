//! Signature algorithms (RFC 7518 §3.1, RFC 8037 §3.1).

use josekit::jws::JwsAlgorithm;
use serde::{Deserialize, Serialize};

/// A signature algorithm that is verified here. `none` and the symmetric ones don't exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[expect(missing_docs, reason = "the names are the registered ones")]
pub enum Algorithm {
    ES256,
    ES384,
    ES512,
    EdDSA,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
}

impl Algorithm {
    /// The name in a JOSE header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
        }
    }

    /// Reads a name, to the letter.
    pub fn parse(name: &str) -> Option<Self> {
        ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Every algorithm.
pub(super) const ALL: [Algorithm; 10] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The algorithms that an RSA key without an `alg` of its own may be used with.
pub(super) const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

impl JwsAlgorithm for Algorithm {
    fn name(&self) -> &str {
        self.as_str()
    }

    fn box_clone(&self) -> Box<dyn JwsAlgorithm> {
        Box::new(*self)
    }
}
